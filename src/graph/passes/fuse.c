// fuse.c - elementwise nodes become attributes of the node before them, when that is their only source and they its
// only reader:
//     relu(bn(x)) -> bn with relu        relu(alpha * (a + b)) -> add with alpha and relu
// The gradient pass runs afterwards, so the gradients come out fused too: bn_*_dx masks by the sign of y, relu_dx
// carries alpha.
#include "graph/plan_impl.h"

// The only reader of v, if it is a node of this op; else -1.
static int32_t sole_user(const lt_graph *g, lt_val v, const lt_op *op, const int32_t *n_uses, const int32_t *user,
                         const bool *fixed)
{
    return n_uses[v] == 1 && !fixed[v] && g->node[user[v]].op == op ? user[v] : -1;
}

// The first output of node i becomes that of node j, which disappears.
static void absorb(lt_graph *g, int32_t i, int32_t j)
{
    g->node[i].out[0] = g->node[j].out[0];
    g->node[j].op = NULL;
}

lt_status lti_pass_fuse(lt_graph *g, const bool *fixed)
{
    int32_t *n_uses = lti_malloc((size_t)g->n_values * 2 * sizeof *n_uses);
    if (!n_uses)
        return LTI_NOMEM("fuse pass");
    int32_t *user = n_uses + g->n_values;
    lti_graph_uses(g, n_uses, user);
    for (int32_t i = 0; i < g->n_nodes; i++) {
        lt_node *n = &g->node[i];
        bool add = n->op == &lt_op_add, bn = n->op == &lt_op_bn_train || n->op == &lt_op_bn_eval;
        if ((!add && !bn) || n->attr.relu)
            continue;
        int32_t j = add ? sole_user(g, n->out[0], &lt_op_scale, n_uses, user, fixed) : -1;
        if (j >= 0) {
            n->attr.alpha *= g->node[j].attr.alpha;
            absorb(g, i, j);
        }
        j = sole_user(g, n->out[0], &lt_op_relu, n_uses, user, fixed);
        if (j >= 0) {
            n->attr.relu = true;
            absorb(g, i, j);
        }
    }
    lti_free(n_uses);
    lti_graph_compact(g);
    return LT_OK;
}
