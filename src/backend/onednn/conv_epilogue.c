// conv_epilogue.c - finishing the output of a convolution whose kernel cannot do it: sum and ReLU of a residual block,
// or sum and mask of gradients, in place. Same operations in the same order as the separate kernels, same bits.
#include "backend/onednn/onednn_impl.h"
#include "base/base.h"

enum { CHUNK = 16384 }; // floats a work item

typedef struct epilogue {
    lt_kernel inner;
    const lti_kern *kern;
    int n_threads;
    bool bias, residual, mask, relu;
    int64_t count; // floats of the output
} epilogue;

static void apply_epilogue(const epilogue *f, int64_t n, const float *residual, const float *mask, float *y)
{
    if (!mask)
        f->kern->add(y, residual, y, n, 1.0f, f->relu);
    else if (residual)
        f->kern->add_relu_dx(y, residual, mask, y, n, 1.0f);
    else
        f->kern->relu_dx(y, mask, y, n, 1.0f);
}

static lt_status run_with_epilogue(const lt_kernel *k, void *const *arg, void *scratch)
{
    const epilogue *f = k->data;
    lt_kernel inner = f->inner;
    void *const *next = arg + 2;
    void *bias = f->bias ? *next++ : NULL;
    const float *mask = f->mask ? *next++ : NULL, *residual = f->residual ? *next++ : NULL;
    float *y = *next;
    void *const without[] = {arg[0], arg[1], f->bias ? bias : y, y};
    inner.prepared = k->prepared;
    inner.thread_stride = k->thread_stride;
    LT_TRY(inner.run(&inner, without, scratch));
#pragma omp parallel for num_threads(f->n_threads) schedule(static)
    for (int64_t i = 0; i < f->count; i += CHUNK)
        apply_epilogue(f, f->count - i < CHUNK ? f->count - i : CHUNK, residual ? residual + i : NULL,
                       mask ? mask + i : NULL, y + i);
    return LT_OK;
}

// Kernels of convolutions prepare from their filter, which is argument 1 in both.
static lt_status prepare(const lt_kernel *k, void *const *arg, void *prepared)
{
    const epilogue *f = k->data;
    return f->inner.prepare(&f->inner, arg, prepared);
}

static void destroy(lt_kernel *k)
{
    epilogue *f = k->data;
    if (f->inner.destroy)
        f->inner.destroy(&f->inner);
    lti_free(f);
}

lti_conv_shape lti_conv_without_epilogue(const lti_conv_shape *s)
{
    lti_conv_shape plain = *s;
    plain.residual = plain.mask = plain.masked = false;
    plain.relu = s->relu && !s->residual;
    return plain;
}

lt_status lti_conv_epilogue_make(const lti_dn *dn, const lti_conv_shape *s, size_t count, lt_kernel *k)
{
    epilogue *f = lti_calloc(1, sizeof *f);
    if (!f)
        return LTI_NOMEM("convolution");
    *f = (epilogue){.inner = *k,
                    .kern = dn->kern,
                    .n_threads = dn->n_threads,
                    .bias = s->bias,
                    .residual = s->residual,
                    .mask = s->mask,
                    .relu = s->relu,
                    .count = (int64_t)count};
    k->data = f;
    k->run = run_with_epilogue;
    k->destroy = destroy;
    if (k->prepare)
        k->prepare = prepare;
    return LT_OK;
}
