/* A piece of a text that lies elsewhere. */
#ifndef NETPOLC_SLICE_H
#define NETPOLC_SLICE_H

#include <stdint.h>

typedef struct {
    const uint8_t *text;
    int64_t size;           /* 0: null, or nothing */
} NetpolcSlice;

#endif
