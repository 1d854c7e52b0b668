/* Rows of flow logs as columns, filled without the interpreter's lock.
 *
 * In: records that a scanner of one format found in a block of lines, and room for as many rows as
 * the block has lines. Out: columns in the form of Arrow (flow_columns.h): numbers with a value that
 * stands for null, text as the number of its word. A line that a scanner is not sure of becomes no
 * row: its number and place are listed, and the reference decoder of the format reads it.
 */
#ifndef NETPOLC_FLOW_ROWS_H
#define NETPOLC_FLOW_ROWS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "flow_words.h"
#include "slice.h"

#define NETPOLC_NONE (-1)

enum { ROW_SRC, ROW_DST, ROW_REPORTER, ROW_POLICY, ROW_SRC_POD, ROW_DST_POD, ROW_TEXTS };

/* Texts are columns as well, of the words' numbers. */
enum {
    COLUMN_TS = ROW_TEXTS, COLUMN_PACKETS, COLUMN_BYTES, COLUMN_SRC_PORT, COLUMN_PORT,
    COLUMN_PROTOCOL, COLUMN_DIRECTION, COLUMN_VERDICT, COLUMN_IS_REPLY, ROW_COLUMNS
};

typedef struct {
    void *values;           /* room for all lines; who calls owns it */
    uint8_t *valid;         /* bits, filled where some are null and some are not */
    int64_t nulls;
} NetpolcColumn;

typedef struct {
    int64_t count, lines;
    NetpolcColumn columns[ROW_COLUMNS];
    NetpolcTexts texts[ROW_TEXTS];
    int8_t *is_reply;       /* in its column as bits */
    int64_t unsure_count;
    int64_t *unsure;        /* of each: its line, rows before it, its first byte, its size */
} NetpolcRows;

typedef struct {
    int64_t ts, packets, octets;
    int32_t src_port, port, direction, verdict;  /* the last two: places in a list of words */
    int16_t protocol;
    int8_t is_reply;
    NetpolcSlice src, dst, reporter;
} NetpolcRow;

static void netpolc_rows_free(NetpolcRows *rows)
{
    int at;
    free(rows->is_reply);
    free(rows->unsure);
    for (at = 0; at < ROW_TEXTS; at++)
        netpolc_texts_free(&rows->texts[at]);
}

/* Memory of a block is used for the next one. glibc would give it back to the kernel, and take it
 * again page by page, which can cost as much as scanning does. */
static void netpolc_keep_memory(void)
{
#if defined(__GLIBC__)
    mallopt(M_MMAP_THRESHOLD, 16 << 20);
    mallopt(M_TRIM_THRESHOLD, 64 << 20);
#endif
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

typedef struct {
    uint8_t *target;
    const void *source;
    int64_t size;
} NetpolcPiece;

/* Pieces behind each other: how many lines end in them. The same for whoever counts. */
__attribute__((noinline)) static int64_t netpolc_join(
    const NetpolcPiece *pieces, int64_t count, const uint8_t *whole, int64_t size)
{
    int64_t at;
    for (at = 0; at < count; at++)
        memcpy(pieces[at].target, pieces[at].source, (size_t)pieces[at].size);
    return netpolc_newlines(whole, whole + size);
}

/* What is needed beside the columns for so many lines. 0: no memory. */
static int netpolc_rows_init(NetpolcRows *rows, int64_t lines)
{
    rows->count = rows->lines = rows->unsure_count = 0;
    memset(rows->texts, 0, sizeof rows->texts);
    rows->is_reply = malloc((size_t)lines);
    rows->unsure = malloc((size_t)lines * 4 * sizeof *rows->unsure);
    return rows->is_reply != NULL && rows->unsure != NULL;
}

/* The next row of a column of text. Until there is a word all is null, and nothing is written. */
static inline void netpolc_put_null(NetpolcRows *rows, int text)
{
    if (rows->texts[text].count)
        ((int32_t *)rows->columns[text].values)[rows->count] = NETPOLC_NONE;
}

static inline void netpolc_put_word(NetpolcRows *rows, int text, const uint8_t *own, int64_t size)
{
    int32_t *numbers = rows->columns[text].values;
    if (rows->texts[text].count == 0)
        memset(numbers, 0xFF, (size_t)rows->count * sizeof *numbers);
    numbers[rows->count] = netpolc_word_number(&rows->texts[text], own, size);
}

/* A word that was appended. */
static void netpolc_put_appended(NetpolcRows *rows, int text, int64_t size)
{
    netpolc_put_word(rows, text, netpolc_tail(&rows->texts[text], 0), size);
}

static inline void netpolc_put_text(NetpolcRows *rows, int text, NetpolcSlice own)
{
    if (own.size == 0)
        netpolc_put_null(rows, text);
    else
        netpolc_put_word(rows, text, own.text, own.size);
}

static void netpolc_clear_row(NetpolcRow *row)
{
    memset(row, 0, sizeof *row);
    row->ts = NETPOLC_NONE;
    row->packets = row->octets = NETPOLC_NONE;
    row->src_port = row->port = NETPOLC_NONE;
    row->protocol = NETPOLC_NONE;
    row->direction = row->verdict = row->is_reply = NETPOLC_NONE;
}

/* All of a row but for its policy and pods, which were put before. */
static void netpolc_put_row(NetpolcRows *rows, const NetpolcRow *row)
{
    int64_t at = rows->count;
    NetpolcColumn *columns = rows->columns;
    ((int64_t *)columns[COLUMN_TS].values)[at] = row->ts;
    ((int64_t *)columns[COLUMN_PACKETS].values)[at] = row->packets;
    ((int64_t *)columns[COLUMN_BYTES].values)[at] = row->octets;
    ((int32_t *)columns[COLUMN_SRC_PORT].values)[at] = row->src_port;
    ((int32_t *)columns[COLUMN_PORT].values)[at] = row->port;
    ((int16_t *)columns[COLUMN_PROTOCOL].values)[at] = row->protocol;
    ((int32_t *)columns[COLUMN_DIRECTION].values)[at] = row->direction;
    ((int32_t *)columns[COLUMN_VERDICT].values)[at] = row->verdict;
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
