// forgotten_class_in_test.c - test samples are of classes that were forgotten as a whole.
#include "audit/lint/lint_impl.h"

static lt_status check_forgotten_class_in_test(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_signals *s = in->model.signals;
    if (!s)
        return LT_OK;
    const int64_t n = lt_sample_group_rows(s, LT_SAMPLES_TEST_FORGET, NULL),
                  n_test = lt_sample_group_rows(s, LT_SAMPLES_TEST, NULL);
    const int n_classes = lt_forgotten_classes(s, NULL);
    if (n < 0 || n_test < 0)
        return LTI_NOMEM("lint");
    if (n > 0 && n_classes > 0) // a forgotten subclass keeps its label
        return lt_lint_say(out,
                           "%lld of %lld test samples are of %d forgotten class%s and count as errors in ta once "
                           "forgotten; ta_other_classes leaves them out",
                           (long long)n, (long long)n_test, n_classes, n_classes == 1 ? "" : "es");
    return LT_OK;
}

const lt_lint_check lti_lint_forgotten_class_in_test = {
    .id = "forgotten-class-in-test",
    .severity = LT_LINT_NOTE,
    .roles = LT_LINT_OF_UNLEARNED | LT_LINT_OF_ORIGINAL | LT_LINT_OF_RETRAINED,
    .doc = "Test samples are of classes that were forgotten as a whole.",
    .run = check_forgotten_class_in_test,
};
