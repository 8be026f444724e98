// l2ul.c - Learning to Unlearn: leave the true labels, learn adversarial images of the forget set instead, and hold the
// parameters that matter to it least. docs/methods/l2ul.md
//
//     L = -w_f CE(z(x), y) + w_a CE(z(x_adv), y~) + lambda sum_i W_i (theta_i - theta_o,i)^2 / 2      [L2UL 2, 3]
#include "unlearn/perturb.h"
#include "unlearn/recipe.h"
#include "train/train_impl.h"
#include "model/model_impl.h"
#include <math.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    int32_t form;
    double eps, step_size, adversarial_weight, importance_weight;
    int32_t steps, adversarial_images;
    int64_t forget_batch;
    double stop_at;
};

enum { FORM_AUTO, FORM_SAMPLES, FORM_CLASSES };
static const lt_opt_value forms[] = {
    {"auto", FORM_AUTO, "classes where whole classes are forgotten, else samples"},
    {"samples", FORM_SAMPLES,
     "the authors' values: eps 4, 100 steps, 20 adversarial images each, weights by batch size"},
    {"classes", FORM_CLASSES,
     "those of a class-level re-implementation: eps 0.4, 10 steps, one image each, weight 0.1"},
    {NULL, 0, NULL},
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN_OF(struct cfg, LT_SGD, 5e-4, 0, LT_L1_CONST, 1, LTI_MASK_NONE),
    LT_ENUM(struct cfg, form, FORM_AUTO, forms, "whose values the options below take where they are open"),
    LT_F64(struct cfg, eps, 0, 0, 1e6, "pixels in [0,1]", "L2 radius of the adversarial images; 0 = the form's own"),
    LT_F64(struct cfg, step_size, 0, 0, 1e6, "", "length of a step of the attack; 0 = the form's own"),
    LT_F64(struct cfg, adversarial_weight, -1, -1, 1e6, "",
           "weight of the adversarial images relative to a weight of 1 of the forget images; -1 = the form's own"),
    LT_F64(struct cfg, importance_weight, 1, 0, 1e9, "", "weight of the penalty on parameters of small importance"),
    LT_I32(struct cfg, steps, 0, 0, 100000, "steps", "steps of the attack; 0 = the form's own"),
    LT_I32(struct cfg, adversarial_images, 0, 0, 1000, "images",
           "adversarial images of a forget image, each with its own random class; 0 = the form's own"),
    LT_I64(struct cfg, forget_batch, 0, 0, 65536, "images", "forget images of a step; 0 = the batch size"),
    LT_F64(struct cfg, stop_at, 0, -1, 1, "", "ends when the accuracy on the forget set is at most this; -1 = never"),
    LT_OPT_END,
};

typedef struct l2ul {
    const struct cfg *cfg;
    const lt_unlearn_in *in;
    lt_unlearn_plan_ctx *plan_ctx;
    int64_t n;      // adversarial images
    float *image;   // (n,C,H,W)
    int32_t *label; // (n)
    int64_t *row;   // (n)
    float *origin;  // (n_params) theta_o
    float *hold;    // (n_params) 1 - importance, scaled per tensor to [0,1]
} l2ul;

static void l2ul_free(void *own)
{
    l2ul *l = own;
    if (!l)
        return;
    lti_free(l->image);
    lti_free(l->label);
    lti_free(l->row);
    lti_free(l->origin);
    lti_free(l->hold);
    lti_free(l);
}

// ---- importance: mean |d |z(x)|_2 / d theta|, batch by batch [L2UL 4]

static lt_status add_importance(l2ul *l, lti_plans *plans, lt_val seed, const lt_batch *b, const float *grads)
{
    const lt_model *m = l->in->model;
    const int32_t k = m->shape.n_classes;
    const size_t per = (size_t)m->shape.c * (size_t)m->shape.h * (size_t)m->shape.w;
    lt_plan *plan = NULL;
    LT_TRY(lti_plans_get(plans, b->n, &plan));
    memcpy(lt_plan_buffer(plan, m->x), b->x, (size_t)b->n * per * sizeof *b->x);
    LT_TRY(lt_plan_run_forward(plan));
    const float *z = lt_plan_buffer(plan, m->logits);
    float *dz = lt_plan_buffer(plan, seed); // of the mean over the batch of |z|_2
    for (int64_t i = 0; i < b->n; i++) {
        double square = 0;
        for (int32_t j = 0; j < k; j++)
            square += (double)z[i * k + j] * (double)z[i * k + j];
        for (int32_t j = 0; j < k; j++)
            dz[i * k + j] = (float)((double)z[i * k + j] / ((double)b->n * sqrt(square > 0 ? square : 1)));
    }
    LT_TRY(lt_plan_run_backward(plan));
    const float share = (float)b->n / (float)l->in->forget->n;
    for (int64_t i = 0; i < m->n_params; i++)
        l->hold[i] += share * fabsf(grads[i]);
    l->plan_ctx->update_passes.n_forward += b->n;
    l->plan_ctx->update_passes.n_backward += b->n;
    return LT_OK;
}

