// program.c - building and running the calls of one node.
#include "backend/cuda/cuda.h"
#include "base/base.h"
#include <string.h>

enum { SCRATCH_ALIGN = 256 };

static void *pointer(const lti_cuda_slot *s, void *const *arg, char *scratch, char *prepared)
{
    switch (s->from) {
    case LTI_FROM_ARG:
        return arg[s->arg];
    case LTI_FROM_SCRATCH:
        return scratch + s->offset;
    case LTI_FROM_PREPARED:
        return prepared + s->offset;
    case LTI_FROM_NOWHERE:
        break;
    }
    return NULL;
}

static int run_call(const lti_cuda_program *p, const lti_cuda_call *c, void *const *arg, void *scratch, void *prepared)
{
    const ltc_api *api = p->cu->api;
    void *t[LTC_MAX_TENSORS];
    for (int i = 0; i < LTC_MAX_TENSORS; i++)
        t[i] = pointer(&c->slot[i], arg, scratch, prepared);
    if (c->kind == LTI_CALL_CONV)
        return api->conv_run(p->cu->dev, p->conv, t);
    if (c->kind == LTI_CALL_GEMM)
        return api->gemm_run(p->cu->dev, p->gemm, t[0], t[1], t[2], t[3]);
    ltc_args a = c->args;
    for (int i = 0; i < LTC_MAX_TENSORS; i++)
        a.t[i].p = t[i];
    return api->launch(p->cu->dev, c->kernel, &a, c->n);
}

static lt_status run_calls(const lt_kernel *k, int first, int end, void *const *arg, void *scratch)
{
    const lti_cuda_program *p = k->data;
    for (int i = first; i < end; i++)
        LT_TRY(lti_cuda_check(p->cu, run_call(p, &p->call[i], arg, scratch, k->prepared), k->impl));
    return LT_OK;
}

static lt_status run_program(const lt_kernel *k, void *const *arg, void *scratch)
{
    const lti_cuda_program *p = k->data;
    return run_calls(k, p->n_prepare, p->n_calls, arg, scratch);
}

static lt_status prepare(const lt_kernel *k, void *const *arg, void *prepared)
{
    (void)prepared; // k->prepared
    return run_calls(k, 0, ((const lti_cuda_program *)k->data)->n_prepare, arg, NULL);
}

static void destroy(lt_kernel *k)
{
    lti_cuda_program *p = k->data;
    if (p->conv)
        p->cu->api->conv_free(p->cu->dev, p->conv);
    if (p->gemm)
        p->cu->api->gemm_free(p->cu->dev, p->gemm);
    lti_free(p);
}

lt_status lti_cuda_program_bind(lti_cuda *cu, const lt_bind_in *in, lti_cuda_binder *binder, lt_kernel *k)
{
    lti_cuda_program *p = lti_calloc(1, sizeof *p);
    if (!p)
        return LTI_NOMEM("kernel");
    p->cu = cu;
    *k = (lt_kernel){.run = run_program, .destroy = destroy, .data = p};
    for (int i = 0; i < in->n_in + in->n_out; i++)
        if (lti_cuda_count(&in->arg[i].shape, 0) > INT32_MAX) {
            lti_free(p);
            LT_FAIL(LT_E_UNSUPPORTED, "%s: a tensor of %lld elements, a CUDA kernel takes at most 2^31 - 1",
                    in->op->name, (long long)lti_cuda_count(&in->arg[i].shape, 0));
            return lt_error_hint("a smaller --batch makes smaller tensors");
        }
    lti_cuda_bind b = {cu, in, k, p};
    lt_status status = binder(&b);
    if (status != LT_OK)
        destroy(k);
    else if (p->n_prepare > 0)
        k->prepare = prepare;
    return status;
}

lt_layout lti_cuda_image(const lti_cuda *cu)
{
    return cu->precision == LTI_CUDA_BF16 ? LT_LAYOUT_NHWC_BF16 : LT_LAYOUT_NHWC;
}

int64_t lti_cuda_count(const lt_shape *s, int from)
{
    int64_t n = 1;
    for (int i = from; i < s->n_dims; i++)
        n *= s->dim[i];
    return n;
}

void lti_cuda_as_image(lti_cuda_bind *b, int i)
{
    const lt_arg *arg = &b->in->arg[i];
    if (arg->shape.n_dims == 4) // positions of a pooling are integers
        b->k->layout[i] = arg->dtype == LT_F32 ? lti_cuda_image(b->cu) : LT_LAYOUT_NHWC;
}

void lti_cuda_as_inputs(lti_cuda_bind *b)
{
    lt_layout layout = LT_LAYOUT_PLAIN;
    for (int i = 0; i < b->in->n_in && layout == LT_LAYOUT_PLAIN; i++)
        layout = b->in->arg[i].layout;
    for (int i = 0; i < b->in->n_in + b->in->n_out; i++)
        if (b->in->arg[i].shape.n_dims == 4)
            b->k->layout[i] = layout;
}

lti_cuda_call *lti_cuda_add(lti_cuda_bind *b, ltc_kernel kernel, int64_t n)
{
    lti_cuda_program *p = b->program;
    if (p->n_calls == LTI_CUDA_MAX_CALLS || n < 1 || n > INT32_MAX)
        LT_BUG("%s: call %d of %lld indices", b->in->op->name, p->n_calls, (long long)n);
    lti_cuda_call *c = &p->call[p->n_calls++];
    c->kernel = kernel;
    c->n = (uint32_t)n;
    return c;
}

void lti_cuda_arg(const lti_cuda_bind *b, lti_cuda_call *c, int tensor, int arg)
{
    c->slot[tensor] = (lti_cuda_slot){LTI_FROM_ARG, arg, 0};
    c->args.t[tensor].bf16 = b->k->layout[arg] == LT_LAYOUT_NHWC_BF16;
}

void lti_cuda_at(lti_cuda_call *c, int tensor, lti_cuda_from from, size_t offset, bool bf16)
{
    c->slot[tensor] = (lti_cuda_slot){from, 0, offset};
    c->args.t[tensor].bf16 = bf16;
}

size_t lti_cuda_scratch(lti_cuda_bind *b, int64_t elements, size_t size)
{
    const size_t offset = b->k->scratch_bytes;
    b->k->scratch_bytes += ((size_t)elements * size + SCRATCH_ALIGN - 1) / SCRATCH_ALIGN * SCRATCH_ALIGN;
    return offset;
}

// Enough indices to fill a large GPU, but parts of at least 16 rows.
int64_t lti_cuda_parts(int64_t rows, int64_t columns)
{
    enum { INDICES = 1 << 16, LEAST_ROWS = 16 };
    int64_t parts = (INDICES + columns - 1) / columns;
    const int64_t most = (rows + LEAST_ROWS - 1) / LEAST_ROWS;
    parts = parts > most ? most : parts;
    return parts < 1 ? 1 : parts;
}
