# cython: language_level=3, cdivision=True
"""Columns of addresses in the layouts that batches come in, resolved to leaves.

In: a column's buffers and a span of rows. Out: a leaf a row: | IPv6 | host | class |, 0 for a row
that is null or no address. Reads nothing outside the buffers, needs no GIL. IPv4-mapped IPv6 is
IPv4.
"""

from libc.stdint cimport int32_t, int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from address cimport (
    FAULT_NONE, IPV4, Address, parse_address, parse_ipv4, unmap, unpack_ipv4, unpack_ipv6,
)
from radix4 cimport radix4_lookup
from radix6 cimport Radix6, radix6_lookup, radix6_prefetch
from verdicts cimport (
    AVX2, AVX512, LEAF_IPV6, SCALAR, NetpolcTables, netpolc_lookup4_avx2, netpolc_lookup4_avx512,
)

cdef extern from "parse4.h" nogil:
    bint netpolc_parse4_sse41(const uint8_t* text, size_t size, uint32_t* out) noexcept

cdef enum:
    TEXT_ROWS = 1024        # NETPOLC_ROWS of tables.h
    AHEAD = 16

cdef enum Layout:
    UINT32          # native byte order
    PACKED4         # 4 or 16 bytes in network order
    PACKED16
    PARSED          # `Address` values, family 0 for no address
    STRING          # Arrow: int32 offsets
    LARGE_STRING    # Arrow: int64 offsets
    STRING_VIEW     # Arrow: 16-byte views
    DICTIONARY      # Arrow: indices into resolved leaves

cdef struct Column:
    Layout layout
    const uint8_t* data
    const uint8_t* data_end         # of text, or of the views
    const uint8_t* offsets          # also the views, or the dictionary's indices
    const uint8_t* validity         # a bit a row, or NULL
    const void** buffers            # of views
    const int64_t* buffer_sizes
    int64_t buffer_count
    size_t offset                   # rows before the first, in every buffer
    int width                       # bytes of a dictionary's index
    bint signed_index
    size_t dictionary_size
    const uint32_t* leaves          # of the dictionary
    const Column* values            # the dictionary


cdef inline uint32_t resolve_address(
    const uint32_t* cells, const Radix6* radix, const Address* address
) noexcept nogil:
    if address.family == IPV4:
        return radix4_lookup(cells, <uint32_t> address.lo)
    return radix6_lookup(radix, address.hi, address.lo) | LEAF_IPV6


cdef inline bint is_valid(const Column* c, size_t row) noexcept nogil:
    row += c.offset
    return c.validity == NULL or c.validity[row >> 3] >> (row & 7) & 1


cdef struct Text:
    const uint8_t* start
    size_t size
    const uint8_t* end      # of what may be read behind the text


cdef inline bint text_at(const Column* c, size_t row, Text* out) noexcept nogil:
    """The bytes of a string; False where the column's own offsets make no sense."""
    cdef int32_t narrow[2]
    cdef int64_t wide[2]
    cdef int32_t view[4]
    row += c.offset
    out.end = c.data_end
    if c.layout == STRING:
        memcpy(narrow, c.offsets + 4 * row, 8)
        wide[0] = narrow[0]
        wide[1] = narrow[1]
    elif c.layout == LARGE_STRING:
        memcpy(wide, c.offsets + 8 * row, 16)
    else:
        memcpy(view, c.offsets + 16 * row, 16)
        if view[0] < 0:
            return False
        out.size = <size_t> view[0]
        if view[0] <= 12:
            out.start = c.offsets + 16 * row + 4
            return True
        if (
            view[2] < 0 or view[2] >= c.buffer_count or view[3] < 0
            or <int64_t> view[3] + view[0] > c.buffer_sizes[view[2]]
        ):
            return False
        out.start = <const uint8_t*> c.buffers[view[2]] + view[3]
        out.end = <const uint8_t*> c.buffers[view[2]] + c.buffer_sizes[view[2]]
        return True
    if wide[0] < 0 or wide[1] < wide[0]:
        return False
    out.start = c.data + wide[0]
    out.size = <size_t> (wide[1] - wide[0])
    return True


cdef inline int64_t index_at(const Column* c, size_t row) noexcept nogil:
    """A dictionary index; negative when it points nowhere."""
    cdef uint64_t number = 0
    cdef const uint8_t* at = c.offsets + c.width * (row + c.offset)
    cdef uint8_t one
    cdef uint32_t four
    if c.width == 4:
        memcpy(&four, at, 4)
        number = four
    elif c.width == 1:
        one = at[0]
        number = one
    elif c.width == 2:
        four = 0
        number = read16(at)
    else:
        memcpy(&number, at, 8)
    if c.signed_index and number >> (8 * c.width - 1) & 1:
        return -1
    return <int64_t> number if number < c.dictionary_size else -1


cdef inline uint64_t read16(const uint8_t* at) noexcept nogil:
    cdef unsigned short two
    memcpy(&two, at, 2)
    return two


