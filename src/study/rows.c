// rows.c - one row per audited model, from the audits: metrics, gaps, verdicts, cost.
#include "study/runner_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *lt_study_role_text(lt_study_role role)
{
    static const char *const text[] = {
        [LT_STUDY_ORIGINAL] = "original", [LT_STUDY_RETRAINED] = "oracle", [LT_STUDY_METHOD] = "method"};
    return text[role];
}

bool lti_study_is_row_of(const lt_study_row *row, lt_study_role role, const char *method, const char *access)
{
    return row->role == role && (!method || !strcmp(row->method, method)) &&
           (!access || (row->access && !strcmp(row->access, access)));
}

// ---- gaps [AMUN 7.6]: every run against the mean of the oracles of its own audit

static double mean_without(const json_t *list, const json_t *without, const char *path)
{
    double sum = 0;
    int n = 0;
    for (size_t i = 0; i < json_array_size(list); i++) {
        const json_t *one = json_array_get(list, i);
        if (one == without)
            continue;
        sum += lti_json_real_at(one, path);
        n++;
    }
    return n ? sum / n : (double)NAN;
}

// figures: of one model; where it is one of the oracles, it is compared with the others.
double lti_study_gap(const json_t *figures, const json_t *oracles, const char *mia)
{
    const char *const path[4] = {"ua", "ra", "ta", mia};
    double sum = 0;
    for (int i = 0; i < 4; i++)
        sum += fabs(lti_json_real_at(figures, path[i]) - mean_without(oracles, figures, path[i]));
    return sum / 4;
}

// ---- rows

typedef struct row_source {
    const lt_study_runner *r;
    const lti_study_job *audit, *job;
    const json_t *figures, *oracles; // of the model, of all retrained ones
    const json_t *original;          // figures of the original model, with its verdicts
    const json_t *classes;           // class audit of the model, or NULL
} row_source;

static void put_metrics(const lt_study_result *x, const row_source *s, lt_study_row *row)
{
    for (int i = 0; i < x->n_metrics; i++) {
        const lt_study_metric *m = &x->metric[i];
        const double value = m->of_classes ? (s->classes ? lti_json_real_at(s->classes, m->path) : (double)NAN)
                             : m->gap      ? lti_study_gap(s->figures, s->oracles, m->path)
                                           : lti_json_real_at(s->figures, m->path);
        row->value[i] = isfinite(value) ? value : (double)NAN;
    }
}

static const char *lint_ids(lt_study_result *x, const json_t *figures)
{
    const json_t *list = json_object_get(figures, "lint");
    lti_buf b = {0};
    lti_buf_puts(&b, "");
    for (size_t i = 0; i < json_array_size(list); i++)
        lti_buf_printf(&b, "%s%s", b.n ? " " : "", lti_json_text_at(json_array_get(list, i), "id"));
    char *text = lti_buf_take(&b);
    const char *kept = lti_result_copy(x, text ? text : "");
    free(text);
    return kept;
}

// of: path of the original's verdict that this one is held against. Audits of earlier versions did not do so.
static const char *verdict_at(lt_study_result *x, const row_source *s, const char *path, const char *of)
{
    const char *text = lti_json_text_at(s->figures, path);
    lt_verdict v, original;
    if (lt_verdict_find(text, &v) && lt_verdict_find(lti_json_text_at(s->original, of), &original))
        text = lt_verdict_text(lt_verdict_given_original(v, original));
    return lti_result_copy(x, text);
}

static void put_verdicts(lt_study_result *x, const row_source *s, lt_study_row *row)
{
    static const char all[] = "verdict.overall", ua[] = "verdict.ua", mis[] = "verdict.svc_mia.confidence";
    lt_verdict original = LT_VERDICT_DIFFERENT;
    (void)lt_verdict_find(lti_json_text_at(s->original, all), &original);
    const bool is_blind = lt_verdict_given_original(LT_VERDICT_SAME, original) != LT_VERDICT_SAME;
    row->verdict = verdict_at(x, s, all, all);
    row->verdict_ua = verdict_at(x, s, ua, is_blind ? all : ua);
    row->verdict_ra = verdict_at(x, s, "verdict.ra", is_blind ? all : "");
    row->verdict_ta = verdict_at(x, s, "verdict.ta", is_blind ? all : "");
    row->verdict_mis = verdict_at(x, s, mis, is_blind ? all : mis);
    row->lint = lint_ids(x, s->figures);
}

static void put_cost(const row_source *s, lt_study_row *row)
{
    static const char *const stage[LT_STUDY_N_COSTS] = {"search", "mask", "update", "eval"};
    char path[LT_METRIC_PATH];
    json_t *result = lti_study_load_result(s->r, s->job->id);
    for (int i = 0; i < LT_STUDY_N_COSTS; i++) {
        lti_format(path, sizeof path, "passes.%s.forward", stage[i]);
        row->forward[i] = lti_json_real_at(result, path);
        lti_format(path, sizeof path, "passes.%s.backward", stage[i]);
        row->backward[i] = lti_json_real_at(result, path);
        lti_format(path, sizeof path, "time.%s_s", stage[i]);
        row->seconds[i] = lti_json_real_at(result, path);
    }
    json_decref(result);
}

