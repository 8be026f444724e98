// msqe.c - mean squared quantization error as a penalty: the forward pass keeps the float weights [QAT 1.3, 1.4].
//
//     L = L_task + lambda(e) sum_l kappa_l sum_i min_c (w_i - a_{l,c})^2,  kappa_l = (2^n - 1) / N_l
// On a chip whose maps are known the minimum runs over what the weight can reach on them [QAT 3.3, 4.2].
#include "quant/quant_impl.h"

#include <math.h>

void lti_msqe_stiffness(const lt_quant *q, const lti_grid *g, int64_t n, double *kappa, double *curvature)
{
    const double ratio = (double)(g->n_levels - 1) / (double)n;
    const bool root = q->cfg.grad_scale && q->at.epoch > (double)q->cfg.ramp_from * q->at.n_epochs;
    *kappa = root ? sqrt(ratio) : ratio;
    *curvature = 1;
}

#if defined(__x86_64__) && defined(__GNUC__) && defined(__linux__)
#define EACH_ISA __attribute__((target_clones("avx512f", "avx2", "default"))) // no contraction: the same bits
#else
#define EACH_ISA
#endif

// Sums of d^2, d (c - z) and (c - z)^2 over a piece, in lanes of a fixed number, so that vectors of any width add
// alike.
EACH_ISA static void sum_uniform(const float *restrict w, float *restrict grad, int64_t n, const float *grid,
                                 double sums[3])
{
    enum { LANES = 8 };
    const float step = grid[0], zero = grid[1], top = grid[2], coef = grid[3];
    double lane[3][LANES] = {{0}};
    for (int64_t i = 0; i < n; i += LANES) {
        const int width = n - i < LANES ? (int)(n - i) : LANES;
        float d[LANES] = {0}, v[LANES] = {0};
        for (int j = 0; j < width; j++) {
            float u = w[i + j] / step + zero - 0.5f;
            u = u > 0 ? u : 0;
            u = u < top ? u : top;
            const int c = (int)u;
            v[j] = (float)(c + ((float)c < u)) - zero; // ceil: ties go to the lower code
            d[j] = w[i + j] - step * v[j];
            grad[i + j] += coef * d[j];
        }
        for (int j = 0; j < LANES; j++) {
            lane[0][j] += (double)d[j] * (double)d[j];
            lane[1][j] += (double)d[j] * (double)v[j];
            lane[2][j] += (double)v[j] * (double)v[j];
        }
    }
    for (int k = 0; k < 3; k++)
        for (int j = 0; j < LANES; j++)
            sums[k] += lane[k][j];
}

// No faults, equal steps: what most weights of most runs are.
static double penalize_uniform(const lti_qpiece *p, float coef)
{
    const lti_grid *g = p->g;
    double sums[3] = {0};
    sum_uniform(p->w, p->grad, p->n, (const float[]){g->step, g->zero, (float)(g->n_levels - 1), coef}, sums);
    if (p->q->n_own == 1) {
        p->own[0] -= (double)coef * sums[1];
        *p->bend = fabs((double)coef) * sums[2];
    }
    return sums[0];
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
                    "nearest one it can have on that chip), ramped up over training, with snaps in between."},
    .flags = LTI_Q_PENALTY,
    .grid = LTI_GRID_MIDRISE,
    .penalize = lti_msqe_penalize,
    .stiffness = lti_msqe_stiffness};
