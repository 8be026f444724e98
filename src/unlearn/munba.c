// munba.c - MUNBa: the step that two gradients, retaining and forgetting, agree on by Nash bargaining.
// docs/methods/munba.md
//
// g_r of CE on a retain batch, g_f of CE on a forget batch with random labels. Paper form [MUNBa 1]: a_r = 1/|g_r|
// sqrt((1-c)/(1-c^2)), a_f alike, c = cos(g_r, g_f), so the step is (g_r/|g_r| + g_f/|g_f|) / sqrt(1+c) [MUNBa 2],
// clipped to length 1 as in the authors' code: the bisector of the two directions.
#include "unlearn/gradient_rules.h"
#include "unlearn/recipe.h"
#include <math.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    double displacement;
    bool as_coded;
    bool is_given_rate; // no option: lr or lr_area is set
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_F64(struct cfg, displacement, -1, -1, 1000, "",
           "sum of the lengths of all steps, as a share of the length of the trained parameters: sets the learning "
           "rate where neither lr nor lr_area does; "
           "-1 = 0.05, for whole classes 15; 0 = lr does"),
    LT_BOOL(struct cfg, as_coded, 0,
            "the weights of the authors' code with its guards against division by 0, which fail for small gradients"),
    LT_OPT_END,
};

typedef struct munba {
    const struct cfg *cfg;
    const lt_unlearn_in *in;
    int64_t *row;   // (n retained) of the epoch
    int64_t paired; // of them, those that are read with the forget set
    int64_t n_opposed;
} munba;

static void munba_free(void *own)
{
    munba *m = own;
    if (m)
        lti_free(m->row);
    lti_free(m);
}

static double dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += (double)a[i] * (double)b[i];
    return sum;
}

void lti_munba_bargain(double g1, double g2, double g3, double *a_r, double *a_f)
{
    const double c = g2 / sqrt(g1 * g3);
    *a_r = 1 / sqrt(g1 * (1 + c));
    *a_f = 1 / sqrt(g3 * (1 + c));
}

static void bargain_as_coded(double g1, double g2, double g3, double *a_r, double *a_f) // [MUNBa 3]
{
    const double root = sqrt(g1 * g3);
    const double a0 = sqrt((g1 * g3 - g2 * root) / (g1 * g1 * g3 - g1 * g2 * g2 + 1e-8));
    const double a1 = (1 - g1 * a0 * a0) / (g2 * a0 + 1e-8);
    *a_r = a0 > 0 && a1 > 0 ? a0 : 1;
    *a_f = a0 > 0 && a1 > 0 ? a1 : 0.1;
}

static void clip(float *g, int64_t n)
{
    const double norm = sqrt(dot(g, g, n));
    for (int64_t i = 0; i < n && norm > 1; i++)
        g[i] = (float)((double)g[i] / norm);
}

static lt_status on_gradient(lt_job *job, const lt_update_at *at, float *g, float *companion, void *ctx)
{
    munba *m = ctx;
    const int64_t n = job->model->n_params;
    double a_r = 1, a_f = 0;
    (void)at;
    if (companion) {
        const double g1 = dot(g, g, n), g2 = dot(g, companion, n), g3 = dot(companion, companion, n);
        const bool opposed = !(g1 > 0 && g3 > 0) || g2 / sqrt(g1 * g3) <= -1 + 1e-6;
        m->n_opposed += opposed;
        if (!opposed && m->cfg->as_coded)
            bargain_as_coded(g1, g2, g3, &a_r, &a_f);
        else if (!opposed)
            lti_munba_bargain(g1, g2, g3, &a_r, &a_f);
        for (int64_t i = 0; i < n; i++)
            g[i] = (float)(a_r * (double)g[i] + a_f * (double)companion[i]);
    }
    clip(g, n);
    return LT_OK;
}

// The retain set is reshuffled, so that other images accompany the forget set.
static lt_status on_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    munba *m = ctx;
    const lt_index_set *retain = m->in->retain;
    (void)job;
    lt_rng_permutation(m->in->seed, LT_STREAM_UNLEARN, (uint32_t)epoch, retain->n, m->row);
    for (int64_t i = 0; i < retain->n; i++)
        m->row[i] = retain->row[m->row[i]];
    return LT_OK;
}

