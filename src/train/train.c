// train.c - the loop: epochs of phases of steps, with events, checkpoints and the divergence guard.
//
// The position in the job (epoch, phase, batch) is data, `at`; the loop only moves it on. So a resumed job enters the
// same code in the middle, and because batches, learning rates and augmentation are functions of that place it ends
// with the same bits. The interrupt flag is checked between steps only.
#include "trainer.h"
#include "train/end_early.h"

#include <errno.h>
#include <math.h>
#include <string.h>
#include <unistd.h>

enum { SPIKE_WARMUP = 20 }; // steps of a phase before its running mean is trusted

// ---- checkpoint

static lt_status save(lti_trainer *t)
{
    if (lti_rank(t) != 0)
        return LT_OK;
    LT_TRY(lti_on_device_to_host(t));
    t->at.optim_t = t->optim.t;
    t->at.bn_batches = t->job->model->bn_batches;
    t->sums.wall_s = t->wall_before_s + lti_now_s() - t->start_s;
    LT_TRY(lti_state_save(&t->state, t->path));
    t->save_s = t->mark_s = lti_now_s(); // the time spent here is no training time
    return LT_OK;
}

static lt_status interrupted(lti_trainer *t)
{
    if (!t->path) {
        return LT_FAIL(LT_E_INTERRUPTED, "training interrupted at epoch %lld, step %lld; no checkpoint was requested",
                       (long long)t->at.epoch, (long long)t->at.steps);
    }
    LT_TRY(save(t));
    return LT_FAIL(LT_E_INTERRUPTED, "training interrupted at epoch %lld, step %lld; state saved to %s",
                   (long long)t->at.epoch, (long long)t->at.steps, t->path);
}

static lt_status load(lti_trainer *t)
{
    if (access(t->path, F_OK) != 0 && errno == ENOENT) {
        lt_info(t->env->events, "train.resume", "%s does not exist: starting at the beginning", t->path);
        return LT_OK;
    }
    LT_TRY(lti_state_load(&t->state, t->path, t->env->events));
    lti_trainer_mark_model_dirty(t);
    lti_trainer_mark_optim_dirty(t);
    for (int i = 0; i < t->job->n_penalties; i++) // their own parameters came from the file
        if (t->job->penalty[i].own_updated)
            t->job->penalty[i].own_updated(t->job->penalty[i].ctx);
    if (t->job->transform && t->job->transform->own_updated)
        t->job->transform->own_updated(t->job->transform->ctx);
    const lti_step_counters *at = &t->at;
    if (at->epoch < 0 || at->epoch > t->job->cfg.epochs || at->phase < 0 || at->phase > t->job->n_phases ||
        at->batch < 0) {
        return LT_FAIL(LT_E_FORMAT, "%s: offset out of range: epoch %lld, phase %lld, batch %lld", t->path,
                       (long long)at->epoch, (long long)at->phase, (long long)at->batch);
    }
    t->optim.t = at->optim_t;
    t->job->model->bn_batches = at->bn_batches;
    t->images_before = at->images;
    t->train_before_s = t->sums.train_s;
    t->wall_before_s = t->sums.wall_s;
    lt_info(t->env->events, "train.resume", "continuing at epoch %lld, step %lld from %s", (long long)at->epoch,
            (long long)at->steps, t->path);
    return LT_OK;
}

// ---- divergence

static void copy_floats(float *to, const float *from, int64_t n)
{
    if (n > 0) // a model without running statistics has no state slab
        memcpy(to, from, (size_t)n * sizeof *to);
}

static void save_epoch_snapshot(lti_trainer *t)
{
    const lt_model *m = t->job->model;
    copy_floats(t->start_params, m->params, m->n_params);
    copy_floats(t->start_state, m->state, m->n_state);
    t->at.start_bn_batches = m->bn_batches;
}

static void restore_epoch_snapshot(lti_trainer *t)
{
    lt_model *m = t->job->model;
    copy_floats(m->params, t->start_params, m->n_params);
    copy_floats(m->state, t->start_state, m->n_state);
    m->bn_batches = t->at.start_bn_batches;
    lti_trainer_mark_model_dirty(t);
}

