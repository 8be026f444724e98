// fuse_epilogue.c - fusions that need the finished list of nodes, gradients included, because no gradient rule knows
// them:
//     relu?(bn_train(x) + r) -> bn_train with a residual      relu_dx(a + b, y) -> add_relu_dx
//     relu?(conv2d(x, w, bias) + r) -> conv2d with a residual
//     relu_dx(conv2d_dx(dy, w), y) -> conv2d_dx with a mask   add_relu_dx(conv2d_dx(dy, w), r, y) -> with a sum, too
//     the last, where r is the gradient of a strided 1x1 convolution -> that one adds to the few pixels it reads
// The first line is the end of a residual block and the sum of its two gradients; the others do the same where batch
// norm is folded away, and let a convolution finish its own output: each saves writing and reading a whole activation
// once. The merged node stands where the later of the two stood.
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

// Node i goes to where node j stands and makes its output.
static void move_into(lt_graph *g, int32_t i, int32_t j, lt_node merged)
{
    merged.out[0] = g->node[j].out[0];
    g->node[j] = merged;
    g->node[i].op = NULL;
    g->value[merged.out[0]].node = j;
    for (int32_t k = j; k < g->n_nodes; k++) // its gradient belongs to the node where it now stands
        if (g->node[k].fwd == i)
            g->node[k].fwd = j;
}

// The convolution of side x side filters that makes v and may still be finished.
static int32_t sized_maker(const lt_graph *g, lt_val v, const lt_op *op, int n_in, int64_t side, const int32_t *n_uses,
                           const bool *keep)
{
    const int32_t i = sole_maker(g, v, op, n_uses, keep);
    if (i < 0 || g->node[i].n_in != n_in || g->node[i].attr.relu)
        return -1;
    const int64_t *w = g->value[g->node[i].in[1]].shape.dim;
    return w[2] == side && w[3] == side ? i : -1;
}

// Only for 3x3 filters is finishing more than calling the other kernel afterwards.
static int32_t conv_maker(const lt_graph *g, lt_val v, const lt_op *op, int n_in, const int32_t *n_uses,
                          const bool *keep)
{
    return sized_maker(g, v, op, n_in, 3, n_uses, keep);
}

static void fuse_conv_epilogue(lt_graph *g, int32_t j, const int32_t *n_uses, const bool *keep)
{
    const lt_node add = g->node[j];
    for (int a = 0; add.op == &lt_op_add && add.attr.alpha == 1 && a < 2; a++) {
        const int32_t i = conv_maker(g, add.in[a], &lt_op_conv2d, 3, n_uses, keep);
        if (i < 0)
            continue;
        lt_node conv = g->node[i];
        conv.in[conv.n_in++] = add.in[1 - a];
        conv.attr.relu = add.attr.relu;
        move_into(g, i, j, conv);
        return;
    }
}

// Node j = add_relu_dx(conv2d_dx 3x3, conv2d_dx 1x1 of stride 2 or more, y). A mask of a sum is the sum of masked ones:
// the first makes masked pixels, and the second adds to those few that it reads, in place.
static bool fuse_shortcut_dx(lt_graph *g, int32_t j, const int32_t *n_uses, const bool *keep)
{
    const lt_node n = g->node[j];
    for (int a = 0; a < 2; a++) {
        const int32_t i = conv_maker(g, n.in[a], &lt_op_conv2d_dx, 2, n_uses, keep);
        const int32_t k = sized_maker(g, n.in[1 - a], &lt_op_conv2d_dx, 2, 1, n_uses, keep);
        if (i < 0 || k < 0 || g->node[k].attr.stride < 2 || g->node[k].attr.pad != 0 || g->node[k].attr.groups > 1 ||
            g->value[n.in[2]].node > i)
            continue;
        g->node[i].in[g->node[i].n_in++] = n.in[2];
        lt_node point = g->node[k];
        point.in[point.n_in++] = n.in[2];
        point.in[point.n_in++] = n.in[a];
        point.attr.masked = true;
        move_into(g, k, j, point);
        return true;
    }
    return false;
}

static void fuse_conv_dx_epilogue(lt_graph *g, int32_t j, bool in_place, const int32_t *n_uses, const bool *keep)
{
    const lt_node n = g->node[j];
    const bool sum = n.op == &lt_op_add_relu_dx;
    if (sum && in_place && n.attr.alpha == 1 && fuse_shortcut_dx(g, j, n_uses, keep))
        return;
    for (int a = 0; (sum || n.op == &lt_op_relu_dx) && n.attr.alpha == 1 && a <= sum; a++) {
        const int32_t i = conv_maker(g, n.in[a], &lt_op_conv2d_dx, 2, n_uses, keep);
        if (i < 0)
            continue;
        lt_node conv = g->node[i];
        conv.in[conv.n_in++] = n.in[sum ? 2 : 1];
        if (sum)
            conv.in[conv.n_in++] = n.in[1 - a];
        move_into(g, i, j, conv);
        return;
    }
}

lt_status lti_pass_fuse_epilogue(lt_graph *g, bool in_place, const bool *keep)
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
    for (int32_t j = 0; j < g->n_nodes; j++)
        if (g->node[j].op) {
            fuse_conv_epilogue(g, j, n_uses, keep);
            fuse_conv_dx_epilogue(g, j, in_place, n_uses, keep);
        }
    lti_free(n_uses);
    lti_graph_compact(g);
    return LT_OK;
}
