// pool.h - pooling and padding of x (N,H,W,C). Gradients gather: every input pixel collects from the outputs that saw
// it, so nothing is added to from two places.
#ifndef LTC_POOL_H
#define LTC_POOL_H
#include "backend/cuda/kernels/tensor.h"

// d of all pools: C, H, W, OH, OW, size, stride.
typedef struct ltc_pool_at {
    int32_t c, h, w, n; // of the index
} ltc_pool_at;

// Index i of a tensor (N,height,width,C).
LTI_HOST_DEVICE ltc_pool_at ltc_locate(uint32_t i, int32_t n_c, int32_t height, int32_t width)
{
    ltc_pool_at at;
    const uint32_t pixel = i / (uint32_t)n_c, row = pixel / (uint32_t)width;
    at.c = (int32_t)(i % (uint32_t)n_c);
    at.w = (int32_t)(pixel % (uint32_t)width);
    at.h = (int32_t)(row % (uint32_t)height);
    at.n = (int32_t)(row / (uint32_t)height);
    return at;
}

LTI_HOST_DEVICE uint32_t ltc_offset(int32_t n, int32_t h, int32_t w, int32_t c, int32_t height, int32_t width,
                                    int32_t n_c)
{
    return (((uint32_t)n * (uint32_t)height + (uint32_t)h) * (uint32_t)width + (uint32_t)w) * (uint32_t)n_c +
           (uint32_t)c;
}

// The first window of `size` at steps of `stride` that covers i, and the last of n_out.
LTI_HOST_DEVICE int32_t ltc_first_window(int32_t i, int32_t size, int32_t stride)
{
    return i < size ? 0 : (i - size) / stride + 1;
}

LTI_HOST_DEVICE int32_t ltc_last_window(int32_t i, int32_t stride, int32_t n_out)
{
    return i / stride < n_out ? i / stride : n_out - 1;
}

// Index: element of y. t: x, y.
LTI_HOST_DEVICE void ltc_avg_pool(const ltc_args *a, uint32_t i)
{
    const int32_t n_c = a->d[0], size = a->d[5], stride = a->d[6];
    const ltc_pool_at at = ltc_locate(i, n_c, a->d[3], a->d[4]);
    float sum = 0;
    for (int32_t r = at.h * stride; r < at.h * stride + size; r++)
        for (int32_t s = at.w * stride; s < at.w * stride + size; s++)
            sum += ltc_get(a->t[0], ltc_offset(at.n, r, s, at.c, a->d[1], a->d[2], n_c));
    ltc_set(a->t[1], i, sum / (float)(size * size));
}

// Index: element of dx. t: dy, dx.
LTI_HOST_DEVICE void ltc_avg_pool_dx(const ltc_args *a, uint32_t i)
{
    const int32_t n_c = a->d[0], size = a->d[5], stride = a->d[6];
    const ltc_pool_at at = ltc_locate(i, n_c, a->d[1], a->d[2]);
    const int32_t h1 = ltc_last_window(at.h, stride, a->d[3]), w1 = ltc_last_window(at.w, stride, a->d[4]);
    float sum = 0;
    for (int32_t h = ltc_first_window(at.h, size, stride); h <= h1; h++)
        for (int32_t w = ltc_first_window(at.w, size, stride); w <= w1; w++)
            sum += ltc_get(a->t[0], ltc_offset(at.n, h, w, at.c, a->d[3], a->d[4], n_c));
    ltc_set(a->t[1], i, sum / (float)(size * size));
}

// Index: element of y. t: x, y, position (I32): h*W+w of the first maximum; a NaN wins, so that it is seen downstream.
LTI_HOST_DEVICE void ltc_max_pool(const ltc_args *a, uint32_t i)
{
    const int32_t n_c = a->d[0], size = a->d[5], stride = a->d[6];
    const ltc_pool_at at = ltc_locate(i, n_c, a->d[3], a->d[4]);
    float best = 0;
    int32_t where = -1;
    for (int32_t r = at.h * stride; r < at.h * stride + size; r++)
        for (int32_t s = at.w * stride; s < at.w * stride + size; s++) {
            const float v = ltc_get(a->t[0], ltc_offset(at.n, r, s, at.c, a->d[1], a->d[2], n_c));
            if (where < 0 || v > best || (v != v && best == best)) {
                best = v;
                where = r * a->d[2] + s;
            }
        }
    ltc_set(a->t[1], i, best);
    ltc_ints(a->t[2])[i] = where;
}

