// eliminate_dead.c - which node reads which value, and the removal of unused nodes.
#include "graph/plan_impl.h"

void lti_graph_uses(const lt_graph *g, int32_t *n_uses, int32_t *user)
{
    for (int32_t v = 0; v < g->n_values; v++) {
        n_uses[v] = 0;
        user[v] = -1;
    }
    for (int32_t i = 0; i < g->n_nodes; i++)
        for (int j = 0; g->node[i].op && j < g->node[i].n_in; j++) {
            n_uses[g->node[i].in[j]]++;
            user[g->node[i].in[j]] = i;
        }
}

void lti_graph_compact(lt_graph *g)
{
    int32_t to = 0;
    for (int32_t i = 0; i < g->n_nodes; i++) { // forward nodes are remembered by a value they make while numbers change
        lt_node *n = &g->node[i];
        if (n->fwd >= 0)
            n->fwd = g->node[n->fwd].op ? g->node[n->fwd].out[0] : -1;
    }
    for (int32_t v = 0; v < g->n_values; v++)
        g->value[v].node = -1;
    for (int32_t i = 0; i < g->n_nodes; i++) {
        if (!g->node[i].op)
            continue;
        g->node[to] = g->node[i];
        for (int j = 0; j < g->node[to].n_out; j++)
            g->value[g->node[to].out[j]].node = to;
        if (g->node[to].fwd >= 0)
            g->node[to].fwd = g->value[g->node[to].fwd].node;
        to++;
    }
    g->n_nodes = to;
}

lt_status lti_pass_eliminate_dead(lt_graph *g, const bool *roots, bool keep_effects)
{
    bool *needed = lti_malloc((size_t)g->n_values * sizeof *needed);
    if (!needed)
        return LTI_NOMEM("dead node pass");
    for (int32_t v = 0; v < g->n_values; v++)
        needed[v] = roots[v];
    for (int32_t i = g->n_nodes - 1; i >= 0; i--) {
        lt_node *n = &g->node[i];
        bool alive = keep_effects && (n->op->flags & LT_OP_SIDE_EFFECT);
        for (int j = 0; j < n->n_out; j++)
            alive = alive || needed[n->out[j]];
        for (int j = 0; alive && j < n->n_in; j++)
            needed[n->in[j]] = true;
        if (!alive)
            n->op = NULL;
    }
    lti_free(needed);
    lti_graph_compact(g);
    return LT_OK;
}
