// concrete.c - passes that turn a general graph into one for a given batch size, real type and mode.
#include "graph/plan_impl.h"

static void set_batch(lt_shape *s, int64_t batch)
{
    if (s->n_dims > 0 && s->dim[0] < 0) // LT_BATCH, or LT_BATCH * T for T steps of time
        s->dim[0] *= -batch;
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
    return lt_graph_set_mode(g, train);
}
