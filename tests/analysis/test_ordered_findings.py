"""Findings of selectors and named ports where cluster-scoped policies have them.

In: manifests. Out: codes and fields, by hand.
"""

from __future__ import annotations

from typing import Any

import netpolc
from netpolc.analysis.findings import check

PODS: list[dict[str, Any]] = [
    {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": name, "namespace": "shop", "labels": {"app": name}},
        "spec": {
            "hostNetwork": name == "agent",
            "nodeName": "node-a",
            "containers": [{"name": "c", "ports": [{"name": "metrics", "containerPort": 9100}]}],
        },
        "status": {"podIPs": [{"ip": address}]},
    }
    for name, address in (("web", "10.0.0.1"), ("api", "10.0.0.2"), ("agent", "192.168.0.1"))
]


def app(name: str) -> dict[str, Any]:
    return {"pods": {"namespaceSelector": {}, "podSelector": {"matchLabels": {"app": name}}}}


def policy(subject: dict[str, Any], rule: dict[str, Any]) -> dict[str, Any]:
    spec = {"tier": "Admin", "priority": 1, "subject": subject, "ingress": [rule]}
    return {
        "apiVersion": "policy.networking.k8s.io/v1alpha2",
        "kind": "ClusterNetworkPolicy",
        "metadata": {"name": "guard"},
        "spec": spec,
    }


def found(own: dict[str, Any]) -> list[tuple[str, str, str]]:
    snapshot = netpolc.load_objects([*PODS, own])
    remarks = check(snapshot, netpolc.compile(snapshot))
    return [(r.code, r.field, r.message) for r in remarks if r.code[:3] != "NP5"]


def test_selectors_that_only_reach_host_network_pods() -> None:
    rule = {"action": "Deny", "from": [app("agent")]}
    assert sorted(found(policy(app("agent"), rule))) == [
        (
            "NP104",
            "spec.ingress[0].from[0]",
            "matches hostNetwork pods only, which no selector means: shop/agent",
        ),
        (
            "NP104",
            "spec.subject",
            "selects hostNetwork pods, and no other pod; no policy isolates them: shop/agent",
        ),
    ]


def test_a_named_port_is_of_every_protocol() -> None:
    rule = {"action": "Deny", "from": [app("api")]}
    known = {**rule, "protocols": [{"destinationNamedPort": "metrics"}]}
    assert found(policy(app("web"), known)) == []
    unknown = {**rule, "protocols": [{"destinationNamedPort": "nobody"}]}
    ((code, field, message),) = found(policy(app("web"), unknown))
    assert (code, field) == ("NP201", "spec.ingress[0]")
    assert "nobody" in message
