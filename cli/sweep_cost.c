// sweep_cost.c - what a sweep will cost: samples through the model per part, and seconds from finished parts of the
// same kind or from a few timed steps.
#include "sweep.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORWARD_ONLY (1.0 / 3.0) // of a training pass

static const char *value_of(const lt_study_options *options, const char *key)
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

static double train_epochs(const lt_study_options *options)
{
    const char *epochs = value_of(options, "epochs");
    return epochs ? strtod(epochs, NULL) : default_of(lt_train_options, "epochs", 1);
}

// One look at every sample where a method has no epochs. The search of the adversarial set is not foreseen.
static double unlearn_passes(const sweep *s, const sweep_part *p)
{
    const lt_study_method *m = &s->study->method[p->method];
    const sweep_forget *f = &s->forget[p->forget];
    const int point = p->kind == SWEEP_POINT ? p->point : m->n_points ? 0 : -1;
    const char *epochs = point >= 0 ? value_of(&m->point[point], "epochs") : NULL;
    if (!epochs)
        epochs = value_of(&m->options, "epochs");
    const double given = epochs ? strtod(epochs, NULL) : 0;
    const double n = given > 0 ? given : lt_unlearn_default_epochs(m->method, p->access == LT_ACCESS_RETAIN);
    const double forget = (double)f->n * (m->method->needs & LT_NEED_ATTACK ? 2 : 1);
    return n * (forget + (p->access == LT_ACCESS_RETAIN ? (double)f->n_retain : 0));
}

static double passes_of(const sweep *s, const sweep_part *p)
{
    const double n_train = (double)s->ds->split[LT_TRAIN].n, n_all = n_train + (double)s->ds->split[LT_TEST].n;
    const double evaluation = n_all * FORWARD_ONLY;
    const lt_study_references *r = &s->study->references;
    switch (p->kind) {
    case SWEEP_BASE:
        return train_epochs(&s->study->train) * n_train + evaluation;
    case SWEEP_ORACLE:
        return train_epochs(&s->study->train) * (double)s->forget[p->forget].n_retain + evaluation;
    case SWEEP_REFERENCES:
        return r->count * train_epochs(&r->train) * n_all / 2;
    case SWEEP_OUTPUTS:
        return r->count * evaluation;
    case SWEEP_POINT:
    case SWEEP_RUN:
        return unlearn_passes(s, p) + evaluation;
    default:
        return evaluation; // of the original model; the others have their outputs
    }
}

void sweep_estimate(sweep *s)
{
    for (int i = 0; i < s->n_parts; i++)
        s->part[i].passes = passes_of(s, &s->part[i]);
}

// ---- time

static bool alike(const sweep_part *a, const sweep_part *b)
{
    return a->kind == b->kind && a->method == b->method && a->access == b->access;
}

// Seconds per pass of finished parts: of the same kind, else of training. NaN when there are none.
static double own_rate(const sweep *s, const sweep_part *like, bool training)
{
    double seconds = 0, passes = 0;
    for (int i = 0; i < s->n_parts; i++) {
        const sweep_part *p = &s->part[i];
        const bool counts = training ? p->kind == SWEEP_BASE || p->kind == SWEEP_ORACLE : alike(p, like);
        if (!counts || p->state != SWEEP_DONE || !isfinite(p->seconds))
            continue;
        seconds += p->seconds;
        passes += p->passes;
    }
    return passes > 0 ? seconds / passes : (double)NAN;
}

// A few steps of training on as many threads as there are workers; nothing is kept.
static lt_status measure_rate(const sweep *s, double *seconds_per_pass)
{
    lt_ref_plan *plan;
    lt_ref_cost cost;
    lt_ref_request request = {.ds = s->ds, .model = s->study->model, .count = s->n_jobs + s->n_jobs % 2};
    lt_optset *set;
    LT_TRY(lt_optset_create(&set));
    lt_status status = lt_optset_add(set, "", lt_train_options, &request.train, 0);
    for (int i = 0; i < s->study->train.n && status == LT_OK; i++)
        status = lt_optset_set(set, s->study->train.option[i].key, s->study->train.option[i].value, "study");
    lt_optset_destroy(set);
    LT_TRY(status);
    char *nowhere = cli_format("%s/no-store", s->out);
    status = lt_ref_plan_create(nowhere, &request, &plan);
    free(nowhere);
    LT_TRY(status);
    const lt_ref_env env = {.n_workers = s->n_jobs,
                            .backend = s->call->where.backend,
                            .events = s->call->session->events,
                            .stop = &s->call->session->stop};
    status = lt_ref_measure(plan, &env, &cost);
    if (status == LT_OK)
        *seconds_per_pass = cost.images_per_s > 0 ? cost.n_workers / cost.images_per_s : (double)NAN;
    lt_ref_plan_destroy(plan);
    return status;
}

static double seconds_of(const sweep *s, const sweep_part *p, double training_rate)
{
    const double own = own_rate(s, p, false);
    return p->passes * (isfinite(own) ? own : training_rate);
}

// ---- the dry run

