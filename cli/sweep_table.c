// sweep_table.c - from rows to tables: results.csv, tuning.csv, chosen.json, summary.json, summary.md.
//
// A mean is over runs, its interval over the draw of (original model, forget set) pairs: repetitions of one pair share
// both and are drawn together. A gap is computed per run and averaged then. [AMUN 7.6]
#include "sweep_rows.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { BOOTSTRAP_DRAWS = 2000 };
#define LEVEL 0.05

typedef struct table {
    const sweep *s;
    sweep_metrics metrics;
    lt_verdict_cfg cfg;
    json_t *rows, *audits;
} table;

// ---- one metric of the runs of one kind

typedef struct sample {
    int n;
    double *value;
    int *cluster;
} sample;

// Values that are there, with clusters numbered 0..n-1.
static sample collect(const table *t, const char *column, const char *role, const char *method, const char *access)
{
    const size_t n_rows = json_array_size(t->rows);
    sample out = {.value = cli_alloc(n_rows, sizeof *out.value), .cluster = cli_alloc(n_rows, sizeof *out.cluster)};
    int *number = cli_alloc((size_t)(t->s->n_bases + 1) * (size_t)(t->s->n_forget + 1), sizeof *number), n_clusters = 0;
    for (size_t i = 0; i < n_rows; i++) {
        const json_t *row = json_array_get(t->rows, i);
        const double value = cli_real(row, column);
        if (!sweep_is_of(row, role, method, access) || !isfinite(value))
            continue;
        int *known = &number[sweep_cell_of(t->s, row)];
        if (!*known)
            *known = ++n_clusters;
        out.value[out.n] = value;
        out.cluster[out.n++] = *known - 1;
    }
    free(number);
    return out;
}

static void sample_clear(sample *x)
{
    free(x->value);
    free(x->cluster);
}

static void mean_and_sd(const double *v, int n, double *mean, double *sd)
{
    double sum = 0, squares = 0;
    for (int i = 0; i < n; i++)
        sum += v[i];
    *mean = n ? sum / n : (double)NAN;
    for (int i = 0; i < n; i++)
        squares += (v[i] - *mean) * (v[i] - *mean);
    *sd = n > 1 ? sqrt(squares / (n - 1)) : (double)NAN;
}

static lt_status metric_json(const sample *x, json_t **out)
{
    double mean, sd;
    lt_interval interval;
    *out = NULL;
    mean_and_sd(x->value, x->n, &mean, &sd);
    LT_TRY(lt_bootstrap_mean(x->value, x->cluster, x->n, BOOTSTRAP_DRAWS, LEVEL, 1, &interval));
    json_t *j = *out = json_object();
    cli_put(j, "n", json_integer(x->n));
    cli_put_real(j, "mean", mean);
    cli_put_real(j, "sd", sd);
    cli_put_real(j, "low", interval.low);
    cli_put_real(j, "high", interval.high);
    return LT_OK;
}

static lt_status put_metrics(const table *t, const char *role, const char *method, const char *access, json_t *to)
{
    for (int i = 0; i < t->metrics.n; i++) {
        json_t *j = NULL;
        sample x = collect(t, t->metrics.metric[i].column, role, method, access);
        lt_status status = x.n ? metric_json(&x, &j) : LT_OK;
        sample_clear(&x);
        LT_TRY(status);
        if (j)
            cli_put(to, t->metrics.metric[i].column, j);
    }
    return LT_OK;
}

// ---- the null band: retraining against retraining

static lt_status null_json(const table *t, json_t **out)
{
    json_t *j = *out = json_object();
    for (int i = 0; i < t->metrics.n; i++) {
        const sweep_metric *m = &t->metrics.metric[i];
        json_t *band = NULL;
        if (m->gap) { // of each oracle to the others
            sample x = collect(t, m->column, "oracle", NULL, NULL);
            lt_status status = x.n ? metric_json(&x, &band) : LT_OK;
            sample_clear(&x);
            LT_TRY(status);
        } else {
            band = sweep_band_json(t->s, &t->cfg, t->rows, m);
        }
        if (band)
            cli_put(j, m->column, band);
    }
    return LT_OK;
}

// ---- verdicts: of every run as its audit gave them, counted, and of all runs together

