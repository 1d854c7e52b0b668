"""What loading a ruleset would do to the connections of a node's pods.

Comes in: what the loaded table admits and what the new one would (`Enforced`), and the Program of
the new one. Goes out: `Planned` connections, by workload. The table is all that is left of the old
snapshot: a pod that the new one does not have is its address, and of the old policies it is known
which isolated, not which rule admitted.

It is judged what this node judges: of a connection to a pod of another node its own direction only.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from netpolc.analysis.connectivity.parties import families_of, name_of, some_of
from netpolc.analysis.connectivity.reach import Place, Reach
from netpolc.backends.nft.readback.admissions import Admissions
from netpolc.backends.nft.readback.listing import Listing
from netpolc.core.ir import Action, Direction
from netpolc.core.nets import (
    EVERYWHERE,
    NOTHING,
    Family,
    Protocol,
    Ranges,
    Span,
    family,
    format_span,
    numbers,
    ports,
    split,
)
from netpolc.core.program import Program

_NAMED = 4
"""Ranges that are told one by one."""
_OTHER = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}


@dataclass(frozen=True, slots=True, eq=False)
class Enforced:
    """What a table admits in each direction, and by its chains the policies that isolate."""

    admissions: Mapping[Direction, Admissions]
    policies: Mapping[str, str]

    @classmethod
    def by(cls, listing: Listing | None, policies: Mapping[str, str]) -> Enforced:
        """By a table as it was read back; None enforces nothing."""
        return cls({own: Admissions(listing, own) for own in Direction}, policies)

    def isolating(self, direction: Direction, subject: int) -> str | None:
        """The policies that isolate an address; None if none does."""
        chain = self.admissions[direction].chains.get(subject)
        return None if chain is None else self.policies.get(chain, chain)

    def admitted(self, direction: Direction, subject: int, peer: int) -> Ranges:
        """The ports that one direction of an address admits from or to a peer."""
        found = NOTHING
        for area in self.admissions[direction].of(subject):
            if peer in area.peers:
                found |= area.ports
        return found

    def ports(self, source: int, destination: int) -> Ranges:
        """The ports that both directions admit."""
        egress = self.admitted(Direction.EGRESS, source, destination)
        return egress & self.admitted(Direction.INGRESS, destination, source)


@dataclass(frozen=True, slots=True)
class Planned:
    """Connections that will not be what they are; ends are workloads or ranges of addresses.

    `only` is the family of pods that have another in which nothing changes. `why` has a line for
    each direction that decides otherwise, for one of the connections.
    """

    source: str
    destination: str
    only: Family | None
    old: Ranges
    new: Ranges
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Isolation:
    """Pods of which a direction begins to be judged (`begins`), or is judged no more.

    `policies` isolate them, or did. Of those that begin `admitted` has the ports that stay, each
    with their peers.
    """

    direction: Direction
    pods: tuple[str, ...]
    begins: bool
    policies: str
    admitted: tuple[tuple[Ranges, tuple[str, ...]], ...]


@dataclass(frozen=True, slots=True)
class _Found:
    """Ports between a local address and some peers, before and after."""

    direction: Direction
    subject: int
    peers: Ranges
    old: Ranges
    new: Ranges


_Ends = tuple[str, str, Ranges, Ranges]
"""Names of source and destination, and the ports before and after."""


class Comparison:
    """What changes from one table to another, in the words of a Program."""

    def __init__(self, before: Enforced, after: Enforced, program: Program) -> None:
        self._before, self._after, self._program = before, after, program
        self._pods, self._reach = program.pods_by_address, Reach(program)
        self._families = families_of(program)
        self._known_names: dict[Ranges, list[tuple[str, Ranges]]] = {}

    def isolations(self) -> list[Isolation]:
        """Pods whose isolation begins or ends, those of one chain together."""
        groups: dict[tuple[Direction, bool, str], list[int]] = {}
        for direction in Direction:
            before = self._before.admissions[direction].chains
            after = self._after.admissions[direction].chains
            for subject in sorted(before.keys() ^ after.keys()):
                begins = subject in after
                chain = after[subject] if begins else before[subject]
                groups.setdefault((direction, begins, chain), []).append(subject)
        return [self._isolation(*key, subjects) for key, subjects in groups.items()]

    def _isolation(
        self, direction: Direction, begins: bool, chain: str, subjects: list[int]
    ) -> Isolation:
        side = self._after if begins else self._before
        workloads: dict[str, list[int]] = {}
        for subject in subjects:
            workloads.setdefault(self._name(subject), []).append(subject)
        pods = tuple(self._title(name, _each(own)) for name, own in workloads.items())
        policies = side.isolating(direction, subjects[0]) or ""
        admitted = tuple(self._admitted(direction, subjects)) if begins else ()
        return Isolation(direction, pods, begins, policies, admitted)

    def _admitted(
        self, direction: Direction, subjects: list[int]
    ) -> Iterator[tuple[Ranges, tuple[str, ...]]]:
        """The ports that subjects of one chain still have, each with the names of the peers."""
        of_each_family = {family(subject): subject for subject in subjects}.values()
        peers: dict[Ranges, dict[str, list[Ranges]]] = {}
        for subject in of_each_family:
            for area in self._after.admissions[direction].of(subject):
                for name, addresses in self._named(area.peers):
                    peers.setdefault(area.ports, {}).setdefault(name, []).append(addresses)
        for own, named in sorted(peers.items(), key=lambda entry: entry[0].spans):
            yield own, tuple(self._title(name, _union(named[name])) for name in sorted(named))

    def connections(self) -> list[Planned]:
        """Connections that change between ends whose isolation stays, in order of their ends."""
        rows: dict[_Ends, list[_Found]] = {}
        for found in self._found():
            subject, own = self._name(found.subject), self._own(found.subject)
            for peer, addresses in self._named(found.peers):
                others = addresses - own  # a pod always reaches itself
                if others:
                    ends = (subject, peer) if _is_egress(found) else (peer, subject)
                    part = replace(found, peers=others)
                    rows.setdefault((*ends, found.old, found.new), []).append(part)
        made = (self._planned(ends, some) for ends, some in rows.items())
        return sorted(made, key=lambda own: (own.source, own.destination))

    def _found(self) -> Iterator[_Found]:
        """What differs, of each local address; between two of them once."""
        between: set[tuple[int, int]] = set()
        for direction in Direction:
            others = self._judged(_OTHER[direction])
            for subject in sorted(self._judged(direction)):
                for peers, old, new in self._differing(direction, subject):
                    local = {address for address in others if address in peers}
                    rest = peers - _each(local)
                    if rest:
                        yield _Found(direction, subject, rest, old, new)
                    is_egress = direction is Direction.EGRESS
                    between |= {(subject, own) if is_egress else (own, subject) for own in local}
        for source, destination in sorted(between):
            old = self._before.ports(source, destination)
            new = self._after.ports(source, destination)
            if old != new:
                yield _Found(Direction.EGRESS, source, _each([destination]), old, new)

    def _judged(self, direction: Direction) -> set[int]:
        """The addresses that a table judges, before or after."""
        sides = self._before, self._after
        return {address for own in sides for address in own.admissions[direction].chains}

    def _differing(
        self, direction: Direction, subject: int
    ) -> Iterator[tuple[Ranges, Ranges, Ranges]]:
        """Peers whose ports differ, and those ports; each direction alone."""
        before, after = (side.admissions[direction] for side in (self._before, self._after))
        if subject not in before.chains or subject not in after.chains:
            return
        if before.alike(after, subject):
            return
        old, new = before.of(subject), after.of(subject)
        areas = (*old, *new)
        found: dict[tuple[Ranges, Ranges], list[Span]] = {}
        for span, bits in split(area.peers for area in areas):
            has = list(numbers(bits))
            was = _union(areas[at].ports for at in has if at < len(old))
            will = _union(areas[at].ports for at in has if at >= len(old))
            if was != will:
                found.setdefault((was, will), []).append(span)
        for (was, will), spans in found.items():
            yield Ranges.of(spans), was, will

    def _named(self, peers: Ranges) -> list[tuple[str, Ranges]]:
        """Peers by the workload they are of; with an empty name the others, or a whole family."""
        if any(peers == EVERYWHERE.of_family(version) for version in Family):
            return [("", peers)]
        if peers not in self._known_names:
            pods: dict[str, list[int]] = {}
            for address in self._pods:
                if address in peers:
                    pods.setdefault(self._name(address), []).append(address)
            found = [(name, _each(own)) for name, own in pods.items()]
            outside = peers - _union(own for _, own in found)
            self._known_names[peers] = [*found, *([("", outside)] if outside else ())]
        return self._known_names[peers]

    def _name(self, address: int) -> str:
        """The workload of an address; empty if it is no pod's."""
        pod = self._pods.get(address)
        return "" if pod is None else self._workload[pod.key]

    @cached_property
    def _workload(self) -> dict[str, str]:
        """The workload of each pod that has an address."""
        workload = self._program.cluster.workload
        return {pod.key: workload(pod) for pod in self._pods.values()}

    @cached_property
    def _replicas(self) -> Counter[str]:
        """How many pods of each workload have an address."""
        return Counter(self._workload.values())

    def _own(self, address: int) -> Ranges:
        pod = self._pods.get(address)
        return _each([address] if pod is None else pod.addresses)

    def _planned(self, ends: _Ends, some: list[_Found]) -> Planned:
        """One line for connections of one kind; what lies outside is named whole."""
        subjects, peers = _each(own.subject for own in some), _union(own.peers for own in some)
        sides = (subjects, peers) if _is_egress(some[0]) else (peers, subjects)
        source, destination, old, new = ends
        versions = {family(first) for first, _ in peers} if source and destination else set()
        return Planned(
            self._title(source, sides[0]),
            self._title(destination, sides[1]),
            next(iter(versions)) if len(versions) == 1 and len(self._families) == 2 else None,
            old,
            new,
            tuple(self._why(some[0])),
        )

    def _title(self, workload: str, addresses: Ranges) -> str:
        """A workload, with its pods where these are not all; ranges of addresses, shortened."""
        if not workload:
            parts = (addresses.of_family(version) for version in Family)
            return "; ".join(_short(part) for part in parts if part)
        own = {self._pods[first].key: self._pods[first] for first in _singles(addresses)}
        pods = list(own.values())
        if len(pods) == self._replicas[workload]:
            return workload
        return workload + some_of(pods, True)

    def _why(self, found: _Found) -> Iterator[str]:
        """What decides now, in each direction that decides otherwise than before."""
        peer = next(iter(found.peers))[0]
        number = _typical(found.old, found.new)
        both = [(found.direction, found.subject, peer)]
        if peer in self._judged(_OTHER[found.direction]):
            both.append((_OTHER[found.direction], peer, found.subject))
        for direction, subject, other in both:
            was, will = (
                number in side.admitted(direction, subject, other)
                for side in (self._before, self._after)
            )
            if was != will:
                yield f"{direction} {self._decides(direction, subject, other, number, will)}"

    def _decides(
        self, direction: Direction, subject: int, peer: int, number: int, admits: bool
    ) -> str:
        before = self._before.isolating(direction, subject)
        was = "; was not isolated" if before is None else f"; was isolated by {before}"
        judge = self._reach.judge(direction, self._place(subject))
        if judge is None:
            return f"not isolated{was}"
        admission = self._reach.admission(direction, self._place(subject), self._place(peer))
        ruling = admission.ruling(number)
        if ruling.rules and admits is (ruling.action is Action.ACCEPT):
            origin = ruling.rules[0].origin
            return f"{'admitted' if admits else 'denied'} by {origin} ({origin.place()})"
        if admits:
            return "not judged"
        closing = (stage for stage in judge.tiers if stage.default is Action.DENY)
        policies = [own for stage in closing for own in stage.policies]
        now = ", ".join(f"{own} ({own.place()})" for own in policies)
        return f"isolated by {now}{was if before != ', '.join(map(str, policies)) else ''}"

    def _place(self, address: int) -> Place:
        pod = self._pods.get(address)
        identity = None if pod is None else self._program.identity_of[pod.key]
        return self._reach.place(identity, address)


def _is_egress(found: _Found) -> bool:
    return found.direction is Direction.EGRESS


def _each(addresses: Iterable[int]) -> Ranges:
    return Ranges.of((address, address) for address in addresses)


def _union(sets: Iterable[Ranges]) -> Ranges:
    return Ranges.of(span for own in sets for span in own)


def _singles(addresses: Ranges) -> Iterator[int]:
    return (address for first, last in addresses for address in range(first, last + 1))


def _short(addresses: Ranges) -> str:
    """A few ranges by name; of many the first, and how many more there are."""
    spans = addresses.spans
    if len(spans) <= _NAMED:
        return name_of(addresses)
    every = EVERYWHERE.of_family(family(spans[0][0]))
    holes = (every - addresses).spans
    if len(holes) < len(spans):
        return f"{name_of(every)} except {len(holes)} ranges"
    return f"{format_span(spans[0])} and {len(spans) - 1} more ranges"


def _typical(old: Ranges, new: Ranges) -> int:
    """A port that is judged otherwise, of TCP where there is one."""
    other = (old - new) or (new - old)
    tcp = other & Ranges((ports(Protocol.TCP, 1),))
    return (tcp or other).spans[0][0]
