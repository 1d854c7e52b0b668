"""Who can reach whom: the connections of a Program, party by party.

Comes in: a `Program`. Goes out: `Connection`s in order of source and destination, only those that
admit anything. Both directions have to: what one policy opens another may keep closed. For one of
them also the rules that decide, and that deny what it leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from netpolc.analysis.connectivity.candidates import Candidates
from netpolc.analysis.connectivity.parties import Grouping, Party, families_of, ranges, workloads
from netpolc.analysis.connectivity.ports import describe_ports
from netpolc.analysis.connectivity.reach import Reach
from netpolc.analysis.publication import PublishedPods
from netpolc.core.cluster import Cluster, Service, ServicePort
from netpolc.core.ir import Action, Direction, Origin
from netpolc.core.nets import NOTHING, Family, Ranges, Span
from netpolc.core.program import Program

CONTROLLER = "{ingress}"
"""The party that published workloads are reached by: an ingress controller or a gateway."""
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


def from_controllers(table: Table) -> Iterator[Connection]:
    """The published ports of workloads that an ingress controller may reach, wherever it runs.

    All of them come from one party, `{ingress}`, which is nowhere.
    """
    publications = PublishedPods(table.reach.program)
    party_of = {pod.key: party for party in table.workloads for pod in party.pods}
    found: dict[Party, list[Span]] = {}
    for own in publications.pods:
        if own.pod.key in party_of and publications.may_be_reached(own):
            found.setdefault(party_of[own.pod.key], []).append(own.span)
    controller = Party(CONTROLLER, "", (), {})
    for party in table.workloads:
        if party in found:
            yield Connection(controller, party, tuple(party.places), Ranges.of(found[party]))


@dataclass(frozen=True, slots=True, eq=False)
class Led:
    """A port of a Service that leads to ports of a connection."""

    service: Service
    port: ServicePort
    numbers: tuple[int, ...]

    def __str__(self) -> str:
        numbers = ",".join(map(str, self.numbers))
        to = f" to {numbers}" if self.numbers != (self.port.number,) else ""
        return f"{self.service.name} {self.port}{to}"

    @property
    def fields(self) -> dict[str, object]:
        """The same for programs (docs/list.md)."""
        name = f"{self.service.namespace}/{self.service.name}"
        return {"service": name, "port": str(self.port), "targets": list(self.numbers)}


def led_by(
    cluster: Cluster, connections: Iterable[Connection]
) -> dict[Connection, tuple[Led, ...]]:
    """The Services by whose ports connections may be asked for; those that none leads to are left
    out.
    """
    by_namespace: dict[str, list[Service]] = {}
    for (namespace, _), service in cluster.services.items():
        by_namespace.setdefault(namespace, []).append(service)
    ways: dict[Party, list[tuple[Service, ServicePort, list[int]]]] = {}
    found = {}
    for connection in connections if by_namespace else ():
        party = connection.destination
        if party not in ways:
            ways[party] = list(_ways(by_namespace, party))
        led = []
        for service, port, numbers in ways[party]:
            first = int(port.protocol) << 16
            open_ones = tuple(own for own in numbers if first + own in connection.ports)
            led += [Led(service, port, open_ones)] if open_ones else []
        if led:
            found[connection] = tuple(led)
    return found


def _ways(
    services: Mapping[str, Sequence[Service]], party: Party
) -> Iterator[tuple[Service, ServicePort, list[int]]]:
    """The ports of Services that lead to some pod of a party, with the numbers on its pods."""
    spaces = {pod.namespace for pod in party.pods}
    for service in (own for space in sorted(spaces) for own in services.get(space, ())):
        behind = [pod for pod in party.pods if service.selects(pod)]
        for port in service.ports if behind else ():
            yield service, port, sorted({number for pod in behind for number in port.on(pod)})


def _admitting(program: Program, connection: Connection) -> Iterator[Decider]:
    """The rules that may admit the ingress controller."""
    found: dict[Origin, list[Span]] = {}
    pods = {pod.key for pod in connection.destination.pods}
    publications = PublishedPods(program)
    for own in publications.pods:
        if own.pod.key in pods:
            for rule in publications.admitting(own) or ():
                found.setdefault(rule.origin, []).append(own.span)
    for origin, spans in found.items():
        yield Decider(Direction.INGRESS, Action.ACCEPT, origin, Ranges.of(spans))


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
    if connection.source.name == CONTROLLER:
        yield from _admitting(reach.program, connection)
        return
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
