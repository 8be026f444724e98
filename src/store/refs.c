// refs.c - trains reference models as a population, measures what that costs, and evaluates them.
//
// A reference model is an ordinary job over two views, its half of the training split and its half of the test split,
// both augmented [AMUN 4.3]. Views of test samples have another tag, because official ids of the two splits overlap and
// augmentation is a function of tag and id.
#include "store_impl.h"
#include "lethe/machine.h"
#include <math.h>
#include <stdatomic.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { MEASURED_STEPS = 6, EVAL_BATCH = 128 };

typedef struct halves { // the rows of both splits that train one model
    lt_index_set rows[2];
} halves;

static void halves_clear(halves *h)
{
    lti_free(h->rows[LT_TRAIN].row);
    lti_free(h->rows[LT_TEST].row);
    *h = (halves){0};
}

static lt_status halves_make(const lt_ref_plan *plan, int r, halves *h)
{
    const uint8_t *mask = plan->member + (int64_t)r * plan->n;
    *h = (halves){0};
    for (int s = LT_TRAIN; s <= LT_TEST; s++) {
        const int64_t n = plan->request.ds->split[s].n;
        lt_index_set *rows = &h->rows[s];
        rows->row = lti_malloc((size_t)n * sizeof *rows->row);
        if (!rows->row) {
            halves_clear(h);
            return LTI_NOMEM("rows of a reference model");
        }
        for (int64_t i = 0; i < n; i++)
            if (mask[i])
                rows->row[rows->n++] = i;
        mask += n;
    }
    return LT_OK;
}

