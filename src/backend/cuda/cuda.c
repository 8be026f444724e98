// cuda.c - the backend row: opening a GPU, the table of ops, changes of layout.
//
// Convolutions go to cuDNN, the classifier's products to cuBLASLt, all else to our own kernels. Activations are NHWC,
// the layout tensor cores read; parameters stay plain float slabs as everywhere, and convolutions prepare their weights
// from them, which is also where they are rounded in bf16: the slabs are the float master weights.
#include "backend/cuda/cuda.h"
#include "base/base.h"
#include "backend/cuda/kernels/elementwise.h"
#include <stdio.h>
#include <string.h>

static const struct {
    const lt_op *op;
    lti_cuda_binder *bind;
} binders[] = {
    {&lt_op_conv2d, lti_cuda_conv},
    {&lt_op_conv2d_dx, lti_cuda_conv},
    {&lt_op_conv2d_dw, lti_cuda_conv_dw},
    {&lt_op_pad2d, lti_cuda_pad},
    {&lt_op_pad2d_dx, lti_cuda_pad},
    {&lt_op_channel_sum, lti_cuda_channel_sum},
    {&lt_op_channel_broadcast, lti_cuda_channel_broadcast},
    {&lt_op_bn_train, lti_cuda_bn_train},
    {&lt_op_bn_apply, lti_cuda_bn_affine},
    {&lt_op_bn_train_dx, lti_cuda_bn_grad},
    {&lt_op_bn_eval, lti_cuda_bn_affine},
    {&lt_op_bn_eval_dx, lti_cuda_bn_grad},
    {&lt_op_bn_fold, lti_cuda_bn_fold},
    {&lt_op_relu, lti_cuda_map},
    {&lt_op_relu_dx, lti_cuda_map},
    {&lt_op_add, lti_cuda_map},
    {&lt_op_add_relu_dx, lti_cuda_map},
    {&lt_op_scale, lti_cuda_map},
    {&lt_op_normalize, lti_cuda_normalize},
    {&lt_op_normalize_dx, lti_cuda_normalize},
    {&lt_op_avg_pool, lti_cuda_pool},
    {&lt_op_avg_pool_dx, lti_cuda_pool},
    {&lt_op_max_pool, lti_cuda_pool},
    {&lt_op_max_pool_dx, lti_cuda_pool},
    {&lt_op_max_pool_at, lti_cuda_max_pool_at},
    {&lt_op_global_avg_pool, lti_cuda_global_pool},
    {&lt_op_global_avg_pool_dx, lti_cuda_global_pool},
    {&lt_op_linear, lti_cuda_linear},
    {&lt_op_linear_dx, lti_cuda_linear},
    {&lt_op_linear_dw, lti_cuda_linear},
    {&lt_op_softmax, lti_cuda_rows},
    {&lt_op_softmax_dx, lti_cuda_rows},
    {&lt_op_ce, lti_cuda_rows},
    {&lt_op_ce_dz, lti_cuda_rows},
    {&lt_op_ce_soft, lti_cuda_rows},
    {&lt_op_ce_soft_dz, lti_cuda_rows},
    {&lt_op_kl, lti_cuda_rows},
    {&lt_op_kl_dz, lti_cuda_rows},
    {&lt_op_kl_pair, lti_cuda_rows},
    {&lt_op_kl_pair_dt, lti_cuda_rows},
    {&lt_op_margin, lti_cuda_rows},
    {&lt_op_margin_dz, lti_cuda_rows},
    {&lt_op_row_dot, lti_cuda_rows},
    {&lt_op_mul_rows, lti_cuda_mul_rows},
    {&lt_op_weighted_sum, lti_cuda_dot},
    {&lt_op_dot, lti_cuda_dot},
    {&lt_op_scale_rows, lti_cuda_scale_by},
    {&lt_op_scale_by, lti_cuda_scale_by},
};

lt_status lti_cuda_check(const lti_cuda *cu, int code, const char *doing)
{
    if (code == LTC_OK)
        return LT_OK;
    const lt_status status = code == LTC_NO_MEMORY ? LT_E_NOMEM : LT_E_FAIL;
    return LT_FAIL(status, "cuda:%d: %s: %s", cu->index, doing, cu->api->error());
}

// ---- opening

static lt_status one_of(const lti_spec *spec, const char *key, const char *const *names, int *value)
{
    const char *text = lti_spec_get(spec, key);
    for (int i = 0; text && names[i]; i++)
        if (strcmp(text, names[i]) == 0) {
            *value = i;
            return LT_OK;
        }
    if (!text)
        return LT_OK;
    lti_buf known = {0};
    for (int i = 0; names[i]; i++)
        lti_buf_printf(&known, "%s%s", i ? ", " : "", names[i]);
    LT_FAIL(LT_E_USAGE, "cuda: %s: expected one of %s, found '%s'", key, known.data ? known.data : "", text);
    lti_buf_clear(&known);
    return LT_E_USAGE;
}

