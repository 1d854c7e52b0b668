"""The flows of an expectation: one for each kind of ends and ports that no policy tells apart.

Comes in: the `Table` of a program in which every pod has an address. Goes out: rows for the
matcher. Refused: ends that match nothing (`UsageError`), because such an expectation tests nothing.

A pod that has no address, of a workload's template for example, gets one here: in no block that a
policy names, except in those of a whole family.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product

from msgspec import structs

from netpolc.analysis.connectivity import Table
from netpolc.analysis.connectivity.parties import stranger
from netpolc.analysis.expectations.services import (
    Numbers,
    is_service,
    ports_behind,
    served_pods,
)
from netpolc.core.cluster import Cluster, Pod, Snapshot
from netpolc.core.ends import did_you_mean, kind_called
from netpolc.core.errors import UsageError
from netpolc.core.expectation import Demand, End, Expectation, Named
from netpolc.core.ir import ANY, NetworkPeer
from netpolc.core.nets import Family, Ranges, family, format_address, free_addresses
from netpolc.core.program import Program
from netpolc.core.semantics import Flow


def addressed(snapshot: Snapshot) -> Snapshot:
    """The snapshot with an address of each family for every pod that has none."""
    cluster = snapshot.cluster
    if all(pod.addresses or pod.host_network for pod in cluster.pods):
        return snapshot
    networks = [
        peer.addresses
        for policy in snapshot.policies
        for rule in policy.rules
        if rule.peers is not ANY
        for peer in rule.peers
        if isinstance(peer, NetworkPeer)
    ]
    owned, count = cluster.owned_addresses(), len(cluster.pods)
    free = [free_addresses(networks, owned, version, count) for version in Family]
    pods = tuple(
        pod
        if pod.addresses or pod.host_network
        else structs.replace(pod, addresses=tuple(next(addresses) for addresses in free))
        for pod in cluster.pods
    )
    return replace(snapshot, cluster=replace(cluster, pods=pods))


@dataclass(frozen=True, slots=True)
class Point:
    """One end of a flow: an address, and the pod's name or the address as text. Behind a Service
    `numbers` are those that its ports lead to there.
    """

    name: str
    address: int
    numbers: Numbers | None = None


class Expander:
    """Finds the flows of expectations about one program."""

    def __init__(self, program: Program) -> None:
        self._cluster: Cluster = program.cluster
        self._table = Table(program)
        self._pods = program.pods_by_address
        self._owned = self._cluster.owned_addresses()
        self._starts = _port_starts(program)

    def flows(self, expectation: Expectation) -> Iterator[tuple[Point, Point, Flow]]:
        """Flows between different ends, each with its two ends."""
        for end in filter(is_service, self._meant(expectation.sources, expectation)):
            text = f"{end} opens no connections: name the pods that do"
            raise UsageError(f"{expectation.origin.place()}: {expectation.title}: {text}")
        only_from = expectation.demand is Demand.ONLY_FROM
        only_to = expectation.demand is Demand.ONLY_TO
        sources = self._points(expectation.sources, expectation, only_from)
        destinations = self._points(expectation.destinations, expectation, only_to)
        if not only_to:
            destinations += self._behind_services(expectation)
        numbers = self._numbers(expectation.ports)
        for source, destination in product(sources, destinations):
            if not self._may_meet(source.address, destination.address):
                continue
            own = destination.numbers
            for protocol, port in numbers[family(source.address)] if own is None else own:
                ends = format_address(source.address), format_address(destination.address)
                yield source, destination, Flow(*ends, protocol, port)

    def _may_meet(self, source: int, destination: int) -> bool:
        """Whether there are flows between two addresses that policies judge."""
        if source == destination or family(source) is not family(destination):
            return False
        return source in self._pods or destination in self._pods

    def _points(self, ends: Sequence[End], about: Expectation, others: bool) -> list[Point]:
        """Points of the ends but Services, or with `others` of everything else."""
        where = f"{about.origin.place()}: {about.title}"
        ends = self._meant(ends, about)
        named = [self._pods_of(end, where) for end in ends]
        told = [
            pods for end, pods in zip(ends, named, strict=True) if others or not is_service(end)
        ]
        meant = {pod.key for pods in told for pod in pods}
        blocks = Ranges.of(span for end in ends if isinstance(end, Ranges) for span in end)
        owned = Ranges.of((address, address) for address in self._owned)
        for end, pods in zip(ends, named, strict=True):
            if not pods and not (isinstance(end, Ranges) and end - owned):
                name = end if isinstance(end, Named) else "an address of no pod or node"
                hint = did_you_mean(self._cluster, str(end)) if isinstance(end, Named) else ""
                raise UsageError(f"{where}: {name} matches no pod and no workload{hint}")
        found: list[Point] = []
        for party in self._table.workloads:
            pods = [pod for pod in party.pods if (pod.key in meant) is not others]
            found.extend(_points_of(pods))
        for party in self._table.outside:
            addresses = party.addresses - blocks if others else party.addresses & blocks
            found.extend(self._outside(addresses))
        return found

    def _behind_services(self, about: Expectation) -> list[Point]:
        """Points behind the Services among the destinations, with the ports that theirs lead to."""
        services = list(filter(is_service, self._meant(about.destinations, about)))
        where = f"{about.origin.place()}: {about.title}"
        ports = ports_behind(self._cluster, services, about.ports, where)
        found = []
        for party in self._table.workloads:
            pods = [pod for pod in party.pods if ports.get(pod.key)]
            found += [replace(point, numbers=ports[point.name]) for point in _points_of(pods)]
        return found

    def _meant(self, ends: Sequence[End], about: Expectation) -> list[End]:
        """The same; `deployment/web` is of the namespace of the expectation, unless there is a
        namespace of that name.
        """
        found: list[End] = []
        for end in ends:
            if isinstance(end, Named) and not end.kind:
                known = end.namespace in self._cluster.namespaces
                kind = "" if known else kind_called(self._cluster, end.namespace)
                end = Named(about.origin.namespace, end.name, kind) if kind else end
            found.append(end)
        return found

    def _pods_of(self, end: End, where: str) -> list[Pod]:
        if is_service(end):
            return [pod for _, pods in served_pods(self._cluster, end, where) for pod in pods]
        if isinstance(end, Ranges):
            ((first, last),) = end.spans
            return [self._pods[first]] if first == last and first in self._pods else []
        cluster = self._cluster
        return [
            pod
            for party in self._table.workloads
            for pod in party.pods
            if end.matches(pod.namespace, pod.name, cluster.workload(pod).partition("/")[2])
        ]

    def _outside(self, addresses: Ranges) -> Iterator[Point]:
        """An address of each family that is no pod's and no node's."""
        for version in Family:
            address = stranger(addresses, version, self._owned)
            if address is not None:
                yield Point(format_address(address), address)

    def _numbers(self, wanted: Ranges) -> dict[Family, list[tuple[int, int | None]]]:
        """Protocols and ports that stand for all that are wanted."""
        starts = {first for first, _ in wanted}
        starts.update(start for start in self._starts if start in wanted)
        found: dict[Family, list[tuple[int, int | None]]] = {version: [] for version in Family}
        for start in sorted(starts):
            protocol, port = start >> 16, start & 0xFFFF
            for version in Family:
                if protocol in _WITH_PORTS:
                    found[version].append((protocol, port))
                elif protocol == _ICMP[version]:
                    found[version].append((protocol, None))
        return found


_WITH_PORTS = (6, 17, 132)
_ICMP = {Family.IPV4: 1, Family.IPV6: 58}
"""ICMP of a family stands for every protocol without ports: policies admit all or none."""


def _port_starts(program: Program) -> set[int]:
    """Where rules begin to tell ports apart."""
    spans = {
        span
        for combination in program.combinations
        for tier in combination.tiers
        for rule in tier.rules
        if rule.match.ports is not ANY
        for span in rule.match.ports
    }
    edges = {edge for first, last in spans for edge in (first, last + 1)}
    whole = {protocol << 16 for protocol in (*_WITH_PORTS, *_ICMP.values())}
    return edges | whole


def _points_of(pods: Sequence[Pod]) -> Iterator[Point]:
    """Two replicas of a party, which can also talk to each other."""
    for pod in pods[:2]:
        for address in pod.addresses:
            yield Point(pod.key, address)
