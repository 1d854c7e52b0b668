"""What is easily misunderstood in a policy.

Comes in: a policy and the cluster it is read with. Goes out: sentences, each only where the policy
says the very thing that is taken for something else.
"""

from __future__ import annotations

from collections.abc import Iterator

from netpolc.analysis.explain import words
from netpolc.analysis.explain.misses import is_selected
from netpolc.core.cluster import Cluster
from netpolc.core.errors import listing
from netpolc.core.ir import (
    ANY,
    AUDIT,
    SELECT_ALL,
    Action,
    Direction,
    NamedPort,
    NetworkPeer,
    Operator,
    PodPeer,
    Policy,
    PortRange,
    Rule,
    Selector,
)
from netpolc.core.nets import PORTS, Protocol, prefix_length

_IN, _OUT = Direction.INGRESS, Direction.EGRESS
_DNS = 53


def policy_notes(policy: Policy, cluster: Cluster) -> Iterator[str]:
    """Sentences about the whole policy, then about each rule."""
    if policy.audited:
        yield f"it is tried ({AUDIT}): what it would deny is let through, counted and logged."
    hosts = (pod for pod in cluster.pods if pod.host_network)
    names = [pod.key for pod in hosts if is_selected(policy.subject, pod, cluster)]
    if names:
        text = "selected by their labels and yet not isolated: hostNetwork pods are their node"
        yield f"{text} ({listing(names, 4)})."
    if policy.isolates and policy.origin.kind != "Namespace":
        yield from _types(policy)
        yield from _dns(policy)
    yield from _absent_labels(policy)
    about: dict[str, list[str]] = {}
    for rule in policy.rules:
        for note in dict.fromkeys(_rule(rule)):
            about.setdefault(note, []).append(rule.origin.rule)
    for note, rules in about.items():
        yield f"{words.joined(rules)}: {note}"


def _types(policy: Policy) -> Iterator[str]:
    """What `policyTypes` does, or its absence."""
    left_out = policy.written - policy.isolates
    for direction in sorted(left_out):
        name = str(direction)
        if policy.typed:
            text = f"policyTypes leaves {name.capitalize()} out: what the policy says under {name}"
            yield f"{text} has no effect."
        else:
            yield (
                f"an empty {name} without policyTypes isolates no {name}: to deny all of it, "
                f"write policyTypes with {name.capitalize()}."
            )
    if not policy.typed and _OUT in policy.isolates and _IN not in policy.written:
        yield (
            "policyTypes is missing, and then ingress is isolated too: to leave it alone, "
            "write policyTypes: [Egress]."
        )


def _dns(policy: Policy) -> Iterator[str]:
    rules = [rule for rule in policy.rules if rule.direction is _OUT]
    if _OUT in policy.isolates and not any(_may_be_dns(rule) for rule in rules):
        yield (
            "no egress rule of it admits UDP port 53: unless another policy does, the pods "
            "cannot look up names."
        )


def _may_be_dns(rule: Rule) -> bool:
    if rule.ports is ANY:
        return True
    udp = (port for port in rule.ports if port.protocol is Protocol.UDP)
    return any(isinstance(port, NamedPort) or port.first <= _DNS <= port.last for port in udp)


def _absent_labels(policy: Policy) -> Iterator[str]:
    peers = [policy.subject]
    for rule in policy.rules:
        if rule.peers is not ANY:
            peers.extend(peer for peer in rule.peers if isinstance(peer, PodPeer))
    selectors = [peer.pods for peer in peers]
    selectors += [peer.namespaces for peer in peers if isinstance(peer.namespaces, Selector)]
    keys = {
        need.key
        for selector in selectors
        for need in selector.requirements
        if need.operator is Operator.NOT_IN
    }
    if keys:
        yield f"not in also matches what has no label {words.joined(sorted(keys), 'or')} at all."


def _rule(rule: Rule) -> Iterator[str]:
    peers = () if rule.peers is ANY else rule.peers
    yield from _ports(rule)
    blocks = [peer for peer in peers if isinstance(peer, NetworkPeer)]
    yield from _pod_peers([peer for peer in peers if isinstance(peer, PodPeer)])
    whole = {words.block(peer.cidr) for peer in blocks if prefix_length(peer.cidr) == 0}
    if len(whole) == 1:
        family, other = ("4", "::/0") if "0.0.0.0/0" in whole else ("6", "0.0.0.0/0")
        yield f"{whole.pop()} is every IPv{family} address and no other; the rest is {other}."
    if blocks:
        field = words.block_field(rule.origin)
        means = "networks mean" if field == "networks" else f"an {field} means"
        inside = "them" if field == "networks" else "it"
        yield f"{means} addresses, those of pods and nodes in {inside} too."
    if rule.action is Action.ACCEPT and any(peer.excepts for peer in blocks):
        yield "an except denies nothing: another peer, rule or policy may admit those addresses."


def _ports(rule: Rule) -> Iterator[str]:
    ports = () if rule.ports is ANY else rule.ports
    for port in ports:
        if isinstance(port, PortRange) and (port.first, port.last) == (0, PORTS - 1):
            does = words.ADMITS[rule.action]
            text = words.port_text(port)
            yield f"{text} is no other protocol; without ports the rule {does} all."
    if any(isinstance(port, NamedPort) for port in ports):
        whose = "selected pods" if rule.direction is _IN else "peers"
        yield f"port names are those of the {whose}' containers; Services are not looked at."
        if rule.direction is _OUT and (
            rule.peers is ANY or any(isinstance(peer, NetworkPeer) for peer in rule.peers)
        ):
            yield "a port name leads to pods only: no other address has named ports."


def _pod_peers(peers: list[PodPeer]) -> Iterator[str]:
    everywhere = [peer for peer in peers if peer == PodPeer(SELECT_ALL, SELECT_ALL)]
    if everywhere:
        yield "every pod is not everybody: nodes, hostNetwork pods and the outside are not meant."
    spaces = [p for p in peers if isinstance(p.namespaces, Selector) and p.pods == SELECT_ALL]
    own = [p for p in peers if isinstance(p.namespaces, str) and p.pods != SELECT_ALL]
    if own and any(peer.namespaces != SELECT_ALL for peer in spaces):
        yield (
            "the items of the list are alternatives; to ask for namespace and pod labels at once, "
            "write both selectors in one item."
        )
