// rng.c - counter-based random numbers: the public functions over rng_draw.h, and what only the host draws.
#include "base/rng_draw.h"
#include "base/base.h"
#include <math.h>

lt_rng lt_rng_at(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index)
{
    return lti_rng_at(seed, stream, step, index);
}

uint32_t lt_rng_u32(lt_rng *rng)
{
    return lti_rng_u32(rng);
}

static uint64_t next_u64(lt_rng *rng)
{
    uint64_t low = lt_rng_u32(rng);
    return low | (uint64_t)lt_rng_u32(rng) << 32;
}

// Larger ranges than 32 bits reject above the last whole multiple of n.
uint64_t lt_rng_below(lt_rng *rng, uint64_t n)
{
    if (n == 0)
        LT_BUG("lt_rng_below: n is 0");
    if (n <= UINT32_MAX)
        return lti_rng_below32(rng, (uint32_t)n);
    const uint64_t reject = (UINT64_C(0) - n) % n; // 2^64 mod n
    uint64_t r;
    do
        r = next_u64(rng);
    while (r < reject);
    return r % n;
}

float lt_rng_uniform(lt_rng *rng)
{
    return (float)(lt_rng_u32(rng) >> 8) * 0x1p-24f;
}

// Box and Muller 1958. 53 bits for the radius, so that the tail reaches 8.5 sigma; the sine twin is not kept because
// a reader has no hidden state.
double lt_rng_normal(lt_rng *rng)
{
    const double u = (double)((next_u64(rng) >> 11) + 1) * 0x1p-53; // (0, 1]
    const double v = (double)lt_rng_u32(rng) * 0x1p-32;
    return sqrt(-2 * log(u)) * cos(6.283185307179586477 * v);
}

void lt_rng_permutation(uint64_t seed, uint32_t stream, uint32_t step, int64_t n, int64_t *perm)
{
    lt_rng rng = lt_rng_at(seed, stream, step, UINT64_MAX); // apart from per-sample sequences of the same stream
    for (int64_t i = 0; i < n; i++)
        perm[i] = i;
    for (int64_t i = n - 1; i > 0; i--) {
        const int64_t j = (int64_t)lt_rng_below(&rng, (uint64_t)i + 1);
        const int64_t keep = perm[i];
        perm[i] = perm[j];
        perm[j] = keep;
    }
}
