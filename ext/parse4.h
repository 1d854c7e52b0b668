/* Dotted IPv4 text to a number with SSE4.1, chosen at run time; address.pxd has the portable form.
 *
 * In: text of which 16 bytes may be read, whatever its size. Out: 1 and the address, or 0 for all
 * that is not four decimal octets without leading zeros, and where the text is left to the portable
 * parser.
 *
 * The places of the dots choose one of 81 shuffles, which puts every octet's digits into a 32-bit
 * lane, ones first; two multiplications add them up.
 *
 *     "10.64.0.7"   ->   | 0 1 . . | 4 6 . . | 0 . . . | 7 . . . |   ->   10 64 0 7
 */
#ifndef NETPOLC_PARSE4_H
#define NETPOLC_PARSE4_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#if defined(__x86_64__) && (defined(__GNUC__) || defined(__clang__))
#include <immintrin.h>

typedef struct {
    uint8_t shuffle[16];
    int32_t least[4];       /* an octet of so many digits: below it begins with a zero */
    uint32_t places;        /* of the dots, and one bit past the end */
} NetpolcPattern;

static NetpolcPattern netpolc_patterns[81];

static int netpolc_has_sse41(void)
{
    __builtin_cpu_init();
    return __builtin_cpu_supports("sse4.1") != 0;  /* it gives a bit, not 1 */
}

/* Before the first parse; the module does it when it is imported. */
static void netpolc_init_patterns(void)
{
    static const int32_t least[4] = {0, 0, 10, 100};
    int number, octet, digit;
    for (number = 0; number < 81; number++) {
        int lengths[4] = {number / 27, number / 9 % 3, number / 3 % 3, number % 3};
        int at = 0;
        NetpolcPattern *p = &netpolc_patterns[number];
        memset(p->shuffle, 0x80, 16);
        p->places = 0;
        for (octet = 0; octet < 4; octet++) {
            int length = lengths[octet] + 1;
            for (digit = 0; digit < length; digit++)
                p->shuffle[4 * octet + digit] = (uint8_t)(at + length - 1 - digit);
            p->least[octet] = least[length];
            at += length;
            p->places |= 1u << at;
            at++;
        }
    }
}

__attribute__((target("sse4.1")))
static int netpolc_parse4_sse41(const uint8_t *text, size_t size, uint32_t *out)
{
    const __m128i weights = _mm_set1_epi32(0x00640a01);
    __m128i bytes, digits, octets, wrong;
    uint32_t one, two, three, number;
    const NetpolcPattern *p;
    if (size - 7 > 8)
        return 0;
    bytes = _mm_loadu_si128((const __m128i *)text);
    one = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8('.')))
        & ((1u << size) - 1);
    two = one & (one - 1);
    three = two & (two - 1);
    if (three == 0)
        return 0;
    /* The lengths of the octets, less one each, as digits of a number to the base of three. */
    number = 18 * (uint32_t)__builtin_ctz(one) + 6 * (uint32_t)__builtin_ctz(two)
        + 2 * (uint32_t)__builtin_ctz(three) + (uint32_t)size - 53;
    if (number > 80)
        return 0;
    p = &netpolc_patterns[number];
    if (p->places != (one | 1u << size))
        return 0;
    digits = _mm_shuffle_epi8(
        _mm_xor_si128(bytes, _mm_set1_epi8('0')), _mm_loadu_si128((const __m128i *)p->shuffle));
    octets = _mm_madd_epi16(_mm_maddubs_epi16(digits, weights), _mm_set1_epi16(1));
    wrong = _mm_or_si128(
        _mm_subs_epu8(digits, _mm_set1_epi8(9)),
        _mm_or_si128(
            _mm_cmpgt_epi32(octets, _mm_set1_epi32(255)),
            _mm_cmpgt_epi32(_mm_loadu_si128((const __m128i *)p->least), octets)));
    if (!_mm_testz_si128(wrong, wrong))
        return 0;
    *out = (uint32_t)_mm_cvtsi128_si32(
        _mm_shuffle_epi8(octets, _mm_cvtsi32_si128(0x0004080c)));
    return 1;
}

#else

static int netpolc_has_sse41(void) { return 0; }
static void netpolc_init_patterns(void) { }

static int netpolc_parse4_sse41(const uint8_t *text, size_t size, uint32_t *out)
{
    (void)text; (void)size; (void)out;
    return 0;
}

#endif
#endif
