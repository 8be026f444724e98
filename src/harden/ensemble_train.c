// ensemble_train.c - one job for all members: the loss of the method, LOTOS as a penalty, clipping after updates.
#include "ensemble_impl.h"
#include <math.h>
#include <string.h>

static const lti_ensemble_method *const methods[] = {
#define LT_X(symbol, name) &lti_ensemble_##symbol,
#include "harden/ensemble_methods.list"
#undef LT_X
};
enum {
#define LT_X(symbol, name) METHOD_##symbol,
#include "harden/ensemble_methods.list"
#undef LT_X
    N_METHODS
};
static const lt_opt_value method_values[] = {
#define LT_X(symbol, name) {name, METHOD_##symbol, NULL},
#include "harden/ensemble_methods.list"
#undef LT_X
    {NULL, 0, NULL},
};

const lt_option lt_ensemble_options[] = {
    LT_ENUM(struct lt_ensemble_cfg, method, METHOD_plain, method_values, "how the members are trained"),
    LT_BOOL(struct lt_ensemble_cfg, lotos, 0, "add LOTOS to another method"),
    LT_F32(struct lt_ensemble_cfg, lotos_weight, 0.05, 0, 1e6, "",
           "lambda, on the sum over ordered pairs and layers; the authors use 0.05 without and 0.01 with batch norm"),
    LT_F32(struct lt_ensemble_cfg, lotos_mal, 0.8, 0, 1e6, "",
           "length that another member's top direction may keep; the paper has 0.8 of a target of 1, the released "
           "scripts pass 1.0"),
    LT_I32(struct lt_ensemble_cfg, lotos_vectors, 1, 1, LTI_TRACKER_MAX, "", "singular directions of each layer"),
    LT_I32(struct lt_ensemble_cfg, lotos_every, 0, 0, 1000, "steps", "between two of its gradients; 0 = 1, with trs 5"),
    LT_BOOL(struct lt_ensemble_cfg, lotos_stem, 0,
            "the first convolution only; always so between different architectures"),
    LT_BOOL(struct lt_ensemble_cfg, lotos_normalize, 0,
            "divide by layers and ordered pairs, as the paper writes it and the released code does not"),
    LT_BOOL(struct lt_ensemble_cfg, lotos_parity, 0,
            "no term in the last step of an epoch and in steps 199, 399, ..., as in the released code"),
    LT_F32(struct lt_ensemble_cfg, trs_cos, 40, 0, 1e6, "", "TRS: weight of |cos| between input gradients"),
    LT_F32(struct lt_ensemble_cfg, trs_smooth, 2.5, 0, 1e6, "", "TRS: weight of the squared input gradients"),
    LT_BOOL(struct lt_ensemble_cfg, trs_parity, 0,
            "TRS: the loss of the code released with LOTOS: cross-entropies and cos in steps of LOTOS, the last member "
            "and its smoothness term in all others"),
    LT_F32(struct lt_ensemble_cfg, gal_weight, 0.5, 0, 1e6, "", "GAL: weight of the alignment term"),
    LT_F32(struct lt_ensemble_cfg, adp_entropy, 2, 0, 1e6, "", "ADP: weight of the entropy"),
    LT_F32(struct lt_ensemble_cfg, adp_det, 0.5, 0, 1e6, "", "ADP: weight of the log determinant"),
    LT_F32(struct lt_ensemble_cfg, dverge_eps, 0.07, 0, 1, "pixels", "DVERGE: radius of distilled images"),
    LT_F32(struct lt_ensemble_cfg, dverge_step, 0.007, 0, 1, "pixels", "DVERGE: step"),
    LT_I32(struct lt_ensemble_cfg, dverge_steps, 10, 1, 1000, "", "DVERGE: steps"),
    LT_OPT_END,
};

const lti_ensemble_method *lti_ensemble_method_of(int32_t method)
{
    return methods[method >= 0 && method < N_METHODS ? method : 0];
}

lt_status lt_ensemble_method_find(const char *name, int32_t *method)
{
    const char *names[N_METHODS + 1] = {0};
    for (int i = 0; i < N_METHODS; i++) {
        names[i] = method_values[i].name;
        if (strcmp(name, names[i]) == 0) {
            *method = i;
            return LT_OK;
        }
    }
    LT_FAIL(LT_E_USAGE, "unknown method of training ensembles '%s'", name);
    return lti_name_hint(name, names);
}

// ---- the loss

// Batch norm gets its mode first: gradients that are values need it.
lt_status lti_input_gradients(lti_ensemble_loss *l, lt_graph *g, lt_val *gradient)
{
    LT_TRY(lt_graph_set_mode(g, l->train));
    for (int i = 0; i < l->e->n; i++) {
        const lti_value *ce = &g->value[l->ce[i]];
        const lt_val sum = lt_weighted_sum(g, l->ce[i], lti_const(g, ce->shape, ce->dtype, 1));
        lt_val dx = LT_NONE;
        LT_TRY(lt_gradients(g, sum, LT_NONE, &l->e->joint->x, 1, &dx));
        gradient[i] = lt_flatten(g, dx);
    }
    return lt_graph_status(g);
}

