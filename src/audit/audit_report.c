// audit_report.c - one audited model against the oracles: metrics that kinds have put, null bands, verdicts, gaps.
#include "audit/kind_impl.h"
#include <math.h>
#include <string.h>

// Oracles that repeat an earlier one bit for bit say nothing about the spread.
static void find_distinct(const lt_audit_in *in, lt_audit_report *r)
{
    for (int i = 0; i < in->n_retrained; i++) {
        bool repeated = false;
        const lt_audited *own = in->retrained[i].audited;
        for (int j = 0; j < r->n_distinct && own && !repeated; j++) {
            const lt_audited *other = in->retrained[r->distinct[j]].audited;
            repeated = other && lt_signals_same_outputs(own->signals, other->signals);
        }
        if (!repeated)
            r->distinct[r->n_distinct++] = i;
    }
}

lt_status lt_audit_report_create(const lt_audit_in *in, lt_audit_report **report)
{
    const size_t n = (size_t)in->n_retrained + 1, n_attacks = (size_t)(in->attacks ? in->attacks->n : 0) + 1;
    lt_audit_report *r = *report = lti_calloc(1, sizeof *r);
    if (!r)
        return LTI_NOMEM("audit report");
    r->in = in;
    r->summary = (lt_audit_summary){NAN, NAN, NAN};
    r->distinct = lti_calloc(n, sizeof *r->distinct);
    r->oracle_gap_mis = lti_calloc(n, sizeof *r->oracle_gap_mis);
    r->oracle_gap_auc = lti_calloc(n, sizeof *r->oracle_gap_auc);
    r->attack_gap = lti_calloc(n_attacks, sizeof *r->attack_gap);
    if (!r->distinct || !r->oracle_gap_mis || !r->oracle_gap_auc || !r->attack_gap) {
        lt_audit_report_destroy(r);
        *report = NULL;
        return LTI_NOMEM("audit report");
    }
    find_distinct(in, r);
    return LT_OK;
}

void lt_audit_report_destroy(lt_audit_report *r)
{
    if (!r)
        return;
    for (int i = 0; i < r->n_metrics; i++) {
        lti_free(r->metric[i].retrained);
        lti_free(r->metric[i].difference);
    }
    for (int k = 0; k < LT_N_AUDIT_KINDS; k++)
        if (r->data[k])
            lt_audit_kind_get((lt_audit_kind_id)k)->clear(r->data[k]);
    lti_free(r->metric);
    lti_free(r->distinct);
    lti_free(r->attack_gap);
    lti_free(r->oracle_gap_mis);
    lti_free(r->oracle_gap_auc);
    lt_risk_destroy(r->risk);
    lt_lint_clear(&r->lint);
    lti_free(r);
}

// ---- metrics

static lt_status group_sizes(const lt_audit_in *in, int64_t n[LT_N_SAMPLE_GROUPS])
{
    for (int g = 0; g < LT_N_SAMPLE_GROUPS; g++) {
        n[g] = 0;
        if (in->unlearned.audited)
            n[g] = lt_sample_group_rows(in->unlearned.audited->signals, (lt_group_id)g, NULL);
        if (n[g] < 0)
            return LTI_NOMEM("groups of samples");
    }
    return LT_OK;
}

lt_status lt_audit_put(lt_audit_report *r, lt_metric_id id, const lt_mia *attack, double value, const double *retrained)
{
    int64_t n[LT_N_SAMPLE_GROUPS];
    const size_t n_retrained = (size_t)r->in->n_retrained;
    LT_TRY(group_sizes(r->in, n));
    lt_metric_result *longer = lti_realloc(r->metric, (size_t)(r->n_metrics + 1) * sizeof *longer);
    if (!longer)
        return LTI_NOMEM("metrics");
    r->metric = longer;
    lt_metric_result *m = &r->metric[r->n_metrics];
    *m = (lt_metric_result){
        .id = id, .attack = attack, .value = value, .interval = {NAN, NAN}, .resolution = lt_metric_resolution(id, n)};
    m->retrained = lti_calloc(n_retrained + 1, sizeof *m->retrained);
    m->difference = lti_calloc(n_retrained + 1, sizeof *m->difference);
    if (!m->retrained || !m->difference) {
        lti_free(m->retrained);
        lti_free(m->difference);
        return LTI_NOMEM("metrics");
    }
    for (size_t i = 0; i < n_retrained; i++)
        m->retrained[i] = retrained ? retrained[i] : (double)NAN;
    r->n_metrics++;
    return LT_OK;
}

