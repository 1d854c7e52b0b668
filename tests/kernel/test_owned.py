"""A table by our name that a running program owns, and what a table says of itself without
libnftables.

In: tables that `nft -i` owns (`flags owner`) until it ends; rollouts after which libnftables reads
nothing any more. Out: what is said, how `apply` ends, that `--watch` waits and goes on.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NoReturn

import pytest

import netpolc
from netpolc import SystemRefusal
from netpolc.backends.nft.rollout.attempt import Attempt
from netpolc.backends.nft.rollout.kernel import Kernel
from tests.helpers.lab import Router
from tests.helpers.manifests import namespace, pod, policy
from tests.helpers.scenarios import ROOT

pytestmark = pytest.mark.kernel
APPLY = [sys.executable, "-m", "netpolc", "apply", "examples/three-tier", "--node", "node-a"]


@contextmanager
def owned(router: Router, first: str = "") -> Iterator[None]:
    """A table by our name for as long as its owner runs, made in one transaction with `first`."""
    owner = router.call(
        lambda: subprocess.Popen(["nft", "-i"], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL)
    )
    assert owner.stdin is not None
    with owner, owner.stdin as commands:
        commands.write(f"{first}add table inet netpolc {{ flags owner; }}\n".encode())
        commands.flush()
        wait_for(lambda: "flags owner" in router.ruleset())
        yield


def wait_for(holds: Callable[[], bool], seconds: float = 20) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_who_owns_the_table_is_said(router: Router) -> None:
    with owned(router):
        done = router.call(lambda: subprocess.run(APPLY, capture_output=True, text=True, cwd=ROOT))
        assert done.returncode == 3
        assert "table inet netpolc is owned by a running program (flags owner; progname nft" in (
            done.stderr
        )
        assert "nothing was changed" in done.stderr
        plan = [*APPLY, "--plan"]
        done = router.call(lambda: subprocess.run(plan, capture_output=True, text=True, cwd=ROOT))
        assert done.returncode == 0
        assert "connections: unknown" in done.stdout


PATIENT = """
from netpolc.cli import run
from netpolc.cli.enforce import watch
watch.RETRY = 0.5
run()
"""
"""`netpolc` that tries again what was refused after half a second."""


def test_a_watch_waits_until_the_owner_is_gone(router: Router, tmp_path: Path) -> None:
    arguments = [sys.executable, "-c", PATIENT, "apply", "--watch", "examples/three-tier"]
    with (tmp_path / "said").open("w") as said, owned(router):
        watching = router.call(
            lambda: subprocess.Popen(
                [*arguments, "--node", "node-a"],
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                cwd=ROOT,
            )
        )
        wait_for(lambda: "owned by a running program" in (tmp_path / "said").read_text())
        assert watching.poll() is None
    try:
        with watching:
            assert watching.stdout is not None
            assert watching.stdout.readline().startswith("loaded table inet netpolc")
            # Another time, after it was applied: it is restored when the owner has gone.
            router.run("nft", "delete table inet netpolc")
            wait_for(lambda: "restored" in (tmp_path / "said").read_text())
            before = (tmp_path / "said").read_text()
            with owned(router, "delete table inet netpolc; "):
                wait_for(lambda: "owned" in (tmp_path / "said").read_text()[len(before) :])
            wait_for(lambda: "drop_e_" in router.ruleset())
            watching.terminate()
            assert watching.wait(20) == 0
    finally:
        watching.kill()


def ruleset(port: int) -> netpolc.Ruleset:
    made = policy("x/web", podSelector={}, ingress=[{"ports": [{"port": port}]}])
    objects = [namespace("x"), pod("x/web", "10.0.0.1"), made]
    return netpolc.compile(netpolc.load_objects(objects)).ruleset(None)


def test_the_marker_is_read_without_libnftables(router: Router) -> None:
    kernel = router.call(Kernel)
    assert kernel.facts.marker("netpolc") is None
    router.run("nft", "add table inet netpolc")
    router.run("nft", 'add counter inet netpolc other { comment "sha256:0"; }')
    assert kernel.facts.marker("netpolc") is None
    router.call(lambda: kernel.load(ruleset(80)))
    listed = json.loads(router.run("nft", "-j", "list", "counters", "table", "inet", "netpolc"))
    comments = [own["counter"].get("comment", "") for own in listed["nftables"] if "counter" in own]
    marker = kernel.facts.marker("netpolc")
    assert [own for own in comments if own.startswith("sha256:")] == [marker]


@pytest.mark.parametrize(
    ("new", "said"),
    [
        (True, "without it: the new table inet netpolc is in force: sha256:"),
        (False, "without it: table inet netpolc is in force: sha256:"),
        (None, "without it: there is no table inet netpolc of netpolc's"),
    ],
)
def test_what_is_in_force_is_said_though_libnftables_stays_dead(
    router: Router, monkeypatch: pytest.MonkeyPatch, new: bool | None, said: str
) -> None:
    def dead(*_: object) -> NoReturn:
        raise SystemRefusal("libnftables was ended by SIGSEGV")

    def fail() -> None:
        kernel = Kernel()
        expected = ruleset(80)
        with Attempt(kernel, "netpolc", expected.digest):
            if new is None:
                router.run("nft", "add table inet netpolc")
            else:
                kernel.load(expected if new else ruleset(81))
            monkeypatch.setattr(kernel.facts, "loaded", dead)
            dead()

    with pytest.raises(SystemRefusal, match="not known to libnftables") as raised:
        router.call(fail)
    assert said in str(raised.value)
