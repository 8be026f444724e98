// hamu.c - HAMU: every tensor takes the step that descends most on the retained loss among those of a given length that
// raise the forget loss by a given amount. docs/methods/hamu.md
#include "unlearn/gradient_rules.h"
#include "unlearn/recipe.h"
#include "model/model_impl.h"
#include <math.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    double constraint_ratio;
    int32_t distribute;
    bool stop;
    double max_grad_norm;
};

enum { BY_PRODUCT, BY_PRODUCT_NORMALISED, EVENLY, DISTRIBUTE_AUTO };
static const lt_opt_value distributions[] = {
    {"product", BY_PRODUCT, "each tensor: ratio times its own lr |g_r| |g_f|, the most that its step can reach"},
    {"product-normalized", BY_PRODUCT_NORMALISED, "lr ratio in all, shared out by |g_r| |g_f| (the authors' scripts)"},
    {"even", EVENLY, "lr ratio in all, the same for every tensor"},
    {"auto", DISTRIBUTE_AUTO, "product; product-normalized with published values"},
    {NULL, 0, NULL},
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_ALL(struct cfg, 0, 0, LTI_STEP_AUTO, 0, LT_SGD, 0, 0, 0, LT_L1_CONST, 1, LTI_MASK_NONE),
    LT_F64(struct cfg, constraint_ratio, 0.5, 0, 1e9, "",
           "requested increase of the forget loss in a step, as a ratio"),
    LT_ENUM(struct cfg, distribute, DISTRIBUTE_AUTO, distributions, "what the ratio is of, and how tensors share it"),
    LT_BOOL(struct cfg, stop, 0,
            "end when no steps of all tensors together raise the forget loss as requested without raising the "
            "retained one"),
    LT_F64(struct cfg, max_grad_norm, 1, 0, 1e9, "", "both gradients are shortened to this length first; 0 = never"),
    LT_OPT_END,
};

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

lti_hamu_branch lti_hamu_step(const float *g_r, const float *g_f, int64_t n, double eta, double q, float *step)
{
    const double rr = dot(g_r, g_r, n), ff = dot(g_f, g_f, n), kappa = dot(g_r, g_f, n);
    const double radius = eta * sqrt(rr);
    double a = 0, b = -eta; // step = a g_f + b g_r
    lti_hamu_branch branch = LTI_HAMU_DIRECT;
    if (ff > 0 && kappa > -q * sqrt(rr) / (radius > 0 ? radius : 1e-300)) {
        const double left = radius * radius - q * q / ff,
                     orthogonal = rr - kappa * kappa / ff; // |g_r|^2 that accompanies g_f
        a = q / ff;
        b = 0;
        branch = LTI_HAMU_ASCENT;
        if (left >= 0 && orthogonal > 1e-12 * rr) {
            b = -sqrt(left / orthogonal);
            a -= b * kappa / ff;
            branch = LTI_HAMU_RECTIFIED;
        }
    }
    for (int64_t i = 0; i < n; i++)
        step[i] = (float)(a * (double)g_f[i] + b * (double)g_r[i]);
    return branch;
}

typedef struct tensor_part {
    int64_t from, n;
} tensor_part;

typedef struct hamu {
    const struct cfg *cfg;
    const lt_unlearn_in *in;
    int32_t distribute; // never auto
    tensor_part *tensor;
    int n_tensors;
    struct { // the job's memory
        int64_t stopped, n_branch[3];
    } count;
} hamu;

static void hamu_free(void *own)
{
    hamu *h = own;
    if (!h)
        return;
    lti_free(h->tensor);
    lti_free(h);
}

static void clip(float *g, int64_t n, double most)
{
    const double norm = sqrt(dot(g, g, n));
    for (int64_t i = 0; i < n && most > 0 && norm > most; i++)
        g[i] = (float)((double)g[i] * most / norm);
}

// Gradients that oppose each other stand in no other's way: the whole step may then go up the forget loss. [HAMU 3]
double lti_hamu_reach(const float *g_r, const float *g_f, int64_t n, double eta)
{
    const double rr = dot(g_r, g_r, n), ff = dot(g_f, g_f, n), kappa = dot(g_r, g_f, n);
    return eta * sqrt(fmax(rr * ff - (kappa > 0 ? kappa * kappa : 0), 0));
}

// What all tensors reach together; *product: the sum of their |g_r| |g_f|.
static double reach(const hamu *h, const float *g_r, const float *g_f, double lr, double *product)
{
    double sum = 0;
    *product = 0;
    for (int t = 0; t < h->n_tensors; t++) {
        const tensor_part p = h->tensor[t];
        *product += sqrt(dot(g_r + p.from, g_r + p.from, p.n) * dot(g_f + p.from, g_f + p.from, p.n));
        sum += lti_hamu_reach(g_r + p.from, g_f + p.from, p.n, lr);
    }
    return sum;
}

