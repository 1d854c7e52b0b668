"""Who is admitted on which ports: the rules of a combination, gathered for laying them out.

Comes in: the rules of one combination, all of which accept. Goes out: `Peers` by ports, and the
same turned around: identities by all the ports they are admitted on. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from netpolc.ir import ANY, Any_, Origin
from netpolc.labels import NONE, Members
from netpolc.nets import NOTHING, Ranges, Span
from netpolc.program import ResolvedRule

Ports = Ranges | Any_
Atom = tuple[Span, tuple[int, ...]]
"""A span of ports, and the numbers of the port sets that cover it."""


@dataclass(slots=True)
class Peers:
    """The peers admitted on one set of ports, and the rules that admit them."""

    identities: dict[Members, list[Origin]] = field(default_factory=dict)
    networks: Ranges = NOTHING
    network_origins: list[Origin] = field(default_factory=list)
    anybody: list[Origin] = field(default_factory=list)

    def add(self, rule: ResolvedRule) -> None:
        """Admit the peers of a rule."""
        match = rule.match
        if match.identities is ANY or match.networks is ANY:
            self.anybody.append(rule.origin)
            return
        if match.identities:
            self.identities.setdefault(match.identities, []).append(rule.origin)
        if match.networks:
            self.networks |= match.networks
            self.network_origins.append(rule.origin)

    def merge(self, other: Peers) -> None:
        """Admit the peers of another set of ports as well."""
        for members, origins in other.identities.items():
            self.identities.setdefault(members, []).extend(origins)
        self.networks |= other.networks
        self.network_origins += other.network_origins
        self.anybody += other.anybody

    def without_pods(self) -> Peers:
        """The same without identities."""
        return Peers({}, self.networks, self.network_origins, self.anybody)


def by_ports(rules: Iterable[ResolvedRule]) -> dict[Ports, Peers]:
    """The peers of each set of ports that some rule names; `ANY` is always there, and last."""
    found: dict[Ports, Peers] = {}
    for rule in rules:
        found.setdefault(rule.match.ports, Peers()).add(rule)
    found[ANY] = found.pop(ANY, Peers())
    return found


@dataclass(frozen=True, slots=True)
class Group:
    """Identities that are admitted on the same ports, and the rules that admit them."""

    members: Members
    ports: Ports
    origins: list[Origin]


def groups(classes: dict[Ports, Peers]) -> list[Group]:
    """The identities of some classes by all the ports they are admitted on."""
    places: dict[int, list[Ports]] = {}
    for ports, peers in classes.items():
        for identity in NONE.union(*peers.identities):
            places.setdefault(identity, []).append(ports)
    alike: dict[tuple[Ports, ...], list[int]] = {}
    for identity in sorted(places):
        alike.setdefault(tuple(places[identity]), []).append(identity)
    return [_group(frozenset(own), ports, classes) for ports, own in alike.items()]


def _group(members: Members, several: Sequence[Ports], classes: dict[Ports, Peers]) -> Group:
    ports: Ports = NOTHING
    origins: list[Origin] = []
    for own in several:
        ports = ANY if ports is ANY or own is ANY else ports | own
        for admitted, named in classes[own].identities.items():
            if not admitted.isdisjoint(members):
                origins += named
    return Group(members, ports, origins)


def atoms(sets: Sequence[Ranges]) -> Iterator[Atom]:
    """Disjoint spans, each with the numbers of the sets that cover it."""
    edges: dict[int, list[tuple[bool, int]]] = {}
    for number, ranges in enumerate(sets):
        for first, last in ranges:
            edges.setdefault(first, []).append((True, number))
            edges.setdefault(last + 1, []).append((False, number))
    covering: set[int] = set()
    start = 0
    for edge in sorted(edges):
        if covering:
            yield (start, edge - 1), tuple(sorted(covering))
        for opens, number in edges[edge]:
            (covering.add if opens else covering.discard)(number)
        start = edge
