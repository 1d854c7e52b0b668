# cython: language_level=3, cdivision=True
"""Text and packed bytes in, addresses and prefixes as integers out, and back to text.

Everything works on a pointer and a length, needs no Python object and no GIL, and reads no byte
past the length given. Refused, each with its own fault: leading zeros in an IPv4 octet or a prefix
length (octal in some parsers), scope ids, host bits, IPv4-mapped prefixes, numbers out of range.

An IPv4 address is `hi = 0, lo = address`; an IPv6 address is its two halves in host order.
"""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr

cdef struct Address:
    uint64_t hi
    uint64_t lo
    uint8_t family

cdef enum:
    IPV4 = 4
    IPV6 = 6
    # "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff/128" and a margin.
    PREFIX_TEXT_SIZE = 64

cdef enum Fault:
    FAULT_NONE = 0
    FAULT_SYNTAX = 1
    FAULT_LEADING_ZERO = 2
    FAULT_OCTET = 3
    FAULT_SCOPE = 4
    FAULT_LENGTH_SYNTAX = 5
    FAULT_LENGTH_ZERO = 6
    FAULT_LENGTH_RANGE = 7
    FAULT_HOST_BITS = 8
    FAULT_MAPPED = 9


cdef inline int family_bits(uint8_t family) noexcept nogil:
    return 32 if family == IPV4 else 128


cdef inline int parse_ipv4(const uint8_t* text, size_t size, uint32_t* out) noexcept nogil:
    """Four decimal octets (RFC 6943, section 3.1.1, "strict" form) and nothing else."""
    cdef uint32_t address = 0
    cdef uint32_t octet, digit
    cdef size_t i = 0
    cdef int k
    for k in range(4):
        if k:
            if i >= size or text[i] != c'.':
                return FAULT_SYNTAX
            i += 1
        if i >= size:
            return FAULT_SYNTAX
        octet = <uint32_t> text[i] - 48
        if octet > 9:
            return FAULT_SYNTAX
        i += 1
        while i < size:
            digit = <uint32_t> text[i] - 48
            if digit > 9:
                break
            if octet == 0:
                return FAULT_LEADING_ZERO
            octet = octet * 10 + digit
            if octet > 255:
                return FAULT_OCTET
            i += 1
        address = (address << 8) | octet
    if i != size:
        return FAULT_SYNTAX
    out[0] = address
    return FAULT_NONE


cdef inline uint32_t hex_digit(uint8_t character) noexcept nogil:
    """Sixteen and more for anything that is not a hexadecimal digit."""
    cdef uint32_t digit = <uint32_t> character - 48
    if digit <= 9:
        return digit
    digit = (<uint32_t> character | 32) - 97
    return digit + 10 if digit <= 5 else 16


cdef inline int parse_ipv6(const uint8_t* text, size_t size, Address* out) noexcept nogil:
    """RFC 4291, section 2.2, forms 1 to 3; `::` stands for at least one group."""
    cdef uint32_t groups[8]
    cdef uint32_t digit, group, tail
    cdef size_t i = 0, start
    cdef int count = 0, gap = -1, k, fault
    cdef uint64_t halves[2]
    if size >= 2 and text[0] == c':' and text[1] == c':':
        gap = 0
        i = 2
    while i < size or gap < 0:
        if count == 8:
            return FAULT_SYNTAX
        start = i
        group = 0
        while i < size and i - start < 4:
            digit = hex_digit(text[i])
            if digit > 15:
                break
            group = (group << 4) | digit
            i += 1
        if i == start:
            return FAULT_SYNTAX
        if i < size and text[i] == c'.':
            if count > 6:
                return FAULT_SYNTAX
            fault = parse_ipv4(text + start, size - start, &tail)
            if fault:
                return fault
            groups[count] = tail >> 16
            groups[count + 1] = tail & 0xffff
            count += 2
            break
        groups[count] = group
        count += 1
        if i == size:
            break
        if text[i] != c':' or i + 1 == size:
            return FAULT_SYNTAX
        i += 1
        if text[i] == c':':
            if gap >= 0:
                return FAULT_SYNTAX
            gap = count
            i += 1
    if count != 8 if gap < 0 else count == 8:
        return FAULT_SYNTAX
    halves[0] = 0
    halves[1] = 0
    for k in range(count):
        # Groups after the gap move to the end.
        start = k if gap < 0 or k < gap else k + 8 - count
        halves[start >> 2] |= <uint64_t> groups[k] << (48 - 16 * (start & 3))
    out.hi = halves[0]
    out.lo = halves[1]
    out.family = IPV6
    return FAULT_NONE


cdef inline int parse_address(const uint8_t* text, size_t size, Address* out) noexcept nogil:
    """Either family; IPv4-mapped IPv6 stays IPv6 (see `unmap`)."""
    cdef uint32_t address
    cdef int fault = parse_ipv4(text, size, &address)
    if fault == FAULT_NONE:
        out.hi = 0
        out.lo = address
        out.family = IPV4
        return FAULT_NONE
    if size and memchr(text, c'%', size) != NULL:
        return FAULT_SCOPE
    if size and memchr(text, c':', size) != NULL:
        return parse_ipv6(text, size, out)
    return fault


cdef inline bint is_mapped(const Address* address) noexcept nogil:
    return address.family == IPV6 and address.hi == 0 and (address.lo >> 32) == 0xffff


cdef inline void unmap(Address* address) noexcept nogil:
    """::ffff:a.b.c.d names the IPv4 host a.b.c.d (RFC 4291, section 2.5.5.2)."""
    if is_mapped(address):
        address.lo &= 0xffffffffU
        address.family = IPV4


