/* Rows of flow logs as columns, filled without the interpreter's lock.
 *
 * In: records that a scanner of one format found in a block of lines. Out: columns in the form of
 * Arrow: numbers with a value that stands for null, text as offsets, bytes and bits of validity.
 * A line that a scanner is not sure of becomes no row: its number and place are listed, and the
 * reference decoder of the format reads it.
 */
#ifndef NETPOLC_FLOW_ROWS_H
#define NETPOLC_FLOW_ROWS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "slice.h"

#define NETPOLC_NO_TIME INT64_MIN
#define NETPOLC_NONE (-1)

enum { ROW_SRC, ROW_DST, ROW_REPORTER, ROW_POLICY, ROW_SRC_POD, ROW_DST_POD, ROW_TEXTS };

enum {
    COLUMN_TS, COLUMN_PACKETS, COLUMN_BYTES, COLUMN_SRC_PORT, COLUMN_PORT, COLUMN_PROTOCOL,
    COLUMN_DIRECTION, COLUMN_VERDICT, COLUMN_IS_REPLY, ROW_COLUMNS
};

/* First the text of each row; encoded, the words (`count` of them) and the word of each row. */
typedef struct {
    int32_t *offsets;       /* one more than rows */
    uint8_t *bytes, *valid;
    int32_t *codes;
    int64_t count, nulls;
} NetpolcTexts;

typedef struct {
    uint8_t *valid;
    int64_t nulls;
} NetpolcNulls;

typedef struct {
    int64_t capacity, count, lines;
    int64_t *ts, *packets, *octets;
    int32_t *src_port, *port;
    int16_t *protocol;
    int8_t *direction, *verdict, *is_reply;  /* places in a list of words; a boolean */
    NetpolcTexts texts[ROW_TEXTS];
    NetpolcNulls nulls[ROW_COLUMNS];
    int32_t *words[2];      /* direction and verdict, as wide as Arrow has them */
    uint8_t *replies;       /* is_reply as bits */
    int64_t unsure_count;
    int64_t *unsure;        /* of each: its line, rows before it, its first byte, its size */
} NetpolcRows;

typedef struct {
    int64_t ts, packets, octets;
    int32_t src_port, port;
    int16_t protocol;
    int8_t direction, verdict, is_reply;
    NetpolcSlice src, dst, reporter;
} NetpolcRow;

static void netpolc_rows_free(NetpolcRows *rows)
{
    int at;
    free(rows->ts); free(rows->packets); free(rows->octets);
    free(rows->src_port); free(rows->port); free(rows->protocol);
    free(rows->direction); free(rows->verdict); free(rows->is_reply); free(rows->unsure);
    for (at = 0; at < ROW_TEXTS; at++) {
        free(rows->texts[at].offsets);
        free(rows->texts[at].bytes);
        free(rows->texts[at].valid);
        free(rows->texts[at].codes);
    }
    for (at = 0; at < ROW_COLUMNS; at++)
        free(rows->nulls[at].valid);
    free(rows->words[0]); free(rows->words[1]); free(rows->replies);
}

static int64_t netpolc_newlines(const uint8_t *at, const uint8_t *end)
{
    int64_t found = 0;
#if defined(__SSE2__)
    const __m128i newline = _mm_set1_epi8('\n');
    while (end - at >= 16) {
        const uint8_t *stop = end - at > 16 * 255 ? at + 16 * 255 : at + ((end - at) & ~15);
        __m128i counts = _mm_setzero_si128();
        for (; at < stop; at += 16)  /* an equal byte is -1, and a lane holds 255 of them */
            counts = _mm_sub_epi8(
                counts, _mm_cmpeq_epi8(_mm_loadu_si128((const __m128i *)at), newline));
        counts = _mm_sad_epu8(counts, _mm_setzero_si128());
        found += _mm_cvtsi128_si64(_mm_add_epi64(counts, _mm_srli_si128(counts, 8)));
    }
#endif
    while (at < end)
        found += *at++ == '\n';
    return found;
}

/* Room for all lines of a block. No text column of a row is longer than its line. 0: no memory. */
static int netpolc_rows_init(NetpolcRows *rows, const uint8_t *block, int64_t size)
{
    int64_t lines = netpolc_newlines(block, block + size) + 1;
    int column, whole;
    memset(rows, 0, sizeof *rows);
    rows->capacity = lines;
#define NETPOLC_ROOM(field) \
    ((rows->field = malloc((size_t)lines * sizeof *rows->field)) != NULL)
    whole = NETPOLC_ROOM(ts) && NETPOLC_ROOM(packets) && NETPOLC_ROOM(octets)
        && NETPOLC_ROOM(src_port) && NETPOLC_ROOM(port) && NETPOLC_ROOM(protocol)
        && NETPOLC_ROOM(direction) && NETPOLC_ROOM(verdict) && NETPOLC_ROOM(is_reply);
#undef NETPOLC_ROOM
    rows->unsure = malloc((size_t)lines * 4 * sizeof *rows->unsure);
    whole = whole && rows->unsure != NULL;
    for (column = 0; column < ROW_TEXTS; column++) {
        NetpolcTexts *texts = &rows->texts[column];
        texts->offsets = malloc((size_t)(lines + 1) * sizeof *texts->offsets);
        texts->bytes = malloc((size_t)size + 16);
        texts->valid = calloc((size_t)lines / 8 + 1, 1);
        if (texts->offsets == NULL || texts->bytes == NULL || texts->valid == NULL)
            whole = 0;
        else
            texts->offsets[0] = 0;
    }
    return whole;
}

