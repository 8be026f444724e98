// adversarial.c - the attack inside adversarial training: its plans, its loop, its projections.
//
// Every step of training first attacks its batch with the model as it is, in evaluation mode. The noise an attack
// starts from is a function of (seed, step, phase, row), so a resumed job makes the same images.
#include "adversarial.h"
#include "base/pgd_step.h"
#include <math.h>
#include <string.h>

const lt_opt_value lti_adversarial_values[] = {
    {"none", LTI_ADVERSARIAL_none, "images as they are"},
#define LT_X(name, title) {#name, LTI_ADVERSARIAL_##name, title},
#include "train/adversarials.list"
#undef LT_X
    {NULL, 0, NULL},
};
static const lti_adversarial *const forms[] = {
    NULL,
#define LT_X(name, title) &lti_adversarial_##name,
#include "train/adversarials.list"
#undef LT_X
};

const lti_adversarial *lti_adversarial_of(const lt_train_cfg *cfg)
{
    return forms[cfg->adversarial]; // its range was checked with the other options
}

lt_status lt_adversarial_find(const char *name, int32_t *kind)
{
    enum { N = sizeof forms / sizeof *forms };
    const char *names[N + 1] = {0};
    for (int i = 0; i < N; i++) {
        names[i] = lti_adversarial_values[i].name;
        if (strcmp(name, names[i]) == 0) {
            *kind = lti_adversarial_values[i].value;
            return LT_OK;
        }
    }
    LT_FAIL(LT_E_USAGE, "unknown form of adversarial training '%s'", name);
    return lti_name_hint(name, names);
}

int lti_adv_forwards(const lti_trainer *t)
{
    const lti_adversarial *a = lti_adversarial_of(&t->job->cfg);
    return a && a->pair ? 2 : 1;
}

// ---- graphs and plans

static lt_status build_attack(lti_trainer *t, const lti_adversarial *a)
{
    const lt_model *m = t->job->model;
    lti_adv *adv = &t->adv;
    LT_TRY(lt_graph_dup(m->graph, &adv->graph));
    adv->labels = lt_input(adv->graph, "attack.labels", LT_I32, LT_SHAPE(LT_BATCH));
    adv->clean = lt_input(adv->graph, "attack.clean", LT_F32, LT_SHAPE(LT_BATCH, m->shape.n_classes));
    adv->weight = lt_input(adv->graph, "attack.weight", LT_F32, LT_SHAPE(LT_BATCH));
    const lt_val per_sample = a->objective(adv->graph, m->logits, adv->labels, adv->clean);
    adv->outs[0] = lt_weighted_sum(adv->graph, per_sample, adv->weight);
    adv->wrt[0] = m->x;
    LT_TRY(lt_graph_status(adv->graph));
    const lt_plan_spec common = {
        .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .dtype = LT_F32, .flags = t->env->plan_flags};
    // Evaluation-mode plans without parameter gradients only read their slabs.
    adv->attack = (lti_plans){
        .graph = adv->graph, .backend = t->env->backend, .params = t->used, .state = m->state, .spec = common};
    adv->attack.spec.outs = adv->outs;
    adv->attack.spec.grad_of = adv->outs[0];
    adv->attack.spec.wrt = adv->wrt;
    adv->attack.spec.n_wrt = 1;
    adv->forward = (lti_plans){
        .graph = m->graph, .backend = t->env->backend, .params = t->used, .state = m->state, .spec = common};
    adv->forward.spec.outs = &m->logits;
    return LT_OK;
}

lt_status lti_adv_build(lti_trainer *t, lt_val *per_sample)
{
    const lti_adversarial *a = lti_adversarial_of(&t->job->cfg);
    const lt_model *m = t->job->model;
    lt_val adv_logits = m->logits;
    t->adv.x = m->x;
    if (!a)
        return LT_OK;
    if (a->pair) {
        lt_value_info x;
        LT_TRY(lt_graph_value(t->graph, m->x, &x));
        t->adv.x = lt_input(t->graph, "train.attacked", LT_F32, x.shape);
        adv_logits = lt_graph_clone_subgraph(t->graph, m->logits, m->x, t->adv.x);
    }
    *per_sample = a->loss(t->graph, &t->job->cfg, m->logits, *per_sample, adv_logits);
    LT_TRY(lt_graph_status(t->graph));
    return build_attack(t, a);
}

lt_status lti_adv_open(lti_trainer *t, int64_t batch)
{
    const lti_adversarial *a = lti_adversarial_of(&t->job->cfg);
    lt_plan *plan = NULL;
    if (!a)
        return LT_OK;
    LT_TRY(lti_plans_get(&t->adv.attack, batch, &plan));
    return a->pair ? lti_plans_get(&t->adv.forward, batch, &plan) : LT_OK;
}

void lti_adv_clear(lti_trainer *t)
{
    lti_plans_clear(&t->adv.attack);
    lti_plans_clear(&t->adv.forward);
    lt_graph_destroy(t->adv.graph);
}

// ---- one image: x (n) clean, a (n) attacked, g (n) gradient

static double length(const float *v, int64_t n)
{
    double square = 0;
    for (int64_t i = 0; i < n; i++)
        square += (double)v[i] * (double)v[i];
    return sqrt(square);
}

