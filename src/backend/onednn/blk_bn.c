// blk_bn.c - batch normalisation on nChw16c: training, evaluation and their gradients, with the ReLU after it.
//
// Statistics: every part of a plane (a fixed number of pixels, whatever the number of threads) gives its own mean and sum of
// squared distances; these are merged in a fixed order in double with the pairwise update of Chan, Golub and LeVeque
// (1979). So results do not depend on the thread count and do not suffer where the mean is large against the deviation.
// A group of channel blocks small enough for the caches goes through both passes before the next group starts, which saves
// one trip to memory out of three.
#include "backend/onednn/onednn_impl.h"
#include "base/base.h"
#include <math.h>
#include <string.h>

// Scratch: partial results (two vectors a unit), then coefficient rows of cb * 16 floats.
enum { ROW_MEAN, ROW_A, ROW_B, ROW_D, N_ROWS };

static int64_t partial_floats(const lti_blk *d)
{
    return d->cb * d->units * 2 * LTI_LANES;
}

static float *partial(const lti_blk *d, float *scratch, int64_t cb, int64_t unit)
{
    return scratch + (cb * d->units + unit) * 2 * LTI_LANES;
}

static float *row(const lti_blk *d, float *scratch, int which, int64_t cb)
{
    return scratch + partial_floats(d) + (which * d->cb + cb) * LTI_LANES;
}

// Work item i of a group of g channel blocks starting at cb0: which block, unit, offset in floats and number of pixels.
typedef struct item {
    int64_t cb, unit, at, px;
} item;

static item item_of(const lti_blk *d, int64_t cb0, int64_t g, int64_t i)
{
    const int64_t part = i % d->parts, n = i / d->parts / g, first = part * d->part_px;
    item t = {.cb = cb0 + i / d->parts % g, .unit = n * d->parts + part};
    t.px = d->px - first < d->part_px ? d->px - first : d->part_px;
    t.at = ((n * d->cb + t.cb) * d->px + first) * LTI_LANES;
    return t;
}

static int64_t lanes(const lti_blk *d, int64_t cb)
{
    return d->c - cb * LTI_LANES < LTI_LANES ? d->c - cb * LTI_LANES : LTI_LANES;
}

static int64_t group_at(const lti_blk *d, int64_t cb0)
{
    return d->cb - cb0 < d->group ? d->cb - cb0 : d->group;
}

// Merge the partial moments of one channel block: mean and biased variance per lane.
static void merge_moments(const lti_blk *d, float *scratch, int64_t cb, double *mean, double *var)
{
    const double total = (double)(d->n * d->px);
    for (int l = 0; l < LTI_LANES; l++)
        mean[l] = var[l] = 0.0;
    for (int64_t u = 0; u < d->units; u++) {
        const float *p = partial(d, scratch, cb, u);
        const double px = (double)item_of(d, cb, 1, u).px;
        for (int l = 0; l < LTI_LANES; l++)
            mean[l] += px * (double)p[l];
    }
    for (int l = 0; l < LTI_LANES; l++)
        mean[l] /= total;
    for (int64_t u = 0; u < d->units; u++) {
        const float *p = partial(d, scratch, cb, u);
        const double px = (double)item_of(d, cb, 1, u).px;
        for (int l = 0; l < LTI_LANES; l++) {
            double off = (double)p[l] - mean[l];
            var[l] += (double)p[LTI_LANES + l] + px * off * off;
        }
    }
    for (int l = 0; l < LTI_LANES; l++)
        var[l] /= total;
}

typedef struct train_args {
    const float *gamma, *beta;
    float *running_mean, *running_var, *mean, *istd;
} train_args;

static void finish_train(const lti_blk *d, float *scratch, int64_t cb, const train_args *t)
{
    double mean[LTI_LANES], var[LTI_LANES];
    float *m = row(d, scratch, ROW_MEAN, cb), *a = row(d, scratch, ROW_A, cb), *b = row(d, scratch, ROW_B, cb);
    const double total = (double)(d->n * d->px), unbias = total > 1.0 ? total / (total - 1.0) : 1.0;
    const double momentum = (double)d->attr.momentum;
    merge_moments(d, scratch, cb, mean, var);
    for (int64_t l = 0; l < LTI_LANES; l++)
        m[l] = a[l] = b[l] = 0.0f;
    for (int64_t l = 0, c = cb * LTI_LANES; l < lanes(d, cb); l++, c++) {
        const float istd = (float)(1.0 / sqrt(var[l] + (double)d->attr.eps));
        m[l] = t->mean[c] = (float)mean[l];
        t->istd[c] = istd;
        a[l] = t->gamma[c] * istd;
        b[l] = t->beta[c];
        t->running_mean[c] = (float)((1.0 - momentum) * (double)t->running_mean[c] + momentum * mean[l]);
        t->running_var[c] = (float)((1.0 - momentum) * (double)t->running_var[c] + momentum * var[l] * unbias);
    }
}

