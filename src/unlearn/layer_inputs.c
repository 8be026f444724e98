// layer_inputs.c - runs the part of a network before a layer on samples and hands out what reaches the layer.
//
// One layer at a time, so that memory holds what belongs to one. Evaluation mode, un-augmented. A convolution's inputs
// are the patches its kernel sees, at places drawn by the seed.
#include "unlearn/layer_inputs.h"
#include "train/train_impl.h"
#include <stdlib.h>
#include <string.h>

enum { MAX_LAYERS = 256, BATCH = 64 };

typedef struct collector {
    const lt_unlearn_in *in;
    const lti_layer_inputs *of;
    lt_unlearn_plan_ctx *ctx;
    lt_val outs[1];
    lti_plans plans;
    float *x; // (n_in) one vector
} collector;

// The patch of a (C,H,W) map that the kernel sees at output place (oh,ow).
static void copy_patch(const collector *c, const float *map, const lt_shape *s, int64_t oh, int64_t ow)
{
    const lti_layer *l = c->of->layer;
    const int64_t n_c = s->dim[1], h = s->dim[2], w = s->dim[3];
    float *out = c->x;
    for (int64_t ch = 0; ch < n_c; ch++)
        for (int kh = 0; kh < l->kernel; kh++)
            for (int kw = 0; kw < l->kernel; kw++) {
                const int64_t y = oh * l->stride + kh * l->dilation - l->pad,
                              x = ow * l->stride + kw * l->dilation - l->pad;
                *out++ = y >= 0 && y < h && x >= 0 && x < w ? map[(ch * h + y) * w + x] : 0.0f;
            }
}

static int64_t out_side(const lti_layer *l, int64_t side)
{
    return (side + 2 * l->pad - l->dilation * (l->kernel - 1) - 1) / l->stride + 1;
}

static int64_t patches_of(const collector *c, const lt_shape *s)
{
    const lti_layer *l = c->of->layer;
    if (!l->conv)
        return 1;
    const int64_t all = out_side(l, s->dim[2]) * out_side(l, s->dim[3]), n = c->of->rows->n;
    const int64_t per = (c->of->patches + n - 1) / n;
    return per < 1 ? 1 : per < all ? per : all;
}

// The vectors of one sample; v->n patches of a convolution.
static void hand_out(const collector *c, const float *input, const lt_shape *s, int64_t id, lti_layer_vector *v)
{
    const lti_layer *l = c->of->layer;
    v->x = l->conv ? c->x : input;
    if (!l->conv) {
        c->of->each(c->of->ctx, v);
        return;
    }
    const int64_t oh = out_side(l, s->dim[2]), ow = out_side(l, s->dim[3]);
    lt_rng rng = lt_rng_at(c->in->seed, LT_STREAM_UNLEARN, (uint32_t)l->w, (uint64_t)id);
    for (int64_t p = 0; p < v->n; p++) {
        const int64_t at = v->n >= oh * ow ? p : (int64_t)lt_rng_below(&rng, (uint64_t)(oh * ow));
        copy_patch(c, input, s, at / ow, at % ow);
        c->of->each(c->of->ctx, v);
    }
}

static int64_t row_count(const lt_shape *s) // values of one sample
{
    int64_t n = 1;
    for (int i = 1; i < s->n_dims; i++)
        n *= s->dim[i];
    return n;
}

