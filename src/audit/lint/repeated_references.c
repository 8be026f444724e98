// repeated_references.c - a reference model repeats another one to the last bit.
#include "audit/lint/lint_impl.h"
#include <string.h>

static lt_status check_repeated_references(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_references *refs = in->refs;
    int64_t n = 0;
    for (int64_t r = 0; refs && r < refs->m; r++) {
        bool repeated = false;
        for (int64_t q = 0; q < r && !repeated; q++)
            repeated = !memcmp(refs->logits + r * refs->n * refs->k, refs->logits + q * refs->n * refs->k,
                               (size_t)refs->n * (size_t)refs->k * sizeof *refs->logits);
        n += repeated;
    }
    if (n > 0)
        return lt_lint_say(out, "%lld of %lld reference models repeat%s another one", (long long)n, (long long)refs->m,
                           n == 1 ? "s" : "");
    return LT_OK;
}

const lt_lint_check lti_lint_repeated_references = {
    .id = "repeated-references",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED,
    .doc = "A reference model repeats another one to the last bit.",
    .run = check_repeated_references,
};
