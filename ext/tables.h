/* The tables of the matcher as C sees them, and the loops over rows of a column.
 *
 * In: addresses, then leaves of the two ends with protocol and port, NETPOLC_ROWS rows at most.
 * Out: leaves, then a byte a row, DENY to SAME. No function reads past the rows it is given.
 *
 * Arithmetic and loads have loops of their own. The arithmetic has no branch and is compiled three
 * times, as the compiler vectorises it for the baseline, for AVX2 and for AVX-512 (chosen at run
 * time). The loads stay plain in all: a gather of 16 cells takes 34 cycles on Zen 5, 16 loads take half of that,
 * and short loops have the loads of more rows in flight.
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

#if defined(__GNUC__) || defined(__clang__)
#define NETPOLC_LOOP static inline __attribute__((always_inline))
#else
#define NETPOLC_LOOP static inline
#endif

/* Not inlined: inside a function for AVX2 or AVX-512 they could become gathers. */
#if defined(__GNUC__) || defined(__clang__)
#define NETPOLC_LOADS static __attribute__((noinline))
#else
#define NETPOLC_LOADS static
#endif

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#define NETPOLC_AVX2 __attribute__((target("avx2")))
#define NETPOLC_AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq")))

/* Both include whether the system saves the registers. */
static int netpolc_has_avx2(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") != 0;  /* it gives a bit, not 1 */
}

static int netpolc_has_avx512(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");
}
#else
#define NETPOLC_AVX2
#define NETPOLC_AVX512
static int netpolc_has_avx2(void) { return 0; }
static int netpolc_has_avx512(void) { return 0; }
#endif

enum { NETPOLC_ROWS = 1024 };       /* scratch of a few KiB a loop: it stays in the L1 cache */
#define NETPOLC_LEAF_MAX 0x80000000u   /* as in prefixes.pxd */

/* Where the radix goes on for a row; cell 0, which is always in the cache, for one that is done. */
NETPOLC_LOOP void netpolc_below(
    const uint32_t *leaves, const uint8_t *column, int shift, size_t rows, uint32_t *at)
{
    size_t i;
    for (i = 0; i < rows; i++) {
        uint32_t address, cell = leaves[i];
        memcpy(&address, column + 4 * i, 4);
        at[i] = (((cell & ~NETPOLC_LEAF_MAX) << 8) + (address >> shift & 255))
            & (0u - (cell > NETPOLC_LEAF_MAX));
    }
}

NETPOLC_LOOP void netpolc_descend(const uint32_t *found, size_t rows, uint32_t *leaves)
{
    size_t i;
    for (i = 0; i < rows; i++)
        leaves[i] = leaves[i] > NETPOLC_LEAF_MAX ? found[i] : leaves[i];
}

NETPOLC_LOADS void netpolc_load_cells(const uint32_t *cells, size_t rows, uint32_t *at)
{
    size_t i;
    for (i = 0; i < rows; i++)
        at[i] = cells[at[i]];
}

NETPOLC_LOADS void netpolc_load_root(
    const uint32_t *cells, const uint8_t *column, size_t rows, uint32_t *leaves)
{
    size_t i;
    for (i = 0; i < rows; i++) {
        uint32_t address;
        memcpy(&address, column + 4 * i, 4);
        leaves[i] = cells[address >> 16];
    }
}

/* IPv4 addresses to leaves. For the baseline, radix4_lookup is faster than its vectors of four. */
NETPOLC_LOOP void netpolc_lookup4_loop(
    const uint32_t *cells, const uint8_t *column, size_t rows, uint32_t *leaves)
{
    uint32_t at[NETPOLC_ROWS];
    int shift;
    netpolc_load_root(cells, column, rows, leaves);
    for (shift = 8; shift >= 0; shift -= 8) {
        netpolc_below(leaves, column, shift, rows, at);
        netpolc_load_cells(cells, rows, at);
        netpolc_descend(at, rows, leaves);
    }
}

NETPOLC_AVX2 static void netpolc_lookup4_avx2(
    const uint32_t *cells, const uint8_t *column, size_t rows, uint32_t *leaves)
{
    netpolc_lookup4_loop(cells, column, rows, leaves);
}

NETPOLC_AVX512 static void netpolc_lookup4_avx512(
    const uint32_t *cells, const uint8_t *column, size_t rows, uint32_t *leaves)
{
    netpolc_lookup4_loop(cells, column, rows, leaves);
}

/* The cell of the pair form; the first one for ends that are no flow. */
NETPOLC_LOOP uint32_t netpolc_pair_cell(
    const NetpolcTables *t, uint32_t source, uint32_t destination)
{
    const uint32_t mask = (1u << t->class_bits) - 1;
    const uint32_t base = t->pair_base[0], base6 = t->pair_base[1];
    const uint32_t stride = t->pair_stride[0], stride6 = t->pair_stride[1];
    uint32_t ipv6 = 0u - (source >> 31);
    uint32_t flow = 0u - (uint32_t)((source != 0) & (destination != 0)
        & ((source ^ destination) < NETPOLC_IPV6));
    return ((base ^ ((base ^ base6) & ipv6)) + (destination & mask)
        + (source & mask) * (stride ^ ((stride ^ stride6) & ipv6))) & flow;
}

NETPOLC_LOOP void netpolc_pair_cells(
    const NetpolcTables *t, const uint32_t *sources, const uint32_t *destinations, size_t rows,
    uint32_t *at)
{
    const NetpolcTables own = *t;       /* what is stored here cannot alias it */
    size_t i;
    for (i = 0; i < rows; i++)
        at[i] = netpolc_pair_cell(&own, sources[i], destinations[i]);
}

