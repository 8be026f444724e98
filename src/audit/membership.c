// membership.c - the audit kind that every audit has: accuracies, and membership inference from outputs.
//
// The models are measured already (lt_audited_measure), each once for all audits it takes part in; here their metrics
// enter the report, with intervals over the draw of the samples.
#include "audit/kind_impl.h"
#include <math.h>

static lt_status put_metric(const lt_audit_in *in, lt_audit_report *report, lt_metric_id id, const lt_mia *attack)
{
    double *retrained = lti_calloc((size_t)in->n_retrained + 1, sizeof *retrained);
    if (!retrained)
        return LTI_NOMEM("metrics");
    for (int i = 0; i < in->n_retrained; i++)
        retrained[i] = lt_audited_metric(in->retrained[i].audited, in->attacks, id, attack);
    const double value = lt_audited_metric(in->unlearned.audited, in->attacks, id, attack);
    const lt_status status = lt_audit_put(report, id, attack, value, retrained);
    lti_free(retrained);
    return status;
}

static void set_interval(lt_audit_report *report, lt_metric_id id, const lt_mia *attack, lt_interval v)
{
    for (int i = 0; i < report->n_metrics; i++)
        if (report->metric[i].id == id && report->metric[i].attack == attack)
            report->metric[i].interval = v;
}

static lt_status put_intervals(const lt_audit_in *in, lt_audit_report *report)
{
    const lt_audited *target = in->unlearned.audited;
    const int n = target->n_scores;
    lt_interval acc[3];
    lt_auc_intervals *auc = lti_calloc((size_t)n + 1, sizeof *auc);
    if (!auc)
        return LTI_NOMEM("intervals");
    const lt_status status =
        lt_audit_bootstrap(target->signals, n, (const double *const *)target->score, in->verdict, in->seed, acc, auc);
    if (status == LT_OK) {
        set_interval(report, LT_METRIC_RA, NULL, acc[LT_GROUP_RETAIN]);
        set_interval(report, LT_METRIC_UA, NULL, acc[LT_GROUP_FORGET]);
        set_interval(report, LT_METRIC_TA, NULL, acc[LT_GROUP_TEST]);
    }
    for (int i = 0; i < n && status == LT_OK; i++) {
        set_interval(report, LT_METRIC_ATTACK_FT_AUC, in->attacks->mia[i], auc[i].ft);
        set_interval(report, LT_METRIC_ATTACK_FR_AUC, in->attacks->mia[i], auc[i].fr);
        set_interval(report, LT_METRIC_ATTACK_RT_AUC, in->attacks->mia[i], auc[i].rt);
    }
    lti_free(auc);
    return status;
}

static lt_status run_membership(const lt_audit_in *in, const void *cfg, lt_audit_report *report, void **data)
{
    double other;
    (void)cfg;
    (void)data;
    for (int id = 0; id < LT_N_METRICS; id++)
        if (lt_metric_get((lt_metric_id)id)->source == LT_METRIC_OF_AUDIT)
            LT_TRY(put_metric(in, report, (lt_metric_id)id, NULL));
    for (int a = 0; a < in->unlearned.audited->n_scores; a++)
        for (int id = 0; id < LT_N_METRICS; id++)
            if (lt_metric_get((lt_metric_id)id)->source == LT_METRIC_OF_ATTACK)
                LT_TRY(put_metric(in, report, (lt_metric_id)id, in->attacks->mia[a]));
    const lt_signals *s = in->unlearned.audited->signals;
    LT_TRY(lt_sample_group_acc(s, LT_SAMPLES_TEST_RETAIN, &other, NULL));
    LT_TRY(lt_audit_put(report, LT_METRIC_TA_OTHER_CLASSES, NULL,
                        lt_forgotten_classes(s, NULL) > 0 ? other : (double)NAN, NULL));
    return put_intervals(in, report);
}

static const lt_option opts[] = {LT_OPT_END};
const lt_audit_kind lti_audit_membership = {
    .name = "membership",
    .title = "membership audit",
    .cite = "amun",
    .doc = "Accuracies on forgotten, retained and test samples, and membership inference attacks on the outputs.",
    .opts = opts,
    .run = run_membership,
};
