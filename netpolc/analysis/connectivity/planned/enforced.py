"""What two tables admit, and where that differs: addresses and ports, without a Program.

Comes in: tables as they were read back (`Listing`). Goes out: the subjects that one judges and the
other does not, and the ports that differ between a subject and some peers. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from netpolc.backends.nft.readback.admissions import Admissions
from netpolc.backends.nft.readback.listing import Listing
from netpolc.core.ir import Direction
from netpolc.core.nets import NOTHING, Ranges, Span, numbers, split

OTHER = {Direction.INGRESS: Direction.EGRESS, Direction.EGRESS: Direction.INGRESS}
"""The direction that judges at the other end."""


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
class Moved:
    """Ports between a local address and some peers, before and after."""

    direction: Direction
    subject: int
    peers: Ranges
    old: Ranges
    new: Ranges

    @property
    def is_egress(self) -> bool:
        """Whether the subject is the source."""
        return self.direction is Direction.EGRESS


@dataclass(frozen=True, slots=True, eq=False)
class Replacing:
    """The table that is loaded, and the one that is to be."""

    before: Enforced
    after: Enforced

    def isolations(self) -> dict[tuple[Direction, bool, str], list[int]]:
        """Subjects that one table alone judges, by direction, whether it begins, and chain."""
        groups: dict[tuple[Direction, bool, str], list[int]] = {}
        for direction in Direction:
            before = self.before.admissions[direction].chains
            after = self.after.admissions[direction].chains
            for subject in sorted(before.keys() ^ after.keys()):
                begins = subject in after
                chain = after[subject] if begins else before[subject]
                groups.setdefault((direction, begins, chain), []).append(subject)
        return groups

    def moved(self) -> Iterator[Moved]:
        """What differs, of each local address; between two of them once."""
        between: set[tuple[int, int]] = set()
        for direction in Direction:
            others = self.judged(OTHER[direction])
            for subject in sorted(self.judged(direction)):
                for peers, old, new in self._differing(direction, subject):
                    local = {address for address in others if address in peers}
                    rest = peers - each(local)
                    if rest:
                        yield Moved(direction, subject, rest, old, new)
                    is_egress = direction is Direction.EGRESS
                    between |= {(subject, own) if is_egress else (own, subject) for own in local}
        for source, destination in sorted(between):
            old = self.before.ports(source, destination)
            new = self.after.ports(source, destination)
            if old != new:
                yield Moved(Direction.EGRESS, source, each([destination]), old, new)

    def judged(self, direction: Direction) -> set[int]:
        """The addresses that a table judges, before or after."""
        sides = self.before, self.after
        return {address for own in sides for address in own.admissions[direction].chains}

    def _differing(
        self, direction: Direction, subject: int
    ) -> Iterator[tuple[Ranges, Ranges, Ranges]]:
        """Peers whose ports differ, and those ports; each direction alone."""
        before, after = (side.admissions[direction] for side in (self.before, self.after))
        if subject not in before.chains or subject not in after.chains:
            return
        if before.alike(after, subject):
            return
        old, new = before.of(subject), after.of(subject)
        areas = (*old, *new)
        found: dict[tuple[Ranges, Ranges], list[Span]] = {}
        for span, bits in split(area.peers for area in areas):
            has = list(numbers(bits))
            was = Ranges.union(areas[at].ports for at in has if at < len(old))
            will = Ranges.union(areas[at].ports for at in has if at >= len(old))
            if was != will:
                found.setdefault((was, will), []).append(span)
        for (was, will), spans in found.items():
            yield Ranges.of(spans), was, will


def each(addresses: Iterable[int]) -> Ranges:
    """Addresses one by one, as a set."""
    return Ranges.of((address, address) for address in addresses)
