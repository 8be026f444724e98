// from_runs.c - a report made from a comparison and the directories of its runs: rows, metrics and lint from the
// comparison, the rest by the sections themselves.
#include "report/section.h"
#include <jansson.h>
#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

struct lt_report {
    lti_arena arena;
    lt_report_spec spec;
    int n_rows, n_streams, n_quantized;
    json_t **result, **resolved, **env, **audit, **stream, **quantized;
    const char **audit_path;
};

// ---- for sections

void *lti_gather_alloc(lti_gather *g, size_t n, size_t size)
{
    size_t bytes;
    void *p = lti_mul_size(n ? n : 1, size ? size : 1, &bytes) ? NULL : lti_arena_alloc(g->arena, bytes);
    if (!p)
        (void)LTI_NOMEM("report");
    return p;
}

char *lti_gather_text(lti_gather *g, const char *fmt, ...)
{
    char text[4096], *p;
    va_list args;
    va_start(args, fmt);
    lti_vformat(text, sizeof text, fmt, args);
    va_end(args);
    p = lti_arena_strdup(g->arena, text);
    if (!p)
        (void)LTI_NOMEM("report");
    return p;
}

// ---- files

static lt_status assign_audit(const lt_report_source *s, const char *path, json_t *audit, lt_report *r)
{
    const char *run = lti_json_text_at(audit, "run");
    if (!*run) {
        (void)LT_FAIL(LT_E_FORMAT, "%s: expected the result of an audit, found no text \"run\"", path);
        return lt_error_hint("write it with: lethe audit RUN ... --json > %s", path);
    }
    for (int i = 0; i < r->n_rows; i++)
        if (lt_same_path(run, s->comparison->row[i].run)) {
            json_decref(r->audit[i]);
            r->audit[i] = json_incref(audit);
            r->audit_path[i] = path;
            return LT_OK;
        }
    return LT_FAIL(LT_E_USAGE, "--audit-json %s: it is of %s, which is none of the runs of this report", path, run);
}

static lt_status load_named_audits(const lt_report_source *s, lt_report *r)
{
    for (int i = 0; i < s->n_audits; i++) {
        json_t *audit = NULL;
        LT_TRY(lti_json_load(s->audits[i], &audit));
        const lt_status status = assign_audit(s, s->audits[i], audit, r);
        json_decref(audit);
        LT_TRY(status);
    }
    return LT_OK;
}

static lt_status load_files(const lt_report_source *s, lt_report *r)
{
    LT_TRY(load_named_audits(s, r));
    for (int i = 0; i < r->n_rows; i++) {
        const char *dir = s->comparison->row[i].run;
        LT_TRY(lti_json_load_optional(dir, "result.json", &r->result[i]));
        LT_TRY(lti_json_load_optional(dir, "resolved.json", &r->resolved[i]));
        if (lti_json_load_optional(dir, "env.json", &r->env[i]) != LT_OK)
            lt_error_clear(); // a model file or a run of another tool: there is less to say
        if (!r->audit[i])     // one that was named counts
            LT_TRY(lti_json_load_optional(dir, "audit.json", &r->audit[i]));
    }
    for (int i = 0; i < s->n_streams; i++)
        LT_TRY(lti_json_load_optional(s->streams[i], "result.json", &r->stream[i]));
    for (int i = 0; i < s->n_quantized; i++)
        LT_TRY(lti_json_load_optional(s->quantized[i], "result.json", &r->quantized[i]));
    return LT_OK;
}

// ---- rows and metrics of the comparison

// Bands depend on the oracles alone: any judged row has them.
static const lt_audit_report *judged_row(const lt_comparison *c)
{
    for (int i = 0; i < c->n; i++)
        if (c->row[i].in.n_retrained > 0)
            return c->row[i].report;
    return NULL;
}

static double mean_of_oracles(const lt_comparison *c, lt_metric_id id, const lt_mia *attack)
{
    double sum = 0;
    int n = 0;
    for (int i = 0; i < c->n; i++) {
        const lt_metric_result *m = lt_audit_metric(c->row[i].report, id, attack);
        if (c->row[i].role == LT_ROW_ORACLE && m && isfinite(m->value)) {
            sum += m->value;
            n++;
        }
    }
    return n ? sum / n : (double)NAN;
}

// title with a capital letter in front
static const char *metric_title(lti_gather *g, lt_metric_id id, const lt_mia *attack)
{
    char text[LT_METRIC_TITLE];
    lt_metric_title(id, attack, text);
    char *title = lti_gather_text(g, "%s", text);
    if (title && *title >= 'a' && *title <= 'z')
        *title = (char)(*title - 'a' + 'A');
    return title;
}

