// msqe.c - mean squared quantization error as a penalty: the forward pass keeps the float weights [QAT 1.3, 1.4].
//
//     L = L_task + lambda(e) sum_l kappa_l sum_i min_c (w_i - a_{l,c})^2,  kappa_l = (2^n - 1) / N_l
// On a chip whose maps are known the minimum runs over what the weight can reach there [QAT 3.3, 4.2].
#include "quant/quant_impl.h"

#include <math.h>

void lti_msqe_stiffness(const lt_quant *q, const lti_grid *g, int64_t n, double *kappa, double *curvature)
{
    const double ratio = (double)(g->n_levels - 1) / (double)n;
    const bool root = q->cfg.grad_scale && q->at.epoch > (double)q->cfg.ramp_from * q->at.n_epochs;
    *kappa = root ? sqrt(ratio) : ratio;
    *curvature = 1;
}

// No faults, equal steps: what most weights of most runs are.
static double penalize_uniform(const lti_qpiece *p, float coef)
{
    const lti_grid *g = p->g;
    const float step = g->step, zero = g->zero;
    const bool learns = p->q->n_own == 1;
    double square = 0, slope = 0, bend = 0;
    for (int64_t i = 0; i < p->n; i++) {
        const float c = (float)lti_uniform_code(p->w[i], step, zero, g->n_levels) - zero, d = p->w[i] - step * c;
        p->grad[i] += coef * d;
        square += (double)d * (double)d;
        slope += (double)d * (double)c;
        bend += (double)c * (double)c;
    }
    if (learns) {
        p->own[0] -= (double)coef * slope;
        *p->bend = fabs((double)coef) * bend;
    }
    return square;
}

// d value / d s = -2 sum d (c - z); d / d R_b = -2 sum d beta_b(c), d / d R_n = 2 sum d; `coef` holds the 2 lambda
// kappa.
static void add_own(const lti_qpiece *p, double coef, const double *by_code, const int64_t *count)
{
    const lti_grid *g = p->g;
    for (int c = 0; c < g->n_levels; c++) {
        const double v = (double)c - (double)g->zero;
        *p->bend += fabs(coef) * (double)count[c] * (p->q->n_own == 1 ? v * v : 1 + __builtin_popcount((unsigned)c));
        if (p->q->n_own == 1) {
            p->own[0] -= coef * by_code[c] * ((double)c - (double)g->zero);
            continue;
        }
        for (int b = 0; b < g->bits && p->q->n_own == g->bits + 1; b++)
            p->own[b] -= (c >> b & 1) ? coef * by_code[c] : 0;
        if (p->q->n_own == g->bits + 1)
            p->own[g->bits] += coef * by_code[c];
    }
}

double lti_msqe_penalize(const lti_qpiece *p, float coef)
{
    const lti_maps *maps = lti_known_maps(p->q);
    const lti_grid *g = p->g;
    if (!maps && g->kind != LTI_GRID_MULTIPLIERS && p->q->n_own <= 1)
        return penalize_uniform(p, coef);
    double by_code[LTI_LEVELS] = {0}, square = 0; // sums of d
    int64_t count[LTI_LEVELS] = {0};
    for (int64_t i = 0; i < p->n; i++) {
        float v = 0;
        const int c = lti_q_nearest(p->q, maps, p->t, g, p->i + i, p->w[i], &v);
        const float d = p->w[i] - v;
        p->grad[i] += coef * d;
        by_code[c] += (double)d;
        count[c]++;
        square += (double)d * (double)d;
    }
    if (p->q->n_own > 0)
        add_own(p, (double)coef, by_code, count);
    return square;
}

int lti_own_one(int bits)
{
    (void)bits;
    return 1;
}

int lti_own_gains(int bits)
{
    return bits + 1;
}

const lti_quantizer lti_quantizer_msqe = {
    .info = {.name = "msqe",
             .title = "Squared distance to the nearest level as a penalty, fixed step",
             .cite = "biswas2025",
             .doc = "The forward pass keeps float weights; a penalty pulls each to its nearest level (on a chip: the "
                    "nearest one it can have there), ramped up over training, with snaps in between."},
    .flags = LTI_Q_PENALTY,
    .grid = LTI_GRID_MIDRISE,
    .penalize = lti_msqe_penalize,
    .stiffness = lti_msqe_stiffness};
