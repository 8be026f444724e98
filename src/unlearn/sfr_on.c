// sfr_on.c - SFR-on: steps of weighted ascent on the forget set, masked to what matters more to it than to the retained
// images, between ordinary steps on the retained images. docs/methods/sfr-on.md
//
// One epoch of the job is one cycle: a step of ascent, then forget_every steps of descent. Retained and forgotten
// images are taken round and round, in an order redrawn for every round.
#include "unlearn/importance.h"
#include "unlearn/recipe.h"
#include "unlearn/gradient_rules.h"
#include <math.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    int32_t forget_every;
    double forget_weight, power, mask_threshold, clip_norm;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_I32(struct cfg, forget_every, 5, 1, 1000, "steps", "steps on retained images for each step on forgotten ones"),
    LT_F64(struct cfg, forget_weight, 25, 0, 1e6, "", "weight of the ascent, falling to 0 along a cosine"),
    LT_F64(struct cfg, power, 0.5, 0, 10, "", "a forgotten image counts as 1 / its cross-entropy to this power"),
    LT_F64(
        struct cfg, mask_threshold, 1, 0, 1e9, "",
        "ascent changes parameters whose importance to the forget set is at least this many times that to the retain "
        "set"),
    LT_F64(struct cfg, clip_norm, 7, 0, 1e9, "", "largest length of the gradient of a step of ascent; 0 = any"),
    LT_OPT_END,
};

// w (n) of the images of a batch with cross-entropies ce: the mean of w ce is sum (c_i / sum c) ce_i. [SFRON 2]
void lti_sfron_weights(const double *ce, int64_t n, double power, double *w)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += w[i] = 1 / (pow(fmax(ce[i], 0), power) + 1e-15);
    for (int64_t i = 0; i < n; i++)
        w[i] *= (double)n / sum;
}

// 1 where (forget + 1e-15) / (retain + 1e-15) >= threshold. [SFRON 1]
void lti_sfron_mask(const float *forget, const float *retain, int64_t n, double threshold, uint8_t *mask)
{
    for (int64_t i = 0; i < n; i++)
        mask[i] = ((double)forget[i] + 1e-15) / ((double)retain[i] + 1e-15) >= threshold;
}

typedef struct sfron {
    const struct cfg *cfg;
    const lt_unlearn_in *in;
    uint8_t *mask;                // (n_params) of the ascent
    int64_t *order[2], *row[2];   // of forgotten, retained images: permutation of a round, rows of a cycle
    int64_t n_row[2], n_cycle[2]; // images of a set, and of it in a cycle
    int32_t forget_tag;
    // weights of a batch need its cross-entropies first
    lt_objective objective;
    lt_val logits, target;
    lt_val outs[1];
    lti_plans plans;
    float *state; // statistics of batch norm that the extra pass may change
    double *ce;   // (2, batch)
    lt_passes passes;
} sfron;

static void sfron_free(void *own)
{
    sfron *s = own;
    if (!s)
        return;
    lti_plans_clear(&s->plans);
    for (int i = 0; i < 2; i++) {
        lti_free(s->order[i]);
        lti_free(s->row[i]);
    }
    lti_free(s->mask);
    lti_free(s->state);
    lti_free(s->ce);
    lti_free(s);
}

// ---- the loss: cross-entropy against targets w_i onehot(y_i), whose gradient is w_i (p_i - onehot(y_i))

static lt_status build(void *ctx, lt_graph *g, lt_val labels, bool train, lt_val *per_sample)
{
    sfron *s = ctx;
    (void)labels, (void)train;
    s->target = lt_input(g, "sfron.target", LT_F32, LT_SHAPE(LT_BATCH, s->in->ds->n_classes));
    *per_sample = lt_cross_entropy_soft(g, s->logits, s->target);
    return lt_graph_status(g);
}