static lt_status run_importance(l2ul *l, lti_plans *plans, lt_val seed, const float *grads)
{
    const lt_view view = lti_forget_view(l->in, false);
    const lt_loader_spec spec = {
        .views = &view, .n_views = 1, .batch = l->cfg->batch, .n_threads = l->in->env->loader_threads};
    lt_loader *loader = NULL;
    LT_TRY(lt_loader_create(&spec, &loader));
    lt_status status = lt_loader_start(loader, 0, 0);
    for (int64_t done = 0; status == LT_OK && done < view.n;) {
        const lt_batch *b = NULL;
        status = lt_loader_next(loader, &b);
        if (status == LT_OK)
            status = add_importance(l, plans, seed, b, grads);
        done += status == LT_OK ? b->n : 0;
    }
    lt_loader_destroy(loader);
    return status;
}

// hold <- 1 - (importance - min) / (max - min), tensor by tensor.
static void invert_importance(l2ul *l)
{
    const lt_model *m = l->in->model;
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        lt_value_info info;
        if (!lti_model_tensor(m, v, &info) || info.role != LT_ROLE_PARAM)
            continue;
        float *w = l->hold + info.slab_offset, least = w[0], most = w[0];
        const int64_t n = lti_model_shape_count(&info.shape);
        for (int64_t i = 1; i < n; i++) {
            least = w[i] < least ? w[i] : least;
            most = w[i] > most ? w[i] : most;
        }
        for (int64_t i = 0; i < n; i++)
            w[i] = most > least ? 1 - (w[i] - least) / (most - least) : 1;
    }
}

static lt_status measure_importance(l2ul *l)
{
    const lt_model *m = l->in->model;
    const size_t n = (size_t)m->n_params;
    lt_graph *graph = NULL;
    float *grads = lti_aligned_alloc(64, n * sizeof *grads);
    l->hold = lti_calloc(n, sizeof *l->hold);
    l->origin = lti_malloc(n * sizeof *l->origin);
    lti_plans plans = {0};
    lt_status status = grads && l->hold && l->origin ? lt_graph_dup(m->graph, &graph) : LTI_NOMEM("importance");
    if (status == LT_OK) {
        const lt_val seed = lt_input(graph, "l2ul.seed", LT_F32, LT_SHAPE(LT_BATCH, m->shape.n_classes));
        const lt_val outs[1] = {m->logits};
        memcpy(l->origin, m->params, n * sizeof *l->origin);
        plans = (lti_plans){.graph = graph,
                            .backend = l->in->env->backend,
                            .params = m->params,
                            .state = m->state,
                            .grads = grads,
                            .spec = {.outs = outs,
                                     .n_outs = 1,
                                     .grad_of = m->logits,
                                     .seed = seed,
                                     .wrt_params = true,
                                     .dtype = LT_F32,
                                     .flags = l->in->env->plan_flags}};
        status = run_importance(l, &plans, seed, grads);
        lti_plans_clear(&plans);
    }
    if (status == LT_OK)
        invert_importance(l);
    lt_graph_destroy(graph);
    lti_free(grads);
    return status;
}

// ---- the penalty [L2UL 3]

static double penalty_weight(void *ctx, const lt_update_at *at)
{
    (void)at;
    return ((const l2ul *)ctx)->cfg->importance_weight;
}

static void add_penalty(void *ctx, float weight, int64_t from, int64_t n, const float *p, float *g)
{
    const l2ul *l = ctx;
    for (int64_t i = 0; i < n; i++)
        g[i] += weight * l->hold[from + i] * (p[i] - l->origin[from + i]);
}

// ---- adversarial images

static lt_status make_images(l2ul *l, const struct cfg *c)
{
    const lt_unlearn_in *in = l->in;
    const size_t d = (size_t)in->ds->c * (size_t)in->ds->h * (size_t)in->ds->w;
    l->n = in->forget->n * c->adversarial_images;
    l->image = lti_calloc((size_t)l->n * d, sizeof *l->image);
    l->label = lti_calloc((size_t)l->n, sizeof *l->label);
    l->row = lti_calloc((size_t)l->n, sizeof *l->row);
    if (!l->image || !l->label || !l->row)
        return LTI_NOMEM("adversarial images");
    for (int64_t i = 0; i < l->n; i++) {
        const int64_t row = in->forget->row[i % in->forget->n];
        const int32_t y = in->ds->split[LT_TRAIN].y[row];
        lt_rng rng = lt_rng_at(in->seed, LT_STREAM_UNLEARN, 1, (uint64_t)i);
        const int32_t other = (int32_t)lt_rng_below(&rng, (uint64_t)(in->ds->n_classes - 1));
        l->row[i] = row;
        l->label[i] = other + (other >= y);
    }
    const lt_view view = lt_view_rows(in->ds, LT_TRAIN, &(lt_index_set){.n = l->n, .row = l->row});
    const lti_perturb attack = {.norm = LT_NORM_L2,
                                .eps = c->eps,
                                .step_size = c->step_size,
                                .steps = c->steps,
                                .targeted = true,
                                .seed = in->seed};
    return lti_perturb_view(in->model, in->env, &view, l->label, &attack, l->image, &l->plan_ctx->update_passes);
}