static lt_status make_model(const lt_ref_plan *plan, int r, lt_model **model)
{
    const lt_dataset *ds = plan->request.ds;
    LT_TRY(lt_model_create(plan->request.model, (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, model));
    lt_model_init(*model, plan->ref[r].seed);
    return LT_OK;
}

static lt_job make_job(const lt_ref_plan *plan, int r, const halves *h, lt_model *model)
{
    lt_job job = {.model = model, .cfg = plan->request.train, .n_phases = 1, .seed = plan->ref[r].seed};
    lt_phase *phase = &job.phase[0];
    phase->shuffle = true;
    for (int s = LT_TRAIN; s <= LT_TEST; s++) {
        if (h->rows[s].n == 0)
            continue;
        lt_view *view = &phase->view[phase->n_views++];
        *view = lt_view_rows(plan->request.ds, (lt_split)s, &h->rows[s]);
        view->augment = true;
        view->tag = s;
    }
    return job;
}

// Runs the job, with clipping where the recipe has it: layers of references are bounded as those of the original are.
static lt_status run_job(const lt_ref_plan *plan, lt_job *job, const lt_env *env, const char *state, lt_train_result *t)
{
    const lt_clip_cfg *clip = &plan->request.clip;
    lt_clipper *clipper = NULL;
    lt_status status = LT_OK;
    if (lt_clip_is_on(clip)) {
        LT_TRY(lt_clipper_create(job->model, clip, job->seed, env, &clipper));
        status = lt_clipper_attach(clipper, job);
    }
    if (status == LT_OK)
        status = lt_train_run(job, env, state, state != NULL, t);
    lt_clipper_destroy(clipper);
    return status;
}

static lt_population population(const lt_ref_env *env, int n)
{
    return (lt_population){.n = n,
                           .n_workers = env->n_workers,
                           .backend = env->backend,
                           .noun = "reference model",
                           .events = env->events,
                           .stop = env->stop};
}

// ---- training

static lt_status set_meta(const lt_ref_plan *plan, const lt_ref *ref, const json_t *recipe, lt_model *model)
{
    char seed[32];
    char *text = json_dumps(recipe, JSON_COMPACT);
    lt_status status = text ? LT_OK : LTI_NOMEM("recipe");
    lti_format(seed, sizeof seed, "%llu", (unsigned long long)ref->seed);
    const char *const meta[][2] = {
        {"lethe.data", plan->request.ds->spec}, {"lethe.data_digest", plan->request.ds->digest}, {"lethe.recipe", text},
        {"lethe.store_address", ref->address},  {"lethe.mask_digest", ref->mask_digest},         {"lethe.seed", seed}};
    for (size_t i = 0; i < sizeof meta / sizeof *meta && status == LT_OK; i++)
        status = lt_model_set_meta(model, meta[i][0], meta[i][1]);
    free(text);
    if (status == LT_OK)
        status = lt_clip_set_meta(model, &plan->request.clip);
    if (status == LT_OK)
        status = lt_model_set_class_names(model, plan->request.ds->class_names);
    return status;
}

static lt_status write_record(const lt_ref_plan *plan, int r, const lti_entry *e, const lt_model *model,
                              const lt_train_result *t, const lt_env *env)
{
    const lt_ref_request *q = &plan->request;
    const lt_ref *ref = &plan->ref[r];
    char digest[65], recipe_digest[65];
    json_t *recipe;
    LT_TRY(lti_ref_recipe(q, &recipe, recipe_digest));
    lt_model_digest(model, digest);
    json_t *record = json_pack(
        "{s:i, s:s, s:s, s:s, s:s, s:s, s:I, s:o, s:i, s:i, s:I, s:I, s:I, s:s, s:s, s:f, s:f, s:I}", "format", 1,
        "address", ref->address, "model", q->model, "data", q->ds->spec, "data_digest", q->ds->digest, "mask_digest",
        ref->mask_digest, "seed", (json_int_t)ref->seed, "recipe", recipe, "reference", r, "count", q->count,
        "keep_seed", (json_int_t)q->inclusion_seed, "n", (json_int_t)plan->n, "n_samples", (json_int_t)ref->n_samples,
        "model_digest", digest, "backend", lt_backend_version(env->backend), "train_acc",
        isfinite(t->train_acc) ? t->train_acc : 0.0, "wall_s", t->wall_s, "created", (json_int_t)time(NULL));
    lt_status status = record ? lti_entry_write(e, record) : LTI_NOMEM("record of a reference model");
    json_decref(record);
    return status;
}

static lt_status finish(const lt_ref_plan *plan, int r, const lti_entry *e, lt_model *model, const lt_train_result *t,
                        const lt_env *env)
{
    json_t *recipe;
    char digest[65];
    LT_TRY(lti_ref_recipe(&plan->request, &recipe, digest));
    lt_status status = set_meta(plan, &plan->ref[r], recipe, model);
    json_decref(recipe);
    LT_TRY(status);
    LT_TRY(lt_model_save(model, e->model));
    LT_TRY(write_record(plan, r, e, model, t, env));
    unlink(e->state); // of no use any more; when it stays, nothing reads it
    return LT_OK;
}

static lt_status train_entry(const lt_ref_plan *plan, int r, const lti_entry *e, const lt_env *env)
{
    lt_model *model = NULL;
    halves h = {0};
    lt_train_result t;
    lt_status status = LT_OK;
    LT_TRY_GOTO(halves_make(plan, r, &h), done);
    LT_TRY_GOTO(make_model(plan, r, &model), done);
    lt_job job = make_job(plan, r, &h, model);
    LT_TRY_GOTO(run_job(plan, &job, env, e->state, &t), done);
    LT_TRY_GOTO(finish(plan, r, e, model, &t, env), done);
done:
    lt_model_destroy(model);
    halves_clear(&h);
    return status;
}

typedef struct training {
    const lt_ref_plan *plan;
    _Atomic int n_trained;
} training;

static lt_status train_one(void *ctx, int r, const lt_env *env)
{
    training *c = ctx;
    lti_entry e;
    int lock = -1;
    if (c->plan->ref[r].state == LT_REF_READY)
        return LT_OK;
    LT_TRY(lti_entry_name(c->plan->dir, c->plan->ref[r].address, &e));
    lt_status status = LT_OK;
    LT_TRY_GOTO(lt_make_dirs(e.dir), done);
    LT_TRY_GOTO(lti_entry_lock(&e, &lock), done);
    if (lti_entry_state(&e) == LT_REF_READY) // another process was faster
        goto done;
    LT_TRY_GOTO(train_entry(c->plan, r, &e, env), done);
    atomic_fetch_add(&c->n_trained, 1);
done:
    if (lock >= 0)
        close(lock);
    lti_entry_clear(&e);
    return status;
}

lt_status lt_ref_train(lt_ref_plan *plan, const lt_ref_env *env)
{
    if (plan->n_ready == plan->request.count)
        return LT_OK;
    lt_member_outcome *outcome = lti_calloc((size_t)plan->request.count, sizeof *outcome);
    if (!outcome)
        return LTI_NOMEM("reference models");
    training c = {.plan = plan};
    const double start_s = lti_now_s();
    lt_population p = population(env, plan->request.count);
    p.work = train_one;
    p.ctx = &c;
    p.join = env->join;
    lt_status status = lt_population_run(&p, outcome);
    const lt_error error = *lt_error_get();
    const lt_status refreshed = lti_ref_refresh(plan);
    plan->n_trained += atomic_load(&c.n_trained);
    plan->train_s += lti_now_s() - start_s;
    if (status != LT_OK)
        lt_error_restore(&error);
    lti_free(outcome);
    return status != LT_OK ? status : refreshed;
}

// ---- cost

typedef struct trial {
    const lt_ref_plan *plan;
    double *images_per_s; // (n_workers)
} trial;
typedef struct stopwatch {
    double first_s, last_s; // after the first and the last step
    int64_t images;         // since the first
} stopwatch;

static void on_step(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    stopwatch *w = ctx;
    w->last_s = lti_now_s();
    if (step->step == 1)
        w->first_s = w->last_s;
    else
        w->images += step->n;
}

static void truncate_index_set(lt_index_set *rows, int64_t n)
{
    rows->n = rows->n > n ? n : rows->n;
}

// Whole batches only, so that every step is one like most of training.
static lt_status try_one(void *ctx, int i, const lt_env *env)
{
    const trial *c = ctx;
    const int64_t batch = c->plan->request.train.batch, want = batch * MEASURED_STEPS;
    lt_model *model = NULL;
    halves h = {0};
    stopwatch w = {0};
    lt_train_result t;
    lt_status status = LT_OK;
    LT_TRY_GOTO(halves_make(c->plan, i, &h), done);
    truncate_index_set(&h.rows[LT_TRAIN], want);
    truncate_index_set(&h.rows[LT_TEST], want - h.rows[LT_TRAIN].n);
    LT_TRY_GOTO(make_model(c->plan, i, &model), done);
    lt_job job = make_job(c->plan, i, &h, model);
    job.cfg.epochs = 1;
    job.cfg.warmup_epochs = 0;
    job.cfg.divergence_factor = 0;
    job.on_step = on_step;
    job.step_ctx = &w;
    job.step_only = true;
    LT_TRY_GOTO(run_job(c->plan, &job, env, NULL, &t), done);
    c->images_per_s[i] = w.last_s > w.first_s ? (double)w.images / (w.last_s - w.first_s) : t.images_per_s;
done:
    lt_model_destroy(model);
    halves_clear(&h);
    return status;
}

lt_status lt_ref_measure(const lt_ref_plan *plan, const lt_ref_env *env, lt_ref_cost *cost)
{
    const int n_open = plan->n_missing + plan->n_unfinished,
              most = env->n_workers > 0 ? env->n_workers : lt_usable_cores();
    const int n = n_open < most ? n_open : most; // models at once
    *cost = (lt_ref_cost){.n_workers = n};
    if (n < 1)
        return LT_OK;
    lt_member_outcome *outcome = lti_calloc((size_t)n, sizeof *outcome);
    trial c = {.plan = plan, .images_per_s = lti_calloc((size_t)n, sizeof *c.images_per_s)};
    lt_status status = outcome && c.images_per_s ? LT_OK : LTI_NOMEM("measurement");
    if (status == LT_OK) {
        lt_population p = population(env, n);
        p.work = try_one;
        p.ctx = &c;
        p.noun = "measured model";
        status = lt_population_run(&p, outcome);
    }
    for (int i = 0; i < n && status == LT_OK; i++)
        cost->images_per_s += c.images_per_s[i];
    // The last round may leave workers idle: rounds of models of mean size.
    const double rounds = ceil((double)n_open / n);
    if (cost->images_per_s > 0)
        cost->seconds = rounds * ((double)plan->images / n_open) * n / cost->images_per_s;
    lti_free(outcome);
    lti_free(c.images_per_s);
    return status;
}

// ---- signals

static const char answered[] = "store.signals";

typedef struct question {
    const lt_ref_plan *plan;
    lt_index_set rows[2]; // asked for, by split
    int64_t *place[2];    // of each of them in the answer
    int64_t n;
    int k;
    float *logits; // (count,n,k)
} question;

static void question_clear(question *q)
{
    for (int s = 0; s < 2; s++) {
        lti_free(q->rows[s].row);
        lti_free(q->place[s]);
    }
}

static lt_status question_make(const lt_ref_plan *plan, const int64_t *sample, int64_t n, question *q)
{
    const int64_t n_train = plan->request.ds->split[LT_TRAIN].n;
    for (int s = 0; s < 2; s++) {
        q->rows[s].row = lti_malloc((size_t)n * sizeof *q->rows[s].row);
        q->place[s] = lti_malloc((size_t)n * sizeof *q->place[s]);
        if (!q->rows[s].row || !q->place[s])
            return LTI_NOMEM("samples of reference signals");
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t j = sample ? sample[i] : i;
        if (j < 0 || j >= plan->n)
            return LT_FAIL(LT_E_USAGE, "reference signals: sample %lld: expected 0 to %lld, found %lld", (long long)i,
                           (long long)plan->n - 1, (long long)j);
        const int s = j < n_train ? LT_TRAIN : LT_TEST;
        q->place[s][q->rows[s].n] = i;
        q->rows[s].row[q->rows[s].n++] = s == LT_TRAIN ? j : j - n_train;
    }
    return LT_OK;
}

// Evaluates the rows of one split and puts them where they belong.
static lt_status answer_split(const question *q, int r, lt_split split, lt_evaluator *evaluator, const lt_env *env,
                              float *z)
{
    const lt_index_set *rows = &q->rows[split];
    if (rows->n == 0)
        return LT_OK;
    const lt_view view = lt_view_rows(q->plan->request.ds, split, rows);
    lt_eval_result result;
    LT_TRY(lt_evaluator_run(evaluator, &view, z, NULL, &result));
    for (int64_t i = 0; i < rows->n; i++)
        memcpy(q->logits + ((int64_t)r * q->n + q->place[split][i]) * q->k, z + i * q->k, (size_t)q->k * sizeof *z);
    lt_emit(env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                     .name = answered,
                                     .done = split == LT_TRAIN ? rows->n : q->n,
                                     .total = q->n,
                                     .unit = "images",
                                     .epoch = -1,
                                     .step = -1});
    return LT_OK;
}

