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
#include "json_tokens.h"

#define NETPOLC_DEEPEST 40

static inline NetpolcAt netpolc_space(NetpolcAt at)
{
    while (*at == ' ' || *at == '\t' || *at == '\r')
        at++;
    return at;
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

#endif
