"""Address blocks that reach further, or less far, than their author thought.

Comes in: a `View`. Goes out: remarks on rules that are open to the world and on `ipBlock` peers.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.findings.model import Code, Level, Remark, peer_origin
from netpolc.analysis.findings.view import View
from netpolc.core.errors import listing
from netpolc.core.ir import ANY, Action, Direction, NetworkPeer, Policy, Rule
from netpolc.core.nets import Family, family, format_span, prefix_length

CODES = (
    Code(
        "NP701",
        Level.INFO,
        "a rule is open to the world",
        "0.0.0.0/0 and ::/0 are every address, pods and nodes too; a rule without peers is the "
        "same in both families.",
        "ingress:\n  - ports:\n      - port: 5432",
        "ingress:\n  - from:\n      - podSelector:\n          matchLabels: {app: api}\n"
        "    ports:\n      - port: 5432",
    ),
    Code(
        "NP702",
        Level.WARNING,
        "a rule is open to the world in one address family only",
        "0.0.0.0/0 never matches IPv6, nor ::/0 IPv4, and the selected pods have addresses of "
        "both: what works over one family fails over the other.",
        "to:\n  - ipBlock: {cidr: 0.0.0.0/0}",
        'to:\n  - ipBlock: {cidr: 0.0.0.0/0}\n  - ipBlock: {cidr: "::/0"}',
    ),
    Code(
        "NP703",
        Level.WARNING,
        "an ipBlock holds addresses of pods",
        "Addresses of pods change, and plugins differ about whether an ipBlock matches pods at "
        "all; netpolc matches by address. Name pods by labels, and leave their range out of the "
        "block. Blocks of a whole family are not remarked on.",
        "from:\n  - ipBlock: {cidr: 10.0.0.0/8}   # pods are in 10.244.0.0/16",
        "from:\n  - ipBlock: {cidr: 10.0.0.0/8, except: [10.244.0.0/16]}",
    ),
    Code(
        "NP704",
        Level.INFO,
        "an ipBlock holds addresses of nodes",
        "The block admits the nodes, with all hostNetwork pods, and whatever reaches a pod with "
        "the address of a node (a NodePort with externalTrafficPolicy: Cluster). Through a tunnel "
        "other nodes come with its address (flannel.1), which may be in another block.",
        "from:\n  - ipBlock: {cidr: 192.168.0.0/16}   # nodes are in 192.168.10.0/24",
        "from:\n  - ipBlock: {cidr: 192.168.0.0/16, except: [192.168.10.0/24]}",
    ),
)


def check(view: View) -> Iterator[Remark]:
    """What blocks admit."""
    for policy, rule in view.rules:
        if rule.peers is ANY:
            if rule.action is Action.ACCEPT:
                yield _open(policy, rule, "every address")
            continue
        whole: dict[Family, tuple[int, NetworkPeer]] = {}
        for number, peer in enumerate(rule.peers):
            if not isinstance(peer, NetworkPeer):
                continue
            if prefix_length(peer.cidr) == 0:
                whole.setdefault(family(peer.cidr[0]), (number, peer))
            elif rule.action is not Action.DENY:  # of blocks that are denied `ordered` speaks
                yield from _overlaps(view, policy, rule, number, peer)
        if whole and rule.action is Action.ACCEPT:
            yield from _world(view, policy, rule, whole)


def _open(policy: Policy, rule: Rule, whom: str) -> Remark:
    way = "from" if rule.direction is Direction.INGRESS else "to"
    what = "every port" if rule.ports is ANY else "its ports"
    return Remark("NP701", rule.origin, f"open {way} {whom}, on {what}", policy.waived)


def _world(
    view: View, policy: Policy, rule: Rule, whole: dict[Family, tuple[int, NetworkPeer]]
) -> Iterator[Remark]:
    blocks = [_text(whole[version][1]) for version in sorted(whole)]
    yield _open(policy, rule, " and ".join(blocks))
    if len(whole) == 1:
        ((version, (number, _)),) = whole.items()
        lacking = view.selected.families(policy.subject) - {version}
        if lacking:
            (other,) = lacking
            missing = "::/0" if other is Family.IPV6 else "0.0.0.0/0"
            text = f"{blocks[0]} without {missing}, but the selected pods have both families"
            if version not in view.selected.families(policy.subject):
                text = f"{blocks[0]} without {missing}, the only family of the selected pods"
            origin = peer_origin(policy, rule, number, "ipBlock", "cidr")
            yield Remark("NP702", origin, text, policy.waived)


def _text(peer: NetworkPeer) -> str:
    return format_span(peer.cidr) + (" less exceptions" if peer.excepts else "")


def _overlaps(
    view: View, policy: Policy, rule: Rule, number: int, peer: NetworkPeer
) -> Iterator[Remark]:
    origin = peer_origin(policy, rule, number, "ipBlock", "cidr")
    for code, what, owners in (
        ("NP703", "pods", view.pod_addresses),
        ("NP704", "nodes", view.node_addresses),
    ):
        names = list(dict.fromkeys(name for span in peer.addresses for name in owners.inside(span)))
        if names:
            text = f"{format_span(peer.cidr)} holds addresses of {what}: {listing(names, limit=3)}"
            yield Remark(code, origin, text, policy.waived)
