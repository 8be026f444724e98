// concrete.c - passes that turn a general graph into one for a given batch size, real type and mode.
#include "graph/plan_impl.h"

static void set_batch(lt_shape *s, int64_t batch)
{
    if (s->n_dims > 0 && s->dim[0] == LT_BATCH)
        s->dim[0] = batch;
}

lt_status lti_pass_concrete(lt_graph *g, int64_t batch, lt_dtype real)
{
    for (int32_t v = 0; v < g->n_values; v++) {
        lti_value *value = &g->value[v];
        set_batch(&value->shape, batch);
        if (value->dtype == LT_F32)
            value->dtype = real;
        LT_TRY(lti_shape_check(*value->name ? value->name : "value", &value->shape));
    }
    for (int32_t i = 0; i < g->n_nodes; i++)
        set_batch(&g->node[i].attr.shape, batch);
    return LT_OK;
}

lt_status lti_pass_mode(lt_graph *g, bool train)
{
    for (int32_t i = 0; i < g->n_nodes; i++) {
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
