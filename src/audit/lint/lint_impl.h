// lint_impl.h - what the checks share: the registry's descriptors, counts of samples.
#ifndef LT_LINT_IMPL_H
#define LT_LINT_IMPL_H
#include "audit/audit_impl.h"
#include "lethe/lint.h"

#define LT_X(name) extern const lt_lint_check lti_lint_##name;
#include "audit/lint/checks.list"
#undef LT_X

#define LTI_S(n) ((n) == 1 ? "" : "s") // plural

struct lt_lint_out {
    const lt_lint_check *check;
    lt_lint *lint;
};
// Ids that two groups share, or, with the same group twice, that repeat an earlier one of it. -1 = out of memory.
int64_t lti_count_common_ids(const lt_signals *s, int group, int other);
// Forgotten samples with the logits of a sample of each other group, to the last bit: equal logits come from equal
// images. All 0 for models that give few outputs at all. -1 in found[0] = out of memory.
void lti_count_equal_outputs(const lt_signals *s, int64_t found[3]);
// Whole classes are forgotten: no retained sample has the label of a forgotten one.
bool lti_forgets_classes(const lt_signals *s);
const struct lt_unlearn_method *lti_lint_method(const lt_lint_in *in); // of the audited model; NULL = not known
double lti_mean_retrained_acc(const lt_lint_in *in, int group);        // NAN without retrained models

// What a run did to its model, all fractions; NAN = not known. Where whole classes are forgotten, forget and test
// accuracy are those of the test samples of the forgotten and of the other classes (ACC_f, ACC_r).
typedef struct lti_run_state {
    double forget_acc, retain_acc, test_acc;
} lti_run_state;
typedef struct lti_run_metrics {
    bool of_classes;
    lti_run_state before, after;
    double retrained_forget_acc; // mean; NAN = there are no retrained models
    lt_phi_stats phi;            // after; NAN for classes: unseen samples of a forgotten class are no reference
    double pair_acc;             // on adversarial images that were trained on together with the forgotten ones
} lti_run_metrics;
lt_status lti_run_metrics_of(const lt_lint_in *in, lti_run_metrics *m);
// The conditions of the checks inert, overdone, broken, utility and pair-memorised.
// docs/methods/learning-rate-area.md [AREA 4]
bool lti_is_inert(const lti_run_metrics *m);
bool lti_is_overdone(const lti_run_metrics *m);
bool lti_is_broken(const lti_run_metrics *m);
bool lti_costs_utility(const lti_run_metrics *m); // and is not broken
bool lti_memorises_pairs(const lti_run_metrics *m);
// The text of broken and utility: what the accuracies were and are, then `ending`.
lt_status lti_say_accuracies(lt_lint_out *out, const lti_run_metrics *m, const char *ending);
#endif
