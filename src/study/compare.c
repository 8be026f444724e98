// compare.c - the runs of one method together against retraining.
//
// A cell is an original model with a forget set: K runs of the method and R oracles. The mean over the cells of (mean
// of the runs - mean of the oracles) is compared with the spread of retraining, pooled over the sets of oracles: under
// the hypothesis that runs are retrained models its variance is sigma^2 (mean of 1/K + mean of 1/R) / cells. Shared
// oracles of several cells count once. docs/decisions/0004-equivalence-test.md has the test of one model.
#include "study/runner_impl.h"
#include <math.h>
#include <string.h>

lt_status lti_study_verdict_cfg(const lt_study *study, lt_verdict_cfg *cfg)
{
    lt_optset *set;
    LT_TRY(lt_optset_create(&set));
    lt_status status = lt_optset_add(set, "", lt_verdict_options, cfg, 0);
    for (int i = 0; i < study->audit.n && status == LT_OK; i++)
        if (lt_optset_has(set, study->audit.option[i].key))
            status = lt_optset_set(set, study->audit.option[i].key, study->audit.option[i].value, "study");
    lt_optset_destroy(set);
    return status;
}

typedef struct side { // values of one kind of model in one cell
    int n;
    double sum, squares;
} side;

static double squared_deviations(const side *x)
{
    const double v = x->squares - x->sum * x->sum / x->n;
    return v > 0 ? v : 0;
}

static int count_cells(const lt_study_runner *r)
{
    return (r->n_bases + 1) * (r->n_forget + 1);
}

// Values of every cell; NULL when out of memory.
static side *collect_cells(const lt_study_runner *r, const lt_study_result *x, int metric, const lt_study_summary *of)
{
    side *cell = lti_calloc((size_t)count_cells(r), sizeof *cell);
    for (int i = 0; cell && i < x->n_rows; i++) {
        const lt_study_row *row = &x->row[i];
        const double v = row->value[metric];
        if (!lti_study_is_row_of(row, of->role, of->method, of->access) || !isfinite(v))
            continue;
        side *s = &cell[row->cell];
        s->n++;
        s->sum += v;
        s->squares += v * v;
    }
    return cell;
}

static const lt_study_summary any_oracle = {.role = LT_STUDY_RETRAINED};

// Oracles of the cell, and whether an earlier cell has counted them.
static bool was_counted(const lt_study_runner *r, const side *oracle, int cell)
{
    if (!r->study->oracles.shared)
        return false;
    for (int c = cell - r->n_forget; c >= 0; c -= r->n_forget) // the same forget set
        if (oracle[c].n)
            return true;
    return false;
}

static void pool_spread(const lt_study_runner *r, const side *oracle, lt_pooled *out)
{
    double squares = 0;
    out->df = 0;
    for (int c = 0; c < count_cells(r); c++)
        if (oracle[c].n > 1 && !was_counted(r, oracle, c)) {
            squares += squared_deviations(&oracle[c]);
            out->df += oracle[c].n - 1;
        }
    out->sd = out->df ? sqrt(squares / out->df) : (double)NAN;
}

// Step of a metric: one over the samples of the group it is made from.
static double resolution_of(const lt_study_runner *r, const lt_study_metric *m)
{
    int64_t least = INT64_MAX;
    const int64_t n_test = r->ds->split[LT_TEST].n;
    for (int f = 0; f < r->n_forget; f++)
        least = r->forget[f].n < least ? r->forget[f].n : least;
    lt_metric_id id;
    const lt_mia *attack;
    unsigned groups = 0;
    if (!m->gap && lt_metric_find(m->path, &id, &attack) == LT_OK)
        groups = lt_metric_get(id)->groups;
    lt_error_clear();
    if (groups == 1u << LT_SAMPLES_TEST)
        return n_test ? 1.0 / (double)n_test : 0;
    if (groups == 1u << LT_SAMPLES_RETAIN)
        return 1.0 / (double)(r->ds->split[LT_TRAIN].n - least);
    return 1.0 / (double)least;
}

lt_status lti_study_band(const lt_study_runner *r, const lt_study_result *x, const lt_verdict_cfg *cfg, int metric,
                         lt_study_band *band)
{
    side *oracle = collect_cells(r, x, metric, &any_oracle);
    lt_pooled pooled = {.of_models = 1,
                        .of_oracles = 1.0 / r->study->oracles.seeds.n,
                        .resolution = resolution_of(r, &x->metric[metric])};
    lt_equivalence test;
    if (!oracle)
        return LTI_NOMEM("null band");
    pool_spread(r, oracle, &pooled);
    lti_free(oracle);
    lt_compare_pooled(&pooled, cfg, &test);
    if (isfinite(test.band))
        *band = (lt_study_band){.is_known = true, .sd = pooled.sd, .half_width = test.band, .df = pooled.df};
    return LT_OK;
}

