"""Who is at the ends of records: the addresses to judge by, and the workload to count for.

Comes in: columns of addresses and names of pods. Goes out: the `LoggedEnd` of each row. A
name is believed before an address: addresses are used again when pods go. A pod that the snapshot
has no address of is known by name alone. An end whose pod the snapshot does not know, or that has
neither name nor address, cannot be judged and says why.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from netpolc.core.cluster import Cluster, Pod
from netpolc.core.nets import format_address, parse_address
from netpolc.core.program import Program
from netpolc.flows.columns import Rows, indices, ipv4_numbers, without_gaps
from netpolc.flows.unplaced import MeantEnd

OUTSIDE = "outside"
"""The party of addresses that are neither of a pod nor of a node."""
IPV4, IPV6, POD, SEVERAL, UNPLACED = 1, 2, 4, 8, 16
"""It has (or may have) an address of the family; it is a pod; it has several addresses; nobody
knows its address."""
_MOST = 1 << 18
"""Ends that are remembered: memory stays flat, whatever addresses a log holds."""


class LoggedEnd(NamedTuple):
    """One end: its addresses (of a pod known by name, one or more of each family), the number of
    its party, its marks, why it cannot be judged ("" if it can), and the `namespace/name` of a pod
    without any address ("" of all others).
    """

    addresses: tuple[str, ...]
    party: int
    marks: int
    """What is true of it: bits of IPV4, IPV6, POD, SEVERAL and UNPLACED."""
    problem: str = ""
    pod: str = ""

    @property
    def is_pod(self) -> bool:
        """Whether policies are about it."""
        return bool(self.marks & POD)

    @property
    def meant(self) -> MeantEnd:
        """Its addresses, or the pod that has none."""
        return MeantEnd(self.addresses, self.pod)

    @property
    def examples(self) -> tuple[str, ...]:
        """What a flow of it can be told by: its addresses, or the name."""
        return self.addresses or (self.pod,)


def _logged(addresses: tuple[str, ...], party: int, is_pod: bool, problem: str = "") -> LoggedEnd:
    marks = POD * is_pod | SEVERAL * (len(addresses) > 1)
    for own in addresses:
        marks |= IPV6 if ":" in own else IPV4
    return LoggedEnd(addresses, party, marks, problem)


class KnownEnds:
    """Ends of which a log has told so far, each with its place; what is asked of many as arrays."""

    def __init__(self) -> None:
        self.ends: list[LoggedEnd] = []
        self.parties = np.zeros(0, np.int32)
        self.marks = np.zeros(0, np.uint8)
        self.addresses = pa.array([], pa.string())
        """The first address of each; null where there is none."""

    def completed(self) -> KnownEnds:
        """With the arrays as long as the list."""
        fresh = self.ends[len(self.parties) :]
        if fresh:
            first = [end.addresses[0] if end.addresses else None for end in fresh]
            self.addresses = pa.concat_arrays([self.addresses, pa.array(first, pa.string())])
            self.parties = np.append(self.parties, np.array([own.party for own in fresh], np.int32))
            self.marks = np.append(self.marks, np.array([own.marks for own in fresh], np.uint8))
        return self


class EndColumn:
    """One side of a batch: the distinct ends, and which one each row has."""

    def __init__(self, known: KnownEnds, places: Rows, of_row: Rows) -> None:
        self._known, self._places, self.of_row = known, places, of_row

    def end(self, number: int) -> LoggedEnd:
        """One of the distinct ends, as `of_row` numbers them."""
        return self._known.ends[int(self._places[number])]

    def of_rows(self, rows: Rows) -> EndColumn:
        """The same ends of other rows, each of which is one of these."""
        return EndColumn(self._known, self._places, self.of_row[rows])

    @cached_property
    def party(self) -> NDArray[np.int32]:
        """The party of each row."""
        return self._known.parties[self._places][self.of_row]

    @cached_property
    def marks(self) -> NDArray[np.uint8]:
        """The marks of each row's end; none where it cannot be judged."""
        return self._known.marks[self._places][self.of_row]

    def addresses(self) -> pa.DictionaryArray:
        """The (first) address of each row; null where there is none."""
        words = self._known.addresses.take(pa.array(self._places))
        return pa.DictionaryArray.from_arrays(pa.array(self.of_row, pa.int32()), words)

    def problems(self) -> Iterator[tuple[str, NDArray[np.bool_]]]:
        """Why ends cannot be judged, with the rows of each reason."""
        if self.marks.all():
            return
        ends = [self._known.ends[place] for place in self._places.tolist()]
        for problem in dict.fromkeys(end.problem for end in ends if end.problem):
            flags = np.array([end.problem == problem for end in ends], dtype=bool)
            yield problem, flags[self.of_row]


class EndNames:
    """What the ends of records are counted for: workloads, nodes, and everybody outside."""

    def __init__(self, program: Program) -> None:
        self._cluster = program.cluster
        self._nodes = {
            address: name
            for name, node in program.cluster.nodes.items()
            for address in node.addresses
        }

    def of_pod(self, pod: Pod) -> str:
        """The party of a pod."""
        return self._cluster.workload(pod)

    def of_address(self, address: int) -> str:
        """The party of an address that no pod has."""
        node = self._nodes.get(address)
        return OUTSIDE if node is None else f"node:{node}"


