"""The matcher against the hand-written flows, the published suites and `semantics.evaluate`."""

from __future__ import annotations

from itertools import islice
from random import Random

import pytest
from hypothesis import given, settings

import netpolc
from tests import conformance
from tests.backends.matcher.agreement import Row, check, evaluated, telling_rows
from tests.conformance import State
from tests.helpers import strategies
from tests.helpers.scenarios import Scenario, everything
from tests.helpers.strategies import snapshots_with_flows

Drawn = tuple[list[strategies.Manifest], list[strategies.Flow]]
MOST = 6_000


@pytest.mark.parametrize("scenario", everything(), ids=lambda s: s.name)
def test_it_agrees_with_the_flows(scenario: Scenario) -> None:
    program = scenario.program()
    rows: list[Row] = []
    wanted = []
    for expected in scenario.expected:
        for flow in expected.flows(program):
            rows.append(row_of(flow))
            wanted.append(expected.allowed)
    check(program, rows, wanted)


def row_of(flow: netpolc.Flow) -> Row:
    ends = (netpolc.core.nets.format_address(end) for end in (flow.source, flow.destination))
    source, destination = ends
    return source, destination, flow.protocol, flow.port


@pytest.mark.parametrize("scenario", everything(), ids=lambda s: s.name)
def test_it_agrees_with_the_semantics(scenario: Scenario) -> None:
    """All pairs of pods, nodes and block edges at all port edges, or as many as time allows."""
    program = scenario.program()
    rows = list(islice(telling_rows(program), 400_000))
    if len(rows) > MOST:
        rows = Random(scenario.name).sample(rows, MOST)
    check(program, rows, evaluated(program, rows))


@pytest.mark.parametrize("suite", [conformance.E2E, conformance.CYCLONUS, conformance.CLUSTER])
def test_it_agrees_with_the_published_suites(suite: str) -> None:
    for state in conformance.load(suite):
        program = netpolc.compile(netpolc.load_objects(state.objects))
        flows = list(state.addressed())
        rows: list[Row] = [flow[:4] for flow in flows]
        check(program, rows, [flow.allowed for flow in flows])
        every_other_protocol(program, state)


def every_other_protocol(program: netpolc.Program, state: State) -> None:
    addresses = [a for own in state.addresses().values() for a in own]
    same = [(a, b) for a in addresses for b in addresses if (":" in a) == (":" in b)]
    rows: list[Row] = [(a, b, 47, None) for a, b in same[:20]]
    check(program, rows, evaluated(program, rows))


@given(snapshots_with_flows())
@settings(max_examples=150)
def test_it_agrees_with_the_semantics_on_any_snapshot(drawn: Drawn) -> None:
    agree(drawn, "current")


@given(snapshots_with_flows(strategies.legacy_snapshots()))
@settings(max_examples=50)
def test_it_agrees_on_any_snapshot_of_old(drawn: Drawn) -> None:
    agree(drawn, "v1.6")


def agree(drawn: Drawn, semantics: str) -> None:
    """The drawn flows, and as many again over what the program itself tells apart."""
    objects, flows = drawn
    program = netpolc.compile(netpolc.load_objects(objects, semantics=semantics))
    rows: list[Row] = [flow[:] for flow in flows]
    some = list(islice(telling_rows(program), 20_000))
    rows += Random(len(objects)).sample(some, min(len(some), 300))
    check(program, rows, evaluated(program, rows))
