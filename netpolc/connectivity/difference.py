"""What changes from one snapshot to another: connections, not text.

Comes in: two Programs. Goes out: `Change`s in order of source and destination, each with an example
and the policies that made it so; and the workloads that only one has. Two snapshots that mean the
same have no change, however they are written.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from enum import StrEnum
from functools import cached_property

from netpolc.connectivity.candidates import Candidates
from netpolc.connectivity.pairing import Pair, pairs, union
from netpolc.connectivity.parties import Party
from netpolc.connectivity.reach import Admission, Reach
from netpolc.ir import ANY, Action, Direction, Origin
from netpolc.nets import NOTHING, PORTS, Family, Protocol, Ranges, family, format_address
from netpolc.nets import ports as port_span
from netpolc.program import Program


class Kind(StrEnum):
    """What became of a connection."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Effect(StrEnum):
    """What a policy does, or did, about a flow whose verdict changed."""

    ADMITS = "admitted by"
    ADMITTED = "was admitted by"
    ISOLATES = "isolated by"
    ISOLATED = "was isolated by"


@dataclass(frozen=True, slots=True, eq=False)
class Cause:
    """A policy or rule that a verdict changed by; `origin` is of the new snapshot, or of the old
    one where the effect is past.
    """

    direction: Direction
    effect: Effect
    origin: Origin

    def __str__(self) -> str:
        return f"{self.direction} {self.effect} {self.origin} ({self.origin.place()})"


