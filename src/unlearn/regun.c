// regun.c - reference-guided unlearning: forgotten images are answered as held-out images of their classes are.
// docs/methods/regun.md
//
// Per forget batch B_f: m held-out samples with the class histogram of B_f, q = mean of softmax(z_o) over them, z_o
// frozen. L = lambda_f mean KL(q || p) over B_f + lambda_r mean CE over a retain batch. [ReGUn 1]
#include "unlearn/recipe.h"
#include <math.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    float forget_weight, retain_weight;
    double held_out;
    bool per_class;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_F32(struct cfg, forget_weight, 1, 0, 1e6, "", "weight of the forget term (not public: a choice)"),
    LT_F32(struct cfg, retain_weight, 1, 0, 1e6, "", "weight of the retain term (not public: a choice)"),
    LT_F64(struct cfg, held_out, 0.5, 1e-6, 1, "",
           "share of the test split that serves as held-out data, drawn by the seed"),
    LT_BOOL(struct cfg, per_class, 0, "one target for each class of the batch instead of one for the batch"),
    LT_OPT_END,
};

typedef struct regun {
    const struct cfg *cfg;
    uint64_t seed;
    int32_t k;
    int64_t n;       // held-out samples, grouped by class
    double *p;       // (n,K) outputs of the frozen model
    int64_t *first;  // (K+1) where a class begins
    double *q;       // (K,K) targets of a batch: per class, or all the same
    int64_t *counts; // (K)
} regun;

static void regun_free(void *own)
{
    regun *r = own;
    if (!r)
        return;
    lti_free(r->p);
    lti_free(r->first);
    lti_free(r->q);
    lti_free(r->counts);
    lti_free(r);
}

// ---- held-out data

static void softmax(const float *z, int32_t k, double *p)
{
    double most = -INFINITY, sum = 0;
    for (int32_t i = 0; i < k; i++)
        most = fmax(most, (double)z[i]);
    for (int32_t i = 0; i < k; i++)
        sum += p[i] = exp((double)z[i] - most);
    for (int32_t i = 0; i < k; i++)
        p[i] /= sum;
}

// Rows of the test split drawn by the seed, in the order of their classes.
static void draw_held_out(const lt_unlearn_in *in, regun *r, int64_t *perm, int64_t *row)
{
    const lt_split_data *d = &in->ds->split[LT_TEST];
    int64_t at = 0;
    lt_rng_permutation(in->seed, LT_STREAM_SUBSET, 0, d->n, perm);
    for (int32_t c = 0; c < r->k; c++) {
        r->first[c] = at;
        for (int64_t i = 0; i < r->n; i++)
            if (d->y[perm[i]] == c)
                row[at++] = perm[i];
    }
    r->first[r->k] = at;
}

static lt_status read_held_out(const lt_unlearn_in *in, int64_t batch, regun *r, lt_unlearn_plan_ctx *ctx)
{
    const int64_t n_test = in->ds->split[LT_TEST].n;
    const size_t k = (size_t)r->k;
    r->n = (int64_t)(r->cfg->held_out * (double)n_test);
    if (r->n < 1)
        return LT_FAIL(LT_E_USAGE, "regun: expected held-out data in the test split, found %lld samples",
                       (long long)n_test);
    int64_t *perm = lti_calloc((size_t)n_test, sizeof *perm), *row = lti_calloc((size_t)r->n, sizeof *row);
    float *z = lti_calloc((size_t)r->n * k, sizeof *z);
    r->p = lti_calloc((size_t)r->n * k, sizeof *r->p);
    r->first = lti_calloc(k + 1, sizeof *r->first);
    r->q = lti_calloc(k * k, sizeof *r->q);
    r->counts = lti_calloc(k, sizeof *r->counts);
    lt_status status = perm && row && z && r->p && r->first && r->q && r->counts ? LT_OK : LTI_NOMEM("held-out data");
    if (status == LT_OK) {
        draw_held_out(in, r, perm, row);
        const lt_view view = lt_view_rows(in->ds, LT_TEST, &(lt_index_set){.n = r->n, .row = row});
        lt_eval_result result;
        status = lt_evaluate(in->model, &view, in->env, batch, z, NULL, &result);
        ctx->update_passes.n_forward += r->n;
    }
    for (int64_t i = 0; status == LT_OK && i < r->n; i++)
        softmax(z + (size_t)i * k, r->k, r->p + (size_t)i * k);
    for (int64_t i = 0; status == LT_OK && i < in->forget->n; i++) {
        const int32_t y = in->ds->split[LT_TRAIN].y[in->forget->row[i]];
        if (r->first[y] == r->first[y + 1])
            status = LT_FAIL(LT_E_USAGE, "regun: expected held-out images of class %s, found none among %lld",
                             in->ds->class_names[y], (long long)r->n);
    }
    lti_free(perm);
    lti_free(row);
    lti_free(z);
    return status;
}

