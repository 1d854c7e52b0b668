# MatcherCore: flat tables in, verdicts out, one call or one column at a time.

from cpython.buffer cimport PyBUF_SIMPLE
from cpython.list cimport PyList_CheckExact, PyList_GET_ITEM, PyList_GET_SIZE
from cpython.tuple cimport PyTuple_CheckExact

from libc.stdint cimport uint16_t
from libc.string cimport memchr

import os

from address cimport FAULT_NONE
from columns cimport (
    DICTIONARY, LARGE_STRING, PACKED4, PACKED16, PARSED, STRING, STRING_VIEW, TEXT_ROWS, UINT32,
    Column, Layout, address_at, index_at, is_valid, resolve_address, resolve_rows, same_address,
)
from prefixes cimport Prefix, emit_interval
from radix6 cimport Host6, Node6
from verdicts cimport (
    ALLOW, DENY, INVALID, LEAF_IPV6, SAME, NetpolcTables, judge_one, judge_rows,
    netpolc_has_avx2, netpolc_has_avx512,
)

cdef extern from "parse4.h" nogil:
    int netpolc_has_sse41() noexcept
    void netpolc_init_patterns() noexcept

cdef enum:
    # Rows resolved before they are judged: their leaves stay in the L1 cache.
    CHUNK = TEXT_ROWS
    BUFFERS = 12

BUFFER_NAMES = (
    "cells4", "hosts6", "nodes6", "cells6", "pairs", "roles", "egress_index", "egress_blocks",
    "ingress_index", "ingress_blocks", "atoms", "bits",
)
cdef dict PROTOCOLS = {"TCP": 6, "UDP": 17, "SCTP": 132}
cdef str TCP = "TCP"


cdef tuple LEVELS = ("scalar", "sse41", "avx2", "avx512")
netpolc_init_patterns()


def simd_levels():
    """What this processor has, the best last: of "scalar", "sse41", "avx2" and "avx512"."""
    has = (True, netpolc_has_sse41(), netpolc_has_avx2(), netpolc_has_avx512())
    return LEVELS[:(*has, False).index(False)]


def simd_level():
    """What NETPOLC_SIMD asks for, or the best this processor has."""
    known = simd_levels()
    wanted = os.environ.get("NETPOLC_SIMD", known[len(known) - 1])
    if wanted not in LEVELS:
        raise ValueError(f"NETPOLC_SIMD={wanted}: {', '.join(LEVELS)}")
    if wanted not in known:
        raise ValueError(f"NETPOLC_SIMD={wanted}: this processor does not have it")
    return wanted


cdef bytes raw(const void* data, size_t size):
    return (<const char*> data)[:size] if size else b""


def build_radix(
    const uint64_t[:, ::1] starts, const uint32_t[::1] start_leaves,
    const uint64_t[:, ::1] hosts, const uint32_t[::1] host_leaves,
):
    """The lookup tables of both families from sorted blocks and single addresses.

    Rows are (family, high half, low half). The result holds the buffers `cells4`, `hosts6`,
    `nodes6` and `cells6`, and the numbers `root6` and `host_mask6`.
    """
    cdef Py_ssize_t blocks4 = 0, hosts4 = 0
    while blocks4 < starts.shape[0] and starts[blocks4, 0] == IPV4:
        blocks4 += 1
    while hosts4 < hosts.shape[0] and hosts[hosts4, 0] == IPV4:
        hosts4 += 1
    return {
        "cells4": build_cells4(
            starts[:blocks4], start_leaves[:blocks4], hosts[:hosts4], host_leaves[:hosts4]
        ),
        **build_cells6(
            starts[blocks4:], start_leaves[blocks4:], hosts[hosts4:], host_leaves[hosts4:]
        ),
    }