static lt_status fill_metric(lti_gather *g, const lt_metric_result *of, lt_report_metric *m)
{
    const lt_comparison *c = g->source->comparison;
    const lt_audit_report *judged = judged_row(c);
    const lt_metric_result *band = judged ? lt_audit_metric(judged, of->id, of->attack) : NULL;
    char path[LT_METRIC_PATH];
    *m = (lt_report_metric){.key = lti_gather_text(g, "%s", lt_metric_path(of->id, of->attack, path)),
                            .title = metric_title(g, of->id, of->attack),
                            .null_band = {NAN, NAN}};
    m->chart = lt_metric_get(of->id)->flags & LT_METRIC_CHART;
    m->mean = mean_of_oracles(c, of->id, of->attack);
    if (band && judged->n_distinct >= 2) { // the mean of the distinct oracles
        m->mean = band->test.mean;
        m->null_band = (lt_interval){band->test.mean - band->test.band, band->test.mean + band->test.band};
        m->oracle_difference = band->difference;
        m->n_oracle_differences = judged->n_distinct;
    }
    return m->key && m->title ? LT_OK : LTI_NOMEM("report");
}

static bool is_listed(const lt_metric_result *m)
{
    return lt_metric_get(m->id)->flags & LT_METRIC_JUDGED;
}

static lt_status fill_metrics(lti_gather *g)
{
    const lt_comparison *c = g->source->comparison;
    const lt_audit_report *first = c->row[0].report;
    lt_report_metric *metric = lti_gather_alloc(g, (size_t)first->n_metrics, sizeof *metric);
    const char **attack = lti_gather_alloc(g, (size_t)c->attacks.n, sizeof *attack);
    if (!metric || !attack)
        return LTI_NOMEM("report");
    for (int i = 0; i < first->n_metrics; i++)
        if (is_listed(&first->metric[i]))
            LT_TRY(fill_metric(g, &first->metric[i], &metric[g->spec->n_metrics++]));
    for (int i = 0; i < c->attacks.n; i++)
        attack[i] = c->attacks.mia[i]->title;
    g->spec->metrics = metric;
    g->spec->attacks = attack;
    g->spec->n_attacks = c->attacks.n;
    return LT_OK;
}

static const lt_report_value *values_of(lti_gather *g, const lt_comparison_row *row)
{
    const lt_audit_report *first = g->source->comparison->row[0].report;
    lt_report_value *v = lti_gather_alloc(g, (size_t)g->spec->n_metrics, sizeof *v);
    int n = 0;
    for (int i = 0; v && i < first->n_metrics; i++) {
        if (!is_listed(&first->metric[i]))
            continue;
        const lt_metric_result *m = lt_audit_metric(row->report, first->metric[i].id, first->metric[i].attack);
        v[n] = (lt_report_value){.value = NAN, .interval = {NAN, NAN}};
        if (m) {
            v[n].value = m->value;
            v[n].interval = m->interval;
            if (row->in.n_retrained > 0 && !isnan(m->value))
                v[n].verdict = lt_verdict_text(m->test.verdict);
        }
        n++;
    }
    return v;
}

static lt_status cost_of(lti_gather *g, const json_t *r, const lt_report_cost **out)
{
    static const char *const phase[LT_N_COSTS] = {"search", "mask", "update"};
    char path[32];
    if (!json_is_object(json_object_get(r, "time")) || !*lti_json_text_at(r, "method"))
        return LT_OK;
    lt_report_cost *c = lti_gather_alloc(g, 1, sizeof *c);
    if (!c)
        return LTI_NOMEM("report");
    for (int i = 0; i < LT_N_COSTS; i++) {
        lti_format(path, sizeof path, "time.%s_s", phase[i]);
        c->seconds[i] = lti_json_real_at(r, path);
        lti_format(path, sizeof path, "passes.%s.forward", phase[i]);
        c->forward[i] = lti_json_real_at(r, path);
        lti_format(path, sizeof path, "passes.%s.backward", phase[i]);
        c->backward[i] = lti_json_real_at(r, path);
    }
    c->eval_s = lti_json_real_at(r, "time.eval_s");
    *out = c;
    return LT_OK;
}

static lt_status fill_rows(lti_gather *g)
{
    const lt_comparison *c = g->source->comparison;
    lt_report_row *row = lti_gather_alloc(g, (size_t)c->n, sizeof *row);
    if (!row)
        return LTI_NOMEM("report");
    for (int i = 0; i < c->n; i++) {
        const lt_comparison_row *e = &c->row[i];
        row[i] = (lt_report_row){.name = e->name,
                                 .setting = e->setting,
                                 .role = e->role,
                                 .audit = e->audited.audit,
                                 .summary = e->summary,
                                 .signals = e->audited.signals,
                                 .run_dir = e->run,
                                 .seed = e->seed,
                                 .group = e->group,
                                 .score = (const double *const *)e->audited.score,
                                 .value = values_of(g, e)};
        if (e->in.n_retrained > 0)
            row[i].verdict = lt_verdict_text(e->report->overall);
        LT_TRY(cost_of(g, g->result[i], &row[i].cost));
        if (!row[i].value)
            return LTI_NOMEM("report");
    }
    g->spec->rows = row;
    g->spec->n_rows = c->n;
    return LT_OK;
}

