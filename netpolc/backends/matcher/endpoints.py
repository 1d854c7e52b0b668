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

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from netpolc.backends.matcher._core import address_lines
from netpolc.core.cluster import Pod
from netpolc.core.ir import ANY
from netpolc.core.nets import FAMILIES, IPV6, Family, Ranges, as_key, edges, family
from netpolc.core.program import Program

Indices = NDArray[np.int64]
Lines = NDArray[np.uint64]
"""(addresses, 3): family, high and low half."""
NOBODY = -1
"""The pod of an address that no pod has, and the identity of such a pod."""


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """What the addresses behind the number of each viewpoint have in common."""

    families: Indices
    identities: Indices
    """NOBODY outside of pods."""
    combinations: Indices
    """The networks that hold them, as the number of a network combination."""
    alone: dict[int, int]
    """By an address that a host number cannot speak for, its viewpoint."""
    exempt: dict[int, frozenset[int]]
    """By viewpoint, addresses that stand alone and that these pods may always talk to."""


@dataclass(frozen=True, slots=True, eq=False)
class Endpoints:
    """Every address of both families."""

    networks: list[Ranges]
    """The distinct networks of rules."""
    members: list[int]
    """Bits of `networks` by the number of a network combination."""
    identities: int
    """How many the program has."""
    views: Views
    starts: Lines
    """First addresses of the blocks that networks cut the address line into, from 0 on."""
    block_views: Indices
    """The viewpoint of an address in the block that is not among `addresses`."""
    addresses: Lines
    """Pods and nodes, sorted."""
    address_views: Indices
    hosts: Indices
    """For each of `addresses`: 2 * h for a pod on host h, 2 * h + 1 for that host, 0 for neither.
    Traffic between a host and its pods is not judged."""
    pods: list[Pod]
    """The pod of each of those `addresses` that have one, in their order."""
    owned: NDArray[np.bool_]
    """Which of `addresses` have a pod."""


def endpoints_of(program: Program) -> Endpoints:
    """The viewpoints of a program."""
    networks = list(
        dict.fromkeys(match.networks for match in program.matches if match.networks is not ANY)
    )
    blocks = _Blocks(networks)
    homes = _Homes(program)
    numbers, shared = _number_hosts(homes)
    alone = _standing_alone(homes, shared)
    placed = _place(blocks, homes, numbers, alone)
    block_views, address_views, views = _number_views(blocks, placed, homes, alone)
    return Endpoints(
        networks,
        blocks.members,
        len(program.identities),
        views,
        _lines(blocks.starts),
        block_views,
        placed.addresses,
        address_views,
        placed.hosts,
        list(map(homes.pods.__getitem__, placed.owners[placed.owners != NOBODY].tolist())),
        placed.owners != NOBODY,
    )


class _Blocks:
    """Blocks between the edges of networks, each with the networks that hold it."""

    def __init__(self, networks: list[Ranges]) -> None:
        self.starts: list[int] = []
        self.members: list[int] = []
        """By the number of a combination."""
        self.combinations: list[int] = []
        """By block."""
        changes = dict[int, list[int]]({0: [], IPV6: []}) | dict(edges(networks))
        numbers: dict[bytes, int] = {}
        members = 0
        for edge in sorted(changes):
            for own in changes[edge]:
                members ^= 1 << own
            # Past the last IPv4 or IPv6 address nothing follows.
            if 1 << 32 <= edge < IPV6 or edge >= 2 * IPV6:
                continue
            number = numbers.setdefault(as_key(members), len(numbers))
            if number == len(self.members):
                self.members.append(members)
            self.starts.append(edge)
            self.combinations.append(number)


class _Homes:
    """Pods that have an address, and the addresses of the nodes they run on, a set for each node.

    The walks over pods are most of what a large cluster costs here.
    """

    def __init__(self, program: Program) -> None:
        self.pods = [pod for own in program.identities for pod in own.pods if pod.addresses]
        identities = [own.number for own in program.identities for pod in own.pods if pod.addresses]
        several = [pod.addresses for pod in self.pods]
        self.addresses = list(chain.from_iterable(several))
        self.lines = _lines(self.addresses)
        """Of `addresses`."""
        counts = np.array(list(map(len, several)), dtype=np.int64)
        self.owners = np.repeat(np.arange(len(several)), counts)
        """The pod of each of `addresses`."""
        self.identities = np.array(identities, dtype=np.int64)
        """The identity of each pod."""
        keys = [(pod.node, pod.host_addresses) for pod in self.pods]
        distinct = dict(zip(keys, self.pods, strict=True))
        self.sets = list(map(program.cluster.node_addresses, distinct.values()))
        numbers = {key: number for number, key in enumerate(distinct)}
        self.set_of = np.array(list(map(numbers.__getitem__, keys)), dtype=np.int64)
        """The set of each pod."""


def _of(addresses: Iterable[int], version: Family) -> frozenset[int]:
    return frozenset(a for a in addresses if family(a) is version)


def _number_hosts(homes: _Homes) -> tuple[dict[frozenset[int], int], frozenset[int]]:
    """A number for each distinct set of node addresses of a family, and those of them that are in
    several or a pod's.
    """
    numbers: dict[frozenset[int], int] = {}
    for hosts in dict.fromkeys(homes.sets):
        for version in FAMILIES:
            some = _of(hosts, version)
            if some:
                numbers.setdefault(some, len(numbers) + 1)
    claims = Counter(address for hosts in numbers for address in hosts)
    several = {address for address, count in claims.items() if count > 1}
    return numbers, frozenset(several.union(claims.keys() & homes.addresses))


