// unlearn.c - runs a method: checks that it has what it needs, lets it describe its job, trains, measures the change.
#include "unlearn/class_targets.h"
#include "unlearn/recipe.h"
#include "model/model_impl.h"
#include "train/end_early.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

void lt_unlearn_result_clear(lt_unlearn_result *result)
{
    for (int i = 0; i < result->n_layers; i++)
        lti_free(result->layer[i].name);
    lti_free(result->layer);
    lt_adv_set_destroy(result->adv);
    *result = (lt_unlearn_result){0};
}

// ---- checks, before anything is changed

static lt_status check_rows(const lt_unlearn_in *in, const lt_index_set *set, const char *name, uint8_t *seen)
{
    int64_t n = in->ds->split[LT_TRAIN].n;
    for (int64_t i = 0; i < set->n; i++) {
        int64_t row = set->row[i];
        if (row < 0 || row >= n)
            return LT_FAIL(LT_E_FORMAT, "%s set: expected rows 0..%lld of the training split, found %lld", name,
                           (long long)n - 1, (long long)row);
        if (seen[row]++)
            return LT_FAIL(LT_E_FORMAT, "%s set: row %lld occurs twice, or in both the forget and the retain set", name,
                           (long long)row);
    }
    return LT_OK;
}

static lt_status check_sets(const lt_unlearn_in *in)
{
    uint8_t *seen = lti_calloc((size_t)in->ds->split[LT_TRAIN].n, 1);
    if (!seen)
        return LTI_NOMEM("index sets");
    lt_status status = check_rows(in, in->forget, "forget", seen);
    if (status == LT_OK && in->retain)
        status = check_rows(in, in->retain, "retain", seen);
    lti_free(seen);
    return status;
}

static lt_status check_stream(const lt_unlearn_in *in)
{
    const lt_unlearn_stream *s = in->stream;
    if (strcmp(s->first->spec, in->model->spec) != 0 || s->first->n_params != in->model->n_params)
        return LT_FAIL(LT_E_SHAPE, "stream of requests: the first model is %s, this one %s", s->first->spec,
                       in->model->spec);
    uint8_t *named = lti_calloc((size_t)in->ds->split[LT_TRAIN].n, 1);
    if (!named)
        return LTI_NOMEM("index sets");
    lt_status status = check_rows(in, s->all, "stream", named);
    for (int64_t i = 0; status == LT_OK && i < in->forget->n; i++)
        if (!named[in->forget->row[i]])
            status = LT_FAIL(LT_E_USAGE, "stream of requests: row %lld of this one is not among those of all",
                             (long long)in->forget->row[i]);
    lti_free(named);
    return status;
}

static lt_status check_classes(const lt_unlearn_method *method, const lt_unlearn_in *in)
{
    lti_class_set set;
    LT_TRY(lti_class_set_make(in, method->name, &set));
    lti_class_set_clear(&set);
    return LT_OK;
}

static lt_status check_recipe(const lt_unlearn_method *method, const lt_unlearn_in *in)
{
    for (int i = 0; i <= in->n_earlier; i++) {
        const lt_train_cfg *cfg = i < in->n_earlier ? &in->earlier[i].cfg : in->train_cfg;
        if (cfg->epochs < 1)
            return LT_FAIL(LT_E_USAGE, "%s: training %d of %d in the recipe of the original model has no epochs",
                           method->name, i + 1, in->n_earlier + 1);
        if (i < in->n_earlier && in->earlier[i].retain->n < 1)
            return LT_FAIL(LT_E_USAGE, "%s: training %d of %d: expected samples that are not forgotten, found none",
                           method->name, i + 1, in->n_earlier + 1);
    }
    return LT_OK;
}

lt_status lt_unlearn_check(const lt_unlearn_method *method, const lt_unlearn_in *in)
{
    bool has_retain = in->retain && in->retain->n > 0;
    if (!in->forget || in->forget->n < 1)
        return LT_FAIL(LT_E_USAGE, "%s: expected at least one sample to forget, found none", method->name);
    if (method->needs & LT_NEED_RETAIN && !in->use_retain) {
        (void)LT_FAIL(LT_E_USAGE, "%s: this method learns from the retain set and cannot run with forget data only",
                      method->name);
        return lt_error_hint("allow retain data, or choose amun, rl, ga or boundary-shrink");
    }
    if (in->use_retain && !has_retain)
        return LT_FAIL(LT_E_USAGE, "%s: expected at least one sample in the retain set, found none", method->name);
    if (method->needs & LT_FROM_SCRATCH && !in->train_cfg) {
        (void)LT_FAIL(LT_E_USAGE, "%s: expected the training recipe of the original model, found none", method->name);
        return lt_error_hint("say how it was trained: --epochs N --lr X ..., or --recipe FILE.yaml (a model trained by "
                             "another recipe is no oracle)");
    }
    if (method->needs & LT_FROM_SCRATCH)
        LT_TRY(check_recipe(method, in));
    if (in->until && (!(method->needs & LT_FINE_TUNES) || method->run))
        return LT_FAIL(LT_E_USAGE,
                       "%s: expected a method that fine-tunes with --until, found one without epochs to end",
                       method->name);
    const lt_model_shape *m = &in->model->shape;
    if (m->c != in->ds->c || m->h != in->ds->h || m->w != in->ds->w || m->n_classes != in->ds->n_classes)
        return LT_FAIL(LT_E_SHAPE, "%s: the model takes %dx%dx%d images of %d classes, the data has %dx%dx%d of %d",
                       method->name, m->c, m->h, m->w, m->n_classes, in->ds->c, in->ds->h, in->ds->w,
                       in->ds->n_classes);
    LT_TRY(check_sets(in));
    if (method->needs & LT_WHOLE_CLASSES)
        LT_TRY(check_classes(method, in));
    return in->stream ? check_stream(in) : LT_OK;
}

