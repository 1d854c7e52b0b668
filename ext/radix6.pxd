# cython: language_level=3, cdivision=True
"""IPv6 longest-prefix lookup: a hash of /128s, then a path-compressed radix with strides of 8.

In: /128 prefixes, and sorted disjoint intervals over the whole family for all shorter ones.
Out: an immutable table.

    host hit           one probe of the hash: pods
    host miss          down the radix: CIDR blocks

A radix node covers an aligned range of addresses and is one of

    branch   256 cells on byte `depth` of the address
    single   one prefix inside a range that is otherwise uniform: no cells at all

and both first compare the address under `mask`: where all that differs inside a range lies in one
narrower range, the node is put at the narrower one, and addresses that miss it get `outside`. So a
lone /64 costs one node, not eight blocks of cells. A branch costs 1 KiB; what grows the table is
the number of places where prefixes part, not their length.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memset

from address cimport IPV6, prefix_mask
from prefixes cimport CHILD_MASK, LEAF_MAX, Interval, Prefix, mix128

cdef extern from *:
    """
    #if defined(__GNUC__) || defined(__clang__)
    #define netpolc_prefetch(at) __builtin_prefetch(at)
    #else
    #define netpolc_prefetch(at) ((void)(at))
    #endif
    """
    void prefetch "netpolc_prefetch"(const void* at) noexcept nogil

cdef enum:
    SINGLE = 16

cdef struct Host6:
    uint64_t hi
    uint64_t lo
    uint32_t entry      # 0 is a free cell

cdef struct Node6:
    uint64_t hi
    uint64_t lo
    uint64_t mask_hi
    uint64_t mask_lo
    uint32_t outside
    uint32_t inside     # a branch: its block; a single: the cell of the addresses that match
    uint8_t depth       # the byte a branch reads, or SINGLE

cdef struct Radix6:
    Host6* hosts
    size_t host_mask
    uint32_t root
    Node6* nodes        # cell 2**31 + i is node i; node 0 stays unused
    size_t node_count
    size_t node_capacity
    uint32_t* cells
    size_t blocks
    size_t block_capacity


cdef inline size_t address_byte(uint64_t hi, uint64_t lo, int k) noexcept nogil:
    return <size_t> ((hi if k < 8 else lo) >> (56 - 8 * (k & 7))) & 255


cdef inline void radix6_prefetch(const Radix6* t, uint64_t hi, uint64_t lo) noexcept nogil:
    """Ask for the hash's first cell: a lookup some steps later need not wait for memory."""
    if t.hosts != NULL:
        prefetch(&t.hosts[<size_t> mix128(hi, lo) & t.host_mask])


cdef inline uint32_t radix6_lookup(const Radix6* t, uint64_t hi, uint64_t lo) noexcept nogil:
    cdef uint32_t cell
    cdef size_t i
    cdef const Node6* node
    if t.hosts != NULL:
        i = <size_t> mix128(hi, lo) & t.host_mask
        while t.hosts[i].entry:
            if t.hosts[i].lo == lo and t.hosts[i].hi == hi:
                return t.hosts[i].entry
            i = (i + 1) & t.host_mask
    cell = t.root
    while cell > LEAF_MAX:
        node = &t.nodes[cell & CHILD_MASK]
        if ((hi ^ node.hi) & node.mask_hi) | ((lo ^ node.lo) & node.mask_lo):
            return node.outside
        if node.depth == SINGLE:
            return node.inside
        cell = t.cells[(<size_t> node.inside << 8) + address_byte(hi, lo, node.depth)]
    return cell


cdef inline int radix6_hosts(Radix6* t, const Prefix* hosts, size_t n) noexcept nogil:
    """Filled to two thirds at most: a miss, every address that is no pod, stays short too."""
    cdef size_t cells = 16
    cdef size_t i, k
    if n == 0:
        return 0
    while cells // 3 * 2 < n:
        cells *= 2
    t.hosts = <Host6*> calloc(cells, sizeof(Host6))
    if t.hosts == NULL:
        return -1
    t.host_mask = cells - 1
    for k in range(n):
        i = <size_t> mix128(hosts[k].hi, hosts[k].lo) & t.host_mask
        while t.hosts[i].entry:
            i = (i + 1) & t.host_mask
        t.hosts[i].hi = hosts[k].hi
        t.hosts[i].lo = hosts[k].lo
        t.hosts[i].entry = hosts[k].entry
    return 0


cdef inline size_t radix6_node(Radix6* t) noexcept nogil:
    """A zeroed node; 0 when memory is short."""
    cdef size_t capacity
    cdef Node6* nodes
    if t.node_count == t.node_capacity:
        capacity = 64 if t.node_capacity == 0 else t.node_capacity * 2
        if capacity > CHILD_MASK:
            return 0
        nodes = <Node6*> realloc(t.nodes, capacity * sizeof(Node6))
        if nodes == NULL:
            return 0
        t.nodes = nodes
        t.node_capacity = capacity
    if t.node_count == 0:
        t.node_count = 1
        memset(&t.nodes[0], 0, sizeof(Node6))
    memset(&t.nodes[t.node_count], 0, sizeof(Node6))
    t.node_count += 1
    return t.node_count - 1


