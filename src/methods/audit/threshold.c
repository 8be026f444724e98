// threshold.c - the class-wise threshold attack: a sample is called a member when its signal reaches the threshold of
// its class. [AMUN 7.3] [Song and Mittal 2021]
//
// Thresholds are learnt from the shadow samples: for each class the observed value with the best balanced accuracy
// (TPR + TNR) / 2, the smallest one among equals. Signals are confidence, -entropy and -modified entropy; correctness
// needs no threshold. A class of the forget set that has no shadow members or no non-members uses one threshold learnt
// on all classes together.
//
// As a score (member of the registry) a sample gets its signal minus the threshold of its class. Judging the samples a
// threshold was learnt from would flatter it, so the score is cross-fitted: a shadow sample is judged by thresholds
// learnt from the other half of the shadow samples.
#include "methods/audit/mia_impl.h"
#include <stdlib.h>

typedef struct shadow_value {
    double value;
    bool member;
} shadow_value;

static int ascending(const void *a, const void *b)
{
    double x = ((const shadow_value *)a)->value, y = ((const shadow_value *)b)->value;
    return (x > y) - (x < y);
}

// v: n values, sorted here. false when one kind is missing.
static bool best_threshold(shadow_value *v, int64_t n, double *threshold)
{
    int64_t n_member = 0;
    for (int64_t i = 0; i < n; i++)
        n_member += v[i].member;
    int64_t n_other = n - n_member;
    if (n_member == 0 || n_other == 0)
        return false;
    qsort(v, (size_t)n, sizeof *v, ascending);
    // At threshold v[i]: everything before i is called non-member.
    int64_t members_below = 0, others_below = 0;
    double best = -1.0;
    for (int64_t i = 0; i < n; i++) {
        if (i == 0 || v[i].value > v[i - 1].value) {
            double tpr = (double)(n_member - members_below) / (double)n_member;
            double tnr = (double)others_below / (double)n_other;
            if (tpr + tnr > best) {
                best = tpr + tnr;
                *threshold = v[i].value;
            }
        }
        members_below += v[i].member;
        others_below += !v[i].member;
    }
    return true;
}

static double signal_of(const lt_signals *s, int64_t row, lt_feature f)
{
    double v = lti_feature(s->logits + row * s->k, s->k, s->label[row], f);
    return f == LT_FEAT_CONFIDENCE ? v : -v;
}

// Shadow values of class c (-1 = all) into v; returns their number. half 0 or 1: of the shadow samples with even or odd
// numbers only; -1 = all.
static int64_t collect(const lt_signals *s, const lti_shadow *shadow, int half, lt_feature f, int64_t c,
                       shadow_value *v)
{
    int64_t n = 0;
    for (int64_t i = half > 0; i < shadow->n; i += half < 0 ? 1 : 2) {
        int64_t in = shadow->member[i], out = shadow->non_member[i];
        if (c < 0 || s->label[in] == c)
            v[n++] = (shadow_value){signal_of(s, in, f), true};
        if (c < 0 || s->label[out] == c)
            v[n++] = (shadow_value){signal_of(s, out, f), false};
    }
    return n;
}

// threshold (k)
static void learn(const lt_signals *s, const lti_shadow *shadow, int half, lt_feature f, shadow_value *v,
                  double *threshold)
{
    double overall = 0.0;
    best_threshold(v, collect(s, shadow, half, f, -1, v), &overall);
    for (int c = 0; c < s->k; c++)
        if (!best_threshold(v, collect(s, shadow, half, f, c, v), &threshold[c]))
            threshold[c] = overall;
}

// Fraction of the forget set called member.
static double member_share(const lt_signals *s, const lti_shadow *shadow, lt_feature f, shadow_value *v,
                           double *threshold)
{
    learn(s, shadow, -1, f, v, threshold);
    int64_t n = 0, n_member = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (s->group[i] != LT_GROUP_FORGET)
            continue;
        n_member += signal_of(s, i, f) >= threshold[s->label[i]];
        n++;
    }
    return (double)n_member / (double)n;
}

lt_status lt_audit_threshold(const lt_signals *s, const lt_audit_cfg *cfg, lt_threshold_mia *out)
{
    lti_shadow shadow;
    LT_TRY(lti_shadow_draw(s, cfg, &shadow));
    shadow_value *v = lti_calloc(2 * (size_t)shadow.n, sizeof *v);
    double *threshold = lti_calloc((size_t)s->k, sizeof *threshold);
    lt_status status = LT_OK;
    if (v && threshold) {
        out->correctness = lt_signals_acc(s, LT_GROUP_FORGET);
        out->confidence = member_share(s, &shadow, LT_FEAT_CONFIDENCE, v, threshold);
        out->entropy = member_share(s, &shadow, LT_FEAT_ENTROPY, v, threshold);
        out->m_entropy = member_share(s, &shadow, LT_FEAT_MENTROPY, v, threshold);
    } else {
        status = LTI_NOMEM("threshold attack");
    }
    lti_free(v);
    lti_free(threshold);
    lti_shadow_clear(&shadow);
    return status;
}

// ---- as a score

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

// judge[i] = which thresholds sample i is held against: 0 and 1 learnt from the even and odd shadow samples, 2 from
// all.
static void choose_judges(const lt_signals *s, const lti_shadow *shadow, uint8_t *judge)
{
    for (int64_t i = 0; i < s->n; i++)
        judge[i] = 2;
    for (int64_t i = 0; i < shadow->n; i++)
        judge[shadow->member[i]] = judge[shadow->non_member[i]] = i % 2 ? 0 : 1;
}

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    const lt_signals *s = in->target;
    lt_feature f = (lt_feature)((const struct cfg *)cfg)->feature;
    lti_shadow shadow;
    LT_TRY(lti_shadow_draw(s, &(lt_audit_cfg){.seed = in->seed}, &shadow));
    shadow_value *v = lti_calloc(2 * (size_t)shadow.n, sizeof *v);
    double *threshold = lti_calloc(3 * (size_t)s->k, sizeof *threshold);
    uint8_t *judge = lti_calloc((size_t)s->n, 1);
    lt_status status = v && threshold && judge ? LT_OK : LTI_NOMEM("threshold attack");
    if (status == LT_OK && shadow.n < 2)
        status =
            LT_FAIL(LT_E_FORMAT, "threshold: expected at least 2 samples in the retain and test groups, found %lld",
                    (long long)shadow.n);
    if (status == LT_OK) {
        choose_judges(s, &shadow, judge);
        for (int half = 0; half < 3; half++)
            learn(s, &shadow, half < 2 ? half : -1, f, v, threshold + half * s->k);
        for (int64_t i = 0; i < s->n; i++)
            out[i] = signal_of(s, i, f) - threshold[judge[i] * s->k + s->label[i]];
    }
    lti_free(v);
    lti_free(threshold);
    lti_free(judge);
    lti_shadow_clear(&shadow);
    return status;
}

const lt_mia lti_mia_threshold = {
    .name = "threshold",
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