static json_t *kind_json(const sweep *s, sweep_kind kind, double rate, double *seconds)
{
    int n = 0, n_done = 0;
    double passes = 0, left = 0;
    for (int i = 0; i < s->n_parts; i++) {
        const sweep_part *p = &s->part[i];
        if (p->kind != kind)
            continue;
        const bool missing = p->state == SWEEP_WAITING;
        n++;
        n_done += !missing;
        passes += missing ? p->passes : 0;
        left += missing ? seconds_of(s, p, rate) : 0;
    }
    *seconds += left;
    json_t *j = json_object();
    cli_put(j, "kind", json_string(sweep_kind_text[kind]));
    cli_put(j, "n", json_integer(n));
    cli_put(j, "n_done", json_integer(n_done));
    cli_put(j, "n_missing", json_integer(n - n_done));
    cli_put(j, "passes", json_integer((json_int_t)passes));
    cli_put_real(j, "core_seconds", left);
    return j;
}

static json_t *parts_json(const sweep *s, double rate)
{
    json_t *list = json_array();
    for (int i = 0; i < s->n_parts; i++) {
        const sweep_part *p = &s->part[i];
        json_t *j = json_object();
        cli_put_text(j, "part", p->id);
        cli_put(j, "kind", json_string(sweep_kind_text[p->kind]));
        cli_put(j, "state", json_string(sweep_state_text(p)));
        cli_put(j, "passes", json_integer((json_int_t)p->passes));
        cli_put_real(j, "core_seconds", p->state == SWEEP_WAITING ? seconds_of(s, p, rate) : p->seconds);
        json_array_append_new(list, j);
    }
    return list;
}

lt_status sweep_dry_run(sweep *s, bool measure, json_t **result)
{
    int n_missing = 0;
    double seconds = 0;
    for (int i = 0; i < s->n_parts; i++) {
        sweep_look(s, &s->part[i]);
        n_missing += s->part[i].state == SWEEP_WAITING;
    }
    double rate = own_rate(s, NULL, true);
    const char *source = isfinite(rate) ? "finished parts" : measure && n_missing ? "measured" : "none";
    if (!strcmp(source, "measured")) {
        cli_progress_stage(s->call->session->progress, "timing a few steps");
        LT_TRY(measure_rate(s, &rate));
    }
    json_t *r = json_object(), *kinds = json_array();
    for (int k = 0; k < SWEEP_N_KINDS; k++)
        json_array_append_new(kinds, kind_json(s, (sweep_kind)k, rate, &seconds));
    cli_put(r, "dry_run", json_true());
    cli_put_text(r, "out", s->out);
    cli_put(r, "jobs", json_integer(s->n_jobs));
    cli_put(r, "n_parts", json_integer(s->n_parts));
    cli_put(r, "n_done", json_integer(s->n_parts - n_missing));
    cli_put(r, "n_missing", json_integer(n_missing));
    cli_put(r, "rate_from", json_string(source));
    cli_put_real(r, "passes_per_core_s", rate > 0 ? 1 / rate : (double)NAN);
    cli_put_real(r, "core_seconds", n_missing ? seconds : 0);
    cli_put_real(r, "seconds", n_missing ? seconds / s->n_jobs : 0);
    cli_put(r, "kinds", kinds);
    cli_put(r, "parts", parts_json(s, rate));
    *result = r;
    return LT_OK;
}

static char *time_text(double s)
{
    return !isfinite(s)  ? cli_format("-")
           : s >= 172800 ? cli_format("%.1f d", s / 86400)
           : s >= 7200   ? cli_format("%.1f h", s / 3600)
           : s >= 120    ? cli_format("%.0f min", s / 60)
                         : cli_format("%.0f s", s);
}

void sweep_print_dry_run(const json_t *r, FILE *out)
{
    cli_table t = {.n_columns = 6, .left = {true}};
    size_t i;
    const json_t *kind;
    cli_table_row(&t, "part", "number", "there", "missing", "thousand passes", "core time");
    json_array_foreach(json_object_get(r, "kinds"), i, kind)
    {
        if (cli_real(kind, "n") <= 0)
            continue;
        char *n[3] = {cli_format("%.0f", cli_real(kind, "n")), cli_format("%.0f", cli_real(kind, "n_done")),
                      cli_format("%.0f", cli_real(kind, "n_missing"))};
        char *passes = cli_format("%.1f", cli_real(kind, "passes") / 1000),
             *seconds = time_text(cli_real(kind, "core_seconds"));
        cli_table_row(&t, cli_text(kind, "kind"), n[0], n[1], n[2], passes, seconds);
        for (int k = 0; k < 3; k++)
            free(n[k]);
        free(passes);
        free(seconds);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
    char *wall = time_text(cli_real(r, "seconds"));
    fprintf(out, "%.0f of %.0f parts are missing; about %s with %.0f workers (rate: %s). Nothing was run.\n",
            cli_real(r, "n_missing"), cli_real(r, "n_parts"), wall, cli_real(r, "jobs"), cli_text(r, "rate_from"));
    free(wall);
}