static lt_status diverged(lti_trainer *t, double loss)
{
    lti_nonfinite_report b;
    LT_TRY(lti_on_device_to_host(t));
    lti_find_nonfinite(t->job->model, t->grads, &b);
    LT_FAIL(
        LT_E_DIVERGED,
        "training diverged at epoch %lld, step %lld: loss %g (running mean %g), %s %s %s %g; the model is back at the "
        "start of epoch %lld",
        (long long)t->at.epoch, (long long)t->at.steps, loss, t->sums.mean[t->at.phase], b.kind, b.tensor,
        b.finite ? "is the largest, with" : "holds", b.value, (long long)t->at.epoch);
    restore_epoch_snapshot(t);
    return lt_error_hint("the learning rate was %g: try a smaller one, or warmup_epochs", t->sums.lr);
}

// Follows the running mean of the phase's loss; true when the loss is out of bounds.
static bool out_of_bounds(lti_trainer *t, double loss)
{
    double *mean = &t->sums.mean[t->at.phase];
    int64_t *n = &t->at.n_mean[t->at.phase];
    const double usual = fmax(*mean, log(t->job->model->shape.n_classes));
    const double factor = (double)t->job->cfg.divergence_factor;
    if (!isfinite(loss) || (factor > 0 && *n >= SPIKE_WARMUP && loss > factor * usual))
        return true;
    ++*n;
    *mean += (loss - *mean) / (double)(*n < 50 ? *n : 50); // plain mean first, then a memory of about 50 steps
    return false;
}

// ---- one step

// The batch's own labels, or those the job puts in their place.
static lt_status labels_of(lti_trainer *t, int p, const lt_batch *b, const int32_t **labels)
{
    *labels = b->y;
    if (!t->job->on_batch)
        return LT_OK;
    memcpy(t->relabel, b->y, (size_t)b->n * sizeof *t->relabel);
    LT_TRY(t->job->on_batch(t->job, p, b, t->relabel, t->job->ctx));
    for (int64_t i = 0; i < b->n; i++) {
        if (t->relabel[i] < 0 || t->relabel[i] >= t->job->model->shape.n_classes)
            return LT_FAIL(LT_E_FORMAT, "phase %d: label of sample %lld: the model has classes 0 to %d, found %d", p,
                           (long long)b->id[i], t->job->model->shape.n_classes - 1, (int)t->relabel[i]);
    }
    *labels = t->relabel;
    return LT_OK;
}

// Fills the plan's inputs, runs it, counts correct predictions. The batch is of phase p.
static lt_status forward_backward(lti_trainer *t, int p, const lt_batch *b, double *loss)
{
    lt_model *m = t->job->model;
    const size_t per = (size_t)m->shape.c * (size_t)m->shape.h * (size_t)m->shape.w;
    const int32_t *labels = NULL;
    lt_plan *plan = NULL;
    m->bn_batches += m->n_state > 0 && !t->job->bn_eval ? lti_adv_forwards(t) : 0;
    t->at.attack_forward += (lti_adv_forwards(t) - 1) * b->n_all;
    t->at.attack_backward += (lti_adv_forwards(t) - 1) * b->n_all;
    if (b->n == 0) { // a batch that is smaller than the number of ranks
        memset(t->grads, 0, (size_t)m->n_params * sizeof *t->grads);
        return LT_OK;
    }
    LT_TRY(labels_of(t, p, b, &labels));
    LT_TRY(lti_plans_get(&t->plans, b->n, &plan));
    lti_plan_input_produced_on_device(plan, m->x, !b->x);
    if (b->x)
        memcpy(lt_plan_buffer(plan, m->x), b->x, (size_t)b->n * per * sizeof(float));
    else
        LT_TRY(lti_on_device_images(t, p, b, plan));
    memcpy(lt_plan_buffer(plan, t->labels), labels, (size_t)b->n * sizeof(int32_t));
    float *weight = lt_plan_buffer(plan, t->weight);
    for (int64_t i = 0; i < b->n; i++)
        weight[i] = b->weight[i] / (float)b->n_all;
    LT_TRY(lti_adv_attack(t, p, b, labels, plan)); // may take the place of the images
    if (lti_job_distils(t->job))
        LT_TRY(lti_trainer_compute_teacher_logits(t, p, b, plan));
    const lt_objective *objective = t->job->objective;
    const lt_objective_batch at = {.batch = b, .labels = labels, .epoch = (int32_t)t->at.epoch, .step = t->at.steps};
    if (objective && objective->fill)
        LT_TRY(objective->fill(objective->ctx, &at, plan));
    LT_TRY(lt_plan_run(plan));
    *loss = (double)*(const float *)lt_plan_buffer(plan, t->loss);
    const float *z = lt_plan_buffer(plan, m->logits); // (n,K)
    for (int64_t i = 0; i < b->n; i++)
        t->at.epoch_correct += lti_arg_max(z + i * m->shape.n_classes, m->shape.n_classes) == labels[i];
    return LT_OK;
}

