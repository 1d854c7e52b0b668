# Many addresses at once: numbers on the address line to halves, and halves to text.

from cpython.bytes cimport PyBytes_FromStringAndSize

from address cimport write_ipv4, write_ipv6

# Where the IPv6 half of the address line begins.
cdef object IPV6_LINE = 1 << 128
cdef object LOW_HALF = (1 << 64) - 1


def address_lines(list addresses not None):
    """Rows of uint64: the family, the high and the low half of each address."""
    cdef Py_ssize_t i, n = len(addresses)
    cdef bytes found = PyBytes_FromStringAndSize(NULL, 24 * n)
    cdef uint64_t* row = <uint64_t*> PyBytes_AS_STRING(found)
    cdef long long small
    cdef int overflow
    for i in range(n):
        address = addresses[i]
        small = PyLong_AsLongLongAndOverflow(address, &overflow)
        if overflow:
            row[0], row[1], row[2] = IPV6, address - IPV6_LINE >> 64, address & LOW_HALF
        else:
            row[0], row[1], row[2] = IPV4, 0, <uint64_t> small
        row += 3
    return found


def address_text(const uint64_t[:, ::1] lines not None):
    """The canonical text of addresses, a line each, without a newline at the end."""
    cdef Py_ssize_t i, n = lines.shape[0]
    cdef bytes text = PyBytes_FromStringAndSize(NULL, PREFIX_TEXT_SIZE * n)
    cdef char* start = PyBytes_AS_STRING(text)
    cdef char* out = start
    for i in range(n):
        if i:
            out[0] = c'\n'
            out += 1
        if lines[i, 0] == IPV4:
            out += write_ipv4(<uint32_t> lines[i, 2], out)
        else:
            out += write_ipv6(lines[i, 1], lines[i, 2], out)
    return text[:out - start]
