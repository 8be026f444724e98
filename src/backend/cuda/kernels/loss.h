// loss.h - softmax and losses of logits z (N,K). One row an index: K is small, and rows are few next to an activation.
// The maximum is subtracted before exp, so that no logit overflows. A label that is no class gives NaN, which the
// training loop reports; the data set and the job check labels before.
#ifndef LTC_LOSS_H
#define LTC_LOSS_H
#include "backend/cuda/kernels/tensor.h"

typedef struct ltc_row { // log softmax(z / T) of element k: (z[k] - max) / T - log_sum
    float max, log_sum, inv_t;
} ltc_row;

LTI_HOST_DEVICE ltc_row ltc_row_of(ltc_tensor z, uint32_t at, uint32_t n_k, float inv_t)
{
    ltc_row row;
    double sum = 0;
    row.max = ltc_get(z, at);
    row.inv_t = inv_t;
    for (uint32_t k = 1; k < n_k; k++)
        row.max = ltc_get(z, at + k) > row.max ? ltc_get(z, at + k) : row.max;
    for (uint32_t k = 0; k < n_k; k++)
        sum += (double)expf((ltc_get(z, at + k) - row.max) * inv_t);
    row.log_sum = (float)log(sum);
    return row;
}

LTI_HOST_DEVICE float ltc_log_p(const ltc_row *row, float z)
{
    return (z - row->max) * row->inv_t - row->log_sum;
}

// p = softmax(z). t: z, p. d: K.
LTI_HOST_DEVICE void ltc_softmax(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    const ltc_row row = ltc_row_of(a->t[0], at, n_k, 1.0f);
    for (uint32_t k = at; k < at + n_k; k++)
        ltc_set(a->t[1], k, expf(ltc_log_p(&row, ltc_get(a->t[0], k))));
}

// dz = p (dy - <dy, p>). t: dy, p, dz. d: K.
LTI_HOST_DEVICE void ltc_softmax_dx(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    double dot = 0;
    for (uint32_t k = at; k < at + n_k; k++)
        dot += (double)ltc_get(a->t[0], k) * (double)ltc_get(a->t[1], k);
    for (uint32_t k = at; k < at + n_k; k++)
        ltc_set(a->t[2], k, (float)((double)ltc_get(a->t[1], k) * ((double)ltc_get(a->t[0], k) - dot)));
}

LTI_HOST_DEVICE bool ltc_is_label(int32_t label, uint32_t n_k)
{
    return label >= 0 && (uint32_t)label < n_k;
}

// l = -sum_k t_k log p_k, t = (1-s) onehot(label) + s/K. t: z, labels, l, p. d: K. f: s.
LTI_HOST_DEVICE void ltc_ce(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    const int32_t label = ltc_ints(a->t[1])[i];
    const ltc_row row = ltc_row_of(a->t[0], at, n_k, 1.0f);
    const double s = (double)a->f[0];
    double sum = 0;
    for (uint32_t k = at; k < at + n_k; k++) {
        const float lp = ltc_log_p(&row, ltc_get(a->t[0], k));
        sum += (double)lp;
        ltc_set(a->t[3], k, expf(lp));
    }
    if (!ltc_is_label(label, n_k)) {
        ltc_set(a->t[2], i, nanf(""));
        return;
    }
    const double own = (double)ltc_log_p(&row, ltc_get(a->t[0], at + (uint32_t)label));
    ltc_set(a->t[2], i, (float)(-(1 - s) * own - (s > 0 ? s / (double)n_k * sum : 0)));
}

// dz = dl (p - t). t: dl (N), p, labels, dz. d: K. f: s.
LTI_HOST_DEVICE void ltc_ce_dz(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    const int32_t label = ltc_ints(a->t[2])[i];
    const float s = a->f[0], dl = ltc_is_label(label, n_k) ? ltc_get(a->t[0], i) : nanf("");
    for (uint32_t k = 0; k < n_k; k++) {
        const float target = s / (float)n_k + (k == (uint32_t)label ? 1.0f - s : 0.0f);
        ltc_set(a->t[3], at + k, dl * (ltc_get(a->t[1], at + k) - target));
    }
}

// l = -sum_k t_k log p_k; a target of 0 counts nothing even where log p is -inf. t: z, target, l, p. d: K.
LTI_HOST_DEVICE void ltc_ce_soft(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    const ltc_row row = ltc_row_of(a->t[0], at, n_k, 1.0f);
    double sum = 0;
    for (uint32_t k = at; k < at + n_k; k++) {
        const float lp = ltc_log_p(&row, ltc_get(a->t[0], k)), target = ltc_get(a->t[1], k);
        sum -= target != 0.0f ? (double)target * (double)lp : 0;
        ltc_set(a->t[3], k, expf(lp));
    }
    ltc_set(a->t[2], i, (float)sum);
}