const lt_metric_result *lt_audit_metric(const lt_audit_report *r, lt_metric_id id, const lt_mia *attack)
{
    for (int i = 0; i < r->n_metrics; i++)
        if (r->metric[i].id == id && r->metric[i].attack == attack)
            return &r->metric[i];
    return NULL;
}

// ---- bands and verdicts

// Each oracle against the mean of the others.
static void leave_one_out(const double *oracle, int n, double *difference)
{
    double sum = 0;
    for (int i = 0; i < n; i++)
        sum += oracle[i];
    for (int i = 0; i < n; i++)
        difference[i] = n > 1 ? oracle[i] - (sum - oracle[i]) / (n - 1) : (double)NAN;
}

static void fill_means(lt_audit_report *r)
{
    for (int i = 0; i < r->n_metrics; i++) {
        lt_metric_result *m = &r->metric[i];
        double sum = 0;
        for (int k = 0; k < r->n_distinct; k++)
            sum += m->retrained[r->distinct[k]];
        m->retrained_mean = r->n_distinct > 0 ? sum / r->n_distinct : (double)NAN;
        m->distance = fabs(m->value - m->retrained_mean);
    }
}

static lt_status judge_metrics(lt_audit_report *r)
{
    lt_equivalence *all = lti_calloc((size_t)r->n_metrics + 1, sizeof *all);
    double *oracle = lti_calloc((size_t)r->n_distinct + 1, sizeof *oracle);
    int n = 0;
    for (int i = 0; all && oracle && i < r->n_metrics; i++) {
        lt_metric_result *m = &r->metric[i];
        if (!(lt_metric_get(m->id)->flags & LT_METRIC_JUDGED))
            continue;
        for (int k = 0; k < r->n_distinct; k++)
            oracle[k] = m->retrained[r->distinct[k]];
        lt_compare(m->value, oracle, r->n_distinct, m->resolution, r->in->verdict, &m->test);
        leave_one_out(oracle, r->n_distinct, m->difference);
        if (!isnan(m->value)) // not measured: nothing to judge
            all[n++] = m->test;
    }
    const bool complete = all && oracle;
    if (complete)
        r->overall = lt_compare_all(all, n, r->in->verdict);
    lti_free(all);
    lti_free(oracle);
    return complete ? LT_OK : LTI_NOMEM("verdicts");
}

// ---- average gaps [AMUN 7.6]

// The gap of each distinct oracle to the others: what an average gap means nothing below.
static void fill_oracle_gaps(lt_audit_report *r, lt_audit *of)
{
    for (int i = 0; i < r->n_distinct && r->n_distinct > 1; i++) {
        const lt_audit *own = &r->in->retrained[r->distinct[i]].audited->audit;
        int n = 0;
        for (int j = 0; j < r->n_distinct; j++)
            if (j != i)
                of[n++] = r->in->retrained[r->distinct[j]].audited->audit;
        r->oracle_gap_mis[i] = lt_avg_gap(own, of, n, LT_GAP_MIS);
        r->oracle_gap_auc[i] = lt_avg_gap(own, of, n, LT_GAP_PHI_AUC);
    }
}

// With the FT AUC of an attack in the place of the MIS.
static double attack_gap(const lt_audit_report *r, int a, lt_audit *of)
{
    const lt_audit_in *in = r->in;
    lt_audit own = in->unlearned.audited->audit;
    own.phi.ft = in->unlearned.audited->mia[a].auc.ft;
    for (int i = 0; i < in->n_retrained; i++) {
        if (a >= in->retrained[i].audited->n_scores)
            return (double)NAN;
        of[i] = in->retrained[i].audited->audit;
        of[i].phi.ft = in->retrained[i].audited->mia[a].auc.ft;
    }
    return lt_avg_gap(&own, of, in->n_retrained, LT_GAP_PHI_AUC);
}

static lt_status fill_gaps(lt_audit_report *r)
{
    const lt_audit_in *in = r->in;
    if (!in->unlearned.audited)
        return LT_OK;
    for (int i = 0; i < in->n_retrained; i++)
        if (!in->retrained[i].audited)
            return LT_OK;
    lt_audit *of = lti_calloc((size_t)in->n_retrained + 1, sizeof *of);
    if (!of)
        return LTI_NOMEM("average gaps");
    fill_oracle_gaps(r, of);
    for (int a = 0; a < in->unlearned.audited->n_scores; a++)
        r->attack_gap[a] = attack_gap(r, a, of);
    for (int i = 0; i < in->n_retrained; i++)
        of[i] = in->retrained[i].audited->audit;
    r->summary.gap_mis = lt_avg_gap(&in->unlearned.audited->audit, of, in->n_retrained, LT_GAP_MIS);
    r->summary.gap_auc = lt_avg_gap(&in->unlearned.audited->audit, of, in->n_retrained, LT_GAP_PHI_AUC);
    lti_free(of);
    return LT_OK;
}

