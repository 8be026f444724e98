// bad_teacher.c - unlearning by a good and a bad teacher. [Chundawat 2023]
//
// min over D_F + a random share of D_R: KL(bad || student) on forget samples, KL(good || student) on retain samples;
// good = the trained model, bad = the same network with random parameters, both frozen. Published, and the
// preset of that name: one epoch of Adam, lr 1e-4, batch 256, 30 % of D_R, temperature 1, no labels anywhere; by
// default smaller batches and as far a way at every size of the data. Deviation: their KL is averaged over classes too
// (a factor 1/K, to which Adam is blind) and lacks T^2 (1 at T = 1).
#include "unlearn/recipe.h"
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    float temperature;
    double retain_share;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN_OF(struct cfg, LT_ADAMW, 0, 0, LT_L1_CONST, 0, LTI_MASK_NONE),
    LT_F32(struct cfg, temperature, 1, 1e-3, 1000, "", "temperature of the distillation"),
    LT_F64(struct cfg, retain_share, 0.3, 1e-9, 1, "", "share of the retain set that is used, drawn by the seed"),
    LT_OPT_END,
};

typedef struct teachers {
    lt_model *good, *bad;
    lt_index_set some; // of the retain set
} teachers;

static void teachers_free(void *own)
{
    teachers *t = own;
    if (t) {
        lt_model_destroy(t->good);
        lt_model_destroy(t->bad);
        lti_free(t->some.row);
        lti_free(t);
    }
}

static lt_status draw_retain(const lt_unlearn_in *in, double share, lt_index_set *some)
{
    const int64_t n = in->retain->n, kept = (int64_t)(share * (double)n);
    some->n = kept > 0 ? kept : 1;
    some->row = lti_calloc((size_t)n, sizeof *some->row);
    if (!some->row)
        return LTI_NOMEM("retain samples");
    lt_rng_permutation(in->seed, LT_STREAM_SUBSET, 0, n, some->row);
    for (int64_t i = 0; i < some->n; i++)
        some->row[i] = in->retain->row[some->row[i]];
    return LT_OK;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    teachers *t = lti_calloc(1, sizeof *t);
    if (!t)
        return LTI_NOMEM("teachers");
    ctx->own = t;
    ctx->own_free = teachers_free;
    LT_TRY(lt_model_dup(in->model, &t->good));
    LT_TRY(lt_model_dup(in->model, &t->bad));
    // Another seed than training has: with its seed, the bad teacher could be what the good one started from.
    lt_model_init(t->bad, in->seed ^ UINT64_C(0x9e3779b97f4a7c15));
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    job->teacher[0] = t->good;
    job->teacher[1] = t->bad;
    job->temperature = c->temperature;
    lt_phase *phase = lti_add_phase(job, true);
    lt_view forget = lti_forget_view(in, c->augment);
    forget.weight = 0.0f;
    lti_add_view(job, phase, forget);
    phase->distill[0] = (lt_distill){.teacher = 1, .weight = 1.0f};
    if (!in->use_retain)
        return LT_OK;
    LT_TRY(draw_retain(in, c->retain_share, &t->some));
    lt_view retain = lt_view_rows(in->ds, LT_TRAIN, &t->some);
    retain.augment = c->augment;
    retain.weight = 0.0f;
    lti_add_view(job, phase, retain);
    phase->distill[1] = (lt_distill){.teacher = 0, .weight = 1.0f};
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.area = 0.0072, .epochs = 1, .batch = 64, .of_adam = true}, // published: 72 steps at 1e-4 on 10 % of CIFAR-10
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 1e-4f, .epochs = 1, .batch = 256},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_bad_teacher = {
    .name = "bad-teacher",
    .title = "Bad teacher",
    .label = "Bad teacher",
    .cite = "badteacher",
    .doc =
        "Distils a network of random parameters on the forget set and the trained model on a share of the retain set; "
        "labels are not used. From the authors' code: one epoch of Adam, 30 % of the retain set, temperature 1; their "
        "lr "
        "of 1e-4 at batch 256 is that of the published preset, batch 64 and the area are choices of lethe. "
        "Without retain data only the bad teacher is left. Deviation: no division of the loss by the number of "
        "classes, to which Adam is blind.",
    .needs = LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .defaults = defaults,
    .published = published,
};
