// spotter.c - Spotter: two terms in addition to the forget loss of another method. One keeps the outputs around the
// forgotten images, one disperses the features of the forgotten images. docs/methods/spotter.md
//
//     L = lambda1 L_u + (1 - lambda1) L_o + lambda2 L_sim                                              [SPOTTER 1]
//
// Each term is a mean over the forgotten images of a batch. The images around them fill a part of it, so what is read
// in that phase counts for so much more that the loss of the method has the scale it has alone.
#include "unlearn/class_targets.h"
#include "unlearn/feature_loss.h"
#include "unlearn/perturb.h"
#include <math.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    int32_t base;
    const char *base_options;
    double balance, disperse, eps;
    int32_t steps, pairs;
};

static const char *const base_names[] = {"delete", "trw", "rl", "boundary-shrink"};
static const lt_opt_value bases[] = {
    {"delete", 0, "outputs of the frozen model without the forgotten classes"},
    {"trw", 1, "the same, tilted, with retained images"},
    {"rl", 2, "random labels, with retained images"},
    {"boundary-shrink", 3, "labels from across the nearest boundary"},
    {NULL, 0, NULL},
};
enum { PAIRS_MEAN, PAIRS_SUM };
static const lt_opt_value pair_values[] = {
    {"mean", PAIRS_MEAN, "mean over the pairs of a batch: independent of its size"},
    {"sum", PAIRS_SUM, "sum over the pairs, as the formula was passed on"},
    {NULL, 0, NULL},
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN(struct cfg),
    LT_ENUM(struct cfg, base, 0, bases, "method whose forget loss is used"),
    LT_STR(struct cfg, base_options, NULL, "options of that method: KEY=VALUE,KEY=VALUE"),
    LT_F64(struct cfg, balance, 0.5, 0, 1, "",
           "lambda1: weight of the method's forget loss against the outputs around the forgotten images (a choice of "
           "lethe: the value is not public)"),
    LT_F64(struct cfg, disperse, 0.1, 0, 1e6, "",
           "lambda2: weight of the dispersion; at 1 the class is forgotten too well"),
    LT_F64(struct cfg, eps, 8.0 / 255, 0, 1, "pixels in [0,1]",
           "linf radius around the forgotten images (a choice of lethe: the value is not public)"),
    LT_I32(struct cfg, steps, 5, 1, 1000, "steps", "steps of the attack that moves the images"),
    LT_ENUM(struct cfg, pairs, PAIRS_MEAN, pair_values, "how similarities of pairs add up"),
    LT_OPT_END,
};

typedef struct spotter {
    const struct cfg *cfg;
    const lt_unlearn_in *in;
    // the method inside
    const lt_unlearn_method *base;
    void *base_cfg;
    lt_optset *base_set;
    lt_unlearn_plan_ctx base_ctx;
    lt_job inner; // its hooks and their context
    // own terms
    lti_class_set set;
    lt_model *frozen;
    float *image;   // (n forget,C,H,W)
    int32_t *label; // (n forget)
    double *sum;    // (d + 1) of a batch
    float *kept;    // (batch,K) teacher's logits around the forget images
    int forget_phase, forget_view, around_view, teacher;
    lti_feature_loss loss;
} spotter;

static void spotter_free(void *own)
{
    spotter *s = own;
    if (!s)
        return;
    if (s->base_ctx.own)
        s->base_ctx.own_free(s->base_ctx.own);
    lti_free(s->base_ctx.mask);
    lt_optset_destroy(s->base_set);
    lti_free(s->base_cfg);
    lti_feature_loss_clear(&s->loss);
    lti_class_set_clear(&s->set);
    lt_model_destroy(s->frozen);
    lti_free(s->image);
    lti_free(s->label);
    lti_free(s->sum);
    lti_free(s->kept);
    lti_free(s);
}

// ---- dispersion [SPOTTER 3]

