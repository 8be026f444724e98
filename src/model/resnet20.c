// resnet20.c - the ResNet of 20 layers for CIFAR [ARCH 1]: three stages of three basic blocks with 16, 32 and
// 64 channels, and shortcuts without parameters.
//
// Where a stage begins, the shortcut takes every second pixel and sets the new channels to zero, half of them in front
// and half behind ("option A"). bn=0 drops every batch norm.
#include "model/model_impl.h"
#include <stdio.h>

struct cfg {
    int32_t width;
    bool bn;
};
_Static_assert(sizeof(struct cfg) <= LTI_ARCH_CFG_MAX, "fits lti_model_spec");

static const lt_option opts[] = {
    LT_I32(struct cfg, width, 16, 1, 1024, "channels",
           "channels of the first stage; the others have 2 and 4 times as many"),
    LT_BOOL(struct cfg, bn, 1, "batch norm after every convolution"),
    LT_OPT_END,
};

static const char *sub(char buf[LTI_NAME_MAX], const char *block, const char *leaf)
{
    snprintf(buf, LTI_NAME_MAX, "%.64s.%s", block, leaf);
    return buf;
}

static lt_val conv_bn(lt_graph *g, const char *name, int i, lt_val x, int64_t k, int32_t stride, bool norm)
{
    char leaf[16], conv[LTI_NAME_MAX], bn[LTI_NAME_MAX];
    snprintf(leaf, sizeof leaf, "conv%d", i);
    const lt_val y = lti_conv(g, sub(conv, name, leaf), x, k, 3, stride, false);
    snprintf(leaf, sizeof leaf, "bn%d", i);
    return norm ? lti_bn(g, sub(bn, name, leaf), y) : y;
}

static lt_val block(lt_graph *g, const char *name, lt_val x, int64_t k, int32_t stride, bool norm)
{
    lt_val y = lt_relu(g, conv_bn(g, name, 1, x, k, stride, norm));
    y = conv_bn(g, name, 2, y, k, 1, norm);
    const int64_t c = lti_dim(g, x, 1);
    if (stride != 1 || c != k)
        x = lt_pad_channels(g, lt_avg_pool2d(g, x, 1, stride), (k - c) / 2, k - c - (k - c) / 2);
    return lt_relu(g, lt_add(g, y, x));
}

static lt_val build(lt_graph *g, lt_val x, int n_classes, const void *cfg)
{
    const struct cfg *c = cfg;
    lt_val y = lti_conv(g, "conv1", x, c->width, 3, 1, false);
    y = lt_relu(g, c->bn ? lti_bn(g, "bn1", y) : y);
    lt_name(g, y, "stem");
    for (int stage = 0; stage < 3; stage++) {
        char name[LTI_NAME_MAX];
        for (int i = 0; i < 3; i++) {
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, i);
            y = block(g, name, y, (int64_t)c->width << stage, stage > 0 && i == 0 ? 2 : 1, c->bn);
        }
        snprintf(name, sizeof name, "layer%d", stage + 1);
        lt_name(g, y, name);
    }
    return lti_linear(g, "linear", lt_global_avg_pool(g, y), n_classes);
}

const lti_arch lti_arch_resnet20 = {.opts = opts, .head = "linear.weight", .build = build};
