"""The plain shape that netpolc's ruleset is measured against: a linear chain for every pod.

In: a snapshot and a node. Out: one nft transaction with a table `linear` that judges the node's
pods as netpolc's does. Each isolated local pod has a chain for each direction, found by a verdict
map, and in it one rule for every (policy, rule, peer, port) that selects the pod, in the order of
the policies. Peers are sets, shared by content over the whole table, and blocks of up to four spans
stand in the rule: only the merging over policies and over pods is missing. Selectors are resolved
here from the Policy IR, not by netpolc's passes. Refused: tiers other than NetworkPolicy.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

from netpolc.core.cluster import Pod, Snapshot
from netpolc.core.ir import (
    ANY,
    Direction,
    NamedPort,
    NetworkPeer,
    Peer,
    PodPeer,
    Policy,
    Port,
    PortRange,
    Rule,
    Selector,
    Tier,
)
from netpolc.core.labels import selects
from netpolc.core.nets import IPV6, Ranges, format_address, format_span

INLINE_SPANS = 4


def linear_chain_per_pod(snapshot: Snapshot, node: str) -> str:
    """The whole transaction for one node; loading it twice replaces the table."""
    shape = _Shape(Resolver(snapshot))
    for pod in snapshot.cluster.pods:
        if pod.node == node and not pod.host_network:
            shape.add_pod(pod)
    return shape.text()


class Resolver:
    """Which pods a peer or a subject means, one selector at a time."""

    def __init__(self, snapshot: Snapshot) -> None:
        self.policies: dict[str, list[Policy]] = defaultdict(list)
        self._namespaces = snapshot.cluster.namespaces
        self._pods: dict[str, list[Pod]] = defaultdict(list)
        self._known: dict[PodPeer, list[Pod]] = {}
        for policy in snapshot.policies:
            if policy.tier is not Tier.NETWORK_POLICY:
                raise ValueError(f"{policy.origin}: only NetworkPolicy has a linear shape")
            assert isinstance(policy.subject.namespaces, str)
            self.policies[policy.subject.namespaces].append(policy)
        for pod in snapshot.cluster.pods:
            if not pod.host_network:
                self._pods[pod.namespace].append(pod)

    def subject_to(self, pod: Pod) -> list[Policy]:
        candidates = self.policies[pod.namespace]
        return [policy for policy in candidates if selects(policy.subject.pods, pod.labels)]

    def pods(self, peer: PodPeer) -> list[Pod]:
        if peer not in self._known:
            self._known[peer] = [
                pod
                for namespace in self._selected(peer.namespaces)
                for pod in self._pods[namespace]
                if selects(peer.pods, pod.labels)
            ]
        return self._known[peer]

    def all_pods(self) -> list[Pod]:
        return [pod for pods in self._pods.values() for pod in pods]

    def _selected(self, namespaces: str | Selector) -> list[str]:
        if isinstance(namespaces, str):
            return [namespaces]
        return [n.name for n in self._namespaces.values() if selects(namespaces, n.labels)]


@dataclass(slots=True)
class _Shape:
    """The text of the table while it grows."""

    resolver: Resolver
    sets: dict[str, str] = field(default_factory=dict)
    chains: list[str] = field(default_factory=list)
    dispatch: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    _of_pods: dict[tuple[int, ...], list[str]] = field(default_factory=dict)

    def add_pod(self, pod: Pod) -> None:
        policies = self.resolver.subject_to(pod)
        digest = hashlib.sha256(pod.key.encode()).hexdigest()[:16]
        for direction, prefix in ((Direction.INGRESS, "i"), (Direction.EGRESS, "e")):
            isolating = [policy for policy in policies if direction in policy.isolates]
            if not isolating:
                continue
            name = f"{prefix}_{digest}"
            rules = [line for policy in isolating for line in self._lines(policy, direction, pod)]
            body = "".join(f"    {line}\n" for line in [*rules, "counter drop"])
            self.chains.append(f"  chain {name} {{\n{body}  }}\n")
            verb = "goto" if direction is Direction.INGRESS else "jump"
            for address in pod.addresses:
                table = f"{prefix}{6 if address >= IPV6 else 4}"
                self.dispatch[table].append(f"{format_address(address)} : {verb} {name}")

    def _lines(self, policy: Policy, direction: Direction, pod: Pod) -> Iterator[str]:
        verdict = "accept" if direction is Direction.INGRESS else "return"
        for rule in policy.rules:
            if rule.direction is direction:
                for match in self._matches(rule, pod):
                    yield f"{match} {verdict}".strip()

    def _matches(self, rule: Rule, pod: Pod) -> Iterator[str]:
        field_name = "saddr" if rule.direction is Direction.INGRESS else "daddr"
        peers: tuple[Peer | None, ...] = (None,) if rule.peers is ANY else rule.peers
        ports: tuple[Port | None, ...] = (None,) if rule.ports is ANY else rule.ports
        for peer in peers:
            for port in ports:
                if isinstance(port, NamedPort) and rule.direction is Direction.EGRESS:
                    yield from self._named(peer, port, field_name)
                    continue
                for dport in dports(port, pod):
                    for address in self._addresses(peer, field_name):
                        yield f"{dport} {address}".strip()

    def _named(self, peer: Peer | None, port: NamedPort, field_name: str) -> Iterator[str]:
        """Egress to a named port: the peers apart by the number the name has in each."""
        if peer is not None and not isinstance(peer, PodPeer):
            return
        pods = self.resolver.all_pods() if peer is None else self.resolver.pods(peer)
        numbers: dict[str, list[Pod]] = defaultdict(list)
        for pod in pods:
            for dport in set(dports(port, pod)):
                numbers[dport].append(pod)
        for dport, members in sorted(numbers.items()):
            for address in self._pod_set(members, field_name):
                yield f"{dport} {address}"

    def _addresses(self, peer: Peer | None, field_name: str) -> list[str]:
        match peer:
            case None:
                return [""]
            case PodPeer():
                return self._pod_set(self.resolver.pods(peer), field_name)
            case NetworkPeer(cidr, excepts):
                return self._block(Ranges.of([cidr]) - Ranges.of(excepts), field_name)
            case _:
                raise ValueError(f"{peer}: this anchor reads NetworkPolicy alone")

    def _pod_set(self, pods: list[Pod], field_name: str) -> list[str]:
        addresses = tuple(sorted({address for pod in pods for address in pod.addresses}))
        if addresses not in self._of_pods:
            v4 = [format_address(a) for a in addresses if a < IPV6]
            v6 = [format_address(a) for a in addresses if a >= IPV6]
            self._of_pods[addresses] = [
                f"{family} {{field}} {self._set(f'{kind}_addr', '', elements)}"
                for family, kind, elements in (("ip", "ipv4", v4), ("ip6", "ipv6", v6))
                if elements
            ]
        return [match.format(field=field_name) for match in self._of_pods[addresses]]

    def _block(self, block: Ranges, field_name: str) -> list[str]:
        if not block:
            return []
        family, kind = ("ip6", "ipv6") if block.spans[0][0] >= IPV6 else ("ip", "ipv4")
        spans = [format_span(span) for span in block]
        if len(spans) <= INLINE_SPANS:
            return [f"{family} {field_name} {span}" for span in spans]
        return [f"{family} {field_name} {self._set(f'{kind}_addr', 'flags interval; ', spans)}"]

    def _set(self, kind: str, flags: str, elements: list[str]) -> str:
        if len(elements) == 1:
            return elements[0]
        listed = ", ".join(elements)
        name = f"s_{hashlib.sha256(f'{kind} {listed}'.encode()).hexdigest()[:16]}"
        declared = f"  set {name} {{\n    type {kind}; {flags}elements = {{ {listed} }}\n  }}\n"
        self.sets[name] = declared
        return f"@{name}"

    def text(self) -> str:
        maps, base = [], ["    ct state established,related accept"]
        for table in ("e4", "e6", "i4", "i6"):
            if table not in self.dispatch:
                continue
            family, kind = ("ip", "ipv4_addr") if table[1] == "4" else ("ip6", "ipv6_addr")
            elements = f"elements = {{ {', '.join(self.dispatch[table])} }}"
            maps.append(f"  map d_{table} {{\n    type {kind} : verdict; {elements}\n  }}\n")
            base.append(f"    {family} {'sd'[table[0] == 'i']}addr vmap @d_{table}")
        hook = "    type filter hook forward priority filter - 5; policy accept;"
        chain = "  chain forward {\n" + "\n".join([hook, *base]) + "\n  }\n"
        body = "".join([*self.sets.values(), *self.chains, *maps, chain])
        return (
            f"table inet linear {{\n}}\ndelete table inet linear\ntable inet linear {{\n{body}}}\n"
        )


def dports(port: Port | None, pod: Pod) -> list[str]:
    """The protocol and port match of a rule towards `pod`: none, or one for each number."""
    match port:
        case None:
            return [""]
        case PortRange(protocol, 0, 65535):
            return [f"meta l4proto {protocol.name.lower()}"]
        case PortRange(protocol, first, last):
            numbers = f"{first}" if first == last else f"{first}-{last}"
            return [f"{protocol.name.lower()} dport {numbers}"]
        case NamedPort(protocol, name):
            return [
                f"{protocol.name.lower()} dport {number}"
                for named, number_of, number in pod.ports
                if (named, number_of) == (name, protocol)
            ]