cdef bytes build_cells4(
    const uint64_t[:, ::1] starts, const uint32_t[::1] start_leaves,
    const uint64_t[:, ::1] hosts, const uint32_t[::1] host_leaves,
):
    """Single addresses cut the blocks they lie in."""
    cdef size_t blocks = <size_t> starts.shape[0], count = <size_t> hosts.shape[0]
    cdef size_t i, host = 0, n = 0
    cdef uint64_t end
    cdef Radix4 radix
    cdef Interval* intervals = <Interval*> malloc((blocks + 2 * count + 1) * sizeof(Interval))
    if intervals == NULL:
        raise MemoryError
    radix.cells = NULL
    radix.blocks = radix.capacity = 0
    try:
        for i in range(blocks):
            end = starts[i + 1, 2] if i + 1 < blocks else 1ULL << 32
            n = emit_interval(intervals, n, 0, starts[i, 2], start_leaves[i])
            while host < count and hosts[host, 2] < end:
                n = emit_interval(intervals, n, 0, hosts[host, 2], host_leaves[host])
                if hosts[host, 2] + 1 < end:
                    n = emit_interval(intervals, n, 0, hosts[host, 2] + 1, start_leaves[i])
                host += 1
        if radix4_build(&radix, intervals, n):
            raise MemoryError
        return raw(radix.cells, radix.blocks * 256 * sizeof(uint32_t))
    finally:
        radix4_free(&radix)
        free(intervals)


cdef dict build_cells6(
    const uint64_t[:, ::1] starts, const uint32_t[::1] start_leaves,
    const uint64_t[:, ::1] hosts, const uint32_t[::1] host_leaves,
):
    cdef size_t blocks = <size_t> starts.shape[0], count = <size_t> hosts.shape[0]
    cdef size_t i, n = 0
    cdef _Table6 table = _Table6.__new__(_Table6)
    cdef Interval* intervals = <Interval*> malloc((blocks + 1) * sizeof(Interval))
    cdef Prefix* single = <Prefix*> malloc((count + 1) * sizeof(Prefix))
    try:
        if intervals == NULL or single == NULL:
            raise MemoryError
        for i in range(blocks):
            n = emit_interval(intervals, n, starts[i, 1], starts[i, 2], start_leaves[i])
        for i in range(count):
            single[i].hi = hosts[i, 1]
            single[i].lo = hosts[i, 2]
            single[i].entry = host_leaves[i]
        if radix6_build(&table.radix, single, count, intervals, n):
            raise MemoryError
    finally:
        free(intervals)
        free(single)
    return {
        "hosts6": raw(
            table.radix.hosts, (table.radix.host_mask + 1) * sizeof(Host6) if count else 0
        ),
        "nodes6": raw(table.radix.nodes, table.radix.node_count * sizeof(Node6)),
        "cells6": raw(table.radix.cells, table.radix.blocks * 256 * sizeof(uint32_t)),
        "root6": table.radix.root,
        "host_mask6": table.radix.host_mask,
    }


@final
cdef class AddressColumn:
    """A column and whatever keeps its memory alive."""

    cdef Column column
    cdef size_t rows
    cdef Py_buffer view
    cdef bint viewed
    cdef Address* parsed
    cdef uint32_t* leaves
    cdef object owner

    def __dealloc__(self):
        if self.viewed:
            PyBuffer_Release(&self.view)
        free(self.parsed)
        free(self.leaves)


cdef bint try_address(object item, Address* out) except -1:
    """Text without an exception for what is none; other objects as `read_address` takes them."""
    if PyUnicode_Check(item):
        if (
            not PyUnicode_IS_ASCII(item)
            or parse_address(
                <const uint8_t*> PyUnicode_DATA(item), <size_t> PyUnicode_GET_LENGTH(item), out
            ) != FAULT_NONE
        ):
            return False
        unmap(out)
        return True
    try:
        read_address(item, out)
    except (TypeError, ValueError):
        return False
    return True


cdef AddressColumn parsed_column(list items):
    cdef AddressColumn result = AddressColumn.__new__(AddressColumn)
    cdef Py_ssize_t i
    result.rows = <size_t> PyList_GET_SIZE(items)
    result.parsed = <Address*> malloc((result.rows + 1) * sizeof(Address))
    if result.parsed == NULL:
        raise MemoryError
    for i in range(<Py_ssize_t> result.rows):
        # Another thread may shorten the list while an odd item's own code runs.
        if i >= PyList_GET_SIZE(items) or not try_address(items[i], &result.parsed[i]):
            result.parsed[i].family = 0
    result.column.layout = PARSED
    result.column.data = <const uint8_t*> result.parsed
    return result


