// clip.c - when layers are clipped: once, or at the paper's schedule while a job trains [FASTCLIP 13-15].
//
// A target is a layer with the norm it is to have. During training its singular vectors follow the weight by one step
// of PowerQR after every update; an event makes them exact, applies the rule, and starts new vectors, so that another
// direction that has become the largest is found. Only weights change: momentum, biases and batch norm statistics stay.
#include "clip_impl.h"
#include <math.h>
#include <string.h>

enum { MAX_EVENTS = 600, COLD_STEPS = 100, ONCE_VECTORS = 8, ONCE_STEPS = 20, ONCE_INNER = 5 };
static const double once_tolerance = 1e-3; // of the target
static const double tracker_shift = 1;     // of PowerQR, as in the authors' code

struct lt_clipper {
    lt_model *model;
    const lt_env *env;
    lt_clip_cfg cfg;
    uint64_t seed;
    lti_layers layers;
    lti_clip_target *target;
    int n;
    float *slab;
    bool has_bn;
    float *memory;  // owned, or NULL
    float *vectors; // (memory_floats): vectors of all targets, then a mark that they are started
    size_t memory_floats;
    int64_t n_events;
    double wall_s;
};

static double target_of(const lt_clip_cfg *cfg, lt_layer_kind kind)
{
    switch (kind) {
    case LT_LAYER_CONV:
        return (double)cfg->clip_norm;
    case LT_LAYER_LINEAR:
        return (double)(cfg->clip_linear > 0 ? cfg->clip_linear : cfg->clip_norm);
    case LT_LAYER_CONV_BN:
        return (double)cfg->clip_compose;
    default:
        return 0;
    }
}

static lt_status init_target(lt_clipper *c, const lti_layer *layer, double norm, int vectors)
{
    lti_clip_target *t = &c->target[c->n++];
    const int threads = lt_backend_n_threads(c->env->backend);
    *t = (lti_clip_target){.slab = c->slab, .target = norm, .model = c->model, .n_threads = threads > 0 ? threads : 1};
    LT_TRY(lti_tracker_init(&t->track, c->model, layer, vectors, c->env));
    lti_tracker_restart(&t->track, c->seed, (uint32_t)c->n);
    const lt_linear_map_spec spec = {.graph = c->model->graph,
                                     .from = layer->from,
                                     .to = layer->to,
                                     .batch = t->track.k,
                                     .dtype = LT_F32,
                                     .flags = lti_tracker_plan_flags(c->env),
                                     .weight = {LT_NONE, LT_NONE}};
    LT_TRY(lt_linear_map_create(&spec, c->env->backend, &t->of_gradient));
    LT_TRY(lt_linear_map_bind(t->of_gradient, c->slab, c->model->state));
    t->residual = lti_calloc((size_t)(t->track.k * t->track.n_out), sizeof *t->residual);
    return t->residual ? LT_OK : LTI_NOMEM("clipping");
}

static lt_status init_clipper(lt_clipper *c, int vectors)
{
    LT_TRY(lti_layers_find(c->model, &c->layers));
    c->slab = lti_calloc((size_t)c->model->n_params + 1, sizeof *c->slab);
    c->target = lti_calloc((size_t)c->layers.n + 1, sizeof *c->target);
    if (!c->slab || !c->target)
        return LTI_NOMEM("clipping");
    for (int i = 0; i < c->layers.n; i++) {
        const double norm = target_of(&c->cfg, c->layers.layer[i].kind);
        c->has_bn |= c->layers.layer[i].kind == LT_LAYER_BN;
        if (norm > 0)
            LT_TRY(init_target(c, &c->layers.layer[i], norm, vectors));
    }
    return LT_OK;
}

static lt_status create(lt_model *model, const lt_clip_cfg *cfg, uint64_t seed, int vectors, const lt_env *env,
                        lt_clipper **clipper)
{
    lt_clipper *c = lti_calloc(1, sizeof *c);
    if (!c)
        return LTI_NOMEM("clipping");
    *c = (lt_clipper){.model = model, .env = env, .cfg = *cfg, .seed = seed};
    lt_status status = init_clipper(c, vectors);
    if (status == LT_OK) {
        *clipper = c;
        return LT_OK;
    }
    lt_clipper_destroy(c);
    return status;
}