// ---- the run

// The change of every parameter tensor, and of all together. before (n_params): what they were.
static lt_status measure_delta(const lt_model *model, const float *before, lt_unlearn_result *result)
{
    const int32_t n_values = lt_graph_n_values(model->graph);
    double all = 0.0;
    result->layer = lti_calloc((size_t)n_values, sizeof *result->layer);
    if (!result->layer)
        return LTI_NOMEM("change per layer");
    for (lt_val v = 0; v < n_values; v++) {
        lt_value_info info;
        double sum = 0.0, norm = 0.0;
        if (!lti_model_tensor(model, v, &info) || info.role != LT_ROLE_PARAM)
            continue;
        for (int64_t i = info.slab_offset; i < info.slab_offset + lti_model_shape_count(&info.shape); i++) {
            const double was = (double)before[i], d = (double)model->params[i] - was;
            sum += d * d;
            norm += was * was;
        }
        char *name = lti_strdup(info.name);
        if (!name)
            return LTI_NOMEM("change per layer");
        result->layer[result->n_layers++] = (lt_layer_delta){name, sqrt(sum), sqrt(norm)};
        all += sum;
    }
    result->delta_norm_l2 = sqrt(all);
    return LT_OK;
}

static int64_t count_free(const uint8_t *mask, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; mask && i < n; i++)
        count += mask[i] != 0;
    return mask ? count : n;
}

static lt_status train(const lt_unlearn_in *in, lt_job *job, lt_train_result *result)
{
    char *checkpoint = NULL;
    if (in->run_dir && !(checkpoint = lti_asprintf("%s/state.safetensors", in->run_dir)))
        return LTI_NOMEM("path");
    const lti_end_early end = in->until ? (lti_end_early){in->until->ask, in->until->ctx} : (lti_end_early){NULL, NULL};
    lt_status status = lti_train_run_until(job, in->env, checkpoint, in->resume, &end, result);
    lti_free(checkpoint);
    return status;
}

// The trainings before the last one, without the forgotten samples. Each leaves a checkpoint of its own, from which a
// resumed run takes its result at once.
static lt_status train_earlier(const lt_unlearn_in *in, lt_train_result *total)
{
    for (int i = 0; i < in->n_earlier; i++) {
        const lt_train_stage *s = &in->earlier[i];
        lt_train_result result = {0};
        lt_job job = {.model = in->model, .seed = in->seed, .cfg = s->cfg};
        lt_view view = lt_view_rows(s->ds, LT_TRAIN, s->retain);
        view.augment = s->cfg.augment;
        lti_add_view(&job, lti_add_phase(&job, true), view);
        if (s->prepare)
            LT_TRY(s->prepare(s->prepare_ctx, &job));
        char *checkpoint = in->run_dir ? lti_asprintf("%s/stage-%d.safetensors", in->run_dir, i + 1) : NULL;
        if (in->run_dir && !checkpoint)
            return LTI_NOMEM("path");
        lt_note(in->env->events, "unlearn.stage", "training %d of %d, on %lld samples of %s", i + 1, in->n_earlier + 1,
                (long long)s->retain->n, s->ds->spec);
        lt_status status = lt_train_run(&job, in->env, checkpoint, in->resume, &result);
        lti_free(checkpoint);
        LT_TRY(status);
        total->epochs += result.epochs;
        total->steps += result.steps;
        total->n_forward += result.n_forward;
        total->n_backward += result.n_backward;
    }
    return LT_OK;
}

static void remove_stages(const lt_unlearn_in *in)
{
    for (int i = 0; in->run_dir && i < in->n_earlier; i++) {
        char *checkpoint = lti_asprintf("%s/stage-%d.safetensors", in->run_dir, i + 1);
        if (checkpoint)
            (void)unlink(checkpoint);
        lti_free(checkpoint);
    }
}

static lt_status train_all(const lt_unlearn_method *method, const lt_unlearn_in *in, lt_job *job,
                           lt_train_result *result)
{
    lt_train_result before = {0};
    if (method->needs & LT_FROM_SCRATCH) {
        lt_model_init(in->model, in->seed);
        LT_TRY(train_earlier(in, &before));
        if (in->prepare_training)
            LT_TRY(in->prepare_training(in->prepare_ctx, job));
    }
    LT_TRY(train(in, job, result));
    result->epochs += before.epochs;
    result->steps += before.steps;
    result->n_forward += before.n_forward;
    result->n_backward += before.n_backward;
    remove_stages(in);
    return LT_OK;
}

