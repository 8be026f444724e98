// conv.h - convolution by the definition: for shapes and types the library does not take, and as the library's double
// in tests. x (N,H,W,C), w (K,R,S,C), y (N,OH,OW,K). d of all: n, c, h, w, k, r, s, oh, ow, stride, pad,
// dilation.
#ifndef LTC_CONV_H
#define LTC_CONV_H
#include "backend/cuda/kernels/pool.h"

// Index: element of y. t: x, w, y.
LTI_HOST_DEVICE void ltc_conv(const ltc_args *a, uint32_t i)
{
    const int32_t n_c = a->d[1], height = a->d[2], width = a->d[3], n_k = a->d[4], stride = a->d[9], pad = a->d[10],
                  dilation = a->d[11];
    const ltc_pool_at at = ltc_locate(i, n_k, a->d[7], a->d[8]);
    float sum = 0;
    for (int32_t r = 0; r < a->d[5]; r++)
        for (int32_t s = 0; s < a->d[6]; s++) {
            const int32_t h = at.h * stride + r * dilation - pad, w = at.w * stride + s * dilation - pad;
            if (h < 0 || h >= height || w < 0 || w >= width)
                continue;
            const uint32_t x0 = ltc_offset(at.n, h, w, 0, height, width, n_c);
            const uint32_t w0 = ltc_offset(at.c, r, s, 0, a->d[5], a->d[6], n_c);
            for (uint32_t c = 0; c < (uint32_t)n_c; c++)
                sum += ltc_get(a->t[0], x0 + c) * ltc_get(a->t[1], w0 + c);
        }
    ltc_set(a->t[2], i, sum);
}

// Index: element of dx. t: dy, w, dx.
LTI_HOST_DEVICE void ltc_conv_dx(const ltc_args *a, uint32_t i)
{
    const int32_t n_c = a->d[1], n_k = a->d[4], stride = a->d[9], pad = a->d[10], dilation = a->d[11];
    const ltc_pool_at at = ltc_locate(i, n_c, a->d[2], a->d[3]);
    float sum = 0;
    for (int32_t r = 0; r < a->d[5]; r++)
        for (int32_t s = 0; s < a->d[6]; s++) {
            const int32_t h = at.h + pad - r * dilation, w = at.w + pad - s * dilation;
            if (h < 0 || w < 0 || h % stride || w % stride || h / stride >= a->d[7] || w / stride >= a->d[8])
                continue;
            const uint32_t y0 = ltc_offset(at.n, h / stride, w / stride, 0, a->d[7], a->d[8], n_k);
            for (int32_t k = 0; k < n_k; k++)
                sum += ltc_get(a->t[0], y0 + (uint32_t)k) *
                       ltc_get(a->t[1], ltc_offset(k, r, s, at.c, a->d[5], a->d[6], n_c));
        }
    ltc_set(a->t[2], i, sum);
}

// partial (P,K,R,S,C): part p sums over samples p, p+P, ... Index: element of partial. t: x, dy, partial. d[12]: P.
LTI_HOST_DEVICE void ltc_conv_dw(const ltc_args *a, uint32_t i)
{
    const int32_t n_c = a->d[1], height = a->d[2], width = a->d[3], n_k = a->d[4], stride = a->d[9], pad = a->d[10],
                  dilation = a->d[11];
    const uint32_t count = (uint32_t)(n_k * a->d[5] * a->d[6]) * (uint32_t)n_c;
    const ltc_pool_at at = ltc_locate(i % count, n_c, a->d[5], a->d[6]); // n: k, h: r, w: s
    float sum = 0;
    for (int32_t n = (int32_t)(i / count); n < a->d[0]; n += a->d[12])
        for (int32_t oh = 0; oh < a->d[7]; oh++) {
            const int32_t h = oh * stride + at.h * dilation - pad;
            for (int32_t ow = 0; h >= 0 && h < height && ow < a->d[8]; ow++) {
                const int32_t w = ow * stride + at.w * dilation - pad;
                if (w >= 0 && w < width)
                    sum += ltc_get(a->t[0], ltc_offset(n, h, w, at.c, height, width, n_c)) *
                           ltc_get(a->t[1], ltc_offset(n, oh, ow, at.n, a->d[7], a->d[8], n_k));
            }
        }
    ltc_set(a->t[2], i, sum);
}
#endif
