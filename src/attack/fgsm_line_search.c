// fgsm_line_search.c - a weak attack for comparison: steps along one gradient sign until the prediction changes.
// [AMUN 8.4] [FFGSM]
//
// Per sample: s = sign(grad_x CE(x, y)) once, then x' = clamp(x + k step s) for k = 1, 2, ... until the prediction is
// not the label. After `steps` failures the length is reset, and the search starts again from x plus uniform noise with
// a sign taken at it. The points found lie far beyond the boundary (L2 of several units where the search finds less
// than one), which is the purpose: how much does AMUN owe to close neighbours?
//
// The source gives no numbers for step, failures and noise; the defaults are ours. Whether a sample is misclassified is
// decided by the ordinary evaluation path; samples that the final evaluation of the finished set classifies differently
// are searched again. An interrupted run starts over.
#include "attack/attack_impl.h"
#include "attack/attack_rows.h"
#include <math.h>
#include <string.h>

#define SELF(field) field
const lt_option lt_fgsm_line_search_options[] = {LTI_FGSM_LINE_SEARCH_ROWS(lt_fgsm_line_search_cfg, SELF), LT_OPT_END};

typedef struct line_search {
    const lt_fgsm_line_search_cfg *cfg;
    const lt_model *model;
    const lt_view *view;
    const lt_env *env;
    lt_adv_set *set;
    lti_grad grad;
    lt_evaluator *evaluator;
    int64_t *queue, n_queue; // samples not yet misclassified
    float *logits;           // (n,K)
    // one batch of the queue, all (batch,...)
    int64_t *row; // of the split
    int32_t *label;
    bool *done;
    float *start, *sign, *x; // (batch,C,H,W)
    double emit_s, start_s;
} line_search;

static int64_t dim(const line_search *m)
{
    return lti_adv_set_dim(m->set);
}

static float clamp(float v)
{
    return v < 0.0f ? 0.0f : v > 1.0f ? 1.0f : v;
}

// Logits by the evaluation path. images NULL = clean ones; row NULL = the view's.
static lt_status evaluate_logits(line_search *m, const int64_t *row, const int32_t *label, int64_t n,
                                 const float *images)
{
    lt_eval_result result;
    lt_view view = *m->view;
    view.row = row ? row : view.row;
    view.labels = label;
    view.n = n;
    if (images)
        view.images = images;
    view.augment = false;
    view.relabel = LT_RELABEL_NONE;
    view.weight = 1.0f;
    m->set->n_forward += n;
    return lt_evaluator_run(m->evaluator, &view, m->logits, NULL, &result);
}

static lt_status predict_clean(line_search *m)
{
    lt_adv_set *set = m->set;
    const int k = m->model->shape.n_classes;
    for (int64_t i = 0; i < set->n; i++) {
        set->id[i] = m->view->ds->split[m->view->split].id[lti_view_row(m->view, i)];
        set->label[i] = lti_view_label(m->view, i);
        lti_view_image(m->view, i, set->x_adv + i * dim(m));
    }
    LT_TRY(evaluate_logits(m, NULL, set->label, set->n, set->x_adv));
    for (int64_t i = 0; i < set->n; i++) {
        set->clean_pred[i] = set->adv_pred[i] = lti_arg_max(m->logits + i * k, k);
        if (set->clean_pred[i] != set->label[i])
            set->status[i] = LT_ADV_CLEAN_WRONG; // its own partner
        else
            m->queue[m->n_queue++] = i;
    }
    return LT_OK;
}

// Starting points of samples queue[from..from+n-1], and the signs at them.
static lt_status init_step(line_search *m, int64_t from, int64_t n, int32_t restart)
{
    const int64_t d = dim(m);
    for (int64_t r = 0; r < n; r++) {
        const int64_t i = m->queue[from + r];
        float *x = m->start + r * d;
        lti_view_image(m->view, i, x);
        m->row[r] = lti_view_row(m->view, i);
        m->label[r] = m->set->label[i];
        m->done[r] = false;
        lt_rng rng = lt_rng_at(m->cfg->seed, LT_STREAM_ATTACK, (uint32_t)restart, (uint64_t)m->set->id[i]);
        for (int64_t j = 0; restart > 0 && j < d; j++)
            x[j] = clamp(x[j] + m->cfg->noise * (2.0f * lt_rng_uniform(&rng) - 1.0f));
    }
    for (int64_t at = 0, size = 0; at < n; at += size) {
        lti_grad_io io;
        const int bucket = lti_grad_bucket(&m->grad, n - at);
        LT_TRY(lti_grad_io_get(&m->grad, LTI_GRAD_CE, bucket, &io));
        size = n - at < io.size ? n - at : io.size;
        for (int64_t r = 0; r < io.size; r++) {
            const int64_t from_row = at + (r < size ? r : 0); // padding repeats a row with weight 0
            memcpy(io.x + r * d, m->start + from_row * d, (size_t)d * sizeof *io.x);
            io.label[r] = m->label[from_row];
            io.weight[r] = r < size ? 1.0f : 0.0f;
        }
        LT_TRY(lt_plan_run(io.plan));
        for (int64_t j = 0; j < size * d; j++) {
            if (!isfinite(io.dx[j]))
                return LT_FAIL(LT_E_DIVERGED, "fgsm-line-search: the gradient of sample id %lld is not finite",
                               (long long)m->set->id[m->queue[from + at + j / d]]);
            m->sign[at * d + j] = (float)((io.dx[j] > 0.0f) - (io.dx[j] < 0.0f));
        }
        m->set->n_forward += size;
        m->set->n_backward += size;
    }
    return LT_OK;
}

