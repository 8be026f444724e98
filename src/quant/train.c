// train.c - quantization-aware training as a job: penalty or transform, snaps, warnings, and the deployed model.
#include "quant/quant_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct session {
    lt_quant *q;
    const lt_quant_in *in;
    lt_job job;
    lt_transform transform;
    lt_view test;
    lt_param_group acts; // steps of activations
    double travel;
} session;

// ---- schedule: weights of the penalty from relaxation times, and warnings [QAT 1.5]

// Relaxation time in steps of one grid under weight lambda: (1 - mu) / (2 eta lambda kappa curvature).
static double relaxation(const lt_quant *q, const lti_qtensor *t, double lambda, double lr)
{
    double kappa = 1, curvature = 1;
    q->quantizer->stiffness(q, &q->grid[t->grid], t->per, &kappa, &curvature);
    return (1 - (double)q->momentum) / (2 * lr * lambda * (double)t->lambda_scale * kappa * curvature);
}

// The grid that relaxes slowest decides.
static double slowest(const lt_quant *q, double lr)
{
    double tau = 0;
    for (int j = 0; j < q->n_tensors; j++)
        tau = fmax(tau, relaxation(q, &q->tensor[j], 1, lr));
    return tau;
}

// The stiffness may change within a job (grad_scale): relaxation times are those of its start or of its end.
static void set_phase(lt_quant *q, int32_t n_epochs, bool at_end)
{
    q->at = (lt_update_at){.epoch = at_end ? n_epochs : 0, .n_epochs = n_epochs};
}

static void resolve_schedule(lt_quant *q, const lt_train_cfg *train)
{
    const double lr = train->lr > 0 ? (double)train->lr : 1e-6;
    set_phase(q, train->epochs, true);
    if (q->cfg.equal_tau) {
        const double most = slowest(q, lr);
        for (int j = 0; j < q->n_tensors; j++)
            q->tensor[j].lambda_scale = (float)(relaxation(q, &q->tensor[j], 1, lr) / most);
    }
    const double last = slowest(q, lr); // at lambda = 1
    set_phase(q, train->epochs, false);
    const double first = slowest(q, lr);
    set_phase(q, train->epochs, true);
    const bool away = q->quantizer->sign < 0;
    q->lambda_end[0] =
        q->cfg.lambda0 > 0 ? (double)q->cfg.lambda0 : first / ((away ? 0.5 : (double)q->cfg.tau0) * q->n_steps);
    q->lambda_end[1] = q->cfg.lambda1 > 0 ? (double)q->cfg.lambda1 : last / ((double)q->cfg.tau1 * q->n_steps);
    if (q->cfg.lambda0 > 0 && !(q->cfg.lambda1 > 0) && q->lambda_end[1] < q->lambda_end[0])
        q->lambda_end[1] = q->lambda_end[0];
    for (int j = 0; j < q->n_tensors; j++)
        q->info[j].tau_steps = relaxation(q, &q->tensor[j], q->lambda_end[1], lr);
}

static double sum_of_rates(const lt_train_cfg *cfg, int64_t steps_per_epoch)
{
    double sum = 0;
    for (int32_t e = 0; e < cfg->epochs; e++)
        for (int64_t s = 0; s < steps_per_epoch; s++)
            sum += lt_train_lr(cfg, e, s, steps_per_epoch);
    return sum;
}

static void warn_before(session *s)
{
    lt_quant *q = s->q;
    lt_events *ev = s->in->env->events;
    if (!(q->quantizer->flags & LTI_Q_PENALTY) || q->quantizer->sign < 0)
        return;
    const double lr = (double)s->in->train->lr;
    double first = INFINITY, last = 0;
    for (int j = 0; j < q->n_tensors; j++) {
        set_phase(q, s->in->train->epochs, false);
        first = fmin(first, relaxation(q, &q->tensor[j], q->lambda_end[0], lr));
        set_phase(q, s->in->train->epochs, true);
        last = fmax(last, relaxation(q, &q->tensor[j], q->lambda_end[1], lr));
    }
    if (last > 0.1 * q->n_steps)
        lt_warn(
            ev, "quant.schedule",
            "the slowest layer relaxes in %.0f steps at the end, of %.0f in all: weights will not reach their levels "
            "(raise --lambda1 or lower --tau1)",
            last, q->n_steps);
    if (q->maps.table && first < 0.002 * q->n_steps)
        lt_warn(
            ev, "quant.schedule",
            "the penalty freezes the fastest layer within %.1f steps of %.0f: with faults, weights then stay on the "
            "first level that they can have (lower --lambda0 or raise --tau0)",
            first, q->n_steps);
    if (s->travel < 10)
        lt_warn(ev, "quant.schedule",
                "the learning rates add up to %.2g over all steps: weights cannot travel far before they freeze (below "
                "about 10 the rate decides more than the method; raise --lr or --epochs)",
                s->travel);
}