static json_t *verdict_json(const table *t, const char *role, const char *method, const char *access, json_t *metrics)
{
    int count[3] = {0};
    size_t i;
    const json_t *row;
    json_array_foreach(t->rows, i, row)
    {
        if (!sweep_is_of(row, role, method, access))
            continue;
        for (int v = 0; v < 3; v++)
            count[v] += !strcmp(cli_text(row, "verdict"), lt_verdict_text((lt_verdict)v));
    }
    json_t *j = json_object(), *runs = json_object();
    const lt_verdict overall = sweep_compare_put(t->s, &t->cfg, t->rows, &t->metrics, method, access, metrics);
    cli_put(j, "overall", json_string(lt_verdict_text(overall)));
    for (int v = 0; v < 3; v++)
        cli_put(runs, lt_verdict_text((lt_verdict)v), json_integer(count[v]));
    cli_put(j, "runs", runs);
    return j;
}

// ---- rows of the summary

static int distinct(const table *t, const char *column, const char *role, const char *method, const char *access)
{
    json_t *seen = json_object();
    size_t i;
    const json_t *row;
    json_array_foreach(t->rows, i, row)
    {
        if (!sweep_is_of(row, role, method, access))
            continue;
        char *key = cli_format("%.17g %s", cli_real(row, column), cli_text(row, column));
        if (!strcmp(column, "forget")) {
            free(key);
            key = cli_format("%s %.17g", cli_text(row, "forget"), cli_real(row, "forget_seed"));
        }
        cli_put(seen, key, json_true());
        free(key);
    }
    const int n = (int)json_object_size(seen);
    json_decref(seen);
    return n;
}

static void put_options(const table *t, json_t *j, const char *method, const char *access)
{
    size_t i;
    const json_t *row;
    json_array_foreach(t->rows, i, row)
    {
        if (sweep_is_of(row, "method", method, access)) {
            cli_put(j, "options", json_string(cli_text(row, "options")));
            return;
        }
    }
}

static lt_status add_summary(const table *t, const char *role, const char *method, const char *access, json_t *list)
{
    json_t *j = json_object(), *metrics = json_object();
    int n = 0;
    size_t i;
    const json_t *row;
    json_array_foreach(t->rows, i, row) n += sweep_is_of(row, role, method, access);
    cli_put(j, "role", json_string(role));
    cli_put(j, "method", json_string(method));
    cli_put(j, "access", access ? json_string(access) : json_null());
    cli_put(j, "n_runs", json_integer(n));
    cli_put(j, "n_bases", json_integer(distinct(t, "base", role, method, access)));
    cli_put(j, "n_forget_sets", json_integer(distinct(t, "forget", role, method, access)));
    cli_put(j, "n_seeds", json_integer(distinct(t, "repetition", role, method, access)));
    if (access)
        put_options(t, j, method, access);
    lt_status status = put_metrics(t, role, method, access, metrics);
    cli_put(j, "metrics", metrics);
    if (strcmp(role, "oracle") != 0)
        cli_put(j, "verdict", verdict_json(t, role, method, access, metrics));
    if (n)
        json_array_append(list, j);
    json_decref(j);
    return status;
}

static double mean_at(const json_t *row, const char *column)
{
    char *path = cli_format("metrics.%s.mean", column);
    const double mean = cli_real(row, path);
    free(path);
    return mean;
}

// Rank 1 has the smallest mean gap among the methods of its access setting.
static void rank(json_t *list, const char *column)
{
    size_t i, k;
    json_t *row;
    const json_t *other;
    json_array_foreach(list, i, row)
    {
        const double own = mean_at(row, column);
        int place = 1;
        if (strcmp(cli_text(row, "role"), "method") != 0 || !isfinite(own))
            continue;
        json_array_foreach(list, k, other) place += !strcmp(cli_text(other, "role"), "method") &&
                                                    !strcmp(cli_text(other, "access"), cli_text(row, "access")) &&
                                                    mean_at(other, column) < own;
        char *key = cli_format("rank_%s", column);
        cli_put(row, key, json_integer(place));
        free(key);
    }
}

static lt_status summary_rows(const table *t, json_t *list)
{
    const lt_study *y = t->s->study;
    LT_TRY(add_summary(t, "original", "original", NULL, list));
    LT_TRY(add_summary(t, "oracle", "retrain", NULL, list));
    for (int a = 0; a < LT_N_ACCESS; a++)
        for (int m = 0; m < y->n_methods; m++)
            if (y->method[m].access[a])
                LT_TRY(add_summary(t, "method", y->method[m].name, lt_access_text(a), list));
    for (int i = 0; i < t->metrics.n; i++)
        if (t->metrics.metric[i].gap)
            rank(list, t->metrics.metric[i].column);
    return LT_OK;
}

