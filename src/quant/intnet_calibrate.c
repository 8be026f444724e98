// intnet_calibrate.c - the largest activations of float ReLUs on training images: scales of the tensors behind them.
#include "quant/intnet_impl.h"
#include <string.h>

static bool needs_range(const lt_graph *g, lt_val v)
{
    for (int32_t i = 0; i < lti_graph_n_nodes(g); i++) {
        const lt_node *n = lti_graph_node(g, i);
        if (n->op == &lt_op_act_quant && n->in[0] == v)
            return false;
    }
    return true;
}

lt_status lti_int_calibrate(const lt_model *m, const lt_dataset *ds, const lt_env *env, float *largest)
{
    const lt_graph *g = m->graph;
    enum { BATCH = 64, BATCHES = 4, MAX = 96 };
    lt_val outs[MAX];
    int n = 0;
    for (int32_t i = 0; i < lti_graph_n_nodes(g) && n < MAX; i++)
        if (lti_graph_node(g, i)->op == &lt_op_relu && needs_range(g, lti_graph_node(g, i)->out[0]))
            outs[n++] = lti_graph_node(g, i)->out[0];
    if (n == 0)
        return LT_OK;
    const int64_t n_train = ds->split[LT_TRAIN].n, batch = n_train < BATCH ? n_train : BATCH;
    const lt_view view = lt_view_split(ds, LT_TRAIN);
    const lt_loader_spec loader_spec = {
        .views = &view, .n_views = 1, .batch = batch, .shuffle = true, .seed = 1, .pad = 4};
    const lt_plan_spec spec = {.outs = outs,
                               .n_outs = n,
                               .grad_of = LT_NONE,
                               .seed = LT_NONE,
                               .batch = batch,
                               .dtype = LT_F32,
                               .flags = env->plan_flags};
    lt_loader *loader = NULL;
    lt_plan *plan = NULL;
    lt_status status = LT_OK;
    LT_TRY_GOTO(lt_loader_create(&loader_spec, &loader), done);
    LT_TRY_GOTO(lt_plan_create(m->graph, &spec, env->backend, &plan), done);
    LT_TRY_GOTO(lt_plan_bind(plan, m->params, m->state, NULL), done);
    LT_TRY_GOTO(lt_loader_start(loader, 0, 0), done);
    for (int i = 0; i < BATCHES; i++) {
        const lt_batch *x = NULL;
        LT_TRY_GOTO(lt_loader_next(loader, &x), done);
        if (x->n != batch)
            break;
        memcpy(lt_plan_buffer(plan, m->x), x->x,
               (size_t)(batch * m->shape.c * m->shape.h * m->shape.w) * sizeof(float));
        LT_TRY_GOTO(lt_plan_run(plan), done);
        for (int j = 0; j < n; j++) {
            lt_value_info info;
            LT_TRY_GOTO(lt_graph_value(m->graph, outs[j], &info), done);
            int64_t count = batch;
            for (int d = 1; d < info.shape.n_dims; d++)
                count *= info.shape.dim[d];
            const float *y = lt_plan_buffer(plan, outs[j]);
            for (int64_t k = 0; k < count; k++)
                largest[outs[j]] = y[k] > largest[outs[j]] ? y[k] : largest[outs[j]];
        }
    }
done:
    lt_plan_destroy(plan);
    lt_loader_destroy(loader);
    return status;
}