static void warn_after(session *s, const lt_quant_result *r)
{
    lt_events *ev = s->in->env->events;
    if (s->q->quantizer->flags & LTI_Q_PENALTY && s->q->quantizer->sign >= 0 && r->residual > 1e-4)
        lt_warn(ev, "quant.residual",
                "mean squared distance to the levels is %.2g steps^2 in the worst layer, above 1e-4: the accuracy is "
                "partly that of rounding",
                r->residual);
    if (s->q->quantizer->flags & LTI_Q_FORWARD && r->code_change > 0.01)
        lt_warn(
            ev, "quant.oscillation",
            "%.1f %% of the codes of the worst layer changed in the last epoch, above 1 %%: weights oscillate between "
            "levels",
            100 * r->code_change);
}

// ---- the hook after an update

static void emit_epoch(const session *s, const lt_step *step)
{
    double residual = 0, change = 0, outside = 0;
    const lt_quant *q = s->q;
    for (int j = 0; j < q->n_tensors; j++) {
        residual = fmax(residual, q->info[j].residual);
        change = fmax(change, q->info[j].code_change);
        outside = fmax(outside, q->info[j].outside);
    }
    const lti_qtensor *t = &q->tensor[0];
    const lt_field fields[] = {{"residual", residual},
                               {"code_change", change},
                               {"outside", outside},
                               {"lambda", q->lambda},
                               {"penalty", step->penalty},
                               {"step_moved", log((double)q->grid[t->grid].step / (double)q->grid[t->grid].step0)}};
    lt_emit(s->in->env->events, &(lt_event){.kind = LT_EV_METRIC,
                                            .name = "quant.epoch",
                                            .epoch = step->epoch + 1,
                                            .step = step->step,
                                            .fields = fields,
                                            .n_fields = sizeof fields / sizeof *fields});
}

static void clamp_weights(const lt_quant *q, float *p)
{
    for (int s = 0; s < q->n_segments; s++) {
        const lti_grid *g = &q->grid[q->segment[s].grid];
        const float low = g->level[g->order[0]], high = g->level[g->order[g->n_levels - 1]];
        for (int64_t i = q->segment[s].from; i < q->segment[s].from + q->segment[s].n; i++)
            p[i] = p[i] < low ? low : p[i] > high ? high : p[i];
    }
}

static bool snaps_now(const session *s, const lt_step *step)
{
    const lt_quant *q = s->q;
    const bool can = (q->quantizer->flags & LTI_Q_PENALTY) && !(q->quantizer->flags & LTI_Q_NEVER_SNAPS);
    const int32_t every = q->cfg.snap_every, done = step->epoch + 1;
    return can && every > 0 && done % every == 0 && done < s->in->train->epochs;
}

static lt_status after_update(lt_job *job, const lt_step *step, unsigned *did, void *ctx)
{
    session *s = ctx;
    lt_quant *q = s->q;
    if (q->quantizer->flags & LTI_Q_CLAMP) {
        clamp_weights(q, job->model->params);
        *did |= LT_UPDATE_CHANGED;
    }
    for (int64_t i = 0; i < s->acts.n; i++) { // a step that is not above 0 has no levels
        float *a = job->model->params + s->acts.from + i;
        if (!(*a >= 1e-6f)) {
            *a = 1e-6f;
            *did |= LT_UPDATE_CHANGED;
        }
    }
    if (!step->ends_epoch)
        return LT_OK;
    lti_quant_epoch_stats(q, job->model->params);
    emit_epoch(s, step);
    if (snaps_now(s, step)) {
        lti_q_deploy_all(q, q->maps.table ? &q->maps : NULL, job->model->params, job->model->params, NULL);
        *did |= LT_UPDATE_CHANGED;
        if (q->cfg.snap_reset || q->quantizer->flags & LTI_Q_SNAP_RESETS)
            *did |= LT_UPDATE_RESET_MOMENTUM;
    }
    return LT_OK;
}

