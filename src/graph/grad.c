// grad.c - reverse-mode differentiation: gradients are nodes appended to the same graph.
//
// One sweep over the nodes in reverse order. Each op's vjp turns the gradients of its outputs into gradients of its
// inputs by adding nodes; a value used several times adds its contributions up, in node order, so the result is the
// same on every run. The new nodes can be differentiated again by another call.
#include "graph/graph_impl.h"
#include <string.h>

void lti_graph_mark_dependents(const lt_graph *g, bool *depends)
{
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const lt_node *n = &g->node[i];
        bool any = false;
        for (int j = 0; j < n->n_in; j++)
            any = any || depends[n->in[j]];
        for (int j = 0; any && j < n->n_out; j++)
            if (lti_is_real(g->value[n->out[j]].dtype))
                depends[n->out[j]] = true;
    }
}

static lt_status check_request(const lt_graph *g, lt_val of, lt_val seed, const lt_val *wrt, int n_wrt)
{
    LT_TRY(lt_graph_status(g));
    if (of < 0 || of >= g->n_values || !lti_is_real(g->value[of].dtype))
        return LT_FAIL(LT_E_USAGE, "gradient of value %d: not a real value of this graph", (int)of);
    const lt_shape *shape = &g->value[of].shape;
    if (seed == LT_NONE && (shape->dim[0] < 0 || lti_shape_count(shape) != 1)) {
        char text[LTI_SHAPE_TEXT];
        return LT_FAIL(LT_E_SHAPE, "gradient of a value of shape %s: expected one element, or a seed",
                       lti_shape_text(shape, text));
    }
    if (seed != LT_NONE) {
        if (seed < 0 || seed >= g->n_values)
            return LT_FAIL(LT_E_USAGE, "gradient seed %d: not a value of this graph", (int)seed);
        LT_TRY(lti_want_shape("gradient", "seed", &g->value[seed].shape, shape));
    }
    for (int i = 0; i < n_wrt; i++)
        if (wrt[i] < 0 || wrt[i] >= g->n_values || !lti_is_real(g->value[wrt[i]].dtype))
            return LT_FAIL(LT_E_USAGE, "gradient with respect to value %d: not a real value of this graph",
                           (int)wrt[i]);
    return LT_OK;
}

// Adds the gradients that node i sends to its inputs. sum[v]: gradient of value v so far.
static lt_status back_node(lt_graph *g, int32_t i, const bool *depends, lt_val *sum)
{
    const lt_node n = g->node[i];
    lt_val dout[LT_NODE_MAX_OUT], din[LT_NODE_MAX_IN];
    bool need[LT_NODE_MAX_IN], any_out = false, any_in = false;
    for (int j = 0; j < n.n_out; j++) {
        dout[j] = sum[n.out[j]];
        any_out = any_out || dout[j] != LT_NONE;
    }
    for (int j = 0; j < n.n_in; j++) {
        need[j] = depends[n.in[j]];
        any_in = any_in || need[j];
        din[j] = LT_NONE;
    }
    if (!any_out || !any_in)
        return LT_OK;
    if (!n.op->vjp) {
        char text[128];
        lti_node_text(g, i, text, sizeof text);
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: this op cannot be differentiated", text);
    }
    g->fwd = i;
    LT_TRY(n.op->vjp(g, i, dout, need, din));
    for (int j = 0; j < n.n_in; j++) {
        if (!need[j] || din[j] == LT_NONE)
            continue;
        lt_val *s = &sum[n.in[j]];
        *s = *s == LT_NONE ? din[j] : LTI_EMIT(g, add, LTI_ATTR(.alpha = 1), *s, din[j]);
    }
    return lt_graph_status(g);
}

lt_status lti_grad(lt_graph *g, lt_val of, lt_val seed, const lt_val *wrt, int n_wrt, lt_val *grads)
{
    LT_TRY(check_request(g, of, seed, wrt, n_wrt));
    int32_t n_values = g->n_values, n_nodes = g->n_nodes;
    lt_val *sum = lti_malloc((size_t)n_values * sizeof *sum); // gradients of the values there were
    bool *depends = lti_calloc((size_t)n_values, sizeof *depends);
    lt_status status = LT_OK;
    if (!sum || !depends) {
        status = LTI_NOMEM("gradient pass");
        goto end;
    }
    for (int32_t v = 0; v < n_values; v++)
        sum[v] = LT_NONE;
    for (int i = 0; i < n_wrt; i++)
        depends[wrt[i]] = true;
    lti_graph_mark_dependents(g, depends);
    sum[of] = seed != LT_NONE ? seed : lti_const(g, g->value[of].shape, g->value[of].dtype, 1);
    for (int32_t i = n_nodes - 1; i >= 0; i--)
        LT_TRY_GOTO(back_node(g, i, depends, sum), end);
    for (int i = 0; i < n_wrt; i++)
        grads[i] = depends[of] ? sum[wrt[i]] : LT_NONE;
    LT_TRY_GOTO(lt_graph_status(g), end);
end:
    g->fwd = -1;
    lti_free(sum);
    lti_free(depends);
    return status;
}

lt_status lt_gradients(lt_graph *g, lt_val of, lt_val seed, const lt_val *wrt, int n_wrt, lt_val *grads)
{
    lt_status status = lti_grad(g, of, seed, wrt, n_wrt, grads);
    return status == LT_OK ? LT_OK : lti_graph_fail(g, status);
}