// ---- what else a reader must know

static json_t *failures_json(const sweep *s)
{
    json_t *list = json_array();
    for (int i = 0; i < s->n_parts; i++) {
        const sweep_part *p = &s->part[i];
        if (p->state != SWEEP_FAILED && p->state != SWEEP_BLOCKED)
            continue;
        json_t *j = json_object();
        cli_put_text(j, "part", p->id);
        cli_put(j, "state", json_string(sweep_state_text(p)));
        cli_put_text(j, "error", p->error);
        json_array_append_new(list, j);
    }
    return list;
}

static json_t *parts_json(const sweep *s)
{
    int count[SWEEP_STOPPED + 1] = {0}, n_existing = 0;
    for (int i = 0; i < s->n_parts; i++) {
        count[s->part[i].state]++;
        n_existing += s->part[i].existing;
    }
    json_t *j = json_object();
    cli_put(j, "n", json_integer(s->n_parts));
    cli_put(j, "n_done", json_integer(count[SWEEP_DONE]));
    cli_put(j, "n_existing", json_integer(n_existing));
    cli_put(j, "n_unfit", json_integer(count[SWEEP_UNFIT]));
    cli_put(j, "n_failed", json_integer(count[SWEEP_FAILED]));
    cli_put(j, "n_blocked", json_integer(count[SWEEP_BLOCKED]));
    return j;
}

static json_t *tuning_json(const sweep *s)
{
    const lt_study_tuning *tuning = &s->study->tuning;
    if (!json_array_size(s->tuned))
        return json_null();
    json_t *j = json_object();
    cli_put(j, "objective", json_string(tuning->objective));
    cli_put(j, "used_oracle", json_boolean(tuning->uses_oracle));
    cli_put(j, "base", json_integer((json_int_t)tuning->base));
    cli_put_text(j, "forget", tuning->forget.spec);
    cli_put(j, "forget_seed", json_integer((json_int_t)tuning->forget.seed));
    cli_put(j, "n_tried", json_integer((json_int_t)json_array_size(s->tuned)));
    return j;
}

static json_t *describe(const sweep *s)
{
    json_t *r = json_object();
    cli_put_text(r, "study", s->study->name);
    cli_put_text(r, "data", s->study->data);
    cli_put(r, "data_digest", json_string(s->ds->digest));
    cli_put_text(r, "model", s->study->model);
    cli_put(r, "n_bases", json_integer(s->study->bases.n));
    cli_put(r, "n_forget_sets", json_integer(s->study->n_forget));
    cli_put(r, "n_repetitions", json_integer(s->study->repetitions.n));
    cli_put(r, "n_oracles", json_integer(s->study->oracles.seeds.n));
    cli_put(r, "n_references", json_integer(s->study->references.count));
    return r;
}

// ---- files

static lt_status write_text(const sweep *s, const char *file, const char *text)
{
    char *path = cli_format("%s/%s", s->out, file);
    lt_status status = lt_write_file_atomic(path, text, strlen(text));
    free(path);
    return status;
}

static lt_status write_json(const sweep *s, const char *file, const json_t *j)
{
    char *text = cli_json_text(j);
    lt_status status = write_text(s, file, text);
    free(text);
    return status;
}

static lt_status write_results(const table *t)
{
    static const char *const before[] = {"base",   "forget", "forget_seed", "repetition", "role",
                                         "method", "access", "options",     "n_oracles"};
    static const char *const after[] = {"verdict",      "verdict_ua",    "verdict_ra",     "verdict_ta",
                                        "verdict_mis",  "lint",          "search_forward", "search_backward",
                                        "mask_forward", "mask_backward", "update_forward", "update_backward",
                                        "run",          "search_s",      "mask_s",         "update_s",
                                        "eval_s"};
    enum { N_BEFORE = sizeof before / sizeof *before, N_AFTER = sizeof after / sizeof *after };
    const char **column = cli_alloc(N_BEFORE + (size_t)t->metrics.n + N_AFTER, sizeof *column);
    int n = 0;
    for (int i = 0; i < N_BEFORE; i++)
        column[n++] = before[i];
    for (int i = 0; i < t->metrics.n; i++)
        column[n++] = t->metrics.metric[i].column;
    for (int i = 0; i < N_AFTER; i++)
        column[n++] = after[i];
    char *text = sweep_csv(t->rows, column, n);
    lt_status status = write_text(t->s, "results.csv", text);
    free(text);
    free(column);
    return status;
}