static bool has_forget_rows(void *ctx, const lt_batch *batch)
{
    const spotter *s = ctx;
    const int32_t tag = s->inner.phase[s->forget_phase].view[s->forget_view].tag;
    for (int64_t i = 0; i < batch->n; i++)
        if (batch->tag[i] == tag)
            return true;
    return false;
}

// In a phase that distils, the forget rows' cross-entropy has no weight, but their view must have one for this term.
static float ce_weight(void *ctx, const lt_batch *batch, int64_t row)
{
    const spotter *s = ctx;
    const lt_view *v = &s->inner.phase[s->forget_phase].view[s->forget_view];
    return batch->tag[row] == v->tag ? v->weight * (float)s->cfg->balance : 1;
}

// With S the sum of h/|h| over the other forget rows, L_sim = sum_i <h_i/|h_i|, S>, and its gradient is twice that of
// the i-th term with S fixed.
static lt_status disperse(void *ctx, lti_feature_batch *f)
{
    const spotter *s = ctx;
    const int32_t tag = s->inner.phase[s->forget_phase].view[s->forget_view].tag;
    const lt_batch *b = f->at->batch;
    int64_t n = 0;
    memset(s->sum, 0, (size_t)f->d * sizeof *s->sum);
    for (int pass = 0; pass < 2; pass++) {
        const double pairs = s->cfg->pairs == PAIRS_MEAN && n > 1 ? (double)n * (double)(n - 1) : 1;
        for (int64_t i = 0; i < f->n && (pass == 0 || n > 1); i++) {
            const float *h = f->h + i * f->d;
            double square = 0, along = 0;
            if (b->tag[i] != tag)
                continue;
            for (int64_t j = 0; j < f->d; j++) {
                square += (double)h[j] * (double)h[j];
                along += (double)h[j] * s->sum[j];
            }
            const double norm = sqrt(square > 0 ? square : 1);
            n += pass == 0;
            for (int64_t j = 0; j < f->d; j++) {
                const double unit = (double)h[j] / norm;
                if (pass == 0)
                    s->sum[j] += unit;
                else // times the forget images, for each of which the other terms have a summand
                    f->gradient[i * f->d + j] =
                        (float)(s->cfg->disperse * (double)n / pairs * 2 * (s->sum[j] - unit * along / norm) / norm);
            }
        }
    }
    return LT_OK;
}

// ---- the inner method's hooks, with their own context

static lt_status on_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    spotter *s = ctx;
    return s->inner.on_epoch ? s->inner.on_epoch(job, epoch, s->inner.ctx) : LT_OK;
}

static lt_status on_phase(lt_job *job, int32_t epoch, int phase, void *ctx)
{
    spotter *s = ctx;
    return s->inner.on_phase(job, epoch, phase, s->inner.ctx);
}

static lt_status on_batch(lt_job *job, int phase, const lt_batch *batch, int32_t *labels, void *ctx)
{
    spotter *s = ctx;
    return s->inner.on_batch(job, phase, batch, labels, s->inner.ctx);
}

// Around the forget images the targets are the frozen outputs over the classes that stay. [SPOTTER 2]
static lt_status on_targets(lt_job *job, int phase, const lt_batch *batch, float *target, void *ctx)
{
    spotter *s = ctx;
    const int32_t k = s->set.k;
    memcpy(s->kept, target, (size_t)batch->n * (size_t)k * sizeof *target);
    if (s->inner.on_targets)
        LT_TRY(s->inner.on_targets(job, phase, batch, target, s->inner.ctx));
    for (int64_t r = 0; r < batch->n; r++) {
        if (phase != s->forget_phase || batch->view[r] != s->around_view)
            continue;
        for (int32_t i = 0; i < k; i++)
            target[r * k + i] = s->set.gone[i] ? LT_TARGET_NEVER : s->kept[r * k + i];
    }
    return LT_OK;
}

// ---- the plan

