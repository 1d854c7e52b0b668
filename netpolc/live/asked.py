"""What the rules of one node ask, and what becomes of a table when somebody answers.

Comes in: the scoped policies of a node, its Program, and what `lower` says that it used. Goes out:
for a class of pods its `Answered`: the sets that its addresses are elements of, the numbers that
layouts follow, and whether there is more to it. Which of many questions a class answers is found
(`Selections`) at the cost of those that it may answer. Questions with blocks, or for what others
left over (`Question.rest_of`), are not for one pod to answer alone. Nothing is refused.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from netpolc.backends.nft.lower.facts import Dependencies, size_class
from netpolc.core.cluster import ContainerPorts, Pod
from netpolc.core.ir import ANY, Any_, Direction, Operator, PodPeer, Policy, Rule, Selector, Tier
from netpolc.core.labels import selects
from netpolc.core.nets import IPV6
from netpolc.core.program import Program, Question, ResolvedRule
from netpolc.live.maps import LiveMap
from netpolc.live.scope import ClassKey, Labels
from netpolc.passes.ports import asked_names, numbers_behind


class Crowd:
    """How many addresses answer some questions, and the class of that which layouts know."""

    __slots__ = ("_known", "_v4", "_v6")

    def __init__(self, v4: int, v6: int) -> None:
        self._v4, self._v6, self._known = v4, v6, size_class(max(v4, v6))

    def add(self, v4: int, v6: int, pods: int) -> bool:
        """Count more of them; whether the class is still the one that is known."""
        self._v4 += v4
        self._v6 += v6
        return size_class(max(self._v4, self._v6)) == self._known


class Presence:
    """How many pods answer a question, and whether any did."""

    __slots__ = ("_known", "_pods")

    def __init__(self, pods: int) -> None:
        self._pods, self._known = pods, pods > 0

    def add(self, v4: int, v6: int, pods: int) -> bool:
        """Count more of them; whether there are some if there were."""
        self._pods += pods
        return (self._pods > 0) is self._known


class Answered(NamedTuple):
    """What pods of a class answer: names of sets by family, maps each with the questions of it as
    bits, what is counted, whether their
    addresses are noted, and why they are more than elements (empty where they are not).
    """

    v4: tuple[str, ...]
    v6: tuple[str, ...]
    maps: tuple[tuple[LiveMap, int], ...]
    counts: tuple[Crowd | Presence, ...]
    noted: bool
    lost: str


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


class NodeQuestions:
    """The questions of one node."""

    def __init__(
        self,
        program: Program,
        identities: Iterable[int],
        policies: Iterable[Policy],
        used: Sequence[Dependencies],
        maps: Iterable[LiveMap],
        labels_of: Callable[[str], Labels],
    ) -> None:
        self._numbers: dict[Question, int] = {}
        self._sets: dict[int, list[str]] = {}
        self._counts: dict[int, list[Crowd | Presence]] = {}
        self._program = program
        self._noted = {self._number(own) for own in _noted(program, identities)}
        self._mapped: dict[int, list[tuple[LiveMap, int]]] = {}
        for own in used:
            self._use(own)
        for each in maps:
            for place, some in enumerate(each.asked):
                for question in some:
                    bits = self._mapped.setdefault(self._number(question), [])
                    bits.append((each, 1 << place))
        egress = [rule for own in policies for rule in own.rules if _asks_by_name(rule)]
        in_blocks = [asked_names(rule.ports) for rule in egress if _has_blocks(rule)]
        by_address = {name for names in in_blocks for name in names}
        self._by_address = {(own.name, int(own.protocol)) for own in by_address}
        named = [Question(_asked_peers(own), asked_names(own.ports)) for own in egress]
        self._named, self._asking = Selections([_peers(o) for o in named], labels_of), named
        self._rows = [
            [{self._number(own.questions[one]) for one in some} for some in row]
            for own in used
            for row in own.grouped
        ]
        self._together: list[dict[frozenset[int], Presence]] = [{} for _ in self._rows]
        watched = {self._number(own) for own in self._numbers if own.named}
        watched |= {self._number(own) for own in _of_tiers(policies)}
        self._selections = Selections(list(self._numbers), labels_of)
        self._watch(watched, program)

    def answers(self, key: ClassKey) -> Answered:
        """What pods of a class answer."""
        namespace, labels, ports = key[0], dict(key[1]), key[2]
        found = self._selections.answered(namespace, labels, ports)
        names = dict.fromkeys(name for own in found for name in self._sets.get(own, ()))
        counts = {id(c): c for own in found for c in self._counts.get(own, ())}
        groups = [
            known.get(group)
            for known, group in zip(self._together, self._groups(found), strict=True)
            if group
        ]
        counts.update((id(own), own) for own in groups if own is not None)
        lost = "a group of peers that was not there" if None in groups else ""
        if ports and self._is_new(key):
            lost = "named ports"
        return Answered(
            tuple(name for name in names if name.startswith("s4")),
            tuple(name for name in names if name.startswith("s6")),
            self._in_maps(found),
            tuple(counts.values()),
            not self._noted.isdisjoint(found),
            lost,
        )

    def are_noted(self, identities: Iterable[int]) -> bool:
        """Whether the rules for some identities ask all that those of the node asked."""
        return {self._number(own) for own in _noted(self._program, identities)} == self._noted

    def forget(self) -> None:
        """Namespaces have other labels from now on."""
        self._selections.forget()
        self._named.forget()

    def _number(self, question: Question) -> int:
        return self._numbers.setdefault(question, len(self._numbers))

    def _use(self, used: Dependencies) -> None:
        """Note whose answers are in what."""
        questions = used.questions
        for name, several in used.sets.items():
            for own in several:
                self._sets.setdefault(self._number(questions[own]), []).append(name)
        for several, (v4, v6) in used.counted.items():
            count = Crowd(v4, v6)
            for own in several:
                self._counts.setdefault(self._number(questions[own]), []).append(count)

    def _in_maps(self, found: Iterable[int]) -> tuple[tuple[LiveMap, int], ...]:
        """The maps that such pods are in, with what they answer of what each asks."""
        answered = Counter[LiveMap]()
        for number in found:
            for own, bit in self._mapped.get(number, ()):
                answered[own] |= bit
        return tuple(answered.items())

    def _groups(self, found: Iterable[int]) -> list[frozenset[int]]:
        """Which of each row some pods answer together."""
        own = set(found)
        return [
            frozenset(at for at, some in enumerate(row) if not own.isdisjoint(some))
            for row in self._rows
        ]

    def _watch(self, watched: set[int], program: Program) -> None:
        """Count who answers what matters as soon as anybody does."""
        if not watched and not self._rows:
            return
        pods = dict.fromkeys(watched, 0)
        groups = [Counter[frozenset[int]]() for _ in self._rows]
        for identity in program.identities:
            if identity.pods and not identity.closed:
                one = identity.pods[0]
                own = self._selections.answered(one.namespace, one.labels, identity.ports)
                for number in watched.intersection(own):
                    pods[number] += len(identity.pods)
                for counter, group in zip(groups, self._groups(own), strict=True):
                    counter[group] += len(identity.pods)
        for number, count in pods.items():
            self._counts.setdefault(number, []).append(Presence(count))
        self._together = [
            {group: Presence(count) for group, count in counter.items()} for counter in groups
        ]

    def _is_new(self, key: ClassKey) -> bool:
        """Whether rules that ask for ports by name would be others with such pods."""
        namespace, labels, ports = key
        if any(own[:2] in self._by_address for own in ports):
            return True
        for number in self._named.answered(namespace, dict(labels), ports):
            own = self._asking[number]
            numbers = numbers_behind(own.named, ports)
            if numbers and Question(own.peers, own.named, numbers) not in self._numbers:
                return True
        return False


def addresses_of(pod: Pod) -> tuple[list[int], list[int]]:
    """The addresses of a pod by family."""
    v4 = [own for own in pod.addresses if own < IPV6]
    return v4, [own for own in pod.addresses if own >= IPV6]


def is_of_pods(question: Question) -> bool:
    """Whether it asks for some pods, and not for anybody."""
    return question.peers is not ANY or bool(question.named)


def _noted(program: Program, identities: Iterable[int]) -> Iterator[Question]:
    """What rules for some identities ask: the addresses of whoever answers are noted."""
    keys = ((way, own) for own in identities for way in Direction)
    judging = {id(c): c for key in keys if (c := program.combination_of.get(key)) is not None}
    rules: dict[int, ResolvedRule] = {}
    for combination in judging.values():
        for stage in combination.tiers:
            rules.update((id(rule), rule) for rule in stage.questions)
    for rule in rules.values():
        if rule.question is not None and is_of_pods(rule.question):
            yield rule.question


def _of_tiers(policies: Iterable[Policy]) -> Iterator[Question]:
    """The peers of rules of ordered tiers: such a rule is only there if somebody answers."""
    for policy in policies:
        if policy.tier is not Tier.NETWORK_POLICY:
            for rule in policy.rules:
                peers = _asked_peers(rule)
                if peers is not ANY and peers:
                    yield Question(peers)


def _peers(question: Question) -> Question:
    return Question(question.peers)


def _asks_by_name(rule: Rule) -> bool:
    return rule.direction is Direction.EGRESS and bool(asked_names(rule.ports))


def _has_blocks(rule: Rule) -> bool:
    return rule.peers is not ANY and any(not isinstance(own, PodPeer) for own in rule.peers)


def _asked_peers(rule: Rule) -> tuple[PodPeer, ...] | Any_:
    """The pods that a rule speaks of."""
    if rule.peers is ANY:
        return ANY
    return tuple([peer for peer in rule.peers if isinstance(peer, PodPeer)])