// One batch of the queue, from its starting points until the length is used up.
static lt_status search_batch(line_search *m, int64_t from, int64_t n, int32_t restart)
{
    const int64_t d = dim(m);
    const int k = m->model->shape.n_classes;
    int64_t left = n;
    LT_TRY(init_step(m, from, n, restart));
    for (int32_t s = 1; s <= m->cfg->steps && left > 0; s++) {
        const float length = (float)s * m->cfg->step;
        for (int64_t j = 0; j < n * d; j++)
            m->x[j] = clamp(m->start[j] + length * m->sign[j]);
        LT_TRY(evaluate_logits(m, m->row, m->label, n, m->x));
        for (int64_t r = 0; r < n; r++) {
            const int64_t i = m->queue[from + r];
            if (m->done[r])
                continue;
            m->set->iters[i]++;
            m->set->adv_pred[i] = lti_arg_max(m->logits + r * k, k);
            m->set->rounds[i] = restart + 1;
            if (m->set->adv_pred[i] == m->label[r])
                continue;
            memcpy(m->set->x_adv + i * d, m->x + r * d, (size_t)d * sizeof *m->x);
            m->set->eps_final[i] =
                (float)(((double)length + (restart > 0 ? (double)m->cfg->noise : 0)) * sqrt((double)d));
            m->set->status[i] = LT_ADV_OK;
            m->done[r] = true;
            left--;
        }
    }
    for (int64_t r = 0; r < n; r++)
        if (!m->done[r])
            m->set->status[m->queue[from + r]] = LT_ADV_FAILED;
    return LT_OK;
}

static void report_progress(line_search *m, int64_t left)
{
    const double now = lti_now_s();
    if (now - m->emit_s < 0.2 && left > 0)
        return;
    m->emit_s = now;
    lt_emit(m->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                        .name = "attack.progress",
                                        .done = m->set->n - left,
                                        .total = m->set->n,
                                        .unit = "samples",
                                        .epoch = -1,
                                        .step = -1});
}

