// ens_adp.c - ADP (Pang et al. 2019): entropy of the mean prediction, and diversity of the others' probabilities [ADP
// 1-3].
#include "ensemble_impl.h"

static lt_status build(lti_ensemble_loss *l, lt_graph *g, lt_val *per_sample)
{
    lt_val in[LT_NODE_MAX_IN] = {l->labels};
    for (int i = 0; i < l->e->n; i++)
        in[1 + i] = l->e->logits[i];
    const lt_attr attr = {.alpha = l->cfg->adp_entropy, .momentum = l->cfg->adp_det};
    *per_sample = lt_add(g, *per_sample, lti_emit(g, &lt_op_adp, &attr, l->e->n + 1, in, NULL));
    return lt_graph_status(g);
}

const lti_ensemble_method lti_ensemble_adp = {.name = "adp", .title = "adaptive diversity promoting", .build = build};
