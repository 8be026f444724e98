// norm.h - batch norm over x (M,C), M rows of all samples and pixels.
//
// Statistics: every part of the rows gives its mean and its sum of squared deviations, taken around its first value so
// that nothing cancels; parts are joined pairwise exactly (Chan, Golub, LeVeque 1979). One pass over x.
#ifndef LTC_NORM_H
#define LTC_NORM_H
#include "backend/cuda/kernels/tensor.h"

// Mean and squared deviations of the rows of a part. Index: element of the (P,C) results. t: x, mean, m2. d: M, C, rows
// of a part.
LTI_HOST_DEVICE void ltc_bn_parts(const ltc_args *a, uint32_t i)
{
    const uint32_t n_m = (uint32_t)a->d[0], n_c = (uint32_t)a->d[1], rows = (uint32_t)a->d[2];
    const uint32_t c = i % n_c, first = i / n_c * rows, end = first + rows < n_m ? first + rows : n_m;
    float sum = 0, square = 0, mean = 0, m2 = 0;
    if (first < end) {
        const float pivot = ltc_get(a->t[0], first * n_c + c), count = (float)(end - first);
        for (uint32_t m = first; m < end; m++) {
            const float d = ltc_get(a->t[0], m * n_c + c) - pivot;
            sum += d;
            square += d * d;
        }
        mean = pivot + sum / count;
        m2 = square - sum * (sum / count);
    }
    ltc_set(a->t[1], i, mean);
    ltc_set(a->t[2], i, m2 < 0 ? 0.0f : m2);
}

typedef struct ltc_moments {
    double count, mean, m2;
} ltc_moments;

// Moments of parts first..end-1 of channel c, in order. Parts hold `rows` rows each, the last ones of n_m fewer or
// none.
LTI_HOST_DEVICE ltc_moments ltc_join(ltc_tensor mean, ltc_tensor m2, uint32_t c, uint32_t n_c, uint32_t first,
                                     uint32_t end, uint32_t rows, uint32_t n_m)
{
    ltc_moments s;
    s.count = s.mean = s.m2 = 0;
    for (uint32_t p = first; p < end && p * (uint64_t)rows < n_m; p++) {
        const uint32_t left = n_m - p * rows;
        const double n = left < rows ? left : rows, all = s.count + n;
        const double d = (double)ltc_get(mean, p * n_c + c) - s.mean;
        s.mean += d * (n / all);
        s.m2 += (double)ltc_get(m2, p * n_c + c) + d * d * (s.count * n / all);
        s.count = all;
    }
    return s;
}

// Joins each `group` parts to one. Index: element of the (P2,C) results. t: mean, m2 (P,C), joined mean, m2. d: M, C,
// rows of a part, group, P.
LTI_HOST_DEVICE void ltc_bn_join(const ltc_args *a, uint32_t i)
{
    const uint32_t n_c = (uint32_t)a->d[1], group = (uint32_t)a->d[3], n_p = (uint32_t)a->d[4];
    const uint32_t first = i / n_c * group, end = first + group < n_p ? first + group : n_p;
    const ltc_moments s = ltc_join(a->t[0], a->t[1], i % n_c, n_c, first, end, (uint32_t)a->d[2], (uint32_t)a->d[0]);
    ltc_set(a->t[2], i, (float)s.mean);
    ltc_set(a->t[3], i, (float)s.m2);
}

