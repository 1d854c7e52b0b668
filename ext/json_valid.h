/* Whether a text is JSON (RFC 8259), and where its values end.
 *
 * In: a place in a text of valid UTF-8 that nobody has looked at, and its end, where a zero byte
 * stands. Out: the place behind a value. NULL is "not sure": it is broken there, or nests deep.
 */
#ifndef NETPOLC_JSON_VALID_H
#define NETPOLC_JSON_VALID_H

#include "json_tokens.h"

#define NETPOLC_DEEPEST_VALID 60

static inline NetpolcAt netpolc_space(NetpolcAt at)
{
    while (*at <= ' ' && (*at == ' ' || *at == '\n' || *at == '\r' || *at == '\t'))
        at++;
    return at;
}

/* Behind an escape; `at` is behind its backslash. Not sure of surrogates: they have to be pairs. */
static NetpolcAt netpolc_valid_escape(NetpolcAt at)
{
    int digits;
    if (*at != 'u')
        return *at && strchr("\"\\/bfnrt", *at) ? at + 1 : NULL;
    if ((at[1] | 0x20) == 'd' && at[2] > '7')
        return NULL;
    for (digits = 0, at++; digits < 4; digits++, at++) {
        if (!*at || !strchr("0123456789abcdefABCDEF", *at))
            return NULL;
    }
    return at;
}

/* Behind the closing quote of a text; `at` is its first quote. */
static inline NetpolcAt netpolc_valid_text(NetpolcAt at, NetpolcAt limit)
{
    at++;
    while (*(at = netpolc_special(at, limit)) != '"') {
        if (*at == '\\')
            at = netpolc_valid_escape(at + 1);
        else
            at = *at < ' ' ? NULL : at + 1;
        if (at == NULL)
            return NULL;
    }
    return at + 1;
}

static inline NetpolcAt netpolc_digits(NetpolcAt at)
{
    if (*at < '0' || *at > '9')
        return NULL;
    while (*at >= '0' && *at <= '9')
        at++;
    return at;
}

static NetpolcAt netpolc_valid_number(NetpolcAt at)
{
    if (*at == '-')
        at++;
    at = *at == '0' ? at + 1 : netpolc_digits(at);
    if (at != NULL && *at == '.')
        at = netpolc_digits(at + 1);
    if (at != NULL && (*at == 'e' || *at == 'E')) {
        at++;
        at = netpolc_digits(*at == '-' || *at == '+' ? at + 1 : at);
    }
    return at;
}

/* Behind a value without values in it. */
static inline NetpolcAt netpolc_valid_token(NetpolcAt at, NetpolcAt limit)
{
    switch (*at) {
    case '"':
        return netpolc_valid_text(at, limit);
    case 't':
        return netpolc_word(at, "true");
    case 'f':
        return netpolc_word(at, "false");
    case 'n':
        return netpolc_word(at, "null");
    }
    return netpolc_valid_number(at);
}

/* At the value of a member; `at` is before its key. */
static inline NetpolcAt netpolc_valid_key(NetpolcAt at, NetpolcAt limit)
{
    at = netpolc_space(at);
    if (*at != '"' || (at = netpolc_valid_text(at, limit)) == NULL)
        return NULL;
    at = netpolc_space(at);
    return *at == ':' ? netpolc_space(at + 1) : NULL;
}

/* Behind a value; `at` is where it begins. */
static NetpolcAt netpolc_valid(NetpolcAt at, NetpolcAt limit)
{
    uint64_t objects = 0;  /* of each open bracket a bit: whether it is that of an object */
    int depth = 0;
    while (at != NULL) {
        if (*at == '{' || *at == '[') {
            int is_object = *at == '{';
            if (depth++ == NETPOLC_DEEPEST_VALID)
                return NULL;
            objects = objects << 1 | (uint64_t)is_object;
            at = netpolc_space(at + 1);
            if (*at != (is_object ? '}' : ']')) {
                at = is_object ? netpolc_valid_key(at, limit) : at;
                continue;
            }
        } else if ((at = netpolc_valid_token(at, limit)) == NULL) {
            return NULL;
        } else if (depth) {
            at = netpolc_space(at);
        }
        while (depth && *at == (objects & 1 ? '}' : ']')) {
            depth--;
            objects >>= 1;
            at = depth ? netpolc_space(at + 1) : at + 1;
        }
        if (!depth)
            return at;
        if (*at != ',')
            return NULL;
        at = objects & 1 ? netpolc_valid_key(at + 1, limit) : netpolc_space(at + 1);
    }
    return NULL;
}

#endif
