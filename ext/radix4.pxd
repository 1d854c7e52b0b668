# cython: language_level=3, cdivision=True
"""IPv4 longest-prefix lookup: a leaf-pushed radix with strides of 16, 8 and 8 bits.

In: sorted disjoint intervals that cover 0.0.0.0 to 255.255.255.255. Out: an immutable table that
answers in one to three loads.

    cells: | root: 65536 cells = blocks 0..255 | block 256 | block 257 | ...    256 cells a block
    cell:  0 no entry | 1..2**31 leaf | 2**31 + b: go on in block b

A block exists only where an interval begins or ends inside it, so a table of 10,000 pods in a few
/16 networks is a few hundred kilobytes, most of it root. No prefixes at all is the NULL table.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memset

from prefixes cimport CHILD_MASK, LEAF_MAX, Interval

cdef enum:
    ROOT_BLOCKS = 256

cdef struct Radix4:
    uint32_t* cells
    size_t blocks
    size_t capacity


cdef inline uint32_t radix4_lookup(const uint32_t* cells, uint32_t address) noexcept nogil:
    cdef uint32_t cell
    if cells == NULL:
        return 0
    cell = cells[address >> 16]
    if cell > LEAF_MAX:
        cell = cells[(<size_t> (cell & CHILD_MASK) << 8) + ((address >> 8) & 255)]
        if cell > LEAF_MAX:
            cell = cells[(<size_t> (cell & CHILD_MASK) << 8) + (address & 255)]
    return cell


cdef inline int radix4_resize(Radix4* t, size_t capacity) noexcept nogil:
    cdef uint32_t* cells
    # Loops over columns count cells in 32 bits (tables.h). A block is 1 KiB: where size_t has 32
    # bits the product overflows before memory runs out.
    if capacity > 1 << 24 or capacity > <size_t> -1 >> 10:
        return -1
    cells = <uint32_t*> realloc(t.cells, capacity * 256 * sizeof(uint32_t))
    if cells == NULL:
        return -1
    t.cells = cells
    t.capacity = capacity
    return 0


cdef inline size_t radix4_child(Radix4* t, size_t cell) noexcept nogil:
    """The first cell of the block below `cell`, made when missing; 0 when memory is short."""
    cdef size_t block
    if t.cells[cell] > LEAF_MAX:
        return <size_t> (t.cells[cell] & CHILD_MASK) << 8
    if t.blocks == t.capacity and radix4_resize(t, t.capacity * 2):
        return 0
    block = t.blocks
    memset(&t.cells[block << 8], 0, 256 * sizeof(uint32_t))
    t.cells[cell] = (LEAF_MAX | <uint32_t> block)
    t.blocks += 1
    return block << 8


cdef inline uint64_t radix4_run(
    uint32_t* cells, uint64_t index, uint64_t wanted, uint64_t size, uint32_t entry
) noexcept nogil:
    """Fill `wanted` cells from `index` on, but not past `size`; returns how many."""
    cdef uint64_t n = wanted if wanted < size - index else size - index
    cdef uint64_t i
    for i in range(n):
        cells[index + i] = entry
    return n


cdef inline int radix4_fill(
    Radix4* t, uint64_t first, uint64_t last, uint32_t entry
) noexcept nogil:
    """Whole /16 runs go to the root, whole /24 runs to the middle, what is left to the bottom."""
    cdef uint64_t end = last + 1
    cdef size_t middle, bottom
    while first < end:
        if first & 0xffff == 0 and end - first > 0xffff:
            first += radix4_run(t.cells, first >> 16, (end - first) >> 16, 65536, entry) << 16
            continue
        middle = radix4_child(t, <size_t> (first >> 16))
        if middle == 0:
            return -1
        if first & 0xff == 0 and end - first > 0xff:
            first += radix4_run(
                t.cells + middle, (first >> 8) & 255, (end - first) >> 8, 256, entry
            ) << 8
            continue
        bottom = radix4_child(t, middle + ((first >> 8) & 255))
        if bottom == 0:
            return -1
        first += radix4_run(t.cells + bottom, first & 255, end - first, 256, entry)
    return 0


cdef inline void radix4_free(Radix4* t) noexcept nogil:
    free(t.cells)
    memset(t, 0, sizeof(Radix4))


cdef inline int radix4_build(Radix4* t, const Interval* intervals, size_t n) noexcept nogil:
    """Fill a zeroed `Radix4`; -1 when memory is short, and nothing to free then."""
    cdef size_t i
    cdef uint64_t last
    if n == 1 and intervals[0].entry == 0:
        return 0
    if radix4_resize(t, ROOT_BLOCKS + 64):
        return -1
    t.blocks = ROOT_BLOCKS
    memset(t.cells, 0, ROOT_BLOCKS * 256 * sizeof(uint32_t))
    for i in range(n):
        last = intervals[i + 1].lo - 1 if i + 1 < n else 0xffffffffU
        if radix4_fill(t, intervals[i].lo, last, intervals[i].entry):
            radix4_free(t)
            return -1
    # A shrink that fails leaves the larger table, which is as good.
    radix4_resize(t, t.blocks)
    return 0
