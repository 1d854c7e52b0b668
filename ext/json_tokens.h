/* Tokens of JSON as most of it is written: text without escapes, words.
 *
 * In: a place in a text that ends with a character of no token (a newline, a zero byte, or what is
 * behind the value). Out: the place behind the token. NULL is "not sure".
 */
#ifndef NETPOLC_JSON_TOKENS_H
#define NETPOLC_JSON_TOKENS_H

#include <stdint.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "slice.h"

typedef const uint8_t *NetpolcAt;

/* The next quote, backslash, control character or byte that is no ASCII; `limit` ends the block. */
static inline NetpolcAt netpolc_special(NetpolcAt at, NetpolcAt limit)
{
#if defined(__SSE2__)
    const __m128i quote = _mm_set1_epi8('"'), slash = _mm_set1_epi8('\\');
    const __m128i space = _mm_set1_epi8(' ');
    while (limit - at >= 16) {
        __m128i own = _mm_loadu_si128((const __m128i *)at);
        /* Signed: bytes from 128 on are below the space, too. */
        __m128i odd = _mm_or_si128(
            _mm_or_si128(_mm_cmpeq_epi8(own, quote), _mm_cmpeq_epi8(own, slash)),
            _mm_cmplt_epi8(own, space));
        int found = _mm_movemask_epi8(odd);
        if (found)
            return at + __builtin_ctz((unsigned)found);
        at += 16;
    }
#endif
    (void)limit;
    while (*at >= ' ' && *at < 0x80 && *at != '"' && *at != '\\')
        at++;
    return at;
}

/* Text without an escape; `at` is its first quote. */
static inline NetpolcAt netpolc_text(NetpolcAt at, NetpolcAt limit, NetpolcSlice *out)
{
    NetpolcAt end;
    if (*at != '"')
        return NULL;
    end = netpolc_special(++at, limit);
    if (*end != '"')
        return NULL;
    out->text = at;
    out->size = end - at;
    return end + 1;
}

static inline NetpolcAt netpolc_word(NetpolcAt at, const char *word)
{
    while (*word) {
        if (*at++ != (uint8_t)*word++)
            return NULL;
    }
    return at;
}

#endif
