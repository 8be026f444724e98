// ruli.c - RULI: per-sample densities of phi, of models that have unlearned the sample and of models that never saw it,
// estimated with kernels. [RULI] docs/methods/ruli.md
//
// score = log L_unlearned(phi) - log L_out(phi), a monotone form of the paper's L_unl / (L_unl + L_out): 0 is its 1/2,
// and large ratios do not saturate.
#include "audit/mia_impl.h"
#include <math.h>

struct cfg {
    double bandwidth, clip;
};

static const lt_option opts[] = {
    LT_F64(struct cfg, bandwidth, 0, 0, 1e6, "",
           "of the Gaussian kernels: 1 in the authors' code; 0 = Silverman's rule on the deviations of all samples "
           "together, for few models"),
    LT_F64(struct cfg, clip, 0, 0, 0.4, "",
           "probabilities are kept at least this far from 0 and 1: 1e-6 in the authors' "
           "code; 0 = exact"),
    LT_OPT_END,
};

static double signal(const struct cfg *c, const float *logits, int k, int64_t label)
{
    const double phi = lti_phi(logits, k, label, NULL);
    const double most = c->clip > 0 ? log((1 - c->clip) / c->clip) : INFINITY;
    return fmax(-most, fmin(most, phi));
}

typedef struct table { // phi of every model on every sample
    int64_t m, n;
    double *phi; // (m,n)
} table;

static lt_status read_table(const lt_mia_in *in, const struct cfg *c, table *t)
{
    const lt_references *r = in->refs;
    size_t count = 0;
    *t = (table){.m = r->m, .n = r->n};
    if (lti_mul_size((size_t)r->m, (size_t)r->n, &count) || !(t->phi = lti_calloc(count, sizeof *t->phi)))
        return LTI_NOMEM("signals of reference models");
    for (int64_t i = 0; i < r->m * r->n; i++)
        t->phi[i] = signal(c, r->logits + i * r->k, r->k, in->target->label[i % r->n]);
    return LT_OK;
}

// Bandwidth for the models of one kind: 1.06 sd n^(-1/5), sd of the deviations from each sample's mean, n the mean
// number of models of a sample.
static double pooled_bandwidth(const lt_mia_in *in, const table *t, int kind)
{
    double m2 = 0, n_values = 0, n_samples = 0;
    for (int64_t i = 0; i < t->n; i++) {
        double mean = 0, n = 0;
        for (int64_t m = 0; m < t->m; m++)
            if (in->refs->member[m * t->n + i] == kind) {
                mean += t->phi[m * t->n + i];
                n++;
            }
        for (int64_t m = 0; m < t->m; m++)
            if (in->refs->member[m * t->n + i] == kind)
                m2 += pow(t->phi[m * t->n + i] - mean / n, 2);
        n_values += n;
        n_samples += n > 0;
    }
    const double df = n_values - n_samples, sd = df > 0 ? sqrt(m2 / df) : 0;
    const double h = n_samples > 0 ? 1.06 * sd * pow(n_values / n_samples, -0.2) : 0;
    return h > 1e-6 ? h : 1e-6; // models that agree exactly: keep densities finite
}

// log of the mean of Gaussian kernels around the models of a kind, NAN when there are none.
static double log_density(const lt_mia_in *in, const table *t, int kind, double h, int64_t i, double phi)
{
    double most = -INFINITY, sum = 0, n = 0;
    for (int pass = 0; pass < 2; pass++)
        for (int64_t m = 0; m < t->m; m++) {
            if (in->refs->member[m * t->n + i] != kind)
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

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    const struct cfg *c = cfg;
    static const int kind[2] = {LT_MEMBER_UNLEARNED, LT_MEMBER_OUT};
    double h[2] = {c->bandwidth, c->bandwidth};
    table t = {0};
    const lt_status status = read_table(in, c, &t);
    for (int j = 0; status == LT_OK && c->bandwidth == 0 && j < 2; j++)
        h[j] = pooled_bandwidth(in, &t, kind[j]);
    for (int64_t i = 0; status == LT_OK && i < t.n; i++) {
        const double phi = signal(c, in->target->logits + i * in->target->k, in->target->k, in->target->label[i]);
        out[i] = log_density(in, &t, kind[0], h[0], i, phi) - log_density(in, &t, kind[1], h[1], i, phi);
    }
    lti_free(t.phi);
    return status;
}

const lt_mia lti_mia_ruli = {
    .name = "ruli",
    .title = "RULI",
    .cite = "ruli",
    .doc = "Log-ratio of kernel densities of phi: models that unlearned the sample by the audited method (member 2) "
           "against models that never saw it, each sample with its own densities. The strongest per-sample audit of "
           "unlearning, and the dearest. With few models the bandwidth is pooled over samples (a choice of ours); "
           "bandwidth 1 and clip 1e-6 are the authors'. Their efficacy score needs outputs of trained models as well "
           "and is not computed.",
    .needs = LT_MIA_NEED_UNLEARNED | LT_MIA_NEED_OUT | LT_MIA_RETAIN_OPTIONAL,
    .threshold = 0.0,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .score = score,
};
