"""Who can reach whom: the connections of a Program, party by party.

Comes in: a `Program`. Goes out: `Connection`s in order of source and destination, only those that
admit anything. Both directions have to: what one policy opens another may keep closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from netpolc.connectivity.candidates import Candidates
from netpolc.connectivity.parties import Grouping, Party, ranges, workloads
from netpolc.connectivity.reach import Admission, Reach
from netpolc.ir import Direction
from netpolc.nets import Family, Ranges
from netpolc.program import Program


@dataclass(frozen=True, slots=True, eq=False)
class Connection:
    """The ports of a destination that a source reaches, over the families named.

    `families` are those in which it is so; a pair that has more connections elsewhere has another
    `Connection` for them.
    """

    source: Party
    destination: Party
    families: tuple[Family, ...]
    ports: Ranges


class Table:
    """All parties of a program and their connections."""

    def __init__(self, program: Program, grouping: Grouping = Grouping.WORKLOAD) -> None:
        self.reach = Reach(program)
        self.workloads = workloads(self.reach, grouping)
        families = {version for party in self.workloads for version in party.places}
        self.outside = ranges(self.reach, families)

    @property
    def parties(self) -> list[Party]:
        """Workloads, then ranges of addresses."""
        return [*self.workloads, *self.outside]

    def connections(
        self, report: Callable[[int, int], None] = lambda done, total: None
    ) -> Iterator[Connection]:
        """Every connection that admits anything; `report` is told how many sources are done."""
        parties = self.parties
        candidates = Candidates(self.reach, parties)
        for number, source in enumerate(parties):
            report(number, len(parties))
            for other in candidates.destinations(number):
                yield from self.between(source, parties[other])

    def between(self, source: Party, destination: Party) -> Iterator[Connection]:
        """The connections from one party to another, the families apart where they differ."""
        if (source is destination and source.is_single) or (
            source.is_outside and destination.is_outside
        ):
            return
        found: dict[Ranges, list[Family]] = {}
        for version, place in source.places.items():
            other = destination.places.get(version)
            if other is not None:
                ports = self.reach.ports(place, other)
                if ports:
                    found.setdefault(ports, []).append(version)
        for ports, families in found.items():
            yield Connection(source, destination, tuple(families), ports)

    def admissions(
        self, source: Party, destination: Party, version: Family
    ) -> tuple[Admission, Admission]:
        """What egress of the source and ingress of the destination admit, and by which rules."""
        here, there = source.places[version], destination.places[version]
        return (
            self.reach.admission(Direction.EGRESS, here, there),
            self.reach.admission(Direction.INGRESS, there, here),
        )