// By a job: the method's plan, the trainer, the method's last word.
static lt_status run_job(const lt_unlearn_method *method, const lt_unlearn_in *in, const void *cfg,
                         lti_setting *setting, lt_unlearn_plan_ctx *ctx, lt_unlearn_result *result)
{
    enum { LINE_MAX_BYTES = 512 };
    lt_job job = {.model = in->model, .seed = in->seed};
    LT_TRY(method->plan(in, cfg, ctx, &job));
    if (method->needs & LT_FINE_TUNES) {
        char line[LINE_MAX_BYTES];
        LT_TRY(lti_set_lr(method, setting, &job));
        result->setup = setting->setup;
        lt_unlearn_setup_text(method->name, &setting->setup, line, sizeof line);
        lt_note(in->env->events, "unlearn.setup", "%s", line);
        if (setting->setup.lr_area_wanted > setting->setup.lr_area)
            lt_warn(in->env->events, "unlearn.area",
                    "%s: a learning-rate area of %.3g needs a rate above %.3g, the largest of the base run; with it "
                    "the area is %.3g",
                    method->name, setting->setup.lr_area_wanted, (double)setting->lr_cap, setting->setup.lr_area);
    }
    const double start_s = lti_now_s();
    if (method->begin)
        LT_TRY(method->begin(in, cfg, ctx, &job));
    LT_TRY(train_all(method, in, &job, &result->train));
    if (method->finish)
        LT_TRY(method->finish(in, cfg, ctx, &job));
    result->update_s = ctx->plan_s + lti_now_s() - start_s;
    return LT_OK;
}

static lt_status run_alone(const lt_unlearn_method *method, const lt_unlearn_in *in, const void *cfg,
                           lt_unlearn_plan_ctx *ctx, lt_unlearn_result *result)
{
    const double start_s = lti_now_s();
    LT_TRY(method->run(in, cfg, ctx));
    result->update_s = lti_now_s() - start_s - ctx->mask_s;
    return LT_OK;
}

static void account(const lt_unlearn_in *in, const lt_unlearn_plan_ctx *ctx, lt_unlearn_result *result)
{
    result->mask_s = ctx->mask_s;
    result->mask = ctx->mask_passes;
    result->update = (lt_passes){result->train.n_forward + ctx->update_passes.n_forward,
                                 result->train.n_backward + ctx->update_passes.n_backward};
    if (ctx->adv) {
        result->search_s = ctx->adv->search_s;
        result->search = (lt_passes){ctx->adv->n_forward, ctx->adv->n_backward};
    }
    result->n_trainable = count_free(ctx->mask, in->model->n_params);
}

static lt_status run_method(const lt_unlearn_method *method, const lt_unlearn_in *in, void *cfg,
                            lt_unlearn_plan_ctx *ctx, const float *before, lt_unlearn_result *result)
{
    lti_setting own = {0}, *setting = &own;
    if (method->needs & LT_FINE_TUNES)
        LT_TRY(lti_fill_defaults(method, in, cfg, setting));
    if (method->run)
        LT_TRY(run_alone(method, in, cfg, ctx, result));
    else
        LT_TRY(run_job(method, in, cfg, setting, ctx, result));
    account(in, ctx, result);
    LT_TRY(measure_delta(in->model, before, result));
    const bool stands_still = !isnan(setting->area) && setting->area == 0 && (method->needs & LT_FINE_TUNES);
    if (!(result->delta_norm_l2 > 0.0) && !stands_still) {
        (void)LT_FAIL(LT_E_CHECK, "%s: the parameters did not change in %lld steps; %lld of %lld were free to",
                      method->name, (long long)result->train.steps, (long long)result->n_trainable,
                      (long long)in->model->n_params);
        return lt_error_hint("raise the strength of the method (lr-area, alpha) or free more parameters");
    }
    return LT_OK;
}

lt_status lt_unlearn_run(const lt_unlearn_method *method, const lt_unlearn_in *in, const void *cfg,
                         lt_unlearn_result *result)
{
    *result = (lt_unlearn_result){0};
    LT_TRY(lt_unlearn_check(method, in));
    size_t bytes = (size_t)in->model->n_params * sizeof *in->model->params;
    float *before = lti_malloc(bytes);
    if (!before)
        return LTI_NOMEM("copy of the parameters");
    memcpy(before, in->model->params, bytes);
    void *filled = lti_calloc(1, method->cfg_size + 1); // what the options leave open is filled in
    if (!filled) {
        lti_free(before);
        return LTI_NOMEM("options");
    }
    if (method->cfg_size)
        memcpy(filled, cfg, method->cfg_size);
    lt_unlearn_plan_ctx ctx = {0};
    lt_status status = run_method(method, in, filled, &ctx, before, result);
    if (ctx.own)
        ctx.own_free(ctx.own);
    lti_free(ctx.mask);
    lti_free(filled);
    lti_free(before);
    result->adv = ctx.adv;
    if (status != LT_OK)
        lt_unlearn_result_clear(result);
    return status;
}
