// leak_forget_test.c - a forgotten sample has the outputs of a test sample to the last bit.
#include "audit/lint/lint_impl.h"

static lt_status check_leak_forget_test(const lt_lint_in *in, lt_lint_out *out)
{
    int64_t found[3] = {0};
    if (in->model.signals)
        lti_count_equal_outputs(in->model.signals, found);
    if (found[0] < 0)
        return LTI_NOMEM("lint");
    const int64_t n = found[LT_GROUP_TEST];
    if (n > 0)
        return lt_lint_say(out,
                           "%lld forgotten sample%s the outputs of a test sample to the last bit: the same image is on "
                           "both sides of the attack",
                           (long long)n, n == 1 ? " has" : "s have");
    return LT_OK;
}

const lt_lint_check lti_lint_leak_forget_test = {
    .id = "leak-forget-test",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED | LT_LINT_OF_ORIGINAL | LT_LINT_OF_RETRAINED,
    .doc = "A forgotten sample has the outputs of a test sample to the last bit.",
    .run = check_leak_forget_test,
};