// All that are still in the queue, once. What is left afterwards is the new queue.
static lt_status search_queue(line_search *m, int32_t restart)
{
    int64_t kept = 0;
    for (int64_t at = 0; at < m->n_queue; at += m->cfg->batch) {
        const int64_t n = m->n_queue - at < m->cfg->batch ? m->n_queue - at : m->cfg->batch;
        if (lt_interrupted(m->env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "fgsm-line-search interrupted with %lld of %lld samples left",
                           (long long)(m->n_queue - at), (long long)m->set->n);
        LT_TRY(search_batch(m, at, n, restart));
        for (int64_t r = 0; r < n; r++)
            if (!m->done[r])
                m->queue[kept++] = m->queue[at + r]; // behind what is still to be read
        report_progress(m, m->n_queue - at - n + kept);
    }
    m->n_queue = kept;
    return LT_OK;
}

// The last look: final predictions; samples that the whole set's evaluation calls right go back to the queue.
static lt_status verify_set(line_search *m)
{
    lt_adv_set *set = m->set;
    const int k = m->model->shape.n_classes;
    LT_TRY(evaluate_logits(m, NULL, set->label, set->n, set->x_adv));
    m->n_queue = 0;
    for (int64_t i = 0; i < set->n; i++) {
        if (set->status[i] == LT_ADV_FAILED)
            continue;
        set->adv_pred[i] = lti_arg_max(m->logits + i * k, k);
        if (set->adv_pred[i] != set->label[i])
            continue;
        set->status[i] = LT_ADV_FAILED; // unless its search goes on
        m->queue[m->n_queue++] = i;
    }
    return LT_OK;
}

static void finalize_set(line_search *m)
{
    lt_adv_set *set = m->set;
    const int64_t d = dim(m);
    for (int64_t i = 0; i < set->n; i++) {
        double sum = 0;
        lti_view_image(m->view, i, m->start);
        if (set->status[i] == LT_ADV_FAILED) { // no partner: the image itself
            memcpy(set->x_adv + i * d, m->start, (size_t)d * sizeof *m->start);
            set->adv_pred[i] = set->label[i];
            set->eps_final[i] = 0;
        }
        for (int64_t j = 0; j < d; j++) {
            const double v = (double)set->x_adv[i * d + j] - (double)m->start[j];
            sum += v * v;
        }
        set->delta_norm[i] = (float)sqrt(sum);
    }
    set->search_s = lti_now_s() - m->start_s;
    const lt_field fields[] = {{"n", (double)set->n},
                               {"clean_wrong", (double)lt_adv_set_count(set, LT_ADV_CLEAN_WRONG)},
                               {"failed", (double)lt_adv_set_count(set, LT_ADV_FAILED)},
                               {"search_s", set->search_s}};
    lt_emit(m->env->events,
            &(lt_event){
                .kind = LT_EV_METRIC, .name = "attack.done", .epoch = -1, .step = -1, .fields = fields, .n_fields = 4});
}

static lt_status line_search_init(line_search *m)
{
    const lt_model_shape *s = &m->model->shape;
    const size_t n = (size_t)m->view->n, batch = (size_t)m->cfg->batch;
    m->start_s = lti_now_s();
    LT_TRY(lti_adv_set_create(m->view->n, s->c, s->h, s->w, &m->set));
    const size_t bytes = (size_t)dim(m) * sizeof(float);
    m->queue = lti_calloc(n, sizeof *m->queue);
    m->logits = lti_calloc(n > batch ? n : batch, (size_t)s->n_classes * sizeof *m->logits);
    m->row = lti_calloc(batch, sizeof *m->row);
    m->label = lti_calloc(batch, sizeof *m->label);
    m->done = lti_calloc(batch, sizeof *m->done);
    m->start = lti_calloc(batch, bytes);
    m->sign = lti_calloc(batch, bytes);
    m->x = lti_calloc(batch, bytes);
    if (!m->queue || !m->logits || !m->row || !m->label || !m->done || !m->start || !m->sign || !m->x)
        return LTI_NOMEM("fgsm-line-search");
    LT_TRY(lti_grad_init(&m->grad, m->model, m->env, m->cfg->batch));
    return lt_evaluator_create(m->model, m->env, m->cfg->batch, &m->evaluator);
}

static void line_search_clear(line_search *m)
{
    lt_adv_set_destroy(m->set);
    lti_grad_clear(&m->grad);
    lt_evaluator_destroy(m->evaluator);
    lti_free(m->queue);
    lti_free(m->logits);
    lti_free(m->row);
    lti_free(m->label);
    lti_free(m->done);
    lti_free(m->start);
    lti_free(m->sign);
    lti_free(m->x);
}

static lt_status search_all(line_search *m)
{
    int32_t restart = 0;
    LT_TRY(predict_clean(m));
    do {
        for (; m->n_queue > 0 && restart <= m->cfg->restarts; restart++)
            LT_TRY(search_queue(m, restart));
        LT_TRY(verify_set(m));
    } while (m->n_queue > 0 && restart <= m->cfg->restarts);
    return LT_OK;
}

static lt_status run_line_search(const lt_model *model, const lt_view *view, const void *cfg, const lt_env *env,
                                 const char *state, lt_adv_set **set)
{
    line_search m = {.cfg = cfg, .model = model, .view = view, .env = env};
    lt_status status = LT_OK;
    (void)state;
    LT_TRY_GOTO(line_search_init(&m), out);
    LT_TRY_GOTO(search_all(&m), out);
    finalize_set(&m);
    *set = m.set;
    m.set = NULL;
out:
    line_search_clear(&m);
    return status;
}

const lt_attack lti_attack_fgsm_line_search = {
    .name = "fgsm-line-search",
    .title = "line search along one gradient sign (weak, for comparison)",
    .cite = "ffgsm",
    .doc =
        "Takes the sign of the gradient once and goes along it in equal steps until the prediction changes; after too "
        "many steps it starts again from a slightly disturbed image. Finds points far beyond the decision boundary. "
        "[AMUN 8.4] The numbers of steps, the noise and the restarts are ours: the source gives none.",
    .cfg_size = sizeof(lt_fgsm_line_search_cfg),
    .opts = lt_fgsm_line_search_options,
    .run = run_line_search,
};
