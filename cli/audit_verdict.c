// audit_verdict.c - every metric against several oracles: null band, verdict, and intervals over the samples.
//
// Metrics are named by their place in the JSON figures ("rmia.ft_auc"), and intervals, bands and verdicts keep that
// shape.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_PATH = CLI_METRIC_PATH, N_FIXED = 4, N_PAIRS = 3 };

static double step_of(const lt_audit *a, int g, int h)
{
    int64_t n = a->n[g] < a->n[h] ? a->n[g] : a->n[h];
    return n > 0 ? 1.0 / (double)n : 0.0;
}

static const char *const pair_name[N_PAIRS] = {"ft", "fr", "rt"};
static const int pair_group[N_PAIRS][2] = {
    {LT_GROUP_FORGET, LT_GROUP_TEST}, {LT_GROUP_RETAIN, LT_GROUP_FORGET}, {LT_GROUP_RETAIN, LT_GROUP_TEST}};

cli_metric *cli_metrics(const cli_attacks *attacks, const lt_audit *a, int *n)
{
    static const struct {
        const char *path;
        int group;
    } fixed[N_FIXED] = {{"ua", LT_GROUP_FORGET},
                        {"ra", LT_GROUP_RETAIN},
                        {"ta", LT_GROUP_TEST},
                        {"svc_mia.confidence", LT_GROUP_FORGET}};
    cli_metric *m = cli_alloc(N_FIXED + N_PAIRS * (size_t)attacks->n, sizeof *m);
    *n = 0;
    for (; *n < N_FIXED; ++*n) {
        snprintf(m[*n].path, MAX_PATH, "%s", fixed[*n].path);
        m[*n].resolution = step_of(a, fixed[*n].group, fixed[*n].group);
    }
    for (int i = 0; i < attacks->n; i++)
        for (int p = 0; p < N_PAIRS; p++, ++*n) {
            snprintf(m[*n].path, MAX_PATH, "%s.%s_auc", attacks->mia[i]->name, pair_name[p]);
            m[*n].resolution = step_of(a, pair_group[p][0], pair_group[p][1]);
        }
    return m;
}

// object["a"]["b"] = value for path "a.b"; makes what is missing.
static void put_at(json_t *object, const char *path, json_t *value)
{
    char key[MAX_PATH];
    for (const char *dot; (dot = strchr(path, '.')); path = dot + 1) {
        snprintf(key, sizeof key, "%.*s", (int)(dot - path), path);
        json_t *inner = json_object_get(object, key);
        if (!json_is_object(inner)) {
            cli_put(object, key, json_object());
            inner = json_object_get(object, key);
        }
        object = inner;
    }
    cli_put(object, path, value);
}

// ---- bands

// Each oracle against the mean of the others.
static json_t *leave_one_out(const double *oracle, int n)
{
    json_t *list = json_array();
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += oracle[i];
    for (int i = 0; i < n; i++) {
        double d = oracle[i] - (sum - oracle[i]) / (n - 1);
        json_array_append_new(list, isfinite(d) ? json_real(d) : json_null());
    }
    return list;
}

static json_t *band_json(const lt_comparison *c, const double *oracle, int n)
{
    json_t *j = json_object();
    cli_put_real(j, "mean", c->mean);
    cli_put_real(j, "sd", c->sd);
    cli_put_real(j, "low", c->mean - c->band);
    cli_put_real(j, "high", c->mean + c->band);
    cli_put_real(j, "difference", c->difference);
    cli_put_real(j, "p", c->p);
    cli_put_real(j, "bound", c->bound);
    cli_put_real(j, "margin", c->margin);
    cli_put(j, "oracle_differences", leave_one_out(oracle, n));
    return j;
}

// The gap of each oracle to the others: what an average gap means nothing below.
static json_t *gap_band(const lt_audit *oracle, int n, lt_gap_mia mia)
{
    json_t *list = json_array();
    lt_audit *others = cli_alloc((size_t)n, sizeof *others);
    for (int i = 0; i < n; i++) {
        int k = 0;
        for (int j = 0; j < n; j++)
            if (j != i)
                others[k++] = oracle[j];
        json_array_append_new(list, json_real(lt_avg_gap(&oracle[i], others, k, mia)));
    }
    free(others);
    return list;
}

// Oracles that repeat an earlier one bit for bit say nothing about the spread.
static int distinct_oracles(const cli_audited *oracle, int n, int *index)
{
    int k = 0;
    for (int i = 0; i < n; i++) {
        bool twin = false;
        for (int j = 0; j < k && !twin; j++)
            twin = cli_same_outputs(oracle[i].signals, oracle[index[j]].signals);
        if (!twin)
            index[k++] = i;
    }
    return k;
}

typedef struct judged {
    const cli_audited *target, *oracle;
    int n, *index; // distinct oracles
    int n_metrics;
    cli_metric *metric;
    const lt_verdict_cfg *cfg;
} judged;

