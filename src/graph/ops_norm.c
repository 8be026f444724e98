// ops_norm.c - batch normalisation (Ioffe & Szegedy, 2015) in its modes, its folding into filters, input normalisation.
//
// `bn` is what builders emit: it has no mode. A plan replaces it by bn_train (batch statistics, running ones updated)
// or bn_eval (running statistics). bn_eval is an affine map per channel, so its gradient can be differentiated again
// with the same two ops; that of bn_train is refused (LT_E_UNSUPPORTED). In formulas istd = 1/sqrt(var + eps),
// xhat = (x - mean) * istd, m = mask of the fused ReLU (1 without it).
#include "graph/graph_impl.h"

// x (N,C) or (N,C,H,W), n_channel vectors (C) from in[first].
static lt_status check_bn(const char *op, const lt_attr *a, const lt_shape *in, int first, int n_channel)
{
    if (in[0].n_dims != 2)
        LT_TRY(lti_want_dims(op, "x", &in[0], 4));
    for (int i = first; i < first + n_channel; i++)
        LT_TRY(lti_want_channels(op, "per-channel input", &in[i], in[0].dim[1]));
    if (!(a->eps > 0))
        return LT_FAIL(LT_E_SHAPE, "%s: eps is %g, expected a positive number", op, (double)a->eps);
    return LT_OK;
}

static lt_status bn_eval_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                               lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(check_bn("batch norm", a, in, 1, 4));
    out[0] = in[0];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status bn_train_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                lt_dtype *out_dtype)
{
    LT_TRY(bn_eval_infer(a, n_in, in, dtype, out, out_dtype));
    if (n_in == 6)
        LT_TRY(lti_want_shape("batch norm", "residual", &in[5], &in[0]));
    int64_t n = in[0].dim[0]; // still LT_BATCH outside plans
    for (int i = 2; i < in[0].n_dims; i++)
        n *= in[0].dim[i];
    if (n == 1)
        return LT_FAIL(LT_E_SHAPE, "batch norm in training mode: one value per channel, expected at least 2 (a larger "
                                   "batch or image)");
    out[1] = out[2] = LT_SHAPE(in[0].dim[1]);
    out_dtype[1] = out_dtype[2] = dtype[0];
    return LT_OK;
}

// The same in shapes, without statistics to make.
static lt_status bn_apply_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                lt_dtype *out_dtype)
{
    if (n_in == 6)
        LT_TRY(lti_want_shape("batch norm", "residual", &in[5], &in[0]));
    return bn_eval_infer(a, n_in, in, dtype, out, out_dtype);
}

static lt_status bn_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                             lt_dtype *out_dtype)
{
    LT_TRY(check_bn("batch norm gradient", a, in, 2, 3));
    LT_TRY(lti_want_shape("batch norm gradient", "dy", &in[1], &in[0]));
    if (a->relu != (n_in == 6))
        return LT_FAIL(LT_E_SHAPE, "batch norm gradient: expected a mask exactly when a ReLU is fused");
    out[0] = in[0];
    out[1] = out[2] = LT_SHAPE(in[0].dim[1]);
    out_dtype[0] = out_dtype[1] = out_dtype[2] = dtype[0];
    return LT_OK;
}

static lt_status bn_eval_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                  lt_dtype *out_dtype)
{
    if (n_in == 6)
        LT_TRY(lti_want_shape("batch norm gradient", "y", &in[5], &in[0]));
    return bn_dx_infer(a, n_in, in, dtype, out, out_dtype);
}

// The mask of the ReLU is a function of x, so y need not be kept.
static lt_status bn_train_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                   lt_dtype *out_dtype)
{
    LT_TRY(bn_dx_infer(a, n_in, in, dtype, out, out_dtype));
    return n_in == 6 ? lti_want_channels("batch norm gradient", "beta", &in[5], in[0].dim[1]) : LT_OK;
}

static lt_status bn_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    (void)dout, (void)need, (void)din;
    char text[128];
    lti_node_text(g, node, text, sizeof text);
    LT_FAIL(LT_E_UNSUPPORTED, "%s: batch norm has no gradient before its mode is chosen", text);
    return lt_error_hint("let lt_plan_create make the gradient: a plan knows its mode");
}

