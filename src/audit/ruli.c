// ruli.c - RULI: per-sample densities of phi, of models that have unlearned the sample and of models that never saw it,
// estimated with kernels. [RULI] docs/methods/ruli.md
//
// score = log L_unlearned(phi) - log L_out(phi), a monotone form of the paper's L_unl / (L_unl + L_out): 0 is its 1/2,
// and large ratios do not saturate. A reference model that has unlearned no sample at all is a trained one: privacy
// takes L_out from models that have unlearned others, efficacy from trained ones.
#include "audit/ruli.h"
#include <math.h>

static const lt_option opts[] = {LTI_RULI_ROWS, LT_OPT_END};

static double signal(const lti_ruli_cfg *c, const float *logits, int k, int64_t label)
{
    const double phi = lti_phi(logits, k, label, NULL);
    const double most = c->clip > 0 ? log((1 - c->clip) / c->clip) : INFINITY;
    return fmax(-most, fmin(most, phi));
}

typedef struct table { // phi of every model on every sample
    int64_t m, n;
    double *phi;           // (m,n)
    const uint8_t *member; // (m,n)
    bool *has_unlearned;   // (m) some sample; else it is a trained model
} table;

static void clear_table(table *t)
{
    lti_free(t->phi);
    lti_free(t->has_unlearned);
}

static lt_status read_table(const lt_mia_in *in, const lti_ruli_cfg *c, table *t)
{
    const lt_references *r = in->refs;
    size_t count = 0;
    *t = (table){.m = r->m, .n = r->n, .member = r->member};
    t->has_unlearned = lti_calloc((size_t)r->m, sizeof *t->has_unlearned);
    if (!t->has_unlearned || lti_mul_size((size_t)r->m, (size_t)r->n, &count) ||
        !(t->phi = lti_calloc(count, sizeof *t->phi))) {
        clear_table(t);
        return LTI_NOMEM("signals of reference models");
    }
    for (int64_t m = 0; m < r->m; m++)
        t->has_unlearned[m] = lti_references_unlearned(r, m);
    for (int64_t i = 0; i < r->m * r->n; i++)
        t->phi[i] = signal(c, r->logits + i * r->k, r->k, in->target->label[i % r->n]);
    return LT_OK;
}

// Does the density of this kind use model m on sample i?
static bool is_of_kind(const table *t, lti_ruli_kind kind, int64_t m, int64_t i)
{
    const int member = t->member[m * t->n + i];
    return kind == LTI_RULI_UNLEARNED ? member == LT_MEMBER_UNLEARNED
                                      : member == LT_MEMBER_OUT && t->has_unlearned[m] == (kind == LTI_RULI_OUT);
}

// Bandwidth for the models of one kind: 1.06 sd n^(-1/5), sd of the deviations from each sample's mean, n the mean
// number of models of a sample.
static double pooled_bandwidth(const table *t, lti_ruli_kind kind)
{
    double m2 = 0, n_values = 0, n_samples = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double mean = 0, n = 0;
        for (int64_t m = 0; m < t->m; m++)
            if (is_of_kind(t, kind, m, i)) {
                mean += t->phi[m * t->n + i];
                n++;
            }
        for (int64_t m = 0; m < t->m; m++)
            if (is_of_kind(t, kind, m, i))
                m2 += pow(t->phi[m * t->n + i] - mean / n, 2);
        n_values += n;
        n_samples += n > 0;
    }
    const double df = n_values - n_samples, sd = df > 0 ? sqrt(m2 / df) : 0;
    const double h = n_samples > 0 ? 1.06 * sd * pow(n_values / n_samples, -0.2) : 0;
    return h > 1e-6 ? h : 1e-6; // models that agree exactly: keep densities finite
}

// log of the mean of Gaussian kernels around the models of a kind, NAN when there are none.
static double log_density(const table *t, lti_ruli_kind kind, double h, int64_t i, double phi)
{
    double most = -INFINITY, sum = 0, n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t m = 0; m < t->m; m++) {
            if (!is_of_kind(t, kind, m, i))
                continue;
            const double l = lti_normal_log_pdf(phi, t->phi[m * t->n + i], h);
            if (pass == 0) {
                most = fmax(most, l);
                n++;
            } else {
                sum += exp(l - most);
            }
        }
    return n > 0 ? most + log(sum / n) : (double)NAN;
}

lt_status lti_ruli_score(const lt_mia_in *in, const lti_ruli_cfg *c, lti_ruli_kind against, double *out)
{
    const lti_ruli_kind kind[2] = {LTI_RULI_UNLEARNED, against};
    double h[2] = {c->bandwidth, c->bandwidth};
    table t;
    LT_TRY(read_table(in, c, &t));
    for (int j = 0; c->bandwidth == 0 && j < 2; j++)
        h[j] = pooled_bandwidth(&t, kind[j]);
    for (int64_t i = 0; i < t.n; i++) {
        const bool is_negative = in->target->group[i] == LT_GROUP_TEST;
        const lt_signals *s = against == LTI_RULI_TRAINED_OUT && is_negative ? in->original : in->target;
        const double phi = signal(c, s->logits + i * s->k, s->k, in->target->label[i]);
        out[i] = log_density(&t, kind[0], h[0], i, phi) - log_density(&t, kind[1], h[1], i, phi);
    }
    clear_table(&t);
    return LT_OK;
}

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    return lti_ruli_score(in, cfg, LTI_RULI_OUT, out);
}

const lt_mia lti_mia_ruli = {
    .name = "ruli",
    .title = "RULI",
    .cite = "ruli",
    .doc = "Log-ratio of kernel densities of phi: models that unlearned the sample by the audited method (member 2) "
           "against models that never saw it, but unlearned others, each sample with its own densities. The strongest "
           "per-sample audit of unlearning, and the dearest. With few models the bandwidth is pooled over samples (a "
           "choice of ours); bandwidth 1 and clip 1e-6 are the authors'.",
    .needs = LT_MIA_NEED_UNLEARNED | LT_MIA_NEED_OUT | LT_MIA_RETAIN_OPTIONAL,
    .threshold = 0.0,
    .cfg_size = sizeof(lti_ruli_cfg),
    .opts = opts,
    .score = score,
};
