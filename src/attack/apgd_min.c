// apgd_min.c - minimum norm by bisection of the radius, each radius tried by apgd-t. [ATT 28]
//
// Between 0 and the nearest example known (of the attacks before, or any point of the box); every success gives a new
// upper end, every failure a new lower one. A radius counts as failed when 5 targets with 20 steps each find nothing,
// so distances are from above.
#include "attack/apgd.h"
#include <math.h>

struct cfg {
    int32_t halvings, targets;
};
static const lt_option opts[] = {
    LT_I32(struct cfg, halvings, 12, 1, 60, "", "radii that are tried"),
    LT_I32(struct cfg, targets, 5, 1, 255, "classes", "classes that each radius is tried with"),
    LT_OPT_END,
};

typedef struct bisection {
    lti_apgd apgd;
    double lo, hi;
    int32_t n_tried, rank;
    bool found;
} bisection;

static double largest_distance(const lti_slot *s)
{
    return s->norm == LT_NORM_L2 ? sqrt((double)s->n) : 1;
}

static lti_next begin_target(lti_slot *s, bisection *b)
{
    s->target = s->goal >= 0 ? s->goal : lti_slot_ranked_class(s, b->rank);
    b->apgd.stop_at_success = true;
    return lti_apgd_start_run(s, &b->apgd);
}

static lti_next try_radius(lti_slot *s, bisection *b, double eps)
{
    b->rank = 0;
    s->eps = eps;
    lti_box(s->x0, eps, s->n, s->lo, s->hi);
    return begin_target(s, b);
}

static lti_next start_run(lti_slot *s, const void *cfg)
{
    bisection *b = s->state;
    (void)cfg;
    b->found = isfinite(s->known);
    b->hi = b->found ? s->known : largest_distance(s);
    return try_radius(s, b, b->found ? b->hi / 2 : b->hi);
}

static lti_next next_radius(lti_slot *s, bisection *b, const struct cfg *c, bool success)
{
    if (success) {
        b->hi = fmin(b->hi, lti_distance(s->norm, s->x, s->x0, s->n));
        b->found = true;
    } else {
        b->lo = fmax(b->lo, s->eps);
    }
    if (++b->n_tried >= c->halvings || !b->found)
        return LTI_STOP;
    return try_radius(s, b, (b->lo + b->hi) / 2);
}

// The next target of this radius, or the next radius.
static lti_next advance_bisection(lti_slot *s, const struct cfg *c, lti_next next)
{
    bisection *b = s->state;
    if (next != LTI_STOP)
        return next;
    if (lti_slot_success(s))
        return next_radius(s, b, c, true);
    const int32_t n = s->goal >= 0 ? 1 : c->targets < s->n_classes - 1 ? c->targets : s->n_classes - 1;
    if (++b->rank < n)
        return begin_target(s, b);
    return next_radius(s, b, c, false);
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    bisection *b = s->state;
    return advance_bisection(s, cfg, lti_apgd_take_logits(s, &b->apgd, LTI_LOSS_DLR_TARGET));
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    bisection *b = s->state;
    return advance_bisection(s, cfg, lti_apgd_take_gradient(s, &b->apgd));
}

static const struct lti_attack_ops ops = {.number = 15,
                                          .flags = LTI_ATTACK_MIN_NORM | LTI_ATTACK_RANDOM | LTI_ATTACK_DLR,
                                          .steps = 20,
                                          .state_bytes = sizeof(bisection),
                                          .start_run = start_run,
                                          .take_logits = take_logits,
                                          .take_gradient = take_gradient};

const lt_attack lti_attack_apgd_min = {
    .name = "apgd-min",
    .title = "minimum norm by bisected auto-PGD",
    .cite = "croce2020",
    .doc =
        "Bisects the radius, each tried by auto-PGD towards the likeliest classes, from the nearest example that the "
        "attacks before it found. The closest of the attacks here in L-inf.",
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .ops = &ops,
};
