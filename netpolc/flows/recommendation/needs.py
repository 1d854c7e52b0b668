"""What flows need of the policies of their two ends: rules with as few lines as say the same.

Comes in: flows, and the groups of pods. Goes out: a `NeededPolicy` for each group that has flows,
with rules for egress of the source and ingress of the destination. Peers that need the same ports
share a rule. Ports have the names that all containers there give them. A question to a name server
over UDP needs TCP too, for answers that are too long (RFC 7766).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any, NamedTuple

from netpolc.core.cluster import NAME_LABEL, Cluster
from netpolc.core.ir import Direction
from netpolc.core.nets import Protocol, Span, format_address, format_service, prefix_length
from netpolc.flows.recommendation.cidrs import as_cidrs
from netpolc.flows.recommendation.groups import PodGroup
from netpolc.flows.recommendation.observed import FlowEnd, ObservedFlow

_DNS = int(Protocol.UDP), 53
_DNS_PROTOCOLS = int(Protocol.UDP), int(Protocol.TCP)
STRANGERS = "outside"
NODES = "nodes"
_MOST_TOLD = 8
"""Flows that a rule's comment tells."""
_PORTED = frozenset(map(int, Protocol))

Side = PodGroup | str
"""Who is at the other end: a group, nodes or strangers."""


class NeededPort(NamedTuple):
    """A port of a rule, by number or by name; `number` is None for any protocol and port."""

    protocol: int
    number: int | None
    name: str = ""


@dataclass(slots=True)
class _Seen:
    """What was seen with one peer on one port."""

    records: int = 0
    example: tuple[FlowEnd, FlowEnd] | None = None
    blocks: set[Span] = field(default_factory=set)

    def add(self, flow: ObservedFlow, records: int, other: FlowEnd) -> None:
        self.records += records
        pair = flow.source, flow.destination
        self.example = pair if self.example is None else min(self.example, pair)
        if not other.pod:
            self.blocks.add(other.block)


class NeededRule(NamedTuple):
    """A rule as the API has it, its peers and ports apart, and what it is for."""

    peers: tuple[dict[str, Any], ...]
    ports: tuple[dict[str, Any], ...]
    comments: tuple[str, ...]


@dataclass(frozen=True, slots=True, eq=False)
class NeededPolicy:
    """A policy for one group of pods; directions that it has no rule for admit nothing."""

    group: PodGroup
    rules: Mapping[Direction, tuple[NeededRule, ...]]


@dataclass(frozen=True, slots=True)
class Wishes:
    """How policies shall be made: directions that they isolate, CIDR blocks in a rule and of each
    family at most, and whether protocols without ports may have rules without ports.
    """

    directions: tuple[Direction, ...] = tuple(Direction)
    max_cidrs: int = 16
    portless: bool = False


def needed_policies(
    flows: Mapping[ObservedFlow, int],
    cluster: Cluster,
    groups: Mapping[str, PodGroup],
    wishes: Wishes,
) -> list[NeededPolicy]:
    """The policies, by namespace and name of their groups; flows that have no rule are left out."""
    nodes = {address for node in cluster.nodes.values() for address in node.addresses}
    seen: dict[tuple[str, str], tuple[PodGroup, dict[Direction, _Needs]]] = {}
    for flow, records in sorted(flows.items()):
        for direction in wishes.directions:
            ends = flow[:2] if direction is Direction.EGRESS else flow[1::-1]
            group, other = groups.get(ends[0].pod), ends[1]
            if group is None:
                continue
            _, found = seen.setdefault((group.namespace, group.name), (group, {}))
            needs = found.setdefault(direction, _Needs(group, direction))
            if flow.port is not None or wishes.portless:
                side = groups.get(other.pod) if other.pod else _side(other, nodes)
                if side is not None:
                    needs.add(flow, records, side, other)
    return [
        NeededPolicy(
            group,
            {
                direction: tuple(found[direction].rules(wishes)) if direction in found else ()
                for direction in wishes.directions
            },
        )
        for _, (group, found) in sorted(seen.items())
    ]


def _side(end: FlowEnd, nodes: set[int]) -> str:
    return NODES if end.block[0] == end.block[1] and end.block[0] in nodes else STRANGERS


