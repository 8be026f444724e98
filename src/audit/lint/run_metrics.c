// run_metrics.c - what a run did to its model, and the conditions that several checks have on it [AREA 4].
#include "audit/lint/lint_impl.h"
#include "lethe/class_audit.h"
#include <math.h>

#define LEAST_DIFFERENCE 0.02 // of forget accuracy between original and retrained, to be seen at all
#define LEAST_SHARE 0.1       // of that difference
#define LEAST_PHI_SHARE 0.5   // without retrained models
#define MOST_CLASS_SHARE 0.9  // of the accuracy on a forgotten class
#define LARGEST_PHI_SHARE 1.8 // this and the next: tests/methods/test_lint_metrics.c
#define LEAST_PHI_AUC 0.37
#define BROKEN_LOSS 0.10
#define UTILITY_LOSS 0.05
#define MEMORISED_ACC 0.99

static double known_or(double a, double b)
{
    return isfinite(a) ? a : b;
}

// ACC_f and ACC_r; training samples where there are no test samples of the forgotten classes.
static lt_status fill_classes(const lt_lint_in *in, lti_run_metrics *m)
{
    lt_class_acc acc;
    LT_TRY(lt_signals_class_acc(in->model.signals, &acc));
    m->after.forget_acc = known_or(acc.acc_f, acc.acc_f_train);
    m->after.test_acc = acc.acc_r;
    if (in->effect) {
        m->before.forget_acc = isfinite(acc.acc_f) ? in->effect->acc_f : in->effect->forget_acc;
        m->before.test_acc = in->effect->acc_r;
    }
    return LT_OK;
}

lt_status lti_run_metrics_of(const lt_lint_in *in, lti_run_metrics *m)
{
    const double unknown = (double)NAN;
    const lt_signals *s = in->model.signals;
    const lt_lint_effect *e = in->effect;
    *m = (lti_run_metrics){.before = {unknown, unknown, unknown},
                           .after = {unknown, unknown, unknown},
                           .retrained_forget_acc = unknown,
                           .phi = {unknown, unknown},
                           .pair_acc = e ? e->pair_acc : unknown};
    if (!s)
        return LT_OK;
    m->of_classes = lti_forgets_classes(s);
    m->after = (lti_run_state){lt_signals_acc(s, LT_GROUP_FORGET), lt_signals_acc(s, LT_GROUP_RETAIN),
                               lt_signals_acc(s, LT_GROUP_TEST)};
    if (e)
        m->before = (lti_run_state){e->forget_acc, e->retain_acc, e->test_acc};
    m->retrained_forget_acc = lti_mean_retrained_acc(in, LT_GROUP_FORGET);
    return m->of_classes ? fill_classes(in, m) : lt_audit_phi_stats(s, &m->phi);
}

// Without retrained models the phi share tells, as long as the model is one: that of a broken model says nothing.
bool lti_is_inert(const lti_run_metrics *m)
{
    const double was = m->before.forget_acc, is = m->after.forget_acc;
    if (m->of_classes)
        return was > 0 && is >= MOST_CLASS_SHARE * was;
    if (!isfinite(m->retrained_forget_acc) || !isfinite(was))
        return !isfinite(m->retrained_forget_acc) && m->phi.share < LEAST_PHI_SHARE && !lti_is_broken(m);
    const double due = was - m->retrained_forget_acc;
    return fabs(due) >= LEAST_DIFFERENCE && (was - is) / due < LEAST_SHARE;
}

bool lti_is_overdone(const lti_run_metrics *m)
{
    return !m->of_classes && !isfinite(m->retrained_forget_acc) &&
           (m->phi.share > LARGEST_PHI_SHARE || m->phi.auc < LEAST_PHI_AUC);
}

// The larger loss of accuracy on retained and on unseen samples; NAN when neither is known.
static double lost_accuracy(const lti_run_metrics *m)
{
    return fmax(m->before.retain_acc - m->after.retain_acc, m->before.test_acc - m->after.test_acc);
}

bool lti_is_broken(const lti_run_metrics *m)
{
    return lost_accuracy(m) > BROKEN_LOSS;
}

bool lti_costs_utility(const lti_run_metrics *m)
{
    return lost_accuracy(m) > UTILITY_LOSS && !lti_is_broken(m);
}

bool lti_memorises_pairs(const lti_run_metrics *m)
{
    return m->pair_acc >= MEMORISED_ACC && !m->of_classes && m->after.forget_acc >= MEMORISED_ACC;
}

lt_status lti_say_accuracies(lt_lint_out *out, const lti_run_metrics *m, const char *ending)
{
    return lt_lint_say(out, "retain accuracy is %.1f %% and was %.1f %%, test accuracy%s %.1f %% and was %.1f %%: %s",
                       100 * m->after.retain_acc, 100 * m->before.retain_acc,
                       m->of_classes ? " without the forgotten classes" : "", 100 * m->after.test_acc,
                       100 * m->before.test_acc, ending);
}