static float clip(float v, float low, float high)
{
    return v < low ? low : v > high ? high : v;
}

static void ascend_linf(const lt_train_cfg *cfg, double step, const float *x, const float *g, int64_t n, float *a)
{
    lti_pgd_step_linf((float)step, g, n, a);
    for (int64_t i = 0; i < n; i++)
        a[i] = clip(clip(a[i], x[i] - cfg->adv_eps, x[i] + cfg->adv_eps), 0, 1);
}

// Along the gradient, into [0,1], then back into the ball: shorter deltas of an image in [0,1] stay in it. g is spoilt.
// Where the gradient is 0 a random direction takes its place, as in the authors' code of TRADES.
static void ascend_l2(const lt_train_cfg *cfg, double step, lt_rng *rng, const float *x, float *g, int64_t n, float *a)
{
    const double norm = length(g, n);
    if (norm > 0)
        lti_pgd_step_l2(step, g, norm, n, a);
    for (int64_t i = 0; i < n; i++) {
        if (!(norm > 0))
            a[i] = (float)((double)a[i] + step * lt_rng_normal(rng));
        g[i] = clip(a[i], 0, 1) - x[i];
    }
    const double delta = length(g, n), scale = delta > (double)cfg->adv_eps ? (double)cfg->adv_eps / delta : 1;
    for (int64_t i = 0; i < n; i++)
        a[i] = clip((float)((double)x[i] + scale * (double)g[i]), 0, 1);
}

// ---- one batch

// Random numbers of row r of the step to come; use 0: the start, 1 and up: steps of the attack.
static lt_rng noise(const lti_trainer *t, int p, int64_t r, int use)
{
    const uint64_t index = (uint64_t)r | (uint64_t)p << 24 | (uint64_t)use << 32;
    return lt_rng_at(t->job->seed, LT_STREAM_ROBUST, (uint32_t)t->at.steps, index);
}

static lt_status start(lti_trainer *t, const lti_adversarial *a, int p, const lt_batch *b, const int32_t *labels,
                       lt_plan *attack)
{
    const lt_model *m = t->job->model;
    const int64_t per = (int64_t)m->shape.c * m->shape.h * m->shape.w, k = m->shape.n_classes;
    float *x = lt_plan_buffer(attack, m->x), *weight = lt_plan_buffer(attack, t->adv.weight),
          *target = lt_plan_buffer(attack, t->adv.clean);
    int32_t *y = lt_plan_buffer(attack, t->adv.labels);
    if (a->pair) {
        lt_plan *forward = NULL;
        LT_TRY(lti_plans_get(&t->adv.forward, b->n, &forward));
        memcpy(lt_plan_buffer(forward, m->x), b->x, (size_t)(b->n * per) * sizeof *x);
        LT_TRY(lt_plan_run(forward));
        memcpy(target, lt_plan_buffer(forward, m->logits), (size_t)(b->n * k) * sizeof *target);
        t->at.attack_forward += b->n_all;
    }
    memcpy(y, labels, (size_t)b->n * sizeof *y);
    for (int64_t r = 0; r < b->n; r++) {
        lt_rng rng = noise(t, p, r, 0);
        weight[r] = 1;
        a->start(&t->job->cfg, &rng, per, x + r * per);
        for (int64_t i = r * per; i < (r + 1) * per; i++)
            x[i] += b->x[i];
    }
    return LT_OK;
}

lt_status lti_adv_attack(lti_trainer *t, int p, const lt_batch *b, const int32_t *labels, lt_plan *plan)
{
    const lt_train_cfg *cfg = &t->job->cfg;
    const lti_adversarial *a = lti_adversarial_of(cfg);
    const lt_model *m = t->job->model;
    const int64_t per = (int64_t)m->shape.c * m->shape.h * m->shape.w;
    if (!a)
        return LT_OK;
    lt_plan *attack = NULL;
    lti_plans_repack_weights(&t->adv.attack); // the last step changed the model, wherever it ran
    lti_plans_repack_weights(&t->adv.forward);
    LT_TRY(lti_plans_get(&t->adv.attack, b->n, &attack));
    LT_TRY(start(t, a, p, b, labels, attack));
    const double step = cfg->adv_step > 0 ? (double)cfg->adv_step : a->step(cfg);
    float *x = lt_plan_buffer(attack, m->x), *g = lt_plan_grad(attack, 0); // (n,C,H,W)
    for (int s = 0; s < cfg->adv_steps; s++) {
        LT_TRY(lt_plan_run(attack));
        for (int64_t r = 0; r < b->n; r++) {
            lt_rng rng = noise(t, p, r, 1 + s);
            const int64_t at = r * per;
            if (cfg->adv_norm == LT_ADV_LINF)
                ascend_linf(cfg, step, b->x + at, g + at, per, x + at);
            else
                ascend_l2(cfg, step, &rng, b->x + at, g + at, per, x + at);
        }
        t->at.attack_forward += b->n_all;
        t->at.attack_backward += b->n_all;
    }
    memcpy(lt_plan_buffer(plan, t->adv.x), x, (size_t)(b->n * per) * sizeof *x);
    return LT_OK;
}
