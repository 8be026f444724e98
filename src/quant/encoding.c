// encoding.c - words of codes, and what stuck cells make of them [QAT 3.1, 3.2].
//
// All encodings stand for the same levels, so that only the patterns of bits differ. Word bit b is cell b. The
// differential pair has n - 1 positive cells, then n - 1 negative ones, and an ideal bit above them: on which side of
// zero the half step lies.
#include "quant/quant_impl.h"

#include <string.h>

int lt_encoding_n_cells(lt_encoding e, int bits)
{
    return e == LT_ENC_DIFFERENTIAL ? 2 * (bits - 1) : bits;
}

static uint32_t differential_word(int bits, int code)
{
    const int half = 1 << (bits - 1), m = code >= half ? code - half : half - 1 - code;
    return code >= half ? (uint32_t)m : (uint32_t)m << (bits - 1) | 1u << 2 * (bits - 1);
}

uint32_t lt_encoding_word(lt_encoding e, int bits, int code)
{
    const uint32_t c = (uint32_t)code, half = 1u << (bits - 1);
    switch (e) {
    case LT_ENC_TWOS:
        return c ^ half;
    case LT_ENC_GRAY:
        return c ^ c >> 1;
    case LT_ENC_SIGN_MAGNITUDE:
        return c >= half ? c - half : half | (half - 1 - c);
    case LT_ENC_DIFFERENTIAL:
        return differential_word(bits, code);
    case LT_ENC_OFFSET:
        break;
    }
    return c;
}

static int gray_code(uint32_t word)
{
    uint32_t c = word;
    for (uint32_t shifted = word >> 1; shifted; shifted >>= 1)
        c ^= shifted;
    return (int)c;
}

int lt_encoding_code(lt_encoding e, int bits, uint32_t word)
{
    const int half = 1 << (bits - 1);
    const int magnitude = (int)(word & (uint32_t)(half - 1));
    switch (e) {
    case LT_ENC_TWOS:
        return (int)(word ^ (uint32_t)half);
    case LT_ENC_GRAY:
        return gray_code(word);
    case LT_ENC_SIGN_MAGNITUDE:
        return word & (uint32_t)half ? half - 1 - magnitude : half + magnitude;
    case LT_ENC_DIFFERENTIAL: {
        const int negative = (int)(word >> (bits - 1) & (uint32_t)(half - 1));
        return half + magnitude - negative - (int)(word >> 2 * (bits - 1) & 1);
    }
    case LT_ENC_OFFSET:
        break;
    }
    return (int)word;
}

int lt_fault_read(lt_encoding e, int bits, int code, uint32_t mask, uint32_t value)
{
    return lt_encoding_code(e, bits, (lt_encoding_word(e, bits, code) & ~mask) | (value & mask));
}

uint32_t lt_fault_reachable(lt_encoding e, int bits, uint32_t mask, uint32_t value)
{
    const int n_words = 1 << (lt_encoding_n_cells(e, bits) + (e == LT_ENC_DIFFERENTIAL));
    uint32_t set = 0;
    for (int w = 0; w < n_words; w++)
        set |= 1u << lt_encoding_code(e, bits, ((uint32_t)w & ~mask) | (value & mask));
    return set;
}

// The reachable code nearest to w, for k = ceil(2 (w / step + zero)): the midpoint of codes a and b is at a + b.
static uint8_t nearest_of(uint32_t reachable, int n_levels, int k)
{
    int best = -1;
    for (int c = 0; c < n_levels; c++)
        if (reachable >> c & 1 && (best < 0 || k > best + c))
            best = c;
    return (uint8_t)best;
}

lt_status lti_fault_table_create(lt_encoding e, int bits, lti_fault_table **table)
{
    lti_fault_table *t = lti_calloc(1, sizeof *t);
    *table = t;
    if (!t)
        return LTI_NOMEM("table of faults");
    t->bits = bits;
    t->n_cells = lt_encoding_n_cells(e, bits);
    t->n_levels = 1 << bits;
    for (uint32_t mask = 0; mask < 1u << t->n_cells; mask++)
        for (uint32_t value = 0; value < 1u << t->n_cells; value++) {
            if (value & ~mask)
                continue;
            const uint32_t at = mask | value << t->n_cells;
            t->reachable[at] = (uint16_t)lt_fault_reachable(e, bits, mask, value);
            for (int c = 0; c < t->n_levels; c++)
                t->read[at][c] = (uint8_t)lt_fault_read(e, bits, c, mask, value);
            for (int k = 0; k < 2 * t->n_levels; k++)
                t->nearest[at][k] = nearest_of(t->reachable[at], t->n_levels, k);
        }
    return LT_OK;
}

float lti_cell_value(lt_encoding e, const lti_grid *g, uint32_t word, const float *eps)
{
    const int bits = g->bits, n = e == LT_ENC_OFFSET ? bits : bits - 1;
    float sum = 0;
    for (int b = 0; b < n; b++)
        sum += word >> b & 1 ? g->gain[b] * eps[b] : 0.0f;
    const float half = g->kind == LTI_GRID_MIDTREAD ? 0 : 0.5f * g->step; // a level at 0 needs none [QAT 3.1]
    switch (e) {
    case LT_ENC_TWOS:
        return sum - (word >> n & 1 ? g->gain[n] * eps[n] : 0.0f) + half;
    case LT_ENC_SIGN_MAGNITUDE:
        return word >> n & 1 ? -(sum + half) : sum + half; // the sign is digital
    case LT_ENC_DIFFERENTIAL:
        for (int b = 0; b < n; b++)
            sum -= word >> (n + b) & 1 ? g->gain[b] * eps[n + b] : 0.0f;
        return sum + (word >> 2 * n & 1 ? -half : half);
    case LT_ENC_OFFSET:
    case LT_ENC_GRAY: // refused: its bits have no weights
        break;
    }
    return sum - g->gain[bits];
}
