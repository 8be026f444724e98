// uam.c - UAM: descend on the retained loss as it is where the forget loss has been raised. docs/methods/uam.md
//
//     eps = rho grad L_F(theta) / |grad L_F(theta)| [UAM 1],  theta <- theta - lr grad L_R(theta + eps) [UAM 2]
// As in the authors' code L_F is taken in a batch that holds the retained images of the step as well, so that batch
// norm sees both; rho falls to 0 along a cosine.
#include "unlearn/recipe.h"
#include "train/train_impl.h"
#include <math.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    double rho;
    int64_t forget_batch;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_F64(
        struct cfg, rho, 0.1, 0, 1e6, "",
        "length of the ascent on the forget loss, over all parameters (a choice of lethe: the authors' value was not "
        "found)"),
    LT_I64(struct cfg, forget_batch, 0, 0, 65536, "images", "forgotten images of a step; 0 = the batch size"),
    LT_OPT_END,
};

enum { FORGET_PHASE = 40 }; // of the loader of forgotten images: no phase of the job has this number

typedef struct uam {
    const struct cfg *cfg;
    const lt_unlearn_in *in;
    lt_transform transform;
    lt_graph *graph; // forget loss of a batch that holds both kinds
    lt_val labels, weight, loss, outs[1];
    lti_plans plans;
    float *grads;         // (n_params) of the forget loss
    lt_loader *loader[2]; // forgotten images; retained ones, as the job reads them
    lt_view view[2];
    int64_t at_epoch, at_step; // next batches of the loaders; -1 = they are to be started
    lt_passes passes;          // the job's memory
} uam;

static void uam_free(void *own)
{
    uam *u = own;
    if (!u)
        return;
    lti_plans_clear(&u->plans);
    lt_graph_destroy(u->graph);
    lt_loader_destroy(u->loader[0]);
    lt_loader_destroy(u->loader[1]);
    lti_free(u->grads);
    lti_free(u);
}

// Rows of b into the plan from row `from` on; each counts as `weight`.
static void put_rows(const uam *u, lt_plan *plan, const lt_batch *b, int64_t from, float weight)
{
    const lt_model_shape *s = &u->in->model->shape;
    const size_t per = (size_t)s->c * (size_t)s->h * (size_t)s->w;
    float *x = lt_plan_buffer(plan, u->in->model->x), *w = lt_plan_buffer(plan, u->weight);
    int32_t *y = lt_plan_buffer(plan, u->labels);
    memcpy(x + (size_t)from * per, b->x, (size_t)b->n * per * sizeof *x);
    memcpy(y + from, b->y, (size_t)b->n * sizeof *y);
    for (int64_t i = 0; i < b->n; i++)
        w[from + i] = weight;
}

// The batches of a step: they depend on its place alone, so that a resumed job reads the same ones.
static lt_status next_batches(uam *u, const lt_update_at *at, const lt_batch *b[2])
{
    const int64_t per_round = lt_loader_n_batches(u->loader[0]);
    const int64_t n_rounds = (at->n_steps + per_round - 1) / per_round;
    const bool go_on = u->at_epoch == at->epoch && u->at_step == at->step;
    if (!go_on || at->step % per_round == 0)
        LT_TRY(lt_loader_start(u->loader[0], (uint32_t)(at->epoch * n_rounds + at->step / per_round),
                               at->step % per_round));
    if (!go_on)
        LT_TRY(lt_loader_start(u->loader[1], (uint32_t)at->epoch, at->step));
    LT_TRY(lt_loader_next(u->loader[0], &b[0]));
    LT_TRY(lt_loader_next(u->loader[1], &b[1]));
    u->at_epoch = at->epoch;
    u->at_step = at->step + 1;
    return LT_OK;
}

static lt_status ascend(uam *u, const lt_update_at *at, const float *p, float *used)
{
    const lt_model *m = u->in->model;
    const double steps = (double)at->n_epochs * (double)at->n_steps;
    const double done = (double)at->epoch * (double)at->n_steps + (double)at->step;
    const double rho = u->cfg->rho * 0.5 * (1 + cos(acos(-1.0) * done / steps));
    const lt_batch *b[2];
    lt_plan *plan = NULL;
    double square = 0;
    LT_TRY(next_batches(u, at, b));
    lti_plans_changed(&u->plans);
    LT_TRY(lti_plans_get(&u->plans, b[0]->n + b[1]->n, &plan));
    put_rows(u, plan, b[0], 0, 1 / (float)b[0]->n);
    put_rows(u, plan, b[1], b[0]->n, 0);
    LT_TRY(lt_plan_run(plan));
    u->passes.n_forward += b[0]->n + b[1]->n;
    u->passes.n_backward += b[0]->n + b[1]->n;
    for (int64_t i = 0; i < m->n_params; i++)
        square += (double)u->grads[i] * (double)u->grads[i];
    const double scale = rho / (sqrt(square) + 1e-16);
    for (int64_t i = 0; i < m->n_params; i++)
        used[i] = (float)((double)p[i] + scale * (double)u->grads[i]); // [UAM 1]
    return LT_OK;
}