static lt_status open_base(spotter *s)
{
    LT_TRY(lt_unlearn_find(base_names[s->cfg->base], &s->base));
    s->base_cfg = lti_calloc(1, s->base->cfg_size);
    if (!s->base_cfg)
        return LTI_NOMEM("options");
    LT_TRY(lt_optset_create(&s->base_set));
    LT_TRY(lt_optset_add(s->base_set, "", s->base->opts, s->base_cfg, LT_OPTGROUP_FLAGS));
    const lti_recipe recipe = LTI_RECIPE_OF(s->cfg); // what is filled in already
    memcpy(s->base_cfg, &recipe, sizeof recipe);
    char *copy = lti_strdup(s->cfg->base_options ? s->cfg->base_options : ""), *rest = copy;
    lt_status status = copy ? LT_OK : LTI_NOMEM("options");
    for (char *item = copy ? strtok_r(copy, ",", &rest) : NULL; item && status == LT_OK;
         item = strtok_r(NULL, ",", &rest)) {
        char *value = strchr(item, '=');
        if (!value) {
            status = LT_FAIL(LT_E_USAGE, "option base-options: expected KEY=VALUE, found '%s'", item);
            break;
        }
        *value++ = '\0';
        status = lt_optset_set(s->base_set, item, value, "base-options");
    }
    lti_free(copy);
    return status;
}

static lt_status find_forget_view(spotter *s, const lt_job *job)
{
    for (int p = 0; p < job->n_phases; p++)
        for (int v = 0; v < job->phase[p].n_views; v++)
            if (job->phase[p].view[v].row == s->in->forget->row) {
                s->forget_phase = p;
                s->forget_view = v;
                return LT_OK;
            }
    LT_BUG("%s: its job reads no forget images", s->base->name);
}

static lt_status move_images(spotter *s, lt_unlearn_plan_ctx *ctx)
{
    const lt_unlearn_in *in = s->in;
    const size_t n = (size_t)in->forget->n, d = (size_t)in->ds->c * (size_t)in->ds->h * (size_t)in->ds->w;
    const lt_view forget = lti_forget_view(in, false);
    const lti_perturb attack = {.norm = LT_NORM_LINF,
                                .eps = s->cfg->eps,
                                .step_size = 2.5 * s->cfg->eps / s->cfg->steps,
                                .steps = s->cfg->steps,
                                .seed = in->seed};
    s->image = lti_calloc(n * d, sizeof *s->image);
    s->label = lti_calloc(n, sizeof *s->label);
    if (!s->image || !s->label)
        return LTI_NOMEM("perturbed images");
    for (size_t i = 0; i < n; i++)
        s->label[i] = in->ds->split[LT_TRAIN].y[in->forget->row[i]];
    return lti_perturb_view(s->frozen, in->env, &forget, s->label, &attack, s->image, &ctx->update_passes);
}

// Of a phase that the images around the forget set join: the trainer takes means over all rows of a batch.
static float undilute(const spotter *s, lt_phase *phase)
{
    int64_t own = 0;
    for (int v = 0; v < phase->n_views; v++)
        own += phase->view[v].n;
    const float factor = (float)((double)(own + s->in->forget->n) / (double)own);
    for (int v = 0; v < phase->n_views; v++) {
        phase->view[v].weight *= factor;
        phase->distill[v].weight *= factor;
    }
    return factor;
}

