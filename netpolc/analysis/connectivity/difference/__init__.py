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

from netpolc.analysis.connectivity.candidates import Candidates
from netpolc.analysis.connectivity.difference.pairing import Counterparts, pairs, union
from netpolc.analysis.connectivity.parties import Party, stranger
from netpolc.analysis.connectivity.reach import Admission, Reach
from netpolc.core.ir import Direction, Origin
from netpolc.core.nets import (
    EVERY_PORT,
    NOTHING,
    PORTS,
    Family,
    Protocol,
    Ranges,
    family,
    format_address,
    format_service,
    parse_cidr,
)
from netpolc.core.nets import ports as port_span
from netpolc.core.program import Program


class ChangeKind(StrEnum):
    """What became of a connection."""

    ADDED = "added"
    REMOVED = "removed"
    CHANGED = "changed"


class Effect(StrEnum):
    """What a rule or a policy does, or did, about a flow whose verdict changed."""

    ADMITS = "admitted by"
    ADMITTED = "was admitted by"
    DENIES = "denied by"
    DENIED = "was denied by"
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
        return f"{self.direction} {self.effect} {self.origin.title} ({self.origin.place()})"


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
        verdict = "now allowed" if self.allowed else "now denied"
        service = format_service(self.protocol, self.port)
        return f"{verdict}: {self.source} -> {self.destination} {service}"


@dataclass(frozen=True, slots=True, eq=False)
class Change:
    """A connection that is not what it was, over the families named."""

    source: Counterparts
    destination: Counterparts
    families: tuple[Family, ...]
    old: Ranges
    new: Ranges
    examples: tuple[Example, ...]

    @property
    def kind(self) -> ChangeKind:
        """Added or removed as a whole, or changed."""
        if not self.old:
            return ChangeKind.ADDED
        return ChangeKind.CHANGED if self.new else ChangeKind.REMOVED


class Difference:
    """What two programs do not have in common."""

    def __init__(self, old: Program, new: Program) -> None:
        self.old, self.new = Reach(old), Reach(new)
        self.pairs = pairs(self.old, self.new)

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
        before = Candidates(self.old, [pair.old for pair in self.pairs])
        after = Candidates(self.new, [pair.new for pair in self.pairs])
        found: list[Change] = []
        for number, source in enumerate(self.pairs):
            report(number, len(self.pairs))
            others = {*before.destinations(number), *after.destinations(number)}
            for other in sorted(others):
                found.extend(self.between(source, self.pairs[other]))
        return _merged(found)

    def between(self, source: Counterparts, destination: Counterparts) -> Iterator[Change]:
        """The changes of one connection, the families apart where they differ."""
        if source is destination and source.is_single:
            return
        if source.new.is_outside and destination.new.is_outside:
            return
        old = _ports(self.old, source.old, destination.old)
        new = _ports(self.new, source.new, destination.new)
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
        self,
        source: Counterparts,
        destination: Counterparts,
        version: Family,
        ports: Ranges,
        allowed: bool,
    ) -> Example:
        here = source.new if allowed else source.old
        there = destination.new if allowed else destination.old
        number = _typical(ports, there)
        protocol, port = number >> 16, number & PORTS - 1
        return Example(
            _end(here, version, self._owned, False),
            _end(there, version, self._owned, here is there),
            protocol,
            port if protocol in set(Protocol) else None,
            allowed,
            tuple(self._causes(source, destination, version, number)),
        )

    @cached_property
    def _owned(self) -> set[int]:
        """Addresses that are not simply outside, before and after."""
        sides = self.old.program, self.new.program
        return set[int]().union(*(side.cluster.owned_addresses() for side in sides))

    def _causes(
        self, source: Counterparts, destination: Counterparts, version: Family, number: int
    ) -> Iterator[Cause]:
        """Of each direction that judges a port otherwise, what does so now or did before."""
        for direction, subject, peer in (
            (Direction.EGRESS, source, destination),
            (Direction.INGRESS, destination, source),
        ):
            old = _admission(self.old, direction, subject.old, peer.old, version)
            new = _admission(self.new, direction, subject.new, peer.new, version)
            if (number in old.ports) != (number in new.ports):
                yield from _effects(direction, old, new, number)


_ABSENT = Admission(NOTHING)


def _admission(
    reach: Reach, direction: Direction, subject: Party, peer: Party, version: Family
) -> Admission:
    if version not in subject.places or version not in peer.places:
        return _ABSENT
    return reach.admission(direction, subject.places[version], peer.places[version])


def _effects(direction: Direction, old: Admission, new: Admission, number: int) -> Iterator[Cause]:
    """Rules that deny where it is closed, and rules that admit where it is open; if none admit, the
    policies that isolate where it is closed.
    """
    if number in new.ports:
        opening, closing = new.ruling(number), old.ruling(number)
        admits, denies, isolates = Effect.ADMITS, Effect.DENIED, Effect.ISOLATED
    else:
        opening, closing = old.ruling(number), new.ruling(number)
        admits, denies, isolates = Effect.ADMITTED, Effect.DENIES, Effect.ISOLATES
    for rule in closing.rules:
        yield Cause(direction, denies, rule.origin)
    for rule in opening.rules:
        yield Cause(direction, admits, rule.origin)
    if not opening.rules:
        for origin in closing.isolating:
            yield Cause(direction, isolates, origin)


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


def _typical(ports: Ranges, destination: Party) -> int:
    """A port to show: one that a container of the destination declares, or the first that a packet
    can have; TCP before all others.
    """
    declared = (own for pod in destination.pods for own in pod.declared or ())
    spans = (port_span(protocol, number, number) for protocol, number in declared)
    for wanted in (Ranges.of(spans), EVERY_PORT):
        tcp = Ranges((port_span(Protocol.TCP, 1),)) & wanted & ports
        found = tcp or wanted & ports
        if found:
            return found.spans[0][0]
    return ports.spans[0][0]


def _blocks(*texts: str) -> Ranges:
    return Ranges.of(map(parse_cidr, texts))


_HOSTS = _blocks("0.0.0.0/0", "2000::/3", "fc00::/7") - _blocks(
    "0.0.0.0/8", "127.0.0.0/8", "224.0.0.0/3"
)
"""Addresses that a host may have (IANA's registries of special addresses)."""


def _host(addresses: Ranges, version: Family, owned: set[int]) -> int | None:
    """An address that a host may have, of a block not the one that stands for it; if there is none
    the first that nobody owns.
    """
    found = stranger(addresses & _HOSTS, version, owned)
    if found is None:
        return stranger(addresses, version, owned)
    after = found + 1
    is_better = found & 0xFF == 0 and after in addresses and after not in owned
    return after if is_better else found


def _end(party: Party, version: Family, owned: set[int], is_other: bool) -> str:
    """A pod of a party or an address in its range; `is_other` asks for a second replica."""
    if party.is_outside:
        address = _host(party.addresses, version, owned)
        return party.name if address is None else format_address(address)
    pods = [p for p in party.pods if not p.addresses or version in map(family, p.addresses)]
    return pods[-1 if is_other else 0].key if pods else party.name
