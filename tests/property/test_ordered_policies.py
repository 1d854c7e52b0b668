"""Cluster-scoped policies, from manifest to verdict, against the independent reading of the API.

In: generated dual-stack clusters under 1 to 6 policies of both tiers over 0 to 4 NetworkPolicies.
Out: semantics, matcher and independent reading agree on every flow that the policies tell apart;
the rulesets are proven to mean the same.
"""

from __future__ import annotations

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import netpolc
from netpolc.backends.nft.readback import parse_text
from netpolc.backends.nft.readback.proof import Proof
from tests.backends.matcher.agreement import Row, check
from tests.helpers import ordered_reference
from tests.helpers.ordered_strategies import ordered_snapshots, telling_flows
from tests.helpers.strategies import patient

Manifest = dict[str, Any]
SWEEP = 400


def agree(objects: list[Manifest]) -> None:
    program = netpolc.compile(netpolc.load_objects(objects))
    rows: list[Row] = []
    wanted = []
    for flow in telling_flows(objects, SWEEP):
        verdict = netpolc.evaluate(program, netpolc.Flow(*flow))
        expected = ordered_reference.allowed(objects, *flow)
        assert verdict.allowed is expected, flow
        rows.append(flow[:])
        wanted.append(expected)
    check(program, rows, wanted)


@settings(patient(150))
@given(ordered_snapshots())
def test_ordered_tiers(objects: list[Manifest]) -> None:
    agree(objects)


@settings(patient(100))
@given(ordered_snapshots(by_name=True))
def test_named_ports_in_ordered_tiers(objects: list[Manifest]) -> None:
    agree(objects)


@settings(patient(100))
@given(ordered_snapshots())
def test_a_pod_that_a_service_leads_to_itself(objects: list[Manifest]) -> None:
    program = netpolc.compile(netpolc.load_objects(objects))
    for address in program.pods_by_address:
        text = netpolc.core.nets.format_address(address)
        for protocol, port in (("TCP", 80), ("UDP", 443), (47, None)):
            flow = netpolc.Flow(text, text, protocol, port)
            assert netpolc.evaluate(program, flow).allowed
            found = netpolc.evaluate(program, flow, hairpin=True)
            asked = text, text, protocol, port
            assert found.allowed is ordered_reference.allowed(objects, *asked, hairpin=True)


@settings(patient(50))
@given(ordered_snapshots())
def test_order_of_objects_is_nothing(objects: list[Manifest]) -> None:
    forward = netpolc.compile(netpolc.load_objects(objects))
    backward = netpolc.compile(netpolc.load_objects(objects[::-1]))
    for flow in telling_flows(objects, 200):
        asked = netpolc.Flow(*flow)
        one, other = netpolc.evaluate(forward, asked), netpolc.evaluate(backward, asked)
        assert one.allowed is other.allowed, flow


@settings(patient(40))
@given(ordered_snapshots(), st.sampled_from(["forward", "postrouting"]))
def test_rulesets_of_every_node_are_proven(objects: list[Manifest], hook: str) -> None:
    program = netpolc.compile(netpolc.load_objects(objects))
    for node in (None, *program.cluster.nodes):
        ruleset = program.ruleset(node, netpolc.Options(hook=hook))
        listing = parse_text.parse(ruleset.text())
        assert [str(own) for own in Proof(program, listing, node).first()] == [], node
