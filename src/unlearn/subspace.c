// subspace.c - collects the inputs of every layer and projects its weights. [SVD] [MUpHT]
//
// One layer at a time, so that memory holds the moments of one: the part of the network before it runs on the samples,
// in evaluation mode and un-augmented. A convolution's inputs are the patches its kernel sees, at places drawn by the
// seed.
#include "unlearn/subspace.h"
#include "train/train_impl.h"
#include <math.h>
#include <string.h>

enum { MAX_LAYERS = 256, BATCH = 64 };

void lti_add_second_moment(const float *x, int64_t n, int64_t d, double scale, double *c)
{
    for (int64_t r = 0; r < n; r++)
        for (int64_t i = 0; i < d; i++) {
            const double xi = scale * (double)x[r * d + i];
            double *row = c + i * d;
            for (int64_t j = 0; j <= i && xi != 0; j++)
                row[j] += xi * (double)x[r * d + j];
        }
}

static void mirror(double *c, int64_t d)
{
    for (int64_t i = 0; i < d; i++)
        for (int64_t j = 0; j < i; j++)
            c[j * d + i] = c[i * d + j];
}

lt_status lti_project_rows(float *w, int64_t n_out, int64_t d, const double *pt)
{
    double *row = lti_calloc((size_t)d, sizeof *row);
    if (!row)
        return LTI_NOMEM("weights of a layer");
    for (int64_t o = 0; o < n_out; o++) {
        memset(row, 0, (size_t)d * sizeof *row);
        for (int64_t i = 0; i < d; i++)
            for (int64_t j = 0; j < d; j++)
                row[j] += (double)w[o * d + i] * pt[i * d + j];
        for (int64_t j = 0; j < d; j++)
            w[o * d + j] = (float)((double)w[o * d + j] - row[j]);
    }
    lti_free(row);
    return LT_OK;
}

// ---- inputs of a layer

typedef struct collector {
    const lt_unlearn_in *in;
    const lt_model *model; // that runs
    const lti_layer *layer;
    const lti_subspace_cfg *cfg;
    lt_unlearn_plan_ctx *ctx;
    lt_val outs[1];
    lti_plans plans;
    float *x; // (d) one vector
    int64_t d;
} collector;

// The patch of a (C,H,W) map that the kernel sees at output place (oh,ow).
static void copy_patch(const collector *c, const float *map, const lt_shape *s, int64_t oh, int64_t ow)
{
    const lti_layer *l = c->layer;
    const int64_t n_c = s->dim[1], h = s->dim[2], w = s->dim[3];
    float *out = c->x;
    for (int64_t ch = 0; ch < n_c; ch++)
        for (int kh = 0; kh < l->kernel; kh++)
            for (int kw = 0; kw < l->kernel; kw++) {
                const int64_t y = oh * l->stride + kh - l->pad, x = ow * l->stride + kw - l->pad;
                *out++ = y >= 0 && y < h && x >= 0 && x < w ? map[(ch * h + y) * w + x] : 0.0f;
            }
}

static int64_t out_side(const lti_layer *l, int64_t side)
{
    return (side + 2 * l->pad - l->kernel) / l->stride + 1;
}

// Adds the vectors of one sample; `per` patches of a convolution.
static void add_sample(const collector *c, const float *input, const lt_shape *s, int64_t per, int64_t id,
                       double *moment)
{
    if (!c->layer->conv) {
        lti_add_second_moment(input, 1, c->d, 1, moment);
        return;
    }
    const int64_t oh = out_side(c->layer, s->dim[2]), ow = out_side(c->layer, s->dim[3]);
    lt_rng rng = lt_rng_at(c->in->seed, LT_STREAM_UNLEARN, (uint32_t)c->layer->w, (uint64_t)id);
    for (int64_t p = 0; p < per; p++) {
        const int64_t at = per >= oh * ow ? p : (int64_t)lt_rng_below(&rng, (uint64_t)(oh * ow));
        copy_patch(c, input, s, at / ow, at % ow);
        lti_add_second_moment(c->x, 1, c->d, 1, moment);
    }
}

static int64_t patches_of(const collector *c, const lt_shape *s, int64_t n)
{
    if (!c->layer->conv)
        return 1;
    const int64_t all = out_side(c->layer, s->dim[2]) * out_side(c->layer, s->dim[3]);
    const int64_t per = (c->cfg->patches + n - 1) / n;
    return per < all ? per : all;
}

static int64_t row_count(const lt_shape *s) // values of one sample
{
    int64_t n = 1;
    for (int i = 1; i < s->n_dims; i++)
        n *= s->dim[i];
    return n;
}

