# cython: language_level=3, cdivision=True
"""From two leaves, a protocol and a port to a verdict: one, or a few rows (tables.h).

In: leaves as `columns.pxd` resolves them, a protocol number and a port in host order. Out: DENY,
ALLOW, INVALID (an end that is no address, or two families), or SAME: the ends have one leaf and
what policies say is no, so it is ALLOW if they are one address, a pod's own, and DENY otherwise.
Nothing here allocates or needs the GIL.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

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

    int netpolc_has_avx2() noexcept
    int netpolc_has_avx512() noexcept
    void netpolc_lookup4_avx2(
        const uint32_t* cells, const uint8_t* column, size_t rows, uint32_t* leaves
    ) noexcept
    void netpolc_lookup4_avx512(
        const uint32_t* cells, const uint8_t* column, size_t rows, uint32_t* leaves
    ) noexcept
    uint32_t netpolc_port_cell(uint32_t protocol, uint32_t port) noexcept
    uint32_t netpolc_pair_cell(
        const NetpolcTables* t, uint32_t source, uint32_t destination
    ) noexcept
    uint32_t netpolc_allows(
        const NetpolcTables* t, uint32_t source, uint32_t destination, uint32_t pair,
        uint32_t atom
    ) noexcept
    uint32_t netpolc_code(
        uint32_t class_bits, uint32_t source, uint32_t destination, uint32_t allowed
    ) noexcept
    size_t netpolc_judge(
        const NetpolcTables* t, const uint32_t* sources, const uint32_t* destinations,
        const uint8_t* protocols, const uint8_t* ports, size_t rows, uint8_t* out
    ) noexcept
    size_t netpolc_judge_avx2(
        const NetpolcTables* t, const uint32_t* sources, const uint32_t* destinations,
        const uint8_t* protocols, const uint8_t* ports, size_t rows, uint8_t* out
    ) noexcept
    size_t netpolc_judge_avx512(
        const NetpolcTables* t, const uint32_t* sources, const uint32_t* destinations,
        const uint8_t* protocols, const uint8_t* ports, size_t rows, uint8_t* out
    ) noexcept

cdef enum:
    # What the processor can do, each including those before it.
    SCALAR = 0
    SSE41 = 1
    AVX2 = 2
    AVX512 = 3


cdef inline uint8_t judge_one(
    const NetpolcTables* t, uint32_t source, uint32_t destination, uint8_t protocol, uint16_t port
) noexcept nogil:
    cdef uint32_t atom = t.atoms[netpolc_port_cell(protocol, port)]
    cdef uint32_t pair = netpolc_pair_cell(t, source, destination)
    return <uint8_t> netpolc_code(
        t.class_bits, source, destination, netpolc_allows(t, source, destination, pair, atom)
    )


cdef inline size_t judge_rows(
    const NetpolcTables* t, int simd, const uint32_t* sources, const uint32_t* destinations,
    const uint8_t* protocols, const uint8_t* ports, size_t rows, uint8_t* out
) noexcept nogil:
    """Judge NETPOLC_ROWS rows at most; returns how many are SAME. `ports` may be unaligned."""
    if simd == AVX512:
        return netpolc_judge_avx512(t, sources, destinations, protocols, ports, rows, out)
    if simd == AVX2:
        return netpolc_judge_avx2(t, sources, destinations, protocols, ports, rows, out)
    return netpolc_judge(t, sources, destinations, protocols, ports, rows, out)
