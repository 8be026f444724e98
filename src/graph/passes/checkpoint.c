// checkpoint.c - activation checkpointing (Chen et al., 2016): of the forward half only values at the borders of
// segments live until the gradient; the others are computed again, segment by segment, just before they are read.
//
// The forward nodes are cut into runs of about equal bytes. What crosses a cut is kept; in front of the first gradient
// node that reads another value a copy of its maker is put, with copies of what that needs inside its segment. The same
// operations on the same numbers give the same bits. Nodes with side effects do not run again: batch norm becomes
// bn_apply with the statistics of its first run, dropout its own mask by key. The number of segments is the one with
// the least memory by a simple estimate: all that crosses a cut, and the largest segment.
#include "graph/plan_impl.h"
#include <string.h>

enum { MAX_SEGMENTS = 64 };

typedef struct work {
    lt_graph *g;
    bool *kept;       // (values) lives until the gradient
    lt_val *copy;     // (values) its copy, LT_NONE = none yet
    int32_t *segment; // (nodes) of the forward half
    lt_node *node;    // the new list
    int32_t n_nodes, n_values, n_old;
} work;

static bool is_forward(const lt_node *n)
{
    return n->fwd < 0;
}

static size_t bytes_of(const lt_graph *g, lt_val v)
{
    return (size_t)lti_shape_count(&g->value[v].shape) * lti_dtype_size(g->value[v].dtype);
}

static size_t node_bytes(const lt_graph *g, const lt_node *n)
{
    size_t bytes = 0;
    for (int i = 0; i < n->n_out && !(n->op->flags & LT_OP_VIEW); i++)
        bytes += bytes_of(g, n->out[i]);
    return bytes;
}

// Cuts the forward half into pieces of about total / n bytes.
static void cut_segments(work *w, size_t total, int n)
{
    size_t sum = 0;
    int32_t segment = 0;
    for (int32_t i = 0; i < w->n_old; i++) {
        if (!is_forward(&w->g->node[i]))
            continue;
        w->segment[i] = segment;
        sum += node_bytes(w->g, &w->g->node[i]);
        if (sum >= total / (size_t)n) {
            segment++;
            sum = 0;
        }
    }
}

// A view lives as long as what it shows.
static void keep_value(const work *w, lt_val v)
{
    for (; v != LT_NONE && w->g->value[v].node >= 0; v = w->g->node[w->g->value[v].node].in[0]) {
        w->kept[v] = true;
        if (!(w->g->node[w->g->value[v].node].op->flags & LT_OP_VIEW))
            return;
    }
}

// kept: what the caller reads and what crosses a cut. Returns the estimate of the memory.
static size_t mark_kept(const work *w, const bool *keep)
{
    const lt_graph *g = w->g;
    size_t crossing = 0, largest = 0, sum[MAX_SEGMENTS + 2] = {0};
    memset(w->kept, 0, (size_t)w->n_values * sizeof *w->kept);
    for (lt_val v = 0; v < w->n_values; v++)
        if (keep[v] && g->value[v].node >= 0 && is_forward(&g->node[g->value[v].node]))
            keep_value(w, v);
    for (int32_t i = 0; i < w->n_old; i++) {
        const lt_node *n = &g->node[i];
        for (int j = 0; is_forward(n) && j < n->n_in; j++) {
            const int32_t maker = g->value[n->in[j]].node;
            if (maker >= 0 && w->segment[maker] != w->segment[i])
                keep_value(w, n->in[j]);
        }
    }
    for (int32_t i = 0; i < w->n_old; i++)
        if (is_forward(&g->node[i])) {
            sum[w->segment[i]] += node_bytes(g, &g->node[i]);
            for (int j = 0; j < g->node[i].n_out; j++)
                crossing += w->kept[g->node[i].out[j]] ? bytes_of(g, g->node[i].out[j]) : 0;
        }
    for (int i = 0; i < MAX_SEGMENTS + 2; i++)
        largest = sum[i] > largest ? sum[i] : largest;
    return crossing + largest;
}

