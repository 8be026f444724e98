// single_conv.c - SimpleConv of FastClip and LOTOS: one convolution, batch norm, ReLU and a linear layer on the
// flattened map. The network of studies of padding, stride, dilation and kernel size. [ARCH 3]
//
// With batch norm the convolution has no bias (the norm would cancel it); with bn=0 it has one.
#include "model/model_impl.h"

struct cfg {
    int32_t width, kernel, padding, stride, dilation, padding_mode;
    bool bn;
};
_Static_assert(sizeof(struct cfg) <= LTI_ARCH_CFG_MAX, "fits lti_model_spec");

static const lt_opt_value modes[] = {{"zeros", LT_PAD_ZERO, "zeros"},
                                     {"reflect", LT_PAD_REFLECT, "the image mirrored at its edge"},
                                     {"circular", LT_PAD_CIRCULAR, "the opposite edge"},
                                     {NULL, 0, NULL}};

static const lt_option opts[] = {
    LT_I32(struct cfg, width, 64, 1, 1024, "channels", "channels of the convolution"),
    LT_I32(struct cfg, kernel, 3, 1, 64, "pixels", "side of the kernel"),
    LT_I32(struct cfg, padding, 1, 0, 64, "pixels", "padding on every side"),
    LT_I32(struct cfg, stride, 1, 1, 64, "pixels", "stride of the convolution"),
    LT_I32(struct cfg, dilation, 1, 1, 64, "pixels", "from one tap of the kernel to the next"),
    LT_ENUM(struct cfg, padding_mode, LT_PAD_REFLECT, modes, "what the padding holds"),
    LT_BOOL(struct cfg, bn, 1, "batch norm after the convolution"),
    LT_OPT_END,
};

static lt_val build(lt_graph *g, lt_val x, int n_classes, const void *cfg)
{
    const struct cfg *c = cfg;
    const lt_conv_attr attr = {.stride = c->stride,
                               .pad = c->padding,
                               .groups = 1,
                               .pad_mode = (lt_pad_mode)c->padding_mode,
                               .dilation = c->dilation};
    const lt_val w = lt_param(g, "conv1.weight", LT_SHAPE(c->width, lti_dim(g, x, 1), c->kernel, c->kernel));
    const lt_val b = c->bn ? LT_NONE : lt_param(g, "conv1.bias", LT_SHAPE(c->width));
    lt_val y = lt_conv2d(g, x, w, b, attr);
    if (c->bn)
        y = lti_bn(g, "bn1", y);
    y = lt_name(g, lt_relu(g, y), "stage1");
    return lti_linear(g, "linear", lt_flatten(g, y), n_classes);
}

const lti_arch lti_arch_single_conv = {.opts = opts, .head = "linear.weight", .build = build};
