# cython: language_level=3, binding=False, cdivision=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False, autotestdict=False, embedsignature=True, embedsignature.format=clinic
"""Lines of flow logs to columns, without the interpreter's lock.

In: a block of whole lines. Out: columns as Arrow has them, and the lines that are left to the
reference decoder of the format (`flow_rows.h`); or of lines that are copied with a verdict their
flows (`flow_copies.h`). Nothing is refused: what is odd is left.
"""

from cpython.buffer cimport PyBUF_SIMPLE, PyBuffer_Release, PyObject_GetBuffer
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII
from libc.stdint cimport int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from posix.time cimport CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

cdef extern from "flow_rows.h" nogil:
    enum:
        ROW_TEXTS

        ROW_COLUMNS
        COLUMN_IS_REPLY

    ctypedef struct NetpolcTexts:
        int32_t* offsets
        uint8_t* bytes
        int64_t count

    ctypedef struct NetpolcColumn:
        void* values
        uint8_t* valid
        int64_t nulls

    ctypedef struct NetpolcRows:
        int64_t count
        NetpolcColumn columns[ROW_COLUMNS]
        NetpolcTexts texts[ROW_TEXTS]
        int64_t unsure_count
        int64_t* unsure

    ctypedef int (*NetpolcScanner)(
        const uint8_t*, const uint8_t*, const uint8_t*, const void*, NetpolcRows*)

    ctypedef struct NetpolcPiece:
        uint8_t* target
        const void* source
        int64_t size

    int64_t netpolc_join(const NetpolcPiece*, int64_t, const uint8_t*, int64_t)
    int64_t netpolc_newlines(const uint8_t*, const uint8_t*)
    void netpolc_keep_memory()
    void netpolc_rows_free(NetpolcRows*)

cdef extern from "flow_columns.h" nogil:
    int netpolc_scan_block(
        const uint8_t*, int64_t, int64_t, int64_t, NetpolcScanner, const void*, NetpolcRows*)

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

cdef extern from "flow_copies.h" nogil:
    enum:
        COPY_CELLS
        COPY_ODD
        COPY_BLANK

    ctypedef struct NetpolcSlice:
        const uint8_t* text
        int64_t size

    ctypedef struct NetpolcCopiedFlow:
        NetpolcSlice cells[COPY_CELLS]

    ctypedef struct NetpolcCopies:
        int64_t lines
        int64_t count
        int32_t* numbers
        NetpolcCopiedFlow* flows

    ctypedef int (*NetpolcCopyScanner)(
        const uint8_t*, const uint8_t*, const uint8_t*, const NetpolcColumns*, NetpolcSlice*)

    int netpolc_copies_init(NetpolcCopies*, const uint8_t*, int64_t)
    void netpolc_copies_free(NetpolcCopies*)
    void netpolc_scan_copies(
        const uint8_t*, int64_t, int64_t, NetpolcCopyScanner, const NetpolcColumns*, NetpolcCopies*)
    uint8_t* netpolc_copy(
        const uint8_t*, int64_t, const int32_t*, const NetpolcSlice*, const NetpolcSlice*, int,
        uint8_t*)
    int netpolc_copy_csv(
        const uint8_t*, const uint8_t*, const uint8_t*, const NetpolcColumns*, NetpolcSlice*)
    int netpolc_copy_json(
        const uint8_t*, const uint8_t*, const uint8_t*, const NetpolcColumns*, NetpolcSlice*)


cdef int64_t _unlocked = 0


def unlocked_seconds() -> float:
    """CPU time that all threads have spent in here without the interpreter's lock."""
    return _unlocked * 1e-9


def keep_memory() -> None:
    """Memory that is free stays with the process, up to 64 MiB: blocks follow each other."""
    netpolc_keep_memory()


cdef int64_t _clock() noexcept nogil:
    """CPU time of this thread in nanoseconds."""
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return now.tv_sec * 1000000000 + now.tv_nsec


