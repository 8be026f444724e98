// reaudit.c - one audit of a model before and after a change, and of a retrained one; the shift with its interval.
#include "lethe/reaudit.h"
#include "audit/audit_impl.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DRAWS = 400 };

typedef struct phis { // scores of the forget and the test samples of one model
    double *forget, *test;
    int64_t n_forget, n_test;
} phis;

static lt_status read_phis(const lt_signals *s, phis *p)
{
    p->n_forget = lt_signals_feature(s, LT_FEAT_PHI, LT_GROUP_FORGET, NULL);
    p->n_test = lt_signals_feature(s, LT_FEAT_PHI, LT_GROUP_TEST, NULL);
    p->forget = lti_malloc((size_t)p->n_forget * sizeof *p->forget);
    p->test = lti_malloc((size_t)p->n_test * sizeof *p->test);
    if (!p->forget || !p->test)
        return LTI_NOMEM("scores of a model");
    lt_signals_feature(s, LT_FEAT_PHI, LT_GROUP_FORGET, p->forget);
    lt_signals_feature(s, LT_FEAT_PHI, LT_GROUP_TEST, p->test);
    return LT_OK;
}

static void clear_phis(phis *p)
{
    lti_free(p->forget);
    lti_free(p->test);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Difference of the AUCs of both models on one draw of the samples, with replacement.
static double drawn_shift(const phis *a, const phis *b, uint64_t seed, uint32_t draw, double *room)
{
    lt_rng rng = lt_rng_at(seed, LT_STREAM_AUDIT, 77, draw);
    double *af = room, *bf = af + a->n_forget, *at = bf + a->n_forget, *bt = at + a->n_test;
    for (int64_t i = 0; i < a->n_forget; i++) {
        const uint64_t k = lt_rng_below(&rng, (uint64_t)a->n_forget);
        af[i] = a->forget[k];
        bf[i] = b->forget[k];
    }
    for (int64_t i = 0; i < a->n_test; i++) {
        const uint64_t k = lt_rng_below(&rng, (uint64_t)a->n_test);
        at[i] = a->test[k];
        bt[i] = b->test[k];
    }
    return lt_auc(bf, a->n_forget, bt, a->n_test) - lt_auc(af, a->n_forget, at, a->n_test);
}

static lt_status shift_interval(const phis *a, const phis *b, uint64_t seed, lt_reaudit *out)
{
    double *room = lti_malloc((size_t)(2 * (a->n_forget + a->n_test)) * sizeof *room), shift[DRAWS];
    if (!room)
        return LTI_NOMEM("draws of an audit");
    out->auc_shift =
        lt_auc(b->forget, b->n_forget, b->test, b->n_test) - lt_auc(a->forget, a->n_forget, a->test, a->n_test);
    for (uint32_t i = 0; i < DRAWS; i++)
        shift[i] = drawn_shift(a, b, seed, i, room);
    lti_free(room);
    qsort(shift, DRAWS, sizeof *shift, by_value);
    out->auc_low = shift[DRAWS / 40];
    out->auc_high = shift[DRAWS - 1 - DRAWS / 40];
    out->relapse = out->auc_low > 0;
    return LT_OK;
}

static lt_status audit_model(const lt_reaudit_in *in, const lt_model *m, lt_audit *out, phis *p)
{
    lt_signals *s = NULL;
    LT_TRY(lt_signals_compute(m, in->ds, in->forget, in->retain, in->env, &s));
    lt_status status = lt_signals_need_groups(s, "the audit after a change");
    if (status == LT_OK)
        status = lt_audit_run(s, in->seed, out);
    if (status == LT_OK && p)
        status = read_phis(s, p);
    lt_signals_destroy(s);
    return status;
}

lt_status lt_reaudit_run(const lt_reaudit_in *in, lt_reaudit *out)
{
    phis before = {0}, after = {0};
    lt_status status = LT_OK;
    *out = (lt_reaudit){.has_retrained = in->retrained != NULL, .gap_before = (double)NAN, .gap_after = (double)NAN};
    LT_TRY_GOTO(audit_model(in, in->before, &out->before, &before), done);
    LT_TRY_GOTO(audit_model(in, in->after, &out->after, &after), done);
    LT_TRY_GOTO(shift_interval(&before, &after, in->seed, out), done);
    out->forget_shift = out->after.ua - out->before.ua;
    out->test_shift = out->after.ta - out->before.ta;
    if (in->retrained) {
        LT_TRY_GOTO(audit_model(in, in->retrained, &out->retrained, NULL), done);
        out->gap_before = lt_avg_gap(&out->before, &out->retrained, 1, LT_GAP_PHI_AUC);
        out->gap_after = lt_avg_gap(&out->after, &out->retrained, 1, LT_GAP_PHI_AUC);
    }
done:
    clear_phis(&before);
    clear_phis(&after);
    return status;
}
