// ops_quant.c - activations rounded to a few levels, with a range that is learned [QAT 1.6].
//
//     lsq:  y = s round(clip(x / s, 0, Q)),           Q = 2^bits - 1
//           dx = dy where 0 <= x/s <= Q, else 0;  ds = gs sum dy (round(x/s) - x/s inside, 0 below, Q above)
//           gs = 1 / sqrt(n Q), n elements of one sample
//     pact: y = (a / Q) round(clip(x, 0, a) Q / a);  dx = dy where 0 < x < a;  da = sum dy where x >= a
// Deviation: the published code counts the batch in n, which makes the step's rate depend on the batch size.
// Halves are rounded up; x is what a ReLU left, so there is no level below 0.
#include "graph/graph_impl.h"

static lt_status check(const lt_attr *a, const lt_shape *x, const lt_shape *step)
{
    if (a->bits < 1 || a->bits > 16)
        return LT_FAIL(LT_E_SHAPE, "act_quant: expected 1 to 16 bits, found %d", (int)a->bits);
    LT_TRY(lti_want_channels("act_quant", "step", step, 1));
    return x->n_dims >= 1 ? LT_OK : LT_FAIL(LT_E_SHAPE, "act_quant: expected a tensor");
}

static lt_status act_quant_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                 lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(check(a, &in[0], &in[1]));
    out[0] = in[0];
    out_dtype[0] = dtype[0];
    return lti_is_real(dtype[0]) ? LT_OK : LT_FAIL(LT_E_SHAPE, "act_quant on integers");
}

static lt_status act_quant_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype,
                                    lt_shape *out, lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(check(a, &in[1], &in[2]));
    LT_TRY(lti_want_shape("act_quant_dx", "x", &in[1], &in[0]));
    out[0] = in[0];
    out[1] = in[2];
    out_dtype[0] = out_dtype[1] = dtype[0];
    return LT_OK;
}

static lt_status act_quant_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    const lt_val in[] = {dout[0], n.in[0], n.in[1]};
    lt_val out[2];
    lti_emit(g, &lt_op_act_quant_dx, &n.attr, 3, in, out);
    for (int i = 0; i < 2; i++)
        if (need[i])
            din[i] = out[i];
    return lt_graph_status(g);
}

const lt_op lt_op_act_quant = {"act_quant",   2,   2, 1, LT_OP_INPLACE0 | LT_OP_ELEMENTWISE, act_quant_infer,
                               act_quant_vjp, NULL};
const lt_op lt_op_act_quant_dx = {"act_quant_dx", 3, 3, 2, LT_OP_INPLACE0, act_quant_dx_infer, NULL, NULL};

// Moves the last node right behind node i; what makes what is brought up to date.
static void move_behind(lt_graph *g, int32_t i)
{
    const lt_node last = g->node[g->n_nodes - 1];
    for (int32_t k = g->n_nodes - 1; k > i + 1; k--) {
        g->node[k] = g->node[k - 1];
        if (g->node[k].fwd > i)
            g->node[k].fwd++;
    }
    g->node[i + 1] = last;
    for (int32_t v = 0; v < g->n_values; v++)
        g->value[v].node = -1;
    for (int32_t k = 0; k < g->n_nodes; k++)
        for (int j = 0; j < g->node[k].n_out; j++)
            if (g->node[k].out[j] != LT_NONE)
                g->value[g->node[k].out[j]].node = k;
}

lt_val lt_act_quant(lt_graph *g, lt_val x, lt_val step, int bits, lt_act_rule rule)
{
    return LTI_EMIT(g, act_quant, LTI_ATTR(.bits = bits, .rule = (int32_t)rule), x, step);
}

lt_val lt_graph_quantize_value(lt_graph *g, lt_val v, lt_val step, int bits, lt_act_rule rule)
{
    const int32_t maker = lti_graph_maker(g, v);
    const lt_val y = lt_act_quant(g, v, step, bits, rule);
    if (y == LT_NONE || maker < 0)
        return y;
    move_behind(g, maker);
    for (int32_t k = maker + 2; k < g->n_nodes; k++)
        for (int j = 0; j < g->node[k].n_in; j++)
            if (g->node[k].in[j] == v)
                g->node[k].in[j] = y;
    return y;
}
