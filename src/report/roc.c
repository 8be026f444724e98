// roc.c - ROC curves of the membership attacks in log-log, where the low false positive rates are: what an attacker
// finds who must be nearly sure. [AMUN 7.5; Carlini et al., S&P 2022]
//
// Positives are the forgotten samples, negatives the test samples. Over several runs of a method the line is the mean
// TPR at each FPR and the band their range; for one run the band holds 95 % of the draws of its samples.
#include "report/section.h"
#include "audit/audit_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { N_DRAWS = 200 };
#define MIN_RATE 0.1 // per cent

// ---- one curve

typedef struct ranked {
    double score;
    int64_t index; // in its list
    bool pos;
} ranked;

static int descending(const void *a, const void *b)
{
    double x = ((const ranked *)a)->score, y = ((const ranked *)b)->score;
    return (x < y) - (x > y);
}

// One sweep down the scores. count: how often each positive and negative was drawn; NULL = once.
static void sweep(const ranked *all, int64_t n, int64_t n_pos, int64_t n_neg, uint32_t *const count[2],
                  const double *fpr, int n_points, double *tpr)
{
    int64_t tp = 0, fp = 0, before = 0;
    int k = 0;
    for (int64_t i = 0; i < n;) {
        double score = all[i].score;
        before = tp;
        for (; i < n && !(all[i].score < score); i++) {
            int64_t times = count ? count[!all[i].pos][all[i].index] : 1;
            tp += all[i].pos ? times : 0;
            fp += all[i].pos ? 0 : times;
        }
        for (; k < n_points && fpr[k] * (double)n_neg * (1 + 1e-12) < (double)fp; k++)
            tpr[k] = (double)before / (double)n_pos;
    }
    for (; k < n_points; k++)
        tpr[k] = 1;
}

static void draw_counts(uint64_t seed, uint32_t side, uint64_t draw, int64_t n, uint32_t *count)
{
    lt_rng rng = lt_rng_at(seed, LT_STREAM_AUDIT, LTI_DRAW_ROC + side, draw);
    memset(count, 0, (size_t)n * sizeof *count);
    for (int64_t i = 0; i < n; i++)
        count[lt_rng_below(&rng, (uint64_t)n)]++;
}

// Percentiles of column k of drawn (N_DRAWS, n_points).
static void percentiles(double *drawn, int n_points, double *lo, double *hi)
{
    double column[N_DRAWS];
    for (int k = 0; k < n_points; k++) {
        for (int i = 0; i < N_DRAWS; i++)
            column[i] = drawn[i * n_points + k];
        lti_sort_values(column, N_DRAWS);
        lo[k] = column[(int)(0.025 * (N_DRAWS - 1))];
        hi[k] = column[(int)ceil(0.975 * (N_DRAWS - 1))];
    }
}

static lt_status bootstrap(const ranked *all, int64_t n_pos, int64_t n_neg, const double *fpr, int n_points,
                           uint64_t seed, double *lo, double *hi)
{
    uint32_t *count[2] = {lti_calloc((size_t)n_pos, sizeof **count), lti_calloc((size_t)n_neg, sizeof **count)};
    double *drawn = lti_calloc((size_t)N_DRAWS * (size_t)n_points, sizeof *drawn);
    lt_status status = count[0] && count[1] && drawn ? LT_OK : LTI_NOMEM("ROC band");
    for (uint64_t i = 0; status == LT_OK && i < N_DRAWS; i++) {
        draw_counts(seed, 0, i, n_pos, count[0]);
        draw_counts(seed, 1, i, n_neg, count[1]);
        sweep(all, n_pos + n_neg, n_pos, n_neg, count, fpr, n_points, drawn + i * (uint64_t)n_points);
    }
    if (status == LT_OK)
        percentiles(drawn, n_points, lo, hi);
    lti_free(count[0]);
    lti_free(count[1]);
    lti_free(drawn);
    return status;
}

static bool any_nan(const double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (isnan(v[i]))
            return true;
    return false;
}

