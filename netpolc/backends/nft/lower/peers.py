"""Who is admitted on which ports: the rules of a combination, gathered for laying them out.

Comes in: the rules of one combination, all of which accept, and what they ask. Goes out: `Peers` by
ports, and the same turned around: identities by all the ports they are admitted on. Nothing is
refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from msgspec import Struct

from netpolc.backends.nft.lower.questions import PodQuestion, everyone
from netpolc.core.ir import ANY, Any_, Origin
from netpolc.core.labels import NONE, Members
from netpolc.core.nets import NOTHING, Ranges, Span, as_key, edges, numbers
from netpolc.core.program import ResolvedRule
from netpolc.core.unions import Union

Ports = Ranges | Any_


class Peers(Struct):
    """The peers admitted on one set of ports, and the rules that admit them."""

    asked: dict[PodQuestion, list[Origin]] = {}
    several_networks: list[Ranges] = []
    network_origins: list[Origin] = []
    anybody: list[Origin] = []

    def add(self, rule: ResolvedRule, asked: PodQuestion | None) -> None:
        """Admit the peers of a rule, which are pods that answer a question, and blocks."""
        match = rule.match
        if match.identities is ANY or match.networks is ANY:
            self.anybody.append(rule.origin)
            return
        if asked is not None:
            self.asked.setdefault(asked, []).append(rule.origin)
        if match.networks and not (asked is not None and asked.blocks):
            self.several_networks.append(match.networks)
            self.network_origins.append(rule.origin)

    def merge(self, other: Peers) -> None:
        """Admit the peers of another set of ports as well."""
        for asked, origins in other.asked.items():
            self.asked.setdefault(asked, []).extend(origins)
        self.several_networks += other.several_networks
        self.network_origins += other.network_origins
        self.anybody += other.anybody

    def without_pods(self) -> Peers:
        """The same without what pods answer."""
        return Peers({}, self.several_networks, self.network_origins, self.anybody)

    def networks(self) -> Ranges:
        """The blocks of all rules, united when they are asked for and not rule by rule."""
        return Ranges.union(self.several_networks)


def by_ports(
    rules: Iterable[ResolvedRule], asked: Callable[[ResolvedRule], PodQuestion | None]
) -> dict[Ports, Peers]:
    """The peers of each set of ports that some rule names; `ANY` is always there, and last."""
    found: dict[Ports, Peers] = {}
    for rule in rules:
        ports = rule.match.ports
        if ports is ANY or ports:  # a name that nobody has is no port
            found.setdefault(ports, Peers()).add(rule, asked(rule))
    found[ANY] = found.pop(ANY, Peers())
    return found


class Group(Struct, frozen=True):
    """Identities that are admitted on the same ports, these ports as they stand in rules and
    together, and the rules that admit them; `mask` has a bit for each of these ports.
    """

    mask: int
    members: Members
    several: tuple[Ports, ...]
    ports: Ports
    origins: list[Origin]


def groups(classes: dict[Ports, Peers]) -> list[Group]:
    """The identities of some classes by all the ports they are admitted on."""
    named = list(classes)
    asked = [peers.asked for peers in classes.values()]
    everywhere = 1 << named.index(ANY)
    union = Union([NOTHING if ports is ANY else ports for ports in named])
    masks = _masks([everyone(tuple(own)) for own in asked])
    alike: dict[bytes, list[int]] = {}
    for identity in sorted(masks):
        alike.setdefault(as_key(masks[identity]), []).append(identity)
    found = []
    for own in alike.values():
        mask, members = masks[own[0]], frozenset(own)
        origins: list[Origin] = []
        for questions in map(asked.__getitem__, numbers(mask)):
            for question, asking in questions.items():
                if len(questions) == 1 or not question.members.isdisjoint(members):
                    origins += asking
        several = tuple(map(named.__getitem__, numbers(mask)))
        ports = ANY if mask & everywhere else union.of(mask)
        found.append(Group(mask, members, several, ports, origins))
    return found


def _masks(sets: Sequence[Members]) -> dict[int, int]:
    """The members of some sets, each with a bit for every set that has it.

    A set of most members is a bit for all of them, which those it lacks lose again.
    """
    everybody = NONE.union(*sets)
    most = 0
    changed = dict.fromkeys(everybody, 0)
    for number, members in enumerate(sets):
        if 2 * len(members) > len(everybody):
            most |= 1 << number
            members = everybody - members
        for member in members:
            changed[member] ^= 1 << number
    return {member: most ^ bits for member, bits in changed.items()}


@dataclass(frozen=True, slots=True)
class Atoms:
    """Disjoint spans of ports, each with the number of its covering: the sets that hold it."""

    spans: list[tuple[Span, int]]
    coverings: list[tuple[int, ...]]


def atoms(sets: Sequence[Ranges], weights: Sequence[int], most: int) -> Atoms | None:
    """The parts that some sets of ports cut each other into.

    None once the sets of distinct coverings weigh more than `most`: `n` ranges that overlap make
    coverings of `n` sets each, so to write all of them down would cost their number squared.
    """
    found = Atoms([], [])
    numbers: dict[bytes, int] = {}
    covering: set[int] = set()
    bits = weight = weighed = start = 0
    for edge, changing in edges(sets):
        if covering:
            number = numbers.setdefault(as_key(bits), len(numbers))
            if number == len(found.coverings):
                weighed += weight
                if weighed > most:
                    return None
                found.coverings.append(tuple(sorted(covering)))
            found.spans.append(((start, edge - 1), number))
        for own in changing:
            bits ^= 1 << own
            weight += -weights[own] if own in covering else weights[own]
            covering ^= {own}
        start = edge
    return found
