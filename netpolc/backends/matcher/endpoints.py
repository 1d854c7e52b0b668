"""Addresses as the rules see them: every pod, every block, and who may always talk to whom.

In: a Program. Out: `Endpoints`: a **viewpoint** for every address. Two addresses have the same one
when no rule's peers tell them apart: they belong to the same identity (or to no pod) and lie in the
same of the rules' networks. Refused: nothing.

What is never judged, a pod's traffic with itself and with its own node, is a matter of single
addresses and not of viewpoints. Where a node's address belongs to one node and to no pod, a **host
number** on both ends tells it. The rest (a pod with two addresses of a family, an address that two
nodes or a node and a pod claim) is rare: each such address gets a viewpoint of its own, and so do
the pods that may always talk to it.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from netpolc.cluster import Pod
from netpolc.ir import ANY
from netpolc.nets import IPV6, Family, Ranges, family
from netpolc.program import Program

NOBODY: frozenset[int] = frozenset()


class Viewpoint(NamedTuple):
    """What the addresses behind one number have in common."""

    family: Family
    identity: int | None
    combination: int
    """The number of a network combination."""
    alone: int | None = None
    """The address itself if a host number cannot speak for it."""
    exempt: frozenset[int] = NOBODY
    """Addresses that stand alone and that these pods may always talk to."""


@dataclass(slots=True, eq=False)
class Endpoints:
    """Every address of both families."""

    networks: list[Ranges]
    """The distinct networks of rules."""
    views: list[Viewpoint] = field(default_factory=list)
    members: list[int] = field(default_factory=list)
    """Bits of `networks` by the number of a network combination."""
    starts: list[int] = field(default_factory=list)
    """First addresses of the blocks that networks cut the address line into, from 0 on."""
    block_views: list[int] = field(default_factory=list)
    """The viewpoint of an address in the block that is not among `addresses`."""
    addresses: list[int] = field(default_factory=list)
    """Pods and nodes, sorted."""
    address_views: list[int] = field(default_factory=list)
    hosts: list[int] = field(default_factory=list)
    """For each of `addresses`: 2 * h for a pod on host h, 2 * h + 1 for that host, 0 for neither.
    Traffic between a host and its pods is not judged."""


def endpoints_of(program: Program) -> Endpoints:
    """The viewpoints of a program."""
    found = Endpoints(_networks(program))
    _cut(found)
    own_hosts = _own_hosts(program)
    numbers, shared = _number_hosts(program, own_hosts)
    alone = _standing_alone(program, own_hosts, shared)
    exempt = {
        address: frozenset(a for a in hosts.union(pod.addresses) & alone if _same(a, address))
        for pod, hosts in (own_hosts.items() if alone else ())
        for address in pod.addresses
    }
    _place(found, program, numbers, alone, exempt)
    return found


def _networks(program: Program) -> list[Ranges]:
    return list(
        dict.fromkeys(
            rule.match.networks
            for combination in program.combinations
            for tier in combination.tiers
            for rule in tier.rules
            if rule.match.networks is not ANY
        )
    )


def _cut(found: Endpoints) -> None:
    """Blocks between the edges of networks, each with the networks that hold it."""
    edges: dict[int, int] = {0: 0, IPV6: 0}
    for number, ranges in enumerate(found.networks):
        for first, last in ranges:
            edges[first] = edges.get(first, 0) ^ 1 << number
            edges[last + 1] = edges.get(last + 1, 0) ^ 1 << number
    numbers: dict[int, int] = {}
    views: dict[Viewpoint, int] = {}
    members = 0
    for edge in sorted(edges):
        members ^= edges[edge]
        # Past the last IPv4 or IPv6 address nothing follows.
        if 1 << 32 <= edge < IPV6 or edge >= 2 * IPV6:
            continue
        number = numbers.setdefault(members, len(numbers))
        found.starts.append(edge)
        view = Viewpoint(family(edge), None, number)
        found.block_views.append(views.setdefault(view, len(views)))
    found.members = list(numbers)
    found.views = list(views)


def _own_hosts(program: Program) -> dict[Pod, frozenset[int]]:
    """The node addresses of every pod; pods of one node share one set."""
    sets: dict[tuple[str, tuple[int, ...]], frozenset[int]] = {}
    result = {}
    for pod in program.pods_by_address.values():
        key = pod.node, pod.host_addresses
        if key not in sets:
            sets[key] = program.cluster.node_addresses(pod)
        result[pod] = sets[key]
    return result


def _of(addresses: Iterable[int], version: Family) -> frozenset[int]:
    return frozenset(a for a in addresses if family(a) is version)


def _same(first: int, second: int) -> bool:
    return first != second and family(first) is family(second)


def _number_hosts(
    program: Program, own_hosts: dict[Pod, frozenset[int]]
) -> tuple[dict[frozenset[int], int], frozenset[int]]:
    """A number for each distinct set of node addresses of a family, and addresses in several."""
    numbers: dict[frozenset[int], int] = {}
    for hosts in dict.fromkeys(own_hosts.values()):
        for version in Family:
            some = _of(hosts, version)
            if some:
                numbers.setdefault(some, len(numbers) + 1)
    claims = Counter(address for hosts in numbers for address in hosts)
    pods = program.pods_by_address
    return numbers, frozenset(a for a, count in claims.items() if count > 1 or a in pods)


def _standing_alone(
    program: Program, own_hosts: dict[Pod, frozenset[int]], shared: frozenset[int]
) -> frozenset[int]:
    """Addresses that a host number cannot speak for."""
    alone = set(shared)
    for pod in own_hosts:
        for version in Family:
            several = _of(pod.addresses, version)
            if len(several) > 1:
                alone |= several
    return frozenset(alone)


def _place(
    found: Endpoints,
    program: Program,
    numbers: dict[frozenset[int], int],
    alone: frozenset[int],
    exempt: dict[int, frozenset[int]],
) -> None:
    """Give every pod and node address its viewpoint and host number."""
    views = {key: number for number, key in enumerate(found.views)}
    combination = _combinations(found)
    host_of: dict[int, int] = {}
    for hosts, number in numbers.items():
        host_of.update(dict.fromkeys(hosts - alone, 2 * number + 1))
    pod_host: dict[frozenset[int], dict[Family, int]] = defaultdict(dict)
    pods = program.pods_by_address
    for address in sorted(host_of.keys() | pods.keys() | alone):
        version = family(address)
        pod = pods.get(address)
        identity = None
        host = host_of.get(address, 0)
        if pod is not None:
            identity = program.identity_of[pod.key]
            own = program.cluster.node_addresses(pod)
            if version not in pod_host[own]:
                pod_host[own][version] = 2 * numbers.get(_of(own, version), 0)
            host = pod_host[own][version]
        block = bisect_right(found.starts, address) - 1
        own_address = address if address in alone else None
        others = exempt.get(address, NOBODY)
        key = Viewpoint(version, identity, combination[block], own_address, others)
        found.addresses.append(address)
        found.address_views.append(views.setdefault(key, len(views)))
        found.hosts.append(host)
    found.views = list(views)


def _combinations(found: Endpoints) -> list[int]:
    """The network combination of every block."""
    return [found.views[view].combination for view in found.block_views]
