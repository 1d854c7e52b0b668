"""Collapses pods to identities and answers every selector once.

Comes in: a cluster and its policies. Goes out: identities and, for each distinct subject or peer,
the set of identities it selects. First pods that agree on every label key in use become a group;
then groups that no selector tells apart become an identity, so that later cost follows the number
of different pods.

hostNetwork pods are neither subject nor peer (semantics, section 6): they are not identified.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netpolc.cluster import Cluster, ContainerPorts, Pod
from netpolc.ir import ANY, NamedPort, PodPeer, Policy, Selector
from netpolc.labels import NONE, LabelIndex, Members
from netpolc.program import Identity


@dataclass(frozen=True, slots=True, eq=False)
class Identification:
    """Identities in order of their first pod, and the members of each subject and peer."""

    identities: tuple[Identity, ...]
    members: dict[PodPeer, Members]


@dataclass(slots=True)
class _Group:
    """Pods of one namespace that agree on the labels and port names in use."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    ports: ContainerPorts
    pods: list[Pod]


def identify(cluster: Cluster, policies: Iterable[Policy]) -> Identification:
    """Identities of a cluster as far as these policies can see."""
    selections = dict.fromkeys(peer for policy in policies for peer in pod_peers(policy))
    groups = _group(cluster, _keys(selections), _port_names(policies))
    matched = _select(cluster, selections, groups)
    signatures: list[list[int]] = [[] for _ in groups]
    for number, members in enumerate(matched):
        for group in members:
            signatures[group].append(number)
    merged: dict[tuple[tuple[int, ...], ContainerPorts], list[int]] = {}
    for number, group_ in enumerate(groups):
        merged.setdefault((tuple(signatures[number]), group_.ports), []).append(number)
    identities, identity_of = _number(merged, groups)
    translate = identity_of.__getitem__
    members_of = [frozenset(map(translate, members)) for members in matched]
    return Identification(identities, dict(zip(selections, members_of, strict=True)))


def pod_peers(policy: Policy) -> Iterator[PodPeer]:
    """The subject of a policy and the pods its rules speak of."""
    yield policy.subject
    for rule in policy.rules:
        if rule.peers is not ANY:
            for peer in rule.peers:
                if isinstance(peer, PodPeer):
                    yield peer


def _keys(selections: Iterable[PodPeer]) -> set[str]:
    return {need.key for peer in selections for need in peer.pods.requirements}


def _port_names(policies: Iterable[Policy]) -> set[str]:
    return {
        port.name
        for policy in policies
        for rule in policy.rules
        if rule.ports is not ANY
        for port in rule.ports
        if isinstance(port, NamedPort)
    }


def _group(cluster: Cluster, keys: set[str], port_names: set[str]) -> list[_Group]:
    groups: dict[tuple[str, tuple[tuple[str, str], ...], ContainerPorts], _Group] = {}
    ports_in_use: dict[ContainerPorts, ContainerPorts] = {}
    for pod in cluster.pods:
        if pod.host_network:
            continue
        ports = ports_in_use.get(pod.ports)
        if ports is None:
            ports = tuple(port for port in pod.ports if port[0] in port_names)
            ports_in_use[pod.ports] = ports
        labels = tuple(sorted(item for item in pod.labels.items() if item[0] in keys))
        key = (pod.namespace, labels, ports)
        group = groups.get(key)
        if group is None:
            groups[key] = _Group(pod.namespace, labels, ports, [pod])
        else:
            group.pods.append(pod)
    return list(groups.values())


def _select(cluster: Cluster, selections: Iterable[PodPeer], groups: list[_Group]) -> list[Members]:
    """The groups each subject or peer selects."""
    pods = LabelIndex(group.labels for group in groups)
    names = list(cluster.namespaces)
    spaces = LabelIndex(cluster.namespaces[name].labels.items() for name in names)
    inside: dict[str, list[int]] = {}
    for number, group in enumerate(groups):
        inside.setdefault(group.namespace, []).append(number)
    members_in = {name: frozenset(members) for name, members in inside.items()}
    matched_spaces: dict[Selector, Members] = {}

    def within(namespaces: str | Selector) -> Members:
        if isinstance(namespaces, str):
            return members_in.get(namespaces, NONE)
        known = matched_spaces.get(namespaces)
        if known is None:
            found = spaces.matching(namespaces)
            if len(found) == len(names):
                known = pods.everyone
            else:
                known = NONE.union(*(members_in.get(names[number], NONE) for number in found))
            matched_spaces[namespaces] = known
        return known

    return [pods.matching(peer.pods, within(peer.namespaces)) for peer in selections]


def _number(
    merged: dict[tuple[tuple[int, ...], ContainerPorts], list[int]], groups: list[_Group]
) -> tuple[tuple[Identity, ...], list[int]]:
    """Identities numbered by their first pod, whatever order the input had."""
    found: list[tuple[tuple[str, str], list[Pod], ContainerPorts, list[int]]] = []
    for (_, ports), numbers in merged.items():
        pods = [pod for number in numbers for pod in groups[number].pods]
        if len(numbers) > 1:
            pods.sort(key=lambda pod: (pod.namespace, pod.name))
        found.append(((pods[0].namespace, pods[0].name), pods, ports, numbers))
    found.sort(key=lambda entry: entry[0])
    identity_of = [0] * len(groups)
    identities = []
    for number, (_, pods, ports, members) in enumerate(found):
        identities.append(Identity(number, tuple(pods), ports))
        for group in members:
            identity_of[group] = number
    return tuple(identities), identity_of
