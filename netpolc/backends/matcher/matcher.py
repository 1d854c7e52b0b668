"""Matcher: verdicts in process, from one flow to hundreds of millions.

In: a compiled Program, or a file that `save` wrote. Out: a bool a flow, or a byte a row: DENY,
ALLOW, INVALID. Refused: a flow no packet could be (`ValueError`); in a column such a row gets
INVALID and the others their verdicts.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from enum import IntEnum
from functools import partial
from pickle import PickleBuffer
from typing import Any, NamedTuple, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from netpolc.backends.matcher import store, tables
from netpolc.backends.matcher._core import (
    MatcherCore,
    arrow_batches,
    build_radix,
    fill_batch,
)
from netpolc.backends.matcher.columns import (
    NUMBERS,
    Codes,
    address_column,
    column_names,
    port_numbers,
    protocol_numbers,
)
from netpolc.core import semantics
from netpolc.core.errors import UsageError
from netpolc.core.foreign import html_table
from netpolc.core.program import Program
from netpolc.core.semantics import AddressLike, Flow, Verdict


class VerdictCode(IntEnum):
    """What a row of a column comes to. INVALID: no address, two families, no such protocol, no such
    port. Only ALLOW is true. In an array the codes are plain numbers, of which every one but 0 is:
    ask `Matcher.allowed`, or compare with ALLOW.
    """

    DENY = 0
    ALLOW = 1
    INVALID = 2

    def __bool__(self) -> bool:
        return self is VerdictCode.ALLOW


DENY, ALLOW, INVALID = VerdictCode


class Endpoint(NamedTuple):
    """What the matcher knows of an address.

    Addresses of one family and class get the same verdicts, but for what is never judged: a pod's
    traffic with itself and with its node. `pod` is `namespace/name`, None outside the cluster.
    """

    family: int
    class_: int
    pod: str | None


class Matcher(MatcherCore):
    """The verdicts of a Program, compiled to tables; immutable, and safe to share by threads."""

    def __init__(self, program: Program) -> None:
        """`UnsupportedError` when the tables would leave their bounds (docs/matcher.md),
        `UsageError` for what is no Program.
        """
        if not isinstance(program, Program):
            raise UsageError(f"Matcher takes a Program and no {type(program).__name__}: compile it")
        self._program: Program | None = program
        self._pods: dict[tuple[int, int], str] | None = None
        self._numbers, self._buffers = _flatten(program)
        super().__init__(self._numbers, self._buffers)

    def __repr__(self) -> str:
        classes4, classes6 = self.classes
        return f"<Matcher classes={classes4}+{classes6} nbytes={self.nbytes}>"

    def _repr_html_(self) -> str:
        """What a notebook shows: how large the tables are, and which code reads them."""
        names = ("IPv4 classes", "IPv6 classes", "bytes", "factored", "code")
        values = (*self.classes, self.nbytes, self.factored, self.simd)
        return html_table(repr(self), ("", ""), zip(names, values, strict=True))

    @property
    def nbytes(self) -> int:
        """Bytes of all tables, names of pods included."""
        return sum(memoryview(buffer).nbytes for buffer in self._buffers.values())

    def tables(self) -> dict[str, memoryview]:
        """The buffers it answers from, by name; to look at, not to change."""
        return {name: memoryview(b).cast("B").toreadonly() for name, b in self._buffers.items()}

    @property
    def classes(self) -> tuple[int, int]:
        """Classes of IPv4 and IPv6 addresses; in the factored form both are the same ones."""
        return self._numbers["classes4"], self._numbers["classes6"]

    @property
    def factored(self) -> bool:
        """Whether egress and ingress have tables of their own (docs/internals/matcher.md)."""
        return memoryview(self._buffers["roles"]).nbytes > 4

    def verdicts(
        self,
        src: ArrayLike | Sequence[object],
        dst: ArrayLike | Sequence[object],
        protocol: ArrayLike | str | Sequence[object] = "TCP",
        port: ArrayLike | None = None,
        *,
        threads: int = 1,
    ) -> Codes:
        """A code for each row: DENY, ALLOW or INVALID (which is as true as ALLOW: `allowed` gives
        booleans).

        Addresses are arrays of uint32 (IPv4, host order), (n, 16) uint8 (IPv6, network order;
        IPv4-mapped is IPv4), or lists of what `verdict` takes; columns of pandas, polars and
        pyarrow are read by position. `protocol` and `port` are columns or one value for all rows.
        Rows that are no flow, or hold nothing, get INVALID; `ValueError` for columns of different
        lengths, of a layout that holds no addresses, and for what is no column.
        """
        source = self._column(address_column(src, "src"))
        destination = self._column(address_column(dst, "dst"))
        rows = self._rows(source)
        protocols, known = protocol_numbers(protocol, rows)
        ports, in_range = port_numbers(port, rows)
        codes = np.empty(rows, dtype=np.uint8)

        def judge(first: int, last: int) -> None:
            self._fill(source, destination, protocols, ports, codes, first, last)

        _in_threads(judge, rows, threads)
        with_ports = np.isin(protocols, list(NUMBERS.values())) if in_range is not None else None
        if known is not None:
            codes[~known] = INVALID
        if in_range is not None and with_ports is not None:
            codes[~in_range & with_ports] = INVALID
        return codes

    def allowed(
        self,
        src: ArrayLike | Sequence[object],
        dst: ArrayLike | Sequence[object],
        protocol: ArrayLike | str | Sequence[object] = "TCP",
        port: ArrayLike | None = None,
        *,
        threads: int = 1,
    ) -> NDArray[np.bool_]:
        """Whether each row is allowed, of columns as `verdicts` takes them.

        Rows that are no flow are not allowed: `codes.astype(bool)` would say they are. `ValueError`
        as `verdicts` raises it.
        """
        return np.equal(self.verdicts(src, dst, protocol, port, threads=threads), VerdictCode.ALLOW)

    def verdicts_arrow(
        self,
        source: object,
        columns: tuple[str, str, str, str] = ("src", "dst", "protocol", "port"),
        *,
        threads: int = 1,
        reasons: bool = False,
    ) -> Codes:
        """A code for each row of an Arrow table, record batch, reader or data frame.

        Anything with `__arrow_c_stream__` or `__arrow_c_array__`. `columns` names the source, the
        destination, the protocol and the port; `a.b` is a field of a struct. Addresses are utf8,
        large_utf8 or utf8_view, uint32, fixed_size_binary of 4 or 16 bytes, or dictionaries of
        those, which are resolved once a batch; protocols are integers, names, digits or
        dictionaries of them. Batches are read as they lie, one at a time. With pyarrow there are
        also other integers for IPv4 addresses, binary columns that hold text, run-end-encoded ones,
        and text, floats, decimals and nulls for protocols and ports. Null rows get INVALID;
        `reasons` gives two columns, the code and an `InvalidReason` (with pyarrow). `ValueError`
        for a missing column, another type or no four names, `TypeError` for what is not in Arrow's
        form.
        """
        if reasons:
            found = _arrow_reasons(self, source, columns, threads)
            return np.concatenate([np.empty((0, 2), dtype=np.uint8), *found])
        return np.concatenate(
            [np.empty(0, dtype=np.uint8), *_arrow_codes(self, source, columns, threads)]
        )

    def explain(
        self,
        src: AddressLike,
        dst: AddressLike,
        protocol: str | int = "TCP",
        port: int | None = None,
    ) -> Verdict:
        """The verdict with the policies and rules that decided it; slow (`semantics.evaluate`).

        `UsageError` on a matcher that was opened or unpickled: it holds verdicts and no policies;
        `ValueError` for what no packet could be.
        """
        if self._program is None:
            raise UsageError("a matcher read from a file holds verdicts and no policies")
        return semantics.evaluate(self._program, Flow(src, dst, protocol, port))

    def lookup(self, address: str | bytes | SupportsIndex | AddressLike) -> Endpoint:
        """The class of an address, and the pod behind it; `ValueError`, `TypeError` for none."""
        family, class_, _ = self.resolve(address)
        if self._pods is None:
            self._pods = store.pods_by_address(self._buffers)
        return Endpoint(family, class_, self._pods.get(self.parse(address)))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the tables to a file that `open` maps, whole or not at all; raises `OSError`."""
        store.save(path, self._numbers, self._buffers)

    @classmethod
    def open(cls, path: str | os.PathLike[str], *, verify: bool = True) -> Matcher:
        """A matcher over a mapped file, shared by all processes that open it.

        `store.FileError` (a ValueError) when it is no such file, of another version or byte order,
        truncated, altered, or with numbers that lead outside of its tables. `verify=False` leaves
        out the checksum of the contents and these bounds, for workers that open what their parent
        has verified. `OSError` when it cannot be read.
        """
        return _restored(cls, *store.map_file(path, verify))

    def __reduce_ex__(self, protocol: SupportsIndex) -> tuple[Any, ...]:
        """The tables, out of band from protocol 5 on; policies (for `explain`) stay behind."""
        wrap: Callable[[Any], object] = PickleBuffer if int(protocol) >= 5 else bytes
        buffers = {name: wrap(memoryview(b).cast("B")) for name, b in self._buffers.items()}
        return _unpickle, (store.VERSION, store.BYTE_ORDER, self._numbers, buffers)


