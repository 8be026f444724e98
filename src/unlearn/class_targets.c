// class_targets.c - training towards the outputs of the frozen model without the forgotten classes, tilted towards
// similar classes. [TRW 1-6]
//
//     L = 1/|B| [ sum over retained samples CE(p(x), y) + lambda sum over forgotten samples KL(q(x) || p(x)) ]
//
// q(x) is made from the teacher's logits on the very images of the batch, augmentation included.
#include "unlearn/class_targets.h"
#include "lethe/tensorfile.h"
#include "model/model_impl.h"
#include <math.h>
#include <string.h>

typedef struct targets {
    lti_class_targets_cfg cfg;
    const lt_unlearn_in *in;
    const char *method;
    lt_model *teacher;
    lti_class_set set;
    double *s;       // (K,K)
    double *z;       // (K) scratch
    int64_t *order;  // (n retained) permutation of an epoch, then its rows; NULL when all are used
    float *snapshot; // parameters and state of the teacher of the running round; NULL for one round
} targets;

static void targets_free(void *own)
{
    targets *t = own;
    if (!t)
        return;
    lt_model_destroy(t->teacher);
    lti_class_set_clear(&t->set);
    lti_free(t->s);
    lti_free(t->z);
    lti_free(t->order);
    lti_free(t->snapshot);
    lti_free(t);
}

// ---- similarity, and what is said about it

static lt_status measure_similarity(targets *t)
{
    lt_val param[2];
    lt_value_info info;
    lti_last_layer(t->teacher, param);
    if (!lti_model_tensor(t->teacher, param[0], &info) || info.shape.dim[0] != t->set.k)
        LT_BUG("%s: the last layer has no weight row per class", t->teacher->spec);
    const float *w = t->teacher->params + info.slab_offset; // (K,d)
    return lti_class_similarity(w, t->set.k, lti_model_shape_count(&info.shape) / t->set.k, t->cfg.similarity,
                                t->set.gone, t->s);
}

static int32_t largest_kept(const targets *t, const double *v, int32_t stride)
{
    int32_t best = -1;
    for (int32_t i = 0; i < t->set.k; i++)
        if (!t->set.gone[i] && (best < 0 || v[i * stride] > v[best * stride]))
            best = i;
    return best;
}

// mean (K): the mean distribution of the teacher over the classes that stay, for the images of class f.
static void say_nearest(const targets *t, int32_t f, const double *mean)
{
    const char *const *name = t->in->ds->class_names;
    const int32_t by_weights = largest_kept(t, t->s + (size_t)f * (size_t)t->set.k, 1);
    const int32_t by_behaviour = largest_kept(t, mean, 1);
    if (by_weights == by_behaviour)
        lt_info(t->in->env->events, "unlearn.similarity", "%s: class %s: nearest by weights and by behaviour: %s",
                t->method, name[f], name[by_weights]);
    else
        lt_warn(t->in->env->events, "unlearn.similarity",
                "%s: class %s: nearest by weights is %s, by behaviour %s (%.0f %% against %.0f %%): a tilt pushes away "
                "from what the model does, a smaller beta may be better",
                t->method, name[f], name[by_weights], name[by_behaviour], 100 * mean[by_weights],
                100 * mean[by_behaviour]);
}

// ---- targets

static lt_status tilt_of(const targets *t, const double *z, int32_t y, double *beta)
{
    *beta = t->cfg.beta;
    if (!t->cfg.by_expected)
        return LT_OK;
    return lti_tilt_for(z, t->set.k, t->set.gone, t->s + (size_t)y * (size_t)t->set.k, t->cfg.expected, beta);
}

static lt_status on_targets(lt_job *job, int phase, const lt_batch *batch, float *target, void *ctx)
{
    const targets *t = ctx;
    const int32_t k = t->set.k;
    for (int64_t r = 0; r < batch->n; r++) {
        if (job->phase[phase].distill[batch->view[r]].weight == 0)
            continue;
        float *row = target + r * k;
        const double *s = t->s + (size_t)batch->y[r] * (size_t)k;
        double beta;
        for (int32_t i = 0; i < k; i++)
            t->z[i] = (double)row[i];
        LT_TRY(tilt_of(t, t->z, batch->y[r], &beta));
        for (int32_t i = 0; i < k; i++)
            row[i] = t->set.gone[i] ? LT_TARGET_NEVER : (float)(t->z[i] + beta * s[i]);
    }
    return LT_OK;
}