// Scales the method's forget loss and adds the images around the forget set.
static lt_status add_terms(spotter *s, lt_job *job)
{
    LT_TRY(find_forget_view(s, job));
    s->inner = *job; // before it is changed
    lt_phase *phase = &job->phase[s->forget_phase];
    const float factor = undilute(s, phase);
    lt_view around = lti_forget_view(s->in, false);
    around.images = s->image;
    around.weight = 0;
    s->around_view = phase->n_views;
    lti_add_view(job, phase, around);
    s->teacher = job->teacher[0] ? 1 : 0;
    job->teacher[s->teacher] = s->frozen;
    phase->distill[s->around_view] =
        (lt_distill){.teacher = s->teacher, .weight = factor * (float)(1 - s->cfg->balance)};
    phase->distill[s->forget_view].weight *= (float)s->cfg->balance;
    phase->view[s->forget_view].weight = factor; // ce_weight has the rest
    job->temperature = job->temperature > 0 ? job->temperature : 1;
    job->objective = &s->loss.objective;
    job->on_targets = on_targets;
    job->on_epoch = s->inner.on_epoch ? on_epoch : NULL;
    job->on_phase = s->inner.on_phase ? on_phase : NULL;
    job->on_batch = s->inner.on_batch ? on_batch : NULL;
    job->ctx = s;
    return LT_OK;
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    spotter *s = lti_calloc(1, sizeof *s);
    if (!s)
        return LTI_NOMEM("spotter");
    ctx->own = s;
    ctx->own_free = spotter_free;
    s->cfg = c;
    s->in = in;
    LT_TRY(lti_class_set_make(in, "spotter", &s->set));
    LT_TRY(lt_model_dup(in->model, &s->frozen));
    LT_TRY(open_base(s));
    LT_TRY(s->base->plan(in, s->base_cfg, &s->base_ctx, job));
    ctx->plan_s += s->base_ctx.plan_s;
    ctx->update_passes = s->base_ctx.update_passes;
    ctx->mask = s->base_ctx.mask; // moves to this run
    ctx->mask_s = s->base_ctx.mask_s;
    ctx->mask_passes = s->base_ctx.mask_passes;
    s->base_ctx.mask = NULL;
    s->loss = (lti_feature_loss){.in = in,
                                 .train = !c->freeze_bn,
                                 .applies = has_forget_rows,
                                 .gradient = disperse,
                                 .ce_weight = ce_weight,
                                 .ctx = s};
    LT_TRY(lti_feature_loss_open(&s->loss));
    s->sum = lti_calloc((size_t)s->loss.d + 1, sizeof *s->sum);
    s->kept = lti_calloc((size_t)job->cfg.batch * (size_t)s->set.k, sizeof *s->kept);
    if (!s->sum || !s->kept)
        return LTI_NOMEM("spotter");
    LT_TRY(move_images(s, ctx));
    return add_terms(s, job);
}

static lt_status finish(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    spotter *s = ctx->own;
    (void)cfg;
    if (s->base->finish)
        LT_TRY(s->base->finish(in, s->base_cfg, &s->base_ctx, job));
    ctx->update_passes.n_forward += s->loss.n_forward;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.when = LT_SECOND_FORM, .area = 3, .epochs = 10, .lr_step_every = LT_STEP_COSINE},
    {.when = 0, .area = 0.03, .epochs = 20, .lr_step_every = LT_STEP_COSINE},
    {.epochs = 0},
};

// Methods with retained images spend more, as they do alone.
static void choose_form(const lt_unlearn_in *in, void *cfg, lt_unlearn_form *form)
{
    const struct cfg *c = cfg;
    static const bool retains[] = {false, true, true, false}; // of bases
    form->is_second = retains[c->base] && in->use_retain;
    form->name = form->is_second ? "with retained images" : "forget images only";
}

const lt_unlearn_method lti_unlearn_spotter = {
    .name = "spotter",
    .title = "Spotter, terms for the neighbourhood and the dispersion of a class",
    .label = "Spotter",
    .cite = "spotter",
    .doc = "Adds two terms to the forget loss of another method (base): the outputs at perturbed forget images stay "
           "those of the frozen model over the other classes, and the features of the forget images of a batch spread "
           "out, against prototype relearning. Reconstructed: the weight of the first term and the radius are not "
           "public, and similarities are averaged over pairs by default.",
    .needs = LT_WHOLE_CLASSES | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .finish = finish,
    .choose_form = choose_form,
    .defaults = defaults,
};
