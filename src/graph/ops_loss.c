// ops_loss.c - per-sample losses on logits (N,K), and softmax.
//
// A loss keeps the probabilities it computed; its gradient is dl * (p - target) and reads them. Because the
// probabilities are an output with a gradient of their own (softmax_dx), the loss can be differentiated twice.
// Targets, labels and teacher logits are constants even where they are computed: no gradient flows into them. [Hinton,
// Vinyals, Dean 2015] for the T^2 in kl.
#include "graph/graph_impl.h"

static lt_status check_rows(const char *op, const char *what, const lt_shape *s, const lt_shape *logits)
{
    lt_shape rows = LT_SHAPE(logits->dim[0]);
    return lti_want_shape(op, what, s, &rows);
}

static lt_status check_labels(const char *op, const lt_shape *s, lt_dtype dtype, const lt_shape *logits)
{
    LT_TRY(check_rows(op, "labels", s, logits));
    return lti_want_i32(op, "labels", dtype);
}

static lt_status softmax_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                               lt_dtype *out_dtype)
{
    (void)a;
    LT_TRY(lti_want_dims("softmax", "logits", &in[0], 2));
    if (n_in == 2)
        LT_TRY(lti_want_shape("softmax_dx", "p", &in[1], &in[0]));
    out[0] = in[0];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status softmax_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    lt_val p = g->node[node].out[0];
    if (need[0])
        din[0] = LTI_EMIT(g, softmax_dx, NULL, dout[0], p);
    return lt_graph_status(g);
}

static lt_status softmax_dx_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node]; // dz = p (dy - <dy, p>): symmetric in dy
    if (need[1])
        return lti_no_second(g, node, 1);
    if (need[0])
        din[0] = LTI_EMIT(g, softmax_dx, NULL, dout[0], n.in[1]);
    return lt_graph_status(g);
}

const lt_op lt_op_softmax = {"softmax", 1, 1, 1, 0, softmax_infer, softmax_vjp, NULL};
const lt_op lt_op_softmax_dx = {"softmax_dx", 2, 2, 1, LT_OP_LINEAR, softmax_infer, softmax_dx_vjp, NULL};

// ---- ce, ce_soft, kl: l (N) and probabilities (N,K)
static lt_status ce_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                          lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(lti_want_dims("cross entropy", "logits", &in[0], 2));
    LT_TRY(check_labels("cross entropy", &in[1], dtype[1], &in[0]));
    if (!(a->smoothing >= 0 && a->smoothing < 1))
        return LT_FAIL(LT_E_SHAPE, "cross entropy: smoothing %g, expected 0 <= smoothing < 1", (double)a->smoothing);
    out[0] = in[1];
    out[1] = in[0];
    out_dtype[0] = out_dtype[1] = dtype[0];
    return LT_OK;
}

static lt_status soft_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                            lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("cross entropy", "logits", &in[0], 2));
    LT_TRY(lti_want_shape("cross entropy", "target", &in[1], &in[0]));
    out[0] = LT_SHAPE(in[0].dim[0]);
    out[1] = in[0];
    out_dtype[0] = out_dtype[1] = dtype[0];
    return LT_OK;
}

static lt_status kl_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                          lt_dtype *out_dtype)
{
    LT_TRY(soft_infer(a, n_in, in, dtype, out, out_dtype));
    if (!(a->temperature > 0))
        return LT_FAIL(LT_E_SHAPE, "kl: temperature %g, expected a positive number", (double)a->temperature);
    out[2] = in[0];
    out_dtype[2] = dtype[0];
    return LT_OK;
}

static lt_status ce_dz_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                             lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("cross entropy gradient", "p", &in[1], 2));
    LT_TRY(check_rows("cross entropy gradient", "dl", &in[0], &in[1]));
    LT_TRY(check_labels("cross entropy gradient", &in[2], dtype[2], &in[1]));
    out[0] = in[1];
    out_dtype[0] = dtype[1];
    return LT_OK;
}

