// class_threshold.c - the class-wise threshold attack as a score: a sample's signal minus the threshold of its class.
// [AMUN 7.3] [Song and Mittal 2021]
//
// Thresholds are those of threshold.c. Judging the samples a threshold was learnt from would flatter it, so the score
// is cross-fitted: a shadow sample is judged by thresholds learnt from the other half of the shadow samples. All other
// samples are judged by halves as well, in turn by one and the other: thresholds of all shadow samples would be better
// than those that the test samples are judged by, and would make forgotten samples look more like members than they
// are.
#include "audit/mia_impl.h"

struct cfg {
    int32_t feature;
};
static const lt_opt_value features[] = {
    {"confidence", LT_FEAT_CONFIDENCE, "probability of the label"},
    {"entropy", LT_FEAT_ENTROPY, "minus the entropy of the prediction"},
    {"m-entropy", LT_FEAT_MENTROPY, "minus the modified entropy"},
    {NULL, 0, NULL},
};
static const lt_option opts[] = {
    LT_ENUM(struct cfg, feature, LT_FEAT_MENTROPY, features, "signal that is held against the threshold"),
    LT_OPT_END,
};

// judge[i] = which thresholds sample i is held against: 0 and 1 learnt from the even and odd shadow samples.
static void choose_halves(const lt_signals *s, const lti_shadow *shadow, uint8_t *judge)
{
    enum { OTHER = 2 };
    int64_t n_other = 0;
    for (int64_t i = 0; i < s->n; i++)
        judge[i] = OTHER;
    for (int64_t i = 0; i < shadow->n; i++)
        judge[shadow->member[i]] = judge[shadow->non_member[i]] = i % 2 ? 0 : 1;
    for (int64_t i = 0; i < s->n; i++)
        if (judge[i] == OTHER)
            judge[i] = n_other++ % 2 ? 0 : 1;
}

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    const lt_signals *s = in->target;
    lt_feature f = (lt_feature)((const struct cfg *)cfg)->feature;
    lti_shadow shadow;
    LT_TRY(lti_shadow_draw(s, &(lt_audit_cfg){.seed = in->seed}, &shadow));
    double *threshold = lti_calloc(2 * (size_t)s->k, sizeof *threshold);
    uint8_t *judge = lti_calloc((size_t)s->n, 1);
    lt_status status = threshold && judge ? LT_OK : LTI_NOMEM("threshold attack");
    if (status == LT_OK && shadow.n < 2)
        status = LT_FAIL(LT_E_FORMAT,
                         "class_threshold: expected at least 2 samples in the retain and test groups, found %lld",
                         (long long)shadow.n);
    if (status == LT_OK) {
        choose_halves(s, &shadow, judge);
        for (int half = 0; half < 2 && status == LT_OK; half++)
            status = lti_threshold_learn(s, &shadow, half, f, threshold + half * s->k);
        for (int64_t i = 0; i < s->n && status == LT_OK; i++)
            out[i] = lti_threshold_signal(s, i, f) - threshold[judge[i] * s->k + s->label[i]];
    }
    lti_free(threshold);
    lti_free(judge);
    lti_shadow_clear(&shadow);
    return status;
}

const lt_mia lti_mia_class_threshold = {
    .name = "class_threshold",
    .title = "Class-wise threshold",
    .cite = "songmittal2021",
    .doc = "Signal minus the threshold of the class with the best balanced accuracy on retained against test samples, "
           "cross-fitted. Needs no reference models.",
    .needs = LT_MIA_NEED_GROUPS,
    .threshold = 0.0,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .score = score,
};
