"""Collapses pods to identities and answers every selector once.

Comes in: a cluster and its policies. Goes out: identities and, for each distinct subject or peer,
the set of identities it selects. First pods that agree on every label key in use become a group;
then groups that no selector tells apart become an identity, so that later cost follows the number
of different pods.

hostNetwork pods are neither subject nor peer (semantics, section 6): they are not identified.
Closed pods are an identity that no selector means.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from weakref import WeakValueDictionary

from netpolc.core.cluster import Cluster, ContainerPorts, Pod
from netpolc.core.ir import ANY, NamedPort, NodePeer, Peer, PodPeer, Policy, Selector
from netpolc.core.labels import NONE, LabelIndex, Members
from netpolc.core.program import Identity
from netpolc.passes.nodes import NodeAnswer, answer


class Selected(dict[PodPeer, Members]):
    """What peers select. Of one that selects more than half only the rest is kept, and the set is
    made when it is asked for: `n` selectors of all pods but one would be `n` times `n` members.
    """

    def __init__(
        self, few: dict[PodPeer, Members], rest: dict[PodPeer, Members], count: int
    ) -> None:
        super().__init__(few)
        self._rest, self._everyone = rest, frozenset(range(count))
        # Who asks again while somebody has the set gets the same object, and compares by that.
        self._made: WeakValueDictionary[PodPeer, Members] = WeakValueDictionary()

    def __missing__(self, peer: PodPeer) -> Members:
        made = self._made.get(peer)
        if made is None:
            made = self._made[peer] = self._everyone - self._rest[peer]
        return made

    def knows(self, peer: PodPeer) -> bool:
        """Whether it is known what a peer selects."""
        return peer in self or peer in self._rest

    def among(self, peer: PodPeer, some: AbstractSet[int]) -> AbstractSet[int]:
        """Those of `some` that a peer selects, at the cost of `some` or less."""
        rest = self._rest.get(peer)
        return some & self[peer] if rest is None else some - rest


@dataclass(frozen=True, slots=True, eq=False)
class Identification:
    """Identities in order of their first pod, the members of each subject and peer, and the
    addresses of the nodes that are peers.
    """

    identities: tuple[Identity, ...]
    members: Selected
    nodes: Mapping[NodePeer, NodeAnswer]


@dataclass(slots=True)
class _Group:
    """Pods of one namespace that agree on the labels and port names in use."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    ports: ContainerPorts
    pods: list[Pod]
    closed: bool


def identify(cluster: Cluster, policies: Sequence[Policy]) -> Identification:
    """Identities of a cluster as far as these policies can see."""
    spoken = _spoken(policies)
    selections = dict.fromkeys(policy.subject for policy in policies)
    selections |= dict.fromkeys([peer for peer in spoken if isinstance(peer, PodPeer)])
    groups = _group(cluster, _keys(selections), _port_names(policies))
    few: dict[PodPeer, Members] = {}
    rest: dict[PodPeer, Members] = {}
    signatures: list[list[int]] = [[] for _ in groups]
    everyone = frozenset(range(len(groups)))
    outside: dict[Members, Members] = {}
    matched = _select(cluster, selections, groups)
    for number, (peer, (among, excluded)) in enumerate(zip(selections, matched, strict=True)):
        # What tells a group from most others: of selectors that select nearly all, who is left.
        if 2 * (len(among) - len(excluded)) > len(groups):
            others = outside.get(among)
            if others is None:
                others = outside[among] = everyone - among
            members = rest[peer] = others | excluded
        else:
            members = few[peer] = among - excluded if excluded else among
        for group in members:
            signatures[group].append(number)
    merged: dict[tuple[tuple[int, ...], ContainerPorts, bool], list[int]] = {}
    for number, group_ in enumerate(groups):
        key = tuple(signatures[number]), group_.ports, group_.closed
        merged.setdefault(key, []).append(number)
    identities, identity_of = _number(merged, groups)
    if identity_of != list(range(len(groups))):
        translate = identity_of.__getitem__
        for own in few, rest:
            own.update({peer: frozenset(map(translate, them)) for peer, them in own.items()})
    nodes = {peer: answer(cluster, peer) for peer in spoken if isinstance(peer, NodePeer)}
    return Identification(identities, Selected(few, rest, len(identities)), nodes)


def pod_peers(policy: Policy) -> Iterator[PodPeer]:
    """The subject of a policy and the pods its rules speak of."""
    yield policy.subject
    for rule in policy.rules:
        if rule.peers is not ANY:
            for peer in rule.peers:
                if isinstance(peer, PodPeer):
                    yield peer


