// rand_bet.c - random bit error training [QAT 6]: every step adds the losses of the quantized weights and of the same
// weights with bits flipped at the fault rate, a new draw each step; weights are clipped to the grid. For maps that
// are not known at training time.
#include "quant/quant_impl.h"

#include <math.h>

// Bits until the next flip: geometric with rate p.
static int64_t next_flip(lt_rng *rng, double p)
{
    const double u = 1 - (double)lt_rng_uniform(rng);
    const double skip = floor(log(u) / log1p(-p));
    return skip < 1e15 ? (int64_t)skip : (int64_t)1e15;
}

static void forward(const lti_qpiece *p)
{
    const lti_grid *g = p->g;
    const double rate = (double)p->q->cfg.device.fault_rate;
    const lt_encoding e = (lt_encoding)p->q->cfg.device.encoding;
    for (int64_t i = 0; i < p->n; i++)
        p->used[i] = g->level[lti_grid_nearest(g, p->w[i])];
    if (p->q->at.pass == 0 || !(rate > 0) || !p->t->faulty)
        return;
    const uint32_t step = (uint32_t)(p->q->at.epoch * p->q->at.n_steps + p->q->at.step);
    lt_rng rng = lt_rng_at(p->q->seed, LT_STREAM_QUANT, step, (uint64_t)p->t->id << 40 | (uint64_t)p->i);
    const int64_t cells = lt_encoding_n_cells(e, g->bits), n = p->n * cells;
    for (int64_t at = rate < 1 ? next_flip(&rng, rate) : 0; at < n; at += 1 + (rate < 1 ? next_flip(&rng, rate) : 0)) {
        // A second flip in one word starts from the code as it is by then.
        const int64_t i = at / cells;
        const int code = lti_grid_nearest(g, p->used[i]);
        p->used[i] = g->level[lt_encoding_code(e, g->bits, lt_encoding_word(e, g->bits, code) ^ 1u << at % cells)];
    }
}

const lti_quantizer lti_quantizer_rand_bet = {
    .info = {.name = "rand-bet",
             .title = "Random bit error training",
             .cite = "stutz2021",
             .doc = "Clean and perturbed loss at every step, with new bit errors at --fault-rate; for unknown chips."},
    .flags = LTI_Q_FORWARD | LTI_Q_CLAMP,
    .grid = LTI_GRID_MIDRISE,
    .forward = forward,
    .backward = lti_ste_backward,
    .n_passes = 2,
    .force_mapping = 1 + LT_MAP_BITMAP};