cdef inline uint64_t load_be64(const uint8_t* data) noexcept nogil:
    return (
        (<uint64_t> data[0] << 56) | (<uint64_t> data[1] << 48)
        | (<uint64_t> data[2] << 40) | (<uint64_t> data[3] << 32)
        | (<uint64_t> data[4] << 24) | (<uint64_t> data[5] << 16)
        | (<uint64_t> data[6] << 8) | <uint64_t> data[7]
    )


cdef inline void unpack_ipv6(const uint8_t* data, Address* out) noexcept nogil:
    out.hi = load_be64(data)
    out.lo = load_be64(data + 8)
    out.family = IPV6


cdef inline void unpack_ipv4(const uint8_t* data, Address* out) noexcept nogil:
    out.hi = 0
    out.lo = (
        (<uint64_t> data[0] << 24) | (<uint64_t> data[1] << 16)
        | (<uint64_t> data[2] << 8) | <uint64_t> data[3]
    )
    out.family = IPV4


cdef inline void prefix_mask(
    uint8_t family, int length, uint64_t* hi, uint64_t* lo
) noexcept nogil:
    """The network mask in the halves of `Address`; shifts stay below the width of the type."""
    cdef uint64_t ones = ~(<uint64_t> 0)
    if family == IPV4:
        hi[0] = 0
        lo[0] = (ones << (32 - length)) & 0xffffffffU
    elif length <= 64:
        hi[0] = 0 if length == 0 else ones << (64 - length)
        lo[0] = 0
    else:
        hi[0] = ones
        lo[0] = ones << (128 - length)


cdef inline int check_prefix(const Address* address, int length) noexcept nogil:
    cdef uint64_t hi, lo
    if length < 0 or length > family_bits(address.family):
        return FAULT_LENGTH_RANGE
    prefix_mask(address.family, length, &hi, &lo)
    if address.hi & ~hi or address.lo & ~lo:
        return FAULT_HOST_BITS
    # Lookups turn mapped addresses into IPv4, so such a prefix could never match.
    if is_mapped(address):
        return FAULT_MAPPED
    return FAULT_NONE


cdef inline int parse_prefix(
    const uint8_t* text, size_t size, Address* out, int* length
) noexcept nogil:
    """`address/length`, or a bare address for the prefix that holds it alone."""
    cdef const uint8_t* slash = NULL
    cdef size_t width = size, digits, i
    cdef uint32_t digit, number = 0
    cdef int fault
    if size:
        slash = <const uint8_t*> memchr(text, c'/', size)
    if slash != NULL:
        width = slash - text
    fault = parse_address(text, width, out)
    if fault:
        return fault
    if slash == NULL:
        length[0] = family_bits(out.family)
        return check_prefix(out, length[0])
    digits = size - width - 1
    if digits == 0:
        return FAULT_LENGTH_SYNTAX
    for i in range(digits):
        digit = <uint32_t> slash[1 + i] - 48
        if digit > 9:
            return FAULT_LENGTH_SYNTAX
        # Past 1000 the number is out of range whatever follows.
        if number < 1000:
            number = number * 10 + digit
    if digits > 1 and slash[1] == c'0':
        return FAULT_LENGTH_ZERO
    length[0] = <int> number
    return check_prefix(out, length[0])


cdef inline size_t write_decimal(uint32_t number, char* out) noexcept nogil:
    """At most three digits: an octet or a prefix length."""
    cdef size_t n = 0
    if number >= 100:
        out[n] = <char> (48 + number // 100)
        n += 1
    if number >= 10:
        out[n] = <char> (48 + number // 10 % 10)
        n += 1
    out[n] = <char> (48 + number % 10)
    return n + 1


cdef inline size_t write_ipv4(uint32_t address, char* out) noexcept nogil:
    cdef size_t n = 0
    cdef int k
    for k in range(4):
        if k:
            out[n] = c'.'
            n += 1
        n += write_decimal((address >> (24 - 8 * k)) & 255, out + n)
    return n


cdef inline size_t write_ipv6(uint64_t hi, uint64_t lo, char* out) noexcept nogil:
    """RFC 5952, section 4: lower case, no leading zeros, the first longest run of zeros as `::`."""
    cdef const char* digits = b"0123456789abcdef"
    cdef uint32_t groups[8]
    cdef int k, run = 0, best = -1, best_run = 1
    cdef int shift
    cdef size_t n = 0
    for k in range(8):
        groups[k] = <uint32_t> ((hi if k < 4 else lo) >> (48 - 16 * (k & 3))) & 0xffff
        run = run + 1 if groups[k] == 0 else 0
        if run > best_run:
            best = k - run + 1
            best_run = run
    k = 0
    while k < 8:
        if k == best:
            out[n] = c':'
            out[n + 1] = c':'
            n += 2
            k += best_run
            continue
        if k and out[n - 1] != c':':
            out[n] = c':'
            n += 1
        shift = 12
        while shift and groups[k] >> shift == 0:
            shift -= 4
        while shift >= 0:
            out[n] = digits[(groups[k] >> shift) & 15]
            n += 1
            shift -= 4
        k += 1
    return n


cdef inline size_t write_prefix(
    uint8_t family, uint64_t hi, uint64_t lo, int length, char* out
) noexcept nogil:
    cdef size_t n
    if family == IPV4:
        n = write_ipv4(<uint32_t> lo, out)
    else:
        n = write_ipv6(hi, lo, out)
    out[n] = c'/'
    return n + 1 + write_decimal(<uint32_t> length, out + n + 1)
