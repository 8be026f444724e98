// layers.c - the three layers with parameters, named as PyTorch names them.
//
// Architectures are written with these, so a tensor's name, shape and place in the parameter slab come from one spot.
#include "model/model_impl.h"
#include <stdio.h>

int64_t lti_dim(const lt_graph *g, lt_val v, int axis)
{
    lt_value_info info;
    if (v == LT_NONE || lt_graph_value(g, v, &info) != LT_OK || axis >= info.shape.n_dims)
        return 0;
    return info.shape.dim[axis];
}

static const char *join(char buf[LTI_NAME_MAX], const char *name, const char *leaf)
{
    snprintf(buf, LTI_NAME_MAX, "%.96s.%s", name, leaf);
    return buf;
}

lt_val lti_conv(lt_graph *g, const char *name, lt_val x, int64_t k, int32_t kernel, int32_t stride, bool bias)
{
    if (x == LT_NONE)
        return LT_NONE;
    char buf[LTI_NAME_MAX];
    lt_val w = lt_param(g, join(buf, name, "weight"), LT_SHAPE(k, lti_dim(g, x, 1), kernel, kernel));
    lt_val b = bias ? lt_param(g, join(buf, name, "bias"), LT_SHAPE(k)) : LT_NONE;
    lt_conv_attr attr = {.stride = stride, .pad = (kernel - 1) / 2, .groups = 1, .pad_mode = LT_PAD_ZERO};
    return lt_conv2d(g, x, w, b, attr);
}

lt_val lti_bn(lt_graph *g, const char *name, lt_val x)
{
    if (x == LT_NONE)
        return LT_NONE;
    char buf[LTI_NAME_MAX];
    const lt_shape c = LT_SHAPE(lti_dim(g, x, 1));
    lt_bn_args bn = {.eps = 1e-5f, .momentum = 0.1f};
    bn.gamma = lt_param(g, join(buf, name, "weight"), c);
    bn.beta = lt_param(g, join(buf, name, "bias"), c);
    bn.running_mean = lt_state(g, join(buf, name, "running_mean"), c);
    bn.running_var = lt_state(g, join(buf, name, "running_var"), c);
    return lt_batch_norm(g, x, bn);
}

lt_val lti_linear(lt_graph *g, const char *name, lt_val x, int64_t k)
{
    if (x == LT_NONE)
        return LT_NONE;
    char buf[LTI_NAME_MAX];
    lt_val w = lt_param(g, join(buf, name, "weight"), LT_SHAPE(k, lti_dim(g, x, 1)));
    lt_val b = lt_param(g, join(buf, name, "bias"), LT_SHAPE(k));
    return lt_linear(g, x, w, b);
}
