// forgotten_class_untested.c - a class was forgotten as a whole and has no test samples.
#include "audit/lint/lint_impl.h"
#include "lethe/class_audit.h"

static bool has_test_samples(const lt_signals *s, int32_t label)
{
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == LT_GROUP_TEST && s->label[i] == label)
            return true;
    return false;
}

static lt_status check_forgotten_class_untested(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_signals *s = in->model.signals;
    lti_buf list = {0};
    int n = 0;
    uint8_t *role = s ? lti_calloc((size_t)s->k + 1, 1) : NULL;
    if (!s)
        return LT_OK;
    if (!role)
        return LTI_NOMEM("lint");
    (void)lt_signals_class_roles(s, role);
    for (int32_t c = 0; c < s->k; c++)
        if (role[c] == LT_CLASS_FORGOTTEN && !has_test_samples(s, c))
            lti_buf_printf(&list, "%s%d", n++ ? ", " : "", c);
    lti_free(role);
    lt_status status = list.failed ? LTI_NOMEM("lint") : LT_OK;
    if (status == LT_OK && n > 0)
        status = lt_lint_say(out,
                             "forgotten class%s %s: no test samples, so acc_f, class-MIA, the class SVC-MIA and the "
                             "total variation are missing for %s",
                             n == 1 ? "" : "es", list.data, n == 1 ? "it" : "them");
    lti_buf_clear(&list);
    return status;
}

const lt_lint_check lti_lint_forgotten_class_untested = {
    .id = "forgotten-class-untested",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A class that was forgotten as a whole has no test samples.",
    .run = check_forgotten_class_untested,
};
