/* Whether an object in JSON is written as plainly as can be: no key stands twice.
 *
 * In: the text of a value that is known to be well-formed. Out: 1 if in no object of it a key stands
 * twice, and all numbers are whole and fit 64 bits. 0 is "not sure": keys with escapes, objects with
 * very many keys, fractions, depth.
 */
#ifndef NETPOLC_JSON_UNIQUE_H
#define NETPOLC_JSON_UNIQUE_H

#include "json_pass.h"

#define NETPOLC_MOST_KEYS 48
#define NETPOLC_DEEPEST_PLAIN 40
#define NETPOLC_MOST_DIGITS 18

/* A number, or a word; of a fraction only its whole part. */
static NetpolcAt netpolc_plain_word(NetpolcAt at, NetpolcAt limit)
{
    int digits = 0;
    if (*at >= 'a' && *at <= 'z')
        return netpolc_pass(at, limit);
    if (*at == '-' && *++at == '0')
        return NULL;  /* whole, or a fraction? */
    for (; *at >= '0' && *at <= '9'; at++)
        digits++;
    return digits <= NETPOLC_MOST_DIGITS && *at != '.' && *at != 'e' && *at != 'E' ? at : NULL;
}

/* Behind a value that is plain, NULL where nobody is sure. */
static NetpolcAt netpolc_plain(NetpolcAt at, NetpolcAt limit, int depth)
{
    NetpolcSlice keys[NETPOLC_MOST_KEYS];
    int is_object = *at == '{', count = 0, own, more;
    if (*at == '"')
        return netpolc_pass_text(at + 1, limit);
    if (!is_object && *at != '[')
        return netpolc_plain_word(at, limit);
    if (depth == NETPOLC_DEEPEST_PLAIN)
        return NULL;
    at++;
    while ((more = netpolc_next(&at, limit, count == 0, is_object ? &keys[count] : NULL)) == 1) {
        for (own = 0; is_object && own < count; own++) {
            if (keys[own].size == keys[count].size
                && memcmp(keys[own].text, keys[count].text, (size_t)keys[own].size) == 0)
                return NULL;
        }
        if ((at = netpolc_plain(at, limit, depth + 1)) == NULL)
            return NULL;
        if (++count == NETPOLC_MOST_KEYS) {
            if (is_object)
                return NULL;
            count = 1;  /* of a list only whether it is the first matters */
        }
    }
    return more == 0 ? at : NULL;
}

static int netpolc_is_plain(NetpolcAt text, int64_t size)
{
    NetpolcAt limit = text + size, at = netpolc_blank(text, limit);
    if (at == limit || (at = netpolc_plain(at, limit, 0)) == NULL)
        return 0;
    return netpolc_blank(at, limit) == limit;
}

#endif
