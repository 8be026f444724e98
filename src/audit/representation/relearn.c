// relearn.c - how fast a copy of a model learns the forget set again.
//
// One epoch over a list of rows that holds the forget set as often as the steps need it, each time in another order, is
// one training job: batches, and so the comparison between models, depend on the seed alone.
#include "audit/audit_impl.h"
#include "audit/representation/representation_impl.h"
#include <math.h>
#include "model/model_impl.h"
#include "unlearn/recipe.h"
#include <string.h>

typedef struct watch { // what the step hook needs
    lt_evaluator *evaluator;
    lt_view forget, test;
    const lt_representation_cfg *cfg;
    lt_relearn *curve;
    lt_status status;
    lt_error error;
} watch;

static lt_status record(watch *w, int64_t step)
{
    lt_relearn *c = w->curve;
    lt_eval_result forget, test;
    LT_TRY(lt_evaluator_run(w->evaluator, &w->forget, NULL, NULL, &forget));
    LT_TRY(lt_evaluator_run(w->evaluator, &w->test, NULL, NULL, &test));
    c->step[c->n] = step;
    c->forget_acc[c->n] = forget.acc;
    c->forget_loss[c->n] = forget.loss;
    c->test_acc[c->n] = test.acc;
    c->test_loss[c->n] = test.loss;
    c->n++;
    return LT_OK;
}

// A hook cannot fail: the first failure is kept, and reported when the job is done.
static void after_step(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    watch *w = ctx;
    if (w->status != LT_OK || (step->step % w->cfg->relearn_every != 0 && step->step != w->cfg->relearn_steps))
        return;
    w->status = record(w, step->step);
    if (w->status != LT_OK)
        w->error = *lt_error_get();
}

static lt_status curve_init(const lt_representation_cfg *cfg, lt_relearn *c)
{
    const size_t n = (size_t)(cfg->relearn_steps / cfg->relearn_every) + 2;
    double **column[] = {&c->forget_acc, &c->forget_loss, &c->test_acc, &c->test_loss};
    c->step = lti_calloc(n, sizeof *c->step);
    bool memory = c->step != NULL;
    for (size_t i = 0; i < sizeof column / sizeof *column; i++) {
        *column[i] = lti_calloc(n, sizeof(double));
        memory = memory && *column[i];
    }
    return memory ? LT_OK : LTI_NOMEM("relearning curve");
}

// rows (n): round after round of the forget set, each in an order of its own.
static lt_status make_rows(const lt_index_set *forget, uint64_t seed, int64_t n, int64_t *rows)
{
    int64_t *perm = lti_calloc((size_t)forget->n, sizeof *perm);
    if (!perm)
        return LTI_NOMEM("relearning order");
    for (int64_t i = 0; i < n; i++) {
        const int64_t round = i / forget->n, at = i % forget->n;
        if (at == 0)
            lt_rng_permutation(seed, LT_STREAM_AUDIT, LTI_DRAW_RELEARN + (uint32_t)round, forget->n, perm);
        rows[i] = forget->row[perm[at]];
    }
    lti_free(perm);
    return LT_OK;
}

static lt_status train(lt_model *copy, const lt_dataset *ds, const lt_index_set *rows, uint64_t seed, const lt_env *env,
                       watch *w)
{
    lt_job job = {.model = copy,
                  .seed = seed,
                  .n_phases = 1,
                  .bn_eval = true,
                  .on_step = after_step,
                  .step_ctx = w,
                  .step_only = true};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.epochs = 1;
    job.cfg.batch = w->cfg->relearn_batch;
    job.cfg.lr = w->cfg->relearn_lr;
    job.cfg.weight_decay = 0;
    job.cfg.schedule = LT_SCHED_CONST;
    job.cfg.augment = false;
    job.cfg.divergence_factor = 0;
    job.phase[0].view[0] = lt_view_rows(ds, LT_TRAIN, rows);
    job.phase[0].n_views = 1;
    LT_TRY(record(w, 0));
    LT_TRY(lt_train_run(&job, env, NULL, false, NULL));
    if (w->status != LT_OK)
        lt_error_restore(&w->error);
    return w->status;
}

