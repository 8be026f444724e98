// polish.c - bisection of the segment between an image and its example: what attacks overshoot is given back. [ATT 29]
#include "attack/engine.h"

enum { HALVINGS = 16 };

typedef struct segment {
    double lo, hi; // right at lo, wrong at hi
} segment;

static lti_next try_middle(lti_slot *s, const segment *g)
{
    const double at = (g->lo + g->hi) / 2;
    for (int64_t j = 0; j < s->n; j++) {
        const double v = (double)s->x0[j] + at * ((double)s->known_x[j] - (double)s->x0[j]);
        s->x[j] = v < 0 ? 0 : v > 1 ? 1 : (float)v;
    }
    return LTI_EVALUATE;
}

static lti_next start_run(lti_slot *s, const void *cfg)
{
    segment *g = s->state;
    (void)cfg;
    g->hi = 1;
    return try_middle(s, g);
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    segment *g = s->state;
    (void)cfg;
    (void)lti_slot_record(s, 0);
    *(lti_slot_success(s) ? &g->hi : &g->lo) = (g->lo + g->hi) / 2;
    return ++s->step < HALVINGS ? try_middle(s, g) : LTI_STOP;
}

const struct lti_attack_ops lti_polish_ops = {.number = 16,
                                              .flags = LTI_ATTACK_MIN_NORM | LTI_ATTACK_FORWARD_ONLY,
                                              .steps = HALVINGS,
                                              .state_bytes = sizeof(segment),
                                              .start_run = start_run,
                                              .take_logits = take_logits};
