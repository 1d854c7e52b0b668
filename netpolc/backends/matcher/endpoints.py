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
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from netpolc.core.cluster import Pod
from netpolc.core.ir import ANY
from netpolc.core.nets import IPV6, Family, Ranges, as_key, edges, family
from netpolc.core.program import Program

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
    homes = _Homes(program)
    numbers, shared = _number_hosts(homes)
    alone = _standing_alone(homes, shared)
    exempt = {
        address: frozenset(own for own in beside if _same(own, address))
        for pod, hosts in (homes.of_pods() if alone else ())
        if (beside := hosts.union(pod.addresses) & alone)
        for address in pod.addresses
    }
    _place(found, homes, numbers, alone, exempt)
    return found


def _networks(program: Program) -> list[Ranges]:
    return list(
        dict.fromkeys(match.networks for match in program.matches if match.networks is not ANY)
    )


def _cut(found: Endpoints) -> None:
    """Blocks between the edges of networks, each with the networks that hold it."""
    changes = dict[int, list[int]]({0: [], IPV6: []}) | dict(edges(found.networks))
    numbers: dict[bytes, int] = {}
    views: dict[Viewpoint, int] = {}
    members = 0
    for edge in sorted(changes):
        for own in changes[edge]:
            members ^= 1 << own
        # Past the last IPv4 or IPv6 address nothing follows.
        if 1 << 32 <= edge < IPV6 or edge >= 2 * IPV6:
            continue
        number = numbers.setdefault(as_key(members), len(numbers))
        if number == len(found.members):
            found.members.append(members)
        found.starts.append(edge)
        view = Viewpoint(family(edge), None, number)
        found.block_views.append(views.setdefault(view, len(views)))
    found.views = list(views)


class _Homes:
    """Who has each address, and the addresses of the nodes that pods run on, a set for each node.

    A walk over pods is most of what a large cluster costs here, so there is one.
    """

    def __init__(self, program: Program) -> None:
        self.sets: list[frozenset[int]] = []
        self.of: dict[int, tuple[int, int]] = {}
        """By address of a pod: its identity, and the number of its node's set."""
        self.several: list[Pod] = []
        """Pods with more than one address."""
        self._pods: list[tuple[Pod, int]] = []
        known: dict[tuple[str, tuple[int, ...]], int] = {}
        for own in program.identities:
            for pod in own.pods:
                if not (addresses := pod.addresses):
                    continue
                number = known.setdefault((pod.node, pod.host_addresses), len(self.sets))
                if number == len(self.sets):
                    self.sets.append(program.cluster.node_addresses(pod))
                place = own.number, number
                for address in addresses:
                    self.of[address] = place
                self._pods.append((pod, number))
                if len(addresses) > 1:
                    self.several.append(pod)

    def of_pods(self) -> Iterator[tuple[Pod, frozenset[int]]]:
        """Every pod with its set."""
        return ((pod, self.sets[number]) for pod, number in self._pods)


def _of(addresses: Iterable[int], version: Family) -> frozenset[int]:
    return frozenset(a for a in addresses if family(a) is version)


def _same(first: int, second: int) -> bool:
    return first != second and family(first) is family(second)


def _number_hosts(homes: _Homes) -> tuple[dict[frozenset[int], int], frozenset[int]]:
    """A number for each distinct set of node addresses of a family, and addresses in several."""
    numbers: dict[frozenset[int], int] = {}
    for hosts in dict.fromkeys(homes.sets):
        for version in Family:
            some = _of(hosts, version)
            if some:
                numbers.setdefault(some, len(numbers) + 1)
    claims = Counter(address for hosts in numbers for address in hosts)
    return numbers, frozenset(a for a, count in claims.items() if count > 1 or a in homes.of)


def _standing_alone(homes: _Homes, shared: frozenset[int]) -> frozenset[int]:
    """Addresses that a host number cannot speak for."""
    alone = set(shared)
    for pod in homes.several:
        six = {address for address in pod.addresses if address >= IPV6}
        alone.update(*(own for own in (six, {*pod.addresses} - six) if len(own) > 1))
    return frozenset(alone)


def _place(
    found: Endpoints,
    homes: _Homes,
    numbers: dict[frozenset[int], int],
    alone: frozenset[int],
    exempt: dict[int, frozenset[int]],
) -> None:
    """Give every pod and node address its viewpoint and host number."""
    host_of = dict.fromkeys(alone, 0)
    for hosts, number in numbers.items():
        host_of.update(dict.fromkeys(hosts - alone, 2 * number + 1))
    pod_hosts = [
        tuple(2 * numbers.get(_of(own, version), 0) for version in Family) for own in homes.sets
    ]
    for address, (_, number) in homes.of.items():
        host_of[address] = pod_hosts[number][address >= IPV6]
    found.addresses = sorted(host_of)
    found.hosts = list(map(host_of.__getitem__, found.addresses))
    combination = _combinations(found)
    views = {key: number for number, key in enumerate(found.views)}
    # Most differ in these numbers alone, and are many more than what these numbers are.
    known: dict[tuple[int | None, int], int] = {}
    nobody = None, 0
    for address, block in zip(found.addresses, _blocks_of(found), strict=True):
        identity, _ = homes.of.get(address, nobody)
        own = known.get((identity, block))
        if own is None or (alone and (address in alone or address in exempt)):
            others = exempt.get(address, NOBODY)
            own_address = address if address in alone else None
            key = Viewpoint(family(address), identity, combination[block], own_address, others)
            own = views.setdefault(key, len(views))
            if own_address is None and not others:
                known[identity, block] = own
        found.address_views.append(own)
    found.views = list(views)


def _blocks_of(found: Endpoints) -> Iterator[int]:
    """The block of each address; both are sorted."""
    block, ends = 0, [*found.starts[1:], 2 * IPV6]
    for address in found.addresses:
        if address >= ends[block]:
            block = bisect_right(found.starts, address, block) - 1
        yield block


def _combinations(found: Endpoints) -> list[int]:
    """The network combination of every block."""
    return [found.views[view].combination for view in found.block_views]
