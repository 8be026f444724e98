// result_files.c - the files of a result, written, and read back from summary.json.
#include "study/runner_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lt_status write_text(const char *out, const char *file, char *text)
{
    char path[LTI_STUDY_PATH];
    lti_format(path, sizeof path, "%s/%s", out, file);
    const lt_status status = text ? lt_write_file_atomic(path, text, strlen(text)) : LTI_NOMEM(path);
    free(text);
    return status;
}

lt_status lt_study_result_write(const lt_study_result *result)
{
    lt_study_result without = *result; // directories can be moved
    without.out = NULL;
    LT_TRY(write_text(result->out, "results.csv", lti_study_rows_csv(result)));
    LT_TRY(write_text(result->out, "tuning.csv", lti_study_trials_csv(result)));
    LT_TRY(write_text(result->out, "chosen.json", lti_study_chosen_json(result)));
    LT_TRY(write_text(result->out, "summary.md", lti_study_markdown(result)));
    return write_text(result->out, "summary.json", lt_study_result_json(&without));
}

bool lt_is_study_dir(const char *dir)
{
    char path[LTI_STUDY_PATH];
    lti_format(path, sizeof path, "%s/study.yaml", dir);
    return lti_is_file(path);
}

// ---- reading

static const char *read_text(lt_study_result *x, const json_t *object, const char *key)
{
    return lti_result_copy(x, json_string_value(json_object_get(object, key)));
}

static int read_int(const json_t *object, const char *key)
{
    return (int)json_integer_value(json_object_get(object, key));
}

static void read_value(const json_t *object, lt_study_value *v)
{
    const char *verdict = lti_json_text_at(object, "verdict");
    *v = (lt_study_value){.n = read_int(object, "n"),
                          .mean = lti_json_real_at(object, "mean"),
                          .sd = lti_json_real_at(object, "sd"),
                          .low = lti_json_real_at(object, "low"),
                          .high = lti_json_real_at(object, "high"),
                          .is_compared = *verdict != '\0'};
    v->test.difference = lti_json_real_at(object, "difference");
    v->test.band = lti_json_real_at(object, "band");
    v->test.p = lti_json_real_at(object, "p");
    v->test.bound = lti_json_real_at(object, "bound");
    v->test.margin = lti_json_real_at(object, "margin");
    (void)lt_verdict_find(verdict, &v->test.verdict); // else "too few seeds", which is zero
}

static lt_study_role read_role(const json_t *row)
{
    const char *text = lti_json_text_at(row, "role");
    for (int i = LT_STUDY_ORIGINAL; i < LT_STUDY_METHOD; i++)
        if (!strcmp(text, lt_study_role_text((lt_study_role)i)))
            return (lt_study_role)i;
    return LT_STUDY_METHOD;
}

static lt_status read_summary(lt_study_result *x, const json_t *row, lt_study_summary *s)
{
    char key[LT_METRIC_PATH];
    const json_t *metrics = json_object_get(row, "metrics"), *runs;
    *s = (lt_study_summary){.role = read_role(row),
                            .method = lti_result_copy(x, lti_json_text_at(row, "method")),
                            .access = read_text(x, row, "access"),
                            .options = read_text(x, row, "options"),
                            .tuned_on_oracle = json_is_true(json_object_get(row, "tuned_on_oracle")),
                            .n_runs = read_int(row, "n_runs"),
                            .n_bases = read_int(row, "n_bases"),
                            .n_forget_sets = read_int(row, "n_forget_sets"),
                            .n_seeds = read_int(row, "n_seeds"),
                            .verdict = read_text(x, json_object_get(row, "verdict"), "overall"),
                            .value = lti_result_list(x, (size_t)x->n_metrics, sizeof *s->value),
                            .rank = lti_result_list(x, (size_t)x->n_metrics, sizeof *s->rank)};
    LT_TRY(lti_result_check(x));
    runs = json_object_get(json_object_get(row, "verdict"), "runs");
    for (int v = 0; v < LT_N_VERDICTS; v++)
        s->n_verdicts[v] = read_int(runs, lt_verdict_text((lt_verdict)v));
    for (int i = 0; i < x->n_metrics; i++) {
        const json_t *value = json_object_get(metrics, x->metric[i].column);
        if (value)
            read_value(value, &s->value[i]);
        lti_format(key, sizeof key, "rank_%s", x->metric[i].column);
        s->rank[i] = read_int(row, key);
    }
    return LT_OK;
}

static lt_status read_bands(lt_study_result *x, const json_t *bands)
{
    x->band = lti_result_list(x, (size_t)x->n_metrics, sizeof *x->band);
    LT_TRY(lti_result_check(x));
    for (int i = 0; i < x->n_metrics; i++) {
        const json_t *band = json_object_get(bands, x->metric[i].column);
        if (json_object_get(band, "half_width"))
            x->band[i] = (lt_study_band){.is_known = true,
                                         .sd = lti_json_real_at(band, "sd"),
                                         .half_width = lti_json_real_at(band, "half_width"),
                                         .df = read_int(band, "degrees_of_freedom")};
        else if (band)
            read_value(band, &x->band[i].gap);
    }
    return LT_OK;
}

static lt_severity read_severity(const json_t *item)
{
    const char *text = lti_json_text_at(item, "severity");
    for (int i = LT_LINT_NOTE; i < LT_LINT_WARNING; i++)
        if (!strcmp(text, lt_severity_text((lt_severity)i)))
            return (lt_severity)i;
    return !strcmp(text, lt_severity_text(LT_LINT_ERROR)) ? LT_LINT_ERROR : LT_LINT_WARNING;
}

