// resnet18.c - ResNet-18 in its CIFAR form: 3x3 stem, no max-pool, four stages of two basic blocks [AMUN 4.1].
//
// Basic block: y = ReLU(BN2(conv2(ReLU(BN1(conv1(x))))) + shortcut(x)), convolutions without bias. The first blocks of
// stages 2 to 4 halve the resolution and have a projection shortcut (1x1 convolution, BN). With proj-half=1 their sum
// is multiplied by 1/2 before the ReLU, as the AMUN authors' model does; identity blocks never are.
// bn=0 drops every batch norm and leaves the convolutions without bias.
//
// The head pools 4x4 windows and flattens, so 32x32 images give a 512 -> K linear layer and 64x64 images 4*512 -> K.
// Deviation: when the last map is smaller than 4x4 (images below 32x32) the window is the whole map.
#include "model/model_impl.h"
#include <stdio.h>

struct cfg {
    int32_t width;
    bool proj_half, bn;
};
_Static_assert(sizeof(struct cfg) <= LTI_ARCH_CFG_MAX, "fits lti_model_spec");

static const lt_option opts[] = {
    LT_I32(struct cfg, width, 64, 1, 1024, "channels",
           "channels of the first stage; stages have 1, 2, 4, 8 times as many"),
    LT_BOOL(struct cfg, proj_half, 0, "multiply the sum by 1/2 in the three projection blocks"),
    LT_BOOL(struct cfg, bn, 1, "batch norm after every convolution"),
    LT_OPT_END,
};

static lt_val conv_bn(lt_graph *g, const char *conv, const char *bn, lt_val x, int64_t k, int32_t kernel,
                      int32_t stride, const struct cfg *c)
{
    lt_val y = lti_conv(g, conv, x, k, kernel, stride, false);
    return c->bn ? lti_bn(g, bn, y) : y;
}

static const char *sub(char buf[LTI_NAME_MAX], const char *block, const char *leaf)
{
    snprintf(buf, LTI_NAME_MAX, "%.64s.%s", block, leaf);
    return buf;
}

static lt_val basic_block(lt_graph *g, const char *name, lt_val x, int64_t k, int32_t stride, const struct cfg *c)
{
    char conv[LTI_NAME_MAX], bn[LTI_NAME_MAX];
    lt_val y = lt_relu(g, conv_bn(g, sub(conv, name, "conv1"), sub(bn, name, "bn1"), x, k, 3, stride, c));
    y = conv_bn(g, sub(conv, name, "conv2"), sub(bn, name, "bn2"), y, k, 3, 1, c);
    if (stride == 1 && lti_dim(g, x, 1) == k)
        return lt_relu(g, lt_add(g, y, x));
    y = lt_add(g, y, conv_bn(g, sub(conv, name, "shortcut.0"), sub(bn, name, "shortcut.1"), x, k, 1, stride, c));
    return lt_relu(g, c->proj_half ? lt_scale(g, y, 0.5f) : y);
}

static lt_val build(lt_graph *g, lt_val x, int n_classes, const void *cfg)
{
    const struct cfg *c = cfg;
    lt_val y = lt_relu(g, conv_bn(g, "conv1", "bn1", x, c->width, 3, 1, c));
    lt_name(g, y, "stem");
    for (int stage = 0; stage < 4; stage++) {
        char name[LTI_NAME_MAX];
        for (int block = 0; block < 2; block++) {
            snprintf(name, sizeof name, "layer%d.%d", stage + 1, block);
            y = basic_block(g, name, y, (int64_t)c->width << stage, stage > 0 && block == 0 ? 2 : 1, c);
        }
        snprintf(name, sizeof name, "layer%d", stage + 1);
        lt_name(g, y, name);
    }
    int64_t h = lti_dim(g, y, 2), w = lti_dim(g, y, 3), side = h < w ? h : w;
    int32_t kernel = side < 4 ? (int32_t)side : 4;
    y = lt_avg_pool2d(g, y, kernel, kernel); // (N,8*width,h/4,w/4)
    return lti_linear(g, "linear", lt_flatten(g, y), n_classes);
}

// Words of torchvision and timm, whose ResNet-18 with a 3x3 stem is this network, and of the code of AMUN, FastClip and
// LOTOS: layers in wrappers of spectral normalisation (twice, where a convolution and its batch norm have one
// together), a convolution and its batch norm as one layer. These networks halve the sum of a block with a projection.
static const lti_key_rule rules[] = {{"downsample.", "shortcut.", NULL},
                                     {"fc.", "linear.", NULL},
                                     {"module.", "", "proj-half=1"},
                                     {"module.", "", NULL},
                                     {"sub_conv1.", "", "proj-half=1"},
                                     {"conv1.bn1.", "bn1.", NULL},
                                     {"conv2.bn1.", "bn2.", NULL},
                                     {"shortcut.0.bn1.", "shortcut.1.", NULL},
                                     {NULL, NULL, NULL}};
static const lti_key_fit fit = {
    .stem = "conv1.weight", .kernel = 3, .has = "layer4.1.conv2.weight", .lacks = "layer1.2.conv1.weight"};

const lti_arch lti_arch_resnet18 = {.opts = opts, .head = "linear.weight", .build = build, .rules = rules, .fit = &fit};
