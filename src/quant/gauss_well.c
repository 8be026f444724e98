// gauss_well.c - a Gaussian well around the nearest level: mean of 1 - exp(-d^2 / sigma^2), sigma the first step, and
// weights held inside the grid [QAT 1.3, 1.10].
#include "quant/quant_impl.h"

#include <math.h>

void lti_gauss_stiffness(const lt_quant *q, const lti_grid *g, int64_t n, double *kappa, double *curvature)
{
    const double sigma = (double)g->step0 * (double)(q->sigma > 0 ? q->sigma : 1);
    *kappa = 1 / (double)n;
    *curvature = 1 / (sigma * sigma);
}

// coef = 2 lambda kappa: the gradient is coef d / sigma^2 exp(-d^2 / sigma^2).
static double penalize(const lti_qpiece *p, float coef)
{
    const lti_maps *maps = lti_known_maps(p->q);
    const double sigma = (double)p->g->step0, s2 = sigma * sigma;
    double sum = 0;
    for (int64_t i = 0; i < p->n; i++) {
        float v = 0;
        lti_q_nearest(p->q, maps, p->t, p->g, p->i + i, p->w[i], &v);
        const double d = (double)p->w[i] - (double)v, e = exp(-d * d / s2);
        p->grad[i] += (float)((double)coef * d / s2 * e);
        sum += 1 - e;
    }
    return sum;
}

const lti_quantizer lti_quantizer_gauss_well = {
    .info = {.name = "gauss-well",
             .title = "Gaussian wells around the levels (legacy penalty)",
             .cite = "biswas2025",
             .doc = "The pull fades half-way between levels, which explores well and finishes badly."},
    .flags = LTI_Q_PENALTY | LTI_Q_CLAMP,
    .grid = LTI_GRID_MIDRISE,
    .penalize = penalize,
    .stiffness = lti_gauss_stiffness};
