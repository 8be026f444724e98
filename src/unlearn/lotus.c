// lotus.c - LoTUS: forget images learn the teacher's outputs, smoothed more the more accurate the student still is on
// them; retained images learn the teacher's answer. docs/methods/lotus.md
//
//     L = CE(z(x), t),  t = gumbel-softmax(z_o(x), tau) on D_F,  one-hot arg-max of z_o(x) on a share of D_R  [LOTUS 1,
//     2] tau = exp(alpha (Acc_F(student) - Acc_V(teacher))), recomputed in every epoch; Acc_V = 0 for whole classes
//     [LoTUS 3]
#include "unlearn/layer_inputs.h"
#include <math.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    double alpha, retain_share, stop_below;
    int32_t reference;
};

enum { REFERENCE_AUTO, REFERENCE_ZERO, REFERENCE_HELD_OUT };
static const lt_opt_value references[] = {
    {"auto", REFERENCE_AUTO, "0 for whole classes, else the accuracy on held-out images"},
    {"zero", REFERENCE_ZERO, "0, the published value for whole classes"},
    {"held-out", REFERENCE_HELD_OUT, "accuracy of the teacher on the test split"},
    {NULL, 0, NULL},
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN_OF(struct cfg, LT_ADAMW, 0.01, 0, LT_L1_CONST, 0, LTI_MASK_NONE),
    LT_F64(struct cfg, alpha, 8, 0, 1e6, "",
           "how fast the temperature grows with the accuracy on the forget set; the authors sweep 8 to 1024, 8 is a "
           "choice of lethe"),
    LT_F64(struct cfg, retain_share, 0.3, 1e-9, 1, "", "share of the retain set that is used, drawn by the seed"),
    LT_F64(struct cfg, stop_below, -0.01, -1, 1, "",
           "ends when the accuracy on the forget set minus the reference is at most this"),
    LT_ENUM(struct cfg, reference, REFERENCE_AUTO, references, "accuracy that the forget set should come down to"),
    LT_OPT_END,
};

typedef struct lotus {
    const struct cfg *cfg;
    const lt_unlearn_in *in;
    lt_unlearn_plan_ctx *plan_ctx;
    lt_model *teacher;
    lt_index_set some; // of the retain set
    double reference, temperature;
    uint32_t epoch;
} lotus;

static void lotus_free(void *own)
{
    lotus *l = own;
    if (!l)
        return;
    lt_model_destroy(l->teacher);
    lt_index_set_clear(&l->some);
    lti_free(l);
}

// A sample of the Gumbel-softmax is softmax((z + G) / tau), G = -log(-log U) for every class. [LOTUS 1]
static void smooth_row(const lotus *l, int64_t id, int32_t k, float *row)
{
    lt_rng rng = lt_rng_at(l->in->seed, LT_STREAM_UNLEARN, l->epoch, (uint64_t)id);
    for (int32_t i = 0; i < k; i++) {
        const double u = fmax((double)lt_rng_uniform(&rng), 1e-30);
        row[i] = (float)(((double)row[i] - log(-log(fmin(u, 1 - 1e-16)))) / l->temperature);
    }
}

static lt_status on_targets(lt_job *job, int phase, const lt_batch *batch, float *target, void *ctx)
{
    const lotus *l = ctx;
    const int32_t k = job->model->shape.n_classes;
    for (int64_t r = 0; r < batch->n; r++) {
        float *row = target + r * k;
        if (batch->view[r] == 0) {
            smooth_row(l, batch->id[r], k, row);
            continue;
        }
        int32_t best = 0;
        for (int32_t i = 1; i < k; i++)
            best = row[i] > row[best] ? i : best;
        for (int32_t i = 0; i < k; i++)
            row[i] = i == best ? 0 : LT_TARGET_NEVER; // [LOTUS 2]
    }
    (void)phase;
    return LT_OK;
}

static lt_status on_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    lotus *l = ctx;
    const lt_view forget = lti_forget_view(l->in, false);
    lt_eval_result r;
    LT_TRY(lt_evaluate(job->model, &forget, l->in->env, l->cfg->batch, NULL, NULL, &r));
    l->plan_ctx->update_passes.n_forward += forget.n;
    const double difference = r.acc - l->reference;
    l->epoch = (uint32_t)epoch;
    l->temperature = fmin(fmax(exp(l->cfg->alpha * difference), 1e-3), 1e12); // [LOTUS 3]
    if (difference <= l->cfg->stop_below && epoch > 0) {
        job->cfg.epochs = epoch;
        lt_info(l->in->env->events, "unlearn.lotus", "lotus: forget accuracy %.3f reached %.3f: ends after %d epochs",
                r.acc, l->reference, (int)epoch);
    }
    return LT_OK;
}

static lt_status find_reference(lotus *l)
{
    const lt_unlearn_in *in = l->in;
    bool whole = false;
    lt_eval_result r;
    LT_TRY(lti_forgets_whole_classes(in, &whole));
    if (l->cfg->reference == REFERENCE_ZERO || (l->cfg->reference == REFERENCE_AUTO && whole))
        return LT_OK;
    const lt_view test = lt_view_split(in->ds, LT_TEST);
    if (test.n < 1)
        return LT_FAIL(LT_E_USAGE, "lotus: expected held-out images for the reference accuracy, found none");
    LT_TRY(lt_evaluate(l->teacher, &test, in->env, l->cfg->batch, NULL, NULL, &r));
    l->plan_ctx->update_passes.n_forward += test.n;
    l->reference = r.acc;
    return LT_OK;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    lotus *l = lti_calloc(1, sizeof *l);
    if (!l)
        return LTI_NOMEM("lotus");
    ctx->own = l;
    ctx->own_free = lotus_free;
    *l = (lotus){.cfg = c, .in = in, .plan_ctx = ctx};
    LT_TRY(lt_model_dup(in->model, &l->teacher));
    LT_TRY(find_reference(l));
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    const int64_t n = (int64_t)(c->retain_share * (double)in->retain->n);
    LT_TRY(lti_draw_rows(in, in->retain, n > 0 ? n : 1, 0, &l->some));
    job->teacher[0] = l->teacher;
    job->temperature = 1;
    lt_phase *phase = lti_add_phase(job, true);
    lt_view forget = lti_forget_view(in, c->augment), retain = lt_view_rows(in->ds, LT_TRAIN, &l->some);
    forget.weight = retain.weight = 0;
    retain.augment = c->augment;
    lti_add_view(job, phase, forget);
    lti_add_view(job, phase, retain);
    phase->distill[0] = phase->distill[1] = (lt_distill){.teacher = 0, .weight = 1};
    job->on_targets = on_targets;
    job->on_epoch = on_epoch;
    job->ctx = l;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.lr = 1e-4f, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_lotus = {
    .name = "lotus",
    .title = "LoTUS, smoothed teacher outputs",
    .label = "LoTUS",
    .cite = "lotus",
    .doc =
        "Trains forget images towards Gumbel-softmax samples of the frozen model's outputs at a temperature that "
        "grows with the accuracy left on them, and a share of the retained images towards the frozen model's "
        "answers; ends once the forget accuracy is a point below the reference, that of the frozen model on held-out "
        "images. Whole classes have the reference 0, which cannot be undercut, so all epochs are run. AdamW and the "
        "10 epochs are the authors'; the learning rate of 1e-4 is a choice of lethe, as theirs was not found.",
    .needs = LT_NEED_RETAIN | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
};
