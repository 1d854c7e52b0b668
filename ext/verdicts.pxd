# cython: language_level=3, cdivision=True
"""From two leaves, a protocol and a port to a verdict; portable, one row at a time.

In: leaves as `columns.pxd` resolves them, a protocol number and a port in host order. Out: DENY,
ALLOW, INVALID (an end that is no address, or two families), or SAME: the ends have one leaf and
what policies say is no, so it is ALLOW if they are one address, a pod's own, and DENY otherwise.
Nothing here allocates or needs the GIL.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t
from libc.string cimport memcpy

cdef extern from "tables.h" nogil:
    ctypedef struct NetpolcTables:
        const uint32_t* cells
        const uint16_t* pairs
        uint32_t pair_base[2]
        uint32_t pair_stride[2]
        const uint32_t* roles
        const uint32_t* egress_index
        const uint16_t* egress_blocks
        const uint32_t* ingress_index
        const uint16_t* ingress_blocks
        const uint16_t* atoms
        const uint32_t* bits
        uint32_t words
        uint32_t class_bits

    const uint8_t DENY "NETPOLC_DENY"
    const uint8_t ALLOW "NETPOLC_ALLOW"
    const uint8_t INVALID "NETPOLC_INVALID"
    const uint8_t SAME "NETPOLC_SAME"
    const uint32_t LEAF_IPV6 "NETPOLC_IPV6"
    const uint32_t REST "NETPOLC_REST"

    int netpolc_has_avx512() noexcept
    size_t netpolc_lookup4_avx512(
        const uint32_t* cells, const uint8_t* column, size_t rows, uint32_t* out
    ) noexcept
    size_t netpolc_judge_avx512(
        const NetpolcTables* t, const uint32_t* sources, const uint32_t* destinations,
        const uint8_t* protocols, const uint8_t* ports, size_t rows, uint8_t* out, size_t* same
    ) noexcept

cdef enum:
    # What the processor can do, each including those before it.
    SCALAR = 0
    SSE41 = 1
    AVX512 = 2


cdef inline uint32_t port_index(uint8_t protocol, uint16_t port) noexcept nogil:
    """The cell of the atom table; the port of a protocol that has none is not looked at.

    Sums of comparisons instead of branches: protocols come in no order that could be predicted.
    """
    cdef uint32_t udp = protocol == 17, sctp = protocol == 132
    cdef uint32_t has_ports = (protocol == 6) | udp | sctp
    return (port + (udp << 16) + (sctp << 17)) * has_ports + REST * (1 - has_ports)


cdef inline bint set_allows(const NetpolcTables* t, uint32_t set, uint32_t atom) noexcept nogil:
    return t.bits[<size_t> set * t.words + (atom >> 5)] >> (atom & 31) & 1


cdef inline bint classes_allow(
    const NetpolcTables* t, uint32_t source, uint32_t destination, uint32_t atom
) noexcept nogil:
    """`source` keeps its family bit, which chooses the square."""
    cdef uint32_t mask = (1U << t.class_bits) - 1
    cdef uint32_t ipv6 = source >> 31
    cdef const uint32_t* from_
    cdef const uint32_t* to
    cdef uint32_t block
    cdef bint allowed
    source &= mask
    destination &= mask
    if t.pairs != NULL:
        return set_allows(
            t, t.pairs[t.pair_base[ipv6] + source * t.pair_stride[ipv6] + destination], atom
        )
    from_ = t.roles + 4 * <size_t> source
    to = t.roles + 4 * <size_t> destination
    block = t.egress_index[from_[0] + (to[1] >> 6)]
    allowed = set_allows(t, t.egress_blocks[(<size_t> block << 6) + (to[1] & 63)], atom)
    block = t.ingress_index[to[2] + (from_[3] >> 6)]
    # Both are loaded whatever the first says: a wrong guess costs more than a load.
    return allowed & set_allows(
        t, t.ingress_blocks[(<size_t> block << 6) + (from_[3] & 63)], atom
    )


cdef inline uint8_t judge_one(
    const NetpolcTables* t, uint32_t source, uint32_t destination, uint8_t protocol, uint16_t port
) noexcept nogil:
    cdef uint32_t differ = source ^ destination
    if source == 0 or destination == 0 or differ & LEAF_IPV6:
        return INVALID
    cdef uint8_t code = classes_allow(t, source, destination, t.atoms[port_index(protocol, port)])
    # A host's number is odd, its pods' is that without the last bit (endpoints.py).
    code |= differ >> t.class_bits == 1
    return SAME if differ == 0 and code == DENY else code


cdef inline size_t judge_rows(
    const NetpolcTables* t, int simd, const uint32_t* sources, const uint32_t* destinations,
    const uint8_t* protocols, const uint8_t* ports, size_t rows, uint8_t* out
) noexcept nogil:
    """Judge a few rows; returns how many are SAME. `ports` may be unaligned."""
    cdef size_t same = 0, i = 0
    cdef uint16_t port
    if simd == AVX512:
        i = netpolc_judge_avx512(
            t, sources, destinations, protocols, ports, rows, out, &same
        )
    while i < rows:
        memcpy(&port, ports + 2 * i, 2)
        out[i] = judge_one(t, sources[i], destinations[i], protocols[i], port)
        same += out[i] == SAME
        i += 1
    return same
