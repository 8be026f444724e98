// mask.c - which parameters may change: saliency [SalUn] [AMUN 6], the last layer only, or a file.
//
// Saliency: G = sum over the batches of D_F of the gradient of the mean cross-entropy at the trained model, in
// evaluation mode, |G| ranked over all parameters together; the floor(k P) largest are free. D_F is not augmented (the
// authors' loader augments it, which makes the mask a matter of chance). What is masked is kept exactly: value, and
// momentum 0; the trainer sees to that. Running statistics are no parameters and never masked.
#include "graph/graph_impl.h"
#include "unlearn/param_grad.h"
#include "unlearn/recipe.h"
#include "model/model_impl.h"
#include <math.h>
#include <string.h>

const lt_opt_value lti_mask_values[] = {
    {"none", LTI_MASK_NONE, "all"},
    {"salun", LTI_MASK_SALUN, "those with the largest gradient of the loss on the forget set"},
    {"classifier", LTI_MASK_CLASSIFIER, "those of the last layer"},
    {"file", LTI_MASK_FILE, "those that mask_file names"},
    {NULL, 0, NULL},
};

static uint32_t magnitude_bits(float g) // ordered as |g|
{
    uint32_t bits;
    memcpy(&bits, &g, sizeof bits);
    return bits & 0x7fffffffu;
}

// The k-th largest |g|, found byte by byte from the top: each pass counts the next byte among the values that agree
// with the bytes found so far.
void lti_mask_top(const float *g, int64_t n, int64_t k, uint8_t *mask)
{
    int64_t left = k; // how many are still to be found among those that agree
    uint32_t threshold = 0;
    if (k <= 0) {
        memset(mask, 0, (size_t)n);
        return;
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
        int64_t count[256] = {0};
        uint32_t byte = 255;
        for (int64_t i = 0; i < n; i++) {
            const uint32_t m = magnitude_bits(g[i]);
            if (((uint64_t)(m ^ threshold) >> shift) >> 8 == 0)
                count[m >> shift & 255u]++;
        }
        for (; byte > 0 && count[byte] < left; byte--)
            left -= count[byte];
        threshold |= byte << shift;
    }
    for (int64_t i = 0; i < n; i++) { // `left` of those equal to the threshold
        const uint32_t m = magnitude_bits(g[i]);
        mask[i] = m > threshold || (m == threshold && left-- > 0);
    }
}

static lt_status add_gradient(void *ctx, lti_param_grad *g, const lt_batch *batch)
{
    float *sum = ctx; // (n_params)
    (void)batch;
    for (int64_t i = 0; i < g->model->n_params; i++)
        sum[i] += g->grads[i];
    return LT_OK;
}

// Of a stream of requests there is one mask, of the first model and all that is to be forgotten [AMUN 6].
static lt_status saliency(const lt_unlearn_in *in, double ratio, int64_t batch, lt_unlearn_plan_ctx *ctx)
{
    const lt_view forget = lt_view_rows(in->ds, LT_TRAIN, in->stream ? in->stream->all : in->forget);
    const int64_t n = in->model->n_params;
    lti_param_grad g = {0};
    float *sum = lti_calloc((size_t)n, sizeof *sum);
    const lti_grad_pass pass = {
        .view = &forget, .batch = batch, .what = "saliency mask", .each = add_gradient, .ctx = sum};
    lt_status status = sum ? LT_OK : LTI_NOMEM("saliency mask");
    LT_TRY_GOTO(status, out);
    LT_TRY_GOTO(lti_param_grad_init(&g, in->stream ? in->stream->first : in->model, in->env), out);
    LT_TRY_GOTO(lti_param_grad_pass(&g, &pass), out);
    lti_mask_top(sum, n, (int64_t)floor(ratio * (double)n), ctx->mask);
    ctx->mask_passes = g.passes;
out:
    lti_param_grad_clear(&g);
    lti_free(sum);
    return status;
}

