// blk_bn.c - batch normalisation on nChw16c: training, evaluation and their gradients, with the ReLU after it.
//
// Statistics: every part of a plane (a fixed number of pixels, whatever the number of threads) gives its own mean and
// sum of squared distances; these are merged in a fixed order in double with the pairwise update of Chan, Golub and
// LeVeque (1979). So results do not depend on the thread count and do not suffer where the mean is large against the
// deviation. With enough channel blocks a thread takes a whole block through both passes: the second finds its data in
// cache, and no thread waits for another in between, which matters on a machine that is also doing something else.
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/work_partition.h"
#include "base/base.h"
#include <math.h>
#include <string.h>

// Scratch: partial results (two vectors a unit), then coefficient rows of cb * 16 floats.
enum { STREAM_BYTES = 15 << 20 };                               // half of a third-level cache, about
enum { ROW_MEAN, ROW_A, ROW_B, ROW_D, ROW_GA, ROW_GB, N_ROWS }; // GA, GB: the forward line a gradient's mask needs

static int64_t bytes_of(const lti_blk *d)
{
    return d->n * d->cb * d->px * LTI_LANES * (int64_t)sizeof(float);
}

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

// Position of unit u of a channel block: offset in floats and number of pixels.
typedef struct run_of {
    int64_t at, px;
} run_of;

static run_of unit_at(const lti_blk *d, int64_t cb, int64_t unit)
{
    const int64_t part = unit % d->parts, n = unit / d->parts, first = part * d->part_px;
    run_of r = {((n * d->cb + cb) * d->px + first) * LTI_LANES, d->part_px};
    if (d->px - first < r.px)
        r.px = d->px - first;
    return r;
}

static int64_t lanes(const lti_blk *d, int64_t cb)
{
    return d->c - cb * LTI_LANES < LTI_LANES ? d->c - cb * LTI_LANES : LTI_LANES;
}

// The three steps of a two-pass kernel: partial results of one unit, what one channel block needs from them, and the
// second pass over one unit. The order of every sum is fixed by the steps, so any split over threads gives the same
// bits.
typedef struct pass {
    void (*unit)(const struct pass *p, int64_t cb, int64_t unit);
    void (*epilogue)(const struct pass *p, int64_t cb);
    void (*apply)(const struct pass *p, int64_t cb, int64_t unit);
    const lti_blk *d;
    float *scratch;
    const float *x, *dy, *y, *r, *gamma, *beta, *mean, *istd; // r: residual, may be NULL
    float *out, *out_mean, *out_istd, *running_mean, *running_var, *dgamma, *dbeta;
    bool train;
} pass;

static void run_group(const pass *p, int64_t first, int64_t end)
{
    for (int64_t u = 0; u < p->d->units; u++)
        for (int64_t cb = first; cb < end; cb++)
            p->unit(p, cb, u);
    for (int64_t cb = first; cb < end; cb++)
        p->epilogue(p, cb);
    for (int64_t u = 0; u < p->d->units; u++)
        for (int64_t cb = first; cb < end; cb++)
            p->apply(p, cb, u);
}

// All units of an image, in memory order.
static void each_unit(const pass *p, int64_t n, void (*step)(const pass *, int64_t, int64_t))
{
    for (int64_t cb = 0; cb < p->d->cb; cb++)
        for (int64_t part = 0; part < p->d->parts; part++)
            step(p, cb, n * p->d->parts + part);
}

// Each thread its images, in both passes: it finds what it made in the kernel before. The second begins where the first
// ended.
static void run_images(const pass *p)
{
    const lti_blk *d = p->d;
    lti_work_partition first, second;
    lti_work_partition_init(&first, d->n, d->n_threads);
    lti_work_partition_init(&second, d->n, d->n_threads);
#pragma omp parallel num_threads(d->n_threads)
    {
        for (int64_t n; lti_work_partition_next(&first, false, &n);)
            each_unit(p, n, p->unit);
#pragma omp barrier
#pragma omp for schedule(static)
        for (int64_t cb = 0; cb < d->cb; cb++)
            p->epilogue(p, cb);
        for (int64_t n; lti_work_partition_next(&second, true, &n);)
            each_unit(p, n, p->apply);
    }
}