// ---- the job

static void describe(lt_quant *q)
{
    const lt_quant_cfg *c = &q->cfg;
    const lt_quant_chip *d = &c->device;
    snprintf(q->identity, sizeof q->identity,
             "%s %d %d %d %d %.9g %.9g %.9g %.9g %.9g %d %d %d %d %d %.9g %d %d %d %d|%.9g %.9g %llu %d %d %d %.9g %d "
             "%llu %d",
             c->method, c->bits, c->granularity, c->ends, c->shortcuts, (double)c->lambda0, (double)c->lambda1,
             (double)c->ramp_from, (double)c->tau0, (double)c->tau1, c->equal_tau, c->grad_scale, c->snap_every,
             c->snap_reset, c->fault_aware, (double)c->own_lr, c->own_grad_scale, c->act_bits, c->act_method,
             c->bn_batches, (double)d->fault_rate, (double)d->stuck_at_1, (unsigned long long)d->fault_seed,
             d->encoding, d->mapping, d->reference_column, (double)d->variability, d->variability_model,
             (unsigned long long)d->variability_seed, d->chip);
}

// One training for several chips: their maps in the place of the one of the options, and their numbers in the identity.
static lt_status take_group(lt_quant *q, const lt_quant_in *in, lt_quant_result *r)
{
    enum { HASH_TEXT = 24 };
    uint64_t hash = 14695981039346656037u; // FNV-1a
    if (in->n_group == 0)
        return LT_OK;
    lti_maps_clear(&q->maps);
    LT_TRY(lti_maps_draw_group(q, &q->cfg.device, in->group, in->n_group, &q->maps));
    for (int j = 0; j < in->n_group; j++)
        hash = (hash ^ (uint64_t)in->group[j]) * 1099511628211u;
    for (int j = 0; j < q->n_tensors; j++)
        for (int64_t i = 0; i < q->tensor[j].n && q->tensor[j].faulty; i++)
            r->n_conflicts += lti_maps_reachable(&q->maps, q->tensor[j].first + i) == 0;
    const size_t used = strlen(q->identity);
    if (used + HASH_TEXT < sizeof q->identity)
        snprintf(q->identity + used, sizeof q->identity - used, "|%016llx", (unsigned long long)hash);
    return LT_OK;
}

static void make_job(session *s)
{
    lt_quant *q = s->q;
    const lt_quant_in *in = s->in;
    const lti_quantizer *z = q->quantizer;
    lt_job *job = &s->job;
    *job = (lt_job){.model = in->model, .cfg = *in->train, .n_phases = 1, .seed = in->seed};
    job->phase[0].view[0] = lt_view_split(in->ds, LT_TRAIN);
    job->phase[0].view[0].augment = true;
    job->phase[0].n_views = 1;
    job->phase[0].shuffle = true;
    s->test = lt_view_split(in->ds, LT_TEST);
    job->eval_view = s->test.n > 0 && in->train->eval_every > 0 ? &s->test : NULL;
    job->after_update = after_update;
    job->after_ctx = s;
    s->acts = lti_act_group(in->model);
    if (s->acts.n > 0)
        job->group[job->n_groups++] = s->acts;
    job->after_update_every = z->flags & LTI_Q_CLAMP || s->acts.n > 0 ? 1 : INT64_MAX; // and at the end of every epoch
    job->memory = q->code;
    job->memory_bytes = (size_t)q->n_weights;
    s->transform = lti_quant_transform(q);
    job->transform = &s->transform;
    if (z->flags & LTI_Q_PENALTY)
        job->penalty[job->n_penalties++] = lti_quant_penalty(q);
}

lt_status lti_quant_evaluate(const lt_model *m, const lt_quant_in *in, double *acc, double *loss)
{
    const lt_view test = lt_view_split(in->ds, LT_TEST);
    *acc = *loss = (double)NAN;
    if (test.n == 0)
        return LT_OK;
    lt_eval_result r;
    LT_TRY(lt_evaluate(m, &test, in->env, 128, NULL, NULL, &r));
    *acc = r.acc;
    *loss = r.loss;
    return LT_OK;
}

// ---- what is deployed

