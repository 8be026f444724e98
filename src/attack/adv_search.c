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
#include "attack/attack_impl.h"
#include "attack/attack_rows.h"
#include "attack/engine.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { MAX_VERIFY_PASSES = 32, SAVE_EVERY_S = 600 };
#define GRADIENT_FLOOR 1e-30

#define SELF(field) field
const lt_option lt_adv_search_options[] = {LTI_ADV_SEARCH_ROWS(lt_adv_search_cfg, SELF), LT_OPT_END};

// ---- one sample

// A step of the row along the gradient in row grad_row of the last run.
static void add_step(lti_search *s, int64_t row, int64_t grad_row, double g_length)
{
    const int64_t i = s->queue[row];
    lti_search_item *item = &s->item[i];
    const double length = (double)s->cfg->step_ratio * (double)item->eps;
    s->move[s->n_moves++] = (lti_row_step){
        .row = (int32_t)row, .grad_row = (int32_t)grad_row, .scale = (float)(length / g_length), .eps = item->eps};
    item->step++;
    s->set->iters[i]++;
}

typedef enum verdict { STEP, RESTART, FLAT, DONE } verdict;

// Sample i after one run: what was seen at its current image.
static verdict advance(lti_search *s, int64_t i, const lti_row_stats *stats)
{
    lti_search_item *item = &s->item[i];
    const int32_t pred = stats->pred;
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
        if (s->cfg->restart_from_clean) // this gradient belongs to the old image
            return RESTART;
    }
    return stats->norm < GRADIENT_FLOOR ? FLAT : STEP;
}

// ---- one batch

static lt_status run_rows(lti_search *s, lti_attack_batch *stage, lti_grad_loss loss, int bucket, int64_t from,
                          int64_t n)
{
    LT_TRY(lti_attack_batch_evaluate(stage, loss, bucket, from, n));
    s->set->n_forward += n;
    s->set->n_backward += n;
    for (int64_t r = 0; r < n; r++)
        if (!stage->stats[r].finite)
            return LT_FAIL(LT_E_DIVERGED, "adversarial search: logits or gradient of sample id %lld are not finite",
                           (long long)s->set->id[s->queue[from + r]]);
    return LT_OK;
}

// The margin's gradient for the rows flat[0..n-1], whose cross-entropy is saturated.
static lt_status step_flat(lti_search *s, lti_attack_batch *stage, int64_t n)
{
    for (int64_t f = 0; f < n; f++) { // one by one: rare
        const int64_t row = s->flat[f], sample = s->queue[row];
        LT_TRY(run_rows(s, stage, LTI_GRAD_MARGIN, stage->grad->n_buckets - 1, row, 1));
        if (stage->stats[0].norm < GRADIENT_FLOOR) {
            s->set->status[sample] = LT_ADV_FAILED;
            s->set->adv_pred[sample] = s->set->label[sample];
            s->done[row] = true;
        } else {
            add_step(s, row, 0, stage->stats[0].norm);
            LT_TRY(lti_attack_batch_step(stage));
        }
    }
    return LT_OK;
}

// What each of the first n rows does next.
static lt_status classify_rows(lti_search *s, lti_attack_batch *stage, int64_t n, int64_t *n_flat)
{
    for (int64_t r = 0; r < n; r++) {
        const verdict v = advance(s, s->queue[r], &stage->stats[r]);
        s->done[r] = v == DONE;
        if (v == FLAT)
            s->flat[(*n_flat)++] = r;
        else if (v == RESTART)
            LT_TRY(lti_attack_batch_restart(stage, r));
        else if (v == STEP)
            add_step(s, r, r, stage->stats[r].norm);
    }
    return lti_attack_batch_step(stage);
}

static lt_status step_batch(lti_search *s, lti_attack_batch *stage)
{
    const lti_grad *grad = stage->grad;
    const int bucket = lti_grad_bucket(grad, s->n_queue);
    const int64_t n = s->n_queue < grad->size[bucket] ? s->n_queue : grad->size[bucket];
    int64_t n_flat = 0, kept = 0;
    LT_TRY(run_rows(s, stage, LTI_GRAD_CE, bucket, 0, n));
    LT_TRY(classify_rows(s, stage, n, &n_flat));
    LT_TRY(step_flat(s, stage, n_flat));
    LT_TRY(lti_attack_batch_retire(stage, n, s->done));
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
    s->save_s = lti_now_s();
    if (lti_search_save(s) == LT_OK)
        return;
    lt_warn(s->env->events, "attack.cache", "the search could not be continued if it were interrupted: %s",
            lt_error_get()->message);
    lt_error_clear();
    s->state = NULL;
}

