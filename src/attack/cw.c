// cw.c - Carlini and Wagner's L2 attack. [ATT 26; Carlini and Wagner 2017, section V]
//
// Minimises ||x' - x||^2 + c max(z_y - max_{j!=y} z_j + kappa, 0) over m with x' = (tanh(t + m) + 1) / 2, t = atanh((2x
// - 1)(1 - 1e-6)), by Adam; c by bisection, per sample. A run is given up when a tenth of its steps no longer lowers
// the loss.
#include "attack/engine.h"
#include <math.h>
#include <string.h>

struct cfg {
    double c, kappa, lr;
    int32_t search_steps;
};
static const lt_option opts[] = {
    LT_F64(struct cfg, c, 1e-3, 1e-12, 1e9, "", "first weight of the margin"),
    LT_F64(struct cfg, kappa, 0, 0, 1e6, "", "margin that an example must reach"),
    LT_F64(struct cfg, lr, 0.01, 1e-6, 10, "", "rate of Adam; images with pixels at 0 or 1 need 0.1 or many steps"),
    LT_I32(struct cfg, search_steps, 9, 1, 100, "", "values of the weight that are tried"),
    LT_OPT_END,
};

typedef struct cw {
    double c, lo, hi, checked; // weight and its bracket; loss at the last check
    int32_t search;
    bool success; // in this run
} cw;
enum { MODIFIER, FIRST, SECOND }; // slot.work: m, moments of Adam

static double start_of(float x)
{
    return atanh((2 * (double)x - 1) * (1 - 1e-6));
}

static void begin_search(lti_slot *s, cw *w)
{
    w->success = false;
    w->checked = INFINITY;
    s->step = 0;
    for (int i = MODIFIER; i <= SECOND; i++)
        memset(s->work[i], 0, (size_t)s->n * sizeof *s->work[i]);
    memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
}

static lti_next start_run(lti_slot *s, const void *cfg)
{
    const struct cfg *c = cfg;
    cw *w = s->state;
    *w = (cw){.c = c->c, .hi = 1e10};
    begin_search(s, w);
    return LTI_EVALUATE;
}

// The next weight, or the end. [ATT 26]
static lti_next next_search(lti_slot *s, cw *w, const struct cfg *c)
{
    if (w->success)
        w->hi = fmin(w->hi, w->c);
    else
        w->lo = fmax(w->lo, w->c);
    if (++w->search >= c->search_steps)
        return LTI_STOP;
    w->c = w->hi < 1e9 ? (w->lo + w->hi) / 2 : 10 * w->c;
    if (c->search_steps >= 10 && w->search == c->search_steps - 1)
        w->c = w->hi < 1e9 ? w->hi : w->c;
    begin_search(s, w);
    return LTI_EVALUATE;
}

// One step of Adam; g: gradient of the margin at x, or NULL where it does not count.
static lti_next apply_adam(lti_slot *s, cw *w, const struct cfg *c, const float *g)
{
    const double b1 = 0.9, b2 = 0.999, t = s->step + 1, fix1 = 1 - pow(b1, t), fix2 = 1 - pow(b2, t);
    for (int64_t j = 0; j < s->n; j++) {
        const double x = (double)s->x[j], to_x = 2 * x * (1 - x);
        const double grad = to_x * (2 * (x - (double)s->x0[j]) - (g ? w->c * (double)g[j] : 0));
        const double m = b1 * (double)s->work[FIRST][j] + (1 - b1) * grad,
                     v = b2 * (double)s->work[SECOND][j] + (1 - b2) * grad * grad;
        s->work[FIRST][j] = (float)m;
        s->work[SECOND][j] = (float)v;
        s->work[MODIFIER][j] -= (float)(c->lr * (m / fix1) / (sqrt(v / fix2) + 1e-8));
        const double to = (tanh(start_of(s->x0[j]) + (double)s->work[MODIFIER][j]) + 1) / 2;
        s->x[j] = to < 0 ? 0 : to > 1 ? 1 : (float)to;
    }
    s->step++;
    return LTI_EVALUATE;
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    const struct cfg *c = cfg;
    cw *w = s->state;
    const double margin = lti_slot_loss(s, s->target >= 0 ? LTI_LOSS_MARGIN_TARGET : LTI_LOSS_MARGIN),
                 hinge = fmax(c->kappa - margin, 0), distance = lti_distance(LT_NORM_L2, s->x, s->x0, s->n),
                 loss = distance * distance + w->c * hinge;
    if (margin >= c->kappa && lti_slot_success(s)) {
        w->success = true;
        (void)lti_slot_record(s, margin);
    }
    const int32_t tenth = s->steps / 10 > 0 ? s->steps / 10 : 1;
    bool stuck = false;
    if (s->step > 0 && s->step % tenth == 0) {
        stuck = loss > 0.9999 * w->checked;
        w->checked = loss;
    }
    if (stuck || s->step >= s->steps)
        return next_search(s, w, c);
    return hinge > 0 ? LTI_GRADIENT : apply_adam(s, w, c, NULL);
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    s->n_gradients++;
    s->n_zero += s->dx_max <= 0;
    return apply_adam(s, s->state, cfg, s->dx);
}

static const struct lti_attack_ops ops = {.number = 12,
                                          .flags = LTI_ATTACK_MIN_NORM | LTI_ATTACK_NO_LINF,
                                          .steps = 1000,
                                          .state_bytes = sizeof(cw),
                                          .start_run = start_run,
                                          .take_logits = take_logits,
                                          .take_gradient = take_gradient};

const lt_attack lti_attack_cw = {
    .name = "cw",
    .title = "Carlini and Wagner, L2",
    .cite = "carliniwagner",
    .doc = "Minimises the squared distance plus a weighted margin over a tanh parametrisation of the pixels with Adam; "
           "the "
           "weight is found by bisection, per sample. Slow; fmn, ddn and fab-t are as close for less.",
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .ops = &ops,
};
