// linear.c - the classifier layer and its gradients as calls of oneDNN's single-precision matrix product.
//
// The products are tiny next to the convolutions; plain row-major layouts throughout, so weights need no preparation.
//     y = x w^T + b      dx = dy w      dw = dy^T x
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/threads.h"
#include "base/base.h"
#include <stdio.h>
#include <string.h>

typedef struct linear {
    int n_threads;
    bool bias;
    dnnl_dim_t n, c, k; // x (n,c), w (k,c), y (n,k)
} linear;

static void destroy(lt_kernel *k)
{
    lti_free(k->data);
}

static lt_status gemm(const linear *d, char ta, char tb, dnnl_dim_t m, dnnl_dim_t n, dnnl_dim_t inner, const float *a,
                      dnnl_dim_t lda, const float *b, dnnl_dim_t ldb, float beta, float *c)
{
    const int before = lti_threads_enter(d->n_threads);
    const dnnl_status_t s = dnnl_sgemm(ta, tb, m, n, inner, 1.0f, a, lda, b, ldb, beta, c, n);
    lti_threads_leave(before, d->n_threads);
    return lti_dnnl_check(s, "dnnl_sgemm");
}

static lt_status forward_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const linear *d = k->data;
    float *y = arg[d->bias ? 3 : 2];
    (void)scratch;
    for (dnnl_dim_t i = 0; d->bias && i < d->n; i++)
        memcpy(y + i * d->k, arg[2], (size_t)d->k * sizeof *y);
    return gemm(d, 'N', 'T', d->n, d->k, d->c, arg[0], d->c, arg[1], d->c, d->bias ? 1.0f : 0.0f, y);
}

static lt_status dx_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const linear *d = k->data;
    (void)scratch;
    return gemm(d, 'N', 'N', d->n, d->c, d->k, arg[0], d->k, arg[1], d->c, 0.0f, arg[2]);
}

static lt_status dw_run(const lt_kernel *k, void *const *arg, void *scratch)
{
    const linear *d = k->data;
    (void)scratch;
    return gemm(d, 'T', 'N', d->k, d->c, d->n, arg[1], d->k, arg[0], d->c, 0.0f, arg[2]);
}

lt_status lti_bind_linear(lti_dn *dn, const lt_bind_in *in, lt_kernel *k)
{
    const bool dx = in->op == &lt_op_linear_dx, dw = in->op == &lt_op_linear_dw;
    const lt_shape *x = &in->arg[dx ? 2 : 0].shape, *w = &in->arg[dw ? 2 : 1].shape;
    linear *d = lti_calloc(1, sizeof *d);
    if (!d)
        return LTI_NOMEM("kernel");
    *d = (linear){dn->n_threads, in->n_in == 3, x->dim[0], x->dim[1], w->dim[0]};
    k->data = d;
    k->destroy = destroy;
    k->run = dx ? dx_run : dw ? dw_run : forward_run;
    snprintf(k->impl, sizeof k->impl, "onednn sgemm");
    return LT_OK;
}
