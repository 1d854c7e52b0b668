# What `RadixTree` looks up in: the tables of each family, and whole columns through them.

import sys

from cython cimport final
from libc.stdlib cimport free, malloc
from libc.string cimport memcpy

from address cimport PREFIX_TEXT_SIZE, is_mapped, write_prefix
from prefixes cimport Interval, PrefixSet, flatten_prefixes, sorted_copy
from radix4 cimport Radix4, radix4_build, radix4_free, radix4_lookup
from radix6 cimport Radix6, radix6_build, radix6_free, radix6_lookup


@final
cdef class _Table4:
    """Owns an immutable IPv4 table, so that a batch outlives a rebuild by another thread."""

    cdef Radix4 radix

    def __dealloc__(self):
        radix4_free(&self.radix)


@final
cdef class _Table6:
    """Owns an immutable IPv6 table."""

    cdef Radix6 radix

    def __dealloc__(self):
        radix6_free(&self.radix)


cdef str prefix_text(const Prefix* p):
    cdef char text[PREFIX_TEXT_SIZE]
    cdef size_t size = write_prefix(p.family, p.hi, p.lo, p.length, text)
    return text[:size].decode("ascii")


@final
cdef class _PrefixIterator:
    """Walks a sorted copy of the prefixes: changes to the tree while it runs do no harm."""

    cdef Prefix* prefixes
    cdef size_t size
    cdef size_t position
    cdef bint pairs

    def __dealloc__(self):
        free(self.prefixes)

    def __iter__(self):
        return self

    def __next__(self):
        cdef const Prefix* p
        if self.position == self.size:
            raise StopIteration
        p = &self.prefixes[self.position]
        self.position += 1
        if self.pairs:
            return prefix_text(p), p.entry - 1
        return prefix_text(p)


cdef _PrefixIterator iterate(const PrefixSet* prefixes, bint pairs):
    cdef _PrefixIterator result = _PrefixIterator.__new__(_PrefixIterator)
    result.pairs = pairs
    result.prefixes = sorted_copy(prefixes, 0, 128, &result.size)
    if result.prefixes == NULL:
        raise MemoryError
    return result


cdef Interval* intervals_of(
    const Prefix* prefixes, size_t n, uint8_t family, size_t* count
) except NULL:
    cdef Interval* intervals = <Interval*> malloc((2 * n + 1) * sizeof(Interval))
    if intervals == NULL:
        raise MemoryError
    count[0] = flatten_prefixes(prefixes, n, family, intervals)
    return intervals


cdef _Table4 build_table4(const PrefixSet* prefixes):
    cdef _Table4 table = _Table4.__new__(_Table4)
    cdef size_t n = 0, count = 0
    cdef Interval* intervals = NULL
    cdef Prefix* sorted_prefixes = sorted_copy(prefixes, IPV4, 32, &n)
    if sorted_prefixes == NULL:
        raise MemoryError
    try:
        intervals = intervals_of(sorted_prefixes, n, IPV4, &count)
        if radix4_build(&table.radix, intervals, count):
            raise MemoryError
    finally:
        free(intervals)
        free(sorted_prefixes)
    return table


cdef _Table6 build_table6(const PrefixSet* prefixes):
    """The sort puts no order on lengths across addresses, so hosts are taken out one by one."""
    cdef _Table6 table = _Table6.__new__(_Table6)
    cdef size_t n = 0, count = 0, networks = 0, hosts = 0, i
    cdef Interval* intervals = NULL
    cdef Prefix* host_prefixes = NULL
    cdef Prefix* sorted_prefixes = sorted_copy(prefixes, IPV6, 128, &n)
    if sorted_prefixes == NULL:
        raise MemoryError
    try:
        host_prefixes = <Prefix*> malloc((prefixes.ipv6[128] + 1) * sizeof(Prefix))
        if host_prefixes == NULL:
            raise MemoryError
        for i in range(n):
            if sorted_prefixes[i].length == 128:
                host_prefixes[hosts] = sorted_prefixes[i]
                hosts += 1
            else:
                sorted_prefixes[networks] = sorted_prefixes[i]
                networks += 1
        intervals = intervals_of(sorted_prefixes, networks, IPV6, &count)
        if radix6_build(&table.radix, host_prefixes, hosts, intervals, count):
            raise MemoryError
    finally:
        free(intervals)
        free(host_prefixes)
        free(sorted_prefixes)
    return table


cdef inline int32_t leaf_value(uint32_t entry, int32_t missing) noexcept nogil:
    return <int32_t> (entry - 1) if entry else missing


cdef void lookup_column4(
    const uint32_t* cells, const uint8_t* column, uint8_t* out, size_t rows, int32_t missing
) noexcept nogil:
    """memcpy: a foreign buffer may be contiguous and yet unaligned."""
    cdef size_t i
    cdef uint32_t address
    cdef int32_t value
    for i in range(rows):
        memcpy(&address, column + 4 * i, 4)
        value = leaf_value(radix4_lookup(cells, address), missing)
        memcpy(out + 4 * i, &value, 4)


cdef void lookup_column6(
    const uint32_t* cells, const Radix6* radix, const uint8_t* column, uint8_t* out, size_t rows,
    int32_t missing,
) noexcept nogil:
    cdef size_t i
    cdef Address address
    cdef int32_t value
    for i in range(rows):
        unpack_ipv6(column + 16 * i, &address)
        if is_mapped(&address):
            value = leaf_value(radix4_lookup(cells, <uint32_t> address.lo), missing)
        else:
            value = leaf_value(radix6_lookup(radix, address.hi, address.lo), missing)
        memcpy(out + 4 * i, &value, 4)


cdef bint native_integer(const Py_buffer* view, bytes codes):
    """Four bytes of one of the struct codes, in the byte order of this machine."""
    cdef bytes text = b"B" if view.format == NULL else <bytes> view.format
    if view.itemsize != 4 or len(text) == 0:
        return False
    if text[:1] in (b"@", b"=", b"<" if sys.byteorder == "little" else b">"):
        text = text[1:]
    return len(text) == 1 and text in codes


cdef bint ipv4_column(const Py_buffer* view) except -1:
    """True for (n,) uint32, False for (n, 16) uint8."""
    if view.ndim == 1 and native_integer(view, b"IL"):
        return True
    if (
        view.ndim == 2 and view.shape[1] == 16 and view.itemsize == 1
        and (view.format == NULL or (<bytes> view.format) in (b"B", b"=B", b"@B"))
    ):
        return False
    raise ValueError(
        "a column of addresses is a contiguous buffer of uint32 with shape (n,), in native byte "
        "order (IPv4), or of uint8 with shape (n, 16) (IPv6)"
    )
