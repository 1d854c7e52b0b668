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
from functools import cached_property

from netpolc.core.ir import ANY, Action, Direction, Origin
from netpolc.core.nets import (
    EVERY_PORT,
    EVERYWHERE,
    NOTHING,
    Family,
    Ranges,
    Span,
    as_key,
    family,
    numbers,
    split,
)
from netpolc.core.program import Combination, Match, Program, ResolvedRule, Run, Stage
from netpolc.core.unions import Union

MANY_RULES = 64
"""From so many on the rules of a stage are indexed by their peers."""
Place = int
"""A number that `Reach` gives to ends no rule tells apart."""


@dataclass(frozen=True, slots=True, eq=False)
class Admission:
    """What one direction admits from or to a place; `judge` is None when nothing judges the
    subject. `matching` has for each stage of the judge a bit for each rule.
    """

    ports: Ranges
    judge: Combination | None = None
    matching: tuple[int, ...] = ()

    @property
    def rules(self) -> tuple[ResolvedRule, ...]:
        """Those whose peers include the place, in the order they are asked."""
        return tuple(rule for stage, bits in self._stages for rule in _rules(stage, bits))

    @property
    def _stages(self) -> Iterator[tuple[Stage, int]]:
        stages = self.judge.tiers if self.judge is not None else ()
        return zip(stages, self.matching, strict=True)

    def ruling(self, number: int) -> Ruling:
        """What decides a port (of the port line)."""
        for stage, matching in self._stages:
            ruling = _ruling(stage, matching, number)
            if ruling.action is not Action.PASS:
                return ruling
        return Ruling(Action.ACCEPT)


@dataclass(frozen=True, slots=True)
class Ruling:
    """What decides a flow: rules of one run (each would do alone), else the policies that isolate,
    else nothing, where every stage passes.
    """

    action: Action
    rules: tuple[ResolvedRule, ...] = ()
    isolating: tuple[Origin, ...] = ()


def _ruling(stage: Stage, matching: int, number: int) -> Ruling:
    for run, own in _by_run(stage, matching):
        found = (rule for rule in _rules(stage, own) if number in _ports(rule.match))
        if rules := tuple(found):
            return Ruling(run.action, rules)
    return Ruling(stage.default, (), stage.policies)


def _by_run(stage: Stage, matching: int) -> Iterator[tuple[Run, int]]:
    """Each run with its part of the bits of a stage."""
    first = 0
    for run in stage.runs:
        after = first + len(run.rules)
        yield run, matching & (1 << after) - (1 << first)
        first = after


def _rules(stage: Stage, matching: int) -> Iterator[ResolvedRule]:
    return map(stage.rules.__getitem__, numbers(matching))


class Reach:
    """Answers for one program; what was asked is remembered."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._blocks = Blocks(_networks(program))
        self._places: dict[tuple[int | None, bytes], Place] = {}
        self._seen: list[tuple[int | None, int]] = []
        self._admissions: dict[tuple[int, Place], Admission] = {}
        self._equal: dict[tuple[int, tuple[bytes, ...]], Admission] = {}
        self._by_peer: dict[int, _RuleIndex] = {}
        self._joined: dict[tuple[int, int], Ranges] = {}
        self._sets: dict[Ranges, Ranges] = {}

    def place(self, identity: int | None, address: int) -> Place:
        """The place of an end: of a pod or (None) of another, at an address."""
        return self._placed(identity, self._blocks.holding(address))

    def somewhere(self, identity: int, version: Family) -> Place:
        """The place of a pod that has no address yet: in the blocks of the whole family."""
        return self._placed(identity, self._blocks.everywhere[version])

    @property
    def networks(self) -> list[Ranges]:
        """The sets of addresses that rules name."""
        return list(_networks(self.program))

    def outside(self) -> Iterator[tuple[Place, Ranges]]:
        """All addresses that are no pod's, split where a rule splits them."""
        for own, addresses in self._blocks.classes():
            yield self._placed(None, own), addresses

    def _placed(self, identity: int | None, own: int) -> Place:
        place = self._places.setdefault((identity, as_key(own)), len(self._seen))
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
        """What judges a place in a direction; None when nothing does."""
        identity = self._seen[subject][0]
        return None if identity is None else self.program.combination_of.get((direction, identity))

    def seen(self, place: Place) -> tuple[int | None, int]:
        """The identity at a place, and a number for the blocks that hold its address."""
        return self._seen[place]

    def block(self, networks: Ranges) -> int:
        """The number of a rule's networks: its bit in the numbers of places."""
        return self._blocks.bit(networks).bit_length() - 1

    def holds(self, match: Match, own: int) -> bool:
        """Whether the networks of a match hold the addresses that have this number."""
        if match.networks is ANY:
            return True
        return bool(match.networks and own & self._blocks.bit(match.networks))

    def _judged(self, judge: Combination, identity: int | None, own: int) -> Admission:
        matching = tuple(self._matching(stage, identity, own) for stage in judge.tiers)
        key = id(judge), tuple(map(as_key, matching))
        known = self._equal.get(key)
        if known is None:
            admitted = self._same(self._admitted(zip(judge.tiers, matching, strict=True)))
            known = self._equal[key] = Admission(admitted, judge, matching)
        return known

    def _matching(self, stage: Stage, identity: int | None, own: int) -> int:
        """A bit for each rule of a stage that has a peer."""
        if len(stage.rules) >= MANY_RULES:
            return self._index(stage).matching(identity, own)
        return sum(
            1 << number
            for number, rule in enumerate(stage.rules)
            if self._has(rule.match, identity, own)
        )

    def _index(self, stage: Stage) -> _RuleIndex:
        index = self._by_peer.get(id(stage))
        if index is None:
            index = self._by_peer[id(stage)] = _RuleIndex(stage, self._blocks)
        return index

    def _admitted(self, stages: Iterable[tuple[Stage, int]]) -> Ranges:
        """The ports that come through the stages: the first run with a match decides in each."""
        admitted, undecided = NOTHING, EVERY_PORT
        for stage, matching in stages:
            decided = passed = NOTHING
            for run, own in _by_run(stage, matching):
                taken = undecided & self._union(stage, own)
                if decided:
                    taken -= decided
                decided |= taken
                if run.action is Action.ACCEPT:
                    admitted |= taken
                elif run.action is Action.PASS:
                    passed |= taken
            if stage.default is Action.ACCEPT:
                admitted |= undecided - decided
            elif stage.default is Action.PASS:
                passed |= undecided - decided
            undecided = passed
        return admitted | undecided

    def _union(self, stage: Stage, matching: int) -> Ranges:
        """The ports of some rules of a stage."""
        if matching.bit_count() < MANY_RULES:
            return Ranges.union(_ports(rule.match) for rule in _rules(stage, matching))
        return self._index(stage).ports.of(matching)

    def _has(self, match: Match, identity: int | None, own: int) -> bool:
        return match.identities is ANY or identity in match.identities or self.holds(match, own)