// ---- targets

// Adds `weight` times the mean output of n draws from a class to q (K).
static void add_draws(const regun *r, lt_rng *rng, int32_t c, int64_t n, double weight, double *q)
{
    const int64_t n_class = r->first[c + 1] - r->first[c];
    for (int64_t i = 0; i < n; i++) {
        const double *p = r->p + (r->first[c] + (int64_t)lt_rng_below(rng, (uint64_t)n_class)) * r->k;
        for (int32_t j = 0; j < r->k; j++)
            q[j] += weight * p[j] / (double)n;
    }
}

static lt_status on_targets(lt_job *job, int phase, const lt_batch *b, float *target, void *ctx)
{
    regun *r = ctx;
    uint64_t key = 0;
    int64_t n = 0;
    memset(r->counts, 0, (size_t)r->k * sizeof *r->counts);
    memset(r->q, 0, (size_t)r->k * (size_t)r->k * sizeof *r->q);
    for (int64_t i = 0; i < b->n; i++)
        if (job->phase[phase].distill[b->view[i]].weight != 0) {
            r->counts[b->y[i]]++;
            key = key * UINT64_C(6364136223846793005) + (uint64_t)b->id[i] + 1;
            n++;
        }
    lt_rng rng = lt_rng_at(r->seed, LT_STREAM_UNLEARN, 0, key); // a function of the images of the batch and their order
    for (int32_t c = 0; c < r->k; c++)
        if (r->counts[c] > 0)
            add_draws(r, &rng, c, r->counts[c], r->cfg->per_class ? 1 : (double)r->counts[c] / (double)n,
                      r->q + (r->cfg->per_class ? c * r->k : 0));
    for (int64_t i = 0; i < b->n; i++) {
        if (job->phase[phase].distill[b->view[i]].weight == 0)
            continue;
        const double *q = r->q + (r->cfg->per_class ? b->y[i] * r->k : 0);
        for (int32_t j = 0; j < r->k; j++)
            target[i * r->k + j] = q[j] > 0 ? (float)log(q[j]) : LT_TARGET_NEVER;
    }
    return LT_OK;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    regun *r = lti_calloc(1, sizeof *r);
    if (!r)
        return LTI_NOMEM("regun");
    ctx->own = r;
    ctx->own_free = regun_free;
    r->cfg = c;
    r->seed = in->seed;
    r->k = in->ds->n_classes;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    LT_TRY(read_held_out(in, job->cfg.batch, r, ctx));
    lt_phase *phase = lti_add_phase(job, true);
    lt_view forget = lti_forget_view(in, c->augment), retain = lti_retain_view(in, c->augment);
    forget.weight = 0;
    retain.weight = c->retain_weight;
    lti_add_view(job, phase, retain);
    lt_phase *companion = lti_add_phase(job, true); // a batch of its own: each term is the mean over its own images
    companion->companion = true;
    lti_add_view(job, companion, forget);
    companion->distill[0] = (lt_distill){.teacher = LT_NO_TEACHER, .weight = c->forget_weight};
    job->temperature = 1;
    job->on_targets = on_targets;
    job->ctx = r;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.area = 3, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_regun = {
    .name = "regun",
    .title = "ReGUn, reference-guided unlearning",
    .label = "ReGUn",
    .cite = "regun",
    .doc = "Trains forgotten images towards the mean output that the frozen model gives held-out images of the same "
           "classes, and retained images towards their labels. Weights and the number of held-out images are not "
           "public: options. Deviation: the held-out data is a share of the test split, so metrics on it are no longer "
           "independent of the method.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
};
