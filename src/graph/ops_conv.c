// ops_conv.c - convolution, its two gradients, padding and channel sums: the linear maps of an image network.
//
// Convolution is bilinear in (x, w), so its three kernels are closed under differentiation: the gradient of each is
// made of the other two. Second and higher derivatives therefore need no kernel of their own.
//     y = conv2d(x, w)   dx = conv2d_dx(dy, w)   dw = conv2d_dw(x, dy)
//
// A plan may let the first two finish what they make, after the gradients are made (passes/fuse_late.c):
//     y = relu?(conv2d(x, w) + bias + r)   dx = (conv2d_dx(dy, w) + r?) where y > 0, y being what dx is the gradient of
#include "graph/graph_impl.h"

// y (N,K,H',W') of x (N,C,H,W) and w (K,C/groups,R,S): output channel k reads the channels of group k / (K/groups).
static lt_status conv_shape(const char *op, const lt_attr *a, const lt_shape *x, const lt_shape *w, lt_shape *y)
{
    LT_TRY(lti_want_dims(op, "x", x, 4));
    LT_TRY(lti_want_dims(op, "w", w, 4));
    if (a->groups < 1 || w->dim[0] % a->groups != 0)
        return LT_FAIL(LT_E_SHAPE, "%s: %d groups, expected a divisor of the %lld output channels", op, (int)a->groups,
                       (long long)w->dim[0]);
    if (a->stride < 1 || a->pad < 0 || a->dilation < 1)
        return LT_FAIL(LT_E_SHAPE, "%s: stride %d, padding %d and dilation %d, expected at least 1, 0 and 1", op,
                       (int)a->stride, (int)a->pad, (int)a->dilation);
    if (x->dim[1] != w->dim[1] * a->groups)
        return LT_FAIL(LT_E_SHAPE, "%s: x has %lld channels, w expects %lld", op, (long long)x->dim[1],
                       (long long)(w->dim[1] * a->groups));
    y->n_dims = 4;
    y->dim[0] = x->dim[0];
    y->dim[1] = w->dim[0];
    for (int i = 2; i < 4; i++) {
        const int64_t span = a->dilation * (w->dim[i] - 1) + 1, room = x->dim[i] + 2 * (int64_t)a->pad - span;
        if (room < 0)
            return LT_FAIL(LT_E_SHAPE, "%s: filter of %lld does not fit into %lld + 2*%d", op, (long long)span,
                           (long long)x->dim[i], (int)a->pad);
        y->dim[i] = room / a->stride + 1;
    }
    return LT_OK;
}

static lt_status conv2d_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                              lt_dtype *out_dtype)
{
    LT_TRY(conv_shape("conv2d", a, &in[0], &in[1], &out[0]));
    if (n_in >= 3)
        LT_TRY(lti_want_channels("conv2d", "bias", &in[2], in[1].dim[0]));
    if (n_in == 4)
        LT_TRY(lti_want_shape("conv2d", "residual", &in[3], &out[0]));
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status conv2d_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                 lt_dtype *out_dtype)
{
    lt_shape y;
    LT_TRY(conv_shape("conv2d_dx", a, &a->shape, &in[1], &y));
    LT_TRY(lti_want_shape("conv2d_dx", "dy", &in[0], &y));
    for (int i = 2; i < n_in; i++)
        LT_TRY(lti_want_shape("conv2d_dx", i == 2 ? "y" : "other gradient", &in[i], &a->shape));
    out[0] = a->shape;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status conv2d_dw_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                 lt_dtype *out_dtype)
{
    (void)n_in;
    lt_shape y;
    LT_TRY(conv_shape("conv2d_dw", a, &in[0], &a->shape, &y));
    LT_TRY(lti_want_shape("conv2d_dw", "dy", &in[1], &y));
    out[0] = a->shape;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

// The attributes of a gradient node: those of the convolution, a target shape, no fused ReLU.
static lt_attr grad_attr(const lt_attr *a, const lt_graph *g, lt_val like)
{
    lt_attr attr = *a;
    attr.relu = false;
    attr.shape = g->value[like].shape;
    return attr;
}

static lt_status conv2d_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (n.n_in == 4)
        LT_BUG("a residual is fused into a convolution after the gradient is made, not before");
    lt_val dy = dout[0];
    if (n.attr.relu)
        dy = LTI_EMIT(g, relu_dx, LTI_ATTR(.alpha = 1), dy, n.out[0]);
    if (need[1]) { // first: x may go before dx comes
        lt_attr attr = grad_attr(&n.attr, g, n.in[1]);
        din[1] = LTI_EMIT(g, conv2d_dw, &attr, n.in[0], dy);
    }
    if (need[0]) {
        lt_attr attr = grad_attr(&n.attr, g, n.in[0]);
        din[0] = LTI_EMIT(g, conv2d_dx, &attr, dy, n.in[1]);
    }
    if (n.n_in == 3 && need[2])
        din[2] = LTI_EMIT(g, channel_sum, NULL, dy);
    return lt_graph_status(g);
}

static lt_status conv2d_dx_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node]; // dy, w -> dx; linear in each: <dx, u> = <dy, conv2d(u, w)>
    if (n.n_in > 2)
        LT_BUG("a mask is fused into the gradient of a convolution after all gradients are made, not before");
    lt_attr attr = n.attr;
    if (need[0])
        din[0] = LTI_EMIT(g, conv2d, &attr, dout[0], n.in[1]);
    if (need[1]) {
        attr = grad_attr(&n.attr, g, n.in[1]);
        din[1] = LTI_EMIT(g, conv2d_dw, &attr, dout[0], n.in[0]);
    }
    return lt_graph_status(g);
}

