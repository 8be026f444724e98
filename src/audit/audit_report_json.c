// audit_report_json.c - the result of an audit as JSON: the one place where its keys are written (docs/cli.md).
#include "audit/kind_impl.h"
#include "lethe/class_audit.h"
#include <math.h>
#include <string.h>

// ---- members at paths such as "svc_mia.confidence": neighbours of one object follow each other

typedef struct path_writer {
    lti_json *w;
    char open[LT_METRIC_PATH]; // "svc_mia." of the objects that are open
    int n_open;
} path_writer;

static void close_paths(path_writer *p, size_t keep) // keep: bytes of p->open that stay
{
    for (const char *c = p->open + keep; *c; c++)
        if (*c == '.') {
            lti_json_end(p->w, '}');
            p->n_open--;
        }
    p->open[keep] = '\0';
}

// Opens the objects of the path; returns its last component.
static const char *open_path(path_writer *p, const char *path)
{
    size_t same = 0, part = 0;
    while (p->open[same] && p->open[same] == path[same]) {
        same++;
        if (p->open[same - 1] == '.')
            part = same;
    }
    close_paths(p, part);
    for (const char *dot; (dot = strchr(path + part, '.'));) {
        char key[LT_METRIC_PATH];
        lti_format(key, sizeof key, "%.*s", (int)(dot - path - (ptrdiff_t)part), path + part);
        lti_json_begin(p->w, key, '{');
        p->n_open++;
        part = (size_t)(dot - path) + 1;
        lti_format(p->open, sizeof p->open, "%.*s", (int)part, path);
    }
    return path + part;
}

static void put_value(path_writer *p, lt_metric_id id, const char *path, double value)
{
    const char *key = open_path(p, path);
    if (lt_metric_get(id)->unit == LT_UNIT_COUNT && isfinite(value))
        lti_json_int(p->w, key, (int64_t)value);
    else
        lti_json_real(p->w, key, value);
}

// ---- one model

// gap: (attacks) or NULL.
static void write_attacks(const lt_audit_in *in, const lt_audited *a, const double *gap, lti_json *w)
{
    for (const lt_mia *const *m = lt_mia_list(); *m; m++) {
        int run = -1;
        for (int i = 0; i < a->n_scores; i++)
            run = in->attacks->mia[i] == *m ? i : run;
        if (run < 0) {
            lti_json_null(w, (*m)->name);
            continue;
        }
        lti_json_begin(w, (*m)->name, '{');
        for (int id = 0; id < LT_N_METRICS; id++)
            if (lt_metric_get((lt_metric_id)id)->source == LT_METRIC_OF_ATTACK)
                lti_json_real(w, lt_metric_get((lt_metric_id)id)->key, lt_metric_field((lt_metric_id)id, &a->mia[run]));
        if (gap)
            lti_json_real(w, "avg_gap", gap[run]);
        lti_json_end(w, '}');
    }
}

static void write_audited(const lt_audit_in *in, const lt_audited *a, const double *gap, lti_json *w)
{
    path_writer p = {.w = w};
    char path[LT_METRIC_PATH];
    for (int id = 0; id < LT_N_METRICS; id++)
        if (lt_metric_get((lt_metric_id)id)->source == LT_METRIC_OF_AUDIT)
            put_value(&p, (lt_metric_id)id, lt_metric_path((lt_metric_id)id, NULL, path),
                      lt_metric_field((lt_metric_id)id, &a->audit));
    close_paths(&p, 0);
    write_attacks(in, a, gap, w);
}

static double find_value(const lt_audit_report *r, lt_metric_id id)
{
    for (int i = 0; i < r->n_metrics; i++)
        if (r->metric[i].id == id)
            return r->metric[i].value;
    return (double)NAN;
}

static void write_counts(const lt_audit_report *r, lti_json *w)
{
    static const lt_group_id counted[3] = {LT_SAMPLES_FORGET, LT_SAMPLES_RETAIN, LT_SAMPLES_TEST};
    const lt_audited *a = r->in->unlearned.audited;
    char key[40];
    for (int i = 0; i < 3; i++) {
        const lt_sample_group *g = lt_sample_group_get(counted[i]);
        lti_format(key, sizeof key, "n_%s", g->name);
        lti_json_int(w, key, a->audit.n[g->stored]);
    }
    lti_json_int(w, "n_forgotten_classes", lt_forgotten_classes(a->signals, NULL));
    if (a->signals->subclass)
        lti_json_int(w, "n_forgotten_subclasses", lt_signals_forgotten_subclasses(a->signals));
    // Metrics of kinds that have no object of their own; null where their kind has nothing to say of this model.
    for (int id = 0; id < LT_N_METRICS; id++) {
        const lt_metric *m = lt_metric_get((lt_metric_id)id);
        if (m->source == LT_METRIC_OF_KIND && !strchr(m->key, '.'))
            lti_json_real(w, m->key, find_value(r, (lt_metric_id)id));
    }
}

// ---- against the oracles

