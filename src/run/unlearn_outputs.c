// unlearn_outputs.c - what a model says before and after unlearning: accuracies, losses, the phi share, divergence.
#include "base/arg_max.h"
#include "run/unlearn_impl.h"
#include <math.h>

static lt_status mean_loss(const lt_signals *s, int group, double *mean)
{
    const int64_t n = lt_signals_feature(s, LT_FEAT_LOSS, group, NULL);
    double sum = 0, *loss = lti_calloc((size_t)n + 1, sizeof *loss);
    if (!loss)
        return LTI_NOMEM("outputs");
    lt_signals_feature(s, LT_FEAT_LOSS, group, loss);
    for (int64_t i = 0; i < n; i++)
        sum += loss[i];
    lti_free(loss);
    *mean = n ? sum / (double)n : (double)NAN;
    return LT_OK;
}

static lt_status measure_state(const lt_signals *s, lt_unlearn_state *out)
{
    out->forget_acc = lt_signals_acc(s, LT_GROUP_FORGET);
    out->retain_acc = lt_signals_acc(s, LT_GROUP_RETAIN);
    out->test_acc = lt_signals_acc(s, LT_GROUP_TEST);
    out->n_forgotten_classes = lt_signals_class_roles(s, NULL) + lt_signals_forgotten_subclasses(s);
    if (out->n_forgotten_classes < 0)
        return LTI_NOMEM("classes");
    LT_TRY(lt_signals_class_acc(s, &out->class_acc));
    LT_TRY(mean_loss(s, LT_GROUP_RETAIN, &out->retain_loss));
    LT_TRY(mean_loss(s, LT_GROUP_TEST, &out->test_loss));
    return lt_audit_phi_stats(s, &out->phi);
}

// A model whose loss on retained samples is this many times that of guessing is no model any more.
static lt_status check_divergence(const lti_unlearning *u, const lt_unlearn_state *after)
{
    enum { DIVERGED_LOSS_FACTOR = 100 };
    const double limit = DIVERGED_LOSS_FACTOR * log((double)u->model->shape.n_classes);
    // Test samples of a forgotten class may have any loss.
    const double loss = isnan(after->retain_loss) ? after->test_loss : after->retain_loss;
    if (u->sets.retain.n == 0 || loss <= limit)
        return LT_OK;
    LT_FAIL(LT_E_DIVERGED, "%s: diverged: expected a loss of at most %.0f on retained samples, found %.3g",
            u->order->method->name, limit, loss);
    return lt_error_hint("lower --lr or --lr-area");
}

// Share of the adversarial set that the unlearned model gives its adversarial label.
static lt_status measure_pairs(const lti_unlearning *u, double *acc)
{
    const lt_adv_set *adv = u->result.adv;
    const int k = u->model->shape.n_classes;
    *acc = (double)NAN;
    if (!adv || !u->result.setup.form.trains_pairs || adv->n != u->sets.forget.n)
        return LT_OK;
    lt_eval_result ignored;
    lt_view view = lt_view_rows(u->order->ds, LT_TRAIN, &u->sets.forget);
    view.images = adv->x_adv;
    view.labels = adv->adv_pred;
    float *logits = lti_calloc((size_t)adv->n * (size_t)k, sizeof *logits);
    if (!logits)
        return LTI_NOMEM("outputs");
    const lt_status status = lt_evaluate(u->model, &view, u->order->env, LTI_EVAL_BATCH, logits, NULL, &ignored);
    int64_t n = 0, correct = 0;
    for (int64_t i = 0; status == LT_OK && i < adv->n; i++)
        if (adv->status[i] != LT_ADV_FAILED) {
            n++;
            correct += lti_arg_max(logits + i * k, k) == adv->adv_pred[i];
        }
    lti_free(logits);
    *acc = n ? (double)correct / (double)n : (double)NAN;
    return status;
}

lt_status lti_unlearning_evaluate(lti_unlearning *u, lt_unlearn_record *r)
{
    const lt_unlearn_order *o = u->order;
    const double start_s = lti_now_s();
    LT_TRY(lt_signals_compute(u->model, o->ds, &u->sets.forget, &u->sets.retain, o->env, &u->after));
    LT_TRY(lti_signals_keep_test(u->after, o->ds, &u->sets.test));
    LT_TRY(measure_state(u->after, &r->after));
    LT_TRY(check_divergence(u, &r->after));
    LT_TRY(lt_signals_compute(o->base->model, o->ds, &u->sets.forget, &u->sets.retain, o->env, &u->before));
    LT_TRY(lti_signals_keep_test(u->before, o->ds, &u->sets.test));
    LT_TRY(measure_state(u->before, &r->before));
    LT_TRY(measure_pairs(u, &r->pair_acc));
    r->eval_s = lti_now_s() - start_s;
    return LT_OK;
}