static lt_status bn_train_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *x = arg[0];
    float *y = arg[5];
    const train_args t = {arg[1], arg[2], arg[3], arg[4], arg[6], arg[7]};
#pragma omp parallel num_threads(d->n_threads)
    for (int64_t cb0 = 0; cb0 < d->cb; cb0 += d->group) {
        const int64_t g = group_at(d, cb0);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < g * d->units; i++) {
            const item it = item_of(d, cb0, g, i);
            float *p = partial(d, scratch, it.cb, it.unit);
            d->kern->moments(x + it.at, it.px, p, p + LTI_LANES);
        }
#pragma omp for schedule(static)
        for (int64_t cb = cb0; cb < cb0 + g; cb++)
            finish_train(d, scratch, cb, &t);
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < g * d->units; i++) {
            const item it = item_of(d, cb0, g, i);
            d->kern->affine(x + it.at, y + it.at, it.px, row(d, scratch, ROW_MEAN, it.cb),
                            row(d, scratch, ROW_A, it.cb), row(d, scratch, ROW_B, it.cb), d->attr.relu);
        }
    }
    return LT_OK;
}

// Sums of dy' and dy' * (x - mean) of one channel block, merged in double in a fixed order.
static void merge_sums(const lti_blk *d, float *scratch, int64_t cb, double *s1, double *s2)
{
    for (int l = 0; l < LTI_LANES; l++)
        s1[l] = s2[l] = 0.0;
    for (int64_t u = 0; u < d->units; u++) {
        const float *p = partial(d, scratch, cb, u);
        for (int l = 0; l < LTI_LANES; l++) {
            s1[l] += (double)p[l];
            s2[l] += (double)p[LTI_LANES + l];
        }
    }
}

typedef struct dx_args {
    const float *gamma, *mean, *istd; // evaluation: mean = running mean, istd = running variance
    float *dgamma, *dbeta;
    bool train;
} dx_args;

// dx = gamma * istd * (dy' - s1 / M - (x - mean) * istd^2 * s2 / M), written as a * dy' + b * (x - mean) + d;
// in evaluation mode the statistics are constants and only the first term is left.
static void finish_dx(const lti_blk *d, float *scratch, int64_t cb, const dx_args *t)
{
    double s1[LTI_LANES], s2[LTI_LANES];
    float *a = row(d, scratch, ROW_A, cb), *b = row(d, scratch, ROW_B, cb), *e = row(d, scratch, ROW_D, cb);
    const double total = (double)(d->n * d->px);
    merge_sums(d, scratch, cb, s1, s2);
    for (int64_t l = 0; l < LTI_LANES; l++)
        a[l] = b[l] = e[l] = 0.0f;
    for (int64_t l = 0, c = cb * LTI_LANES; l < lanes(d, cb); l++, c++) {
        const double istd = t->train ? (double)t->istd[c] : 1.0 / sqrt((double)t->istd[c] + (double)d->attr.eps);
        const double scale = (double)t->gamma[c] * istd;
        a[l] = (float)scale;
        if (t->train) {
            b[l] = (float)(-scale * istd * istd * s2[l] / total);
            e[l] = (float)(-scale * s1[l] / total);
        }
        t->dgamma[c] = (float)(s2[l] * istd);
        t->dbeta[c] = (float)s1[l];
    }
}

static void load_mean(const lti_blk *d, float *scratch, const float *mean)
{
    for (int64_t cb = 0; cb < d->cb; cb++) {
        float *m = row(d, scratch, ROW_MEAN, cb);
        memset(m, 0, LTI_LANES * sizeof *m);
        memcpy(m, mean + cb * LTI_LANES, (size_t)lanes(d, cb) * sizeof *m);
    }
}

// Arguments of both gradients: x, dy, gamma, mean, istd or variance, [y] -> dx, dgamma, dbeta.
static lt_status bn_dx_run(const lt_kernel *k, void *const *arg, void *scratch, bool train)
{
    const lti_blk *d = k->data;
    const float *x = arg[0], *dy = arg[1], *y = d->attr.relu ? arg[5] : NULL;
    void *const *out = arg + (d->attr.relu ? 6 : 5);
    float *dx = out[0];
    const dx_args t = {arg[2], arg[3], arg[4], out[1], out[2], train};
    load_mean(d, scratch, t.mean);
#pragma omp parallel num_threads(d->n_threads)
    for (int64_t cb0 = 0; cb0 < d->cb; cb0 += d->group) {
        const int64_t g = group_at(d, cb0);
#pragma omp for schedule(static)
        for (int64_t i = 0; i < g * d->units; i++) {
            const item it = item_of(d, cb0, g, i);
            float *p = partial(d, scratch, it.cb, it.unit);
            d->kern->bn_sums(x + it.at, dy + it.at, y ? y + it.at : NULL, it.px, row(d, scratch, ROW_MEAN, it.cb), p,
                             p + LTI_LANES);
        }
#pragma omp for schedule(static)
        for (int64_t cb = cb0; cb < cb0 + g; cb++)
            finish_dx(d, scratch, cb, &t);
#pragma omp for schedule(static) nowait
        for (int64_t i = 0; i < g * d->units; i++) {
            const item it = item_of(d, cb0, g, i);
            d->kern->bn_dx(x + it.at, dy + it.at, y ? y + it.at : NULL, dx + it.at, it.px,
                           row(d, scratch, ROW_MEAN, it.cb), row(d, scratch, ROW_A, it.cb),
                           row(d, scratch, ROW_B, it.cb), row(d, scratch, ROW_D, it.cb));
        }
    }
    return LT_OK;
}

