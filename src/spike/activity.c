// activity.c - firing rates, synaptic operations and an estimate of energy of a spiking network on data. [SPIKE 15]
//
// A value is made of spikes when a neuron, a rate code or frames of events made it (its name ends in ".spikes"), or
// when an op that keeps whole numbers (sum, view, max-pool, dropout) had only such values. A layer that reads spikes
// adds one weight for every output that a spike reaches; one that reads anything else multiplies. A repeated direct
// code is computed once a sample.
#include "lethe/spike.h"
#include "graph/graph_impl.h"
#include <string.h>

enum { MAX_OUTS = 256 };

typedef struct measured { // sum over the steps of a value of the model
    lt_val value;         // in the model's graph
    lt_val sum;           // (N,...) in the copy
    int32_t rows;         // of a sample: steps, or 1
    int32_t node;         // the layer that reads it; -1 = spikes of neurons
    bool spiking;
    double total, weighted; // over samples: values, values times fan-out
} measured;

typedef struct meter {
    const lt_model *model;
    lt_graph *g;
    int32_t steps;
    bool *spiking; // (values)
    measured *m;   // first the neurons, then the layers
    int n;
    lt_plan *plan;
    int64_t planned;
} meter;

static bool ends_in_spikes(const char *name)
{
    const size_t n = strlen(name), k = sizeof ".spikes" - 1;
    return n > k && !strcmp(name + n - k, ".spikes");
}

static void mark_spiking(meter *t)
{
    const lt_graph *g = t->g;
    for (int32_t i = 0; i < g->n_nodes; i++) {
        const lt_node *n = &g->node[i];
        const bool keeps =
            n->op == &lt_op_add || n->op == &lt_op_reshape || n->op == &lt_op_max_pool || n->op == &lt_op_dropout;
        bool all = keeps;
        for (int j = 0; j < n->n_in && all; j++)
            all = g->value[n->in[j]].role == LT_ROLE_STATE || t->spiking[n->in[j]];
        t->spiking[n->out[0]] = all || ends_in_spikes(g->value[n->out[0]].name);
    }
}

static lt_status add_measured(meter *t, lt_val v, int32_t node)
{
    const int64_t rows = t->g->value[v].shape.dim[0] / LT_BATCH;
    if (t->n == MAX_OUTS)
        return LT_FAIL(LT_E_UNSUPPORTED, "activity: more than %d layers", MAX_OUTS);
    t->m[t->n++] =
        (measured){.value = v, .rows = (int32_t)rows, .node = node, .spiking = t->spiking[v], .sum = LT_NONE};
    return LT_OK;
}

static lt_status list_measured(meter *t)
{
    const int32_t n_nodes = t->g->n_nodes;
    for (int32_t i = 0; i < n_nodes; i++)
        if (t->g->node[i].op == &lt_op_lif)
            LT_TRY(add_measured(t, t->g->node[i].out[0], -1));
    for (int32_t i = 0; i < n_nodes; i++)
        if (t->g->node[i].op == &lt_op_conv2d || t->g->node[i].op == &lt_op_linear)
            LT_TRY(add_measured(t, t->g->node[i].in[0], i));
    for (int k = 0; k < t->n; k++)
        if (t->m[k].rows > 1 || t->m[k].node < 0)
            t->m[k].sum = lt_sum_steps(t->g, t->m[k].value, t->m[k].rows, 1);
    return lt_graph_status(t->g);
}

static lt_status plan_of(meter *t, const lt_env *env, int64_t batch)
{
    lt_val outs[MAX_OUTS];
    int n_outs = 0;
    if (t->planned == batch)
        return LT_OK;
    lt_plan_destroy(t->plan);
    t->plan = NULL;
    for (int k = 0; k < t->n; k++)
        if (t->m[k].sum != LT_NONE)
            outs[n_outs++] = t->m[k].sum;
    const lt_plan_spec spec = {.outs = outs,
                               .n_outs = n_outs,
                               .grad_of = LT_NONE,
                               .seed = LT_NONE,
                               .batch = batch,
                               .dtype = LT_F32,
                               .flags = env->plan_flags};
    LT_TRY(lt_plan_create(t->g, &spec, env->backend, &t->plan));
    t->planned = batch;
    return lt_plan_bind(t->plan, t->model->params, t->model->state, NULL);
}

// Outputs along one axis that read input position i.
static int64_t reach(int64_t i, int64_t n_out, int64_t kernel, const lt_attr *a)
{
    int64_t n = 0;
    for (int64_t o = 0; o < n_out; o++) {
        const int64_t from = i + a->pad - o * a->stride;
        n += from >= 0 && from % a->dilation == 0 && from / a->dilation < kernel;
    }
    return n;
}

static double fan_out(const meter *t, const measured *m, int64_t h, int64_t w)
{
    const lt_node *n = &t->g->node[m->node];
    const lt_shape *y = &t->g->value[n->out[0]].shape, *k = &t->g->value[n->in[1]].shape;
    if (n->op == &lt_op_linear)
        return (double)k->dim[0];
    const int64_t of_group = k->dim[0] / (n->attr.groups ? n->attr.groups : 1);
    return (double)of_group * (double)reach(h, y->dim[2], k->dim[2], &n->attr) *
           (double)reach(w, y->dim[3], k->dim[3], &n->attr);
}

// Multiply-adds of a layer for one row.
static double dense_macs(const meter *t, const measured *m)
{
    const lt_node *n = &t->g->node[m->node];
    const lt_shape *y = &t->g->value[n->out[0]].shape, *k = &t->g->value[n->in[1]].shape;
    double macs = 1;
    for (int i = 0; i < k->n_dims; i++)
        macs *= (double)k->dim[i];
    return n->op == &lt_op_linear ? macs : macs * (double)y->dim[2] * (double)y->dim[3];
}

