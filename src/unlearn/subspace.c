// subspace.c - second moments of the inputs of every layer, and weights projected by what they give. [SVD] [MUpHT]
#include "unlearn/subspace.h"
#include "unlearn/layer_inputs.h"
#include <string.h>

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

// ---- layers

typedef struct moment_sum {
    double *c;    // (d,d), lower half
    int64_t d, n; // n: vectors so far
} moment_sum;

static void add_vector(void *ctx, const lti_layer_vector *v)
{
    moment_sum *s = ctx;
    lti_add_second_moment(v->x, 1, s->d, 1, s->c);
    s->n++;
}

typedef struct walker {
    const lt_unlearn_in *in;
    const lti_subspace_cfg *cfg;
    lt_index_set rows[2]; // forgotten, retained
    lt_unlearn_plan_ctx *ctx;
} walker;

// c (d,d) becomes the mean of x x' over the vectors that the rows give the layer.
static lt_status collect(const walker *w, const lt_model *runs, const lti_layer *layer, const lt_index_set *rows,
                         double *c)
{
    moment_sum sum = {.c = c, .d = layer->n_in};
    LT_TRY(lti_layer_inputs_run(
        w->in,
        &(lti_layer_inputs){
            .model = runs, .layer = layer, .rows = rows, .patches = w->cfg->patches, .each = add_vector, .ctx = &sum},
        w->ctx));
    for (int64_t i = 0; i < sum.d * sum.d; i++)
        c[i] /= (double)sum.n;
    mirror(c, sum.d);
    return LT_OK;
}

static lt_status edit_layer(void *ctx, const lt_model *runs, lt_model *work, const lti_layer *layer, int number, int n)
{
    const walker *w = ctx;
    const size_t d = (size_t)layer->n_in;
    const bool use_retain = w->cfg->use_retain;
    if (w->cfg->layers > 0 && number < n - w->cfg->layers)
        return LT_OK;
    lti_moments_pair moments = {.d = layer->n_in, .forget = lti_calloc(d * d, sizeof(double))};
    moments.retain = use_retain ? lti_calloc(d * d, sizeof(double)) : NULL;
    double *pt = lti_calloc(d * d, sizeof *pt);
    lt_status status =
        moments.forget && pt && (moments.retain || !use_retain) ? LT_OK : LTI_NOMEM("moments of a layer");
    if (status == LT_OK)
        status = collect(w, runs, layer, &w->rows[0], moments.forget);
    if (status == LT_OK && use_retain)
        status = collect(w, runs, layer, &w->rows[1], moments.retain);
    if (status == LT_OK)
        status = w->cfg->projector(&moments, w->cfg->cfg, pt);
    if (status == LT_OK)
        status = lti_project_rows(work->params + layer->offset, layer->n_out, layer->n_in, pt);
    lti_free(moments.forget);
    lti_free(moments.retain);
    lti_free(pt);
    return status;
}

lt_status lti_subspace_run(const lt_unlearn_in *in, const lti_subspace_cfg *cfg, lt_unlearn_plan_ctx *ctx)
{
    walker w = {.in = in, .cfg = cfg, .ctx = ctx};
    lt_status status = lti_draw_rows(in, in->forget, cfg->samples, 0, &w.rows[0]);
    if (status == LT_OK && cfg->use_retain)
        status = lti_draw_rows(in, in->retain, cfg->samples, 1, &w.rows[1]);
    if (status == LT_OK)
        status = lti_layers_edit(in, &(lti_layer_walk){.sequential = cfg->sequential, .edit = edit_layer, .ctx = &w});
    lt_index_set_clear(&w.rows[0]);
    lt_index_set_clear(&w.rows[1]);
    return status;
}
