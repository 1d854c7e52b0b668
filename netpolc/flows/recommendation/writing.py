"""Policies as YAML with comments that say which flows each rule is for.

Comes in: what is needed, and the names that are taken. Goes out: text that is data whoever reads it
(`conversion.as_yaml`, `foreign.inert`). Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from netpolc.analysis.conversion import as_yaml
from netpolc.core.foreign import inert
from netpolc.core.ir import Direction
from netpolc.flows.recommendation.needs import NeededPolicy, NeededRule

_PEERS = {Direction.INGRESS: "from", Direction.EGRESS: "to"}


def as_manifests(policies: Iterable[NeededPolicy], names: Mapping[NeededPolicy, str]) -> str:
    """All of them, a document each."""
    return "---\n".join(document(policy, names[policy]) for policy in policies)


def document(policy: NeededPolicy, name: str) -> str:
    """One policy."""
    head = as_yaml(
        [
            {
                "apiVersion": "networking.k8s.io/v1",
                "kind": "NetworkPolicy",
                "metadata": {"name": name, "namespace": policy.group.namespace},
            }
        ]
    )
    return head + spec(policy)


def spec(policy: NeededPolicy, subject: Mapping[str, Any] | None = None) -> str:
    """Its field `spec`, on lines of its own; with a selector that is there already."""
    types = [str(direction).capitalize() for direction in Direction if direction in policy.rules]
    selector = policy.group.selector if subject is None else subject
    fields = as_yaml([{"podSelector": dict(selector), "policyTypes": types}])
    lines = [f"  {line}" for line in fields.splitlines()]
    for direction in Direction:
        if direction in policy.rules:
            lines += _direction(direction, policy.rules[direction])
    return "\n".join(["spec:", *lines, ""])


def _direction(direction: Direction, rules: tuple[NeededRule, ...]) -> Iterator[str]:
    if not rules:
        yield f"  {direction}: []  # none was observed"
        return
    yield f"  {direction}:"
    for rule in rules:
        yield from (f"    # {inert(comment)}" for comment in rule.comments)
        fields: dict[str, Any] = {_PEERS[direction]: list(rule.peers)}
        if rule.ports:
            fields["ports"] = list(rule.ports)
        listed = as_yaml([{"rules": [fields]}]).splitlines()[1:]
        yield from (f"  {line}" for line in listed)
