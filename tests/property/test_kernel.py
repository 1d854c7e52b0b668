"""The kernel gives the verdict of the independent reference on every drawn snapshot."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, note, settings

import netpolc
from tests.helpers import reference, scenarios
from tests.helpers.lab import Injector
from tests.helpers.manifests import Manifest
from tests.helpers.strategies import Flow, interesting_flows, legacy_snapshots, snapshots_with_flows

pytestmark = pytest.mark.kernel
PATIENT = settings(
    deadline=None,
    suppress_health_check=[
        HealthCheck.too_slow,
        HealthCheck.data_too_large,
        HealthCheck.function_scoped_fixture,
    ],
)
SWEEP = 600
PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}


def _agree(
    injector: Injector, objects: list[Manifest], drawn: list[Flow], semantics: str, hook: str
) -> None:
    snapshot = netpolc.load_objects(objects, semantics=semantics)
    program = netpolc.compile(snapshot)
    flows = [
        flow
        for flow in dict.fromkeys([*drawn, *interesting_flows(objects, SWEEP)])
        if scenarios.forwarded(program, netpolc.Flow(*flow))
    ]
    text = program.ruleset(options=netpolc.Options(hook=hook)).text()
    injector.flush()
    injector.load(text)
    packets = [
        (source, destination, PROTOCOLS.get(str(protocol), protocol), port)
        for source, destination, protocol, port in flows
    ]
    arrived = injector.judge([(s, d, int(p), port) for s, d, p, port in packets])
    wanted = [reference.allowed(objects, *flow, semantics) for flow in flows]
    if arrived != wanted:
        note(text)
    assert arrived == wanted


@pytest.mark.parametrize("hook", ["forward", "postrouting"])
@settings(PATIENT, max_examples=100)
@given(case=snapshots_with_flows())
def test_current_semantics(
    injector: Injector, hook: str, case: tuple[list[Manifest], list[Flow]]
) -> None:
    _agree(injector, *case, "current", hook)


@settings(PATIENT, max_examples=50)
@given(case=snapshots_with_flows(legacy_snapshots()))
def test_semantics_of_1_6(injector: Injector, case: tuple[list[Manifest], list[Flow]]) -> None:
    _agree(injector, *case, "v1.6", "forward")
