"""Rules that keep pods from the cluster's DNS.

Comes in: a `View`. Goes out: remarks on the rules of ordered tiers that decide so. Without pods
that are known to be DNS nothing is said.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from netpolc.analysis.findings.isolation import dns_pods
from netpolc.analysis.findings.model import Remark
from netpolc.analysis.findings.view import View
from netpolc.core.cluster import Pod
from netpolc.core.errors import listing
from netpolc.core.ir import Action, Direction, Origin, Policy, Tier
from netpolc.core.nets import Protocol
from netpolc.core.program import Combination, ResolvedRule

_DNS = 53
_OVER = (Protocol.UDP, Protocol.TCP)


def denied(view: View) -> Iterator[Remark]:
    """Rules that deny every server of DNS to some pods."""
    servers = dns_pods(view)
    policies = {rule.origin: policy for policy, rule in view.rules}
    found: dict[Origin, dict[Protocol, list[Pod]]] = {}
    for protocol in _OVER:
        for origin, pods in (*_from(view, servers, protocol), *_into(view, servers, protocol)):
            found.setdefault(origin, {}).setdefault(protocol, []).extend(pods)
    for origin, by_protocol in found.items():
        if origin in policies:
            yield _remark(origin, policies[origin], by_protocol)


def _remark(origin: Origin, policy: Policy, found: dict[Protocol, list[Pod]]) -> Remark:
    over = " and ".join(protocol.name for protocol in found)
    pods = {pod.key for own in found.values() for pod in own}
    text = f"denies DNS over {over} (port 53) to {listing(pods, limit=3)}"
    return Remark("NP804", origin, text, policy.waived)


def _from(
    view: View, servers: Sequence[Pod], protocol: Protocol
) -> Iterator[tuple[Origin, Sequence[Pod]]]:
    """By the egress of those who ask."""
    ends = [
        (view.program.identity_of[pod.key], address) for pod in servers for address in pod.addresses
    ]
    for combination in view.combinations(Direction.EGRESS):
        rules = [_deciding(combination, *end, protocol) for end in ends]
        if rules and all(rule is not None and rule.action is Action.DENY for rule in rules):
            asking = [pod for pod in _pods(view, combination.subjects) if pod not in servers]
            if asking and rules[0] is not None:
                yield rules[0].origin, asking


def _into(
    view: View, servers: Sequence[Pod], protocol: Protocol
) -> Iterator[tuple[Origin, Sequence[Pod]]]:
    """By the ingress of the servers, if all of them deny it."""
    program = view.program
    own = {program.identity_of[pod.key] for pod in servers}
    judges = [program.combination_of.get((Direction.INGRESS, number)) for number in own]
    for identity in program.identities if None not in judges and judges else ():
        if identity.number in own:
            continue
        for pod in identity.pods[:1]:
            address = pod.addresses[0] if pod.addresses else -1
            rules = [
                _deciding(judge, identity.number, address, protocol)
                for judge in judges
                if judge is not None
            ]
            if all(rule is not None and rule.action is Action.DENY for rule in rules):
                assert rules[0] is not None
                yield rules[0].origin, identity.pods


def _pods(view: View, identities: frozenset[int]) -> Iterator[Pod]:
    for number in sorted(identities):
        yield from view.program.identities[number].pods


def _deciding(
    combination: Combination, peer: int, address: int, protocol: Protocol
) -> ResolvedRule | None:
    """The rule of an ordered tier that decides about port 53; None where none does."""
    for stage in combination.tiers:
        if stage.tier is Tier.NETWORK_POLICY:
            if stage.default is Action.DENY:
                return None  # of what isolates NP503 speaks
            continue
        rule = next(
            (
                own
                for own in stage.rules
                if own.match.has_port(protocol, _DNS) and own.match.has_peer(peer, address)
            ),
            None,
        )
        if rule is not None and rule.action is not Action.PASS:
            return rule
    return None
