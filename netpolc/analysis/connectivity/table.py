"""Who can reach whom: the connections of a Program, party by party.

Comes in: a `Program`. Goes out: `Connection`s in order of source and destination, only those that
admit anything. Both directions have to: what one policy opens another may keep closed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from netpolc.analysis.connectivity.candidates import Candidates
from netpolc.analysis.connectivity.parties import Grouping, Party, families_of, ranges, workloads
from netpolc.analysis.connectivity.reach import Reach
from netpolc.core.nets import Family, Ranges
from netpolc.core.program import Program


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
        self.outside = ranges(self.reach, families_of(program))

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
        inside = (1 << len(self.workloads)) - 1
        for number, source in enumerate(parties):
            report(number, len(parties))
            for other in candidates.destinations(number, inside if source.is_outside else -1):
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
