// iam.c - IAM: how far a model has come from the original towards models that never saw a sample. [IAM]
// docs/methods/iam.md
//
// s = -log(1e-2 - log(p_y + 1e-5)). Between s_out of models trained without the sample and s_orig of the original lie
// 99 levels; at each the unlearned model's s is held against a Gumbel distribution fitted by moments. The membership
// score is the mean of these values weighted by level; one minus it is the unlearning score.
#include "audit/kind_impl.h"
#include "audit/iam.h"
#include <math.h>

double lti_iam_signal(const float *logits, int k, int64_t label)
{
    const double p = lti_feature(logits, k, label, LT_FEAT_CONFIDENCE);
    return -log(1e-2 - log(p + 1e-5));
}

// Standard deviation over models and samples together, at one level.
static double spread(const double *s_out, int64_t m, int64_t n, const double *s_orig, double alpha)
{
    double mean = 0, m2 = 0;
    const double count = (double)(m * n);
    for (int pass = 0; pass < 2; pass++)
        for (int64_t i = 0; i < m * n; i++) {
            const double v = s_out[i] + alpha * (s_orig[i % n] - s_out[i]);
            if (pass == 0)
                mean += v / count;
            else
                m2 += (v - mean) * (v - mean);
        }
    return sqrt(m2 / count);
}

lt_status lti_iam_score(const double *s_out, int64_t m, int64_t n, const double *s_orig, const double *s_unl,
                        double *out)
{
    enum { LEVELS = 99 };
    double total = 0;
    double *mean = lti_calloc((size_t)n, sizeof *mean);
    if (!mean)
        return LTI_NOMEM("IAM");
    for (int64_t i = 0; i < m * n; i++)
        mean[i % n] += s_out[i] / (double)m;
    for (int64_t i = 0; i < n; i++)
        out[i] = 0;
    for (int level = 0; level < LEVELS; level++) {
        const double alpha = level / 99.0, weight = (level + 1) / 99.0; // [IAM 2]
        const double b = fmax(spread(s_out, m, n, s_orig, alpha), 1e-12) * sqrt(6) / acos(-1.0);
        for (int64_t i = 0; i < n; i++) {
            const double mu = mean[i] + alpha * (s_orig[i] - mean[i]), loc = mu - 0.5772 * b;
            out[i] += weight * exp(-exp(-(s_unl[i] - loc) / b)); // [IAM 1]
        }
        total += weight;
    }
    for (int64_t i = 0; i < n; i++)
        out[i] = 1 - out[i] / total;
    lti_free(mean);
    return LT_OK;
}

// ---- the audit kind

typedef struct result {
    double unlearned, original; // mean unlearning score of the forgotten samples; original: NAN = not known
    double *retrained;          // (n)
    int n;
    bool has_original;
} result;

static void clear_result(void *data)
{
    result *r = data;
    if (r)
        lti_free(r->retrained);
    lti_free(r);
}

static void read_signals(const lt_signals *s, double *out) // of the forget group
{
    int64_t at = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == LT_GROUP_FORGET)
            out[at++] = lti_iam_signal(s->logits + i * s->k, s->k, s->label[i]);
}

typedef struct work {
    double *s_out, *s_orig, *s, *score; // (m,n), (n) each
    int64_t n;
    int m;
} work;

// Mean score of s against the oracles but `skip`.
static lt_status mean_score(const work *w, const double *s, int skip, double *others, double *mean)
{
    int m = 0;
    for (int o = 0; o < w->m; o++)
        if (o != skip) {
            for (int64_t i = 0; i < w->n; i++)
                others[(int64_t)m * w->n + i] = w->s_out[(int64_t)o * w->n + i];
            m++;
        }
    *mean = (double)NAN;
    if (m == 0)
        return LT_OK;
    LT_TRY(lti_iam_score(others, m, w->n, w->s_orig, s, w->score));
    *mean = 0;
    for (int64_t i = 0; i < w->n; i++)
        *mean += w->score[i] / (double)w->n;
    return LT_OK;
}

