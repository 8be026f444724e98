// simple_conv.c - a small network for quick work: three stages of 3x3 convolution, batch norm, ReLU and 2x2 max-pool
// with width, 2*width and 4*width channels, then one linear layer on the flattened map.
//
// With batch norm the convolutions have no bias (the norm would cancel it); with bn=0 they have one.
#include "model/model_impl.h"
#include <stdio.h>

struct cfg {
    int32_t width;
    bool bn;
};
_Static_assert(sizeof(struct cfg) <= LTI_ARCH_CFG_MAX, "fits lti_model_spec");

static const lt_option opts[] = {
    LT_I32(struct cfg, width, 32, 1, 1024, "channels",
           "channels of the first stage; the others have 2 and 4 times as many"),
    LT_BOOL(struct cfg, bn, 1, "batch norm after every convolution"),
    LT_OPT_END,
};

static lt_val build(lt_graph *g, lt_val x, int n_classes, const void *cfg)
{
    const struct cfg *c = cfg;
    lt_val y = x;
    for (int stage = 0; stage < 3; stage++) {
        char name[LTI_NAME_MAX];
        snprintf(name, sizeof name, "conv%d", stage + 1);
        y = lti_conv(g, name, y, (int64_t)c->width << stage, 3, 1, !c->bn);
        snprintf(name, sizeof name, "bn%d", stage + 1);
        if (c->bn)
            y = lti_bn(g, name, y);
        snprintf(name, sizeof name, "stage%d", stage + 1);
        y = lt_name(g, lt_max_pool2d(g, lt_relu(g, y), 2, 2), name);
    }
    return lti_linear(g, "linear", lt_flatten(g, y), n_classes);
}

const lti_arch lti_arch_simple_conv = {.opts = opts, .head = "linear.weight", .build = build};
