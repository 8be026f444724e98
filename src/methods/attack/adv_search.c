// adv_search.c - the nearest adversarial neighbour of every sample: PGD in an L2 ball whose radius doubles until the
// prediction changes. [AMUN 2.1, Alg. 1]
//
// Per sample: step rho*eps along the normalised gradient of the true label's cross-entropy, project onto the ball, then
// clamp to the pixel box; stop as soon as the prediction is not the label. Samples are independent, so the search is a
// work queue: a finished sample's row is taken by a waiting one and batches stay full; at the end they shrink through
// halving sizes. The check at the end of a round and the first check of the next one see the same image (warm start)
// and are one run.
//
// Whether a sample is misclassified is decided in the end by the ordinary evaluation path, on the finished set: batch
// sizes differ in rounding, and a sample that sits on the boundary may be seen differently there. Such samples take
// further steps until both agree.
//
// Deviations from the authors' code [AMUN 2.4]: the gradient is each sample's own (theirs is of the batch mean, with a
// floor that shrinks steps of saturated samples); doublings are capped; where the cross-entropy gradient vanishes the
// margin max_{k!=y} z_k - z_y is ascended instead, and a sample without any gradient is marked failed; clean
// predictions are made before anything else.
#include "methods/attack/attack_impl.h"
#include "methods/attack/attack_rows.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { MAX_VERIFY_PASSES = 32, SAVE_EVERY_S = 600 };
#define GRADIENT_FLOOR 1e-30

#define SELF(field) field
const lt_option lt_adv_search_options[] = {LTI_ADV_SEARCH_ROWS(lt_adv_search_cfg, SELF), LT_OPT_END};

// ---- one sample

// ||a - b||, b NULL = 0. Eight partial sums in double: accurate, the same on every machine, and quick without any
// licence for the compiler to reorder sums.
static double distance(const float *a, const float *b, int64_t d)
{
    double part[8] = {0}, sum = 0.0;
    for (int64_t j = 0; j < d; j++) {
        double v = (double)a[j] - (b ? (double)b[j] : 0.0);
        part[j % 8] += v * v;
    }
    for (int i = 0; i < 8; i++)
        sum += part[i];
    return sqrt(sum);
}

static double norm2(const float *v, int64_t d)
{
    return distance(v, NULL, d);
}

// xa <- clamp(project(xa + (length / |g|) g)). x, xa, g: d values; the box after the ball, so both hold: x is in the
// box.
static void step(const float *x, const float *g, double g_norm, double length, double eps, int64_t d, float *xa)
{
    float scale = (float)(length / g_norm);
    for (int64_t j = 0; j < d; j++)
        xa[j] += scale * g[j];
    double dist = distance(xa, x, d);
    float shrink = dist > eps ? (float)(eps / dist) : 1.0f;
    for (int64_t j = 0; j < d; j++) {
        float v = x[j] + shrink * (xa[j] - x[j]);
        xa[j] = v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v;
    }
}

static int32_t arg_max(const float *z, int k)
{
    int32_t best = 0;
    for (int32_t j = 1; j < k; j++)
        if (z[j] > z[best])
            best = j;
    return best;
}

static float *x_adv_of(const lti_search *s, int64_t i)
{
    return s->set->x_adv + i * lti_adv_set_dim(s->set);
}

static void take_step(lti_search *s, int64_t i, const float *g, double g_norm)
{
    lti_search_item *item = &s->item[i];
    lti_view_image(s->view, i, s->x);
    step(s->x, g, g_norm, (double)s->cfg->rho * (double)item->eps, (double)item->eps, lti_adv_set_dim(s->set),
         x_adv_of(s, i));
    item->step++;
    s->set->iters[i]++;
}

typedef enum verdict { GO_ON, DONE, FLAT } verdict;

// Sample i after one run: z (K) and g (C,H,W) at its current image.
static verdict advance(lti_search *s, int64_t i, const float *z, const float *g)
{
    lti_search_item *item = &s->item[i];
    int32_t pred = arg_max(z, s->model->shape.n_classes);
    if (pred != s->set->label[i] && !item->forced) {
        s->set->adv_pred[i] = pred;
        return DONE;
    }
    item->forced = 0;
    if (item->round == 0)
        item->round = 1;
    if (item->step == s->cfg->steps) { // the round is over
        if (item->round > s->cfg->max_doublings) {
            s->set->status[i] = LT_ADV_FAILED;
            s->set->adv_pred[i] = pred;
            return DONE;
        }
        item->round++;
        item->step = 0;
        item->eps *= 2.0f;
        if (s->cfg->fresh) { // this gradient belongs to the old image
            lti_view_image(s->view, i, x_adv_of(s, i));
            return GO_ON;
        }
    }
    double g_norm = norm2(g, lti_adv_set_dim(s->set));
    if (g_norm < GRADIENT_FLOOR)
        return FLAT;
    take_step(s, i, g, g_norm);
    return GO_ON;
}

