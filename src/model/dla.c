// dla.c - Deep Layer Aggregation in its CIFAR form [ARCH 2]: trees of basic blocks whose outputs are joined by
// a 1x1 convolution at the root.
//
// A tree of level 1 is two blocks, the second on the first, and a root over both. A tree of level L > 1 has a block of
// its own on its input, then the trees of level L-1 to 1, one on the other, then two blocks; its root joins all of
// them. Module names are those of the common PyTorch CIFAR models. bn=0 drops every batch norm.
#include "model/model_impl.h"
#include <stdio.h>

struct cfg {
    int32_t width;
    bool bn;
};
_Static_assert(sizeof(struct cfg) <= LTI_ARCH_CFG_MAX, "fits lti_model_spec");

static const lt_option opts[] = {
    LT_I32(struct cfg, width, 16, 1, 1024, "channels",
           "channels of the first layers; trees have 4, 8, 16, 32 times as many"),
    LT_BOOL(struct cfg, bn, 1, "batch norm after every convolution"),
    LT_OPT_END,
};

typedef struct tree { // what does not change inside one
    lt_graph *g;
    const struct cfg *c;
    int64_t k; // output channels
} tree;

static const char *sub(char buf[LTI_NAME_MAX], const char *block, const char *leaf)
{
    snprintf(buf, LTI_NAME_MAX, "%.80s.%.32s", block, leaf);
    return buf;
}

static lt_val conv_bn(const tree *t, const char *conv, const char *bn, lt_val x, int32_t kernel, int32_t stride)
{
    const lt_val y = lti_conv(t->g, conv, x, t->k, kernel, stride, false);
    return t->c->bn ? lti_bn(t->g, bn, y) : y;
}

static lt_val block(const tree *t, const char *name, lt_val x, int32_t stride)
{
    char conv[LTI_NAME_MAX], bn[LTI_NAME_MAX];
    lt_val y = lt_relu(t->g, conv_bn(t, sub(conv, name, "conv1"), sub(bn, name, "bn1"), x, 3, stride));
    y = conv_bn(t, sub(conv, name, "conv2"), sub(bn, name, "bn2"), y, 3, 1);
    if (stride != 1 || lti_dim(t->g, x, 1) != t->k)
        x = conv_bn(t, sub(conv, name, "shortcut.0"), sub(bn, name, "shortcut.1"), x, 1, stride);
    return lt_relu(t->g, lt_add(t->g, y, x));
}

static lt_val add_tree(const tree *t, const char *name, lt_val x, int level, int32_t stride)
{
    char part[LTI_NAME_MAX], leaf[LTI_NAME_MAX], other[LTI_NAME_MAX];
    lt_val joined = LT_NONE;
    if (level > 1)
        joined = block(t, sub(part, name, "prev_root"), x, stride);
    for (int i = level - 1; i >= 1; i--) {
        snprintf(leaf, sizeof leaf, "level_%d", i);
        x = add_tree(t, sub(part, name, leaf), x, i, stride);
        joined = lt_concat(t->g, joined, x);
    }
    x = block(t, sub(part, name, "left_node"), x, level > 1 ? 1 : stride);
    joined = joined == LT_NONE ? x : lt_concat(t->g, joined, x);
    x = block(t, sub(part, name, "right_node"), x, 1);
    joined = lt_concat(t->g, joined, x);
    return lt_relu(t->g, conv_bn(t, sub(leaf, name, "root.conv"), sub(other, name, "root.bn"), joined, 1, 1));
}

static lt_val build(lt_graph *g, lt_val x, int n_classes, const void *cfg)
{
    static const struct {
        const char *name;
        int times, level;
        int32_t stride;
    } layers[] = {{"base", 1, 0, 1},   {"layer1", 1, 0, 1},  {"layer2", 2, 0, 1}, {"layer3", 4, 1, 1},
                  {"layer4", 8, 2, 2}, {"layer5", 16, 2, 2}, {"layer6", 32, 1, 2}};
    const struct cfg *c = cfg;
    lt_val y = x;
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
        const tree t = {.g = g, .c = c, .k = (int64_t)layers[i].times * c->width};
        char conv[LTI_NAME_MAX], bn[LTI_NAME_MAX];
        if (layers[i].level == 0)
            y = lt_relu(g, conv_bn(&t, sub(conv, layers[i].name, "0"), sub(bn, layers[i].name, "1"), y, 3, 1));
        else
            y = add_tree(&t, layers[i].name, y, layers[i].level, layers[i].stride);
        lt_name(g, y, layers[i].name);
    }
    const int64_t h = lti_dim(g, y, 2), w = lti_dim(g, y, 3), side = h < w ? h : w;
    const int32_t kernel = side < 4 ? (int32_t)side : 4;
    return lti_linear(g, "linear", lt_flatten(g, lt_avg_pool2d(g, y, kernel, kernel)), n_classes);
}

const lti_arch lti_arch_dla = {.opts = opts, .head = "linear.weight", .build = build};