static lt_status read_spec(lti_cuda *cu, const lti_spec *spec)
{
    static const char *const known[] = {"precision", "tune", "conv"};
    static const char *const precisions[] = {"f32", "tf32", "bf16", NULL}, *const bools[] = {"0", "1", NULL};
    static const char *const convs[] = {"cudnn", "own", NULL};
    int64_t index = 0;
    int precision = LTI_CUDA_F32, tune = 0, conv = 0;
    for (int i = 0; i < spec->n; i++) {
        bool found = false;
        for (size_t k = 0; k < sizeof known / sizeof *known; k++)
            found = found || strcmp(spec->key[i], known[k]) == 0;
        if (!found)
            return LT_FAIL(LT_E_USAGE, "cuda: expected the keys precision, tune, conv; found '%s'", spec->key[i]);
    }
    if (spec->path)
        LT_TRY(lti_parse_i64(spec->path, "cuda: number of the card", 0, 1023, &index));
    LT_TRY(one_of(spec, "precision", precisions, &precision));
    LT_TRY(one_of(spec, "tune", bools, &tune));
    LT_TRY(one_of(spec, "conv", convs, &conv));
    cu->index = (int)index;
    cu->precision = (lti_precision)precision;
    cu->tune = tune;
    cu->own_conv = conv == 1;
    return LT_OK;
}

static lt_status open_card(lti_cuda *cu, const lt_backend *sibling)
{
    const lti_cuda *other = sibling ? sibling->self : NULL;
    const int code = cu->api->open(cu->index, other ? other->dev : NULL, &cu->dev, &cu->info);
    if (code == LTC_NO_DRIVER) {
        LT_FAIL(LT_E_UNSUPPORTED, "cuda: no NVIDIA driver that this plug-in can use: %s", cu->api->error());
        return lt_error_hint("leave --device out to compute on the CPU; `lethe doctor` shows what is there");
    }
    if (code == LTC_NO_DEVICE)
        return LT_FAIL(LT_E_UNSUPPORTED, "cuda:%d: no such card: %s", cu->index, cu->api->error());
    return lti_cuda_check(cu, code, "opening the card");
}

static void close_backend(lt_backend *b)
{
    lti_cuda *cu = b->self;
    if (!cu)
        return;
    if (cu->dev)
        cu->api->close(cu->dev);
    lti_free(cu);
    b->self = NULL;
}

static lt_status open_parts(lt_backend *b, lti_cuda *cu)
{
    static const char *const precision[] = {"f32", "tf32", "bf16"};
    lti_spec spec;
    LT_TRY(lti_spec_parse(b->spec, &spec));
    lt_status status = read_spec(cu, &spec);
    lti_spec_clear(&spec);
    LT_TRY(status);
    LT_TRY(lti_cuda_load(&cu->api));
    LT_TRY(open_card(cu, b->sibling));
    snprintf(b->version, sizeof b->version, "%.24s sm_%d%d, %.40s, %s%s", cu->info.name, cu->info.major, cu->info.minor,
             cu->info.version, precision[cu->precision], cu->tune ? ", tuned" : "");
    return LT_OK;
}

static lt_status open_backend(lt_backend *b)
{
    lti_cuda *cu = lti_calloc(1, sizeof *cu);
    if (!cu)
        return LTI_NOMEM("backend");
    b->self = cu;
    b->n_threads = b->n_threads > 0 ? b->n_threads : 1;
    lt_status status = open_parts(b, cu);
    if (status != LT_OK)
        close_backend(b);
    return status;
}

// ---- binding

static lt_status bind(lt_backend *b, const lt_bind_in *in, lt_kernel *k)
{
    for (size_t i = 0; i < sizeof binders / sizeof *binders; i++)
        if (binders[i].op == in->op)
            return lti_cuda_program_bind(b->self, in, binders[i].bind, k);
    return LT_E_UNSUPPORTED;
}

// Plain, or NHWC with elements of either type, to another of them.
static void reorder(lt_backend *b, const lt_shape *shape, lt_layout from, const void *src, lt_layout to, void *dst)
{
    lti_cuda *cu = b->self;
    const int order = from == LT_LAYOUT_PLAIN ? LTC_TO_NHWC : to == LT_LAYOUT_PLAIN ? LTC_TO_NCHW : LTC_SAME_ORDER;
    const ltc_args a = {
        .t = {{(void *)src, from == LT_LAYOUT_NHWC_BF16}, {dst, to == LT_LAYOUT_NHWC_BF16}},
        .d = {order, (int32_t)shape->dim[1], (int32_t)(shape->dim[2] * shape->dim[3])},
    };
    const int code = cu->api->launch(cu->dev, LTC_K_reorder, &a, (uint32_t)lti_cuda_count(shape, 0));
    if (code != LTC_OK && cu->failed == LT_OK) {
        cu->failed = lti_cuda_check(cu, code, "change of layout");
        cu->failure = *lt_error_get();
    }
}

const lt_backend_ops lti_backend_cuda = {
    .name = "cuda",
    .title = "NVIDIA cards: cuDNN, cuBLASLt and our own kernels",
    .open = open_backend,
    .close = close_backend,
    .bind = bind,
    .reorder = reorder,
    .device = &lti_cuda_device,
};
