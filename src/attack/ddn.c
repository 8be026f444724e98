// ddn.c - decoupled direction and norm, L2. [ATT 25; Rony et al. 2019, algorithm 1]
//
// Steps along the normalised gradient of the cross-entropy; the difference is then brought to a length that falls by 5
// % while the point is adversarial and grows by 5 % while it is not. Without the quantisation of the paper.
#include "attack/engine.h"
#include <math.h>
#include <string.h>

struct cfg {
    double radius, gamma;
};
static const lt_option opts[] = {
    LT_F64(struct cfg, radius, 1, 1e-6, 1e3, "pixels", "first length"),
    LT_F64(struct cfg, gamma, 0.05, 1e-6, 0.999, "", "change of the length at every step"),
    LT_OPT_END,
};

static lti_next start_run(lti_slot *s, const void *cfg)
{
    const struct cfg *c = cfg;
    double *radius = s->state;
    *radius = c->radius;
    memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    memset(s->work[0], 0, (size_t)s->n * sizeof *s->work[0]);
    return LTI_EVALUATE;
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    const double loss = lti_slot_loss(s, lti_slot_own_loss(s, LTI_LOSS_CE));
    (void)cfg;
    return lti_slot_record(s, loss) || s->step >= s->steps ? LTI_STOP : LTI_GRADIENT;
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    const struct cfg *c = cfg;
    double *radius = s->state;
    float *d = s->work[0];
    const double alpha = 0.01 + 0.99 * (1 + cos(3.14159265358979323846 * s->step / s->steps)) / 2;
    const float *g = lti_slot_gradient(s, 1);
    const double length = lti_distance(LT_NORM_L2, g, NULL, s->n), scale = length > 0 ? alpha / length : 0;
    for (int64_t j = 0; j < s->n; j++)
        d[j] = (float)((double)s->x[j] - (double)s->x0[j] + scale * (double)g[j]);
    *radius *= lti_slot_success(s) ? 1 - c->gamma : 1 + c->gamma;
    const double r = lti_distance(LT_NORM_L2, d, NULL, s->n), to = r > 0 ? *radius / r : 0;
    for (int64_t j = 0; j < s->n; j++) {
        const double v = (double)s->x0[j] + to * (double)d[j];
        s->x[j] = v < 0 ? 0 : v > 1 ? 1 : (float)v;
    }
    s->step++;
    return LTI_EVALUATE;
}

static const struct lti_attack_ops ops = {.number = 14,
                                          .flags = LTI_ATTACK_MIN_NORM | LTI_ATTACK_NO_LINF,
                                          .steps = 1000,
                                          .state_bytes = sizeof(double),
                                          .start_run = start_run,
                                          .take_logits = take_logits,
                                          .take_gradient = take_gradient};

const lt_attack lti_attack_ddn = {
    .name = "ddn",
    .title = "decoupled direction and norm, L2",
    .cite = "ddn",
    .doc = "Steps along the normalised gradient with the length of the difference set apart: 5 % shorter while "
           "adversarial, "
           "5 % longer while not. The strongest single L2 attack of minimum norm.",
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .ops = &ops,
};