def _restored(cls: type[Matcher], numbers: dict[str, int], buffers: dict[str, Any]) -> Matcher:
    matcher = cls.__new__(cls)
    matcher._program, matcher._pods = None, None
    matcher._numbers, matcher._buffers = numbers, buffers
    MatcherCore.__init__(matcher, numbers, buffers)
    return matcher


def _unpickle(
    version: int, byte_order: str, numbers: dict[str, int], buffers: dict[str, Any]
) -> Matcher:
    if version != store.VERSION or byte_order != store.BYTE_ORDER:
        raise ValueError("a Matcher pickled by another version or byte order")
    return _restored(Matcher, numbers, buffers)


def _flatten(program: Program) -> tuple[dict[str, int], dict[str, Any]]:
    """Numbers and buffers, the form in which a matcher is kept."""
    built = tables.build_tables(program)
    radix = build_radix(built.starts, built.start_leaves, built.hosts, built.host_leaves)
    numbers = {
        "class_bits": built.class_bits,
        "classes4": built.classes[0],
        "classes6": built.classes[1],
        "words": built.bits.shape[1],
        "root6": radix.pop("root6"),
        "host_mask6": radix.pop("host_mask6"),
    }
    buffers: dict[str, Any] = {
        **radix,
        "pairs": built.pairs,
        "roles": built.roles,
        "egress_index": built.egress_index,
        "egress_blocks": built.egress_blocks,
        "ingress_index": built.ingress_index,
        "ingress_blocks": built.ingress_blocks,
        "atoms": built.atoms,
        "bits": built.bits,
        "pod_addresses": built.pod_addresses,
        "pod_names": built.pod_names,
    }
    return numbers, buffers


