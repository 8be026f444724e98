// job.c - prepares a job: checks it, adds loss and gradients to the model's graph, opens loaders, compiles plans.
//
// Plans and loaders are made at the start of an epoch for every batch size it will meet, so that what cannot be
// compiled fails before the first step and steps allocate nothing. Loaders are rebuilt only when on_epoch may have
// changed the views.
#include "trainer.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static lt_status check_groups(const lt_job *job)
{
    if (job->n_groups < 0 || job->n_groups > LT_JOB_MAX_GROUPS)
        return LT_FAIL(LT_E_USAGE, "training job: expected 0 to %d groups of parameters, found %d", LT_JOB_MAX_GROUPS,
                       job->n_groups);
    int64_t end = 0;
    for (int i = 0; i < job->n_groups; i++) {
        const lt_param_group *g = &job->group[i];
        if (g->from < end || g->n < 1 || g->n > job->model->n_params - g->from)
            return LT_FAIL(LT_E_USAGE,
                           "training job: group %d: expected parameters of %lld to %lld, found %lld and %lld", i,
                           (long long)end, (long long)job->model->n_params, (long long)g->from, (long long)g->n);
        if (!(g->lr_scale >= 0) || !(g->decay_scale >= 0))
            return LT_FAIL(LT_E_USAGE, "training job: group %d: expected factors of 0 or more, found %g and %g", i,
                           (double)g->lr_scale, (double)g->decay_scale);
        end = g->from + g->n;
    }
    return LT_OK;
}

static lt_status check_job(const lt_job *job)
{
    if (!job->model)
        return LT_FAIL(LT_E_USAGE, "training job: expected a model, found none");
    if (job->n_phases < 1 || job->n_phases > LT_JOB_MAX_PHASES)
        return LT_FAIL(LT_E_USAGE, "training job: expected 1 to %d phases, found %d", LT_JOB_MAX_PHASES, job->n_phases);
    if (!(job->l1 >= 0) || !isfinite(job->l1))
        return LT_FAIL(LT_E_USAGE, "training job: expected an l1 penalty of 0 or more, found %g", (double)job->l1);
    if (job->l1_off_last_epochs < 0)
        return LT_FAIL(LT_E_USAGE, "training job: expected 0 or more epochs without a penalty, found %d",
                       job->l1_off_last_epochs);
    if (job->n_penalties < 0 || job->n_penalties > LT_JOB_MAX_PENALTIES)
        return LT_FAIL(LT_E_USAGE, "training job: expected 0 to %d penalties, found %d", LT_JOB_MAX_PENALTIES,
                       job->n_penalties);
    for (int i = 0; i < job->n_penalties; i++)
        if (!job->penalty[i].name || !job->penalty[i].weight || !job->penalty[i].add)
            return LT_FAIL(LT_E_USAGE, "training job: penalty %d: expected a name, a weight and a gradient", i);
    if (job->objective && !job->objective->build)
        return LT_FAIL(LT_E_USAGE, "training job: objective: expected a function that builds the loss");
    LT_TRY(check_groups(job));
    if (job->memory_bytes > 0 && !job->memory)
        return LT_FAIL(LT_E_USAGE, "training job: expected a memory of %zu bytes, found none", job->memory_bytes);
    LT_TRY(lti_distill_check(job));
    return lti_train_cfg_check(&job->cfg);
}

// Copies the views of a phase with the master switch of augmentation applied.
static lt_status copy_views(lti_trainer *t, int p)
{
    const lt_phase *phase = &t->job->phase[p];
    if (phase->n_views < 1 || phase->n_views > LT_PHASE_MAX_VIEWS)
        return LT_FAIL(LT_E_USAGE, "phase %d: expected 1 to %d views, found %d", p, LT_PHASE_MAX_VIEWS, phase->n_views);
    for (int v = 0; v < phase->n_views; v++) {
        char what[48];
        snprintf(what, sizeof what, "phase %d, view %d", p, v);
        t->view[p][v] = phase->view[v];
        t->view[p][v].augment = phase->view[v].augment && t->job->cfg.augment;
        t->view[p][v].resized_crop = t->job->cfg.augmentation == LT_AUGMENT_RESIZED_CROP;
        LT_TRY(lti_job_view_check(t->job->model, &t->view[p][v], what));
        if (!isfinite(phase->view[v].weight))
            return LT_FAIL(LT_E_USAGE, "%s: expected a finite weight, found %g", what, (double)phase->view[v].weight);
    }
    return LT_OK;
}

