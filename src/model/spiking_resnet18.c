// spiking_resnet18.c - spiking ResNet-18 in the spike-element-wise form of Fang et al. (NeurIPS 2021), sum (ADD).
//
// Block: y = N(norm2(conv2(N(norm1(conv1(x)))))) + shortcut(x) with neurons N; the projection shortcut is a 1x1
// convolution, norm and neuron. Sums of spikes are whole numbers and reach the next block as they are. The stem is the
// CIFAR one (3x3, stride 1, no pool), the head averages each map and is linear, read out as the mean current over time.
#include "model/spiking.h"
#include <stdio.h>

struct cfg {
    int32_t steps, width; // as lti_spiking_cfg
    int32_t coding, neuron, surrogate, norm, readout;
    float beta, threshold, surrogate_scale;
    bool learn_decay, reset_gradient;
};
_Static_assert(sizeof(struct cfg) <= LTI_ARCH_CFG_MAX, "fits lti_model_spec");
_Static_assert(sizeof(struct cfg) == sizeof(lti_spiking_cfg), "begins alike");

static const lt_option opts[] = {
    LTI_SPIKING_OPTIONS(struct cfg, 4, 64, LT_NEURON_SJ_IF, LTI_NORM_BATCH, LTI_READOUT_CURRENT),
    LT_OPT_END,
};

// Convolution, norm and neuron of block `name`, numbered as in ResNets.
static lt_val layer(lti_spiking *s, const char *name, lt_val x, int64_t k, int32_t kernel, int32_t stride)
{
    const lt_val y = lti_conv(s->g, name, x, k, kernel, stride, s->cfg->norm == LTI_NORM_NONE);
    return lti_spiking_neuron(s, name, lti_spiking_norm(s, name, y));
}

static lt_val block(lti_spiking *s, const char *name, lt_val x, int64_t k, int32_t stride)
{
    char leaf[LTI_NAME_MAX];
    snprintf(leaf, sizeof leaf, "%.64s.conv1", name);
    lt_val y = layer(s, leaf, x, k, 3, stride);
    snprintf(leaf, sizeof leaf, "%.64s.conv2", name);
    y = layer(s, leaf, y, k, 3, 1);
    if (stride == 1 && lti_dim(s->g, x, 1) == k)
        return lt_add(s->g, y, x);
    snprintf(leaf, sizeof leaf, "%.64s.shortcut", name);
    return lt_add(s->g, y, layer(s, leaf, x, k, 1, stride));
}

static lt_val build(lt_graph *g, lt_val x, int n_classes, const void *cfg)
{
    const lti_spiking_cfg *c = cfg;
    lti_spiking s = {.g = g, .cfg = c};
    lt_val y = layer(&s, "conv1", lti_spiking_input(&s, x), c->width, 3, 1);
    lti_spiking_stage(&s, "stem", y);
    for (int stage = 0; stage < 4; stage++) {
        char name[LTI_NAME_MAX];
        for (int i = 0; i < 2; i++) {
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, i);
            y = block(&s, name, y, (int64_t)c->width << stage, stage > 0 && i == 0 ? 2 : 1);
        }
        snprintf(name, sizeof name, "layer%d", stage + 1);
        lti_spiking_stage(&s, name, y);
    }
    y = lti_linear(g, "linear", lt_global_avg_pool(g, y), n_classes);
    return lti_spiking_readout(&s, y);
}

const lti_arch lti_arch_spiking_resnet18 = {.opts = opts, .head = "linear.weight", .build = build};
