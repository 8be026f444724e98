// transfer.c - examples crafted on some models, answered by others. [ATT 30; Tramer et al. 2017, section 3]
//
//     T_rate(s -> t) = #{s and t right, example fools s and t} / #{s and t right, example fools s}
// The last iterate is kept, without an early exit: the published protocol, and what transfers best.
#include "attack/robust_impl.h"
#include <math.h>
#include <string.h>

enum { NO_ANSWER = -1 };

void lt_transfer_matrix_clear(lt_transfer_matrix *m)
{
    lti_free(m->numerator);
    lti_free(m->eligible);
    lti_free(m->both_right);
    lti_free(m->robust);
    lti_free(m->rate);
    lti_free(m->clean_acc);
    *m = (lt_transfer_matrix){0};
}

static lt_status matrix_init(const lt_transfer_job *job, lt_transfer_matrix *m)
{
    const size_t cells = (size_t)job->n_sources * (size_t)job->n_targets;
    *m = (lt_transfer_matrix){.n_sources = job->n_sources, .n_targets = job->n_targets, .n = job->view->n};
    m->numerator = lti_calloc(cells, sizeof *m->numerator);
    m->eligible = lti_calloc(cells, sizeof *m->eligible);
    m->both_right = lti_calloc(cells, sizeof *m->both_right);
    m->robust = lti_calloc(cells, sizeof *m->robust);
    m->rate = lti_calloc(cells, sizeof *m->rate);
    m->clean_acc = lti_calloc((size_t)job->n_targets, sizeof *m->clean_acc);
    return m->numerator && m->eligible && m->both_right && m->robust && m->rate && m->clean_acc
               ? LT_OK
               : LTI_NOMEM("transfer matrix");
}

// pred: NO_ANSWER where a logit is not finite.
static lt_status predict_target(const lt_transfer_job *job, int t, const lt_env *env, const lt_robust_result *r,
                                const float *images, int32_t *pred)
{
    lt_robust_result shape = *r;
    lti_robust e = {.target = &job->target[t], .view = job->view, .spec = *job->spec, .env = env, .result = &shape};
    shape.n_classes = job->target[t].model[0]->shape.n_classes;
    float *z = lti_calloc((size_t)r->n, (size_t)shape.n_classes * sizeof *z);
    if (!z)
        return LTI_NOMEM("transfer matrix");
    lt_status status = lti_attack_model_create(e.target, env, e.spec.batch, &e.model);
    if (status == LT_OK)
        status = lti_robust_logits(&e, images, r->n, 2, z, pred);
    for (int64_t i = 0; status == LT_OK && i < r->n; i++)
        if (!lti_is_finite_row(z + i * shape.n_classes, shape.n_classes))
            pred[i] = NO_ANSWER;
    lti_attack_model_destroy(e.model);
    lti_free(z);
    return status;
}

// clean, adv (n): classes that target t gives.
static void fill_cell(const lt_robust_result *r, const int32_t *clean, const int32_t *adv, int64_t cell,
                      lt_transfer_matrix *m)
{
    for (int64_t i = 0; i < r->n; i++) {
        if (r->status[i] == LT_ROBUST_INVALID || clean[i] == NO_ANSWER || adv[i] == NO_ANSWER) {
            m->n_invalid++;
            continue;
        }
        const bool both = r->clean_pred[i] == r->label[i] && clean[i] == r->label[i];
        const bool fooled = r->status[i] == LT_ROBUST_BROKEN;
        m->both_right[cell] += both;
        m->robust[cell] += clean[i] == r->label[i] && adv[i] == r->label[i];
        m->eligible[cell] += both && fooled;
        m->numerator[cell] += both && fooled && lti_robust_is_fooled(r, i, adv[i]);
    }
    m->rate[cell] = m->eligible[cell] > 0 ? (double)m->numerator[cell] / (double)m->eligible[cell] : (double)NAN;
}

static lt_status run_source(const lt_transfer_job *job, int s, const lt_attack_spec *spec, const lt_env *env,
                            lt_transfer_matrix *m)
{
    lt_robust_result *r = NULL;
    lt_status status = LT_OK;
    int32_t *pred = NULL;
    LT_TRY(lt_robust_evaluate(&job->source[s], job->view, job->attack, spec, job->cfg, job->cfg_ctx, env, &r));
    pred = lti_calloc((size_t)r->n, 2 * sizeof *pred);
    if (!pred)
        LT_TRY_GOTO(LTI_NOMEM("transfer matrix"), done);
    for (int t = 0; t < job->n_targets; t++) {
        LT_TRY_GOTO(predict_target(job, t, env, r, r->x, pred), done);
        LT_TRY_GOTO(predict_target(job, t, env, r, r->x_adv, pred + r->n), done);
        fill_cell(r, pred, pred + r->n, (int64_t)s * job->n_targets + t, m);
        int64_t n_right = 0;
        for (int64_t i = 0; i < r->n; i++)
            n_right += pred[i] == r->label[i];
        m->clean_acc[t] = (double)n_right / (double)r->n;
    }
done:
    lti_free(pred);
    lt_robust_result_destroy(r);
    return status;
}

lt_status lt_transfer_run(const lt_transfer_job *job, const lt_env *env, lt_transfer_matrix *out)
{
    lt_attack_spec spec = *job->spec;
    spec.transfer = true;
    if (job->n_sources < 1 || job->n_targets < 1)
        return LT_FAIL(LT_E_USAGE, "transfer: expected at least one source and one target, found none");
    lt_status status = matrix_init(job, out);
    for (int s = 0; s < job->n_sources && status == LT_OK; s++)
        status = run_source(job, s, &spec, env, out);
    if (status != LT_OK)
        lt_transfer_matrix_clear(out);
    return status;
}

// The examples stay; what is said about them is the target's.
static lt_status answer_by_target(const lt_transfer_job *job, const lt_env *env, lt_robust_result *r)
{
    LT_TRY(predict_target(job, 0, env, r, r->x, r->clean_pred));
    LT_TRY(predict_target(job, 0, env, r, r->x_adv, r->adv_pred));
    for (int64_t i = 0; i < r->n; i++) {
        if (r->clean_pred[i] == NO_ANSWER || r->adv_pred[i] == NO_ANSWER)
            r->status[i] = LT_ROBUST_INVALID;
        if (r->status[i] == LT_ROBUST_INVALID)
            continue;
        r->status[i] = r->clean_pred[i] != r->label[i]              ? LT_ROBUST_CLEAN_WRONG
                       : lti_robust_is_fooled(r, i, r->adv_pred[i]) ? LT_ROBUST_BROKEN
                                                                    : LT_ROBUST_ROBUST;
        r->broken_by[i] = r->status[i] == LT_ROBUST_BROKEN ? 0 : -1;
    }
    r->flags &= ~(unsigned)(LT_FLAG_NOT_CONVERGED | LT_FLAG_MISMATCH); // they speak of the source
    return lti_robust_summarise(r);
}

lt_status lt_transfer_evaluate(const lt_transfer_job *job, const lt_env *env, lt_robust_result **result)
{
    lt_robust_result *r = NULL;
    lt_attack_spec spec = *job->spec;
    spec.transfer = true;
    LT_TRY(lt_robust_evaluate(&job->source[0], job->view, job->attack, &spec, job->cfg, job->cfg_ctx, env, &r));
    lt_status status = LT_OK;
    LT_TRY_GOTO(answer_by_target(job, env, r), fail);
    *result = r;
    return LT_OK;
fail:
    lt_robust_result_destroy(r);
    return status;
}
