// fuse_late.c - fusions that need the finished list of nodes, gradients included, because no gradient rule knows them:
//     relu?(bn_train(x) + r) -> bn_train with a residual      relu_dx(a + b, y) -> add_relu_dx
// The first is the end of a residual block, the second the sum of its two gradients: each saves writing and reading a
// whole activation once. The merged node stands where the later of the two stood.
#include "graph/plan_impl.h"

// The running statistics and outputs of node i are left alone between i and j, so i may run at j.
static bool may_move(const lt_graph *g, int32_t i, int32_t j)
{
    const lt_node *bn = &g->node[i];
    for (int32_t k = i + 1; k < j; k++)
        for (int a = 0; g->node[k].op && a < g->node[k].n_in; a++) {
            const lt_val v = g->node[k].in[a];
            if (v == bn->in[3] || v == bn->in[4] || v == bn->out[1] || v == bn->out[2])
                return false;
        }
    return true;
}

// The node that makes v, if it is of this op and v has one reader and is not kept; else -1.
static int32_t sole_maker(const lt_graph *g, lt_val v, const lt_op *op, const int32_t *n_uses, const bool *keep)
{
    const int32_t i = g->value[v].node;
    return i >= 0 && g->node[i].op == op && g->node[i].out[0] == v && n_uses[v] == 1 && !keep[v] ? i : -1;
}

static void fuse_residual(lt_graph *g, int32_t j, const int32_t *n_uses, const bool *keep)
{
    const lt_node add = g->node[j];
    for (int a = 0; add.attr.alpha == 1 && a < 2; a++) {
        const int32_t i = sole_maker(g, add.in[a], &lt_op_bn_train, n_uses, keep);
        if (i < 0 || g->node[i].attr.relu || g->node[i].n_in != 5 || !may_move(g, i, j))
            continue;
        lt_node bn = g->node[i];
        bn.in[bn.n_in++] = add.in[1 - a];
        bn.attr.relu = add.attr.relu;
        bn.out[0] = add.out[0];
        g->node[j] = bn;
        g->node[i].op = NULL;
        for (int k = 0; k < bn.n_out; k++)
            g->value[bn.out[k]].node = j;
        for (int32_t k = j; k < g->n_nodes; k++) // its gradient belongs to the node where it now stands
            if (g->node[k].fwd == i)
                g->node[k].fwd = j;
        return;
    }
}

static void fuse_masked_sum(lt_graph *g, int32_t j, const int32_t *n_uses, const bool *keep)
{
    const int32_t i = sole_maker(g, g->node[j].in[0], &lt_op_add, n_uses, keep);
    if (i < 0 || g->node[i].attr.relu || g->node[i].attr.alpha != 1)
        return;
    lt_node *n = &g->node[j];
    n->op = &lt_op_add_relu_dx;
    n->in[2] = n->in[1];
    n->in[0] = g->node[i].in[0];
    n->in[1] = g->node[i].in[1];
    n->n_in = 3;
    g->node[i].op = NULL;
}

lt_status lti_pass_fuse_late(lt_graph *g, const bool *keep)
{
    int32_t *n_uses = lti_malloc((size_t)g->n_values * 2 * sizeof *n_uses);
    if (!n_uses)
        return LTI_NOMEM("late fuse pass");
    lti_graph_uses(g, n_uses, n_uses + g->n_values);
    for (int32_t j = 0; j < g->n_nodes; j++)
        if (g->node[j].op == &lt_op_add)
            fuse_residual(g, j, n_uses, keep);
        else if (g->node[j].op == &lt_op_relu_dx)
            fuse_masked_sum(g, j, n_uses, keep);
    lti_free(n_uses);
    lti_graph_compact(g);
    return LT_OK;
}