// Batch statistics, and the running ones moved towards them (variance biased in the former, unbiased in the latter).
// Index: c. t: mean, m2 (P,C), rm, rv, mean, istd (C). d: M, C, rows of a part, P. f: eps, momentum.
LTI_HOST_DEVICE void ltc_bn_statistics(const ltc_args *a, uint32_t i)
{
    const ltc_moments s =
        ltc_join(a->t[0], a->t[1], i, (uint32_t)a->d[1], 0, (uint32_t)a->d[3], (uint32_t)a->d[2], (uint32_t)a->d[0]);
    const double momentum = (double)a->f[1], keep = 1 - momentum;
    ltc_set(a->t[4], i, (float)s.mean);
    ltc_set(a->t[5], i, (float)(1 / sqrt(s.m2 / s.count + (double)a->f[0])));
    ltc_set(a->t[2], i, (float)(keep * (double)ltc_get(a->t[2], i) + momentum * s.mean));
    ltc_set(a->t[3], i, (float)(keep * (double)ltc_get(a->t[3], i) + momentum * s.m2 / (s.count - 1)));
}

// What batch norm is on one channel: y = a x + b. The gradient makes its mask from the same numbers, so it must be this
// function, with its fused multiply-adds written out, in every kernel.
typedef struct ltc_line {
    float a, b, gamma, mean, istd;
} ltc_line;

// t: gamma, beta, mean, istd (eval: the running variance); NULL: 1, 0, 0, 1.
LTI_HOST_DEVICE ltc_line ltc_line_of(const ltc_tensor *t, uint32_t c, bool eval, float eps)
{
    ltc_line l;
    const float v = t[3].p ? ltc_get(t[3], c) : 1.0f;
    l.gamma = t[0].p ? ltc_get(t[0], c) : 1.0f;
    l.mean = t[2].p ? ltc_get(t[2], c) : 0.0f;
    l.istd = eval && t[3].p ? 1.0f / sqrtf(v + eps) : v;
    l.a = l.gamma * l.istd;
    l.b = fmaf(-l.mean, l.a, t[1].p ? ltc_get(t[1], c) : 0.0f);
    return l;
}

// y = relu?(a x + b [+ r]). Index: quad. t: x, gamma, beta, mean, istd, r, y; NULL as above. d: elements, C, relu,
// eval. f: eps.
LTI_HOST_DEVICE void ltc_affine(const ltc_args *a, uint32_t i)
{
    const uint32_t n = (uint32_t)a->d[0], n_c = (uint32_t)a->d[1], first = 4 * i;
    const ltc_quad x = ltc_get4(a->t[0], first, n);
    ltc_quad r = x, y;
    if (a->t[5].p)
        r = ltc_get4(a->t[5], first, n);
    for (uint32_t j = 0; j < 4; j++) {
        const ltc_line l = ltc_line_of(a->t + 1, (first + j) % n_c, a->d[3] != 0, a->f[0]);
        float v = fmaf(x.v[j], l.a, l.b);
        v = a->t[5].p ? v + r.v[j] : v;
        y.v[j] = a->d[2] && v < 0.0f ? 0.0f : v;
    }
    ltc_set4(a->t[6], first, n, y);
}

// The gradient that a fused ReLU passes: its mask follows from y, or from the affine map x -> y, or there is none.
LTI_HOST_DEVICE float ltc_let_through(const ltc_args *a, const ltc_line *l, float x, float y, float dy)
{
    const bool pass = a->t[2].p ? y > 0.0f : !a->d[5] || fmaf(x, l->a, l->b) > 0.0f;
    return pass ? dy : 0.0f;
}

// Sums of dy and of dy xhat over the rows of a part. Index: (part, c). t: x, dy, y, gamma, beta, mean, istd, partial
// (P,2C). d: M, C, rows of a part, -, eval, mask by the line. f: eps.
LTI_HOST_DEVICE void ltc_bn_grad_parts(const ltc_args *a, uint32_t i)
{
    const uint32_t n_m = (uint32_t)a->d[0], n_c = (uint32_t)a->d[1], rows = (uint32_t)a->d[2];
    const uint32_t c = i % n_c, part = i / n_c, first = part * rows, end = first + rows < n_m ? first + rows : n_m;
    const ltc_line l = ltc_line_of(a->t + 3, c, a->d[4] != 0, a->f[0]);
    float sum = 0, sum_xhat = 0;
    for (uint32_t m = first; m < end; m++) {
        const uint32_t at = m * n_c + c;
        const float x = ltc_get(a->t[0], at), y = a->t[2].p ? ltc_get(a->t[2], at) : 0.0f;
        const float d = ltc_let_through(a, &l, x, y, ltc_get(a->t[1], at));
        sum += d;
        sum_xhat += d * ((x - l.mean) * l.istd);
    }
    ltc_set(a->t[7], part * 2 * n_c + c, sum);
    ltc_set(a->t[7], part * 2 * n_c + n_c + c, sum_xhat);
}

