"""Who is at the ends of records: the addresses to judge by, and the workload to count for.

Comes in: columns of addresses and names of pods. Goes out: the `LoggedEnd` of each row. A
name is believed before an address: addresses are used again when pods go. An end whose pod the
snapshot does not know, or that has no address, cannot be judged and says why.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from netpolc.core.cluster import Pod
from netpolc.core.nets import format_address, parse_address
from netpolc.core.program import Program
from netpolc.flows.distinct import without_gaps

OUTSIDE = "outside"
"""The party of addresses that are neither of a pod nor of a node."""
IPV4, IPV6, POD, SEVERAL = 1, 2, 4, 8
"""It has an address of the family; it is a pod; it has several addresses."""
_MOST = 1 << 18
"""Ends that are remembered: memory stays flat, whatever addresses a log holds."""


class LoggedEnd(NamedTuple):
    """One end: its addresses (of a pod known by name, one or more of each family), the number of
    its party, its marks, and why it cannot be judged ("" if it can).
    """

    addresses: tuple[str, ...]
    party: int
    marks: int
    """What is true of it: bits of IPV4, IPV6, POD and SEVERAL."""
    problem: str = ""

    @property
    def is_pod(self) -> bool:
        """Whether policies are about it."""
        return bool(self.marks & POD)


def _logged(addresses: tuple[str, ...], party: int, is_pod: bool, problem: str = "") -> LoggedEnd:
    marks = POD * is_pod | SEVERAL * (len(addresses) > 1)
    for own in addresses:
        marks |= IPV6 if ":" in own else IPV4
    return LoggedEnd(addresses, party, marks, problem)


class EndColumn(NamedTuple):
    """One side of a batch: the distinct ends, and which one each row has."""

    ends: list[LoggedEnd]
    of_row: NDArray[np.int64]

    def party(self) -> NDArray[np.int32]:
        """The party of each row."""
        return np.array([end.party for end in self.ends], dtype=np.int32)[self.of_row]

    def addresses(self) -> pa.DictionaryArray:
        """The (first) address of each row; null where it cannot be judged."""
        values = [end.addresses[0] if end.addresses else None for end in self.ends]
        return pa.DictionaryArray.from_arrays(
            pa.array(self.of_row, pa.int32()), pa.array(values, pa.string())
        )

    def of(self, mark: int) -> NDArray[np.bool_]:
        """Which rows have an end with a mark."""
        marks = np.array([end.marks for end in self.ends], dtype=np.uint8)
        return (marks & mark > 0)[self.of_row]

    def where(self, flags: list[bool]) -> NDArray[np.bool_]:
        """Which rows have an end with a flag."""
        return np.array(flags, dtype=bool)[self.of_row]


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
        self._pods = {pod.key: pod for pod in program.cluster.pods}
        self.parties: list[str] = []
        """Names by number."""
        self._numbers: dict[str, int] = {}
        self._known: dict[tuple[str | None, str | None], LoggedEnd] = {}

    def column(self, addresses: pa.DictionaryArray, pods: pa.DictionaryArray) -> EndColumn:
        """The ends of the rows of a batch."""
        address_words = [*addresses.dictionary.to_pylist(), None]
        pod_words = [*pods.dictionary.to_pylist(), None]
        both = _indices(addresses) * len(pod_words) + _indices(pods)
        of_row, count = without_gaps(both, len(address_words) * len(pod_words))
        distinct = np.empty(count, dtype=np.int64)
        distinct[of_row] = both
        pairs = (divmod(int(pair), len(pod_words)) for pair in distinct)
        return EndColumn([self.end(address_words[a], pod_words[p]) for a, p in pairs], of_row)

    def end(self, address: str | None, pod: str | None) -> LoggedEnd:
        """Who an address, a name or both are."""
        key = address, pod
        if (found := self._known.get(key)) is None:
            if len(self._known) >= _MOST:
                self._known.clear()
            found = self._known[key] = self._found(address, pod)
        return found

    def _found(self, address: str | None, pod: str | None) -> LoggedEnd:
        if pod is not None:
            return self._named(pod, address)
        if address is None:
            return self._unknown("the log names neither address nor pod of an end")
        try:
            number = _number(address)
        except ValueError as error:
            return self._unknown(f"address {address[:60]!r}: {error}")
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
            return self._unknown("a pod that has no address in the snapshot")
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


def _number(address: str) -> int:
    """On the address line; an IPv4-mapped IPv6 address is IPv4, as for the matcher."""
    return parse_address(address.removeprefix("::ffff:") if "." in address else address)


def _indices(column: pa.DictionaryArray) -> NDArray[np.int64]:
    """The number of each row's word; nulls have the number after the last."""
    filled = column.indices.fill_null(len(column.dictionary))
    found: NDArray[np.int64] = filled.to_numpy(zero_copy_only=False).astype(np.int64)
    return found