static lt_step step_of(const lti_trainer *t, int64_t n, double loss, double penalty)
{
    int last = t->job->n_phases - 1; // the last phase that has steps
    while (last > 0 && t->job->phase[last].companion)
        last--;
    return (lt_step){.step = t->at.steps,
                     .epoch = (int32_t)t->at.epoch,
                     .phase = (int)t->at.phase,
                     .batch = t->at.batch,
                     .n = n,
                     .loss = loss,
                     .lr = t->sums.lr,
                     .penalty = penalty,
                     .ends_epoch = t->at.phase == last && t->at.batch + 1 == t->phase_batches[last]};
}

// The hook after an update: what it changed counts like an update of the trainer.
static lt_status after_update(lti_trainer *t, const lt_step *step)
{
    lt_job *job = t->job;
    const int64_t every = job->after_update_every > 0 ? job->after_update_every : 1;
    unsigned did = 0;
    if (!job->after_update || !(step->ends_epoch || step->step % every == 0))
        return LT_OK;
    LT_TRY(lti_on_device_to_host(t));
    LT_TRY(job->after_update(job, step, &did, job->after_ctx));
    if (did & LT_UPDATE_RESET_MOMENTUM) {
        memset(t->optim.m, 0, (size_t)t->optim.n * sizeof *t->optim.m);
        if (t->optim.v)
            memset(t->optim.v, 0, (size_t)t->optim.n * sizeof *t->optim.v);
        lti_trainer_mark_optim_dirty(t);
    }
    if (did & LT_UPDATE_CHANGED)
        lti_trainer_mark_model_dirty(t);
    return LT_OK;
}

static lt_status account(lti_trainer *t, int64_t n, double loss, double penalty)
{
    const double now = lti_now_s();
    t->sums.train_s += now - t->mark_s;
    t->mark_s = now;
    t->sums.epoch_loss += loss * (double)n;
    t->sums.last_loss = loss;
    t->at.epoch_images += n;
    t->at.images += n;
    t->at.steps++;
    const lt_step step = step_of(t, n, loss, penalty);
    LT_TRY(after_update(t, &step));
    if (t->job->on_step) {
        if (!t->job->step_only)
            LT_TRY(lti_on_device_model_to_host(t));
        t->job->on_step(t->job, &step, t->job->step_ctx);
    }
    t->at.batch++;
    lti_trainer_emit_progress(t);
    return LT_OK;
}

static void swap_floats(float *a, float *b, int64_t n)
{
    for (int64_t i = 0; i < n; i++) {
        const float x = a[i];
        a[i] = b[i];
        b[i] = x;
    }
}

// Adds loss and gradient of the batch that accompanies this step's.
static lt_status add_companion(lti_trainer *t, const lt_batch *b, double *loss)
{
    const int64_t n = t->job->model->n_params;
    double own = 0;
    copy_floats(t->companion_grads, t->grads, n);
    LT_TRY(forward_backward(t, (int)t->at.phase + 1, b, &own));
    *loss += own;
    if (!t->job->on_gradient) {
        for (int64_t i = 0; i < n; i++)
            t->grads[i] += t->companion_grads[i];
        return LT_OK;
    }
    swap_floats(t->grads, t->companion_grads, n); // the hook sees the phase's own gradient first
    return LT_OK;
}

// One pass of the model over the batches of a step; with a transform, its values and its gradient.
static lt_status one_pass(lti_trainer *t, const lt_batch *b, const lt_batch *companion, const lt_update_at *at,
                          double *loss)
{
    const lt_transform *f = t->job->transform;
    LT_TRY(lti_trainer_use_params(t, at));
    LT_TRY(forward_backward(t, (int)t->at.phase, b, loss));
    if (companion)
        LT_TRY(add_companion(t, companion, loss));
    LT_TRY(lti_ranks_sum_gradients(t, companion != NULL, loss));
    if (t->job->on_gradient)
        LT_TRY(t->job->on_gradient(t->job, at, t->grads, companion ? t->companion_grads : NULL, t->job->ctx));
    if (f && f->in_training && f->backward)
        f->backward(f->ctx, t->job->model->params, t->used, t->grads, t->own[LT_JOB_MAX_PENALTIES].grad);
    return LT_OK;
}

