"""ClusterNetworkPolicies that hold nothing odd are lowered at once, all others field by field:
whichever reads them, they come to the same, and so do messages.
"""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.core.ir import (
    ANY,
    SELECT_ALL,
    Action,
    Direction,
    NamedPort,
    NetworkPeer,
    Operator,
    PodPeer,
    PortRange,
    Requirement,
    Selector,
    Tier,
)
from netpolc.core.nets import Protocol, parse_cidr
from tests.frontends.test_plain_pods import written
from tests.frontends.test_plain_policies import EXPRESSIONS, LABELS, assert_alike, listed

GROUP = "policy.networking.k8s.io"
PLAIN = "netpolc.frontends.ordered.plain.PlainReader.lower"
NETWORKS: tuple[Any, ...] = (
    ["10.0.0.0/8"],
    ["10.0.0.0/8", "2001:db8::/32"],
    ["10.0.0.1/8"],
    ["10.0.0.0/8", "10.0.0.0/8"],
    [],
    None,
    ["10.0.0.0"],
    ["2001:0db8:0000:0000:0000:0000:0000:0000/0000032"],
    [7],
    "10.0.0.0/8",
)
NUMBERS: tuple[Any, ...] = (
    {"number": 80},
    {"range": {"start": 80, "end": 90}},
    {"number": 0},
    {"number": 65536},
    {"number": 80.0},
    {"number": "80"},
    {"range": {"start": 80, "end": 80}},
    {"range": {"start": 90, "end": 80}},
    {"range": {"start": 0, "end": 80}},
    {"range": {"start": 80}},
    {"number": 80, "range": {"start": 80, "end": 90}},
    {"number": 80, "range": None},
    {},
    None,
)
PORTS: tuple[Any, ...] = (
    {"destinationNamedPort": "http"},
    {"destinationNamedPort": "HTTP"},
    {"destinationNamedPort": ""},
    {"destinationNamedPort": None},
    {},
    None,
    {"tcp": {}},
    {"tcp": None},
    {"tcp": {"destinationPort": NUMBERS[0]}, "udp": {"destinationPort": NUMBERS[0]}},
    {"tcp": {"destinationPort": NUMBERS[0]}, "destinationNamedPort": "http"},
    {"icmp": {}},
)
NAMES: tuple[Any, ...] = ("web", 'a "b"\n', "x" * 100, None, "x" * 101, "ä" * 100, 7)
some = st.sampled_from


@st.composite
def policy(draw: st.DrawFn) -> dict[str, Any]:
    """A policy, most of whose fields are as API servers have them."""

    def one(choices: tuple[Any, ...], usual: int = 1) -> Any:
        """One of the first, and sometimes any."""
        return draw(some(choices if not draw(st.integers(0, 15)) else choices[:usual]))

    def selector() -> Any:
        found = {"matchLabels": one(LABELS, 3)} if draw(st.booleans()) else {}
        if not draw(st.integers(0, 2)):
            found["matchExpressions"] = [one(EXPRESSIONS, 4)]
        return one((found, None, {**found, "x": 1}))

    def selected() -> Any:
        if draw(st.booleans()):
            return {"namespaces": selector()}
        pods = {"namespaceSelector": selector(), "podSelector": selector()}
        return {"pods": one((pods, None, {"podSelector": {}}, {"namespaceSelector": {}}))}

    def peer(field: str) -> Any:
        if field == "to" and not draw(st.integers(0, 2)):
            return {"networks": one(NETWORKS, 2)}
        other = selected()
        odd: tuple[Any, ...]
        odd = ({}, None, {**other, "networks": ["10.0.0.0/8"]}, {"nodes": {}}, {**other, "y": 1})
        return one((other, {"domainNames": ["example.com"]}, *odd))

    def port() -> Any:
        if not draw(st.integers(0, 3)):
            return one(PORTS)
        protocol = draw(some(("tcp", "udp", "sctp")))
        return {protocol: {"destinationPort": one(NUMBERS, 2)}}

    def rule(field: str) -> Any:
        action = one(("Accept", "Deny", "Pass", "Allow", None), 3)
        found: dict[str, Any] = {"action": action}
        found[field] = one(([peer(field) for _ in range(draw(st.integers(1, 2)))], [], None))
        if draw(st.booleans()):
            found["protocols"] = one(([port() for _ in range(draw(st.integers(1, 2)))], None, []))
        if draw(st.booleans()):
            found["name"] = one(NAMES, 3)
        return one((found, {}, None, {**found, "ports": []}))

    spec: dict[str, Any] = {
        "tier": one(("Admin", "Baseline", "NetworkPolicy", None), 2),
        "priority": one((0, 7, 1000, -1, 1001, None, 7.0, "7"), 3),
        "subject": one((selected(), {}, None, {"namespaces": {}, "pods": {}})),
    }
    for name, field in (("ingress", "from"), ("egress", "to")):
        if draw(st.booleans()):
            several = [rule(field) for _ in range(draw(st.integers(0, 2)))]
            spec[name] = one((several, None, {}, several * 26))
    annotations = (
        {"x": "y"},
        None,
        {"netpolc.dev/ignore": "NP010"},
        {"netpolc.dev/audit": "true"},
        {"x": 7},
    )
    metadata: dict[str, Any] = {"name": one(("a", "b", "c.d", "-a", "", None), 3), "uid": "u1"}
    metadata["annotations"] = one(annotations, 2)
    metadata["namespace"] = one((None, "", "a"), 2)
    version = one(("v1alpha2", "v1beta1", "v1alpha1"), 2)
    found: dict[str, Any] = {
        "apiVersion": f"{GROUP}/{version}",
        "kind": "ClusterNetworkPolicy",
        "metadata": metadata,
        "spec": one((spec, None, {**spec, "bogus": 1})),
    }
    found |= one(({}, {"status": {"conditions": []}}, {"specs": {}}), 2)
    return found


