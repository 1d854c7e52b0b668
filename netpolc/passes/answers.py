"""Answers selectors and names of ports one at a time, for those who tell people about them.

Comes in: some pods and namespaces. Goes out: the numbers of those that a selector, a subject or a
peer selects (closed pods are in no answer), and what is behind the names of their ports. Nothing is
refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from netpolc.core.cluster import ContainerPorts, Namespace, Pod
from netpolc.core.ir import NamedPort, PodPeer, Selector
from netpolc.core.labels import NONE, LabelIndex, Members


class Answers:
    """Which of some pods each subject or peer selects, asked once."""

    def __init__(self, pods: Sequence[Pod], spaces: Sequence[Namespace]) -> None:
        self._pods = LabelIndex(pod.labels.items() for pod in pods)
        unsure = (number for number, space in enumerate(spaces) if space.unsure)
        self._spaces = LabelIndex((space.labels.items() for space in spaces), unsure)
        self._names = [space.name for space in spaces]
        inside: dict[str, set[int]] = {}
        for number, pod in enumerate(pods):
            if not pod.closed:
                inside.setdefault(pod.namespace, set()).add(number)
        self._inside = {name: frozenset(members) for name, members in inside.items()}
        self._known: dict[PodPeer, Members] = {}
        self._within: dict[Selector, Members] = {}

    def namespaces(self, selector: Selector) -> Members:
        """The namespaces a selector matches, by number."""
        return self._spaces.matching(selector)

    def members(self, peer: PodPeer) -> Members:
        """The pods a subject or a peer selects, by number."""
        known = self._known.get(peer)
        if known is None:
            known = self._known[peer] = self._pods.matching(peer.pods, self._in(peer.namespaces))
        return known

    def _in(self, namespaces: str | Selector) -> Members:
        if isinstance(namespaces, str):
            return self._inside.get(namespaces, NONE)
        if namespaces not in self._within:
            found = (self._inside.get(self._names[n], NONE) for n in self.namespaces(namespaces))
            self._within[namespaces] = NONE.union(*found)
        return self._within[namespaces]


class PortNumbers:
    """The numbers that some lists of ports, each of a pod or an identity, have behind a name."""

    def __init__(self, lists: Iterable[ContainerPorts]) -> None:
        found: dict[tuple[str, int], dict[int, set[int]]] = {}
        for member, ports in enumerate(lists):
            for name, protocol, number in ports:
                having = found.setdefault((name, protocol), {})
                having.setdefault(number, set()).add(member)
        self._having = {port: sorted(numbers.items()) for port, numbers in found.items()}

    def behind(self, port: NamedPort, members: Members) -> list[int]:
        """The different numbers that some of the lists have behind a name, in order."""
        having = self._having.get((port.name, port.protocol), ())
        return [number for number, own in having if not own.isdisjoint(members)]
