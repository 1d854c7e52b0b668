# cython: language_level=3, binding=False, cdivision=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False, autotestdict=False, embedsignature=True, embedsignature.format=clinic
"""Lines of flow logs to columns, without the interpreter's lock.

In: a block of whole lines. Out: `Scanned`: columns as Arrow has them, and the lines that are left
to the reference decoder of the format (`flow_rows.h`). Nothing is refused: what is odd is left.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t

cdef extern from "flow_rows.h" nogil:
    enum:
        ROW_TEXTS

    ctypedef struct NetpolcTexts:
        int32_t* offsets
        uint8_t* bytes
        uint8_t* valid

    ctypedef struct NetpolcRows:
        int64_t count
        int64_t lines
        int64_t* ts
        int64_t* packets
        int64_t* octets
        int32_t* src_port
        int32_t* port
        int16_t* protocol
        int8_t* direction
        int8_t* verdict
        int8_t* is_reply
        NetpolcTexts texts[ROW_TEXTS]
        int64_t unsure_count
        int64_t* unsure

    ctypedef int (*NetpolcScanner)(
        const uint8_t*, const uint8_t*, const uint8_t*, const void*, NetpolcRows*)

    int netpolc_rows_init(NetpolcRows*, const uint8_t*, int64_t)
    int64_t netpolc_newlines(const uint8_t*, const uint8_t*)
    void netpolc_rows_free(NetpolcRows*)
    void netpolc_scan(
        const uint8_t*, int64_t, int64_t, NetpolcScanner, const void*, NetpolcRows*)

cdef extern from "flow_hubble.h" nogil:
    int netpolc_scan_hubble(
        const uint8_t*, const uint8_t*, const uint8_t*, const void*, NetpolcRows*)

cdef extern from "flow_vpc.h" nogil:
    enum:
        NETPOLC_MOST_COLUMNS
        VPC_ROLES

    ctypedef struct NetpolcColumns:
        int count
        uint8_t roles[NETPOLC_MOST_COLUMNS]

    int netpolc_scan_vpc(
        const uint8_t*, const uint8_t*, const uint8_t*, const void*, NetpolcRows*)


def newlines(block: bytes, /) -> int:
    """How many lines end in a block."""
    cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(block)
    return netpolc_newlines(text, text + PyBytes_GET_SIZE(block))


def scan_hubble(block: bytes, longest: int, /) -> tuple:
    """Flows of Hubble; lines of more than `longest` bytes are left."""
    return _scanned(block, longest, netpolc_scan_hubble, NULL)


def scan_vpc(block: bytes, longest: int, roles: bytes, /) -> tuple:
    """Records of AWS VPC flow logs; `roles` says what each column means."""
    cdef NetpolcColumns columns
    cdef Py_ssize_t at
    if len(roles) > NETPOLC_MOST_COLUMNS or any(role >= VPC_ROLES for role in roles):
        raise ValueError("more columns, or of other meanings, than there are")
    columns.count = <int>len(roles)
    for at in range(len(roles)):
        columns.roles[at] = roles[at]
    return _scanned(block, longest, netpolc_scan_vpc, &columns)


cdef tuple _scanned(bytes block, int64_t longest, NetpolcScanner scanner, const void* how):
    """Rows, columns by name, texts by name, and the lines that are left."""
    cdef NetpolcRows rows
    cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(block)
    cdef int64_t size = PyBytes_GET_SIZE(block)
    cdef bint has_room
    if size >= 1 << 31:
        raise ValueError("a block of 2 GiB")
    with nogil:
        has_room = netpolc_rows_init(&rows, text, size)
        if has_room:
            netpolc_scan(text, size, longest, scanner, how, &rows)
    try:
        if not has_room:
            raise MemoryError
        return rows.count, _columns(&rows), _texts(&rows), _unsure(&rows)
    finally:
        netpolc_rows_free(&rows)


cdef bytes _copy(const void* first, int64_t size):
    return PyBytes_FromStringAndSize(<const char*>first, size)


cdef dict _columns(NetpolcRows* rows):
    return {
        "ts": _copy(rows.ts, rows.count * 8),
        "packets": _copy(rows.packets, rows.count * 8),
        "bytes": _copy(rows.octets, rows.count * 8),
        "src_port": _copy(rows.src_port, rows.count * 4),
        "port": _copy(rows.port, rows.count * 4),
        "protocol": _copy(rows.protocol, rows.count * 2),
        "direction": _copy(rows.direction, rows.count),
        "verdict": _copy(rows.verdict, rows.count),
        "is_reply": _copy(rows.is_reply, rows.count),
    }


cdef dict _texts(NetpolcRows* rows):
    """Offsets, bytes and bits of validity of each."""
    cdef int at
    cdef dict found = {}
    names = ("src", "dst", "reporter", "policy", "src_pod", "dst_pod")
    for at in range(ROW_TEXTS):
        found[names[at]] = (
            _copy(rows.texts[at].offsets, (rows.count + 1) * 4),
            _copy(rows.texts[at].bytes, rows.texts[at].offsets[rows.count]),
            _copy(rows.texts[at].valid, (rows.count + 7) // 8),
        )
    return found


cdef list _unsure(NetpolcRows* rows):
    cdef int64_t at
    return [
        (rows.unsure[4 * at], rows.unsure[4 * at + 1], rows.unsure[4 * at + 2],
         rows.unsure[4 * at + 3])
        for at in range(rows.unsure_count)
    ]
