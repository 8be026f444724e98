// ops_linear.c - the fully connected layer and the small bilinear ops around scalars and rows.
//
// y = x w' + b is bilinear in (x, w): like convolution its three kernels are closed under differentiation.
#include "graph/graph_impl.h"

static lt_status linear_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                              lt_dtype *out_dtype)
{
    (void)a;
    LT_TRY(lti_want_dims("linear", "x", &in[0], 2));
    LT_TRY(lti_want_dims("linear", "w", &in[1], 2));
    if (in[0].dim[1] != in[1].dim[1])
        return LT_FAIL(LT_E_SHAPE, "linear: x has %lld features, w expects %lld", (long long)in[0].dim[1],
                       (long long)in[1].dim[1]);
    if (n_in == 3)
        LT_TRY(lti_want_channels("linear", "bias", &in[2], in[1].dim[0]));
    out[0] = LT_SHAPE(in[0].dim[0], in[1].dim[0]);
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status linear_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                 lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("linear_dx", "dy", &in[0], 2));
    LT_TRY(lti_want_dims("linear_dx", "w", &in[1], 2));
    LT_TRY(lti_want_shape("linear_dx", "dy", &in[0], &LT_SHAPE(in[0].dim[0], in[1].dim[0])));
    out[0] = LT_SHAPE(in[0].dim[0], in[1].dim[1]);
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status linear_dw_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                 lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("linear_dw", "x", &in[0], 2));
    LT_TRY(lti_want_dims("linear_dw", "dy", &in[1], 2));
    LT_TRY(lti_want_shape("linear_dw", "dy", &in[1], &LT_SHAPE(in[0].dim[0], in[1].dim[1])));
    out[0] = LT_SHAPE(in[1].dim[1], in[0].dim[1]);
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status linear_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0])
        din[0] = LTI_EMIT(g, linear_dx, NULL, dout[0], n.in[1]);
    if (need[1])
        din[1] = LTI_EMIT(g, linear_dw, NULL, n.in[0], dout[0]);
    if (n.n_in == 3 && need[2])
        din[2] = LTI_EMIT(g, channel_sum, NULL, dout[0]);
    return lt_graph_status(g);
}

static lt_status linear_dx_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node]; // dy, w -> dx
    if (need[0])
        din[0] = LTI_EMIT(g, linear, NULL, dout[0], n.in[1]);
    if (need[1])
        din[1] = LTI_EMIT(g, linear_dw, NULL, dout[0], n.in[0]);
    return lt_graph_status(g);
}

static lt_status linear_dw_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node]; // x, dy -> dw
    if (need[0])
        din[0] = LTI_EMIT(g, linear_dx, NULL, n.in[1], dout[0]);
    if (need[1])
        din[1] = LTI_EMIT(g, linear, NULL, n.in[0], dout[0]);
    return lt_graph_status(g);
}

static double linear_flop(const lt_attr *a, int n_in, const lt_shape *in, const lt_shape *out)
{
    (void)a, (void)n_in;
    return 2.0 * (double)lti_shape_count(&out[0]) * (double)in[0].dim[1];
}

static double linear_dx_flop(const lt_attr *a, int n_in, const lt_shape *in, const lt_shape *out)
{
    (void)a, (void)n_in;
    return 2.0 * (double)lti_shape_count(&out[0]) * (double)in[0].dim[1];
}

static double linear_dw_flop(const lt_attr *a, int n_in, const lt_shape *in, const lt_shape *out)
{
    (void)a, (void)n_in;
    return 2.0 * (double)lti_shape_count(&out[0]) * (double)in[0].dim[0];
}

const lt_op lt_op_linear = {"linear", 2, 3, 1, LT_OP_LINEAR, linear_infer, linear_vjp, linear_flop};
const lt_op lt_op_linear_dx = {"linear_dx", 2, 2, 1, LT_OP_LINEAR, linear_dx_infer, linear_dx_vjp, linear_dx_flop};
const lt_op lt_op_linear_dw = {"linear_dw", 2, 2, 1, LT_OP_LINEAR, linear_dw_infer, linear_dw_vjp, linear_dw_flop};