// ---- the targets of the un-augmented images: for the log, and for a file

typedef struct listing {
    int64_t n;
    int64_t *id;
    double *q;           // (n,K)
    double *beta, *mean; // (n); (K,K) mean renormalised distribution per class
    int64_t *count;      // (K)
    float *logits;       // (n,K)
} listing;

static void listing_clear(listing *l)
{
    lti_free(l->id);
    lti_free(l->q);
    lti_free(l->beta);
    lti_free(l->mean);
    lti_free(l->count);
    lti_free(l->logits);
}

static lt_status list_targets(const targets *t, listing *l)
{
    const int32_t k = t->set.k;
    const lt_split_data *d = &t->in->ds->split[LT_TRAIN];
    for (int64_t i = 0; i < l->n; i++) {
        const int64_t row = t->in->forget->row[i];
        const int32_t y = d->y[row];
        double *q = l->q + i * k, *mean = l->mean + (size_t)y * (size_t)k;
        for (int32_t j = 0; j < k; j++)
            t->z[j] = (double)l->logits[i * k + j];
        lti_tilted_softmax(t->z, k, t->set.gone, NULL, 0, q);
        for (int32_t j = 0; j < k; j++)
            mean[j] += q[j];
        LT_TRY(tilt_of(t, t->z, y, &l->beta[i]));
        lti_tilted_softmax(t->z, k, t->set.gone, t->s + (size_t)y * (size_t)k, l->beta[i], q);
        l->id[i] = d->id[row];
        l->count[y]++;
    }
    for (int32_t f = 0; f < k; f++)
        for (int32_t j = 0; j < k && l->count[f] > 0; j++)
            l->mean[f * k + j] /= (double)l->count[f];
    return LT_OK;
}

static lt_status save_listing(const targets *t, const listing *l)
{
    const int64_t n = l->n, k = t->set.k, n_beta = t->cfg.by_expected ? n : 1;
    const lt_tensor tensors[] = {
        {"ids", LT_I64, 1, {n}, l->id, (size_t)n * sizeof *l->id},
        {"q", LT_F64, 2, {n, k}, l->q, (size_t)(n * k) * sizeof *l->q},
        {"similarity", LT_F64, 2, {k, k}, t->s, (size_t)(k * k) * sizeof *t->s},
        {"beta", LT_F64, 1, {n_beta}, l->beta, (size_t)n_beta * sizeof *l->beta},
    };
    return lt_npz_write(t->cfg.save_targets, tensors, (int)(sizeof tensors / sizeof *tensors));
}

static lt_status listing_alloc(const targets *t, listing *l)
{
    const size_t n = (size_t)t->in->forget->n, k = (size_t)t->set.k;
    *l = (listing){.n = (int64_t)n};
    l->id = lti_calloc(n, sizeof *l->id);
    l->q = lti_calloc(n * k, sizeof *l->q);
    l->beta = lti_calloc(n, sizeof *l->beta);
    l->mean = lti_calloc(k * k, sizeof *l->mean);
    l->count = lti_calloc(k, sizeof *l->count);
    l->logits = lti_calloc(n * k, sizeof *l->logits);
    return l->id && l->q && l->beta && l->mean && l->count && l->logits ? LT_OK : LTI_NOMEM("targets");
}

static lt_status describe_targets(targets *t, int64_t batch, lt_unlearn_plan_ctx *ctx)
{
    listing l;
    lt_eval_result r;
    const lt_view forget = lti_forget_view(t->in, false);
    lt_status status = listing_alloc(t, &l);
    if (status == LT_OK)
        status = lt_evaluate(t->teacher, &forget, t->in->env, batch, l.logits, NULL, &r);
    ctx->update_passes.n_forward += l.n;
    if (status == LT_OK)
        status = list_targets(t, &l);
    for (int32_t f = 0; status == LT_OK && f < t->set.k; f++)
        if (t->set.forget[f])
            say_nearest(t, f, l.mean + (size_t)f * (size_t)t->set.k);
    if (status == LT_OK && t->cfg.save_targets && *t->cfg.save_targets)
        status = save_listing(t, &l);
    listing_clear(&l);
    return status;
}

// ---- epochs

