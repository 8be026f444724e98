// damp.c - DAMP: project away what the mean input of a forgotten class has that the other classes' means do not span,
// more so in deep layers and where the class is easy to tell. docs/methods/damp.md
#include "unlearn/damp.h"
#include "unlearn/class_targets.h"
#include "unlearn/layer_inputs.h"
#include "unlearn/subspace.h"
#include <math.h>
#include <string.h>

struct cfg {
    double strength;
    int64_t samples, patches;
    bool sequential;
};

static const lt_option opts[] = {
    LT_F64(struct cfg, strength, 1, 0, 1, "", "factor of the strength of every layer"),
    LT_I64(struct cfg, samples, 100, 4, 1000000000, "images", "images of each class, at most, drawn by the seed"),
    LT_I64(struct cfg, patches, 10000, 1, 1000000000, "patches", "patches of a convolution, about"),
    LT_BOOL(struct cfg, sequential, 0, "inputs of a layer are taken after the layers before it have changed"),
    LT_OPT_END,
};

// ---- directions

static double dot(const double *a, const double *b, int64_t d)
{
    double sum = 0;
    for (int64_t i = 0; i < d; i++)
        sum += a[i] * b[i];
    return sum;
}

// Takes the rows of basis (n,d) out of v (d), twice, and normalises what is left; false when that is negligible
// compared with the rounding of float inputs.
static bool orthonormalise(const double *basis, int32_t n, double *v, int64_t d)
{
    const double before = sqrt(dot(v, v, d));
    for (int pass = 0; pass < 2; pass++)
        for (int32_t i = 0; i < n; i++) {
            const double c = dot(basis + i * d, v, d);
            for (int64_t j = 0; j < d; j++)
                v[j] -= c * basis[i * d + j];
        }
    const double left = sqrt(dot(v, v, d));
    if (!(left > 1e-6 * before))
        return false;
    for (int64_t j = 0; j < d; j++)
        v[j] /= left;
    return true;
}

lt_status lti_damp_directions(const double *mean, int32_t k, int64_t d, const uint8_t *forget, const uint8_t *gone,
                              double *q, int32_t *n)
{
    double *basis = lti_calloc((size_t)k * (size_t)d, sizeof *basis);
    int32_t n_kept = 0;
    *n = 0;
    if (!basis)
        return LTI_NOMEM("directions of classes");
    for (int32_t c = 0; c < k; c++) {
        memcpy(basis + (int64_t)n_kept * d, mean + (int64_t)c * d, (size_t)d * sizeof *basis);
        n_kept += !gone[c] && orthonormalise(basis, n_kept, basis + (int64_t)n_kept * d, d);
    }
    for (int32_t c = 0; c < k; c++) {
        double *v = q + (int64_t)*n * d;
        if (!forget[c])
            continue;
        memcpy(v, mean + (int64_t)c * d, (size_t)d * sizeof *v);
        *n += orthonormalise(basis, n_kept, v, d) && orthonormalise(q, *n, v, d); // [DAMP 1, 2]
    }
    lti_free(basis);
    return LT_OK;
}

// ---- linear probe

typedef struct probe_fit {
    double *mean[2], *cov, *w; // (d) of others and of forgotten samples; (d,d); (d)
    int64_t count[2];
} probe_fit;

// w <- (cov + ridge)^-1 (mean_1 - mean_0) by Cholesky; cov is overwritten.
static void solve_probe(probe_fit *f, int64_t d)
{
    double trace = 0;
    for (int64_t i = 0; i < d; i++)
        trace += f->cov[i * d + i];
    for (int64_t j = 0; j < d; j++) {
        f->cov[j * d + j] += 1e-3 * (trace > 0 ? trace : 1) / (double)d;
        for (int64_t i = j; i < d; i++) {
            double sum = f->cov[i * d + j];
            for (int64_t e = 0; e < j; e++)
                sum -= f->cov[i * d + e] * f->cov[j * d + e];
            f->cov[i * d + j] = i == j ? sqrt(fmax(sum, 1e-300)) : sum / f->cov[j * d + j];
        }
    }
    for (int64_t i = 0; i < d; i++) {
        f->w[i] = f->mean[1][i] - f->mean[0][i];
        for (int64_t e = 0; e < i; e++)
            f->w[i] -= f->cov[i * d + e] * f->w[e];
        f->w[i] /= f->cov[i * d + i];
    }
    for (int64_t i = d - 1; i >= 0; i--) {
        for (int64_t e = i + 1; e < d; e++)
            f->w[i] -= f->cov[e * d + i] * f->w[e];
        f->w[i] /= f->cov[i * d + i];
    }
}

