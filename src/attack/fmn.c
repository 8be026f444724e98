// fmn.c - fast minimum-norm attack: a ball that shrinks when the point is adversarial and grows when not. [ATT 24;
// Pintor et al. 2021, algorithm 1]
//
//     eps <- eps (1 - gamma), at most the best distance    adversarial now
//     eps <- eps (1 + gamma)                               adversarial before, not now
//     eps <- 1.02 (||d|| + |L| / (||g||_q + 1e-12))        never yet
// Deviation: the factor 1.02 is ours. Without it (--parity) the ball ends at the linearised boundary and the search,
// held inside it by the pixel box, converges to the boundary from inside and never crosses.
#include "attack/engine.h"
#include <math.h>
#include <string.h>

struct cfg {
    double alpha, gamma;
};
static const lt_option opts[] = {
    LT_F64(struct cfg, alpha, 0, 0, 1e3, "", "first step length; 0: 1 for l2, 10 for linf; falls to a hundredth"),
    LT_F64(struct cfg, gamma, 0.05, 1e-6, 0.999, "", "first change of the radius; falls to a fiftieth"),
    LT_OPT_END,
};
#define OVERSHOOT 1.02

typedef struct fmn {
    double eps, loss;
    bool ever;
} fmn;

static double cosine_decay(double from, double to, int32_t i, int32_t n)
{
    return to + (from - to) * (1 + cos(3.14159265358979323846 * i / n)) / 2;
}

static double worst_distance(const lti_slot *s)
{
    double most = 0, square = 0;
    for (int64_t j = 0; j < s->n; j++) {
        const double d = fmax((double)s->x0[j], 1 - (double)s->x0[j]);
        most = fmax(most, d);
        square += d * d;
    }
    return s->norm == LT_NORM_L2 ? sqrt(square) : most;
}

static lti_next start_run(lti_slot *s, const void *cfg)
{
    fmn *f = s->state;
    (void)cfg;
    f->eps = INFINITY;
    memcpy(s->x, s->x0, (size_t)s->n * sizeof *s->x);
    return LTI_EVALUATE;
}

static lti_next take_logits(lti_slot *s, const void *cfg)
{
    fmn *f = s->state;
    (void)cfg;
    f->loss = lti_slot_loss(s, s->target >= 0 ? LTI_LOSS_MARGIN_TARGET : LTI_LOSS_MARGIN);
    f->ever = f->ever || lti_slot_success(s);
    return lti_slot_record(s, f->loss) || s->step >= s->steps ? LTI_STOP : LTI_GRADIENT;
}

static double dual_norm(const lti_slot *s, const float *g)
{
    double sum = 0;
    for (int64_t j = 0; s->norm == LT_NORM_LINF && j < s->n; j++)
        sum += fabs((double)g[j]);
    return s->norm == LT_NORM_LINF ? sum : lti_distance(LT_NORM_L2, g, NULL, s->n);
}

static void set_radius(lti_slot *s, fmn *f, const float *g, double gamma)
{
    const double here = lti_distance(s->norm, s->x, s->x0, s->n), worst = worst_distance(s);
    if (lti_slot_success(s))
        f->eps = fmin(f->eps * (1 - gamma), fmin(s->best_distance, worst));
    else if (f->ever)
        f->eps *= 1 + gamma;
    else
        f->eps = (s->spec->parity ? 1 : OVERSHOOT) * (here + fabs(f->loss) / (dual_norm(s, g) + 1e-12));
    f->eps = fmin(f->eps, worst);
}

static lti_next take_gradient(lti_slot *s, const void *cfg)
{
    const struct cfg *c = cfg;
    fmn *f = s->state;
    const double alpha0 = c->alpha > 0            ? c->alpha
                          : s->norm == LT_NORM_L2 ? 1
                                                  : 10,
                 alpha = cosine_decay(alpha0, alpha0 / 100, s->step, s->steps),
                 gamma = cosine_decay(c->gamma, c->gamma / 50, s->step, s->steps);
    const float *g = lti_slot_gradient(s, 0);
    set_radius(s, f, g, gamma);
    const double length = lti_distance(LT_NORM_L2, g, NULL, s->n), scale = length > 0 ? alpha / length : 0;
    float *d = s->work[1];
    for (int64_t j = 0; j < s->n; j++)
        d[j] = (float)((double)s->x[j] - (double)s->x0[j] + scale * (double)g[j]);
    const double r = lti_distance(LT_NORM_L2, d, NULL, s->n),
                 shrink = s->norm == LT_NORM_L2 && r > f->eps ? f->eps / r : 1;
    for (int64_t j = 0; j < s->n; j++) {
        double v = shrink * (double)d[j];
        if (s->norm == LT_NORM_LINF)
            v = v < -f->eps ? -f->eps : v > f->eps ? f->eps : v;
        v += (double)s->x0[j];
        s->x[j] = v < 0 ? 0 : v > 1 ? 1 : (float)v;
    }
    s->step++;
    return LTI_EVALUATE;
}

static const struct lti_attack_ops ops = {.number = 13,
                                          .flags = LTI_ATTACK_MIN_NORM,
                                          .steps = 1000,
                                          .state_bytes = sizeof(fmn),
                                          .start_run = start_run,
                                          .take_logits = take_logits,
                                          .take_gradient = take_gradient};

const lt_attack lti_attack_fmn = {
    .name = "fmn",
    .title = "fast minimum-norm attack",
    .cite = "fmn",
    .doc = "Gradient steps on the margin inside a ball whose radius shrinks while the point is adversarial and grows "
           "while "
           "it is not. 100 steps are a quick estimate.",
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .ops = &ops,
};
