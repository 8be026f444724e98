// base.c - BASE: the loss of a sample against its mean likelihood under the reference models. [BASE 1]
// docs/methods/base.md
#include "audit/mia_impl.h"
#include <math.h>

static const lt_option opts[] = {LTI_BASE_ROWS, LT_OPT_END};

// log p_y at a temperature.
static double log_likelihood(const float *z, int k, int64_t y, double temperature)
{
    double top = -INFINITY, sum = 0;
    for (int j = 0; j < k; j++)
        top = fmax(top, (double)z[j] / temperature);
    for (int j = 0; j < k; j++)
        sum += exp((double)z[j] / temperature - top);
    return (double)z[y] / temperature - top - log(sum);
}

lt_status lti_base_score(const lt_mia_in *in, const lti_base_cfg *cfg, bool offline, double *score)
{
    const lt_references *r = in->refs;
    const double factor = offline ? cfg->factor : 1;
    for (int64_t i = 0; i < r->n; i++) {
        double top = -INFINITY, sum = 0, n = 0;
        for (int pass = 0; pass < 2; pass++)
            for (int64_t m = 0; m < r->m; m++) {
                const int member = r->member[m * r->n + i];
                if (member == LT_MEMBER_UNLEARNED || (offline && member != LT_MEMBER_OUT))
                    continue;
                const double l =
                    log_likelihood(r->logits + (m * r->n + i) * r->k, r->k, in->target->label[i], cfg->temperature);
                if (pass == 0) {
                    top = fmax(top, l);
                    n++;
                } else {
                    sum += exp(l - top);
                }
            }
        const double own = log_likelihood(in->target->logits + i * r->k, r->k, in->target->label[i], cfg->temperature);
        score[i] = n > 0 ? own - factor * (top + log(sum) - log(n)) : (double)NAN;
    }
    return LT_OK;
}

static lt_status score(const lt_mia_in *in, const void *cfg, double *out)
{
    return lti_base_score(in, cfg, false, out);
}

const lt_mia lti_mia_base = {
    .name = "base",
    .title = "BASE, online",
    .cite = "base2025",
    .doc = "log p_y at temperature 2, minus the log of its mean over the reference models. Equivalent to RMIA in the "
           "limit, and strong with few reference models.",
    .needs = LT_MIA_NEED_OUT | LT_MIA_NEED_IN,
    .threshold = NAN,
    .cfg_size = sizeof(lti_base_cfg),
    .opts = opts,
    .score = score,
};
