// estimate.c - what a study will cost: samples through the model per job, and seconds from finished jobs of the same
// kind or from a few timed steps.
#include "base/json_write.h"
#include "lethe/store.h"
#include "study/runner_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORWARD_ONLY (1.0 / 3.0) // of a training pass

static const char *find_value(const lt_study_options *options, const char *key)
{
    for (int i = 0; options && i < options->n; i++)
        if (!strcmp(options->option[i].key, key))
            return options->option[i].value;
    return NULL;
}

static double default_of(const lt_option *table, const char *name, double otherwise)
{
    for (; table->name; table++)
        if (!strcmp(table->name, name))
            return table->def;
    return otherwise;
}

static double count_epochs(const lt_study_options *options)
{
    const char *epochs = find_value(options, "epochs");
    return epochs ? strtod(epochs, NULL) : default_of(lt_train_options, "epochs", 1);
}

// One pass over every sample where a method has no epochs. The search of the adversarial set is not foreseen.
static double unlearning_passes(const lt_study_runner *r, const lti_study_job *j)
{
    const lt_study_method *m = &r->study->method[j->method];
    const lti_study_forget_set *f = &r->forget[j->forget];
    const int point = j->kind == LT_STUDY_TRIAL ? j->point : m->n_points ? 0 : -1;
    const char *epochs = point >= 0 ? find_value(&m->point[point], "epochs") : NULL;
    if (!epochs)
        epochs = find_value(&m->options, "epochs");
    const double given = epochs ? strtod(epochs, NULL) : 0;
    const double n = given > 0 ? given : lt_unlearn_default_epochs(m->method, j->access == LT_ACCESS_RETAIN);
    const double forget = (double)f->n * (m->method->needs & LT_NEED_ATTACK ? 2 : 1);
    return n * (forget + (j->access == LT_ACCESS_RETAIN ? (double)f->n_retain : 0));
}

static double count_passes(const lt_study_runner *r, const lti_study_job *j)
{
    const double n_train = (double)r->ds->split[LT_TRAIN].n, n_all = n_train + (double)r->ds->split[LT_TEST].n;
    const double evaluation = n_all * FORWARD_ONLY;
    const lt_study_references *refs = &r->study->references;
    switch (j->kind) {
    case LT_STUDY_BASE:
        return count_epochs(&r->study->train) * n_train + evaluation;
    case LT_STUDY_ORACLE:
        return count_epochs(&r->study->train) * (double)r->forget[j->forget].n_retain + evaluation;
    case LT_STUDY_REFERENCES:
        return refs->count * count_epochs(&refs->train) * n_all / 2;
    case LT_STUDY_OUTPUTS:
        return refs->count * evaluation;
    case LT_STUDY_TRIAL:
    case LT_STUDY_RUN:
        return unlearning_passes(r, j) + evaluation;
    default:
        return evaluation; // of the original model; the others have their outputs
    }
}

void lti_study_estimate(lt_study_runner *r)
{
    for (int i = 0; i < r->n_jobs; i++)
        r->job[i].passes = count_passes(r, &r->job[i]);
}

// ---- time

static bool is_alike(const lti_study_job *a, const lti_study_job *b)
{
    return a->kind == b->kind && a->method == b->method && a->access == b->access;
}

// Seconds per pass of finished jobs: of the same kind, else of training (like NULL). NAN when there are none.
static double rate_of(const lt_study_runner *r, const lti_study_job *like)
{
    double seconds = 0, passes = 0;
    for (int i = 0; i < r->n_jobs; i++) {
        const lti_study_job *j = &r->job[i];
        const bool counts = like ? is_alike(j, like) : j->kind == LT_STUDY_BASE || j->kind == LT_STUDY_ORACLE;
        if (!counts || j->state != LT_STUDY_DONE || !isfinite(j->seconds))
            continue;
        seconds += j->seconds;
        passes += j->passes;
    }
    return passes > 0 ? seconds / passes : (double)NAN;
}

lt_status lti_study_recipe(const lt_study *study, lti_study_training *recipe)
{
    lt_optset *set;
    LT_TRY(lt_optset_create(&set));
    lt_status status = lti_study_training_bind(recipe, set);
    for (int i = 0; i < study->train.n && status == LT_OK; i++)
        status = lt_optset_set(set, study->train.option[i].key, study->train.option[i].value, "study");
    lt_optset_destroy(set);
    return status;
}

// A few steps of training on as many threads as there are workers; nothing is kept.
static lt_status measure_rate(const lt_study_runner *r, const char *backend, double *seconds_per_pass)
{
    char nowhere[LTI_STUDY_PATH];
    lt_ref_plan *plan;
    lt_ref_cost cost;
    lt_ref_request request = {.ds = r->ds, .model = r->study->model, .count = r->n_workers + r->n_workers % 2};
    lti_study_training recipe = {0};
    LT_TRY(lti_study_recipe(r->study, &recipe));
    request.train = recipe.train;
    request.clip = recipe.clip;
    LT_TRY(lt_ref_plan_create(lti_study_path(r, NULL, "no-store", "", nowhere), &request, &plan));
    const lt_ref_env env = {
        .n_workers = r->n_workers, .backend = backend, .events = r->order.events, .stop = r->order.stop};
    const lt_status status = lt_ref_measure(plan, &env, &cost);
    if (status == LT_OK)
        *seconds_per_pass = cost.images_per_s > 0 ? cost.n_workers / cost.images_per_s : (double)NAN;
    lt_ref_plan_destroy(plan);
    return status;
}