static void run_pass(const pass *p)
{
    const lti_blk *d = p->d;
    if (d->n >= d->n_threads && bytes_of(d) < STREAM_BYTES) {
        run_images(p);
        return;
    }
    const int64_t n_groups = (d->cb + d->group - 1) / d->group;
    if (n_groups % d->n_threads == 0 || n_groups >= 4 * d->n_threads) {
#pragma omp parallel for num_threads(d->n_threads) schedule(dynamic, 1)
        for (int64_t g = 0; g < n_groups; g++)
            run_group(p, g * d->group, d->cb < (g + 1) * d->group ? d->cb : (g + 1) * d->group);
        return;
    }
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->cb * d->units; i++)
        p->unit(p, i / d->units, i % d->units);
    for (int64_t cb = 0; cb < d->cb; cb++)
        p->epilogue(p, cb);
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->cb * d->units; i++)
        p->apply(p, i / d->units, i % d->units);
}

// Merge the partial moments of one channel block: mean and biased variance per lane.
static void merge_moments(const lti_blk *d, float *scratch, int64_t cb, double *mean, double *var)
{
    const double total = (double)(d->n * d->px);
    for (int l = 0; l < LTI_LANES; l++)
        mean[l] = var[l] = 0.0;
    for (int64_t u = 0; u < d->units; u++) {
        const float *p = partial(d, scratch, cb, u);
        const double px = (double)unit_at(d, cb, u).px;
        for (int l = 0; l < LTI_LANES; l++)
            mean[l] += px * (double)p[l];
    }
    for (int l = 0; l < LTI_LANES; l++)
        mean[l] /= total;
    for (int64_t u = 0; u < d->units; u++) {
        const float *p = partial(d, scratch, cb, u);
        const double px = (double)unit_at(d, cb, u).px;
        for (int l = 0; l < LTI_LANES; l++) {
            double off = (double)p[l] - mean[l];
            var[l] += (double)p[LTI_LANES + l] + px * off * off;
        }
    }
    for (int l = 0; l < LTI_LANES; l++)
        var[l] /= total;
}

static void train_unit(const pass *p, int64_t cb, int64_t unit)
{
    const run_of r = unit_at(p->d, cb, unit);
    float *to = partial(p->d, p->scratch, cb, unit);
    p->d->kern->moments(p->x + r.at, r.px, to, to + LTI_LANES);
}

static void train_finish(const pass *p, int64_t cb)
{
    const lti_blk *d = p->d;
    double mean[LTI_LANES], var[LTI_LANES];
    float *m = row(d, p->scratch, ROW_MEAN, cb), *a = row(d, p->scratch, ROW_A, cb), *b = row(d, p->scratch, ROW_B, cb);
    const double total = (double)(d->n * d->px), unbias = total > 1.0 ? total / (total - 1.0) : 1.0;
    const double momentum = (double)d->attr.momentum;
    merge_moments(d, p->scratch, cb, mean, var);
    for (int64_t l = 0; l < LTI_LANES; l++)
        m[l] = a[l] = b[l] = 0.0f;
    for (int64_t l = 0, c = cb * LTI_LANES; l < lanes(d, cb); l++, c++) {
        const float istd = (float)(1.0 / sqrt(var[l] + (double)d->attr.eps));
        m[l] = p->out_mean[c] = (float)mean[l];
        p->out_istd[c] = istd;
        a[l] = p->gamma[c] * istd;
        b[l] = p->beta[c];
        p->running_mean[c] = (float)((1.0 - momentum) * (double)p->running_mean[c] + momentum * mean[l]);
        p->running_var[c] = (float)((1.0 - momentum) * (double)p->running_var[c] + momentum * var[l] * unbias);
    }
}

// A large result would push out what the next kernel still finds in the caches, and be read before it is written over.
static bool streams(const pass *p)
{
    return bytes_of(p->d) >= STREAM_BYTES && (uintptr_t)p->out % (LTI_LANES * sizeof(float)) == 0;
}

// The second pass of training and all of evaluation: y = a * (x - mean) + b [+ r].
static void affine_apply(const pass *p, int64_t cb, int64_t unit)
{
    const lti_blk *d = p->d;
    const run_of r = unit_at(d, cb, unit);
    const float *mean = row(d, p->scratch, ROW_MEAN, cb), *a = row(d, p->scratch, ROW_A, cb);
    const float *b = row(d, p->scratch, ROW_B, cb);
    if (p->r)
        d->kern->affine_add(p->x + r.at, p->r + r.at, p->out + r.at, r.px, mean, a, b, d->attr.relu, streams(p));
    else
        d->kern->affine(p->x + r.at, p->out + r.at, r.px, mean, a, b, d->attr.relu, streams(p));
}

