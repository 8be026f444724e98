// spiking_vgg.c - the spiking VGG-like network of Biswas et al. (arXiv:2503.01297), as their code has it.
//
// 3x3 convolutions with bias in pairs of 64, 128, 256, 256, 512, 512, 512 channels, a 2x2 max-pool after every second
// one, then the norm (layer norm without parameters) and the neuron; dropout 0.5, linear 512 -> 512 -> K with a neuron
// each. Pools act on currents, in front of norm and neuron. 128x128 inputs end as 1x1.
// Deviation: on smaller inputs a map that is one pixel high or wide is not pooled further. depth=14 is the paper's;
// fewer take the first convolutions, and the linear layers then read whatever map is left.
#include "model/spiking.h"
#include <stdio.h>

struct cfg {
    int32_t steps, width; // as lti_spiking_cfg
    int32_t coding, neuron, surrogate, norm, readout;
    float beta, threshold, surrogate_scale;
    bool learn_decay, reset_gradient;
    int32_t depth, pool;
    float dropout;
};
_Static_assert(sizeof(struct cfg) <= LTI_ARCH_CFG_MAX, "fits lti_model_spec");
_Static_assert(offsetof(struct cfg, reset_gradient) == offsetof(lti_spiking_cfg, reset_gradient), "begins alike");

enum { POOL_MAX, POOL_AVERAGE };
static const lt_opt_value pools[] = {
    {"max", POOL_MAX, "the largest current"}, {"average", POOL_AVERAGE, "the mean current"}, {NULL, 0, NULL}};

static const lt_option opts[] = {
    LTI_SPIKING_OPTIONS(struct cfg, 10, 64, LT_NEURON_SUBTRACT_DELAYED, LTI_NORM_LAYER, LTI_READOUT_COUNT),
    LT_I32(struct cfg, depth, 14, 1, 14, "layers", "convolutions"),
    LT_ENUM(struct cfg, pool, POOL_MAX, pools, "pooling of currents"),
    LT_F32(struct cfg, dropout, 0.5, 0, 0.99, "", "share dropped in front of the linear layers"),
    LT_OPT_END,
};

static const int widths[14] = {1, 1, 2, 2, 4, 4, 4, 4, 8, 8, 8, 8, 8, 8}; // in units of width

static lt_val build(lt_graph *g, lt_val x, int n_classes, const void *cfg)
{
    const struct cfg *c = cfg;
    lti_spiking s = {.g = g, .cfg = cfg};
    char name[LTI_NAME_MAX];
    lt_val y = lti_spiking_input(&s, x);
    for (int i = 0; i < c->depth; i++) {
        snprintf(name, sizeof name, "features.%d", i);
        y = lti_conv(g, name, y, (int64_t)widths[i] * c->width, 3, 1, true);
        if (i % 2 == 1 && lti_dim(g, y, 2) > 1 && lti_dim(g, y, 3) > 1)
            y = c->pool == POOL_MAX ? lt_max_pool2d(g, y, 2, 2) : lt_avg_pool2d(g, y, 2, 2);
        y = lti_spiking_neuron(&s, name, lti_spiking_norm(&s, name, y));
        snprintf(name, sizeof name, "stage%d", i / 2 + 1);
        if (i % 2 == 1)
            lti_spiking_stage(&s, name, y);
    }
    y = lt_flatten(g, y);
    if (c->dropout > 0 && y != LT_NONE)
        y = lt_dropout(g, y, lt_state(g, "dropout.counter", LT_SHAPE(1)), c->dropout, 0);
    y = lti_spiking_neuron(&s, "classifier.0", lti_linear(g, "classifier.0", y, (int64_t)8 * c->width));
    return lti_spiking_readout(&s, lti_linear(g, "classifier.1", y, n_classes));
}

const lti_arch lti_arch_spiking_vgg = {.opts = opts, .head = "classifier.1.weight", .build = build};
