/* Words of a column of text, each once, numbered as they come.
 *
 * In: the text of a row after the other, which may be appended in pieces first. Out: the number of
 * its word; the words with their offsets as Arrow has them.
 */
#ifndef NETPOLC_FLOW_WORDS_H
#define NETPOLC_FLOW_WORDS_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Places of the table that are tried. Texts that collide on purpose become words more than once,
 * which costs whoever reads them and changes nothing. */
#define NETPOLC_MOST_TRIES 64

typedef struct {
    int32_t *offsets;       /* one more than words */
    uint8_t *bytes;
    int32_t *table;         /* numbers from 1 on */
    int64_t count, slots, room;
    int has_failed;         /* there was no memory: what comes next is dropped */
} NetpolcTexts;

static void netpolc_texts_free(NetpolcTexts *texts)
{
    free(texts->offsets);
    free(texts->bytes);
    free(texts->table);
}

static inline uint64_t netpolc_eight(const uint8_t *text)
{
    uint64_t found;
    memcpy(&found, text, 8);
    return found;
}

static inline uint64_t netpolc_hash(const uint8_t *text, int64_t size)
{
    uint64_t found = (uint64_t)size, part = 0;
    int64_t at;
    for (at = 0; at + 8 < size; at += 8) {
        found = (found ^ netpolc_eight(text + at)) * 0x9E3779B97F4A7C15u;
        found ^= found >> 29;
    }
    if (size >= 8)
        part = netpolc_eight(text + size - 8);
    else
        for (at = 0; at < size; at++)
            part = part << 8 | text[at];
    found = (found ^ part) * 0xBF58476D1CE4E5B9u;
    return found ^ found >> 32;
}

static inline int netpolc_same_text(const uint8_t *one, const uint8_t *other, int64_t size)
{
    int64_t at;
    if (size < 8) {
        for (at = 0; at < size; at++)
            if (one[at] != other[at])
                return 0;
        return 1;
    }
    for (at = 0; at + 8 < size; at += 8)
        if (netpolc_eight(one + at) != netpolc_eight(other + at))
            return 0;
    return netpolc_eight(one + size - 8) == netpolc_eight(other + size - 8);
}

/* Four times as many slots, and two of them for each word there may be. */
static int netpolc_more_slots(NetpolcTexts *texts)
{
    int64_t slots = texts->slots ? 4 * texts->slots : 256, word;
    int32_t *table = calloc((size_t)slots, sizeof *table);
    int32_t *offsets = realloc(texts->offsets, (size_t)(slots / 2 + 1) * sizeof *offsets);
    free(texts->table);
    texts->table = table;
    texts->slots = slots;
    if (offsets != NULL)
        texts->offsets = offsets;
    if (table == NULL || offsets == NULL) {
        texts->has_failed = 1;
        return 0;
    }
    offsets[0] = 0;
    for (word = 0; word < texts->count; word++) {
        int32_t first = offsets[word];
        uint64_t slot = netpolc_hash(texts->bytes + first, offsets[word + 1] - first);
        int tries = NETPOLC_MOST_TRIES;
        while (table[slot &= (uint64_t)slots - 1] && --tries)
            slot++;
        table[slot] = (int32_t)word + 1;
    }
    return 1;
}

/* Where the next word begins, with room for so many bytes; NULL: no memory. */
static inline uint8_t *netpolc_tail(NetpolcTexts *texts, int64_t size)
{
    int64_t end = texts->count ? texts->offsets[texts->count] : 0;
    if (texts->room < end + size) {
        uint8_t *bytes = realloc(texts->bytes, (size_t)(2 * (end + size)));
        if (bytes == NULL) {
            texts->has_failed = 1;
            return NULL;
        }
        texts->bytes = bytes;
        texts->room = 2 * (end + size);
    }
    return texts->bytes + end;
}

/* Pieces of a word that is yet to get its number. */
static void netpolc_append(NetpolcTexts *texts, int64_t *size, const void *text, int64_t more)
{
    uint8_t *tail = netpolc_tail(texts, *size + more);
    if (tail == NULL)
        return;
    memcpy(tail + *size, text, (size_t)more);
    *size += more;
}

/* The number of a word, which may lie at the tail. */
static inline int32_t netpolc_word_number(NetpolcTexts *texts, const uint8_t *text, int64_t size)
{
    uint64_t slot;
    uint8_t *tail;
    int tries = NETPOLC_MOST_TRIES;
    if (texts->has_failed
        || (2 * texts->count >= texts->slots && !netpolc_more_slots(texts)))
        return 0;
    slot = netpolc_hash(text, size) & ((uint64_t)texts->slots - 1);
    while (texts->table[slot] && --tries) {
        int32_t own = texts->table[slot] - 1, first = texts->offsets[own];
        if (texts->offsets[own + 1] - first == size
            && netpolc_same_text(texts->bytes + first, text, size))
            return own;
        slot = (slot + 1) & ((uint64_t)texts->slots - 1);
    }
    if ((tail = netpolc_tail(texts, size)) == NULL)
        return 0;
    if (tail != text)
        memcpy(tail, text, (size_t)size);
    texts->offsets[texts->count + 1] = texts->offsets[texts->count] + (int32_t)size;
    texts->table[slot] = (int32_t)++texts->count;
    return (int32_t)texts->count - 1;
}

#endif
