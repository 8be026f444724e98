// rematerialize.c - activations that the backward half can make again cheaply are not kept for it.
//
// Of a convolution followed by batch norm, ReLU and the sum of a residual block, only the output of the convolution
// must live until the gradient (batch norm needs it anyway). What comes after it is a function of that output, the
// saved statistics and the values of the block before, one pass over memory each, with the same operations in the same
// order and so the same bits. In front of the first gradient node that reads such a value a copy of its maker is put;
// later gradient nodes read the same copy. A value costs memory only between its makers and its readers in each half.
// A copy that takes a single pass and is wanted for another copy only is made for that one alone: held until its own
// reader comes, which may be a block later, it would be in the way where memory is fullest.
//
// A value qualifies when its maker is a batch norm or a map over elements and every input either is read by a gradient
// node as it is, or a leaf, or qualifies itself. Chains are cut at MAX_CHAIN: the sums of a long row of residual blocks
// all depend on each other, and every MAX_CHAIN-th is kept.
//
// Making things again costs about a tenth of a step where two threads share the memory, so it is done only where memory
// matters: what fits into a budget, in addition to what must be kept until the gradient anyway, is kept. Values that
// take the most traffic to make, the sums of residual blocks, are kept first.
#include "graph/plan_impl.h"
#include <string.h>

enum {
    MAX_CHAIN = 3,
    COPIES = 2 + LT_NODE_MAX_IN // a node, its shared copy, and copies of what that reads for it alone
};

typedef struct work {
    lt_graph *g;
    const bool *keep;
    size_t budget;          // bytes that may live until the gradient
    bool *kept;             // (values) read by the gradient
    bool *pinned;           // (values) is kept: must be, or fits into the budget
    int32_t *chain;         // (values) makers to run again for it; 0 = not rematerialized
    lt_val *rematerialized; // (values) its copy, LT_NONE = none yet
    lt_node *node;          // the new list
    int32_t n_nodes, n_values;
} work;

static bool is_gradient(const lt_node *n)
{
    return n->fwd >= 0;
}

// 0 when the output of n must be kept, else the length of its chain.
static int32_t chain_of(const work *w, const lt_node *n)
{
    int32_t longest = 0;
    const bool bn = n->op == &lt_op_bn_train;
    if (is_gradient(n) || w->keep[n->out[0]] || w->pinned[n->out[0]] || w->g->value[n->out[0]].shape.n_dims != 4 ||
        (!bn && !(n->op->flags & LT_OP_ELEMENTWISE)))
        return 0;
    for (int i = 0; i < n->n_in; i++) {
        const lt_val v = n->in[i];
        if (w->chain[v] > longest)
            longest = w->chain[v];
        if (!w->chain[v] && !w->kept[v] && w->g->value[v].role == LT_ROLE_TEMP)
            return 0;
    }
    return longest < MAX_CHAIN ? longest + 1 : 0;
}

static size_t bytes_of(const work *w, lt_val v)
{
    const lti_value *value = &w->g->value[v];
    return (size_t)lti_shape_count(&value->shape) * lti_dtype_size(value->dtype);
}

// Maps of full size that n reads: its memory traffic in addition to its output.
static int maps_read(const work *w, const lt_node *n)
{
    int maps = 0;
    for (int i = 0; i < n->n_in; i++)
        maps += w->g->value[n->in[i]].shape.n_dims == 4;
    return maps;
}

static void find_chains(work *w)
{
    for (int32_t i = 0; i < w->g->n_nodes; i++)
        w->chain[w->g->node[i].out[0]] = chain_of(w, &w->g->node[i]);
}

// Pins values that the gradient reads while the budget lasts: those made from several maps, then the others.
static void pin(work *w)
{
    const lt_graph *g = w->g;
    size_t bytes = 0;
    for (lt_val v = 0; v < w->n_values; v++)
        if (w->kept[v] && !w->chain[v] && g->value[v].role == LT_ROLE_TEMP && g->node[g->value[v].node].fwd < 0) {
            w->pinned[v] = true; // stays kept where a chain was cut
            bytes += bytes_of(w, v);
        }
    for (int sums = 1; sums >= 0; sums--)
        for (int32_t i = 0; i < g->n_nodes; i++) {
            const lt_val v = g->node[i].out[0];
            if (!w->kept[v] || !w->chain[v] || w->pinned[v] || (maps_read(w, &g->node[i]) > 1) != sums ||
                bytes_of(w, v) > w->budget || bytes > w->budget - bytes_of(w, v))
                continue;
            w->pinned[v] = true;
            bytes += bytes_of(w, v);
        }
}

