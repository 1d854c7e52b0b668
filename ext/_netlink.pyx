# cython: language_level=3, binding=False, cdivision=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False, autotestdict=False, embedsignature=True, embedsignature.format=clinic
"""Netlink attributes taken apart, and what most of a table is made of: elements that are one key.

In: bytes of the kernel. Out: contents by type, keys with their comments, texts of addresses.
Refused (`RulesetError`): attributes that do not fill what they are in to its last byte. Elements of
any other form are left to `netpolc/backends/nft/netlink/elements.py`.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.unicode cimport PyUnicode_DecodeASCII, PyUnicode_DecodeUTF8
from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.stdlib cimport free, malloc, qsort
from libc.string cimport memcpy

from netpolc.core.errors import RulesetError

cdef enum:
    HEADER = 4
    TYPE = 0x3FFF  # NLA_TYPE_MASK: without the flags for nested and for byte order
    MOST_OF_A_TEXT = 16  # 255.255.255.255 and a zero
    LEAST_OF_A_COMMENT = 7  # the attribute's header, type, length, one byte


cdef inline uint16_t _word(const uint8_t* at) noexcept nogil:
    cdef uint16_t found
    memcpy(&found, at, 2)
    return found


cdef inline Py_ssize_t _whole(Py_ssize_t length) noexcept nogil:
    return (length + 3) & ~3


cdef bytes _taken(const uint8_t** at, Py_ssize_t* left, int* kind):
    """The content of the attribute that begins there, and its type; both are behind it then."""
    cdef const uint8_t* begin = at[0]
    if left[0] < HEADER:
        raise RulesetError(f"netlink: {left[0]} bytes after the last attribute")
    cdef Py_ssize_t length = _word(begin)
    if not HEADER <= length <= left[0]:
        raise RulesetError(f"netlink: an attribute of {length} bytes where {left[0]} are left")
    kind[0] = _word(begin + 2) & TYPE
    at[0] += _whole(length)
    left[0] -= _whole(length)
    return PyBytes_FromStringAndSize(<const char*>begin + HEADER, length - HEADER)


cdef extern from *:
    """
    #include <errno.h>
    #include <time.h>
    #include <unistd.h>
    #include <sys/syscall.h>

    /* membarrier(MEMBARRIER_CMD_GLOBAL) returns after an RCU grace period; a packet is judged
     * within one. Where it is refused, a tenth of a second is longer than any packet takes. */
    static void await_grace(void)
    {
        struct timespec left = {0, 100000000};
        if (syscall(SYS_membarrier, 1, 0, 0) == 0)
            return;
        while (nanosleep(&left, &left) == -1 && errno == EINTR) {
        }
    }
    """
    void await_grace() nogil


def await_packets() -> None:
    """Return when no packet is being judged any more that was when this was called (about 10 ms).

    It waits as membarrier(2) does for MEMBARRIER_CMD_GLOBAL.
    """
    with nogil:
        await_grace()


def each_attribute(content: bytes, /) -> list:
    """Every attribute in order, with its type."""
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(content)
    cdef Py_ssize_t left = PyBytes_GET_SIZE(content)
    cdef int kind
    cdef list found = []
    while left > 0:
        own = _taken(&at, &left, &kind)
        found.append((kind, own))
    return found


def by_type(content: bytes, /) -> dict:
    """The attributes by their types; the last one of each."""
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(content)
    cdef Py_ssize_t left = PyBytes_GET_SIZE(content)
    cdef int kind
    cdef dict found = {}
    while left > 0:
        own = _taken(&at, &left, &kind)
        found[kind] = own
    return found


def single_keys(elements: bytes, length: int, /) -> tuple | None:
    """The keys and the comments of elements that have nothing else, or None; of no element with a
    comment there are none. `length` is that of a key, and a multiple of four.
    """
    cdef const uint8_t* at = <const uint8_t*>PyBytes_AS_STRING(elements)
    cdef const uint8_t* note
    cdef Py_ssize_t left = PyBytes_GET_SIZE(elements), size, said, plain = 3 * HEADER + length
    cdef Py_ssize_t key = length
    cdef bint any_said = False
    cdef list keys = [], comments = []
    if key & 3:
        return None
    while left > 0:
        if left < plain:
            return None
        size = _word(at)
        # NFTA_LIST_ELEM, NFTA_SET_ELEM_KEY, NFTA_DATA_VALUE
        if size > left or not (_is(at, size) and _is(at + 4, key + 8) and _is(at + 8, key + 4)):
            return None
        if size == plain:
            comments.append("")
        else:
            # NFTA_SET_ELEM_USERDATA with one comment: its type, its length, text and a zero
            if size < plain + LEAST_OF_A_COMMENT:
                return None
            note = at + plain
            said = _word(note) - 6
            if said < 1 or said + 6 > size - plain or _whole(said + 6) != _whole(size - plain):
                return None
            if _word(note + 2) & TYPE != 6:
                return None
            if note[4] != 0 or note[5] != said:
                return None
            any_said = True
            text = <const char*>note + 6
            comments.append(
                PyUnicode_DecodeUTF8(text, said - (text[said - 1] == 0), b"backslashreplace")
            )
        keys.append(PyBytes_FromStringAndSize(<const char*>at + 12, key))
        at += _whole(size)
        left -= _whole(size)
    return keys, comments if any_said else []


cdef inline bint _is(const uint8_t* at, Py_ssize_t length) noexcept nogil:
    """Whether an attribute of that length and of type 1 begins there."""
    return _word(at) == length and (_word(at + 2) & TYPE) == 1


# IPv4 addresses
# ----------------------------------------------------------------------------------------------

# The place of an octet among all of them, sorted as texts; a dot comes before every digit.
cdef uint8_t RANK[256]
cdef uint8_t AT_RANK[256]

for _number, _text in enumerate(sorted(map(str, range(256)))):
    RANK[int(_text)] = _number
    AT_RANK[_number] = int(_text)


cdef int _compare(const void* one, const void* other) noexcept nogil:
    cdef uint32_t first = (<const uint32_t*>one)[0], second = (<const uint32_t*>other)[0]
    return (first > second) - (first < second)


def ipv4_texts(keys, /) -> tuple:
    """The texts of addresses of four bytes each, sorted."""
    cdef Py_ssize_t count = len(keys), at = 0
    cdef uint32_t* ranks = <uint32_t*>malloc((count or 1) * sizeof(uint32_t))
    cdef const uint8_t* own
    cdef bytes key
    if ranks == NULL:
        raise MemoryError
    try:
        for key in keys:
            if key is None or PyBytes_GET_SIZE(key) != 4:
                raise ValueError(f"an address of {len(key or b'')} bytes")
            own = <const uint8_t*>PyBytes_AS_STRING(key)
            ranks[at] = (
                <uint32_t>RANK[own[0]] << 24 | <uint32_t>RANK[own[1]] << 16
                | <uint32_t>RANK[own[2]] << 8 | RANK[own[3]]
            )
            at += 1
        with nogil:
            qsort(ranks, count, sizeof(uint32_t), _compare)
        return tuple([_ipv4_text(ranks[at]) for at in range(count)])
    finally:
        free(ranks)


cdef str _ipv4_text(uint32_t ranks):
    cdef char text[MOST_OF_A_TEXT]
    cdef int size = 0, shift, octet
    for shift in range(24, -1, -8):
        octet = AT_RANK[ranks >> shift & 0xFF]
        if octet > 99:
            text[size] = 48 + octet / 100
            size += 1
        if octet > 9:
            text[size] = 48 + octet / 10 % 10
            size += 1
        text[size] = 48 + octet % 10
        text[size + 1] = c"."
        size += 2
    return PyUnicode_DecodeASCII(text, size - 1, NULL)
