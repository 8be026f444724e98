// risk.c - which forgotten and retained samples an attacker would call members, and whose risk rose.
//
// The risk of a sample is the share of test samples that score lower: 0.99 means it is called a member at a false
// positive rate of 1 %. Scores of two models have no common scale; their risks have.
#include "lethe/audit_report.h"
#include "audit/audit_impl.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define HIGH_RISK 0.99

static double risk_of(const lt_risk_sample *s)
{
    return s->risk;
}
static double rise_of(const lt_risk_sample *s)
{
    return s->risk - s->before;
}

typedef double (*key_of)(const lt_risk_sample *s);
// The largest first, equal ones in the order of the file.
static int compare_by(const lt_risk_sample *x, const lt_risk_sample *y, key_of key)
{
    double a = key(x), b = key(y);
    if (a != b)
        return (a < b) - (a > b);
    return (x > y) - (x < y);
}
static int compare_risk(const void *a, const void *b)
{
    return compare_by(*(const lt_risk_sample *const *)a, *(const lt_risk_sample *const *)b, risk_of);
}
static int compare_rise(const void *a, const void *b)
{
    return compare_by(*(const lt_risk_sample *const *)a, *(const lt_risk_sample *const *)b, rise_of);
}

static int fill_top(const lt_risk_sample **list, int64_t n, lt_risk_sample *top)
{
    int n_top = 0;
    while (n_top < LT_RISK_TOP && n_top < n) {
        top[n_top] = *list[n_top];
        n_top++;
    }
    return n_top;
}

// list: the n samples of one group, sorted here.
static void summarise_group(const lt_risk_sample **list, int64_t n, bool has_before, lt_risk_group *out)
{
    *out = (lt_risk_group){.n = n};
    qsort(list, (size_t)n, sizeof *list, compare_risk);
    for (int64_t i = 0; i < n; i++) {
        out->n_high += list[i]->risk >= HIGH_RISK;
        out->n_rose += list[i]->risk > list[i]->before;
    }
    out->median = n ? list[n / 2]->risk : (double)NAN;
    out->n_top = fill_top(list, n, out->top);
    if (!has_before)
        return;
    qsort(list, (size_t)n, sizeof *list, compare_rise);
    out->n_top_rose = fill_top(list, out->n_rose, out->top_rose);
}

static lt_status measure_before(const lt_mia_set *attacks, const lt_signals *before, double *risk)
{
    const lt_mia_in in = {before, attacks->refs, attacks->seed, attacks->n_threads, before};
    double *score = lti_calloc((size_t)before->n, sizeof *score);
    lt_status status = score ? lt_mia_run(attacks->mia[0], &in, attacks->cfg[0], score) : LTI_NOMEM("risk");
    if (status == LT_OK)
        status = lt_mia_risk(before, score, risk);
    lti_free(score);
    return status;
}

// Forgotten and retained samples that have a score; returns their number, and where the forgotten ones end.
static int64_t gather_samples(const lt_signals *s, const double *score, const double *risk, const double *before,
                              lt_risk_sample *out, int64_t *n_forget)
{
    static const int8_t order[2] = {LT_GROUP_FORGET, LT_GROUP_RETAIN};
    int64_t n = 0;
    for (int g = 0; g < 2; g++) {
        for (int64_t i = 0; i < s->n; i++)
            if (s->group[i] == order[g] && !isnan(risk[i]))
                out[n++] = (lt_risk_sample){s->id[i], s->label[i], s->group[i], score[i], risk[i], before[i]};
        if (g == 0)
            *n_forget = n;
    }
    return n;
}

typedef struct risk_work {
    double *risk, *before;
    lt_risk_sample *all;
    const lt_risk_sample **list;
} risk_work;

static lt_status fill_risk(const lt_mia_set *attacks, const lt_audited *target, const lt_signals *before, risk_work *w,
                           lt_risk *out)
{
    const lt_signals *s = target->signals;
    int64_t n_forget = 0;
    LT_TRY(lt_mia_risk(s, target->score[0], w->risk));
    for (int64_t i = 0; i < s->n; i++)
        w->before[i] = NAN;
    if (before)
        LT_TRY(measure_before(attacks, before, w->before));
    const int64_t n = gather_samples(s, target->score[0], w->risk, w->before, w->all, &n_forget);
    for (int64_t i = 0; i < n; i++)
        w->list[i] = &w->all[i];
    summarise_group(w->list, n_forget, before != NULL, &out->forget);
    summarise_group(w->list + n_forget, n - n_forget, before != NULL, &out->retain);
    qsort(w->list, (size_t)n, sizeof *w->list, compare_risk);
    for (int64_t i = 0; i < n; i++)
        out->sample[i] = *w->list[i];
    out->n = n;
    return LT_OK;
}

lt_status lt_risk_measure(const lt_mia_set *attacks, const lt_audited *target, const lt_signals *before, lt_risk **risk)
{
    *risk = NULL;
    if (attacks->n == 0)
        return LT_OK;
    const size_t n = (size_t)target->signals->n;
    risk_work w = {lti_calloc(n, sizeof *w.risk), lti_calloc(n, sizeof *w.before), lti_calloc(n, sizeof *w.all),
                   lti_calloc(n, sizeof *w.list)};
    lt_risk *out = lti_calloc(1, sizeof *out);
    if (out)
        out->sample = lti_calloc(n, sizeof *out->sample);
    const bool complete = w.risk && w.before && w.all && w.list && out && out->sample;
    lt_status status = complete ? LT_OK : LTI_NOMEM("risk of the samples");
    if (status == LT_OK) {
        out->attack = attacks->mia[0];
        out->has_before = before != NULL;
        status = fill_risk(attacks, target, before, &w, out);
    }
    lti_free(w.risk);
    lti_free(w.before);
    lti_free(w.all);
    lti_free(w.list);
    if (status == LT_OK)
        *risk = out;
    else
        lt_risk_destroy(out);
    return status;
}

void lt_risk_destroy(lt_risk *risk)
{
    if (risk)
        lti_free(risk->sample);
    lti_free(risk);
}

lt_status lt_risk_save(const lt_risk *risk, const char *csv)
{
    lti_buf b = {0};
    lti_buf_printf(&b, "id,group,label,score,risk%s\n", risk->has_before ? ",risk_before,rise" : "");
    for (int64_t i = 0; i < risk->n; i++) {
        const lt_risk_sample *s = &risk->sample[i];
        lti_buf_printf(&b, "%lld,%s,%lld,%.17g,%.9g", (long long)s->id,
                       s->group == LT_GROUP_FORGET ? "forget" : "retain", (long long)s->label, s->score, s->risk);
        if (risk->has_before)
            lti_buf_printf(&b, ",%.9g,%.9g", s->before, s->risk - s->before);
        lti_buf_add(&b, "\n", 1);
    }
    lt_status status = b.failed ? LTI_NOMEM(csv) : lt_write_file_atomic(csv, b.data, b.n);
    lti_buf_clear(&b);
    return status;
}
