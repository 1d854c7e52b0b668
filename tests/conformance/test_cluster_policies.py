"""The conformance suite of the cluster-scoped policies, flow by flow: semantics and kernel.

The matcher's part is in `tests/backends/matcher/test_agreement.py`.
"""

from __future__ import annotations

import pytest

import netpolc
from tests import conformance
from tests.conformance.test_conformance import PROTOCOLS, program_of
from tests.helpers.lab import Injector

SUITE = list(conformance.load(conformance.CLUSTER))


def test_the_suite_is_whole() -> None:
    assert len(SUITE) == 95
    assert sum(len(state.flows) for state in SUITE) == 301


def test_semantics_agree() -> None:
    wrong = []
    for state in SUITE:
        program = program_of(state)
        for source, destination, protocol, port, allowed in state.addressed():
            flow = netpolc.Flow(source, destination, protocol, port)
            if netpolc.evaluate(program, flow).allowed is not allowed:
                wrong.append((state.case, state.step, str(flow)))
    assert wrong == []


@pytest.mark.kernel
def test_the_kernel_agrees(injector: Injector) -> None:
    wrong = []
    for state in SUITE:
        injector.flush()
        injector.load(program_of(state).ruleset().text())
        expected = list(state.addressed())
        flows = [(f.source, f.destination, PROTOCOLS[f.protocol], f.port) for f in expected]
        for flow, arrived in zip(expected, injector.judge(flows), strict=True):
            if arrived is not flow.allowed:
                wrong.append((state.case, state.step, flow))
    assert wrong == []
