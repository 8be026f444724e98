// features.c - per-sample membership features from logits, in double. [AMUN 7.2, 7.7] [Song and Mittal 2021]
//
// Everything starts from l_k = log p_k = z_k - logsumexp(z), so that nothing is lost when a probability rounds to 0 or
// 1. Where a formula needs log(1 - p) the argument is clamped at 1e-30, as in the reference implementation of the
// modified entropy: a certain, wrong prediction then costs 69 nats, not infinity.
#include "audit/audit_impl.h"
#include <math.h>

#define LOG_FLOOR 1e-30

static double log_clamped(double x)
{
    return log(x > LOG_FLOOR ? x : LOG_FLOOR);
}

// log sum_k exp(z_k), leaving out index `skip` (-1 = none).
static double log_sum_exp(const float *z, int k, int64_t skip)
{
    double top = -INFINITY, sum = 0.0;
    for (int j = 0; j < k; j++)
        if (j != skip && (double)z[j] > top)
            top = (double)z[j];
    for (int j = 0; j < k; j++)
        if (j != skip)
            sum += exp((double)z[j] - top);
    return top + log(sum);
}

void lti_probabilities(const float *logits, int k, double *p)
{
    double lse = log_sum_exp(logits, k, -1);
    for (int j = 0; j < k; j++)
        p[j] = exp((double)logits[j] - lse);
}

static double entropy(const float *z, int k)
{
    double lse = log_sum_exp(z, k, -1), h = 0.0;
    for (int j = 0; j < k; j++)
        h -= exp((double)z[j] - lse) * ((double)z[j] - lse);
    return h;
}

// M = -(1 - p_y) log p_y - sum_{k != y} p_k log(1 - p_k). Small only for confident and correct predictions.
static double modified_entropy(const float *z, int k, int64_t y)
{
    double lse = log_sum_exp(z, k, -1), m = 0.0;
    for (int j = 0; j < k; j++) {
        double p = exp((double)z[j] - lse);
        m -= j == y ? (1.0 - p) * log_clamped(p) : p * log_clamped(1.0 - p);
    }
    return m;
}

double lti_feature(const float *logits, int k, int64_t label, lt_feature f)
{
    switch (f) {
    case LT_FEAT_CORRECT:
        return lti_arg_max(logits, k) == label ? 1.0 : 0.0;
    case LT_FEAT_CONFIDENCE:
        return exp((double)logits[label] - log_sum_exp(logits, k, -1));
    case LT_FEAT_ENTROPY:
        return entropy(logits, k);
    case LT_FEAT_MENTROPY:
        return modified_entropy(logits, k, label);
    case LT_FEAT_PHI: // log p_y - log sum_{k != y} p_k: both share the same normaliser
        return (double)logits[label] - log_sum_exp(logits, k, label);
    case LT_FEAT_LOSS:
        return log_sum_exp(logits, k, -1) - (double)logits[label];
    case LT_N_FEATURES:
        break;
    }
    LT_BUG("unknown feature %d", (int)f);
}

const char *lt_feature_name(lt_feature f)
{
    static const char *const name[LT_N_FEATURES] = {"correctness", "confidence", "entropy", "m_entropy", "phi", "loss"};
    return (int)f >= 0 && f < LT_N_FEATURES ? name[f] : "unknown";
}

int64_t lt_signals_feature(const lt_signals *s, lt_feature f, int group, double *out)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (group >= 0 && s->group[i] != group)
            continue;
        if (out)
            out[n] = lti_feature(s->logits + i * s->k, s->k, s->label[i], f);
        n++;
    }
    return n;
}

double lt_signals_acc(const lt_signals *s, int group)
{
    int64_t n = 0, n_correct = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (group >= 0 && s->group[i] != group)
            continue;
        n_correct += lt_signals_predicted(s, i) == s->label[i];
        n++;
    }
    return n ? (double)n_correct / (double)n : (double)NAN;
}