class EndReader:
    """The ends of a log, as a program knows them."""

    def __init__(self, program: Program, names: EndNames | None = None) -> None:
        self._program = program
        self._names = names or EndNames(program)
        self._pods = _by_name(program.cluster)
        self.parties: list[str] = []
        """Names by number."""
        self._numbers: dict[str, int] = {}
        self._forget()

    def _forget(self) -> None:
        self._known = KnownEnds()
        self._places: dict[tuple[str | None, str | None], int] = {}
        """Places in the list by address and name."""
        self._sorted4, self._places4 = np.zeros(0, np.uint32), np.zeros(0, np.int64)
        """The same by the number of an IPv4 address."""

    def column(self, addresses: pa.DictionaryArray, pods: pa.DictionaryArray) -> EndColumn:
        """The ends of the rows of a batch."""
        if len(self._known.ends) >= _MOST:
            self._forget()
        width = len(pods.dictionary) + 1
        both = indices(addresses).astype(np.int64) * width + indices(pods)
        found = without_gaps(both, (len(addresses.dictionary) + 1) * width)
        address, pod = np.divmod(both[found.first], width)
        numbers, are_read = ipv4_numbers(addresses.dictionary)
        is_plain = np.append(are_read, False)[address] & (pod == width - 1)
        places = np.empty(len(address), np.int64)
        places[is_plain] = self._placed4(numbers[address[is_plain]])
        if not is_plain.all():
            words, names = ([*own.dictionary.to_pylist(), None] for own in (addresses, pods))
            for at in np.flatnonzero(~is_plain).tolist():
                places[at] = self._placed(words[address[at]], names[pod[at]])
        return EndColumn(self._known.completed(), places, found.of_row)

    def _placed4(self, numbers: NDArray[np.uint32]) -> Rows:
        """The places of ends that are IPv4 addresses and nothing else."""
        at = np.searchsorted(self._sorted4, numbers)
        is_known = np.append(self._sorted4, np.uint32(0))[at] == numbers
        is_known[at == len(self._sorted4)] = False
        if not is_known.all():
            fresh, ends = np.unique(numbers[~is_known]), self._known.ends
            places = np.arange(len(ends), len(ends) + len(fresh))
            ends += map(self._at_address, fresh.tolist())
            into = np.searchsorted(self._sorted4, fresh)
            self._sorted4 = np.insert(self._sorted4, into, fresh)
            self._places4 = np.insert(self._places4, into, places)
            at = np.searchsorted(self._sorted4, numbers)
        return self._places4[at]

    def _placed(self, address: str | None, pod: str | None) -> int:
        ends = self._known.ends
        place = self._places.setdefault((address, pod), len(ends))
        if place == len(ends):
            ends.append(self._found(address, pod))
        return place

    def _found(self, address: str | None, pod: str | None) -> LoggedEnd:
        if pod is not None:
            return self._named(pod, address)
        if address is None:
            return self._unknown("the log names neither address nor pod of an end")
        try:
            number = _number(address)
        except ValueError as error:
            return self._unknown(f"address {address[:60]!r}: {error}")
        return self._at_address(number)

    def _at_address(self, number: int) -> LoggedEnd:
        """Who an address on the address line is."""
        address = format_address(number)
        own = self._program.pods_by_address.get(number)
        if own is not None:
            return self._of_pod(own, (address,))
        return _logged((address,), self._party(self._names.of_address(number)), False)

    def _named(self, name: str, address: str | None) -> LoggedEnd:
        pod = self._pods.get(name)
        if pod is None:
            return self._unknown("a pod that is not in the snapshot")
        if pod.host_network:
            if address is not None:
                return self._found(address, None)
            return self._unknown("a hostNetwork pod, which is its node, without an address")
        own = tuple(map(format_address, pod.addresses))
        if not own:
            party = self._party(self._names.of_pod(pod))
            return LoggedEnd((), party, IPV4 | IPV6 | POD | UNPLACED, pod=pod.key)
        return self._of_pod(pod, (address,) if address in own else own)

    def _of_pod(self, pod: Pod, addresses: tuple[str, ...]) -> LoggedEnd:
        return _logged(addresses, self._party(self._names.of_pod(pod)), True)

    def _unknown(self, problem: str) -> LoggedEnd:
        return _logged((), self._party("?"), False, problem)

    def _party(self, name: str) -> int:
        number = self._numbers.setdefault(name, len(self.parties))
        if number == len(self.parties):
            self.parties.append(name)
        return number


def _by_name(cluster: Cluster) -> dict[str, Pod]:
    """Pods by `namespace/name`; what a manifest would make of a workload also by the workload's
    name, where that is one.
    """
    stems: dict[str, list[Pod]] = {}
    for pod in cluster.pods:
        if pod.owner is not None and pod.name == "{1}[{0}]".format(*pod.owner):
            stems.setdefault(f"{pod.namespace}/{pod.owner[1]}", []).append(pod)
    alone = {name: pods[0] for name, pods in stems.items() if len(pods) == 1}
    return alone | {pod.key: pod for pod in cluster.pods}


def _number(address: str) -> int:
    """On the address line; an IPv4-mapped IPv6 address is IPv4, as for the matcher."""
    return parse_address(address.removeprefix("::ffff:") if "." in address else address)
