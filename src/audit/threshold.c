// threshold.c - the class-wise threshold attack: a sample is called a member when its signal reaches the threshold of
// its class. [AMUN 7.3] [Song and Mittal 2021]
//
// Thresholds are learnt from the shadow samples: for each class the observed value with the best balanced accuracy
// (TPR + TNR) / 2, the smallest one among equals. Signals are confidence, -entropy and -modified entropy; correctness
// needs no threshold. A class of the forget set that has no shadow members or no non-members uses one threshold learnt
// on all classes together.
#include "audit/audit_impl.h"
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

double lti_threshold_signal(const lt_signals *s, int64_t row, lt_feature f)
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
            v[n++] = (shadow_value){lti_threshold_signal(s, in, f), true};
        if (c < 0 || s->label[out] == c)
            v[n++] = (shadow_value){lti_threshold_signal(s, out, f), false};
    }
    return n;
}

lt_status lti_threshold_learn(const lt_signals *s, const lti_shadow *shadow, int half, lt_feature f, double *threshold)
{
    shadow_value *v = lti_calloc(2 * (size_t)shadow->n, sizeof *v);
    if (!v)
        return LTI_NOMEM("threshold attack");
    double overall = 0.0;
    best_threshold(v, collect(s, shadow, half, f, -1, v), &overall);
    for (int c = 0; c < s->k; c++)
        if (!best_threshold(v, collect(s, shadow, half, f, c, v), &threshold[c]))
            threshold[c] = overall;
    lti_free(v);
    return LT_OK;
}

// Fraction of the forget set called member.
static lt_status member_share(const lt_signals *s, const lti_shadow *shadow, lt_feature f, double *threshold,
                              double *share)
{
    int64_t n = 0, n_member = 0;
    LT_TRY(lti_threshold_learn(s, shadow, -1, f, threshold));
    for (int64_t i = 0; i < s->n; i++) {
        if (s->group[i] != LT_GROUP_FORGET)
            continue;
        n_member += lti_threshold_signal(s, i, f) >= threshold[s->label[i]];
        n++;
    }
    *share = (double)n_member / (double)n;
    return LT_OK;
}

lt_status lt_audit_threshold(const lt_signals *s, const lt_audit_cfg *cfg, lt_threshold_mia *out)
{
    lti_shadow shadow;
    LT_TRY(lti_shadow_draw(s, cfg, &shadow));
    double *threshold = lti_calloc((size_t)s->k, sizeof *threshold);
    lt_status status = threshold ? LT_OK : LTI_NOMEM("threshold attack");
    out->correctness = lt_signals_acc(s, LT_GROUP_FORGET);
    if (status == LT_OK)
        status = member_share(s, &shadow, LT_FEAT_CONFIDENCE, threshold, &out->confidence);
    if (status == LT_OK)
        status = member_share(s, &shadow, LT_FEAT_ENTROPY, threshold, &out->entropy);
    if (status == LT_OK)
        status = member_share(s, &shadow, LT_FEAT_MENTROPY, threshold, &out->m_entropy);
    lti_free(threshold);
    lti_shadow_clear(&shadow);
    return status;
}
