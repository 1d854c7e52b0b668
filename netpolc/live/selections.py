"""Which of many questions a class of pods answers, at the cost of those that it may answer.

Comes in: questions as rules ask them, and the labels of namespaces. Goes out: for the labels, the
namespace and the named ports of a pod the numbers of the questions that it answers. Questions with
blocks, or for what others left over (`Question.rest_of`), are not for one pod to answer alone:
those are not asked here. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from netpolc.core.cluster import ContainerPorts
from netpolc.core.ir import ANY, Operator, PodPeer, Selector
from netpolc.core.labels import selects
from netpolc.core.program import Question
from netpolc.passes.ports import numbers_behind

Labels = Mapping[str, str]
_Anchor = tuple[str | None, str | None, str | None]
"""A namespace, a key and a value that whoever answers has; None where it is not known."""


class Selections:
    """Some questions, found by a label that whoever answers must have."""

    def __init__(self, questions: Sequence[Question], labels_of: Callable[[str], Labels]) -> None:
        self._questions, self._labels_of = questions, labels_of
        self._found_at: dict[_Anchor, list[int]] = {}
        self._spaces: dict[tuple[Selector, str], bool] = {}
        for number, question in enumerate(questions):
            for anchor in dict.fromkeys(_anchors(question)):
                self._found_at.setdefault(anchor, []).append(number)

    def answered(self, namespace: str, labels: Labels, ports: ContainerPorts) -> list[int]:
        """The numbers of the questions that such pods answer."""
        candidates: dict[int, None] = {}
        for anchor in _places(namespace, labels):
            candidates.update(dict.fromkeys(self._found_at.get(anchor, ())))
        return [own for own in candidates if self._answers(own, namespace, labels, ports)]

    def forget(self) -> None:
        """Namespaces have other labels from now on."""
        self._spaces.clear()

    def _answers(self, number: int, namespace: str, labels: Labels, ports: ContainerPorts) -> bool:
        question = self._questions[number]
        if question.named:
            numbers = numbers_behind(question.named, ports)
            if not numbers or numbers != question.numbers:
                return False
        if question.peers is ANY:
            return True
        return any(self.selects(peer, namespace, labels) for peer in question.peers)

    def selects(self, peer: PodPeer, namespace: str, labels: Labels) -> bool:
        """Whether a peer selects such pods."""
        within = peer.namespaces
        if isinstance(within, str):
            if within != namespace:
                return False
        else:
            known = self._spaces.get((within, namespace))
            if known is None:
                known = selects(within, self._labels_of(namespace))
                self._spaces[within, namespace] = known
            if not known:
                return False
        return selects(peer.pods, labels)


def _anchors(question: Question) -> Iterator[_Anchor]:
    if question.peers is ANY:
        yield None, None, None
        return
    for peer in question.peers:
        space = peer.namespaces if isinstance(peer.namespaces, str) else None
        needs = [need for need in peer.pods.requirements if need.operator is Operator.IN]
        if needs:
            need = min(needs, key=lambda own: (len(own.values), own.key))
            yield from ((space, need.key, value) for value in need.values)
            continue
        there = [need for need in peer.pods.requirements if need.operator is Operator.EXISTS]
        yield space, min((need.key for need in there), default=None), None


def _places(namespace: str, labels: Labels) -> Iterator[_Anchor]:
    """Where the questions are that such pods may answer."""
    for space in (namespace, None):
        yield space, None, None
        for key, value in labels.items():
            yield space, key, value
            yield space, key, None
