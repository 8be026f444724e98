// deepfool.c - steps onto the nearest of the linearised boundaries, without a way back. [ATT 27; Moosavi-Dezfooli et
// al. 2016, algorithm 2]
//
// Fast and weak: a start for others, never the answer. All gradients of a step share one forward pass.
#include "attack/engine.h"
#include <math.h>
#include <string.h>

struct cfg {
    double overshoot;
    int32_t candidates;
};
enum { MAX_CANDIDATES = 1000 };
static const lt_option opts[] = {
    LT_F64(struct cfg, overshoot, 0.02, 0, 1, "", "how far beyond the boundary, relative to the whole way"),
    LT_I32(struct cfg, candidates, 10, 2, MAX_CANDIDATES, "classes", "the likeliest classes, the own one included"),
    LT_OPT_END,
};

typedef struct deepfool {
    double ratio, f, length; // of the nearest boundary so far: |f| / ||w||, f, ||w||_q
    int32_t class, rank;     // on its way
} deepfool;
enum { WAY, NEAREST }; // slot.work

static double dual_norm(const lti_slot *s, const float *w)
{
    double sum = 0;
    for (int64_t j = 0; s->norm == LT_NORM_LINF && j < s->n; j++)
        sum += fabs((double)w[j]);
    return s->norm == LT_NORM_LINF ? sum : lti_distance(LT_NORM_L2, w, NULL, s->n);
}

static lti_next start_run(lti_slot *s, const void *cfg)
{
    (void)cfg;
    memset(s->work[WAY], 0, (size_t)s->n * sizeof *s->work[WAY]);
    memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    return LTI_EVALUATE;
}

// The class of the next candidate after `rank` others, by clean logit; -1 = none.
static int32_t ranked_candidate(const lti_slot *s, const struct cfg *c, int32_t rank)
{
    if (s->goal >= 0)
        return rank == 0 ? s->goal : -1;
    return rank < c->candidates - 1 ? lti_slot_ranked_class(s, rank) : -1;
}

static lti_next ask_class(lti_slot *s, deepfool *d, int32_t k)
{
    memset(s->dz, 0, (size_t)s->n_classes * sizeof *s->dz);
    s->dz[k] = 1;
    s->dz[s->label] = -1;
    d->class = k;
    return LTI_GRADIENT;
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    const struct cfg *c = cfg;
    deepfool *d = s->state;
    (void)lti_slot_record(s, 0);
    if (lti_slot_success(s) || s->step >= s->steps)
        return LTI_STOP;
    *d = (deepfool){.ratio = INFINITY};
    return ask_class(s, d, ranked_candidate(s, c, 0));
}

static lti_next apply_step(lti_slot *s, deepfool *d, const struct cfg *c)
{
    float *way = s->work[WAY];
    const float *w = s->work[NEAREST];
    if (d->length <= 0)
        return LTI_STOP;
    const double far = fabs(d->f) / d->length + 1e-4;
    for (int64_t j = 0; j < s->n; j++) {
        const double dir = s->norm == LT_NORM_L2 ? (double)w[j] / d->length : (w[j] > 0) - (w[j] < 0);
        way[j] = (float)((double)way[j] + far * dir);
        const double v = (double)s->x0[j] + (1 + c->overshoot) * (double)way[j];
        s->x[j] = v < 0 ? 0 : v > 1 ? 1 : (float)v;
    }
    s->step++;
    return LTI_EVALUATE;
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    const struct cfg *c = cfg;
    deepfool *d = s->state;
    const double f = (double)s->z[d->class] - (double)s->z[s->label], length = dual_norm(s, s->dx),
                 ratio = fabs(f) / (length + 1e-12);
    s->n_gradients++;
    s->n_zero += s->dx_max <= 0;
    s->zero_at_start = s->zero_at_start || (s->dx_max <= 0 && s->step == 0);
    if (ratio < d->ratio) {
        d->ratio = ratio;
        d->f = f;
        d->length = length;
        memcpy(s->work[NEAREST], s->dx, (size_t)s->n * sizeof *s->dx);
    }
    const int32_t next = ranked_candidate(s, c, ++d->rank);
    return next >= 0 ? ask_class(s, d, next) : apply_step(s, d, c);
}

static const struct lti_attack_ops ops = {.number = 11,
                                          .flags = LTI_ATTACK_MIN_NORM | LTI_ATTACK_MANY_GRADIENTS,
                                          .steps = 50,
                                          .state_bytes = sizeof(deepfool),
                                          .start_run = start_run,
                                          .take_logits = take_logits,
                                          .take_gradient = take_gradient};

const lt_attack lti_attack_deepfool = {
    .name = "deepfool",
    .title = "DeepFool",
    .cite = "deepfool",
    .doc =
        "Adds up steps onto the nearest linearised boundary of the likeliest classes until the class changes. Fast and "
        "weak: distances are estimates from above, by a tenth and more.",
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .ops = &ops,
};