// In the order of the study, whatever finished first.
static json_t *ordered_tuning(const sweep *s)
{
    json_t *list = json_array();
    size_t i;
    json_t *row;
    for (int m = 0; m < s->study->n_methods; m++)
        for (int a = 0; a < LT_N_ACCESS; a++)
            json_array_foreach(s->tuned, i, row)
            {
                if (!strcmp(cli_text(row, "method"), s->study->method[m].name) &&
                    !strcmp(cli_text(row, "access"), lt_access_text(a)))
                    json_array_append(list, row);
            }
    return list;
}

static lt_status write_tuning(const sweep *s)
{
    static const char *const column[] = {
        "method",    "access",     "point", "source", "options", "objective",  "value",       "used_oracle",
        "chosen",    "ua",         "ra",    "ta",     "mis",     "phi_ft_auc", "avg_gap_mis", "avg_gap_auc",
        "n_forward", "n_backward", "state", "error",  "run",     "update_s"};
    json_t *list = ordered_tuning(s), *chosen = json_array();
    size_t i;
    json_t *row;
    char *text = sweep_csv(list, column, sizeof column / sizeof *column);
    lt_status status = write_text(s, "tuning.csv", text);
    free(text);
    json_array_foreach(list, i, row)
    {
        if (json_is_true(json_object_get(row, "chosen")))
            json_array_append(chosen, row);
    }
    if (status == LT_OK)
        status = write_json(s, "chosen.json", chosen);
    json_decref(chosen);
    json_decref(list);
    return status;
}

static void print_markdown(const json_t *r, FILE *f)
{
    static const char *const column[][2] = {{"UA", "ua"},
                                            {"RA", "ra"},
                                            {"TA", "ta"},
                                            {"MIS", "mis"},
                                            {"phi FT AUC", "phi_ft_auc"},
                                            {"RMIA FT AUC", "rmia_ft_auc"},
                                            {"gap (MIS)", "avg_gap_mis"},
                                            {"gap (phi)", "avg_gap_auc"},
                                            {"gap (RMIA)", "avg_gap_rmia"}};
    enum { N = sizeof column / sizeof *column };
    size_t i;
    const json_t *row, *item;
    fprintf(f, "# %s\n\n%s, %s. Percent; mean +- standard deviation over runs [95 %% interval of the mean].\n\n",
            *cli_text(r, "study") ? cli_text(r, "study") : "Study", cli_text(r, "data"), cli_text(r, "model"));
    fputs("| method | access | runs |", f);
    for (int c = 0; c < N; c++)
        fprintf(f, " %s |", column[c][0]);
    fputs(" verdict |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|\n", f);
    json_array_foreach(json_object_get(r, "rows"), i, row)
    {
        fprintf(f, "| %s | %s | %.0f |", cli_text(row, "method"), cli_text(row, "access"), cli_real(row, "n_runs"));
        for (int c = 0; c < N; c++) {
            const json_t *m = json_object_get(json_object_get(row, "metrics"), column[c][1]);
            if (!m)
                fputs(" - |", f);
            else if (!isfinite(cli_real(m, "sd")))
                fprintf(f, " %.2f |", 100 * cli_real(m, "mean"));
            else if (!isfinite(cli_real(m, "low")))
                fprintf(f, " %.2f +- %.2f |", 100 * cli_real(m, "mean"), 100 * cli_real(m, "sd"));
            else
                fprintf(f, " %.2f +- %.2f [%.2f, %.2f] |", 100 * cli_real(m, "mean"), 100 * cli_real(m, "sd"),
                        100 * cli_real(m, "low"), 100 * cli_real(m, "high"));
        }
        fprintf(f, " %s |\n", cli_text(row, "verdict.overall"));
    }
    fputs("\nRetraining against retraining, in points: deviation, and half-width of the band of a further retrained "
          "model.\n\n",
          f);
    const json_t *band = json_object_get(r, "null_band");
    for (int c = 0; c < N; c++) {
        const json_t *m = json_object_get(band, column[c][1]);
        if (m && json_object_get(m, "half_width"))
            fprintf(f, "- %s: %.2f, %.2f\n", column[c][0], 100 * cli_real(m, "sd"), 100 * cli_real(m, "half_width"));
        else if (m)
            fprintf(f, "- %s of an oracle to the others: %.2f\n", column[c][0], 100 * cli_real(m, "mean"));
    }
    fputs("\nSettings:\n\n", f);
    json_array_foreach(json_object_get(r, "rows"), i, row)
    {
        if (*cli_text(row, "options"))
            fprintf(f, "- %s, %s: %s\n", cli_text(row, "method"), cli_text(row, "access"), cli_text(row, "options"));
    }
    fputs("\nNotes:\n\n", f);
    json_array_foreach(json_object_get(r, "lint"), i, item) fprintf(f, "- %s\n", cli_text(item, "text"));
    json_array_foreach(json_object_get(r, "failed"), i, item)
        fprintf(f, "- %s %s: %s\n", cli_text(item, "part"), cli_text(item, "state"), cli_text(item, "error"));
}

