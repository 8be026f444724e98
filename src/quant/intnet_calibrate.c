// intnet_calibrate.c - the largest activations of float ReLUs on training images, and the largest currents that a
// spiking network stores: scales of the tensors behind them.
#include "quant/intnet_impl.h"

#include <math.h>
#include <string.h>

enum { MAX_VALUES = 96 };

static bool needs_range(const lt_graph *g, lt_val v)
{
    for (int32_t i = 0; i < lti_graph_n_nodes(g); i++) {
        const lt_node *n = lti_graph_node(g, i);
        if (n->op == &lt_op_act_quant && n->in[0] == v)
            return false;
    }
    return true;
}

// Currents that a spiking network stores: in front of pools and layer norms, and what is repeated over time.
static bool is_stored(const lt_node *n)
{
    return n->op == &lt_op_max_pool || n->op == &lt_op_avg_pool || n->op == &lt_op_layer_norm ||
           n->op == &lt_op_repeat_steps;
}

static int list_values(const lt_graph *g, bool has_time, lt_val *outs)
{
    int n = 0;
    for (int32_t i = 0; i < lti_graph_n_nodes(g) && n < MAX_VALUES; i++) {
        const lt_node *node = lti_graph_node(g, i);
        if (node->op == &lt_op_relu && needs_range(g, node->out[0]))
            outs[n++] = node->out[0];
        else if (has_time && is_stored(node))
            outs[n++] = node->in[0];
    }
    return n;
}

static lt_status note_largest(lt_plan *plan, const lt_graph *g, lt_val v, int64_t batch, float *largest)
{
    lt_value_info info;
    LT_TRY(lt_graph_value(g, v, &info));
    int64_t count = batch * (info.shape.dim[0] / LT_BATCH);
    for (int d = 1; d < info.shape.n_dims; d++)
        count *= info.shape.dim[d];
    const float *y = lt_plan_buffer(plan, v);
    for (int64_t k = 0; k < count; k++)
        largest[v] = fabsf(y[k]) > largest[v] ? fabsf(y[k]) : largest[v];
    return LT_OK;
}

lt_status lti_int_calibrate(const lt_model *m, const lt_dataset *ds, const lt_env *env, float *largest)
{
    const lt_graph *g = m->graph;
    enum { IMAGES = 256, BATCH = 64, CLIPS = 64, CLIP_BATCH = 8 };
    const bool has_time = lt_model_steps(m, NULL) > 0;
    const int most = has_time ? CLIP_BATCH : BATCH, batches = (has_time ? CLIPS : IMAGES) / most;
    lt_val outs[MAX_VALUES];
    const int n = list_values(g, has_time, outs);
    if (n == 0)
        return LT_OK;
    const int64_t n_train = ds->split[LT_TRAIN].n, batch = n_train < most ? n_train : most;
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
    for (int i = 0; i < batches; i++) {
        const lt_batch *x = NULL;
        LT_TRY_GOTO(lt_loader_next(loader, &x), done);
        if (x->n != batch)
            break;
        memcpy(lt_plan_buffer(plan, m->x), x->x,
               (size_t)(batch * m->shape.c * m->shape.h * m->shape.w) * sizeof(float));
        LT_TRY_GOTO(lt_plan_run(plan), done);
        for (int j = 0; j < n; j++)
            LT_TRY_GOTO(note_largest(plan, g, outs[j], batch, largest), done);
    }
done:
    lt_plan_destroy(plan);
    lt_loader_destroy(loader);
    return status;
}