lt_status lt_clipper_create(lt_model *model, const lt_clip_cfg *cfg, uint64_t seed, const lt_env *env,
                            lt_clipper **clipper)
{
    return create(model, cfg, seed, cfg->clip_vectors, env, clipper);
}

void lt_clipper_destroy(lt_clipper *c)
{
    if (!c)
        return;
    for (int i = 0; i < c->n; i++) {
        lti_tracker_clear(&c->target[i].track);
        lt_linear_map_destroy(c->target[i].of_gradient);
        lti_free(c->target[i].residual);
    }
    lti_free(c->target);
    lti_free(c->slab);
    lti_free(c->memory);
    lti_layers_clear(&c->layers);
    lti_free(c);
}

// ---- one event

static int inner_steps(const lt_clipper *c)
{
    return c->cfg.clip_inner > 0 ? c->cfg.clip_inner : c->has_bn ? 5 : 1;
}

static lt_status apply_rule(lt_clipper *c, int i, int inner, uint32_t number, bool *changed)
{
    const lti_clip_call call = {.cfg = &c->cfg,
                                .inner = inner,
                                .may_raise = c->cfg.clip_mode == LT_CLIP_EXACT,
                                .seed = c->seed,
                                .draw = number * 1024 + (uint32_t)i};
    return lti_clip_rule_of(c->cfg.clip_rule)->apply(&c->target[i], &call, changed);
}

// |gamma_c| sqrt(var_c + eps)^-1 <= target, channel by channel.
static bool clip_bn(lt_clipper *c)
{
    const lt_graph *g = c->model->graph;
    bool changed = false;
    for (int i = 0; i < c->layers.n && c->cfg.clip_bn > 0; i++) {
        const lti_layer *l = &c->layers.layer[i];
        if (l->kind != LT_LAYER_BN)
            continue;
        const lt_node *bn = &g->node[l->bn];
        const float *var = lti_model_data(c->model, bn->in[4]);
        float *gamma = c->model->params + g->value[bn->in[1]].slab_offset;
        for (int64_t k = 0; k < g->value[bn->in[1]].shape.dim[0]; k++) {
            const float most = (float)((double)c->cfg.clip_bn * sqrt((double)var[k] + (double)bn->attr.eps));
            const float to = gamma[k] > most ? most : gamma[k] < -most ? -most : gamma[k];
            changed |= to != gamma[k];
            gamma[k] = to;
        }
    }
    return changed;
}

static lt_status event_of_target(lt_clipper *c, int i, uint32_t number, bool *changed)
{
    lti_tracker *t = &c->target[i].track;
    const bool repeats = lti_clip_rule_of(c->cfg.clip_rule)->repeats;
    if (repeats)
        LT_TRY(lti_tracker_step(t, c->cfg.clip_iterations, tracker_shift));
    LT_TRY(apply_rule(c, i, inner_steps(c), number, changed));
    if (!repeats)
        return LT_OK;
    lti_tracker_restart(t, c->seed, number * 1024 + (uint32_t)i + 1);
    return lti_tracker_step(t, c->cfg.clip_iterations, tracker_shift);
}

lt_status lt_clipper_event(lt_clipper *c, uint32_t number, bool *changed)
{
    *changed = clip_bn(c);
    for (int i = 0; i < c->n; i++) {
        bool one = false;
        lti_tracker_changed(&c->target[i].track); // by an optimizer, whose steps are not followed for every rule
        LT_TRY(event_of_target(c, i, number, &one));
        *changed |= one;
    }
    c->n_events++;
    return LT_OK;
}

void lt_clipper_counts(const lt_clipper *c, int64_t *n_events, double *wall_s)
{
    if (n_events)
        *n_events = c->n_events;
    if (wall_s)
        *wall_s = c->wall_s;
}