// What is said of all rows is not said again of each.
static lt_status fill_lint(lti_gather *g)
{
    const lt_comparison *c = g->source->comparison;
    size_t most = (size_t)c->lint.n;
    for (int i = 0; i < c->n; i++)
        most += (size_t)c->row[i].report->lint.n;
    lt_report_lint *lint = lti_gather_alloc(g, most, sizeof *lint);
    if (!lint)
        return LTI_NOMEM("report");
    for (int row = -1; row < c->n; row++) {
        const lt_lint *of = row < 0 ? &c->lint : &c->row[row].report->lint;
        for (int k = 0; k < of->n; k++)
            if (row < 0 || !lt_lint_has(&c->lint, &of->item[k]))
                lint[g->spec->n_lint++] = (lt_report_lint){row, of->item[k].severity, of->item[k].id, of->item[k].text};
    }
    g->spec->lint = lint;
    return LT_OK;
}

static lt_status fill_comparison(lti_gather *g)
{
    const lt_report_source *s = g->source;
    if (s->model && s->ds)
        g->spec->subtitle = lti_gather_text(g, "%s on %s", s->model->spec, s->ds->spec);
    if (s->ds) {
        g->spec->note = lti_gather_text(
            g,
            "%lld of %lld training samples were to be forgotten. Each row is one model, evaluated on the same "
            "forgotten, retained and test samples.",
            (long long)s->n_forget, (long long)s->ds->split[LT_TRAIN].n);
        g->spec->class_names = (const char *const *)s->ds->class_names;
    }
    LT_TRY(fill_metrics(g));
    LT_TRY(fill_rows(g));
    return fill_lint(g);
}

// ---- together

static lt_status fill_report(const lt_report_source *s, lt_report *r)
{
    lti_gather g = {.source = s,
                    .spec = &r->spec,
                    .arena = &r->arena,
                    .result = r->result,
                    .resolved = r->resolved,
                    .env = r->env,
                    .audit = r->audit,
                    .audit_path = r->audit_path,
                    .quantized = r->quantized,
                    .stream = r->stream};
    const char *study = s->study && s->study->name && *s->study->name ? s->study->name : "Study";
    r->spec = (lt_report_spec){.title = s->title   ? s->title
                                        : s->study ? study
                                                   : "",
                               .subtitle = s->n_streams > 0 ? "requests served one after another" : "quantized models",
                               .seed = s->seed};
    LT_TRY(load_files(s, r));
    if (r->n_rows > 0)
        LT_TRY(fill_comparison(&g));
    for (int i = 0; i < lti_n_sections; i++) {
        g.self = i;
        if (lti_sections[i]->gather)
            LT_TRY(lti_sections[i]->gather(&g));
    }
    return LT_OK;
}

lt_status lt_report_from_runs(const lt_report_source *given, lt_report **report)
{
    static const lt_comparison no_rows;
    lt_report *r = *report = lti_calloc(1, sizeof *r);
    if (!r)
        return LTI_NOMEM("report");
    lt_report_source all = *given, *source = &all;
    if (!source->comparison)
        source->comparison = &no_rows;
    r->n_rows = source->comparison->n;
    r->n_streams = source->n_streams;
    r->n_quantized = source->n_quantized;
    const size_t n = (size_t)r->n_rows + 1;
    r->result = lti_calloc(n, sizeof *r->result);
    r->resolved = lti_calloc(n, sizeof *r->resolved);
    r->env = lti_calloc(n, sizeof *r->env);
    r->audit = lti_calloc(n, sizeof *r->audit);
    r->audit_path = lti_calloc(n, sizeof *r->audit_path);
    r->stream = lti_calloc((size_t)r->n_streams + 1, sizeof *r->stream);
    r->quantized = lti_calloc((size_t)r->n_quantized + 1, sizeof *r->quantized);
    const bool complete = r->result && r->resolved && r->env && r->audit && r->audit_path && r->stream && r->quantized;
    const lt_status status = complete ? fill_report(source, r) : LTI_NOMEM("report");
    if (status != LT_OK) {
        lt_report_destroy(r);
        *report = NULL;
    }
    return status;
}

const lt_report_spec *lt_report_get(const lt_report *report)
{
    return &report->spec;
}

void lt_report_destroy(lt_report *r)
{
    if (!r)
        return;
    json_t **const row_lists[] = {r->result, r->resolved, r->env, r->audit};
    for (size_t k = 0; k < sizeof row_lists / sizeof *row_lists; k++) {
        for (int i = 0; row_lists[k] && i < r->n_rows; i++)
            json_decref(row_lists[k][i]);
        lti_free(row_lists[k]);
    }
    for (int i = 0; r->stream && i < r->n_streams; i++)
        json_decref(r->stream[i]);
    lti_free(r->stream);
    for (int i = 0; r->quantized && i < r->n_quantized; i++)
        json_decref(r->quantized[i]);
    lti_free(r->quantized);
    lti_free(r->audit_path);
    lti_arena_clear(&r->arena);
    lti_free(r);
}
