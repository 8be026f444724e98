// ens_trs.c - TRS (Yang et al. 2021): input gradients of members shall not point the same way, and be short [TRS 1-4].
#include "ensemble_impl.h"

static lt_status build(lti_ensemble_loss *l, lt_graph *g, lt_val *per_sample)
{
    const int n = l->e->n;
    const float per_pair = l->cfg->trs_cos * 2 / (float)(n * (n - 1)), per_member = l->cfg->trs_smooth * 2 / (float)n;
    lt_val gradient[LT_ENSEMBLE_MAX];
    LT_TRY(lti_input_gradients(l, g, gradient));
    for (int i = 0; i < n; i++) {
        for (int j = 0; j < i; j++) {
            const lt_val cos = LTI_EMIT(g, abs, NULL, LTI_EMIT(g, row_cos, NULL, gradient[i], gradient[j]));
            *per_sample = lt_add(g, *per_sample, lt_scale(g, cos, per_pair));
        }
        const lt_val square = LTI_EMIT(g, row_dot, NULL, gradient[i], gradient[i]);
        *per_sample = lt_add(g, *per_sample, lt_scale(g, square, per_member));
    }
    return lt_graph_status(g);
}

const lti_ensemble_method lti_ensemble_trs = {
    .name = "trs", .title = "transferability-reduced smooth ensemble", .build = build};
