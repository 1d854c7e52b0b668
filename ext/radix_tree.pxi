# RadixTree: a longest-prefix table of both families, on its own or beside the policy matcher.

from array import array

from cpython cimport array as c_array
from cpython.buffer cimport (
    PyBUF_C_CONTIGUOUS, PyBUF_FORMAT, PyBUF_WRITABLE, PyBuffer_Release, PyObject_GetBuffer,
)
from cython cimport final

import sys
from collections.abc import Mapping
from pickle import PickleBuffer

from prefixes cimport (
    LEAF_MAX, PrefixSet, find_prefix, free_prefixes, insert_prefix, longest_prefix, remove_prefix,
)
from radix4 cimport radix4_lookup
from radix6 cimport radix6_lookup

cdef c_array.array INT32 = array("i")
# The layout of `Prefix`, which is what a pickle carries.
cdef int PICKLE_VERSION = 1


@final
cdef class RadixTree:
    """Prefixes of both families, each with a value from 0 to 2**31 - 1; longest-prefix lookups.

    A prefix is text ("10.0.0.0/8", "2001:db8::/32"), an `ipaddress` network, or any spelling of
    an address, which stands for the /32 or /128 that holds it alone. An address is text, an
    `ipaddress` address, 4 or 16 packed bytes in network order, or an int: below 2**32 an IPv4
    address, otherwise IPv6, so IPv6 addresses below ::1:0:0 have no spelling as an int.
    IPv4-mapped IPv6 addresses are looked up as IPv4.

    `ValueError` and `TypeError` cite what is no address, prefix or value.

    The first lookup of a family after a change rebuilds the tables of that family.
    """

    cdef PrefixSet prefixes
    # None: stale, or never built.
    cdef _Table4 table4
    cdef _Table6 table6

    def __init__(self, items=()):
        self.update(items)

    def __dealloc__(self):
        free_prefixes(&self.prefixes)

    cdef void forget(self, uint8_t family) noexcept:
        if family == IPV4:
            self.table4 = None
        else:
            self.table6 = None

    cdef uint32_t find(self, object address) except? 0:
        cdef Address key
        cdef int overflow = 0
        cdef long long number
        if PyLong_CheckExact(address) and self.table4 is not None:
            # What an int costs is mostly the call: this way takes no other.
            number = PyLong_AsLongLongAndOverflow(address, &overflow)
            if overflow == 0 and 0 <= number <= 0xffffffffU:
                return radix4_lookup(self.table4.radix.cells, <uint32_t> number)
        read_address(address, &key)
        if key.family == IPV4:
            if self.table4 is None:
                self.table4 = build_table4(&self.prefixes)
            return radix4_lookup(self.table4.radix.cells, <uint32_t> key.lo)
        if self.table6 is None:
            self.table6 = build_table6(&self.prefixes)
        return radix6_lookup(&self.table6.radix, key.hi, key.lo)

    cdef int put(self, object prefix, object value) except -1:
        cdef Prefix item
        read_prefix(prefix, &item)
        item.entry = read_entry(value)
        if insert_prefix(&self.prefixes, &item):
            raise MemoryError
        self.forget(item.family)
        return 0

    def insert(self, prefix, value):
        """Add a prefix; one that is there already takes the new value."""
        self.put(prefix, value)

    def update(self, items):
        """Insert (prefix, value) pairs; when one is refused, those before it stay."""
        if isinstance(items, (str, bytes)):
            raise TypeError(f"{items!r} is no list of pairs: give [(prefix, value)]")
        if isinstance(items, (Mapping, RadixTree)):
            raise TypeError(f"a {type(items).__name__} is no list of pairs: give its items()")
        for prefix, value in items:
            self.put(prefix, value)

    def delete(self, prefix):
        """Remove exactly this prefix; KeyError when it is not there."""
        cdef Prefix key
        read_prefix(prefix, &key)
        if not remove_prefix(&self.prefixes, &key):
            raise KeyError(prefix)
        self.forget(key.family)

    def get(self, prefix, default=None):
        """The value of exactly this prefix."""
        cdef Prefix key
        cdef const Prefix* found
        read_prefix(prefix, &key)
        found = find_prefix(&self.prefixes, &key)
        return default if found == NULL else found.entry - 1

    def lookup(self, address, default=None):
        """The value of the longest prefix that holds the address."""
        cdef uint32_t entry = self.find(address)
        return entry - 1 if entry else default

    def lookup_prefix(self, address):
        """The longest prefix that holds the address and its value, or None.

        Asks the prefixes and not the tables: slower than `lookup`, but never rebuilds.
        """
        cdef Address key
        cdef const Prefix* found
        read_address(address, &key)
        found = longest_prefix(&self.prefixes, key.family, key.hi, key.lo)
        return None if found == NULL else (prefix_text(found), found.entry - 1)

    def lookup_batch(self, column, out=None, missing=-1):
        """Look up a column of addresses without the GIL; the result is int32, one a row.

        `column` is a contiguous buffer of uint32 in host order, shape (n,), for IPv4, or of uint8
        in network order, shape (n, 16), for IPv6. `out` is a writable contiguous int32 buffer of
        n rows, returned as it is; without it the result is a new `array.array("i")`. Rows that no
        prefix holds get `missing`, an int32.
        """
        cdef Py_buffer source, target
        cdef int32_t absent = missing
        cdef bint ipv4
        PyObject_GetBuffer(column, &source, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS)
        try:
            ipv4 = ipv4_column(&source)
            if out is None:
                out = c_array.clone(INT32, source.shape[0], zero=False)
            PyObject_GetBuffer(
                out, &target, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | PyBUF_WRITABLE
            )
            try:
                if (
                    target.ndim != 1 or target.shape[0] != source.shape[0]
                    or not native_integer(&target, b"il")
                ):
                    raise ValueError(
                        "out must be a contiguous int32 buffer with one row for each address"
                    )
                self.fill_column(&source, &target, ipv4, absent)
            finally:
                PyBuffer_Release(&target)
        finally:
            PyBuffer_Release(&source)
        return out

    cdef int fill_column(
        self, const Py_buffer* source, Py_buffer* target, bint ipv4, int32_t missing
    ) except -1:
        # Mapped rows of an IPv6 column need the IPv4 table too.
        cdef _Table4 table4 = self.table4
        cdef _Table6 table6 = self.table6
        cdef size_t rows = <size_t> source.shape[0]
        if table4 is None:
            table4 = self.table4 = build_table4(&self.prefixes)
        if table6 is None and not ipv4:
            table6 = self.table6 = build_table6(&self.prefixes)
        with nogil:
            if ipv4:
                lookup_column4(
                    table4.radix.cells, <const uint8_t*> source.buf, <uint8_t*> target.buf, rows,
                    missing,
                )
            else:
                lookup_column6(
                    table4.radix.cells, &table6.radix, <const uint8_t*> source.buf,
                    <uint8_t*> target.buf, rows, missing,
                )
        return 0

    def items(self):
        """(prefix, value) pairs, IPv4 first, by address and then by length."""
        return iterate(&self.prefixes, True)

    def __iter__(self):
        return iterate(&self.prefixes, False)

    def __len__(self):
        return <Py_ssize_t> self.prefixes.size

    def __contains__(self, prefix):
        cdef Prefix key
        read_prefix(prefix, &key)
        return find_prefix(&self.prefixes, &key) != NULL

    def __reduce_ex__(self, protocol):
        """The sorted prefixes as one buffer, out of band from protocol 5 on."""
        cdef _PrefixIterator copy = iterate(&self.prefixes, False)
        cdef object state = (<char*> copy.prefixes)[:copy.size * sizeof(Prefix)]
        if protocol >= 5:
            state = PickleBuffer(state)
        return _restore, (PICKLE_VERSION, sys.byteorder, state)


def _restore(version, byteorder, state):
    """A tree from its pickled state; ValueError when another machine or version wrote it."""
    cdef bytes data = bytes(state)
    cdef const Prefix* items = <const Prefix*> PyBytes_AS_STRING(data)
    cdef size_t n = <size_t> len(data) // sizeof(Prefix), i
    cdef RadixTree tree = RadixTree.__new__(RadixTree)
    cdef Address address
    cdef Prefix item
    if version != PICKLE_VERSION or byteorder != sys.byteorder or len(data) % sizeof(Prefix):
        raise ValueError("a RadixTree pickled by another version or byte order")
    for i in range(n):
        item = items[i]
        address.hi = item.hi
        address.lo = item.lo
        address.family = item.family
        if (
            item.family not in (IPV4, IPV6) or not 1 <= item.entry <= LEAF_MAX
            or (item.family == IPV4 and (item.hi or item.lo >> 32))
            or check_prefix(&address, item.length)
        ):
            raise ValueError("the pickled state of a RadixTree is damaged")
        if insert_prefix(&tree.prefixes, &item):
            raise MemoryError
    return tree
