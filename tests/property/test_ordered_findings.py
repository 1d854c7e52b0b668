"""What `check` says of the order of rules holds of every flow, as the slow semantics judge it.

In: random clusters under cluster-scoped policies. Out: a rule that never decides can be removed,
one that passes and changes nothing too; and policies of one priority that are not said to
contradict each other may change places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

from hypothesis import given

import netpolc
from netpolc.analysis.findings import Finding, check
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import Policy, Rule, Tier
from netpolc.core.semantics import evaluate
from tests.helpers.ordered_strategies import Manifest, ordered_snapshots, telling_flows

CODES = {"NP801", "NP802", "NP806"}


def findings(snapshot: Snapshot) -> list[Finding]:
    found = check(snapshot, netpolc.compile(snapshot))
    return [own for own in found if own.code in CODES]


def verdicts(snapshot: Snapshot, flows: Iterable[netpolc.Flow]) -> list[tuple[bool, bool]]:
    program = netpolc.compile(snapshot)
    judged = [evaluate(program, flow, hairpin=True) for flow in flows]
    return [(own.egress.allowed, own.ingress.allowed) for own in judged]


def flows_of(objects: Sequence[Manifest]) -> list[netpolc.Flow]:
    return [
        netpolc.Flow(str(own.source), str(own.destination), own.protocol, own.port)
        for own in telling_flows(objects, 400)
    ]


def without(snapshot: Snapshot, gone: Sequence[Rule]) -> Snapshot:
    policies = (
        replace(own, rules=tuple(rule for rule in own.rules if rule not in gone))
        for own in snapshot.policies
    )
    return replace(snapshot, policies=tuple(policies))


@given(ordered_snapshots())
def test_rules_that_are_remarked_on_can_go(objects: list[Manifest]) -> None:
    snapshot = netpolc.load_objects(objects)
    found = findings(snapshot)
    flows = flows_of(objects)
    before = verdicts(snapshot, flows)
    for policy in snapshot.policies:
        name = f"{policy.origin.kind} {policy.origin.path}"
        for rule in policy.rules:
            field = f"spec.{rule.origin.rule}"
            said = {own.code for own in found if (own.object, own.field) == (name, field)}
            if said & {"NP802", "NP806"}:
                assert verdicts(without(snapshot, [rule]), flows) == before


def swapped(snapshot: Snapshot, first: Policy, second: Policy) -> Snapshot:
    """The same with the second one asked just before the first one."""
    order = sorted(snapshot.policies, key=lambda own: own.order)
    order.remove(second)
    order.insert(order.index(first), second)
    ranked = (
        replace(own, priority=number) if own.tier is not Tier.NETWORK_POLICY else own
        for number, own in enumerate(order)
    )
    return replace(snapshot, policies=tuple(ranked))


@given(ordered_snapshots())
def test_the_order_of_others_does_not_matter(objects: list[Manifest]) -> None:
    """Two policies next to each other, of one priority and without a remark, may change places."""
    snapshot = netpolc.load_objects(objects)
    said = {
        (own.object, own.message.partition(" as ")[2].partition(" has,")[0])
        for own in findings(snapshot)
        if own.code == "NP801"
    }
    flows = flows_of(objects)
    before = verdicts(snapshot, flows)
    order = sorted(snapshot.policies, key=lambda own: own.order)
    for first, second in pairwise(order):
        if first.tier is Tier.NETWORK_POLICY or first.order[:2] != second.order[:2]:
            continue
        if (f"{second.origin.kind} {second.origin.name}", first.origin.policy) not in said:
            assert verdicts(swapped(snapshot, first, second), flows) == before