static int64_t n_batches(int64_t n, int64_t batch)
{
    return (n + batch - 1) / batch;
}

static lt_status choose_displacement(const lt_unlearn_in *in, const struct cfg *cfg, double *displacement)
{
    bool whole = false;
    *displacement = cfg->displacement;
    if (*displacement >= 0)
        return LT_OK;
    LT_TRY(lti_forgets_whole_classes(in, &whole));
    *displacement = whole ? 15 : 0.05;
    return LT_OK;
}

static void choose_form(const lt_unlearn_in *in, void *cfg, lt_unlearn_form *form)
{
    struct cfg *c = cfg;
    (void)in, (void)form;
    c->is_given_rate = c->lr > 0 || c->lr_area >= 0; // asked here, before lr gets its default
}

static void set_rate(const munba *m, double displacement, lt_job *job)
{
    const double norm = sqrt(dot(job->model->params, job->model->params, job->model->n_params));
    const int64_t b = job->cfg.batch, n = m->in->retain->n;
    const int64_t steps = n_batches(m->paired, b) + n_batches(n - m->paired, b);
    double sum = 0;
    lt_train_cfg unit = job->cfg;
    unit.lr = 1;
    for (int32_t e = 0; e < unit.epochs; e++)
        for (int64_t step = 0; step < steps; step++)
            sum += lt_train_lr(&unit, e, step, steps);
    const double lr = displacement * norm * (1 - (double)job->cfg.momentum) / sum,
                 most = (double)lti_largest_rate(m->in->train_cfg, false);
    job->cfg.lr = (float)(lr < most ? lr : most);
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    double displacement;
    munba *m = lti_calloc(1, sizeof *m);
    if (!m)
        return LTI_NOMEM("munba");
    ctx->own = m;
    ctx->own_free = munba_free;
    m->cfg = c;
    m->in = in;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    m->row = lti_calloc((size_t)in->retain->n, sizeof *m->row);
    if (!m->row)
        return LTI_NOMEM("retained samples");
    const int64_t most = n_batches(in->forget->n, job->cfg.batch) * job->cfg.batch;
    m->paired = most < in->retain->n ? most : in->retain->n;
    LT_TRY(choose_displacement(in, c, &displacement));
    if (displacement > 0 && !c->is_given_rate)
        set_rate(m, displacement, job);
    lt_view paired = lti_retain_view(in, c->augment), rest = paired, forget = lti_forget_view(in, c->augment);
    paired.row = m->row;
    paired.n = m->paired;
    rest.row = m->row + m->paired;
    rest.n = in->retain->n - m->paired;
    forget.relabel = LT_RELABEL_RANDOM_ANY;
    lti_add_view(job, lti_add_phase(job, true), paired);
    lt_phase *companion = lti_add_phase(job, true);
    companion->companion = true;
    lti_add_view(job, companion, forget);
    if (rest.n > 0)
        lti_add_view(job, lti_add_phase(job, true), rest);
    job->on_gradient = on_gradient;
    job->on_epoch = on_epoch;
    job->ctx = m;
    return on_epoch(job, 0, m);
}

static lt_status finish(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const munba *m = ctx->own;
    (void)cfg, (void)job;
    if (m->n_opposed > 0)
        lt_info(in->env->events, "unlearn.munba", "munba: %lld steps without agreement took the retain gradient alone",
                (long long)m->n_opposed);
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.lr = 0.01f, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_munba = {
    .name = "munba",
    .title = "MUNBa, Nash bargaining of two gradients",
    .label = "MUNBa",
    .cite = "munba",
    .doc =
        "Every step follows the bisector of two gradients: of the retain loss, and of the loss on forget images with "
        "random labels; where the forget set is through, the retain gradient, clipped to length 1. As every step has "
        "about the same length, the learning rate follows from how far the run may lead. as_coded keeps the "
        "arithmetic of the authors' code. The paper's learning rate is not public.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .choose_form = choose_form,
    .defaults = defaults,
    .finish = finish,
};