static void sum_up(const lt_quant *q, lt_quant_result *r)
{
    r->bits = q->cfg.bits;
    r->n_tensors = q->n_tensors;
    r->n_weights = q->n_weights;
    double quantized_bits = 0, faultable_bits = 0;
    for (int j = 0; j < q->n_tensors; j++) {
        const lt_quant_tensor_info *info = &q->info[j];
        r->levels_hit = info->levels_hit > r->levels_hit ? info->levels_hit : r->levels_hit;
        r->residual = fmax(r->residual, info->residual);
        r->code_change = fmax(r->code_change, info->code_change);
        const double bits = (double)q->tensor[j].n * q->tensor[j].bits;
        quantized_bits += bits;
        faultable_bits += q->tensor[j].faulty ? bits : 0;
    }
    r->faultable_share = faultable_bits / (quantized_bits + 32.0 * (double)(q->n_all_weights - q->n_weights));
}

// Codes, levels hit and errors of the deployed weights against the latent ones.
static void describe_deployed(lt_quant *q, const float *latent, const float *deployed, lt_quant_result *r)
{
    r->n_unreachable = 0;
    for (int j = 0; j < q->n_tensors; j++) {
        const lti_qtensor *t = &q->tensor[j];
        lt_quant_tensor_info *info = &q->info[j];
        double mean = 0, square = 0;
        memset(info->histogram, 0, sizeof info->histogram);
        info->levels_hit = 0;
        for (int k = 0; k < t->n_grids; k++) {
            const lti_grid *g = &q->grid[t->grid + k];
            bool hit[LTI_LEVELS] = {false};
            int n_hit = 0;
            for (int64_t i = k * t->per; i < (k + 1) * t->per; i++) {
                const int c = q->code[t->first + i], ideal = lti_grid_nearest(g, lti_latent(q, g, latent[t->from + i]));
                const double e = ((double)deployed[t->from + i] - (double)g->level[ideal]) / (double)g->step;
                mean += e;
                square += e * e;
                r->n_unreachable += c != ideal;
                n_hit += !hit[c];
                hit[c] = true;
                if (c < 16)
                    info->histogram[c]++;
            }
            info->levels_hit = n_hit > info->levels_hit ? n_hit : info->levels_hit;
        }
        info->mean_error = mean / (double)t->n;
        info->rms_error = sqrt(square / (double)t->n);
    }
}

lt_status lti_quant_deploy(lt_quant *q, const lt_quant_in *in, lt_quant_result *r)
{
    lt_model *m = in->model;
    float *latent = lti_malloc((size_t)m->n_params * sizeof *latent);
    if (!latent)
        return LTI_NOMEM("weights before they are deployed");
    memcpy(latent, m->params, (size_t)m->n_params * sizeof *latent);
    if (q->quantizer->prepare)
        q->quantizer->prepare(q, latent);
    lti_q_deploy_all(q, q->maps.table ? &q->maps : NULL, latent, m->params, q->code);
    describe_deployed(q, latent, m->params, r);
    lti_free(latent);
    double loss = 0;
    LT_TRY(lti_quant_evaluate(m, in, &r->acc_before_bn, &loss));
    LT_TRY(lt_bn_reestimate(m, in->ds, in->env, in->train, q->cfg.bn_batches, in->seed));
    LT_TRY(lti_quant_evaluate(m, in, &r->acc, &r->loss));
    sum_up(q, r);
    return LT_OK;
}

static lt_status run(session *s, lt_quant_result *r)
{
    const lt_quant_in *in = s->in;
    lt_quant *q = s->q;
    const lt_train_cfg *train = in->train;
    const int64_t n = in->ds->split[LT_TRAIN].n, per_epoch = (n + train->batch - 1) / train->batch;
    const bool continues = in->resume && in->checkpoint && access(in->checkpoint, F_OK) == 0;
    q->momentum = train->optimizer == LT_SGD ? train->momentum : train->beta1;
    q->lr_max = train->lr;
    q->n_steps = (double)per_epoch * (train->epochs > 0 ? train->epochs : 1);
    q->seed = in->seed;
    s->travel = r->travel = sum_of_rates(train, per_epoch);
    if (q->quantizer->flags & LTI_Q_PENALTY)
        resolve_schedule(q, train);
    describe(q);
    LT_TRY(take_group(q, in, r));
    warn_before(s);
    make_job(s);
    if (q->quantizer->prepare)
        q->quantizer->prepare(q, in->model->params);
    lti_quant_epoch_stats(q, in->model->params); // codes before the first update
    for (int j = 0; j < q->n_tensors; j++)
        memcpy(q->info[j].histogram_before, q->info[j].histogram, sizeof q->info[j].histogram);
    if (q->quantizer->flags & LTI_Q_PENALTY && q->maps.table && q->cfg.snap_every > 0 && q->maps.eps &&
        !(q->quantizer->flags & LTI_Q_NEVER_SNAPS) && !continues) // spread: program first, then train [QAT 4.2]
        lti_q_deploy_all(q, &q->maps, in->model->params, in->model->params, NULL);
    LT_TRY(lt_train_run(&s->job, in->env, in->checkpoint, in->resume, &r->train));
    lti_q_own_to_grids(q);
    if (q->quantizer->flags & LTI_Q_PTQ_AFTER)
        LT_TRY(lti_ptq_fit(q, LT_PTQ_MSE, 100));
    LT_TRY(lti_quant_deploy(q, in, r));
    warn_after(s, r);
    return LT_OK;
}

