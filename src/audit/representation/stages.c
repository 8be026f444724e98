// stages.c - features of every named stage of a model: the mean over the map of each channel, in evaluation mode.
//
// The means are nodes of a copy of the model's graph and outputs of one plan, so that all stages cost one forward pass.
#include "audit/representation/representation_impl.h"
#include "train/train_impl.h"
#include <math.h>
#include <string.h>

enum { MAX_STAGES = 64 };

typedef struct reader {
    const lt_model *model;
    lt_graph *graph;
    lt_val out[MAX_STAGES]; // (N,width)
    lti_plans plans;
    lt_features *f;
    int64_t done;
    double emit_s;
} reader;

void lt_features_destroy(lt_features *f)
{
    if (!f)
        return;
    for (int i = 0; i < f->n_stages; i++) {
        if (f->name)
            lti_free(f->name[i]);
        if (f->x)
            lti_free(f->x[i]);
    }
    lti_free(f->name);
    lti_free(f->width);
    lti_free(f->x);
    lti_free(f);
}

static lt_status make_features(const lt_model *model, int64_t n, const lt_val *stage, int n_stages, lt_features *f)
{
    f->n = n;
    f->name = lti_calloc((size_t)n_stages, sizeof *f->name);
    f->width = lti_calloc((size_t)n_stages, sizeof *f->width);
    f->x = lti_calloc((size_t)n_stages, sizeof *f->x);
    if (!f->name || !f->width || !f->x)
        return LTI_NOMEM("features");
    f->n_stages = n_stages;
    for (int i = 0; i < n_stages; i++) {
        lt_value_info info;
        size_t count = 0;
        LT_TRY(lt_graph_value(model->graph, stage[i], &info));
        f->width[i] = info.shape.dim[1];
        f->name[i] = lti_strdup(info.name);
        if (!f->name[i] || lti_mul_size((size_t)n, (size_t)f->width[i], &count) ||
            !(f->x[i] = lti_calloc(count, sizeof(float))))
            return LTI_NOMEM("features");
    }
    return LT_OK;
}

static lt_status build(reader *r, const lt_val *stage, const lt_env *env)
{
    const lt_model *model = r->model;
    LT_TRY(lt_graph_dup(model->graph, &r->graph));
    for (int i = 0; i < r->f->n_stages; i++) {
        lt_value_info info;
        LT_TRY(lt_graph_value(r->graph, stage[i], &info));
        r->out[i] = info.shape.n_dims == 4 ? lt_global_avg_pool(r->graph, stage[i]) : stage[i];
    }
    LT_TRY(lt_graph_status(r->graph));
    r->plans = (lti_plans){.graph = r->graph,
                           .backend = env->backend,
                           .params = model->params, // a plan without gradients in evaluation mode only reads its slabs
                           .state = model->state,
                           .spec = {.outs = r->out,
                                    .n_outs = r->f->n_stages,
                                    .grad_of = LT_NONE,
                                    .seed = LT_NONE,
                                    .dtype = LT_F32,
                                    .flags = env->plan_flags}};
    return LT_OK;
}

static lt_status read_batch(reader *r, const lt_batch *b, int64_t batch)
{
    const lt_model_shape *s = &r->model->shape;
    const size_t per = (size_t)s->c * (size_t)s->h * (size_t)s->w;
    lt_plan *plan = NULL;
    LT_TRY(lti_plans_get(&r->plans, batch, &plan)); // a last partial batch runs padded: samples are independent
    float *x = lt_plan_buffer(plan, r->model->x);
    memcpy(x, b->x, (size_t)b->n * per * sizeof *x);
    memset(x + (size_t)b->n * per, 0, (size_t)(batch - b->n) * per * sizeof *x);
    LT_TRY(lt_plan_run(plan));
    for (int i = 0; i < r->f->n_stages; i++) {
        const int64_t width = r->f->width[i];
        const float *from = lt_plan_buffer(plan, r->out[i]);
        for (int64_t j = 0; j < b->n * width; j++)
            if (!isfinite(from[j]))
                return LT_FAIL(LT_E_DIVERGED, "stage %s: channel %lld of sample id %lld is not finite", r->f->name[i],
                               (long long)(j % width), (long long)b->id[j / width]);
        memcpy(r->f->x[i] + r->done * width, from, (size_t)(b->n * width) * sizeof *from);
    }
    r->done += b->n;
    return LT_OK;
}

static void progress(reader *r, const lt_env *env)
{
    const double now = lti_now_s();
    if (now - r->emit_s < 0.2 && r->done < r->f->n)
        return;
    r->emit_s = now;
    lt_emit(env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                     .name = "depth.features",
                                     .done = r->done,
                                     .total = r->f->n,
                                     .unit = "images",
                                     .epoch = -1,
                                     .step = -1});
}

static lt_status read_all(reader *r, lt_loader *loader, const lt_env *env, int64_t batch)
{
    LT_TRY(lt_loader_start(loader, 0, 0));
    for (;;) {
        const lt_batch *b = NULL;
        if (lt_interrupted(env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "features interrupted after %lld of %lld images", (long long)r->done,
                           (long long)r->f->n);
        LT_TRY(lt_loader_next(loader, &b));
        if (b->n == 0)
            return LT_OK;
        LT_TRY(read_batch(r, b, batch));
        progress(r, env);
    }
}

lt_status lt_features_compute(const lt_model *model, const lt_view *view, const lt_env *env, int64_t batch,
                              lt_features **features)
{
    lt_view plain = *view;
    lt_val stage[MAX_STAGES];
    const int n_stages = lt_model_stages(model, stage, MAX_STAGES);
    *features = NULL;
    plain.augment = false;
    plain.relabel = LT_RELABEL_NONE;
    LT_TRY(lti_env_check(env));
    LT_TRY(lti_job_view_check(model, &plain, "features"));
    if (batch < 1 || batch > 65536)
        return LT_FAIL(LT_E_USAGE, "features: expected a batch of 1 to 65536 images, found %lld", (long long)batch);
    if (n_stages < 1 || n_stages > MAX_STAGES)
        return LT_FAIL(LT_E_UNSUPPORTED, "features: %s names %d stages, expected 1 to %d", model->spec, n_stages,
                       MAX_STAGES);
    batch = batch < plain.n ? batch : plain.n;
    reader r = {.model = model, .f = lti_calloc(1, sizeof *r.f)};
    const lt_loader_spec spec = {
        .views = &plain, .n_views = 1, .batch = batch, .n_threads = env->loader_threads, .pad = 4};
    lt_loader *loader = NULL;
    lt_status status = r.f ? LT_OK : LTI_NOMEM("features");
    if (status != LT_OK)
        return status;
    LT_TRY_GOTO(make_features(model, plain.n, stage, n_stages, r.f), done);
    LT_TRY_GOTO(build(&r, stage, env), done);
    LT_TRY_GOTO(lt_loader_create(&spec, &loader), done);
    LT_TRY_GOTO(read_all(&r, loader, env, batch), done);
    *features = r.f;
    r.f = NULL;
done:
    lt_loader_destroy(loader);
    lti_plans_clear(&r.plans);
    lt_graph_destroy(r.graph);
    lt_features_destroy(r.f);
    return status;
}