static lt_status check_phase(const lt_job *job, int p)
{
    const lt_phase *phase = &job->phase[p];
    if (phase->batch < 0 || phase->batch > 65536)
        return LT_FAIL(LT_E_USAGE, "phase %d: expected a batch of 0 to 65536 images, found %lld", p,
                       (long long)phase->batch);
    if (phase->companion && (p == 0 || job->phase[p - 1].companion))
        return LT_FAIL(LT_E_USAGE, "phase %d: expected a phase with steps before the one that accompanies it", p);
    return LT_OK;
}

static lt_status compile(lti_trainer *t, int p, int64_t batch)
{
    lt_plan *plan = NULL;
    LT_TRY(lti_plans_get(&t->plans, batch, &plan));
    LT_TRY(lti_adv_open(t, batch));
    return lti_distill_open_phase(t, p, batch);
}

// Images that `steps` batches taken round and round from n samples hold.
static int64_t side_images(int64_t steps, int64_t n_batches, int64_t n, int64_t batch)
{
    const int64_t rest = steps % n_batches * batch;
    return steps / n_batches * n + (rest < n ? rest : n);
}

bool lt_is_last_batch_small(int64_t n, int64_t batch)
{
    enum { FEW = 16, SHARE = 4 };
    const int64_t rest = batch > 0 && n > batch ? n % batch : 0;
    return rest > 0 && rest < FEW && rest * SHARE <= batch;
}

// A step with the batch statistics of a few samples is as long as the others and mostly noise.
static void warn_of_last_batch(lti_trainer *t, int64_t n, int64_t batch)
{
    if (t->warned_last_batch || t->job->bn_eval || t->job->model->n_state == 0 || !lt_is_last_batch_small(n, batch))
        return;
    t->warned_last_batch = true;
    lt_warn(t->env->events, "train.last-batch",
            "the last batch of every epoch has %lld of %lld samples: batch norm makes its step mostly noise; choose a "
            "batch size (now %lld) that leaves none or at least 16",
            (long long)(n % batch), (long long)n, (long long)batch);
}

static lt_status open_phase(lti_trainer *t, int p)
{
    const lt_job *job = t->job;
    LT_TRY(check_phase(job, p));
    const int64_t batch = lti_phase_batch(job, p);
    LT_TRY(copy_views(t, p));
    LT_TRY(lti_on_device_open_phase(t, p));
    int64_t n = 0;
    for (int v = 0; v < job->phase[p].n_views; v++)
        n += t->view[p][v].n;
    warn_of_last_batch(t, n, batch);
    const lt_loader_spec spec = {.views = t->view[p],
                                 .n_views = job->phase[p].n_views,
                                 .batch = batch,
                                 .shuffle = job->phase[p].shuffle,
                                 .seed = job->seed,
                                 .phase = (uint32_t)p,
                                 .n_threads = t->env->loader_threads,
                                 .pad = 4,
                                 .no_images = t->on_device.images[p],
                                 .rank = lti_rank(t),
                                 .n_ranks = t->comm ? t->comm->size : 1};
    lt_loader_destroy(t->loader[p]);
    t->loader[p] = NULL;
    LT_TRY(lt_loader_create(&spec, &t->loader[p]));
    if (n >= batch && lti_share(t, batch) > 0)
        LT_TRY(compile(t, p, lti_share(t, batch)));
    if (lti_share(t, n % batch) > 0)
        LT_TRY(compile(t, p, lti_share(t, n % batch)));
    t->phase_batches[p] = lt_loader_n_batches(t->loader[p]);
    if (job->phase[p].companion) {
        t->epoch_images += side_images(t->phase_batches[p - 1], t->phase_batches[p], n, batch);
        return LT_OK;
    }
    t->epoch_batches += t->phase_batches[p];
    t->epoch_images += n;
    return LT_OK;
}

static float *slab(int64_t n)
{
    size_t bytes = 0;
    return n < 0 || lti_mul_size((size_t)n, sizeof(float), &bytes) ? NULL : lti_aligned_alloc(64, bytes);
}

// What only some jobs need, and on_epoch may start to need.
static lt_status open_extras(lti_trainer *t)
{
    const lt_job *job = t->job;
    int64_t largest = job->cfg.batch;
    bool companion = false;
    for (int p = 0; p < job->n_phases; p++) {
        companion |= job->phase[p].companion;
        largest = lti_phase_batch(job, p) > largest ? lti_phase_batch(job, p) : largest;
    }
    if (companion && !t->companion_grads && !(t->companion_grads = slab(job->model->n_params)))
        return LTI_NOMEM("gradients of the model");
    if (!job->on_batch)
        return LT_OK;
    lti_free(t->relabel);
    t->relabel = lti_calloc((size_t)largest, sizeof *t->relabel);
    return t->relabel ? LT_OK : LTI_NOMEM("labels of a batch");
}