def _arrow_codes(
    matcher: Matcher, source: object, columns: tuple[str, str, str, str], threads: int
) -> Iterator[Codes]:
    for batch in arrow_batches(matcher, source, column_names(columns), _plain):
        codes = np.empty(batch.rows, dtype=np.uint8)
        _in_threads(partial(fill_batch, matcher, batch, codes), batch.rows, threads)
        yield codes


def _plain(source: object, columns: tuple[str, ...]) -> object:
    """The source in plain columns; None without pyarrow."""
    try:
        from netpolc.backends.matcher.engines import plain_reader
    except ModuleNotFoundError as error:
        if error.name != "pyarrow":
            raise
        return None
    return plain_reader(source, columns)


def _arrow_reasons(
    matcher: Matcher, source: object, columns: tuple[str, str, str, str], threads: int
) -> Iterator[Codes]:
    from netpolc.backends.matcher.engines import NAMES, with_reasons

    def judge(batch: object) -> Codes:
        return np.concatenate(list(_arrow_codes(matcher, batch, NAMES, threads)))

    return with_reasons(matcher, source, column_names(columns), judge)


def _in_threads(judge: Callable[[int, int], None], rows: int, threads: int) -> None:
    if threads < 1:
        raise ValueError(f"{threads} threads: at least one")
    # Below some 10,000 rows a thread costs more than it brings.
    parts = max(1, min(threads, rows // 10_000))
    if parts == 1:
        judge(0, rows)
        return
    edges = [rows * part // parts for part in range(parts + 1)]
    with ThreadPoolExecutor(parts) as pool:
        list(pool.map(judge, edges[:-1], edges[1:]))
