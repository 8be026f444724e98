// leak_reference_is_target.c - the audited model is among the reference models.
#include "audit/lint/lint_impl.h"
#include <string.h>

static lt_status check_leak_reference_is_target(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_references *refs = in->refs;
    int64_t n = 0;
    for (int64_t r = 0; refs && in->model.signals && r < refs->m; r++)
        n += !memcmp(refs->logits + r * refs->n * refs->k, in->model.signals->logits,
                     (size_t)refs->n * (size_t)refs->k * sizeof *refs->logits);
    if (n > 0)
        return lt_lint_say(out, "the audited model is among the reference models (%lld time%s)", (long long)n,
                           LTI_S(n));
    return LT_OK;
}

const lt_lint_check lti_lint_leak_reference_is_target = {
    .id = "leak-reference-is-target",
    .severity = LT_LINT_ERROR,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "The audited model is among the reference models.",
    .run = check_leak_reference_is_target,
};
