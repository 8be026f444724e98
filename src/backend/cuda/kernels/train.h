// train.h - a batch of images, and the optimizer's step.
#ifndef LTC_TRAIN_H
#define LTC_TRAIN_H
#include "backend/cuda/kernels/tensor.h"
#include "base/augment.h"

// Index: element of x (n,C,H,W). t: image (n) pointers to (C,H,W), id (n) i64, tag (n) i32, how (n) u8, x. d: C, H, W,
// pad, epoch (its bits). seed.
LTI_HOST_DEVICE void ltc_images(const ltc_args *a, uint32_t i)
{
    const uint32_t n_c = (uint32_t)a->d[0], h = (uint32_t)a->d[1], w = (uint32_t)a->d[2];
    const uint32_t q = i % w, r = i / w % h, c = i / w / h % n_c, b = i / w / h / n_c;
    lti_move m;
    m.dy = m.dx = m.flip = 0;
    const uint32_t how = ((const uint8_t *)a->t[3].p)[b];
    if (how & LTI_IMAGE_AUGMENT)
        m = lti_draw_move(a->seed, (uint32_t)a->d[4], ltc_ints(a->t[2])[b], ((const int64_t *)a->t[1].p)[b], a->d[3]);
    const int32_t from_r = (int32_t)r + m.dy, from_q = (int32_t)(m.flip ? w - 1 - q : q) + m.dx;
    float v = 0.0f;
    if (from_r >= 0 && from_r < (int32_t)h && from_q >= 0 && from_q < (int32_t)w) {
        const void *image = ((const void *const *)a->t[0].p)[b];
        const size_t at = ((size_t)c * h + (size_t)from_r) * w + (size_t)from_q;
        v = how & LTI_IMAGE_FLOATS ? ((const float *)image)[at] : lti_pixel(((const uint8_t *)image)[at]);
    }
    ltc_floats(a->t[4])[i] = v;
}

LTI_HOST_DEVICE float ltc_sign(float v)
{
    return (float)((v > 0.0f) - (v < 0.0f));
}

// Writes parameter i; masked ones keep their bits. Whether all is finite: every index may write the same 1.
LTI_HOST_DEVICE void ltc_put_param(const ltc_args *a, uint32_t i, float p, bool keep)
{
    if (!keep)
        ltc_floats(a->t[0])[i] = p;
    if (!keep && !(p - p == 0.0f))
        *(uint32_t *)a->t[5].p = 1;
}

// t: p, g, m, v, mask (n) u8 or NULL, bad (1) u32. d: nesterov. f: lr, momentum, weight decay, l1. As optim.c.
LTI_HOST_DEVICE void ltc_sgd(const ltc_args *a, uint32_t i)
{
    const float p = ltc_floats(a->t[0])[i];
    const float d = ltc_floats(a->t[1])[i] + a->f[3] * ltc_sign(p) + a->f[2] * p;
    const float v = a->f[1] * ltc_floats(a->t[2])[i] + d;
    const bool keep = a->t[4].p && ((const uint8_t *)a->t[4].p)[i] == 0;
    ltc_floats(a->t[2])[i] = keep ? 0.0f : v;
    ltc_put_param(a, i, p - a->f[0] * (a->d[0] ? d + a->f[1] * v : v), keep);
}

// t as sgd. f: lr / (1 - beta1^t), decay, beta1, beta2, 1 - beta1, 1 - beta2, root of 1 - beta2^t, eps, l1. As optim.c.
LTI_HOST_DEVICE void ltc_adamw(const ltc_args *a, uint32_t i)
{
    const float p = ltc_floats(a->t[0])[i], d = ltc_floats(a->t[1])[i] + a->f[8] * ltc_sign(p);
    const float m = a->f[2] * ltc_floats(a->t[2])[i] + a->f[4] * d;
    const float v = a->f[3] * ltc_floats(a->t[3])[i] + a->f[5] * d * d;
    const bool keep = a->t[4].p && ((const uint8_t *)a->t[4].p)[i] == 0;
    ltc_floats(a->t[2])[i] = keep ? 0.0f : m;
    ltc_floats(a->t[3])[i] = keep ? 0.0f : v;
    ltc_put_param(a, i, p * a->f[1] - a->f[0] * m / (sqrtf(v) / a->f[6] + a->f[7]), keep);
}
#endif
