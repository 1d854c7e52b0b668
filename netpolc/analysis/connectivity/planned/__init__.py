"""What loading a ruleset would do to the connections of a node's pods.

Comes in: what the loaded table admits and what the new one would (`Enforced`), and the Program of
the new one. Goes out: `Planned` connections, by workload. The table is all that is left of the old
snapshot: a pod that the new one does not have is its address. enforced.py finds what differs,
naming.py and reasons.py put it into the words of the Program.

It is judged what this node judges: of a connection to a pod of another node its own direction only.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

from netpolc.analysis.connectivity.parties import families_of
from netpolc.analysis.connectivity.planned.enforced import Enforced, Moved, Replacing, each
from netpolc.analysis.connectivity.planned.naming import Naming
from netpolc.analysis.connectivity.planned.reasons import Reasons
from netpolc.core.ir import Direction
from netpolc.core.nets import Family, Ranges, family
from netpolc.core.program import Program

__all__ = ["Enforced", "Isolation", "Planned", "PlannedChanges"]


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


_Ends = tuple[str, str, Ranges, Ranges]
"""Names of source and destination, and the ports before and after."""


class PlannedChanges:
    """What changes from one table to another, in the words of a Program."""

    def __init__(self, before: Enforced, after: Enforced, program: Program) -> None:
        self._tables = Replacing(before, after)
        self._names, self._reasons = Naming(program), Reasons(self._tables, program)
        self._families = families_of(program)

    def isolations(self) -> list[Isolation]:
        """Pods whose isolation begins or ends, those of one chain together."""
        groups = self._tables.isolations()
        return [self._isolation(*key, subjects) for key, subjects in groups.items()]

    def _isolation(
        self, direction: Direction, begins: bool, chain: str, subjects: list[int]
    ) -> Isolation:
        side = self._tables.after if begins else self._tables.before
        workloads: dict[str, list[int]] = {}
        for subject in subjects:
            workloads.setdefault(self._names.name(subject), []).append(subject)
        pods = tuple(self._names.title(name, each(own)) for name, own in workloads.items())
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
            for area in self._tables.after.admissions[direction].of(subject):
                for name, addresses in self._names.named(area.peers):
                    peers.setdefault(area.ports, {}).setdefault(name, []).append(addresses)
        for own, named in sorted(peers.items(), key=lambda entry: entry[0].spans):
            yield (
                own,
                tuple(self._names.title(name, Ranges.union(named[name])) for name in sorted(named)),
            )

    def connections(self) -> list[Planned]:
        """Connections that change between ends whose isolation stays, in order of their ends."""
        rows: dict[_Ends, list[Moved]] = {}
        for found in self._tables.moved():
            subject, own = self._names.name(found.subject), self._names.own(found.subject)
            for peer, addresses in self._names.named(found.peers):
                others = addresses - own  # a pod always reaches itself
                if others:
                    ends = (subject, peer) if found.is_egress else (peer, subject)
                    part = replace(found, peers=others)
                    rows.setdefault((*ends, found.old, found.new), []).append(part)
        made = (self._planned(ends, some) for ends, some in rows.items())
        return sorted(made, key=lambda own: (own.source, own.destination))

    def _planned(self, ends: _Ends, some: list[Moved]) -> Planned:
        """One line for connections of one kind; what lies outside is named whole."""
        subjects, peers = each(own.subject for own in some), Ranges.union(own.peers for own in some)
        sides = (subjects, peers) if some[0].is_egress else (peers, subjects)
        source, destination, old, new = ends
        versions = {family(first) for first, _ in peers} if source and destination else set()
        return Planned(
            self._names.title(source, sides[0]),
            self._names.title(destination, sides[1]),
            next(iter(versions)) if len(versions) == 1 and len(self._families) == 2 else None,
            old,
            new,
            tuple(self._reasons.why(some[0])),
        )
