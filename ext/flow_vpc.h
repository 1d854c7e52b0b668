/* AWS VPC flow logs as text: one line to one row (netpolc/flows/decode/vpc.py is the reference).
 *
 * In: a line, and what each of its columns means. Out: 1 and a row, or 0 where the reference must
 * look: headers, NODATA and SKIPDATA, words and numbers that are not plain.
 */
#ifndef NETPOLC_FLOW_VPC_H
#define NETPOLC_FLOW_VPC_H

#include "flow_rows.h"

#define NETPOLC_MOST_COLUMNS 64

/* In the order of `ROLES` of netpolc/flows/decode/vpc.py, from 1 on; 0 is a column of no meaning. */
enum {
    VPC_PKT_SRC = 1, VPC_SRC, VPC_PKT_DST, VPC_DST, VPC_SRC_PORT, VPC_DST_PORT, VPC_PROTOCOL,
    VPC_PACKETS, VPC_BYTES, VPC_START, VPC_ACTION, VPC_STATUS, VPC_DIRECTION, VPC_FLAGS,
    VPC_INTERFACE, VPC_ROLES
};

typedef struct {
    int count;
    uint8_t roles[NETPOLC_MOST_COLUMNS];
} NetpolcColumns;

/* A plain number of at most so many digits; -1 for `-` and for a column that is not there. */
static inline int netpolc_plain(NetpolcSlice own, int digits, int64_t *out)
{
    *out = -1;
    if (own.size == 0 || (own.size == 1 && *own.text == '-'))
        return 1;
    if (own.size > digits || (own.size > 1 && *own.text == '0'))
        return 0;
    return netpolc_digits(own.text, (int)own.size, out);
}

static NetpolcSlice netpolc_either(NetpolcSlice one, NetpolcSlice other)
{
    NetpolcSlice found = one.size == 0 || (one.size == 1 && *one.text == '-') ? other : one;
    if (found.size == 1 && *found.text == '-')
        found.size = 0;
    return found;
}

/* Which of the next 16 bytes are no part of a word, a bit each: a space, a control character, no
 * ASCII. Behind `limit` is a zero byte, and nothing more is read. */
static inline unsigned netpolc_breaks(const uint8_t *at, const uint8_t *limit)
{
    unsigned found = 0;
    int place;
#if defined(__SSE2__)
    if (limit - at >= 16)  /* signed: bytes from 128 on are below the space, too */
        return (unsigned)_mm_movemask_epi8(
            _mm_cmplt_epi8(_mm_loadu_si128((const __m128i *)at), _mm_set1_epi8('!')));
#endif
    for (place = 0; place < 16 && place <= limit - at; place++)
        found |= (unsigned)(at[place] <= ' ' || at[place] >= 0x80) << place;
    return found;
}

/* The columns of a line by their meaning: as many as the header has, between single spaces. At
 * `end` is a break. */
static int netpolc_columns(
    const uint8_t *at, const uint8_t *end, const uint8_t *limit, const NetpolcColumns *columns,
    NetpolcSlice *found)
{
    const uint8_t *first = at;
    int column = 0;
    end -= end > at && end[-1] == '\r';
    for (;; at += 16) {
        unsigned breaks = netpolc_breaks(at, limit);
        for (; breaks; breaks &= breaks - 1) {
            const uint8_t *stop = at + __builtin_ctz(breaks);
            if (stop == first || column == columns->count)
                return 0;
            found[columns->roles[column]].text = first;
            found[columns->roles[column]].size = stop - first;
            column++;
            if (stop == end)
                return column == columns->count;
            if (*stop != ' ')
                return 0;
            first = stop + 1;
        }
    }
}

static int netpolc_vpc_words(const NetpolcSlice *found, NetpolcRow *row)
{
    NetpolcSlice action = found[VPC_ACTION], way = found[VPC_DIRECTION];
    if (found[VPC_STATUS].size && !netpolc_is(found[VPC_STATUS], "OK"))
        return 0;
    if (netpolc_is(action, "ACCEPT"))
        row->verdict = 0;
    else if (netpolc_is(action, "REJECT"))
        row->verdict = 1;
    else if (action.size && !netpolc_is(action, "-"))
        return 0;
    if (netpolc_is(way, "egress"))
        row->direction = 0;
    else if (netpolc_is(way, "ingress"))
        row->direction = 1;
    return 1;
}

static int netpolc_scan_vpc(
    const uint8_t *line, const uint8_t *end, const uint8_t *limit, const void *how,
    NetpolcRows *rows)
{
    NetpolcSlice found[VPC_ROLES];
    NetpolcRow row;
    int64_t protocol, source, port, start, flags;
    memset(found, 0, sizeof found);
    netpolc_clear_row(&row);
    if (!netpolc_columns(line, end, limit, how, found) || !netpolc_vpc_words(found, &row))
        return 0;
    if (!netpolc_plain(found[VPC_PROTOCOL], 3, &protocol) || protocol < 0 || protocol > 255
        || !netpolc_plain(found[VPC_SRC_PORT], 5, &source) || source > 65535
        || !netpolc_plain(found[VPC_DST_PORT], 5, &port) || port > 65535
        || !netpolc_plain(found[VPC_START], 11, &start)
        || !netpolc_plain(found[VPC_FLAGS], 3, &flags)
        || !netpolc_plain(found[VPC_PACKETS], 18, &row.packets)
        || !netpolc_plain(found[VPC_BYTES], 18, &row.octets))
        return 0;
    row.protocol = (int16_t)protocol;
    if (protocol == 6 || protocol == 17 || protocol == 132) {
        row.src_port = (int32_t)source;
        row.port = (int32_t)port;
    }
    if (start >= 0)
        row.ts = start * 1000000;
    if (flags >= 0 && flags & 2)
        row.is_reply = (flags & 18) == 18;
    row.src = netpolc_either(found[VPC_PKT_SRC], found[VPC_SRC]);
    row.dst = netpolc_either(found[VPC_PKT_DST], found[VPC_DST]);
    row.reporter = netpolc_either(found[VPC_INTERFACE], found[VPC_INTERFACE]);
    netpolc_put_null(rows, ROW_POLICY);
    netpolc_put_null(rows, ROW_SRC_POD);
    netpolc_put_null(rows, ROW_DST_POD);
    netpolc_put_row(rows, &row);
    return 1;
}

#endif
