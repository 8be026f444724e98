// compare_runs.c - comparison of several runs: opening them, and their outputs on one forget set.
#include "base/json_write.h"
#include "base/option_alias.h"
#include "lethe/audits.h"
#include "run/run_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

// Options that change no weights, or that the comparison shows otherwise; old names of old runs among them.
static const char *const ignored_options[] = {
    "run",         "out",     "force",        "resume",        "json",   "quiet",           "set",
    "verbose",     "config",  "threads",      "device",        "seed",   "method",          "loader-threads",
    "show-config", "backend", "cache",        "save-adv",      "retain", "use-retain-data", "forget",
    "forget-seed", "data",    "unlearn.seed", "oversubscribe", "record", "tensorboard",     NULL};

static bool is_ignored(const char *key)
{
    for (const char *const *k = ignored_options; *k; k++)
        if (!strcmp(*k, key))
            return true;
    return false;
}

static char *option_text(const json_t *value)
{
    if (!value || json_is_null(value))
        return lti_strdup("-");
    if (json_is_string(value))
        return lti_strdup(json_string_value(value));
    char *dump = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(6)), *text = dump ? lti_strdup(dump) : NULL;
    free(dump);
    return text;
}

static lt_status add_options(const lt_trained_model *m, lt_comparison_row *row)
{
    const char *recorded;
    char current[LTI_OPTION_KEY_MAX];
    json_t *entry;
    lt_status status = LT_OK;
    json_object_foreach(m->resolved, recorded, entry)
    {
        const char *key = lti_option_current_name(recorded, current);
        if (is_ignored(key) || status != LT_OK)
            continue;
        char *text = option_text(json_object_get(entry, "value"));
        status = text ? lt_comparison_add_option(row, key, text) : LTI_NOMEM("options");
        lti_free(text);
    }
    return status;
}

// What the model cost: search, mask and update of a method; all of it for a training.
static double seconds_of(const json_t *r)
{
    const double parts = lti_json_real_at(r, "time.search_s") + lti_json_real_at(r, "time.mask_s") +
                         lti_json_real_at(r, "time.update_s");
    return isfinite(parts) ? parts : lti_json_real_at(r, "wall_s");
}

static lt_status fill_row(const lt_trained_model *m, lt_comparison_row *row)
{
    const json_t *use = json_object_get(m->result, "use_retain"), *seed = json_object_get(m->result, "seed");
    row->run = lti_strdup(m->name);
    row->method = lti_strdup(lti_json_text_at(m->result, "method"));
    row->uses_retain = json_is_boolean(use) ? json_is_true(use) : -1;
    if (json_is_integer(seed))
        row->seed = lti_asprintf("%lld", (long long)json_integer_value(seed));
    if (!row->run || !row->method || (json_is_integer(seed) && !row->seed))
        return LTI_NOMEM("comparison");
    row->seconds = seconds_of(m->result);
    row->last_train_acc = lti_last_train_acc(m);
    lt_trained_model_effect(m, &row->effect);
    lt_model_identify(m->model, &row->identity);
    return add_options(m, row);
}

static lt_status add_run(const lt_compare_spec *spec, lt_run_comparison *c, const char *run)
{
    const lt_model *sibling = c->n_models > 0 ? c->model[0].model : NULL;
    lt_comparison_row *row;
    lt_trained_model *longer = lti_realloc(c->model, ((size_t)c->n_models + 1) * sizeof *longer);
    if (!longer)
        return LTI_NOMEM("comparison");
    c->model = longer;
    LT_TRY(lti_related_open(run, spec->fallback, sibling, NULL, &c->model[c->n_models++]));
    LT_TRY(lt_comparison_add(&c->comparison, &row));
    return fill_row(&c->model[c->n_models - 1], row);
}

static lt_status add_path(char ***list, int *n, const char *path)
{
    char **longer = lti_realloc(*list, ((size_t)*n + 1) * sizeof *longer);
    if (longer)
        *list = longer;
    char *copy = longer ? lti_strdup(path) : NULL;
    if (!copy)
        return LTI_NOMEM("comparison");
    (*list)[(*n)++] = copy;
    return LT_OK;
}

