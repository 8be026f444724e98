// ens_gal.c - GAL (Kariyappa & Qureshi 2019): log of the sum of exp(cos) over the pairs' input gradients [GAL 1-2].
#include "ensemble_impl.h"

static lt_status build(lti_ensemble_loss *l, lt_graph *g, lt_val *per_sample)
{
    lt_val gradient[LT_ENSEMBLE_MAX], sum = LT_NONE;
    LT_TRY(lti_input_gradients(l, g, gradient));
    for (int i = 0; i < l->e->n; i++)
        for (int j = 0; j < i; j++) {
            const lt_val cos = LTI_EMIT(g, row_cos, NULL, gradient[i], gradient[j]);
            sum = sum == LT_NONE ? cos : LTI_EMIT(g, log_add_exp, NULL, sum, cos);
        }
    *per_sample = lt_add(g, *per_sample, lt_scale(g, sum, l->cfg->gal_weight));
    return lt_graph_status(g);
}

const lti_ensemble_method lti_ensemble_gal = {.name = "gal", .title = "gradient alignment loss", .build = build};