static lt_status answer_model(const question *q, int r, const lt_model *model, const lt_env *env)
{
    lt_evaluator *evaluator = NULL;
    lt_status status = LT_OK;
    float *z = lti_malloc((size_t)q->n * (size_t)q->k * sizeof *z);
    if (!z)
        return LTI_NOMEM("reference signals");
    LT_TRY_GOTO(lt_evaluator_create(model, env, EVAL_BATCH, &evaluator), done);
    LT_TRY_GOTO(answer_split(q, r, LT_TRAIN, evaluator, env, z), done);
    LT_TRY_GOTO(answer_split(q, r, LT_TEST, evaluator, env, z), done);
done:
    lt_evaluator_destroy(evaluator);
    lti_free(z);
    return status;
}

static lt_status answer_one(void *ctx, int r, const lt_env *env)
{
    const question *q = ctx;
    lti_entry e;
    lt_model *model = NULL;
    LT_TRY(lti_entry_name(q->plan->dir, q->plan->ref[r].address, &e));
    lt_status status = LT_OK;
    LT_TRY_GOTO(lti_entry_open_model(&e, &model), done);
    if (strcmp(model->spec, q->plan->request.model) != 0 || model->shape.n_classes != q->k) {
        status = LT_FAIL(LT_E_INTEGRITY, "%s: expected a model %s of %d classes, found %s of %d", e.model,
                         q->plan->request.model, q->k, model->spec, model->shape.n_classes);
        goto done;
    }
    LT_TRY_GOTO(answer_model(q, r, model, env), done);
done:
    lt_model_destroy(model);
    lti_entry_clear(&e);
    return status;
}

