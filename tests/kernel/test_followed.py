"""`apply --watch` whole, over a folder that changes: the table is that of a fresh compilation each
time, whether what changed was followed or all files were read.

In: a folder that is edited at random, and faults in what follows it. Out: the table, compared with
one that is loaded afresh; how often all files were read.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import pytest

import netpolc
from netpolc.backends.nft import Options, Ruleset
from netpolc.backends.nft.rollout import rollout
from netpolc.cli.options import Reading
from netpolc.core.errors import InputError, NetpolcError, Unproven, UnsupportedError
from netpolc.live import Live
from tests.cli.invocation import invoke
from tests.helpers.events import Happening
from tests.helpers.lab import Injector, Router
from tests.helpers.manifests import pod
from tests.helpers.places import TABLE, RealPlace
from tests.kernel.compiling import Machine
from tests.live.test_files import OBJECTS, Folder, afresh, written

pytestmark = pytest.mark.kernel
EDITS = int(os.environ.get("NETPOLC_EVENTS", "300")) // 5
REFUSED = (5, 6)
"""How a `Folder` is spoiled where `apply` refuses it: no YAML, no object."""
INPUTS = "meta_inputs"


class Watch:
    """The parts of a running `apply --watch`, driven by a test instead of by time."""

    def __init__(
        self, apply_once: Callable[[], str], restore: Callable[[], str], follow: Callable[[], None]
    ) -> None:
        self._apply_once, self.restore, self._follow = apply_once, restore, follow

    def changed(self) -> str:
        """A folder has changed: what is said of it."""
        try:
            return self._apply_once()
        finally:
            self._follow()


@pytest.fixture
def readings(monkeypatch: pytest.MonkeyPatch) -> list[None]:
    """As long as files were read as a whole."""
    found: list[None] = []
    real = Reading.snapshot

    def counted(*arguments: Any, **more: Any) -> Any:
        found.append(None)
        return real(*arguments, **more)

    monkeypatch.setattr(Reading, "snapshot", counted)
    return found


def watch(
    router: Router,
    path: Path,
    monkeypatch: pytest.MonkeyPatch,
    drive: Callable[[Watch], None],
    *more: str,
) -> None:
    """Run the command in a namespace until `drive` ends."""

    def driven(
        _paths: object,
        apply_once: Callable[[], str],
        restore: Callable[[], str],
        _table: object,
        _say: object,
        follow: Callable[[], None],
    ) -> None:
        drive(Watch(apply_once, restore, follow))

    monkeypatch.setattr("netpolc.cli.enforce.watch.keep_applied", driven)
    done = router.call(lambda: invoke("apply", "--watch", str(path), "--node", "node-a", *more))
    assert done.code == 0, done


@pytest.mark.parametrize(("seed", "calm"), [(1, True), (2, False)])
def test_any_edits(
    injector: Injector,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    readings: list[None],
    seed: int,
    calm: bool,
) -> None:
    injector.flush()
    chance = Random(seed)
    folder = Folder(tmp_path, chance, Happening(chance, 60, 10, calm=calm))
    folder.write()
    compared = 0
    with Router() as fresh:
        place = RealPlace(injector, fresh)

        def drive(own: Watch) -> None:
            nonlocal compared
            kernel, told, left = place.kernel(), list[str](), None
            for number in range(EDITS):
                where = f"edit {number}, after {told[-3:]}"
                try:
                    own.changed()
                except NetpolcError:
                    assert folder.spoiled in REFUSED, where
                    assert place.contents(kernel) == left, where
                else:
                    compared += 1
                    place.fresh.load(afresh(tmp_path, Options())[1])
                    left = place.contents(kernel)
                    assert left == place.contents(place.fresh), where
                    assert kernel.facts.noted(TABLE) == place.fresh.facts.noted(TABLE), where
                told.append(folder.edit())

        watch(injector.router, tmp_path, monkeypatch, drive)
    injector.flush()
    assert compared > EDITS // 2
    assert len(readings) < (EDITS // 2 if calm else EDITS)


LABELLED = [*OBJECTS[:-1], pod("shop/web", "10.0.0.1", app="db")]


def relabel(path: Path) -> None:
    """A pod is selected by the policy, which did not select it."""
    (path / "objects.json").write_text(json.dumps({"kind": "List", "items": LABELLED}))


def test_what_cannot_be_proven_is_read_and_proven_once_more(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readings: list[None]
) -> None:
    real, first = Live.ruleset, list[Ruleset]()

    def stale(live: Live) -> Ruleset:
        first.append(real(live))
        return first[0]

    def drive(own: Watch) -> None:
        own.changed()
        own.changed()
        before = len(readings)
        with monkeypatch.context() as faulty:
            faulty.setattr(Live, "ruleset", stale)
            own.changed()
            relabel(tmp_path)
            assert ", proven" in own.changed()
        assert len(readings) == before + 1
        wanted = afresh(tmp_path, Options())[1]
        assert wanted.digest in router.ruleset()
        assert wanted.digest != first[0].digest
        written(tmp_path)
        assert first[0].digest in own.changed()  # which is followed again
        assert len(readings) == before + 1

    watch(router, written(tmp_path), monkeypatch, drive)


def test_what_cannot_be_proven_twice_is_refused(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readings: list[None]
) -> None:
    def refused(*_: object, **__: object) -> str:
        raise Unproven("a difference")

    def drive(own: Watch) -> None:
        own.changed()
        before, table = len(readings), router.ruleset()
        relabel(tmp_path)
        with monkeypatch.context() as faulty:
            faulty.setattr(rollout, "prove", refused)
            for _ in range(2):
                with pytest.raises(Unproven):
                    own.changed()
                assert len(readings) == (before := before + 1)
        assert router.ruleset() == table
        assert ", proven" in own.changed()

    watch(router, written(tmp_path), monkeypatch, drive)


def test_a_change_that_is_followed_takes_the_note_of_inputs_away(
    machine: Machine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readings: list[None]
) -> None:
    machine.folder = tmp_path / "shop"
    machine.folder.mkdir()
    written(machine.folder)
    assert machine.compiles("apply")
    assert INPUTS in machine.router.ruleset()

    def drive(own: Watch) -> None:
        own.changed()
        before = len(readings)
        relabel(machine.folder)
        assert "updated" in own.changed()
        assert len(readings) == before

    watch(machine.router, machine.folder, monkeypatch, drive)
    assert INPUTS not in machine.router.ruleset()
    assert machine.compiles("apply")


def test_what_is_wrong_with_a_file_is_told_once_and_with_its_place(
    router: Router,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    readings: list[None],
    capfd: pytest.CaptureFixture[str],
) -> None:
    broken = tmp_path / "broken.yaml"

    def drive(own: Watch) -> None:
        own.changed()
        before, table = len(readings), router.ruleset()
        broken.write_text("kind: Pod\n  name: [\n")
        capfd.readouterr()
        with pytest.raises(InputError) as refused:
            own.changed()
        (said,) = refused.value.diagnostics
        assert str(said).startswith(f"{broken}:2:")
        assert capfd.readouterr() == ("", "")  # whoever caught it says it
        assert len(readings) == before + 1
        assert router.ruleset() == table
        relabel(tmp_path)
        broken.unlink()
        assert "updated" in own.changed()
        assert len(readings) == before + 1
        assert afresh(tmp_path, Options())[1].digest in router.ruleset()

    watch(router, written(tmp_path), monkeypatch, drive)


def test_what_cannot_make_a_ruleset_is_not_believed_again(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, readings: list[None]
) -> None:
    def refused(_: Live) -> Ruleset:
        raise UnsupportedError("a row of chains that is too long")

    def drive(own: Watch) -> None:
        own.changed()
        relabel(tmp_path)
        before = len(readings)
        with monkeypatch.context() as faulty:
            faulty.setattr(Live, "ruleset", refused)
            assert "updated" in own.changed()
            assert len(readings) == before + 1
            assert afresh(tmp_path, Options())[1].digest in router.ruleset()
        written(tmp_path)
        assert "updated" in own.changed()
        assert len(readings) == before + 2
        relabel(tmp_path)  # which is followed again
        assert "updated" in own.changed()
        assert len(readings) == before + 2
        assert afresh(tmp_path, Options())[1].digest in router.ruleset()

    watch(router, written(tmp_path), monkeypatch, drive)


def test_a_look_at_the_table_compiles_nothing_until_it_is_to_be_restored(
    router: Router, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    compiled: list[None] = []

    def counted(snapshot: Any) -> Any:
        compiled.append(None)
        return netpolc.compile(snapshot)

    monkeypatch.setattr("netpolc.cli.enforce.application.compile", counted)

    def drive(own: Watch) -> None:
        own.changed()
        own.changed()
        before = len(compiled)
        relabel(tmp_path)
        own.changed()
        table = afresh(tmp_path, Options())[1].digest
        assert own.restore() == ""
        assert len(compiled) == before
        router.flush()
        assert own.restore() == "restored table inet netpolc"
        assert table in router.ruleset()
        assert len(compiled) == before + 1  # for the flows that began meanwhile

    watch(router, written(tmp_path), monkeypatch, drive, "--no-verify")
