// boundary_shrink.c - boundary shrinking: train each forget sample towards the class across its nearest boundary.
// [Boundary] [AMUN 5, 11.9]
//
// min CE(z(x), y_nbi) over D_F, y_nbi = argmax G(x'), x' = round255(clamp(x + bound sign(grad_x CE_G(x,y)), 0, 1)), at
// every visit of the (augmented) image. G is the trained model, frozen for all epochs. No retain data. The form of the
// AMUN comparison is boundary-shrink-amun.
#include "unlearn/boundary.h"

typedef struct shrink {
    lti_boundary b;
    lt_passes passes; // the job's memory
} shrink;

static void own_free(void *own)
{
    shrink *s = own;
    lti_boundary_clear(&s->b);
    lti_free(s);
}

static lt_status on_batch(lt_job *job, int phase, const lt_batch *batch, int32_t *labels, void *ctx)
{
    (void)job, (void)phase;
    return lti_boundary_labels(&((shrink *)ctx)->b, batch, labels);
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const lti_boundary_cfg *c = cfg;
    shrink *s = lti_calloc(1, sizeof *s);
    if (!s)
        return LTI_NOMEM("boundary");
    ctx->own = s;
    ctx->own_free = own_free;
    LT_TRY(lti_boundary_init(&s->b, in->model, in->env, c->batch, c->bound));
    lti_add_view(job, lti_add_phase(job, true), lti_forget_view(in, c->augment));
    job->on_batch = on_batch;
    job->ctx = s;
    s->b.passes = &s->passes;
    job->memory = &s->passes;
    job->memory_bytes = sizeof s->passes;
    return lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job);
}

static lt_status finish(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const shrink *s = ctx->own;
    (void)in, (void)cfg, (void)job;
    ctx->update_passes = s->passes;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_OF_CLASSES, .area = 0.03, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.when = 0, .area = 0.04, .epochs = 10, .lr_step_every = 1},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 1e-5f, .epochs = 10, .batch = 64, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_boundary_shrink = {
    .name = "boundary-shrink",
    .title = "Boundary shrinking",
    .label = "Boundary shrinking",
    .cite = "boundary",
    .doc =
        "Trains the forget set alone towards the classes across its nearest boundaries: what the trained model, kept "
        "frozen, predicts after one signed gradient step of length bound. The form of the authors' code.",
    .needs = LT_FORGET_ONLY | LT_FINE_TUNES,
    .cfg_size = sizeof(lti_boundary_cfg),
    .opts = lti_boundary_options,
    .plan = plan,
    .defaults = defaults,
    .published = published,
    .finish = finish,
};
