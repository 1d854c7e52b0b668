"""`Kernel.update` and `netpolc apply`, one after the other, against a real kernel."""

from __future__ import annotations

import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from threading import Event, Thread

import pytest

import netpolc
from netpolc.backends.nft.rollout.kernel import Kernel, Update
from netpolc.backends.nft.rollout.loader import NetlinkLoader
from netpolc.backends.nft.rollout.transaction import KernelBatch
from netpolc.core.errors import SystemRefusal
from tests.helpers.lab import Injector, Router
from tests.helpers.manifests import Manifest, namespace, pod, policy
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel
THREE_TIER = str(ROOT / "examples" / "three-tier")
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
LATER = datetime(2026, 1, 1, 13, tzinfo=UTC)


def cluster(clients: int, port: int = 80) -> netpolc.Program:
    """A server that admits its clients on one port; others send to it as well."""
    objects: list[Manifest] = [
        namespace("x"),
        pod("x/server", "10.0.0.1", app="server"),
        pod("x/stranger", "10.0.0.2", app="stranger"),
        *(pod(f"x/client-{n}", f"10.0.1.{n}", app="client") for n in range(1, clients + 1)),
        policy(
            "x/server",
            podSelector={"matchLabels": {"app": "server"}},
            ingress=[
                {
                    "from": [
                        {"podSelector": {"matchLabels": {"app": "client"}}},
                        *({"ipBlock": {"cidr": f"172.{n}.0.0/17"}} for n in range(1, 60, 2)),
                    ],
                    "ports": [{"port": port}],
                }
            ],
        ),
    ]
    return netpolc.compile(netpolc.load_objects(objects))


def generation(kernel: Kernel) -> int:
    """How many transactions there were."""
    return kernel.generation.read()


def test_a_pod_is_one_element_and_the_same_snapshot_nothing(router: Router) -> None:
    kernel = router.call(Kernel)
    assert kernel.update(cluster(5).ruleset(), NOON).replaced
    before = generation(kernel)
    again = kernel.update(cluster(5).ruleset(), LATER).delta
    assert again is not None
    assert not again
    assert generation(kernel) == before
    loaded = kernel.facts.loaded("netpolc")
    assert loaded is not None
    assert loaded.since == "2026-01-01T12:00:00Z"

    ruleset = cluster(6).ruleset()
    found = kernel.update(ruleset, LATER).delta
    assert found is not None
    # One where policies ask for it, and one among the pods of the node.
    assert (found.added, found.removed, found.chains, found.objects) == (2, 0, 0, 0)
    assert generation(kernel) == before + 1
    loaded = kernel.facts.loaded("netpolc")
    assert loaded is not None
    assert (loaded.since, loaded.digest) == ("2026-01-01T13:00:00Z", ruleset.digest)


def test_counters_go_on_where_the_question_stays(injector: Injector) -> None:
    injector.flush()
    kernel = injector.router.call(Kernel)
    kernel.update(cluster(5).ruleset())
    assert injector.judge([("10.0.0.2", "10.0.0.1", 6, 80)] * 3) == [False] * 3
    assert not kernel.update(cluster(200).ruleset()).replaced
    loaded = kernel.facts.loaded("netpolc")
    assert loaded is not None
    assert [drops.packets for drops in loaded.drops] == [3, 0]  # and of unknown pods
    injector.flush()


def test_a_new_process_reads_back_what_is_loaded(router: Router) -> None:
    router.call(Kernel).update(cluster(5).ruleset())
    kernel = router.call(Kernel)
    before = generation(kernel)
    found = kernel.update(cluster(5).ruleset())
    assert (found.replaced, bool(found.delta)) == (False, False)
    assert generation(kernel) == before


