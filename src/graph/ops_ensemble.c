// ops_ensemble.c - what losses over several models are made of: log-probabilities and their mean, cosines of rows, the
// diversity of ADP; and channels joined, for networks that aggregate.
#include "graph/graph_impl.h"

static lt_status same_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                            lt_dtype *out_dtype)
{
    (void)a;
    for (int i = 1; i < n_in; i++)
        LT_TRY(lti_want_shape("elementwise op", "input", &in[i], &in[0]));
    if (!lti_is_real(dtype[0]))
        return LT_FAIL(LT_E_SHAPE, "elementwise op on integers");
    out[0] = in[0];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status rows_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                            lt_dtype *out_dtype)
{
    LT_TRY(lti_want_dims("log_softmax", "logits", &in[0], 2));
    return same_infer(a, n_in, in, dtype, out, out_dtype);
}

// ---- y = log softmax(z); dz = dy - exp(y) sum(dy)
static lt_status log_softmax_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_val y = g->node[node].out[0];
    if (need[0])
        din[0] = LTI_EMIT(g, log_softmax_dx, NULL, dout[0], y);
    return lt_graph_status(g);
}

const lt_op lt_op_log_softmax = {"log_softmax", 1, 1, 1, 0, rows_infer, log_softmax_vjp, NULL};
const lt_op lt_op_log_softmax_dx = {"log_softmax_dx", 2, 2, 1, 0, rows_infer, NULL, NULL};

// ---- y = log(exp a + exp b); da = dy exp(a - y)
static lt_status log_add_exp_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    for (int i = 0; i < 2; i++)
        if (need[i])
            din[i] = LTI_EMIT(g, log_add_exp_da, NULL, dout[0], n.in[i], n.out[0]);
    return lt_graph_status(g);
}

const lt_op lt_op_log_add_exp = {"log_add_exp", 2, 2, 1, 0, same_infer, log_add_exp_vjp, NULL};
const lt_op lt_op_log_add_exp_da = {"log_add_exp_da", 3, 3, 1, 0, same_infer, NULL, NULL};

// ---- y = |x|; dx = dy sign(x)
static lt_status abs_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_val x = g->node[node].in[0];
    if (need[0])
        din[0] = LTI_EMIT(g, abs_dx, NULL, dout[0], x);
    return lt_graph_status(g);
}

const lt_op lt_op_abs = {"abs", 1, 1, 1, 0, same_infer, abs_vjp, NULL};
const lt_op lt_op_abs_dx = {"abs_dx", 2, 2, 1, 0, same_infer, NULL, NULL};

// ---- c (N) = <a, b> / (|a| |b|) of rows (N,K), 0 where one is 0; da = dc (b / (|a| |b|) - c a / |a|^2)
static lt_status row_cos_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                               lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("row_cos", "a", &in[0], 2));
    LT_TRY(lti_want_shape("row_cos", "b", &in[1], &in[0]));
    out[0] = LT_SHAPE(in[0].dim[0]);
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status row_cos_da_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                  lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("row_cos gradient", "a", &in[1], 2));
    LT_TRY(lti_want_shape("row_cos gradient", "b", &in[2], &in[1]));
    LT_TRY(lti_want_shape("row_cos gradient", "dc", &in[0], &LT_SHAPE(in[1].dim[0])));
    out[0] = in[1];
    out_dtype[0] = dtype[1];
    return LT_OK;
}

static lt_status row_cos_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    for (int i = 0; i < 2; i++)
        if (need[i])
            din[i] = LTI_EMIT(g, row_cos_da, NULL, dout[0], n.in[i], n.in[1 - i]);
    return lt_graph_status(g);
}

const lt_op lt_op_row_cos = {"row_cos", 2, 2, 1, 0, row_cos_infer, row_cos_vjp, NULL};
const lt_op lt_op_row_cos_da = {"row_cos_da", 3, 3, 1, 0, row_cos_da_infer, NULL, NULL};

// ---- ADP: l (N) = -alpha H(mean_i p_i) - beta log det(G + 1e-6 I) of the members' logits; G: Gram matrix of their
// probabilities without the label's, each of unit length. adp_dz: the gradient of member attr.kernel.
static lt_status check_members(const lt_shape *labels, lt_dtype dtype, const lt_shape *z, int n)
{
    for (int i = 0; i < n; i++) {
        LT_TRY(lti_want_dims("adp", "logits", &z[i], 2));
        LT_TRY(lti_want_shape("adp", "logits of a member", &z[i], &z[0]));
    }
    LT_TRY(lti_want_shape("adp", "labels", labels, &LT_SHAPE(z[0].dim[0])));
    return lti_want_i32("adp", "labels", dtype);
}

static lt_status adp_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                           lt_dtype *out_dtype)
{
    (void)a;
    LT_TRY(check_members(&in[0], dtype[0], in + 1, n_in - 1));
    out[0] = in[0];
    out_dtype[0] = dtype[1];
    return LT_OK;
}