lt_status lti_roc(const double *pos, int64_t n_pos, const double *neg, int64_t n_neg, const double *fpr, int n_points,
                  uint64_t seed, double *tpr, double *lo, double *hi)
{
    for (int k = 0; k < n_points; k++) {
        tpr[k] = NAN;
        if (lo)
            lo[k] = hi[k] = NAN;
    }
    if (n_pos <= 0 || n_neg <= 0 || any_nan(pos, n_pos) || any_nan(neg, n_neg))
        return LT_OK;
    ranked *all = lti_calloc((size_t)n_pos + (size_t)n_neg, sizeof *all);
    if (!all)
        return LTI_NOMEM("ROC curve");
    for (int64_t i = 0; i < n_pos; i++)
        all[i] = (ranked){pos[i], i, true};
    for (int64_t i = 0; i < n_neg; i++)
        all[n_pos + i] = (ranked){neg[i], i, false};
    qsort(all, (size_t)(n_pos + n_neg), sizeof *all, descending);
    sweep(all, n_pos + n_neg, n_pos, n_neg, NULL, fpr, n_points, tpr);
    lt_status status = lo ? bootstrap(all, n_pos, n_neg, fpr, n_points, seed, lo, hi) : LT_OK;
    lti_free(all);
    return status;
}

// ---- one method

typedef struct curve {
    double tpr[LTI_ROC_POINTS], lo[LTI_ROC_POINTS], hi[LTI_ROC_POINTS]; // fractions
} curve;

static void log_grid(double *fpr)
{
    for (int k = 0; k < LTI_ROC_POINTS; k++)
        fpr[k] = pow(10, -3.0 + 3.0 * k / (LTI_ROC_POINTS - 1));
}

static const double *scores_of(const lti_doc *d, int row, int attack)
{
    const lt_report_row *r = &d->spec->rows[row];
    return r->score && r->signals ? r->score[attack] : NULL;
}

// The scores of one group of samples, compacted.
static int64_t side_of(const lt_signals *s, const double *score, int group, double *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == group)
            out[n++] = score[i];
    return n;
}

static lt_status curve_of_row(const lti_doc *d, int row, int attack, const double *fpr, bool band, curve *c)
{
    const lt_signals *s = d->spec->rows[row].signals;
    const double *score = scores_of(d, row, attack);
    double *pos = lti_calloc((size_t)s->n, sizeof *pos), *neg = lti_calloc((size_t)s->n, sizeof *neg);
    lt_status status = LTI_NOMEM("ROC curve");
    if (pos && neg) {
        int64_t n_pos = side_of(s, score, LT_GROUP_FORGET, pos), n_neg = side_of(s, score, LT_GROUP_TEST, neg);
        status = lti_roc(pos, n_pos, neg, n_neg, fpr, LTI_ROC_POINTS, d->spec->seed, c->tpr, band ? c->lo : NULL,
                         band ? c->hi : NULL);
    }
    lti_free(pos);
    lti_free(neg);
    return status;
}

// found = false: no row of the group has scores of this attack.
static lt_status curve_of_group(const lti_doc *d, const lti_group *g, int attack, const double *fpr, curve *c,
                                bool *found)
{
    int n = 0, total = 0;
    curve one;
    for (int i = 0; i < g->n; i++)
        total += scores_of(d, g->row[i], attack) != NULL;
    *found = total > 0;
    for (int i = 0; i < g->n; i++) {
        if (!scores_of(d, g->row[i], attack))
            continue;
        LT_TRY(curve_of_row(d, g->row[i], attack, fpr, total == 1, &one));
        if (n++ == 0) {
            *c = one;
            if (total > 1) {
                memcpy(c->lo, one.tpr, sizeof c->lo);
                memcpy(c->hi, one.tpr, sizeof c->hi);
            }
            continue;
        }
        for (int k = 0; k < LTI_ROC_POINTS; k++) {
            c->tpr[k] += one.tpr[k];
            c->lo[k] = fmin(c->lo[k], one.tpr[k]);
            c->hi[k] = fmax(c->hi[k], one.tpr[k]);
        }
    }
    for (int k = 0; k < LTI_ROC_POINTS && n > 1; k++)
        c->tpr[k] /= n;
    return LT_OK;
}

// ---- the charts: original and oracles in each, at most LTI_METHODS_A_CHART methods

static void to_percent(curve *c)
{
    for (int k = 0; k < LTI_ROC_POINTS; k++) {
        c->tpr[k] *= 100;
        c->lo[k] *= 100;
        c->hi[k] *= 100;
    }
}

