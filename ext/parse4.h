/* Dotted IPv4 text to a number without a branch for each character.
 *
 * In: text of which 20 bytes may be read, whatever its size. Out: 1 and the address, or 0 for all
 * that is not four decimal octets without leading zeros, and on big-endian machines for everything:
 * then address.pxd's parser has the word.
 *
 * The dots' places give every octet's first character and length. Its bytes are shifted to the top
 * of a 32-bit word, so that the last digit is always in the same byte:
 *
 *     "7."   -> | 7 |   |   |   |     "214." -> | 4 | 1 | 2 |   |     (most significant byte first)
 */
#ifndef NETPOLC_PARSE4_H
#define NETPOLC_PARSE4_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if (defined(__GNUC__) || defined(__clang__)) && defined(__BYTE_ORDER__) \
    && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NETPOLC_FAST_PARSE4 1

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* A bit for each dot among the first 16 bytes. */
static inline uint32_t netpolc_dots(const uint8_t *text)
{
#ifdef __SSE2__
    __m128i bytes = _mm_loadu_si128((const __m128i *)text);
    return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('.')));
#else
    uint32_t dots = 0;
    int half;
    for (half = 0; half < 2; half++) {
        uint64_t word;
        memcpy(&word, text + 8 * half, 8);
        word ^= 0x2e2e2e2e2e2e2e2eULL;
        /* 0x80 in the bytes that are zero, exactly: no borrow crosses a byte. */
        word = ~(((word & 0x7f7f7f7f7f7f7f7fULL) + 0x7f7f7f7f7f7f7f7fULL) | word
            | 0x7f7f7f7f7f7f7f7fULL);
        dots |= (uint32_t)((word >> 7) * 0x0102040810204080ULL >> 56) << (8 * half);
    }
    return dots;
#endif
}

/* One octet; `bad` collects what is wrong. */
static inline uint32_t netpolc_octet(
    const uint8_t *text, uint32_t first, uint32_t end, uint32_t *bad)
{
    static const uint32_t least[4] = {0, 0, 10, 100};
    uint32_t length = end - first, word, shift, value;
    *bad |= (length - 1) > 2;
    length &= 3;
    shift = 8 * (4 - length) & 31;
    memcpy(&word, text + (first & 15), 4);
    word = (word << shift) ^ (0x30303030u << shift);
    *bad |= ((word + 0x76767676u) | word) & 0x80808080u;
    value = (word >> 8 & 255) * 100 + (word >> 16 & 255) * 10 + (word >> 24);
    *bad |= (value > 255) | (value < least[length]);
    return value;
}

static inline int netpolc_parse4(const uint8_t *text, size_t size, uint32_t *out)
{
    uint32_t dots, first, second, third, bad = 0, address;
    if (size - 7 > 8)
        return 0;
    dots = netpolc_dots(text) & ((1u << size) - 1);
    if (__builtin_popcount(dots) != 3)
        return 0;
    first = (uint32_t)__builtin_ctz(dots);
    dots &= dots - 1;
    second = (uint32_t)__builtin_ctz(dots);
    dots &= dots - 1;
    third = (uint32_t)__builtin_ctz(dots);
    address = netpolc_octet(text, 0, first, &bad) << 24;
    address |= netpolc_octet(text, first + 1, second, &bad) << 16;
    address |= netpolc_octet(text, second + 1, third, &bad) << 8;
    address |= netpolc_octet(text, third + 1, (uint32_t)size, &bad);
    *out = address;
    return bad == 0;
}

#else

static inline int netpolc_parse4(const uint8_t *text, size_t size, uint32_t *out)
{
    (void)text; (void)size; (void)out;
    return 0;
}

#endif
#endif