def joined(pieces: list, /) -> tuple[bytes, int]:
    """Pieces of bytes as one, and how many lines end in it."""
    global _unlocked
    cdef Py_ssize_t count = len(pieces), held = 0, at
    cdef int64_t size = 0, lines, begun
    cdef bytes whole
    cdef const uint8_t* text
    cdef Py_buffer* views = <Py_buffer*>malloc((count + 1) * sizeof(Py_buffer))
    cdef NetpolcPiece* room = <NetpolcPiece*>malloc((count + 1) * sizeof(NetpolcPiece))
    try:
        if views == NULL or room == NULL:
            raise MemoryError
        for piece in pieces:
            PyObject_GetBuffer(piece, &views[held], PyBUF_SIMPLE)
            room[held].source, room[held].size = views[held].buf, views[held].len
            size += views[held].len
            held += 1
        whole = PyBytes_FromStringAndSize(NULL, size)
        text = <const uint8_t*>PyBytes_AS_STRING(whole)
        size = 0
        for at in range(count):
            room[at].target = <uint8_t*>text + size
            size += room[at].size
        with nogil:
            begun = _clock()
            lines = netpolc_join(room, count, text, size)
            begun = _clock() - begun
        _unlocked += begun
        return whole, lines
    finally:
        for at in range(held):
            PyBuffer_Release(&views[at])
        free(views)
        free(room)


def scan_hubble(block: bytes, longest: int, /) -> tuple:
    """Flows of Hubble; lines of more than `longest` bytes are left."""
    return _scanned(block, longest, netpolc_scan_hubble, NULL)


def scan_vpc(block: bytes, longest: int, roles: bytes, /) -> tuple:
    """Records of AWS VPC flow logs; `roles` says what each column means."""
    cdef NetpolcColumns columns
    _set_columns(&columns, roles, VPC_ROLES)
    return _scanned(block, longest, netpolc_scan_vpc, &columns)


def copied_flows(block: bytes, longest: int, roles: bytes | None, /) -> tuple:
    """Of each line of CSV (with `roles`) or JSON the number of its flow, as int32: -1 is odd, -2
    blank; and of each distinct flow its four cells.
    """
    global _unlocked
    cdef NetpolcCopies copies
    cdef NetpolcColumns columns
    cdef NetpolcCopyScanner scanner = netpolc_copy_json
    cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(block)
    cdef int64_t size = PyBytes_GET_SIZE(block), most = longest, at, begun
    cdef bint has_room
    if size >= 1 << 31:
        raise ValueError("a block of 2 GiB")
    if roles is not None:
        scanner = netpolc_copy_csv
        _set_columns(&columns, roles, COPY_CELLS + 1)
    with nogil:
        begun = _clock()
        has_room = netpolc_copies_init(&copies, text, size)
        if has_room:
            netpolc_scan_copies(text, size, most, scanner, &columns, &copies)
        begun = _clock() - begun
    _unlocked += begun
    try:
        if not has_room:
            raise MemoryError
        flows = [_cells(&copies.flows[at]) for at in range(copies.count)]
        return PyBytes_FromStringAndSize(<const char*>copies.numbers, copies.lines * 4), flows
    finally:
        netpolc_copies_free(&copies)


def copied(
    block: bytes, numbers: bytes, endings: list[bytes], odd: list[bytes], is_json: bool, /
) -> bytes:
    """The lines of a block, each with the ending of its flow, odd ones replaced."""
    global _unlocked
    cdef int64_t size = PyBytes_GET_SIZE(block), room = size + 1, at, begun
    cdef int64_t lines = PyBytes_GET_SIZE(numbers) // 4
    cdef const int32_t* of_line = <const int32_t*>PyBytes_AS_STRING(numbers)
    cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(block)
    cdef bint json = is_json
    cdef uint8_t* out
    cdef NetpolcSlice* ends = NULL
    cdef NetpolcSlice* odds = NULL
    cdef int64_t count = len(endings), most = max(map(len, endings), default=0), odd_lines = 0
    if lines != netpolc_newlines(text, text + size) + (size > 0 and text[size - 1] != c"\n"):
        raise ValueError("numbers of another block")
    for at in range(lines):
        if not COPY_BLANK <= of_line[at] < count:
            raise ValueError("a flow without an ending")
        odd_lines += of_line[at] == COPY_ODD
    if odd_lines != len(odd):
        raise ValueError("odd lines without what replaces them")
    room += lines * most + sum(map(len, odd))
    try:
        ends, odds, out = _slices(endings), _slices(odd), <uint8_t*>malloc(room)
        if out == NULL:
            raise MemoryError
        try:
            with nogil:
                begun = _clock()
                room = netpolc_copy(text, size, of_line, ends, odds, json, out) - out
                begun = _clock() - begun
            _unlocked += begun
            return PyBytes_FromStringAndSize(<const char*>out, room)
        finally:
            free(out)
    finally:
        free(ends)
        free(odds)