static lt_status adp_dz_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                              lt_dtype *out_dtype)
{
    LT_TRY(check_members(&in[1], dtype[1], in + 2, n_in - 2));
    LT_TRY(lti_want_shape("adp gradient", "dl", &in[0], &in[1]));
    if (a->kernel < 0 || a->kernel >= n_in - 2)
        return LT_FAIL(LT_E_SHAPE, "adp gradient: member %d of %d", (int)a->kernel, n_in - 2);
    out[0] = in[2];
    out_dtype[0] = dtype[2];
    return LT_OK;
}

static lt_status adp_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    lt_val in[LT_NODE_MAX_IN] = {dout[0]};
    for (int i = 0; i < n.n_in; i++)
        in[1 + i] = n.in[i];
    for (int i = 1; i < n.n_in; i++) {
        lt_attr attr = n.attr;
        attr.kernel = i - 1;
        if (need[i])
            din[i] = lti_emit(g, &lt_op_adp_dz, &attr, n.n_in + 1, in, NULL);
    }
    return lt_graph_status(g);
}

const lt_op lt_op_adp = {"adp", 3, LT_NODE_MAX_IN - 1, 1, 0, adp_infer, adp_vjp, NULL};
const lt_op lt_op_adp_dz = {"adp_dz", 4, LT_NODE_MAX_IN, 1, 0, adp_dz_infer, NULL, NULL};

// ---- channels of a, then those of b; and the channels from attr.kernel on, as many as attr.shape has
static lt_status concat_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                              lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("concat", "a", &in[0], 4));
    LT_TRY(lti_want_dims("concat", "b", &in[1], 4));
    out[0] = in[0];
    out[0].dim[1] = in[1].dim[1];
    LT_TRY(lti_want_shape("concat", "b, but for its channels,", &in[1], &out[0]));
    out[0].dim[1] += in[0].dim[1];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status slice_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                             lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(lti_want_dims("channel_slice", "x", &in[0], 4));
    LT_TRY(lti_want_dims("channel_slice", "target shape", &a->shape, 4));
    if (a->kernel < 0 || a->kernel + a->shape.dim[1] > in[0].dim[1])
        return LT_FAIL(LT_E_SHAPE, "channel_slice: channels %d to %lld of %lld", (int)a->kernel,
                       (long long)(a->kernel + a->shape.dim[1]), (long long)in[0].dim[1]);
    out[0] = a->shape;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status concat_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    for (int i = 0, from = 0; i < 2; i++) {
        const lt_attr attr = {.kernel = from, .shape = g->value[n.in[i]].shape};
        if (need[i])
            din[i] = LTI_EMIT(g, channel_slice, &attr, dout[0]);
        from += (int)attr.shape.dim[1];
    }
    return lt_graph_status(g);
}

// The adjoint of a slice sets the other channels to zero.
static lt_status slice_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    const lti_value *x = &g->value[n.in[0]];
    lt_shape before = x->shape, after = x->shape;
    const lt_dtype dtype = x->dtype;
    before.dim[1] = n.attr.kernel;
    after.dim[1] = x->shape.dim[1] - n.attr.kernel - n.attr.shape.dim[1];
    if (!need[0])
        return LT_OK;
    lt_val d = dout[0];
    if (before.dim[1] > 0)
        d = LTI_EMIT(g, concat, NULL, lti_const(g, before, dtype, 0), d);
    if (after.dim[1] > 0)
        d = LTI_EMIT(g, concat, NULL, d, lti_const(g, after, dtype, 0));
    din[0] = d;
    return lt_graph_status(g);
}

const lt_op lt_op_concat = {"concat", 2, 2, 1, 0, concat_infer, concat_vjp, NULL};
const lt_op lt_op_channel_slice = {"channel_slice", 1, 1, 1, LT_OP_LINEAR, slice_infer, slice_vjp, NULL};

// ---- builders
lt_val lt_log_softmax(lt_graph *g, lt_val logits)
{
    return LTI_EMIT(g, log_softmax, NULL, logits);
}

lt_val lt_concat(lt_graph *g, lt_val a, lt_val b)
{
    return LTI_EMIT(g, concat, NULL, a, b);
}

lt_val lt_pad_channels(lt_graph *g, lt_val x, int64_t before, int64_t after)
{
    if (g->error.status != LT_OK || x < 0 || x >= g->n_values)
        return LT_NONE;
    lt_shape zeros = g->value[x].shape;
    const lt_dtype dtype = g->value[x].dtype;
    zeros.dim[1] = before;
    if (before > 0)
        x = lt_concat(g, lti_const(g, zeros, dtype, 0), x);
    zeros.dim[1] = after;
    if (after > 0)
        x = lt_concat(g, x, lti_const(g, zeros, dtype, 0));
    return x;
}
