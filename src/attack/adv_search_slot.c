// adv_search_slot.c - the search of AMUN as an attack of the engine, to measure with: PGD in an L2 ball whose radius
// doubles until the prediction changes. [AMUN 2.1; ATT 32]
//
// The sets that unlearning uses come from adv_search.c, which keeps its state in files and its images on devices. Here
// the ball is exact, the cross-entropy is climbed in margin form, and a gradient that vanishes is replaced by a random
// direction; so distances agree with those of the other to rounding, not to the bit.
#include "attack/attack_impl.h"
#include "attack/engine.h"
#include "base/pgd_step.h"
#include <math.h>
#include <string.h>

typedef struct search {
    int32_t step, n_doublings; // steps at this radius
} search;

static lti_next start_run(lti_slot *s, const void *cfg)
{
    const lt_adv_search_cfg *c = cfg;
    s->eps = (double)c->eps0;
    memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    return LTI_EVALUATE;
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    const lt_adv_search_cfg *c = cfg;
    search *at = s->state;
    const double loss = lti_slot_loss(s, lti_slot_own_loss(s, LTI_LOSS_CE));
    (void)lti_slot_record(s, loss);
    if (lti_slot_success(s))
        return LTI_STOP;
    if (at->step < c->steps)
        return LTI_GRADIENT;
    if (at->n_doublings >= c->max_doublings)
        return LTI_STOP;
    at->n_doublings++;
    at->step = 0;
    s->eps *= 2;
    if (!c->restart_from_clean)
        return LTI_GRADIENT;
    memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    return LTI_EVALUATE;
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    const lt_adv_search_cfg *c = cfg;
    search *at = s->state;
    const float *g = lti_slot_gradient(s, 0);
    lti_slot_step(s, (double)c->step_ratio * s->eps, g);
    at->step++;
    s->step++;
    return LTI_EVALUATE;
}

const struct lti_attack_ops lti_adv_search_ops = {.number = 17,
                                                  .flags = LTI_ATTACK_MIN_NORM | LTI_ATTACK_NO_LINF,
                                                  .steps = 50,
                                                  .state_bytes = sizeof(search),
                                                  .start_run = start_run,
                                                  .take_logits = take_logits,
                                                  .take_gradient = take_gradient};
