// loss.c - the loss attack: samples with a small loss are members. [Yeom et al. 2018]
//
// The order is that of confidence and of phi, which are monotone functions of the loss.
#include "audit/mia_impl.h"
#include <math.h>

static const lt_option opts[] = {LT_OPT_END};

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    (void)cfg;
    lt_signals_feature(in->target, LT_FEAT_LOSS, -1, out);
    for (int64_t i = 0; i < in->target->n; i++)
        out[i] = -out[i];
    return LT_OK;
}

const lt_mia lti_mia_loss = {
    .name = "loss",
    .title = "Loss",
    .cite = "yeom2018",
    .doc = "Minus the cross-entropy of the sample. Needs no reference models.",
    .needs = 0,
    .threshold = NAN,
    .cfg_size = 0,
    .opts = opts,
    .score = score,
};