@given(
    draw=st.data(),
    several=st.lists(policy(), min_size=1, max_size=3),
    odd=some(("refuse", "isolate")),
    strict=st.booleans(),
    unusual=some((0, 0, 10, 40)),
)
def test_both_read_policies_alike(
    draw: st.DataObject, several: list[dict[str, Any]], odd: str, strict: bool, unusual: int
) -> None:
    assert_alike(listed(written(own, draw, unusual) for own in several), odd, strict, PLAIN)


def test_a_usual_policy_is_lowered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an API server has it, without a look at single fields; what it says is written here."""
    pytest.importorskip("netpolc.manifests._json", reason="the extension is not built")
    monkeypatch.setattr("netpolc.frontends.ordered.ordered.lower", None)
    expressions = {"matchExpressions": [{"key": "x", "operator": "In", "values": ["1", "2"]}]}
    web = {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": "web"}}}
    http = [{"destinationNamedPort": "http"}, {"udp": {"destinationPort": {"number": 53}}}]
    content = {
        "apiVersion": f"{GROUP}/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {
            "name": "guard",
            "uid": "1-2",
            "resourceVersion": "7",
            "labels": {"app": "web"},
            "annotations": {"note": "ours"},
            "managedFields": [{"fieldsV1": {"f:spec": {}}}],
        },
        "spec": {
            "tier": "Baseline",
            "priority": 7,
            "subject": {"namespaces": expressions},
            "ingress": [
                {"name": "web", "action": "Accept", "from": [{"pods": web}], "protocols": http},
                {"action": "Deny", "from": [{"namespaces": {}}, {"pods": web}]},
            ],
            "egress": [
                {
                    "action": "Pass",
                    "to": [{"networks": ["10.0.0.0/8", "::/0"]}, {"namespaces": {}}],
                    "protocols": [{"tcp": {"destinationPort": {"range": {"start": 1, "end": 9}}}}],
                }
            ],
        },
        "status": {"conditions": []},
    }
    (found,) = netpolc.load([listed([json.dumps(content)])]).policies
    chosen = Selector(frozenset([Requirement("x", Operator.IN, frozenset(["1", "2"]))]))
    labelled = Selector(frozenset([Requirement("app", Operator.IN, frozenset(["web"]))]))
    assert (found.tier, found.priority) == (Tier.BASELINE, 7)
    assert found.subject == PodPeer(chosen, SELECT_ALL)
    assert found.isolates == frozenset()
    assert found.written == {Direction.INGRESS, Direction.EGRESS}
    first, second, third = found.rules
    assert [rule.action for rule in found.rules] == [Action.ACCEPT, Action.DENY, Action.PASS]
    assert first.peers == (PodPeer(SELECT_ALL, labelled),)
    assert first.ports == (
        NamedPort(Protocol.TCP, "http"),
        NamedPort(Protocol.UDP, "http"),
        NamedPort(Protocol.SCTP, "http"),
        PortRange(Protocol.UDP, 53, 53),
    )
    assert second.peers == (PodPeer(SELECT_ALL, SELECT_ALL), PodPeer(SELECT_ALL, labelled))
    assert second.ports is ANY
    assert third.peers == (
        NetworkPeer((0x0A000000, 0x0AFFFFFF)),
        NetworkPeer(parse_cidr("::/0")),
        PodPeer(SELECT_ALL, SELECT_ALL),
    )
    assert third.ports == (PortRange(Protocol.TCP, 1, 9),)
    assert (third.direction, third.origin.field) == (Direction.EGRESS, ("spec", "egress", 0))
    assert (first.origin.called, second.origin.called) == ("web", "")


def test_names_of_ports_beside_blocks_are_refused_however_they_are_read() -> None:
    rule = {
        "action": "Accept",
        "to": [{"networks": ["10.0.0.0/8"]}],
        "protocols": [{"destinationNamedPort": "http"}],
    }
    content = {
        "apiVersion": f"{GROUP}/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "guard"},
        "spec": {"tier": "Admin", "priority": 1, "subject": {"namespaces": {}}, "egress": [rule]},
    }
    with pytest.raises(netpolc.InputError, match="peer cannot be set with namedPorts"):
        netpolc.load([listed([json.dumps(content)])])