// ---- one batch

// Runs samples idx[0..n-1] through the bucket that n calls for (n is at most its size).
static lt_status run_rows(lti_search *s, lti_grad *grad, lti_grad_loss loss, int bucket, const int64_t *idx, int64_t n,
                          lti_grad_io *io)
{
    LT_TRY(lti_grad_io_get(grad, loss, bucket, io));
    int64_t d = lti_adv_set_dim(s->set);
    for (int64_t r = 0; r < io->size; r++) {
        int64_t i = idx[r < n ? r : 0]; // padding repeats the first row with weight 0
        memcpy(io->x + r * d, x_adv_of(s, i), (size_t)d * sizeof *io->x);
        io->label[r] = s->set->label[i];
        io->weight[r] = r < n ? 1.0f : 0.0f;
    }
    LT_TRY(lt_plan_run(io->plan));
    s->set->n_forward += n;
    s->set->n_backward += n;
    int k = s->model->shape.n_classes;
    for (int64_t r = 0; r < n; r++) {
        double sum = norm2(io->dx + r * d, d) + norm2(io->logits + r * k, k); // not finite when one term is not
        if (!isfinite(sum))
            return LT_FAIL(LT_E_DIVERGED, "adversarial search: logits or gradient of sample id %lld are not finite",
                           (long long)s->set->id[idx[r]]);
    }
    return LT_OK;
}

// The margin's gradient for the rows flat[0..n-1] of the current batch, whose cross-entropy is saturated.
static lt_status step_flat(lti_search *s, lti_grad *grad, int64_t n)
{
    int64_t d = lti_adv_set_dim(s->set), sample = 0;
    for (int64_t f = 0; f < n; f++) { // one by one: rare
        lti_grad_io io;
        sample = s->queue[s->flat[f]];
        LT_TRY(run_rows(s, grad, LTI_GRAD_MARGIN, grad->n_buckets - 1, &sample, 1, &io));
        double g_norm = norm2(io.dx, d);
        if (g_norm < GRADIENT_FLOOR) {
            s->set->status[sample] = LT_ADV_FAILED;
            s->set->adv_pred[sample] = s->set->label[sample];
            s->done[s->flat[f]] = true;
        } else {
            take_step(s, sample, io.dx, g_norm);
        }
    }
    return LT_OK;
}

static lt_status step_batch(lti_search *s, lti_grad *grad)
{
    lti_grad_io io;
    int bucket = lti_grad_bucket(grad, s->n_queue);
    int64_t n = s->n_queue < grad->size[bucket] ? s->n_queue : grad->size[bucket], n_flat = 0;
    LT_TRY(run_rows(s, grad, LTI_GRAD_CE, bucket, s->queue, n, &io));
    for (int64_t r = 0; r < n; r++) {
        verdict v =
            advance(s, s->queue[r], io.logits + r * s->model->shape.n_classes, io.dx + r * lti_adv_set_dim(s->set));
        s->done[r] = v == DONE;
        if (v == FLAT)
            s->flat[n_flat++] = r;
    }
    LT_TRY(step_flat(s, grad, n_flat));
    int64_t kept = 0;
    for (int64_t r = 0; r < s->n_queue; r++)
        if (r >= n || !s->done[r])
            s->queue[kept++] = s->queue[r];
    s->n_queue = kept;
    return LT_OK;
}

// ---- the whole search

double lti_search_time(const lti_search *s)
{
    return s->before_s + lti_now_s() - s->start_s;
}

static void progress(lti_search *s)
{
    double now = lti_now_s();
    if (now - s->emit_s < 0.2 && s->n_queue > 0)
        return;
    s->emit_s = now;
    double spent = lti_search_time(s);
    const lt_field fields[] = {{"images_per_s", spent > 0 ? (double)s->set->n_backward / spent : 0.0},
                               {"failed", (double)lt_adv_set_count(s->set, LT_ADV_FAILED)}};
    lt_emit(s->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                        .name = "attack.progress",
                                        .done = s->set->n - s->n_queue,
                                        .total = s->set->n,
                                        .unit = "samples",
                                        .epoch = -1,
                                        .step = -1,
                                        .fields = fields,
                                        .n_fields = 2});
}