// Cross-entropies of the batch with the statistics of the batch, as the step itself will have them.
static lt_status measure_ce(sfron *s, const lt_batch *b, const int32_t *labels)
{
    const lt_model *m = s->in->model;
    const int32_t k = m->shape.n_classes;
    const size_t per = (size_t)m->shape.c * (size_t)m->shape.h * (size_t)m->shape.w;
    lt_plan *plan = NULL;
    if (m->n_state > 0)
        memcpy(s->state, m->state, (size_t)m->n_state * sizeof *s->state);
    lti_plans_changed(&s->plans);
    LT_TRY(lti_plans_get(&s->plans, b->n, &plan));
    memcpy(lt_plan_buffer(plan, m->x), b->x, (size_t)b->n * per * sizeof *b->x);
    LT_TRY(lt_plan_run(plan));
    const float *z = lt_plan_buffer(plan, m->logits);
    for (int64_t i = 0; i < b->n; i++) {
        double top = (double)z[i * k], sum = 0;
        for (int32_t j = 1; j < k; j++)
            top = fmax(top, (double)z[i * k + j]);
        for (int32_t j = 0; j < k; j++)
            sum += exp((double)z[i * k + j] - top);
        s->ce[i] = top + log(sum) - (double)z[i * k + labels[i]];
    }
    s->passes.n_forward += b->n;
    return LT_OK;
}

static lt_status fill(void *ctx, const lt_objective_batch *at, lt_plan *plan)
{
    sfron *s = ctx;
    const lt_batch *b = at->batch;
    const int32_t k = s->in->ds->n_classes;
    const bool ascent = b->tag[0] == s->forget_tag;
    double *w = s->ce + s->cfg->batch;
    float *target = lt_plan_buffer(plan, s->target);
    if (ascent) {
        LT_TRY(measure_ce(s, b, at->labels));
        lti_sfron_weights(s->ce, b->n, s->cfg->power, w);
    }
    memset(target, 0, (size_t)b->n * (size_t)k * sizeof *target);
    for (int64_t i = 0; i < b->n; i++)
        target[i * k + at->labels[i]] = ascent ? (float)w[i] : 1;
    return LT_OK;
}

// ---- cycles

static void fill_rows(sfron *s, int which, int32_t cycle)
{
    const lt_index_set *set = which ? s->in->retain : s->in->forget;
    int64_t round = -1;
    for (int64_t i = 0; i < s->n_cycle[which]; i++) {
        const int64_t at = (int64_t)cycle * s->n_cycle[which] + i;
        if (at / set->n != round) {
            round = at / set->n;
            lt_rng_permutation(s->in->seed, LT_STREAM_UNLEARN, (uint32_t)(2 * round + which), set->n, s->order[which]);
        }
        s->row[which][i] = set->row[s->order[which][at % set->n]];
    }
}

static lt_status on_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    sfron *s = ctx;
    const double decay = 0.5 * (1 + cos(acos(-1.0) * epoch / job->cfg.epochs));
    fill_rows(s, 0, epoch);
    fill_rows(s, 1, epoch);
    job->phase[0].view[0].weight = (float)(-s->cfg->forget_weight * decay);
    return LT_OK;
}

static lt_status on_gradient(lt_job *job, const lt_update_at *at, float *g, float *companion, void *ctx)
{
    const sfron *s = ctx;
    const int64_t n = job->model->n_params;
    double sum = 0;
    (void)companion;
    if (at->step > 0) // of the cycle: the first one is the ascent
        return LT_OK;
    for (int64_t i = 0; i < n; i++) {
        g[i] = s->mask[i] ? g[i] : 0;
        sum += (double)g[i] * (double)g[i];
    }
    const double factor = s->cfg->clip_norm > 0 && sqrt(sum) > s->cfg->clip_norm ? s->cfg->clip_norm / sqrt(sum) : 1;
    for (int64_t i = 0; i < n && factor < 1; i++)
        g[i] = (float)(factor * (double)g[i]);
    return LT_OK;
}

// ---- the plan

static lt_status make_mask(sfron *s, lt_unlearn_plan_ctx *ctx)
{
    const lt_unlearn_in *in = s->in;
    const lt_view forget_view = lti_forget_view(in, false), retain_view = lti_retain_view(in, false);
    const int64_t n = in->model->n_params;
    const double start_s = lti_now_s();
    lti_param_grad g = {0};
    float *importance = lti_calloc(2 * (size_t)n, sizeof *importance);
    lt_status status = importance ? LT_OK : LTI_NOMEM("importance of parameters");
    LT_TRY_GOTO(status, out);
    LT_TRY_GOTO(lti_param_grad_init(&g, in->model, in->env), out);
    LT_TRY_GOTO(lti_importance(&g, &forget_view, s->cfg->batch, in->seed, importance), out);
    LT_TRY_GOTO(lti_importance(&g, &retain_view, s->cfg->batch, in->seed, importance + n), out);
    lti_sfron_mask(importance, importance + n, n, s->cfg->mask_threshold, s->mask);
    ctx->update_passes.n_forward += g.passes.n_forward;
    ctx->update_passes.n_backward += g.passes.n_backward;
    ctx->plan_s += lti_now_s() - start_s;
out:
    lti_param_grad_clear(&g);
    lti_free(importance);
    return status;
}