lt_status lti_trainer_open_epoch(lti_trainer *t)
{
    t->epoch_batches = t->epoch_images = 0;
    if (t->job->n_phases < 1 || t->job->n_phases > LT_JOB_MAX_PHASES) { // on_epoch may have changed it
        return LT_FAIL(LT_E_USAGE, "training job: expected 1 to %d phases, found %d", LT_JOB_MAX_PHASES,
                       t->job->n_phases);
    }
    LT_TRY(lti_distill_check(t->job));
    for (int p = 0; p < t->job->n_phases; p++)
        LT_TRY(open_phase(t, p));
    return open_extras(t);
}

// loss = sum_n weight[n] * CE(logits[n], labels[n]) [+ kl_weight[n] * KL(teacher's || logits[n])]; the weights hold
// those of the view / batch size. Adversarial training puts the loss of its form in the place of CE.
static lt_status build_graph(lti_trainer *t)
{
    const lt_model *model = t->job->model;
    LT_TRY(lt_graph_dup(model->graph, &t->graph));
    t->labels = lt_input(t->graph, "train.labels", LT_I32, LT_SHAPE(LT_BATCH));
    t->weight = lt_input(t->graph, "train.weight", LT_F32, LT_SHAPE(LT_BATCH));
    lt_val per_sample = LT_NONE;
    LT_TRY(lti_loss_build(t, &per_sample));
    if (t->job->objective)
        LT_TRY(t->job->objective->build(t->job->objective->ctx, t->graph, t->labels, !t->job->bn_eval, &per_sample));
    LT_TRY(lti_adv_build(t, &per_sample));
    t->loss = lt_weighted_sum(t->graph, per_sample, t->weight);
    if (lti_job_distils(t->job)) {
        t->target = lt_input(t->graph, "train.target", LT_F32, LT_SHAPE(LT_BATCH, model->shape.n_classes));
        t->kl_weight = lt_input(t->graph, "train.kl_weight", LT_F32, LT_SHAPE(LT_BATCH));
        const lt_val kl = lt_kl_div(t->graph, model->logits, t->target, t->job->temperature);
        t->loss = lt_add(t->graph, t->loss, lt_weighted_sum(t->graph, kl, t->kl_weight));
    }
    LT_TRY(lt_graph_status(t->graph));
    t->outs[0] = t->loss;
    t->outs[1] = model->logits;
    t->plans = (lti_plans){.graph = t->graph,
                           .share_memory = true, // loss, logits and gradients are read after each run
                           .backend = t->env->backend,
                           .params = t->used,
                           .state = model->state,
                           .grads = t->grads,
                           .spec = {.outs = t->outs,
                                    .n_outs = 2,
                                    .grad_of = t->loss,
                                    .seed = LT_NONE,
                                    .wrt_params = true,
                                    .train = !t->job->bn_eval,
                                    .dtype = LT_F32,
                                    .flags = t->env->plan_flags}};
    return lti_distill_init(t);
}

static void describe_state(lti_trainer *t)
{
    t->state = (lti_state){.counts = &t->at,
                           .sums = &t->sums,
                           .model = t->job->model,
                           .optim = &t->optim,
                           .start_params = t->start_params,
                           .start_state = t->start_state,
                           .memory = t->job->memory,
                           .memory_bytes = t->job->memory_bytes,
                           .own = t->own,
                           .n_own = LT_JOB_MAX_PENALTIES + 1};
    const lt_backend *b = t->env->backend;
    const int n =
        snprintf(t->state.backend, sizeof t->state.backend, "%s, %s", lt_backend_name(b), lt_backend_version(b));
    char *more = t->state.backend + n;
    if (t->env->plan_flags & LT_PLAN_FIXED_ORDER) // then the number of threads does not matter
        snprintf(more, sizeof t->state.backend - (size_t)n, ", fixed order");
    else
        snprintf(more, sizeof t->state.backend - (size_t)n, ", %d threads", lt_backend_n_threads(b));
    const size_t used = strlen(t->state.backend);
    if (t->comm)
        snprintf(t->state.backend + used, sizeof t->state.backend - used, ", %d ranks", t->comm->size);
    lti_job_digests(t->job, t->state.digest);
}

