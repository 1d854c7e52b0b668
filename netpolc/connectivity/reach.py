"""Which ports one end may reach at another: the meaning of a Program for whole sets of flows.

Comes in: a `Program`. Goes out: for two *places* the ports that the egress of one and the ingress
of the other admit together, and the rules that do. A place is what rules see of an end: its
identity, and which of their blocks hold its address; ends that agree in both share a place, so the
work follows the number of different ends.

A pod with itself and with its own node is never judged (semantics, section 5): that depends on two
single ends, and is not looked at here.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from netpolc.ir import ANY, Action, Direction
from netpolc.nets import EVERY_PORT, EVERYWHERE, NOTHING, Ranges, Span
from netpolc.program import Combination, Match, Program, ResolvedRule, TierRules

Place = int
"""A number that `Reach` gives to ends no rule tells apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Admission:
    """What one direction admits from or to a place.

    `rules` are those whose peers include the place, in the order they are asked; `judge` is None
    when nothing isolates the subject.
    """

    ports: Ranges
    rules: tuple[ResolvedRule, ...]
    judge: Combination | None


class Reach:
    """Answers for one program; what was asked is remembered."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._blocks = Blocks(_networks(program))
        self._places: dict[tuple[int | None, int], Place] = {}
        self._seen: list[tuple[int | None, int]] = []
        self._admissions: dict[tuple[int, Place], Admission] = {}
        self._equal: dict[tuple[int, ...], Admission] = {}
        self._joined: dict[tuple[int, int], Ranges] = {}
        self._sets: dict[Ranges, Ranges] = {}

    def place(self, identity: int | None, address: int | None) -> Place:
        """The place of an end: of a pod or (None) of another, at an address or (None) at none."""
        own = 0 if address is None else self._blocks.holding(address)
        return self._placed(identity, own)

    @property
    def networks(self) -> list[Ranges]:
        """The sets of addresses that rules name."""
        return list(_networks(self.program))

    def outside(self) -> Iterator[tuple[Place, Ranges]]:
        """All addresses that are no pod's, split where a rule splits them."""
        for own, addresses in self._blocks.classes():
            yield self._placed(None, own), addresses

    def _placed(self, identity: int | None, own: int) -> Place:
        place = self._places.setdefault((identity, own), len(self._seen))
        if place == len(self._seen):
            self._seen.append((identity, own))
        return place

    def ports(self, source: Place, destination: Place) -> Ranges:
        """The ports of a destination that a source reaches, on the port line."""
        egress = self.admission(Direction.EGRESS, source, destination)
        ingress = self.admission(Direction.INGRESS, destination, source)
        key = id(egress.ports), id(ingress.ports)  # both are kept, so the numbers stay theirs
        known = self._joined.get(key)
        if known is None:
            known = self._joined[key] = self._same(egress.ports & ingress.ports)
        return known

    def _same(self, ports: Ranges) -> Ranges:
        """One object for equal sets: then they compare and hash by number."""
        return self._sets.setdefault(ports, ports)

    def admission(self, direction: Direction, subject: Place, peer: Place) -> Admission:
        """What one direction of a subject admits from or to a peer."""
        judge = self.judge(direction, subject)
        if judge is None:
            return _OPEN
        key = id(judge), peer
        known = self._admissions.get(key)
        if known is None:
            known = self._admissions[key] = self._judged(judge, *self._seen[peer])
        return known

    def judge(self, direction: Direction, subject: Place) -> Combination | None:
        """What judges a place in a direction; None when nothing isolates it."""
        identity = self._seen[subject][0]
        return None if identity is None else self.program.combination_of.get((direction, identity))

    def seen(self, place: Place) -> tuple[int | None, int]:
        """The identity at a place, and a number for the blocks that hold its address."""
        return self._seen[place]

    def holds(self, match: Match, own: int) -> bool:
        """Whether the networks of a match hold the addresses that have this number."""
        if match.networks is ANY:
            return True
        return bool(own and match.networks and own & self._blocks.bit(match.networks))

    def _judged(self, judge: Combination, identity: int | None, own: int) -> Admission:
        matching = [
            [rule for rule in tier.rules if self._has(rule.match, identity, own)]
            for tier in judge.tiers
        ]
        key = (id(judge), *(id(rule) for rules in matching for rule in rules))
        known = self._equal.get(key)
        if known is None:
            admitted = self._same(_admitted(zip(judge.tiers, matching, strict=True)))
            rules = tuple(rule for rules in matching for rule in rules)
            known = self._equal[key] = Admission(admitted, rules, judge)
        return known

    def _has(self, match: Match, identity: int | None, own: int) -> bool:
        return match.identities is ANY or identity in match.identities or self.holds(match, own)


_OPEN = Admission(EVERY_PORT, (), None)


def _admitted(tiers: Iterable[tuple[TierRules, list[ResolvedRule]]]) -> Ranges:
    """The ports that come through the tiers: the first match of a port decides in each."""
    admitted, undecided = NOTHING, EVERY_PORT
    for tier, rules in tiers:
        passed = NOTHING
        for rule in rules:
            taken = undecided if rule.match.ports is ANY else undecided & rule.match.ports
            undecided -= taken
            if rule.action is Action.ACCEPT:
                admitted |= taken
            elif rule.action is Action.PASS:
                passed |= taken
        if tier.default is Action.ACCEPT:
            admitted |= undecided
        undecided = passed | undecided if tier.default is Action.PASS else passed
    return admitted | undecided


def _networks(program: Program) -> Iterator[Ranges]:
    for combination in program.combinations:
        for tier in combination.tiers:
            for rule in tier.rules:
                if rule.match.networks is not ANY and rule.match.networks:
                    yield rule.match.networks


class Blocks:
    """The address line, cut where any of some networks begins or ends.

    A set of networks is an integer with a bit for each.
    """

    def __init__(self, networks: Iterable[Ranges]) -> None:
        bits: dict[Ranges, int] = {}
        self._bits: dict[int, int] = {}  # by `id`: the program keeps them, and they are long
        edges: dict[int, int] = dict.fromkeys((first for first, _ in EVERYWHERE), 0)
        for own in {id(own): own for own in networks}.values():
            is_new = own not in bits
            bit = self._bits[id(own)] = bits.setdefault(own, 1 << len(bits))
            for first, last in own if is_new else ():
                edges[first] = edges.get(first, 0) ^ bit
                edges[last + 1] = edges.get(last + 1, 0) ^ bit
        self._starts = sorted(edges)
        self._holding: list[int] = []
        holding = 0
        for start in self._starts:
            holding ^= edges[start]
            self._holding.append(holding)

    def bit(self, networks: Ranges) -> int:
        """The bit of one of the networks."""
        return self._bits[id(networks)]

    def holding(self, address: int) -> int:
        """The networks that hold an address."""
        return self._holding[bisect_right(self._starts, address) - 1]

    def classes(self) -> Iterator[tuple[int, Ranges]]:
        """Sets of networks with the addresses in exactly those, each family by itself."""
        for family in EVERYWHERE:
            found: dict[int, list[Span]] = {}
            for start, end, holding in zip(
                self._starts, [*self._starts[1:], family[1] + 1], self._holding, strict=True
            ):
                if family[0] <= start <= family[1]:
                    found.setdefault(holding, []).append((start, min(end - 1, family[1])))
            for holding, spans in found.items():
                yield holding, Ranges.of(spans)