static lt_status run_view(collector *c, const lt_view *view, lt_loader *loader)
{
    const lt_model *m = c->of->model;
    const size_t per_image = (size_t)m->shape.c * (size_t)m->shape.h * (size_t)m->shape.w;
    lt_value_info info;
    LT_TRY(lt_graph_value(m->graph, c->of->layer->x, &info));
    const int64_t patches = patches_of(c, &info.shape), per = row_count(&info.shape);
    LT_TRY(lt_loader_start(loader, 0, 0));
    for (int64_t done = 0; done < view->n;) {
        const lt_batch *b = NULL;
        lt_plan *plan = NULL;
        if (lt_interrupted(c->in->env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "inputs of a layer: interrupted after %lld of %lld images",
                           (long long)done, (long long)view->n);
        LT_TRY(lt_loader_next(loader, &b));
        LT_TRY(lti_plans_get(&c->plans, b->n, &plan));
        memcpy(lt_plan_buffer(plan, m->x), b->x, (size_t)b->n * per_image * sizeof *b->x);
        LT_TRY(lt_plan_run(plan));
        const float *input = lt_plan_buffer(plan, c->of->layer->x);
        for (int64_t i = 0; i < b->n; i++) {
            lti_layer_vector v = {.sample = done + i, .n = patches, .label = b->y[i]};
            hand_out(c, input + i * per, &info.shape, b->id[i], &v);
        }
        c->ctx->update_passes.n_forward += b->n;
        done += b->n;
    }
    return LT_OK;
}

lt_status lti_layer_inputs_run(const lt_unlearn_in *in, const lti_layer_inputs *inputs, lt_unlearn_plan_ctx *ctx)
{
    const lt_model *m = inputs->model;
    lt_view view = lt_view_rows(in->ds, LT_TRAIN, inputs->rows);
    const lt_loader_spec spec = {.views = &view, .n_views = 1, .batch = BATCH, .n_threads = in->env->loader_threads};
    lt_loader *loader = NULL;
    collector c = {.in = in, .of = inputs, .ctx = ctx, .outs = {inputs->layer->x}};
    c.plans = (lti_plans){.graph = m->graph,
                          .backend = in->env->backend,
                          .params = m->params, // a plan without gradients in evaluation mode only reads its slabs
                          .state = m->state,
                          .spec = {.outs = c.outs,
                                   .n_outs = 1,
                                   .grad_of = LT_NONE,
                                   .seed = LT_NONE,
                                   .dtype = LT_F32,
                                   .flags = in->env->plan_flags & ~(unsigned)LT_PLAN_BF16}};
    LT_TRY(lti_job_view_check(m, &view, "inputs of a layer"));
    c.x = lti_calloc((size_t)inputs->layer->n_in, sizeof *c.x);
    lt_status status = c.x ? lt_loader_create(&spec, &loader) : LTI_NOMEM("inputs of a layer");
    if (status == LT_OK)
        status = run_view(&c, &view, loader);
    lt_loader_destroy(loader);
    lti_plans_clear(&c.plans);
    lti_free(c.x);
    return status;
}

static int compare_rows(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

void lti_sort_rows(lt_index_set *rows)
{
    qsort(rows->row, (size_t)rows->n, sizeof *rows->row, compare_rows);
}

lt_status lti_draw_rows(const lt_unlearn_in *in, const lt_index_set *all, int64_t most, uint32_t step,
                        lt_index_set *out)
{
    out->n = all->n < most ? all->n : most;
    out->row = lti_calloc((size_t)all->n, sizeof *out->row);
    if (!out->row)
        return LTI_NOMEM("samples");
    lt_rng_permutation(in->seed, LT_STREAM_UNLEARN, step, all->n, out->row);
    for (int64_t i = 0; i < all->n; i++)
        out->row[i] = all->row[out->row[i]];
    lti_sort_rows(out); // sums over all rows then do not depend on the seed
    return LT_OK;
}

static lt_status walk_layers(const lt_unlearn_in *in, const lti_layer_walk *walk, lt_model *work)
{
    lti_layer *layer = lti_calloc(MAX_LAYERS, sizeof *layer);
    lt_status status = layer ? LT_OK : LTI_NOMEM("layers");
    const int n = layer ? lti_model_layers(work, layer, MAX_LAYERS) : 0;
    for (int l = 0; l < n && l < MAX_LAYERS && status == LT_OK; l++) {
        if (layer[l].groups != 1)
            continue;
        status = walk->edit(walk->ctx, walk->sequential ? work : in->model, work, &layer[l], l, n);
        lt_emit(in->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                             .name = "unlearn.progress",
                                             .done = l + 1,
                                             .total = n,
                                             .unit = "layers",
                                             .epoch = -1,
                                             .step = -1});
    }
    lti_free(layer);
    return status;
}

lt_status lti_layers_edit(const lt_unlearn_in *in, const lti_layer_walk *walk)
{
    lt_model *work = NULL; // changed layer by layer; in->model only at the end
    LT_TRY(lt_model_dup(in->model, &work));
    const lt_status status = walk_layers(in, walk, work);
    if (status == LT_OK)
        memcpy(in->model->params, work->params, (size_t)work->n_params * sizeof *work->params);
    lt_model_destroy(work);
    return status;
}
