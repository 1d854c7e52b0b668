"""The matcher against the kernel that runs the ruleset of the same program."""

from __future__ import annotations

import pytest

import netpolc
from netpolc.backends.matcher import Matcher
from netpolc.core.nets import Protocol
from tests import conformance
from tests.helpers.lab import Injector
from tests.helpers.scenarios import forwarded
from tests.helpers.strategies import interesting_flows


@pytest.mark.kernel
def test_the_kernel_agrees(injector: Injector) -> None:
    """Flows between pods, nodes and the outside, most of which no suite speaks of."""
    wrong: list[object] = []
    for state in conformance.load(conformance.E2E):
        program = netpolc.compile(netpolc.load_objects(state.objects))
        rows = [
            (flow.source, flow.destination, flow.protocol, flow.port)
            for flow in interesting_flows(state.objects, 60)
            if forwarded(program, netpolc.Flow(*flow))
        ]
        packets = [
            (s, d, Protocol[p].value if isinstance(p, str) else p, port) for s, d, p, port in rows
        ]
        codes = Matcher(program).verdicts(*(list(column) for column in zip(*rows, strict=True)))
        injector.flush()
        injector.load(program.ruleset().text())
        for row, code, arrived in zip(rows, codes, injector.judge(packets), strict=True):
            if bool(code) is not arrived or code > 1:
                wrong.append((state.case, state.step, row, int(code)))
    assert wrong == []
