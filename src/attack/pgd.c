// pgd.c - projected gradient ascent in a ball. [ATT 11; Madry et al. 2018, section 2.1]
//
//     x_{i+1} = P(x_i + a sign(g_i))           L-inf
//     x_{i+1} = P(x_i + a g_i / ||g_i||_2)     L2
// from a random point of the ball; a = 2.5 eps / N. All iterates x_0..x_N are tested, and the first that is
// misclassified ends the run. Restart r draws the same start however many restarts there are, so more of them never
// raise robust accuracy.
#include "attack/pgd.h"
#include <math.h>
#include <string.h>

lti_next lti_pgd_start_run(lti_slot *s, const void *cfg)
{
    const lti_pgd_form *form = s->form;
    (void)cfg;
    if (form->random_start)
        lti_slot_random_start(s);
    else
        memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    memset(s->work[0], 0, (size_t)s->n * sizeof *s->work[0]);
    return LTI_EVALUATE;
}

lti_next lti_pgd_take_logits(lti_slot *s, const void *cfg)
{
    (void)cfg;
    const double loss = lti_slot_loss(s, lti_slot_pick_loss(s, LTI_LOSS_CE));
    return lti_slot_record(s, loss) || s->step >= s->steps ? LTI_STOP : LTI_GRADIENT;
}

lti_next lti_pgd_take_gradient(lti_slot *s, const void *cfg)
{
    const lti_pgd_form *form = s->form;
    (void)cfg;
    const double a = s->spec->step_size > 0    ? s->spec->step_size
                     : s->spec->step_ratio > 0 ? s->spec->step_ratio * s->eps
                                               : form->step * s->eps / s->steps;
    const float *g = lti_slot_gradient(s, 1);
    if (form->momentum > 0) { // G <- mu G + g / ||g||_1
        float *sum = s->work[0];
        double length = 0;
        for (int64_t j = 0; j < s->n; j++)
            length += fabs((double)g[j]) * (s->units ? (double)s->units->width[j] : 1);
        for (int64_t j = 0; j < s->n; j++)
            sum[j] = (float)(form->momentum * (double)sum[j] + (length > 0 ? (double)g[j] / length : 0));
        g = sum;
    }
    lti_slot_step(s, a, g);
    s->step++;
    return LTI_EVALUATE;
}

static const lti_pgd_form form = {.random_start = true, .step = 2.5};

static const struct lti_attack_ops ops = {
    .number = 2, .flags = LTI_ATTACK_RANDOM | LTI_ATTACK_ANY_UNITS, .steps = 50, .form = &form, LTI_PGD_FUNCTIONS};

const lt_attack lti_attack_pgd = {
    .name = "pgd",
    .title = "projected gradient descent, random start",
    .cite = "madry2018",
    .doc = "Ascends the loss in steps of 2.5 eps / N along the sign of the gradient (L-inf) or the normalised gradient "
           "(L2), projecting onto the ball and the pixel box, from a random point of the ball.",
    .opts = lti_attack_no_options,
    .ops = &ops,
};
