"""Who can reach whom: the connections of a Program, party by party.

Comes in: a `Program`. Goes out: `Connection`s in order of source and destination, only those that
admit anything. Both directions have to: what one policy opens another may keep closed. For one of
them also the rules that decide, and that deny what it leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from netpolc.analysis.connectivity.candidates import Candidates
from netpolc.analysis.connectivity.parties import Grouping, Party, families_of, ranges, workloads
from netpolc.analysis.connectivity.ports import describe_ports
from netpolc.analysis.connectivity.reach import Reach
from netpolc.core.ir import Action, Direction, Origin
from netpolc.core.nets import NOTHING, Family, Ranges
from netpolc.core.program import Program

_DOES = {Action.ACCEPT: "admitted by", Action.DENY: "denied by"}


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


@dataclass(frozen=True, slots=True, eq=False)
class Decider:
    """A rule that accepts or denies ports of one connection in a direction."""

    direction: Direction
    action: Action
    origin: Origin
    ports: Ranges

    def __str__(self) -> str:
        does = f"{self.direction} {describe_ports(self.ports)} {_DOES[self.action]}"
        return f"{does} {self.origin.title}"

    @property
    def fields(self) -> dict[str, object]:
        """The same for programs (docs/list.md)."""
        return {
            "direction": str(self.direction),
            "action": str(self.action),
            "policy": self.origin.policy,
            "rule": self.origin.rule,
            **({"name": self.origin.called} if self.origin.called else {}),
            "ports": describe_ports(self.ports),
            "place": self.origin.place(),
        }


def deciders(reach: Reach, connection: Connection) -> Iterator[Decider]:
    """Rules that accept some of its ports, and rules that deny others, in its first family.

    Where nothing is said of a direction, no rule decides: it is open, or every tier passes.
    """
    version = connection.families[0]
    here, there = connection.source.places[version], connection.destination.places[version]
    for direction, subject, peer in (
        (Direction.EGRESS, here, there),
        (Direction.INGRESS, there, here),
    ):
        found: dict[tuple[Origin, Action], Ranges] = {}
        for rule, ports in reach.admission(direction, subject, peer).deciding:
            own = ports & connection.ports if rule.action is Action.ACCEPT else ports
            if own and rule.action is not Action.PASS:
                key = rule.origin, rule.action
                found[key] = found.get(key, NOTHING) | own
        for (origin, action), own in found.items():
            yield Decider(direction, action, origin, own)