class _Needs:
    """What one group needs in one direction."""

    def __init__(self, group: PodGroup, direction: Direction) -> None:
        self._group, self._direction = group, direction
        self._sides: dict[str, Side] = {}
        self._seen: dict[str, dict[NeededPort, _Seen]] = {}

    def add(self, flow: ObservedFlow, records: int, side: Side, other: FlowEnd) -> None:
        """One flow with somebody."""
        key = str(side)
        self._sides[key] = side
        listener = side if self._direction is Direction.EGRESS else self._group
        ports = self._seen.setdefault(key, {})
        asked = _DNS_PROTOCOLS if (flow.protocol, flow.port) == _DNS else (flow.protocol,)
        for protocol in asked:
            port = _port(listener, protocol, flow.port)
            count = records if protocol == flow.protocol else 0
            ports.setdefault(port, _Seen()).add(flow, count, other)

    def rules(self, wishes: Wishes) -> Iterator[NeededRule]:
        """Peers with the same ports share a rule."""
        ports_of: dict[tuple[str, Any], set[NeededPort]] = {}
        for key, ports in self._seen.items():
            for port, seen in ports.items():
                ports_of.setdefault((key, self._blocks(seen, wishes)), set()).add(port)
        rules: dict[tuple[NeededPort, ...], list[tuple[str, Any]]] = {}
        for peer, own in ports_of.items():
            rules.setdefault(tuple(sorted(own, key=_order)), []).append(peer)
        for needed, peers in sorted(rules.items(), key=lambda rule: [*map(_order, rule[0])]):
            peers.sort()
            listed = [one for key, blocks in peers for one in self._peers(key, blocks)]
            told = [text for key, _ in peers for text in self._told(key, needed)]
            if len(told) > _MOST_TOLD:
                told[_MOST_TOLD - 1 :] = [f"and {len(told) - _MOST_TOLD + 1} more"]
            yield NeededRule(tuple(listed), tuple(_manifest_ports(needed)), tuple(told))

    @staticmethod
    def _blocks(seen: _Seen, wishes: Wishes) -> tuple[Span, ...]:
        return as_cidrs(seen.blocks, wishes.max_cidrs) if seen.blocks else ()

    def _peers(self, key: str, blocks: tuple[Span, ...]) -> Iterator[dict[str, Any]]:
        side = self._sides[key]
        if isinstance(side, str):
            for block in blocks:
                cidr = f"{format_address(block[0])}/{prefix_length(block)}"
                yield {"ipBlock": {"cidr": cidr}}
            return
        peer: dict[str, Any] = {"podSelector": dict(side.selector)}
        if side.namespace != self._group.namespace:
            space = {"matchLabels": {NAME_LABEL: side.namespace}}
            peer = {"namespaceSelector": space, **peer}
        yield peer

    def _told(self, key: str, ports: Iterable[NeededPort]) -> Iterator[str]:
        way = "to" if self._direction is Direction.EGRESS else "from"
        for port in ports:
            seen = self._seen[key].get(port)
            if seen is None or seen.example is None:
                continue
            service = "any protocol" if port.number is None else _service(port)
            if not seen.records:
                yield f"{way} {key}, {service}: long answers of DNS"
                continue
            count = f"{seen.records} record{'s' * (seen.records > 1)}"
            example = "{} -> {}".format(*seen.example)
            yield f"{way} {key}, {service}: {count}, as of {example}"


def _service(port: NeededPort) -> str:
    return format_service(port.protocol, port.number)


def _port(listener: Side, protocol: int, number: int | None) -> NeededPort:
    """By the name that every pod there has for it, if that means nothing else there."""
    if number is None or protocol not in _PORTED:
        return NeededPort(-1, None)
    if isinstance(listener, str):
        return NeededPort(protocol, number)
    names = [
        {name for name, own, at in pod.ports if (own, at) == (protocol, number)}
        for pod in listener.pods
    ]
    for name in sorted(set.intersection(*names)):
        own_ports = (own for pod in listener.pods for own in pod.ports)
        if {at for *own, at in own_ports if own == [name, protocol]} == {number}:
            return NeededPort(protocol, number, name)
    return NeededPort(protocol, number)


def _order(port: NeededPort) -> tuple[int, int, str]:
    return port.protocol, port.number if port.number is not None else -1, port.name


def _manifest_ports(ports: tuple[NeededPort, ...]) -> Iterator[dict[str, Any]]:
    """As the API has them; neighbours are a span. None at all where every port is needed."""
    if any(port.number is None for port in ports):
        return
    named = [own for own in ports if own.name]
    plain = [own for own in ports if not own.name]
    cuts = [
        at
        for at, (one, other) in enumerate(pairwise(plain), start=1)
        if (one.protocol, (one.number or 0) + 1) != (other.protocol, other.number)
    ]
    spans = [plain[a:b] for a, b in zip([0, *cuts], [*cuts, len(plain)], strict=True) if a < b]
    for own in named:
        yield {"protocol": Protocol(own.protocol).name, "port": own.name}
    for span in spans:
        first: dict[str, Any] = {
            "protocol": Protocol(span[0].protocol).name,
            "port": span[0].number,
        }
        yield first if len(span) == 1 else {**first, "endPort": span[-1].number}