static lt_status run_view(collector *c, const lt_view *view, lt_loader *loader, double *moment)
{
    const lt_model_shape *m = &c->model->shape;
    const size_t per_image = (size_t)m->c * (size_t)m->h * (size_t)m->w;
    lt_value_info info;
    LT_TRY(lt_graph_value(c->model->graph, c->layer->x, &info));
    const int64_t patches = patches_of(c, &info.shape, view->n), per = row_count(&info.shape);
    LT_TRY(lt_loader_start(loader, 0, 0));
    for (int64_t done = 0; done < view->n;) {
        const lt_batch *b = NULL;
        lt_plan *plan = NULL;
        if (lt_interrupted(c->in->env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "inputs of a layer: interrupted after %lld of %lld images",
                           (long long)done, (long long)view->n);
        LT_TRY(lt_loader_next(loader, &b));
        LT_TRY(lti_plans_get(&c->plans, b->n, &plan));
        memcpy(lt_plan_buffer(plan, c->model->x), b->x, (size_t)b->n * per_image * sizeof *b->x);
        LT_TRY(lt_plan_run(plan));
        const float *input = lt_plan_buffer(plan, c->layer->x);
        for (int64_t i = 0; i < b->n; i++)
            add_sample(c, input + i * per, &info.shape, patches, b->id[i], moment);
        c->ctx->update_passes.n_forward += b->n;
        done += b->n;
    }
    for (int64_t i = 0; i < c->d * c->d; i++)
        moment[i] /= (double)(view->n * patches);
    mirror(moment, c->d);
    return LT_OK;
}

static lt_status collect(collector *c, const lt_index_set *rows, double *moment)
{
    lt_view view = lt_view_rows(c->in->ds, LT_TRAIN, rows);
    const lt_loader_spec spec = {.views = &view, .n_views = 1, .batch = BATCH, .n_threads = c->in->env->loader_threads};
    lt_loader *loader = NULL;
    LT_TRY(lti_job_view_check(c->model, &view, "inputs of a layer"));
    LT_TRY(lt_loader_create(&spec, &loader));
    const lt_status status = run_view(c, &view, loader, moment);
    lt_loader_destroy(loader);
    return status;
}

// ---- samples and layers

static lt_status draw_rows(const lt_unlearn_in *in, const lt_index_set *all, int64_t most, uint32_t step,
                           lt_index_set *out)
{
    out->n = all->n < most ? all->n : most;
    out->row = lti_calloc((size_t)all->n, sizeof *out->row);
    if (!out->row)
        return LTI_NOMEM("samples");
    lt_rng_permutation(in->seed, LT_STREAM_UNLEARN, step, all->n, out->row);
    for (int64_t i = 0; i < all->n; i++)
        out->row[i] = all->row[out->row[i]];
    return LT_OK;
}

static lt_status edit_layer(const lt_unlearn_in *in, const lti_subspace_cfg *cfg, const lt_model *runs,
                            const lti_layer *layer, const lt_index_set rows[2], lt_unlearn_plan_ctx *ctx)
{
    const size_t d = (size_t)layer->n_in;
    collector c = {
        .in = in, .model = runs, .layer = layer, .cfg = cfg, .ctx = ctx, .outs = {layer->x}, .d = layer->n_in};
    c.plans = (lti_plans){.graph = runs->graph,
                          .backend = in->env->backend,
                          .params = runs->params, // a plan without gradients in evaluation mode only reads its slabs
                          .state = runs->state,
                          .spec = {.outs = c.outs,
                                   .n_outs = 1,
                                   .grad_of = LT_NONE,
                                   .seed = LT_NONE,
                                   .dtype = LT_F32,
                                   .flags = in->env->plan_flags & ~(unsigned)LT_PLAN_BF16}};
    lti_moments_pair moments = {.d = layer->n_in, .forget = lti_calloc(d * d, sizeof(double))};
    moments.retain = cfg->use_retain ? lti_calloc(d * d, sizeof(double)) : NULL;
    double *pt = lti_calloc(d * d, sizeof *pt);
    c.x = lti_calloc(d, sizeof *c.x);
    lt_status status =
        moments.forget && pt && c.x && (moments.retain || !cfg->use_retain) ? LT_OK : LTI_NOMEM("moments of a layer");
    if (status == LT_OK)
        status = collect(&c, &rows[0], moments.forget);
    if (status == LT_OK && cfg->use_retain)
        status = collect(&c, &rows[1], moments.retain);
    if (status == LT_OK)
        status = cfg->projector(&moments, cfg->cfg, pt);
    if (status == LT_OK)
        status = lti_project_rows(in->model->params + layer->offset, layer->n_out, layer->n_in, pt);
    lti_plans_clear(&c.plans);
    lti_free(moments.forget);
    lti_free(moments.retain);
    lti_free(pt);
    lti_free(c.x);
    return status;
}

static lt_status edit_layers(const lt_unlearn_in *in, const lti_subspace_cfg *cfg, lt_model *work,
                             const lt_model *frozen, lt_unlearn_plan_ctx *ctx)
{
    lt_index_set rows[2] = {{0}, {0}};
    lti_layer *layer = lti_calloc(MAX_LAYERS, sizeof *layer);
    lt_unlearn_in on = *in;
    on.model = work;
    const int n = layer ? lti_model_layers(work, layer, MAX_LAYERS) : 0;
    lt_status status = layer ? draw_rows(in, in->forget, cfg->samples, 0, &rows[0]) : LTI_NOMEM("layers");
    if (status == LT_OK && cfg->use_retain)
        status = draw_rows(in, in->retain, cfg->samples, 1, &rows[1]);
    for (int l = 0; l < n && l < MAX_LAYERS && status == LT_OK; l++) {
        if (layer[l].groups != 1)
            continue; // a depthwise kernel has no rows to project
        status = edit_layer(&on, cfg, cfg->sequential ? work : frozen, &layer[l], rows, ctx);
        lt_emit(in->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                             .name = "unlearn.progress",
                                             .done = l + 1,
                                             .total = n,
                                             .unit = "layers",
                                             .epoch = -1,
                                             .step = -1});
    }
    lt_index_set_clear(&rows[0]);
    lt_index_set_clear(&rows[1]);
    lti_free(layer);
    return status;
}

lt_status lti_subspace_run(const lt_unlearn_in *in, const lti_subspace_cfg *cfg, lt_unlearn_plan_ctx *ctx)
{
    lt_model *work = NULL; // changed layer by layer; in->model only at the end
    LT_TRY(lt_model_dup(in->model, &work));
    const lt_status status = edit_layers(in, cfg, work, in->model, ctx);
    if (status == LT_OK)
        memcpy(in->model->params, work->params, (size_t)work->n_params * sizeof *work->params);
    lt_model_destroy(work);
    return status;
}
