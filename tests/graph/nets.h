// nets.h - a small residual network with everything a plan can meet, and the means to run it.
#ifndef LT_TEST_NETS_H
#define LT_TEST_NETS_H
#include "graph/op_cases.h"

typedef struct small_net {
    lt_graph *g;
    lt_val x, labels, weight;                 // (N,3,8,8), (N), (N)
    lt_val stem, block, logits, losses, loss; // values on the way
    lt_val w0, fc;
} small_net;

static inline lt_val net_named(lt_graph *g, bool param, const char *name, const char *what, lt_shape shape)
{
    char text[64];
    snprintf(text, sizeof text, "%s.%s", name, what);
    return param ? lt_param(g, text, shape) : lt_state(g, text, shape);
}

static inline lt_val net_conv(lt_graph *g, const char *name, lt_val x, int64_t c, int64_t k, int64_t r, lt_conv_attr a)
{
    return lt_conv2d(g, x, net_named(g, true, name, "weight", LT_SHAPE(k, c, r, r)), LT_NONE, a);
}

static inline lt_val net_bn(lt_graph *g, const char *name, lt_val x, int64_t c)
{
    lt_bn_args bn = {.gamma = net_named(g, true, name, "gamma", LT_SHAPE(c)),
                     .beta = net_named(g, true, name, "beta", LT_SHAPE(c)),
                     .running_mean = net_named(g, false, name, "mean", LT_SHAPE(c)),
                     .running_var = net_named(g, false, name, "var", LT_SHAPE(c)),
                     .eps = 1e-5f,
                     .momentum = 0.1f};
    return lt_batch_norm(g, x, bn);
}

// normalise, conv-bn-relu, a block of stride 2 with projection and halved sum, an identity block, pool, linear, loss.
static inline void small_net_build(small_net *n)
{
    static const float mean[3] = {0.4f, 0.5f, 0.6f}, std[3] = {0.2f, 0.3f, 0.25f};
    const lt_conv_attr s1p1 = {.stride = 1, .pad = 1}, s2p1 = {.stride = 2, .pad = 1}, s2p0 = {.stride = 2};
    const lt_conv_attr reflect = {.stride = 1, .pad = 1, .pad_mode = LT_PAD_REFLECT};
    *n = (small_net){0};
    if (lt_graph_create(&n->g) != LT_OK)
        return;
    lt_graph *g = n->g;
    n->x = lt_input(g, "x", LT_F32, LT_SHAPE(LT_BATCH, 3, 8, 8));
    n->labels = lt_input(g, "labels", LT_I32, LT_SHAPE(LT_BATCH));
    n->weight = lt_input(g, "weight", LT_F32, LT_SHAPE(LT_BATCH));
    lt_val h = lt_normalize(g, n->x, mean, std);
    h = n->stem = lt_relu(g, net_bn(g, "bn0", net_conv(g, "conv0", h, 3, 6, 3, reflect), 6));
    lt_val a = lt_relu(g, net_bn(g, "bn1", net_conv(g, "conv1", h, 6, 8, 3, s2p1), 8));
    a = net_bn(g, "bn2", net_conv(g, "conv2", a, 8, 8, 3, s1p1), 8);
    lt_val b = net_bn(g, "bn3", net_conv(g, "conv3", h, 6, 8, 1, s2p0), 8);
    h = n->block = lt_relu(g, lt_scale(g, lt_add(g, a, b), 0.5f));
    a = lt_relu(g, net_bn(g, "bn4", net_conv(g, "conv4", h, 8, 8, 3, s1p1), 8));
    h = lt_relu(g, lt_add(g, net_bn(g, "bn5", net_conv(g, "conv5", a, 8, 8, 3, s1p1), 8), h));
    h = lt_flatten(g, lt_avg_pool2d(g, h, 2, 2));
    n->fc = lt_param(g, "fc.weight", LT_SHAPE(5, 32));
    n->logits = lt_linear(g, h, n->fc, lt_param(g, "fc.bias", LT_SHAPE(5)));
    n->losses = lt_cross_entropy(g, n->logits, n->labels, 0.1f);
    n->loss = lt_weighted_sum(g, n->losses, n->weight);
    n->w0 = lt_graph_find(g, "conv0.weight");
}

// A plan of the network with its inputs and slabs filled, in double or float.
static inline void net_fill(const small_net *n, op_run *r, int64_t batch)
{
    for (lt_val v = 0; v < n->g->n_values; v++) {
        lti_value *value = &n->g->value[v];
        if (value->role == LT_ROLE_TEMP || value->role == LT_ROLE_CONST)
            continue;
        lt_shape shape = value->shape;
        if (shape.dim[0] == LT_BATCH)
            shape.dim[0] = batch;
        const char *dot = strrchr(value->name, '.');
        bool positive = dot && (strcmp(dot, ".gamma") == 0 || strcmp(dot, ".var") == 0);
        const char *what = v == n->labels ? "i5" : positive || v == n->weight ? "p" : "n";
        double *data = op_make_data(what, &shape, NULL, NULL, (uint64_t)v + 7);
        for (int64_t i = 0; shape.n_dims > 1 && i < lti_shape_count(&shape); i++)
            data[i] *= 0.4;
        lti_value saved = *value; // op_set counts elements by the value's shape
        value->shape = shape;
        op_set(r, v, data);
        *value = saved;
        free(data);
    }
}
#endif
