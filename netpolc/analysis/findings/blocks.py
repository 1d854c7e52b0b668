"""Address blocks that reach further, or less far, than their author thought.

Comes in: a `View`. Goes out: remarks on rules that are open to the world and on `ipBlock` peers.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

from netpolc.analysis.findings.model import Code, Level, Remark, peer_origin
from netpolc.analysis.findings.ports import matches_no_port
from netpolc.analysis.findings.view import View, numbered_peers
from netpolc.core.errors import counted, listing
from netpolc.core.ir import ANY, SELECT_ALL, Action, Direction, NetworkPeer, PodPeer, Policy, Rule
from netpolc.core.nets import EVERYWHERE, Family, Ranges, family, format_span, prefix_length

_EVERY_POD = PodPeer(SELECT_ALL, SELECT_ALL)
CODES = (
    Code(
        "NP701",
        Level.INFO,
        "a rule is open to the world",
        "0.0.0.0/0 and ::/0 are every address, pods and nodes too, and so are their halves "
        "together; a rule without peers is the same in both families. Told once a namespace.",
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
    Code(
        "NP705",
        Level.INFO,
        "a rule is open to every pod of every namespace",
        "An empty namespaceSelector means all namespaces, those of others and those to come. Told "
        "once a namespace.",
        "from:\n  - namespaceSelector: {}",
        "from:\n  - namespaceSelector:\n      matchLabels: {team: shop}",
    ),
)


def check(view: View) -> Iterator[Remark]:
    """What blocks admit, and rules that admit everybody."""
    yield from once(_open(view))
    for policy, rule in view.rules:
        whole = _whole(rule)
        for number, peer in _blocks(rule):
            is_whole = any(number in numbers for numbers in whole.values())
            if not is_whole and rule.action is not Action.DENY:  # of those `ordered` speaks
                yield from _overlaps(view, policy, rule, number, peer)
        if len(whole) == 1 and rule.action is Action.ACCEPT:
            yield from _one_family(view, policy, rule, *next(iter(whole.items())))


def _blocks(rule: Rule) -> Iterator[tuple[int, NetworkPeer]]:
    for number, peer in enumerate(() if rule.peers is ANY else rule.peers):
        if isinstance(peer, NetworkPeer):
            yield number, peer


def _whole(rule: Rule) -> dict[Family, list[int]]:
    """The families of which a rule names every address, exceptions aside, and the blocks that do:
    0.0.0.0/0, or 0.0.0.0/1 and 128.0.0.0/1.
    """
    found: dict[Family, list[int]] = {}
    for version in Family:
        own = {
            number: peer.cidr for number, peer in _blocks(rule) if family(peer.cidr[0]) is version
        }
        alone = [number for number, cidr in own.items() if prefix_length(cidr) == 0]
        if alone:
            found[version] = alone[:1]
        elif not EVERYWHERE.of_family(version) - Ranges.of(own.values()):
            found[version] = list(own)
    return found


def _open(view: View) -> Iterator[tuple[Policy, Remark]]:
    """The rules that are open to every address, or to every pod."""
    for policy, rule in view.rules:
        # What its ports match nothing on is open to nobody.
        if rule.action is not Action.ACCEPT or matches_no_port(view, policy, rule):
            continue
        whole = _whole(rule)
        pods = [own for _, own in numbered_peers(rule) if own == _EVERY_POD]
        if rule.peers is ANY:
            yield policy, _remark(policy, rule, "NP701", "every address")
        elif whole:
            whom = " and ".join(_text(rule, whole[version]) for version in sorted(whole))
            yield policy, _remark(policy, rule, "NP701", whom)
        elif pods:
            yield policy, _remark(policy, rule, "NP705", "every pod of every namespace")


def once(found: Iterable[tuple[Policy, Remark]]) -> Iterator[Remark]:
    """One remark for all of a code in a namespace, which names the others; those of cluster-scoped
    policies stay apart.
    """
    groups: dict[tuple[str, ...], list[Remark]] = {}
    for policy, remark in found:
        if remark.code not in remark.waived:
            space = policy.origin.namespace
            place = (space,) if space else policy.origin.key
            groups.setdefault((remark.code, *place), []).append(remark)
    for first, *others in groups.values():
        more = f"; so {'is' if len(others) == 1 else 'are'} {counted(len(others), 'more rule')}"
        more = f"{more} of namespace {first.origin.namespace}" if first.origin.namespace else more
        text = first.message + (more if others else "")
        yield replace(first, message=text, others=tuple(own.origin for own in others))


def _remark(policy: Policy, rule: Rule, code: str, whom: str) -> Remark:
    way = "from" if rule.direction is Direction.INGRESS else "to"
    what = "every port" if rule.ports is ANY else "its ports"
    return Remark(code, rule.origin, f"open {way} {whom}, on {what}", policy.waived)


def _one_family(
    view: View, policy: Policy, rule: Rule, version: Family, blocks: list[int]
) -> Iterator[Remark]:
    families = view.selected.families(policy.subject)
    lacking = families - {version}
    if lacking:
        (other,) = lacking
        missing = "::/0" if other is Family.IPV6 else "0.0.0.0/0"
        text = f"{_text(rule, blocks)} without {missing}, but the selected pods have both families"
        if version not in families:
            text = f"{_text(rule, blocks)} without {missing}, the only family of the selected pods"
        origin = peer_origin(policy, rule, blocks[0], "ipBlock", "cidr")
        yield Remark("NP702", origin, text, policy.waived)


def _text(rule: Rule, blocks: Collection[int]) -> str:
    found = [peer for number, peer in _blocks(rule) if number in blocks]
    less = " less exceptions" if any(peer.excepts for peer in found) else ""
    return listing((format_span(peer.cidr) for peer in found), limit=3) + less


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
