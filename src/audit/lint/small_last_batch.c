// small_last_batch.c - a retrained model whose training ended every epoch with a batch of a few samples.
//
// Retraining takes the batch size of the original, but fewer samples. What remains for the last batch may be a handful,
// and with batch norm its step is mostly noise: such a model is worse than the original for a reason that has nothing
// to do with what was forgotten.
#include "audit/lint/lint_impl.h"
#include "lethe/train.h"

static lt_status check_small_last_batch(const lt_lint_in *in, lt_lint_out *out)
{
    for (int i = 0; i < in->n_retrained; i++) {
        const lt_lint_model *m = &in->retrained[i];
        const int64_t batch = m->identity.batch;
        int64_t n = 0;
        for (int64_t k = 0; m->signals && k < m->signals->n; k++)
            n += m->signals->group[k] == LT_GROUP_RETAIN;
        if (m->identity.has_batch_norm && lt_is_last_batch_small(n, batch))
            return lt_lint_say(
                out,
                "%s was trained in batches of %lld, and the last one of every epoch had %lld of %lld "
                "samples: with batch norm that costs accuracy; train the original with a batch size that "
                "leaves none or at least 16",
                m->name, (long long)batch, (long long)(n % batch), (long long)n);
    }
    return LT_OK;
}

const lt_lint_check lti_lint_small_last_batch = {
    .id = "small-last-batch",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A retrained model with batch norm ended every epoch of its training with a batch of a few samples.",
    .run = check_small_last_batch,
};