static bool is_judged(const lt_metric_result *m)
{
    return (lt_metric_get(m->id)->flags & LT_METRIC_JUDGED) && !isnan(m->value);
}

static void write_band(const lt_metric_result *m, int n, lti_json *w)
{
    const lt_equivalence *c = &m->test;
    lti_json_real(w, "mean", c->mean);
    lti_json_real(w, "sd", c->sd);
    lti_json_real(w, "low", c->mean - c->band);
    lti_json_real(w, "high", c->mean + c->band);
    lti_json_real(w, "difference", c->difference);
    lti_json_real(w, "p", c->p);
    lti_json_real(w, "bound", c->bound);
    lti_json_real(w, "margin", c->margin);
    lti_json_reals(w, "oracle_differences", m->difference, n);
}

static void write_bands(const lt_audit_report *r, lti_json *w)
{
    path_writer p = {.w = w};
    char path[LT_METRIC_PATH];
    lti_json_begin(w, "null_band", '{');
    for (int i = 0; i < r->n_metrics && r->n_distinct >= 2; i++) {
        const lt_metric_result *m = &r->metric[i];
        if (!is_judged(m))
            continue;
        lti_json_begin(w, open_path(&p, lt_metric_path(m->id, m->attack, path)), '{');
        write_band(m, r->n_distinct, w);
        lti_json_end(w, '}');
    }
    close_paths(&p, 0);
    if (r->n_distinct >= 2) {
        lti_json_reals(w, "avg_gap", r->oracle_gap_mis, r->n_distinct);
        lti_json_reals(w, "avg_gap_auc", r->oracle_gap_auc, r->n_distinct);
    }
    lti_json_end(w, '}');
}

static void write_verdicts(const lt_audit_report *r, lti_json *w)
{
    path_writer p = {.w = w};
    char path[LT_METRIC_PATH];
    lti_json_begin(w, "verdict", '{');
    for (int i = 0; i < r->n_metrics; i++) {
        const lt_metric_result *m = &r->metric[i];
        if (is_judged(m))
            lti_json_text(w, open_path(&p, lt_metric_path(m->id, m->attack, path)), lt_verdict_text(m->test.verdict));
    }
    close_paths(&p, 0);
    lti_json_text(w, "overall", lt_verdict_text(r->overall));
    lti_json_end(w, '}');
}

static void write_intervals(const lt_audit_report *r, lti_json *w)
{
    path_writer p = {.w = w};
    char path[LT_METRIC_PATH];
    lti_json_begin(w, "interval", '{');
    lti_json_real(w, "level", 1.0 - r->in->verdict->verdict_level);
    lti_json_int(w, "draws", r->in->verdict->bootstrap);
    for (int i = 0; i < r->n_metrics; i++) {
        const lt_metric_result *m = &r->metric[i];
        if (!(lt_metric_get(m->id)->flags & LT_METRIC_INTERVAL))
            continue;
        const char *key = open_path(&p, lt_metric_path(m->id, m->attack, path));
        if (isfinite(m->interval.low) && isfinite(m->interval.high))
            lti_json_reals(w, key, (const double[2]){m->interval.low, m->interval.high}, 2);
        else
            lti_json_null(w, key);
    }
    close_paths(&p, 0);
    lti_json_end(w, '}');
}

// Its verdicts are those that the model's were held against; null where they were not.
static void write_original(const lt_audit_report *r, lti_json *w)
{
    if (!r->original) {
        lti_json_null(w, "original");
        return;
    }
    lti_json_begin(w, "original", '{');
    write_audited(r->in, r->original->in->unlearned.audited, NULL, w);
    lti_json_text(w, "run", r->original->in->unlearned.name);
    write_verdicts(r->original, w);
    lti_json_end(w, '}');
}

