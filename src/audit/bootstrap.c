// bootstrap.c - percentile intervals of accuracies and AUCs over the draw of the samples.
//
// One draw takes as many samples of each group as it has, with replacement, and is kept as counts per sample. An AUC of
// a draw is then one pass over the samples in the order of their scores, sorted once: O(N) per draw and attack.
#include "audit/audit_impl.h"
#include <math.h>
#include <stdlib.h>

typedef struct ranked { // one attack: rows, best score first
    int64_t *row;
    bool *tied; // with the row before
    bool nan[3];
} ranked;

typedef struct keyed {
    double score;
    int64_t row;
} keyed;

static int descending(const void *a, const void *b)
{
    double x = ((const keyed *)a)->score, y = ((const keyed *)b)->score;
    return (x < y) - (x > y);
}

static lt_status rank(const lt_signals *s, const double *score, ranked *out)
{
    keyed *all = lti_calloc((size_t)s->n, sizeof *all);
    out->row = lti_calloc((size_t)s->n, sizeof *out->row);
    out->tied = lti_calloc((size_t)s->n, sizeof *out->tied);
    if (!all || !out->row || !out->tied) {
        lti_free(all);
        return LTI_NOMEM("bootstrap");
    }
    for (int64_t i = 0; i < s->n; i++) {
        bool missing = isnan(score[i]);
        all[i] = (keyed){missing ? -INFINITY : score[i], i};
        out->nan[s->group[i]] = out->nan[s->group[i]] || missing;
    }
    qsort(all, (size_t)s->n, sizeof *all, descending);
    for (int64_t i = 0; i < s->n; i++) {
        out->row[i] = all[i].row;
        out->tied[i] = i > 0 && all[i].score >= all[i - 1].score;
    }
    lti_free(all);
    return LT_OK;
}

// Counts of one draw. rows: the rows of each group, one after another from first[g].
static void draw(const int64_t *rows, const int64_t first[4], uint64_t seed, uint64_t number, int64_t n,
                 uint32_t *count)
{
    for (int64_t i = 0; i < n; i++)
        count[i] = 0;
    for (int g = 0; g < 3; g++) {
        int64_t n_group = first[g + 1] - first[g];
        lt_rng rng = lt_rng_at(seed, LT_STREAM_AUDIT, LTI_DRAW_BOOTSTRAP + (uint32_t)g, number);
        for (int64_t i = 0; i < n_group; i++)
            count[rows[first[g] + (int64_t)lt_rng_below(&rng, (uint64_t)n_group)]]++;
    }
}

// Twice the pairs won by p over m, in a tie run with c of each group and `seen` before it.
static double won(const double c[3], const double left[3], int p, int m)
{
    return c[p] * (2.0 * left[m] + c[m]);
}

