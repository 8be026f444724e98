// ensemble_eval.c - transfer between members, from surrogates to the ensemble, and attacks on the ensemble itself.
//
// Rates condition on what source and target get right and on examples that fool their source [LOTOS 8-10]; every rate
// is made in transfer mode (last iterate, no early exit).
#include "ensemble_impl.h"
#include <math.h>
#include <string.h>

static lt_attack_target single(const lt_model *const *model)
{
    return (lt_attack_target){.model = model, .n_models = 1};
}

static lt_attack_target whole(const lt_ensemble *e)
{
    return (lt_attack_target){
        .model = (const lt_model *const *)e->member, .n_models = e->n, .combine = LT_COMBINE_SOFTMAX};
}

// Neither fooled nor robust: rates without these images would be rates of others.
static lt_status check_finite(int64_t n_invalid)
{
    if (n_invalid == 0)
        return LT_OK;
    return LT_FAIL(LT_E_DIVERGED, "ensemble: expected finite logits under attack, found others for %lld images",
                   (long long)n_invalid);
}

static lt_status members_to_members(const lt_ensemble *e, const lt_view *view, const lt_ensemble_eval_cfg *cfg,
                                    const lt_env *env, lt_ensemble_eval *out)
{
    lt_attack_spec spec = cfg->spec;
    lt_attack_target member[LT_ENSEMBLE_MAX];
    lt_transfer_matrix m;
    const int n = e->n;
    spec.transfer = true;
    for (int i = 0; i < n; i++)
        member[i] = single((const lt_model *const *)&e->member[i]);
    const lt_transfer_job job = {.source = member,
                                 .target = member,
                                 .n_sources = n,
                                 .n_targets = n,
                                 .view = view,
                                 .attack = cfg->attack,
                                 .spec = &spec};
    LT_TRY(lt_transfer_run(&job, env, &m));
    double pairs = 0, diagonal = 0;
    int n_pairs = 0, n_diagonal = 0;
    for (int i = 0; i < n * n; i++) {
        const bool own = i / n == i % n;
        out->transfer[i] = m.rate[i];
        out->eligible[i] = m.eligible[i];
        out->numerator[i] = m.numerator[i];
        if (own) { // of what the member gets right: whether its own attack fools it, towards the target if it has one
            const int64_t right = m.both_right[i], fooled = m.eligible[i];
            out->numerator[i] = fooled;
            out->eligible[i] = right;
            out->transfer[i] = right > 0 ? (double)fooled / (double)right : (double)NAN;
        }
        if (isnan(out->transfer[i]))
            continue;
        *(own ? &diagonal : &pairs) += out->transfer[i];
        *(own ? &n_diagonal : &n_pairs) += 1;
    }
    memcpy(out->member_acc, m.clean_acc, (size_t)n * sizeof *m.clean_acc);
    out->mean_transfer = n_pairs ? pairs / n_pairs : (double)NAN;
    out->mean_robust = n_diagonal ? 1 - diagonal / n_diagonal : (double)NAN;
    const int64_t n_invalid = m.n_invalid;
    lt_transfer_matrix_clear(&m);
    return check_finite(n_invalid);
}

static lt_status surrogates_to_ensemble(const lt_ensemble *e, const lt_view *view, const lt_ensemble_eval_cfg *cfg,
                                        const lt_env *env, lt_ensemble_eval *out)
{
    lt_attack_spec spec = cfg->spec;
    const lt_attack_target target = whole(e);
    double sum = 0;
    int n = 0;
    spec.transfer = true;
    for (int i = 0; i < cfg->n_surrogates; i++) {
        const lt_attack_target source = single(&cfg->surrogate[i]);
        const lt_transfer_job job = {.source = &source,
                                     .target = &target,
                                     .n_sources = 1,
                                     .n_targets = 1,
                                     .view = view,
                                     .attack = cfg->attack,
                                     .spec = &spec};
        lt_transfer_matrix m;
        LT_TRY(lt_transfer_run(&job, env, &m));
        out->black_box[i] = m.rate[0];
        if (!isnan(m.rate[0])) {
            sum += m.rate[0];
            n++;
        }
        const int64_t n_invalid = m.n_invalid;
        lt_transfer_matrix_clear(&m);
        LT_TRY(check_finite(n_invalid));
    }
    out->black_box_robust = n ? 1 - sum / n : (double)NAN;
    return LT_OK;
}

static lt_status ensemble_itself(const lt_ensemble *e, const lt_view *view, const lt_ensemble_eval_cfg *cfg,
                                 const lt_env *env, lt_ensemble_eval *out)
{
    const lt_attack_target target = whole(e);
    lt_robust_result *r;
    LT_TRY(lt_robust_evaluate(&target, view, cfg->attack, &cfg->spec, NULL, NULL, env, &r));
    out->acc = r->clean_acc;
    out->robust_acc = r->robust_acc;
    memcpy(out->robust_interval, r->robust_interval, sizeof out->robust_interval);
    const int64_t n_invalid = r->n_invalid;
    lt_robust_result_destroy(r);
    return check_finite(n_invalid);
}

lt_status lt_ensemble_evaluate(const lt_ensemble *e, const lt_view *view, const lt_ensemble_eval_cfg *cfg,
                               const lt_env *env, lt_ensemble_eval *out)
{
    const size_t n = (size_t)e->n;
    *out = (lt_ensemble_eval){.n = e->n,
                              .n_surrogates = cfg->n_surrogates,
                              .robust_acc = (double)NAN,
                              .black_box_robust = (double)NAN,
                              .robust_interval = {(double)NAN, (double)NAN}};
    out->transfer = lti_calloc(n * n, sizeof *out->transfer);
    out->eligible = lti_calloc(n * n, sizeof *out->eligible);
    out->numerator = lti_calloc(n * n, sizeof *out->numerator);
    out->black_box = lti_calloc((size_t)cfg->n_surrogates + 1, sizeof *out->black_box);
    lt_eval_result clean;
    lt_status status =
        out->transfer && out->eligible && out->numerator && out->black_box ? LT_OK : LTI_NOMEM("ensemble");
    LT_TRY_GOTO(status, done);
    LT_TRY_GOTO(lt_evaluate(e->joint, view, env, cfg->spec.batch > 0 ? cfg->spec.batch : 128, NULL, NULL, &clean),
                done);
    out->acc = clean.acc;
    LT_TRY_GOTO(members_to_members(e, view, cfg, env, out), done);
    LT_TRY_GOTO(surrogates_to_ensemble(e, view, cfg, env, out), done);
    if (cfg->white_box)
        LT_TRY_GOTO(ensemble_itself(e, view, cfg, env, out), done);
done:
    if (status != LT_OK)
        lt_ensemble_eval_clear(out);
    return status;
}

void lt_ensemble_eval_clear(lt_ensemble_eval *e)
{
    lti_free(e->transfer);
    lti_free(e->eligible);
    lti_free(e->numerator);
    lti_free(e->black_box);
    *e = (lt_ensemble_eval){0};
}
