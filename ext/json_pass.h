/* Passing over values of JSON that is known to be well-formed.
 *
 * In: a place in such a text, and its end, behind which one more byte can be read. Out: the place
 * behind a value. NULL where the text ends before.
 */
#ifndef NETPOLC_JSON_PASS_H
#define NETPOLC_JSON_PASS_H

#include "json_tokens.h"

static inline NetpolcAt netpolc_blank(NetpolcAt at, NetpolcAt limit)
{
    while (at < limit && *at <= ' ')
        at++;
    return at;
}

/* Behind the closing quote of a text; `at` is behind the opening one. */
static inline NetpolcAt netpolc_pass_text(NetpolcAt at, NetpolcAt limit)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    while (limit - at >= 16) {
        __m128i own = _mm_loadu_si128((const __m128i *)at);
        int found = _mm_movemask_epi8(
            _mm_or_si128(_mm_cmpeq_epi8(own, quote), _mm_cmpeq_epi8(own, slash)));
        if (!found) {
            at += 16;
            continue;
        }
        at += __builtin_ctz((unsigned)found);
        if (*at == '"')
            return at + 1;
        at += 2;
    }
#endif
    while (at < limit && *at != '"')
        at += *at == '\\' ? 2 : 1;
    return at < limit ? at + 1 : NULL;
}

/* The same, byte by byte; `depth` brackets are open. */
static NetpolcAt netpolc_pass_bytes(NetpolcAt at, NetpolcAt limit, int64_t depth)
{
    while (at < limit) {
        switch (*at++) {
        case '"':
            if ((at = netpolc_pass_text(at, limit)) == NULL)
                return NULL;
            break;
        case '{':
        case '[':
            depth++;
            break;
        case '}':
        case ']':
            if (--depth == 0)
                return at;
        }
    }
    return NULL;
}

#if defined(__SSE2__)

/* Of 64 bytes, a bit for each: where quotes, backslashes and brackets are. */
typedef struct {
    uint64_t quotes, slashes, opens, shuts;
} NetpolcBits;

static inline NetpolcBits netpolc_bits(NetpolcAt at)
{
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i open = _mm_set1_epi8('{'), shut = _mm_set1_epi8('}'), bit = _mm_set1_epi8(0x20);
    NetpolcBits found = { 0, 0, 0, 0 };
    int part;
    for (part = 0; part < 64; part += 16) {
        __m128i own = _mm_loadu_si128((const __m128i *)(at + part));
        __m128i brace = _mm_or_si128(own, bit);  /* of a bracket, too */
        found.quotes |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(own, quote)) << part;
        found.slashes |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(own, slash)) << part;
        found.opens |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(brace, open)) << part;
        found.shuts |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(brace, shut)) << part;
    }
    return found;
}

static inline int netpolc_count(uint64_t bits)
{
    bits -= bits >> 1 & 0x5555555555555555u;
    bits = (bits & 0x3333333333333333u) + (bits >> 2 & 0x3333333333333333u);
    return (int)(((bits + (bits >> 4)) & 0x0f0f0f0f0f0f0f0fu) * 0x0101010101010101u >> 56);
}

/* The bytes that a backslash escapes; `*carry` is 1 if the first of these, or of the next, is. */
static inline uint64_t netpolc_escaped(uint64_t slashes, uint64_t *carry)
{
    uint64_t escaped = *carry, bit;
    slashes &= ~escaped;
    *carry = 0;
    while (slashes) {
        bit = slashes & (~slashes + 1);
        if (bit >> 63)
            *carry = 1;
        escaped |= bit << 1;
        slashes &= ~(bit | bit << 1);
    }
    return escaped;
}

/* Behind an object or a list; `at` is behind its bracket. 64 bytes at a time, without a branch for
 * every token: these are what cannot be foreseen. */
static NetpolcAt netpolc_pass_nested(NetpolcAt at, NetpolcAt limit)
{
    int64_t depth = 1;
    uint64_t within = 0, carry = 0, bit;  /* within: all bits, inside of a text */
    while (limit - at >= 64) {
        NetpolcBits own = netpolc_bits(at);
        int shut, closed = 0;
        if (own.slashes | carry)
            own.quotes &= ~netpolc_escaped(own.slashes, &carry);
        for (shut = 1; shut < 64; shut *= 2)
            own.quotes ^= own.quotes << shut;
        own.quotes ^= within;
        within = (uint64_t)0 - (own.quotes >> 63);
        own.opens &= ~own.quotes;
        own.shuts &= ~own.quotes;
        shut = netpolc_count(own.shuts);
        if (shut >= depth) {
            for (; own.shuts; own.shuts &= own.shuts - 1) {
                bit = own.shuts & (~own.shuts + 1);
                if (depth + netpolc_count(own.opens & (bit - 1)) == ++closed)
                    return at + __builtin_ctzll(bit) + 1;
            }
        }
        depth += netpolc_count(own.opens) - shut;
        at += 64;
    }
    if (within && (at = netpolc_pass_text(at + carry, limit)) == NULL)
        return NULL;
    return netpolc_pass_bytes(at, limit, depth);
}

#else

static NetpolcAt netpolc_pass_nested(NetpolcAt at, NetpolcAt limit)
{
    return netpolc_pass_bytes(at, limit, 1);
}

#endif

static inline NetpolcAt netpolc_pass(NetpolcAt at, NetpolcAt limit)
{
    switch (*at) {
    case '"':
        return netpolc_pass_text(at + 1, limit);
    case '{':
    case '[':
        return netpolc_pass_nested(at + 1, limit);
    }
    while (at < limit && *at > ' ' && *at != ',' && *at != '}' && *at != ']')
        at++;
    return at;
}

/* To the next value of an object (with its key) or of a list. `*at` is behind the bracket or behind
 * a value; 0 when it has ended, 1 when there is a value, -1 when nobody can be sure. */
static inline int netpolc_next(NetpolcAt *at, NetpolcAt limit, int is_first, NetpolcSlice *key)
{
    NetpolcAt own = netpolc_blank(*at, limit);
    if (*own == (key ? '}' : ']')) {
        *at = own + 1;
        return 0;
    }
    if (!is_first) {
        if (*own != ',')
            return -1;
        own = netpolc_blank(own + 1, limit);
    }
    if (key) {
        if ((own = netpolc_text(own, limit, key)) == NULL)
            return -1;
        own = netpolc_blank(own, limit);
        if (*own != ':')
            return -1;
        own = netpolc_blank(own + 1, limit);
    }
    *at = own;
    return own < limit ? 1 : -1;
}

#endif
