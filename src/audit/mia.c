// mia.c - the membership attacks of audits.list: finding one, checking what it needs, running it, and its metrics.
#include "audit/mia_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const lt_mia *const table[] = {
#define LT_X(name) &lti_mia_##name,
#include "audit/audits.list"
#undef LT_X
    NULL,
};

const lt_mia *const *lt_mia_list(void)
{
    return table;
}

lt_status lt_mia_find(const char *name, const lt_mia **mia)
{
    const char *names[sizeof table / sizeof *table] = {NULL};
    for (int i = 0; table[i]; i++) {
        names[i] = table[i]->name;
        if (lti_same_key(table[i]->name, name)) {
            *mia = table[i];
            return LT_OK;
        }
    }
    (void)LT_FAIL(LT_E_USAGE, "unknown membership attack '%s'", name);
    return lti_name_hint(name, names);
}

// ---- needs

enum { N_KINDS = 4 }; // of reference models to a sample: those of lt_membership, and OUT of one that unlearned nothing
static const struct {
    uint32_t need;
    const char *text;
} kinds[N_KINDS] = {
    {LT_MIA_NEED_OUT, "not trained on it (member 0)"},
    {LT_MIA_NEED_IN, "trained on it (member 1)"},
    {LT_MIA_NEED_UNLEARNED, "that has unlearned it (member 2)"},
    {LT_MIA_NEED_TRAINED_OUT, "not trained on it (member 0) that has unlearned no sample"},
};

bool lti_references_unlearned(const lt_references *refs, int64_t model)
{
    for (int64_t i = 0; i < refs->n; i++)
        if (refs->member[model * refs->n + i] == LT_MEMBER_UNLEARNED)
            return true;
    return false;
}

static bool lacks_kind(const lt_mia *mia, const lt_signals *s, int64_t i, int kind, const bool *seen)
{
    return !seen[N_KINDS * i + kind] && !((mia->needs & LT_MIA_RETAIN_OPTIONAL) && s->group[i] == LT_GROUP_RETAIN);
}

static bool has_models(const lt_mia *mia, const lt_signals *s, const bool *seen)
{
    for (int kind = 0; kind < N_KINDS; kind++)
        for (int64_t i = 0; (mia->needs & kinds[kind].need) && i < s->n; i++)
            if (lacks_kind(mia, s, i, kind, seen))
                return false;
    return true;
}

// Attacks for which every sample has its models, for the hint.
static void list_possible(const lt_signals *s, const bool *seen, char *text, size_t size)
{
    text[0] = '\0';
    for (int i = 0; table[i]; i++) {
        if (!has_models(table[i], s, seen))
            continue;
        if (text[0])
            strncat(text, ",", size - strlen(text) - 1);
        strncat(text, table[i]->name, size - strlen(text) - 1);
    }
}

static lt_status check_kind(const lt_mia *mia, const lt_mia_in *in, int kind, const bool *seen)
{
    char text[256];
    const lt_signals *s = in->target;
    for (int64_t i = 0; i < s->n; i++) {
        if (!lacks_kind(mia, s, i, kind, seen))
            continue;
        (void)LT_FAIL(LT_E_FORMAT, "%s: row %lld (id %lld): expected a reference model %s, found none among %lld",
                      mia->name, (long long)i, (long long)s->id[i], kinds[kind].text, (long long)in->refs->m);
        list_possible(s, seen, text, sizeof text);
        return lt_error_hint("attacks that these references suffice for: --attacks %s", text);
    }
    return LT_OK;
}

static lt_status check_references(const lt_mia *mia, const lt_mia_in *in)
{
    const lt_references *refs = in->refs;
    if (!refs)
        return LT_FAIL(LT_E_USAGE, "%s: expected reference models, found none", mia->name);
    if (refs->n != in->target->n || refs->k != in->target->k)
        return LT_FAIL(LT_E_FORMAT, "%s: expected references for %lld samples and %d classes, found %lld and %d",
                       mia->name, (long long)in->target->n, in->target->k, (long long)refs->n, refs->k);
    bool *seen = lti_calloc(N_KINDS * (size_t)refs->n, sizeof *seen);
    if (!seen)
        return LTI_NOMEM("reference membership");
    for (int64_t r = 0; r < refs->m; r++) {
        const bool is_trained = !lti_references_unlearned(refs, r);
        for (int64_t i = 0; i < refs->n; i++) {
            const int membership = refs->member[r * refs->n + i];
            seen[N_KINDS * i + membership] = true;
            seen[N_KINDS * i + N_KINDS - 1] |= is_trained && membership == LT_MEMBER_OUT;
        }
    }
    lt_status status = LT_OK;
    for (int kind = 0; kind < N_KINDS && status == LT_OK; kind++)
        if (mia->needs & kinds[kind].need)
            status = check_kind(mia, in, kind, seen);
    lti_free(seen);
    return status;
}

static lt_status check_original(const lt_mia *mia, const lt_mia_in *in)
{
    if (!in->original) {
        (void)LT_FAIL(LT_E_USAGE, "%s: expected outputs of the original model, found none", mia->name);
        return lt_error_hint("give them with --original-signals FILE.npz");
    }
    if (lt_signals_same_samples(in->original, in->target))
        return LT_OK;
    return LT_FAIL(LT_E_FORMAT, "%s: the outputs of the original model are of other samples than those of the target",
                   mia->name);
}