static lt_status soft_dz_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                               lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("loss gradient", "p", &in[1], 2));
    LT_TRY(check_rows("loss gradient", "dl", &in[0], &in[1]));
    LT_TRY(lti_want_shape("loss gradient", "target", &in[2], &in[1]));
    out[0] = in[1];
    out_dtype[0] = dtype[1];
    return LT_OK;
}

// The three losses: the gradient op reads (dl, p, labels | target | q); p is softmax(z / T), T = 1 for cross entropy.
static lt_status loss_vjp(lt_graph *g, const lt_node *n, const lt_op *dz, lt_val third, const lt_val *dout,
                          const bool *need, lt_val *din)
{
    lt_val p = n->out[1];
    if (!need[0])
        return LT_OK;
    if (dout[0] != LT_NONE)
        din[0] = lti_emit(g, dz, &n->attr, 3, (lt_val[]){dout[0], p, third}, NULL);
    if (dout[1] != LT_NONE) {
        lt_val d = LTI_EMIT(g, softmax_dx, NULL, dout[1], p);
        if (dz == &lt_op_kl_dz)
            d = LTI_EMIT(g, scale, LTI_ATTR(.alpha = 1 / n->attr.temperature), d);
        din[0] = din[0] == LT_NONE ? d : LTI_EMIT(g, add, LTI_ATTR(.alpha = 1), din[0], d);
    }
    return lt_graph_status(g);
}

static lt_status ce_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    return loss_vjp(g, &n, &lt_op_ce_dz, n.in[1], dout, need, din);
}

static lt_status ce_soft_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    return loss_vjp(g, &n, &lt_op_ce_soft_dz, n.in[1], dout, need, din);
}

static lt_status kl_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    return loss_vjp(g, &n, &lt_op_kl_dz, n.out[2], dout, need, din);
}

static lt_status kl_pair_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (dout[2] != LT_NONE)
        return lti_no_second(g, node, 1);
    LT_TRY(loss_vjp(g, &n, &lt_op_kl_dz, n.out[2], dout, need, din));
    if (need[1] && dout[0] != LT_NONE)
        din[1] = lti_emit(g, &lt_op_kl_pair_dt, &n.attr, 3, (lt_val[]){dout[0], n.in[0], n.in[1]}, NULL);
    return lt_graph_status(g);
}

static lt_status kl_pair_dt_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                  lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("kl gradient", "logits", &in[1], 2));
    LT_TRY(check_rows("kl gradient", "dl", &in[0], &in[1]));
    LT_TRY(lti_want_shape("kl gradient", "target", &in[2], &in[1]));
    out[0] = in[1];
    out_dtype[0] = dtype[1];
    return LT_OK;
}

// Gradient ops are dz[n] = dl[n] r(p)[n]: d dl = row_dot(u, r), with r from the op itself at dl = 1.
static lt_val d_dl(lt_graph *g, const lt_node *n, lt_val u)
{
    const lti_value *dl = &g->value[n->in[0]];
    lt_val one = lti_const(g, dl->shape, dl->dtype, 1);
    lt_val r = lti_emit(g, n->op, &n->attr, 3, (lt_val[]){one, n->in[1], n->in[2]}, NULL);
    return LTI_EMIT(g, row_dot, NULL, u, r);
}

static lt_status ce_dz_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0])
        din[0] = d_dl(g, &n, dout[0]);
    if (need[1])
        din[1] = LTI_EMIT(g, mul_rows, NULL, n.in[0], dout[0]);
    return lt_graph_status(g);
}

// dz = dl (sum(target) p - target): its part linear in p, applied to u, is f(u) - f(0).
static lt_status ce_soft_dz_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0])
        din[0] = d_dl(g, &n, dout[0]);
    if (need[1]) {
        lt_val zero = lti_const(g, g->value[n.in[1]].shape, g->value[n.in[1]].dtype, 0);
        lt_val at_u = LTI_EMIT(g, ce_soft_dz, NULL, n.in[0], dout[0], n.in[2]);
        lt_val at_0 = LTI_EMIT(g, ce_soft_dz, NULL, n.in[0], zero, n.in[2]);
        din[1] = LTI_EMIT(g, add, LTI_ATTR(.alpha = 1), at_u, LTI_EMIT(g, scale, LTI_ATTR(.alpha = -1), at_0));
    }
    return lt_graph_status(g);
}

