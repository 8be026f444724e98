// rmia_core.c - what RMIA does online and offline: the signal of a model on a sample, ratios to the mean of the
// reference models, and the count of pairs. [AMUN 7.4] [Zarifzadeh et al. 2024]
//
// The score of x is the share of the population z with r(x) / r(z) > gamma, strictly. A quotient of two signs is
// negative and never counts, so x meets only the z of its own sign; among those the rounded quotient falls (not
// strictly) when |r(z)| grows, so in the order of |r(z)| the z that count are a prefix. A binary search that asks the
// very same question gives the very same number as asking every pair, at O(N log N) instead of O(N^2), negative ratios
// included. (The Taylor signal of 4 terms is negative for logits below -3.2 at the default temperature; the logit
// signal half of the time.)
#include "audit/mia_impl.h"
#include <math.h>
#include <stdlib.h>

const lt_opt_value lti_rmia_signals[] = {
    {"sm-taylor", LTI_RMIA_SM_TAYLOR, "Taylor softmax with a margin"},
    {"taylor", LTI_RMIA_TAYLOR, "Taylor softmax of the logits as they are"},
    {"softmax", LTI_RMIA_SOFTMAX, "softmax"},
    {"soft-margin", LTI_RMIA_SOFT_MARGIN, "softmax with a margin"},
    {"logit", LTI_RMIA_LOGIT, "log(p/(1-p)) of the softmax"},
    {NULL, 0, NULL},
};
const lt_opt_value lti_rmia_populations[] = {
    {"all", LTI_RMIA_EVERYONE, "all other samples, members included, as in the authors' code"},
    {"non-members", LTI_RMIA_NON_MEMBERS, "test samples only"},
    {NULL, 0, NULL},
};

// ---- signals

// 1 + v + v^2/2 + v^3/6 (4 terms) + v^4/24 (5 terms)
static double taylor(double v, int terms)
{
    double t = 1.0 + v * (1.0 + v * (0.5 + v / 6.0));
    return terms == 5 ? t + v * v * v * v / 24.0 : t;
}

static double taylor_signal(const float *z, int k, int64_t y, double temperature, double margin, int terms)
{
    double own = taylor((double)z[y] / temperature - margin, terms), sum = own;
    for (int j = 0; j < k; j++)
        if (j != y)
            sum += taylor((double)z[j] / temperature, terms);
    return own / sum;
}

// log sum_{k != y} exp(z_k / temperature) - z_y / temperature, from below: no overflow.
static double log_odds_against(const float *z, int k, int64_t y, double temperature)
{
    double top = -INFINITY, sum = 0.0;
    for (int j = 0; j < k; j++)
        if (j != y && (double)z[j] > top)
            top = (double)z[j];
    for (int j = 0; j < k; j++)
        if (j != y)
            sum += exp(((double)z[j] - top) / temperature);
    return (top - (double)z[y]) / temperature + log(sum);
}

double lti_rmia_signal(const float *z, int k, int64_t y, const void *rmia_cfg)
{
    const lti_rmia_cfg *c = rmia_cfg;
    switch (c->signal) {
    case LTI_RMIA_SM_TAYLOR:
        return taylor_signal(z, k, y, c->temperature, c->margin, c->taylor_terms);
    case LTI_RMIA_TAYLOR:
        return taylor_signal(z, k, y, 1.0, 0.0, c->taylor_terms);
    case LTI_RMIA_SOFTMAX:
        return 1.0 / (1.0 + exp(log_odds_against(z, k, y, c->temperature)));
    case LTI_RMIA_SOFT_MARGIN:
        return 1.0 / (1.0 + exp(log_odds_against(z, k, y, c->temperature) + c->margin));
    case LTI_RMIA_LOGIT:
        return -log_odds_against(z, k, y, c->temperature);
    default:
        LT_BUG("unknown RMIA signal %d", (int)c->signal);
    }
}

// ---- pairs

static int by_magnitude(const void *a, const void *b)
{
    double x = fabs(*(const double *)a), y = fabs(*(const double *)b);
    return (x > y) - (x < y);
}

