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
double lti_mean_retrained_acc(const lt_lint_in *in, int group); // NAN without retrained models
// The larger loss of accuracy on retained and test samples against the original model; NAN when that is not known.
#define LTI_BROKEN_LOSS 0.10
#define LTI_UTILITY_LOSS 0.05
double lti_lost_accuracy(const lt_lint_in *in);
#endif