lt_status lt_mia_run(const lt_mia *mia, const lt_mia_in *in, const void *cfg, double *score)
{
    if (mia->needs & LT_MIA_NEED_REFERENCES)
        LT_TRY(check_references(mia, in));
    if (mia->needs & LT_MIA_NEED_ORIGINAL)
        LT_TRY(check_original(mia, in));
    if (mia->needs & LT_MIA_NEED_GROUPS)
        LT_TRY(lt_signals_need_groups(in->target, "signals"));
    LT_TRY(mia->score(in, cfg, score));
    for (int64_t i = 0; i < in->target->n; i++)
        if (isnan(score[i]) && !((mia->needs & LT_MIA_RETAIN_OPTIONAL) && in->target->group[i] == LT_GROUP_RETAIN))
            return LT_FAIL(LT_E_FORMAT, "%s: row %lld: the score is not a number; are the logits of absurd size?",
                           mia->name, (long long)i);
    return LT_OK;
}

lt_status lt_mia_tune(const lt_mia *mia, const lt_mia_in *in, void *cfg, lt_mia_tuning *choice)
{
    *choice = (lt_mia_tuning){.value = NAN};
    return mia->tune ? mia->tune(in, cfg, choice) : LT_OK;
}

lt_status lti_mia_hold_out_reference(const lt_mia *mia, const lt_mia_in *in, lt_signals *target, lt_references *others,
                                     lt_mia_in *out)
{
    enum { LEAST = 3 };
    if (!in->refs || in->refs->m < LEAST)
        return LT_FAIL(LT_E_USAGE, "%s: expected at least %d reference models to choose an option on, found %lld",
                       mia->name, (int)LEAST, in->refs ? (long long)in->refs->m : 0);
    *target = *in->target;
    *others = *in->refs;
    target->logits = (float *)(uintptr_t)in->refs->logits; // of the first model; read only
    others->m--;
    others->logits += others->n * others->k;
    others->member += others->n;
    *out = *in;
    out->target = target;
    out->refs = others;
    return check_references(mia, out);
}

// ---- metrics

// Scores by group: one allocation, out[g] points into it.
static double *by_group(const lt_signals *s, const double *score, const double *out[3], int64_t n[3])
{
    double *memory = lti_calloc((size_t)s->n, sizeof *memory), *p = memory;
    for (int g = 0; memory && g < 3; g++) {
        out[g] = p;
        for (int64_t i = 0; i < s->n; i++)
            if (s->group[i] == g)
                *p++ = score[i];
        n[g] = p - out[g];
    }
    return memory;
}

static lt_auc_triple tpr_triple(const double *const v[3], const int64_t n[3], double fpr)
{
    return (lt_auc_triple){.ft = lt_tpr_at_fpr(v[1], n[1], v[2], n[2], fpr),
                           .fr = lt_tpr_at_fpr(v[0], n[0], v[1], n[1], fpr),
                           .rt = lt_tpr_at_fpr(v[0], n[0], v[2], n[2], fpr)};
}

static double own_accuracy(const double *forget, int64_t n_forget, const double *test, int64_t n_test, double threshold)
{
    if (isnan(threshold))
        return (double)NAN;
    int64_t tp = 0, tn = 0;
    for (int64_t i = 0; i < n_forget; i++)
        tp += forget[i] >= threshold;
    for (int64_t i = 0; i < n_test; i++)
        tn += test[i] < threshold;
    return 0.5 * ((double)tp / (double)n_forget + (double)tn / (double)n_test);
}

lt_status lt_mia_measure(const lt_signals *s, const lt_mia *mia, const double *score, lt_mia_metrics *out)
{
    const double *v[3];
    int64_t n[3];
    LT_TRY(lt_signals_need_groups(s, "signals"));
    double *memory = by_group(s, score, v, n);
    if (!memory)
        return LTI_NOMEM("attack scores");
    lt_status status = lti_auc_triple(v, n, &out->auc);
    out->tpr_1 = tpr_triple(v, n, 0.01);
    out->tpr_01 = tpr_triple(v, n, 0.001);
    out->ft_acc = own_accuracy(v[1], n[1], v[2], n[2], mia->threshold);
    bool whole = true; // retained samples may have no scores
    for (int64_t i = 0; i < n[0]; i++)
        whole = whole && !isnan(v[0][i]);
    lti_free(memory);
    LT_TRY(status);
    double check = out->tpr_1.ft + out->tpr_01.ft;
    if (whole)
        check += out->tpr_1.fr + out->tpr_01.fr + out->tpr_1.rt + out->tpr_01.rt;
    return isnan(check) ? LTI_NOMEM("TPR") : LT_OK;
}

static int ascending(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Number of values below x, and, with `or_equal`, equal to it.
static int64_t below(const double *sorted, int64_t n, double x, bool or_equal)
{
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (sorted[middle] < x || (or_equal && sorted[middle] == x))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

lt_status lt_mia_risk(const lt_signals *s, const double *score, double *risk)
{
    const double *v[3];
    int64_t n[3];
    LT_TRY(lt_signals_need_groups(s, "signals"));
    double *memory = by_group(s, score, v, n);
    if (!memory)
        return LTI_NOMEM("attack scores");
    double *test = memory + n[0] + n[1]; // v[2], writable
    int64_t n_test = n[LT_GROUP_TEST];
    qsort(test, (size_t)n_test, sizeof *test, ascending);
    for (int64_t i = 0; i < s->n; i++)
        risk[i] = isnan(score[i])
                      ? (double)NAN
                      : 0.5 * (double)(below(test, n_test, score[i], false) + below(test, n_test, score[i], true)) /
                            (double)n_test;
    lti_free(memory);
    return LT_OK;
}