static void write_oracles(const lt_audit_in *in, lti_json *w)
{
    lti_json_begin(w, "oracles", '[');
    for (int i = 0; i < in->n_retrained; i++) {
        lti_json_begin(w, NULL, '{');
        if (in->retrained[i].audited)
            write_audited(in, in->retrained[i].audited, NULL, w);
        lti_json_text(w, "run", in->retrained[i].name);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
}

// ---- references, risk, lint, kinds

static void write_choice(const lt_mia_tuning *c, const char *attack, lti_json *w)
{
    lti_json_begin(w, attack, '{');
    lti_json_real(w, c->option, c->value);
    lti_json_begin(w, "tried", '[');
    for (int i = 0; i < c->n; i++) {
        lti_json_begin(w, NULL, '{');
        lti_json_real(w, c->option, c->tried[i]);
        lti_json_real(w, "auc", c->auc[i]);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
    lti_json_end(w, '}');
}

static void write_references(const lt_audit_in *in, lti_json *w)
{
    const lt_mia_set *attacks = in->attacks;
    if (!attacks || !attacks->refs) {
        lti_json_null(w, "references");
        return;
    }
    lti_json_begin(w, "references", '{');
    lti_json_int(w, "n", attacks->refs->m);
    lti_json_begin(w, "self_auc", '{');
    for (int i = 0; i < attacks->n; i++)
        if (attacks->self_auc && (attacks->mia[i]->needs & LT_MIA_NEED_REFERENCES) && attacks->refs->m > 1)
            lti_json_real(w, attacks->mia[i]->name, attacks->self_auc[i]);
    lti_json_end(w, '}');
    lti_json_begin(w, "chosen", '{');
    for (int i = 0; i < attacks->n; i++)
        if (attacks->choice[i].n)
            write_choice(&attacks->choice[i], attacks->mia[i]->name, w);
    lti_json_end(w, '}');
    lti_json_end(w, '}');
}

static void write_samples(const char *key, const lt_risk_sample *s, int n, lti_json *w)
{
    lti_json_begin(w, key, '[');
    for (int i = 0; i < n; i++) {
        lti_json_begin(w, NULL, '{');
        lti_json_int(w, "id", s[i].id);
        lti_json_int(w, "label", s[i].label);
        lti_json_real(w, "score", s[i].score);
        lti_json_real(w, "risk", s[i].risk);
        if (isfinite(s[i].before))
            lti_json_real(w, "before", s[i].before);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
}

static void write_risk_group(const char *key, const lt_risk_group *g, bool has_before, lti_json *w)
{
    lti_json_begin(w, key, '{');
    lti_json_int(w, "n", g->n);
    lti_json_int(w, "n_above_0_99", g->n_high);
    lti_json_real(w, "median", g->median);
    write_samples("top", g->top, g->n_top, w);
    if (has_before) {
        lti_json_int(w, "n_rose", g->n_rose);
        write_samples("top_rose", g->top_rose, g->n_top_rose, w);
    }
    lti_json_end(w, '}');
}

static void write_risk(const lt_risk *risk, lti_json *w)
{
    if (!risk) {
        lti_json_null(w, "risk");
        return;
    }
    lti_json_begin(w, "risk", '{');
    lti_json_text(w, "attack", risk->attack->name);
    write_risk_group("forget", &risk->forget, risk->has_before, w);
    write_risk_group("retain", &risk->retain, risk->has_before, w);
    lti_json_end(w, '}');
}

static void write_kinds(const lt_audit_report *r, lti_json *w)
{
    for (int k = 0; k < LT_N_AUDIT_KINDS; k++) {
        const lt_audit_kind *kind = lt_audit_kind_get((lt_audit_kind_id)k);
        if (!kind->key || ((kind->needs & LT_AUDIT_ON_REQUEST) && !r->has_run[k]))
            continue;
        if (!r->data[k]) {
            lti_json_null(w, kind->key);
            continue;
        }
        lti_json_begin(w, kind->key, '{');
        kind->write(r->data[k], w);
        lti_json_end(w, '}');
    }
}

void lti_lint_write(const lt_lint *lint, const char *key, lti_json *w)
{
    lti_json_begin(w, key, '[');
    for (int i = 0; i < lint->n; i++) {
        lti_json_begin(w, NULL, '{');
        lti_json_text(w, "id", lint->item[i].id);
        lti_json_text(w, "severity", lt_severity_text(lint->item[i].severity));
        lti_json_text(w, "text", lint->item[i].text);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
}

char *lt_lint_json(const lt_lint *lint)
{
    lti_json w = {0};
    lti_lint_write(lint, NULL, &w);
    return lti_json_take(&w);
}

void lti_audit_write_model(const lt_audit_report *r, lti_json *w)
{
    write_audited(r->in, r->in->unlearned.audited, r->attack_gap, w);
}

void lti_audit_write_verdict(const lt_audit_report *r, bool judged, lti_json *w)
{
    write_bands(r, w);
    if (judged)
        write_verdicts(r, w);
    else
        lti_json_null(w, "verdict");
    write_intervals(r, w);
}

static void write_report(const lt_audit_report *r, lti_json *w)
{
    lti_audit_write_model(r, w);
    lti_json_text(w, "run", r->in->unlearned.name);
    write_counts(r, w);
    lti_json_real(w, lt_metric_get(LT_METRIC_GAP_MIS)->key, r->summary.gap_mis);
    lti_json_real(w, lt_metric_get(LT_METRIC_GAP_AUC)->key, r->summary.gap_auc);
    lti_audit_write_verdict(r, true, w);
    write_original(r, w);
    write_oracles(r->in, w);
    write_references(r->in, w);
    write_risk(r->risk, w);
    write_kinds(r, w);
    lti_lint_write(&r->lint, "lint", w);
}

char *lt_audit_reports_json(const lt_audit_report *const *report, int n)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    write_report(report[0], &w);
    if (n > 1)
        lti_json_begin(&w, "also", '[');
    for (int i = 1; i < n; i++) {
        lti_json_begin(&w, NULL, '{');
        write_report(report[i], &w);
        lti_json_end(&w, '}');
    }
    if (n > 1)
        lti_json_end(&w, ']');
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}

char *lt_audit_report_json(const lt_audit_report *r)
{
    return lt_audit_reports_json(&r, 1);
}
