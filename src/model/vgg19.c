// vgg19.c - VGG-19 with batch norm and one linear layer, used for Tiny ImageNet [AMUN 4.2].
//
// Sixteen 3x3 convolutions with bias, each followed by batch norm and ReLU, and five 2x2 max-pools; then linear
// 512 -> K (32x32 images) or 2048 -> K (64x64). Tensors are numbered as in a torch Sequential that holds convolution,
// batch norm, ReLU and pool as entries of their own; with bn=0 the batch norm entries are absent.
#include "model/model_impl.h"
#include <stdio.h>

struct cfg {
    int32_t width;
    bool bn;
};
_Static_assert(sizeof(struct cfg) <= LTI_ARCH_CFG_MAX, "fits lti_model_spec");

static const lt_option opts[] = {
    LT_I32(struct cfg, width, 64, 1, 1024, "channels",
           "channels of the first layers; later ones have 2, 4, 8 times as many"),
    LT_BOOL(struct cfg, bn, 1, "batch norm after every convolution"),
    LT_OPT_END,
};

// Channels in units of width; 0 is a max-pool.
static const int layers[] = {1, 1, 0, 2, 2, 0, 4, 4, 4, 4, 0, 8, 8, 8, 8, 0, 8, 8, 8, 8, 0};

static lt_val build(lt_graph *g, lt_val x, int n_classes, const void *cfg)
{
    const struct cfg *c = cfg;
    lt_val y = x;
    int entry = 0, stage = 0; // place in the Sequential; max-pools so far
    for (size_t i = 0; i < sizeof layers / sizeof layers[0]; i++) {
        char name[LTI_NAME_MAX];
        if (!layers[i]) {
            snprintf(name, sizeof name, "stage%d", ++stage);
            y = lt_name(g, lt_max_pool2d(g, y, 2, 2), name);
            entry++;
            continue;
        }
        snprintf(name, sizeof name, "features.%d", entry++);
        y = lti_conv(g, name, y, (int64_t)layers[i] * c->width, 3, 1, true);
        if (c->bn) {
            snprintf(name, sizeof name, "features.%d", entry++);
            y = lti_bn(g, name, y);
        }
        y = lt_relu(g, y);
        entry++;
    }
    return lti_linear(g, "classifier", lt_flatten(g, y), n_classes);
}

const lti_arch lti_arch_vgg19 = {.opts = opts, .head = "classifier.weight", .build = build};
