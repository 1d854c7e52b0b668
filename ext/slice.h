/* A piece of a text that lies elsewhere. */
#ifndef NETPOLC_SLICE_H
#define NETPOLC_SLICE_H

#include <stdint.h>
#include <string.h>

typedef struct {
    const uint8_t *text;
    int64_t size;           /* 0: null, or nothing */
} NetpolcSlice;

static inline int netpolc_is(NetpolcSlice own, const char *word)
{
    size_t size = strlen(word);  /* of a literal: a constant */
    return (size_t)own.size == size && memcmp(own.text, word, size) == 0;
}

#endif