int lti_last_layer(const lt_model *model, lt_val param[2])
{
    const lt_graph *g = model->graph;
    int32_t node = g->value[model->logits].node;
    int n = 0;
    while (node >= 0 && g->node[node].op != &lt_op_linear && g->node[node].op != &lt_op_conv2d)
        node = g->value[g->node[node].in[0]].node; // neurons and sums over time behind it
    for (int i = 0; node >= 0 && i < g->node[node].n_in; i++) {
        const lt_val v = g->node[node].in[i];
        if (v != LT_NONE && g->value[v].role == LT_ROLE_PARAM && n < 2)
            param[n++] = v;
    }
    if (n == 0)
        LT_BUG("%s: its logits come from a layer without parameters", model->spec);
    return n;
}

static void last_layer(const lt_model *model, uint8_t *mask)
{
    lt_val param[2];
    const int n = lti_last_layer(model, param);
    for (int i = 0; i < n; i++) {
        lt_value_info info;
        if (lti_model_tensor(model, param[i], &info))
            memset(mask + info.slab_offset, 1, (size_t)lti_model_shape_count(&info.shape));
    }
}

static bool same_shape(const lt_tensor *t, const lt_shape *s)
{
    bool same = t->n_dims == s->n_dims;
    for (int d = 0; same && d < s->n_dims; d++)
        same = t->dim[d] == s->dim[d];
    return same;
}

static bool is_set(const lt_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case LT_F32:
        return ((const float *)t->data)[i] != 0;
    case LT_F64:
        return ((const double *)t->data)[i] != 0;
    case LT_I32:
        return ((const int32_t *)t->data)[i] != 0;
    case LT_I64:
        return ((const int64_t *)t->data)[i] != 0;
    default: // one byte
        return ((const uint8_t *)t->data)[i] != 0;
    }
}

static lt_status copy_mask(const lt_model *model, const lt_tensor_file *file, const char *path, uint8_t *mask)
{
    for (lt_val v = 0; v < lt_graph_n_values(model->graph); v++) {
        lt_value_info info;
        if (!lti_model_tensor(model, v, &info) || info.role != LT_ROLE_PARAM)
            continue;
        const lt_tensor *t = lt_tensor_file_find(file, info.name);
        if (!t)
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s is missing: a mask has one per parameter", path, info.name);
        if (!same_shape(t, &info.shape) || t->dtype == LT_BF16)
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected the shape of the parameter, found another", path,
                           info.name);
        for (int64_t i = 0; i < lti_model_shape_count(&info.shape); i++)
            mask[info.slab_offset + i] = is_set(t, i);
    }
    return LT_OK;
}

static lt_status from_file(const lt_model *model, const char *path, uint8_t *mask)
{
    lt_tensor_file *file = NULL;
    if (!path || !*path)
        return LT_FAIL(LT_E_USAGE, "option mask_file: expected the file of the mask, found none");
    LT_TRY(lt_tensor_file_open(path, &file));
    lt_status status = copy_mask(model, file, path, mask);
    lt_tensor_file_close(file);
    return status;
}

lt_status lti_mask_make(const lt_unlearn_in *in, lti_mask_cfg cfg, int64_t batch, lt_unlearn_plan_ctx *ctx)
{
    if (cfg.mask_file && *cfg.mask_file && cfg.mask != LTI_MASK_FILE)
        return LT_FAIL(LT_E_USAGE, "option mask_file: given, but mask is not 'file'");
    if (cfg.mask == LTI_MASK_NONE)
        return LT_OK;
    const double start_s = lti_now_s();
    ctx->mask = lti_calloc((size_t)in->model->n_params, 1);
    if (!ctx->mask)
        return LTI_NOMEM("mask");
    if (cfg.mask == LTI_MASK_SALUN)
        LT_TRY(saliency(in, cfg.mask_ratio, batch, ctx));
    else if (cfg.mask == LTI_MASK_CLASSIFIER)
        last_layer(in->model, ctx->mask);
    else
        LT_TRY(from_file(in->model, cfg.mask_file, ctx->mask));
    ctx->mask_s = lti_now_s() - start_s;
    return LT_OK;
}
