"""What `netpolc explain` prints, whole, for scenarios whose answer `flows.txt` has by hand.

Each file of `expected/` begins with the command (`$ netpolc explain …`, its paths from the root of
the repository), then holds what it prints; `--update-golden` writes it anew, to be read again.
"""

from __future__ import annotations

import re
import shlex
from itertools import pairwise
from pathlib import Path

import pytest

import netpolc
from netpolc.analysis.explain import explain_all, formats, policy
from netpolc.analysis.explain.model import RulePart
from netpolc.core.ir import Tier
from tests.cli.invocation import invoke
from tests.helpers.scenarios import ROOT, Scenario, everything

EXPECTED = sorted((Path(__file__).parent / "expected").glob("*.txt"))
_END = re.compile(r" --src (\S+) --dst (\S+)")


def by_hand(command: str) -> bool:
    """What `flows.txt` says of the flow of a command."""
    words = shlex.split(command)
    (folder,) = {ROOT / word for word in words if (ROOT / word / "flows.txt").exists()} | {
        (ROOT / word).parent for word in words if (ROOT / word).is_file()
    }
    option = dict(pairwise(words))
    service = option.get("--protocol", "TCP")
    if "--port" in option:
        service += f"/{option['--port']}"
    asked = [option["--src"], "->", option["--dst"], service]
    for line in (folder / "flows.txt").read_text().splitlines():
        *flow, verdict = line.partition("#")[0].split() or [""]
        if flow == asked:
            return verdict == "allow"
    raise AssertionError(f"{folder}/flows.txt does not say: {' '.join(asked)}")


@pytest.mark.parametrize("path", EXPECTED, ids=lambda path: path.stem)
def test_what_is_printed(path: Path, update_golden: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    command, _, expected = path.read_text().partition("\n")
    outcome = invoke(*shlex.split(command.removeprefix("$ netpolc ")))
    printed = outcome.stdout + outcome.stderr
    if update_golden:
        path.write_text(f"{command}\n{printed}")
    assert printed == expected
    allowed = by_hand(command) if _END.search(command) else True
    assert outcome.code == (0 if allowed else 1)


def test_there_are_enough() -> None:
    commands = [path.read_text().partition("\n")[0] for path in EXPECTED]
    assert sum("#" in command for command in commands) >= 12
    assert sum(bool(_END.search(command)) for command in commands) >= 8


@pytest.mark.parametrize("scenario", everything(), ids=lambda scenario: scenario.name)
def test_every_flow_and_every_policy_can_be_explained(scenario: Scenario) -> None:
    """All of it is cited with lines, and a denial of a pod with rules says what came close."""
    snapshot = scenario.snapshot()
    program = netpolc.compile(snapshot)
    for expected in scenario.expected:
        for explanation in explain_all(program, snapshot, expected.flows(program)):
            assert formats.document(explanation)["allowed"] is expected.allowed
            lines = [line.text for line in formats.text([explanation], None)]
            for side in explanation.sides:
                asked = [a for found in side.consulted for a in found.answers]
                if all(found.policy.tier is Tier.NETWORK_POLICY for found in side.consulted):
                    assert bool(side.misses) is (bool(asked) and not side.decision.allowed)
                elif side.misses:  # where a rule denies, there may be none that came close
                    assert not side.decision.allowed
                    missed = {a.rule for a in asked if a.part is RulePart.NONE}
                    assert {miss.rule for miss in side.misses} <= missed
                for rule in side.accepting:
                    place = rule.origin.place()
                    named = f"    {rule.origin.rule} "
                    assert any(
                        x.startswith(named) and " accepts" in x and place in x for x in lines
                    )
    for one in snapshot.policies:
        description = policy.describe(snapshot, one)
        assert len(description.admits) == len(one.rules)
        _, *sentences = policy.text(description)
        assert max(map(len, sentences)) <= 80