// dz = dl (sum(t) p - t). t: dl, p, target, dz. d: K.
LTI_HOST_DEVICE void ltc_ce_soft_dz(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    double sum = 0;
    for (uint32_t k = at; k < at + n_k; k++)
        sum += (double)ltc_get(a->t[2], k);
    for (uint32_t k = at; k < at + n_k; k++)
        ltc_set(
            a->t[3], k,
            (float)((double)ltc_get(a->t[0], i) * (sum * (double)ltc_get(a->t[1], k) - (double)ltc_get(a->t[2], k))));
}

// l = T^2 sum_k q_k (log q_k - log p_k), p = softmax(z / T), q = softmax(target / T). t: z, target, l, p, q. d: K. f:
// T.
LTI_HOST_DEVICE void ltc_kl(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    const float t = a->f[0];
    const ltc_row p = ltc_row_of(a->t[0], at, n_k, 1.0f / t), q = ltc_row_of(a->t[1], at, n_k, 1.0f / t);
    double sum = 0;
    for (uint32_t k = at; k < at + n_k; k++) {
        const float lp = ltc_log_p(&p, ltc_get(a->t[0], k)), lq = ltc_log_p(&q, ltc_get(a->t[1], k));
        sum += (double)expf(lq) * ((double)lq - (double)lp);
        ltc_set(a->t[3], k, expf(lp));
        ltc_set(a->t[4], k, expf(lq));
    }
    ltc_set(a->t[2], i, (float)((double)t * (double)t * sum));
}

// dz = dl T (p - q). t: dl, p, q, dz. d: K. f: T.
LTI_HOST_DEVICE void ltc_kl_dz(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    const float dl = ltc_get(a->t[0], i) * a->f[0];
    for (uint32_t k = at; k < at + n_k; k++)
        ltc_set(a->t[3], k, dl * (ltc_get(a->t[1], k) - ltc_get(a->t[2], k)));
}

// dtarget = dl T q (log q - log p - sum_k q_k (log q_k - log p_k)). t: dl, z, target, dtarget. d: K. f: T.
LTI_HOST_DEVICE void ltc_kl_pair_dt(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    const float t = a->f[0];
    const ltc_row p = ltc_row_of(a->t[1], at, n_k, 1.0f / t), q = ltc_row_of(a->t[2], at, n_k, 1.0f / t);
    double sum = 0;
    for (uint32_t k = at; k < at + n_k; k++) {
        const float lp = ltc_log_p(&p, ltc_get(a->t[1], k)), lq = ltc_log_p(&q, ltc_get(a->t[2], k));
        sum += (double)expf(lq) * ((double)lq - (double)lp);
    }
    for (uint32_t k = at; k < at + n_k; k++) {
        const float lp = ltc_log_p(&p, ltc_get(a->t[1], k)), lq = ltc_log_p(&q, ltc_get(a->t[2], k));
        ltc_set(a->t[3], k,
                (float)((double)ltc_get(a->t[0], i) * (double)t * (double)expf(lq) * ((double)lq - (double)lp - sum)));
    }
}

// l = max_{j != y} z_j - z_y, index: the first such j. t: z, labels, l, index. d: K.
LTI_HOST_DEVICE void ltc_margin(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    const int32_t label = ltc_ints(a->t[1])[i];
    uint32_t best = label == 0 ? 1 : 0;
    for (uint32_t k = 0; k < n_k; k++)
        if (k != (uint32_t)label && ltc_get(a->t[0], at + k) > ltc_get(a->t[0], at + best))
            best = k;
    ltc_set(a->t[2], i,
            ltc_is_label(label, n_k) ? ltc_get(a->t[0], at + best) - ltc_get(a->t[0], at + (uint32_t)label) : nanf(""));
    ltc_ints(a->t[3])[i] = (int32_t)best;
}

// dz = dl (onehot(index) - onehot(y)). t: dl, index, labels, dz. d: K.
LTI_HOST_DEVICE void ltc_margin_dz(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0];
    const uint32_t best = (uint32_t)ltc_ints(a->t[1])[i], label = (uint32_t)ltc_ints(a->t[2])[i];
    const float dl = ltc_get(a->t[0], i);
    for (uint32_t k = 0; k < n_k; k++)
        ltc_set(a->t[3], i * n_k + k, (k == best ? dl : 0.0f) - (k == label ? dl : 0.0f));
}

// y[n,k] = s[n] x[n,k]. Index: element. t: s, x, y. d: K.
LTI_HOST_DEVICE void ltc_mul_rows(const ltc_args *a, uint32_t i)
{
    ltc_set(a->t[2], i, ltc_get(a->t[0], i / (uint32_t)a->d[0]) * ltc_get(a->t[1], i));
}

// s[n] = <a[n], b[n]>. t: a, b, s. d: K.
LTI_HOST_DEVICE void ltc_row_dot(const ltc_args *a, uint32_t i)
{
    const uint32_t n_k = (uint32_t)a->d[0], at = i * n_k;
    double sum = 0;
    for (uint32_t k = at; k < at + n_k; k++)
        sum += (double)ltc_get(a->t[0], k) * (double)ltc_get(a->t[1], k);
    ltc_set(a->t[2], i, (float)sum);
}
#endif