class _RuleIndex:
    """The rules of a stage by the peers they have, as a bit for each rule."""

    def __init__(self, stage: Stage, blocks: Blocks) -> None:
        self._stage = stage
        self._anybody = 0
        self._of_identity: dict[int, int] = {}
        self._of_block: dict[int, int] = {}
        for number, match in enumerate(rule.match for rule in stage.rules):
            if match.identities is ANY or match.networks is ANY:
                self._anybody |= 1 << number
                continue
            for identity in match.identities:
                self._of_identity[identity] = self._of_identity.get(identity, 0) | 1 << number
            if match.networks:
                bit = blocks.bit(match.networks).bit_length() - 1
                self._of_block[bit] = self._of_block.get(bit, 0) | 1 << number
        self._blocks = sum(1 << bit for bit in self._of_block)
        self._held = self._holding = 0

    @cached_property
    def ports(self) -> Union:
        """The ports of some of the rules."""
        return Union([_ports(rule.match) for rule in self._stage.rules])

    def matching(self, identity: int | None, own: int) -> int:
        """The rules that have an identity, or the blocks of a number."""
        own &= self._blocks
        for bit in numbers(self._held ^ own):  # a rule has one set of blocks: others stay
            self._holding ^= self._of_block[bit]
        self._held = own
        of_identity = 0 if identity is None else self._of_identity.get(identity, 0)
        return self._anybody | of_identity | self._holding


_OPEN = Admission(EVERY_PORT)


def _ports(match: Match) -> Ranges:
    return EVERY_PORT if match.ports is ANY else match.ports


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
        by_id = {id(own): own for own in networks}
        distinct = {own: 2 << number for number, own in enumerate(dict.fromkeys(by_id.values()))}
        self._bits = {number: distinct[own] for number, own in by_id.items()}
        # By `id`: the program keeps them, and they are long. Bit 0 is held by every address.
        self._spans = list(split([EVERYWHERE, *distinct]))

    def bit(self, networks: Ranges) -> int:
        """The bit of one of the networks."""
        return self._bits[id(networks)]

    def holding(self, address: int) -> int:
        """The networks that hold an address."""
        return self._spans[bisect_right(self._spans, address, key=_start) - 1][1]

    @cached_property
    def everywhere(self) -> dict[Family, int]:
        """The networks that hold every address of a family."""
        found = dict.fromkeys(Family, -1)
        for held, addresses in self.classes():
            found[family(addresses.spans[0][0])] &= held
        return found

    def classes(self) -> Iterator[tuple[int, Ranges]]:
        """Sets of networks with the addresses in exactly those, each family by itself."""
        found: dict[tuple[Family, bytes], tuple[int, list[Span]]] = {}
        for span, holding in self._spans:
            key = family(span[0]), as_key(holding)
            found.setdefault(key, (holding, []))[1].append(span)
        for holding, spans in found.values():
            yield holding, Ranges.of(spans)


def _start(entry: tuple[Span, int]) -> int:
    return entry[0][0]
