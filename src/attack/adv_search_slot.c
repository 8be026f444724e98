// adv_search_slot.c - the search of AMUN as an attack of the engine: PGD in an L2 ball whose radius doubles until the
// prediction changes. [AMUN 2.1, Alg. 1; ATT 32]
//
// Per sample: step rho*eps along the normalised gradient of the true label's cross-entropy, project onto the ball, then
// clamp to the pixel box; stop as soon as the prediction is not the label. The check at the end of a round and the
// first check of the next one see the same image (warm start) and are one run.
//
// Deviations from the authors' code [AMUN 2.4]: the gradient is each sample's own (theirs is of the batch mean, with a
// floor that shrinks steps of saturated samples); doublings are capped; where the cross-entropy gradient vanishes the
// margin max_{k!=y} z_k - z_y is ascended instead, and a sample without any gradient is marked failed.
#include "attack/attack_impl.h"
#include "attack/engine.h"
#include <string.h>

#define GRADIENT_FLOOR 1e-30

static lti_next start_run(lti_slot *s, const void *cfg)
{
    const lt_adv_search_cfg *c = cfg;
    *(lti_search_item *)s->state = (lti_search_item){.eps = c->eps0};
    memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    return LTI_EVALUATE;
}

static lti_next stop_search(lti_slot *s, lti_search_outcome outcome)
{
    lti_search_item *item = s->state;
    item->outcome = (int32_t)outcome;
    (void)lti_slot_record(s, 0);
    return LTI_STOP;
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    const lt_adv_search_cfg *c = cfg;
    lti_search_item *item = s->state;
    if (lti_slot_success(s) && !item->forced)
        return stop_search(s, LTI_SEARCH_FOUND);
    item->forced = 0;
    if (item->round == 0)
        item->round = 1;
    if (item->step == c->steps) { // the round is over
        if (item->round > c->max_doublings)
            return stop_search(s, LTI_SEARCH_FAILED);
        item->round++;
        item->step = 0;
        item->eps *= 2.0f;
        if (c->restart_from_clean) // this gradient belongs to the old image
            return LTI_RESET;
    }
    (void)lti_slot_loss(s, lti_slot_own_loss(s, LTI_LOSS_CE));
    return LTI_GRADIENT;
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    const lt_adv_search_cfg *c = cfg;
    lti_search_item *item = s->state;
    const int32_t margin = lti_slot_own_loss(s, LTI_LOSS_MARGIN);
    s->n_gradients++;
    if (s->dx_norm < GRADIENT_FLOOR) {
        s->n_zero++;
        s->zero_at_start = s->zero_at_start || s->step == 0;
        if (s->loss == margin)
            return stop_search(s, LTI_SEARCH_FAILED);
        (void)lti_slot_loss(s, margin);
        return LTI_GRADIENT;
    }
    const double length = (double)c->step_ratio * (double)item->eps;
    s->move = (lti_row_step){.scale = (float)(length / s->dx_norm), .eps = item->eps};
    item->step++;
    item->n_steps++;
    s->step++;
    return LTI_STEP;
}

const struct lti_attack_ops lti_adv_search_ops = {.number = 17,
                                                  .flags =
                                                      LTI_ATTACK_MIN_NORM | LTI_ATTACK_NO_LINF | LTI_ATTACK_ROW_STEPS,
                                                  .steps = 50,
                                                  .state_bytes = sizeof(lti_search_item),
                                                  .start_run = start_run,
                                                  .take_logits = take_logits,
                                                  .take_gradient = take_gradient};
