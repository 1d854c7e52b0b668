/* Rows of CSV and objects of JSON lines that are copied with a verdict: which flow each is of.
 *
 * In: a block of whole lines, and what each column means. Out: for each line the number of its flow
 * among the distinct ones (their four cells as they are written), or that it is blank, or odd: then
 * the reference must look (netpolc/flows/rowwise/copying.py). Only lines that may be copied as they
 * are have a flow: ASCII that prints, no quotes in cells, nothing that a spreadsheet or a runner of
 * CI takes for a command (netpolc/core/foreign.py).
 */
#ifndef NETPOLC_FLOW_COPIES_H
#define NETPOLC_FLOW_COPIES_H

#include "flow_json.h"
#include "flow_vpc.h"

enum { COPY_SRC, COPY_DST, COPY_PROTOCOL, COPY_PORT, COPY_CELLS };
enum { COPY_ODD = -1, COPY_BLANK = -2 };

/* Places of the table that are tried: a log that collides on purpose is left to the reference. */
#define NETPOLC_MOST_PROBES 32

typedef struct {
    NetpolcSlice cells[COPY_CELLS];
    uint32_t hash;
} NetpolcCopiedFlow;

typedef struct {
    int64_t lines, count;
    int32_t *numbers;           /* of each line */
    NetpolcCopiedFlow *flows;
    int32_t *table;             /* numbers of flows from 1 on */
    uint32_t mask;
} NetpolcCopies;

/* Cells of a line by their columns; 0 where it is odd. */
typedef int (*NetpolcCopyScanner)(
    const uint8_t *line, const uint8_t *end, const uint8_t *limit, const NetpolcColumns *columns,
    NetpolcSlice *found);

static void netpolc_copies_free(NetpolcCopies *copies)
{
    free(copies->numbers);
    free(copies->flows);
    free(copies->table);
}

static int netpolc_copies_init(NetpolcCopies *copies, const uint8_t *block, int64_t size)
{
    size_t lines = (size_t)netpolc_newlines(block, block + size) + 1, places = 64;
    memset(copies, 0, sizeof *copies);
    while (places < 2 * lines)
        places *= 2;
    copies->mask = (uint32_t)(places - 1);
    copies->numbers = malloc(lines * sizeof *copies->numbers);
    copies->flows = malloc(lines * sizeof *copies->flows);
    copies->table = calloc(places, sizeof *copies->table);
    return copies->numbers != NULL && copies->flows != NULL && copies->table != NULL;
}

static int netpolc_same_flow(const NetpolcSlice *one, const NetpolcSlice *other)
{
    int cell;
    for (cell = 0; cell < COPY_CELLS; cell++)
        if (one[cell].size != other[cell].size
            || memcmp(one[cell].text, other[cell].text, (size_t)one[cell].size))
            return 0;
    return 1;
}

static int32_t netpolc_flow_number(NetpolcCopies *copies, const NetpolcSlice *cells)
{
    uint32_t hash = 2166136261u, place;
    int cell, probe;
    int64_t at;
    for (cell = 0; cell < COPY_CELLS; cell++) {
        for (at = 0; at < cells[cell].size; at++)
            hash = (hash ^ cells[cell].text[at]) * 16777619u;
        hash = (hash ^ ',') * 16777619u;
    }
    place = (hash ^ hash >> 15) & copies->mask;
    for (probe = 0; probe < NETPOLC_MOST_PROBES; probe++, place = (place + 1) & copies->mask) {
        int32_t number = copies->table[place] - 1;
        if (number < 0) {
            NetpolcCopiedFlow *flow = &copies->flows[copies->count];
            memcpy(flow->cells, cells, sizeof flow->cells);
            flow->hash = hash;
            copies->table[place] = (int32_t)++copies->count;
            return (int32_t)copies->count - 1;
        }
        if (copies->flows[number].hash == hash
            && netpolc_same_flow(copies->flows[number].cells, cells))
            return number;
    }
    return COPY_ODD;
}

/* Whether a cell may stand in a CSV that others open. */
static int netpolc_is_harmless(const uint8_t *at, const uint8_t *end)
{
    const uint8_t *first = at;
    while (at < end && *at == ' ')
        at++;
    if (at == end || (*at != ':' && *at != '=' && *at != '+' && *at != '@' && *at != '-'))
        return 1;
    if (at > first || *at == ':')
        return 0;
    for (at++; at < end; at++)
        if (!(*at >= '0' && *at <= '9') && *at != '.' && *at != ',' && *at != '+' && *at != '-')
            return 0;
    return 1;
}

/* Behind a cell, whose content is from `*first` to `*last`; NULL where it is odd. */
static const uint8_t *netpolc_csv_cell(
    const uint8_t *at, const uint8_t *end, const uint8_t **first, const uint8_t **last)
{
    int is_quoted = at < end && *at == '"';
    *first = at += is_quoted;
    for (; at < end && *at != (is_quoted ? '"' : ','); at++)
        if (*at < ' ' || *at > '~' || *at == '"' || *at == '#' || *at == '|')
            return NULL;
    *last = at;
    if (is_quoted && at++ == end)
        return NULL;
    return (at == end || *at == ',') && netpolc_is_harmless(*first, *last) ? at : NULL;
}

