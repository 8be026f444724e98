// unsir.c - UNSIR: noise that the model reads as the forget class as badly as can be spoils it, then the rest is
// mended. docs/methods/unsir.md
//
// Noise images maximise CE(z(x), f) - reg |x|^2 per forgotten class f (Adam on the images) [UNSIR 1]; impair: train on
// them under the label f together with retained images; repair: train on retained images.
#include "unlearn/class_targets.h"
#include "attack/attack_impl.h"
#include <math.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    int32_t noise_epochs, noise_steps;
    float noise_lr, noise_penalty;
    int64_t noise_images;
    double noise_share;
    float repair_rate;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN_OF(struct cfg, LT_ADAMW, 0, 0, LT_L1_CONST, 0, LTI_MASK_NONE),
    LT_I32(struct cfg, noise_epochs, 5, 1, 10000, "epochs", "rounds of steps on the noise images"),
    LT_I32(struct cfg, noise_steps, 8, 1, 10000, "steps", "steps of Adam in a round"),
    LT_F32(struct cfg, noise_lr, 0.1, 1e-9, 100, "", "rate of these steps"),
    LT_F32(struct cfg, noise_penalty, 0.1, 0, 1000, "", "weight of the mean squared length of a noise image"),
    LT_I64(struct cfg, noise_images, 256, 1, 65536, "images", "noise images of a forgotten class"),
    LT_F64(struct cfg, noise_share, 0.57, 1e-6, 100, "",
           "noise samples for each retained sample: the noise images are repeated"),
    LT_F32(struct cfg, repair_rate, 0.5, 0, 100, "", "factor of the learning rate after the first epoch (repair)"),
    LT_OPT_END,
};

typedef struct unsir {
    float *image;   // (n,C,H,W)
    int32_t *label; // (n)
    int64_t *row;   // (n) of a forget image of the class: noise has no row of its own
    int64_t n;
    lt_phase impair, repair;
} unsir;

static void unsir_free(void *own)
{
    unsir *u = own;
    if (!u)
        return;
    lti_free(u->image);
    lti_free(u->label);
    lti_free(u->row);
    lti_free(u);
}

typedef struct noise { // images of one class while they are made
    float *x, *m, *v;  // (n,D) images, Adam's moments
    int64_t n, d;
    int32_t label;
} noise;

// One step of Adam down -CE + penalty mean_n |x|^2 on the next rows from `from` on; *n_done of them. t: steps with this
// one.
static lt_status noise_step(lti_grad *grad, const struct cfg *c, noise *z, int t, int64_t from, int64_t *n_done)
{
    lti_grad_io io;
    const int bucket = lti_grad_bucket(grad, z->n - from);
    const int64_t n = z->n - from < grad->size[bucket] ? z->n - from : grad->size[bucket];
    *n_done = n;
    LT_TRY(lti_grad_io_get(grad, LTI_GRAD_CE, bucket, &io));
    for (int64_t r = 0; r < io.size; r++) {
        memcpy(io.x + r * z->d, z->x + (from + (r < n ? r : 0)) * z->d, (size_t)z->d * sizeof *io.x);
        io.label[r] = z->label;
        io.weight[r] = r < n ? -1 / (float)z->n : 0;
    }
    LT_TRY(lt_plan_run(io.plan));
    const double b1 = 1 - pow(0.9, t), b2 = 1 - pow(0.999, t);
    for (int64_t j = 0; j < n * z->d; j++) {
        const int64_t i = from * z->d + j;
        const float g = io.dx[j] + 2 * c->noise_penalty * z->x[i] / (float)z->n;
        z->m[i] = 0.9f * z->m[i] + 0.1f * g;
        z->v[i] = 0.999f * z->v[i] + 0.001f * g * g;
        z->x[i] -= (float)((double)c->noise_lr * ((double)z->m[i] / b1) / (sqrt((double)z->v[i] / b2) + 1e-8));
    }
    return LT_OK;
}

