/* Rows of a block as Arrow has columns: bits of validity, booleans as bits.
 *
 * In: rows that have been scanned (flow_rows.h). Out: the same with what Arrow wants beside them; 0
 * when there was no memory for them. A column all or none of whose values are null has no bits.
 */
#ifndef NETPOLC_FLOW_COLUMNS_H
#define NETPOLC_FLOW_COLUMNS_H

#include "flow_rows.h"

/* Nulls are counted, which is all where there are none; what stands for null may become another
 * value then, as indices must lie among the words. */
#define NETPOLC_FINISHED(kind, none) \
    static void netpolc_finish_##kind(NetpolcColumn *column, kind *values, int64_t count, int is_word) \
    { \
        int64_t row, nulls = 0; \
        for (row = 0; row < count; row++) \
            nulls += values[row] == (none); \
        column->nulls = nulls; \
        if (nulls == 0 || nulls == count) \
            return; \
        memset(column->valid, 0, (size_t)(count + 7) / 8); \
        for (row = 0; row < count; row++) { \
            int is_null = values[row] == (none); \
            column->valid[row >> 3] |= (uint8_t)(!is_null << (row & 7)); \
            if (is_word && is_null) \
                values[row] = 0; \
        } \
    }

NETPOLC_FINISHED(int64_t, NETPOLC_NONE)
NETPOLC_FINISHED(int32_t, NETPOLC_NONE)
NETPOLC_FINISHED(int16_t, NETPOLC_NONE)
NETPOLC_FINISHED(int8_t, NETPOLC_NONE)

static void netpolc_finish_column(NetpolcRows *rows, int which)
{
    NetpolcColumn *column = &rows->columns[which];
    switch (which) {
    case COLUMN_TS: case COLUMN_PACKETS: case COLUMN_BYTES:
        netpolc_finish_int64_t(column, column->values, rows->count, 0);
        return;
    case COLUMN_SRC_PORT: case COLUMN_PORT:
        netpolc_finish_int32_t(column, column->values, rows->count, 0);
        return;
    case COLUMN_PROTOCOL:
        netpolc_finish_int16_t(column, column->values, rows->count, 0);
        return;
    case COLUMN_IS_REPLY:
        netpolc_finish_int8_t(column, rows->is_reply, rows->count, 0);
        return;
    default:
        if (which < ROW_TEXTS && rows->texts[which].count == 0)
            column->nulls = rows->count;
        else
            netpolc_finish_int32_t(column, column->values, rows->count, 1);
    }
}

static int netpolc_finish(NetpolcRows *rows)
{
    uint8_t *replies = rows->columns[COLUMN_IS_REPLY].values;
    int64_t row;
    int at;
    for (at = 0; at < ROW_TEXTS; at++)
        if (rows->texts[at].has_failed)
            return 0;
    for (at = 0; at < ROW_COLUMNS; at++)
        netpolc_finish_column(rows, at);
    if (rows->columns[COLUMN_IS_REPLY].nulls == rows->count)
        return 1;
    memset(replies, 0, (size_t)(rows->count + 7) / 8);
    for (row = 0; row < rows->count; row++)
        replies[row >> 3] |= (uint8_t)((rows->is_reply[row] > 0) << (row & 7));
    return 1;
}

/* All that is done with a block of so many lines without the lock, and nothing else: whoever counts
 * instructions finds it by its name. 0: no memory. */
__attribute__((noinline)) static int netpolc_scan_block(
    const uint8_t *block, int64_t size, int64_t lines, int64_t longest, NetpolcScanner scanner,
    const void *how, NetpolcRows *rows)
{
    if (!netpolc_rows_init(rows, lines))
        return 0;
    netpolc_scan(block, size, longest, scanner, how, rows);
    return netpolc_finish(rows);
}

#endif
