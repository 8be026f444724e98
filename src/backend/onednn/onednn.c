// onednn.c - the backend row: opening, the table of ops it takes, reorders.
//
// Convolutions and matrix products go to oneDNN, everything around them to our own kernels on the same blocked layout,
// because a pass over memory fused and laid out by us costs less than a library primitive, and its sums can be made
// independent of the number of threads. What is not in the table (softmax, losses: a few thousand numbers) is left to
// the reference backend.
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/wino.h"
#include "base/base.h"
#include <stdio.h>
#include <string.h>
#ifdef LTI_KERN_X86
#include <cpuid.h>
#endif

static const struct {
    const lt_op *op;
    lti_binder *bind;
} binders[] = {
    {&lt_op_conv2d, lti_bind_conv},
    {&lt_op_conv2d_dx, lti_bind_conv},
    {&lt_op_conv2d_dw, lti_bind_conv},
    {&lt_op_pad2d, lti_bind_pad},
    {&lt_op_pad2d_dx, lti_bind_pad},
    {&lt_op_channel_sum, lti_bind_channel_sum},
    {&lt_op_bn_train, lti_bind_bn_train},
    {&lt_op_bn_apply, lti_bind_bn_apply},
    {&lt_op_bn_train_dx, lti_bind_bn_train_dx},
    {&lt_op_bn_eval, lti_bind_bn_eval},
    {&lt_op_bn_eval_dx, lti_bind_bn_eval_dx},
    {&lt_op_lif, lti_bind_lif},
    {&lt_op_lif_dx, lti_bind_lif_dx},
    {&lt_op_layer_norm, lti_bind_layer_norm},
    {&lt_op_layer_norm_dx, lti_bind_layer_norm},
    {&lt_op_repeat_steps, lti_bind_repeat_steps},
    {&lt_op_relu, lti_bind_relu},
    {&lt_op_relu_dx, lti_bind_relu_dx},
    {&lt_op_add, lti_bind_add},
    {&lt_op_add_relu_dx, lti_bind_add_relu_dx},
    {&lt_op_scale, lti_bind_scale},
    {&lt_op_act_quant, lti_bind_act_quant},
    {&lt_op_act_quant_dx, lti_bind_act_quant},
    {&lt_op_normalize, lti_bind_normalize},
    {&lt_op_normalize_dx, lti_bind_normalize},
    {&lt_op_avg_pool, lti_bind_pool},
    {&lt_op_avg_pool_dx, lti_bind_pool},
    {&lt_op_max_pool, lti_bind_pool},
    {&lt_op_max_pool_dx, lti_bind_pool},
    {&lt_op_global_avg_pool, lti_bind_gap},
    {&lt_op_global_avg_pool_dx, lti_bind_gap},
    {&lt_op_linear, lti_bind_linear},
    {&lt_op_linear_dx, lti_bind_linear},
    {&lt_op_linear_dw, lti_bind_linear},
};

// A name for this processor that is the same in every process on it: the tuning file depends on it.
static void cpu_name(char *out, size_t out_size)
{
    snprintf(out, out_size, "cpu");
#ifdef LTI_KERN_X86
    unsigned r[12] = {0}, sig[4] = {0};
    char brand[49] = {0};
    for (unsigned i = 0; i < 3; i++)
        if (!__get_cpuid(0x80000002u + i, &r[4 * i], &r[4 * i + 1], &r[4 * i + 2], &r[4 * i + 3]))
            return;
    memcpy(brand, r, 48);
    __get_cpuid(1, &sig[0], &sig[1], &sig[2], &sig[3]);
    size_t n = 0;
    for (const char *s = brand; *s && n + 12 < out_size; s++) {
        const bool keep = (*s >= '0' && *s <= '9') || (*s >= 'a' && *s <= 'z') || (*s >= 'A' && *s <= 'Z');
        if (keep)
            out[n++] = *s;
        else if (n && out[n - 1] != '-')
            out[n++] = '-';
    }
    snprintf(out + n, out_size - n, "-%x", sig[0]);
#endif
}

static void close_backend(lt_backend *b)
{
    lti_dn *dn = b->self;
    if (!dn)
        return;
    lti_tune_close(dn->tune);
    if (dn->engine)
        dnnl_engine_destroy(dn->engine);
    lti_free(dn);
    b->self = NULL;
}

static lt_status open_parts(lt_backend *b, lti_dn *dn)
{
    const dnnl_version_t *v = dnnl_version();
    char cpu[80], id[160];
    LT_TRY_DNNL(dnnl_engine_create(&dn->engine, dnnl_cpu, 0));
    cpu_name(cpu, sizeof cpu);
    snprintf(id, sizeof id, "%s-isa%x-dnnl%d.%d.%d-threads%d", cpu, (unsigned)dnnl_get_effective_cpu_isa(), v->major,
             v->minor, v->patch, dn->n_threads);
    LT_TRY(lti_tune_open(id, &dn->tune));
    snprintf(b->version, sizeof b->version, "oneDNN %d.%d.%d, %s", v->major, v->minor, v->patch, dn->kern->isa);
    return LT_OK;
}

static lt_status open_backend(lt_backend *b)
{
    lti_dn *dn = lti_calloc(1, sizeof *dn);
    if (!dn)
        return LTI_NOMEM("backend");
    dn->n_threads = b->n_threads > 0 ? b->n_threads : 1;
    dn->kern = lti_kern_best();
    dn->wino_bf16 = lti_wino_best_bf16();
    b->self = dn;
    lt_status status = open_parts(b, dn);
    if (status != LT_OK)
        close_backend(b);
    return status;
}

static lt_status bind(lt_backend *b, const lt_bind_in *in, lt_kernel *k)
{
    if (in->real != LT_F32)
        return LT_E_UNSUPPORTED;
    for (size_t i = 0; i < sizeof binders / sizeof binders[0]; i++)
        if (binders[i].op == in->op)
            return binders[i].bind(b->self, in, k);
    return LT_E_UNSUPPORTED;
}

static void reorder(lt_backend *b, const lt_shape *shape, lt_layout from, const void *src, lt_layout to, void *dst)
{
    lti_blk_reorder(b->self, shape, from, src, to, dst);
}

const lt_backend_ops lti_backend_onednn = {
    .name = "onednn",
    .title = "oneDNN convolutions with our own kernels around them",
    .open = open_backend,
    .close = close_backend,
    .bind = bind,
    .reorder = reorder,
};
