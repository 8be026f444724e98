// fold.c - for plans that leave the parameters alone: batch norm in evaluation mode disappears into the filters before
// it.
//
//     bn_eval(conv2d(x, w))  ->  conv2d(x, w', b') with (w', b') = bn_fold(w, gamma, beta, mean, var)
// bn_fold depends on parameters and state only, so it runs when they change and not in every run. A ReLU that is the
// only reader of a convolution becomes part of it. Nodes are rewritten where they stand: the folding takes the place of
// the convolution, the convolution that of the batch norm or of the ReLU, which keeps the order topological.
#include "graph/plan_impl.h"

static bool made_before(const lt_graph *g, lt_val v, int32_t node)
{
    return g->value[v].node < node;
}

// Node i is a convolution without ReLU, read only by node j.
static bool only_reader(const lt_graph *g, int32_t i, const int32_t *n_uses, const int32_t *user, const bool *fixed,
                        const lt_op *reader)
{
    const lt_node *n = &g->node[i];
    if (n->op != &lt_op_conv2d || n->attr.relu)
        return false;
    lt_val y = n->out[0];
    return n_uses[y] == 1 && !fixed[y] && g->node[user[y]].op == reader && g->node[user[y]].in[0] == y;
}

static lt_status fold_bn(lt_graph *g, int32_t i, int32_t j, const bool *depends)
{
    const lt_node conv = g->node[i], bn = g->node[j];
    if (depends[conv.in[1]] || (conv.n_in == 3 && depends[conv.in[2]]))
        return LT_OK;
    for (int k = 1; k < bn.n_in; k++)
        if (depends[bn.in[k]] || !made_before(g, bn.in[k], i))
            return LT_OK;
    lt_node fold = {.op = &lt_op_bn_fold, .n_in = 5, .n_out = 2, .fwd = -1, .attr = {.eps = bn.attr.eps}};
    fold.in[0] = conv.in[1];
    for (int k = 1; k < 5; k++)
        fold.in[k] = bn.in[k];
    if (conv.n_in == 3)
        fold.in[fold.n_in++] = conv.in[2];
    const lti_value w = g->value[conv.in[1]], gamma = g->value[bn.in[1]];
    fold.out[0] = lti_new_value(g, "", w.shape, w.dtype, LT_ROLE_TEMP);
    fold.out[1] = lti_new_value(g, "", gamma.shape, gamma.dtype, LT_ROLE_TEMP);
    LT_TRY(lt_graph_status(g));
    g->node[i] = fold;
    g->node[j] = conv;
    g->node[j].n_in = 3;
    g->node[j].in[1] = fold.out[0];
    g->node[j].in[2] = fold.out[1];
    g->node[j].out[0] = bn.out[0];
    for (int k = 0; k < 2; k++)
        g->value[fold.out[k]].node = i;
    g->value[bn.out[0]].node = j;
    return LT_OK;
}

static void fold_relu(lt_graph *g, int32_t i, int32_t j)
{
    lt_val y = g->node[j].out[0];
    g->node[j] = g->node[i];
    g->node[j].attr.relu = true;
    g->node[j].out[0] = y;
    g->node[i].op = NULL;
}

lt_status lti_pass_fold(lt_graph *g, const bool *fixed, const bool *depends)
{
    int32_t n_values = g->n_values; // of the values made here none is read by a node that is folded
    int32_t *n_uses = lti_malloc((size_t)n_values * 2 * sizeof *n_uses), *user = n_uses ? n_uses + n_values : NULL;
    if (!n_uses)
        return LTI_NOMEM("fold pass");
    lt_status status = LT_OK;
    lti_graph_uses(g, n_uses, user);
    for (int32_t i = 0; i < g->n_nodes && status == LT_OK; i++)
        if (only_reader(g, i, n_uses, user, fixed, &lt_op_bn_eval))
            status = fold_bn(g, i, user[g->node[i].out[0]], depends);
    for (int32_t i = 0; i < g->n_nodes && status == LT_OK; i++)
        if (only_reader(g, i, n_uses, user, fixed, &lt_op_relu))
            fold_relu(g, i, user[g->node[i].out[0]]);
    lti_free(n_uses);
    lti_graph_compact(g);
    return status;
}