static lt_status conv2d_dw_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node]; // x, dy -> dw; <dw, u> = <dy, conv2d(x, u)>
    lt_attr attr = n.attr;
    if (need[1])
        din[1] = LTI_EMIT(g, conv2d, &attr, n.in[0], dout[0]);
    if (need[0]) {
        attr = grad_attr(&n.attr, g, n.in[0]);
        din[0] = LTI_EMIT(g, conv2d_dx, &attr, n.in[1], dout[0]);
    }
    return lt_graph_status(g);
}

static double conv_flop(const lt_shape *y, const lt_shape *w)
{
    return 2.0 * (double)lti_shape_count(y) * (double)(w->dim[1] * w->dim[2] * w->dim[3]);
}

static double conv2d_flop(const lt_attr *a, int n_in, const lt_shape *in, const lt_shape *out)
{
    (void)a, (void)n_in;
    return conv_flop(&out[0], &in[1]);
}

static double conv2d_dx_flop(const lt_attr *a, int n_in, const lt_shape *in, const lt_shape *out)
{
    (void)a, (void)n_in, (void)out;
    return conv_flop(&in[0], &in[1]);
}

static double conv2d_dw_flop(const lt_attr *a, int n_in, const lt_shape *in, const lt_shape *out)
{
    (void)a, (void)n_in;
    return conv_flop(&in[1], &out[0]);
}

const lt_op lt_op_conv2d = {"conv2d", 2, 4, 1, LT_OP_LINEAR, conv2d_infer, conv2d_vjp, conv2d_flop};
const lt_op lt_op_conv2d_dx = {"conv2d_dx", 2, 4, 1, LT_OP_LINEAR, conv2d_dx_infer, conv2d_dx_vjp, conv2d_dx_flop};
const lt_op lt_op_conv2d_dw = {"conv2d_dw", 2, 2, 1, LT_OP_LINEAR, conv2d_dw_infer, conv2d_dw_vjp, conv2d_dw_flop};

// ---- padding and its adjoint
static lt_status check_pad(const char *op, const lt_attr *a, const lt_shape *plane)
{
    LT_TRY(lti_want_dims(op, "x", plane, 4));
    // A circular pad may use each pixel once, a reflection must not repeat the edge.
    for (int i = 2; i < 4; i++) {
        int64_t most = a->pad_mode == LT_PAD_ZERO       ? INT32_MAX
                       : a->pad_mode == LT_PAD_CIRCULAR ? plane->dim[i]
                                                        : plane->dim[i] - 1;
        if (a->pad < 0 || a->pad > most)
            return LT_FAIL(LT_E_SHAPE, "%s: padding %d of a side of %lld, expected 0 to %lld", op, (int)a->pad,
                           (long long)plane->dim[i], (long long)most);
    }
    return LT_OK;
}

static lt_status pad2d_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                             lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(check_pad("pad2d", a, &in[0]));
    out[0] = in[0];
    out[0].dim[2] += 2 * (int64_t)a->pad;
    out[0].dim[3] += 2 * (int64_t)a->pad;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status pad2d_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(lti_want_dims("pad2d_dx", "dy", &in[0], 4));
    out[0] = in[0];
    out[0].dim[2] -= 2 * (int64_t)a->pad;
    out[0].dim[3] -= 2 * (int64_t)a->pad;
    out_dtype[0] = dtype[0];
    return check_pad("pad2d_dx", a, &out[0]);
}

static lt_status pad2d_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = g->node[node].attr;
    if (need[0])
        din[0] = LTI_EMIT(g, pad2d_dx, &attr, dout[0]);
    return lt_graph_status(g);
}

static lt_status pad2d_dx_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = g->node[node].attr;
    if (need[0])
        din[0] = LTI_EMIT(g, pad2d, &attr, dout[0]);
    return lt_graph_status(g);
}

const lt_op lt_op_pad2d = {"pad2d", 1, 1, 1, LT_OP_LINEAR, pad2d_infer, pad2d_vjp, NULL};
const lt_op lt_op_pad2d_dx = {"pad2d_dx", 1, 1, 1, LT_OP_LINEAR, pad2d_dx_infer, pad2d_dx_vjp, NULL};

// ---- the gradient of a bias, and its adjoint
static lt_status channel_sum_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                   lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    if (in[0].n_dims != 2)
        LT_TRY(lti_want_dims("channel_sum", "x", &in[0], 4));
    out[0] = LT_SHAPE(in[0].dim[1]);
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status channel_broadcast_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype,
                                         lt_shape *out, lt_dtype *out_dtype)
{
    (void)n_in;
    if (a->shape.n_dims != 2)
        LT_TRY(lti_want_dims("channel_broadcast", "target", &a->shape, 4));
    LT_TRY(lti_want_channels("channel_broadcast", "b", &in[0], a->shape.dim[1]));
    out[0] = a->shape;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status channel_sum_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = {.shape = g->value[g->node[node].in[0]].shape};
    if (need[0])
        din[0] = LTI_EMIT(g, channel_broadcast, &attr, dout[0]);
    return lt_graph_status(g);
}

static lt_status channel_broadcast_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    (void)node;
    if (need[0])
        din[0] = LTI_EMIT(g, channel_sum, NULL, dout[0]);
    return lt_graph_status(g);
}

const lt_op lt_op_channel_sum = {"channel_sum", 1, 1, 1, LT_OP_LINEAR, channel_sum_infer, channel_sum_vjp, NULL};
const lt_op lt_op_channel_broadcast = {"channel_broadcast",   1,   1, 1, LT_OP_LINEAR, channel_broadcast_infer,
                                       channel_broadcast_vjp, NULL};