// Means and pooled covariance of the samples whose turn is even among their kind.
static void fit_probe(probe_fit *f, const float *x, int64_t n, int64_t d, const uint8_t *is_forgotten)
{
    for (int pass = 0; pass < 2; pass++) {
        int64_t turn[2] = {0, 0};
        for (int64_t i = 0; i < n; i++) {
            const int kind = is_forgotten[i] != 0;
            const float *row = x + i * d;
            if (turn[kind]++ % 2)
                continue;
            f->count[kind] += pass == 0;
            for (int64_t a = 0; a < d; a++) {
                if (pass == 0) {
                    f->mean[kind][a] += (double)row[a];
                    continue;
                }
                const double da = (double)row[a] - f->mean[kind][a];
                for (int64_t b = 0; b <= a; b++)
                    f->cov[a * d + b] += da * ((double)row[b] - f->mean[kind][b]) / (double)n;
            }
        }
        for (int kind = 0; kind < 2 && pass == 0; kind++)
            for (int64_t a = 0; a < d; a++)
                f->mean[kind][a] /= (double)f->count[kind];
    }
}

static double ask_probe(const probe_fit *f, const float *x, int64_t n, int64_t d, const uint8_t *is_forgotten)
{
    const double threshold = 0.5 * (dot(f->w, f->mean[0], d) + dot(f->w, f->mean[1], d));
    int64_t turn[2] = {0, 0}, right[2] = {0, 0}, asked[2] = {0, 0};
    for (int64_t i = 0; i < n; i++) {
        const int kind = is_forgotten[i] != 0;
        double score = 0;
        if (turn[kind]++ % 2 == 0)
            continue;
        for (int64_t a = 0; a < d; a++)
            score += f->w[a] * (double)x[i * d + a];
        asked[kind]++;
        right[kind] += (score > threshold) == (kind == 1);
    }
    return 0.5 * ((double)right[0] / (double)asked[0] + (double)right[1] / (double)asked[1]);
}

lt_status lti_damp_probe(const float *x, int64_t n, int64_t d, const uint8_t *is_forgotten, double *accuracy)
{
    int64_t n_forgotten = 0;
    for (int64_t i = 0; i < n; i++)
        n_forgotten += is_forgotten[i] != 0;
    *accuracy = (double)NAN;
    if (n_forgotten < 2 || n - n_forgotten < 2)
        return LT_OK;
    double *memory = lti_calloc((size_t)(d * d + 3 * d), sizeof *memory);
    if (!memory)
        return LTI_NOMEM("probe of a layer");
    probe_fit f = {.mean = {memory, memory + d}, .w = memory + 2 * d, .cov = memory + 3 * d};
    fit_probe(&f, x, n, d, is_forgotten);
    solve_probe(&f, d);
    *accuracy = ask_probe(&f, x, n, d, is_forgotten);
    lti_free(memory);
    return LT_OK;
}

double lti_damp_strength(double probe_accuracy, int layer, int n_layers)
{
    const double separable = isfinite(probe_accuracy) ? 2 * probe_accuracy - 1 : 0;
    return fmax(0, fmin(1, separable)) * (double)(layer + 1) / (double)n_layers;
}

// ---- one layer

typedef struct damp {
    const lt_unlearn_in *in;
    const struct cfg *cfg;
    lt_unlearn_plan_ctx *ctx;
    const lti_class_set *set;
    lt_index_set rows;
    uint8_t *is_forgotten; // (rows.n)
    // of the layer in work
    int64_t d, area, n_channels; // area: of the kernel, d = n_channels area
    double *mean;                // (K,d) sums, then means
    int64_t *count;              // (K)
    float *feature;              // (rows.n, n_channels): the mean input of a sample, by channel
} damp;

static void add_vector(void *ctx, const lti_layer_vector *v)
{
    damp *w = ctx;
    double *mean = w->mean + v->label * w->d;
    float *feature = w->feature + v->sample * w->n_channels;
    const float share = 1 / ((float)v->n * (float)w->area);
    for (int64_t i = 0; i < w->d; i++) {
        mean[i] += (double)v->x[i];
        feature[i / w->area] += share * v->x[i];
    }
    w->count[v->label]++;
    w->is_forgotten[v->sample] = w->set->forget[v->label];
}

// pt (d,d) += strength q' q
static void take_out(const double *q, int32_t n, int64_t d, double strength, double *pt)
{
    for (int32_t e = 0; e < n; e++)
        for (int64_t i = 0; i < d; i++)
            for (int64_t j = 0; j < d; j++)
                pt[i * d + j] += strength * q[e * d + i] * q[e * d + j];
}

static lt_status measure_layer(damp *w, const lt_model *runs, const lti_layer *layer, double *accuracy)
{
    const lti_layer_inputs inputs = {
        .model = runs, .layer = layer, .rows = &w->rows, .patches = w->cfg->patches, .each = add_vector, .ctx = w};
    LT_TRY(lti_layer_inputs_run(w->in, &inputs, w->ctx));
    for (int32_t c = 0; c < w->set->k; c++)
        for (int64_t i = 0; i < w->d && w->count[c] > 0; i++)
            w->mean[c * w->d + i] /= (double)w->count[c];
    return lti_damp_probe(w->feature, w->rows.n, w->n_channels, w->is_forgotten, accuracy);
}