static lt_status make_noise(const lt_unlearn_in *in, const struct cfg *c, lti_grad *grad, noise *z, lt_passes *passes)
{
    for (int64_t i = 0; i < z->n; i++) {
        lt_rng rng = lt_rng_at(in->seed, LT_STREAM_UNLEARN, (uint32_t)z->label, (uint64_t)i);
        for (int64_t j = 0; j < z->d; j++)
            z->x[i * z->d + j] = (float)lt_rng_normal(&rng);
    }
    for (int t = 1; t <= c->noise_epochs * c->noise_steps; t++) {
        if (lt_interrupted(in->env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "unsir: interrupted at step %d of the noise", t);
        for (int64_t from = 0, n = 0; from < z->n; from += n)
            LT_TRY(noise_step(grad, c, z, t, from, &n));
        passes->n_forward += z->n;
        passes->n_backward += z->n;
    }
    return LT_OK;
}

// The noise of every forgotten class, repeated to fill u->image.
static lt_status fill_noise(const lt_unlearn_in *in, const struct cfg *c, const lti_class_set *set, unsir *u,
                            lt_passes *passes)
{
    const int64_t d = (int64_t)in->ds->c * in->ds->h * in->ds->w, per = u->n / set->n_forget;
    noise z = {.n = c->noise_images < per ? c->noise_images : per, .d = d};
    lti_grad grad = {0};
    lt_status status = lti_grad_init(&grad, in->model, in->env, z.n < 64 ? z.n : 64);
    z.x = lti_calloc(3 * (size_t)(z.n * d), sizeof *z.x);
    if (status == LT_OK && !z.x)
        status = LTI_NOMEM("noise images");
    z.m = z.x + z.n * d;
    z.v = z.m + z.n * d;
    int64_t at = 0;
    for (int32_t f = 0; status == LT_OK && f < set->k; f++) {
        if (!set->forget[f])
            continue;
        int64_t row = 0;
        for (int64_t i = 0; i < in->forget->n; i++)
            if (in->ds->split[LT_TRAIN].y[in->forget->row[i]] == f)
                row = in->forget->row[i];
        z.label = f;
        memset(z.m, 0, 2 * (size_t)(z.n * d) * sizeof *z.m);
        status = make_noise(in, c, &grad, &z, passes);
        for (int64_t i = 0; i < per && status == LT_OK; i++, at++) {
            memcpy(u->image + at * d, z.x + i % z.n * d, (size_t)d * sizeof *u->image);
            u->label[at] = f;
            u->row[at] = row;
        }
    }
    lti_free(z.x);
    lti_grad_clear(&grad);
    return status;
}

static void set_phases(lt_job *job, int32_t epoch)
{
    const unsir *u = job->ctx;
    job->phase[0] = epoch == 0 ? u->impair : u->repair;
}

static lt_status on_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    (void)ctx;
    set_phases(job, epoch);
    return LT_OK;
}

static lt_status alloc_noise(const lt_unlearn_in *in, const struct cfg *c, const lti_class_set *set, unsir *u)
{
    const size_t d = (size_t)in->ds->c * (size_t)in->ds->h * (size_t)in->ds->w;
    const int64_t per = (int64_t)(c->noise_share * (double)in->retain->n / set->n_forget);
    u->n = (per > 0 ? per : 1) * set->n_forget;
    u->image = lti_calloc((size_t)u->n * d, sizeof *u->image);
    u->label = lti_calloc((size_t)u->n, sizeof *u->label);
    u->row = lti_calloc((size_t)u->n, sizeof *u->row);
    return u->image && u->label && u->row ? LT_OK : LTI_NOMEM("noise images");
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    const double start_s = lti_now_s();
    if (c->lr_step_gamma != 0.1f) // the default: repair_rate is this method's factor
        return LT_FAIL(LT_E_USAGE, "unsir: expected no lr_step_gamma, found %g; the factor is repair_rate",
                       (double)c->lr_step_gamma);
    unsir *u = lti_calloc(1, sizeof *u);
    lti_class_set set;
    if (!u)
        return LTI_NOMEM("unsir");
    ctx->own = u;
    ctx->own_free = unsir_free;
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    job->cfg.lr_step_gamma = c->repair_rate;
    LT_TRY(lti_class_set_make(in, "unsir", &set));
    lt_status status = alloc_noise(in, c, &set, u);
    if (status == LT_OK)
        status = fill_noise(in, c, &set, u, &ctx->update_passes);
    lti_class_set_clear(&set);
    LT_TRY(status);
    lt_phase *phase = lti_add_phase(job, true);
    lti_add_view(job, phase, lti_retain_view(in, c->augment));
    u->repair = *phase;
    lt_view noisy = lt_view_rows(in->ds, LT_TRAIN, &(lt_index_set){.n = u->n, .row = u->row});
    noisy.images = u->image;
    noisy.labels = u->label;
    lti_add_view(job, phase, noisy);
    u->impair = *phase;
    job->on_epoch = on_epoch;
    job->ctx = u;
    ctx->plan_s = lti_now_s() - start_s;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.area = 0.12, .epochs = 2, .lr_step_every = 1, .of_adam = true},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 2e-4f, .epochs = 2, .batch = 256, .lr_step_every = 1},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_unsir = {
    .name = "unsir",
    .title = "UNSIR, impair and repair",
    .label = "UNSIR",
    .cite = "unsir",
    .doc =
        "Makes noise images that the model reads as the forgotten class as badly as can be, trains one epoch on them "
        "under that label together with the retained images, and further epochs on the retained images alone. "
        "Deviation: the noise is scaled to the size of the retain set, in the proportion of the authors' code.",
    .needs = LT_NEED_RETAIN | LT_WHOLE_CLASSES | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .set_phases = set_phases,
    .defaults = defaults,
    .published = published,
};
