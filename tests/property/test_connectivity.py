"""Connections, taken apart into flows, are what the matcher and the slow semantics say of each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import netpolc
from netpolc.connectivity import Grouping, Party, Table
from netpolc.nets import family
from netpolc.semantics import Reason
from tests.strategies import (
    Flow,
    interesting_flows,
    legacy_snapshots,
    snapshots,
    snapshots_with_flows,
)

Manifest = dict[str, Any]
PATIENT = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
SWEEP = 300
UNJUDGED = {Reason.SELF, Reason.NODE}


def party_at(table: Table, address: int) -> Party | None:
    """The party an address belongs to; None for a family that no pod has."""
    for party in table.workloads:
        if any(address in pod.addresses for pod in party.pods):
            return party
    found = [party for party in table.outside if address in party.addresses]
    assert len(found) <= 1, "ranges overlap"
    assert found or family(address) not in {v for p in table.workloads for v in p.places}
    return found[0] if found else None


def agree(objects: list[Manifest], drawn: list[Flow], semantics: str, grouping: Grouping) -> None:
    program = netpolc.compile(netpolc.load_objects(objects, semantics=semantics))
    matcher = netpolc.Matcher(program)
    table = Table(program, grouping)
    listed = {
        (c.source, c.destination, version): c.ports
        for c in table.connections()
        for version in c.families
    }
    for flow in [*drawn, *interesting_flows(objects, SWEEP)]:
        asked = netpolc.Flow(*flow)
        verdict = netpolc.evaluate(program, asked)
        ends = party_at(table, asked.source), party_at(table, asked.destination)
        if None in ends or all(end is not None and end.is_outside for end in ends):
            continue
        if {verdict.egress.reason, verdict.ingress.reason} & UNJUDGED:
            continue
        source, destination = ends
        assert source is not None
        assert destination is not None
        ports = listed.get((source, destination, family(asked.source)))
        admitted = ports is not None and (asked.protocol << 16 | (asked.port or 0)) in ports
        assert admitted is verdict.allowed, flow
        assert matcher.verdict(*flow) is admitted, flow


@PATIENT
@given(snapshots_with_flows(), st.sampled_from(Grouping))
def test_expanded_to_flows(case: tuple[list[Manifest], list[Flow]], grouping: Grouping) -> None:
    agree(*case, "current", grouping)


@PATIENT
@given(snapshots_with_flows(snapshots(peers=["block", "pods"])))
def test_blocks_that_hold_pods(case: tuple[list[Manifest], list[Flow]]) -> None:
    agree(*case, "current", Grouping.WORKLOAD)


@settings(PATIENT, max_examples=30)
@given(snapshots_with_flows(legacy_snapshots()))
def test_semantics_of_1_6(case: tuple[list[Manifest], list[Flow]]) -> None:
    agree(*case, "v1.6", Grouping.WORKLOAD)


@pytest.mark.parametrize("grouping", Grouping)
def test_no_policy_is_everything(grouping: Grouping) -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a", "namespace": "x"}}
    status = {"podIPs": [{"ip": "10.0.0.1"}]}
    table = Table(netpolc.compile(netpolc.load_objects([{**pod, "status": status}])), grouping)
    inside = "x/a[Pod]" if grouping is Grouping.WORKLOAD else "x/a"
    assert [(c.source.name, c.destination.name) for c in table.connections()] == [
        (inside, "0.0.0.0/0"),
        ("0.0.0.0/0", inside),
    ]
