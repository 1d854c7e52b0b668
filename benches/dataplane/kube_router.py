"""A ruleset of kube-router's shape, for iptables-legacy and ipset.

In: a snapshot, a node and a family. Out: a `Shape` that loads itself into a router. Each local pod
has a chain, found by one comparison after the other; it sends packets through a chain for every
policy that selects the pod, whose rules compare source and destination with sets and set a mark.
What has no mark at the end is dropped. Logging, and answers to what is denied, are left out; blocks
with exceptions are sets of what remains. Refused: what iptables, ip6tables or ipset refuse.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from ipaddress import ip_address, summarize_address_range

from benches.linear import Resolver, dports
from netpolc.core.cluster import Pod, Snapshot
from netpolc.core.ir import ANY, Direction, NamedPort, NetworkPeer, PodPeer, Policy, Rule
from netpolc.core.nets import Family, Ranges, family, format_address
from tests.helpers.lab import Router

PROGRAMS = {
    Family.IPV4: ("iptables-legacy-restore", "ipset"),
    Family.IPV6: ("ip6tables-legacy-restore", "ipset"),
}
_ADMITTED = "0x10000/0x10000"
_JUDGED = "0x20000/0x20000"


@dataclass(frozen=True, slots=True)
class Shape:
    """What `ipset restore` and iptables' restore read."""

    family: Family
    sets: str
    rules: str

    def load(self, router: Router) -> None:
        """Load sets and rules into an empty router."""
        restore, ipset = PROGRAMS[self.family]
        router.run(ipset, "restore", text=self.sets)
        router.run(restore, text=self.rules)


def shape(snapshot: Snapshot, node: str, version: Family) -> Shape:
    """The ruleset of one node."""
    builder = _Builder(Resolver(snapshot), version, node)
    local = [pod for pod in snapshot.cluster.pods if pod.node == node and not pod.host_network]
    for pod in local:
        builder.add_pod(pod)
    return builder.shape()


