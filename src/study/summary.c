// summary.c - from rows to a table: one line per method and access setting.
//
// A mean is over runs, its interval over the draw of (original model, forget set) pairs: repetitions of one pair share
// both and are drawn together. A gap is computed per run and averaged then. [AMUN 7.6]
#include "lethe/class_audit.h"
#include "study/runner_impl.h"
#include <math.h>
#include <string.h>

enum { BOOTSTRAP_DRAWS = 2000 };
#define LEVEL 0.05

typedef struct table {
    const lt_study_runner *r;
    lt_study_result *x;
    lt_verdict_cfg cfg;
    double *value; // (n_rows) of the current metric
    int *cluster;  // (n_rows)
    int *number;   // of a cell among the clusters
} table;

// ---- one metric of the models of one kind

static bool is_member(const lt_study_summary *s, const lt_study_row *row)
{
    return lti_study_is_row_of(row, s->role, s->method, s->access);
}

// Values that were measured, with clusters numbered 0..n-1. Returns their number.
static int collect_values(const table *t, int metric, const lt_study_summary *of)
{
    int n = 0, n_clusters = 0;
    const size_t n_cells = (size_t)t->r->n_bases * (size_t)t->r->n_forget;
    memset(t->number, 0, n_cells * sizeof *t->number);
    for (int i = 0; i < t->x->n_rows; i++) {
        const lt_study_row *row = &t->x->row[i];
        if (!is_member(of, row) || !isfinite(row->value[metric]))
            continue;
        int *known = &t->number[row->cell];
        if (!*known)
            *known = ++n_clusters;
        t->value[n] = row->value[metric];
        t->cluster[n++] = *known - 1;
    }
    return n;
}

static lt_status summarize_metric(const table *t, int metric, const lt_study_summary *of, lt_study_value *out)
{
    double sum = 0, squares = 0;
    lt_interval interval;
    const int n = collect_values(t, metric, of);
    *out = (lt_study_value){.n = n};
    if (n == 0)
        return LT_OK;
    for (int i = 0; i < n; i++)
        sum += t->value[i];
    out->mean = sum / n;
    for (int i = 0; i < n; i++)
        squares += (t->value[i] - out->mean) * (t->value[i] - out->mean);
    out->sd = n > 1 ? sqrt(squares / (n - 1)) : (double)NAN;
    LT_TRY(lt_bootstrap_mean(t->value, t->cluster, n, BOOTSTRAP_DRAWS, LEVEL, 1, &interval));
    out->low = interval.low;
    out->high = interval.high;
    return LT_OK;
}

// ---- retraining against retraining

static lt_status fill_bands(const table *t)
{
    lt_study_result *x = t->x;
    const lt_study_summary oracles = {.role = LT_STUDY_RETRAINED};
    x->band = lti_result_list(x, (size_t)x->n_metrics, sizeof *x->band);
    LT_TRY(lti_result_check(x));
    for (int i = 0; i < x->n_metrics; i++)
        if (x->metric[i].gap) // of each oracle to the others
            LT_TRY(summarize_metric(t, i, &oracles, &x->band[i].gap));
        else
            LT_TRY(lti_study_band(t->r, x, &t->cfg, i, &x->band[i]));
    return LT_OK;
}

// ---- lines

static uint64_t seed_of(const lt_study_row *row, int which)
{
    return which == 0 ? row->base : which == 1 ? row->forget_seed : row->repetition;
}

// Different original models (0), forget sets (1), or seeds of the model itself (2).
static int count_distinct(const table *t, const lt_study_summary *s, int which)
{
    int n = 0;
    for (int i = 0; i < t->x->n_rows; i++) {
        const lt_study_row *row = &t->x->row[i];
        bool first = is_member(s, row);
        for (int k = 0; k < i && first; k++) {
            const lt_study_row *other = &t->x->row[k];
            first = !is_member(s, other) || seed_of(row, which) != seed_of(other, which) ||
                    (which == 1 && strcmp(row->forget, other->forget) != 0);
        }
        n += first;
    }
    return n;
}

static void count_verdicts(const table *t, lt_study_summary *s)
{
    for (int i = 0; i < t->x->n_rows; i++)
        for (int v = 0; v < LT_N_VERDICTS && is_member(s, &t->x->row[i]); v++)
            s->n_verdicts[v] += !strcmp(t->x->row[i].verdict, lt_verdict_text((lt_verdict)v));
}