def _spoken(policies: Iterable[Policy]) -> set[Peer]:
    """All peers that rules speak of; of lists that rules share, each is looked at once."""
    lists = {id(rule.peers): rule.peers for policy in policies for rule in policy.rules}
    return {peer for peers in lists.values() if peers is not ANY for peer in peers}


def _keys(selections: Iterable[PodPeer]) -> set[str]:
    return {need.key for peer in selections for need in peer.pods.requirements}


def _port_names(policies: Iterable[Policy]) -> set[str]:
    lists = {id(rule.ports): rule.ports for policy in policies for rule in policy.rules}
    return {
        port.name
        for ports in lists.values()
        if ports is not ANY
        for port in ports
        if isinstance(port, NamedPort)
    }


def _group(cluster: Cluster, keys: set[str], port_names: set[str]) -> list[_Group]:
    groups: dict[tuple[str, tuple[tuple[str, str], ...], ContainerPorts], _Group] = {}
    closed: list[Pod] = []
    ports_in_use: dict[ContainerPorts, ContainerPorts] = {}
    for pod in cluster.pods:
        if pod.host_network:
            continue
        if pod.closed:
            closed.append(pod)
            continue
        ports = ports_in_use.get(pod.ports)
        if ports is None:
            ports = tuple(port for port in pod.ports if port[0] in port_names)
            ports_in_use[pod.ports] = ports
        labels = tuple(sorted(item for item in pod.labels.items() if item[0] in keys))
        key = (pod.namespace, labels, ports)
        group = groups.get(key)
        if group is None:
            groups[key] = _Group(pod.namespace, labels, ports, [pod], closed=False)
        else:
            group.pods.append(pod)
    found = list(groups.values())
    return [*found, _Group("", (), (), closed, closed=True)] if closed else found


def selected(cluster: Cluster, selections: Iterable[PodPeer]) -> Iterator[int]:
    """How many pods each subject or peer selects, one after the other."""
    own = tuple(selections)
    groups = _group(cluster, _keys(own), set())
    pods = [len(group.pods) for group in groups]
    totals: dict[Members, int] = {}
    for among, excluded in _select(cluster, own, groups):
        total = totals.get(among)
        if total is None:
            total = totals[among] = sum(pods[number] for number in among)
        yield total - sum(pods[number] for number in excluded)


def _select(
    cluster: Cluster, selections: Iterable[PodPeer], groups: list[_Group]
) -> Iterator[tuple[Members, Members]]:
    """The groups among which each subject or peer selects, and those of them it does not."""
    pods = LabelIndex(group.labels for group in groups)
    names = list(cluster.namespaces)
    unsure = [number for number, name in enumerate(names) if cluster.namespaces[name].unsure]
    spaces = LabelIndex((cluster.namespaces[name].labels.items() for name in names), unsure)
    inside: dict[str, list[int]] = {}
    for number, group in enumerate(groups):
        if not group.closed:
            inside.setdefault(group.namespace, []).append(number)
    everyone = frozenset(number for number, group in enumerate(groups) if not group.closed)
    members_in = {name: frozenset(members) for name, members in inside.items()}
    matched_spaces: dict[Selector, Members] = {}

    def within(namespaces: str | Selector) -> Members:
        if isinstance(namespaces, str):
            return members_in.get(namespaces, NONE)
        known = matched_spaces.get(namespaces)
        if known is None:
            found = spaces.matching(namespaces)
            if len(found) == len(names):
                known = everyone
            else:
                known = NONE.union(*(members_in.get(names[number], NONE) for number in found))
            matched_spaces[namespaces] = known
        return known

    for peer in selections:
        yield pods.divided(peer.pods, within(peer.namespaces))


def _number(
    merged: dict[tuple[tuple[int, ...], ContainerPorts, bool], list[int]], groups: list[_Group]
) -> tuple[tuple[Identity, ...], list[int]]:
    """Identities numbered by their first pod, whatever order the input had."""
    found: list[tuple[tuple[str, str], list[Pod], ContainerPorts, list[int]]] = []
    for (_, ports, _), numbers in merged.items():
        pods = [pod for number in numbers for pod in groups[number].pods]
        if len(numbers) > 1:
            pods.sort(key=lambda pod: (pod.namespace, pod.name))
        found.append(((pods[0].namespace, pods[0].name), pods, ports, numbers))
    found.sort(key=lambda entry: entry[0])
    identity_of = [0] * len(groups)
    identities = []
    for number, (_, pods, ports, members) in enumerate(found):
        identities.append(Identity(number, tuple(pods), ports, pods[0].closed))
        for group in members:
            identity_of[group] = number
    return tuple(identities), identity_of