@dataclass(frozen=True, slots=True)
class Example:
    """One flow that is judged otherwise now; ends are `namespace/pod` or an address."""

    source: str
    destination: str
    protocol: int
    port: int | None
    allowed: bool
    causes: tuple[Cause, ...]

    def __str__(self) -> str:
        names = {int(protocol): protocol.name for protocol in Protocol}
        name = names.get(self.protocol, f"protocol {self.protocol}")
        port = "" if self.port is None else f"/{self.port}"
        verdict = "now allowed" if self.allowed else "now denied"
        return f"{verdict}: {self.source} -> {self.destination} {name}{port}"


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A connection that is not what it was, over the families named."""

    source: Pair
    destination: Pair
    families: tuple[Family, ...]
    old: Ranges
    new: Ranges
    examples: tuple[Example, ...]

    @property
    def kind(self) -> Kind:
        """Added or removed as a whole, or changed."""
        if not self.old:
            return Kind.ADDED
        return Kind.CHANGED if self.new else Kind.REMOVED


class Difference:
    """What two programs do not have in common."""

    def __init__(self, old: Program, new: Program) -> None:
        self._old, self._new = Reach(old), Reach(new)
        self.pairs = pairs(self._old, self._new)

    @cached_property
    def new_workloads(self) -> list[str]:
        """Workloads that the old snapshot does not have."""
        return [pair.name for pair in self.pairs if not pair.old.places]

    @cached_property
    def lost_workloads(self) -> list[str]:
        """Workloads that the new snapshot does not have."""
        return [pair.name for pair in self.pairs if not pair.new.places]

    def changes(
        self, report: Callable[[int, int], None] = lambda done, total: None
    ) -> list[Change]:
        """Every change; `report` is told how many sources are done.

        Ranges of addresses between which and a workload the same changed are one.
        """
        before = Candidates(self._old, [pair.old for pair in self.pairs])
        after = Candidates(self._new, [pair.new for pair in self.pairs])
        found: list[Change] = []
        for number, source in enumerate(self.pairs):
            report(number, len(self.pairs))
            others = {*before.destinations(number), *after.destinations(number)}
            for other in sorted(others):
                found.extend(self.between(source, self.pairs[other]))
        return _merged(found)

    def between(self, source: Pair, destination: Pair) -> Iterator[Change]:
        """The changes of one connection, the families apart where they differ."""
        if source is destination and source.is_single:
            return
        if source.new.is_outside and destination.new.is_outside:
            return
        old = _ports(self._old, source.old, destination.old)
        new = _ports(self._new, source.new, destination.new)
        found: dict[tuple[Ranges, Ranges], list[Family]] = {}
        for version in Family:
            both = old.get(version, NOTHING), new.get(version, NOTHING)
            if both[0] != both[1]:
                found.setdefault(both, []).append(version)
        for (before, after), families in found.items():
            examples = (
                self._example(source, destination, families[0], ports, ports is not gone)
                for gone in (before - after,)
                for ports in (after - before, gone)
                if ports
            )
            yield Change(source, destination, tuple(families), before, after, tuple(examples))

    def _example(
        self, source: Pair, destination: Pair, version: Family, ports: Ranges, allowed: bool
    ) -> Example:
        number = _typical(ports)
        here = source.new if allowed else source.old
        there = destination.new if allowed else destination.old
        known = self._known
        protocol, port = number >> 16, number & PORTS - 1
        return Example(
            _end(here, version, known, False),
            _end(there, version, known, here is there),
            protocol,
            port if protocol in set(Protocol) else None,
            allowed,
            tuple(self._causes(source, destination, version, number)),
        )

    @cached_property
    def _known(self) -> set[int]:
        """Addresses that are not simply outside: of pods and of nodes, before and after."""
        found: set[int] = set()
        for program in (self._old.program, self._new.program):
            found.update(program.pods_by_address)
            found.update(*(node.addresses for node in program.cluster.nodes.values()))
        return found

    def _causes(
        self, source: Pair, destination: Pair, version: Family, number: int
    ) -> Iterator[Cause]:
        """Of each direction that judges a port otherwise, what does so now or did before."""
        for direction, subject, peer in (
            (Direction.EGRESS, source, destination),
            (Direction.INGRESS, destination, source),
        ):
            old = _admission(self._old, direction, subject.old, peer.old, version)
            new = _admission(self._new, direction, subject.new, peer.new, version)
            if (number in old.ports) != (number in new.ports):
                yield from _effects(direction, old, new, number)


_ABSENT = Admission(NOTHING, (), None)


def _admission(
    reach: Reach, direction: Direction, subject: Party, peer: Party, version: Family
) -> Admission:
    if version not in subject.places or version not in peer.places:
        return _ABSENT
    return reach.admission(direction, subject.places[version], peer.places[version])


def _effects(direction: Direction, old: Admission, new: Admission, number: int) -> Iterator[Cause]:
    """Rules that admit, if the direction is open by rules; else the policies that isolate."""
    admits = number in new.ports
    admitting, open_side, closed = (
        (Effect.ADMITS, new, old) if admits else (Effect.ADMITTED, old, new)
    )
    isolating = Effect.ISOLATED if admits else Effect.ISOLATES
    if open_side.judge is None:
        if closed.judge is not None:
            for tier in closed.judge.tiers:
                for origin in tier.policies:
                    yield Cause(direction, isolating, origin)
        return
    for rule in open_side.rules:
        if rule.action is Action.ACCEPT and (rule.match.ports is ANY or number in rule.match.ports):
            yield Cause(direction, admitting, rule.origin)


def _merged(changes: list[Change]) -> list[Change]:
    """Changes of several ranges with the same workload as one, in the place of the first."""
    groups: dict[object, list[Change]] = {}
    for change in changes:
        ends = [
            None if end.new.is_outside else id(end) for end in (change.source, change.destination)
        ]
        own = None if None in ends else id(change)
        groups.setdefault((*ends, own, change.old, change.new), []).append(change)
    return [_joined(group) for group in groups.values()]


def _joined(group: list[Change]) -> Change:
    first = group[0]
    families = tuple(sorted({version for change in group for version in change.families}))
    if first.source.new.is_outside:
        source = union((change.source, change.families) for change in group)
        return replace(first, source=source, families=families)
    if first.destination.new.is_outside:
        destination = union((change.destination, change.families) for change in group)
        return replace(first, destination=destination, families=families)
    return first


def _ports(reach: Reach, source: Party, destination: Party) -> dict[Family, Ranges]:
    return {
        version: reach.ports(place, destination.places[version])
        for version, place in source.places.items()
        if version in destination.places
    }


def _typical(ports: Ranges) -> int:
    """A port to show: the first that a packet can have, TCP before all others."""
    tcp = Ranges((port_span(Protocol.TCP, 1),)) & ports
    return (tcp or ports).spans[0][0]


def _end(party: Party, version: Family, known: set[int], is_other: bool) -> str:
    """A pod of a party or an address in its range; `is_other` asks for a second replica."""
    if not party.is_outside:
        pods = [p for p in party.pods if not p.addresses or version in map(family, p.addresses)]
        return pods[-1 if is_other else 0].key if pods else party.name
    for first, last in party.addresses.of_family(version):
        for address in range(first, last + 1):
            if address not in known:
                return format_address(address)
    return party.name