// dgamma, dbeta, and what dx subtracts: the means of dy and dy xhat in training, 0 in evaluation. Index: c. t: partial
// (P,2C), dgamma, dbeta, means (2C). d: M, C, P, eval.
LTI_HOST_DEVICE void ltc_bn_grad_finish(const ltc_args *a, uint32_t i)
{
    const uint32_t n_c = (uint32_t)a->d[1];
    double sum = 0, sum_xhat = 0;
    for (uint32_t p = 0; p < (uint32_t)a->d[2]; p++) {
        sum += (double)ltc_get(a->t[0], p * 2 * n_c + i);
        sum_xhat += (double)ltc_get(a->t[0], p * 2 * n_c + n_c + i);
    }
    ltc_set(a->t[1], i, (float)sum_xhat);
    ltc_set(a->t[2], i, (float)sum);
    ltc_set(a->t[3], i, a->d[3] ? 0.0f : (float)(sum / (double)a->d[0]));
    ltc_set(a->t[3], n_c + i, a->d[3] ? 0.0f : (float)(sum_xhat / (double)a->d[0]));
}

// dx = gamma istd (dy - m0 - xhat m1). Index: quad. t: x, dy, y, gamma, beta, mean, istd, means (2C), dx. d: elements,
// C, -, -, eval, mask by the line. f: eps.
LTI_HOST_DEVICE void ltc_bn_grad(const ltc_args *a, uint32_t i)
{
    const uint32_t n = (uint32_t)a->d[0], n_c = (uint32_t)a->d[1], first = 4 * i;
    const ltc_quad x = ltc_get4(a->t[0], first, n), dy = ltc_get4(a->t[1], first, n);
    ltc_quad y = x, dx;
    if (a->t[2].p)
        y = ltc_get4(a->t[2], first, n);
    for (uint32_t j = 0; j < 4; j++) {
        const uint32_t c = (first + j) % n_c;
        const ltc_line l = ltc_line_of(a->t + 3, c, a->d[4] != 0, a->f[0]);
        const float d = ltc_let_through(a, &l, x.v[j], y.v[j], dy.v[j]);
        const float m0 = ltc_get(a->t[7], c), m1 = ltc_get(a->t[7], n_c + c);
        dx.v[j] = l.a * (d - m0 - (x.v[j] - l.mean) * l.istd * m1);
    }
    ltc_set4(a->t[8], first, n, dx);
}

// w' = w gamma istd, b' = beta + (bias - rm) gamma istd. Index: element of w (K,C,R,S). t: w, gamma, beta, rm, rv, bias
// or NULL, w', b'. d: elements of a filter. f: eps.
LTI_HOST_DEVICE void ltc_bn_fold(const ltc_args *a, uint32_t i)
{
    const uint32_t per = (uint32_t)a->d[0], k = i / per;
    const double s = (double)ltc_get(a->t[1], k) / sqrt((double)ltc_get(a->t[4], k) + (double)a->f[0]);
    ltc_set(a->t[6], i, (float)((double)ltc_get(a->t[0], i) * s));
    if (i % per == 0) {
        const double bias = a->t[5].p ? (double)ltc_get(a->t[5], k) : 0.0;
        ltc_set(a->t[7], k, (float)((double)ltc_get(a->t[2], k) + (bias - (double)ltc_get(a->t[3], k)) * s));
    }
}
#endif
