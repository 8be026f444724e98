// ste.c - straight-through training: the forward pass uses quantized weights, the gradient goes to the float ones
// inside the grid and nowhere outside [QAT 6]. With a known map the quantized weight is what the chip makes of it.
#include "quant/quant_impl.h"

void lti_ste_forward(const lti_qpiece *p)
{
    const lti_maps *maps = lti_known_maps(p->q);
    for (int64_t i = 0; i < p->n; i++)
        lti_q_deploy(p->q, maps, p->t, p->g, p->i + i, lti_latent(p->q, p->g, p->w[i]), &p->used[i]);
}

void lti_ste_backward(const lti_qpiece *p)
{
    const float low = lti_grid_low(p->g), high = lti_grid_high(p->g);
    for (int64_t i = 0; i < p->n; i++)
        p->grad[i] = p->w[i] >= low && p->w[i] <= high ? p->grad[i] : 0;
}

const lti_quantizer lti_quantizer_ste = {
    .info = {.name = "ste",
             .title = "Straight-through estimator on a fixed grid",
             .cite = "ste2013",
             .doc = "Forward with rounded weights, gradient to the float weights inside the grid."},
    .flags = LTI_Q_FORWARD,
    .grid = LTI_GRID_MIDRISE,
    .forward = lti_ste_forward,
    .backward = lti_ste_backward};
