"""Whether a rule admits all that another one does, whatever pods there are.

Comes in: rules with their policies. Goes out: yes only where it can be told from selectors, blocks
and ports as they are written; what covers a rule in today's snapshot alone may not tomorrow.
Nothing is refused.
"""

from __future__ import annotations

from netpolc.core.ir import (
    ANY,
    NamedPort,
    NetworkPeer,
    Peer,
    PodPeer,
    Policy,
    Port,
    PortRange,
    Rule,
    Selector,
)
from netpolc.core.nets import PORTS

PolicyRule = tuple[Policy, Rule]


def contains(wider: PolicyRule, narrower: PolicyRule) -> bool:
    """Whether the first rule admits for the same pods what the second one does."""
    (policy, rule), (other_policy, other) = wider, narrower
    return (
        rule.direction is other.direction
        and rule.action is other.action
        and policy.tier is other_policy.tier
        and selects_as_much(policy.subject, other_policy.subject)
        and _all_ports(rule, other)
        and _all_peers(rule, other)
    )


def selects_as_much(wider: PodPeer, narrower: PodPeer) -> bool:
    """Whether the first selects every pod that the second one does."""
    spaces, others = wider.namespaces, narrower.namespaces
    if isinstance(spaces, str):
        in_spaces = spaces == others
    else:
        in_spaces = not spaces.requirements or (
            isinstance(others, Selector) and spaces.requirements <= others.requirements
        )
    return in_spaces and wider.pods.requirements <= narrower.pods.requirements


def _all_ports(rule: Rule, other: Rule) -> bool:
    if rule.ports is ANY or other.ports is ANY:
        return rule.ports is ANY
    return all(any(_has_port(own, port) for own in rule.ports) for port in other.ports)


def _has_port(wider: Port, narrower: Port) -> bool:
    if isinstance(wider, NamedPort) or isinstance(narrower, NamedPort):
        whole = isinstance(wider, PortRange) and (wider.first, wider.last) == (0, PORTS - 1)
        return wider == narrower or (whole and wider.protocol is narrower.protocol)
    same = wider.protocol is narrower.protocol
    return same and wider.first <= narrower.first and narrower.last <= wider.last


def _all_peers(rule: Rule, other: Rule) -> bool:
    if rule.peers is ANY or other.peers is ANY:
        return rule.peers is ANY
    return all(any(_has_peer(own, peer) for own in rule.peers) for peer in other.peers)


def _has_peer(wider: Peer, narrower: Peer) -> bool:
    if isinstance(wider, PodPeer) and isinstance(narrower, PodPeer):
        return selects_as_much(wider, narrower)
    if isinstance(wider, NetworkPeer) and isinstance(narrower, NetworkPeer):
        return not narrower.addresses - wider.addresses
    return wider == narrower
