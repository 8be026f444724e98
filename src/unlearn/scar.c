// scar.c - SCAR: features of forgotten images go to the nearest other class's distribution, while the outputs on
// surrogate images stay those of the trained model. docs/methods/scar.md
//
//     L = lambda1 mean_{D_F} d(h(x), nearest class) [SCAR 1] + lambda2 mean_{surrogates} KL(teacher || student) [SCAR
//     3]
#include "unlearn/scar.h"
#include "unlearn/class_targets.h"
#include "unlearn/feature_loss.h"
#include "base/arg_max.h"
#include <math.h>
#include <string.h>

struct cfg {
    LTI_RECIPE_FIELDS
    double forget_weight, distill_weight, temperature, power, gamma1, gamma2, stop_below;
    const char *surrogate;
};

static const lt_option opts[] = {
    LTI_RECIPE_ROWS_OPEN_OF(struct cfg, LT_ADAMW, 0, 0, LT_L1_CONST, 0, LTI_MASK_NONE),
    LT_F64(struct cfg, forget_weight, 1, 0, 1e6, "", "weight of the distance to the nearest class (lambda1)"),
    LT_F64(struct cfg, distill_weight, 5, 0, 1e6, "", "weight of the distillation on surrogate images (lambda2)"),
    LT_F64(struct cfg, temperature, 1, 1e-3, 1000, "", "temperature of the distillation"),
    LT_F64(struct cfg, power, 0.5, 1e-3, 10, "", "power of the features before they are normalised (delta)"),
    LT_F64(struct cfg, gamma1, 3, 0, 1e6, "", "shrinkage of covariances: share of the mean variance on the diagonal"),
    LT_F64(struct cfg, gamma2, 3, 0, 1e6, "", "share of the mean covariance off the diagonal"),
    LT_F64(struct cfg, stop_below, 0.01, -1, 1, "", "ends when the accuracy on the forget set is below this"),
    LT_STR(struct cfg, surrogate, NULL,
           "data set of other images, of the same size, as --data names it; none = the forget images themselves (the "
           "authors' self-forget variant)"),
    LT_OPT_END,
};

typedef struct scar {
    const struct cfg *cfg;
    const lt_unlearn_in *in;
    lt_unlearn_plan_ctx *plan_ctx;
    lti_class_set set;
    lt_model *teacher;
    lt_dataset *surrogate; // NULL = the forget images
    lt_index_set rows;     // of the surrogate's training split
    int32_t *zero;         // (rows.n) labels, which do not count
    lti_feature_loss loss;
    int64_t d;
    double *mean, *inverse, *scratch; // (K,d), (K,d,d), (3 d)
    int32_t *nearest;                 // (n of the training split) class of a forget image
    int32_t forget_tag;
} scar;

static void scar_free(void *own)
{
    scar *s = own;
    if (!s)
        return;
    lti_feature_loss_clear(&s->loss);
    lti_class_set_clear(&s->set);
    lt_model_destroy(s->teacher);
    lt_dataset_close(s->surrogate);
    lt_index_set_clear(&s->rows);
    lti_free(s->zero);
    lti_free(s->mean);
    lti_free(s->inverse);
    lti_free(s->scratch);
    lti_free(s->nearest);
    lti_free(s);
}

// ---- distributions of the classes that stay

