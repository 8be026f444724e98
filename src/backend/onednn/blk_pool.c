// blk_pool.c - pooling, padding and their gradients on nChw16c; one work item is one (image, channel block) plane.
#include "backend/onednn/onednn_impl.h"
#include "base/base.h"
#include <string.h>

enum { PLANE = LTI_LANES };

static int64_t n_planes(const lti_blk *d)
{
    return d->n * d->cb;
}

// Floats of a plane of the large side (d->px) and of the pooled side.
static int64_t in_floats(const lti_blk *d)
{
    return d->px * PLANE;
}

static int64_t out_floats(const lti_blk *d)
{
    return d->oh * d->ow * PLANE;
}

static lt_status avg_pool_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *x = arg[0];
    float *y = arg[1];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_planes(d); i++)
        d->kern->avg_pool(x + i * in_floats(d), y + i * out_floats(d), d->h, d->w, d->attr.kernel, d->attr.stride);
    return LT_OK;
}

static lt_status avg_pool_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *dy = arg[0];
    float *dx = arg[1];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_planes(d); i++)
        d->kern->avg_pool_dx(dy + i * out_floats(d), dx + i * in_floats(d), d->h, d->w, d->attr.kernel, d->attr.stride);
    return LT_OK;
}

static lt_status max_pool_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *x = arg[0];
    float *y = arg[1];
    int32_t *index = arg[2];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_planes(d); i++)
        d->kern->max_pool(x + i * in_floats(d), y + i * out_floats(d), index + i * out_floats(d), d->h, d->w,
                          d->attr.kernel, d->attr.stride);
    return LT_OK;
}

static lt_status max_pool_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *dy = arg[0];
    const int32_t *index = arg[1];
    float *dx = arg[2];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_planes(d); i++)
        d->kern->max_pool_dx(dy + i * out_floats(d), index + i * out_floats(d), dx + i * in_floats(d), d->px,
                             d->oh * d->ow);
    return LT_OK;
}

lt_status lti_bind_pool(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool dx = in->op == &lt_op_avg_pool_dx || in->op == &lt_op_max_pool_dx;
    const bool max = in->op == &lt_op_max_pool || in->op == &lt_op_max_pool_dx;
    const lt_arg *large = dx ? &in->arg[in->n_in] : &in->arg[0], *small = dx ? &in->arg[0] : &in->arg[in->n_in];
    if (!lti_blk_fits(in, 0))
        return LT_E_UNSUPPORTED;
    LT_TRY(lti_blk_create(dn, in, &large->shape, k));
    lti_blk *d = k->data;
    d->oh = small->shape.dim[2];
    d->ow = small->shape.dim[3];
    for (int i = 0; i < in->n_in + in->n_out; i++)
        k->layout[i] = LT_LAYOUT_BLOCKED16;
    k->run = max ? (dx ? max_pool_dx_run : max_pool_run) : (dx ? avg_pool_dx_run : avg_pool_run);
    lti_blk_impl(k, d, in->op->name);
    return LT_OK;
}

// ---- global average pooling: (N,C,H,W) blocked <-> (N,C) plain
static int64_t lanes(const lti_blk *d, int64_t b)
{
    return d->c - b * LTI_LANES < LTI_LANES ? d->c - b * LTI_LANES : LTI_LANES;
}

static lt_status gap_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *x = arg[0], mul = 1.0f / (float)d->px;
    float *y = arg[1];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_planes(d); i++) {
        const int64_t n = i / d->cb, b = i % d->cb;
        float s[LTI_LANES];
        d->kern->sum(x + i * in_floats(d), d->px, s);
        for (int64_t l = 0; l < lanes(d, b); l++)
            y[n * d->c + b * LTI_LANES + l] = s[l] * mul;
    }
    return LT_OK;
}

static lt_status gap_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *dy = arg[0], mul = 1.0f / (float)d->px;
    float *dx = arg[1];
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_planes(d); i++) {
        const int64_t n = i / d->cb, b = i % d->cb;
        float v[LTI_LANES] = {0};
        for (int64_t l = 0; l < lanes(d, b); l++)
            v[l] = dy[n * d->c + b * LTI_LANES + l] * mul;
        d->kern->fill(dx + i * in_floats(d), d->px, v);
    }
    return LT_OK;
}

