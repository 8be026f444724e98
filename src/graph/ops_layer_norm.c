// ops_layer_norm.c - layer normalisation without parameters (Ba et al., 2016) and dropout (Srivastava et al., 2014).
//
// Both treat rows independently of the batch. Dropout has no generator: its mask is a function of a counter in the
// state slab, which training plans count up, of the layer's seed and of the element, so interrupted and resumed
// training draw the same masks.
#include "graph/graph_impl.h"

static lt_status norm_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                            lt_dtype *out_dtype)
{
    (void)n_in;
    if (!(a->eps > 0))
        return LT_FAIL(LT_E_SHAPE, "layer norm: eps is %g, expected a positive number", (double)a->eps);
    if (in[0].n_dims < 2)
        return LT_FAIL(LT_E_SHAPE, "layer norm: expected rows of more than one dimension");
    out[0] = in[0];
    out[1] = LT_SHAPE(in[0].dim[0]);
    out_dtype[0] = out_dtype[1] = dtype[0];
    return LT_OK;
}

static lt_status norm_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                               lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_shape("layer norm gradient", "y", &in[1], &in[0]));
    LT_TRY(lti_want_channels("layer norm gradient", "istd", &in[2], in[0].dim[0]));
    out[0] = in[0];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status norm_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (dout[1] != LT_NONE)
        return LT_FAIL(LT_E_UNSUPPORTED, "layer norm: the statistics cannot be differentiated");
    if (need[0])
        din[0] = LTI_EMIT(g, layer_norm_dx, &n.attr, dout[0], n.out[0], n.out[1]);
    return lt_graph_status(g);
}

const lt_op lt_op_layer_norm = {"layer_norm", 1, 1, 2, 0, norm_infer, norm_vjp, NULL};
const lt_op lt_op_layer_norm_dx = {"layer_norm_dx", 3, 3, 1, 0, norm_dx_infer, NULL, NULL};

// ---- dropout
static lt_status dropout_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                               lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(lti_want_channels("dropout", "counter", &in[1], 1));
    if (!(a->p >= 0 && a->p < 1))
        return LT_FAIL(LT_E_SHAPE, "dropout: probability %g, expected 0 <= p < 1", (double)a->p);
    out[0] = in[0];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status dropout_train_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype,
                                     lt_shape *out, lt_dtype *out_dtype)
{
    LT_TRY(dropout_infer(a, n_in, in, dtype, out, out_dtype));
    out[1] = LT_SHAPE(1);
    out_dtype[1] = dtype[0];
    return LT_OK;
}

static lt_status no_mode_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    (void)g, (void)node, (void)dout, (void)need, (void)din;
    LT_FAIL(LT_E_UNSUPPORTED, "dropout has no gradient before its mode is chosen");
    return lt_error_hint("let lt_plan_create make the gradient: a plan knows its mode");
}

static lt_status dropout_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0])
        din[0] = LTI_EMIT(g, dropout_dx, &n.attr, dout[0], n.out[1]);
    return lt_graph_status(g);
}

const lt_op lt_op_dropout = {"dropout", 2, 2, 1, 0, dropout_infer, no_mode_vjp, NULL};
const lt_op lt_op_dropout_train = {"dropout_train", 2, 2, 2, LT_OP_SIDE_EFFECT, dropout_train_infer, dropout_vjp, NULL};
const lt_op lt_op_dropout_dx = {"dropout_dx", 2, 2, 1, LT_OP_INPLACE0, dropout_infer, NULL, NULL};

// ---- builders
lt_val lt_layer_normalize(lt_graph *g, lt_val x, float eps)
{
    return LTI_EMIT(g, layer_norm, LTI_ATTR(.eps = eps), x);
}

lt_val lt_dropout(lt_graph *g, lt_val x, lt_val counter, float p, uint64_t seed)
{
    if (g->error.status == LT_OK && (counter < 0 || counter >= g->n_values || g->value[counter].role != LT_ROLE_STATE))
        lti_graph_fail(g, LT_FAIL(LT_E_USAGE, "dropout: the counter must be a value made by lt_state"));
    return LTI_EMIT(g, dropout, LTI_ATTR(.p = p, .seed = seed), x, counter);
}