// Mean and covariance of h^delta over the samples of class c, in s->mean and s->inverse. h (n,d), y (n).
static void describe_class(scar *s, int32_t c, const float *h, const int32_t *y, int64_t n)
{
    const int64_t d = s->d;
    double *mean = s->mean + c * d, *cov = s->inverse + c * d * d, *row = s->scratch;
    int64_t count = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (int64_t i = 0; i < n; i++) {
            if (y[i] != c)
                continue;
            count += pass == 0;
            for (int64_t a = 0; a < d; a++) {
                row[a] = pow(fmax((double)h[i * d + a], 1e-6), s->cfg->power);
                if (pass == 0)
                    mean[a] += row[a];
            }
            for (int64_t a = 0; pass == 1 && a < d; a++)
                for (int64_t b = 0; b <= a; b++)
                    cov[a * d + b] += (row[a] - mean[a]) * (row[b] - mean[b]) / (double)(count > 1 ? count - 1 : 1);
        }
        for (int64_t a = 0; pass == 0 && a < d; a++)
            mean[a] /= (double)(count > 0 ? count : 1);
    }
    double square = 0;
    for (int64_t a = 0; a < d; a++) {
        square += mean[a] * mean[a];
        for (int64_t b = 0; b < a; b++)
            cov[b * d + a] = cov[a * d + b];
    }
    for (int64_t a = 0; a < d; a++)
        mean[a] /= sqrt(square > 0 ? square : 1);
}

static lt_status describe_classes(scar *s)
{
    const lt_unlearn_in *in = s->in;
    const lt_view retain = lti_retain_view(in, false);
    float *h = lti_calloc((size_t)retain.n * (size_t)s->d, sizeof *h);
    int32_t *y = lti_calloc((size_t)retain.n, sizeof *y);
    lt_status status =
        h && y ? lti_features_read(in->model, in->env, &retain, h, &s->plan_ctx->update_passes) : LTI_NOMEM("features");
    for (int64_t i = 0; status == LT_OK && i < retain.n; i++)
        y[i] = in->ds->split[LT_TRAIN].y[in->retain->row[i]];
    for (int32_t c = 0; status == LT_OK && c < s->set.k; c++) {
        if (s->set.gone[c])
            continue;
        describe_class(s, c, h, y, retain.n);
        status = lti_scar_inverse(s->inverse + c * s->d * s->d, s->d, s->cfg->gamma1, s->cfg->gamma2);
    }
    lti_free(h);
    lti_free(y);
    return status;
}

// The nearest class of every forget image, by the trained model.
static lt_status find_nearest(scar *s)
{
    const lt_unlearn_in *in = s->in;
    const lt_view forget = lti_forget_view(in, false);
    float *h = lti_calloc((size_t)forget.n * (size_t)s->d, sizeof *h);
    lt_status status =
        h ? lti_features_read(in->model, in->env, &forget, h, &s->plan_ctx->update_passes) : LTI_NOMEM("features");
    for (int64_t i = 0; status == LT_OK && i < forget.n; i++) {
        double best = INFINITY;
        for (int32_t c = 0; c < s->set.k; c++) {
            if (s->set.gone[c])
                continue;
            const double distance = lti_scar_distance(h + i * s->d, s->mean + c * s->d, s->inverse + c * s->d * s->d,
                                                      s->d, s->cfg->power, s->scratch, NULL);
            if (distance < best) {
                best = distance;
                s->nearest[in->forget->row[i]] = c;
            }
        }
    }
    lti_free(h);
    return status;
}

// ---- the term on forget images

static bool is_forget_batch(void *ctx, const lt_batch *batch)
{
    return batch->tag[0] == ((const scar *)ctx)->forget_tag;
}

static float no_ce(void *ctx, const lt_batch *batch, int64_t row)
{
    (void)ctx, (void)batch, (void)row;
    return 0;
}

static lt_status distance_gradient(void *ctx, lti_feature_batch *f)
{
    const scar *s = ctx;
    double *gradient = s->scratch + 2 * s->d;
    for (int64_t i = 0; i < f->n; i++) {
        const int32_t c = s->nearest[f->at->batch->row[i]];
        lti_scar_distance(f->h + i * f->d, s->mean + c * f->d, s->inverse + c * f->d * f->d, f->d, s->cfg->power,
                          s->scratch, gradient);
        for (int64_t j = 0; j < f->d; j++)
            f->gradient[i * f->d + j] = (float)gradient[j];
    }
    return LT_OK;
}

// ---- the term on surrogates

