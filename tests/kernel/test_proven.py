"""What `apply` says of a proof: `--watch` proves unless told not to, and no word of it is more than
was done.

In: rulesets that boxes describe, and a bound that makes them seem not to. Out: lines of `apply`.
"""

from __future__ import annotations

import os
import re
import signal

import pytest
from click.testing import CliRunner

from netpolc.backends.nft.readback.proof import walk
from netpolc.cli import main
from tests.helpers.lab import Router
from tests.helpers.scenarios import ROOT
from tests.kernel.applying import NODE, started
from tests.kernel.test_commands import THREE_TIER

pytestmark = pytest.mark.kernel


@pytest.mark.parametrize(("options", "proven"), [((), True), (("--no-verify",), False)])
def test_the_watch_proves_unless_told_not_to(
    router: Router, options: tuple[str, ...], proven: bool
) -> None:
    with started(router, "apply", "--watch", *NODE, *options) as watching:
        assert watching.stdout is not None
        first = watching.stdout.readline()
        watching.send_signal(signal.SIGTERM)
        assert watching.wait(120) == 0
    assert re.fullmatch(
        rf"loaded table inet netpolc for node node-a: sha256:\w+{', proven' if proven else ''}\n",
        first,
    )


def test_an_apply_that_walked_pair_by_pair_says_why(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MOST_BOXES", 0)
    monkeypatch.chdir(ROOT)
    arguments = ["apply", "examples/recipe-deny-all", "--all-pods", "--verify"]
    done = router.call(lambda: CliRunner().invoke(main, arguments))
    assert done.exit_code == 0, done.output
    first, second = done.stdout.splitlines()
    assert re.search(r": sha256:\w+, proven$", first)
    assert second.startswith("every pair of addresses was walked for itself: chain ")


def test_a_watch_does_not_spend_hours_on_a_proof_and_says_that_there_is_none(
    router: Router, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(walk, "MOST_BOXES", 0)
    monkeypatch.chdir(ROOT)
    said: list[str] = []

    def once(_: object, apply_once: object, *__: object) -> None:
        assert callable(apply_once)
        said.append(apply_once())

    monkeypatch.setattr("netpolc.cli.enforce.watch.keep_applied", once)
    arguments = ["apply", "--watch", os.path.relpath(ROOT / THREE_TIER, ROOT), *NODE[1:]]
    done = router.call(lambda: CliRunner().invoke(main, arguments))
    assert done.exit_code == 0, done.output
    assert re.search(r": sha256:\w+; not proven: chain \w+ tells too many kinds", said[0])
    assert "drop_e_" in router.ruleset()