// The search goes on where its state cannot be kept (a full disk, say); said once, for then there is no state.
static void save_or_warn(lti_search *s)
{
    if (lti_search_save(s) == LT_OK)
        return;
    lt_warn(s->env->events, "attack.cache", "the search could not be continued if it were interrupted: %s",
            lt_error_get()->message);
    lt_error_clear();
    s->state = NULL;
}

static lt_status drain(lti_search *s, lti_grad *grad)
{
    while (s->n_queue > 0) {
        if (lt_interrupted(s->env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "adversarial search interrupted with %lld of %lld samples done",
                           (long long)(s->set->n - s->n_queue), (long long)s->set->n);
        LT_TRY(step_batch(s, grad));
        progress(s);
        if (s->state && lti_now_s() - s->save_s > SAVE_EVERY_S) {
            save_or_warn(s);
            s->save_s = lti_now_s();
        }
    }
    return LT_OK;
}

// Predictions of the evaluation path on `images` (NULL = the clean ones).
static lt_status evaluate(lti_search *s, lt_evaluator *evaluator, const float *images)
{
    lt_view view = *s->view;
    lt_eval_result result;
    view.labels = s->set->label;
    if (images)
        view.images = images;
    view.augment = false;
    view.relabel = LT_RELABEL_NONE;
    view.weight = 1.0f;
    LT_TRY(lt_evaluator_run(evaluator, &view, s->logits, NULL, &result));
    s->set->n_forward += s->set->n;
    return LT_OK;
}

// Everything is (re)set here: the arrays may hold what a damaged state file left.
static lt_status start(lti_search *s, lt_evaluator *evaluator)
{
    lt_adv_set *set = s->set;
    for (int64_t i = 0; i < set->n; i++) {
        set->id[i] = s->view->ds->split[s->view->split].id[lti_view_row(s->view, i)];
        set->label[i] = lti_view_label(s->view, i);
    }
    LT_TRY(evaluate(s, evaluator, NULL));
    int k = s->model->shape.n_classes;
    for (int64_t i = 0; i < set->n; i++) {
        lti_view_image(s->view, i, x_adv_of(s, i));
        s->item[i] = (lti_search_item){.eps = s->cfg->eps0};
        set->iters[i] = 0;
        set->clean_pred[i] = set->adv_pred[i] = arg_max(s->logits + i * k, k);
        set->status[i] = LT_ADV_OK;
        if (set->clean_pred[i] != set->label[i])
            set->status[i] = LT_ADV_CLEAN_WRONG; // its own partner: delta 0, eps0
        else
            s->queue[s->n_queue++] = i;
    }
    return LT_OK;
}

// Takes the final predictions, and puts samples that the evaluation path still calls right back to work.
static lt_status verify(lti_search *s, lt_evaluator *evaluator)
{
    LT_TRY(evaluate(s, evaluator, s->set->x_adv));
    int k = s->model->shape.n_classes;
    for (int64_t i = 0; i < s->set->n; i++) {
        lt_adv_set *set = s->set;
        if (set->status[i] == LT_ADV_FAILED)
            continue;
        set->adv_pred[i] = arg_max(s->logits + i * k, k);
        if (set->adv_pred[i] != set->label[i])
            continue;
        if (s->n_verified >= MAX_VERIFY_PASSES) {
            set->status[i] = LT_ADV_FAILED;
            continue;
        }
        set->status[i] = LT_ADV_OK;
        s->item[i].forced = 1;
        s->queue[s->n_queue++] = i;
    }
    s->n_verified++;
    return LT_OK;
}

static lt_status search_all(lti_search *s, lti_grad *grad, lt_evaluator *evaluator)
{
    do {
        LT_TRY(drain(s, grad));
        LT_TRY(verify(s, evaluator));
    } while (s->n_queue > 0);
    return LT_OK;
}

static void finish(lti_search *s)
{
    lt_adv_set *set = s->set;
    for (int64_t i = 0; i < set->n; i++) {
        lti_view_image(s->view, i, s->x);
        set->delta_norm[i] = (float)distance(x_adv_of(s, i), s->x, lti_adv_set_dim(set));
        set->eps_final[i] = s->item[i].eps;
        set->rounds[i] = s->item[i].round;
    }
    set->search_s = lti_search_time(s);
    const lt_field fields[] = {{"n", (double)set->n},
                               {"clean_wrong", (double)lt_adv_set_count(set, LT_ADV_CLEAN_WRONG)},
                               {"failed", (double)lt_adv_set_count(set, LT_ADV_FAILED)},
                               {"search_s", set->search_s},
                               {"images_per_s", set->search_s > 0 ? (double)set->n_backward / set->search_s : 0.0}};
    lt_emit(s->env->events,
            &(lt_event){
                .kind = LT_EV_METRIC, .name = "attack.done", .epoch = -1, .step = -1, .fields = fields, .n_fields = 5});
}

static lt_status search_init(lti_search *s)
{
    const lt_model_shape *shape = &s->model->shape;
    size_t n = (size_t)s->view->n, batch = (size_t)s->cfg->batch;
    LT_TRY(lti_adv_set_create(s->view->n, shape->c, shape->h, shape->w, &s->set));
    s->item = lti_calloc(n, sizeof *s->item);
    s->queue = lti_calloc(n, sizeof *s->queue);
    s->flat = lti_calloc(batch, sizeof *s->flat);
    s->done = lti_calloc(batch, sizeof *s->done);
    s->x = lti_calloc((size_t)lti_adv_set_dim(s->set), sizeof *s->x);
    s->logits = lti_calloc(n, (size_t)shape->n_classes * sizeof *s->logits);
    if (!s->item || !s->queue || !s->flat || !s->done || !s->x || !s->logits)
        return LTI_NOMEM("adversarial search");
    s->start_s = s->emit_s = s->save_s = lti_now_s();
    return LT_OK;
}

static void search_clear(lti_search *s)
{
    lt_adv_set_destroy(s->set);
    lti_free(s->item);
    lti_free(s->queue);
    lti_free(s->flat);
    lti_free(s->done);
    lti_free(s->x);
    lti_free(s->logits);
}

// Continues from the state file; false when there is none or it does not serve (said in a warning).
static bool try_resume(lti_search *s)
{
    if (!s->state || access(s->state, F_OK) != 0)
        return false;
    if (lti_search_load(s) == LT_OK) {
        lt_info(s->env->events, "attack.cache", "continuing an interrupted search: %lld of %lld samples done",
                (long long)(s->set->n - s->n_queue), (long long)s->set->n);
        return true;
    }
    lt_warn(s->env->events, "attack.cache", "starting the search again: %s", lt_error_get()->message);
    lt_error_clear();
    return false;
}

static lt_status run(const lt_model *model, const lt_view *view, const void *cfg, const lt_env *env, const char *state,
                     lt_adv_set **set)
{
    lti_search s = {.cfg = cfg, .model = model, .view = view, .env = env, .state = state};
    lti_grad grad = {0};
    lt_evaluator *evaluator = NULL;
    bool started = false;
    lt_status status = LT_OK;
    LT_TRY_GOTO(search_init(&s), out);
    LT_TRY_GOTO(lt_evaluator_create(model, env, s.cfg->batch, &evaluator), out);
    LT_TRY_GOTO(lti_grad_init(&grad, model, env, s.cfg->batch), out);
    if (!try_resume(&s))
        LT_TRY_GOTO(start(&s, evaluator), out);
    started = true;
    LT_TRY_GOTO(search_all(&s, &grad, evaluator), out);
    finish(&s);
    *set = s.set;
    s.set = NULL;
out:
    if (status == LT_E_INTERRUPTED && s.state && started) { // keep what there is; a failure to do so is the worse news
        lt_error why = *lt_error_get();
        if (lti_search_save(&s) == LT_OK)
            lt_error_restore(&why);
        else
            status = lt_error_get()->status;
    }
    lti_grad_clear(&grad);
    lt_evaluator_destroy(evaluator);
    search_clear(&s);
    return status;
}

const lt_attack lti_attack_adv_search = {
    .name = "amun-search",
    .title = "nearest adversarial neighbour (PGD-L2, doubling radius)",
    .cite = "amun",
    .doc = "For every sample the point of a doubling sequence of L2 balls where projected gradient ascent on the true "
           "label's "
           "cross-entropy first changes the prediction. Per-sample gradients, steps of rho times the radius, no random "
           "start, early "
           "stop per sample, so the result lies at most one step past the decision boundary. [AMUN 2.1]",
    .cfg_size = sizeof(lt_adv_search_cfg),
    .opts = lt_adv_search_options,
    .run = run,
};