def _standing_alone(homes: _Homes, shared: frozenset[int]) -> frozenset[int]:
    """Addresses that a host number cannot speak for."""
    alone = set(shared)
    is_six = homes.lines[:, 0] == Family.IPV6
    for pod in np.flatnonzero(np.bincount(2 * homes.owners + is_six) > 1) // 2:
        for version in FAMILIES:
            own = _of(homes.pods[pod].addresses, version)
            alone.update(own if len(own) > 1 else ())
    return frozenset(alone)


@dataclass(frozen=True, slots=True, eq=False)
class _Placed:
    """Pod and node addresses, sorted, each once."""

    addresses: Lines
    owners: Indices
    """The pod of each as an index, or NOBODY."""
    hosts: Indices
    blocks: Indices


def _place(
    blocks: _Blocks, homes: _Homes, numbers: dict[frozenset[int], int], alone: frozenset[int]
) -> _Placed:
    """The host number and the block of every pod and node address."""
    nodes = dict.fromkeys(alone, 0)
    for addresses, number in numbers.items():
        nodes.update(dict.fromkeys(addresses - alone, 2 * number + 1))
    of_set = [[2 * numbers.get(_of(own, version), 0) for version in FAMILIES] for own in homes.sets]
    pod_hosts = np.array(of_set, dtype=np.int64).reshape(-1, 2)[
        homes.set_of[homes.owners], (homes.lines[:, 0] == Family.IPV6).astype(np.int64)
    ]
    lines = np.concatenate((_lines([*blocks.starts, *nodes]), homes.lines))
    order = np.lexsort(lines.T[::-1])  # of equal ones a block comes first, then a node
    starts = len(blocks.starts)
    is_start = order < starts
    block_of = np.cumsum(is_start) - 1
    single = np.flatnonzero(~is_start)
    lines = lines[order[single]]
    # Of equal addresses the last counts: of a node and a pod the pod, of two pods the later one.
    last = np.ones(len(lines), dtype=bool)
    last[:-1] = (lines[1:] != lines[:-1]).any(axis=1)
    lines, single = lines[last], single[last]
    own = order[single] - starts
    nobody = np.full(len(nodes), NOBODY)
    return _Placed(
        lines,
        np.concatenate((nobody, homes.owners))[own],
        np.concatenate((np.array(list(nodes.values()), dtype=np.int64), pod_hosts))[own],
        block_of[single],
    )


def first_seen(codes: Indices) -> tuple[Indices, Indices]:
    """Codes as numbers in the order in which they come, from 0 on, and where each is first:
    neighbours in a namespace stay neighbours.
    """
    _, first, inverse = np.unique(codes, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(first), dtype=np.int64)
    rank[order] = np.arange(len(first))
    return rank[inverse.reshape(-1)], first[order]


def _number_views(
    blocks: _Blocks, placed: _Placed, homes: _Homes, alone: frozenset[int]
) -> tuple[Indices, Indices, Views]:
    """The viewpoint of an address in each block that is nobody's, and of each single address."""
    count = len(blocks.starts)
    combination_of = np.array(blocks.combinations, dtype=np.int64)
    combinations = np.concatenate((combination_of, combination_of[placed.blocks]))
    identities = np.append(homes.identities, NOBODY)[placed.owners]  # NOBODY is the last
    identities = np.concatenate((np.full(count, NOBODY), identities))
    is_six = np.array([start >= IPV6 for start in blocks.starts])
    is_six = np.concatenate((is_six, placed.addresses[:, 0] == Family.IPV6))
    codes = ((identities + 1) * len(blocks.members) + combinations) * 2 + is_six
    # Those who see more than that are few.
    exempt = _exempt(homes, alone)
    special: dict[tuple[int, int | None, frozenset[int]], int] = {}
    at_alone, at_exempt = dict[int, int](), dict[int, frozenset[int]]()
    for at, address in enumerate(_addresses(placed.addresses) if alone else (), count):
        others = exempt.get(address, frozenset())
        if address in alone:
            at_alone[address] = at
        if others:
            at_exempt[at] = others
        if others or address in alone:
            key = int(codes[at]), address if address in alone else None, others
            codes[at] = -1 - special.setdefault(key, len(special))
    numbers, first = first_seen(codes)
    views = Views(
        np.where(is_six[first], Family.IPV6, Family.IPV4),
        identities[first],
        combinations[first],
        {address: int(numbers[at]) for address, at in at_alone.items()},
        {int(numbers[at]): others for at, others in at_exempt.items()},
    )
    return numbers[:count], numbers[count:], views


def _exempt(homes: _Homes, alone: frozenset[int]) -> dict[int, frozenset[int]]:
    """By the address of a pod: addresses of its family that stand alone and are its own or its
    node's.
    """
    found: dict[int, frozenset[int]] = {}
    for pod, number in zip(homes.pods, homes.set_of.tolist(), strict=True) if alone else ():
        beside = homes.sets[number].union(pod.addresses) & alone
        for address in pod.addresses if beside else ():
            found[address] = _of(beside - {address}, family(address))
    return found


def _lines(addresses: list[int]) -> Lines:
    return np.frombuffer(address_lines(addresses), dtype=np.uint64).reshape(-1, 3)


def _addresses(lines: Lines) -> list[int]:
    """The numbers of addresses."""
    return [(high << 64 | low) + IPV6 * (own == Family.IPV6) for own, high, low in lines.tolist()]
