// tensor.h - reading and writing what kernels work on, in C that is also CUDA C++.
//
// Elements are computed as float whatever they are stored as. Whether a tensor is bfloat16 is the same for all indices,
// so the test costs a GPU next to nothing. Quads (four adjacent elements) are moved as one piece where the address
// allows; the test is per tensor, for parameters and their gradients may begin anywhere.
#ifndef LTC_TENSOR_H
#define LTC_TENSOR_H
#include "backend/cuda/api.h"
#include "base/host_device.h"
#include <math.h>

// Bits of a float and back. memcpy is what both compilers turn into a register move.
#include <string.h>
LTI_HOST_DEVICE uint32_t ltc_bits(float v)
{
    uint32_t u;
    memcpy(&u, &v, sizeof u);
    return u;
}

LTI_HOST_DEVICE float ltc_unbits(uint32_t u)
{
    float v;
    memcpy(&v, &u, sizeof v);
    return v;
}

// To bfloat16, nearest with ties to even; a NaN stays one.
LTI_HOST_DEVICE uint16_t ltc_to_bf16(float v)
{
    const uint32_t u = ltc_bits(v);
    if ((u & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((u >> 16) | 0x40u);
    return (uint16_t)((u + 0x7fffu + ((u >> 16) & 1u)) >> 16);
}

LTI_HOST_DEVICE float ltc_from_bf16(uint16_t h)
{
    return ltc_unbits((uint32_t)h << 16);
}

LTI_HOST_DEVICE float ltc_get(ltc_tensor t, uint32_t i)
{
    return t.bf16 ? ltc_from_bf16(((const uint16_t *)t.p)[i]) : ((const float *)t.p)[i];
}

LTI_HOST_DEVICE void ltc_set(ltc_tensor t, uint32_t i, float v)
{
    if (t.bf16)
        ((uint16_t *)t.p)[i] = ltc_to_bf16(v);
    else
        ((float *)t.p)[i] = v;
}

LTI_HOST_DEVICE float *ltc_floats(ltc_tensor t)
{
    return (float *)t.p;
}

LTI_HOST_DEVICE int32_t *ltc_ints(ltc_tensor t)
{
    return (int32_t *)t.p;
}

// ---- quads
typedef struct ltc_quad {
    float v[4];
} ltc_quad;

struct ltc_quad_f32 { // one 16-byte move
    float v[4];
} __attribute__((aligned(16)));
struct ltc_quad_bf16 { // one 8-byte move
    uint16_t v[4];
} __attribute__((aligned(8)));

LTI_HOST_DEVICE bool ltc_quad_fits(ltc_tensor t, uint32_t first, uint32_t n)
{
    return n - first >= 4 && (uintptr_t)t.p % (t.bf16 ? 8u : 16u) == 0;
}

// Elements first..first+3 of n, first a multiple of 4; elements beyond n are 0.
LTI_HOST_DEVICE ltc_quad ltc_get4(ltc_tensor t, uint32_t first, uint32_t n)
{
    ltc_quad q;
    if (!ltc_quad_fits(t, first, n)) {
        for (uint32_t j = 0; j < 4; j++)
            q.v[j] = first + j < n ? ltc_get(t, first + j) : 0.0f;
    } else if (t.bf16) {
        const struct ltc_quad_bf16 h = *(const struct ltc_quad_bf16 *)((const uint16_t *)t.p + first);
        for (uint32_t j = 0; j < 4; j++)
            q.v[j] = ltc_from_bf16(h.v[j]);
    } else {
        const struct ltc_quad_f32 f = *(const struct ltc_quad_f32 *)((const float *)t.p + first);
        for (uint32_t j = 0; j < 4; j++)
            q.v[j] = f.v[j];
    }
    return q;
}

LTI_HOST_DEVICE void ltc_set4(ltc_tensor t, uint32_t first, uint32_t n, ltc_quad q)
{
    if (!ltc_quad_fits(t, first, n)) {
        for (uint32_t j = 0; j < 4 && first + j < n; j++)
            ltc_set(t, first + j, q.v[j]);
    } else if (t.bf16) {
        struct ltc_quad_bf16 h;
        for (uint32_t j = 0; j < 4; j++)
            h.v[j] = ltc_to_bf16(q.v[j]);
        *(struct ltc_quad_bf16 *)((uint16_t *)t.p + first) = h;
    } else {
        struct ltc_quad_f32 f;
        for (uint32_t j = 0; j < 4; j++)
            f.v[j] = q.v[j];
        *(struct ltc_quad_f32 *)((float *)t.p + first) = f;
    }
}
#endif
