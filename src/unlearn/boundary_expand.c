// boundary_expand.c - boundary expanding: give the forget set a class of its own, then take that class away.
// [Boundary] [AMUN 5]
//
// The last layer gets a (K+1)-th row with a default initialisation; min CE(z(x), K) over D_F trains the whole widened
// network; then the row is cut off again. No retain data.
#include "unlearn/recipe.h"
#include "model/model_impl.h"
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
};

static const lt_option opts[] = {LTI_RECIPE_ROWS_OPEN(struct cfg), LT_OPT_END};

typedef struct expand {
    lt_model *wide;
    uint8_t *mask; // (n_params of wide), or NULL
} expand;

static void expand_free(void *own)
{
    expand *e = own;
    lt_model_destroy(e->wide);
    lti_free(e->mask);
    lti_free(e);
}

// Calls copy for every parameter and state tensor with its places in both models; n: elements that both have, which of
// the last layer are the first ones of the wider.
typedef void copy_fn(void *ctx, lt_role role, int64_t narrow_at, int64_t wide_at, int64_t n);
static void for_tensors(const lt_model *narrow, const lt_model *wide, copy_fn *copy, void *ctx)
{
    for (lt_val v = 0; v < lt_graph_n_values(narrow->graph); v++) {
        lt_value_info a, b;
        if (!lti_model_tensor(narrow, v, &a))
            continue;
        if (!lti_model_tensor(wide, lt_graph_find(wide->graph, a.name), &b))
            LT_BUG("%s: a wider last layer has lost tensor %s", narrow->spec, a.name);
        copy(ctx, a.role, a.slab_offset, b.slab_offset, lti_model_shape_count(&a.shape));
    }
}

typedef struct pair {
    lt_model *narrow, *wide;
    const uint8_t *mask;
    uint8_t *wide_mask;
} pair;

static void floats(float *to, const float *from, int64_t n)
{
    memcpy(to, from, (size_t)n * sizeof *to);
}

static void widen(void *ctx, lt_role role, int64_t narrow_at, int64_t wide_at, int64_t n)
{
    const pair *p = ctx;
    if (role == LT_ROLE_STATE)
        floats(p->wide->state + wide_at, p->narrow->state + narrow_at, n);
    else
        floats(p->wide->params + wide_at, p->narrow->params + narrow_at, n);
    if (role == LT_ROLE_PARAM && p->wide_mask)
        memcpy(p->wide_mask + wide_at, p->mask + narrow_at, (size_t)n);
}

static void remove_extra_class(void *ctx, lt_role role, int64_t narrow_at, int64_t wide_at, int64_t n)
{
    const pair *p = ctx;
    if (role == LT_ROLE_STATE)
        floats(p->narrow->state + narrow_at, p->wide->state + wide_at, n);
    else
        floats(p->narrow->params + narrow_at, p->wide->params + wide_at, n);
}

static lt_status on_batch(lt_job *job, int phase, const lt_batch *batch, int32_t *labels, void *ctx)
{
    (void)phase, (void)ctx;
    for (int64_t i = 0; i < batch->n; i++)
        labels[i] = job->model->shape.n_classes - 1;
    return LT_OK;
}

// The new row is free to move under any mask: it is no parameter of the model.
static lt_status make_wide(const lt_unlearn_in *in, expand *e, const uint8_t *mask)
{
    lt_model_shape shape = in->model->shape;
    shape.n_classes++;
    LT_TRY(lt_model_create(in->model->spec, shape, &e->wide));
    lt_model_init(e->wide, in->seed);
    if (mask) {
        e->mask = lti_malloc((size_t)e->wide->n_params);
        if (!e->mask)
            return LTI_NOMEM("mask");
        memset(e->mask, 1, (size_t)e->wide->n_params);
    }
    for_tensors(in->model, e->wide, widen, &(pair){in->model, e->wide, mask, e->mask});
    e->wide->bn_batches = in->model->bn_batches;
    return LT_OK;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    expand *e = lti_calloc(1, sizeof *e);
    if (!e)
        return LTI_NOMEM("wider model");
    ctx->own = e;
    ctx->own_free = expand_free;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    LT_TRY(make_wide(in, e, ctx->mask));
    job->model = e->wide;
    job->mask = e->mask;
    lti_add_view(job, lti_add_phase(job, true), lti_forget_view(in, c->augment));
    job->on_batch = on_batch;
    return LT_OK;
}

static lt_status finish(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    (void)cfg, (void)ctx;
    for_tensors(in->model, job->model, remove_extra_class, &(pair){in->model, job->model, NULL, NULL});
    in->model->bn_batches = job->model->bn_batches;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.when = 0, .area = 0.04, .epochs = 10, .lr_step_every = 1},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 1e-5f, .epochs = 10, .batch = 64, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_boundary_expand = {
    .name = "boundary-expand",
    .title = "Boundary expanding",
    .label = "Boundary expanding",
    .cite = "boundary",
    .doc = "Adds one class to the last layer, trains the forget set towards it, and removes it again. Never reads "
           "retain data. The new row starts from the default initialisation drawn by the seed.",
    .needs = LT_FORGET_ONLY | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
    .finish = finish,
};
