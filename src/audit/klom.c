// klom.c - KLoM: how far the margins of a sample under unlearned models are from those under retrained ones, as
// distributions over models. docs/methods/klom.md
#include "audit/klom.h"
#include "audit/kind_impl.h"
#include <math.h>
#include <stdlib.h>

static double clipped(double v)
{
    return fmax(-100, fmin(100, v));
}

static void histogram(const double *v, int n, double low, double high, double *share)
{
    for (int i = 0; i < LTI_KLOM_BINS; i++)
        share[i] = 0;
    for (int i = 0; i < n; i++) {
        const double at = high > low ? (clipped(v[i]) - low) / (high - low) * LTI_KLOM_BINS : 0;
        const int bin = (int)at;
        share[bin < LTI_KLOM_BINS ? bin : LTI_KLOM_BINS - 1] += 1.0 / n;
    }
    for (int i = 0; i < LTI_KLOM_BINS; i++)
        share[i] = fmax(share[i], 1e-5);
}

double lti_klom(const double *a, int n_a, const double *b, int n_b)
{
    double low = INFINITY, high = -INFINITY, p[LTI_KLOM_BINS], q[LTI_KLOM_BINS], sum = 0;
    for (int i = 0; i < n_a + n_b; i++) {
        const double v = clipped(i < n_a ? a[i] : b[i - n_a]);
        low = fmin(low, v);
        high = fmax(high, v);
    }
    histogram(a, n_a, low, high, p);
    histogram(b, n_b, low, high, q);
    for (int i = 0; i < LTI_KLOM_BINS; i++)
        sum += p[i] * log(p[i] / q[i]);
    return sum;
}

// ---- the audit kind

typedef struct result {
    int n_unlearned, n_retrained; // models; the least over the samples
    int64_t n;                    // forgotten samples
    double mean, median, p95;     // over them
    double null;                  // mean of retrained models against others: what KLoM is without a difference
} result;

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Margins of sample i: u of the audited and of unlearned reference models, r of retrained ones and of reference models
// that never saw it.
static void collect(const lt_audit_in *in, int64_t i, double *u, int *n_u, double *r, int *n_r)
{
    const lt_signals *s = in->unlearned.audited->signals;
    const lt_references *refs = in->attacks ? in->attacks->refs : NULL;
    *n_u = *n_r = 0;
    u[(*n_u)++] = lti_phi(s->logits + i * s->k, s->k, s->label[i], NULL);
    for (int m = 0; m < in->n_retrained; m++) {
        const lt_audited *a = in->retrained[m].audited;
        if (a && lt_signals_same_samples(s, a->signals))
            r[(*n_r)++] = lti_phi(a->signals->logits + i * s->k, s->k, s->label[i], NULL);
    }
    for (int64_t m = 0; refs && m < refs->m; m++) {
        const int member = refs->member[m * refs->n + i];
        const double v = lti_phi(refs->logits + (m * refs->n + i) * refs->k, refs->k, s->label[i], NULL);
        if (member == LT_MEMBER_UNLEARNED)
            u[(*n_u)++] = v;
        else if (member == LT_MEMBER_OUT)
            r[(*n_r)++] = v;
    }
}

static void measure(const lt_audit_in *in, double *u, double *r, double *value, result *out)
{
    const lt_signals *s = in->unlearned.audited->signals;
    double null = 0;
    out->n_unlearned = out->n_retrained = INT32_MAX;
    for (int64_t i = 0; i < s->n; i++) {
        int n_u, n_r;
        if (s->group[i] != LT_GROUP_FORGET)
            continue;
        collect(in, i, u, &n_u, r, &n_r);
        out->n_unlearned = n_u < out->n_unlearned ? n_u : out->n_unlearned;
        out->n_retrained = n_r < out->n_retrained ? n_r : out->n_retrained;
        if (n_r < 2)
            continue;
        const int half = n_u < n_r / 2 ? n_u : n_r / 2; // as many models as are held against all retrained ones
        value[out->n++] = lti_klom(u, n_u, r, n_r);
        null += lti_klom(r, half, r + half, n_r - half);
    }
    if (out->n == 0)
        return;
    qsort(value, (size_t)out->n, sizeof *value, compare);
    for (int64_t i = 0; i < out->n; i++)
        out->mean += value[i] / (double)out->n;
    out->median = value[out->n / 2];
    out->p95 = value[(int64_t)(0.95 * (double)(out->n - 1))];
    out->null = null / (double)out->n;
}

static lt_status run_klom(const lt_audit_in *in, const void *cfg, lt_audit_report *report, void **data)
{
    const lt_signals *s = in->unlearned.audited ? in->unlearned.audited->signals : NULL;
    const lt_references *refs = in->attacks ? in->attacks->refs : NULL;
    (void)cfg, (void)report;
    if (!s || lti_group_rows(s, LT_GROUP_FORGET, NULL) == 0 || (in->n_retrained < 2 && !refs))
        return LT_OK;
    const size_t m = (size_t)in->n_retrained + (refs ? (size_t)refs->m : 0) + 1;
    double *memory = lti_calloc(2 * m + (size_t)s->n, sizeof *memory);
    result *r = lti_calloc(1, sizeof *r);
    if (memory && r)
        measure(in, memory, memory + m, memory + 2 * m, r);
    const lt_status status = memory && r ? LT_OK : LTI_NOMEM("KLoM");
    lti_free(memory);
    if (status == LT_OK && r->n > 0)
        *data = r;
    else
        lti_free(r);
    return status;
}

static void write_result(const void *data, lti_json *w)
{
    const result *r = data;
    lti_json_int(w, "n_unlearned", r->n_unlearned);
    lti_json_int(w, "n_retrained", r->n_retrained);
    lti_json_real(w, "mean", r->mean);
    lti_json_real(w, "median", r->median);
    lti_json_real(w, "p95", r->p95);
    lti_json_real(w, "retrained", r->null);
}

static void clear_result(void *data)
{
    lti_free(data);
}

static const lt_option opts[] = {LT_OPT_END};
const lt_audit_kind lti_audit_klom = {
    .name = "klom",
    .key = "klom",
    .title = "KLoM audit",
    .cite = "klom",
    .doc = "KL divergence between the margins of each forgotten sample under unlearned and under retrained models, in "
           "20 bins. Unlearned models are the audited one and reference models that unlearned the sample; what "
           "retrained models have among themselves is printed next to it.",
    .opts = opts,
    .run = run_klom,
    .write = write_result,
    .clear = clear_result,
};