/* The port of a protocol that has none is not looked at. */
NETPOLC_LOOP uint32_t netpolc_port_cell(uint32_t protocol, uint32_t port)
{
    uint32_t tcp = protocol == 6, udp = protocol == 17, sctp = protocol == 132;
    uint32_t ports = 0u - (tcp | udp | sctp);
    return ((port + (udp << 16) + (sctp << 17)) & ports) | (NETPOLC_REST & ~ports);
}

NETPOLC_LOOP void netpolc_port_cells(
    const uint8_t *protocols, const uint8_t *ports, size_t rows, uint32_t *at)
{
    size_t i;
    for (i = 0; i < rows; i++) {
        uint16_t port;
        memcpy(&port, ports + 2 * i, 2);
        at[i] = netpolc_port_cell(protocols[i], port);
    }
}

static inline uint32_t netpolc_set_allows(const NetpolcTables *t, uint32_t set, uint32_t atom)
{
    return t->bits[(size_t)set * t->words + (atom >> 5)] >> (atom & 31) & 1;
}

static inline uint32_t netpolc_factored_allows(
    const NetpolcTables *t, uint32_t source, uint32_t destination, uint32_t atom)
{
    const uint32_t mask = (1u << t->class_bits) - 1;
    const uint32_t *from = t->roles + 4 * (size_t)(source & mask);
    const uint32_t *to = t->roles + 4 * (size_t)(destination & mask);
    size_t egress = t->egress_index[from[0] + (to[1] >> 6)];
    size_t ingress = t->ingress_index[to[2] + (from[3] >> 6)];
    /* Both are loaded whatever the first says: a wrong guess costs more than a load. */
    return netpolc_set_allows(t, t->egress_blocks[(egress << 6) + (to[1] & 63)], atom)
        & netpolc_set_allows(t, t->ingress_blocks[(ingress << 6) + (from[3] & 63)], atom);
}

/* What policies say of classes, 0 or 1. */
static inline uint32_t netpolc_allows(
    const NetpolcTables *t, uint32_t source, uint32_t destination, uint32_t pair, uint32_t atom)
{
    if (t->pairs == NULL)
        return netpolc_factored_allows(t, source, destination, atom);
    return netpolc_set_allows(t, t->pairs[pair], atom);
}

/* The same of rows, in the place of the cells of their atoms. */
NETPOLC_LOADS void netpolc_load_verdicts(
    const NetpolcTables *t, const uint32_t *sources, const uint32_t *destinations,
    const uint32_t *pairs, size_t rows, uint32_t *at)
{
    const NetpolcTables own = *t;
    size_t i;
    if (own.pairs == NULL)
        for (i = 0; i < rows; i++)
            at[i] = netpolc_factored_allows(
                &own, sources[i], destinations[i], own.atoms[at[i]]);
    else
        for (i = 0; i < rows; i++)
            at[i] = netpolc_set_allows(&own, own.pairs[pairs[i]], own.atoms[at[i]]);
}

/* A host's number is odd, its pods' is that without the last bit (endpoints.py). */
NETPOLC_LOOP uint32_t netpolc_code(
    uint32_t class_bits, uint32_t source, uint32_t destination, uint32_t allowed)
{
    uint32_t differ = source ^ destination;
    uint32_t invalid = (source == 0) | (destination == 0) | (differ >> 31);
    uint32_t code = allowed | (differ >> class_bits == 1);
    code |= ((differ == 0) & ~code) * NETPOLC_SAME;
    return invalid ? NETPOLC_INVALID : code;
}

NETPOLC_LOOP size_t netpolc_codes(
    uint32_t class_bits, const uint32_t *sources, const uint32_t *destinations,
    const uint32_t *allowed, size_t rows, uint8_t *out)
{
    uint32_t same = 0;
    size_t i;
    for (i = 0; i < rows; i++) {
        uint32_t code = netpolc_code(class_bits, sources[i], destinations[i], allowed[i]);
        out[i] = (uint8_t)code;
        same += code == NETPOLC_SAME;
    }
    return same;
}

NETPOLC_LOOP size_t netpolc_judge_loop(
    const NetpolcTables *t, const uint32_t *sources, const uint32_t *destinations,
    const uint8_t *protocols, const uint8_t *ports, size_t rows, uint8_t *out)
{
    uint32_t pairs[NETPOLC_ROWS], at[NETPOLC_ROWS];
    netpolc_port_cells(protocols, ports, rows, at);
    netpolc_pair_cells(t, sources, destinations, rows, pairs);
    netpolc_load_verdicts(t, sources, destinations, pairs, rows, at);
    return netpolc_codes(t->class_bits, sources, destinations, at, rows, out);
}

/* Rows to verdicts; all forms return how many rows are SAME. */
static size_t netpolc_judge(
    const NetpolcTables *t, const uint32_t *sources, const uint32_t *destinations,
    const uint8_t *protocols, const uint8_t *ports, size_t rows, uint8_t *out)
{
    return netpolc_judge_loop(t, sources, destinations, protocols, ports, rows, out);
}

NETPOLC_AVX2 static size_t netpolc_judge_avx2(
    const NetpolcTables *t, const uint32_t *sources, const uint32_t *destinations,
    const uint8_t *protocols, const uint8_t *ports, size_t rows, uint8_t *out)
{
    return netpolc_judge_loop(t, sources, destinations, protocols, ports, rows, out);
}

NETPOLC_AVX512 static size_t netpolc_judge_avx512(
    const NetpolcTables *t, const uint32_t *sources, const uint32_t *destinations,
    const uint8_t *protocols, const uint8_t *ports, size_t rows, uint8_t *out)
{
    return netpolc_judge_loop(t, sources, destinations, protocols, ports, rows, out);
}

#endif