static void mark(work *w)
{
    const lt_graph *g = w->g;
    for (int32_t i = 0; i < g->n_nodes; i++)
        for (int j = 0; is_gradient(&g->node[i]) && j < g->node[i].n_in; j++)
            w->kept[g->node[i].in[j]] = true;
    find_chains(w);
    pin(w);
    find_chains(w); // pinned values start shorter ones
}

// Puts a copy of the maker of v, and of what it needs, at the end of the new list. shared: for all later readers.
static lt_val rematerialize(work *w, lt_val v, bool shared)
{
    if (!w->chain[v])
        return v;
    if (w->rematerialized[v] != LT_NONE)
        return w->rematerialized[v];
    lt_node n = w->g->node[w->g->value[v].node];
    for (int i = 0; i < n.n_in; i++)
        n.in[i] = rematerialize(w, n.in[i], w->chain[n.in[i]] > 1);
    if (n.op == &lt_op_bn_train) {
        n.op = &lt_op_bn_apply;
        n.in[3] = n.out[1];
        n.in[4] = n.out[2];
        n.n_out = n.op->n_out;
    }
    n.rematerialized = true;
    const lti_value value = w->g->value[v];
    n.out[0] = lti_new_value(w->g, "", value.shape, value.dtype, LT_ROLE_TEMP);
    if (n.out[0] == LT_NONE)
        return LT_NONE;
    w->node[w->n_nodes++] = n;
    if (shared)
        w->rematerialized[v] = n.out[0];
    return n.out[0];
}

static void rewrite(work *w)
{
    for (int32_t i = 0; i < w->g->n_nodes; i++) {
        lt_node n = w->g->node[i];
        for (int j = 0; is_gradient(&n) && j < n.n_in; j++)
            if (n.in[j] < w->n_values)
                n.in[j] = rematerialize(w, n.in[j], true);
        w->node[w->n_nodes++] = n;
    }
}

static lt_status reserve(lt_graph *g, int32_t n)
{
    if (n <= g->cap_nodes)
        return LT_OK;
    void *bigger = lti_realloc(g->node, (size_t)n * sizeof *g->node);
    if (!bigger)
        return LTI_NOMEM("recompute pass");
    g->node = bigger;
    g->cap_nodes = n;
    return LT_OK;
}

lt_status lti_graph_install(lt_graph *g, lt_node *node, int32_t n_nodes)
{
    for (int32_t i = 0; i < n_nodes; i++)
        if (node[i].fwd >= 0)
            node[i].fwd = g->node[node[i].fwd].out[0];
    LT_TRY(reserve(g, n_nodes));
    memcpy(g->node, node, (size_t)n_nodes * sizeof *g->node);
    g->n_nodes = n_nodes;
    for (int32_t i = 0; i < g->n_nodes; i++)
        for (int j = 0; j < g->node[i].n_out; j++)
            g->value[g->node[i].out[j]].node = i;
    for (int32_t i = 0; i < g->n_nodes; i++)
        if (g->node[i].fwd >= 0)
            g->node[i].fwd = g->value[g->node[i].fwd].node;
    return LT_OK;
}

lt_status lti_pass_rematerialize(lt_graph *g, const bool *keep, size_t budget)
{
    const size_t n = (size_t)g->n_values;
    work w = {.g = g, .keep = keep, .budget = budget, .n_values = g->n_values};
    w.kept = lti_calloc(n, sizeof *w.kept);
    w.pinned = lti_calloc(n, sizeof *w.pinned);
    w.chain = lti_calloc(n, sizeof *w.chain);
    w.rematerialized = lti_malloc(n * sizeof *w.rematerialized);
    w.node = lti_malloc((size_t)g->n_nodes * COPIES * sizeof *w.node);
    lt_status status =
        w.kept && w.pinned && w.chain && w.rematerialized && w.node ? LT_OK : LTI_NOMEM("recompute pass");
    if (status == LT_OK) {
        for (size_t v = 0; v < n; v++)
            w.rematerialized[v] = LT_NONE;
        mark(&w);
        rewrite(&w);
        status = lt_graph_status(g);
    }
    if (status == LT_OK)
        status = lti_graph_install(g, w.node, w.n_nodes);
    lti_free(w.kept);
    lti_free(w.pinned);
    lti_free(w.chain);
    lti_free(w.rematerialized);
    lti_free(w.node);
    return status;
}
