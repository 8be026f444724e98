// shadow.c - the samples an attack learns from: members from the retain set, non-members from the test set. [AMUN 7.2]
//
// The attacked model is its own shadow model: it was trained on the retain set and never saw the test set. Both classes
// get the same number of samples, so an attack that learns nothing calls half of everything a member.
#include "audit/audit_impl.h"

int64_t lti_group_rows(const lt_signals *s, int group, int64_t *row)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++) {
        if (s->group[i] != group)
            continue;
        if (row)
            row[n] = i;
        n++;
    }
    return n;
}

lt_status lt_signals_need_groups(const lt_signals *s, const char *label)
{
    static const char *const name[3] = {"retain (0)", "forget (1)", "test (2)"};
    for (int g = 0; g < 3; g++)
        if (lti_group_rows(s, g, NULL) == 0)
            return LT_FAIL(LT_E_FORMAT, "%s: expected at least one sample in group %s, found none of %lld", label,
                           name[g], (long long)s->n);
    return LT_OK;
}

// n rows of the group: all of them in their order, or a draw without replacement.
static lt_status draw(const lt_signals *s, int group, int64_t n, uint64_t seed, uint32_t step, bool keep_order,
                      int64_t **row)
{
    int64_t n_all = lti_group_rows(s, group, NULL);
    int64_t *all = lti_calloc((size_t)n_all, sizeof *all), *perm = lti_calloc((size_t)n_all, sizeof *perm);
    if (!all || !perm) {
        lti_free(all);
        lti_free(perm);
        return LTI_NOMEM("rows of the shadow samples");
    }
    lti_group_rows(s, group, all);
    if (n < n_all || !keep_order) {
        lt_rng_permutation(seed, LT_STREAM_AUDIT, step, n_all, perm);
        for (int64_t i = 0; i < n; i++)
            perm[i] = all[perm[i]];
        *row = perm;
        lti_free(all);
    } else {
        *row = all;
        lti_free(perm);
    }
    return LT_OK;
}

lt_status lti_shadow_draw(const lt_signals *s, const lt_audit_cfg *cfg, lti_shadow *shadow)
{
    *shadow = (lti_shadow){0};
    LT_TRY(lt_signals_need_groups(s, "signals"));
    int64_t n_retain = lti_group_rows(s, LT_GROUP_RETAIN, NULL), n_test = lti_group_rows(s, LT_GROUP_TEST, NULL);
    int64_t n = n_retain < n_test ? n_retain : n_test;
    if (cfg->shadow_cap > 0 && cfg->shadow_cap < n)
        n = cfg->shadow_cap;
    shadow->n = n;
    lt_status status = draw(s, LT_GROUP_RETAIN, n, cfg->seed, LTI_DRAW_SHADOW_RETAIN, false, &shadow->member);
    if (status == LT_OK)
        status = draw(s, LT_GROUP_TEST, n, cfg->seed, LTI_DRAW_SHADOW_TEST, true, &shadow->non_member);
    if (status != LT_OK)
        lti_shadow_clear(shadow);
    return status;
}

void lti_shadow_clear(lti_shadow *shadow)
{
    lti_free(shadow->member);
    lti_free(shadow->non_member);
    *shadow = (lti_shadow){0};
}