static lt_status bn_train_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    void *const *out = arg + d->n_in;
    const pass p = {
        .unit = train_unit,
        .epilogue = train_finish,
        .apply = affine_apply,
        .d = d,
        .scratch = scratch,
        .x = arg[0],
        .r = d->n_in == 6 ? arg[5] : NULL,
        .gamma = arg[1],
        .beta = arg[2],
        .running_mean = arg[3],
        .running_var = arg[4],
        .out = out[0],
        .out_mean = out[1],
        .out_istd = out[2],
    };
    run_pass(&p);
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

static void load_mean(const lti_blk *d, float *scratch, const float *mean)
{
    for (int64_t cb = 0; cb < d->cb; cb++) {
        float *m = row(d, scratch, ROW_MEAN, cb);
        memset(m, 0, LTI_LANES * sizeof *m);
        memcpy(m, mean + cb * LTI_LANES, (size_t)lanes(d, cb) * sizeof *m);
    }
}

// a = gamma * istd and b = beta of training, with the roundings of train_finish.
static void load_line(const lti_blk *d, float *scratch, const float *gamma, const float *istd, const float *beta,
                      int row_a, int row_b)
{
    for (int64_t cb = 0; cb < d->cb; cb++) {
        float *a = row(d, scratch, row_a, cb), *b = row(d, scratch, row_b, cb);
        memset(a, 0, LTI_LANES * sizeof *a);
        memset(b, 0, LTI_LANES * sizeof *b);
        for (int64_t l = 0, c = cb * LTI_LANES; l < lanes(d, cb); l++, c++) {
            a[l] = gamma[c] * istd[c];
            b[l] = beta[c];
        }
    }
}

static void dx_unit(const pass *p, int64_t cb, int64_t unit)
{
    const lti_blk *d = p->d;
    const run_of r = unit_at(d, cb, unit);
    float *to = partial(d, p->scratch, cb, unit);
    const float *mean = row(d, p->scratch, ROW_MEAN, cb);
    if (p->beta)
        d->kern->bn_relu_sums(p->x + r.at, p->dy + r.at, r.px, mean, row(d, p->scratch, ROW_GA, cb),
                              row(d, p->scratch, ROW_GB, cb), to, to + LTI_LANES);
    else
        d->kern->bn_sums(p->x + r.at, p->dy + r.at, p->y ? p->y + r.at : NULL, r.px, mean, to, to + LTI_LANES);
}

// dx = gamma * istd * (dy' - s1 / M - (x - mean) * istd^2 * s2 / M), written as a * dy' + b * (x - mean) + d;
// in evaluation mode the statistics are constants and only the first term is left; p->istd then holds the variance.
static void dx_finish(const pass *p, int64_t cb)
{
    const lti_blk *d = p->d;
    double s1[LTI_LANES], s2[LTI_LANES];
    float *a = row(d, p->scratch, ROW_A, cb), *b = row(d, p->scratch, ROW_B, cb), *e = row(d, p->scratch, ROW_D, cb);
    const double total = (double)(d->n * d->px);
    merge_sums(d, p->scratch, cb, s1, s2);
    for (int64_t l = 0; l < LTI_LANES; l++)
        a[l] = b[l] = e[l] = 0.0f;
    for (int64_t l = 0, c = cb * LTI_LANES; l < lanes(d, cb); l++, c++) {
        const double istd = p->train ? (double)p->istd[c] : 1.0 / sqrt((double)p->istd[c] + (double)d->attr.eps);
        const double scale = (double)p->gamma[c] * istd;
        a[l] = (float)scale;
        if (p->train) {
            b[l] = (float)(-scale * istd * istd * s2[l] / total);
            e[l] = (float)(-scale * s1[l] / total);
        }
        p->dgamma[c] = (float)(s2[l] * istd);
        p->dbeta[c] = (float)s1[l];
    }
}

static void dx_apply(const pass *p, int64_t cb, int64_t unit)
{
    const lti_blk *d = p->d;
    const run_of r = unit_at(d, cb, unit);
    const float *mean = row(d, p->scratch, ROW_MEAN, cb), *a = row(d, p->scratch, ROW_A, cb);
    const float *b = row(d, p->scratch, ROW_B, cb), *e = row(d, p->scratch, ROW_D, cb);
    if (p->beta)
        d->kern->bn_relu_dx(p->x + r.at, p->dy + r.at, p->out + r.at, r.px, mean, row(d, p->scratch, ROW_GA, cb),
                            row(d, p->scratch, ROW_GB, cb), a, b, e, streams(p));
    else
        d->kern->bn_dx(p->x + r.at, p->dy + r.at, p->y ? p->y + r.at : NULL, p->out + r.at, r.px, mean, a, b, e,
                       streams(p));
}

