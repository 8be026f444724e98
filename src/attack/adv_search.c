// adv_search.c - the adversarial set of AMUN: the search of adv_search_slot.c over every sample of a view. [AMUN 2.1,
// Alg. 1]
//
// Samples are independent, so the search is a queue of the engine: a finished sample's row is taken by a waiting one
// and batches stay full; at the end they shrink through halving sizes.
//
// Whether a sample is misclassified is decided in the end by the ordinary evaluation path, on the finished set: batch
// sizes differ in rounding, and a sample that sits on the boundary may be seen differently in another batch. Such
// samples take further steps until both agree. Clean predictions are made before anything else.
#include "attack/attack_impl.h"
#include "attack/attack_rows.h"
#include "attack/engine.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { MAX_VERIFY_PASSES = 32 };
#define SAVE_EVERY_S 600.0

#define SELF(field) field
const lt_option lt_adv_search_options[] = {LTI_ADV_SEARCH_ROWS(lt_adv_search_cfg, SELF), LT_OPT_END};

double lti_search_time(const lti_search *s)
{
    return s->before_s + lti_now_s() - s->start_s;
}

// Steps, failures and passes of the samples so far, from the engine's books into the set.
static void collect_progress(lti_search *s)
{
    for (int64_t i = 0; i < s->set->n; i++) {
        lti_sample *sample = &s->sample[i];
        s->set->iters[i] = s->item[i].n_steps;
        if (s->item[i].outcome == LTI_SEARCH_FAILED) {
            s->set->status[i] = LT_ADV_FAILED;
            s->set->adv_pred[i] = s->set->label[i];
        }
        s->set->n_forward += sample->n_forward;
        s->set->n_backward += sample->n_backward;
        sample->n_forward = sample->n_backward = 0;
    }
}

// The search goes on where its state cannot be kept (a full disk, say); said once, for then there is no state.
static void save_or_warn(void *ctx)
{
    lti_search *s = ctx;
    collect_progress(s);
    if (!s->state || lti_search_save(s) == LT_OK)
        return;
    lt_warn(s->env->events, "attack.cache", "the search could not be continued if it were interrupted: %s",
            lt_error_get()->message);
    lt_error_clear();
    s->state = NULL;
}

static lt_status check_finite(const lti_search *s)
{
    for (int64_t i = 0; i < s->set->n; i++)
        if (s->sample[i].invalid)
            return LT_FAIL(LT_E_DIVERGED, "adversarial search: logits or gradient of sample id %lld are not finite",
                           (long long)s->set->id[i]);
    return LT_OK;
}

// Every sample of the queue until it is done; interrupted, the queue is what is left.
static lt_status drain_queue(lti_search *s, lti_grad *grad)
{
    const lt_model_shape *shape = &s->model->shape;
    lt_attack_spec spec;
    lt_attack_spec_init(&spec);
    spec.norm = LT_NORM_L2;
    spec.batch = s->cfg->batch;
    const lti_engine_job job = {.ops = &lti_adv_search_ops,
                                .cfg = s->cfg,
                                .spec = &spec,
                                .mode = LTI_MODE_FIRST,
                                .restarts = 1,
                                .n_ranks = 1,
                                .c = shape->c,
                                .h = shape->h,
                                .w = shape->w,
                                .k = shape->n_classes,
                                .env = s->env,
                                .todo = s->queue,
                                .n_todo = s->n_queue,
                                .n_all = s->set->n,
                                .sample = s->sample,
                                .view = s->view,
                                .progress = s->item,
                                .n_left = &s->n_queue,
                                .save = s->state ? save_or_warn : NULL,
                                .save_ctx = s,
                                .save_every_s = SAVE_EVERY_S,
                                .grad = grad};
    const lt_status status = lti_engine_run(NULL, &job);
    collect_progress(s);
    return status == LT_OK ? check_finite(s) : status;
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
        s->item[i].outcome = LTI_SEARCH_UNDECIDED;
        s->queue[s->n_queue++] = i;
    }
    s->n_verified++;
    return LT_OK;
}

// What the engine works on: samples whose image is that of the set.
static void list_samples(lti_search *s)
{
    for (int64_t i = 0; i < s->set->n; i++)
        s->sample[i] =
            (lti_sample){.id = s->set->id[i], .label = s->set->label[i], .goal = -1, .x_adv = lti_search_image(s, i)};
}

static lt_status search_all(lti_search *s, lti_grad *grad, lt_evaluator *evaluator)
{
    list_samples(s);
    do {
        LT_TRY(drain_queue(s, grad));
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
    size_t n = (size_t)s->view->n;
    LT_TRY(lti_adv_set_create(s->view->n, shape->c, shape->h, shape->w, &s->set));
    s->item = lti_calloc(n, sizeof *s->item);
    s->queue = lti_calloc(n, sizeof *s->queue);
    s->sample = lti_calloc(n, sizeof *s->sample);
    s->x = lti_calloc((size_t)lti_adv_set_dim(s->set), sizeof *s->x);
    s->logits = lti_calloc(n, (size_t)shape->n_classes * sizeof *s->logits);
    if (!s->item || !s->queue || !s->sample || !s->x || !s->logits)
        return LTI_NOMEM("adversarial search");
    s->start_s = lti_now_s();
    return LT_OK;
}

static void search_clear(lti_search *s)
{
    lt_adv_set_destroy(s->set);
    lti_free(s->item);
    lti_free(s->queue);
    lti_free(s->sample);
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
    lt_warn(s->env->events, "attack.cache", "restarting the search: %s", lt_error_get()->message);
    lt_error_clear();
    return false;
}

static lt_status run_adv_search(const lt_model *model, const lt_view *view, const void *cfg, const lt_env *env,
                                const char *state, lt_adv_set **set)
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
        LT_TRY_GOTO(start_search(&s, evaluator), out);
    started = true;
    LT_TRY_GOTO(search_all(&s, &grad, evaluator), out);
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
    lti_grad_clear(&grad);
    lt_evaluator_destroy(evaluator);
    search_clear(&s);
    return status;
}

const lt_attack lti_attack_adv_search = {
    .name = "amun-search",
    .title = "nearest adversarial example (PGD-L2, doubling radius)",
    .cite = "amun",
    .doc = "For every sample the point of a doubling sequence of L2 balls where projected gradient ascent on the true "
           "label's "
           "cross-entropy first changes the prediction. Per-sample gradients, steps of rho times the radius, no random "
           "start, early "
           "stop per sample, so the result is at most one step past the decision boundary. [AMUN 2.1]",
    .cfg_size = sizeof(lt_adv_search_cfg),
    .opts = lt_adv_search_options,
    .run = run_adv_search,
    .ops = &lti_adv_search_ops,
};
