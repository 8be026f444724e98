// osc_reg.c - the penalty of msqe with lambda < 0, then post-training quantization [QAT 6, R]: weights are pushed away
// from levels, towards midpoints, where rounding either way costs the same. A reconstruction: the exact form of the
// paper was not available. The nearest-level form is bounded by half a step, the one of the ends too.
#include "quant/quant_impl.h"
#include <math.h>

// Beyond half a step from the nearest level a weight is outside of the range of the levels: pushed on, it would never
// come back. There the penalty is constant.
static double penalize_within_range(const lti_qpiece *p, float coef)
{
    const lti_maps *maps = lti_known_maps(p->q);
    const float most = p->g->step / 2;
    double square = 0;
    for (int64_t i = 0; i < p->n; i++) {
        float v = 0;
        lti_q_nearest(p->q, maps, p->t, p->g, p->i + i, p->w[i], &v);
        const float d = p->w[i] - v;
        p->grad[i] += fabsf(d) <= most ? coef * d : 0;
        square += fabsf(d) <= most ? (double)d * (double)d : (double)most * (double)most;
    }
    return square;
}

const lti_quantizer lti_quantizer_osc_reg = {
    .info = {.name = "osc-reg",
             .title = "Oscillation regularizer: away from the levels, then rounding (reconstruction)",
             .cite = "oscreg2025",
             .doc = "The penalty of msqe with a negative weight over float training; levels are fitted at the end."},
    .flags = LTI_Q_PENALTY | LTI_Q_NEVER_SNAPS | LTI_Q_NO_RAMP | LTI_Q_PTQ_AFTER,
    .grid = LTI_GRID_MIDRISE,
    .sign = -1,
    .penalize = penalize_within_range,
    .stiffness = lti_msqe_stiffness};