// Arguments of both gradients: x, dy, gamma, mean, then istd, [beta] in training and variance, [y] in evaluation -> dx,
// dgamma, dbeta.
static lt_status bn_dx_run(const lt_kernel *k, void *const *arg, void *scratch, bool train)
{
    const lti_blk *d = k->data;
    void *const *out = arg + (d->attr.relu ? 6 : 5);
    const pass p = {
        .unit = dx_unit,
        .epilogue = dx_finish,
        .apply = dx_apply,
        .d = d,
        .scratch = scratch,
        .train = train,
        .x = arg[0],
        .dy = arg[1],
        .gamma = arg[2],
        .mean = arg[3],
        .istd = arg[4],
        .y = d->attr.relu && !train ? arg[5] : NULL,
        .beta = d->attr.relu && train ? arg[5] : NULL,
        .out = out[0],
        .dgamma = out[1],
        .dbeta = out[2],
    };
    load_mean(d, scratch, p.mean);
    if (p.beta)
        load_line(d, scratch, p.gamma, p.istd, p.beta, ROW_GA, ROW_GB);
    run_pass(&p);
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

static void apply_images(const pass *p)
{
    lti_work_partition images;
    lti_work_partition_init(&images, p->d->n, p->d->n_threads);
#pragma omp parallel num_threads(p->d->n_threads)
    for (int64_t n; lti_work_partition_next(&images, false, &n);)
        each_unit(p, n, affine_apply);
}

static lt_status bn_apply_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const pass p = {.d = d, .scratch = scratch, .x = arg[0], .r = d->n_in == 6 ? arg[5] : NULL, .out = arg[d->n_in]};
    load_mean(d, scratch, arg[3]);
    load_line(d, scratch, arg[1], arg[4], arg[2], ROW_A, ROW_B);
    apply_images(&p);
    return LT_OK;
}

static lt_status bn_eval_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const pass p = {
        .d = d,
        .scratch = scratch,
        .x = arg[0],
        .gamma = arg[1],
        .beta = arg[2],
        .mean = arg[3],
        .istd = arg[4],
        .out = arg[5],
    };
    load_mean(d, scratch, p.mean);
    for (int64_t cb = 0; cb < d->cb; cb++) {
        float *a = row(d, scratch, ROW_A, cb), *b = row(d, scratch, ROW_B, cb);
        for (int64_t l = 0; l < LTI_LANES; l++)
            a[l] = b[l] = 0.0f;
        for (int64_t l = 0, c = cb * LTI_LANES; l < lanes(d, cb); l++, c++) {
            a[l] = (float)((double)p.gamma[c] / sqrt((double)p.istd[c] + (double)d->attr.eps));
            b[l] = p.beta[c];
        }
    }
    apply_images(&p);
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
        const int64_t cb = i / d->units, unit = i % d->units;
        const run_of r = unit_at(d, cb, unit);
        float *p = partial(d, scratch, cb, unit);
        memset(p + LTI_LANES, 0, LTI_LANES * sizeof *p);
        d->kern->sum(dy + r.at, r.px, p);
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

// Bits of x, of the residual, if any, and of y.
static unsigned blocked_bn(const lt_bind_in *in)
{
    return in->n_in == 6 ? 1u | 3u << 5 : 1u | 1u << 5;
}

lt_status lti_bind_bn_train(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    static const char *const what[2][2] = {{"bn_train", "bn_train_relu"}, {"bn_train_add", "bn_train_add_relu"}};
    return bind(dn, in, blocked_bn(in), what[in->n_in == 6][in->attr->relu], bn_train_run, k);
}

lt_status lti_bind_bn_apply(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    static const char *const what[2][2] = {{"bn_apply", "bn_apply_relu"}, {"bn_apply_add", "bn_apply_add_relu"}};
    return bind(dn, in, blocked_bn(in), what[in->n_in == 6][in->attr->relu], bn_apply_run, k);
}

lt_status lti_bind_bn_train_dx(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool relu = in->attr->relu;
    return bind(dn, in, 3u | 1u << in->n_in, relu ? "bn_train_relu_dx" : "bn_train_dx", bn_train_dx_run, k);
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