static lt_status all_passes(lti_trainer *t, const lt_batch *b, const lt_batch *companion, lt_update_at at, double *loss)
{
    const lt_transform *f = t->job->transform;
    const int n_passes = f && f->in_training && f->n_passes > 1 ? f->n_passes : 1;
    const int64_t n = t->job->model->n_params;
    lti_own *own = &t->own[LT_JOB_MAX_PENALTIES];
    if (own->grad)
        memset(own->grad, 0, (size_t)own->params.n * sizeof *own->grad);
    LT_TRY(one_pass(t, b, companion, &at, loss));
    for (at.pass = 1; at.pass < n_passes; at.pass++) {
        double more = 0;
        copy_floats(t->pass_grads, t->grads, n);
        LT_TRY(one_pass(t, b, companion, &at, &more));
        for (int64_t i = 0; i < n; i++)
            t->grads[i] += t->pass_grads[i];
        *loss += more;
    }
    return LT_OK;
}

// Values of the penalties, and the update of what they and the transform own.
static bool update_own(lti_trainer *t, double *penalty)
{
    const lt_job *job = t->job;
    const double factor = job->cfg.lr > 0 ? t->sums.lr / (double)job->cfg.lr : 0;
    bool finite = true;
    *penalty = 0;
    for (int i = 0; i < job->n_penalties; i++) {
        const lt_penalty *term = &job->penalty[i];
        if (t->terms.weight[1 + i] == 0 || !term->finish)
            continue;
        *penalty += term->finish(term->ctx, t->own[i].grad);
        finite = lti_own_step(&t->own[i], factor) && finite;
        if (term->own_updated)
            term->own_updated(term->ctx);
    }
    finite = lti_own_step(&t->own[LT_JOB_MAX_PENALTIES], factor) && finite;
    if (job->transform && job->transform->own_updated)
        job->transform->own_updated(job->transform->ctx);
    return finite && isfinite(*penalty);
}

// side: the batch of the accompanying phase, or NULL.
static lt_status run_step(lti_trainer *t, const lt_batch *b, const lt_batch *companion, int64_t first_batch)
{
    lt_model *m = t->job->model;
    double loss = 0;
    t->sums.lr = lt_train_lr(&t->job->cfg, (int32_t)t->at.epoch, first_batch + t->at.batch, t->epoch_batches);
    const lt_update_at place = {.epoch = (int32_t)t->at.epoch,
                                .n_epochs = t->job->cfg.epochs,
                                .step = first_batch + t->at.batch,
                                .n_steps = t->epoch_batches,
                                .lr = t->sums.lr};
    const int64_t correct = t->at.epoch_correct;
    LT_TRY(all_passes(t, b, companion, place, &loss));
    LT_TRY(lti_ranks_end_step(t, correct));
    if (out_of_bounds(t, loss))
        return diverged(t, loss);
    lti_terms_weigh(&t->terms, &place);
    const lti_update update = {.cfg = &t->job->cfg,
                               .p = m->params,
                               .g = t->grads,
                               .mask = t->job->mask,
                               .lr = t->sums.lr,
                               .terms = &t->terms,
                               .group = t->job->group,
                               .n_groups = t->job->n_groups,
                               .n_threads = lt_backend_n_threads(t->env->backend)};
    bool finite = true;
    LT_TRY(lti_on_device_update(t, &update, &finite));
    if (!t->on_device.update) {
        finite = lti_optim_step(&t->optim, &update);
        lti_trainer_mark_model_dirty(t);
        lti_trainer_mark_optim_dirty(t);
    }
    double penalty = 0;
    finite = update_own(t, &penalty) && finite;
    if (!finite)
        return diverged(t, loss);
    return account(t, b->n_all + (companion ? companion->n_all : 0), loss, penalty);
}