static lt_status bn_train_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (dout[1] != LT_NONE || dout[2] != LT_NONE) {
        char text[128];
        lti_node_text(g, node, text, sizeof text);
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: the batch statistics cannot be differentiated", text);
    }
    if (n.n_in == 6)
        LT_BUG("a residual is fused into batch norm after the gradient is made, not before");
    lt_val d[3];
    lti_emit(g, &lt_op_bn_train_dx, &n.attr, 6,
             (lt_val[]){n.in[0], dout[0], n.in[1], n.out[1], n.out[2], n.attr.relu ? n.in[2] : LT_NONE}, d);
    for (int i = 0; i < 3; i++)
        if (need[i])
            din[i] = d[i];
    return lt_graph_status(g);
}

static lt_status bn_eval_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    lt_val d[3];
    lti_emit(g, &lt_op_bn_eval_dx, &n.attr, 6,
             (lt_val[]){n.in[0], dout[0], n.in[1], n.in[3], n.in[4], n.attr.relu ? n.out[0] : LT_NONE}, d);
    for (int i = 0; i < 3; i++)
        if (need[i])
            din[i] = d[i];
    return lt_graph_status(g);
}

static lt_val add_to(lt_graph *g, lt_val sum, lt_val term)
{
    return sum == LT_NONE ? term : LTI_EMIT(g, add, LTI_ATTR(.alpha = 1), sum, term);
}

// bn_eval_dx: dx = m dy gamma istd, dgamma = sum m dy xhat, dbeta = sum m dy. With cotangents u, ug, ub:
//     d dy = m (u gamma istd + ug xhat + ub),  d gamma = istd sum m dy u,  d x = m dy ug istd
// Each term is one of the two ops again with other per-channel vectors.
static lt_status bn_eval_dx_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node]; // x, dy, gamma, rm, rv, [y]
    lt_val x = n.in[0], dy = n.in[1], gamma = n.in[2], rm = n.in[3], rv = n.in[4], y = n.n_in == 6 ? n.in[5] : LT_NONE;
    lt_val u = dout[0], ug = dout[1], ub = dout[2], d[3];
    lt_dtype dtype = g->value[x].dtype;
    lt_val zero = lti_const(g, g->value[gamma].shape, dtype, 0);
    if (need[1]) {
        if (u != LT_NONE)
            din[1] = LTI_EMIT(g, bn_eval_dx, &n.attr, x, u, gamma, rm, rv, y);
        if (ug != LT_NONE || ub != LT_NONE) {
            lt_attr attr = n.attr;
            attr.relu = false;
            lt_val affine =
                LTI_EMIT(g, bn_eval, &attr, x, ug != LT_NONE ? ug : zero, ub != LT_NONE ? ub : zero, rm, rv);
            if (y != LT_NONE)
                affine = LTI_EMIT(g, relu_dx, LTI_ATTR(.alpha = 1), affine, y);
            din[1] = add_to(g, din[1], affine);
        }
    }
    if (need[2] && u != LT_NONE) {
        lti_emit(g, &lt_op_bn_eval_dx, &n.attr, 6, (lt_val[]){u, dy, gamma, zero, rv, y}, d);
        din[2] = d[1];
    }
    if (need[0] && ug != LT_NONE)
        din[0] = LTI_EMIT(g, bn_eval_dx, &n.attr, x, dy, ug, rm, rv, y);
    return lt_graph_status(g);
}

// bn_train_dx without a ReLU: dx = gamma istd P(dy) with P(v) = v - mean(v) - xhat mean(v xhat), which is its own
// adjoint: d dy = gamma istd P(u). The rest is an op of its own. The statistics are functions of x.
static lt_status bn_train_dx_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node]; // x, dy, gamma, mean, istd
    lt_val d[3], e[2];
    if (n.n_in == 6 || dout[1] != LT_NONE || dout[2] != LT_NONE) {
        char text[128];
        lti_node_text(g, node, text, sizeof text);
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: only the gradient of its input can be differentiated again", text);
    }
    if (need[1]) {
        lti_emit(g, &lt_op_bn_train_dx, &n.attr, 5, (lt_val[]){n.in[0], dout[0], n.in[2], n.in[3], n.in[4]}, d);
        din[1] = d[0];
    }
    if (need[0] || need[2]) {
        lti_emit(g, &lt_op_bn_train_dx2, &n.attr, 6, (lt_val[]){n.in[0], n.in[1], dout[0], n.in[2], n.in[3], n.in[4]},
                 e);
        din[0] = need[0] ? e[0] : LT_NONE;
        din[2] = need[2] ? e[1] : LT_NONE;
    }
    return lt_graph_status(g);
}

