// blk_quant.c - activations rounded to levels on any layout: zero stays zero, so does the channel tail of a block.
//
// The step's gradient is a sum over chunks of fixed size, added in order: any number of threads gives the same bits.
#include "backend/onednn/onednn_impl.h"
#include "base/base.h"
#include <math.h>

enum { CHUNK = 16384 };

static int64_t n_chunks(const lti_blk *d)
{
    return (d->count + CHUNK - 1) / CHUNK;
}

static int64_t chunk_end(const lti_blk *d, int64_t i)
{
    return (i + 1) * CHUNK < d->count ? (i + 1) * CHUNK : d->count;
}

static float level_width(const lti_blk *d, float step)
{
    return d->attr.rule == LT_ACT_RULE_PACT ? step / (float)((1 << d->attr.bits) - 1) : step;
}

static lt_status act_quant_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *x = arg[0], s = level_width(d, *(const float *)arg[1]), top = (float)((1 << d->attr.bits) - 1);
    float *y = arg[2];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t c = 0; c < n_chunks(d); c++)
        for (int64_t i = c * CHUNK; i < chunk_end(d, c); i++) {
            float v = x[i] / s;
            v = v < top ? v : top;
            v = v > 0 ? v : 0;
            y[i] = s * (float)(int)(v + 0.5f);
        }
    return LT_OK;
}

// Sum of the step's gradient over one chunk, dx on the way.
static double chunk_dx(const lti_blk *d, int64_t c, const float *dy, const float *x, float s, float *dx)
{
    const bool pact = d->attr.rule == LT_ACT_RULE_PACT;
    const float top = (float)((1 << d->attr.bits) - 1);
    double sum = 0;
    for (int64_t i = c * CHUNK; i < chunk_end(d, c); i++) {
        const float v = x[i] / s, g = dy[i];
        const bool below = v < 0 || (pact && v <= 0), above = pact ? v >= top : v > top;
        const float inside = pact ? 0.0f : (float)(int)((above ? 0.0f : v) + 0.5f) - v;
        const float slope = below ? 0.0f : above ? (pact ? 1.0f : top) : inside;
        sum += (double)(g * slope);
        dx[i] = below || above ? 0.0f : g;
    }
    return sum;
}

static lt_status act_quant_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *dy = arg[0], *x = arg[1], s = level_width(d, *(const float *)arg[2]);
    float *dx = arg[3], *dstep = arg[4];
    double *part = scratch, sum = 0;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t c = 0; c < n_chunks(d); c++)
        part[c] = chunk_dx(d, c, dy, x, s, dx);
    for (int64_t c = 0; c < n_chunks(d); c++)
        sum += part[c];
    const double top = (double)((1 << d->attr.bits) - 1);
    *dstep = (float)(d->attr.rule == LT_ACT_RULE_PACT ? sum : sum / sqrt((double)(d->c * d->px) * top));
    return LT_OK;
}

lt_status lti_bind_act_quant(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool dx = in->op == &lt_op_act_quant_dx;
    if (in->arg[0].shape.n_dims != 4)
        return LT_E_UNSUPPORTED;
    lt_layout layout = LT_LAYOUT_PLAIN;
    for (int i = 0; i < in->n_in; i++)
        if (in->arg[i].layout == LT_LAYOUT_BLOCKED16)
            layout = LT_LAYOUT_BLOCKED16;
    LT_TRY(lti_blk_create(dn, in, &in->arg[0].shape, k));
    lti_blk *d = k->data;
    d->count = (int64_t)(lti_layout_bytes(&in->arg[0].shape, LT_F32, layout) / sizeof(float));
    for (int i = 0; i < in->n_in + in->n_out; i++)
        k->layout[i] = in->arg[i].shape.n_dims == 4 ? layout : LT_LAYOUT_PLAIN;
    k->run = dx ? act_quant_dx_run : act_quant_run;
    k->scratch_bytes = dx ? (size_t)n_chunks(d) * sizeof(double) : 0;
    lti_blk_impl(k, d, dx ? "act_quant_dx" : "act_quant");
    return LT_OK;
}
