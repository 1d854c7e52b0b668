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
from libc.stdint cimport int16_t, int32_t, int64_t, uint8_t
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy
from posix.time cimport CLOCK_THREAD_CPUTIME_ID, clock_gettime, timespec

cdef extern from "flow_rows.h" nogil:
    enum:
        ROW_TEXTS

        ROW_COLUMNS

    ctypedef struct NetpolcTexts:
        int32_t* offsets
        uint8_t* bytes
        uint8_t* valid
        int32_t* codes
        int64_t count
        int64_t nulls

    ctypedef struct NetpolcNulls:
        uint8_t* valid
        int64_t nulls

    ctypedef struct NetpolcRows:
        int64_t count
        int64_t lines
        int64_t* ts
        int64_t* packets
        int64_t* octets
        int32_t* src_port
        int32_t* port
        int16_t* protocol
        NetpolcTexts texts[ROW_TEXTS]
        NetpolcNulls nulls[ROW_COLUMNS]
        int32_t* words[2]
        uint8_t* replies
        int64_t unsure_count
        int64_t* unsure

    ctypedef int (*NetpolcScanner)(
        const uint8_t*, const uint8_t*, const uint8_t*, const void*, NetpolcRows*)

    int netpolc_rows_init(NetpolcRows*, const uint8_t*, int64_t)
    int64_t netpolc_newlines(const uint8_t*, const uint8_t*)
    void netpolc_rows_free(NetpolcRows*)
    void netpolc_scan(
        const uint8_t*, int64_t, int64_t, NetpolcScanner, const void*, NetpolcRows*)

cdef extern from "flow_columns.h" nogil:
    int netpolc_finish(NetpolcRows*)

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


cdef int64_t _clock() noexcept nogil:
    """CPU time of this thread in nanoseconds."""
    cdef timespec now
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now)
    return now.tv_sec * 1000000000 + now.tv_nsec


cdef struct Piece:
    char* target
    const void* source
    int64_t size


cdef void _copy_all(const Piece* pieces, Py_ssize_t count) noexcept nogil:
    cdef Py_ssize_t at
    for at in range(count):
        memcpy(pieces[at].target, pieces[at].source, pieces[at].size)


def joined(pieces: list, /) -> tuple[bytes, int]:
    """Pieces of bytes as one, and how many lines end in it."""
    global _unlocked
    cdef Py_ssize_t count = len(pieces), held = 0, at
    cdef int64_t size = 0, lines, begun
    cdef bytes whole
    cdef const uint8_t* text
    cdef Py_buffer* views = <Py_buffer*>malloc((count + 1) * sizeof(Py_buffer))
    cdef Piece* room = <Piece*>malloc((count + 1) * sizeof(Piece))
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
            room[at].target = <char*>text + size
            size += room[at].size
        with nogil:
            begun = _clock()
            _copy_all(room, count)
            lines = netpolc_newlines(text, text + size)
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
    """Rows, columns by name, texts by name, and the lines that are left."""
    global _unlocked
    cdef NetpolcRows rows
    cdef Copies copies
    cdef const uint8_t* text = <const uint8_t*>PyBytes_AS_STRING(block)
    cdef int64_t size = PyBytes_GET_SIZE(block), begun
    cdef bint has_room
    if size >= 1 << 31:
        raise ValueError("a block of 2 GiB")
    with nogil:
        begun = _clock()
        has_room = netpolc_rows_init(&rows, text, size)
        if has_room:
            netpolc_scan(text, size, longest, scanner, how, &rows)
            has_room = netpolc_finish(&rows)
        begun = _clock() - begun
    _unlocked += begun
    try:
        if not has_room:
            raise MemoryError
        copies.count = 0
        found = rows.count, _columns(&rows, &copies), _texts(&rows, &copies), _unsure(&rows)
        with nogil:
            begun = _clock()
            _copy_all(copies.pieces, copies.count)
            begun = _clock() - begun
        _unlocked += begun
        return found
    finally:
        with nogil:  # the kernel takes long to take back what is large
            begun = _clock()
            netpolc_rows_free(&rows)
            begun = _clock() - begun
        _unlocked += begun


cdef enum:
    MOST_COPIES = 64


cdef struct Copies:
    int count
    Piece[MOST_COPIES] pieces


cdef bytes _later(Copies* copies, const void* source, int64_t size):
    """Bytes that nobody has seen yet, and that are copied without the lock."""
    cdef bytes own = PyBytes_FromStringAndSize(NULL, size)
    if size:
        copies.pieces[copies.count] = Piece(PyBytes_AS_STRING(own), source, size)
        copies.count += 1
    return own


cdef dict _columns(NetpolcRows* rows, Copies* copies):
    """Nulls, bits of validity and values of each."""
    cdef int64_t count = rows.count, bits = (rows.count + 7) // 8
    cdef const void** values = [
        rows.ts, rows.packets, rows.octets, rows.src_port, rows.port, rows.protocol,
        rows.words[0], rows.words[1], rows.replies,
    ]
    cdef int64_t* sizes = [
        8 * count, 8 * count, 8 * count, 4 * count, 4 * count, 2 * count, 4 * count, 4 * count, bits
    ]
    cdef int at
    cdef dict found = {}
    names = (
        "ts", "packets", "bytes", "src_port", "port", "protocol", "direction", "verdict", "is_reply"
    )
    for at in range(ROW_COLUMNS):
        valid = _later(copies, rows.nulls[at].valid, bits)
        found[names[at]] = rows.nulls[at].nulls, valid, _later(copies, values[at], sizes[at])
    return found


cdef dict _texts(NetpolcRows* rows, Copies* copies):
    """Nulls, bits of validity and the word of each row; how many words, their offsets and bytes."""
    cdef int at
    cdef NetpolcTexts* own
    cdef dict found = {}
    names = ("src", "dst", "reporter", "policy", "src_pod", "dst_pod")
    for at in range(ROW_TEXTS):
        own = &rows.texts[at]
        found[names[at]] = (
            own.nulls,
            _later(copies, own.valid, (rows.count + 7) // 8),
            _later(copies, own.codes, rows.count * 4),
            own.count,
            _later(copies, own.offsets, (own.count + 1) * 4),
            _later(copies, own.bytes, own.offsets[own.count]),
        )
    return found


cdef list _unsure(NetpolcRows* rows):
    cdef int64_t at
    return [
        (rows.unsure[4 * at], rows.unsure[4 * at + 1], rows.unsure[4 * at + 2],
         rows.unsure[4 * at + 3])
        for at in range(rows.unsure_count)
    ]
