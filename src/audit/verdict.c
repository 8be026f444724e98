// verdict.c - is one metric of a model that of one more retrained model? docs/decisions/0004-equivalence-test.md
//
// R oracles, retrained with different seeds, give a mean m and a deviation s (R - 1 degrees of freedom). For a further
// retrained model the difference d to m is normal with variance sigma^2 (1 + 1/R), so |d| <= t s sqrt(1 + 1/R) with
// probability 1 - level: the null band. The audited model is one fixed model; its distance to the mean of retraining is
// known up to the error of m, so |d| + t s / sqrt(R) bounds it (two one-sided tests).
#include "audit/audit_impl.h"
#include <math.h>
#include <string.h>

#define SCALED_MARGIN 4.0 // deviations of retraining; from five oracles on this margin is never too small to be held

const lt_option lt_verdict_options[] = {
    LT_F64(lt_verdict_cfg, verdict_level, 0.05, 1e-6, 0.5, "",
           "probability of calling a retrained model distinguishable, and of a margin that does not hold"),
    LT_F64(lt_verdict_cfg, verdict_margin, 0.02, 0, 1, "",
           "distance to the mean of retraining that must be excluded to say indistinguishable"),
    LT_F64(lt_verdict_cfg, verdict_min_effect, 0.001, 0, 1, "",
           "differences up to this are never called distinguishable"),
    LT_I32(lt_verdict_cfg, bootstrap, 1000, 0, 1000000, "draws",
           "bootstrap draws of the samples for the intervals of metrics; 0 = no intervals"),
    LT_OPT_END,
};

const char *lt_verdict_text(lt_verdict v)
{
    static const char *const text[LT_N_VERDICTS] = {[LT_VERDICT_TOO_FEW] = "too few seeds",
                                                    [LT_VERDICT_SAME] = "indistinguishable",
                                                    [LT_VERDICT_DIFFERENT] = "distinguishable",
                                                    [LT_VERDICT_CANNOT_TELL] = "this study cannot tell"};
    return text[v];
}

bool lt_verdict_find(const char *text, lt_verdict *v)
{
    for (int i = 0; i < LT_N_VERDICTS; i++)
        if (!strcmp(text, lt_verdict_text((lt_verdict)i))) {
            *v = (lt_verdict)i;
            return true;
        }
    return false;
}

lt_verdict lt_verdict_given_original(lt_verdict v, lt_verdict original)
{
    const bool is_blind = original == LT_VERDICT_SAME || original == LT_VERDICT_CANNOT_TELL;
    return v == LT_VERDICT_SAME && is_blind ? LT_VERDICT_CANNOT_TELL : v;
}

static void mean_and_sd(const double *v, int n, double *mean, double *sd)
{
    double sum = 0.0, squares = 0.0;
    for (int i = 0; i < n; i++)
        sum += v[i];
    *mean = sum / n;
    for (int i = 0; i < n; i++)
        squares += (v[i] - *mean) * (v[i] - *mean);
    *sd = n > 1 ? sqrt(squares / (n - 1)) : (double)NAN;
}

// s: deviation of retraining with df degrees of freedom; of_models, of_oracles: variances of the two means that differ
// by out->difference, in units of s^2.
static void compute_verdict(double s, double df, double of_models, double of_oracles, const lt_verdict_cfg *cfg,
                            lt_equivalence *out)
{
    double d = fabs(out->difference), of_both = s * sqrt(of_models + of_oracles), of_mean = s * sqrt(of_oracles);
    double band = lti_student_quantile(0.5 * cfg->verdict_level, df) * of_both;
    out->band = band > cfg->verdict_min_effect ? band : cfg->verdict_min_effect;
    out->p = d <= cfg->verdict_min_effect ? 1.0 : of_both > 0.0 ? 2.0 * lti_student_tail(d / of_both, df) : 0.0;
    out->bound = d + lti_student_quantile(fmin(cfg->verdict_level, 0.5), df) * of_mean;
    out->margin = fmax(cfg->verdict_margin, SCALED_MARGIN * s);
    if (d > out->band)
        out->verdict = LT_VERDICT_DIFFERENT;
    else
        out->verdict = out->bound <= out->margin ? LT_VERDICT_SAME : LT_VERDICT_TOO_FEW;
}

void lt_compare(double value, const double *oracle, int n, double resolution, const lt_verdict_cfg *cfg,
                lt_equivalence *out)
{
    double mean = NAN, sd = NAN;
    if (n > 0)
        mean_and_sd(oracle, n, &mean, &sd);
    *out = (lt_equivalence){.n_oracles = n, .mean = mean, .sd = sd, .difference = value - mean};
    out->band = out->p = out->bound = out->margin = (double)NAN;
    if (n < 2 || isnan(out->difference))
        return;
    compute_verdict(sd > resolution ? sd : resolution, n - 1, 1.0, 1.0 / n, cfg, out);
}

void lt_compare_pooled(const lt_pooled *pooled, const lt_verdict_cfg *cfg, lt_equivalence *out)
{
    *out = (lt_equivalence){.n_oracles = pooled->df + 1, .sd = pooled->sd, .difference = pooled->difference};
    out->mean = out->band = out->p = out->bound = out->margin = (double)NAN;
    if (pooled->df < 1 || isnan(pooled->difference) || isnan(pooled->sd))
        return;
    compute_verdict(pooled->sd > pooled->resolution ? pooled->sd : pooled->resolution, pooled->df, pooled->of_models,
                    pooled->of_oracles, cfg, out);
}

lt_verdict lt_compare_all(const lt_equivalence *metric, int n, const lt_verdict_cfg *cfg)
{
    lt_verdict all = n > 0 ? LT_VERDICT_SAME : LT_VERDICT_TOO_FEW;
    for (int i = 0; i < n; i++) {
        if (metric[i].p <= cfg->verdict_level / n)
            return LT_VERDICT_DIFFERENT;
        if (!(metric[i].bound <= metric[i].margin))
            all = LT_VERDICT_TOO_FEW;
    }
    return all;
}
