"""That recommended policies admit every observed flow, and what they admit besides.

Comes in: a snapshot with the policies as they would be, and the flows. Goes out: flows that would
be denied, by the matcher (of pods without address by the semantics), and connections between groups
of pods that no flow had, by the sets of `netpolc list`. Nothing is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from netpolc.analysis.connectivity.parties import Party
from netpolc.analysis.connectivity.ports import describe_ports
from netpolc.analysis.connectivity.table import Connection, Table
from netpolc.backends.matcher import ALLOW, Matcher
from netpolc.compiler import compile
from netpolc.core.cluster import Snapshot
from netpolc.core.ir import ANY, Direction
from netpolc.core.nets import NOTHING, Ranges, edges, family, format_address
from netpolc.core.program import Program
from netpolc.core.semantics import Flow, evaluate
from netpolc.flows.recommendation.groups import PodGroup
from netpolc.flows.recommendation.observed import FlowEnd, ObservedFlow, flows_of

Groups = Mapping[str, PodGroup]


class Besides(NamedTuple):
    """What policies admit between two parties that no flow had.

    `ports` were not seen at all; `addresses`, where an end is a stranger, says how many of those
    that are admitted were not seen.
    """

    source: str
    destination: str
    ports: Ranges
    addresses: int

    def __str__(self) -> str:
        told = [describe_ports(self.ports)] if self.ports else []
        if self.addresses:
            told.append(f"{self.addresses} addresses that were not seen")
        return f"{self.source} -> {self.destination}: {', '.join(told)}"


class FlowProof(NamedTuple):
    """Flows that would be denied, and what is admitted beside the others."""

    denied: tuple[ObservedFlow, ...]
    besides: tuple[Besides, ...]


def prove_flows(snapshot: Snapshot, flows: Mapping[ObservedFlow, int], groups: Groups) -> FlowProof:
    """Try the flows on a snapshot with the recommended policies in it."""
    program = compile(snapshot)
    return FlowProof(tuple(_denied(program, flows)), tuple(_besides(program, flows, groups)))


def _denied(program: Program, flows: Iterable[ObservedFlow]) -> Iterator[ObservedFlow]:
    networks = [own.networks for own in program.matches if own.networks is not ANY]
    borders = [edge for edge, _ in edges(networks)]
    tried: list[tuple[ObservedFlow, Flow]] = [
        (own, single)
        for own in sorted(flows)
        for part in _parts(own, borders)
        for single in flows_of(program, part)
    ]
    unplaced = [entry for entry in tried if entry[1].source_pod or entry[1].destination_pod]
    by_name = [own for own, flow in unplaced if not evaluate(program, flow).allowed]
    yield from dict.fromkeys(by_name + _denied_by_address(program, tried))


def _denied_by_address(
    program: Program, tried: Iterable[tuple[ObservedFlow, Flow]]
) -> list[ObservedFlow]:
    """Those of which a flow between addresses is denied."""
    tried = [entry for entry in tried if not (entry[1].source_pod or entry[1].destination_pod)]
    if not tried:
        return []
    codes = (
        Matcher(program)
        .verdicts(
            [format_address(flow.source) for _, flow in tried],
            [format_address(flow.destination) for _, flow in tried],
            [flow.protocol for _, flow in tried],
            np.array([flow.port for _, flow in tried], object),
        )
        .tolist()
    )
    return [own for (own, _), code in zip(tried, codes, strict=True) if code != ALLOW]


def _parts(flow: ObservedFlow, borders: list[int]) -> Iterator[ObservedFlow]:
    """Blocks cut where those of rules begin and end: rules see all of a part alike."""
    for source in _pieces(flow.source, borders):
        for destination in _pieces(flow.destination, borders):
            yield flow._replace(source=source, destination=destination)


def _pieces(end: FlowEnd, borders: list[int]) -> Iterator[FlowEnd]:
    first, last = end.block
    if end.pod or first == last:
        yield end
        return
    cuts = [first, *(own for own in borders if first < own <= last), last + 1]
    for begin, after in pairwise(cuts):
        yield FlowEnd("", (begin, after - 1))


def _besides(program: Program, flows: Iterable[ObservedFlow], groups: Groups) -> Iterator[Besides]:
    table = Table(program)
    names = _Names(table, groups)
    seen: dict[tuple[str, str], tuple[Ranges, Ranges]] = {}
    for flow in flows:
        key = names.of_end(flow.source), names.of_end(flow.destination)
        ports, addresses = seen.get(key, (NOTHING, NOTHING))
        blocks = Ranges.of(end.block for end in flow[:2] if not end.pod)
        seen[key] = ports | _ports(flow), addresses | blocks
    found: dict[tuple[str, str], tuple[Ranges, int]] = {}
    for connection in table.connections():
        if not _is_isolated(program, connection):  # open whatever is recommended
            continue
        key = names.of(connection.source), names.of(connection.destination)
        ports, addresses = seen.get(key, (NOTHING, NOTHING))
        more = connection.ports - ports
        unseen = _stranger(connection, program) - addresses
        size = sum(last - first + 1 for first, last in unseen)
        known, count = found.get(key, (NOTHING, 0))
        found[key] = known | more, max(count, size)
    for (source, destination), (more, count) in sorted(found.items()):
        if more or count:
            yield Besides(source, destination, more, count)


def _ports(flow: ObservedFlow) -> Ranges:
    if flow.port is None:
        return Ranges(((flow.protocol << 16, flow.protocol << 16 | 0xFFFF),))
    number = flow.protocol << 16 | flow.port
    return Ranges(((number, number),))


def _is_isolated(program: Program, connection: Connection) -> bool:
    """Whether policies judge it at either end."""
    return any(
        (direction, program.identity_of[pod.key]) in program.combination_of
        for direction, party in (
            (Direction.EGRESS, connection.source),
            (Direction.INGRESS, connection.destination),
        )
        for pod in party.pods[:1]
    )


def _stranger(connection: Connection, program: Program) -> Ranges:
    """The addresses of the end that is no pod, over the families of the connection."""
    owned = Ranges.of((own, own) for own in program.pods_by_address)
    every = NOTHING
    for party in (connection.source, connection.destination):
        for version in connection.families if party.is_outside else ():
            every |= party.addresses.of_family(version)
    return every - owned


class _Names:
    """What parties and ends of flows are called: groups, or the range that a stranger is in."""

    def __init__(self, table: Table, groups: Groups) -> None:
        self._groups, self._places = groups, table.reach.places
        self._ranges = {
            (version, place): party.name
            for party in table.outside
            for version, place in party.places.items()
        }

    def of(self, party: Party) -> str:
        """Of a party."""
        group = self._groups.get(party.pods[0].key) if party.pods else None
        return party.name if group is None else str(group)

    def of_end(self, end: FlowEnd) -> str:
        """Of the end of a flow."""
        if end.pod:
            return str(self._groups.get(end.pod, end.pod))
        first = end.block[0]
        return self._ranges.get((family(first), self._places.at(None, first)), "")
