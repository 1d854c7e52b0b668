# cython: language_level=3, cdivision=True
"""The canonical set of prefixes: the one truth that lookup tables are built from.

In: checked (address, length) pairs with an entry each. Out: exact finds, a sorted copy, and the
sorted disjoint intervals that radix4 and radix6 take. Functions that allocate return -1 when
memory is short and leave the set as it was.

Items lie side by side; an open-addressing index of positions finds them. An item is removed by
moving the last one into its place, an index cell by shifting back the cells after it, so neither
leaves a tombstone and a long life of inserts and deletes costs nothing.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc, realloc
from libc.string cimport memset

from address cimport IPV4, IPV6, family_bits, prefix_mask

cdef extern from *:
    """
    /* A table cell: 0 is "no entry", 1 to 2**31 a leaf (value + 1), above that a child. */
    #define NETPOLC_LEAF_MAX 0x80000000u
    #define NETPOLC_CHILD_MASK 0x7fffffffu
    """
    const uint32_t LEAF_MAX "NETPOLC_LEAF_MAX"
    const uint32_t CHILD_MASK "NETPOLC_CHILD_MASK"

cdef struct Prefix:
    uint64_t hi
    uint64_t lo
    uint32_t entry
    uint8_t family
    uint8_t length
    uint16_t unused

cdef struct PrefixSet:
    Prefix* items
    uint32_t* index     # position + 1; 0 is a free cell
    size_t size
    size_t capacity     # of items
    size_t mask         # cells of the index - 1
    size_t ipv4[33]     # how many of each length
    size_t ipv6[129]

cdef struct Interval:
    # From here up to the next interval's first address, the last one up to the family's end.
    uint64_t hi
    uint64_t lo
    uint32_t entry


cdef inline uint64_t mix128(uint64_t hi, uint64_t lo) noexcept nogil:
    """Two rounds of multiply and fold: every bit of the address reaches the low bits."""
    cdef uint64_t h = (hi ^ (hi >> 32)) * 0x9e3779b97f4a7c15ULL
    h = (h ^ lo ^ (h >> 29)) * 0xd6e8feb86659fd93ULL
    return h ^ (h >> 32)


cdef inline size_t prefix_hash(const Prefix* p) noexcept nogil:
    return <size_t> mix128(p.hi ^ (<uint64_t> p.length << 8 | p.family), p.lo)


cdef inline bint same_prefix(const Prefix* a, const Prefix* b) noexcept nogil:
    return a.lo == b.lo and a.hi == b.hi and a.length == b.length and a.family == b.family


cdef inline size_t* length_count(PrefixSet* s, const Prefix* p) noexcept nogil:
    return &s.ipv4[p.length] if p.family == IPV4 else &s.ipv6[p.length]


cdef inline size_t find_cell(const PrefixSet* s, const Prefix* key) noexcept nogil:
    """The cell that holds `key`, or the free cell where it would go; the index is never full."""
    cdef size_t cell = prefix_hash(key) & s.mask
    while s.index[cell] and not same_prefix(&s.items[s.index[cell] - 1], key):
        cell = (cell + 1) & s.mask
    return cell


cdef inline Prefix* find_prefix(const PrefixSet* s, const Prefix* key) noexcept nogil:
    cdef uint32_t position
    if s.size == 0:
        return NULL
    position = s.index[find_cell(s, key)]
    return &s.items[position - 1] if position else NULL


cdef inline int grow_prefixes(PrefixSet* s) noexcept nogil:
    """Twice the items, and an index that they fill to a half at most."""
    cdef size_t capacity = 16 if s.capacity == 0 else s.capacity * 2
    cdef size_t cells = capacity * 2
    cdef size_t i
    cdef Prefix* items
    cdef uint32_t* index
    # Positions are 32 bits wide, and 2 * n + 1 intervals must not overflow a 32-bit size_t.
    if capacity > 0x40000000U or capacity > <size_t> -1 // (3 * sizeof(Interval)):
        return -1
    index = <uint32_t*> calloc(cells, sizeof(uint32_t))
    if index == NULL:
        return -1
    items = <Prefix*> realloc(s.items, capacity * sizeof(Prefix))
    if items == NULL:
        free(index)
        return -1
    free(s.index)
    s.items = items
    s.index = index
    s.capacity = capacity
    s.mask = cells - 1
    for i in range(s.size):
        s.index[find_cell(s, &s.items[i])] = <uint32_t> (i + 1)
    return 0


cdef inline int insert_prefix(PrefixSet* s, const Prefix* item) noexcept nogil:
    """A prefix that is there already takes the new entry."""
    cdef Prefix* known = find_prefix(s, item)
    if known != NULL:
        known.entry = item.entry
        return 0
    if s.size == s.capacity and grow_prefixes(s):
        return -1
    s.items[s.size] = item[0]
    s.index[find_cell(s, item)] = <uint32_t> (s.size + 1)
    s.size += 1
    length_count(s, item)[0] += 1
    return 0


cdef inline void free_cell(PrefixSet* s, size_t hole) noexcept nogil:
    """Cells after the hole move back into it unless that would put them before their home."""
    cdef size_t cell = hole
    cdef size_t home
    while True:
        cell = (cell + 1) & s.mask
        if s.index[cell] == 0:
            break
        home = prefix_hash(&s.items[s.index[cell] - 1]) & s.mask
        if ((cell - home) & s.mask) >= ((cell - hole) & s.mask):
            s.index[hole] = s.index[cell]
            hole = cell
    s.index[hole] = 0


cdef inline bint remove_prefix(PrefixSet* s, const Prefix* key) noexcept nogil:
    cdef size_t cell
    cdef uint32_t position
    if s.size == 0:
        return False
    cell = find_cell(s, key)
    position = s.index[cell]
    if position == 0:
        return False
    length_count(s, key)[0] -= 1
    free_cell(s, cell)
    if position != s.size:
        s.index[find_cell(s, &s.items[s.size - 1])] = position
        s.items[position - 1] = s.items[s.size - 1]
    s.size -= 1
    return True


cdef inline void free_prefixes(PrefixSet* s) noexcept nogil:
    free(s.items)
    free(s.index)
    memset(s, 0, sizeof(PrefixSet))


cdef inline const Prefix* longest_prefix(
    const PrefixSet* s, uint8_t family, uint64_t hi, uint64_t lo
) noexcept nogil:
    """One find for every length in use, longest first: needs no table, for the slower questions."""
    cdef Prefix key
    cdef const Prefix* found
    cdef uint64_t mask_hi, mask_lo
    cdef const size_t* counts = (
        <const size_t*> &s.ipv4[0] if family == IPV4 else <const size_t*> &s.ipv6[0]
    )
    cdef int length = family_bits(family)
    key.family = family
    while length >= 0:
        if counts[length]:
            prefix_mask(family, length, &mask_hi, &mask_lo)
            key.hi = hi & mask_hi
            key.lo = lo & mask_lo
            key.length = <uint8_t> length
            found = find_prefix(s, &key)
            if found != NULL:
                return found
        length -= 1
    return NULL


cdef inline uint8_t sort_byte(const Prefix* p, int k) noexcept nogil:
    """The k-th least significant byte of the key (family, address, length)."""
    if k == 0:
        return p.length
    if k <= 8:
        return <uint8_t> (p.lo >> (8 * (k - 1)))
    if k <= 16:
        return <uint8_t> (p.hi >> (8 * (k - 9)))
    return p.family


cdef inline Prefix different_bits(const Prefix* items, size_t n) noexcept nogil:
    """The bits of the key in which any item differs from the first one."""
    cdef Prefix bits
    cdef size_t i
    memset(&bits, 0, sizeof(Prefix))
    for i in range(1, n):
        bits.hi |= items[i].hi ^ items[0].hi
        bits.lo |= items[i].lo ^ items[0].lo
        bits.family |= items[i].family ^ items[0].family
        bits.length |= items[i].length ^ items[0].length
    return bits


cdef inline void sort_pass(const Prefix* items, Prefix* out, size_t n, int k) noexcept nogil:
    """A stable counting sort by one byte of the key."""
    cdef size_t counts[256]
    cdef size_t i, count, total = 0
    cdef int digit
    memset(counts, 0, sizeof(counts))
    for i in range(n):
        counts[sort_byte(&items[i], k)] += 1
    for digit in range(256):
        count = counts[digit]
        counts[digit] = total
        total += count
    for i in range(n):
        digit = sort_byte(&items[i], k)
        out[counts[digit]] = items[i]
        counts[digit] += 1


cdef inline Prefix* sort_prefixes(Prefix* items, Prefix* spare, size_t n) noexcept nogil:
    """Least significant byte first; a byte that all keys share costs nothing.

    Returns whichever of the two arrays holds the result.
    """
    cdef Prefix different = different_bits(items, n)
    cdef Prefix* other
    cdef int k
    for k in range(18):
        if sort_byte(&different, k):
            sort_pass(items, spare, n, k)
            other = items
            items = spare
            spare = other
    return items


cdef inline Prefix* sorted_copy(
    const PrefixSet* s, uint8_t family, int max_length, size_t* size
) noexcept nogil:
    """The prefixes of one family (0: of both) no longer than `max_length`, for the caller to free.

    NULL when memory is short.
    """
    cdef Prefix* items = <Prefix*> malloc((s.size + 1) * sizeof(Prefix))
    cdef Prefix* spare = <Prefix*> malloc((s.size + 1) * sizeof(Prefix))
    cdef Prefix* result = NULL
    cdef size_t i, n = 0
    if items != NULL and spare != NULL:
        for i in range(s.size):
            if (family == 0 or s.items[i].family == family) and s.items[i].length <= max_length:
                items[n] = s.items[i]
                n += 1
        size[0] = n
        result = sort_prefixes(items, spare, n)
    if result != items:
        free(items)
    if result != spare:
        free(spare)
    return result


cdef inline size_t emit_interval(
    Interval* out, size_t n, uint64_t hi, uint64_t lo, uint32_t entry
) noexcept nogil:
    """Append; a later word on the same first address wins, and equal neighbours merge."""
    if n and out[n - 1].lo == lo and out[n - 1].hi == hi:
        n -= 1
    if n and out[n - 1].entry == entry:
        return n
    out[n].hi = hi
    out[n].lo = lo
    out[n].entry = entry
    return n + 1


cdef inline size_t flatten_prefixes(
    const Prefix* items, size_t n, uint8_t family, Interval* out
) noexcept nogil:
    """Sorted prefixes to disjoint intervals over the whole family: 2 * n + 1 at most.

    The open prefixes around the current address, outermost first, are a stack: prefixes nest or
    are apart, and the sort puts a prefix before those inside it.
    """
    cdef const Prefix* open_prefixes[129]
    cdef uint64_t last_hi[129]
    cdef uint64_t last_lo[129]
    cdef uint64_t mask_hi, mask_lo, end_hi, end_lo
    cdef int depth = 0
    cdef size_t i, count
    cdef bint ended
    prefix_mask(family, family_bits(family), &end_hi, &end_lo)
    count = emit_interval(out, 0, 0, 0, 0)
    for i in range(n + 1):
        while depth:
            ended = i == n or (
                last_hi[depth - 1] < items[i].hi
                or (last_hi[depth - 1] == items[i].hi and last_lo[depth - 1] < items[i].lo)
            )
            if not ended:
                break
            depth -= 1
            if last_hi[depth] == end_hi and last_lo[depth] == end_lo:
                continue
            count = emit_interval(
                out, count,
                last_hi[depth] + (last_lo[depth] == ~(<uint64_t> 0)), last_lo[depth] + 1,
                open_prefixes[depth - 1].entry if depth else 0,
            )
        if i < n:
            prefix_mask(family, items[i].length, &mask_hi, &mask_lo)
            count = emit_interval(out, count, items[i].hi, items[i].lo, items[i].entry)
            open_prefixes[depth] = &items[i]
            last_hi[depth] = items[i].hi | (end_hi & ~mask_hi)
            last_lo[depth] = items[i].lo | (end_lo & ~mask_lo)
            depth += 1
    return count
