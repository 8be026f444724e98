// rng.c - counter-based random numbers: Philox4x32-10 of Random123 (Salmon, Moraes, Dror, Shaw: "Parallel random
// numbers: as easy as 1, 2, 3", SC 2011).
//
// 96 bits of (seed, stream) meet a 64-bit key, so the key is Philox itself of (seed, stream) under a fixed key: a
// bijection of which we keep half, so two (seed, stream) pairs share a key with probability 2^-64. The counter is
// {block, index low, index high, step}; `block` counts groups of four draws, which gives 2^34 draws per sequence.
#include "lethe/rng.h"
#include "base/base.h"
#include <Random123/philox.h>
#include <math.h>
#include <string.h>

static void philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    philox4x32_ctr_t c = {{counter[0], counter[1], counter[2], counter[3]}};
    philox4x32_key_t k = {{key[0], key[1]}};
    philox4x32_ctr_t r = philox4x32_R(10, c, k);
    memcpy(out, r.v, 4 * sizeof *out);
}

lt_rng lt_rng_at(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index)
{
    const uint32_t derive[2] = {0x6c657468u, 0x65726e67u}; // "leth", "erng"
    const uint32_t who[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), stream, 0};
    uint32_t key[4];
    philox(who, derive, key);
    return (lt_rng){.key = {key[0], key[1]}, .counter = {0, (uint32_t)index, (uint32_t)(index >> 32), step}};
}

uint32_t lt_rng_u32(lt_rng *rng)
{
    if (rng->n_left == 0) {
        philox(rng->counter, rng->key, rng->buffer);
        rng->counter[0]++;
        rng->n_left = 4;
    }
    return rng->buffer[4 - rng->n_left--];
}

static uint64_t next_u64(lt_rng *rng)
{
    uint64_t low = lt_rng_u32(rng);
    return low | (uint64_t)lt_rng_u32(rng) << 32;
}

// Lemire's multiply-and-reject for 32-bit ranges (one draw nearly always); larger ranges reject above the last whole
// multiple of n.
uint64_t lt_rng_below(lt_rng *rng, uint64_t n)
{
    if (n == 0)
        LT_BUG("lt_rng_below: n is 0");
    if (n <= UINT32_MAX) {
        const uint32_t n32 = (uint32_t)n;
        uint64_t product = (uint64_t)lt_rng_u32(rng) * n32;
        if ((uint32_t)product < n32) {
            const uint32_t reject = (0u - n32) % n32; // 2^32 mod n
            while ((uint32_t)product < reject)
                product = (uint64_t)lt_rng_u32(rng) * n32;
        }
        return product >> 32;
    }
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