// The teacher's logits of forgotten classes become the smallest of the row. [SCAR 3]
static lt_status on_targets(lt_job *job, int phase, const lt_batch *batch, float *target, void *ctx)
{
    const scar *s = ctx;
    const int32_t k = s->set.k;
    (void)job, (void)phase;
    for (int64_t r = 0; r < batch->n; r++) {
        float *row = target + r * k, least = row[0];
        for (int32_t i = 1; i < k; i++)
            least = row[i] < least ? row[i] : least;
        for (int32_t i = 0; i < k; i++)
            row[i] = s->set.gone[i] ? least : row[i];
    }
    return LT_OK;
}

static lt_status check_surrogate(const scar *s)
{
    const lt_dataset *a = s->surrogate, *b = s->in->ds;
    if (a->c != b->c || a->h != b->h || a->w != b->w)
        return LT_FAIL(LT_E_SHAPE, "option surrogate: %s has %dx%dx%d images, the data %dx%dx%d", a->spec, a->c, a->h,
                       a->w, b->c, b->h, b->w);
    if (a->split[LT_TRAIN].n < 1)
        return LT_FAIL(LT_E_USAGE, "option surrogate: %s has no training images", a->spec);
    return LT_OK;
}

// Surrogates that the teacher reads as a forgotten class are left out.
static lt_status choose_surrogates(scar *s)
{
    const int32_t k = s->set.k;
    const int64_t n = s->surrogate->split[LT_TRAIN].n;
    float *logits = lti_calloc((size_t)n * (size_t)k, sizeof *logits);
    lt_eval_result r;
    s->zero = lti_calloc((size_t)n, sizeof *s->zero);
    s->rows.row = lti_calloc((size_t)n, sizeof *s->rows.row);
    lt_view view = lt_view_split(s->surrogate, LT_TRAIN);
    view.labels = s->zero;
    lt_status status = logits && s->zero && s->rows.row
                           ? lt_evaluate(s->teacher, &view, s->in->env, s->cfg->batch, logits, NULL, &r)
                           : LTI_NOMEM("surrogates");
    for (int64_t i = 0; status == LT_OK && i < n; i++)
        if (!s->set.gone[lti_arg_max(logits + i * k, k)])
            s->rows.row[s->rows.n++] = i;
    s->plan_ctx->update_passes.n_forward += n;
    lti_free(logits);
    if (status == LT_OK && s->rows.n < 1)
        return LT_FAIL(LT_E_USAGE, "option surrogate: the model reads every image of %s as a forgotten class",
                       s->surrogate->spec);
    return status;
}

static lt_status surrogate_view(scar *s, lt_view *view)
{
    *view = lti_forget_view(s->in, s->cfg->augment);
    if (s->cfg->surrogate && *s->cfg->surrogate) {
        LT_TRY(lt_dataset_open(s->cfg->surrogate, s->in->env->events, &s->surrogate));
        LT_TRY(check_surrogate(s));
        LT_TRY(choose_surrogates(s));
        *view = lt_view_rows(s->surrogate, LT_TRAIN, &s->rows);
        view->labels = s->zero;
        view->augment = s->cfg->augment;
    }
    view->weight = 0;
    return LT_OK;
}

// ---- the plan

static lt_status on_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    const scar *s = ctx;
    const lt_view forget = lti_forget_view(s->in, false);
    lt_eval_result r;
    if (epoch == 0 || s->cfg->stop_below < 0)
        return LT_OK;
    LT_TRY(lt_evaluate(job->model, &forget, s->in->env, s->cfg->batch, NULL, NULL, &r));
    s->plan_ctx->update_passes.n_forward += forget.n;
    if (r.acc < s->cfg->stop_below) {
        job->cfg.epochs = epoch;
        lt_info(s->in->env->events, "unlearn.scar", "scar: forget accuracy %.3f: ends after %d epochs", r.acc,
                (int)epoch);
    }
    return LT_OK;
}

