"""extensions/v1beta1 as networking.k8s.io/v1: with today's meaning, or with that of Kubernetes 1.6.

Comes in: a manifest that was read without an error. Goes out: the `spec` of a NetworkPolicy of
networking.k8s.io/v1. In Kubernetes 1.6 an annotation isolates: it becomes a policy that selects
every pod of its namespace and admits nothing. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

DENY = "default-deny"
"""The name of what stands for the annotation of a namespace."""


def in_place_of_annotation(namespace: str) -> dict[str, Any]:
    """The manifest of a policy that does what the annotation of a namespace did."""
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": {"name": DENY, "namespace": namespace},
        "spec": {"podSelector": {}, "policyTypes": ["Ingress"]},
    }


def spec_of_1_6(body: Mapping[str, Any]) -> dict[str, Any]:
    """The `spec` that says today what this one said in Kubernetes 1.6.

    A list that was present and empty matched nothing, so its rule is left out.
    """
    spec = body.get("spec") or {}
    found = {"podSelector": spec.get("podSelector") or {}, "policyTypes": ["Ingress"]}
    rules = [_rule(rule or {}) for rule in spec.get("ingress") or () if not _is_nothing(rule or {})]
    return {**found, "ingress": rules} if rules else found


def _is_nothing(rule: Mapping[str, Any]) -> bool:
    return [] in (rule.get("from"), rule.get("ports"))


def _rule(rule: Mapping[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if rule.get("from") is not None:
        found["from"] = [dict(_given(peer)) for peer in rule["from"]]
    if rule.get("ports") is not None:
        found["ports"] = [dict(_port(port or {})) for port in rule["ports"]]
    return found


def _given(fields: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    return ((name, value) for name, value in fields.items() if value is not None)


def _port(port: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    for name, value in _given(port):
        yield name, value.upper() if name == "protocol" else value