static lt_status score_models(const lt_audit_in *in, work *w, double *others, result *r)
{
    const lt_signals *s = in->unlearned.audited->signals;
    const lt_signals *before;
    lt_signals *owned;
    LT_TRY(lti_subject_signals(in, in->original, &before, &owned));
    r->has_original = before && before->k == s->k && lt_signals_same_samples(s, before);
    for (int64_t i = 0; i < w->n; i++) // without the original: a perfectly fitted member
        w->s_orig[i] = -log(1e-2 - log(1 + 1e-5));
    if (r->has_original)
        read_signals(before, w->s_orig);
    lt_signals_destroy(owned);
    read_signals(s, w->s);
    LT_TRY(mean_score(w, w->s, -1, others, &r->unlearned));
    for (int o = 0; o < w->m; o++)
        LT_TRY(mean_score(w, w->s_out + (int64_t)o * w->n, o, others, &r->retrained[o]));
    r->original = (double)NAN;
    return r->has_original ? mean_score(w, w->s_orig, -1, others, &r->original) : LT_OK;
}

static lt_status run_iam(const lt_audit_in *in, const void *cfg, lt_audit_report *report, void **data)
{
    (void)cfg;
    const lt_signals *s = in->unlearned.audited ? in->unlearned.audited->signals : NULL;
    work w = {.n = s ? lti_group_rows(s, LT_GROUP_FORGET, NULL) : 0};
    for (int i = 0; s && i < in->n_retrained; i++)
        w.m += in->retrained[i].audited && lt_signals_same_samples(s, in->retrained[i].audited->signals);
    if (w.m == 0 || w.n == 0)
        return LT_OK;
    const size_t n = (size_t)w.n, m = (size_t)w.m;
    result *r = lti_calloc(1, sizeof *r);
    double *memory = lti_calloc(n * (2 * m + 3), sizeof *memory),
           *all = lti_calloc((size_t)in->n_retrained, sizeof *all);
    lt_status status =
        r && memory && all && (r->retrained = lti_calloc(m, sizeof *r->retrained)) ? LT_OK : LTI_NOMEM("IAM");
    if (status == LT_OK) {
        w.s_out = memory;
        w.s_orig = memory + 2 * m * n, w.s = w.s_orig + n, w.score = w.s + n;
        r->n = w.m;
        for (int i = 0, at = 0; i < in->n_retrained; i++)
            if (in->retrained[i].audited && lt_signals_same_samples(s, in->retrained[i].audited->signals))
                read_signals(in->retrained[i].audited->signals, w.s_out + (size_t)at++ * n);
        status = score_models(in, &w, memory + m * n, r);
    }
    for (int i = 0, at = 0; status == LT_OK && i < in->n_retrained; i++)
        all[i] = in->retrained[i].audited && lt_signals_same_samples(s, in->retrained[i].audited->signals)
                     ? r->retrained[at++]
                     : (double)NAN;
    if (status == LT_OK)
        status = lt_audit_put(report, LT_METRIC_IAM, NULL, r->unlearned, all);
    lti_free(memory);
    lti_free(all);
    if (status == LT_OK)
        *data = r;
    else
        clear_result(r);
    return status;
}

static void write_result(const void *data, lti_json *w)
{
    const result *r = data;
    lti_json_real(w, "unlearning_score", r->unlearned);
    lti_json_real(w, "original", r->original);
    lti_json_bool(w, "uses_original", r->has_original);
    lti_json_reals(w, "retrained", r->retrained, r->n);
}

static const lt_option opts[] = {LT_OPT_END};
const lt_audit_kind lti_audit_iam = {
    .name = "iam",
    .key = "iam",
    .title = "IAM audit",
    .cite = "iam",
    .doc =
        "The degree of unlearning of the forgotten samples, between the original model (near 0) and retrained models; "
        "one retrained model is enough. Above the retrained models it has unlearned too much.",
    .opts = opts,
    .run = run_iam,
    .write = write_result,
    .clear = clear_result,
};
