# cython: language_level=3, binding=False, cdivision=True, boundscheck=False, wraparound=False
# cython: auto_pickle=False, autotestdict=False, embedsignature=True, embedsignature.format=clinic
"""Columns of flow logs without an object a row: equal keys are numbered, IPv4 text is read.

In: columns as numpy and Arrow have them. Out: columns that the caller has made. Nothing is refused.
"""

from address cimport FAULT_NONE, parse_ipv4
from libc.stdint cimport int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free


def number_keys(
    const int64_t[::1] keys, size: int, int64_t[::1] of_row, int64_t[::1] first, int64_t[::1] counts
) -> int:
    """Number keys of 0 to `size` - 1 as they come: the number of each row, the first row and the
    rows of each number. How many there are.
    """
    cdef int64_t rows = keys.shape[0], count
    cdef uint64_t slots = 2, limit = size
    cdef bint hashed
    cdef int32_t* table
    if of_row.shape[0] < rows or first.shape[0] < rows or counts.shape[0] < rows or rows >> 31:
        raise ValueError("columns of different lengths, or of 2^31 rows")
    while slots < 2 * <uint64_t>rows:
        slots *= 2
    hashed = limit > 4 * slots  # a table of all keys would be larger than one of those that occur
    if not hashed:
        slots = limit
    table = <int32_t*>calloc(slots + 1, sizeof(int32_t))
    if table == NULL:
        raise MemoryError
    with nogil:
        count = _numbered(keys, rows, table, slots - 1 if hashed else 0, of_row, first, counts)
    free(table)
    return count


cdef int64_t _numbered(
    const int64_t[::1] keys, int64_t rows, int32_t* table, uint64_t mask, int64_t[::1] of_row,
    int64_t[::1] first, int64_t[::1] counts
) noexcept nogil:
    """The table holds numbers from 1 on; with a mask it is one of hashes, else one of keys."""
    cdef int64_t row, key, count = 0
    cdef int32_t number
    cdef uint64_t slot
    for row in range(rows):
        key = keys[row]
        slot = <uint64_t>key
        if mask:
            slot = _mixed(slot) & mask
            while table[slot] and keys[first[table[slot] - 1]] != key:
                slot = (slot + 1) & mask
        number = table[slot] - 1
        if number < 0:
            number = <int32_t>count
            count += 1
            table[slot] = <int32_t>count
            first[number] = row
            counts[number] = 0
        counts[number] += 1
        of_row[row] = number
    return count


cdef inline uint64_t _mixed(uint64_t key) noexcept nogil:
    key = (key ^ (key >> 31)) * 0x9E3779B97F4A7C15U
    key = (key ^ (key >> 29)) * 0xBF58476D1CE4E5B9U
    return key ^ (key >> 32)


def read_ipv4(
    const int32_t[::1] offsets, const uint8_t[::1] text, uint32_t[::1] addresses,
    uint8_t[::1] is_read
) -> None:
    """Dotted addresses (`parse_ipv4` of address.pxd) of a column of text; what is none is marked 0.
    """
    cdef int64_t row, rows = offsets.shape[0] - 1
    cdef const uint8_t* begin = &text[0] if text.shape[0] else NULL
    if addresses.shape[0] < rows or is_read.shape[0] < rows or offsets[rows] > text.shape[0]:
        raise ValueError("columns of different lengths")
    with nogil:
        for row in range(rows):
            addresses[row] = 0
            is_read[row] = FAULT_NONE == parse_ipv4(
                begin + offsets[row], offsets[row + 1] - offsets[row], &addresses[row]
            )


def late_rows(
    const int64_t[::1] times, const int64_t[::1] numbers, int64_t[::1] latest, most: int
) -> tuple[int, int]:
    """The first row that is more than `most` older than a row before it of the same number, and how
    many are; `latest` has the newest time of each number so far, and then that of all.
    """
    cdef int64_t row, rows = times.shape[0], first = -1, count = 0, number, longest = most
    if numbers.shape[0] != rows:
        raise ValueError("columns of different lengths")
    with nogil:
        for row in range(rows):
            number = numbers[row]
            if number < 0 or number >= latest.shape[0]:
                first = -2
                break
            if times[row] >= latest[number]:
                latest[number] = times[row]
            elif <uint64_t>latest[number] - <uint64_t>times[row] > <uint64_t>longest:
                first = row if first < 0 else first
                count += 1
    if first == -2:
        raise ValueError("a number that is none")
    return first, count
