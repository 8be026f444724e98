// optim.c - SGD with momentum and AdamW as one pass over the parameter slab.
//
// Every coordinate is independent, so the result depends neither on the number of threads nor on how they share the
// slab. Semantics are PyTorch's: SGD couples the weight decay with the gradient and starts the momentum at the first
// gradient (v = 0 gives the same), AdamW decays the weight directly. A masked coordinate keeps the bits of its value,
// and its moments are zero: weight decay and old momentum cannot leak into it [AMUN 6].
#include "train_impl.h"

#include <math.h>
#include <string.h>

lt_status lti_optim_init(lti_optim *o, int32_t kind, int64_t n)
{
    size_t bytes = 0;
    *o = (lti_optim){.n = n};
    if (n < 0 || lti_mul_size((size_t)n, sizeof(float), &bytes))
        return LT_FAIL(LT_E_SHAPE, "optimizer: %lld parameters do not fit the address space", (long long)n);
    o->m = lti_aligned_alloc(64, bytes);
    o->v = kind == LT_ADAMW ? lti_aligned_alloc(64, bytes) : NULL;
    if (!o->m || (kind == LT_ADAMW && !o->v)) {
        lti_optim_clear(o);
        return LTI_NOMEM("optimizer state");
    }
    return LT_OK;
}

void lti_optim_clear(lti_optim *o)
{
    lti_free(o->m);
    lti_free(o->v);
    *o = (lti_optim){0};
}

// v - v is 0 for every finite v and NaN otherwise; vectorises where isfinite() does not.
static inline int not_finite(float v)
{
    return !(v - v == 0.0f);
}

// The update of coordinates from..to-1, in constants of one step. `nesterov` and `masked` are literals at each call, so
// each call becomes its own straight loop.
typedef struct coef {
    float lr, mom, wd;                          // sgd
    float decay, b1, b2, c1, c2, root_bc2, eps; // adamw; lr is lr / (1 - beta1^t)
} coef;

static inline __attribute__((always_inline)) int sgd(const coef c, float *restrict p, const float *restrict g,
                                                     float *restrict v, const uint8_t *restrict mask, int64_t n,
                                                     const bool nesterov, const bool masked)
{
    int bad = 0;
    for (int64_t i = 0; i < n; i++) {
        const float d = g[i] + c.wd * p[i];
        const float vi = c.mom * v[i] + d;
        const float pi = p[i] - c.lr * (nesterov ? d + c.mom * vi : vi);
        const bool keep = masked && mask[i] == 0;
        v[i] = keep ? 0.0f : vi;
        p[i] = keep ? p[i] : pi;
        bad |= not_finite(p[i]);
    }
    return bad;
}

static inline __attribute__((always_inline)) int adamw(const coef c, float *restrict p, const float *restrict g,
                                                       float *restrict m, float *restrict v,
                                                       const uint8_t *restrict mask, int64_t n, const bool masked)
{
    int bad = 0;
    for (int64_t i = 0; i < n; i++) {
        const float d = g[i];
        const float mi = c.b1 * m[i] + c.c1 * d;
        const float vi = c.b2 * v[i] + c.c2 * d * d;
        const float pi = p[i] * c.decay - c.lr * mi / (sqrtf(vi) / c.root_bc2 + c.eps);
        const bool keep = masked && mask[i] == 0;
        m[i] = keep ? 0.0f : mi;
        v[i] = keep ? 0.0f : vi;
        p[i] = keep ? p[i] : pi;
        bad |= not_finite(p[i]);
    }
    return bad;
}

