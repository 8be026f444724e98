// audit.c - the whole audit of one model, and its distance to retrained models. [AMUN 7.1, 7.5, 7.6]
//
// AUCs compare groups of equal size: n is the smallest of the three, larger groups are drawn down to n without
// replacement with the seeds 0, 1 and 2, and the three AUCs are averaged. The draw of a group is the same in every pair
// it enters.
#include "audit/audit_impl.h"
#include <math.h>
#include <stdlib.h>

enum { N_DRAWS = 3 };

const lt_option lt_audit_options[] = {
    LT_I64(lt_audit_cfg, shadow_cap, 0, 0, 1000000000, "samples",
           "at most so many shadow samples per class in SVC-MIA and its threshold form, not in the scores of samples; "
           "0 = no "
           "cap, as in the paper"),
    LT_OPT_END,
};

// Scores of one group drawn down to n: out (n). perm: room for the group.
static void draw_scores(const double *score, int64_t n_group, int group, uint64_t seed, int64_t n, int64_t *perm,
                        double *out)
{
    lt_rng_permutation(seed, LT_STREAM_AUDIT, LTI_DRAW_AUC + (uint32_t)group, n_group, perm);
    for (int64_t i = 0; i < n; i++)
        out[i] = score[perm[i]];
}

static bool has_nan(const double *v, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (isnan(v[i]))
            return true;
    return false;
}

lt_status lti_auc_triple(const double *const score[3], const int64_t n_group[3], lt_auc_triple *out)
{
    bool any_nan = false;
    int64_t n = n_group[0], n_max = n_group[0];
    for (int g = 1; g < 3; g++) {
        n = n_group[g] < n ? n_group[g] : n;
        n_max = n_group[g] > n_max ? n_group[g] : n_max;
    }
    for (int g = 0; g < 3; g++)
        any_nan = any_nan || has_nan(score[g], n_group[g]);
    double *drawn = lti_calloc(3 * (size_t)n, sizeof *drawn);
    int64_t *perm = lti_calloc((size_t)n_max, sizeof *perm);
    lt_status status = drawn && perm ? LT_OK : LTI_NOMEM("AUC draws");
    *out = (lt_auc_triple){0};
    for (uint64_t seed = 0; status == LT_OK && seed < N_DRAWS; seed++) {
        for (int g = 0; g < 3; g++)
            draw_scores(score[g], n_group[g], g, seed, n, perm, drawn + g * n);
        const double *retain = drawn, *forget = drawn + n, *test = drawn + 2 * n;
        out->ft += lt_auc(forget, n, test, n) / N_DRAWS;
        out->fr += lt_auc(retain, n, forget, n) / N_DRAWS;
        out->rt += lt_auc(retain, n, test, n) / N_DRAWS;
    }
    lti_free(drawn);
    lti_free(perm);
    if (status == LT_OK && isnan(out->ft + out->fr + out->rt) && !any_nan)
        status = LTI_NOMEM("AUC"); // groups are not empty
    return status;
}

// The feature of all three groups: one allocation, score[g] points into it.
static lt_status group_scores(const lt_signals *s, lt_feature f, double **memory, const double *score[3],
                              int64_t n_group[3])
{
    LT_TRY(lt_signals_need_groups(s, "signals"));
    double *p = lti_calloc((size_t)s->n, sizeof *p);
    if (!p)
        return LTI_NOMEM("audit scores");
    *memory = p;
    for (int g = 0; g < 3; g++) {
        score[g] = p;
        n_group[g] = lt_signals_feature(s, f, g, p);
        p += n_group[g];
    }
    return LT_OK;
}

lt_status lt_audit_auc(const lt_signals *s, lt_feature f, lt_auc_triple *out)
{
    double *memory;
    const double *score[3];
    int64_t n_group[3];
    LT_TRY(group_scores(s, f, &memory, score, n_group));
    lt_status status = lti_auc_triple(score, n_group, out);
    lti_free(memory);
    return status;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double lti_median(double *v, int64_t n)
{
    qsort(v, (size_t)n, sizeof *v, ascending);
    return n % 2 ? v[n / 2] : 0.5 * (v[n / 2 - 1] + v[n / 2]);
}

static lt_status phi_summary(const lt_signals *s, lt_audit *out)
{
    double *memory;
    const double *score[3];
    LT_TRY(group_scores(s, LT_FEAT_PHI, &memory, score, out->n));
    const double *forget = score[LT_GROUP_FORGET], *test = score[LT_GROUP_TEST];
    int64_t n_forget = out->n[LT_GROUP_FORGET], n_test = out->n[LT_GROUP_TEST];
    out->phi_tpr_1 = lt_tpr_at_fpr(forget, n_forget, test, n_test, 0.01);
    out->phi_tpr_01 = lt_tpr_at_fpr(forget, n_forget, test, n_test, 0.001);
    double *v = memory;
    for (int g = 0; g < 3; v += out->n[g++])
        out->phi_median[g] = lti_median(v, out->n[g]);
    lti_free(memory);
    return isnan(out->phi_tpr_1 + out->phi_tpr_01) ? LTI_NOMEM("TPR") : LT_OK;
}

lt_status lt_audit_run_cfg(const lt_signals *s, const lt_audit_cfg *cfg, lt_audit *out)
{
    *out = (lt_audit){0};
    LT_TRY(lt_signals_need_groups(s, "signals"));
    out->ua = lt_signals_acc(s, LT_GROUP_FORGET);
    out->ra = lt_signals_acc(s, LT_GROUP_RETAIN);
    out->ta = lt_signals_acc(s, LT_GROUP_TEST);
    LT_TRY(lt_audit_svc_mia(s, cfg, &out->svc));
    LT_TRY(lt_audit_threshold(s, cfg, &out->threshold));
    LT_TRY(lt_audit_auc(s, LT_FEAT_PHI, &out->phi));
    LT_TRY(lt_audit_auc(s, LT_FEAT_CONFIDENCE, &out->conf));
    return phi_summary(s, out);
}

lt_status lt_audit_run(const lt_signals *s, uint64_t seed, lt_audit *out)
{
    return lt_audit_run_cfg(s, &(lt_audit_cfg){.seed = seed}, out);
}

static double attack_score(const lt_audit *a, lt_gap_mia mia)
{
    return mia == LT_GAP_MIS ? a->svc.confidence : a->phi.ft;
}

double lt_avg_gap(const lt_audit *a, const lt_audit *oracles, int n_oracles, lt_gap_mia mia)
{
    if (n_oracles <= 0)
        return (double)NAN;
    double ua = 0.0, ra = 0.0, ta = 0.0, m = 0.0; // means over the oracles
    for (int i = 0; i < n_oracles; i++) {
        ua += oracles[i].ua / n_oracles;
        ra += oracles[i].ra / n_oracles;
        ta += oracles[i].ta / n_oracles;
        m += attack_score(&oracles[i], mia) / n_oracles;
    }
    return (fabs(a->ua - ua) + fabs(a->ra - ra) + fabs(a->ta - ta) + fabs(attack_score(a, mia) - m)) / 4.0;
}
