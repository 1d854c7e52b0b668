"""What needs libnftables, and what does not.

In: a host without its binding, and one with tables of others. Out: every command works but those
that ask for libnftables, which say what to install; the messages that the process gets are of its
own table.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import netpolc as api
from netpolc.backends.nft.netlink.attributes import zero_ended
from netpolc.backends.nft.netlink.entities import NEW_GENERATION
from netpolc.backends.nft.netlink.wire import Wire
from netpolc.backends.nft.rollout.kernel import Kernel
from netpolc.backends.nft.rollout.libnftables import session
from netpolc.backends.nft.rollout.rollout import Plan, roll_out
from tests.backends.nft.netlink.test_loaded import FOREIGN
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT
from tests.kernel.test_commands import DENY_ALL, THREE_TIER

pytestmark = pytest.mark.kernel
HIDING = 'mount -t tmpfs none "$0" && exec "$@"'
INSTALL = "the libnftables Python binding is missing: apt install python3-nftables"


def netpolc(router: Router, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command where the binding is not installed."""
    folder = os.path.join(session.binding(), "nftables")
    command = ["unshare", "-m", "sh", "-c", HIDING, folder, sys.executable, "-m", "netpolc"]
    return router.call(
        lambda: subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=ROOT)
    )


def test_everything_but_what_asks_for_it_works_without_it(router: Router, tmp_path: Path) -> None:
    node = (THREE_TIER, "--node", "node-a")
    file = tmp_path / "before.nft"
    steps: tuple[tuple[tuple[str, ...], str], ...] = (
        (("apply", DENY_ALL, "--all-pods"), "loaded table inet netpolc"),
        (("apply", *node, "--plan"), "plan for table inet netpolc"),
        (("apply", *node, "--verify", "--save", str(file)), ", proven"),
        (("status", *node), "as it was loaded"),
        (("verify", *node), "does what the policies mean"),
        (("top",), ""),
        (("apply", DENY_ALL, "--all-pods", "--confirm", "1s"), "not confirmed"),
        (("status", *node), "as it was loaded"),
        (("delete",), "deleted table inet netpolc"),
    )
    for arguments, words in steps:
        done = netpolc(router, *arguments)
        said = done.stdout + done.stderr
        assert words in said, said
        assert INSTALL not in said
        assert "Traceback" not in said
    assert router.ruleset() == ""
    router.run("nft", "-f", str(file))
    assert "netpolc" in router.ruleset()
    asking: tuple[tuple[str, ...], ...] = (
        ("apply", *node, "--via", "nft"),
        ("apply", *node, "--dry-run"),
        ("verify", *node, "--via", "nft"),
        ("status", "--via", "nft"),
    )
    for arguments in asking:
        done = netpolc(router, *arguments)
        assert done.returncode == 3, done
        assert INSTALL in done.stderr


def test_no_object_of_another_table_is_read_by_whoever_loads(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every message of nf_tables that this process gets names its own table, or is a generation."""
    router.load(FOREIGN)
    before = router.ruleset()
    seen = set()
    answers = Wire._answers

    def heard(self: Wire) -> Iterator[tuple[int, int, int, bytes]]:
        for answer in answers(self):
            if answer[0] >> 8 == 10 and answer[0] & 0xFF != NEW_GENERATION:
                seen.add(bytes(answer[3][8 : 8 + len("netpolc") + 1]))
            yield answer

    monkeypatch.setattr(Wire, "_answers", heard)
    kernel = router.call(Kernel)
    monkeypatch.setattr(kernel._channel, "_nft", None)  # whoever asks libnftables fails
    saved: list[str] = []
    for name in ("three-tier", "recipe-deny-all", "three-tier"):
        program = api.compile(api.load([str(ROOT / "examples" / name)]))
        plan = Plan(program=program, save=saved.append)
        done = roll_out(kernel, program.ruleset(), plan)
        assert done.update.replaced or done.update.delta
        assert kernel.tables.content("netpolc") == program.ruleset().digest
        kernel = router.call(Kernel)  # which reads back what is there
        monkeypatch.setattr(kernel._channel, "_nft", None)
    assert seen == {zero_ended("netpolc")}
    assert len(saved) == 3
    kernel.delete("netpolc")
    assert router.ruleset() == before