static lt_status check_count(const lt_ref_plan *plan)
{
    const int count = plan->request.count;
    if (plan->n_ready == count)
        return LT_OK;
    LT_FAIL(LT_E_INTEGRITY, "%s: expected %d reference models, found %d (%d unfinished, %d missing)", plan->dir, count,
            plan->n_ready, plan->n_unfinished, plan->n_missing);
    return lt_error_hint("`lethe store train` with the same options trains them");
}

lt_status lt_ref_signals(const lt_ref_plan *plan, const lt_ref_env *env, const int64_t *sample, int64_t n,
                         float *logits, uint8_t *member)
{
    const int count = plan->request.count;
    LT_TRY(check_count(plan));
    if (n < 1 || (!sample && n != plan->n))
        return LT_FAIL(LT_E_USAGE, "reference signals: expected %s samples, found %lld", sample ? "1 or more" : "all",
                       (long long)n);
    question q = {.plan = plan, .n = n, .k = plan->request.ds->n_classes, .logits = logits};
    lt_member_outcome *outcome = lti_calloc((size_t)count, sizeof *outcome);
    lt_status status = outcome ? LT_OK : LTI_NOMEM("reference signals");
    if (status == LT_OK)
        status = question_make(plan, sample, n, &q);
    if (status == LT_OK) {
        lt_population p = population(env, count);
        p.work = answer_one;
        p.ctx = &q;
        p.progress = answered;
        status = lt_population_run(&p, outcome);
    }
    for (int r = 0; r < count && status == LT_OK; r++)
        for (int64_t i = 0; i < n; i++)
            member[(int64_t)r * n + i] = plan->member[(int64_t)r * plan->n + (sample ? sample[i] : i)];
    question_clear(&q);
    lti_free(outcome);
    return status;
}