static lt_status bn_train_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    return bn_dx_run(k, arg, scratch, true);
}

static lt_status bn_eval_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    return bn_dx_run(k, arg, scratch, false);
}

static lt_status bn_eval_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *x = arg[0], *gamma = arg[1], *beta = arg[2], *running_var = arg[4];
    float *y = arg[5];
    load_mean(d, scratch, arg[3]);
    for (int64_t cb = 0; cb < d->cb; cb++) {
        float *a = row(d, scratch, ROW_A, cb), *b = row(d, scratch, ROW_B, cb);
        for (int64_t l = 0; l < LTI_LANES; l++)
            a[l] = b[l] = 0.0f;
        for (int64_t l = 0, c = cb * LTI_LANES; l < lanes(d, cb); l++, c++) {
            a[l] = (float)((double)gamma[c] / sqrt((double)running_var[c] + (double)d->attr.eps));
            b[l] = beta[c];
        }
    }
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->cb * d->units; i++) {
        const item it = item_of(d, 0, d->cb, i);
        d->kern->affine(x + it.at, y + it.at, it.px, row(d, scratch, ROW_MEAN, it.cb),
                        row(d, scratch, ROW_A, it.cb), row(d, scratch, ROW_B, it.cb), d->attr.relu);
    }
    return LT_OK;
}

// Sum over batch and pixels of a blocked tensor: the gradient of a convolution's bias.
static lt_status channel_sum_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *dy = arg[0];
    float *out = arg[1];
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->cb * d->units; i++) {
        const item it = item_of(d, 0, d->cb, i);
        float *p = partial(d, scratch, it.cb, it.unit);
        memset(p + LTI_LANES, 0, LTI_LANES * sizeof *p);
        d->kern->sum(dy + it.at, it.px, p);
    }
    for (int64_t cb = 0; cb < d->cb; cb++) {
        double s[LTI_LANES], unused[LTI_LANES];
        merge_sums(d, scratch, cb, s, unused);
        for (int64_t l = 0; l < lanes(d, cb); l++)
            out[cb * LTI_LANES + l] = (float)s[l];
    }
    return LT_OK;
}

// `blocked`: bit i set = argument i is a blocked tensor.
static lt_status bind(const lti_dn *dn, const lt_bind_in *in, unsigned blocked, const char *what,
                      lt_status (*run)(const lt_kernel *, void *const *, void *), lt_kernel *k)
{
    if (!lti_blk_fits(in, 0))
        return LT_E_UNSUPPORTED;
    LT_TRY(lti_blk_create(dn, in, &in->arg[0].shape, k));
    const lti_blk *d = k->data;
    for (int i = 0; i < in->n_in + in->n_out; i++)
        if (blocked >> i & 1)
            k->layout[i] = LT_LAYOUT_BLOCKED16;
    k->scratch_bytes = (size_t)(partial_floats(d) + N_ROWS * d->cb * LTI_LANES) * sizeof(float);
    k->run = run;
    lti_blk_impl(k, d, what);
    return LT_OK;
}

lt_status lti_bind_bn_train(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    return bind(dn, in, 1u << 0 | 1u << 5, in->attr->relu ? "bn_train_relu" : "bn_train", bn_train_run, k);
}

lt_status lti_bind_bn_train_dx(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool y = in->attr->relu;
    return bind(dn, in, 3u | (y ? 3u << 5 : 1u << 5), y ? "bn_train_relu_dx" : "bn_train_dx", bn_train_dx_run, k);
}

lt_status lti_bind_bn_eval(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    return bind(dn, in, 1u << 0 | 1u << 5, in->attr->relu ? "bn_eval_relu" : "bn_eval", bn_eval_run, k);
}

lt_status lti_bind_bn_eval_dx(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool y = in->attr->relu;
    return bind(dn, in, 3u | (y ? 3u << 5 : 1u << 5), y ? "bn_eval_relu_dx" : "bn_eval_dx", bn_eval_dx_run, k);
}

lt_status lti_bind_channel_sum(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    return bind(dn, in, 1u << 0, "channel_sum", channel_sum_run, k);
}