static int netpolc_copy_csv(
    const uint8_t *at, const uint8_t *end, const uint8_t *limit, const NetpolcColumns *columns,
    NetpolcSlice *found)
{
    const uint8_t *first, *last;
    int column = 0;
    (void)limit;
    for (;;) {
        at = netpolc_csv_cell(at, end, &first, &last);
        if (at == NULL || column == columns->count)
            return 0;
        if (columns->roles[column]) {
            found[columns->roles[column] - 1].text = first;
            found[columns->roles[column] - 1].size = last - first;
        }
        column++;
        if (at == end)
            return column == columns->count;
        at++;
    }
}

static int netpolc_may_be_copied(const uint8_t *at, const uint8_t *end)
{
    for (; at < end; at++)
        if (*at < ' ' || *at > '~' || (*at == '#' && at[1] == '#'))
            return 0;
    return 1;
}

/* Text, a whole number up to 65535, or null, which is as empty. */
static NetpolcAt netpolc_cell(NetpolcAt at, NetpolcAt limit, NetpolcSlice *out)
{
    int32_t number;
    NetpolcAt first = at;
    if (*at == '"')
        return netpolc_text(at, limit, out);
    at = netpolc_port_or_null(at, &number);
    out->text = first;
    out->size = at == NULL || *first == 'n' ? 0 : at - first;
    return at;
}

static int netpolc_copy_json(
    const uint8_t *at, const uint8_t *end, const uint8_t *limit, const NetpolcColumns *columns,
    NetpolcSlice *found)
{
    NetpolcSlice key;
    int seen = 0, is_first = 1, more, cell;
    (void)columns;
    if (!netpolc_may_be_copied(at, end))
        return 0;
    at = netpolc_space(at);
    if (*at++ != '{')
        return 0;
    while ((more = netpolc_key(&at, limit, is_first, &key)) > 0) {
        is_first = 0;
        cell = netpolc_is(key, "src") ? COPY_SRC : netpolc_is(key, "dst") ? COPY_DST
            : netpolc_is(key, "protocol") ? COPY_PROTOCOL
            : netpolc_is(key, "port") ? COPY_PORT : COPY_CELLS;
        if (cell == COPY_CELLS) {
            if (netpolc_is(key, "verdict"))
                return 0;
            at = netpolc_skip(at, limit, 1);
        } else {
            if (seen & 1 << cell || (cell != COPY_PORT && *at == 'n')
                || (cell <= COPY_DST && *at != '"'))
                return 0;
            seen |= 1 << cell;
            at = netpolc_cell(at, limit, &found[cell]);
        }
        if (at == NULL)
            return 0;
    }
    return !more && (seen & 7) == 7 && netpolc_space(at) == end;
}

static void netpolc_scan_copies(
    const uint8_t *block, int64_t size, int64_t longest, NetpolcCopyScanner scanner,
    const NetpolcColumns *columns, NetpolcCopies *copies)
{
    const uint8_t *line = block, *limit = block + size;
    while (line < limit) {
        NetpolcSlice found[COPY_CELLS];
        const uint8_t *end = memchr(line, '\n', (size_t)(limit - line));
        const uint8_t *next = (end == NULL ? limit : end) + 1;
        int32_t number = COPY_ODD;
        int cell;
        if (end == NULL)
            end = limit;
        if (netpolc_is_blank(line, end)) {
            number = COPY_BLANK;
        } else if (end - line <= longest) {
            end -= end[-1] == '\r';
            for (cell = 0; cell < COPY_CELLS; cell++) {
                found[cell].text = line;  /* of a cell that is not there: empty, and somewhere */
                found[cell].size = 0;
            }
            if (scanner(line, end, limit, columns, found))
                number = netpolc_flow_number(copies, found);
        }
        copies->numbers[copies->lines++] = number;
        line = next;
    }
}

/* The lines of a block, each with the ending of its flow; of JSON in the place of its last brace.
 * Odd ones are replaced by the next of `odd`. `out` has room; the end of what is written. */
static uint8_t *netpolc_copy(
    const uint8_t *block, int64_t size, const int32_t *numbers, const NetpolcSlice *endings,
    const NetpolcSlice *odd, int is_json, uint8_t *out)
{
    const uint8_t *line = block, *limit = block + size;
    for (; line < limit; numbers++) {
        const uint8_t *end = memchr(line, '\n', (size_t)(limit - line));
        const uint8_t *next = (end == NULL ? limit : end) + 1;
        const NetpolcSlice *ending = *numbers >= 0 ? &endings[*numbers] : odd;
        if (end == NULL)
            end = limit;
        if (*numbers >= 0) {
            end -= end[-1] == '\r';
            if (is_json) {
                while (*--end != '}') {}
                while (end[-1] == ' ')
                    end--;
            }
            memcpy(out, line, (size_t)(end - line));
            out += end - line;
        }
        if (*numbers != COPY_BLANK) {
            memcpy(out, ending->text, (size_t)ending->size);
            out += ending->size;
        }
        odd += *numbers == COPY_ODD;
        line = next;
    }
    return out;
}

#endif
