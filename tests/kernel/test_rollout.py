"""apply --verify and --save, and its lock, against a real kernel.

In: tables loaded, saved, waited for. Out: exit codes, what `nft` lists afterwards.
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

import netpolc as api
from netpolc.backends.nft.rollout.kernel import Kernel, Update
from netpolc.backends.nft.rollout.rollout import Plan, roll_out
from netpolc.core.errors import Unproven
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT
from tests.kernel.applying import NODE, started
from tests.kernel.test_commands import DENY_ALL, THREE_TIER, netpolc
from tests.mutation.test_proof import layouts

pytestmark = pytest.mark.kernel


def test_a_proven_rollout_says_so(router: Router) -> None:
    applied = netpolc(router, "apply", *NODE, "--verify")
    assert (applied.returncode, applied.stderr) == (0, "")
    assert re.fullmatch(
        r"loaded table inet netpolc for node node-a: sha256:\w+, proven\n", applied.stdout
    )


def test_a_ruleset_that_means_something_else_is_not_loaded(router: Router) -> None:
    meant = api.compile(api.load([THREE_TIER]))
    other = api.compile(api.load([THREE_TIER])).ruleset("node-b")
    kernel = router.call(Kernel)
    wrong = replace(other, node="node-a")
    with pytest.raises(Unproven, match="differs from the policies"):
        router.call(lambda: roll_out(kernel, wrong, Plan(program=meant)))
    assert router.ruleset() == ""


@pytest.mark.parametrize(
    ("meddling", "words"),
    [
        ("insert rule inet netpolc ingress accept", "differs from the policies"),
        ("insert rule inet netpolc forward meta mark 7 accept", "not what was loaded"),
        ("delete table inet netpolc", "was deleted right after"),
    ],
)
def test_a_table_that_reads_back_differently_is_rolled_back(
    router: Router, meddling: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert netpolc(router, "apply", DENY_ALL, "--all-pods").returncode == 0
    before = router.ruleset()
    update = Kernel.update

    def meddled(self: Kernel, *arguments: object, **options: object) -> Update:
        done = update(self, *arguments, **options)  # type: ignore[arg-type]
        self._channel.send(meddling)
        return done

    monkeypatch.setattr(Kernel, "update", meddled)
    program = api.compile(api.load([THREE_TIER]))
    with pytest.raises(Unproven, match=words):
        router.call(lambda: roll_out(Kernel(), program.ruleset("node-a"), Plan(program=program)))
    assert router.ruleset() == before


def test_a_saved_table_comes_back_exactly(router: Router, tmp_path: Path) -> None:
    """Every layout there is, with what it counted, and then nothing at all."""
    program = api.compile(api.load_objects(layouts()))
    options = api.Options(log="7/minute", deny="reject")
    router.call(lambda: Kernel().load(program.ruleset(None, options)))
    router.run("nft", "add", "counter", "inet", "netpolc", "mine", "{ packets 7 bytes 9 ; }")
    before = router.ruleset()
    file = tmp_path / "before.nft"
    assert netpolc(router, "apply", DENY_ALL, "--all-pods", "--save", str(file)).returncode == 0
    assert router.ruleset() != before
    for _ in range(2):
        router.run("nft", "-f", str(file))
        assert router.ruleset() == before
    router.flush()
    assert netpolc(router, "apply", *NODE, "--save", str(file)).returncode == 0
    router.run("nft", "-f", str(file))
    assert router.ruleset() == ""


def test_what_cannot_be_saved_is_not_replaced(router: Router, tmp_path: Path) -> None:
    refused = netpolc(router, "apply", *NODE, "--save", str(tmp_path / "none" / "file"))
    assert refused.returncode == 3
    assert "cannot write" in refused.stderr
    assert router.ruleset() == ""


def test_a_lock_of_a_killed_process_is_free(router: Router) -> None:
    code = (
        "from netpolc.backends.nft.rollout.runtime import lock\nimport time\n"
        "with lock('netpolc'):\n print('locked', flush=True)\n time.sleep(60)\n"
    )
    holding = router.call(
        lambda: subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE)
    )
    assert holding.stdout is not None
    assert holding.stdout.readline() == b"locked\n"
    waits = started(router, "apply", *NODE)
    with pytest.raises(subprocess.TimeoutExpired):
        waits.wait(0.8)
    holding.kill()
    holding.communicate()
    assert waits.communicate(timeout=120)[0].startswith("loaded")


def test_other_tables_and_namespaces_do_not_wait(router: Router) -> None:
    with Router() as elsewhere:
        code = (
            "from netpolc.backends.nft.rollout.runtime import lock\n"
            "with lock('netpolc'):\n print('locked', flush=True)\n input()\n"
        )
        holding = router.call(
            lambda: subprocess.Popen(
                [sys.executable, "-c", code],
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
        )
        assert holding.stdout is not None
        holding.stdout.readline()
        assert netpolc(router, "apply", *NODE, "--table", "netpolc_b").returncode == 0
        assert netpolc(elsewhere, "apply", *NODE).returncode == 0
        holding.communicate(b"\n")
