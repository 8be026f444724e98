// resnet18_imagenet.c - ResNet-18 in its ImageNet form: 7x7 stem of stride 2, 3x3 max-pool of stride 2, four stages of
// two basic blocks, global average pool, one linear layer (He et al. 2016). Tensor names are torchvision's.
//
// The max-pool pads with zeros where PyTorch pads with minus infinity: its input comes out of a ReLU, so both give the
// same maximum.
#include "model/model_impl.h"
#include <stdio.h>

struct cfg {
    int32_t width;
};
_Static_assert(sizeof(struct cfg) <= LTI_ARCH_CFG_MAX, "fits lti_model_spec");

static const lt_option opts[] = {
    LT_I32(struct cfg, width, 64, 1, 1024, "channels",
           "channels of the first stage; stages have 1, 2, 4, 8 times as many"),
    LT_OPT_END,
};

static const char *join_names(char buf[LTI_NAME_MAX], const char *block, const char *leaf)
{
    snprintf(buf, LTI_NAME_MAX, "%.64s.%s", block, leaf);
    return buf;
}

static lt_val basic_block(lt_graph *g, const char *name, lt_val x, int64_t k, int32_t stride)
{
    char conv[LTI_NAME_MAX], bn[LTI_NAME_MAX];
    lt_val y = lti_conv(g, join_names(conv, name, "conv1"), x, k, 3, stride, false);
    y = lt_relu(g, lti_bn(g, join_names(bn, name, "bn1"), y));
    y = lti_bn(g, join_names(bn, name, "bn2"), lti_conv(g, join_names(conv, name, "conv2"), y, k, 3, 1, false));
    if (stride != 1 || lti_dim(g, x, 1) != k) {
        x = lti_conv(g, join_names(conv, name, "downsample.0"), x, k, 1, stride, false);
        x = lti_bn(g, join_names(bn, name, "downsample.1"), x);
    }
    return lt_relu(g, lt_add(g, y, x));
}

static lt_val build(lt_graph *g, lt_val x, int n_classes, const void *cfg)
{
    const struct cfg *c = cfg;
    lt_val y = lt_relu(g, lti_bn(g, "bn1", lti_conv(g, "conv1", x, c->width, 7, 2, false)));
    y = lt_max_pool2d(g, lt_pad2d(g, y, 1, LT_PAD_ZERO), 3, 2);
    lt_name(g, y, "stem");
    for (int stage = 0; stage < 4; stage++) {
        char name[LTI_NAME_MAX];
        for (int block = 0; block < 2; block++) {
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, block);
            y = basic_block(g, name, y, (int64_t)c->width << stage, stage > 0 && block == 0 ? 2 : 1);
        }
        snprintf(name, sizeof name, "layer%d", stage + 1);
        lt_name(g, y, name);
    }
    return lti_linear(g, "fc", lt_global_avg_pool(g, y), n_classes);
}

static const lti_key_rule rules[] = {{"shortcut.", "downsample.", NULL}, {"linear.", "fc.", NULL}, {NULL, NULL, NULL}};
static const lti_key_fit fit = {
    .stem = "conv1.weight", .kernel = 7, .has = "layer4.1.conv2.weight", .lacks = "layer1.2.conv1.weight"};

const lti_arch lti_arch_resnet18_imagenet = {
    .opts = opts, .head = "fc.weight", .build = build, .rules = rules, .fit = &fit};
