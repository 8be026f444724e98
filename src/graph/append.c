// append.c - one graph inside another: how several models become one.
#include "graph/graph_impl.h"
#include <string.h>

// The copy of a leaf, under its new name.
static lt_val copy_leaf(lt_graph *g, const lti_value *v, const char *prefix)
{
    if (v->role == LT_ROLE_CONST)
        return lti_const(g, v->shape, v->dtype, v->fill);
    char *name = lti_asprintf("%s%s", prefix, v->name);
    if (!name) {
        lti_graph_fail(g, LTI_NOMEM("graph"));
        return LT_NONE;
    }
    const lt_val copy = v->role == LT_ROLE_PARAM   ? lt_param(g, name, v->shape)
                        : v->role == LT_ROLE_STATE ? lt_state(g, name, v->shape)
                                                   : lt_input(g, name, v->dtype, v->shape);
    lti_free(name);
    return copy;
}

// Constants of a normalisation live in the graph's own arena.
static lt_status own_constants(lt_graph *g, const lt_graph *from, const lt_node *n, lt_attr *attr)
{
    if (!attr->mean)
        return LT_OK;
    const size_t c = (size_t)from->value[n->in[0]].shape.dim[1];
    float *both = lti_arena_alloc(&g->arena, 2 * c * sizeof *both);
    if (!both)
        return LTI_NOMEM("graph");
    memcpy(both, attr->mean, c * sizeof *both);
    memcpy(both + c, attr->istd, c * sizeof *both);
    attr->mean = both;
    attr->istd = both + c;
    return LT_OK;
}

static lt_status copy_node(lt_graph *g, const lt_graph *from, const lt_node *n, lt_val *map)
{
    lt_val in[LT_NODE_MAX_IN], out[LT_NODE_MAX_OUT];
    lt_attr attr = n->attr;
    LT_TRY(own_constants(g, from, n, &attr));
    for (int j = 0; j < n->n_in; j++)
        in[j] = n->in[j] == LT_NONE ? LT_NONE : map[n->in[j]];
    if (lti_emit(g, n->op, &attr, n->n_in, in, out) == LT_NONE)
        return lt_graph_status(g);
    for (int j = 0; j < n->n_out; j++)
        map[n->out[j]] = out[j];
    return LT_OK;
}

lt_val lt_graph_append(lt_graph *g, const lt_graph *from, const lt_graph_join *join)
{
    if (g->error.status != LT_OK)
        return LT_NONE;
    lt_val *map = lti_calloc((size_t)from->n_values + 1, sizeof *map);
    lt_status status = map ? lt_graph_status(from) : LTI_NOMEM("graph");
    for (lt_val v = 0; v < from->n_values && status == LT_OK; v++) { // leaves in order: their slabs stay in one piece
        const lti_value *value = &from->value[v];
        map[v] = v == join->input ? join->to : value->node < 0 ? copy_leaf(g, value, join->prefix) : LT_NONE;
        status = lt_graph_status(g);
    }
    for (int32_t i = 0; i < from->n_nodes && status == LT_OK; i++)
        status = copy_node(g, from, &from->node[i], map);
    const lt_val output = status == LT_OK ? map[join->output] : LT_NONE;
    if (status != LT_OK)
        lti_graph_fail(g, status);
    lti_free(map);
    return output;
}

// Evaluation does not drop: the node becomes a product with one.
static lt_status set_dropout_mode(lt_graph *g, int32_t i, bool train)
{
    lt_node n = g->node[i];
    n.op = train ? &lt_op_dropout_train : &lt_op_scale;
    if (!train) {
        n.n_in = 1;
        n.attr.alpha = 1;
    } else {
        n.n_out = n.op->n_out;
        n.out[1] = lti_new_value(g, "", LT_SHAPE(1), g->value[n.in[0]].dtype, LT_ROLE_TEMP);
        LT_TRY(lt_graph_status(g));
        g->value[n.out[1]].node = i;
    }
    g->node[i] = n;
    return LT_OK;
}

lt_status lt_graph_set_mode(lt_graph *g, bool train)
{
    LT_TRY(lt_graph_status(g));
    for (int32_t i = 0; i < g->n_nodes; i++) {
        if (g->node[i].op == &lt_op_dropout)
            LT_TRY(set_dropout_mode(g, i, train));
        if (g->node[i].op != &lt_op_bn)
            continue;
        lt_node n = g->node[i];
        n.op = train ? &lt_op_bn_train : &lt_op_bn_eval;
        n.n_out = n.op->n_out;
        for (int j = 1; j < n.n_out; j++) {
            n.out[j] = lti_new_value(g, "", g->value[n.in[1]].shape, g->value[n.in[1]].dtype, LT_ROLE_TEMP);
            LT_TRY(lt_graph_status(g));
            g->value[n.out[j]].node = i;
        }
        g->node[i] = n;
    }
    return LT_OK;
}
