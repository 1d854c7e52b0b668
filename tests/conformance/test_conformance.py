"""The published conformance suites, flow by flow: semantics and kernel."""

from __future__ import annotations

import pytest

import netpolc
from netpolc.core.errors import Severity
from tests import conformance
from tests.conformance import State
from tests.helpers.lab import Injector

PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
E2E = list(conformance.load(conformance.E2E))
CYCLONUS = list(conformance.load(conformance.CYCLONUS))


def program_of(state: State) -> netpolc.Program:
    return netpolc.compile(netpolc.load_objects(state.objects))


def test_the_suites_are_whole() -> None:
    assert (len(E2E), len(CYCLONUS)) == (65, 256)
    assert sum(len(state.flows) for state in E2E) == 506
    assert sum(len(state.flows) for state in CYCLONUS) == 111_036


@pytest.mark.parametrize("suite", [E2E, CYCLONUS], ids=["k8s-e2e", "cyclonus"])
def test_semantics_agree(suite: list[State]) -> None:
    wrong = []
    for state in suite:
        program = program_of(state)
        for source, destination, protocol, port, allowed in state.addressed():
            flow = netpolc.Flow(source, destination, protocol, port)
            if netpolc.evaluate(program, flow).allowed is not allowed:
                wrong.append((state.case, state.step, str(flow)))
    assert wrong == []


@pytest.mark.kernel
@pytest.mark.parametrize("suite", [E2E, CYCLONUS], ids=["k8s-e2e", "cyclonus"])
def test_the_kernel_agrees(suite: list[State], injector: Injector) -> None:
    wrong = []
    for state in suite:
        expected = list(state.addressed())
        injector.flush()
        injector.load(program_of(state).ruleset().text())
        flows = [(f.source, f.destination, PROTOCOLS[f.protocol], f.port) for f in expected]
        for flow, arrived in zip(expected, injector.judge(flows), strict=True):
            if arrived is not flow.allowed:
                wrong.append((state.case, state.step, flow))
    assert wrong == []


@pytest.mark.parametrize("case", list(conformance.load_validation()), ids=lambda case: case.name)
def test_validation_says_what_the_api_server_says(case: conformance.ValidationCase) -> None:
    found: list[str] = []
    try:
        netpolc.load_objects([case.policy])
    except netpolc.InputError as error:
        found = [
            f"{d.path}: {d.message}" for d in error.diagnostics if d.severity is Severity.ERROR
        ]
    if case.strict_cidr:
        assert sorted(found) == sorted(case.errors)
    else:  # a server without StrictIPCIDRValidation; netpolc refuses what parsers read differently
        cidr = "spec.ingress[0].from[0].ipBlock.cidr"
        detail = "must not have leading 0s in IP or prefix length"
        assert found == [f'{cidr}: Invalid value: "001.002.003.000/0": {detail}']
        assert case.errors == []