lt_status lt_quant_train(const lt_quant_cfg *cfg, const lt_quant_in *in, lt_quant **quant, lt_quant_result *r)
{
    *quant = NULL;
    *r = (lt_quant_result){0};
    session s = {.in = in};
    LT_TRY(lti_quant_evaluate(in->float_model ? in->float_model : in->model, in, &r->acc_fp, &r->loss_fp));
    LT_TRY(lti_quant_create(cfg, in->model, &s.q));
    const lt_status status = run(&s, r);
    if (status == LT_OK)
        *quant = s.q;
    else
        lt_quant_destroy(s.q);
    return status;
}

lt_status lt_quant_sensitivity(const lt_quant *q, const lt_model *float_model, const lt_view *view, const lt_env *env,
                               double *drop)
{
    lt_model *m = NULL;
    lt_evaluator *evaluator = NULL;
    lt_eval_result whole, one;
    lt_status status = LT_OK;
    if (float_model->n_params > q->n_all_weights)
        return LT_FAIL(LT_E_SHAPE, "sensitivity: the float model has %lld parameters, the quantized one %lld",
                       (long long)float_model->n_params, (long long)q->n_all_weights);
    LT_TRY_GOTO(lt_model_dup(float_model, &m), done);
    LT_TRY_GOTO(lt_evaluator_create(m, env, 128, &evaluator), done);
    LT_TRY_GOTO(lt_evaluator_run(evaluator, view, NULL, NULL, &whole), done);
    for (int j = 0; j < q->n_tensors; j++) {
        const lti_qtensor *t = &q->tensor[j];
        for (int64_t i = 0; i < t->n; i++) {
            const lti_grid *g = &q->grid[t->grid + (int)(i / t->per)];
            m->params[t->from + i] = g->level[lti_grid_nearest(g, lti_latent(q, g, m->params[t->from + i]))];
        }
        LT_TRY_GOTO(lt_evaluator_run(evaluator, view, NULL, NULL, &one), done);
        drop[j] = whole.acc - one.acc;
        memcpy(m->params + t->from, float_model->params + t->from, (size_t)t->n * sizeof *m->params);
    }
done:
    lt_evaluator_destroy(evaluator);
    lt_model_destroy(m);
    return status;
}

lt_status lt_quant_program(const lt_quant *q, const lt_quant_chip *chip, const float *from, float *weights)
{
    lti_maps maps;
    LT_TRY(lti_maps_draw(q, chip, &maps));
    float *levels = NULL;
    if (!from) {
        levels = lti_malloc((size_t)q->n_all_weights * sizeof *levels);
        if (!levels) {
            lti_maps_clear(&maps);
            return LTI_NOMEM("levels of a model");
        }
        memcpy(levels, q->model->params, (size_t)q->n_all_weights * sizeof *levels);
        for (int j = 0; j < q->n_tensors; j++) {
            const lti_qtensor *t = &q->tensor[j];
            for (int64_t i = 0; i < t->n; i++)
                levels[t->from + i] = q->grid[t->grid + (int)(i / t->per)].level[q->code[t->first + i]];
        }
    }
    if (levels)
        lti_q_deploy_levels(q, maps.table ? &maps : NULL, levels, weights);
    else
        lti_q_deploy_all(q, maps.table ? &maps : NULL, from, weights, NULL);
    lti_free(levels);
    lti_maps_clear(&maps);
    return LT_OK;
}
