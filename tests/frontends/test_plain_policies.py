"""NetworkPolicies that hold nothing odd are lowered at once, all others field by field: whichever
reads them, they come to the same, and so do messages.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import netpolc
from netpolc.core.errors import InputError
from netpolc.core.ir import (
    Direction,
    NamedPort,
    NetworkPeer,
    Operator,
    PodPeer,
    PortRange,
    Requirement,
    Selector,
)
from netpolc.core.nets import Protocol
from netpolc.manifests import File
from tests.frontends.test_plain_pods import written

PLAIN = "netpolc.frontends.networkpolicy.plain.lower"
LABELS: tuple[Any, ...] = (
    {"app": "web"},
    {"app": "db", "x/y": ""},
    {},
    None,
    {"app": "no value"},
    {"-": "x"},
    {"app": 7},
    {"app": None},
)
EXPRESSIONS: tuple[Any, ...] = (
    {"key": "tier", "operator": "In", "values": ["a", "b"]},
    {"key": "tier", "operator": "Exists"},
    {"key": "tier", "operator": "DoesNotExist", "values": []},
    {"key": "tier", "operator": "NotIn", "values": ["a"]},
    {"key": "tier", "operator": "NotIn"},
    {"key": "tier", "operator": "Exists", "values": ["a"]},
    {"key": "-", "operator": "Exists"},
    {"key": "tier", "operator": "in", "values": ["a"]},
    {"key": "tier", "operator": "In", "values": ["a b"]},
    {"operator": "Exists"},
    None,
)
BLOCKS: tuple[Any, ...] = (
    {"cidr": "10.0.0.0/8"},
    {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16", "10.2.0.0/16"]},
    {"cidr": "2001:db8::/32", "except": []},
    {"cidr": "10.0.0.0/8", "except": None},
    {"cidr": "10.0.0.1/8"},
    {"cidr": "10.0.0.0/8", "except": ["10.0.0.0/8"]},
    {"cidr": "10.0.0.0/8", "except": ["11.0.0.0/16"]},
    {"cidr": ""},
    {},
    {"cidr": "10.0.0.0/8", "excepts": []},
)
PORTS: tuple[Any, ...] = (
    {"protocol": "TCP", "port": 80},
    {"port": "http"},
    {"protocol": "UDP"},
    {},
    {"port": 80, "endPort": 90},
    {"port": 80, "endPort": 80},
    None,
    {"port": 90, "endPort": 80},
    {"endPort": 80},
    {"port": "http", "endPort": 80},
    {"port": 0},
    {"port": 65536},
    {"port": 80.0},
    {"port": "HTTP"},
    {"port": True},
    {"protocol": "tcp"},
    {"protocol": None, "port": None, "endPort": None},
    {"port": 80, "ports": 90},
)
NAMES = ("web-0", "db", "a.b", "-web", "", None, "Web", "w" * 254, 7)
some = st.sampled_from


@st.composite
def policy(draw: st.DrawFn) -> dict[str, Any]:
    """A policy, most of whose fields are as API servers have them."""

    def one(choices: tuple[Any, ...], usual: int = 4) -> Any:
        """One of the first, and sometimes any."""
        return draw(some(choices if not draw(st.integers(0, 11)) else choices[:usual]))

    def selector() -> Any:
        found = {"matchLabels": one(LABELS)} if draw(st.booleans()) else {}
        if not draw(st.integers(0, 2)):
            found["matchExpressions"] = [one(EXPRESSIONS) for _ in range(draw(st.integers(0, 2)))]
        return one((found, None, {}, {**found, "x": 1}), 1)

    def peer() -> Any:
        kind = draw(st.integers(0, 3))
        if kind == 0:
            return {"ipBlock": one(BLOCKS)}
        found = {"podSelector": selector()} if kind != 1 else {}
        if kind != 2:
            found["namespaceSelector"] = selector()
        return one((found, {}, None, {**found, "ipBlock": BLOCKS[0]}, {**found, "y": {}}), 1)

    def rule(field: str) -> Any:
        found: dict[str, Any] = {}
        if draw(st.booleans()):
            found[field] = one(([peer() for _ in range(draw(st.integers(0, 2)))], None), 1)
        if draw(st.booleans()):
            found["ports"] = [one(PORTS, 6) for _ in range(draw(st.integers(0, 2)))]
        return one((found, {}, None, {**found, "port": []}, []), 2)

    spec: dict[str, Any] = {"podSelector": selector()}
    for name, field in (("ingress", "from"), ("egress", "to")):
        if draw(st.booleans()):
            several = [rule(field) for _ in range(draw(st.integers(0, 2)))]
            spec[name] = one((several, None, {}), 1)
    types: tuple[Any, ...]
    types = (["Ingress"], ["Egress"], ["Ingress", "Egress"], [], None, ["ingress"], ["Ingress"] * 3)
    if draw(st.booleans()):
        spec["policyTypes"] = one(types)
    metadata = {
        "name": one(NAMES, 3),
        "namespace": one(("a", "b", "", None, "A")),
        "uid": "u1",
        "annotations": one(
            (
                None,
                {"x": "y"},
                {"x": None},
                {"netpolc.dev/ignore": "NP102"},
                {"netpolc.dev/audit": "true"},
                {"netpolc.dev/audit": "yes"},
                {"x": 7},
            )
        ),
    }
    if not draw(st.integers(0, 15)):
        metadata[draw(some(("generateName", "lables", "finalizers")))] = "x"
    found: dict[str, Any] = {
        "apiVersion": one(("networking.k8s.io/v1", "extensions/v1beta1", "v1"), 2),
        "kind": "NetworkPolicy",
        "metadata": metadata,
        "spec": spec,
    }
    found |= one(({}, {"status": {}}, {"specs": {}}, {"spec": None}), 1)
    return found


def read(file: File, odd_objects: str, strict: bool) -> object:
    """What there is to see of the policies, or what is said against them."""
    try:
        found = netpolc.load([file], odd_objects=odd_objects, strict=strict)
    except InputError as refused:
        return list(map(str, refused.diagnostics))
    return (
        [
            (
                own.origin.key,
                own.origin.place(),
                *(own.tier, own.priority, own.subject, own.isolates),
                *(own.written, own.typed, own.waived, own.audited),
                [
                    (
                        *(rule.direction, rule.action, rule.peers, rule.ports),
                        *(rule.origin.key, rule.origin.field, rule.origin.called),
                        rule.origin.place(),
                    )
                    for rule in own.rules
                ],
            )
            for own in found.policies
        ],
        found.odd,
        list(map(str, found.warnings)),
    )


def listed(items: Iterable[str]) -> File:
    """A list of objects in JSON."""
    text = f'{{"apiVersion":"v1","kind":"List","items":[{",".join(items)}]}}'
    return File("policies.json", text.encode())


def assert_alike(file: File, odd: str, strict: bool, at_once: str = PLAIN) -> None:
    """A file says the same where what lowers policies `at_once` lowers none."""
    found = read(file, odd, strict)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(at_once, lambda *_: None)
        assert read(file, odd, strict) == found


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
    assert_alike(listed(written(own, draw, unusual) for own in several), odd, strict)
    if not unusual:
        documents = "---\n".join(json.dumps(own) + "\n" for own in several)
        assert_alike(File("policies.yaml", documents.encode()), odd, strict)


def test_a_usual_policy_is_lowered_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """As an API server has it, without a look at single fields; what it says is written here."""
    pytest.importorskip("netpolc.manifests._json", reason="the extension is not built")
    monkeypatch.setattr("netpolc.frontends.policies.PolicyReader.open", None)
    labels = {"matchLabels": {"app": "web"}}
    expressions = {"matchExpressions": [{"key": "x", "operator": "In", "values": ["1", "2"]}]}
    block = {"cidr": "10.0.0.0/8", "except": ["10.1.0.0/16"]}
    content = {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {
            "name": "web",
            "namespace": "a",
            "uid": "1-2",
            "resourceVersion": "7",
            "generation": 1,
            "creationTimestamp": "2024-06-01T09:00:00Z",
            "labels": {"app": "web"},
            "annotations": {"note": "ours"},
            "managedFields": [{"fieldsV1": {"f:spec": {}}}],
        },
        "spec": {
            "podSelector": labels,
            "policyTypes": ["Ingress"],
            "ingress": [
                {"from": [{"podSelector": {}}, {"namespaceSelector": expressions}]},
                {"from": [{"ipBlock": block}], "ports": [{"port": "http"}, {"port": 80}]},
            ],
            "egress": [{}],
        },
    }
    (found,) = netpolc.load([listed([json.dumps(content)])]).policies
    web = Selector(frozenset([Requirement("app", Operator.IN, frozenset(["web"]))]))
    chosen = Selector(frozenset([Requirement("x", Operator.IN, frozenset(["1", "2"]))]))
    assert found.subject == PodPeer("a", web)
    assert found.isolates == {Direction.INGRESS}
    assert found.written == {Direction.INGRESS, Direction.EGRESS}
    first, second = found.rules
    assert first.peers == (PodPeer("a", Selector()), PodPeer(chosen, Selector()))
    assert second.peers == (NetworkPeer((0x0A000000, 0x0AFFFFFF), ((0x0A010000, 0x0A01FFFF),)),)
    assert second.ports == (NamedPort(Protocol.TCP, "http"), PortRange(Protocol.TCP, 80, 80))
    assert second.origin.field == ("spec", "ingress", 1)
