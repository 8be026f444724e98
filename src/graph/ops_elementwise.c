// ops_elementwise.c - ReLU, sum, scaling, and the view that flattens.
#include "graph/graph_impl.h"

static lt_status unary_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                             lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    out[0] = in[0];
    out_dtype[0] = dtype[0];
    if (!lti_is_real(dtype[0]))
        return LT_FAIL(LT_E_SHAPE, "elementwise op on integers");
    return LT_OK;
}

static lt_status binary_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                              lt_dtype *out_dtype)
{
    LT_TRY(lti_want_shape("elementwise op", "second input", &in[1], &in[0]));
    return unary_infer(a, n_in, in, dtype, out, out_dtype);
}

static lt_status relu_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    lt_val y = g->node[node].out[0];
    if (need[0])
        din[0] = LTI_EMIT(g, relu_dx, LTI_ATTR(.alpha = 1), dout[0], y);
    return lt_graph_status(g);
}

// dx = alpha dy (y > 0): linear in dy with a diagonal matrix, so its adjoint is itself; constant in y almost
// everywhere.
static lt_status relu_dx_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0])
        din[0] = LTI_EMIT(g, relu_dx, &n.attr, dout[0], n.in[1]);
    return lt_graph_status(g);
}

static lt_status add_relu_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                   lt_dtype *out_dtype)
{
    LT_TRY(lti_want_shape("sum of gradients", "y", &in[2], &in[0]));
    return binary_infer(a, n_in, in, dtype, out, out_dtype);
}

// y = relu?(alpha (a + b)): both inputs get the same gradient.
static lt_status add_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    lt_val d = dout[0];
    if (n.attr.relu)
        d = LTI_EMIT(g, relu_dx, LTI_ATTR(.alpha = n.attr.alpha), d, n.out[0]);
    else if (n.attr.alpha != 1)
        d = LTI_EMIT(g, scale, LTI_ATTR(.alpha = n.attr.alpha), d);
    for (int i = 0; i < 2; i++)
        if (need[i])
            din[i] = d;
    return lt_graph_status(g);
}

static lt_status scale_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = g->node[node].attr;
    if (need[0])
        din[0] = LTI_EMIT(g, scale, &attr, dout[0]);
    return lt_graph_status(g);
}

enum { MAP = LT_OP_INPLACE0 | LT_OP_ELEMENTWISE };
const lt_op lt_op_relu = {"relu", 1, 1, 1, MAP, unary_infer, relu_vjp, NULL};
const lt_op lt_op_relu_dx = {"relu_dx", 2, 2, 1, MAP | LT_OP_LINEAR, binary_infer, relu_dx_vjp, NULL};
const lt_op lt_op_add = {"add", 2, 2, 1, MAP | LT_OP_LINEAR, binary_infer, add_vjp, NULL};
const lt_op lt_op_add_relu_dx = {"add_relu_dx", 3, 3, 1, MAP, add_relu_dx_infer, NULL, NULL};
const lt_op lt_op_scale = {"scale", 1, 1, 1, MAP | LT_OP_LINEAR, unary_infer, scale_vjp, NULL};

// ---- the same elements under another shape
static lt_status reshape_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                               lt_dtype *out_dtype)
{
    (void)n_in;
    char from[LTI_SHAPE_TEXT], to[LTI_SHAPE_TEXT];
    // With an open batch on both sides the counts are negative and still comparable.
    if (a->shape.n_dims < 1 || lti_shape_count(&a->shape) != lti_shape_count(&in[0]))
        return LT_FAIL(LT_E_SHAPE, "reshape: %s does not hold the elements of %s", lti_shape_text(&a->shape, to),
                       lti_shape_text(&in[0], from));
    out[0] = a->shape;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status reshape_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = {.shape = g->value[g->node[node].in[0]].shape};
    if (need[0])
        din[0] = LTI_EMIT(g, reshape, &attr, dout[0]);
    return lt_graph_status(g);
}

const lt_op lt_op_reshape = {"reshape", 1, 1, 1, LT_OP_VIEW | LT_OP_LINEAR, reshape_infer, reshape_vjp, NULL};