// ---- scalars: s = sum_n weight[n] x[n], s = <a, b>, and products with a scalar
static const lt_shape scalar = {1, {1}};

static lt_status weighted_sum_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype,
                                    lt_shape *out, lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("weighted_sum", "x", &in[0], 1));
    LT_TRY(lti_want_shape("weighted_sum", "weight", &in[1], &in[0]));
    out[0] = scalar;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status scale_rows_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                  lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_shape("scale_rows", "s", &in[0], &scalar));
    LT_TRY(lti_want_dims("scale_rows", "weight", &in[1], 1));
    out[0] = in[1];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status dot_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                           lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_shape("dot", "b", &in[1], &in[0]));
    out[0] = scalar;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status scale_by_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_shape("scale_by", "s", &in[0], &scalar));
    out[0] = in[1];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

// Sums of products: d a = ds b, d b = ds a, as a product with the scalar (or rows) ds.
static lt_status sum_vjp(lt_graph *g, const lt_node *n, const lt_op *product, lt_val ds, const bool *need, lt_val *din)
{
    for (int i = 0; i < 2; i++)
        if (need[i])
            din[i] = lti_emit(g, product, NULL, 2, (lt_val[]){ds, n->in[1 - i]}, NULL);
    return lt_graph_status(g);
}

// Products s b: d s = sum u b, d b = s u.
static lt_status product_vjp(lt_graph *g, const lt_node *n, const lt_op *sum, lt_val u, const bool *need, lt_val *din)
{
    if (need[0])
        din[0] = lti_emit(g, sum, NULL, 2, (lt_val[]){u, n->in[1]}, NULL);
    if (need[1])
        din[1] = lti_emit(g, n->op, NULL, 2, (lt_val[]){n->in[0], u}, NULL);
    return lt_graph_status(g);
}

static lt_status weighted_sum_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    return sum_vjp(g, &n, &lt_op_scale_rows, dout[0], need, din);
}

static lt_status scale_rows_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    return product_vjp(g, &n, &lt_op_weighted_sum, dout[0], need, din);
}

static lt_status dot_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    return sum_vjp(g, &n, &lt_op_scale_by, dout[0], need, din);
}

static lt_status scale_by_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    return product_vjp(g, &n, &lt_op_dot, dout[0], need, din);
}

const lt_op lt_op_weighted_sum = {"weighted_sum", 2, 2, 1, LT_OP_LINEAR, weighted_sum_infer, weighted_sum_vjp, NULL};
const lt_op lt_op_scale_rows = {"scale_rows", 2, 2, 1, LT_OP_LINEAR, scale_rows_infer, scale_rows_vjp, NULL};
const lt_op lt_op_dot = {"dot", 2, 2, 1, LT_OP_LINEAR, dot_infer, dot_vjp, NULL};
const lt_op lt_op_scale_by = {"scale_by", 2, 2, 1, LT_OP_LINEAR, scale_by_infer, scale_by_vjp, NULL};

// ---- rows: y[n,k] = s[n] x[n,k] and s[n] = sum_k a[n,k] b[n,k]
static lt_status mul_rows_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("mul_rows", "x", &in[1], 2));
    LT_TRY(lti_want_shape("mul_rows", "s", &in[0], &LT_SHAPE(in[1].dim[0])));
    out[0] = in[1];
    out_dtype[0] = dtype[1];
    return LT_OK;
}

static lt_status row_dot_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                               lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("row_dot", "a", &in[0], 2));
    LT_TRY(lti_want_shape("row_dot", "b", &in[1], &in[0]));
    out[0] = LT_SHAPE(in[0].dim[0]);
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status mul_rows_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    return product_vjp(g, &n, &lt_op_row_dot, dout[0], need, din);
}

static lt_status row_dot_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    return sum_vjp(g, &n, &lt_op_mul_rows, dout[0], need, din);
}

const lt_op lt_op_mul_rows = {"mul_rows", 2, 2, 1, LT_OP_LINEAR, mul_rows_infer, mul_rows_vjp, NULL};
const lt_op lt_op_row_dot = {"row_dot", 2, 2, 1, LT_OP_LINEAR, row_dot_infer, row_dot_vjp, NULL};