static void auc_of_draw(const lt_signals *s, const ranked *r, const uint32_t *count, const double n_group[3],
                        double out[3]) // ft, fr, rt
{
    double left[3] = {n_group[0], n_group[1], n_group[2]}, sum[3] = {0};
    for (int64_t i = 0; i < s->n;) {
        double c[3] = {0};
        do {
            int64_t row = r->row[i++];
            c[s->group[row]] += count[row];
        } while (i < s->n && r->tied[i]);
        for (int g = 0; g < 3; g++)
            left[g] -= c[g];
        sum[0] += won(c, left, LT_GROUP_FORGET, LT_GROUP_TEST);
        sum[1] += won(c, left, LT_GROUP_RETAIN, LT_GROUP_FORGET);
        sum[2] += won(c, left, LT_GROUP_RETAIN, LT_GROUP_TEST);
    }
    out[0] = sum[0] / (2.0 * n_group[1] * n_group[2]);
    out[1] = sum[1] / (2.0 * n_group[0] * n_group[1]);
    out[2] = sum[2] / (2.0 * n_group[0] * n_group[2]);
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, int n, double q)
{
    double at = q * (n - 1);
    int i = (int)at;
    return i + 1 < n ? sorted[i] + (at - i) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

static lt_interval interval(double *v, int n, double level) // sorts v
{
    qsort(v, (size_t)n, sizeof *v, ascending);
    return (lt_interval){quantile(v, n, 0.5 * level), quantile(v, n, 1.0 - 0.5 * level)};
}

typedef struct boot {
    int n_draws, n_scores;
    int64_t *rows, first[4];
    bool *correct;   // (n)
    uint32_t *count; // (n)
    ranked *rank;    // (n_scores)
    double *value;   // (3 + 3 n_scores, n_draws)
} boot;

static lt_status boot_init(const lt_signals *s, int n_scores, const double *const *score, int n_draws, boot *b)
{
    size_t n = (size_t)s->n, n_metrics = 3 + 3 * (size_t)n_scores;
    b->n_draws = n_draws;
    b->rows = lti_calloc(n, sizeof *b->rows);
    b->correct = lti_calloc(n, sizeof *b->correct);
    b->count = lti_calloc(n, sizeof *b->count);
    b->rank = lti_calloc((size_t)n_scores, sizeof *b->rank);
    b->value = lti_calloc(n_metrics * (size_t)n_draws, sizeof *b->value);
    if (!b->rows || !b->correct || !b->count || !b->rank || !b->value)
        return LTI_NOMEM("bootstrap");
    b->n_scores = n_scores;
    for (int g = 0; g < 3; g++)
        b->first[g + 1] = b->first[g] + lti_group_rows(s, g, b->rows + b->first[g]);
    for (int64_t i = 0; i < s->n; i++)
        b->correct[i] = lti_feature(s->logits + i * s->k, s->k, s->label[i], LT_FEAT_CORRECT) > 0.5;
    for (int a = 0; a < n_scores; a++)
        LT_TRY(rank(s, score[a], &b->rank[a]));
    return LT_OK;
}

static void boot_clear(boot *b)
{
    for (int a = 0; a < b->n_scores; a++) {
        lti_free(b->rank[a].row);
        lti_free(b->rank[a].tied);
    }
    lti_free(b->rank);
    lti_free(b->rows);
    lti_free(b->correct);
    lti_free(b->count);
    lti_free(b->value);
}

static void run_draw(const lt_signals *s, boot *b, uint64_t seed, int number)
{
    double n_group[3], hits[3] = {0}, auc[3];
    draw(b->rows, b->first, seed, (uint64_t)number, s->n, b->count);
    for (int g = 0; g < 3; g++)
        n_group[g] = (double)(b->first[g + 1] - b->first[g]);
    for (int64_t i = 0; i < s->n; i++)
        if (b->correct[i])
            hits[s->group[i]] += b->count[i];
    for (int g = 0; g < 3; g++)
        b->value[g * b->n_draws + number] = hits[g] / n_group[g];
    for (int a = 0; a < b->n_scores; a++) {
        auc_of_draw(s, &b->rank[a], b->count, n_group, auc);
        for (int pair = 0; pair < 3; pair++)
            b->value[(3 + 3 * a + pair) * b->n_draws + number] = auc[pair];
    }
}

lt_status lt_audit_bootstrap(const lt_signals *s, int n_scores, const double *const *score, const lt_verdict_cfg *cfg,
                             uint64_t seed, lt_interval acc[3], lt_auc_intervals *auc)
{
    const lt_interval none = {NAN, NAN};
    boot b = {0};
    for (int g = 0; g < 3; g++)
        acc[g] = none;
    for (int a = 0; a < n_scores; a++)
        auc[a] = (lt_auc_intervals){none, none, none};
    LT_TRY(lt_signals_need_groups(s, "signals"));
    if (cfg->bootstrap < 1)
        return LT_OK;
    lt_status status = boot_init(s, n_scores, score, cfg->bootstrap, &b);
    for (int i = 0; i < b.n_draws && status == LT_OK; i++)
        run_draw(s, &b, seed, i);
    for (int figure = 0; figure < 3 + 3 * n_scores && status == LT_OK; figure++) {
        static const int group[3][2] = {
            {LT_GROUP_FORGET, LT_GROUP_TEST}, {LT_GROUP_RETAIN, LT_GROUP_FORGET}, {LT_GROUP_RETAIN, LT_GROUP_TEST}};
        lt_interval v = interval(b.value + figure * b.n_draws, b.n_draws, cfg->verdict_level);
        if (figure < 3) {
            acc[figure] = v;
            continue;
        }
        int a = (figure - 3) / 3, pair = (figure - 3) % 3;
        if (!b.rank[a].nan[group[pair][0]] && !b.rank[a].nan[group[pair][1]])
            *(pair == 0 ? &auc[a].ft : pair == 1 ? &auc[a].fr : &auc[a].rt) = v;
    }
    boot_clear(&b);
    return status;
}

// ---- the mean of runs

typedef struct cluster_sum {
    double sum;
    int n;
} cluster_sum;

static double mean_of_draw(const cluster_sum *c, int n_clusters, uint64_t seed, int number)
{
    lt_rng rng = lt_rng_at(seed, LT_STREAM_AUDIT, LTI_DRAW_BOOTSTRAP_MEAN, (uint64_t)number);
    double sum = 0;
    int n = 0;
    for (int i = 0; i < n_clusters; i++) {
        const cluster_sum *drawn = &c[lt_rng_below(&rng, (uint64_t)n_clusters)];
        sum += drawn->sum;
        n += drawn->n;
    }
    return sum / n;
}

// Sums of the clusters that have values, in the order of their numbers.
static int sum_clusters(const double *value, const int *cluster, int n, cluster_sum *c)
{
    int n_clusters = 0;
    for (int i = 0; i < n; i++) {
        int k = cluster ? cluster[i] : i;
        c[k].sum += value[i];
        c[k].n++;
    }
    for (int k = 0; k < n; k++)
        if (c[k].n)
            c[n_clusters++] = c[k];
    return n_clusters;
}

lt_status lt_bootstrap_mean(const double *value, const int *cluster, int n, int draws, double level, uint64_t seed,
                            lt_interval *out)
{
    *out = (lt_interval){NAN, NAN};
    if (n < 2 || draws < 1)
        return LT_OK;
    cluster_sum *c = lti_calloc((size_t)n, sizeof *c);
    double *mean = lti_calloc((size_t)draws, sizeof *mean);
    lt_status status = c && mean ? LT_OK : LTI_NOMEM("bootstrap");
    int n_clusters = status == LT_OK ? sum_clusters(value, cluster, n, c) : 0;
    for (int i = 0; i < draws && n_clusters > 1; i++)
        mean[i] = mean_of_draw(c, n_clusters, seed, i);
    if (n_clusters > 1)
        *out = interval(mean, draws, level);
    lti_free(c);
    lti_free(mean);
    return status;
}
