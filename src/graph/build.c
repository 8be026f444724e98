// build.c - the builders of graph.h: each checks what only it knows and adds one or two nodes.
#include "graph/graph_impl.h"
#include <math.h>
#include <string.h>

lt_attr lti_conv_attr(lt_conv_attr attr)
{
    return (lt_attr){.stride = attr.stride,
                     .pad = attr.pad,
                     .groups = attr.groups ? attr.groups : 1,
                     .dilation = attr.dilation ? attr.dilation : 1};
}

lt_val lt_conv2d(lt_graph *g, lt_val x, lt_val w, lt_val bias, lt_conv_attr attr)
{
    if (attr.pad_mode != LT_PAD_ZERO && attr.pad > 0) {
        x = lt_pad2d(g, x, attr.pad, attr.pad_mode);
        attr.pad = 0;
    }
    const lt_attr a = lti_conv_attr(attr);
    return LTI_EMIT(g, conv2d, &a, x, w, bias);
}

lt_val lt_pad2d(lt_graph *g, lt_val x, int32_t pad, lt_pad_mode mode)
{
    return LTI_EMIT(g, pad2d, LTI_ATTR(.pad = pad, .pad_mode = mode), x);
}

lt_val lt_batch_norm(lt_graph *g, lt_val x, lt_bn_args bn)
{
    lt_attr a = {.eps = bn.eps, .momentum = bn.momentum};
    lt_val stats[] = {bn.running_mean, bn.running_var};
    for (int i = 0; i < 2 && g->error.status == LT_OK; i++)
        if (stats[i] < 0 || stats[i] >= g->n_values || g->value[stats[i]].role != LT_ROLE_STATE)
            lti_graph_fail(g, LT_FAIL(LT_E_USAGE, "batch norm: running statistics must be values made by lt_state"));
    return LTI_EMIT(g, bn, &a, x, bn.gamma, bn.beta, bn.running_mean, bn.running_var);
}

lt_val lt_relu(lt_graph *g, lt_val x)
{
    return LTI_EMIT(g, relu, NULL, x);
}

lt_val lt_add(lt_graph *g, lt_val a, lt_val b)
{
    return LTI_EMIT(g, add, LTI_ATTR(.alpha = 1), a, b);
}

lt_val lt_scale(lt_graph *g, lt_val x, float alpha)
{
    return LTI_EMIT(g, scale, LTI_ATTR(.alpha = alpha), x);
}

// Constants live in the graph's arena: mean, then 1/std.
lt_val lt_normalize(lt_graph *g, lt_val x, const float *mean, const float *std)
{
    if (g->error.status != LT_OK)
        return LT_NONE;
    if (x < 0 || x >= g->n_values || g->value[x].shape.n_dims != 4) {
        lti_graph_fail(g, LT_FAIL(LT_E_SHAPE, "normalize: expected an image value (N,C,H,W)"));
        return LT_NONE;
    }
    size_t c = (size_t)g->value[x].shape.dim[1];
    float *both = lti_arena_alloc(&g->arena, 2 * c * sizeof *both);
    if (!both) {
        lti_graph_fail(g, LTI_NOMEM("normalize constants"));
        return LT_NONE;
    }
    for (size_t i = 0; i < c; i++) {
        if (!(std[i] > 0) || !isfinite(std[i]) || !isfinite(mean[i])) {
            lti_graph_fail(g, LT_FAIL(LT_E_USAGE,
                                      "normalize: channel %zu has mean %g and std %g, expected a finite mean "
                                      "and a positive std",
                                      i, (double)mean[i], (double)std[i]));
            return LT_NONE;
        }
        both[i] = mean[i];
        both[c + i] = 1 / std[i];
    }
    return LTI_EMIT(g, normalize, LTI_ATTR(.mean = both, .istd = both + c), x);
}

lt_val lt_avg_pool2d(lt_graph *g, lt_val x, int32_t kernel, int32_t stride)
{
    return LTI_EMIT(g, avg_pool, LTI_ATTR(.kernel = kernel, .stride = stride), x);
}

lt_val lt_max_pool2d(lt_graph *g, lt_val x, int32_t kernel, int32_t stride)
{
    return LTI_EMIT(g, max_pool, LTI_ATTR(.kernel = kernel, .stride = stride), x);
}

lt_val lt_global_avg_pool(lt_graph *g, lt_val x)
{
    return LTI_EMIT(g, global_avg_pool, NULL, x);
}

lt_val lt_flatten(lt_graph *g, lt_val x)
{
    if (g->error.status != LT_OK)
        return LT_NONE;
    lt_attr a = {.shape = LT_SHAPE(1, 1)};
    if (x >= 0 && x < g->n_values) {
        const lt_shape *s = &g->value[x].shape;
        a.shape.dim[0] = s->dim[0];
        for (int i = 1; i < s->n_dims; i++)
            a.shape.dim[1] *= s->dim[i];
    }
    return LTI_EMIT(g, reshape, &a, x);
}

lt_val lt_linear(lt_graph *g, lt_val x, lt_val w, lt_val b)
{
    return LTI_EMIT(g, linear, NULL, x, w, b);
}

lt_val lt_softmax(lt_graph *g, lt_val logits)
{
    return LTI_EMIT(g, softmax, NULL, logits);
}

lt_val lt_cross_entropy(lt_graph *g, lt_val logits, lt_val labels, float smoothing)
{
    return LTI_EMIT(g, ce, LTI_ATTR(.smoothing = smoothing), logits, labels);
}

lt_val lt_cross_entropy_soft(lt_graph *g, lt_val logits, lt_val target)
{
    return LTI_EMIT(g, ce_soft, NULL, logits, target);
}

lt_val lt_kl_div(lt_graph *g, lt_val logits, lt_val target_logits, float temperature)
{
    return LTI_EMIT(g, kl, LTI_ATTR(.temperature = temperature), logits, target_logits);
}

lt_val lt_kl_pair(lt_graph *g, lt_val logits, lt_val target_logits, float temperature)
{
    return LTI_EMIT(g, kl_pair, LTI_ATTR(.temperature = temperature), logits, target_logits);
}

lt_val lt_margin_loss(lt_graph *g, lt_val logits, lt_val labels)
{
    return LTI_EMIT(g, margin, NULL, logits, labels);
}

lt_val lt_weighted_sum(lt_graph *g, lt_val x, lt_val weight)
{
    return LTI_EMIT(g, weighted_sum, NULL, x, weight);
}

lt_val lt_dot(lt_graph *g, lt_val a, lt_val b)
{
    return LTI_EMIT(g, dot, NULL, a, b);
}