static lt_status on_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    const l2ul *l = ctx;
    const lt_view forget = lti_forget_view(l->in, false);
    lt_eval_result r;
    if (epoch == 0 || l->cfg->stop_at < 0)
        return LT_OK;
    LT_TRY(lt_evaluate(job->model, &forget, l->in->env, l->cfg->batch, NULL, NULL, &r));
    l->plan_ctx->update_passes.n_forward += forget.n;
    if (r.acc <= l->cfg->stop_at) {
        job->cfg.epochs = epoch;
        lt_info(l->in->env->events, "unlearn.l2ul", "l2ul: forget accuracy %.3f: ends after %d epochs", r.acc,
                (int)epoch);
    }
    return LT_OK;
}

static void add_views(l2ul *l, const struct cfg *c, lt_job *job)
{
    const int64_t forget_batch = c->forget_batch > 0 ? c->forget_batch : c->batch;
    const double both = (double)(forget_batch + c->batch);
    const bool by_size = c->adversarial_weight < 0; // the form of the authors
    lt_view adversarial = lt_view_rows(l->in->ds, LT_TRAIN, &(lt_index_set){.n = l->n, .row = l->row});
    adversarial.images = l->image;
    adversarial.labels = l->label;
    adversarial.weight = (float)(by_size ? (double)c->batch / both : c->adversarial_weight);
    lti_add_view(job, lti_add_phase(job, true), adversarial);
    lt_view forget = lti_forget_view(l->in, c->augment);
    forget.weight = (float)(by_size ? -(double)forget_batch / both : -1);
    lt_phase *companion = lti_add_phase(job, true);
    companion->companion = true;
    companion->batch = forget_batch;
    lti_add_view(job, companion, forget);
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    const double start_s = lti_now_s();
    l2ul *l = lti_calloc(1, sizeof *l);
    if (!l)
        return LTI_NOMEM("l2ul");
    ctx->own = l;
    ctx->own_free = l2ul_free;
    *l = (l2ul){.cfg = c, .in = in, .plan_ctx = ctx};
    if (in->ds->n_classes < 2)
        return LT_FAIL(LT_E_USAGE, "l2ul: expected at least 2 classes to aim at another one, found %d",
                       in->ds->n_classes);
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    LT_TRY(make_images(l, c));
    add_views(l, c, job);
    if (c->importance_weight > 0) {
        LT_TRY(measure_importance(l));
        job->penalty[job->n_penalties++] =
            (lt_penalty){.name = "l2ul", .weight = penalty_weight, .add = add_penalty, .ctx = l};
    }
    job->on_epoch = on_epoch;
    job->ctx = l;
    ctx->plan_s = lti_now_s() - start_s;
    return LT_OK;
}

static void choose_form(const lt_unlearn_in *in, void *cfg, lt_unlearn_form *form)
{
    struct cfg *c = cfg;
    bool whole = in->retain != NULL;
    const int32_t *y = in->ds->split[LT_TRAIN].y;
    for (int64_t i = 0; whole && i < in->retain->n; i++) // one forgotten class is enough to tell
        whole = in->forget->n > 0 && y[in->retain->row[i]] != y[in->forget->row[0]];
    form->is_second = c->form == FORM_CLASSES || (c->form == FORM_AUTO && whole);
    form->name = form->is_second ? "class form" : "sample form";
    form->reason = c->form != FORM_AUTO ? NULL : whole ? "whole classes" : "samples";
    c->eps = c->eps > 0 ? c->eps : form->is_second ? 0.4 : 4;
    c->step_size = c->step_size > 0 ? c->step_size : 0.1;
    c->steps = c->steps > 0 ? c->steps : form->is_second ? 10 : 100;
    c->adversarial_images = c->adversarial_images > 0 ? c->adversarial_images : form->is_second ? 1 : 20;
    if (c->adversarial_weight < 0 && form->is_second)
        c->adversarial_weight = 0.1;
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_OF_CLASSES, .area = 0.005, .epochs = 20, .lr_step_every = LT_STEP_COSINE},
    {.when = 0, .area = 0.04, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.when = LT_OF_CLASSES, .lr = 1e-4f, .epochs = 20, .batch = 128, .lr_step_every = 0},
    {.when = 0, .lr = 1e-3f, .epochs = 100, .batch = 256, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_l2ul = {
    .name = "l2ul",
    .title = "Learning to Unlearn, adversarial images and importance",
    .label = "L2UL",
    .cite = "l2ul",
    .doc =
        "Ascends on the forget set and descends on adversarial images of it, labelled with the random classes they "
        "were aimed at, while a penalty holds the parameters of small importance to the forget set. No retained "
        "data. Ends when the forget accuracy is 0. Deviation: batch norm is frozen in both branches (the class-level "
        "re-implementation freezes it in the adversarial one), as forgotten images alone would move its statistics.",
    .needs = LT_FORGET_ONLY | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .choose_form = choose_form,
    .defaults = defaults,
    .published = published,
};