@pytest.mark.parametrize(
    "change",
    [
        "insert rule inet netpolc ingress accept",
        "flush chain inet netpolc forward",
        "add element inet netpolc in4 { 10.0.0.2 : accept }",
        "add set inet netpolc mine { type ipv4_addr; }",
        'add set inet netpolc mine { type ipv4_addr; elements = { 1.1.1.1 comment "a, b" }; }',
        "add chain inet netpolc mine { type filter hook input priority 0; policy drop; }",
        "delete table inet netpolc; add table inet netpolc { flags dormant; }",
        "delete counter inet netpolc meta_loaded",
    ],
)
@pytest.mark.parametrize("remembered", [True, False])
def test_what_somebody_changed_is_not_believed(
    router: Router, change: str, remembered: bool
) -> None:
    kernel = router.call(Kernel)
    kernel.update(cluster(5).ruleset(), NOON)
    wanted = _without_time(router)
    router.load(change)
    if not remembered:
        kernel = router.call(Kernel)
    update = kernel.update(cluster(5).ruleset(), NOON)
    assert update.replaced or update.delta
    assert _without_time(router) == wanted


RECHECKS = [
    netpolc.Options(established="recheck"),
    netpolc.Options(established="recheck", mark_mask=0x0FF00000, hook="postrouting"),
    netpolc.Options(established="recheck", mark_mask=0xFFFFFFFF, audit=True),
]


def marks(router: Router) -> set[str]:
    """What flows are marked with, as the loaded table notes it and as its rules do."""
    text = router.ruleset()
    noted = re.search(r'meta_generation \{\s+comment "0x([0-9a-f]+)"', text)
    assert noted is not None
    written = re.findall(r"ct mark set ct mark & 0x[0-9a-f]+ \| 0x([0-9a-f]{8})", text)
    return {noted[1].zfill(8), *written}


@pytest.mark.parametrize("options", RECHECKS, ids=netpolc.Options.describe)
@pytest.mark.parametrize("remembered", [True, False])
def test_open_flows_are_judged_again_after_a_change_and_only_then(
    router: Router, options: netpolc.Options, remembered: bool
) -> None:
    kernel = router.call(Kernel)

    def update(clients: int) -> Update:
        own = kernel if remembered else router.call(Kernel)
        return own.update(cluster(clients).ruleset(options=options))

    assert update(5).replaced
    (first,) = marks(router)
    before = generation(kernel)
    again = update(5).delta
    assert again is not None
    assert not again
    assert generation(kernel) == before
    assert marks(router) == {first}

    found = update(6).delta
    assert found is not None
    assert (found.added, found.removed, found.objects) == (2, 0, 0)
    assert found.chains == 2  # those that compare the mark and set it
    (second,) = marks(router)
    assert second != first
    assert update(5).delta
    (third,) = marks(router)
    assert third != second


def test_a_rechecking_table_that_somebody_changed_judges_open_flows_again(router: Router) -> None:
    ruleset = cluster(5).ruleset(options=RECHECKS[0])
    kernel = router.call(Kernel)
    kernel.update(ruleset)
    loaded = kernel.facts.loaded("netpolc")
    assert loaded is not None
    assert kernel.tables.content("netpolc") == loaded.digest == ruleset.digest
    (first,) = marks(router)
    router.load("insert rule inet netpolc ingress accept")
    assert kernel.tables.content("netpolc") != ruleset.digest
    assert kernel.update(ruleset).delta
    (second,) = marks(router)
    assert second != first
    assert kernel.tables.content("netpolc") == ruleset.digest


@pytest.mark.parametrize("value", ["0x0", "0x00100000"])
def test_a_mark_that_somebody_changed_is_told(router: Router, value: str) -> None:
    """0 would take every flow for judged."""
    ruleset = cluster(5).ruleset(options=RECHECKS[0])
    kernel = router.call(Kernel)
    kernel.update(ruleset)
    (mark,) = marks(router)
    text, found = re.subn(  # nft 1.0.6, and later ones
        rf"ct mark (0x{mark}/12|& 0xfff00000 == 0x{mark}) accept",
        f"ct mark & 0xfff00000 == {value} accept",
        router.ruleset(),
    )
    assert found == 1
    router.load(f"delete table inet netpolc\n{text}")
    assert kernel.tables.content("netpolc") not in ("", ruleset.digest)
    assert kernel.update(ruleset).delta
    assert marks(router) != {mark}
    assert kernel.tables.content("netpolc") == ruleset.digest


