// ops_pool.c - average, maximum and global average pooling. No padding; windows that do not fit are dropped (floor).
//
// max_pool keeps the position of each maximum; its gradient scatters to it, and the gradient of that gathers from it.
#include "graph/graph_impl.h"

static lt_status pool_shape(const char *op, const lt_attr *a, const lt_shape *x, lt_shape *y)
{
    LT_TRY(lti_want_dims(op, "x", x, 4));
    if (a->kernel < 1 || a->stride < 1 || a->kernel > x->dim[2] || a->kernel > x->dim[3])
        return LT_FAIL(LT_E_SHAPE, "%s: window %d with stride %d on %lldx%lld", op, (int)a->kernel, (int)a->stride,
                       (long long)x->dim[2], (long long)x->dim[3]);
    *y = *x;
    y->dim[2] = (x->dim[2] - a->kernel) / a->stride + 1;
    y->dim[3] = (x->dim[3] - a->kernel) / a->stride + 1;
    return LT_OK;
}

static lt_status avg_pool_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                lt_dtype *out_dtype)
{
    (void)n_in;
    out_dtype[0] = dtype[0];
    return pool_shape("avg_pool", a, &in[0], &out[0]);
}

static lt_status max_pool_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(pool_shape("max_pool", a, &in[0], &out[0]));
    out[1] = out[0];
    out_dtype[0] = dtype[0];
    out_dtype[1] = LT_I32;
    return LT_OK;
}

static lt_status pool_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                               lt_dtype *out_dtype)
{
    lt_shape y;
    LT_TRY(pool_shape("pooling gradient", a, &a->shape, &y));
    LT_TRY(lti_want_shape("pooling gradient", "dy", &in[0], &y));
    if (n_in == 2) {
        LT_TRY(lti_want_shape("pooling gradient", "index", &in[1], &y));
        LT_TRY(lti_want_i32("pooling gradient", "index", dtype[1]));
    }
    out[0] = a->shape;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status max_pool_at_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                   lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(pool_shape("max_pool_at", a, &in[0], &out[0]));
    LT_TRY(lti_want_shape("max_pool_at", "index", &in[1], &out[0]));
    out_dtype[0] = dtype[0];
    return lti_want_i32("max_pool_at", "index", dtype[1]);
}

// The attributes of a gradient node: the window, and the shape of x.
static lt_attr grad_attr(const lt_graph *g, const lt_node *n)
{
    lt_attr attr = n->attr;
    attr.shape = g->value[n->in[0]].shape;
    return attr;
}

static lt_status avg_pool_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = grad_attr(g, &g->node[node]);
    if (need[0])
        din[0] = LTI_EMIT(g, avg_pool_dx, &attr, dout[0]);
    return lt_graph_status(g);
}

static lt_status avg_pool_dx_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = g->node[node].attr;
    if (need[0])
        din[0] = LTI_EMIT(g, avg_pool, &attr, dout[0]);
    return lt_graph_status(g);
}

// max_pool and max_pool_at: both read x at the index.
static lt_status max_pool_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    const lt_attr attr = grad_attr(g, &n);
    lt_val index = n.n_out == 2 ? n.out[1] : n.in[1];
    if (need[0])
        din[0] = LTI_EMIT(g, max_pool_dx, &attr, dout[0], index);
    return lt_graph_status(g);
}

static lt_status max_pool_dx_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0])
        din[0] = LTI_EMIT(g, max_pool_at, &n.attr, dout[0], n.in[1]);
    return lt_graph_status(g);
}

const lt_op lt_op_avg_pool = {"avg_pool", 1, 1, 1, LT_OP_LINEAR, avg_pool_infer, avg_pool_vjp, NULL};
const lt_op lt_op_avg_pool_dx = {"avg_pool_dx", 1, 1, 1, LT_OP_LINEAR, pool_dx_infer, avg_pool_dx_vjp, NULL};
const lt_op lt_op_max_pool = {"max_pool", 1, 1, 2, 0, max_pool_infer, max_pool_vjp, NULL};
const lt_op lt_op_max_pool_dx = {"max_pool_dx", 2, 2, 1, LT_OP_LINEAR, pool_dx_infer, max_pool_dx_vjp, NULL};
const lt_op lt_op_max_pool_at = {"max_pool_at", 2, 2, 1, LT_OP_LINEAR, max_pool_at_infer, max_pool_vjp, NULL};

// ---- (N,C,H,W) -> (N,C)
static lt_status global_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                              lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("global_avg_pool", "x", &in[0], 4));
    out[0] = LT_SHAPE(in[0].dim[0], in[0].dim[1]);
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status global_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                 lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(lti_want_dims("global_avg_pool_dx", "target", &a->shape, 4));
    LT_TRY(lti_want_shape("global_avg_pool_dx", "dy", &in[0], &LT_SHAPE(a->shape.dim[0], a->shape.dim[1])));
    out[0] = a->shape;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status global_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = grad_attr(g, &g->node[node]);
    if (need[0])
        din[0] = LTI_EMIT(g, global_avg_pool_dx, &attr, dout[0]);
    return lt_graph_status(g);
}

static lt_status global_dx_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    (void)node;
    if (need[0])
        din[0] = LTI_EMIT(g, global_avg_pool, NULL, dout[0]);
    return lt_graph_status(g);
}

const lt_op lt_op_global_avg_pool = {"global_avg_pool", 1, 1, 1, LT_OP_LINEAR, global_infer, global_vjp, NULL};
const lt_op lt_op_global_avg_pool_dx = {"global_avg_pool_dx", 1,   1, 1, LT_OP_LINEAR, global_dx_infer,
                                        global_dx_vjp,        NULL};