static lt_status write_summary(const sweep *s, const json_t *r)
{
    char *text = NULL;
    size_t size = 0;
    FILE *f = open_memstream(&text, &size);
    if (!f)
        return LT_FAIL(LT_E_NOMEM, "out of memory: summary");
    print_markdown(r, f);
    fclose(f);
    lt_status status = write_text(s, "summary.md", text);
    free(text);
    return status == LT_OK ? write_json(s, "summary.json", r) : status;
}

static lt_status summarize(const table *t, json_t *r)
{
    json_t *rows = json_array(), *band = NULL, *lint = json_array();
    lt_status status = summary_rows(t, rows);
    cli_put(r, "rows", rows);
    LT_TRY(status);
    status = null_json(t, &band);
    cli_put(r, "null_band", band);
    cli_lint_study(lint, t->s->study, t->audits);
    cli_put(r, "lint", lint);
    return status;
}

lt_status sweep_collect(sweep *s, json_t **summary)
{
    table t = {.s = s, .rows = json_array(), .audits = json_array()};
    json_t *r = describe(s);
    lt_status status = LT_OK;
    sweep_metrics_init(&t.metrics);
    LT_TRY_GOTO(sweep_verdict_cfg(s, &t.cfg), done);
    LT_TRY_GOTO(sweep_rows(s, &t.metrics, t.rows, t.audits), done);
    LT_TRY_GOTO(summarize(&t, r), done);
    cli_put(r, "tuning", tuning_json(s));
    cli_put(r, "parts", parts_json(s));
    cli_put(r, "failed", failures_json(s));
    LT_TRY_GOTO(write_results(&t), done);
    LT_TRY_GOTO(write_tuning(s), done);
    LT_TRY_GOTO(write_summary(s, r), done);
    *summary = json_incref(r);
done:
    json_decref(r);
    json_decref(t.rows);
    json_decref(t.audits);
    sweep_metrics_clear(&t.metrics);
    return status;
}

// ---- on the screen

static const char *percent_of(const json_t *row, const char *column, char text[24])
{
    const double mean = mean_at(row, column);
    if (!isfinite(mean))
        return "-";
    snprintf(text, 24, "%.2f", 100 * mean);
    return text;
}

void sweep_print_summary(const json_t *r, FILE *out)
{
    cli_table t = {.n_columns = 10, .left = {true, true}};
    t.left[9] = true;
    size_t i;
    const json_t *row;
    cli_table_row(&t, "method", "access", "runs", "forget %", "retain %", "test %", "MIS %", "gap MIS", "gap phi",
                  "verdict");
    json_array_foreach(json_object_get(r, "rows"), i, row)
    {
        char text[6][24], *runs = cli_format("%.0f", cli_real(row, "n_runs"));
        cli_table_row(&t, cli_text(row, "method"), cli_text(row, "access"), runs, percent_of(row, "ua", text[0]),
                      percent_of(row, "ra", text[1]), percent_of(row, "ta", text[2]), percent_of(row, "mis", text[3]),
                      percent_of(row, "avg_gap_mis", text[4]), percent_of(row, "avg_gap_auc", text[5]),
                      cli_text(row, "verdict.overall"));
        free(runs);
    }
    cli_table_print(&t, out);
    cli_table_clear(&t);
    json_array_foreach(json_object_get(r, "lint"), i, row) fprintf(out, "note: %s\n", cli_text(row, "text"));
    json_array_foreach(json_object_get(r, "failed"), i, row)
        fprintf(out, "%s %s: %s\n", cli_text(row, "state"), cli_text(row, "part"), cli_text(row, "error"));
    fprintf(out, "%.0f parts, %.0f of them there before; tables in %s\n", cli_real(r, "parts.n"),
            cli_real(r, "parts.n_existing"), cli_text(r, "out"));
}