// ---- once

static lt_status measure_cold(lt_clipper *c, int i, uint32_t draw, double *norm)
{
    lti_tracker *t = &c->target[i].track;
    lti_tracker_changed(t);
    lti_tracker_restart(t, c->seed, draw);
    LT_TRY(lti_tracker_step(t, COLD_STEPS, 0));
    *norm = t->sigma[0];
    return LT_OK;
}

// What the restarted iteration underestimates is taken off the whole weight: the promise is a hard one.
static lt_status rescale_rest(lt_clipper *c, int i, double norm)
{
    lti_clip_target *t = &c->target[i];
    int64_t n;
    float *w = lti_layer_weight(c->model, t->track.layer, &n);
    if (norm <= t->target)
        return LT_OK;
    for (int64_t e = 0; e < n; e++)
        w[e] = (float)((double)w[e] * t->target / norm);
    lti_tracker_changed(&t->track);
    return LT_OK;
}

static lt_status clip_target_once(lt_clipper *c, int i, lt_clipped_layer *out)
{
    lti_clip_target *t = &c->target[i];
    const lti_clip_rule *rule = lti_clip_rule_of(c->cfg.clip_rule);
    LT_TRY(measure_cold(c, i, (uint32_t)i, &out->before));
    out->after = out->before;
    for (int e = 0; e < MAX_EVENTS; e++) {
        bool changed = false;
        if (lt_interrupted(c->env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "interrupted: clipping of %s", t->track.layer->name);
        LT_TRY(apply_rule(c, i, c->cfg.clip_inner > 0 ? c->cfg.clip_inner : ONCE_INNER, (uint32_t)e + 1, &changed));
        out->events += changed;
        if (!changed || !rule->repeats)
            break;
        LT_TRY(lti_tracker_step(&t->track, ONCE_STEPS, 0));
    }
    LT_TRY(measure_cold(c, i, (uint32_t)i + 4096, &out->after));
    if (rule->repeats && out->events > 0) {
        LT_TRY(rescale_rest(c, i, out->after));
        LT_TRY(measure_cold(c, i, (uint32_t)i + 8192, &out->after));
        if (out->after > t->target * (1 + once_tolerance)) { // a direction that one start had missed
            LT_TRY(rescale_rest(c, i, out->after));
            LT_TRY(measure_cold(c, i, (uint32_t)i + 12288, &out->after));
        }
    }
    return LT_OK;
}

static lt_status clip_all_once(lt_clipper *c, lt_clip_report *report)
{
    report->layer = lti_calloc((size_t)c->n + 1, sizeof *report->layer);
    if (!report->layer)
        return LTI_NOMEM("clipping");
    if (clip_bn(c))
        for (int i = 0; i < c->n; i++)
            lti_tracker_changed(&c->target[i].track);
    for (int i = 0; i < c->n; i++) {
        lt_clipped_layer *out = &report->layer[report->n_layers++];
        const lti_layer *l = c->target[i].track.layer;
        *out = (lt_clipped_layer){.name = lti_strdup(l->name), .kind = l->kind, .target = c->target[i].target};
        if (!out->name)
            return LTI_NOMEM("clipping");
        LT_TRY(clip_target_once(c, i, out));
        lt_emit(c->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                            .name = "clip.progress",
                                            .done = i + 1,
                                            .total = c->n,
                                            .unit = "layers",
                                            .epoch = -1,
                                            .step = -1});
    }
    return LT_OK;
}

lt_status lt_clip_model(lt_model *model, const lt_clip_cfg *cfg, uint64_t seed, const lt_env *env,
                        lt_clip_report *report)
{
    const double start_s = lti_now_s();
    lt_clipper *c;
    *report = (lt_clip_report){0};
    if (!(cfg->clip_norm > 0 || cfg->clip_bn > 0 || cfg->clip_compose > 0))
        return LT_FAIL(LT_E_USAGE, "clipping: expected a target above 0, found none");
    LT_TRY(create(model, cfg, seed, ONCE_VECTORS, env, &c));
    const lt_status status = clip_all_once(c, report);
    lt_clipper_destroy(c);
    report->wall_s = lti_now_s() - start_s;
    if (status != LT_OK)
        lt_clip_report_clear(report);
    return status;
}

