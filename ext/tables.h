/* The tables of the matcher as C sees them, and what differs from one processor to the next.
 *
 * In: leaves of the two ends, protocol and port, in columns. Out: a byte a row, DENY to SAME.
 * The portable code is in verdicts.pxd; here is its AVX-512 form, chosen at run time, and the test
 * that chooses it. No function reads past the rows it is given; gathers read 32 bits where a cell
 * has 16, which the tables' padding covers (tables.py).
 */
#ifndef NETPOLC_TABLES_H
#define NETPOLC_TABLES_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct {
    const uint32_t *cells;          /* IPv4 radix; IPv6 is in radix6.pxd */
    const uint16_t *pairs;          /* NULL in the factored form */
    uint32_t pair_base[2];          /* IPv4, IPv6: cell = base + source * stride + destination */
    uint32_t pair_stride[2];
    const uint32_t *roles;          /* 4 a class: egress row, column, ingress row, column */
    const uint32_t *egress_index;
    const uint16_t *egress_blocks;
    const uint32_t *ingress_index;
    const uint16_t *ingress_blocks;
    const uint16_t *atoms;
    const uint32_t *bits;
    uint32_t words;                 /* of a port set */
    uint32_t class_bits;
} NetpolcTables;

enum {
    NETPOLC_DENY = 0,
    NETPOLC_ALLOW = 1,
    NETPOLC_INVALID = 2,
    NETPOLC_SAME = 3                /* denied unless both ends are one address */
};

/* A resolved end: 0 invalid, otherwise | IPv6 | host | class |. */
#define NETPOLC_IPV6 0x80000000u
#define NETPOLC_REST (3u << 16)     /* the atom of protocols without ports */

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define NETPOLC_X86 1
#include <immintrin.h>
#define NETPOLC_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

static int netpolc_has_avx512(void)
{
    /* Includes whether the system saves the registers. */
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}

/* Whole vectors of IPv4 addresses to leaves; returns how many rows that were. */
NETPOLC_AVX512
static size_t netpolc_lookup4_avx512(
    const uint32_t *cells, const uint8_t *column, size_t rows, uint32_t *out)
{
    const __m512i leaf_max = _mm512_set1_epi32((int)0x80000000u);
    const __m512i child = _mm512_set1_epi32(0x7fffffff);
    const __m512i byte = _mm512_set1_epi32(255);
    size_t i;
    for (i = 0; i + 16 <= rows; i += 16) {
        __m512i address = _mm512_loadu_si512(column + 4 * i);
        __m512i cell = _mm512_i32gather_epi32(_mm512_srli_epi32(address, 16), cells, 4);
        __mmask16 deeper = _mm512_cmpgt_epu32_mask(cell, leaf_max);
        __m512i index = _mm512_add_epi32(
            _mm512_slli_epi32(_mm512_and_epi32(cell, child), 8),
            _mm512_and_epi32(_mm512_srli_epi32(address, 8), byte));
        cell = _mm512_mask_i32gather_epi32(cell, deeper, index, cells, 4);
        deeper = _mm512_mask_cmpgt_epu32_mask(deeper, cell, leaf_max);
        index = _mm512_add_epi32(
            _mm512_slli_epi32(_mm512_and_epi32(cell, child), 8),
            _mm512_and_epi32(address, byte));
        cell = _mm512_mask_i32gather_epi32(cell, deeper, index, cells, 4);
        _mm512_storeu_si512(out + i, cell);
    }
    return i;
}

NETPOLC_AVX512
static inline __m512i netpolc_port_set_avx512(
    const uint32_t *index, const uint16_t *blocks, __m512i row, __m512i column, __mmask16 rows)
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i block = _mm512_mask_i32gather_epi32(
        zero, rows, _mm512_add_epi32(row, _mm512_srli_epi32(column, 6)), index, 4);
    __m512i cell = _mm512_add_epi32(
        _mm512_slli_epi32(block, 6), _mm512_and_epi32(column, _mm512_set1_epi32(63)));
    return _mm512_and_epi32(
        _mm512_mask_i32gather_epi32(zero, rows, cell, blocks, 2), _mm512_set1_epi32(0xffff));
}

NETPOLC_AVX512
static inline __mmask16 netpolc_allowed_avx512(
    const NetpolcTables *t, __m512i set, __m512i atom, __mmask16 rows)
{
    __m512i word = _mm512_add_epi32(
        _mm512_mullo_epi32(set, _mm512_set1_epi32((int)t->words)), _mm512_srli_epi32(atom, 5));
    __m512i bits = _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), rows, word, t->bits, 4);
    __m512i bit = _mm512_sllv_epi32(
        _mm512_set1_epi32(1), _mm512_and_epi32(atom, _mm512_set1_epi32(31)));
    return _mm512_mask_test_epi32_mask(rows, bits, bit);
}

