"""The policies that matter to one node, and to one class of its pods: those that select some.

Comes in: a snapshot and a node. Goes out: the same snapshot with fewer policies, of which the node
has the same ruleset, and what tells its pods apart for all policies there are. Of policies as they
come, change and go: the keys of those that select a class of pods, at the cost of those that may.
Pods with the same ones, and the same named ports, are judged alike. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from netpolc.core.cluster import ContainerPorts, Pod, Snapshot
from netpolc.core.ir import ANY, Key, NamedPort, Policy, Selector
from netpolc.core.labels import selects
from netpolc.live.work import Work
from netpolc.passes.identify import pod_peers

Labels = Mapping[str, str]
Pairs = tuple[tuple[str, str], ...]
BySpace = Mapping[str, Sequence[Mapping[str, str]]]
"""Labels of pods by namespace."""
ClassKey = tuple[str, Pairs, ContainerPorts]
"""Namespace, labels and named ports of a pod, as far as anybody asks for them."""


@dataclass(frozen=True, slots=True)
class InUse:
    """The keys of labels and the names of ports by which pods are told apart."""

    keys: frozenset[str]
    ports: frozenset[str]

    def class_of(self, pod: Pod) -> ClassKey:
        """What pods have in common that nobody tells apart; closed ones are meant by nobody."""
        if pod.closed:
            return "", (), ()
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
    own = (pod for pod in local if not pod.closed)
    spaces = by_space((pod.namespace, tuple(pod.labels.items())) for pod in own)
    known = snapshot.cluster.namespaces

    def is_within(selector: Selector, name: str) -> bool:
        return selects(selector, known[name].labels, known[name].unsure)

    kept = tuple(own for own in snapshot.policies if concerns(own, spaces, is_within))
    return replace(snapshot, policies=kept)


def by_space(pods: Iterable[tuple[str, Pairs]]) -> dict[str, list[Mapping[str, str]]]:
    """The different labels of some pods, by their namespaces."""
    found: dict[str, dict[Pairs, dict[str, str]]] = {}
    for namespace, labels in pods:
        found.setdefault(namespace, {})[labels] = dict(labels)
    return {namespace: list(own.values()) for namespace, own in found.items()}


def concerns(policy: Policy, spaces: BySpace, is_within: Callable[[Selector, str], bool]) -> bool:
    """Whether a policy selects one of some pods; `is_within` says whether a selector selects a
    namespace.
    """
    within, wanted = policy.subject.namespaces, policy.subject.pods
    if isinstance(within, str):
        selected = [within] if within in spaces else []
    else:
        selected = [space for space in spaces if is_within(within, space)]
    return any(selects(wanted, labels) for space in selected for labels in spaces[space])


class Subjects:
    """The subjects of all policies; `labels_of` has the labels of a namespace."""

    def __init__(self, labels_of: Callable[[str], Labels], work: Work) -> None:
        self._labels_of, self._work = labels_of, work
        self._within: dict[str | None, dict[Key, Policy]] = {}

    def put(self, key: Key, policy: Policy | None) -> None:
        """A policy as it is now; None if it is gone."""
        for several in self._within.values():
            several.pop(key, None)
        if policy is not None:
            within = policy.subject.namespaces
            place = within if isinstance(within, str) else None
            self._within.setdefault(place, {})[key] = policy

    @property
    def any_restricts(self) -> bool:
        """Whether some policy can deny anything."""
        return any(own.restricts for some in self._within.values() for own in some.values())

    def selecting(self, kind: ClassKey) -> tuple[Key, ...]:
        """The keys of the policies that select pods of a class, in order."""
        return tuple(sorted(key for key, _ in self._found(kind)))

    def policies(self, kind: ClassKey) -> list[Policy]:
        """The policies that select pods of a class."""
        return [policy for _, policy in self._found(kind)]

    def _found(self, kind: ClassKey) -> Iterator[tuple[Key, Policy]]:
        namespace, labels = kind[0], dict(kind[1])
        for place in (namespace, None):
            several = self._within.get(place, {})
            self._work.asked += len(several)
            for key, policy in several.items():
                within = policy.subject.namespaces
                is_there = isinstance(within, str) or selects(within, self._labels_of(namespace))
                if is_there and selects(policy.subject.pods, labels):
                    yield key, policy
