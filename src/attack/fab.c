// fab.c - fast adaptive boundary attack: steps onto the linearised decision boundary, biased towards the image. [ATT
// 18-19; Croce and Hein 2020b, algorithm 1]
//
// eta 1.05 overshoots the boundary, alpha <= 0.1 pulls towards the image, beta 0.9 goes back after a success. The last
// forward pass of a step serves the gradient of the next one.
#include "attack/fab.h"
#include "attack/hyperplane.h"
#include <math.h>
#include <string.h>

#define ETA 1.05
#define BETA 0.9
#define ALPHA_MAX 0.1
enum { BEST_W, NOISE }; // slot.work

static float clamp01(double v)
{
    return v < 0 ? 0 : v > 1 ? 1 : (float)v;
}

// Restarts begin at half the smaller of the radius and the best distance; in public code always at half the radius.
lti_next lti_fab_start_run(lti_slot *s, lti_fab *f)
{
    (void)f;
    memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    if (s->restart == 0)
        return LTI_EVALUATE;
    float *t = s->work[NOISE];
    for (int64_t j = 0; j < s->n; j++)
        t[j] = s->norm == LT_NORM_L2 ? (float)lt_rng_normal(&s->rng) : 2 * lt_rng_uniform(&s->rng) - 1;
    const double length = lti_distance(s->norm, t, NULL, s->n),
                 known = s->spec->parity ? (double)INFINITY : s->best_distance,
                 radius = fmin(fmin(s->eps, known), s->norm == LT_NORM_L2 ? sqrt((double)s->n) : 1);
    for (int64_t j = 0; j < s->n && length > 0; j++)
        s->x[j] = clamp01((double)s->x0[j] + 0.5 * radius * (double)t[j] / length);
    return LTI_EVALUATE;
}

// Gradient of z_k - z_y, the same for every draw of noise: no loss to be evaluated again.
static lti_next ask_class(lti_slot *s, lti_fab *f, int32_t k)
{
    memset(s->dz, 0, (size_t)s->n_classes * sizeof *s->dz);
    s->dz[k] = 1;
    s->dz[s->label] = -1;
    s->loss = -1;
    f->class = k;
    return LTI_GRADIENT;
}

// Books a success at x; within a radius only examples inside it count, in every mode.
static bool record_success(lti_slot *s)
{
    if (s->mode == LTI_MODE_MIN_NORM)
        return lti_slot_record(s, 0);
    return lti_distance(s->norm, s->x, s->x0, s->n) <= s->eps && lti_slot_record(s, 0);
}

lti_next lti_fab_take_logits(lti_slot *s, lti_fab *f, bool to_target)
{
    if (!f->pulled && s->step > 0 && lti_slot_success(s)) {
        if (record_success(s))
            return LTI_STOP;
        if (s->step >= s->steps)
            return LTI_STOP;
        for (int64_t j = 0; j < s->n; j++)
            s->x[j] = (float)((double)s->x0[j] + BETA * ((double)s->x[j] - (double)s->x0[j]));
        f->pulled = true;
        return LTI_EVALUATE;
    }
    f->pulled = false;
    if (s->step >= s->steps)
        return LTI_STOP;
    f->ratio = INFINITY;
    return ask_class(s, f, to_target ? s->target : s->label == 0 ? 1 : 0);
}

static double dual_norm(const lti_slot *s, const float *w)
{
    if (s->norm == LT_NORM_L2)
        return lti_distance(LT_NORM_L2, w, NULL, s->n);
    double sum = 0;
    for (int64_t j = 0; j < s->n; j++)
        sum += fabs((double)w[j]);
    return sum;
}

// x <- clamp((1 - a)(x + eta d1) + a (x0 + eta d2)), d1 and d2 from x and from the image onto <w, .> = b. [ATT 18]
static lti_next apply_step(lti_slot *s, const lti_fab *f)
{
    const float *w = s->work[BEST_W];
    double b = -f->df;
    for (int64_t j = 0; j < s->n; j++)
        b += (double)w[j] * (double)s->x[j];
    const lti_hyperplane h1 = lti_hyperplane_solve(s->norm, s->x, w, b, s->n),
                         h2 = lti_hyperplane_solve(s->norm, s->x0, w, b, s->n);
    const double a1 = fmax(h1.length, 1e-8), a2 = fmax(h2.length, 1e-8), a = fmin(a1 / (a1 + a2), ALPHA_MAX);
    for (int64_t j = 0; j < s->n; j++) {
        const double from_x = (double)s->x[j] + ETA * lti_hyperplane_step(&h1, s->x[j], w[j]),
                     from_x0 = (double)s->x0[j] + ETA * lti_hyperplane_step(&h2, s->x0[j], w[j]);
        s->x[j] = clamp01((1 - a) * from_x + a * from_x0);
    }
    s->step++;
    return LTI_EVALUATE;
}

lti_next lti_fab_take_gradient(lti_slot *s, lti_fab *f, bool to_target)
{
    const double df = (double)s->z[f->class] - (double)s->z[s->label], ratio = fabs(df) / (dual_norm(s, s->dx) + 1e-12);
    s->n_gradients++;
    s->n_zero += s->dx_max <= 0;
    s->zero_at_start = s->zero_at_start || (s->dx_max <= 0 && s->step == 0);
    if (ratio < f->ratio) {
        f->ratio = ratio;
        f->df = df;
        memcpy(s->work[BEST_W], s->dx, (size_t)s->n * sizeof *s->dx);
    }
    const int32_t next = f->class + 1 + (f->class + 1 == s->label);
    if (!to_target && next < s->n_classes)
        return ask_class(s, f, next);
    return apply_step(s, f);
}

lti_next lti_fab_begin(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_fab_start_run(s, s->state);
}

lti_next lti_fab_on_logits(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_fab_take_logits(s, s->state, s->target >= 0);
}

lti_next lti_fab_on_gradient(lti_slot *s, const void *cfg)
{
    (void)cfg;
    return lti_fab_take_gradient(s, s->state, s->target >= 0);
}

static const struct lti_attack_ops ops = {.number = 8,
                                          .flags =
                                              LTI_ATTACK_MANY_GRADIENTS | LTI_ATTACK_OTHER_STARTS | LTI_ATTACK_EITHER,
                                          .steps = 100,
                                          LTI_FAB_FUNCTIONS};

const lt_attack lti_attack_fab = {
    .name = "fab",
    .title = "fast adaptive boundary attack, all classes at every step",
    .cite = "fab",
    .doc =
        "Projects onto the nearest linearised decision boundary inside the pixel box, biased towards the image; costs "
        "a gradient for every other class and step. fab-t aims at one class per run instead.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