static void netpolc_append(NetpolcTexts *texts, int64_t row, const void *text, int64_t size)
{
    int32_t end = texts->offsets[row + 1];
    memcpy(texts->bytes + end, text, (size_t)size);
    texts->offsets[row + 1] = (int32_t)(end + size);
}

/* The next row of a text column; nothing is null until something is appended and valid is set. */
static void netpolc_begin_text(NetpolcRows *rows, int column)
{
    NetpolcTexts *texts = &rows->texts[column];
    texts->offsets[rows->count + 1] = texts->offsets[rows->count];
}

static void netpolc_validate(NetpolcRows *rows, int column)
{
    rows->texts[column].valid[rows->count >> 3] |= (uint8_t)(1u << (rows->count & 7));
}

static void netpolc_put_text(NetpolcRows *rows, int column, NetpolcSlice own)
{
    netpolc_begin_text(rows, column);
    if (own.size == 0)
        return;
    netpolc_append(&rows->texts[column], rows->count, own.text, own.size);
    netpolc_validate(rows, column);
}

static void netpolc_clear_row(NetpolcRow *row)
{
    memset(row, 0, sizeof *row);
    row->ts = NETPOLC_NO_TIME;
    row->packets = row->octets = NETPOLC_NONE;
    row->src_port = row->port = NETPOLC_NONE;
    row->protocol = NETPOLC_NONE;
    row->direction = row->verdict = row->is_reply = NETPOLC_NONE;
}

/* All of a row but for its policy and pods, which were put before. */
static void netpolc_put_row(NetpolcRows *rows, const NetpolcRow *row)
{
    int64_t at = rows->count;
    rows->ts[at] = row->ts;
    rows->packets[at] = row->packets;
    rows->octets[at] = row->octets;
    rows->src_port[at] = row->src_port;
    rows->port[at] = row->port;
    rows->protocol[at] = row->protocol;
    rows->direction[at] = row->direction;
    rows->verdict[at] = row->verdict;
    rows->is_reply[at] = row->is_reply;
    netpolc_put_text(rows, ROW_SRC, row->src);
    netpolc_put_text(rows, ROW_DST, row->dst);
    netpolc_put_text(rows, ROW_REPORTER, row->reporter);
    rows->count = at + 1;
}

/* A scanner of one line, which ends before `end` with a newline or a zero byte. 1: it is a row. */
typedef int (*NetpolcScanner)(
    const uint8_t *line, const uint8_t *end, const uint8_t *limit, const void *how,
    NetpolcRows *rows);

static int netpolc_is_blank(const uint8_t *line, const uint8_t *end)
{
    while (line < end && (*line == ' ' || (*line >= 9 && *line <= 13)))
        line++;
    return line == end;
}

/* All lines of a block, after which a zero byte can be read. */
static void netpolc_scan(
    const uint8_t *block, int64_t size, int64_t longest, NetpolcScanner scanner, const void *how,
    NetpolcRows *rows)
{
    const uint8_t *line = block, *limit = block + size;
    while (line < limit) {
        const uint8_t *end = memchr(line, '\n', (size_t)(limit - line));
        if (end == NULL)
            end = limit;
        if ((end - line > longest || !scanner(line, end, limit, how, rows))
            && !netpolc_is_blank(line, end)) {
            int64_t *own = rows->unsure + 4 * rows->unsure_count++;
            own[0] = rows->lines;
            own[1] = rows->count;
            own[2] = line - block;
            own[3] = end - line;
        }
        rows->lines++;
        line = end + 1;
    }
}

static int netpolc_digits(const uint8_t *text, int count, int64_t *out)
{
    int64_t found = 0;
    while (count--) {
        if (*text < '0' || *text > '9')
            return 0;
        found = found * 10 + (*text++ - '0');
    }
    *out = found;
    return 1;
}

/* Days since 1970 of a date of the Gregorian calendar. */
static int64_t netpolc_days(int64_t year, int64_t month, int64_t day)
{
    int64_t era, in_era, of_year;
    year -= month <= 2;
    era = year / 400;
    in_era = year - era * 400;
    of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + in_era * 365 + in_era / 4 - in_era / 100 + of_year - 719468;
}

/* Microseconds of `2026-01-01T01:00:00.123456789Z` (RFC 3339 in UTC); 0 for all other forms. */
static int netpolc_time(const uint8_t *text, int64_t size, int64_t *out)
{
    static const int8_t days[] = {31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    int64_t year, month, day, hour, minute, second, fraction = 0, unit = 100000, at;
    if (size < 20 || size > 30 || text[4] != '-' || text[7] != '-' || text[10] != 'T'
        || text[13] != ':' || text[16] != ':' || text[size - 1] != 'Z')
        return 0;
    if (!netpolc_digits(text, 4, &year) || !netpolc_digits(text + 5, 2, &month)
        || !netpolc_digits(text + 8, 2, &day) || !netpolc_digits(text + 11, 2, &hour)
        || !netpolc_digits(text + 14, 2, &minute) || !netpolc_digits(text + 17, 2, &second))
        return 0;
    if (year < 1970 || month < 1 || month > 12 || day < 1 || day > days[month - 1]
        || hour > 23 || minute > 59 || second > 59)
        return 0;
    if (month == 2 && day == 29 && (year % 4 || (year % 100 == 0 && year % 400)))
        return 0;
    if (size > 20 && (text[19] != '.' || size == 21))
        return 0;
    for (at = 20; at < size - 1; at++) {
        if (text[at] < '0' || text[at] > '9')
            return 0;
        fraction += (text[at] - '0') * unit;
        unit /= 10;
    }
    *out = ((netpolc_days(year, month, day) * 24 + hour) * 60 + minute) * 60 + second;
    *out = *out * 1000000 + fraction;
    return 1;
}

#endif