// New rows, and biases, of the last layer for the classes of the forgotten samples, as before any training.
static lt_status reinit_rows(lt_model *copy, const lt_dataset *ds, const lt_index_set *forget, uint64_t seed)
{
    const int64_t k = copy->shape.n_classes;
    lt_model *fresh = NULL;
    lt_val param[2];
    uint8_t *touched = lti_calloc((size_t)k, sizeof *touched);
    lt_status status = touched ? lt_model_dup(copy, &fresh) : LTI_NOMEM("classes");
    for (int64_t i = 0; status == LT_OK && i < forget->n; i++)
        touched[ds->split[LT_TRAIN].y[forget->row[i]]] = 1;
    if (status == LT_OK)
        lt_model_init(fresh, seed);
    const int n = status == LT_OK ? lti_last_layer(copy, param) : 0;
    for (int p = 0; p < n; p++) {
        lt_value_info info;
        if (!lti_model_tensor(copy, param[p], &info))
            continue;
        const int64_t per = lti_model_shape_count(&info.shape) / k; // (K,d) or (K)
        for (int64_t c = 0; c < k; c++)
            if (touched[c])
                memcpy(copy->params + info.slab_offset + c * per, fresh->params + info.slab_offset + c * per,
                       (size_t)per * sizeof *copy->params);
    }
    lt_model_destroy(fresh);
    lti_free(touched);
    return status;
}

lt_status lt_relearn_run(const lt_model *model, const lt_dataset *ds, const lt_index_set *forget, const lt_view *test,
                         const lt_representation_cfg *cfg, uint64_t seed, const lt_env *env, lt_relearn *curve)
{
    *curve = (lt_relearn){0};
    if (forget->n < 1 || test->n < 1)
        return LT_FAIL(LT_E_USAGE, "relearning: %lld forgotten and %lld test samples, expected at least one of each",
                       (long long)forget->n, (long long)test->n);
    lt_model *copy = NULL;
    lt_index_set rows = {.n = (int64_t)cfg->relearn_steps * cfg->relearn_batch};
    watch w = {.forget = lt_view_rows(ds, LT_TRAIN, forget), .test = *test, .cfg = cfg, .curve = curve};
    lt_status status = LT_OK;
    LT_TRY_GOTO(curve_init(cfg, curve), done);
    rows.row = lti_calloc((size_t)rows.n, sizeof *rows.row);
    if (!rows.row) {
        status = LTI_NOMEM("relearning order");
        goto done;
    }
    LT_TRY_GOTO(make_rows(forget, seed, rows.n, rows.row), done);
    LT_TRY_GOTO(lt_model_dup(model, &copy), done);
    if (cfg->relearn_reinit)
        LT_TRY_GOTO(reinit_rows(copy, ds, forget, seed), done);
    LT_TRY_GOTO(lt_evaluator_create(copy, env, 128, &w.evaluator), done);
    LT_TRY_GOTO(train(copy, ds, &rows, seed, env, &w), done);
done:
    lt_evaluator_destroy(w.evaluator);
    lt_model_destroy(copy);
    lti_free(rows.row);
    if (status != LT_OK)
        lt_relearn_clear(curve);
    return status;
}

void lt_relearn_clear(lt_relearn *c)
{
    lti_free(c->step);
    lti_free(c->forget_acc);
    lti_free(c->forget_loss);
    lti_free(c->test_acc);
    lti_free(c->test_loss);
    *c = (lt_relearn){0};
}

double lt_relearn_area(const int64_t *step, const double *value, int n)
{
    double area = 0;
    for (int i = 1; i < n; i++)
        area += 0.5 * (value[i - 1] + value[i]) * (double)(step[i] - step[i - 1]);
    return n < 1 ? (double)NAN : n == 1 ? value[0] : area / (double)(step[n - 1] - step[0]);
}

double lt_relearn_reach(const int64_t *step, const double *value, int n, double threshold)
{
    for (int i = 0; i < n; i++) {
        if (value[i] < threshold)
            continue;
        if (i == 0)
            return (double)step[0];
        const double part = (threshold - value[i - 1]) / (value[i] - value[i - 1]);
        return (double)step[i - 1] + part * (double)(step[i] - step[i - 1]);
    }
    return (double)NAN;
}
