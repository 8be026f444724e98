// boundary_shrink_amun.c - boundary shrinking as in the AMUN comparison. [AMUN 5, 11.9]
//
// Each epoch: pass 1, CE on D_R in order; then a frozen copy G of the model as it is now; pass 2, CE(z(x), y_nbi) on
// D_F with the labels G gives across its boundary (see boundary_shrink.c). Without retain data only pass 2.
#include "unlearn/boundary.h"
#include <string.h>

typedef struct shrink {
    lti_boundary b;
    int phase;       // of the forget set
    lt_passes *head; // the job's memory: passes, then the frozen copy, (n_params + n_state) floats
    float *memory;   // these floats
    bool fresh;      // the frozen copy is the one in memory
} shrink;

static void own_free(void *own)
{
    shrink *s = own;
    lti_boundary_clear(&s->b);
    lti_free(s->head);
    lti_free(s);
}

static void copy_floats(float *to, const float *from, int64_t n)
{
    if (n > 0)
        memcpy(to, from, (size_t)n * sizeof *to);
}

static lt_status on_phase(lt_job *job, int32_t epoch, int phase, void *ctx)
{
    shrink *s = ctx;
    const lt_model *m = job->model;
    (void)epoch;
    if (phase != s->phase)
        return LT_OK;
    copy_floats(s->memory, m->params, m->n_params);
    copy_floats(s->memory + m->n_params, m->state, m->n_state);
    s->fresh = false;
    return LT_OK;
}

static lt_status on_batch(lt_job *job, int phase, const lt_batch *batch, int32_t *labels, void *ctx)
{
    shrink *s = ctx;
    const lt_model *m = job->model;
    if (phase != s->phase)
        return LT_OK;
    if (!s->fresh) { // at the start of the pass, and after a resume inside it
        copy_floats(s->b.frozen->params, s->memory, m->n_params);
        copy_floats(s->b.frozen->state, s->memory + m->n_params, m->n_state);
        lti_boundary_changed(&s->b);
        s->fresh = true;
    }
    return lti_boundary_labels(&s->b, batch, labels);
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const lti_boundary_cfg *c = cfg;
    const size_t bytes = sizeof(lt_passes) + ((size_t)in->model->n_params + (size_t)in->model->n_state) * sizeof(float);
    shrink *s = lti_calloc(1, sizeof *s);
    if (!s)
        return LTI_NOMEM("boundary");
    ctx->own = s;
    ctx->own_free = own_free;
    LT_TRY(lti_boundary_init(&s->b, in->model, in->env, c->batch, c->bound));
    s->head = lti_calloc(1, bytes);
    if (!s->head)
        return LTI_NOMEM("boundary");
    s->memory = (float *)(void *)(s->head + 1);
    s->b.passes = s->head;
    if (in->use_retain)
        lti_add_view(job, lti_add_phase(job, false), lti_retain_view(in, c->augment));
    s->phase = job->n_phases;
    lti_add_view(job, lti_add_phase(job, true), lti_forget_view(in, c->augment));
    job->on_phase = on_phase;
    job->on_batch = on_batch;
    job->ctx = s;
    job->memory = s->head;
    job->memory_bytes = bytes;
    return lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job);
}

static lt_status finish(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const shrink *s = ctx->own;
    (void)in, (void)cfg, (void)job;
    ctx->update_passes = *s->head;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_WITH_RETAIN, .area = 2, .epochs = 10, .lr_step_every = 1},
    {.when = LT_WITHOUT_RETAIN, .area = 0.04, .epochs = 10, .lr_step_every = 1},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_boundary_shrink_amun = {
    .name = "boundary-shrink-amun",
    .title = "Boundary shrinking with a retain pass",
    .label = "Boundary shrinking + retain",
    .cite = "amun",
    .doc =
        "The form behind the BS rows of the AMUN tables: every epoch descends once over the retain set (unshuffled), "
        "freezes a copy of the model, and trains the forget set towards the classes across that copy's boundaries. "
        "Without retain data only the second part is left.",
    .needs = LT_FINE_TUNES,
    .cfg_size = sizeof(lti_boundary_cfg),
    .opts = lti_boundary_options,
    .plan = plan,
    .defaults = defaults,
    .finish = finish,
};
