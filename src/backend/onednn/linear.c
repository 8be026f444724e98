// linear.c - the classifier layer and its gradients as calls of oneDNN's single-precision matrix product.
//
// The products are tiny next to the convolutions; plain row-major layouts throughout, so weights need no preparation.
//     y = x w^T + b      dx = dy w      dw = dy^T x
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/threads.h"
#include "base/base.h"
#include <stdio.h>
#include <string.h>

enum { PART_ROWS = 32, PART_COLUMNS = 64 }; // of a result, where threads take parts of a fixed size

typedef struct linear {
    int n_threads;
    bool bias, fixed;   // fixed: a part of the result is made by one thread, the same parts whatever their number
    dnnl_dim_t n, c, k; // x (n,c), w (k,c), y (n,k)
} linear;

static void destroy(lt_kernel *k)
{
    lti_free(k->data);
}

static lt_status gemm(const linear *d, char ta, char tb, dnnl_dim_t m, dnnl_dim_t n, dnnl_dim_t inner, const float *a,
                      dnnl_dim_t lda, const float *b, dnnl_dim_t ldb, float beta, float *c, dnnl_dim_t ldc)
{
    const int n_threads = d->fixed ? 1 : d->n_threads, before = lti_threads_enter(n_threads);
    const dnnl_status_t s = dnnl_sgemm(ta, tb, m, n, inner, 1.0f, a, lda, b, ldb, beta, c, ldc);
    lti_threads_leave(before, n_threads);
    return lti_dnnl_check(s, "dnnl_sgemm");
}

// Rows first .. first + rows of y.
static lt_status forward_part(const linear *d, void *const *arg, dnnl_dim_t first, dnnl_dim_t rows)
{
    const float *x = (const float *)arg[0] + first * d->c;
    float *y = (float *)arg[d->bias ? 3 : 2] + first * d->k;
    for (dnnl_dim_t i = 0; d->bias && i < rows; i++)
        memcpy(y + i * d->k, arg[2], (size_t)d->k * sizeof *y);
    return gemm(d, 'N', 'T', rows, d->k, d->c, x, d->c, arg[1], d->c, d->bias ? 1.0f : 0.0f, y, d->k);
}

// Rows of dx.
static lt_status dx_part(const linear *d, void *const *arg, dnnl_dim_t first, dnnl_dim_t rows)
{
    const float *dy = (const float *)arg[0] + first * d->k;
    float *dx = (float *)arg[2] + first * d->c;
    return gemm(d, 'N', 'N', rows, d->c, d->k, dy, d->k, arg[1], d->c, 0.0f, dx, d->c);
}

// Columns of dw: the sum over the batch stays in one piece.
static lt_status dw_part(const linear *d, void *const *arg, dnnl_dim_t first, dnnl_dim_t columns)
{
    const float *x = (const float *)arg[0] + first;
    float *dw = (float *)arg[2] + first;
    return gemm(d, 'T', 'N', d->k, columns, d->n, arg[1], d->k, x, d->c, 0.0f, dw, d->c);
}

typedef lt_status part_fn(const linear *d, void *const *arg, dnnl_dim_t first, dnnl_dim_t n);

static lt_status run_parts(const linear *d, part_fn *part, void *const *arg, dnnl_dim_t total, dnnl_dim_t step)
{
    int failed = 0;
    if (!d->fixed)
        return part(d, arg, 0, total);
#pragma omp parallel for num_threads(d->n_threads) schedule(static) reduction(| : failed)
    for (dnnl_dim_t i = 0; i < total; i += step)
        failed |= part(d, arg, i, total - i < step ? total - i : step) != LT_OK;
    return failed ? LT_FAIL(LT_E_FAIL, "oneDNN: a part of a matrix product could not be computed") : LT_OK;
}

static lt_status forward_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const linear *d = k->data;
    (void)scratch;
    return run_parts(d, forward_part, arg, d->n, PART_ROWS);
}

static lt_status dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const linear *d = k->data;
    (void)scratch;
    return run_parts(d, dx_part, arg, d->n, PART_ROWS);
}

static lt_status dw_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const linear *d = k->data;
    (void)scratch;
    return run_parts(d, dw_part, arg, d->c, PART_COLUMNS);
}

lt_status lti_bind_linear(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool dx = in->op == &lt_op_linear_dx, dw = in->op == &lt_op_linear_dw;
    const lt_shape *x = &in->arg[dx ? 2 : 0].shape, *w = &in->arg[dw ? 2 : 1].shape;
    linear *d = lti_calloc(1, sizeof *d);
    if (!d)
        return LTI_NOMEM("kernel");
    *d = (linear){.n_threads = dn->n_threads,
                  .bias = in->n_in == 3,
                  .fixed = (in->flags & LT_PLAN_FIXED_ORDER) != 0,
                  .n = x->dim[0],
                  .c = x->dim[1],
                  .k = w->dim[0]};
    k->data = d;
    k->destroy = destroy;
    k->run = dx ? dx_run : dw ? dw_run : forward_run;
    snprintf(k->impl, sizeof k->impl, "onednn sgemm%s", d->fixed ? " in parts" : "");
    return LT_OK;
}
