"""What a plan says of connections, against the slow semantics of both snapshots.

Every pod is local, so what the table admits is the whole verdict.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given

import netpolc
from netpolc.analysis.connectivity.planned import Enforced, PlannedChanges
from netpolc.backends.nft.readback import parse_text
from netpolc.core.nets import Protocol, family
from netpolc.core.program import Program
from netpolc.core.semantics import Reason
from tests.helpers.strategies import Flow, interesting_flows, patient, snapshots_with_flows
from tests.property.test_difference import edited

Manifest = dict[str, Any]
UNJUDGED = {Reason.SELF, Reason.NODE}
SWEEP = 200


def enforced(program: netpolc.compiler.Program) -> Enforced:
    return Enforced.by(parse_text.parse(program.ruleset().text()), {})


def judged(program: Program, row: Flow) -> bool | None:
    """The verdict on a flow; None where the policies are not asked."""
    verdict = netpolc.evaluate(program, netpolc.Flow(*row))
    if {verdict.egress.reason, verdict.ingress.reason} & UNJUDGED:
        return None
    return verdict.allowed


@patient(60)
@given(snapshots_with_flows())
def test_a_table_admits_what_the_policies_do(case: tuple[list[Manifest], list[Flow]]) -> None:
    objects, drawn = case
    program = netpolc.compile(netpolc.load_objects(objects))
    table = enforced(program)
    for row in (*drawn, *interesting_flows(objects, SWEEP)):
        flow = netpolc.Flow(*row)
        allowed = judged(program, row)
        if allowed is not None:
            number = flow.protocol << 16 | (flow.port or 0)
            assert (number in table.ports(flow.source, flow.destination)) is allowed, row


@patient(60)
@given(edited())
def test_what_changes_is_planned_and_nothing_else(
    case: tuple[list[Manifest], list[Manifest]],
) -> None:
    old, new = (netpolc.compile(netpolc.load_objects(objects)) for objects in case)
    plan = PlannedChanges(enforced(old), enforced(new), new)
    planned, isolations = plan.connections(), plan.isolations()
    names = {own for connection in planned for own in (connection.source, connection.destination)}
    names |= {pod for isolation in isolations for pod in isolation.pods}
    for row in (row for objects in case for row in interesting_flows(objects, SWEEP)):
        before, after = judged(old, row), judged(new, row)
        if before is None or after is None or before is after:
            continue
        flow = netpolc.Flow(*row)
        ends = [new.pods_by_address.get(own) for own in (flow.source, flow.destination)]
        workloads = [new.cluster.workload(pod) for pod in ends if pod is not None]
        assert any(name.startswith(own) for own in workloads for name in names), row
    for connection in planned:
        assert connection.old != connection.new
        assert connection.why


@patient(40)
@given(edited())
def test_the_same_snapshot_plans_nothing(case: tuple[list[Manifest], list[Manifest]]) -> None:
    program = netpolc.compile(netpolc.load_objects(case[0]))
    plan = PlannedChanges(enforced(program), enforced(program), program)
    assert plan.connections() == []
    assert plan.isolations() == []


def test_ports_without_numbers_are_admitted_as_a_whole() -> None:
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "udp", "namespace": "a"},
        "spec": {"podSelector": {}, "ingress": [{"ports": [{"protocol": "UDP"}]}]},
    }
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "p", "namespace": "a"},
        "spec": {"containers": [{"name": "c"}]},
        "status": {"podIP": "10.0.0.1"},
    }
    program = netpolc.compile(netpolc.load_objects([pod, policy]))
    (address,) = program.pods_by_address
    admitted = enforced(program).ports(address + 1, address)
    assert admitted.spans == ((Protocol.UDP << 16, Protocol.UDP << 16 | 65535),)
    assert family(address) == 4