static void put_method(lt_study_result *x, const row_source *s, lt_study_row *row)
{
    const lti_study_job *j = s->job;
    if (j->kind != LT_STUDY_RUN) {
        row->role = j->kind == LT_STUDY_BASE ? LT_STUDY_ORIGINAL : LT_STUDY_RETRAINED;
        row->method = j->kind == LT_STUDY_BASE ? "original" : "retrain";
        return;
    }
    lti_study_own *own = x->own;
    const lt_study_method *m = &s->r->study->method[j->method];
    const int point = s->r->chosen[j->method * LT_N_ACCESS + j->access];
    row->role = LT_STUDY_METHOD;
    row->method = lti_result_copy(x, m->name);
    row->access = lt_access_text(j->access);
    row->options = lti_study_options_text(&own->arena, &m->options,
                                          point >= 0 ? lti_study_point(s->r, j->method, j->access, point) : NULL);
    own->failed = own->failed || !row->options;
}

static lt_status add_row(lt_study_result *x, const row_source *s)
{
    const lt_study_forget *f = s->r->forget[s->audit->forget].forget;
    const bool is_oracle = s->job->kind == LT_STUDY_ORACLE;
    lt_study_row *row = &x->row[x->n_rows];
    *row = (lt_study_row){.base = s->r->base[s->audit->base],
                          .forget = lti_result_copy(x, f->spec),
                          .forget_seed = f->seed,
                          .repetition = s->job->seed,
                          .n_oracles = (int)json_array_size(s->oracles) - is_oracle,
                          .cell = s->audit->base * s->r->n_forget + s->audit->forget,
                          .run = lti_result_copy(x, s->job->id),
                          .value = lti_result_list(x, (size_t)x->n_metrics, sizeof *row->value)};
    if (!row->value)
        return LTI_NOMEM("result of a study");
    put_method(x, s, row);
    put_metrics(x, s, row);
    if (!is_oracle) // an audit does not judge its oracles
        put_verdicts(x, s, row);
    put_cost(s, row);
    x->n_rows++;
    return lti_result_check(x);
}

// The class audits of retrained models stand in that of the audited one.
static lt_status add_listed(lt_study_result *x, row_source s, lt_study_kind kind, const json_t *list)
{
    const json_t *of_oracles = json_object_get(s.classes, "oracles");
    size_t at = 0;
    for (int i = 0; i < s.audit->n_needs; i++) {
        s.job = &s.r->job[s.audit->need[i].job];
        if (s.job->kind == kind && s.job->state == LT_STUDY_DONE && at < json_array_size(list)) {
            s.figures = json_array_get(list, at);
            s.classes =
                kind == LT_STUDY_ORACLE ? json_array_get(of_oracles, at) : json_object_get(s.figures, "class_audit");
            at++;
            LT_TRY(add_row(x, &s));
        }
    }
    return LT_OK;
}

static lt_status add_audit(const lt_study_runner *r, const lti_study_job *audit, const json_t *figures,
                           lt_study_result *x)
{
    const json_t *oracles = json_object_get(figures, "oracles");
    const row_source s = {.r = r,
                          .audit = audit,
                          .job = &r->job[lti_study_find_job(r, LT_STUDY_BASE, audit->base, -1)],
                          .figures = figures,
                          .oracles = oracles,
                          .original = figures,
                          .classes = json_object_get(figures, "class_audit")};
    LT_TRY(add_row(x, &s));
    LT_TRY(add_listed(x, s, LT_STUDY_ORACLE, oracles));
    return add_listed(x, s, LT_STUDY_RUN, json_object_get(figures, "also"));
}

// audits: gets what the rows were read from, in order.
lt_status lti_study_rows(const lt_study_runner *r, lt_study_result *x, json_t *audits)
{
    char path[LTI_STUDY_PATH];
    size_t n = 0;
    for (int i = 0; i < r->n_jobs; i++)
        n += r->job[i].kind == LT_STUDY_AUDIT ? 1 + (size_t)r->job[i].n_needs : 0;
    x->row = lti_result_list(x, n, sizeof *x->row);
    LT_TRY(lti_result_check(x));
    for (int i = 0; i < r->n_jobs; i++) {
        json_t *figures;
        const lti_study_job *audit = &r->job[i];
        if (audit->kind != LT_STUDY_AUDIT || audit->state != LT_STUDY_DONE)
            continue;
        LT_TRY(lti_json_load(lti_study_path(r, NULL, audit->id, ".json", path), &figures));
        const lt_status status = add_audit(r, audit, figures, x);
        if (json_array_append_new(audits, figures) != 0)
            return LTI_NOMEM(audit->id);
        LT_TRY(status);
    }
    return LT_OK;
}
