/* Rows of a block as Arrow has columns: bits of validity, words with the word of each row.
 *
 * In: rows that have been scanned (`flow_rows.h`). Out: the same rows with what Arrow wants beside
 * them; 0 when there is no memory. Texts are replaced by their words, each once.
 */
#ifndef NETPOLC_FLOW_COLUMNS_H
#define NETPOLC_FLOW_COLUMNS_H

#include "flow_rows.h"

static uint64_t netpolc_hash(const uint8_t *text, int64_t size)
{
    uint64_t found = (uint64_t)size, part;
    for (; size >= 8; text += 8, size -= 8) {
        memcpy(&part, text, 8);
        found = (found ^ part) * 0x9E3779B97F4A7C15u;
        found ^= found >> 29;
    }
    part = 0;
    memcpy(&part, text, (size_t)size);
    found = (found ^ part) * 0xBF58476D1CE4E5B9u;
    return found ^ found >> 32;
}

/* The number of a word, which is new if it is the count; the table holds numbers from 1 on. */
static int32_t netpolc_word_number(
    const NetpolcTexts *texts, int32_t *table, uint64_t mask, const uint8_t *text, int64_t size)
{
    uint64_t slot = netpolc_hash(text, size) & mask;
    for (; table[slot]; slot = (slot + 1) & mask) {
        int32_t own = table[slot] - 1;
        if (texts->offsets[own + 1] - texts->offsets[own] == size
            && memcmp(texts->bytes + texts->offsets[own], text, (size_t)size) == 0)
            return own;
    }
    table[slot] = (int32_t)texts->count + 1;
    return (int32_t)texts->count;
}

/* Words move to the front of the bytes, none behind the place where it was read. */
static int netpolc_encode(NetpolcTexts *texts, int64_t rows)
{
    uint64_t slots = 2;
    int64_t row;
    int32_t *table, begin = 0;
    while (slots < 2 * (uint64_t)rows)
        slots *= 2;
    table = calloc(slots, sizeof *table);
    texts->codes = malloc((size_t)(rows + 1) * sizeof *texts->codes);
    if (table == NULL || texts->codes == NULL) {
        free(table);
        return 0;
    }
    texts->count = texts->nulls = 0;
    for (row = 0; row < rows; row++) {
        int32_t end = texts->offsets[row + 1], number = 0;
        if (texts->valid[row >> 3] >> (row & 7) & 1) {
            const uint8_t *text = texts->bytes + begin;
            int32_t size = end - begin, first = texts->offsets[texts->count];
            number = netpolc_word_number(texts, table, slots - 1, text, size);
            if (number == texts->count) {
                memmove(texts->bytes + first, text, (size_t)size);
                texts->offsets[++texts->count] = first + size;
            }
        } else {
            texts->nulls++;
        }
        texts->codes[row] = number;
        begin = end;
    }
    free(table);
    return 1;
}

/* `own` is a row's value, `set` whether it is one, `then` what else is done with it. */
#define NETPOLC_COLUMN(column, own, set, then) \
    do { \
        NetpolcNulls *nulls = &rows->nulls[column]; \
        if ((nulls->valid = calloc((size_t)count / 8 + 1, 1)) == NULL) \
            return 0; \
        for (row = 0; row < count; row++) { \
            int is_set = (own) != (set); \
            nulls->valid[row >> 3] |= (uint8_t)(is_set << (row & 7)); \
            nulls->nulls += !is_set; \
            then; \
        } \
    } while (0)

static int netpolc_finish(NetpolcRows *rows)
{
    int64_t count = rows->count, row;
    int column;
    for (column = 0; column < ROW_TEXTS; column++)
        if (!netpolc_encode(&rows->texts[column], count))
            return 0;
    rows->words[0] = malloc((size_t)(count + 1) * sizeof(int32_t));
    rows->words[1] = malloc((size_t)(count + 1) * sizeof(int32_t));
    rows->replies = calloc((size_t)count / 8 + 1, 1);
    if (rows->words[0] == NULL || rows->words[1] == NULL || rows->replies == NULL)
        return 0;
    NETPOLC_COLUMN(COLUMN_TS, rows->ts[row], NETPOLC_NO_TIME, (void)0);
    NETPOLC_COLUMN(COLUMN_PACKETS, rows->packets[row], NETPOLC_NONE, (void)0);
    NETPOLC_COLUMN(COLUMN_BYTES, rows->octets[row], NETPOLC_NONE, (void)0);
    NETPOLC_COLUMN(COLUMN_SRC_PORT, rows->src_port[row], NETPOLC_NONE, (void)0);
    NETPOLC_COLUMN(COLUMN_PORT, rows->port[row], NETPOLC_NONE, (void)0);
    NETPOLC_COLUMN(COLUMN_PROTOCOL, rows->protocol[row], NETPOLC_NONE, (void)0);
    NETPOLC_COLUMN(
        COLUMN_DIRECTION, rows->direction[row], NETPOLC_NONE,
        rows->words[0][row] = is_set ? rows->direction[row] : 0);
    NETPOLC_COLUMN(
        COLUMN_VERDICT, rows->verdict[row], NETPOLC_NONE,
        rows->words[1][row] = is_set ? rows->verdict[row] : 0);
    NETPOLC_COLUMN(
        COLUMN_IS_REPLY, rows->is_reply[row], NETPOLC_NONE,
        rows->replies[row >> 3] |= (uint8_t)((rows->is_reply[row] > 0) << (row & 7)));
    return 1;
}

#endif