// z: the population of x's sign, by magnitude. A zero z of the same sign gives an infinite quotient and counts.
static int64_t count(double x, const double *z, int64_t n, double gamma)
{
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (x / z[middle] > gamma)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

lt_status lti_rmia_count(const double *ratio, const uint8_t *in_population, int64_t n, double gamma, int n_threads,
                         double *score)
{
    (void)n_threads; // unused without OpenMP
    double *z[2] = {lti_calloc((size_t)n, sizeof(double)), lti_calloc((size_t)n, sizeof(double))}; // by sign
    int64_t n_z[2] = {0}, n_all;
    lt_status status = z[0] && z[1] ? LT_OK : LTI_NOMEM("RMIA ratios");
    for (int64_t i = 0; i < n && status == LT_OK; i++)
        if (in_population[i]) {
            int sign = signbit(ratio[i]) != 0;
            z[sign][n_z[sign]++] = ratio[i];
        }
    n_all = n_z[0] + n_z[1];
    if (status == LT_OK && n_all < 2)
        status =
            LT_FAIL(LT_E_FORMAT, "RMIA: expected a population of at least 2 samples, found %lld", (long long)n_all);
    for (int sign = 0; sign < 2 && status == LT_OK; sign++)
        qsort(z[sign], (size_t)n_z[sign], sizeof(double), by_magnitude);
    if (status == LT_OK) {
#pragma omp parallel for schedule(static) num_threads(n_threads > 1 ? n_threads : 1)
        for (int64_t i = 0; i < n; i++) {
            int sign = signbit(ratio[i]) != 0;
            int64_t won = count(ratio[i], z[sign], n_z[sign], gamma);
            int64_t self = in_population[i]; // is among the z and not to be compared with
            won -= self && ratio[i] / ratio[i] > gamma;
            score[i] = (double)won / (double)(n_all - self);
        }
    }
    lti_free(z[0]);
    lti_free(z[1]);
    return status;
}

// ---- the attack

static lt_status fill_ratios(const lt_mia_in *in, const lti_rmia_cfg *cfg, lti_rmia_mean_fn mean,
                             const lti_moments *moments, double *ratio, uint8_t *in_population)
{
    const lt_signals *s = in->target;
    for (int64_t i = 0; i < s->n; i++) {
        double p = lti_rmia_signal(s->logits + i * s->k, s->k, s->label[i], cfg), pbar = mean(moments + 3 * i, cfg);
        ratio[i] = p / pbar;
        if (!isfinite(ratio[i]))
            return LT_FAIL(LT_E_FORMAT, "RMIA: row %lld: signal %g and mean of the references %g have no finite ratio",
                           (long long)i, p, pbar);
        in_population[i] = cfg->population == LTI_RMIA_EVERYONE || s->group[i] == LT_GROUP_TEST;
    }
    return LT_OK;
}

lt_status lti_rmia_score(const lt_mia_in *in, const lti_rmia_cfg *cfg, lti_rmia_mean_fn mean, double *score)
{
    size_t n = (size_t)in->target->n;
    lti_moments *moments = lti_reference_moments(in, lti_rmia_signal, cfg);
    double *ratio = lti_calloc(n, sizeof *ratio);
    uint8_t *in_population = lti_calloc(n, 1);
    lt_status status = moments && ratio && in_population ? LT_OK : LTI_NOMEM("RMIA");
    if (status == LT_OK)
        status = fill_ratios(in, cfg, mean, moments, ratio, in_population);
    if (status == LT_OK)
        status = lti_rmia_count(ratio, in_population, in->target->n, cfg->gamma, in->n_threads, score);
    lti_free(moments);
    lti_free(ratio);
    lti_free(in_population);
    return status;
}

// ---- the option a of the offline attack

// AUC of the members of the attacked reference model (row 0 of what `in` was made from) against its non-members.
static lt_status auc_of(const lt_mia_in *in, const uint8_t *member, const double *score, double *auc)
{
    int64_t n[2] = {0};
    double *side[2] = {lti_calloc((size_t)in->target->n, sizeof(double)),
                       lti_calloc((size_t)in->target->n, sizeof(double))};
    if (side[0] && side[1]) {
        for (int64_t i = 0; i < in->target->n; i++)
            if (member[i] <= LT_MEMBER_IN)
                side[member[i]][n[member[i]]++] = score[i];
        *auc = lt_auc(side[LT_MEMBER_IN], n[LT_MEMBER_IN], side[LT_MEMBER_OUT], n[LT_MEMBER_OUT]);
    }
    lt_status status = side[0] && side[1] ? LT_OK : LTI_NOMEM("RMIA");
    lti_free(side[0]);
    lti_free(side[1]);
    return status;
}

typedef struct trial { // memory of one search
    lti_moments *moments;
    double *ratio, *score;
    uint8_t *in_population;
} trial;

static lt_status try_values(const lt_mia_in *in, const uint8_t *member, lti_rmia_cfg *cfg, lti_rmia_mean_fn mean,
                            const trial *t, lt_mia_tuning *choice)
{
    enum { STEPS = 10 };
    double best = -1.0;
    for (int i = 0; i <= STEPS; i++) {
        double *auc = &choice->auc[i];
        choice->tried[i] = cfg->a = (double)i / STEPS;
        LT_TRY(fill_ratios(in, cfg, mean, t->moments, t->ratio, t->in_population));
        LT_TRY(lti_rmia_count(t->ratio, t->in_population, in->target->n, cfg->gamma, in->n_threads, t->score));
        LT_TRY(auc_of(in, member, t->score, auc));
        choice->n++;
        if (*auc > best) { // NAN never is
            best = *auc;
            choice->value = cfg->a;
        }
    }
    if (best < 0.0)
        return LT_FAIL(LT_E_FORMAT, "RMIA: the first reference model has no members or nothing but members");
    cfg->a = choice->value;
    cfg->tune_a = false;
    return LT_OK;
}

lt_status lti_rmia_tune_a(const lt_mia *mia, const lt_mia_in *in, lti_rmia_cfg *cfg, lti_rmia_mean_fn mean,
                          lt_mia_tuning *choice)
{
    lt_signals target;
    lt_references others;
    lt_mia_in attack;
    *choice = (lt_mia_tuning){.option = "a", .value = NAN};
    LT_TRY(lti_mia_hold_out_reference(mia, in, &target, &others, &attack));
    const size_t n = (size_t)target.n;
    trial t = {.moments = lti_reference_moments(&attack, lti_rmia_signal, cfg),
               .ratio = lti_calloc(n, sizeof(double)),
               .score = lti_calloc(n, sizeof(double)),
               .in_population = lti_calloc(n, 1)};
    lt_status status = t.moments && t.ratio && t.score && t.in_population ? LT_OK : LTI_NOMEM("RMIA");
    if (status == LT_OK)
        status = try_values(&attack, in->refs->member, cfg, mean, &t, choice);
    lti_free(t.moments);
    lti_free(t.ratio);
    lti_free(t.score);
    lti_free(t.in_population);
    return status;
}