static lt_status add_summary(const table *t, lt_study_role role, const char *method, const char *access)
{
    lt_study_result *x = t->x;
    lt_study_summary *s = &x->summary[x->n_summaries];
    *s = (lt_study_summary){.role = role, .method = lti_result_copy(x, method), .access = access};
    for (int i = 0; i < x->n_rows; i++)
        if (is_member(s, &x->row[i])) {
            s->options = x->row[i].options;
            s->n_runs++;
        }
    if (s->n_runs == 0)
        return lti_result_check(x);
    s->n_bases = count_distinct(t, s, 0);
    s->n_forget_sets = count_distinct(t, s, 1);
    s->n_seeds = role == LT_STUDY_ORIGINAL ? 1 : count_distinct(t, s, 2);
    s->value = lti_result_list(x, (size_t)x->n_metrics, sizeof *s->value);
    s->rank = lti_result_list(x, (size_t)x->n_metrics, sizeof *s->rank);
    LT_TRY(lti_result_check(x));
    for (int i = 0; i < x->n_metrics; i++)
        LT_TRY(summarize_metric(t, i, s, &s->value[i]));
    if (role != LT_STUDY_RETRAINED) {
        count_verdicts(t, s);
        LT_TRY(lti_study_compare(t->r, x, &t->cfg, s));
    }
    x->n_summaries++;
    return LT_OK;
}

// A method that leaves the forgotten classes more accuracy than retraining does is not ranked. [class-audit 4]
static bool passes_gate(const lt_study_result *x, const lt_study_summary *s)
{
    const int acc_f = lti_study_metric_index(x, "acc_f");
    for (int i = 0; acc_f >= 0 && i < x->n_summaries; i++)
        if (x->summary[i].role == LT_STUDY_RETRAINED && x->summary[i].value[acc_f].n && s->value[acc_f].n)
            return s->value[acc_f].mean <= x->summary[i].value[acc_f].mean + LT_CLASS_GATE;
    return true;
}

static bool may_be_ranked(const lt_study_result *x, const lt_study_summary *s, int metric)
{
    return s->role == LT_STUDY_METHOD && s->value[metric].n && passes_gate(x, s);
}

// Rank 1 has the smallest mean gap among the methods of its access setting.
static void rank_methods(lt_study_result *x, int metric)
{
    for (int i = 0; i < x->n_summaries; i++) {
        lt_study_summary *s = &x->summary[i];
        if (!may_be_ranked(x, s, metric))
            continue;
        s->rank[metric] = 1;
        for (int k = 0; k < x->n_summaries; k++) {
            const lt_study_summary *other = &x->summary[k];
            s->rank[metric] += may_be_ranked(x, other, metric) && !strcmp(other->access, s->access) &&
                               other->value[metric].mean < s->value[metric].mean;
        }
    }
}

// Rate and area are two forms of the same.
static bool searches_area(const lt_study_method *m)
{
    for (int i = 0; i < m->n_points; i++)
        for (int k = 0; k < m->point[i].n; k++)
            if (lti_same_key(m->point[i].option[k].key, "lr") || lti_same_key(m->point[i].option[k].key, "lr-area"))
                return true;
    return false;
}

static lt_status fill_summaries(const table *t)
{
    lt_study_result *x = t->x;
    const lt_study *y = t->r->study;
    x->summary = lti_result_list(x, 2 + LT_N_ACCESS * (size_t)y->n_methods, sizeof *x->summary);
    LT_TRY(lti_result_check(x));
    LT_TRY(add_summary(t, LT_STUDY_ORIGINAL, "original", NULL));
    LT_TRY(add_summary(t, LT_STUDY_RETRAINED, "retrain", NULL));
    for (int a = 0; a < LT_N_ACCESS; a++)
        for (int m = 0; m < y->n_methods; m++)
            if (y->method[m].access[a]) {
                const int before = x->n_summaries;
                LT_TRY(add_summary(t, LT_STUDY_METHOD, y->method[m].name, lt_access_text(a)));
                if (x->n_summaries > before)
                    x->summary[before].tuned_on_oracle = y->tuning.uses_oracle && searches_area(&y->method[m]);
            }
    for (int i = 0; i < x->n_metrics; i++)
        if (x->metric[i].ranked)
            rank_methods(x, i);
    return LT_OK;
}

