# Python arguments in, C addresses and prefixes out; a ValueError or TypeError that cites the
# argument is what a refused one raises.

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_Check, PyBytes_GET_SIZE
from cpython.long cimport PyLong_AsLongLongAndOverflow, PyLong_Check, PyLong_CheckExact
from cpython.unicode cimport PyUnicode_Check
from libc.stdint cimport int32_t, uint8_t, uint32_t, uint64_t

from address cimport (
    FAULT_HOST_BITS, FAULT_LEADING_ZERO, FAULT_LENGTH_RANGE, FAULT_LENGTH_SYNTAX,
    FAULT_LENGTH_ZERO, FAULT_MAPPED, FAULT_NONE, FAULT_OCTET, FAULT_SCOPE, FAULT_SYNTAX, IPV4,
    IPV6, Address, check_prefix, family_bits, parse_address, parse_prefix, unmap, unpack_ipv4,
    unpack_ipv6,
)
from prefixes cimport Prefix

import ipaddress
import operator

cdef extern from "Python.h":
    bint PyUnicode_IS_ASCII(object text)
    void* PyUnicode_DATA(object text)
    Py_ssize_t PyUnicode_GET_LENGTH(object text)

cdef tuple ADDRESS_TYPES = (ipaddress.IPv4Address, ipaddress.IPv6Address)
cdef tuple NETWORK_TYPES = (ipaddress.IPv4Network, ipaddress.IPv6Network)
# A subclass of the address types that carries a network: which of the two is meant is unclear.
cdef tuple INTERFACE_TYPES = (ipaddress.IPv4Interface, ipaddress.IPv6Interface)

cdef dict FAULTS = {
    FAULT_SYNTAX: "not an IPv4 or IPv6 address",
    FAULT_LEADING_ZERO: "leading zeros in an IPv4 address are ambiguous",
    FAULT_OCTET: "an IPv4 octet is above 255",
    FAULT_SCOPE: "scope ids are not supported",
    FAULT_LENGTH_SYNTAX: "the prefix length must be a decimal number",
    FAULT_LENGTH_ZERO: "the prefix length must not have leading zeros",
    FAULT_LENGTH_RANGE: "the prefix length is above 32 (IPv4) or 128 (IPv6)",
    FAULT_HOST_BITS: "bits are set beyond the prefix length",
    FAULT_MAPPED: "an IPv4-mapped IPv6 prefix: use the IPv4 prefix",
}


cdef int refuse(object argument, int fault) except -1:
    raise ValueError(f"{argument!r}: {FAULTS[fault]}")


cdef int refuse_prefix(object prefix, int fault) except -1:
    """`refuse`, with the whole prefix where octets are left out at the end, as in `10/8`."""
    cdef Address address
    cdef int length = 0
    cdef bytes whole
    if isinstance(prefix, str) and fault == FAULT_SYNTAX:
        octets, slash, digits = prefix.partition("/")
        octets = octets.split(".")
        if slash and len(octets) < 4:
            whole = f"{'.'.join(octets + ['0'] * (4 - len(octets)))}/{digits}".encode()
            if parse_prefix(
                <const uint8_t*> PyBytes_AS_STRING(whole), <size_t> len(whole), &address, &length
            ) == FAULT_NONE:
                raise ValueError(f"{prefix!r}: {FAULTS[fault]}: write {whole.decode()}")
    return refuse(prefix, fault)


cdef int read_integer(object number, Address* out) except -1:
    """Below 2**32 an IPv4 address, from there to 2**128 - 1 an IPv6 address."""
    cdef int overflow = 0
    cdef long long small = PyLong_AsLongLongAndOverflow(number, &overflow)
    cdef bytes packed
    if overflow == 0 and 0 <= small:
        out.hi = 0
        out.lo = <uint64_t> small
        out.family = IPV4 if small <= 0xffffffffU else IPV6
        return 0
    if overflow <= 0 or number >> 128:
        raise ValueError(f"{number!r}: an address is an integer from 0 to 2**128 - 1")
    packed = number.to_bytes(16, "big")
    unpack_ipv6(<const uint8_t*> PyBytes_AS_STRING(packed), out)
    return 0


cdef int read_bytes(object packed, Address* out) except -1:
    cdef const uint8_t* data = <const uint8_t*> PyBytes_AS_STRING(packed)
    cdef Py_ssize_t size = PyBytes_GET_SIZE(packed)
    if size == 4:
        unpack_ipv4(data, out)
    elif size == 16:
        unpack_ipv6(data, out)
    else:
        raise ValueError(f"{packed!r}: a packed address has 4 or 16 bytes, not {size}")
    return 0


cdef int read_object(object address, Address* out) except -1:
    """What is neither text, nor bytes, nor exactly an int."""
    if isinstance(address, ADDRESS_TYPES) and not isinstance(address, INTERFACE_TYPES):
        if getattr(address, "scope_id", None) is not None:
            refuse(address, FAULT_SCOPE)
        return read_bytes(address.packed, out)
    if not isinstance(address, bool) and hasattr(address, "__index__"):
        return read_integer(operator.index(address), out)
    raise TypeError(
        "expected a str, an int, bytes or an object of ipaddress, "
        f"not {type(address).__name__}"
    )


cdef inline int read_address(object address, Address* out) except -1:
    """Any spelling of an address, IPv4-mapped IPv6 turned into IPv4."""
    cdef int fault
    if PyUnicode_Check(address):
        if not PyUnicode_IS_ASCII(address):
            return refuse(address, FAULT_SYNTAX)
        fault = parse_address(
            <const uint8_t*> PyUnicode_DATA(address), <size_t> PyUnicode_GET_LENGTH(address), out
        )
        if fault:
            return refuse(address, fault)
    elif PyLong_CheckExact(address):
        read_integer(address, out)
    elif PyBytes_Check(address):
        read_bytes(address, out)
    else:
        read_object(address, out)
    unmap(out)
    return 0


cdef int read_prefix(object prefix, Prefix* out) except -1:
    """Any spelling of a prefix; an address alone is the prefix that holds it alone."""
    cdef Address address
    cdef int length = -1
    cdef int fault
    if PyUnicode_Check(prefix):
        if not PyUnicode_IS_ASCII(prefix):
            return refuse(prefix, FAULT_SYNTAX)
        fault = parse_prefix(
            <const uint8_t*> PyUnicode_DATA(prefix), <size_t> PyUnicode_GET_LENGTH(prefix),
            &address, &length,
        )
    else:
        if isinstance(prefix, NETWORK_TYPES):
            read_object(prefix.network_address, &address)
            length = prefix.prefixlen
        elif PyBytes_Check(prefix):
            read_bytes(prefix, &address)
        elif PyLong_CheckExact(prefix):
            read_integer(prefix, &address)
        else:
            read_object(prefix, &address)
        if length < 0:
            length = family_bits(address.family)
        fault = check_prefix(&address, length)
    if fault:
        return refuse_prefix(prefix, fault)
    out.hi = address.hi
    out.lo = address.lo
    out.family = address.family
    out.length = <uint8_t> length
    out.unused = 0
    out.entry = 0
    return 0


cdef uint32_t read_entry(object value) except 0:
    """A value as the table cell of a leaf."""
    cdef int overflow = 0
    cdef long long number
    if not PyLong_Check(value):
        value = operator.index(value)
    number = PyLong_AsLongLongAndOverflow(value, &overflow)
    if overflow or not 0 <= number <= 0x7fffffff:
        raise ValueError(f"{value!r}: a value is an integer from 0 to 2**31 - 1")
    return <uint32_t> number + 1