@dataclass(slots=True)
class _Builder:
    resolver: Resolver
    family: Family
    node: str
    sets: dict[str, str] = field(default_factory=dict)
    chains: dict[str, list[str]] = field(default_factory=dict)
    dispatch: list[str] = field(default_factory=list)

    def add_pod(self, pod: Pod) -> None:
        """A chain for a pod, which each of its addresses is sent to."""
        for address in self._addresses([pod]):
            name = f"KUBE-POD-FW-{_digest(address)}"
            rules = [
                "-m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT",
                f"-m addrtype --src-type LOCAL -d {address} -j ACCEPT",
            ]
            policies = self.resolver.subject_to(pod)
            for direction, end in ((Direction.INGRESS, "-d"), (Direction.EGRESS, "-s")):
                isolating = [policy for policy in policies if direction in policy.isolates]
                chains = [self._policy(policy) for policy in isolating] or [self._default()]
                rules += [f"{end} {address} -j {chain}" for chain in chains]
            rules += [
                f"-m mark ! --mark {_ADMITTED} -j DROP",
                "-j MARK --set-xmark 0x0/0x10000",
                f"-j MARK --set-xmark {_JUDGED}",
            ]
            self.chains[name] = rules
            self.dispatch += [f"-d {address} -j {name}", f"-s {address} -j {name}"]

    def _default(self) -> str:
        name = "KUBE-NWPLCY-DEFAULT"
        self.chains[name] = [f"-j MARK --set-xmark {_ADMITTED}"]
        return name

    def _policy(self, policy: Policy) -> str:
        name = f"KUBE-NWPLCY-{_digest(str(policy.origin))}"
        if name not in self.chains:
            self.chains[name] = []
            local = [pod for pod in self._subjects(policy) if pod.node == self.node]
            for rule in policy.rules:
                for match in self._matches(rule, local):
                    self.chains[name] += [
                        f"{match} -j MARK --set-xmark {_ADMITTED}",
                        f"{match} -m mark --mark {_ADMITTED} -j RETURN",
                    ]
        return name

    def _subjects(self, policy: Policy) -> list[Pod]:
        return self.resolver.pods(PodPeer(policy.subject.namespaces, policy.subject.pods))

    def _matches(self, rule: Rule, subjects: list[Pod]) -> Iterator[str]:
        """Comparisons of one rule: its ports, its subjects, then its pods and its blocks."""
        of_subjects, of_peers = (
            ("dst", "src") if rule.direction is Direction.INGRESS else ("src", "dst")
        )
        named = self._named(rule, subjects)
        ports = [None] if rule.ports is ANY else rule.ports
        for port in ports:
            if isinstance(port, NamedPort):
                continue
            own = [self._pods(subjects, of_subjects), *_options(dports(port, subjects[0]))]
            for peers in self._peers(rule, of_peers):
                yield " ".join([*own, peers])
        yield from named

    def _named(self, rule: Rule, subjects: list[Pod]) -> Iterator[str]:
        """Named ports: the destinations apart by the number that the name has in each."""
        ingress = rule.direction is Direction.INGRESS
        names = () if rule.ports is ANY else rule.ports
        targets = subjects if ingress else self._peer_pods(rule)
        for port in names:
            if not isinstance(port, NamedPort):
                continue
            numbers: dict[str, list[Pod]] = defaultdict(list)
            for pod in targets:
                for dport in set(dports(port, pod)):
                    numbers[dport].append(pod)
            for dport, members in sorted(numbers.items()):
                own = [self._pods(members, "dst"), *_options([dport])]
                others = self._peers(rule, "src") if ingress else [self._pods(subjects, "src")]
                for peers in others:
                    yield " ".join([*own, peers])

    def _peers(self, rule: Rule, side: str) -> Iterator[str]:
        if rule.peers is ANY:
            yield ""
            return
        pods = self._peer_pods(rule)
        if pods:
            yield self._pods(pods, side)
        networks = Ranges()
        for peer in rule.peers:
            if isinstance(peer, NetworkPeer):
                networks |= Ranges.of([peer.cidr]) - Ranges.of(peer.excepts)
        blocks = [
            str(block)
            for first, last in networks.of_family(self.family)
            for block in summarize_address_range(
                ip_address(format_address(first)), ip_address(format_address(last))
            )
        ]
        if blocks:
            yield self._set("hash:net", blocks, side)

    def _peer_pods(self, rule: Rule) -> list[Pod]:
        if rule.peers is ANY:
            return self.resolver.all_pods()
        own = [peer for peer in rule.peers if isinstance(peer, PodPeer)]
        return [pod for peer in own for pod in self.resolver.pods(peer)]

    def _addresses(self, pods: Iterable[Pod]) -> list[str]:
        return sorted(
            {
                format_address(at)
                for pod in pods
                for at in pod.addresses
                if family(at) is self.family
            }
        )

    def _pods(self, pods: Iterable[Pod], side: str) -> str:
        return self._set("hash:ip", self._addresses(pods), side)

    def _set(self, kind: str, elements: list[str], side: str) -> str:
        name = f"KUBE-{_digest(kind + ' '.join(elements))}"
        version = "inet" if self.family is Family.IPV4 else "inet6"
        added = "".join(f"add {name} {element}\n" for element in elements)
        self.sets[name] = f"create {name} {kind} family {version}\n{added}"
        return f"-m set --match-set {name} {side}"

    def shape(self) -> Shape:
        """Everything that was added."""
        forward = [*self.dispatch, f"-m mark --mark {_JUDGED} -j ACCEPT"]
        chains = {"KUBE-ROUTER-FORWARD": forward, **self.chains}
        declared = "".join(f":{name} - [0:0]\n" for name in chains)
        rules = "".join(f"-A {name} {rule}\n" for name, own in chains.items() for rule in own)
        head = "*filter\n:INPUT ACCEPT [0:0]\n:FORWARD ACCEPT [0:0]\n:OUTPUT ACCEPT [0:0]\n"
        jump = "-A FORWARD -j KUBE-ROUTER-FORWARD\n"
        return Shape(
            self.family, "".join(self.sets.values()), f"{head}{declared}{jump}{rules}COMMIT\n"
        )


def _options(nft_dports: Iterable[str]) -> list[str]:
    """iptables' options for `tcp dport 80`, `tcp dport 80-90`, `meta l4proto tcp` or nothing."""
    words = " ".join(nft_dports).split()
    match words:
        case []:
            return []
        case ["meta", "l4proto", protocol]:
            return [f"-p {protocol}"]
        case [protocol, "dport", numbers]:
            return [f"-p {protocol} --dport {numbers.replace('-', ':')}"]
        case _:
            raise ValueError(f"no port of one rule: {words}")


def _digest(text: str) -> str:
    return sha256(text.encode()).hexdigest()[:16].upper()
