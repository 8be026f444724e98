// gauss.c - Gaussian fits of phi over reference models, and the ratio of two of them. [AMUN 7.7] [Carlini et al. 2022]
//
// phi = log p_y - log sum_{k != y} p_k is close to normal over models. Means are always a sample's own. Its spread is
// its own only where there are enough models; else one spread serves all samples: the root mean square of the
// deviations from each sample's mean (`fixed`). The released code of the attack takes the deviation of all values
// together
// (`overall`), which adds how much samples differ to how much models differ. All are maximum likelihood (divided by
// the count).
#include "audit/mia_impl.h"
#include <math.h>

enum { ENOUGH_MODELS = 32 }; // of each kind for `auto` to trust a sample's own spread: 64 models, half of them IN
#define LEAST_SD 1e-6        // models that agree exactly: keep densities finite

const lt_opt_value lti_lira_variances[] = {
    {"auto", LTI_LIRA_AUTO, "per-example when every sample has 32 models of each kind, else fixed"},
    {"fixed", LTI_LIRA_FIXED, "one for all samples: mean squared deviation from each sample's own mean"},
    {"overall", LTI_LIRA_OVERALL, "one for all samples: deviation of all values together"},
    {"per-example", LTI_LIRA_PER_EXAMPLE, "each sample's own"},
    {NULL, 0, NULL},
};

static double sd_of(double sum_of_squares, double n)
{
    double sd = sqrt(sum_of_squares / n);
    return sd > LEAST_SD ? sd : LEAST_SD;
}

typedef struct pool {
    int64_t n, least, least_row, most; // values; fewest and most models of a sample
    double mean, within, m2;           // m2: of all values together
} pool;

static pool pool_of(const lt_signals *target, const lti_moments *moments, int membership, bool optional)
{
    pool p = {.least = INT64_MAX};
    for (int64_t i = 0; i < target->n; i++) {
        const lti_moments *m = &moments[3 * i + membership];
        if (m->n == 0 && optional && target->group[i] == LT_GROUP_RETAIN)
            continue;
        if (m->n < p.least) {
            p.least = m->n;
            p.least_row = i;
        }
        p.most = m->n > p.most ? m->n : p.most;
        if (m->n == 0)
            continue;
        double delta = m->mean - p.mean, total = (double)(p.n + m->n);
        p.mean += delta * (double)m->n / total;
        p.m2 += m->m2 + delta * delta * (double)p.n * (double)m->n / total;
        p.within += m->m2;
        p.n += m->n;
    }
    return p;
}

lt_status lti_gauss_fit(const char *attack, const lt_signals *target, const lti_moments *moments, int membership,
                        const lti_lira_cfg *cfg, bool optional, lti_gauss *out)
{
    static const char *const kind[3] = {"OUT", "IN", "unlearned"};
    pool p = pool_of(target, moments, membership, optional);
    int32_t variance = cfg->variance;
    if (variance == LTI_LIRA_AUTO)
        variance = p.least >= ENOUGH_MODELS ? LTI_LIRA_PER_EXAMPLE : LTI_LIRA_FIXED;
    *out = (lti_gauss){.fixed_sd = NAN, .membership = membership, .optional = optional};
    if (variance == LTI_LIRA_PER_EXAMPLE && p.least < 2) {
        (void)LT_FAIL(LT_E_FORMAT,
                      "%s: row %lld: expected at least 2 %s models for its own standard deviation, found %lld", attack,
                      (long long)p.least_row, kind[membership], (long long)p.least);
        return lt_error_hint("variance fixed shares one spread among all samples");
    }
    if (p.most < 2 && variance == LTI_LIRA_FIXED) {
        (void)LT_FAIL(LT_E_FORMAT,
                      "%s: expected a sample with at least 2 %s models to estimate a standard deviation, found none",
                      attack, kind[membership]);
        return lt_error_hint("more reference models, or other --attacks");
    }
    if (variance == LTI_LIRA_FIXED)
        out->fixed_sd = sd_of(p.within, (double)p.n);
    else if (variance == LTI_LIRA_OVERALL)
        out->fixed_sd = sd_of(p.m2, (double)p.n);
    return LT_OK;
}

double lti_gauss_sd(const lti_gauss *g, const lti_moments m[3])
{
    const lti_moments *own = &m[g->membership];
    return isnan(g->fixed_sd) ? sd_of(own->m2, (double)own->n) : g->fixed_sd;
}

static double ratio(double phi, const lti_moments m[3], const lti_gauss *in, const lti_gauss *out)
{
    if (m[in->membership].n == 0 || m[out->membership].n == 0)
        return (double)NAN;
    return lti_normal_log_pdf(phi, m[in->membership].mean, lti_gauss_sd(in, m)) -
           lti_normal_log_pdf(phi, m[out->membership].mean, lti_gauss_sd(out, m));
}

lt_status lti_gauss_ratio(const lt_mia *mia, const lt_mia_in *in, int membership, const lti_lira_cfg *cfg,
                          double *score)
{
    const lt_signals *s = in->target;
    bool optional = (mia->needs & LT_MIA_RETAIN_OPTIONAL) != 0;
    lti_gauss of_membership, of_out;
    lti_moments *moments = lti_reference_moments(in, lti_phi, NULL);
    if (!moments)
        return LT_E_NOMEM;
    lt_status status = lti_gauss_fit(mia->name, s, moments, membership, cfg, optional, &of_membership);
    if (status == LT_OK)
        status = lti_gauss_fit(mia->name, s, moments, LT_MEMBER_OUT, cfg, optional, &of_out);
    const lti_lira_cfg fixed = {LTI_LIRA_FIXED};
    if (status == LT_OK &&
        isnan(of_membership.fixed_sd) != isnan(of_out.fixed_sd)) { // auto: enough models of one kind only
        status = lti_gauss_fit(mia->name, s, moments, membership, &fixed, optional, &of_membership);
        if (status == LT_OK)
            status = lti_gauss_fit(mia->name, s, moments, LT_MEMBER_OUT, &fixed, optional, &of_out);
    }
    for (int64_t i = 0; i < s->n && status == LT_OK; i++)
        score[i] =
            ratio(lti_phi(s->logits + i * s->k, s->k, s->label[i], NULL), moments + 3 * i, &of_membership, &of_out);
    lti_free(moments);
    return status;
}