// The set is complete whenever this returns without a failure, an interruption not counted as one.
static lt_status drain(lti_search *s, lti_attack_batch *stage)
{
    while (s->n_queue > 0) {
        if (lt_interrupted(s->env->stop)) {
            LT_TRY(lti_attack_batch_write_back(stage));
            return LT_FAIL(LT_E_INTERRUPTED, "adversarial search interrupted with %lld of %lld samples done",
                           (long long)(s->set->n - s->n_queue), (long long)s->set->n);
        }
        LT_TRY(step_batch(s, stage));
        progress(s);
        if (s->state && lti_now_s() - s->save_s > SAVE_EVERY_S) {
            LT_TRY(lti_attack_batch_write_back(stage));
            save_or_warn(s);
        }
    }
    return lti_attack_batch_write_back(stage);
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
static lt_status start_search(lti_search *s, lt_evaluator *evaluator)
{
    lt_adv_set *set = s->set;
    for (int64_t i = 0; i < set->n; i++) {
        set->id[i] = s->view->ds->split[s->view->split].id[lti_view_row(s->view, i)];
        set->label[i] = lti_view_label(s->view, i);
    }
    LT_TRY(evaluate(s, evaluator, NULL));
    int k = s->model->shape.n_classes;
    for (int64_t i = 0; i < set->n; i++) {
        lti_view_image(s->view, i, lti_search_image(s, i));
        s->item[i] = (lti_search_item){.eps = s->cfg->eps0};
        set->iters[i] = 0;
        set->clean_pred[i] = set->adv_pred[i] = lti_arg_max(s->logits + i * k, k);
        set->status[i] = LT_ADV_OK;
        if (set->clean_pred[i] != set->label[i])
            set->status[i] = LT_ADV_CLEAN_WRONG; // its own partner: delta 0, eps0
        else
            s->queue[s->n_queue++] = i;
    }
    return LT_OK;
}

// Takes the final predictions, and puts samples that the evaluation path still calls right back to work.
static lt_status verify_set(lti_search *s, lt_evaluator *evaluator)
{
    LT_TRY(evaluate(s, evaluator, s->set->x_adv));
    int k = s->model->shape.n_classes;
    for (int64_t i = 0; i < s->set->n; i++) {
        lt_adv_set *set = s->set;
        if (set->status[i] == LT_ADV_FAILED)
            continue;
        set->adv_pred[i] = lti_arg_max(s->logits + i * k, k);
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

static lt_status search_all(lti_search *s, lti_attack_batch *stage, lt_evaluator *evaluator)
{
    do {
        LT_TRY(drain(s, stage));
        LT_TRY(verify_set(s, evaluator));
    } while (s->n_queue > 0);
    return LT_OK;
}

static void finalize_set(lti_search *s)
{
    lt_adv_set *set = s->set;
    for (int64_t i = 0; i < set->n; i++) {
        lti_view_image(s->view, i, s->x);
        set->delta_norm[i] = (float)lti_l2_ball_distance(lti_search_image(s, i), s->x, lti_adv_set_dim(set));
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
    s->move = lti_calloc(batch, sizeof *s->move);
    s->x = lti_calloc((size_t)lti_adv_set_dim(s->set), sizeof *s->x);
    s->logits = lti_calloc(n, (size_t)shape->n_classes * sizeof *s->logits);
    if (!s->item || !s->queue || !s->flat || !s->done || !s->move || !s->x || !s->logits)
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
    lti_free(s->move);
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

static lt_status run_adv_search(const lt_model *model, const lt_view *view, const void *cfg, const lt_env *env,
                                const char *state, lt_adv_set **set)
{
    lti_search s = {.cfg = cfg, .model = model, .view = view, .env = env, .state = state};
    lti_grad grad = {0};
    lti_attack_batch stage = {0};
    lt_evaluator *evaluator = NULL;
    bool started = false;
    lt_status status = LT_OK;
    LT_TRY_GOTO(search_init(&s), out);
    LT_TRY_GOTO(lt_evaluator_create(model, env, s.cfg->batch, &evaluator), out);
    LT_TRY_GOTO(lti_grad_init(&grad, model, env, s.cfg->batch), out);
    LT_TRY_GOTO(lti_attack_batch_init(&stage, &s, &grad), out);
    if (!try_resume(&s))
        LT_TRY_GOTO(start_search(&s, evaluator), out);
    started = true;
    LT_TRY_GOTO(search_all(&s, &stage, evaluator), out);
    finalize_set(&s);
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
    lti_attack_batch_clear(&stage);
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
    .run = run_adv_search,
    .ops = &lti_adv_search_ops,
};
