"""The policies that matter to one node: those that select one of its pods.

Comes in: a snapshot and a node. Goes out: the same snapshot with fewer policies, of which the node
has the same ruleset, and what tells its pods apart for all policies there are. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from netpolc.core.cluster import ContainerPorts, Pod, Snapshot
from netpolc.core.ir import ANY, NamedPort, Policy
from netpolc.core.labels import selects
from netpolc.passes.identify import pod_peers

ClassKey = tuple[str, tuple[tuple[str, str], ...], ContainerPorts]
"""Namespace, labels and named ports of a pod, as far as anybody asks for them."""


@dataclass(frozen=True, slots=True)
class InUse:
    """The keys of labels and the names of ports by which pods are told apart."""

    keys: frozenset[str]
    ports: frozenset[str]

    def class_of(self, pod: Pod) -> ClassKey:
        """What pods have in common that nobody tells apart."""
        keys, names = self.keys, self.ports
        labels = tuple(sorted([own for own in pod.labels.items() if own[0] in keys]))
        ports = tuple([own for own in pod.ports if own[0] in names]) if pod.ports else ()
        return pod.namespace, labels, ports

    def knows(self, policy: Policy) -> bool:
        """Whether what a policy asks of its subjects is in use."""
        return all(need.key in self.keys for need in policy.subject.pods.requirements)


def in_use(policies: Iterable[Policy], scoped: Iterable[Policy]) -> InUse:
    """What all policies ask of their subjects, and `scoped` ones of anybody."""
    keys = {need.key for own in policies for need in own.subject.pods.requirements}
    names = set()
    for policy in scoped:
        keys |= {need.key for peer in pod_peers(policy) for need in peer.pods.requirements}
        for rule in policy.rules:
            if rule.ports is not ANY:
                names |= {port.name for port in rule.ports if isinstance(port, NamedPort)}
    return InUse(frozenset(keys), frozenset(names))


def local_pods(snapshot: Snapshot, node: str) -> list[Pod]:
    """The pods that a node judges."""
    return [pod for pod in snapshot.cluster.pods if pod.is_on(node) and not pod.host_network]


def scoped(snapshot: Snapshot, local: Iterable[Pod]) -> Snapshot:
    """The snapshot with those policies alone that select one of some pods."""
    by_space: dict[str, list[Pod]] = {}
    for pod in local:
        by_space.setdefault(pod.namespace, []).append(pod)
    kept = tuple(own for own in snapshot.policies if concerns(own, by_space, snapshot))
    return replace(snapshot, policies=kept)


def concerns(policy: Policy, by_space: dict[str, list[Pod]], snapshot: Snapshot) -> bool:
    """Whether a policy selects one of some pods, given by their namespaces."""
    within = policy.subject.namespaces
    if isinstance(within, str):
        spaces = [within] if within in by_space else []
    else:
        known = snapshot.cluster.namespaces
        spaces = [s for s in by_space if selects(within, known[s].labels, known[s].unsure)]
    wanted = policy.subject.pods
    return any(selects(wanted, pod.labels) for space in spaces for pod in by_space[space])
