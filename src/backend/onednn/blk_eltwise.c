// blk_eltwise.c - pointwise kernels and the conversion between plain and blocked layouts.
//
// ReLU, its gradient, addition and scaling treat a buffer as a row of floats: they map zero to zero, so the zero
// channel tail of a blocked buffer stays zero and every layout is fine as it comes.
#include "backend/onednn/onednn_impl.h"
#include "base/base.h"

enum { CHUNK = 16384 }; // floats a work item: 64 KiB, a multiple of every vector

static int64_t n_chunks(const lti_blk *d)
{
    return (d->count + CHUNK - 1) / CHUNK;
}

static int64_t chunk_len(const lti_blk *d, int64_t i)
{
    return d->count - i * CHUNK < CHUNK ? d->count - i * CHUNK : CHUNK;
}

static lt_status relu_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *x = arg[0];
    float *y = arg[1];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_chunks(d); i++)
        d->kern->relu(x + i * CHUNK, y + i * CHUNK, chunk_len(d, i));
    return LT_OK;
}

static lt_status relu_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *dy = arg[0], *y = arg[1];
    float *dx = arg[2];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_chunks(d); i++)
        d->kern->relu_dx(dy + i * CHUNK, y + i * CHUNK, dx + i * CHUNK, chunk_len(d, i), d->attr.alpha);
    return LT_OK;
}

static lt_status add_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *a = arg[0], *b = arg[1];
    float *y = arg[2];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_chunks(d); i++)
        d->kern->add(a + i * CHUNK, b + i * CHUNK, y + i * CHUNK, chunk_len(d, i), d->attr.alpha, d->attr.relu);
    return LT_OK;
}

static lt_status add_relu_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *a = arg[0], *b = arg[1], *y = arg[2];
    float *dx = arg[3];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_chunks(d); i++)
        d->kern->add_relu_dx(a + i * CHUNK, b + i * CHUNK, y + i * CHUNK, dx + i * CHUNK, chunk_len(d, i),
                             d->attr.alpha);
    return LT_OK;
}

static lt_status scale_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *x = arg[0];
    float *y = arg[1];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_chunks(d); i++)
        d->kern->scale(x + i * CHUNK, y + i * CHUNK, chunk_len(d, i), d->attr.alpha, 0.0f);
    return LT_OK;
}

// All arguments have one shape. Blocked when an input already is, plain otherwise.
static lt_status bind(const lti_dn *dn, const lt_bind_in *in, const char *what,
                      lt_status (*run)(const lt_kernel *, void *const *, void *), lt_kernel *k)
{
    lt_layout layout = LT_LAYOUT_PLAIN;
    for (int i = 0; i < in->n_in; i++)
        if (in->arg[i].layout == LT_LAYOUT_BLOCKED16)
            layout = LT_LAYOUT_BLOCKED16;
    LT_TRY(lti_blk_create(dn, in, &in->arg[0].shape, k));
    lti_blk *d = k->data;
    d->count = (int64_t)(lti_layout_bytes(&in->arg[0].shape, LT_F32, layout) / sizeof(float));
    for (int i = 0; i < in->n_in + in->n_out; i++)
        k->layout[i] = layout;
    k->run = run;
    lti_blk_impl(k, d, what);
    return LT_OK;
}

lt_status lti_bind_relu(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    return bind(dn, in, "relu", relu_run, k);
}

lt_status lti_bind_relu_dx(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    return bind(dn, in, "relu_dx", relu_dx_run, k);
}

lt_status lti_bind_add(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    return bind(dn, in, in->attr->relu ? "add_relu" : "add", add_run, k);
}

lt_status lti_bind_add_relu_dx(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    return bind(dn, in, "add_relu_dx", add_relu_dx_run, k);
}

lt_status lti_bind_scale(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    return bind(dn, in, "scale", scale_run, k);
}

// Input normalisation and its gradient, one plain plane at a time: images have one or three channels.
static lt_status normalize_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *x = arg[0];
    float *y = arg[1];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->n * d->c; i++)
        d->kern->scale(x + i * d->px, y + i * d->px, d->px, d->attr.istd[i % d->c], d->attr.mean[i % d->c]);
    return LT_OK;
}

static lt_status normalize_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *dy = arg[0];
    float *dx = arg[1];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < d->n * d->c; i++)
        d->kern->scale(dy + i * d->px, dx + i * d->px, d->px, d->attr.istd[i % d->c], 0.0f);
    return LT_OK;
}

lt_status lti_bind_normalize(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool dx = in->op == &lt_op_normalize_dx;
    LT_TRY(lti_blk_create(dn, in, &in->arg[0].shape, k));
    k->run = dx ? normalize_dx_run : normalize_run;
    lti_blk_impl(k, k->data, dx ? "normalize_dx" : "normalize");
    return LT_OK;
}

void lti_blk_reorder(const lti_dn *dn, const lt_shape *shape, lt_layout from, const void *src, lt_layout to, void *dst)
{
    const int64_t n = shape->dim[0], c = shape->dim[1], px = shape->dim[2] * shape->dim[3], cb = (c + 15) / 16;
    const bool to_plain = to == LT_LAYOUT_PLAIN;
    if (from == to)
        LT_BUG("reorder between equal layouts");
#pragma omp parallel for num_threads(dn->n_threads) schedule(static)
    for (int64_t i = 0; i < n * cb; i++) {
        const int64_t b = i % cb, plain_at = (i / cb * c + b * 16) * px, blocked_at = i * px * 16;
        const int n_ch = (int)(c - b * 16 < 16 ? c - b * 16 : 16);
        if (to_plain)
            dn->kern->to_plain((const float *)src + blocked_at, (float *)dst + plain_at, px, px, n_ch);
        else
            dn->kern->to_blocked((const float *)src + plain_at, px, (float *)dst + blocked_at, px, n_ch);
    }
}