void lt_clip_report_clear(lt_clip_report *r)
{
    for (int i = 0; i < r->n_layers; i++)
        lti_free(r->layer[i].name);
    lti_free(r->layer);
    *r = (lt_clip_report){0};
}

// ---- while a job trains

static lt_status follow(lt_clipper *c, const lt_step *step)
{
    const bool first = c->vectors[c->memory_floats - 1] == 0;
    for (int i = 0; i < c->n; i++) {
        lti_tracker *t = &c->target[i].track;
        lti_tracker_changed(t);
        if (first)
            lti_tracker_restart(t, c->seed, (uint32_t)i);
        LT_TRY(first ? lti_tracker_step(t, COLD_STEPS, tracker_shift) : lti_tracker_follow(t, tracker_shift));
    }
    c->vectors[c->memory_floats - 1] = 1;
    (void)step;
    return LT_OK;
}

// After the last update: the model that is saved keeps the promise.
static lt_status clip_finally(lt_clipper *c, unsigned *did)
{
    lt_clip_report report;
    LT_TRY(lt_clip_model(c->model, &c->cfg, c->seed + 1, c->env, &report));
    for (int i = 0; i < report.n_layers; i++)
        *did |= report.layer[i].events > 0 ? LT_UPDATE_CHANGED : 0;
    *did |= c->cfg.clip_bn > 0 ? LT_UPDATE_CHANGED : 0;
    lt_clip_report_clear(&report);
    return LT_OK;
}

lt_status lti_clipper_after_update(lt_job *job, const lt_step *step, unsigned *did, void *ctx)
{
    lt_clipper *c = ctx;
    const double start_s = lti_now_s();
    const int64_t every = c->cfg.clip_every > 0 ? c->cfg.clip_every : c->has_bn ? 50 : 100;
    bool changed = false;
    if (lti_clip_rule_of(c->cfg.clip_rule)->repeats)
        LT_TRY(follow(c, step));
    if (step->step % every == 0 || step->ends_epoch)
        LT_TRY(lt_clipper_event(c, (uint32_t)step->step, &changed));
    *did |= changed ? LT_UPDATE_CHANGED : 0;
    if (step->ends_epoch && step->epoch + 1 == job->cfg.epochs && c->cfg.clip_final)
        LT_TRY(clip_finally(c, did));
    c->wall_s += lti_now_s() - start_s;
    return LT_OK;
}

size_t lti_clipper_memory_floats(const lt_clipper *c)
{
    size_t n = 1;
    for (int i = 0; i < c->n; i++)
        n += (size_t)(c->target[i].track.k * c->target[i].track.n_in);
    return n;
}

// The vectors live where checkpoints find them.
void lti_clipper_use_memory(lt_clipper *c, float *memory)
{
    float *at = memory;
    c->vectors = memory;
    c->memory_floats = lti_clipper_memory_floats(c);
    for (int i = 0; i < c->n; i++) {
        lti_tracker *t = &c->target[i].track;
        if (t->owns_v)
            lti_free(t->v);
        t->owns_v = false;
        t->v = at;
        at += t->k * t->n_in;
    }
}

lt_status lt_clipper_attach(lt_clipper *c, lt_job *job)
{
    if (job->after_update || job->memory)
        return LT_FAIL(LT_E_USAGE, "clipping: the job has a hook after its updates already");
    c->memory = lti_calloc(lti_clipper_memory_floats(c), sizeof *c->memory);
    if (!c->memory)
        return LTI_NOMEM("clipping");
    lti_clipper_use_memory(c, c->memory);
    job->after_update = lti_clipper_after_update;
    job->after_ctx = c;
    job->memory = c->memory;
    job->memory_bytes = c->memory_floats * sizeof *c->memory;
    return LT_OK;
}
