// tuned_on_oracle.c - a learning-rate area that was chosen by comparison with retrained models.
#include "audit/lint/lint_impl.h"

static lt_status check_tuned_on_oracle(const lt_lint_in *in, lt_lint_out *out)
{
    if (!in->area_chosen_by)
        return LT_OK;
    return lt_lint_say(out,
                       "the learning-rate area was chosen by %s, which compares with retrained models: tuning had "
                       "access that a user does not have",
                       in->area_chosen_by);
}

const lt_lint_check lti_lint_tuned_on_oracle = {
    .id = "tuned-on-oracle",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "The learning-rate area was chosen by a study that compared with retrained models.",
    .run = check_tuned_on_oracle,
};