cdef AddressColumn column_of(object source):
    """A list or tuple of addresses, or a buffer as `lookup_batch` takes it."""
    cdef AddressColumn result
    cdef Py_buffer* view
    if PyList_CheckExact(source):
        return parsed_column(source)
    if PyTuple_CheckExact(source):
        return parsed_column(list(source))
    if isinstance(source, AddressColumn):
        return source
    result = AddressColumn.__new__(AddressColumn)
    PyObject_GetBuffer(source, &result.view, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
    result.viewed = True
    view = &result.view
    result.column.layout = UINT32 if ipv4_column(view) else PACKED16
    result.column.data = <const uint8_t*> view.buf
    result.rows = <size_t> view.shape[0]
    return result


cdef class MatcherCore:
    """The compiled half of `Matcher`: holds the tables' buffers and answers from them."""

    cdef NetpolcTables t
    cdef Radix6 radix6
    cdef int simd_code
    cdef Py_buffer views[BUFFERS]
    cdef int viewed

    def __init__(self, numbers, buffers):
        """`numbers`: class_bits, classes4, classes6, words, root6, host_mask6 by name; `buffers`:
        every name of BUFFER_NAMES. The buffers are trusted: their contents are not checked here.
        """
        cdef int i
        cdef uint32_t classes4 = numbers["classes4"], classes6 = numbers["classes6"]
        if self.viewed:
            raise TypeError("a matcher is immutable")
        self.simd_code = LEVELS.index(simd_level())
        for i in range(BUFFERS):
            PyObject_GetBuffer(buffers[BUFFER_NAMES[i]], &self.views[i], PyBUF_SIMPLE)
            self.viewed = i + 1
        self.t.cells = <const uint32_t*> self.views[0].buf
        self.radix6.hosts = <Host6*> self.views[1].buf if self.views[1].len else NULL
        self.radix6.nodes = <Node6*> self.views[2].buf
        self.radix6.cells = <uint32_t*> self.views[3].buf
        self.radix6.root = numbers["root6"]
        self.radix6.host_mask = numbers["host_mask6"]
        self.t.pairs = <const uint16_t*> self.views[4].buf
        self.t.roles = <const uint32_t*> self.views[5].buf
        self.t.egress_index = <const uint32_t*> self.views[6].buf
        self.t.egress_blocks = <const uint16_t*> self.views[7].buf
        self.t.ingress_index = <const uint32_t*> self.views[8].buf
        self.t.ingress_blocks = <const uint16_t*> self.views[9].buf
        self.t.atoms = <const uint16_t*> self.views[10].buf
        self.t.bits = <const uint32_t*> self.views[11].buf
        self.t.words = numbers["words"]
        self.t.class_bits = numbers["class_bits"]
        if self.views[5].len > 4:
            self.t.pairs = NULL
        # Classes count from 1: the bases take the missing row and column off again.
        self.t.pair_stride[0] = classes4
        self.t.pair_base[0] = <uint32_t> 0 - classes4 - 1
        self.t.pair_stride[1] = classes6
        self.t.pair_base[1] = classes4 * classes4 - classes6 - 1

    def __dealloc__(self):
        cdef int i
        for i in range(self.viewed):
            PyBuffer_Release(&self.views[i])

    @property
    def simd(self):
        """Which code reads and judges columns: "scalar", "sse41" or "avx512"."""
        return LEVELS[self.simd_code]

    def verdict(self, src, dst, protocol="TCP", port=None):
        """Whether a flow is allowed.

        Addresses are text, `ipaddress` objects, 4 or 16 packed bytes, or ints (below 2**32 IPv4).
        `protocol` is "TCP", "UDP", "SCTP" or an IP protocol number; `port`, 0 to 65535, is not
        looked at for protocols that have none. ValueError for what no packet could be.
        """
        cdef Address source, destination
        cdef uint8_t number = 6
        cdef uint8_t code
        cdef long wide = 0
        if protocol is not TCP:
            number = read_protocol(protocol)
        if number == 6 or number == 17 or number == 132:
            if port is None:
                raise ValueError(f"protocol {protocol} needs a port between 0 and 65535")
            wide = port
            if not isinstance(port, int) and wide != port:
                raise ValueError(f"port {port!r} is no whole number")
            if not 0 <= wide <= 65535:
                raise ValueError(f"{port!r}: a port is a number from 0 to 65535")
        read_address(src, &source)
        read_address(dst, &destination)
        code = judge_one(
            &self.t, resolve_address(self.t.cells, &self.radix6, &source),
            resolve_address(self.t.cells, &self.radix6, &destination), number, <uint16_t> wide,
        )
        if code == INVALID:
            raise ValueError(f"{src} and {dst} are of different address families")
        if code == SAME:
            return source.lo == destination.lo and source.hi == destination.hi
        return code == ALLOW

    def resolve(self, address):
        """(family, class, host) of an address; classes of one family never mean the other's."""
        cdef Address parsed
        cdef uint32_t leaf
        read_address(address, &parsed)
        leaf = resolve_address(self.t.cells, &self.radix6, &parsed) & ~LEAF_IPV6
        return parsed.family, leaf & ((1U << self.t.class_bits) - 1), leaf >> self.t.class_bits

    def parse(self, address):
        """(family, number) of an address in any spelling; IPv4-mapped IPv6 is IPv4."""
        cdef Address parsed
        read_address(address, &parsed)
        return parsed.family, (<object> parsed.hi << 64) | parsed.lo

    def _column(self, source):
        """A column in the form `_fill` takes, so that threads share what parsing it cost."""
        return column_of(source)

    def _rows(self, AddressColumn column not None):
        return column.rows

    def _fill(
        self, AddressColumn src not None, AddressColumn dst not None, const uint8_t[::1] protocols,
        const uint16_t[::1] ports, uint8_t[::1] out, size_t first, size_t last,
    ):
        """Judge rows first..last of columns that are all equally long, without the GIL."""
        cdef size_t rows = src.rows
        if (
            dst.rows != rows or <size_t> protocols.shape[0] != rows
            or <size_t> ports.shape[0] != rows or <size_t> out.shape[0] != rows
            or not first <= last <= rows
        ):
            raise ValueError("columns of different lengths")
        if first == last:
            return
        with nogil:
            self.fill(
                &src.column, &dst.column, &protocols[0], <const uint8_t*> &ports[0], &out[0],
                first, last,
            )

    cdef void fill(
        self, const Column* src, const Column* dst, const uint8_t* protocols,
        const uint8_t* ports, uint8_t* out, size_t first, size_t last,
    ) noexcept nogil:
        cdef uint32_t sources[CHUNK]
        cdef uint32_t destinations[CHUNK]
        cdef size_t rows, same
        cdef uint8_t* at
        while first < last:
            rows = last - first if last - first < CHUNK else CHUNK
            resolve_rows(&self.t, &self.radix6, self.simd_code, src, first, rows, sources)
            resolve_rows(&self.t, &self.radix6, self.simd_code, dst, first, rows, destinations)
            same = judge_rows(
                &self.t, self.simd_code, sources, destinations, protocols + first,
                ports + 2 * first, rows, out + first,
            )
            at = out + first
            first += rows
            while same:
                at = <uint8_t*> memchr(at, SAME, out + first - at)
                at[0] = ALLOW if same_address(src, dst, at - out) else DENY
                same -= 1


cdef uint8_t read_protocol(object protocol) except? 255:
    """A protocol's number from its name, in any case, or from the number itself."""
    cdef object number = PROTOCOLS.get(protocol)
    if number is not None:
        return number
    if isinstance(protocol, str):
        number = PROTOCOLS.get(protocol.upper())
        if number is None:
            raise ValueError(f"unknown protocol {protocol!r}: TCP, UDP, SCTP or a number")
        return number
    number = operator.index(protocol)
    if not 0 <= number <= 255:
        raise ValueError(f"protocol {number} is outside 0-255")
    return number
