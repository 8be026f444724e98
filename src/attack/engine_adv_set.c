// engine_adv_set.c - any attack of the engine as a maker of adversarial sets: D_A of unlearning. [AMUN 2.3]
//
// Attacks of minimum norm look in L2, the others in the ball of the shared defaults. Labels are those of the ordinary
// evaluation path; a sample that it still reads correctly counts as failed.
#include "attack/robust_impl.h"
#include <math.h>
#include <string.h>

static void copy_rows(const lt_robust_result *r, lt_adv_set *set)
{
    for (int64_t i = 0; i < r->n; i++) {
        const bool broken = r->status[i] == LT_ROBUST_BROKEN;
        set->id[i] = r->id[i];
        set->label[i] = r->label[i];
        set->clean_pred[i] = r->clean_pred[i];
        set->status[i] = r->status[i] == LT_ROBUST_CLEAN_WRONG ? LT_ADV_CLEAN_WRONG
                         : broken                              ? LT_ADV_OK
                                                               : LT_ADV_FAILED;
        set->delta_norm[i] = (float)r->l2[i];
        set->eps_final[i] = (float)(isnan(r->eps) ? r->l2[i] : r->eps);
        set->iters[i] = (int32_t)r->queries_b[i];
        set->rounds[i] = 1;
    }
    memcpy(set->x_adv, r->x_adv, (size_t)(r->n * lti_adv_set_dim(set)) * sizeof *set->x_adv);
    set->n_forward = r->n_forward;
    set->n_backward = r->n_backward;
    set->search_s = r->wall_s;
}

// Predictions of the evaluation path.
static lt_status read_labels(const lt_model *model, const lt_view *view, const lt_env *env, int64_t batch,
                             lt_adv_set *set)
{
    const int k = model->shape.n_classes;
    float *z = lti_calloc((size_t)set->n, (size_t)k * sizeof *z);
    if (!z)
        return LTI_NOMEM("adversarial set");
    lt_eval_result result;
    lt_view found = *view;
    found.labels = set->label;
    found.images = set->x_adv;
    const lt_status status = lt_evaluate(model, &found, env, batch, z, NULL, &result);
    for (int64_t i = 0; status == LT_OK && i < set->n; i++) {
        set->adv_pred[i] = lti_arg_max(z + i * k, k);
        if (set->status[i] != LT_ADV_FAILED && set->adv_pred[i] == set->label[i])
            set->status[i] = LT_ADV_FAILED;
    }
    lti_free(z);
    return status;
}

typedef struct one_cfg {
    const lt_attack *attack;
    const void *cfg;
} one_cfg;

static const void *cfg_of(const lt_attack *attack, void *ctx)
{
    const one_cfg *one = ctx;
    return attack == one->attack ? one->cfg : NULL;
}

lt_status lti_engine_adv_set(const lt_attack *attack, const lt_model *model, const lt_view *view, const void *cfg,
                             const lt_env *env, lt_adv_set **out)
{
    const lt_attack_target target = {.model = &model, .n_models = 1};
    one_cfg one = {attack, attack->cfg_size ? cfg : NULL};
    lt_attack_spec spec;
    lt_robust_result *r = NULL;
    lt_adv_set *set = NULL;
    lt_status status = LT_OK;
    lt_attack_spec_init(&spec);
    spec.norm = attack->ops->flags & LTI_ATTACK_MIN_NORM && !(attack->ops->flags & LTI_ATTACK_NO_L2) ? LT_NORM_L2
                                                                                                     : LT_NORM_LINF;
    LT_TRY_GOTO(lt_robust_evaluate(&target, view, attack->name, &spec, cfg_of, &one, env, &r), done);
    LT_TRY_GOTO(lti_adv_set_create(r->n, r->c, r->h, r->w, &set), done);
    copy_rows(r, set);
    LT_TRY_GOTO(read_labels(model, view, env, spec.batch, set), done);
    *out = set;
    set = NULL;
done:
    lt_adv_set_destroy(set);
    lt_robust_result_destroy(r);
    return status;
}
