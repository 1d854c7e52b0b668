"""What the checks ask of a snapshot, each question answered once.

Comes in: a `Snapshot` and its `Program`. Goes out: the policies that can be judged, what isolates
pods, addresses in order; and what selectors select (selected.py).
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import cached_property

from netpolc.analysis.findings.selected import SelectorAnswers
from netpolc.core.cluster import Pod, Service, Snapshot
from netpolc.core.ir import (
    ANY,
    Direction,
    NetworkPeer,
    PodPeer,
    Policy,
    Rule,
    Tier,
)
from netpolc.core.labels import Members
from netpolc.core.nets import Span
from netpolc.core.program import Combination, Program, ResolvedRule
from netpolc.passes.answers import PortNumbers


class Scope(StrEnum):
    """What is not in a snapshot: in a dump of a cluster nothing is missing, to a repository pods
    and namespaces may come from elsewhere, and later.
    """

    CLUSTER = "cluster"
    REPO = "repo"


def guessed(snapshot: Snapshot) -> Scope:
    """A dump of a cluster has pods with addresses; manifests of a repository have templates."""
    has_address = any(pod.addresses for pod in snapshot.cluster.pods)
    return Scope.CLUSTER if has_address else Scope.REPO


@dataclass(frozen=True, eq=False)
class View:
    """A snapshot and its Program, and what may be missing in it."""

    snapshot: Snapshot
    program: Program
    scope: Scope = Scope.CLUSTER

    @cached_property
    def policies(self) -> tuple[Policy, ...]:
        """Policy objects of every tier, in order of name; what namespaces' annotations ask for is
        apart.
        """
        own = (p for p in self.snapshot.policies if p.origin.kind != "Namespace")
        return tuple(sorted(own, key=lambda p: (*p.origin.key[1:], p.origin.kind)))

    @cached_property
    def network_policies(self) -> tuple[Policy, ...]:
        """Those that isolate and add up; the others are of ordered tiers."""
        return tuple(p for p in self.policies if p.tier is Tier.NETWORK_POLICY)

    @cached_property
    def rules(self) -> tuple[tuple[Policy, Rule], ...]:
        """Every rule with its policy."""
        return tuple((policy, rule) for policy in self.policies for rule in policy.rules)

    @cached_property
    def legacy(self) -> bool:
        """Whether the snapshot has the meaning of Kubernetes 1.6: policies that only admit."""
        return any(not policy.isolates for policy in self.network_policies)

    @cached_property
    def is_empty(self) -> bool:
        """Whether there is no pod at all: then nothing can be said about what selects any."""
        return not self.snapshot.cluster.pods

    @cached_property
    def selected(self) -> SelectorAnswers:
        """What selectors select."""
        return SelectorAnswers(self.snapshot.cluster, self.program.identities)

    def inside(self, block: NetworkPeer) -> Members:
        """The identities of the pods that have an address in a block."""
        names = (name for span in block.addresses for name in self.pod_addresses.inside(span))
        return frozenset(map(self.program.identity_of.__getitem__, names))

    def combinations(self, direction: Direction) -> Iterator[Combination]:
        """What judges pods in a direction."""
        return (c for c in self.program.combinations if c.direction is direction)

    def accepting(self, combination: Combination) -> tuple[ResolvedRule, ...]:
        """The rules of NetworkPolicy objects in a combination."""
        stages = (stage for stage in combination.tiers if stage.tier is Tier.NETWORK_POLICY)
        return tuple(rule for stage in stages for rule in stage.rules)

    def isolated(self, direction: Direction, pod: Pod) -> bool:
        """Whether some policy isolates a pod."""
        key = direction, self.program.identity_of[pod.key]
        combination = self.program.combination_of.get(key)
        return combination is not None and combination.isolates

    @cached_property
    def port_numbers(self) -> PortNumbers:
        """What the identities have behind the names of ports."""
        return PortNumbers(own.ports for own in self.program.identities)

    @cached_property
    def pod_addresses(self) -> AddressIndex:
        """Addresses of pods, hostNetwork pods left out, with the pods' names."""
        return AddressIndex(
            {address: pod.key for address, pod in self.program.pods_by_address.items()}
        )

    @cached_property
    def services(self) -> dict[str, list[Service]]:
        """The Services of each namespace."""
        found: dict[str, list[Service]] = {}
        for (namespace, _), service in self.snapshot.cluster.services.items():
            found.setdefault(namespace, []).append(service)
        return found

    @cached_property
    def node_addresses(self) -> AddressIndex:
        """Addresses of nodes, with the nodes' names."""
        nodes = self.snapshot.cluster.nodes.values()
        return AddressIndex({address: node.name for node in nodes for address in node.addresses})


class AddressIndex:
    """Addresses and whose they are, in order."""

    def __init__(self, names: dict[int, str]) -> None:
        self._names = names
        self._order = sorted(names)

    def inside(self, span: Span) -> list[str]:
        """The owners of the addresses in a span, each once."""
        first, last = (bisect_left(self._order, end) for end in (span[0], span[1] + 1))
        return list(dict.fromkeys(self._names[address] for address in self._order[first:last]))


def numbered_peers(rule: Rule) -> Iterator[tuple[int, PodPeer]]:
    """The peers of a rule that select pods, with their number in the list."""
    if rule.peers is not ANY:
        for number, peer in enumerate(rule.peers):
            if isinstance(peer, PodPeer):
                yield number, peer


def may_be_unknown(view: View, peer: PodPeer) -> bool:
    """Whether a peer may mean pods that an object makes of which nothing is known (NP013)."""
    unknown = view.snapshot.unknown_pods
    if isinstance(peer.namespaces, str):
        return peer.namespaces in unknown
    spaces = tuple(view.snapshot.cluster.namespaces)
    return any(spaces[number] in unknown for number in view.selected.namespaces(peer.namespaces))


def idle_peers(view: View, rule: Rule) -> tuple[PodPeer, ...]:
    """The peers of a rule that select no pod, and may once there are others."""
    return tuple(own for _, own in numbered_peers(rule) if not view.selected.members(own))