// What penalties own, and the slabs of a transform.
static lt_status open_hooks(lti_trainer *t)
{
    const lt_job *job = t->job;
    const lt_transform *f = job->transform;
    lti_terms_init(&t->terms, job);
    for (int i = 0; i < job->n_penalties; i++)
        LT_TRY(lti_own_init(&t->own[i], job->penalty[i].own, job->penalty[i].name));
    t->used = job->model->params;
    if (!f)
        return LT_OK;
    LT_TRY(lti_own_init(&t->own[LT_JOB_MAX_PENALTIES], f->own, f->name));
    if (f->in_training && !(t->used = slab(job->model->n_params)))
        return LTI_NOMEM("transformed parameters");
    if (f->in_training && f->n_passes > 1 && !(t->pass_grads = slab(job->model->n_params)))
        return LTI_NOMEM("gradients of the model");
    t->used_eval = slab(job->model->n_params);
    t->evaluated = *job->model;
    t->evaluated.params = t->used_eval;
    return t->used_eval ? LT_OK : LTI_NOMEM("transformed parameters");
}

lt_status lti_trainer_use_params(lti_trainer *t, const lt_update_at *at)
{
    const lt_transform *f = t->job->transform;
    if (!f || !f->in_training)
        return LT_OK;
    LT_TRY(f->forward(f->ctx, at, true, t->job->model, t->job->model->params, t->used));
    lti_mark_host_dirty(t->env->backend, t->used);
    lti_plans_repack_weights(&t->plans);
    return LT_OK;
}

lt_status lti_trainer_use_params_eval(lti_trainer *t)
{
    if (!t->used_eval)
        return LT_OK;
    LT_TRY(lt_transform_apply(t->job->transform, t->job->model, t->used_eval));
    lti_mark_host_dirty(t->env->backend, t->used_eval);
    return LT_OK;
}

lt_status lti_training_memory_check(const lt_model *model, int32_t optimizer, bool with_params)
{
    char what[128];
    const int slabs = (optimizer == LT_ADAMW ? 4 : 3) + with_params; // gradients, the start, moments
    lti_format(what, sizeof what, "training %s", model->spec);
    return lti_memory_check((double)slabs * (double)model->n_params * sizeof(float), what);
}

lt_status lti_trainer_init(lti_trainer *t, lt_job *job, const lt_env *env, const char *path)
{
    *t = (lti_trainer){.job = job, .env = env, .path = path};
    t->start_s = t->save_s = t->emit_s = lti_now_s();
    LT_TRY(lti_env_check(env));
    LT_TRY(check_job(job));
    const lt_model *model = job->model;
    LT_TRY(lti_training_memory_check(model, job->cfg.optimizer, false));
    t->grads = slab(model->n_params);
    t->start_params = slab(model->n_params);
    t->start_state = slab(model->n_state);
    if (!t->grads || !t->start_params || !t->start_state)
        return LTI_NOMEM("gradients of the model");
    LT_TRY(lti_optim_init(&t->optim, job->cfg.optimizer, model->n_params));
    LT_TRY(open_hooks(t));
    LT_TRY(build_graph(t));
    LT_TRY(lti_on_device_init(t));
    LT_TRY(lti_ranks_init(t));
    if (job->eval_view) {
        LT_TRY(lti_job_view_check(model, job->eval_view, "evaluation view"));
        LT_TRY(lt_evaluator_create(t->used_eval ? &t->evaluated : model, &t->eval_env, job->cfg.batch, &t->evaluator));
        lti_evaluator_share(t->evaluator, &t->plans);
    }
    t->at.bn_batches = model->bn_batches;
    describe_state(t);
    return LT_OK;
}

void lti_trainer_clear(lti_trainer *t)
{
    lti_on_device_clear(t); // first: work that a failure left queued may read the loaders' memory
    for (int p = 0; p < LT_JOB_MAX_PHASES; p++)
        lt_loader_destroy(t->loader[p]);
    lt_evaluator_destroy(t->evaluator);
    lti_plans_clear(&t->plans);
    for (int i = 0; i < LT_JOB_MAX_TEACHERS; i++)
        lti_plans_clear(&t->teacher[i]);
    lti_adv_clear(t);
    lt_graph_destroy(t->graph);
    lti_optim_clear(&t->optim);
    for (int i = 0; i <= LT_JOB_MAX_PENALTIES; i++)
        lti_own_clear(&t->own[i]);
    if (t->job && t->job->model && t->used != t->job->model->params)
        lti_free(t->used);
    lti_free(t->used_eval);
    lti_free(t->grads);
    lti_free(t->companion_grads);
    lti_free(t->pass_grads);
    lti_free(t->relabel);
    lti_free(t->start_params);
    lti_free(t->start_state);
}
