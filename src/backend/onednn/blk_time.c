// blk_time.c - neurons, layer norm and sums over time, one sample or row a thread.
//
// Neurons treat every element alike, so the rows of a sample may have any layout as long as all arguments have the
// same: zero currents keep the zero channel tail of a blocked buffer at zero, because a threshold is positive. Layer
// norm averages over a row; it takes blocked rows only if they have no tail. Samples and rows are independent: any
// number of threads gives the same bits.
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/threads.h"
#include "base/base.h"
#include <math.h>
#include <string.h>

#define REAL float
#define FN(name) name##_f32
#include "graph/neuron_rows.inc"

enum { LANES = 16, CHUNK = 1024 };

static int64_t row_floats(const lti_blk *d)
{
    return d->count / d->n;
}

static lt_status lif_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const int64_t steps = d->attr.steps, len = row_floats(d), per = steps * len;
    double slope;
    const float decay =
        (float)lti_neuron_decay(&d->attr.neuron, d->n_in == 2 ? (double)*(const float *)arg[1] : 0, &slope);
    const float *x = arg[0];
    float *s = arg[d->n_in], *u = arg[d->n_in + 1];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t n = 0; n < d->n / steps; n++)
        neuron_forward_f32(&d->attr.neuron, decay, steps, len, x + n * per, s + n * per, u + n * per);
    return LT_OK;
}

// The decay's gradient: a sum for each sample, added in order.
static lt_status lif_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const int64_t steps = d->attr.steps, len = row_floats(d), per = steps * len, samples = d->n / steps;
    const bool learns = d->n_in == 4;
    double slope, sum = 0, *part = (double *)(void *)lti_shared_scratch(k, scratch);
    const float decay = (float)lti_neuron_decay(&d->attr.neuron, learns ? (double)*(const float *)arg[3] : 0, &slope);
    float *dx = arg[d->n_in], *dp = arg[d->n_in + 1];
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t n = 0; n < samples; n++) {
        int64_t thread = 0;
#ifdef _OPENMP
        thread = omp_get_thread_num();
#endif
        const float *const in[3] = {(const float *)arg[0] + n * per, (const float *)arg[1] + n * per,
                                    (const float *)arg[2] + n * per};
        part[n] = neuron_backward_f32(&d->attr.neuron, decay, learns, steps, len, in, dx + n * per,
                                      lti_thread_scratch(k, thread, scratch));
    }
    for (int64_t n = 0; n < samples; n++)
        sum += part[n];
    *dp = (float)(sum * slope);
    return LT_OK;
}

// Sums of a row in lanes of float over short chunks, chunks in double.
static double sum_row(const float *x, const float *y, int64_t n, float shift)
{
    double sum = 0;
    for (int64_t at = 0; at < n; at += CHUNK) {
        const int64_t end = at + CHUNK < n ? at + CHUNK : n;
        float lane[LANES] = {0};
        int64_t i = at;
        if (y)
            for (; i + LANES <= end; i += LANES)
                for (int l = 0; l < LANES; l++)
                    lane[l] += (x[i + l] - shift) * (y[i + l] - shift);
        else
            for (; i + LANES <= end; i += LANES)
                for (int l = 0; l < LANES; l++)
                    lane[l] += x[i + l];
        for (; i < end; i++)
            lane[0] += y ? (x[i] - shift) * (y[i] - shift) : x[i];
        for (int l = 0; l < LANES; l++)
            sum += (double)lane[l];
    }
    return sum;
}

static lt_status layer_norm_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const int64_t len = row_floats(d);
    float *istd = arg[2];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t n = 0; n < d->n; n++) {
        const float *x = (const float *)arg[0] + n * len;
        float *y = (float *)arg[1] + n * len;
        const float mean = (float)(sum_row(x, NULL, len, 0) / (double)len);
        const float inverse = (float)(1 / sqrt(sum_row(x, x, len, mean) / (double)len + (double)d->attr.eps));
        istd[n] = inverse;
        for (int64_t i = 0; i < len; i++)
            y[i] = (x[i] - mean) * inverse;
    }
    return LT_OK;
}

static lt_status layer_norm_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const int64_t len = row_floats(d);
    const float *istd = arg[2];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t n = 0; n < d->n; n++) {
        const float *dy = (const float *)arg[0] + n * len, *y = (const float *)arg[1] + n * len;
        float *dx = (float *)arg[3] + n * len;
        const float mean = (float)(sum_row(dy, NULL, len, 0) / (double)len);
        const float product = (float)(sum_row(dy, y, len, 0) / (double)len);
        for (int64_t i = 0; i < len; i++)
            dx[i] = istd[n] * (dy[i] - mean - y[i] * product);
    }
    return LT_OK;
}

static lt_status repeat_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const int64_t len = row_floats(d), steps = d->attr.steps;
    const float *x = arg[0], alpha = d->attr.alpha;
    float *y = arg[1];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->n * steps; i++)
        for (int64_t j = 0; j < len; j++)
            y[i * len + j] = alpha * x[i / steps * len + j];
    return LT_OK;
}

static lt_layout layout_of(const lt_bind_in *in, bool whole_blocks)
{
    const bool blocked =
        in->arg[0].shape.n_dims == 4 && !(in->flags & LT_PLAN_NO_LAYOUT) && in->arg[0].layout == LT_LAYOUT_BLOCKED16;
    return blocked && (!whole_blocks || in->arg[0].shape.dim[1] % LANES == 0) ? LT_LAYOUT_BLOCKED16 : LT_LAYOUT_PLAIN;
}

typedef struct how {
    const char *what;
    lt_status (*run)(const lt_kernel *, void *const *, void *);
    bool whole_blocks;
} how;

// Arguments of the shape of rows get the layout of the first one, the others are plain.
static lt_status bind(lti_dn *dn, const lt_bind_in *in, const how *h, lt_kernel *k)
{
    const lt_shape *s = &in->arg[0].shape;
    const lt_layout layout = layout_of(in, h->whole_blocks);
    LT_TRY(lti_blk_create(dn, in, s, k));
    lti_blk *d = k->data;
    d->n = s->dim[0];
    d->count = (int64_t)(lti_layout_bytes(s, LT_F32, layout) / sizeof(float));
    for (int i = 0; i < in->n_in + in->n_out; i++)
        if (in->arg[i].shape.n_dims == s->n_dims && s->n_dims == 4)
            k->layout[i] = layout;
    k->run = h->run;
    lti_blk_impl(k, d, h->what);
    return LT_OK;
}

lt_status lti_bind_lif(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    return bind(dn, in, &(how){"lif", lif_run, false}, k);
}

lt_status lti_bind_lif_dx(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    LT_TRY(bind(dn, in, &(how){"lif_dx", lif_dx_run, false}, k));
    const lti_blk *d = k->data;
    lti_plan_scratch(k, dn->n_threads, (size_t)(LTI_NEURON_SCRATCH_ROWS * row_floats(d)), 2 * (size_t)d->n);
    return LT_OK;
}

lt_status lti_bind_layer_norm(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool dx = in->op == &lt_op_layer_norm_dx;
    return bind(dn, in,
                dx ? &(how){"layer_norm_dx", layer_norm_dx_run, true} : &(how){"layer_norm", layer_norm_run, true}, k);
}

lt_status lti_bind_repeat_steps(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    if (in->arg[0].dtype != LT_F32)
        return LT_E_UNSUPPORTED; // labels
    return bind(dn, in, &(how){"repeat_steps", repeat_run, false}, k);
}
