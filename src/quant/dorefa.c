// dorefa.c - DoReFa weights [QAT 6]: w_q = 2 q_n(tanh w / (2 max|tanh w|) + 1/2) - 1, which are the levels
// (c - z) 2 / (2^n - 1) of tanh w / max|tanh w|; the gradient passes straight through q_n and on through the tanh.
#include "quant/dorefa.h"

#include <math.h>

void lti_dorefa_prepare(lt_quant *q, const float *p)
{
#pragma omp parallel for schedule(dynamic)
    for (int j = 0; j < q->n_tensors; j++) {
        const lti_qtensor *t = &q->tensor[j];
        for (int k = 0; k < t->n_grids; k++) {
            const float *w = p + t->from + k * t->per;
            float most = 0;
            for (int64_t i = 0; i < t->per; i++)
                most = fabsf(w[i]) > most ? fabsf(w[i]) : most;
            q->grid[t->grid + k].scale = most > 0 ? tanhf(most) : 1.0f;
        }
    }
}

float lti_dorefa_latent(const lti_grid *g, float w)
{
    return g->scale > 0 ? tanhf(w) / g->scale : tanhf(w);
}

float lti_dorefa_step(const float *w, int64_t n, int bits)
{
    (void)w, (void)n;
    return 2.0f / (float)((1 << bits) - 1);
}

void lti_dorefa_backward(const lti_qpiece *p)
{
    for (int64_t i = 0; i < p->n; i++) {
        const float t = tanhf(p->w[i]);
        p->grad[i] *= (1 - t * t) / (p->g->scale > 0 ? p->g->scale : 1);
    }
}

const lti_quantizer lti_quantizer_dorefa = {
    .info = {.name = "dorefa",
             .title = "DoReFa-Net weights",
             .cite = "dorefa2016",
             .doc = "Weights squeezed by tanh into [-1, 1] and rounded; straight-through gradient."},
    .flags = LTI_Q_FORWARD,
    .grid = LTI_GRID_MIDRISE,
    .first_step = lti_dorefa_step,
    .forward = lti_ste_forward,
    .backward = lti_dorefa_backward,
    .prepare = lti_dorefa_prepare,
    .latent = lti_dorefa_latent};
