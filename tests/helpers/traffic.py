"""The flows that tell apart what a set of manifests says.

In: parsed manifests. Out: the addresses and ports at which a verdict can change (every pod, node
and block edge with its neighbours, every port range's edge with its neighbours), and a
deterministic list of flows over them. Refused: nothing; an address outside the private and
documentation networks is left out, so that every flow can be sent inside a test network.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from ipaddress import ip_address, ip_network
from itertools import chain, islice, product
from typing import Any, NamedTuple
from zlib import crc32

Manifest = dict[str, Any]
Service = tuple[str | int, int | None]

PORT_NUMBERS = [80, 81, 79, 443, 8080, 1, 2, 65534, 65535]
GRE = 47
OUTSIDE = ["192.0.2.1", "198.51.100.7", "172.16.0.1", "2001:db8::1", "2001:db8:1::7"]
SENDABLE = [
    ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "192.0.2.0/24",
        "198.51.100.0/24",
        "203.0.113.0/24",
        "fd00::/8",
        "2001:db8::/32",
    )
]


class Flow(NamedTuple):
    """A new flow between two addresses of one family.

    ``protocol`` is ``"TCP"``, ``"UDP"``, ``"SCTP"`` or the number of another IP protocol, which
    has no port.
    """

    source: str
    destination: str
    protocol: str | int
    port: int | None


def is_v6(address: str) -> bool:
    return ":" in address


class Candidates(NamedTuple):
    """Addresses worth sending from and to, each in one of the lists."""

    pods: list[str]
    nodes: list[str]
    others: list[str]


def candidates(objects: Sequence[Manifest]) -> Candidates:
    """The addresses of pods, those of nodes, and the edges of blocks and some of the outside."""
    pods, nodes = set(_pod_addresses(objects)), set(_node_addresses(objects))
    others = {*OUTSIDE, *_block_edges(objects)}
    return Candidates(_sorted(pods), _sorted(nodes - pods), _sorted(others - nodes - pods))


def services(objects: Sequence[Manifest]) -> tuple[list[Service], list[Service]]:
    """Protocols and ports worth sending to: those that the objects speak of, and all others.

    The first are container ports, the edges of ranges and their neighbours, each in its own
    protocol, and protocols without ports; the second the same ports in the other protocols.
    """
    spoken: set[Service] = {("TCP", 80), ("ICMP", None), (GRE, None)}
    for port in _container_ports(objects):
        spoken.add((port.get("protocol") or "TCP", port["containerPort"]))
    for port in (port for rule in _rules(objects) for port in rule.get("ports") or []):
        for end in (port.get("port"), port.get("endPort")):
            if isinstance(end, int):
                near = [n for n in (end - 1, end, end + 1) if 1 <= n <= 65535]
                spoken |= {((port.get("protocol") or "TCP").upper(), n) for n in near}
    numbers = {number for _, number in spoken if number is not None}
    others = set(product(("TCP", "UDP", "SCTP"), numbers)) - spoken
    return sorted(spoken, key=_shuffled), sorted(others, key=_shuffled)


def flow_of(source: str, destination: str, service: Service) -> Flow:
    """The flow; ICMP takes the number it has in the addresses' family."""
    protocol, port = service
    if protocol == "ICMP":
        protocol = 58 if is_v6(source) else 1
    return Flow(source, destination, protocol, port)


def served_by(objects: Sequence[Manifest], address: str) -> list[Service]:
    """The services that the pods of an address declare."""
    found = set()
    for pod in _of_kind(objects, "Pod"):
        if address in _status_addresses(pod, "podIP", "podIPs"):
            ports = _container_ports([pod])
            found |= {(port.get("protocol") or "TCP", port["containerPort"]) for port in ports}
    return sorted(found, key=_shuffled)