cdef inline int radix6_block(Radix6* t, uint32_t* block) noexcept nogil:
    cdef size_t capacity
    cdef uint32_t* cells
    if t.blocks == t.block_capacity:
        capacity = 16 if t.block_capacity == 0 else t.block_capacity * 2
        # As in radix4_resize.
        if capacity > <size_t> -1 >> 10:
            return -1
        cells = <uint32_t*> realloc(t.cells, capacity * 256 * sizeof(uint32_t))
        if cells == NULL:
            return -1
        t.cells = cells
        t.block_capacity = capacity
    block[0] = <uint32_t> t.blocks
    t.blocks += 1
    return 0


cdef inline bint starts_by(const Interval* interval, uint64_t hi, uint64_t lo) noexcept nogil:
    return interval.hi < hi or (interval.hi == hi and interval.lo <= lo)


cdef inline int common_bits(uint64_t hi, uint64_t lo) noexcept nogil:
    """Leading zero bits of a 128-bit difference; portable, and off the lookup path."""
    cdef int n = 0
    cdef uint64_t word = hi
    if hi == 0:
        n = 64
        word = lo
    if word == 0:
        return n + 64
    while not word >> 63:
        word <<= 1
        n += 1
    return n


cdef inline uint32_t radix6_branch(
    Radix6* t, const Interval* intervals, size_t first, size_t last, size_t index
) noexcept nogil:
    """The 256 cells of the branch `index`, whose range intervals first..last cover."""
    cdef uint32_t block = 0, cell
    cdef uint64_t hi, lo, end_hi, end_lo, mask_hi, mask_lo
    cdef int depth = t.nodes[index].depth
    cdef uint64_t byte
    cdef size_t stop
    if radix6_block(t, &block):
        return 0
    t.nodes[index].inside = block
    prefix_mask(IPV6, 8 * (depth + 1), &mask_hi, &mask_lo)
    for byte in range(256):
        hi = t.nodes[index].hi
        lo = t.nodes[index].lo
        if depth < 8:
            hi |= byte << (56 - 8 * depth)
        else:
            lo |= byte << (56 - 8 * (depth & 7))
        end_hi = hi | ~mask_hi
        end_lo = lo | ~mask_lo
        while first < last and starts_by(&intervals[first + 1], hi, lo):
            first += 1
        stop = first
        while stop < last and starts_by(&intervals[stop + 1], end_hi, end_lo):
            stop += 1
        cell = intervals[first].entry
        if first != stop:
            cell = radix6_range(t, intervals, first, stop, hi, lo, depth + 1)
            if cell == 0:
                return 0
        t.cells[(<size_t> block << 8) + byte] = cell
        first = stop
    return LEAF_MAX | <uint32_t> index


cdef inline uint32_t radix6_range(
    Radix6* t, const Interval* intervals, size_t first, size_t last,
    uint64_t hi, uint64_t lo, int depth
) noexcept nogil:
    """The cell for the range of `depth` leading bytes at hi, lo; 0 when memory is short.

    Intervals first..last, at least two, are those that reach into the range.
    """
    cdef uint64_t from_hi, from_lo, to_hi, to_lo, mask_hi, mask_lo
    cdef size_t index = radix6_node(t)
    cdef Node6* node
    cdef int bits
    if index == 0:
        return 0
    node = &t.nodes[index]
    node.hi = hi
    node.lo = lo
    node.depth = <uint8_t> depth
    if intervals[first].entry == intervals[last].entry:
        # Everything that differs from the entry around it lies in from..to.
        from_hi = intervals[first + 1].hi
        from_lo = intervals[first + 1].lo
        to_hi = intervals[last].hi - (intervals[last].lo == 0)
        to_lo = intervals[last].lo - 1
        bits = common_bits(from_hi ^ to_hi, from_lo ^ to_lo)
        prefix_mask(IPV6, bits, &mask_hi, &mask_lo)
        node.outside = intervals[first].entry
        if (
            last == first + 2
            and not (from_hi & ~mask_hi or from_lo & ~mask_lo)
            and to_hi == (from_hi | ~mask_hi) and to_lo == (from_lo | ~mask_lo)
        ):
            node.depth = SINGLE
            node.inside = intervals[first + 1].entry
        else:
            node.depth = <uint8_t> (bits >> 3)
            prefix_mask(IPV6, bits & ~7, &mask_hi, &mask_lo)
        node.mask_hi = mask_hi
        node.mask_lo = mask_lo
        node.hi = from_hi & mask_hi
        node.lo = from_lo & mask_lo
        if node.depth == SINGLE:
            return LEAF_MAX | <uint32_t> index
    return radix6_branch(t, intervals, first, last, index)


cdef inline void radix6_free(Radix6* t) noexcept nogil:
    free(t.hosts)
    free(t.nodes)
    free(t.cells)
    memset(t, 0, sizeof(Radix6))


cdef inline int radix6_build(
    Radix6* t, const Prefix* hosts, size_t host_count, const Interval* intervals, size_t n
) noexcept nogil:
    """Fill a zeroed `Radix6`; -1 when memory is short, and nothing to free then."""
    if radix6_hosts(t, hosts, host_count):
        radix6_free(t)
        return -1
    t.root = intervals[0].entry
    if n > 1:
        t.root = radix6_range(t, intervals, 0, n - 1, 0, 0, 0)
        if t.root == 0:
            radix6_free(t)
            return -1
    return 0
