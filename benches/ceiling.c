/* What the memory allows: nine loads a row, none waiting for another, from tables of the sizes that
 * the matcher reads for a verdict. Compiled and called by benches/ceiling.py. */
#include <stddef.h>
#include <stdint.h>

/* Masks are sizes in elements, rounded down to powers of two, less one. */
uint64_t nine_loads(
    const uint32_t *cells, uint32_t cell_mask, const uint16_t *pairs, uint32_t pair_mask,
    const uint16_t *atoms, uint32_t atom_mask, const uint32_t *bits, uint32_t bit_mask,
    const uint32_t *src, const uint32_t *dst, uint8_t *out, size_t rows)
{
    size_t i;
    for (i = 0; i < rows; i++) {
        uint32_t a = src[i] * 2654435761u, b = dst[i] * 2246822519u, c = a ^ b;
        out[i] = (uint8_t)(
            cells[(a >> 3) & cell_mask] ^ cells[(a >> 7) & cell_mask] ^ cells[(a >> 11) & cell_mask]
            ^ cells[(b >> 3) & cell_mask] ^ cells[(b >> 7) & cell_mask]
            ^ cells[(b >> 11) & cell_mask] ^ pairs[(c >> 2) & pair_mask]
            ^ atoms[(c >> 5) & atom_mask] ^ bits[(c >> 9) & bit_mask]);
    }
    return out[rows / 2];
}