static lt_status make_statistics(scar *s)
{
    const size_t k = (size_t)s->set.k, d = (size_t)s->d;
    s->mean = lti_calloc(k * d, sizeof *s->mean);
    s->inverse = lti_calloc(k * d * d, sizeof *s->inverse);
    s->scratch = lti_calloc(3 * d, sizeof *s->scratch);
    s->nearest = lti_calloc((size_t)s->in->ds->split[LT_TRAIN].n, sizeof *s->nearest);
    if (!s->mean || !s->inverse || !s->scratch || !s->nearest)
        return LTI_NOMEM("distributions of classes");
    LT_TRY(describe_classes(s));
    return find_nearest(s);
}

static lt_status plan(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const struct cfg *c = cfg;
    const double start_s = lti_now_s();
    lt_view view;
    scar *s = lti_calloc(1, sizeof *s);
    if (!s)
        return LTI_NOMEM("scar");
    ctx->own = s;
    ctx->own_free = scar_free;
    *s = (scar){.cfg = c, .in = in, .plan_ctx = ctx};
    LT_TRY(lti_class_set_make(in, "scar", &s->set));
    LT_TRY(lt_model_dup(in->model, &s->teacher));
    LT_TRY(lti_recipe_apply(in, LTI_RECIPE_OF(c), ctx, job));
    s->loss = (lti_feature_loss){.in = in,
                                 .train = !c->freeze_bn,
                                 .applies = is_forget_batch,
                                 .gradient = distance_gradient,
                                 .ce_weight = no_ce,
                                 .ctx = s};
    LT_TRY(lti_feature_loss_open(&s->loss));
    s->d = s->loss.d;
    LT_TRY(make_statistics(s));
    LT_TRY(surrogate_view(s, &view));
    lt_phase *surrogates = lti_add_phase(job, true);
    lti_add_view(job, surrogates, view);
    surrogates->distill[0] = (lt_distill){.teacher = 0, .weight = (float)c->distill_weight};
    lt_phase *forget = lti_add_phase(job, true);
    forget->companion = true;
    view = lti_forget_view(in, c->augment);
    view.weight = (float)c->forget_weight;
    lti_add_view(job, forget, view);
    s->forget_tag = forget->view[0].tag;
    job->teacher[0] = s->teacher;
    job->temperature = (float)c->temperature;
    job->objective = &s->loss.objective;
    job->on_targets = on_targets;
    job->on_epoch = on_epoch;
    job->ctx = s;
    ctx->plan_s = lti_now_s() - start_s;
    return LT_OK;
}

static lt_status finish(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    (void)in, (void)cfg, (void)job;
    ctx->update_passes.n_forward += ((const scar *)ctx->own)->loss.n_forward;
    return LT_OK;
}

static const lt_unlearn_default defaults[] = {
    {.lr = 5e-4f, .epochs = 30},
    {.epochs = 0},
};

static const lt_unlearn_default published[] = {
    {.lr = 5e-4f, .epochs = 30, .batch = 1024},
    {.epochs = 0},
};

const lt_unlearn_method lti_unlearn_scar = {
    .name = "scar",
    .title = "SCAR, Mahalanobis distance to the nearest class",
    .label = "SCAR",
    .cite = "scar",
    .doc =
        "Draws the features of forgotten images to the nearest other class, by the Mahalanobis distance of their "
        "normalised square roots, and distils the trained model on surrogate images, its forgotten logits lowered to "
        "the smallest; ends when the forget accuracy is below 1 %. Retained images serve the statistics of the "
        "classes only. Deviations: the nearest class is fixed before the first step; without a surrogate data set "
        "the forget images take its place (the authors' self-forget variant).",
    .needs = LT_NEED_RETAIN | LT_WHOLE_CLASSES | LT_FINE_TUNES,
    .cfg_size = sizeof(struct cfg),
    .opts = opts,
    .plan = plan,
    .finish = finish,
    .defaults = defaults,
    .published = published,
};