static lt_status kl_pair_dt_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    for (int i = 1; i < 3; i++)
        if (need[i])
            return lti_no_second(g, node, i);
    if (need[0])
        din[0] = d_dl(g, &n, dout[0]);
    return lt_graph_status(g);
}

// dz = dl T (p - q)
static lt_status kl_dz_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0])
        din[0] = d_dl(g, &n, dout[0]);
    if (need[1])
        din[1] =
            LTI_EMIT(g, scale, LTI_ATTR(.alpha = n.attr.temperature), LTI_EMIT(g, mul_rows, NULL, n.in[0], dout[0]));
    return lt_graph_status(g);
}

const lt_op lt_op_ce = {"ce", 2, 2, 2, 0, ce_infer, ce_vjp, NULL};
const lt_op lt_op_ce_soft = {"ce_soft", 2, 2, 2, 0, soft_infer, ce_soft_vjp, NULL};
const lt_op lt_op_kl = {"kl", 2, 2, 3, 0, kl_infer, kl_vjp, NULL};
const lt_op lt_op_kl_pair = {"kl_pair", 2, 2, 3, 0, kl_infer, kl_pair_vjp, NULL};
const lt_op lt_op_kl_pair_dt = {"kl_pair_dt", 3, 3, 1, LT_OP_LINEAR, kl_pair_dt_infer, kl_pair_dt_vjp, NULL};
const lt_op lt_op_ce_dz = {"ce_dz", 3, 3, 1, LT_OP_LINEAR, ce_dz_infer, ce_dz_vjp, NULL};
const lt_op lt_op_ce_soft_dz = {"ce_soft_dz", 3, 3, 1, LT_OP_LINEAR, soft_dz_infer, ce_soft_dz_vjp, NULL};
const lt_op lt_op_kl_dz = {"kl_dz", 3, 3, 1, LT_OP_LINEAR, soft_dz_infer, kl_dz_vjp, NULL};

// ---- margin: l = max_{k != y} z_k - z_y, index = that k
static lt_status margin_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                              lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("margin", "logits", &in[0], 2));
    LT_TRY(check_labels("margin", &in[1], dtype[1], &in[0]));
    if (in[0].dim[1] < 2)
        return LT_FAIL(LT_E_SHAPE, "margin: 1 class, expected at least 2");
    out[0] = out[1] = in[1];
    out_dtype[0] = dtype[0];
    out_dtype[1] = LT_I32;
    return LT_OK;
}

static lt_status margin_dz_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                 lt_dtype *out_dtype)
{
    (void)a, (void)n_in;
    LT_TRY(lti_want_dims("margin gradient", "logits", &in[3], 2));
    LT_TRY(check_rows("margin gradient", "dl", &in[0], &in[3]));
    LT_TRY(check_labels("margin gradient", &in[1], dtype[1], &in[3]));
    LT_TRY(check_labels("margin gradient", &in[2], dtype[2], &in[3]));
    out[0] = in[3];
    out_dtype[0] = dtype[3];
    return LT_OK;
}

static lt_status margin_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0])
        din[0] = LTI_EMIT(g, margin_dz, NULL, dout[0], n.out[1], n.in[1], n.in[0]);
    return lt_graph_status(g);
}

// Constant in z almost everywhere; linear in dl, whose coefficients are the op itself at dl = 1.
static lt_status margin_dz_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0]) {
        lt_val one = lti_const(g, g->value[n.in[0]].shape, g->value[n.in[0]].dtype, 1);
        din[0] = LTI_EMIT(g, row_dot, NULL, dout[0], LTI_EMIT(g, margin_dz, NULL, one, n.in[1], n.in[2], n.in[3]));
    }
    return lt_graph_status(g);
}

const lt_op lt_op_margin = {"margin", 2, 2, 2, 0, margin_infer, margin_vjp, NULL};
const lt_op lt_op_margin_dz = {"margin_dz", 4, 4, 1, LT_OP_LINEAR, margin_dz_infer, margin_dz_vjp, NULL};
