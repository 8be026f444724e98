// sweep_compare.c - the runs of one method together against retraining.
//
// A cell is an original model with a forget set: K runs of the method and R oracles. The mean over the cells of (mean
// of the runs - mean of the oracles) is compared with the spread of retraining, pooled over the sets of oracles: under
// the hypothesis that runs are retrained models its variance is sigma^2 (mean of 1/K + mean of 1/R) / cells. Shared
// oracles of several cells count once. docs/decisions/0004-equivalence-test.md has the test of one model.
#include "sweep_rows.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

lt_status sweep_verdict_cfg(const sweep *s, lt_verdict_cfg *cfg)
{
    lt_optset *set;
    LT_TRY(lt_optset_create(&set));
    lt_status status = lt_optset_add(set, "", lt_verdict_options, cfg, 0);
    for (int i = 0; i < s->study->audit.n && status == LT_OK; i++)
        if (lt_optset_has(set, s->study->audit.option[i].key))
            status = lt_optset_set(set, s->study->audit.option[i].key, s->study->audit.option[i].value, "study");
    lt_optset_destroy(set);
    return status;
}

typedef struct side { // values of one kind of model in one cell
    int n;
    double sum, squares;
} side;

static void add(side *x, double v)
{
    x->n++;
    x->sum += v;
    x->squares += v * v;
}

static double variance(const side *x) // times n - 1
{
    const double v = x->squares - x->sum * x->sum / x->n;
    return v > 0 ? v : 0;
}

static int n_cells(const sweep *s)
{
    return (s->n_bases + 1) * (s->n_forget + 1);
}

// role "method" and so on; values of every cell.
static side *collect(const sweep *s, const json_t *rows, const char *column, const char *role, const char *method,
                     const char *access)
{
    side *cell = cli_alloc((size_t)n_cells(s), sizeof *cell);
    size_t i;
    const json_t *row;
    json_array_foreach((json_t *)rows, i, row)
    {
        const double v = cli_real(row, column);
        if (sweep_is_of(row, role, method, access) && isfinite(v))
            add(&cell[sweep_cell_of(s, row)], v);
    }
    return cell;
}

// Oracles of the cell, and whether an earlier cell has counted them.
static bool counted_before(const sweep *s, const side *oracle, int cell)
{
    if (!s->study->oracles.shared)
        return false;
    for (int c = cell - s->n_forget; c >= 0; c -= s->n_forget) // the same forget set
        if (oracle[c].n)
            return true;
    return false;
}

static void pool_spread(const sweep *s, const side *oracle, lt_pooled *out)
{
    double squares = 0;
    out->df = 0;
    for (int c = 0; c < n_cells(s); c++)
        if (oracle[c].n > 1 && !counted_before(s, oracle, c)) {
            squares += variance(&oracle[c]);
            out->df += oracle[c].n - 1;
        }
    out->sd = out->df ? sqrt(squares / out->df) : (double)NAN;
}

// Step of a figure: one over the samples of the group it is made from.
static double resolution(const sweep *s, const sweep_metric *m)
{
    int64_t least = INT64_MAX;
    const int64_t n_test = s->ds->split[LT_TEST].n;
    for (int f = 0; f < s->n_forget; f++)
        least = s->forget[f].n < least ? s->forget[f].n : least;
    lt_metric_id id;
    const lt_mia *attack;
    const unsigned groups = !m->gap && lt_metric_find(m->path, &id, &attack) == LT_OK ? lt_metric_get(id)->groups : 0;
    if (groups == 1u << LT_SAMPLES_TEST)
        return n_test ? 1.0 / (double)n_test : 0;
    if (groups == 1u << LT_SAMPLES_RETAIN)
        return 1.0 / (double)(s->ds->split[LT_TRAIN].n - least);
    return 1.0 / (double)least;
}

json_t *sweep_band_json(const sweep *s, const lt_verdict_cfg *cfg, const json_t *rows, const sweep_metric *m)
{
    side *oracle = collect(s, rows, m->column, "oracle", NULL, NULL);
    lt_pooled pooled = {.of_models = 1, .of_oracles = 1.0 / s->study->oracles.seeds.n, .resolution = resolution(s, m)};
    lt_equivalence c;
    pool_spread(s, oracle, &pooled);
    free(oracle);
    lt_compare_pooled(&pooled, cfg, &c);
    if (!isfinite(c.band))
        return NULL;
    json_t *j = json_object();
    cli_put_real(j, "sd", pooled.sd);
    cli_put_real(j, "half_width", c.band);
    cli_put(j, "degrees_of_freedom", json_integer(pooled.df));
    return j;
}

// Weight of the oracles of a cell in the mean over all cells: shared ones carry several.
static double oracle_weight(const sweep *s, const side *run, const side *oracle, int cell)
{
    double weight = 0;
    for (int c = cell % s->n_forget; c < n_cells(s); c += s->n_forget)
        weight += run[c].n && oracle[c].n && (c == cell || s->study->oracles.shared);
    return weight;
}

static bool pool(const sweep *s, const side *run, const side *oracle, lt_pooled *out)
{
    int n = 0;
    double sum = 0, of_models = 0, of_oracles = 0;
    bool *done = cli_alloc((size_t)s->n_forget, sizeof *done);
    for (int c = 0; c < n_cells(s); c++) {
        if (!run[c].n || !oracle[c].n)
            continue;
        n++;
        sum += run[c].sum / run[c].n - oracle[c].sum / oracle[c].n;
        of_models += 1.0 / run[c].n;
        const double weight = oracle_weight(s, run, oracle, c);
        if (!s->study->oracles.shared || !done[c % s->n_forget])
            of_oracles += weight * weight / oracle[c].n;
        done[c % s->n_forget] = true;
    }
    free(done);
    if (!n)
        return false;
    pool_spread(s, oracle, out);
    out->difference = sum / n;
    out->of_models = of_models / ((double)n * n);
    out->of_oracles = of_oracles / ((double)n * n);
    return true;
}

static void put(json_t *metric, const lt_equivalence *c)
{
    cli_put_real(metric, "difference", c->difference);
    cli_put_real(metric, "band", c->band);
    cli_put_real(metric, "p", c->p);
    cli_put_real(metric, "bound", c->bound);
    cli_put_real(metric, "margin", c->margin);
    cli_put(metric, "verdict", json_string(lt_verdict_text(c->verdict)));
}

lt_verdict sweep_compare_put(const sweep *s, const lt_verdict_cfg *cfg, const json_t *rows,
                             const sweep_metrics *metrics, const char *method, const char *access, json_t *to)
{
    lt_equivalence *all = cli_alloc((size_t)metrics->n, sizeof *all);
    int n = 0;
    for (int i = 0; i < metrics->n; i++) {
        const sweep_metric *m = &metrics->metric[i];
        json_t *metric = json_object_get(to, m->column);
        if (!m->judged || !metric)
            continue;
        lt_pooled pooled = {.resolution = resolution(s, m)};
        side *run = collect(s, rows, m->column, access ? "method" : "original", method, access);
        side *oracle = collect(s, rows, m->column, "oracle", NULL, NULL);
        if (pool(s, run, oracle, &pooled)) {
            lt_compare_pooled(&pooled, cfg, &all[n]);
            put(metric, &all[n++]);
        }
        free(run);
        free(oracle);
    }
    const lt_verdict overall = lt_compare_all(all, n, cfg);
    free(all);
    return overall;
}