cdef inline bint address_at(const Column* c, size_t row, Address* out) noexcept nogil:
    """The address of a row; False for a row that is null or no address."""
    cdef Text text
    cdef uint32_t number
    cdef int64_t index
    if not is_valid(c, row):
        return False
    if c.layout == UINT32:
        memcpy(&number, c.data + 4 * (row + c.offset), 4)
        out.hi = 0
        out.lo = number
        out.family = IPV4
        return True
    if c.layout == PACKED4:
        unpack_ipv4(c.data + 4 * (row + c.offset), out)
        return True
    if c.layout == PACKED16:
        unpack_ipv6(c.data + 16 * (row + c.offset), out)
    elif c.layout == PARSED:
        out[0] = (<const Address*> c.data)[row]
        return out.family != 0
    elif c.layout == DICTIONARY:
        index = index_at(c, row)
        return index >= 0 and address_at(c.values, <size_t> index, out)
    elif (
        not text_at(c, row, &text)
        or parse_address(text.start, text.size, out) != FAULT_NONE
    ):
        return False
    unmap(out)
    return True


cdef inline bint same_address(
    const Column* a, const Column* b, size_t row
) noexcept nogil:
    cdef Address first, second
    if not address_at(a, row, &first) or not address_at(b, row, &second):
        return False
    return first.lo == second.lo and first.hi == second.hi and first.family == second.family


cdef inline void resolve_dictionary(
    const Column* c, size_t first, size_t rows, uint32_t* out
) noexcept nogil:
    cdef size_t i
    cdef int64_t index
    for i in range(rows):
        index = index_at(c, first + i) if is_valid(c, first + i) else -1
        out[i] = c.leaves[index] if index >= 0 else 0


cdef inline void resolve_uint32(
    const NetpolcTables* t, int simd, const uint8_t* column, size_t rows, uint32_t* out
) noexcept nogil:
    cdef size_t i
    cdef uint32_t number
    cdef const uint32_t* cells = t.cells
    if simd == AVX512:
        netpolc_lookup4_avx512(cells, column, rows, out)
        return
    if simd == AVX2:
        netpolc_lookup4_avx2(cells, column, rows, out)
        return
    for i in range(rows):
        memcpy(&number, column + 4 * i, 4)
        out[i] = radix4_lookup(cells, number)


cdef inline void resolve_packed16(
    const NetpolcTables* t, const Radix6* radix, const uint8_t* column, size_t rows, uint32_t* out
) noexcept nogil:
    """The cells that the hash will read are asked for before the first of them is needed."""
    cdef Address addresses[AHEAD]
    cdef size_t i = 0, k, count
    while i < rows:
        count = rows - i if rows - i < AHEAD else AHEAD
        for k in range(count):
            unpack_ipv6(column + 16 * (i + k), &addresses[k])
            radix6_prefetch(radix, addresses[k].hi, addresses[k].lo)
        for k in range(count):
            unmap(&addresses[k])
            out[i + k] = resolve_address(t.cells, radix, &addresses[k])
        i += count


cdef inline bint parse_text4(
    const Column* c, int simd, size_t row, uint32_t* number
) noexcept nogil:
    """Text of a valid IPv4 address; False is no verdict, the fast parser leaves some out."""
    cdef Text text
    if not is_valid(c, row) or not text_at(c, row, &text):
        return False
    if simd == SCALAR:
        return parse_ipv4(text.start, text.size, number) == FAULT_NONE
    # It reads 16 bytes; what lies behind the column is not ours to read.
    return text.start + 16 <= text.end and netpolc_parse4_sse41(text.start, text.size, number)


cdef inline void resolve_text(
    const NetpolcTables* t, const Radix6* radix, int simd, const Column* c, size_t first,
    size_t rows, uint32_t* out
) noexcept nogil:
    """All rows as IPv4 first, then those that were not; `rows` is TEXT_ROWS at most."""
    cdef uint32_t numbers[TEXT_ROWS]
    cdef uint16_t others[TEXT_ROWS]
    cdef size_t i, count = 0
    cdef Address address
    for i in range(rows):
        numbers[i] = 0
        if not parse_text4(c, simd, first + i, &numbers[i]):
            numbers[i] = 0
            others[count] = <uint16_t> i
            count += 1
    resolve_uint32(t, simd, <const uint8_t*> numbers, rows, out)
    for i in range(count):
        if address_at(c, first + others[i], &address):
            out[others[i]] = resolve_address(t.cells, radix, &address)
        else:
            out[others[i]] = 0


cdef inline void resolve_rows(
    const NetpolcTables* t, const Radix6* radix, int simd, const Column* c, size_t first,
    size_t rows, uint32_t* out
) noexcept nogil:
    """`rows` is TEXT_ROWS at most."""
    cdef size_t i
    cdef Address address
    if c.layout == DICTIONARY:
        resolve_dictionary(c, first, rows, out)
    elif c.layout == UINT32 and c.validity == NULL:
        resolve_uint32(t, simd, c.data + 4 * (first + c.offset), rows, out)
    elif c.layout == PACKED16 and c.validity == NULL:
        resolve_packed16(t, radix, c.data + 16 * (first + c.offset), rows, out)
    elif c.layout in (STRING, LARGE_STRING, STRING_VIEW):
        resolve_text(t, radix, simd, c, first, rows, out)
    else:
        for i in range(rows):
            if address_at(c, first + i, &address):
                out[i] = resolve_address(t.cells, radix, &address)
            else:
                out[i] = 0