// Weight of the oracles of a cell in the mean over all cells: shared ones carry several.
static double oracle_weight(const lt_study_runner *r, const side *run, const side *oracle, int cell)
{
    double weight = 0;
    for (int c = cell % r->n_forget; c < count_cells(r); c += r->n_forget)
        weight += run[c].n && oracle[c].n && (c == cell || r->study->oracles.shared);
    return weight;
}

static bool is_first_of_forget_set(const lt_study_runner *r, const side *run, const side *oracle, int cell)
{
    for (int c = cell - r->n_forget; c >= 0; c -= r->n_forget)
        if (run[c].n && oracle[c].n)
            return false;
    return true;
}

static bool pool_cells(const lt_study_runner *r, const side *run, const side *oracle, lt_pooled *out)
{
    int n = 0;
    double sum = 0, of_models = 0, of_oracles = 0;
    for (int c = 0; c < count_cells(r); c++) {
        if (!run[c].n || !oracle[c].n)
            continue;
        n++;
        sum += run[c].sum / run[c].n - oracle[c].sum / oracle[c].n;
        of_models += 1.0 / run[c].n;
        const double weight = oracle_weight(r, run, oracle, c);
        if (!r->study->oracles.shared || is_first_of_forget_set(r, run, oracle, c))
            of_oracles += weight * weight / oracle[c].n;
    }
    if (!n)
        return false;
    pool_spread(r, oracle, out);
    out->difference = sum / n;
    out->of_models = of_models / ((double)n * n);
    out->of_oracles = of_oracles / ((double)n * n);
    return true;
}

static lt_status compare_metric(const lt_study_runner *r, const lt_study_result *x, const lt_verdict_cfg *cfg,
                                int metric, lt_study_summary *s)
{
    lt_pooled pooled = {.resolution = resolution_of(r, &x->metric[metric])};
    lt_study_value *value = &s->value[metric];
    side *run = collect_cells(r, x, metric, s), *oracle = collect_cells(r, x, metric, &any_oracle);
    const bool complete = run && oracle;
    value->is_compared = complete && pool_cells(r, run, oracle, &pooled);
    lti_free(run);
    lti_free(oracle);
    if (value->is_compared)
        lt_compare_pooled(&pooled, cfg, &value->test);
    return complete ? LT_OK : LTI_NOMEM("comparison with retraining");
}

static bool enters_forgotten(const lt_study_metric *m)
{
    lt_metric_id id;
    const lt_mia *attack;
    const bool is_one = lt_metric_find(m->path, &id, &attack) == LT_OK;
    lt_error_clear();
    return is_one && lt_metric_of_forgotten(id);
}

// original: the summary of the original models, which comes first, or s itself. As lt_audit_judge_original.
static void hold_against_original(const lt_study_result *x, const lt_study_summary *original, lt_verdict overall,
                                  lt_study_summary *s)
{
    lt_verdict of_original = overall;
    if (original != s && (!original->verdict || !lt_verdict_find(original->verdict, &of_original)))
        of_original = LT_VERDICT_DIFFERENT;
    const bool is_blind = lt_verdict_given_original(LT_VERDICT_SAME, of_original) != LT_VERDICT_SAME;
    bool some_tell = false; // of the metrics of forgotten samples
    overall = lt_verdict_given_original(overall, of_original);
    for (int i = 0; i < x->n_metrics; i++) {
        lt_equivalence *test = &s->value[i].test;
        if (!s->value[i].is_compared)
            continue;
        if (is_blind)
            test->verdict = lt_verdict_given_original(test->verdict, of_original);
        else if (original->value[i].is_compared && enters_forgotten(&x->metric[i]))
            test->verdict = lt_verdict_given_original(test->verdict, original->value[i].test.verdict);
        some_tell = some_tell || (enters_forgotten(&x->metric[i]) && test->verdict != LT_VERDICT_CANNOT_TELL);
    }
    s->verdict = lt_verdict_text(overall == LT_VERDICT_SAME && !some_tell ? LT_VERDICT_CANNOT_TELL : overall);
}

static const lt_study_summary *find_original(const lt_study_result *x, const lt_study_summary *s)
{
    for (int i = 0; i < x->n_summaries; i++)
        if (x->summary[i].role == LT_STUDY_ORIGINAL)
            return &x->summary[i];
    return s;
}

lt_status lti_study_compare(const lt_study_runner *r, const lt_study_result *x, const lt_verdict_cfg *cfg,
                            lt_study_summary *s)
{
    int n = 0;
    lt_equivalence *all = lti_calloc((size_t)x->n_metrics, sizeof *all);
    lt_status status = all ? LT_OK : LTI_NOMEM("comparison with retraining");
    for (int i = 0; i < x->n_metrics && status == LT_OK; i++) {
        if (!x->metric[i].judged || !s->value[i].n)
            continue;
        status = compare_metric(r, x, cfg, i, s);
        if (s->value[i].is_compared)
            all[n++] = s->value[i].test;
    }
    if (status == LT_OK)
        hold_against_original(x, find_original(x, s), lt_compare_all(all, n, cfg), s);
    lti_free(all);
    return status;
}