static void add_samples(meter *t, int64_t n)
{
    for (int k = 0; k < t->n; k++) {
        measured *m = &t->m[k];
        const lt_shape *s = &t->g->value[m->value].shape;
        if (m->sum == LT_NONE)
            continue;
        const float *x = lt_plan_buffer(t->plan, m->sum);
        const bool maps = s->n_dims == 4;
        const int64_t h = maps ? s->dim[2] : 1, w = maps ? s->dim[3] : 1, c = s->dim[1];
        for (int64_t p = 0; p < h * w; p++) {
            double sum = 0;
            for (int64_t i = 0; i < n; i++)
                for (int64_t j = 0; j < c; j++)
                    sum += (double)x[(i * c + j) * h * w + p];
            m->total += sum;
            if (m->node >= 0 && m->spiking)
                m->weighted += sum * fan_out(t, m, p / w, p % w);
        }
    }
}

static lt_status run_view(meter *t, const lt_view *view, const lt_env *env, int64_t batch)
{
    lt_view plain = *view;
    plain.augment = false;
    plain.relabel = LT_RELABEL_NONE;
    lt_loader *loader = NULL;
    const lt_loader_spec spec = {
        .views = &plain, .n_views = 1, .batch = batch, .n_threads = env->loader_threads, .pad = 4};
    LT_TRY(lt_loader_create(&spec, &loader));
    const lt_model_shape *s = &t->model->shape;
    lt_status status = lt_loader_start(loader, 0, 0);
    for (const lt_batch *b = NULL; status == LT_OK;) {
        LT_TRY_GOTO(lt_loader_next(loader, &b), done);
        if (b->n == 0)
            break;
        if (lt_interrupted(env->stop))
            LT_TRY_GOTO(LT_FAIL(LT_E_INTERRUPTED, "activity: interrupted"), done);
        LT_TRY_GOTO(plan_of(t, env, b->n), done);
        memcpy(lt_plan_buffer(t->plan, t->model->x), b->x,
               (size_t)b->n * (size_t)s->c * (size_t)s->h * (size_t)s->w * sizeof(float));
        LT_TRY_GOTO(lt_plan_run(t->plan), done);
        add_samples(t, b->n);
    }
done:
    lt_loader_destroy(loader);
    return status;
}

static lt_status fill_activity(const meter *t, int64_t n, lt_spike_activity *a)
{
    *a = (lt_spike_activity){.steps = t->steps, .n = n};
    a->layer = lti_calloc((size_t)t->n + 1, sizeof *a->layer);
    if (!a->layer)
        return LTI_NOMEM("activity of a network");
    for (int k = 0; k < t->n; k++) {
        const measured *m = &t->m[k];
        if (m->node < 0) {
            const lt_shape *s = &t->g->value[m->value].shape;
            const char *name = t->g->value[m->value].name;
            lt_spike_layer *l = &a->layer[a->n_layers++];
            l->n_neurons = 1;
            for (int i = 1; i < s->n_dims; i++)
                l->n_neurons *= s->dim[i];
            l->rate = m->total / (double)n / (double)m->rows / (double)l->n_neurons;
            char *copy = lti_strdup(name);
            if (!copy)
                return LTI_NOMEM("activity of a network");
            copy[strlen(copy) - (sizeof ".spikes" - 1)] = 0;
            l->name = copy;
            continue;
        }
        a->dense_macs += dense_macs(t, m) * (double)t->steps;
        if (m->spiking)
            a->synops += m->weighted / (double)n;
        else
            a->macs += dense_macs(t, m) * (double)m->rows;
    }
    a->energy_pj = a->synops * LT_SPIKE_PJ_ADD + a->macs * LT_SPIKE_PJ_MAC;
    a->dense_energy_pj = a->dense_macs * LT_SPIKE_PJ_MAC;
    return LT_OK;
}

lt_status lt_spike_activity_measure(const lt_model *model, const lt_view *view, const lt_env *env, int64_t batch,
                                    lt_spike_activity *activity)
{
    *activity = (lt_spike_activity){0};
    meter t = {.model = model, .steps = lt_model_steps(model, NULL)};
    if (t.steps == 0)
        return LT_FAIL(LT_E_USAGE, "activity: expected a spiking network, found %s", model->spec);
    if (view->n < 1)
        return LT_FAIL(LT_E_USAGE, "activity: expected samples, found none");
    lt_status status = LT_OK;
    LT_TRY(lt_graph_dup(model->graph, &t.g));
    t.spiking = lti_calloc((size_t)t.g->n_values + 1, sizeof *t.spiking);
    t.m = lti_calloc(MAX_OUTS, sizeof *t.m);
    if (!t.spiking || !t.m)
        status = LTI_NOMEM("activity of a network");
    if (status == LT_OK) {
        mark_spiking(&t);
        status = list_measured(&t);
    }
    if (status == LT_OK)
        status = run_view(&t, view, env, batch);
    if (status == LT_OK)
        status = fill_activity(&t, view->n, activity);
    if (status != LT_OK)
        lt_spike_activity_clear(activity);
    lt_plan_destroy(t.plan);
    lt_graph_destroy(t.g);
    lti_free(t.spiking);
    lti_free(t.m);
    return status;
}

void lt_spike_activity_clear(lt_spike_activity *a)
{
    for (int i = 0; a && i < a->n_layers; i++)
        lti_free((char *)a->layer[i].name);
    if (a) {
        lti_free(a->layer);
        *a = (lt_spike_activity){0};
    }
}