static void choose_segments(work *w, const bool *keep)
{
    size_t total = 0, least = SIZE_MAX;
    int best = 1;
    for (int32_t i = 0; i < w->n_old; i++)
        total += is_forward(&w->g->node[i]) ? node_bytes(w->g, &w->g->node[i]) : 0;
    for (int n = 1; n <= MAX_SEGMENTS; n++) {
        cut_segments(w, total, n);
        const size_t bytes = mark_kept(w, keep);
        if (bytes < least) {
            least = bytes;
            best = n;
        }
    }
    cut_segments(w, total, best);
    mark_kept(w, keep);
}

// Small statistics of side effects stay as they are.
static bool stays(const work *w, lt_val v)
{
    if (v >= w->n_values || w->kept[v] || w->g->value[v].node < 0)
        return true;
    const lt_node *n = &w->g->node[w->g->value[v].node];
    if (!is_forward(n) || w->g->value[v].role != LT_ROLE_TEMP)
        return true;
    const bool again = n->op == &lt_op_bn_train || n->op == &lt_op_dropout_train;
    return (n->op->flags & LT_OP_SIDE_EFFECT) && (!again || v != n->out[0]);
}

static void without_effect(lt_node *n)
{
    if (n->op == &lt_op_bn_train) {
        n->op = &lt_op_bn_apply;
        n->in[3] = n->out[1];
        n->in[4] = n->out[2];
        n->n_out = 1;
    } else if (n->op == &lt_op_dropout_train) {
        n->op = &lt_op_dropout_dx; // the same product with the mask of that key
        n->in[1] = n->out[1];
        n->n_out = 1;
    }
}

// Puts a copy of the maker of v, and of what it needs, at the end of the new list.
static lt_val compute_again(work *w, lt_val v)
{
    if (stays(w, v))
        return v;
    if (w->copy[v] != LT_NONE)
        return w->copy[v];
    lt_node n = w->g->node[w->g->value[v].node];
    without_effect(&n);
    for (int i = 0; i < n.n_in; i++)
        n.in[i] = compute_again(w, n.in[i]);
    n.rematerialized = true;
    for (int i = 0; i < n.n_out; i++) {
        const lti_value value = w->g->value[n.out[i]];
        const lt_val out = lti_new_value(w->g, "", value.shape, value.dtype, LT_ROLE_TEMP);
        if (out == LT_NONE)
            return LT_NONE;
        w->copy[n.out[i]] = out;
        n.out[i] = out;
    }
    w->node[w->n_nodes++] = n;
    return w->copy[v];
}

static lt_status rewrite(work *w)
{
    for (int32_t i = 0; i < w->n_old; i++) {
        lt_node n = w->g->node[i];
        for (int j = 0; !is_forward(&n) && j < n.n_in; j++)
            n.in[j] = compute_again(w, n.in[j]);
        LT_TRY(lt_graph_status(w->g));
        w->node[w->n_nodes++] = n;
    }
    return LT_OK;
}

lt_status lti_pass_checkpoint(lt_graph *g, const bool *keep)
{
    work w = {.g = g, .n_values = g->n_values, .n_old = g->n_nodes};
    const size_t n = (size_t)g->n_values + 1, nodes = 2 * (size_t)g->n_nodes + 1; // every forward node once more
    w.kept = lti_calloc(n, sizeof *w.kept);
    w.copy = lti_malloc(n * sizeof *w.copy);
    w.segment = lti_calloc(nodes, sizeof *w.segment);
    w.node = lti_malloc(nodes * sizeof *w.node);
    lt_status status = w.kept && w.copy && w.segment && w.node ? LT_OK : LTI_NOMEM("activation checkpointing");
    if (status == LT_OK) {
        for (size_t v = 0; v < n; v++)
            w.copy[v] = LT_NONE;
        choose_segments(&w, keep);
        status = rewrite(&w);
    }
    if (status == LT_OK)
        status = lti_graph_install(g, w.node, w.n_nodes);
    lti_free(w.kept);
    lti_free(w.copy);
    lti_free(w.segment);
    lti_free(w.node);
    return status;
}