// ---- what else a reader must know

static lt_status fill_jobs(const lt_study_runner *r, lt_study_result *x)
{
    x->failure = lti_result_list(x, (size_t)r->n_jobs, sizeof *x->failure);
    LT_TRY(lti_result_check(x));
    x->n_jobs = r->n_jobs;
    for (int i = 0; i < r->n_jobs; i++) {
        const lti_study_job *j = &r->job[i];
        x->n_in_state[j->state]++;
        x->n_existing += j->existing;
        if (j->state == LT_STUDY_FAILED || j->state == LT_STUDY_BLOCKED)
            x->failure[x->n_failures++] =
                (lt_study_failure){lti_result_copy(x, j->id), lti_result_copy(x, j->error), j->state};
    }
    return lti_result_check(x);
}

static lt_status fill_trials(const lt_study_runner *r, lt_study_result *x)
{
    const lt_study_tuning *tuning = &r->study->tuning;
    x->trial = lti_result_list(x, (size_t)r->n_trials, sizeof *x->trial);
    LT_TRY(lti_result_check(x));
    for (int i = 0; i < r->n_trials; i++) {
        lt_study_trial *t = &x->trial[x->n_trials++];
        *t = r->trial[i];
        t->method = lti_result_copy(x, t->method);
        t->options = lti_result_copy(x, t->options);
        t->run = lti_result_copy(x, t->run);
        t->error = lti_result_copy(x, t->error);
    }
    x->n_tried = x->n_trials;
    if (x->n_trials) {
        x->objective = lti_result_copy(x, tuning->objective);
        x->uses_oracle = tuning->uses_oracle;
        x->tuning_base = tuning->base;
        x->tuning_forget = lti_result_copy(x, tuning->forget.spec);
        x->tuning_forget_seed = tuning->forget.seed;
    }
    return lti_result_check(x);
}

static void describe_study(const lt_study_runner *r, lt_study_result *x)
{
    const lt_study *y = r->study;
    x->name = lti_result_copy(x, y->name);
    x->data = lti_result_copy(x, y->data);
    x->data_digest = lti_result_copy(x, r->ds->digest);
    x->model = lti_result_copy(x, y->model);
    x->out = lti_result_copy(x, r->out);
    x->n_bases = y->bases.n;
    x->n_forget_sets = y->n_forget;
    x->n_repetitions = y->repetitions.n;
    x->n_oracles = y->oracles.seeds.n;
    x->n_references = y->references.count;
}

static lt_status summarize_rows(const lt_study_runner *r, lt_study_result *x)
{
    table t = {.r = r, .x = x};
    LT_TRY(lti_study_verdict_cfg(r->study, &t.cfg));
    t.value = lti_result_list(x, (size_t)x->n_rows, sizeof *t.value);
    t.cluster = lti_result_list(x, (size_t)x->n_rows, sizeof *t.cluster);
    t.number = lti_result_list(x, (size_t)r->n_bases * (size_t)r->n_forget, sizeof *t.number);
    LT_TRY(lti_result_check(x));
    LT_TRY(fill_summaries(&t));
    return fill_bands(&t);
}

static bool forgets_classes(const lt_study *y)
{
    for (int i = 0; i < y->n_forget; i++)
        if (strncmp(y->forget[i].spec, "class:", strlen("class:")) == 0)
            return true;
    return false;
}

static lt_status fill_result(const lt_study_runner *r, lt_study_result *x, json_t *audits)
{
    describe_study(r, x);
    LT_TRY(lti_study_metrics(x, forgets_classes(r->study)));
    LT_TRY(lti_study_rows(r, x, audits));
    LT_TRY(summarize_rows(r, x));
    LT_TRY(fill_trials(r, x));
    LT_TRY(fill_jobs(r, x));
    return lti_study_lint(r->study, audits, x);
}

lt_status lt_study_summarize(const lt_study_runner *runner, lt_study_result *result)
{
    json_t *audits = json_array();
    lt_status status = lti_result_begin(result);
    if (status == LT_OK && !audits)
        status = LTI_NOMEM("result of a study");
    if (status == LT_OK)
        status = fill_result(runner, result, audits);
    json_decref(audits);
    if (status != LT_OK)
        lt_study_result_clear(result);
    return status;
}