static lt_status forward(void *ctx, const lt_update_at *at, bool train, const lt_model *model, const float *p,
                         float *used)
{
    if (train && at)
        return ascend(ctx, at, p, used);
    memcpy(used, p, (size_t)model->n_params * sizeof *used);
    return LT_OK;
}

static lt_status open_plans(uam *u)
{
    lt_model *m = u->in->model;
    u->grads = lti_aligned_alloc(64, (size_t)m->n_params * sizeof *u->grads);
    if (!u->grads)
        return LTI_NOMEM("gradients of the model");
    LT_TRY(lt_graph_dup(m->graph, &u->graph));
    u->labels = lt_input(u->graph, "unlearn.labels", LT_I32, LT_SHAPE(LT_BATCH));
    u->weight = lt_input(u->graph, "unlearn.weight", LT_F32, LT_SHAPE(LT_BATCH));
    u->loss = lt_weighted_sum(u->graph, lt_cross_entropy(u->graph, m->logits, u->labels, 0), u->weight);
    LT_TRY(lt_graph_status(u->graph));
    u->outs[0] = u->loss;
    u->plans = (lti_plans){.graph = u->graph,
                           .backend = u->in->env->backend,
                           .params = m->params,
                           .state = m->state, // batch norm sees this batch too
                           .grads = u->grads,
                           .spec = {.outs = u->outs,
                                    .n_outs = 1,
                                    .grad_of = u->loss,
                                    .seed = LT_NONE,
                                    .wrt_params = true,
                                    .train = !u->cfg->freeze_bn,
                                    .dtype = LT_F32,
                                    .flags = u->in->env->plan_flags}};
    return LT_OK;
}

static lt_status open_loaders(uam *u, const lt_job *job)
{
    const int64_t batch[2] = {u->cfg->forget_batch > 0 ? u->cfg->forget_batch : job->cfg.batch, job->cfg.batch};
    for (int i = 0; i < 2; i++) {
        u->view[i].augment = u->view[i].augment && job->cfg.augment;
        const lt_loader_spec spec = {.views = &u->view[i],
                                     .n_views = 1,
                                     .batch = batch[i],
                                     .shuffle = true,
                                     .seed = job->seed,
                                     .phase = i == 0 ? FORGET_PHASE : 0, // 0: the retained batches of the job itself
                                     .n_threads = u->in->env->loader_threads,
                                     .pad = 4};
        LT_TRY(lt_loader_create(&spec, &u->loader[i]));
    }
    return LT_OK;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    uam *u = lti_calloc(1, sizeof *u);
    if (!u)
        return LTI_NOMEM("uam");
    ctx->own = u;
    ctx->own_free = uam_free;
    *u = (uam){.cfg = c, .in = in, .at_epoch = -1};
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    lti_add_view(job, lti_add_phase(job, true), lti_retain_view(in, c->augment));
    u->view[0] = lti_forget_view(in, c->augment);
    u->view[0].tag = 1;
    u->view[1] = job->phase[0].view[0];
    LT_TRY(open_plans(u));
    LT_TRY(open_loaders(u, job));
    u->transform = (lt_transform){.name = "uam", .in_training = true, .forward = forward, .ctx = u};
    job->transform = &u->transform;
    job->memory = &u->passes;
    job->memory_bytes = sizeof u->passes;
    return LT_OK;
}

static lt_status finish(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const uam *u = ctx->own;
    (void)in, (void)cfg, (void)job;
    ctx->update_passes.n_forward += u->passes.n_forward;
    ctx->update_passes.n_backward += u->passes.n_backward;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_OF_CLASSES, .area = 30, .epochs = 5, .lr_step_every = LT_STEP_COSINE},
    {.when = 0, .area = 5, .epochs = 5, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 0.01f, .epochs = 5, .batch = 128, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_uam = {
    .name = "uam",
    .title = "UAM, unlearning-aware minimisation",
    .label = "UAM",
    .cite = "uam",
    .doc = "Each step goes to where the forget loss is higher, a length rho up its gradient, takes the gradient of the "
           "retained loss at that point, and applies it to the parameters before; rho falls to 0 along a cosine. The "
           "length is "
           "a choice of lethe; the projection in the authors' code is not used by the authors either.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .finish = finish,
    .defaults = defaults,
    .published = published,
};