static int move(const lti_optim *o, const lti_update *u, const coef c, int64_t from, int64_t n)
{
    float *p = u->p + from, *m = o->m + from;
    const float *g = u->g + from;
    const uint8_t *mask = u->mask ? u->mask + from : NULL;
    if (u->cfg->optimizer == LT_ADAMW) {
        float *v = o->v + from;
        return mask ? adamw(c, p, g, m, v, mask, n, true) : adamw(c, p, g, m, v, NULL, n, false);
    }
    if (u->cfg->nesterov)
        return mask ? sgd(c, p, g, m, mask, n, true, true) : sgd(c, p, g, m, NULL, n, true, false);
    return mask ? sgd(c, p, g, m, mask, n, false, true) : sgd(c, p, g, m, NULL, n, false, false);
}

static coef coefficients(const lti_optim *o, const lti_update *u, double lr_scale, double decay_scale)
{
    const lt_train_cfg *f = u->cfg;
    const double lr = u->lr * lr_scale, decay = (double)f->weight_decay * decay_scale;
    const double beta1 = (double)f->beta1, beta2 = (double)f->beta2, t = (double)o->t;
    const bool adam = f->optimizer == LT_ADAMW;
    return (coef){.lr = (float)(adam ? lr / (1 - pow(beta1, t)) : lr),
                  .mom = f->momentum,
                  .wd = (float)decay,
                  .decay = (float)(1 - lr * decay),
                  .b1 = f->beta1,
                  .b2 = f->beta2,
                  .c1 = (float)(1 - beta1),
                  .c2 = (float)(1 - beta2),
                  .root_bc2 = (float)sqrt(1 - pow(beta2, t)),
                  .eps = f->adam_eps};
}

void lti_optim_numbers(lti_optim *o, const lti_update *u, lt_device_update *numbers)
{
    o->t++;
    const coef c = coefficients(o, u, 1, 1);
    *numbers = (lt_device_update){.n = o->n,
                                  .nesterov = u->cfg->nesterov,
                                  .lr = c.lr,
                                  .momentum = c.mom,
                                  .weight_decay = c.wd,
                                  .l1 = u->terms ? u->terms->l1 : 0,
                                  .decay = c.decay,
                                  .beta1 = c.b1,
                                  .beta2 = c.b2,
                                  .c1 = c.c1,
                                  .c2 = c.c2,
                                  .root_bc2 = c.root_bc2,
                                  .eps = c.eps};
}

// The group that begins next at or after coordinate `at`, or NULL; groups are in rising order.
static const lt_param_group *next_group(const lti_update *u, int64_t at)
{
    for (int i = 0; i < u->n_groups; i++)
        if (u->group[i].from + u->group[i].n > at)
            return &u->group[i];
    return NULL;
}

// Penalties first, while the block is in cache; then the pieces of the block that share their coefficients.
static int block(const lti_optim *o, const lti_update *u, const coef c, int64_t from, int64_t n)
{
    int bad = 0;
    for (int i = 0; u->terms && i < u->terms->n; i++) {
        const lt_penalty *term = &u->terms->term[i];
        if (u->terms->weight[i] != 0)
            term->add(term->ctx, (float)u->terms->weight[i], from, n, u->p + from, u->g + from);
    }
    for (int64_t at = from, end = from + n, to; at < end; at = to) {
        const lt_param_group *g = next_group(u, at);
        const bool inside = g && g->from <= at;
        to = !g ? end : inside ? g->from + g->n : g->from;
        to = to < end ? to : end;
        bad |= move(o, u, inside ? coefficients(o, u, (double)g->lr_scale, (double)g->decay_scale) : c, at, to - at);
    }
    return bad;
}

bool lti_optim_step(lti_optim *o, const lti_update *u)
{
    o->t++;
    const coef c = coefficients(o, u, 1, 1);
    int bad = 0;
#pragma omp parallel for schedule(static) num_threads(u->n_threads) reduction(| : bad)
    for (int64_t from = 0; from < o->n; from += LT_UPDATE_BLOCK)
        bad |= block(o, u, c, from, o->n - from < LT_UPDATE_BLOCK ? o->n - from : LT_UPDATE_BLOCK);
    return !bad;
}