// A directory whose result lists requests is no row: its children forgot different samples. A quantized run is one only
// when it has forgotten something.
static lt_status add_other(lt_run_comparison *c, const char *run, bool *is_row)
{
    json_t *result = NULL;
    lt_status status = lti_json_load_optional(run, "result.json", &result);
    const bool is_stream = json_is_array(json_object_get(result, "requests"));
    const bool is_quantized = isfinite(lti_json_real_at(result, "test_acc_q"));
    if (status == LT_OK && is_stream)
        status = add_path(&c->stream, &c->n_streams, run);
    if (status == LT_OK && is_quantized)
        status = add_path(&c->quantized, &c->n_quantized, run);
    *is_row = !is_stream && (!is_quantized || *lti_json_text_at(result, "forget_digest"));
    json_decref(result);
    return status;
}

bool lt_same_path(const char *a, const char *b)
{
    struct stat x, y;
    if (!strcmp(a, b))
        return true;
    return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

static lt_status add_runs(const lt_compare_spec *spec, lt_run_comparison *c)
{
    bool is_row;
    for (int i = 0; i < spec->n_runs; i++)
        for (int k = 0; k < i; k++) // twice would look like two seeds that agree
            if (lt_same_path(spec->run[k], spec->run[i]))
                return LT_FAIL(LT_E_USAGE, "%s: expected each run once, found it a second time as %s", spec->run[k],
                               spec->run[i]);
    for (int i = 0; i < spec->n_runs; i++) {
        is_row = false;
        if (lti_is_dir(spec->run[i]))
            LT_TRY(add_other(c, spec->run[i], &is_row));
        if (is_row)
            LT_TRY(add_run(spec, c, spec->run[i]));
    }
    for (int i = 0; i < spec->n_runs; i++) // files, of which the runs may say what they are
        if (!lti_is_dir(spec->run[i]))
            LT_TRY(add_run(spec, c, spec->run[i]));
    return LT_OK;
}

// ---- the parent

static bool has_original(const lt_run_comparison *c)
{
    for (int i = 0; i < c->n_models; i++)
        if (!*lt_trained_model_text(&c->model[i], "method"))
            return true;
    return false;
}

static lt_status check_parent(const lt_run_comparison *c, const char *path)
{
    char digest[65];
    lt_model_digest(c->model[c->n_models - 1].model, digest);
    if (strcmp(digest, lt_trained_model_text(&c->model[0], "parent_digest")) != 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s: its weights are not those that %s started from", path, c->model[0].name);
    return LT_OK;
}

// The parent, when it still exists with the weights the children started from.
static lt_status add_parent(const lt_compare_spec *spec, lt_run_comparison *c)
{
    if (!*lt_trained_model_text(&c->model[0], "parent") || has_original(c))
        return LT_OK;
    char *path = lt_trained_model_parent(&c->model[0]);
    if (!path)
        return LTI_NOMEM("parent");
    const int n_rows = c->comparison.n, n = c->n_models;
    lt_status status = add_run(spec, c, path);
    if (status == LT_OK)
        status = check_parent(c, path);
    if (status != LT_OK) { // the comparison is complete without it
        lt_warn(spec->env->events, "report.parent", "original model left out: %s", lt_error_get()->message);
        if (c->comparison.n > n_rows)
            lt_comparison_drop_last(&c->comparison);
        if (c->n_models > n)
            lt_trained_model_close(&c->model[n]);
        c->n_models = n;
        lt_error_clear();
    }
    lti_free(path);
    return LT_OK;
}

// ---- samples and outputs

const lt_trained_model *lt_run_comparison_model(const lt_run_comparison *c, const lt_comparison_row *row)
{
    for (int i = 0; i < c->n_models; i++)
        if (!strcmp(c->model[i].name, row->run))
            return &c->model[i];
    return NULL;
}

static const lt_comparison_row *first_unlearned(const lt_comparison *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->row[i].role != LT_ROW_ORIGINAL)
            return &c->row[i];
    return NULL;
}

static lt_status choose_sets(const lt_compare_spec *spec, lt_run_comparison *r)
{
    lt_comparison *c = &r->comparison;
    const lt_comparison_row *first = first_unlearned(c);
    lt_dataset *ds = NULL;
    if (!first) {
        LT_FAIL(LT_E_USAGE, "%s: expected at least one run that forgot something", c->row[0].run);
        return lt_error_hint("give runs of `lethe unlearn`, retrain among them");
    }
    const lt_trained_model *m = lt_run_comparison_model(r, first);
    LT_TRY(lti_run_data(m, NULL, spec->ds, spec->env->events, &ds, &r->own_ds));
    r->ds = ds;
    LT_TRY(lt_trained_model_sets(m, ds, &(lt_forget_request){0}, &r->sets));
    lt_index_set_digest(ds, LT_TRAIN, &r->sets.forget, c->forget_digest);
    for (int i = 0; i < c->n; i++) {
        LT_TRY(lt_trained_model_held_out(lt_run_comparison_model(r, &c->row[i]), ds, &r->sets));
        const char *own = lt_trained_model_text(lt_run_comparison_model(r, &c->row[i]), "forget_digest");
        if (*own && strcmp(own, c->forget_digest) != 0)
            return LT_FAIL(LT_E_USAGE, "%s and %s forgot different samples and cannot be compared in one table",
                           first->run, c->row[i].run);
    }
    return lt_dataset_duplicates(ds, &r->sets.forget, &r->sets.retain, &c->duplicates);
}

// Takes the signals.
static lt_status measure_row(const lt_compare_spec *spec, lt_comparison *c, int i, lt_signals *s)
{
    lt_comparison_row *row = &c->row[i];
    lt_status status = i == 0 ? lt_mia_set_open(spec->attacks, s, &c->attacks) : LT_OK;
    if (status == LT_OK && i > 0 && !lt_signals_same_samples(s, c->row[0].audited.signals))
        status = LT_FAIL(LT_E_FORMAT, "%s: its signals hold other samples than those of %s, or in another order",
                         row->run, c->row[0].run);
    if (status != LT_OK) {
        lt_signals_destroy(s);
        return status;
    }
    return lt_audited_measure(&c->attacks, spec->audit, s, &row->audited);
}

static lt_status measure_rows(const lt_compare_spec *spec, lt_run_comparison *r)
{
    lt_comparison *c = &r->comparison;
    for (int i = 0; i < c->n; i++) {
        lt_signals *s;
        lti_run_stage(spec->env->events, "auditing %s", c->row[i].run);
        LT_TRY(lt_trained_model_signals(lt_run_comparison_model(r, &c->row[i]), r->ds, &r->sets, spec->env, &s));
        LT_TRY(measure_row(spec, c, i, s));
    }
    return LT_OK;
}

lt_status lt_compare_runs(const lt_compare_spec *spec, lt_run_comparison *r)
{
    lt_verdict_cfg verdict;
    *r = (lt_run_comparison){0};
    lt_options_defaults(lt_verdict_options, &verdict);
    LT_TRY(add_runs(spec, r));
    if (r->comparison.n == 0) // streams alone: no table to compare
        return LT_OK;
    LT_TRY(lt_comparison_check_originals(&r->comparison));
    LT_TRY(add_parent(spec, r));
    lt_comparison_sort(&r->comparison);
    LT_TRY(lt_comparison_label(&r->comparison));
    LT_TRY(choose_sets(spec, r));
    LT_TRY(measure_rows(spec, r));
    lti_run_stage(spec->env->events, "intervals");
    return lt_comparison_judge(&r->comparison, spec->verdict ? spec->verdict : &verdict, spec->seed);
}

lt_status lt_run_comparison_check(const lt_run_comparison *c, bool allow_lint)
{
    for (int i = 0; i < c->comparison.n && !allow_lint; i++)
        LT_TRY(lti_check_lint(c->comparison.row[i].run, &c->comparison.row[i].report->lint));
    return LT_OK;
}

static void free_paths(char **path, int n)
{
    for (int i = 0; i < n; i++)
        lti_free(path[i]);
    lti_free(path);
}

void lt_run_comparison_clear(lt_run_comparison *r)
{
    lt_comparison_clear(&r->comparison);
    for (int i = 0; i < r->n_models; i++)
        lt_trained_model_close(&r->model[i]);
    lti_free(r->model);
    free_paths(r->stream, r->n_streams);
    free_paths(r->quantized, r->n_quantized);
    lt_sample_sets_clear(&r->sets);
    lt_dataset_close(r->own_ds);
    *r = (lt_run_comparison){0};
}

char *lt_run_comparison_json(const lt_run_comparison *r, const char *report)
{
    lti_json w = {0};
    char *rows = lt_comparison_json(&r->comparison), *lint = lt_lint_json(&r->comparison.lint);
    lti_json_begin(&w, NULL, '{');
    lti_json_text(&w, "report", report);
    lti_json_int(&w, "n_forget", r->sets.forget.n);
    if (rows && lint) {
        lti_json_raw(&w, "rows", rows);
        lti_json_raw(&w, "lint", lint);
    }
    lti_json_end(&w, '}');
    char *text = lti_json_take(&w);
    if (!rows || !lint) {
        lti_free(text);
        text = NULL;
    }
    lti_free(rows);
    lti_free(lint);
    return text;
}