static double constraint_of(const hamu *h, const float *g_r, const float *g_f, int64_t n, double lr, double product)
{
    const double own = sqrt(dot(g_r, g_r, n) * dot(g_f, g_f, n)), asked = lr * h->cfg->constraint_ratio;
    switch (h->distribute) {
    case BY_PRODUCT:
        return asked * own;
    case BY_PRODUCT_NORMALISED:
        return product > 0 ? asked * own / product : 0;
    default:
        return asked / h->n_tensors;
    }
}

static lt_status on_gradient(lt_job *job, const lt_update_at *at, float *g, float *companion, void *ctx)
{
    hamu *h = ctx;
    const int64_t n = job->model->n_params;
    double product = 0;
    clip(g, n, h->cfg->max_grad_norm);
    clip(companion, n, h->cfg->max_grad_norm);
    const double most = reach(h, g, companion, at->lr, &product);
    const double asked = at->lr * h->cfg->constraint_ratio * (h->distribute == BY_PRODUCT ? product : 1);
    if (h->cfg->stop && asked > most)
        h->count.stopped = 1;
    if (h->count.stopped || !(at->lr > 0)) {
        memset(g, 0, (size_t)n * sizeof *g);
        return LT_OK;
    }
    for (int t = 0; t < h->n_tensors; t++) {
        float *r = g + h->tensor[t].from;
        const float *f = companion + h->tensor[t].from;
        const int64_t m = h->tensor[t].n;
        const double q = constraint_of(h, r, f, m, at->lr, product);
        h->count.n_branch[lti_hamu_step(r, f, m, at->lr, q, r)]++;
        for (int64_t i = 0; i < m; i++)
            r[i] = (float)(-(double)r[i] / at->lr); // the optimiser multiplies by -lr
    }
    return LT_OK;
}

static lt_status on_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    const hamu *h = ctx;
    if (h->count.stopped && epoch > 0)
        job->cfg.epochs = epoch;
    return LT_OK;
}

static lt_status find_tensors(hamu *h)
{
    const lt_model *m = h->in->model;
    const int32_t n_values = lt_graph_n_values(m->graph);
    h->tensor = lti_calloc((size_t)n_values, sizeof *h->tensor);
    if (!h->tensor)
        return LTI_NOMEM("tensors");
    for (lt_val v = 0; v < n_values; v++) {
        lt_value_info info;
        if (lti_model_tensor(m, v, &info) && info.role == LT_ROLE_PARAM)
            h->tensor[h->n_tensors++] = (tensor_part){info.slab_offset, lti_model_shape_count(&info.shape)};
    }
    return LT_OK;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    hamu *h = lti_calloc(1, sizeof *h);
    if (!h)
        return LTI_NOMEM("hamu");
    ctx->own = h;
    ctx->own_free = hamu_free;
    h->cfg = c;
    h->in = in;
    h->distribute = c->distribute != DISTRIBUTE_AUTO    ? c->distribute
                    : c->preset == LTI_PRESET_PUBLISHED ? BY_PRODUCT_NORMALISED
                                                        : BY_PRODUCT;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    LT_TRY(find_tensors(h));
    lti_add_view(job, lti_add_phase(job, true), lti_retain_view(in, c->augment));
    lt_phase *companion = lti_add_phase(job, true);
    companion->companion = true;
    lti_add_view(job, companion, lti_forget_view(in, c->augment));
    job->on_gradient = on_gradient;
    job->on_epoch = on_epoch;
    job->ctx = h;
    job->memory = &h->count;
    job->memory_bytes = sizeof h->count;
    return LT_OK;
}

static lt_status finish(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const hamu *h = ctx->own;
    (void)cfg, (void)job;
    lt_info(in->env->events, "unlearn.hamu",
            "hamu: of all steps of tensors %lld went straight down, %lld were rectified, %lld only ascended%s",
            (long long)h->count.n_branch[LTI_HAMU_DIRECT], (long long)h->count.n_branch[LTI_HAMU_RECTIFIED],
            (long long)h->count.n_branch[LTI_HAMU_ASCENT],
            h->count.stopped ? "; ended when the rise could not be reached" : "");
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_OF_CLASSES, .area = 0.1, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.when = 0, .area = 1, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 1e-4f, .epochs = 25, .batch = 5000, .lr_step_every = 0},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_hamu = {
    .name = "hamu",
    .title = "HAMU, steps under a constraint on the forget loss",
    .label = "HAMU",
    .cite = "hamu",
    .doc =
        "For every tensor and step: the change of length lr |g_r| that lowers the retained loss most while it raises "
        "the forget loss by a constraint; plain descent where that raises it enough already. Batch norm is frozen, "
        "no momentum, as in the authors' code. Deviation of the default: the constraint is a share of what the step "
        "of each tensor can reach, so that it does not depend on the scale of the gradients; "
        "distribute=product-normalized is that of the authors' scripts, which a fitted model cannot reach.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .finish = finish,
    .defaults = defaults,
    .published = published,
};