static lt_status bn_train_dx2_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype,
                                    lt_shape *out, lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(check_bn("second derivative of batch norm", a, in, 3, 3));
    LT_TRY(lti_want_shape("second derivative of batch norm", "dy", &in[1], &in[0]));
    LT_TRY(lti_want_shape("second derivative of batch norm", "u", &in[2], &in[0]));
    out[0] = in[0];
    out[1] = LT_SHAPE(in[0].dim[1]);
    out_dtype[0] = out_dtype[1] = dtype[0];
    return LT_OK;
}

const lt_op lt_op_bn_train_dx2 = {"bn_train_dx2", 6, 6, 2, 0, bn_train_dx2_infer, NULL, NULL};
const lt_op lt_op_bn = {"bn", 5, 5, 1, 0, bn_eval_infer, bn_vjp, NULL};
const lt_op lt_op_bn_train = {"bn_train", 5, 6, 3, LT_OP_SIDE_EFFECT, bn_train_infer, bn_train_vjp, NULL};
const lt_op lt_op_bn_apply = {"bn_apply", 5, 6, 1, 0, bn_apply_infer, NULL, NULL};
const lt_op lt_op_bn_train_dx = {"bn_train_dx", 5, 6, 3, LT_OP_INPLACE0, bn_train_dx_infer, bn_train_dx_vjp, NULL};
const lt_op lt_op_bn_eval = {"bn_eval", 5, 5, 1, LT_OP_INPLACE0 | LT_OP_LINEAR, bn_eval_infer, bn_eval_vjp, NULL};
const lt_op lt_op_bn_eval_dx = {"bn_eval_dx", 5, 6, 3, 0, bn_eval_dx_infer, bn_eval_dx_vjp, NULL};

// ---- w' = w gamma istd, b' = beta + (bias - rm) gamma istd
static lt_status bn_fold_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                               lt_dtype *out_dtype)
{
    LT_TRY(lti_want_dims("bn_fold", "w", &in[0], 4));
    for (int i = 1; i < n_in; i++)
        LT_TRY(lti_want_channels("bn_fold", "per-channel input", &in[i], in[0].dim[0]));
    if (!(a->eps > 0))
        return LT_FAIL(LT_E_SHAPE, "bn_fold: eps is %g, expected a positive number", (double)a->eps);
    out[0] = in[0];
    out[1] = LT_SHAPE(in[0].dim[0]);
    out_dtype[0] = out_dtype[1] = dtype[0];
    return LT_OK;
}

const lt_op lt_op_bn_fold = {"bn_fold", 5, 6, 2, 0, bn_fold_infer, NULL, NULL};

// ---- input normalisation with constants of the model
static lt_status normalize_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                 lt_dtype *out_dtype)
{
    (void)n_in;
    if (!a->mean || !a->istd)
        LT_BUG("normalize without constants");
    LT_TRY(lti_want_dims("normalize", "x", &in[0], 4));
    out[0] = in[0];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status normalize_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = g->node[node].attr; // dx = dy * istd, which is its own adjoint
    if (need[0])
        din[0] = LTI_EMIT(g, normalize_dx, &attr, dout[0]);
    return lt_graph_status(g);
}

const lt_op lt_op_normalize = {
    "normalize", 1, 1, 1, LT_OP_INPLACE0 | LT_OP_ELEMENTWISE | LT_OP_LINEAR, normalize_infer, normalize_vjp, NULL};
const lt_op lt_op_normalize_dx = {
    "normalize_dx", 1, 1, 1, LT_OP_INPLACE0 | LT_OP_ELEMENTWISE | LT_OP_LINEAR, normalize_infer, normalize_vjp, NULL};