def interesting_flows(objects: Sequence[Manifest], limit: int) -> list[Flow]:
    """At most ``limit`` flows, each once, the same for the same objects.

    Half of the places are for pairs of pods (half of these for what the destination declares, as
    named ports need), a quarter for pods and nodes, a quarter for pods and the rest. Each pair has
    another service in every round; what one kind leaves free, pairs of pods take.
    """
    pods, nodes, others = candidates(objects)
    inner = _rounds(_pairs(pods, pods), objects)
    hosts = _rounds([*_pairs(pods, nodes), *_pairs(nodes, pods)], objects)
    outer = _rounds([*_pairs(pods, others), *_pairs(others, pods)], objects)
    quarter = limit // 4
    declared = islice(_declared(_pairs(pods, pods), objects), quarter)
    rest = (islice(flows, quarter) for flows in (hosts, outer))
    first = dict.fromkeys(chain(declared, islice(inner, quarter), *rest))
    return list(islice(dict.fromkeys(chain(first, islice(inner, limit))), limit))


def _declared(pairs: list[tuple[str, str]], objects: Sequence[Manifest]) -> Iterator[Flow]:
    """Each pair with one service more of the destination in every round."""
    served = {destination: served_by(objects, destination) for _, destination in pairs}
    for turn in range(max(map(len, served.values()), default=0)):
        for source, destination in pairs:
            if turn < len(served[destination]):
                yield flow_of(source, destination, served[destination][turn])


def _pairs(sources: Iterable[str], destinations: Iterable[str]) -> list[tuple[str, str]]:
    pairs = product(sources, destinations)
    return sorted((pair for pair in pairs if is_v6(pair[0]) == is_v6(pair[1])), key=_shuffled)


def _rounds(pairs: list[tuple[str, str]], objects: Sequence[Manifest]) -> Iterator[Flow]:
    """Each pair with a service of its own in every round, until all have met all."""
    for some in services(objects):
        for turn in range(len(some)):
            for place, (source, destination) in enumerate(pairs):
                yield flow_of(source, destination, some[(turn + place) % len(some)])


def _shuffled(item: object) -> int:
    """An order that is the same everywhere and follows no field, so that any prefix is mixed."""
    return crc32(repr(item).encode())


def _pod_addresses(objects: Sequence[Manifest]) -> Iterator[str]:
    for pod in _of_kind(objects, "Pod"):
        yield from _status_addresses(pod, "podIP", "podIPs")


def _node_addresses(objects: Sequence[Manifest]) -> Iterator[str]:
    for node in _of_kind(objects, "Node"):
        for entry in (node.get("status") or {}).get("addresses") or []:
            if entry["type"] in ("InternalIP", "ExternalIP"):
                yield entry["address"]
    for pod in _of_kind(objects, "Pod"):
        yield from _status_addresses(pod, "hostIP", "hostIPs")


def _status_addresses(pod: Manifest, single: str, plural: str) -> Iterator[str]:
    status = pod.get("status") or {}
    if status.get(single):
        yield status[single]
    for entry in status.get(plural) or []:
        yield entry["ip"]


def _block_edges(objects: Sequence[Manifest]) -> Iterator[str]:
    """The first and last address of every block and except, and the ones just beyond."""
    for text in sorted(_cidrs(objects)):
        network = ip_network(text)
        first, last = int(network[0]), int(network[-1])
        for number in (first - 1, first, last, last + 1):
            if 0 <= number < 2**network.max_prefixlen:
                edge = type(network[0])(number)
                if any(edge in routed for routed in SENDABLE):
                    yield str(edge)


def _cidrs(objects: Sequence[Manifest]) -> set[str]:
    found: set[str] = set()
    for rule in _rules(objects):
        for peer in [*(rule.get("from") or []), *(rule.get("to") or [])]:
            block = peer.get("ipBlock")
            if block:
                found |= {block["cidr"], *(block.get("except") or [])}
    return found


def _rules(objects: Sequence[Manifest]) -> Iterator[Manifest]:
    for policy in _of_kind(objects, "NetworkPolicy"):
        spec = policy.get("spec") or {}
        yield from spec.get("ingress") or []
        yield from spec.get("egress") or []


def _container_ports(objects: Sequence[Manifest]) -> Iterator[Manifest]:
    for pod in _of_kind(objects, "Pod"):
        for container in (pod.get("spec") or {}).get("containers") or []:
            yield from container.get("ports") or []


def _of_kind(objects: Sequence[Manifest], kind: str) -> Iterator[Manifest]:
    return (item for item in objects if item["kind"] == kind)


def _sorted(addresses: Iterable[str]) -> list[str]:
    return sorted(set(addresses), key=lambda text: (is_v6(text), int(ip_address(text))))