static lt_status alloc_buffers(sfron *s)
{
    const lt_unlearn_in *in = s->in;
    const int64_t batch = s->cfg->batch;
    s->n_row[0] = in->forget->n, s->n_row[1] = in->retain->n;
    s->n_cycle[0] = batch < s->n_row[0] ? batch : s->n_row[0];
    s->n_cycle[1] = batch * s->cfg->forget_every;
    s->mask = lti_calloc((size_t)in->model->n_params, sizeof *s->mask);
    s->state = lti_aligned_alloc(64, (size_t)(in->model->n_state + 1) * sizeof *s->state);
    s->ce = lti_calloc(2 * (size_t)batch, sizeof *s->ce);
    bool all = s->mask && s->state && s->ce;
    for (int i = 0; i < 2; i++) {
        s->order[i] = lti_calloc((size_t)s->n_row[i], sizeof *s->order[i]);
        s->row[i] = lti_calloc((size_t)s->n_cycle[i], sizeof *s->row[i]);
        all = all && s->order[i] && s->row[i];
    }
    return all ? LT_OK : LTI_NOMEM("sfr-on");
}

static void open_plans(sfron *s)
{
    const lt_model *m = s->in->model;
    s->logits = s->outs[0] = m->logits;
    s->plans = (lti_plans){.graph = m->graph,
                           .backend = s->in->env->backend,
                           .params = m->params,
                           .state = s->state,
                           .spec = {.outs = s->outs,
                                    .n_outs = 1,
                                    .grad_of = LT_NONE,
                                    .seed = LT_NONE,
                                    .train = !s->cfg->freeze_bn,
                                    .dtype = LT_F32,
                                    .flags = s->in->env->plan_flags}};
    s->objective = (lt_objective){.name = "sfr-on", .build = build, .fill = fill, .ctx = s};
}

static void add_phases(sfron *s, lt_job *job)
{
    lt_view view[2] = {lti_forget_view(s->in, s->cfg->augment), lti_retain_view(s->in, s->cfg->augment)};
    for (int i = 0; i < 2; i++) {
        view[i].row = s->row[i];
        view[i].n = s->n_cycle[i];
        lti_add_view(job, lti_add_phase(job, false), view[i]);
    }
    s->forget_tag = job->phase[0].view[0].tag;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    sfron *s = lti_calloc(1, sizeof *s);
    if (!s)
        return LTI_NOMEM("sfr-on");
    ctx->own = s;
    ctx->own_free = sfron_free;
    s->cfg = c;
    s->in = in;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    LT_TRY(alloc_buffers(s));
    LT_TRY(make_mask(s, ctx));
    open_plans(s);
    add_phases(s, job);
    const int64_t steps = c->epochs * ((in->retain->n + c->batch - 1) / c->batch);
    const int64_t cycles = (steps + c->forget_every - 1) / c->forget_every;
    job->cfg.epochs = (int32_t)(cycles < 1 ? 1 : cycles);
    job->objective = &s->objective;
    job->on_epoch = on_epoch;
    job->on_gradient = on_gradient;
    job->ctx = s;
    job->memory = &s->passes;
    job->memory_bytes = sizeof s->passes;
    return on_epoch(job, 0, s);
}

static lt_status finish(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const sfron *s = ctx->own;
    (void)in, (void)cfg, (void)job;
    ctx->update_passes.n_forward += s->passes.n_forward;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.area = 7.5, .epochs = 8, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 0.01f, .epochs = 8, .batch = 256, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_sfr_on = {
    .name = "sfr-on",
    .title = "SFR-on, ascent within the geometry of the retained data",
    .label = "SFR-on",
    .cite = "sfron",
    .doc = "Every fifth step ascends on forgotten images, which count the more the smaller their loss, over the "
           "parameters that matter more to them than to the retained images; all other steps descend on retained "
           "images. The average of fast and slow weights is left out: in the authors' code its weight switches it off. "
           "Their 1,500 steps of batch 256 are 8 passes over the retained images of CIFAR-10, which is the default "
           "here at any size of the data; an epoch of the log is one cycle of six steps.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .finish = finish,
    .defaults = defaults,
    .published = published,
};