cdef NetpolcSlice* _slices(list texts) except NULL:
    cdef NetpolcSlice* found = <NetpolcSlice*>malloc((len(texts) + 1) * sizeof(NetpolcSlice))
    cdef Py_ssize_t at
    cdef bytes own
    if found == NULL:
        raise MemoryError
    for at in range(len(texts)):
        own = texts[at]
        found[at].text = <const uint8_t*>PyBytes_AS_STRING(own)
        found[at].size = PyBytes_GET_SIZE(own)
    return found


cdef tuple _cells(const NetpolcCopiedFlow* flow):
    cdef int at
    return tuple([
        PyUnicode_DecodeASCII(<const char*>flow.cells[at].text, flow.cells[at].size, NULL)
        for at in range(COPY_CELLS)
    ])


cdef int _set_columns(NetpolcColumns* columns, bytes roles, int most) except -1:
    cdef Py_ssize_t at
    if len(roles) > NETPOLC_MOST_COLUMNS or any([role >= most for role in roles]):
        raise ValueError("more columns, or of other meanings, than there are")
    columns.count = <int>len(roles)
    for at in range(len(roles)):
        columns.roles[at] = roles[at]
    return 0


cdef tuple _scanned(bytes block, int64_t longest, NetpolcScanner scanner, const void* how):
    """Rows, columns by name, words of texts by name, and the lines that are left."""
    global _unlocked
    cdef NetpolcRows rows
    cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(block)
    cdef int64_t size = PyBytes_GET_SIZE(block), lines, begun
    cdef bint has_room
    if size >= 1 << 31:
        raise ValueError("a block of 2 GiB")
    with nogil:
        begun = _clock()
        lines = netpolc_newlines(text, text + size) + 1
        begun = _clock() - begun
    _unlocked += begun
    columns = _columns(&rows, lines)
    with nogil:
        begun = _clock()
        has_room = netpolc_scan_block(text, size, lines, longest, scanner, how, &rows)
        begun = _clock() - begun
    _unlocked += begun
    try:
        if not has_room:
            raise MemoryError
        for at, name in enumerate(_NAMES):
            columns[name] = rows.columns[at].nulls, *columns[name]
        return rows.count, columns, _words(&rows), _unsure(&rows)
    finally:
        with nogil:  # the kernel takes long to take back what is large
            begun = _clock()
            netpolc_rows_free(&rows)
            begun = _clock() - begun
        _unlocked += begun


_NAMES = (
    "src", "dst", "reporter", "policy", "src_pod", "dst_pod",
    "ts", "packets", "bytes", "src_port", "port", "protocol", "direction", "verdict", "is_reply",
)
_WIDTHS = (4, 4, 4, 4, 4, 4, 8, 8, 8, 4, 4, 2, 4, 4)
"""Bytes of a value; the last column has bits."""


cdef dict _columns(NetpolcRows* rows, int64_t lines):
    """Room for bits of validity and values of each, where the scanner puts them."""
    cdef int at
    cdef bytes valid, values
    cdef int64_t bits = (lines + 7) // 8
    cdef dict found = {}
    for at in range(ROW_COLUMNS):
        valid = PyBytes_FromStringAndSize(NULL, bits)
        size = bits if at == COLUMN_IS_REPLY else lines * _WIDTHS[at]
        values = PyBytes_FromStringAndSize(NULL, size)
        rows.columns[at].valid = <uint8_t*>PyBytes_AS_STRING(valid)
        rows.columns[at].values = PyBytes_AS_STRING(values)
        found[_NAMES[at]] = valid, values
    return found


cdef dict _words(NetpolcRows* rows):
    """How many words of each text there are, their offsets, their bytes."""
    cdef int at
    cdef NetpolcTexts* own
    cdef dict found = {}
    for at in range(ROW_TEXTS):
        own = &rows.texts[at]
        if own.count == 0:
            continue
        found[_NAMES[at]] = (
            own.count,
            PyBytes_FromStringAndSize(<const char*>own.offsets, (own.count + 1) * 4),
            PyBytes_FromStringAndSize(<const char*>own.bytes, own.offsets[own.count]),
        )
    return found


cdef list _unsure(NetpolcRows* rows):
    cdef int64_t at
    return [
        (rows.unsure[4 * at], rows.unsure[4 * at + 1], rows.unsure[4 * at + 2],
         rows.unsure[4 * at + 3])
        for at in range(rows.unsure_count)
    ]