// Rows of the retained images of an epoch.
static void draw_retained(targets *t, int32_t epoch)
{
    const int64_t n = t->in->retain->n;
    lt_rng_permutation(t->in->seed, LT_STREAM_SUBSET, (uint32_t)epoch, n, t->order);
    for (int64_t i = 0; i < n; i++)
        t->order[i] = t->in->retain->row[t->order[i]];
}

static void copy_model(float *params, float *state, const float *from_params, const float *from_state,
                       const lt_model *m)
{
    memcpy(params, from_params, (size_t)m->n_params * sizeof *params);
    if (m->n_state > 0)
        memcpy(state, from_state, (size_t)m->n_state * sizeof *state);
}

static lt_status on_epoch(lt_job *job, int32_t epoch, void *ctx)
{
    targets *t = ctx;
    if (t->order)
        draw_retained(t, epoch);
    const int32_t period = (job->cfg.epochs + t->cfg.rounds - 1) / t->cfg.rounds; // of the epochs as they are run
    if (!t->snapshot || epoch < period)
        return LT_OK;
    lt_model *m = t->teacher;
    if (epoch % period == 0)
        copy_model(t->snapshot, t->snapshot + m->n_params, job->model->params, job->model->state, m);
    copy_model(m->params, m->state, t->snapshot, t->snapshot + m->n_params, m);
    return measure_similarity(t);
}

static lt_status open_rounds(targets *t, lt_job *job)
{
    const int32_t rounds = t->cfg.rounds;
    const int64_t n = t->teacher->n_params + t->teacher->n_state;
    if (rounds > job->cfg.epochs)
        return LT_FAIL(LT_E_USAGE, "%s: expected at most one round an epoch, found %d rounds in %d epochs", t->method,
                       rounds, job->cfg.epochs);
    if (rounds == 1)
        return LT_OK;
    t->snapshot = lti_calloc((size_t)n, sizeof *t->snapshot);
    if (!t->snapshot)
        return LTI_NOMEM("teacher of a round");
    job->memory = t->snapshot;
    job->memory_bytes = (size_t)n * sizeof *t->snapshot;
    return LT_OK;
}

static lt_status add_views(targets *t, bool augment, lt_job *job)
{
    const lt_unlearn_in *in = t->in;
    const bool use_retain = in->use_retain && t->cfg.remain_frac > 0;
    lt_phase *phase = lti_add_phase(job, true);
    lt_view forget = lti_forget_view(in, augment);
    forget.weight = 0;
    lti_add_view(job, phase, forget);
    phase->distill[0] = (lt_distill){.teacher = 0, .weight = t->cfg.forget_weight};
    if (!use_retain)
        return LT_OK;
    lt_view retain = lti_retain_view(in, augment);
    if (t->cfg.remain_frac < 1) {
        t->order = lti_calloc((size_t)in->retain->n, sizeof *t->order);
        if (!t->order)
            return LTI_NOMEM("retained samples");
        draw_retained(t, 0);
        retain.row = t->order;
        retain.n = (int64_t)(t->cfg.remain_frac * (double)in->retain->n);
        retain.n = retain.n > 0 ? retain.n : 1;
    }
    lti_add_view(job, phase, retain);
    return LT_OK;
}

lt_status lti_class_targets_plan(const lt_unlearn_in *in, const char *method, const lti_class_targets_cfg *cfg,
                                 bool augment, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    const double start_s = lti_now_s();
    const size_t k = (size_t)in->ds->n_classes;
    targets *t = lti_calloc(1, sizeof *t);
    if (!t)
        return LTI_NOMEM("targets");
    ctx->own = t;
    ctx->own_free = targets_free;
    t->cfg = *cfg;
    t->in = in;
    t->method = method;
    LT_TRY(lti_class_set_make(in, method, &t->set));
    LT_TRY(lt_model_dup(in->model, &t->teacher));
    t->s = lti_calloc(k * k, sizeof *t->s);
    t->z = lti_calloc(k, sizeof *t->z);
    if (!t->s || !t->z)
        return LTI_NOMEM("similarity of classes");
    LT_TRY(measure_similarity(t));
    LT_TRY(describe_targets(t, job->cfg.batch, ctx));
    LT_TRY(open_rounds(t, job));
    LT_TRY(add_views(t, augment, job));
    job->teacher[0] = t->teacher;
    job->temperature = 1;
    job->on_targets = on_targets;
    job->on_epoch = t->order || t->snapshot ? on_epoch : NULL;
    job->ctx = t;
    ctx->plan_s = lti_now_s() - start_s;
    return LT_OK;
}