// The accompanying batch of step at.batch. Each round over its phase is an epoch of its loader.
static lt_status next_companion(lti_trainer *t, bool entering, const lt_batch **companion)
{
    const int p = (int)t->at.phase;
    *companion = NULL;
    if (!lti_has_companion(t->job, p))
        return LT_OK;
    const int64_t per_round = t->phase_batches[p + 1], at = t->at.batch;
    const int64_t n_rounds = (t->phase_batches[p] + per_round - 1) / per_round;
    if (entering || at % per_round == 0)
        LT_TRY(lt_loader_start(t->loader[p + 1], (uint32_t)(t->at.epoch * n_rounds + at / per_round), at % per_round));
    return lt_loader_next(t->loader[p + 1], companion);
}

static lt_status run_phase(lti_trainer *t)
{
    const int p = (int)t->at.phase;
    if (t->job->phase[p].companion)
        return LT_OK;
    const double every = t->job->cfg.checkpoint_every_s;
    int64_t first_batch = 0; // of this phase, counted from the start of the epoch
    for (int i = 0; i < p; i++)
        first_batch += t->job->phase[i].companion ? 0 : t->phase_batches[i];
    if (t->at.batch > t->phase_batches[p]) {
        return LT_FAIL(LT_E_FORMAT, "%s: offset out of range: batch %lld of %lld", t->path, (long long)t->at.batch,
                       (long long)t->phase_batches[p]);
    }
    if (t->job->on_phase && t->at.batch == 0) {
        LT_TRY(lti_on_device_model_to_host(t));
        LT_TRY(t->job->on_phase(t->job, (int32_t)t->at.epoch, p, t->job->ctx));
        lti_trainer_mark_model_dirty(t); // what the hook may have done
        LT_TRY(lti_on_device_images_changed(t, p));
    }
    LT_TRY(lt_loader_start(t->loader[p], (uint32_t)t->at.epoch, t->at.batch));
    t->mark_s = lti_now_s();
    for (bool entering = true; t->at.batch < t->phase_batches[p]; entering = false) {
        if (t->comm ? t->stop_all : lt_interrupted(t->env->stop))
            return interrupted(t);
        if (t->path && every > 0 && lti_now_s() - t->save_s >= every)
            LT_TRY(save(t));
        const lt_batch *b = NULL, *companion = NULL;
        LT_TRY(lt_loader_next(t->loader[p], &b));
        LT_TRY(next_companion(t, entering, &companion));
        LT_TRY(run_step(t, b, companion, first_batch));
    }
    return LT_OK;
}

// ---- epochs

// Exchanges the model with the one at the epoch's start; twice is nothing.
static void swap_epoch_snapshot(lti_trainer *t)
{
    lt_model *m = t->job->model;
    swap_floats(m->params, t->start_params, m->n_params);
    swap_floats(m->state, t->start_state, m->n_state);
    const int64_t batches = m->bn_batches;
    m->bn_batches = t->at.start_bn_batches;
    t->at.start_bn_batches = batches;
    lti_trainer_mark_model_dirty(t);
}

// resumed: the first epoch after a checkpoint was loaded, whose start and sums came from the file.
static lt_status begin_epoch(lti_trainer *t, bool resumed)
{
    LT_TRY(lti_on_device_to_host(t));
    LT_TRY(lti_ranks_begin_epoch(t));
    if (!resumed) {
        save_epoch_snapshot(t);
        t->sums.epoch_loss = 0;
        t->at.epoch_images = t->at.epoch_correct = 0;
    }
    if (t->at.phase == t->job->n_phases)
        return LT_OK;
    if (t->job->on_epoch) {
        swap_epoch_snapshot(t);
        const lt_status status = t->job->on_epoch(t->job, (int32_t)t->at.epoch, t->job->ctx);
        swap_epoch_snapshot(t);
        LT_TRY(status);
        for (int i = 0; i < LT_JOB_MAX_TEACHERS; i++)
            lti_plans_changed(&t->teacher[i]); // the hook may have renewed a teacher
        if (t->at.epoch >= t->job->cfg.epochs) // or ended the job
            return LT_OK;
    }
    if (t->job->on_epoch || !t->loader[0])
        LT_TRY(lti_trainer_open_epoch(t));
    return LT_OK;
}