lt_status lt_audit_judge(lt_audit_report *r)
{
    fill_means(r);
    LT_TRY(judge_metrics(r));
    return fill_gaps(r);
}

static bool is_judged(const lt_metric_result *m)
{
    return (lt_metric_get(m->id)->flags & LT_METRIC_JUDGED) && !isnan(m->value);
}

// Retained and test samples alone say what a model can still do, not what it has forgotten: for these a model that is
// like retraining is worth the word even where the original is so, too.
void lt_audit_judge_original(lt_audit_report *r, const lt_audit_report *original)
{
    const lt_verdict overall = original->overall;
    bool some_tell = false; // of the metrics of forgotten samples
    const bool is_blind = lt_verdict_given_original(LT_VERDICT_SAME, overall) != LT_VERDICT_SAME;
    r->original = original;
    r->overall = lt_verdict_given_original(r->overall, overall);
    for (int i = 0; i < r->n_metrics; i++) {
        lt_metric_result *m = &r->metric[i];
        const lt_metric_result *of = lt_audit_metric(original, m->id, m->attack);
        if (is_blind)
            m->test.verdict = lt_verdict_given_original(m->test.verdict, overall);
        else if (of && lt_metric_of_forgotten(m->id))
            m->test.verdict = lt_verdict_given_original(m->test.verdict, of->test.verdict);
        some_tell =
            some_tell || (is_judged(m) && lt_metric_of_forgotten(m->id) && m->test.verdict != LT_VERDICT_CANNOT_TELL);
    }
    if (r->overall == LT_VERDICT_SAME && !some_tell)
        r->overall = LT_VERDICT_CANNOT_TELL;
}

// ---- lint

static lt_lint_model lint_model(const lt_audit_subject *s)
{
    return (lt_lint_model){s->name, s->identity, s->audited ? s->audited->signals : NULL};
}

static void fill_attacks(const lt_audit_report *r, lt_lint_attack *out, int *n)
{
    const lt_mia_set *attacks = r->in->attacks;
    for (int a = 0; attacks && a < attacks->n; a++) {
        const lt_metric_result *m = lt_audit_metric(r, LT_METRIC_ATTACK_FT_AUC, attacks->mia[a]);
        if (m)
            out[(*n)++] = (lt_lint_attack){attacks->mia[a]->name, m->value, m->interval};
    }
}

static bool has_same(const lt_audit_report *r)
{
    bool some = r->overall == LT_VERDICT_SAME;
    for (int i = 0; i < r->n_metrics; i++)
        some = some || (lt_metric_of_forgotten(r->metric[i].id) && r->metric[i].test.verdict == LT_VERDICT_SAME);
    return some;
}

lt_status lt_audit_report_lint(lt_audit_report *r, const lt_lint_in *extra)
{
    const lt_audit_in *in = r->in;
    lt_lint_model *retrained = lti_calloc((size_t)in->n_retrained + 1, sizeof *retrained);
    lt_lint_attack *attacks = lti_calloc((size_t)(in->attacks ? in->attacks->n : 0) + 1, sizeof *attacks);
    lt_lint_in all = *extra;
    if (!retrained || !attacks) {
        lti_free(retrained);
        lti_free(attacks);
        return LTI_NOMEM("lint");
    }
    for (int i = 0; i < in->n_retrained; i++)
        retrained[i] = lint_model(&in->retrained[i]);
    all.model = lint_model(&in->unlearned);
    all.audit = in->unlearned.audited ? &in->unlearned.audited->audit : NULL;
    all.retrained = retrained;
    all.n_retrained = in->n_retrained;
    all.lacks_original = in->n_retrained > 0 && !r->original && has_same(r);
    all.refs = in->attacks ? in->attacks->refs : NULL;
    all.attacks = attacks;
    fill_attacks(r, attacks, &all.n_attacks);
    const lt_status status = lt_lint_run(&all, &r->lint);
    lti_free(retrained);
    lti_free(attacks);
    return status;
}
