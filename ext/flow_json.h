/* JSON of one line, read only where nobody could read it otherwise.
 *
 * In: a line that ends with a newline or a zero byte. Out: the place behind a value. NULL is "not
 * sure": whatever is odd, broken, or needs more than a look (escapes in text that is wanted, bytes
 * that are no ASCII, exponents, depth) is left to the reference decoder. The end of a line is no
 * character of any token, so nothing reads past it.
 */
#ifndef NETPOLC_FLOW_JSON_H
#define NETPOLC_FLOW_JSON_H

#include <stdint.h>
#include <string.h>

#include "flow_rows.h"

#define NETPOLC_DEEPEST 40

typedef const uint8_t *NetpolcAt;

static inline NetpolcAt netpolc_space(NetpolcAt at)
{
    while (*at == ' ' || *at == '\t' || *at == '\r')
        at++;
    return at;
}

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

static NetpolcAt netpolc_skip_text(NetpolcAt at, NetpolcAt limit)
{
    at++;
    for (;;) {
        at = netpolc_special(at, limit);
        if (*at == '"')
            return at + 1;
        if (*at != '\\' || at[1] == 0 || strchr("\"\\/bfnrt", at[1]) == NULL)
            return NULL;
        at += 2;
    }
}

static NetpolcAt netpolc_skip_number(NetpolcAt at)
{
    int digits = 0;
    if (*at == '-')
        at++;
    if (*at == '0' && at[1] >= '0' && at[1] <= '9')
        return NULL;
    while (*at >= '0' && *at <= '9' && digits < 16) {
        at++;
        digits++;
    }
    if (digits == 0 || digits > 15)
        return NULL;
    if (*at == '.') {
        for (digits = 0, at++; *at >= '0' && *at <= '9' && digits < 16; digits++)
            at++;
        if (digits == 0 || digits > 15)
            return NULL;
    }
    return at;
}

static inline NetpolcAt netpolc_word(NetpolcAt at, const char *word)
{
    while (*word) {
        if (*at++ != (uint8_t)*word++)
            return NULL;
    }
    return at;
}

static NetpolcAt netpolc_skip(NetpolcAt at, NetpolcAt limit, int depth)
{
    NetpolcSlice key;
    switch (*at) {
    case '"':
        return netpolc_skip_text(at, limit);
    case 't':
        return netpolc_word(at, "true");
    case 'f':
        return netpolc_word(at, "false");
    case 'n':
        return netpolc_word(at, "null");
    case '{':
    case '[': {
        int is_object = *at == '{';
        if (depth >= NETPOLC_DEEPEST)
            return NULL;
        at = netpolc_space(at + 1);
        if (*at == (is_object ? '}' : ']'))
            return at + 1;
        for (;;) {
            if (is_object) {
                if ((at = netpolc_text(at, limit, &key)) == NULL)
                    return NULL;
                at = netpolc_space(at);
                if (*at != ':')
                    return NULL;
                at = netpolc_space(at + 1);
            }
            if ((at = netpolc_skip(at, limit, depth + 1)) == NULL)
                return NULL;
            at = netpolc_space(at);
            if (*at == (is_object ? '}' : ']'))
                return at + 1;
            if (*at != ',')
                return NULL;
            at = netpolc_space(at + 1);
        }
    }
    default:
        return netpolc_skip_number(at);
    }
}

/* Text, or null, which is as empty. */
static inline NetpolcAt netpolc_text_or_null(NetpolcAt at, NetpolcAt limit, NetpolcSlice *out)
{
    if (*at == 'n') {
        out->size = 0;
        return netpolc_word(at, "null");
    }
    return netpolc_text(at, limit, out);
}

/* A whole number up to 65535, or null. */
static inline NetpolcAt netpolc_port_or_null(NetpolcAt at, int32_t *out)
{
    int32_t found = 0;
    NetpolcAt first = at;
    if (*at == 'n')
        return netpolc_word(at, "null");
    while (*at >= '0' && *at <= '9' && at - first < 6)
        found = found * 10 + (*at++ - '0');
    if (at == first || at - first > 5 || found > 65535 || (*first == '0' && at - first > 1))
        return NULL;
    *out = found;
    return at;
}

/* One key of an object and its colon. `*at` is behind the brace or behind a value; 0 when the object
 * has ended, 1 when there is a key, -1 when nobody can be sure. */
static inline int netpolc_key(NetpolcAt *at, NetpolcAt limit, int is_first, NetpolcSlice *key)
{
    NetpolcAt own = netpolc_space(*at);
    if (*own == '}') {
        *at = own + 1;
        return 0;
    }
    if (!is_first) {
        if (*own != ',')
            return -1;
        own = netpolc_space(own + 1);
    }
    if ((own = netpolc_text(own, limit, key)) == NULL)
        return -1;
    own = netpolc_space(own);
    if (*own != ':')
        return -1;
    *at = netpolc_space(own + 1);
    return 1;
}

static inline int netpolc_is(NetpolcSlice own, const char *word)
{
    size_t size = strlen(word);  /* of a literal: a constant */
    return (size_t)own.size == size && memcmp(own.text, word, size) == 0;
}

#endif