static lt_status evaluate(lti_trainer *t)
{
    const lt_train_cfg *cfg = &t->job->cfg;
    const int64_t done = t->at.epoch + 1;
    if (!t->evaluator || !(done == cfg->epochs || (cfg->eval_every > 0 && done % cfg->eval_every == 0))) {
        t->at.eval_n = 0;
        return LT_OK;
    }
    lt_eval_result r;
    LT_TRY(lti_on_device_to_host(t));
    LT_TRY(lti_trainer_use_params_eval(t));
    const lt_status status = lt_evaluator_run(t->evaluator, t->job->eval_view, NULL, NULL, &r);
    if (status == LT_E_INTERRUPTED)
        return interrupted(t);
    LT_TRY(status);
    t->at.eval_n = r.n;
    t->sums.eval_acc = r.acc;
    t->sums.eval_loss = r.loss;
    t->sums.eval_ece = r.ece;
    return LT_OK;
}

static lt_status end_epoch(lti_trainer *t)
{
    LT_TRY(evaluate(t));
    t->sums.train_acc = lti_trainer_epoch_mean(t, (double)t->at.epoch_correct);
    t->at.epoch++;
    t->at.phase = t->at.batch = 0;
    lti_trainer_emit_epoch(t);
    return LT_OK;
}

// At the start of an epoch: is the model good enough as it is?
static lt_status ask_enough(lti_trainer *t, const lti_end_early *end, bool *enough)
{
    *enough = false;
    if (!end || !end->ask || t->at.epoch == 0 || t->at.phase > 0 || t->at.batch > 0)
        return LT_OK;
    LT_TRY(lti_on_device_to_host(t));
    const lt_status status = end->ask(end->ctx, t->job->model, (int32_t)t->at.epoch, enough);
    return status == LT_E_INTERRUPTED ? interrupted(t) : status;
}

static lt_status run_epochs(lti_trainer *t, bool resumed, const lti_end_early *end)
{
    for (bool enough; t->at.epoch < t->job->cfg.epochs; resumed = false) {
        LT_TRY(ask_enough(t, end, &enough));
        if (enough)
            break;
        LT_TRY(begin_epoch(t, resumed));
        if (t->at.epoch >= t->job->cfg.epochs)
            break;
        for (; t->at.phase < t->job->n_phases; t->at.phase++, t->at.batch = 0)
            LT_TRY(run_phase(t));
        LT_TRY(end_epoch(t));
    }
    return t->path ? save(t) : lti_on_device_to_host(t);
}

static void report(const lti_trainer *t, lt_train_result *result)
{
    *result = (lt_train_result){.epochs = (int32_t)t->at.epoch,
                                .steps = t->at.steps,
                                .images = t->at.images,
                                .wall_s = t->wall_before_s + lti_now_s() - t->start_s,
                                .images_per_s = t->sums.train_s > 0 ? (double)t->at.images / t->sums.train_s : 0,
                                .last_loss = t->sums.last_loss,
                                .train_acc = t->sums.train_acc,
                                .n_forward = t->at.images + t->at.teacher_images + t->at.attack_forward,
                                .n_backward = t->at.images + t->at.attack_backward};
    if (t->at.eval_n > 0) {
        result->eval = (lt_eval_result){
            .n = t->at.eval_n, .acc = t->sums.eval_acc, .loss = t->sums.eval_loss, .ece = t->sums.eval_ece};
    }
}

lt_status lti_train_run_until(lt_job *job, const lt_env *env, const char *checkpoint_path, bool resume,
                              const lti_end_early *end, lt_train_result *result)
{
    lti_trainer t;
    lt_status status = LT_OK;
    LT_TRY_GOTO(lti_trainer_init(&t, job, env, checkpoint_path), done);
    if (resume && checkpoint_path)
        LT_TRY_GOTO(load(&t), done);
    LT_TRY_GOTO(run_epochs(&t, t.at.steps > 0 || t.at.epoch > 0, end), done);
done:
    if (status != LT_OK) { // the model as far as it came
        const lt_error why = *lt_error_get();
        lti_on_device_to_host(&t);
        lt_error_restore(&why);
    }
    if (result)
        report(&t, result);
    lti_trainer_clear(&t);
    return status;
}

lt_status lt_train_run(lt_job *job, const lt_env *env, const char *checkpoint_path, bool resume,
                       lt_train_result *result)
{
    return lti_train_run_until(job, env, checkpoint_path, resume, NULL, result);
}