// Index: element of dx. t: dy, position, dx.
LTI_HOST_DEVICE void ltc_max_pool_dx(const ltc_args *a, uint32_t i)
{
    const int32_t n_c = a->d[0], size = a->d[5], stride = a->d[6];
    const ltc_pool_at at = ltc_locate(i, n_c, a->d[1], a->d[2]);
    const int32_t own = at.h * a->d[2] + at.w;
    const int32_t h1 = ltc_last_window(at.h, stride, a->d[3]), w1 = ltc_last_window(at.w, stride, a->d[4]);
    float sum = 0;
    for (int32_t h = ltc_first_window(at.h, size, stride); h <= h1; h++)
        for (int32_t w = ltc_first_window(at.w, size, stride); w <= w1; w++) {
            const uint32_t from = ltc_offset(at.n, h, w, at.c, a->d[3], a->d[4], n_c);
            sum += ltc_ints(a->t[1])[from] == own ? ltc_get(a->t[0], from) : 0.0f;
        }
    ltc_set(a->t[2], i, sum);
}

// y = x at the positions. Index: element of y. t: x, position, y.
LTI_HOST_DEVICE void ltc_max_pool_at(const ltc_args *a, uint32_t i)
{
    const int32_t n_c = a->d[0], where = ltc_ints(a->t[1])[i];
    const ltc_pool_at at = ltc_locate(i, n_c, a->d[3], a->d[4]);
    ltc_set(a->t[2], i,
            ltc_get(a->t[0], ltc_offset(at.n, where / a->d[2], where % a->d[2], at.c, a->d[1], a->d[2], n_c)));
}

// y (N,C) = mean of x (N,P,C). Index: element of y. t: x, y. d: C, P.
LTI_HOST_DEVICE void ltc_global_pool(const ltc_args *a, uint32_t i)
{
    const uint32_t n_c = (uint32_t)a->d[0], plane = (uint32_t)a->d[1], c = i % n_c, n = i / n_c;
    float sum = 0;
    for (uint32_t p = 0; p < plane; p++)
        sum += ltc_get(a->t[0], (n * plane + p) * n_c + c);
    ltc_set(a->t[1], i, sum / (float)plane);
}

// Index: element of dx (N,P,C). t: dy (N,C), dx. d: C, P.
LTI_HOST_DEVICE void ltc_global_pool_dx(const ltc_args *a, uint32_t i)
{
    const uint32_t n_c = (uint32_t)a->d[0], plane = (uint32_t)a->d[1];
    ltc_set(a->t[1], i, ltc_get(a->t[0], i / n_c / plane * n_c + i % n_c) / (float)plane);
}

// ---- padding. d: C, H, W, pad, mode (lt_pad_mode: 0 zero, 1 circular, 2 reflect).
// Which position a padded position shows; -1 = zero.
LTI_HOST_DEVICE int32_t ltc_pad_source(int32_t i, int32_t n, int32_t pad, int32_t mode)
{
    i -= pad;
    if (i >= 0 && i < n)
        return i;
    if (mode == 1)
        return i < 0 ? i + n : i - n;
    if (mode == 2)
        return i < 0 ? -i : 2 * (n - 1) - i;
    return -1;
}

// Index: element of y (N,H+2p,W+2p,C). t: x, y.
LTI_HOST_DEVICE void ltc_pad2d(const ltc_args *a, uint32_t i)
{
    const int32_t n_c = a->d[0], pad = a->d[3];
    const ltc_pool_at at = ltc_locate(i, n_c, a->d[1] + 2 * pad, a->d[2] + 2 * pad);
    const int32_t h = ltc_pad_source(at.h, a->d[1], pad, a->d[4]), w = ltc_pad_source(at.w, a->d[2], pad, a->d[4]);
    ltc_set(a->t[1], i, h < 0 || w < 0 ? 0.0f : ltc_get(a->t[0], ltc_offset(at.n, h, w, at.c, a->d[1], a->d[2], n_c)));
}

// Index: element of dx. t: dy, dx. Every padded position is visited: paddings are a few pixels wide.
LTI_HOST_DEVICE void ltc_pad2d_dx(const ltc_args *a, uint32_t i)
{
    const int32_t n_c = a->d[0], pad = a->d[3], height = a->d[1] + 2 * pad, width = a->d[2] + 2 * pad;
    const ltc_pool_at at = ltc_locate(i, n_c, a->d[1], a->d[2]);
    float sum = 0;
    for (int32_t h = 0; h < height; h++) {
        if (ltc_pad_source(h, a->d[1], pad, a->d[4]) != at.h)
            continue;
        for (int32_t w = 0; w < width; w++)
            if (ltc_pad_source(w, a->d[2], pad, a->d[4]) == at.w)
                sum += ltc_get(a->t[0], ltc_offset(at.n, h, w, at.c, height, width, n_c));
    }
    ltc_set(a->t[1], i, sum);
}
#endif
