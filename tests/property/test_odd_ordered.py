"""Odd cluster-scoped policies, and odd namespaces beside them: what is odd opens nothing.

In: generated clusters under policies of both tiers, of which one rule, one policy or one namespace
is damaged. Out: whatever gets through got through before.
"""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import assume, given, note, settings
from hypothesis import strategies as st

import netpolc
from tests.helpers.ordered_reference import ORDERED
from tests.helpers.ordered_strategies import ordered_snapshots, telling_flows
from tests.helpers.strategies import patient

Manifest = dict[str, Any]
SWEEP = 250
NOT = {"matchExpressions": [{"key": "app", "operator": "Not"}]}


def damage_rule(rule: Manifest, way: int) -> Manifest:
    """The rule with something that nobody understands, or that no server stores."""
    peers = "from" if "from" in rule else "to"
    ports = "protocols" if "protocols" in rule else "ports"
    return [
        {**rule, "bogus": 1},
        {**rule, "name": "x" * 101},
        {**rule, peers: []},
        {**rule, peers: [*rule[peers], {}]},
        {**rule, peers: [*rule[peers], {"namespaces": NOT}]},
        {**rule, peers: [{"namespaces": {"sameLabels": ["app"]}}]},
        {**rule, ports: [{}]},
        {**rule, ports: []},
    ][way]


def damage_policy(spec: Manifest, way: int) -> Manifest:
    return [
        {**spec, "bogus": 1},
        {**spec, "priority": "ten"},
        {**spec, "tier": "admin"},
        {**spec, "ingress": "all"},
        {**spec, "egress": [*(spec.get("egress") or []), *[{"action": "Accept"}] * 101]},
    ][way]


def opens_nothing(before: list[Manifest], after: list[Manifest]) -> None:
    with pytest.raises(netpolc.InputError):
        netpolc.compile(netpolc.load_objects(after))
    closing(before, after)


def closing(before: list[Manifest], after: list[Manifest]) -> None:
    good = netpolc.compile(netpolc.load_objects(before))
    snapshot = netpolc.load_objects(after, odd_objects="isolate")
    assert snapshot.odd
    odd = netpolc.compile(snapshot)
    for flow in telling_flows(before, SWEEP):
        asked = netpolc.Flow(*flow)
        was, is_now = netpolc.evaluate(good, asked), netpolc.evaluate(odd, asked)
        assert was.allowed or not is_now.allowed, flow


@settings(patient(60))
@given(ordered_snapshots(), st.data())
def test_an_odd_rule(objects: list[Manifest], data: st.DataObject) -> None:
    rules = [
        (number, direction, place)
        for number, own in enumerate(objects)
        if own["kind"] in ORDERED
        for direction in ("ingress", "egress")
        for place, _ in enumerate(own["spec"].get(direction) or [])
    ]
    assume(rules)
    number, direction, place = data.draw(st.sampled_from(rules))
    after = copy.deepcopy(objects)
    listed = after[number]["spec"][direction]
    listed[place] = damage_rule(listed[place], data.draw(st.integers(0, 7)))
    note(f"odd: {after[number]['metadata']['name']} {direction}[{place}]: {listed[place]}")
    closing(objects, after)


@settings(patient(60))
@given(ordered_snapshots(), st.data())
def test_an_odd_policy(objects: list[Manifest], data: st.DataObject) -> None:
    places = [number for number, own in enumerate(objects) if own["kind"] in ORDERED]
    number = data.draw(st.sampled_from(places))
    after = copy.deepcopy(objects)
    after[number]["spec"] = damage_policy(after[number]["spec"], data.draw(st.integers(0, 4)))
    note(f"odd: {after[number]}")
    opens_nothing(objects, after)


@settings(patient(40))
@given(ordered_snapshots(), st.data())
def test_an_odd_namespace(objects: list[Manifest], data: st.DataObject) -> None:
    places = [number for number, own in enumerate(objects) if own["kind"] == "Namespace"]
    assume(places)
    number = data.draw(st.sampled_from(places))
    after = copy.deepcopy(objects)
    after[number]["metadata"]["labels"] = {"app": 5}
    note(f"odd: {after[number]}")
    opens_nothing(objects, after)


@settings(patient(40))
@given(ordered_snapshots(), st.data())
def test_a_policy_twice(objects: list[Manifest], data: st.DataObject) -> None:
    places = [number for number, own in enumerate(objects) if own["kind"] in ORDERED]
    number = data.draw(st.sampled_from(places))
    other = copy.deepcopy(objects[number])
    other["spec"]["subject"] = {"namespaces": {}}
    other["spec"]["ingress"] = [{"action": "Deny", "from": [{"namespaces": {}}]}]
    assume(other != objects[number])
    opens_nothing(objects, [*objects, other])
