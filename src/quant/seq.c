// seq.c - LSQ on the midrise grid of msqe, as ParetoQ's two-bit quantizer [QAT 6, SEQ]: v = w / s, w_q = s (c - z);
// dw passes where |w| <= 0.99 a, a = 2^(n-1) s; ds = sum g ((c - z) - v) inside, +-z outside, over sqrt(N z).
#include "quant/quant_impl.h"

#include <math.h>

static float first_step(const float *w, int64_t n, int bits)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++)
        most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
    const float step = most / (float)(1 << (bits - 1));
    return step > 1e-12f ? step : 1e-3f;
}

static void backward(const lti_qpiece *p)
{
    const lti_grid *g = p->g;
    const int middle = g->n_levels / 2;
    const double z = (double)g->zero, a = (double)middle * (double)g->step;
    const double scale = 1 / sqrt((double)p->t->per * z);
    double sum = 0;
    for (int64_t i = 0; i < p->n; i++) {
        const double w = (double)p->w[i], up = (double)p->grad[i];
        const bool inside = fabs(w) <= 0.99 * a;
        sum += up * (inside ? ((double)p->value[i] - w) / (double)g->step : w < 0 ? -z : z);
        p->grad[i] = inside ? p->grad[i] : 0;
    }
    p->own[0] += scale * sum;
}

const lti_quantizer lti_quantizer_seq = {
    .info = {.name = "seq",
             .title = "Learned step on the midrise grid (straight-through twin of msqe)",
             .cite = "paretoq2025",
             .doc = "Straight-through training on msqe's own grid, without a zero, with a learned step."},
    .flags = LTI_Q_FORWARD,
    .grid = LTI_GRID_MIDRISE,
    .n_own = lti_own_one,
    .own_lr = 0.01f,
    .first_step = first_step,
    .forward = lti_ste_forward,
    .backward = backward};
