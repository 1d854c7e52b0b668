/* What the memory allows: the nine loads of a verdict from the matcher's own tables, all addresses
 * known beforehand, so that none waits for another. Compiled and called by benches/ceiling.py. */
#include <stddef.h>
#include <stdint.h>

void nine_loads(
    const uint32_t *cells, const uint16_t *pairs, const uint16_t *atoms, const uint32_t *bits,
    const uint32_t (*at)[9], uint8_t *out, size_t rows)
{
    size_t i;
    for (i = 0; i < rows; i++)
        out[i] = (uint8_t)(
            cells[at[i][0]] ^ cells[at[i][1]] ^ cells[at[i][2]]
            ^ cells[at[i][3]] ^ cells[at[i][4]] ^ cells[at[i][5]]
            ^ pairs[at[i][6]] ^ atoms[at[i][7]] ^ bits[at[i][8]]);
}