static void put_verdicts(const judged *t, json_t *band, json_t *verdict)
{
    lt_comparison *all = cli_alloc((size_t)t->n_metrics, sizeof *all);
    double *value = cli_alloc((size_t)t->n, sizeof *value);
    int n_judged = 0;
    for (int m = 0; m < t->n_metrics; m++) {
        const char *path = t->metric[m].path;
        double own = cli_real(t->target->json, path);
        for (int i = 0; i < t->n; i++)
            value[i] = cli_real(t->oracle[t->index[i]].json, path);
        lt_comparison c;
        lt_compare(own, value, t->n, t->metric[m].resolution, t->cfg, &c);
        if (isnan(own)) // not measured on the target: nothing to judge
            continue;
        all[n_judged++] = c;
        put_at(verdict, path, json_string(lt_verdict_text(c.verdict)));
        if (t->n >= 2)
            put_at(band, path, band_json(&c, value, t->n));
    }
    cli_put(verdict, "overall", json_string(lt_verdict_text(lt_compare_all(all, n_judged, t->cfg))));
    free(all);
    free(value);
}

// ---- intervals

static json_t *interval_json(lt_interval v)
{
    return isfinite(v.low) && isfinite(v.high) ? json_pack("[f,f]", v.low, v.high) : json_null();
}

static lt_status put_intervals(const cli_attacks *attacks, const cli_audited *target, const lt_verdict_cfg *cfg,
                               uint64_t seed, json_t *result)
{
    static const char *const acc_name[3] = {"ra", "ua", "ta"};
    lt_interval acc[3];
    lt_auc_intervals *auc = cli_alloc((size_t)attacks->n, sizeof *auc);
    lt_status status =
        lt_audit_bootstrap(target->signals, attacks->n, (const double *const *)target->score, cfg, seed, acc, auc);
    json_t *j = json_object();
    cli_put_real(j, "level", 1.0 - cfg->verdict_level);
    cli_put(j, "draws", json_integer(cfg->bootstrap));
    for (int g = 0; g < 3; g++)
        cli_put(j, acc_name[g], interval_json(acc[g]));
    for (int i = 0; i < attacks->n; i++) {
        json_t *of = json_object();
        cli_put(of, "ft_auc", interval_json(auc[i].ft));
        cli_put(of, "fr_auc", interval_json(auc[i].fr));
        cli_put(of, "rt_auc", interval_json(auc[i].rt));
        cli_put(j, attacks->mia[i]->name, of);
    }
    cli_put(result, "interval", j);
    free(auc);
    return status;
}

// The average gap with the FT AUC of an attack in the place of the MIS [AMUN 7.6].
static void put_gaps(const cli_attacks *attacks, const cli_audited *target, const cli_audited *oracle, int n_oracles,
                     json_t *result)
{
    lt_audit *of = cli_alloc((size_t)n_oracles, sizeof *of);
    for (int a = 0; a < attacks->n; a++) {
        lt_audit own = target->audit;
        own.phi.ft = target->mia[a].auc.ft;
        bool complete = n_oracles > 0;
        for (int i = 0; i < n_oracles; i++) {
            complete = complete && a < oracle[i].n_scores;
            of[i] = oracle[i].audit;
            of[i].phi.ft = complete ? oracle[i].mia[a].auc.ft : (double)NAN;
        }
        cli_put_real(json_object_get(result, attacks->mia[a]->name), "avg_gap",
                     complete ? lt_avg_gap(&own, of, n_oracles, LT_GAP_PHI_AUC) : (double)NAN);
    }
    free(of);
}

lt_status cli_verdict_put(const cli_attacks *attacks, const cli_audited *target, const cli_audited *oracle,
                          int n_oracles, const lt_verdict_cfg *cfg, uint64_t seed, json_t *result)
{
    judged t = {.target = target, .oracle = oracle, .cfg = cfg};
    json_t *band = json_object(), *verdict = json_object();
    t.index = cli_alloc((size_t)n_oracles, sizeof *t.index);
    t.n = distinct_oracles(oracle, n_oracles, t.index);
    t.metric = cli_metrics(attacks, &target->audit, &t.n_metrics);
    put_verdicts(&t, band, verdict);
    if (t.n >= 2) {
        lt_audit *of = cli_alloc((size_t)t.n, sizeof *of);
        for (int i = 0; i < t.n; i++)
            of[i] = oracle[t.index[i]].audit;
        cli_put(band, "avg_gap", gap_band(of, t.n, LT_GAP_MIS));
        cli_put(band, "avg_gap_auc", gap_band(of, t.n, LT_GAP_PHI_AUC));
        free(of);
    }
    cli_put(result, "null_band", band);
    cli_put(result, "verdict", verdict);
    put_gaps(attacks, target, oracle, n_oracles, result);
    free(t.metric);
    free(t.index);
    return put_intervals(attacks, target, cfg, seed, result);
}
