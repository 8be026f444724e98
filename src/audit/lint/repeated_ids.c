// repeated_ids.c - a group holds an id more than once.
#include "audit/lint/lint_impl.h"

static lt_status check_repeated_ids(const lt_lint_in *in, lt_lint_out *out)
{
    static const lt_group_id group[3] = {LT_SAMPLES_RETAIN, LT_SAMPLES_FORGET, LT_SAMPLES_TEST};
    for (int g = 0; g < 3 && in->model.signals; g++) {
        const lt_sample_group *of = lt_sample_group_get(group[g]);
        const int64_t n = lti_count_common_ids(in->model.signals, (int)of->stored, (int)of->stored);
        if (n < 0)
            return LTI_NOMEM("lint");
        if (n > 0)
            LT_TRY(lt_lint_say(out, "%lld sample%s of the %s group repeat%s an id: they count more than once",
                               (long long)n, LTI_S(n), of->name, n == 1 ? "s" : ""));
    }
    return LT_OK;
}

const lt_lint_check lti_lint_repeated_ids = {
    .id = "repeated-ids",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED | LT_LINT_OF_ORIGINAL | LT_LINT_OF_RETRAINED,
    .doc = "A group holds an id more than once.",
    .run = check_repeated_ids,
};