def test_other_tables_may_change_meanwhile(router: Router) -> None:
    kernel = router.call(Kernel)
    kernel.update(cluster(5).ruleset())
    router.load("table inet other { chain c { accept; }; }")
    assert not kernel.update(cluster(6).ruleset()).replaced
    assert "table inet other" in router.ruleset()


CHANGES = (cluster(5), cluster(6), cluster(60), cluster(60, port=81), cluster(5, port=81))
LOGGED = netpolc.Options(log="5/second")
ALWAYS = {
    ("10.0.0.2", "10.0.0.1", 6, 80): False,
    ("10.0.0.2", "10.0.0.1", 6, 81): False,
    ("10.0.1.1", "10.0.0.2", 6, 80): True,
    ("10.0.0.1", "10.0.1.1", 6, 80): True,
}
ON_PORT_80 = {(f"10.0.1.{number}", "10.0.0.1", 6, 80): True for number in range(1, 6)}


@pytest.mark.parametrize(
    ("programs", "stable"), [(CHANGES, ALWAYS), (CHANGES[:3], ALWAYS | ON_PORT_80)]
)
def test_no_packet_is_judged_by_half_a_change(
    injector: Injector,
    programs: tuple[netpolc.Program, ...],
    stable: dict[tuple[str, str, int, int | None], bool],
) -> None:
    """Elements, sizes of sets, rules and chains change under traffic, dozens of times."""
    injector.flush()
    kernel = injector.router.call(Kernel)
    rulesets = [program.ruleset(options=o) for program in programs for o in (None, LOGGED)]
    kernel.update(rulesets[0])
    replaced: list[bool] = []
    enough = Event()

    def change() -> None:
        while not enough.is_set():
            for ruleset in rulesets:
                replaced.append(kernel.update(ruleset).replaced)  # noqa: PERF401

    thread = Thread(target=change)
    thread.start()
    try:
        for _ in range(60):
            assert injector.judge([*stable] * 5) == [*stable.values()] * 5
    finally:
        enough.set()
        thread.join()
        injector.flush()
    assert len(replaced) > 60
    assert not any(replaced)


def test_apply_says_what_it_did(router: Router, tmp_path: Path) -> None:
    folder = tmp_path / "cluster"
    assert _apply(router, THREE_TIER, "--all-pods").startswith("loaded table inet netpolc for")
    assert _apply(router, THREE_TIER, "--all-pods").startswith(
        "nothing to change in table inet netpolc for every pod: sha256:"
    )
    folder.mkdir()
    for source in Path(THREE_TIER).glob("*.yaml"):
        (folder / source.name).write_text(source.read_text().replace("10.244.1.11", "10.244.1.12"))
    said = _apply(router, str(folder), "--all-pods")
    assert said.startswith("updated table inet netpolc for every pod: sha256:")
    assert said.endswith(" (8 elements added, 8 elements removed)\n")


def _apply(router: Router, *arguments: str) -> str:
    command = [sys.executable, "-m", "netpolc", "apply", *arguments]
    done = router.call(lambda: subprocess.run(command, capture_output=True, text=True, cwd=ROOT))
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def _without_time(router: Router) -> list[str]:
    """The objects of the ruleset, in no order: new ones come last."""
    return sorted(block.strip() for block in router.ruleset().split("\n\n"))


def test_a_table_that_replaces_a_delta_is_counted_too(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A delta came through and is not what was sent: what replaces it is looked at as well."""
    kernel = router.call(Kernel)
    kernel.update(cluster(5).ruleset(), NOON)
    count, counted = NetlinkLoader.count, []

    def first_is_wrong(self: NetlinkLoader, own: KernelBatch) -> None:
        counted.append(own)
        if len(counted) == 1:
            raise SystemRefusal("table inet netpolc is not what was sent")
        count(self, own)

    monkeypatch.setattr(NetlinkLoader, "count", first_is_wrong)
    assert kernel.update(cluster(6).ruleset(), LATER).replaced
    assert len(counted) == 2
