// mia_impl.h - what the membership attacks share: the registry's descriptors, RMIA's ratios and LiRA's Gaussians.
#ifndef LT_MIA_IMPL_H
#define LT_MIA_IMPL_H
#include "audit/audit_impl.h"

#define LT_X(name) extern const lt_mia lti_mia_##name;
#include "audit/audits.list"
#undef LT_X

// ---- RMIA [AMUN 7.4]
enum { LTI_RMIA_SM_TAYLOR, LTI_RMIA_TAYLOR, LTI_RMIA_SOFTMAX, LTI_RMIA_SOFT_MARGIN, LTI_RMIA_LOGIT };
enum { LTI_RMIA_EVERYONE, LTI_RMIA_NON_MEMBERS };
typedef struct lti_rmia_cfg {
    int32_t signal, taylor_terms, population;
    double temperature, margin, gamma;
    double a;                 // offline only
    bool tune_a;              // offline only
    bool equal_weight_in_out; // online only
} lti_rmia_cfg;
extern const lt_opt_value lti_rmia_signals[], lti_rmia_populations[];
// clang-format off
#define LTI_RMIA_ROWS                                                                                                  \
    LT_ENUM(lti_rmia_cfg, signal, LTI_RMIA_SM_TAYLOR, lti_rmia_signals, "signal of a model on a sample"),              \
    LT_I32(lti_rmia_cfg, taylor_terms, 4, 4, 5, "terms", "4 as in the authors' code (may leave [0,1]), 5 is positive"),\
    LT_F64(lti_rmia_cfg, temperature, 2, 1e-3, 1e3, "", "logits are divided by it (not in the signal taylor)"),        \
    LT_F64(lti_rmia_cfg, margin, 0.6, 0, 100, "", "taken off the true class in sm-taylor and soft-margin"),            \
    LT_F64(lti_rmia_cfg, gamma, 2, 1e-6, 1e6, "", "a pair counts when its likelihood ratio is larger"),                \
    LT_ENUM(lti_rmia_cfg, population, LTI_RMIA_EVERYONE, lti_rmia_populations, "samples a sample is compared with")
// clang-format on
double lti_rmia_signal(const float *logits, int k, int64_t label, const void *rmia_cfg);
// score (n) from the ratios r = p / pbar: share of the population, without the sample itself, with r(x) / r(z) > gamma.
lt_status lti_rmia_count(const double *ratio, const uint8_t *in_population, int64_t n, double gamma, int n_threads,
                         double *score);
typedef double (*lti_rmia_mean_fn)(const lti_moments m[3], const lti_rmia_cfg *cfg); // pbar of one sample
lt_status lti_rmia_score(const lt_mia_in *in, const lti_rmia_cfg *cfg, lti_rmia_mean_fn mean, double *score);

// The value of cfg->a in 0, 0.1, ..., 1 that tells the members of the first reference model best, by the others.
lt_status lti_rmia_tune_a(const lt_mia *mia, const lt_mia_in *in, lti_rmia_cfg *cfg, lti_rmia_mean_fn mean,
                          lt_mia_tuning *choice);

// The first reference model as the target of the others. target, others: memory that *out refers to, owning nothing.
lt_status lti_mia_hold_out_reference(const lt_mia *mia, const lt_mia_in *in, lt_signals *target, lt_references *others,
                                     lt_mia_in *out);

// ---- BASE [BASE 1, 2]
typedef struct lti_base_cfg {
    double temperature, factor; // factor: offline only
} lti_base_cfg;
#define LTI_BASE_ROWS LT_F64(lti_base_cfg, temperature, 2, 1e-3, 1e3, "", "logits are divided by it")
lt_status lti_base_score(const lt_mia_in *in, const lti_base_cfg *cfg, bool offline, double *score);

// ---- LiRA [AMUN 7.7]
enum { LTI_LIRA_AUTO, LTI_LIRA_FIXED, LTI_LIRA_OVERALL, LTI_LIRA_PER_EXAMPLE };
typedef struct lti_lira_cfg {
    int32_t variance;
} lti_lira_cfg;
extern const lt_opt_value lti_lira_variances[];
#define LTI_LIRA_ROWS LT_ENUM(lti_lira_cfg, variance, LTI_LIRA_AUTO, lti_lira_variances, "spread of the Gaussian fits")
typedef struct lti_gauss { // fits of phi over the models of one kind
    double fixed_sd;       // of every sample; NAN = each has its own
    int membership;
    bool optional; // samples without such models are left out
} lti_gauss;
lt_status lti_gauss_fit(const char *attack, const lt_signals *target, const lti_moments *moments, int membership,
                        const lti_lira_cfg *cfg, bool optional, lti_gauss *out);
double lti_gauss_sd(const lti_gauss *g, const lti_moments m[3]);
// log N(phi; world) - log N(phi; OUT), NAN for samples that lack a model of either kind.
lt_status lti_gauss_ratio(const lt_mia *mia, const lt_mia_in *in, int membership, const lti_lira_cfg *cfg,
                          double *score);
#endif
