// lsq.c - learned step size quantization on the usual grid with a zero [QAT 6]: w_q = s round(clip(w/s, -2^(n-1),
// 2^(n-1) - 1)); the step learns from the task, its gradient scaled by 1 / sqrt(N Q_p).
#include "quant/quant_impl.h"

#include <math.h>

static void backward(const lti_qpiece *p)
{
    const lti_grid *g = p->g;
    const double bottom = -(double)g->zero, top = (double)(g->n_levels - 1) - (double)g->zero;
    const double scale = 1 / sqrt((double)p->t->per * top);
    double sum = 0;
    for (int64_t i = 0; i < p->n; i++) {
        const double v = (double)p->w[i] / (double)g->step, up = (double)p->grad[i];
        const bool below = v <= bottom, above = v >= top;
        sum += up * (below ? bottom : above ? top : (double)p->value[i] / (double)g->step - v);
        p->grad[i] = below || above ? 0 : p->grad[i];
    }
    p->own[0] += scale * sum;
}

const lti_quantizer lti_quantizer_lsq = {
    .info = {.name = "lsq",
             .title = "Learned step size quantization",
             .cite = "esser2020",
             .doc = "Straight-through training on a grid with a zero whose step is learned from the task."},
    .flags = LTI_Q_FORWARD,
    .grid = LTI_GRID_MIDTREAD,
    .n_own = lti_own_one,
    .own_lr = 0.01f,
    .forward = lti_ste_forward,
    .backward = backward};
