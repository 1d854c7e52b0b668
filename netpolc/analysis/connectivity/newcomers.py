"""Pods that do not exist yet, one for each kind of pod that policies speak of.

Comes in: a snapshot. Goes out: the same with representatives in it: for each pod selector of its
policies, in every namespace that selector is meant for, a pod that has just the labels it asks for
and pods that have what it refuses; in every namespace a pod without labels; and all of these in
namespaces that do not exist yet, made from the namespace selectors in the same way. Nothing of what
policies mean is stated again: representatives are compiled as pods are. They have no address and no
named port, and brackets in their names, which no object of a cluster has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cache
from itertools import count

from netpolc.core.cluster import NAME_LABEL, Namespace, Pod, Snapshot
from netpolc.core.ir import SELECT_ALL, Operator, Origin, PodPeer, Requirement, Selector
from netpolc.core.labels import LabelIndex, selects
from netpolc.passes.identify import pod_peers

Labels = dict[str, str]
Fresh = Mapping[str, str]
"""For each key a value that no selector names."""
ANY_POD = "[any pod]"
ANY_NAMESPACE = "[any new namespace]"


@dataclass(frozen=True, slots=True, eq=False)
class Newcomers:
    """A snapshot with representatives in it, and those alone, in order of their names."""

    snapshot: Snapshot
    pods: tuple[Pod, ...]


def with_newcomers(snapshot: Snapshot) -> Newcomers:
    """Add a representative of every kind of pod that policies speak of."""
    cluster = snapshot.cluster
    peers = dict.fromkeys(peer for policy in snapshot.policies for peer in pod_peers(policy))
    new = _is_new(cluster.namespaces)
    of_spaces = dict.fromkeys(
        (SELECT_ALL, *(p.namespaces for p in peers if isinstance(p.namespaces, Selector)))
    )
    fresh = _fresh([new, *of_spaces, *(peer.pods for peer in peers)])
    namespaces = {**cluster.namespaces, **_namespaces(of_spaces, new, fresh)}
    pods = tuple(
        _pod(space, name, labels)
        for (space, name), labels in sorted(_labels(peers, namespaces, fresh).items())
    )
    everyone = sorted((*cluster.pods, *pods), key=lambda pod: (pod.namespace, pod.name))
    extended = replace(cluster, namespaces=dict(sorted(namespaces.items())), pods=tuple(everyone))
    return Newcomers(replace(snapshot, cluster=extended), pods)


def _is_new(existing: Iterable[str]) -> Selector:
    """What is true of a namespace that does not exist yet: it has a name, and none of these."""
    named = Requirement(NAME_LABEL, Operator.EXISTS)
    return Selector(
        frozenset({named, Requirement(NAME_LABEL, Operator.NOT_IN, frozenset(existing))})
    )


def _fresh(selectors: Iterable[Selector]) -> Fresh:
    used: dict[str, set[str]] = {}
    for selector in selectors:
        for need in selector.requirements:
            used.setdefault(need.key, set()).update(need.values)
    return {
        key: next(text for n in count() if (text := f"other-{n}") not in values)
        for key, values in used.items()
    }


def _namespaces(selectors: Iterable[Selector], new: Selector, fresh: Fresh) -> dict[str, Namespace]:
    found = {}
    for selector in selectors:
        for labels in representatives(selector, fresh, new):
            text = _described(labels, fresh, hidden=NAME_LABEL)
            name = f"[new namespace with {text}]" if text else ANY_NAMESPACE
            found[name] = Namespace(name, labels)
    return found


def _labels(
    peers: Iterable[PodPeer], namespaces: Mapping[str, Namespace], fresh: Fresh
) -> dict[tuple[str, str], Labels]:
    """The labels of each newcomer, by namespace and name."""
    found: dict[tuple[str, str], Labels] = {(space, ANY_POD): {} for space in namespaces}
    names = list(namespaces)
    index = LabelIndex(namespaces[name].labels.items() for name in names)

    @cache
    def spaces(namespaces: str | Selector) -> list[str]:
        if isinstance(namespaces, str):
            return [namespaces]
        return [names[number] for number in index.matching(namespaces)]

    for peer in peers:
        for labels in representatives(peer.pods, fresh):
            text = _described(labels, fresh)
            name = f"[pods with {text}]" if text else ANY_POD
            for space in spaces(peer.namespaces):
                found[space, name] = labels
    return found


def representatives(
    selector: Selector, fresh: Fresh, always: Selector = SELECT_ALL
) -> Iterator[Labels]:
    """Labels that a selector tells apart, and that satisfy what is `always` so.

    First those that satisfy it and have no label more, each value of an `In` once; then those that
    just miss it, having what `NotIn` and `DoesNotExist` refuse. None if nothing satisfies it.
    """
    satisfying = _satisfying(selector.requirements | always.requirements, fresh)
    yield from satisfying
    for need in selector.requirements if satisfying else ():
        if need.operator in (Operator.NOT_IN, Operator.DOES_NOT_EXIST):
            for value in need.values or (fresh[need.key],):
                labels = {**satisfying[0], need.key: value}
                if selects(always, labels):
                    yield labels


def _satisfying(requirements: Iterable[Requirement], fresh: Fresh) -> list[Labels]:
    needs: dict[str, list[Requirement]] = {}
    for need in requirements:
        needs.setdefault(need.key, []).append(need)
    values: dict[str, list[str]] = {}
    for key, own in needs.items():
        operators = {need.operator for need in own}
        asked = [need.values for need in own if need.operator is Operator.IN]
        refused = {v for need in own if need.operator is Operator.NOT_IN for v in need.values}
        if asked:
            values[key] = sorted(frozenset.intersection(*asked) - refused)
        elif Operator.EXISTS in operators:
            values[key] = [fresh[key]]
        if key in values and (Operator.DOES_NOT_EXIST in operators or not values[key]):
            return []
    turns = max(map(len, values.values()), default=1)
    return [{key: own[turn % len(own)] for key, own in values.items()} for turn in range(turns)]


def _described(labels: Labels, fresh: Fresh, hidden: str = "") -> str:
    """As a selector is written; a key alone has a value that no selector names."""
    return ",".join(
        key if value == fresh[key] else f"{key}={value}"
        for key, value in sorted(labels.items())
        if key != hidden or value != fresh[key]
    )


class _Nowhere:
    """Where a newcomer is written: nowhere."""

    def place(self, elements: object = (), at_key: bool = False) -> str:
        return ""

    def excerpt(self, elements: object = ()) -> tuple[tuple[int, str], ...]:
        return ()


def _pod(space: str, name: str, labels: Labels) -> Pod:
    origin = Origin("Pod", space, name, (), _Nowhere())
    return Pod(space, name, labels, (), "", (), False, (), origin)