static lt_status build(void *ctx, lt_graph *g, lt_val labels, bool train, lt_val *per_sample)
{
    lti_ensemble_loss *l = ctx;
    const lti_ensemble_method *method = lti_ensemble_method_of(l->cfg->method);
    l->labels = labels;
    l->train = train;
    for (int i = 0; i < l->e->n; i++) {
        l->ce[i] = lt_cross_entropy(g, l->e->logits[i], labels, 0);
        *per_sample = i == 0 ? l->ce[0] : lt_add(g, *per_sample, l->ce[i]);
    }
    LT_TRY(lt_graph_status(g));
    return method->build ? method->build(l, g, per_sample) : LT_OK;
}

static lt_status fill(void *ctx, const lt_objective_batch *at, lt_plan *plan)
{
    lti_ensemble_loss *l = ctx;
    return lti_ensemble_method_of(l->cfg->method)->fill(l, at, plan);
}

// ---- the job

typedef struct run {
    lti_ensemble_loss loss;
    lti_lotos *lotos;
    lt_clipper *clipper;
    float *memory;
    double hooks_s;
} run;

static lt_status after_update(lt_job *job, const lt_step *step, unsigned *did, void *ctx)
{
    run *r = ctx;
    const double start_s = lti_now_s();
    if (r->clipper)
        LT_TRY(lti_clipper_after_update(job, step, did, r->clipper));
    if (r->lotos) {
        LT_TRY(lti_lotos_error(r->lotos));
        LT_TRY(lti_lotos_follow(r->lotos));
    }
    r->hooks_s += lti_now_s() - start_s;
    return LT_OK;
}

static bool clips(const lt_clip_cfg *cfg)
{
    return cfg && (cfg->clip_norm > 0 || cfg->clip_bn > 0 || cfg->clip_compose > 0);
}

static lt_status attach_hooks(run *r, const lt_ensemble_job *in, lt_job *job)
{
    const size_t n_lotos = r->lotos ? lti_lotos_memory_floats(r->lotos) : 0,
                 n_clip = r->clipper ? lti_clipper_memory_floats(r->clipper) : 0;
    if (n_lotos + n_clip == 0)
        return LT_OK;
    r->memory = lti_calloc(n_lotos + n_clip, sizeof *r->memory);
    if (!r->memory)
        return LTI_NOMEM("ensemble");
    if (r->lotos) {
        lti_lotos_use_memory(r->lotos, r->memory, in->job.seed);
        job->penalty[job->n_penalties++] = lti_lotos_penalty(r->lotos);
    }
    if (r->clipper)
        lti_clipper_use_memory(r->clipper, r->memory + n_lotos);
    job->memory = r->memory;
    job->memory_bytes = (n_lotos + n_clip) * sizeof *r->memory;
    job->after_update = after_update;
    job->after_ctx = r;
    return LT_OK;
}

static lt_status train(lt_ensemble *e, const lt_ensemble_job *in, const lt_env *env, run *r, lt_ensemble_result *out)
{
    const lti_ensemble_method *method = lti_ensemble_method_of(in->cfg.method);
    const bool second_order = method == &lti_ensemble_trs;
    lt_job job = in->job;
    const lt_objective objective = {.name = method->name,
                                    .identity = method->title,
                                    .build = build,
                                    .fill = method->fill ? fill : NULL,
                                    .ctx = &r->loss};
    job.model = e->joint;
    job.objective = &objective;
    r->loss.lotos_every = in->cfg.lotos_every > 0 ? in->cfg.lotos_every : second_order ? 5 : 1;
    r->loss.epoch_steps = (job.phase[0].view[0].n + job.cfg.batch - 1) / job.cfg.batch;
    if (in->cfg.lotos || method->lotos)
        LT_TRY(lti_lotos_create(e, &r->loss.cfg[0], r->loss.lotos_every, env, &r->lotos));
    if (clips(in->clip))
        LT_TRY(lt_clipper_create(e->joint, in->clip, in->job.seed, env, &r->clipper));
    LT_TRY(attach_hooks(r, in, &job));
    LT_TRY(lt_train_run(&job, env, in->path, in->resume, &out->train));
    if (r->lotos) {
        LT_TRY(lti_lotos_error(r->lotos));
        LT_TRY(lti_lotos_gradient(r->lotos, NULL, &out->lotos_loss));
        out->lotos_length = lti_lotos_length(r->lotos);
    }
    if (r->clipper)
        lt_clipper_counts(r->clipper, &out->n_clips, NULL);
    out->hooks_s = r->hooks_s;
    lt_ensemble_pull(e);
    return LT_OK;
}

lt_status lt_ensemble_train(lt_ensemble *e, const lt_ensemble_job *in, const lt_env *env, lt_ensemble_result *result)
{
    run r = {.loss = {.e = e, .cfg = &in->cfg, .env = env, .seed = in->job.seed}};
    const lti_ensemble_method *method = lti_ensemble_method_of(in->cfg.method);
    *result = (lt_ensemble_result){.lotos_length = (double)NAN};
    if (in->job.after_update || in->job.memory || in->job.objective)
        return LT_FAIL(LT_E_USAGE, "ensemble: the job's objective and its hook after updates are the ensemble's");
    lt_status status = train(e, in, env, &r, result);
    if (method->clear)
        method->clear(&r.loss);
    lti_lotos_destroy(r.lotos);
    lt_clipper_destroy(r.clipper);
    lti_free(r.memory);
    return status;
}
