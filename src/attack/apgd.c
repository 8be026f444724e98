// apgd.c - projected gradient ascent that chooses its own step sizes. [ATT 13-16; Croce and Hein 2020, algorithm 1]
//
// Momentum between the projected step and the last move; at checkpoints that come closer and closer the step is halved
// and the search goes back to the best point, when too few steps rose (less than 0.75 of them) or neither the step nor
// the best loss has changed since the last checkpoint. The gradient at the last point is never made, nor one that a
// return to the best point would replace.
#include "attack/apgd.h"
#include <math.h>
#include <string.h>

enum { BEST_X, BEST_G, LAST_X, GRADIENT, RANDOM_G }; // slot.work

static void copy_pixels(const lti_slot *s, float *to, const float *from)
{
    memcpy(to, from, (size_t)s->n * sizeof *to);
}

static int32_t percent_of(int32_t steps, int32_t percent)
{
    const int32_t n = (int32_t)((int64_t)steps * percent / 100);
    return n > 1 ? n : 1;
}

// On the sphere: the largest change is eps (linf), or the length (l2). [ATT 13]
static void start_on_sphere(lti_slot *s)
{
    float *u = s->work[RANDOM_G];
    if (s->norm == LT_NORM_LINF)
        for (int64_t j = 0; j < s->n; j++)
            u[j] = 2 * lt_rng_uniform(&s->rng) - 1;
    else
        lti_random_direction(s, u);
    const double length = lti_distance(s->norm, u, NULL, s->n), scale = length > 0 ? s->eps / length : 0;
    for (int64_t j = 0; j < s->n; j++)
        s->x[j] = (float)((double)s->x0[j] + scale * (double)u[j]);
    lti_slot_project(s, s->x);
}

lti_next lti_apgd_start_run(lti_slot *s, lti_apgd *a)
{
    *a = (lti_apgd){.eta = 2 * s->eps, .halved = true, .stop_at_success = a->stop_at_success};
    a->window = percent_of(s->steps, 22);
    a->least_window = percent_of(s->steps, 6);
    a->shrink = percent_of(s->steps, 3);
    s->step = 0;
    start_on_sphere(s);
    copy_pixels(s, s->work[LAST_X], s->x);
    return LTI_EVALUATE;
}

// xn = P(x + a (zt - x) + (1 - a)(x - x_last)), zt = P(x + eta dir(g)). [ATT 14]
static lti_next apply_step(lti_slot *s, lti_apgd *a)
{
    const float *g = s->work[GRADIENT];
    float *z = s->work[RANDOM_G], *last = s->work[LAST_X];
    const double length = s->norm == LT_NORM_L2 ? lti_distance(LT_NORM_L2, g, NULL, s->n) : 1,
                 scale = length > 0 ? a->eta / length : 0, blend = s->step == 0 ? 1 : 0.75;
    for (int64_t j = 0; j < s->n; j++) {
        const double dir = s->norm == LT_NORM_L2 ? (double)g[j] : (g[j] > 0) - (g[j] < 0);
        z[j] = (float)((double)s->x[j] + scale * dir);
    }
    lti_slot_project(s, z);
    for (int64_t j = 0; j < s->n; j++) {
        const double x = (double)s->x[j];
        z[j] = (float)(x + blend * ((double)z[j] - x) + (1 - blend) * (x - (double)last[j]));
    }
    lti_slot_project(s, z);
    copy_pixels(s, last, s->x);
    copy_pixels(s, s->x, z);
    s->step++;
    return LTI_EVALUATE;
}

// A checkpoint: true when the step is halved. [ATT 15]
static bool check_progress(lti_apgd *a)
{
    const bool half = a->n_up <= 0.75 * a->window || (!a->halved && a->best <= a->check);
    a->halved = half;
    a->check = a->best;
    a->n_up = a->count = 0;
    a->window = a->window - a->shrink > a->least_window ? a->window - a->shrink : a->least_window;
    a->eta *= half ? 0.5 : 1;
    return half;
}

lti_next lti_apgd_take_logits(lti_slot *s, lti_apgd *a, int32_t loss)
{
    const double f = lti_slot_loss(s, loss);
    if (lti_slot_record(s, f) || (a->stop_at_success && lti_slot_success(s)))
        return LTI_STOP;
    if (s->step == 0) {
        a->best = a->check = f;
        a->last = s->spec->parity ? 0 : f; // public code compares the first loss with 0
        a->improved = true;
        copy_pixels(s, s->work[BEST_X], s->x);
        return s->steps > 0 ? LTI_GRADIENT : LTI_STOP;
    }
    a->n_up += f > a->last;
    a->last = f;
    a->improved = f > a->best;
    if (a->improved) {
        a->best = f;
        copy_pixels(s, s->work[BEST_X], s->x);
    }
    if (s->step >= s->steps)
        return LTI_STOP;
    if (++a->count == a->window && check_progress(a) && !a->improved) {
        copy_pixels(s, s->x, s->work[BEST_X]); // LAST_X stays the point before the last step
        copy_pixels(s, s->work[GRADIENT], s->work[BEST_G]);
        return apply_step(s, a);
    }
    return LTI_GRADIENT;
}

lti_next lti_apgd_take_gradient(lti_slot *s, lti_apgd *a)
{
    copy_pixels(s, s->work[GRADIENT], lti_slot_gradient(s, RANDOM_G));
    if (a->improved)
        copy_pixels(s, s->work[BEST_G], s->work[GRADIENT]);
    return apply_step(s, a);
}

lti_next lti_apgd_begin(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_start_run(s, s->state);
}

lti_next lti_apgd_on_logits(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_take_logits(s, s->state, lti_slot_own_loss(s, *(const int32_t *)s->form));
}

lti_next lti_apgd_on_gradient(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_apgd_take_gradient(s, s->state);
}
