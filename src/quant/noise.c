// noise.c - injected-noise training: quantized weights with a new draw of the spread of model 4.1 at every step [QAT
// 6]. A weight's cells are independent and Gaussian, so their sum is drawn at once: variance sigma^2 sum_b beta_b(c)
// R_b^2.
#include "quant/quant_impl.h"

#include <math.h>

static void forward(const lti_qpiece *p)
{
    const lti_grid *g = p->g;
    const double sigma = (double)p->q->cfg.device.variability;
    const lt_encoding e = (lt_encoding)p->q->cfg.device.encoding;
    const int n_weighted = e == LT_ENC_OFFSET || e == LT_ENC_TWOS ? g->bits : g->bits - 1;
    const uint32_t step = (uint32_t)(p->q->at.epoch * p->q->at.n_steps + p->q->at.step);
    lt_rng rng = lt_rng_at(p->q->seed, LT_STREAM_QUANT, step, (uint64_t)p->t->id << 40 | (uint64_t)p->i);
    for (int64_t i = 0; i < p->n; i++) {
        const int code = lti_grid_nearest(g, p->w[i]);
        const uint32_t word = lt_encoding_word(e, g->bits, code);
        double variance = 0;
        for (int b = 0; b < n_weighted; b++) {
            const int cells = (int)(word >> b & 1) + (int)(e == LT_ENC_DIFFERENTIAL && word >> (n_weighted + b) & 1);
            variance += cells * (double)g->gain[b] * (double)g->gain[b];
        }
        p->used[i] = g->level[code] + (float)(sigma * sqrt(variance) * lt_rng_normal(&rng));
    }
}

const lti_quantizer lti_quantizer_noise = {
    .info = {.name = "noise",
             .title = "Injected-noise training",
             .cite = "joshi2020",
             .doc =
                 "Every step redraws the variability of the cells at --variability; for chips that were not measured."},
    .flags = LTI_Q_FORWARD,
    .grid = LTI_GRID_MIDRISE,
    .forward = forward,
    .backward = lti_ste_backward,
    .force_mapping = 1 + LT_MAP_BITMAP};