static double seconds_of(const lt_study_runner *r, const lti_study_job *j, double training_rate)
{
    const double own = rate_of(r, j);
    return j->passes * (isfinite(own) ? own : training_rate);
}

// ---- the plan

static void fill_kind(const lt_study_runner *r, lt_study_kind kind, lt_study_plan *plan)
{
    lt_study_estimate *e = &plan->kind[kind];
    for (int i = 0; i < r->n_jobs; i++) {
        const lt_study_job *j = &plan->job[i];
        const bool missing = j->state == LT_STUDY_WAITING;
        if (j->kind != kind)
            continue;
        e->n++;
        e->n_done += !missing;
        e->passes += missing ? j->passes : 0;
        e->core_s += missing ? j->core_s : 0;
    }
    plan->core_s += e->core_s;
}

static lt_status fill_plan(const lt_study_runner *r, double rate, lt_study_plan *plan)
{
    lti_arena *arena = lti_calloc(1, sizeof *arena);
    if (!arena)
        return LTI_NOMEM("plan of a study");
    plan->own = arena;
    plan->out = lti_arena_strdup(arena, r->out);
    plan->job = lti_arena_alloc(arena, (size_t)r->n_jobs * sizeof *plan->job);
    if (!plan->out || !plan->job)
        return LTI_NOMEM("plan of a study");
    for (int i = 0; i < r->n_jobs; i++) {
        const lti_study_job *j = &r->job[i];
        const bool missing = j->state == LT_STUDY_WAITING;
        plan->job[i] = (lt_study_job){.id = lti_arena_strdup(arena, j->id),
                                      .kind = j->kind,
                                      .state = j->state,
                                      .passes = j->passes,
                                      .core_s = missing ? seconds_of(r, j, rate) : j->seconds};
        if (!plan->job[i].id)
            return LTI_NOMEM("plan of a study");
    }
    for (int k = 0; k < LT_STUDY_N_KINDS; k++)
        fill_kind(r, (lt_study_kind)k, plan);
    plan->core_s = plan->n_missing ? plan->core_s : 0;
    plan->wall_s = plan->core_s / r->n_workers;
    return LT_OK;
}

lt_status lt_study_plan_make(lt_study_runner *r, bool measure, const char *backend, lt_study_plan *plan)
{
    *plan = (lt_study_plan){.n_workers = r->n_workers, .n_jobs = r->n_jobs};
    for (int i = 0; i < r->n_jobs; i++) {
        bool ready;
        LT_TRY(lti_study_check_job(r, &r->job[i], &ready));
        plan->n_missing += r->job[i].state == LT_STUDY_WAITING;
    }
    double rate = rate_of(r, NULL);
    plan->rate_from = "finished parts";
    if (!isfinite(rate)) {
        const bool measured = measure && plan->n_missing;
        plan->rate_from = measured ? "measured" : "none";
        if (measured)
            LT_TRY(measure_rate(r, backend, &rate));
    }
    plan->passes_per_core_s = rate > 0 ? 1 / rate : (double)NAN;
    const lt_status status = fill_plan(r, rate, plan);
    if (status != LT_OK)
        lt_study_plan_clear(plan);
    return status;
}

void lt_study_plan_clear(lt_study_plan *plan)
{
    if (plan->own)
        lti_arena_clear(plan->own);
    lti_free(plan->own);
    *plan = (lt_study_plan){0};
}

char *lt_study_plan_json(const lt_study_plan *plan)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    lti_json_bool(&w, "dry_run", true);
    lti_json_text(&w, "out", plan->out);
    lti_json_int(&w, "jobs", plan->n_workers);
    lti_json_int(&w, "n_parts", plan->n_jobs);
    lti_json_int(&w, "n_done", plan->n_jobs - plan->n_missing);
    lti_json_int(&w, "n_missing", plan->n_missing);
    lti_json_text(&w, "rate_from", plan->rate_from);
    lti_json_real(&w, "passes_per_core_s", plan->passes_per_core_s);
    lti_json_real(&w, "core_seconds", plan->core_s);
    lti_json_real(&w, "seconds", plan->wall_s);
    lti_json_begin(&w, "kinds", '[');
    for (int k = 0; k < LT_STUDY_N_KINDS; k++) {
        const lt_study_estimate *e = &plan->kind[k];
        lti_json_begin(&w, NULL, '{');
        lti_json_text(&w, "kind", lt_study_kind_text((lt_study_kind)k));
        lti_json_int(&w, "n", e->n);
        lti_json_int(&w, "n_done", e->n_done);
        lti_json_int(&w, "n_missing", e->n - e->n_done);
        lti_json_int(&w, "passes", (int64_t)e->passes);
        lti_json_real(&w, "core_seconds", e->core_s);
        lti_json_end(&w, '}');
    }
    lti_json_end(&w, ']');
    lti_json_begin(&w, "parts", '[');
    for (int i = 0; i < plan->n_jobs; i++) {
        const lt_study_job *j = &plan->job[i];
        lti_json_begin(&w, NULL, '{');
        lti_json_text(&w, "part", j->id);
        lti_json_text(&w, "kind", lt_study_kind_text(j->kind));
        lti_json_text(&w, "state", lt_study_state_text(j->state));
        lti_json_int(&w, "passes", (int64_t)j->passes);
        lti_json_real(&w, "core_seconds", j->core_s);
        lti_json_end(&w, '}');
    }
    lti_json_end(&w, ']');
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}
