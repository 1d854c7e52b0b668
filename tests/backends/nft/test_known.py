"""What an open connection pays: one rule, whatever policies there are.

In: drawn clusters with ordered tiers. Out: the fields that a packet of a known connection is asked
for, and the rule that accepts it. What that rule costs is in BENCHMARKS.md.
"""

from __future__ import annotations

from random import Random

import pytest

import netpolc
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.fields import STATES, Field
from netpolc.backends.nft.readback.tracer import Tracer, packet
from netpolc.core.nets import parse_address
from tests.helpers import ordered
from tests.property.test_ordered import force

ENDS = ("10.0.0.1", "10.0.0.2"), ("fd00::1", "fd00::2"), ("198.51.100.1", "10.0.0.3")


@pytest.mark.parametrize("linear", [True, False])
def test_an_open_connection_meets_one_rule(linear: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    force(monkeypatch, linear)
    judging = 0
    for seed in range(10):
        program = netpolc.compile(ordered.snapshot(Random(seed)))
        ruleset = program.ruleset()
        if not ruleset.table.maps:  # nothing is denied, and nothing is asked
            continue
        judging += 1
        tracer = Tracer(parse_text.parse(ruleset.text()))
        for source, destination in ENDS:
            ends = parse_address(source), parse_address(destination)
            for state in ("established", "related"):
                for direction in (0, 1):
                    sent = packet(*ends, 6, 80, state=STATES.index(state), direction=direction)
                    trace = tracer.trace(sent)
                    assert (trace.passed, trace.chain, trace.number) == (True, "forward", 1)
                    assert trace.asked == 1 << Field.STATE
    assert judging >= 5
