// representation_summary.c - the representation audit in one line per stage: means over the retrained models.
#include "audit/representation/representation_result.h"
#include <math.h>

static double mean_of(const double *value, int stride, int n)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += value[i * stride];
    return n > 0 ? sum / n : (double)NAN;
}

static void fill_models(const lti_representation *r, const double *value, int stride, double out[LT_N_MODEL_KINDS])
{
    out[LT_KIND_OF_UNLEARNED] = value[LTI_UNLEARNED * stride];
    out[LT_KIND_OF_ORIGINAL] = value[LTI_ORIGINAL * stride];
    out[LT_KIND_OF_RETRAINED] = mean_of(value + LTI_RETRAINED * stride, stride, r->n_retrained);
}

static lt_representation_row row_of(const lti_representation *r, int stage)
{
    const lti_cka *c = &r->cka[2 * stage];
    lt_representation_row row = {.stage = r->stage[stage],
                                 .cka_original = c->to_original,
                                 .cka_retrained = mean_of(c->to_retrained, 1, r->n_retrained),
                                 .cka_original_retrained = mean_of(c->original_to_retrained, 1, r->n_retrained),
                                 .cka_retrained_pair = c->retrained_pair};
    fill_models(r, r->auc + stage, r->n_stages, row.membership_auc);
    fill_models(r, r->acc_forget + stage, r->n_stages, row.class_acc);
    return row;
}

lt_status lt_audit_representation(const lt_audit_report *report, lt_representation_summary *out)
{
    const lti_representation *r = report->data[LT_AUDIT_representation];
    *out = (lt_representation_summary){0};
    if (!r)
        return LT_OK;
    out->stage = lti_calloc((size_t)r->n_stages + 1, sizeof *out->stage);
    if (!out->stage)
        return LTI_NOMEM("representation audit");
    for (; out->n < r->n_stages; out->n++)
        out->stage[out->n] = row_of(r, out->n);
    fill_models(r, r->area, 1, out->relearn_area);
    out->relearn_pair = r->area_pair;
    out->verdict = r->n_retrained > 0 ? lt_verdict_text(r->area_test.verdict) : "";
    return LT_OK;
}

void lt_representation_summary_clear(lt_representation_summary *s)
{
    lti_free(s->stage);
    *s = (lt_representation_summary){0};
}