static lt_status read_lists(lt_study_result *x, const json_t *file)
{
    const json_t *rows = json_object_get(file, "rows"), *lint = json_object_get(file, "lint"),
                 *failed = json_object_get(file, "failed");
    x->summary = lti_result_list(x, json_array_size(rows), sizeof *x->summary);
    x->failure = lti_result_list(x, json_array_size(failed), sizeof *x->failure);
    LT_TRY(lti_result_check(x));
    for (size_t i = 0; i < json_array_size(rows); i++)
        LT_TRY(read_summary(x, json_array_get(rows, i), &x->summary[x->n_summaries++]));
    for (size_t i = 0; i < json_array_size(lint); i++) {
        const json_t *item = json_array_get(lint, i);
        LT_TRY(lt_lint_add(&x->lint, lti_result_copy(x, lti_json_text_at(item, "id")), read_severity(item), "%s",
                           lti_json_text_at(item, "text")));
    }
    for (size_t i = 0; i < json_array_size(failed); i++) {
        const json_t *item = json_array_get(failed, i);
        const bool blocked = !strcmp(lti_json_text_at(item, "state"), lt_study_state_text(LT_STUDY_BLOCKED));
        x->failure[x->n_failures++] =
            (lt_study_failure){lti_result_copy(x, lti_json_text_at(item, "part")), read_text(x, item, "error"),
                               blocked ? LT_STUDY_BLOCKED : LT_STUDY_FAILED};
    }
    return lti_result_check(x);
}

static void read_study(lt_study_result *x, const json_t *file)
{
    const json_t *tuning = json_object_get(file, "tuning"), *jobs = json_object_get(file, "parts");
    x->name = read_text(x, file, "study");
    x->data = lti_result_copy(x, lti_json_text_at(file, "data"));
    x->data_digest = lti_result_copy(x, lti_json_text_at(file, "data_digest"));
    x->model = lti_result_copy(x, lti_json_text_at(file, "model"));
    x->n_bases = read_int(file, "n_bases");
    x->n_forget_sets = read_int(file, "n_forget_sets");
    x->n_repetitions = read_int(file, "n_repetitions");
    x->n_oracles = read_int(file, "n_oracles");
    x->n_references = read_int(file, "n_references");
    x->objective = read_text(x, tuning, "objective");
    x->uses_oracle = json_is_true(json_object_get(tuning, "used_oracle"));
    x->tuning_base = (uint64_t)json_integer_value(json_object_get(tuning, "base"));
    x->tuning_forget = read_text(x, tuning, "forget");
    x->tuning_forget_seed = (uint64_t)json_integer_value(json_object_get(tuning, "forget_seed"));
    x->n_tried = read_int(tuning, "n_tried");
    x->n_jobs = read_int(jobs, "n");
    x->n_existing = read_int(jobs, "n_existing");
    x->n_in_state[LT_STUDY_DONE] = read_int(jobs, "n_done");
    x->n_in_state[LT_STUDY_UNFIT] = read_int(jobs, "n_unfit");
    x->n_in_state[LT_STUDY_FAILED] = read_int(jobs, "n_failed");
    x->n_in_state[LT_STUDY_BLOCKED] = read_int(jobs, "n_blocked");
}

static bool has_class_metrics(const json_t *file)
{
    const json_t *rows = json_object_get(file, "rows");
    for (size_t i = 0; i < json_array_size(rows); i++)
        if (json_object_get(json_object_get(json_array_get(rows, i), "metrics"), "acc_f"))
            return true;
    return false;
}

static lt_status read_result(const char *path, const json_t *file, lt_study_result *x)
{
    if (!json_is_array(json_object_get(file, "rows")) || !json_is_object(json_object_get(file, "null_band")))
        return LT_FAIL(LT_E_FORMAT, "%s: expected the summary of a study, found no \"rows\" or no \"null_band\"", path);
    read_study(x, file);
    LT_TRY(lti_study_metrics(x, has_class_metrics(file)));
    LT_TRY(read_lists(x, file));
    return read_bands(x, json_object_get(file, "null_band"));
}

lt_status lti_study_result_parse(const char *text, size_t n, const char *label, lt_study_result *result)
{
    json_error_t error;
    *result = (lt_study_result){0};
    json_t *file = lti_json_parse(text, n, 0, &error);
    if (!file && lti_json_lacked_memory(&error))
        return LTI_NOMEM(label);
    if (!file)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected JSON, but %s", label, error.line, error.text);
    lt_status status = lti_result_begin(result);
    if (status == LT_OK)
        status = read_result(label, file, result);
    json_decref(file);
    if (status != LT_OK)
        lt_study_result_clear(result);
    return status;
}

lt_status lt_study_result_read(const char *out, lt_study_result *result)
{
    enum { MAX_BYTES = 1 << 26 };
    char path[LTI_STUDY_PATH], *text;
    size_t n;
    lti_format(path, sizeof path, "%s/summary.json", out);
    *result = (lt_study_result){0};
    if (!lti_is_file(path) && lt_is_study_dir(out)) {
        (void)LT_FAIL(LT_E_INPUT, "%s: expected a finished study, found no summary.json", out);
        return lt_error_hint("`lethe sweep %s/study.yaml --out %s` runs what is missing", out, out);
    }
    LT_TRY(lt_read_file(path, MAX_BYTES, &text, &n));
    const lt_status status = lti_study_result_parse(text, n, path, result);
    free(text);
    LT_TRY(status);
    result->out = lti_result_copy(result, out);
    return lti_result_check(result);
}