static void draw_all(lti_doc *d, int attack, int part, const double *fpr, const curve *all, const bool *found)
{
    enum { AT_ONE = (LTI_ROC_POINTS - 1) / 3 }; // FPR 1 %
    static const double ends[2] = {MIN_RATE, 100};
    double x[LTI_ROC_POINTS];
    lti_buf desc = {0};
    lti_plot p;
    lti_buf_printf(&desc, "True positive rate at 1 %% false positives:");
    for (int g = 0; g < d->n_groups; g++)
        if (found[g] && lti_in_part(d, g, part) && isfinite(all[g].tpr[AT_ONE]))
            lti_buf_printf(&desc, " %s %.1f %%.", d->group[g].name, all[g].tpr[AT_ONE]);
    for (int k = 0; k < LTI_ROC_POINTS; k++)
        x[k] = 100 * fpr[k];
    lti_plot_open(d,
                  &(lti_frame){.title = d->spec->attacks[attack],
                               .desc = lti_desc(d, &desc),
                               .height = 300,
                               .x = {.label = "false positive rate, %", .lo = MIN_RATE, .hi = 100, .log = true},
                               .y = {.label = "true positive rate, %", .lo = MIN_RATE, .hi = 100, .log = true}},
                  &p);
    lti_buf_clear(&desc);
    for (int g = 0; g < d->n_groups; g++)
        if (found[g] && lti_in_part(d, g, part))
            lti_plot_band(&p, LTI_ROC_POINTS, x, all[g].lo, all[g].hi, d->group[g].style);
    lti_plot_line(&p, 2, ends, ends, (lti_style){.color = LTI_SOFT, .dash = 2});
    for (int g = 0; g < d->n_groups; g++)
        if (found[g] && lti_in_part(d, g, part))
            lti_plot_line(&p, LTI_ROC_POINTS, x, all[g].tpr, d->group[g].style);
    lti_plot_close(&p);
}

static lt_status charts(lti_doc *d, int part, const double *fpr, curve *all, bool *found)
{
    lti_group_legend(d, part, true);
    lti_buf_printf(&d->b, "<div class=\"grid\">\n");
    for (int a = 0; a < d->spec->n_attacks; a++) {
        bool any = false;
        for (int g = 0; g < d->n_groups; g++) {
            found[g] = false;
            if (lti_in_part(d, g, part))
                LT_TRY(curve_of_group(d, &d->group[g], a, fpr, &all[g], &found[g]));
            to_percent(&all[g]);
            any = any || found[g];
        }
        if (any)
            draw_all(d, a, part, fpr, all, found);
    }
    lti_buf_printf(&d->b, "</div>\n");
    return LT_OK;
}

static lt_status put_roc(lti_doc *d)
{
    int n_scored = 0, n_methods = 0;
    double fpr[LTI_ROC_POINTS];
    for (int i = 0; i < d->spec->n_rows; i++)
        n_scored += d->spec->n_attacks > 0 && d->spec->rows[i].score && d->spec->rows[i].signals;
    if (n_scored == 0)
        return LT_OK;
    for (int g = 0; g < d->n_groups; g++)
        n_methods += d->group[g].role == LT_ROW_METHOD;
    curve *all = lti_calloc((size_t)d->n_groups, sizeof *all);
    bool *found = lti_calloc((size_t)d->n_groups, sizeof *found);
    lt_status status = all && found ? LT_OK : LTI_NOMEM("ROC curves");
    log_grid(fpr);
    if (status == LT_OK) {
        lti_section(d, "Membership inference: ROC curves");
        lti_small(d, "ROC curves, forgotten against test samples, both axes logarithmic: on the left the attacker who "
                     "must be nearly sure. After good unlearning the curve lies on that of the oracle. Bands: range "
                     "over the runs of a method, or 95 % of the draws of the samples where there is one run. Rates "
                     "below 0.1 % lie on the edge.");
    }
    for (int part = 0; status == LT_OK && (part == 0 || part * LTI_METHODS_A_CHART < n_methods); part++)
        status = charts(d, part, fpr, all, found);
    lti_free(all);
    lti_free(found);
    return status;
}

const lti_report_section lti_section_roc = {
    .name = "roc",
    .put = put_roc,
};
