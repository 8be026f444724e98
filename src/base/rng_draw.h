// rng_draw.h - the arithmetic of lethe/rng.h as inline functions, for host and device: Philox4x32-10 of Random123
// (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", SC 2011).
//
// 96 bits of (seed, stream) meet a 64-bit key, so the key is Philox itself of (seed, stream) under a fixed key: a
// bijection of which we keep half, so two (seed, stream) pairs share a key with probability 2^-64. The counter is
// {block, index low, index high, step}; `block` counts groups of four draws, which gives 2^34 draws per sequence.
#ifndef LTI_RNG_DRAW_H
#define LTI_RNG_DRAW_H
#include "base/host_device.h"
#include "lethe/rng.h"
#include <Random123/philox.h>

LTI_HOST_DEVICE void lti_philox(const uint32_t counter[4], const uint32_t key[2], uint32_t out[4])
{
    philox4x32_ctr_t c;
    philox4x32_key_t k;
    for (int i = 0; i < 4; i++)
        c.v[i] = counter[i];
    for (int i = 0; i < 2; i++)
        k.v[i] = key[i];
    c = philox4x32_R(10, c, k);
    for (int i = 0; i < 4; i++)
        out[i] = c.v[i];
}

LTI_HOST_DEVICE lt_rng lti_rng_at(uint64_t seed, uint32_t stream, uint32_t step, uint64_t index)
{
    const uint32_t derive[2] = {0x6c657468u, 0x65726e67u}; // "leth", "erng"
    const uint32_t who[4] = {(uint32_t)seed, (uint32_t)(seed >> 32), stream, 0};
    uint32_t key[4];
    lt_rng rng;
    lti_philox(who, derive, key);
    rng.key[0] = key[0];
    rng.key[1] = key[1];
    rng.counter[0] = 0;
    rng.counter[1] = (uint32_t)index;
    rng.counter[2] = (uint32_t)(index >> 32);
    rng.counter[3] = step;
    for (int i = 0; i < 4; i++)
        rng.buffer[i] = 0;
    rng.n_left = 0;
    return rng;
}

LTI_HOST_DEVICE uint32_t lti_rng_u32(lt_rng *rng)
{
    if (rng->n_left == 0) {
        lti_philox(rng->counter, rng->key, rng->buffer);
        rng->counter[0]++;
        rng->n_left = 4;
    }
    return rng->buffer[4 - rng->n_left--];
}

// Uniform on 0..n-1, n from 1 to 2^32 - 1: Lemire's multiply-and-reject, one draw nearly always.
LTI_HOST_DEVICE uint32_t lti_rng_below32(lt_rng *rng, uint32_t n)
{
    uint64_t product = (uint64_t)lti_rng_u32(rng) * n;
    if ((uint32_t)product < n) {
        const uint32_t reject = (0u - n) % n; // 2^32 mod n
        while ((uint32_t)product < reject)
            product = (uint64_t)lti_rng_u32(rng) * n;
    }
    return (uint32_t)(product >> 32);
}
#endif
