// moments.c - one pass over the reference models: count, mean and squared deviations of a signal per sample and kind of
// membership.
//
// Blocks of rows go to threads; within a block the models are read one after another, so the logits are read in order
// and the sums of a sample never depend on the number of threads.
#include "audit/audit_impl.h"

enum { BLOCK = 256 };

static void add(lti_moments *w, double x)
{
    double delta = x - w->mean;
    w->n++;
    w->mean += delta / (double)w->n;
    w->m2 += delta * (x - w->mean);
}

static void add_block(const lt_mia_in *in, lti_signal_fn signal, const void *cfg, int64_t from, int64_t to,
                      lti_moments *moments)
{
    const lt_references *refs = in->refs;
    for (int64_t r = 0; r < refs->m; r++)
        for (int64_t i = from; i < to; i++) {
            const int64_t at = r * refs->n + i;
            add(&moments[3 * i + refs->member[at]],
                signal(refs->logits + at * refs->k, refs->k, in->target->label[i], cfg));
        }
}

lti_moments *lti_reference_moments(const lt_mia_in *in, lti_signal_fn signal, const void *cfg)
{
    const int64_t n = in->refs->n, n_blocks = (n + BLOCK - 1) / BLOCK;
    lti_moments *moments = lti_calloc(3 * (size_t)n, sizeof *moments);
    if (!moments) {
        (void)LTI_NOMEM("reference signals");
        return NULL;
    }
#pragma omp parallel for schedule(dynamic) num_threads(in->n_threads > 1 ? in->n_threads : 1)
    for (int64_t b = 0; b < n_blocks; b++)
        add_block(in, signal, cfg, b * BLOCK, (b + 1) * BLOCK < n ? (b + 1) * BLOCK : n, moments);
    return moments;
}

double lti_phi(const float *logits, int k, int64_t label, const void *unused)
{
    (void)unused;
    return lti_feature(logits, k, label, LT_FEAT_PHI);
}
