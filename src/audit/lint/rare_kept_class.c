// rare_kept_class.c - class-MIA has no discriminator of a class.
#include "audit/lint/lint_impl.h"

static int count_rare(const lt_signals *s, const bool *forgotten, const int64_t *n, int *n_kept)
{
    enum { LEAST = 2 }; // to learn from; src/audit/class_mia.c
    int n_rare = 0;
    *n_kept = 0;
    for (int k = 0; k < s->k; k++) {
        *n_kept += !forgotten[k];
        n_rare += !forgotten[k] && n[k] < LEAST;
    }
    return n_rare;
}

static lt_status check_rare_kept_class(const lt_lint_in *in, lt_lint_out *out)
{
    const lt_signals *s = in->model.signals;
    if (!s || lt_forgotten_classes(s, NULL) == 0)
        return LT_OK;
    bool *forgotten = lti_calloc((size_t)s->k, sizeof *forgotten);
    int64_t *n = lti_calloc((size_t)s->k, sizeof *n);
    lt_status status = forgotten && n ? LT_OK : LTI_NOMEM("lint");
    if (status == LT_OK) {
        int n_kept;
        (void)lt_forgotten_classes(s, forgotten);
        for (int64_t i = 0; i < s->n; i++)
            n[s->label[i]] += s->group[i] == LT_GROUP_TEST;
        const int n_rare = count_rare(s, forgotten, n, &n_kept);
        if (n_kept == 1)
            status = lt_lint_say(out, "a single class is kept: class-MIA needs two and is not computed");
        else if (n_rare > 0)
            status = lt_lint_say(out, "%d of %d kept classes ha%s fewer than 2 test samples: class-MIA leaves %s out",
                                 n_rare, n_kept, n_rare == 1 ? "s" : "ve", n_rare == 1 ? "it" : "them");
    }
    lti_free(forgotten);
    lti_free(n);
    return status;
}

const lt_lint_check lti_lint_rare_kept_class = {
    .id = "rare-kept-class",
    .severity = LT_LINT_WARNING,
    .roles = LT_LINT_OF_UNLEARNED | LT_LINT_OF_ORIGINAL | LT_LINT_OF_RETRAINED,
    .doc = "A class was forgotten, and class-MIA has no discriminator of a class that was kept.",
    .run = check_rare_kept_class,
};
