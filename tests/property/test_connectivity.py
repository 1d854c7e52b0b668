"""Connections, taken apart into flows, are what the matcher and the slow semantics say of each."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import netpolc
from netpolc.analysis.connectivity import Grouping, Party, Table
from netpolc.analysis.connectivity.reach import matching
from netpolc.core.nets import Family, Protocol, Ranges, family, ports
from netpolc.core.semantics import Reason
from netpolc.core.unions import Union
from tests.helpers.strategies import (
    Flow,
    interesting_flows,
    legacy_snapshots,
    patient,
    snapshots,
    snapshots_with_flows,
)

Manifest = dict[str, Any]
PATIENT = patient(60)
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


@PATIENT
@given(snapshots_with_flows(snapshots(peers=["block", "pods"])))
def test_rules_by_index(case: tuple[list[Manifest], list[Flow]]) -> None:
    """As where there are many of them."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matching, "MANY_RULES", 1)
        agree(*case, "current", Grouping.WORKLOAD)


SETS = st.lists(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 9)), max_size=3).map(
        lambda spans: Ranges.of((first, first + more) for first, more in spans)
    ),
    min_size=1,
    max_size=9,
)


@given(SETS, st.lists(st.integers(0, 511), max_size=9))
def test_unions_while_sets_come_and_go(sets: list[Ranges], asked: list[int]) -> None:
    union = Union(sets)
    for members in asked:
        own = [ranges for number, ranges in enumerate(sets) if members >> number & 1]
        assert union.of(members & (1 << len(sets)) - 1) == Ranges.union(own)


def test_many_rules_with_holes() -> None:
    """Each address but one of a block is admitted on all ports but one."""
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p", "namespace": "a"}}
    rules = [
        {
            "from": [{"ipBlock": {"cidr": "20.0.0.0/8", "except": [f"20.0.0.{2 * at}/32"]}}],
            "ports": [{"port": 1 + at}],
        }
        for at in range(100)
    ]
    policy = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": "t", "namespace": "a"},
        "spec": {"podSelector": {}, "ingress": rules},
    }
    objects = [{**pod, "status": {"podIP": "10.0.0.1"}}, policy]
    table = Table(netpolc.compile(netpolc.load_objects(objects)))
    whole = Ranges((ports(Protocol.TCP, 1, 100),))
    expected = {
        f"20.0.0.{2 * at}": whole - Ranges((ports(Protocol.TCP, at + 1, at + 1),))
        for at in range(100)
    }
    found = {c.source.name: c.ports for c in table.connections() if c.source.is_outside}
    assert {name: found.pop(name) for name in expected} == expected
    assert [*found.values()] == [whole]


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


def test_a_template_is_somewhere_in_the_world() -> None:
    """Whatever address its pods will get, a block of the whole family holds it."""

    def workload(name: str) -> Manifest:
        kind = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}}
        template = {"metadata": {"labels": {"app": name}}, "spec": {"containers": []}}
        return {**kind, "spec": {"template": template}}

    def admits(*cidrs: str) -> Manifest:
        kind = {"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy"}
        peers = [{"ipBlock": {"cidr": cidr}} for cidr in cidrs]
        spec = {"podSelector": {"matchLabels": {"app": "a"}}, "ingress": [{"from": peers}]}
        return {**kind, "metadata": {"name": "p"}, "spec": spec}

    def families(*cidrs: str) -> list[tuple[Family, ...]]:
        objects = [workload("a"), workload("b"), admits(*cidrs)]
        table = Table(netpolc.compile(netpolc.load_objects(objects)))
        a, b = table.workloads
        return [c.families for c in table.between(b, a)]

    assert families("0.0.0.0/0") == [(Family.IPV4,)]
    assert families("0.0.0.0/0", "::/0") == [(Family.IPV4, Family.IPV6)]
    assert families("10.0.0.0/8", "::/0") == [(Family.IPV6,)]
    assert families("0.0.0.0/1", "128.0.0.0/1") == [(Family.IPV4,)]