/* The rows whose ports both directions allow. */
NETPOLC_AVX512
static inline __mmask16 netpolc_match_avx512(
    const NetpolcTables *t, __m512i source, __m512i destination, __m512i atom, __mmask16 rows)
{
    const __m512i class_mask = _mm512_set1_epi32((int)((1u << t->class_bits) - 1));
    __mmask16 ipv6 = _mm512_movepi32_mask(source);
    source = _mm512_and_epi32(source, class_mask);
    destination = _mm512_and_epi32(destination, class_mask);
    if (t->pairs != NULL) {
        __m512i base = _mm512_mask_set1_epi32(
            _mm512_set1_epi32((int)t->pair_base[0]), ipv6, (int)t->pair_base[1]);
        __m512i stride = _mm512_mask_set1_epi32(
            _mm512_set1_epi32((int)t->pair_stride[0]), ipv6, (int)t->pair_stride[1]);
        __m512i cell = _mm512_add_epi32(
            _mm512_add_epi32(base, destination), _mm512_mullo_epi32(source, stride));
        __m512i set = _mm512_and_epi32(
            _mm512_mask_i32gather_epi32(_mm512_setzero_si512(), rows, cell, t->pairs, 2),
            _mm512_set1_epi32(0xffff));
        return netpolc_allowed_avx512(t, set, atom, rows);
    } else {
        const __m512i zero = _mm512_setzero_si512();
        __m512i from = _mm512_slli_epi32(source, 2), to = _mm512_slli_epi32(destination, 2);
        __m512i row = _mm512_mask_i32gather_epi32(zero, rows, from, t->roles, 4);
        __m512i column = _mm512_mask_i32gather_epi32(zero, rows, to, t->roles + 1, 4);
        rows = netpolc_allowed_avx512(
            t, netpolc_port_set_avx512(t->egress_index, t->egress_blocks, row, column, rows),
            atom, rows);
        row = _mm512_mask_i32gather_epi32(zero, rows, to, t->roles + 2, 4);
        column = _mm512_mask_i32gather_epi32(zero, rows, from, t->roles + 3, 4);
        return netpolc_allowed_avx512(
            t, netpolc_port_set_avx512(t->ingress_index, t->ingress_blocks, row, column, rows),
            atom, rows);
    }
}

/* Whole vectors of rows; returns how many rows that were, and counts those left SAME. */
NETPOLC_AVX512
static size_t netpolc_judge_avx512(
    const NetpolcTables *t, const uint32_t *sources, const uint32_t *destinations,
    const uint8_t *protocols, const uint8_t *ports, size_t rows, uint8_t *out, size_t *same)
{
    const __m512i ipv6 = _mm512_set1_epi32((int)NETPOLC_IPV6);
    const __m512i one = _mm512_set1_epi32(1);
    const __m128i class_bits = _mm_cvtsi32_si128((int)t->class_bits);
    size_t i;
    for (i = 0; i + 16 <= rows; i += 16) {
        __m512i source = _mm512_loadu_si512(sources + i);
        __m512i destination = _mm512_loadu_si512(destinations + i);
        __m512i protocol = _mm512_cvtepu8_epi32(
            _mm_loadu_si128((const __m128i *)(protocols + i)));
        __m512i at = _mm512_cvtepu16_epi32(
            _mm256_loadu_si256((const __m256i *)(ports + 2 * i)));
        __m512i differ = _mm512_xor_epi32(source, destination);
        __mmask16 valid = _mm512_test_epi32_mask(source, source)
            & _mm512_test_epi32_mask(destination, destination)
            & _mm512_testn_epi32_mask(differ, ipv6);
        __mmask16 own_host = _mm512_mask_cmpeq_epi32_mask(
            valid, _mm512_srl_epi32(differ, class_bits), one);
        __mmask16 tcp = _mm512_cmpeq_epi32_mask(protocol, _mm512_set1_epi32(6));
        __mmask16 udp = _mm512_cmpeq_epi32_mask(protocol, _mm512_set1_epi32(17));
        __mmask16 sctp = _mm512_cmpeq_epi32_mask(protocol, _mm512_set1_epi32(132));
        at = _mm512_mask_add_epi32(at, udp, at, _mm512_set1_epi32(1 << 16));
        at = _mm512_mask_add_epi32(at, sctp, at, _mm512_set1_epi32(2 << 16));
        at = _mm512_mask_set1_epi32(at, (__mmask16)~(tcp | udp | sctp), (int)NETPOLC_REST);
        __m512i atom = _mm512_and_epi32(
            _mm512_i32gather_epi32(at, t->atoms, 2), _mm512_set1_epi32(0xffff));
        __mmask16 allowed = own_host | netpolc_match_avx512(t, source, destination, atom, valid);
        __mmask16 equal = valid & ~allowed & _mm512_testn_epi32_mask(differ, differ);
        __m128i codes = _mm_maskz_set1_epi8(allowed, NETPOLC_ALLOW);
        codes = _mm_mask_set1_epi8(codes, (__mmask16)~valid, NETPOLC_INVALID);
        codes = _mm_mask_set1_epi8(codes, equal, NETPOLC_SAME);
        _mm_storeu_si128((__m128i *)(out + i), codes);
        *same += (size_t)__builtin_popcount(equal);
    }
    return i;
}

#else

static int netpolc_has_avx512(void) { return 0; }

static size_t netpolc_lookup4_avx512(
    const uint32_t *cells, const uint8_t *column, size_t rows, uint32_t *out)
{
    (void)cells; (void)column; (void)rows; (void)out;
    return 0;
}

static size_t netpolc_judge_avx512(
    const NetpolcTables *t, const uint32_t *sources, const uint32_t *destinations,
    const uint8_t *protocols, const uint8_t *ports, size_t rows, uint8_t *out, size_t *same)
{
    (void)t; (void)sources; (void)destinations; (void)protocols; (void)ports; (void)rows;
    (void)out; (void)same;
    return 0;
}

#endif
#endif