static lt_status edit_layer(void *ctx, const lt_model *runs, lt_model *work, const lti_layer *layer, int number, int n)
{
    damp *w = ctx;
    const size_t d = (size_t)layer->n_in, k = (size_t)w->set->k;
    double accuracy = 0;
    int32_t n_directions = 0;
    w->d = layer->n_in;
    w->area = (int64_t)layer->kernel * layer->kernel;
    w->n_channels = w->d / w->area;
    w->mean = lti_calloc(2 * k * d + d * d, sizeof *w->mean);
    w->count = lti_calloc(k, sizeof *w->count);
    w->feature = lti_calloc((size_t)w->rows.n * (size_t)w->n_channels, sizeof *w->feature);
    lt_status status = w->mean && w->count && w->feature ? LT_OK : LTI_NOMEM("inputs of a layer");
    if (status == LT_OK)
        status = measure_layer(w, runs, layer, &accuracy);
    if (status == LT_OK)
        status =
            lti_damp_directions(w->mean, w->set->k, w->d, w->set->forget, w->set->gone, w->mean + k * d, &n_directions);
    const double strength = w->cfg->strength * lti_damp_strength(accuracy, number, n);
    if (status == LT_OK && n_directions > 0 && strength > 0) {
        double *pt = w->mean + 2 * k * d;
        take_out(w->mean + k * d, n_directions, w->d, strength, pt);
        status = lti_project_rows(work->params + layer->offset, layer->n_out, layer->n_in, pt); // [DAMP 3]
    }
    lti_free(w->mean);
    lti_free(w->count);
    lti_free(w->feature);
    return status;
}

// ---- the method

// At most `samples` training images of every class that is forgotten or stays.
static lt_status draw_classes(damp *w)
{
    const lt_unlearn_in *in = w->in;
    const int32_t *y = in->ds->split[LT_TRAIN].y;
    const lt_index_set *set[2] = {in->forget, in->retain};
    lt_index_set drawn = {0};
    int64_t *count = lti_calloc((size_t)w->set->k, sizeof *count);
    w->rows.row = lti_calloc((size_t)(in->forget->n + in->retain->n), sizeof *w->rows.row);
    lt_status status = count && w->rows.row ? LT_OK : LTI_NOMEM("samples");
    for (int s = 0; s < 2 && status == LT_OK; s++) {
        drawn.row = lti_calloc((size_t)set[s]->n, sizeof *drawn.row);
        drawn.n = set[s]->n;
        status = drawn.row ? LT_OK : LTI_NOMEM("samples");
        if (status == LT_OK)
            lt_rng_permutation(in->seed, LT_STREAM_UNLEARN, (uint32_t)s, drawn.n, drawn.row);
        for (int64_t i = 0; status == LT_OK && i < drawn.n; i++)
            if (count[y[set[s]->row[drawn.row[i]]]]++ < w->cfg->samples)
                w->rows.row[w->rows.n++] = set[s]->row[drawn.row[i]];
        lt_index_set_clear(&drawn);
    }
    lti_free(count);
    if (status == LT_OK)
        lti_sort_rows(&w->rows);
    w->is_forgotten = status == LT_OK ? lti_calloc((size_t)w->rows.n, sizeof *w->is_forgotten) : NULL;
    return status != LT_OK ? status : w->is_forgotten ? LT_OK : LTI_NOMEM("samples");
}

static lt_status run(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx)
{
    const struct cfg *c = cfg;
    lti_class_set set;
    LT_TRY(lti_class_set_make(in, "damp", &set));
    damp w = {.in = in, .cfg = c, .ctx = ctx, .set = &set};
    lt_status status = draw_classes(&w);
    if (status == LT_OK)
        status = lti_layers_edit(in, &(lti_layer_walk){.sequential = c->sequential, .edit = edit_layer, .ctx = &w});
    lti_free(w.is_forgotten);
    lt_index_set_clear(&w.rows);
    lti_class_set_clear(&set);
    return status;
}

const lt_unlearn_method lti_unlearn_damp = {
    .name = "damp",
    .title = "DAMP, removal of what only the forgotten class's mean has",
    .label = "DAMP",
    .cite = "damp",
    .doc = "Projects the weights of every layer away from the part of the forgotten classes' mean inputs that the mean "
           "inputs of the other classes do not span; biases stay. A reconstruction in one point: how strongly a layer "
           "is changed is not public; it grows with depth and with the accuracy of a linear probe for the class. No "
           "gradients, no training.",
    .needs = LT_NEED_RETAIN | LT_WHOLE_CLASSES | LT_CLOSED_FORM,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .run = run,
};
