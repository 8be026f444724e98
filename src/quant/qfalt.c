// qfalt.c - the predecessor's penalty: -lambda sum_i sum_c v_{i,c} exp(-(w_i - a_c)^2 / sigma^2) over all levels that
// weight i can have, not normalised per layer; sigma narrows to a half, snaps reset the optimizer [QAT 1.10].
//
// Deviation: [Q] anneals over 50 of its 200 to 400 epochs with lambda from 1e-10 to 1e-6 and weights limited to 0.1;
// here sigma falls linearly over the training and the limits are the outer levels of a grid that fits the float
// weights.
#include "quant/quant_impl.h"

#include <math.h>

static void stiffness(const lt_quant *q, const lti_grid *g, int64_t n, double *kappa, double *curvature)
{
    lti_gauss_stiffness(q, g, n, kappa, curvature);
    *kappa = 1;
}

static bool can_have(const lti_maps *maps, const lti_qtensor *t, int64_t i, int code)
{
    if (!maps || maps->eps || !t->faulty)
        return true;
    return lti_maps_reachable(maps, t->first + i) >> code & 1;
}

static double penalize(const lti_qpiece *p, float coef)
{
    const lti_maps *maps = lti_known_maps(p->q);
    const lti_grid *g = p->g;
    const double sigma = (double)g->step0 * (double)(p->q->sigma > 0 ? p->q->sigma : 1), s2 = sigma * sigma;
    double sum = 0;
    for (int64_t i = 0; i < p->n; i++) {
        double pull = 0;
        for (int c = 0; c < g->n_levels; c++) {
            const double d = (double)p->w[i] - (double)g->level[c];
            if (!can_have(maps, p->t, p->i + i, c) || d * d > 30 * s2)
                continue;
            const double e = exp(-d * d / s2);
            pull += d / s2 * e;
            sum -= e;
        }
        p->grad[i] += (float)((double)coef * pull);
    }
    return sum;
}

const lti_quantizer lti_quantizer_qfalt = {
    .info = {.name = "qfalt",
             .title = "The predecessor: wells around all levels of a weight, narrowing",
             .cite = "biswas2024",
             .doc = "Wells around every level that a weight can have on its chip; snaps reset the optimizer."},
    .flags = LTI_Q_PENALTY | LTI_Q_CLAMP | LTI_Q_SNAP_RESETS,
    .grid = LTI_GRID_MIDRISE,
    .penalize = penalize,
    .stiffness = stiffness};
