// elementwise.h - maps over elements, changes of layout.
#ifndef LTC_ELEMENTWISE_H
#define LTC_ELEMENTWISE_H
#include "backend/cuda/kernels/tensor.h"

enum { LTC_TO_NHWC, LTC_TO_NCHW, LTC_SAME_ORDER };
enum { LTC_MOST_SCALED = 6 }; // channels that fit into ltc_args.f twice

// dst = src in another order or element type. Index: element of dst. d: order, C, plane (H*W), scaled.
// scaled: times f[c] plus f[LTC_MOST_SCALED + c] (normalisation of images).
LTI_HOST_DEVICE void ltc_reorder(const ltc_args *a, uint32_t i)
{
    const uint32_t n_c = (uint32_t)a->d[1], plane = (uint32_t)a->d[2];
    uint32_t from = i, c = i % n_c;
    if (a->d[0] == LTC_TO_NHWC) {
        from = (i / n_c / plane * n_c + c) * plane + i / n_c % plane;
    } else if (a->d[0] == LTC_TO_NCHW) {
        c = i / plane % n_c;
        from = (i / plane / n_c * plane + i % plane) * n_c + c;
    }
    const float v = ltc_get(a->t[0], from);
    ltc_set(a->t[1], i, a->d[3] ? fmaf(v, a->f[c], a->f[LTC_MOST_SCALED + c]) : v);
}

typedef enum ltc_map_op { LTC_RELU, LTC_RELU_DX, LTC_ADD, LTC_ADD_RELU_DX, LTC_SCALE } ltc_map_op;

// One element of ltc_map: a, b inputs, y the output whose sign is the mask of a ReLU.
LTI_HOST_DEVICE float ltc_map_one(int32_t op, float alpha, bool relu, float a, float b, float y)
{
    float v = a;
    if (op == LTC_ADD || op == LTC_ADD_RELU_DX)
        v = alpha * (a + b);
    else if (op != LTC_RELU)
        v = alpha * a;
    if (op == LTC_RELU_DX || op == LTC_ADD_RELU_DX)
        return y > 0.0f ? v : 0.0f;
    return (relu || op == LTC_RELU) && v < 0.0f ? 0.0f : v;
}

// Index: quad. t: a, b, y, out; b and y NULL where the operation has none. d: op, elements, relu. f: alpha.
LTI_HOST_DEVICE void ltc_map(const ltc_args *a, uint32_t i)
{
    const uint32_t n = (uint32_t)a->d[1], first = 4 * i;
    ltc_quad x = ltc_get4(a->t[0], first, n), b = x, y = x, out;
    if (a->t[1].p)
        b = ltc_get4(a->t[1], first, n);
    if (a->t[2].p)
        y = ltc_get4(a->t[2], first, n);
    for (uint32_t j = 0; j < 4; j++)
        out.v[j] = ltc_map_one(a->d[0], a->f[0], a->d[2] != 0, x.v[j], b.v[j], y.v[j]);
    ltc_set4(a->t[3], first, n, out);
}

// y = s b. Index: quad. t: s (1), b, y. d: elements.
LTI_HOST_DEVICE void ltc_scale_by(const ltc_args *a, uint32_t i)
{
    const uint32_t n = (uint32_t)a->d[0], first = 4 * i;
    const float s = ltc_get(a->t[0], 0);
    ltc_quad q = ltc_get4(a->t[1], first, n);
    for (uint32_t j = 0; j < 4; j++)
        q.v[j] = s * q.v[j];
    ltc_set4(a->t[2], first, n, q);
}

// y (...,C) = b (C). Index: element. t: b, y. d: C.
LTI_HOST_DEVICE void ltc_channel_broadcast(const ltc_args *a, uint32_t i)
{
    ltc_set(a->t[1], i, ltc_get(a->t[0], i % (uint32_t)a->d[0]));
}
#endif
