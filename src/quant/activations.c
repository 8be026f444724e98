// activations.c - a model whose activations are rounded, from one whose are not [QAT 1.6].
#include "quant/quant_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { MAX_ACTS = 64 };

typedef struct act { // one rounding node
    lt_val x;        // what it rounds, in the float model's graph too
    int64_t step;    // offset of its step in the parameter slab
} act;

static int list_acts(const lt_model *m, act *list)
{
    int n = 0;
    for (int32_t i = 0; i < lti_graph_n_nodes(m->graph) && n < MAX_ACTS; i++) {
        const lt_node *node = lti_graph_node(m->graph, i);
        lt_value_info info;
        if (node->op == &lt_op_act_quant && lt_graph_value(m->graph, node->in[1], &info) == LT_OK)
            list[n++] = (act){node->in[0], info.slab_offset};
    }
    return n;
}

lt_param_group lti_act_group(const lt_model *m)
{
    act list[MAX_ACTS];
    const int n = list_acts(m, list);
    lt_param_group g = {.from = m->n_params, .n = 0, .lr_scale = 1, .decay_scale = 0};
    for (int i = 0; i < n; i++)
        g.from = list[i].step < g.from ? list[i].step : g.from;
    g.n = n; // they lie behind all others, one after another
    return g;
}

static double mean_size(const float *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += fabs((double)x[i]);
    return sum / (double)(n > 0 ? n : 1);
}

static int64_t elements(const lt_graph *g, lt_val v, int64_t batch)
{
    lt_value_info info;
    int64_t n = batch;
    if (lt_graph_value(g, v, &info) != LT_OK)
        return 0;
    for (int i = 1; i < info.shape.n_dims; i++)
        n *= info.shape.dim[i];
    return n;
}

// Steps from the first training batch: 2 mean|x| / sqrt(Q), or Q times that for a largest level.
static lt_status first_steps(const lt_quant_cfg *cfg, const lt_model *from, const lt_quant_in *in, lt_model *to)
{
    act list[MAX_ACTS];
    lt_val outs[MAX_ACTS];
    const int n = list_acts(to, list);
    const double top = (double)((1 << cfg->act_bits) - 1);
    int64_t batch = in->train->batch < in->ds->split[LT_TRAIN].n ? in->train->batch : in->ds->split[LT_TRAIN].n;
    lt_view view = lt_view_split(in->ds, LT_TRAIN);
    const lt_loader_spec loader_spec = {
        .views = &view, .n_views = 1, .batch = batch, .shuffle = true, .seed = in->seed, .pad = 4};
    lt_loader *loader = NULL;
    lt_plan *plan = NULL;
    const lt_batch *b = NULL;
    const size_t per = (size_t)from->shape.c * (size_t)from->shape.h * (size_t)from->shape.w;
    for (int i = 0; i < n; i++)
        outs[i] = list[i].x;
    const lt_plan_spec spec = {.outs = outs,
                               .n_outs = n,
                               .grad_of = LT_NONE,
                               .seed = LT_NONE,
                               .batch = batch,
                               .dtype = LT_F32,
                               .flags = in->env->plan_flags};
    lt_status status = LT_OK;
    LT_TRY_GOTO(lt_loader_create(&loader_spec, &loader), done);
    LT_TRY_GOTO(lt_plan_create(from->graph, &spec, in->env->backend, &plan), done);
    LT_TRY_GOTO(lt_plan_bind(plan, from->params, from->state, NULL), done);
    LT_TRY_GOTO(lt_loader_start(loader, 0, 0), done);
    LT_TRY_GOTO(lt_loader_next(loader, &b), done);
    memcpy(lt_plan_buffer(plan, from->x), b->x, (size_t)b->n * per * sizeof(float));
    LT_TRY_GOTO(lt_plan_run(plan), done);
    for (int i = 0; i < n; i++) {
        const double step =
            2 * mean_size(lt_plan_buffer(plan, outs[i]), elements(from->graph, outs[i], batch)) / sqrt(top);
        to->params[list[i].step] =
            (float)(step > 1e-6 ? step : 1e-6) * (cfg->act_method == LT_ACT_PACT ? (float)top : 1.0f);
    }
done:
    lt_plan_destroy(plan);
    lt_loader_destroy(loader);
    return status;
}

static lt_status copy_model(const lt_model *from, lt_model *to)
{
    memcpy(to->params, from->params, (size_t)from->n_params * sizeof *to->params);
    if (from->n_state > 0)
        memcpy(to->state, from->state, (size_t)from->n_state * sizeof *to->state);
    to->bn_batches = from->bn_batches;
    if (from->class_names)
        LT_TRY(lt_model_set_class_names(to, from->class_names));
    for (int i = 0; i < from->n_meta; i++)
        LT_TRY(lt_model_set_meta(to, from->meta[i].key, from->meta[i].value));
    return LT_OK;
}

lt_status lt_quant_activations(const lt_quant_cfg *cfg, const lt_quant_in *in, lt_model **out)
{
    const lt_model *from = in->model;
    const lti_quantizer *z = NULL;
    act known[MAX_ACTS];
    char spec[512];
    *out = NULL;
    LT_TRY(lti_quantizer_find(cfg->method, &z));
    lt_quant_cfg own = *cfg;
    if (z->act_method > 0)
        own.act_method = z->act_method - 1;
    if (cfg->act_bits <= 0 || list_acts(from, known) > 0) // they stay as they are
        return lt_model_dup(from, out);
    snprintf(spec, sizeof spec, "%s%cact-bits=%d,act-rule=%s", from->spec, strchr(from->spec, ':') ? ',' : ':',
             (int)own.act_bits, own.act_method == LT_ACT_PACT ? "pact" : "lsq");
    lt_model *to = NULL;
    LT_TRY(lt_model_create(spec, from->shape, &to));
    lt_status status = copy_model(from, to);
    if (status == LT_OK)
        status = first_steps(&own, from, in, to);
    if (status == LT_OK)
        *out = to;
    else
        lt_model_destroy(to);
    return status;
}