lt_status lti_bind_gap(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool dx = in->op == &lt_op_global_avg_pool_dx;
    const int large = dx ? 1 : 0;
    if (!lti_blk_fits(in, large))
        return LT_E_UNSUPPORTED;
    LT_TRY(lti_blk_create(dn, in, &in->arg[large].shape, k));
    k->layout[large] = LT_LAYOUT_BLOCKED16;
    k->run = dx ? gap_dx_run : gap_run;
    lti_blk_impl(k, k->data, in->op->name);
    return LT_OK;
}

// ---- padding. d->px is the unpadded side, (oh, ow) the padded one. d->map: oh source rows, then ow source columns.
static int64_t source(lt_pad_mode mode, int64_t i, int64_t n)
{
    if (i >= 0 && i < n)
        return i;
    if (mode == LT_PAD_ZERO)
        return -1;
    if (mode == LT_PAD_CIRCULAR)
        return i < 0 ? i + n : i - n;
    return i < 0 ? -i : 2 * (n - 1) - i;
}

static lt_status pad_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *x = arg[0];
    float *y = arg[1];
    const int64_t *row = d->map, *col = d->map + d->oh;
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_planes(d); i++) {
        const float *from = x + i * in_floats(d);
        float *to = y + i * out_floats(d);
        for (int64_t r = 0; r < d->oh; r++)
            for (int64_t q = 0; q < d->ow; q++, to += PLANE) {
                if (row[r] < 0 || col[q] < 0)
                    memset(to, 0, PLANE * sizeof *to);
                else
                    memcpy(to, from + (row[r] * d->w + col[q]) * PLANE, PLANE * sizeof *to);
            }
    }
    return LT_OK;
}

static lt_status pad_dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_blk *d = k->data;
    const float *dy = arg[0];
    float *dx = arg[1];
    const int64_t *row = d->map, *col = d->map + d->oh;
    (void)scratch;
#pragma omp parallel for num_threads(d->n_threads) schedule(static)
    for (int64_t i = 0; i < n_planes(d); i++) {
        const float *from = dy + i * out_floats(d);
        float *to = dx + i * in_floats(d);
        memset(to, 0, (size_t)in_floats(d) * sizeof *to);
        for (int64_t r = 0; r < d->oh; r++)
            for (int64_t q = 0; q < d->ow; q++, from += PLANE)
                if (row[r] >= 0 && col[q] >= 0)
                    d->kern->add(to + (row[r] * d->w + col[q]) * PLANE, from, to + (row[r] * d->w + col[q]) * PLANE,
                                 PLANE, 1.0f, false);
    }
    return LT_OK;
}

static void pad_destroy(lt_kernel *k)
{
    lti_blk *d = k->data;
    lti_free(d->map);
    lti_free(d);
}

lt_status lti_bind_pad(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool dx = in->op == &lt_op_pad2d_dx;
    const lt_shape *small = &in->arg[dx ? 1 : 0].shape, *large = &in->arg[dx ? 0 : 1].shape;
    if (!lti_blk_fits(in, 0))
        return LT_E_UNSUPPORTED;
    LT_TRY(lti_blk_create(dn, in, small, k));
    lti_blk *d = k->data;
    k->destroy = pad_destroy;
    d->oh = large->dim[2];
    d->ow = large->dim[3];
    d->map = lti_calloc((size_t)(d->oh + d->ow), sizeof *d->map);
    if (!d->map) {
        pad_destroy(k);
        k->data = NULL;
        k->destroy = NULL;
        return LTI_NOMEM("padding table");
    }
    for (int64_t i = 0; i < d->oh; i++)
        d->map[i] = source(d->attr.pad_mode, i - d->attr.pad, d->h);
    for (int64_t i = 0; i < d->ow; i++)
        d->map[d->oh + i] = source(d->attr.pad_mode, i - d->attr.pad, d->w);
    k->layout[0] = k->layout[1] = LT_LAYOUT_BLOCKED16;
    k->run = dx ? pad_dx_run : pad_run;
    lti_blk_impl(k, d, in->op->name);
    return LT_OK;
}
