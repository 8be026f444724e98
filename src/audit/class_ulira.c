// class_ulira.c - U-LiRA for forgotten classes: are the outputs on the forgotten training images those of models that
// unlearned the class, or of models that never had it? docs/methods/lira.md
#include "audit/class_ulira.h"
#include "audit/class_impl.h"
#include "audit/kind_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_SPREAD 1e-2 // of saturated outputs: ties stay ties

typedef struct side { // fit over models of one kind, without one of them
    double *mean;     // (n)
    double sd;
} side;

// v (t,n); skip: the model left out, -1 = none.
static void fit(const double *v, int t, int64_t n, int skip, side *s)
{
    const int used = t - (skip >= 0);
    double m2 = 0;
    for (int64_t i = 0; i < n; i++) {
        s->mean[i] = 0;
        for (int m = 0; m < t; m++)
            s->mean[i] += m == skip ? 0 : v[m * n + i] / used;
        for (int m = 0; m < t; m++)
            m2 += m == skip ? 0 : pow(v[m * n + i] - s->mean[i], 2);
    }
    s->sd = used > 1 ? sqrt(m2 / ((double)n * (used - 1))) : LEAST_SPREAD;
    s->sd = s->sd > LEAST_SPREAD ? s->sd : LEAST_SPREAD;
}

static void weigh(const side *u, const side *r, const double *x, int64_t n, double *evidence) // [U-LiRA 2]
{
    for (int64_t i = 0; i < n; i++)
        evidence[i] = lti_normal_log_pdf(x[i], u->mean[i], u->sd) - lti_normal_log_pdf(x[i], r->mean[i], r->sd);
}

static int compare(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static int64_t count_at_least(const double *sorted, int64_t n, double threshold)
{
    int64_t low = 0, high = n;
    while (low < high) {
        const int64_t mid = low + (high - low) / 2;
        if (sorted[mid] < threshold)
            low = mid + 1;
        else
            high = mid;
    }
    return n - low;
}

// Threshold where false positives and false negatives are most nearly alike, and the accuracy at it. Sorts both.
static double find_equal_error(double *pos, double *neg, int64_t n, double *accuracy)
{
    double best = INFINITY, threshold = 0;
    qsort(pos, (size_t)n, sizeof *pos, compare);
    qsort(neg, (size_t)n, sizeof *neg, compare);
    for (int64_t i = 0; i < 2 * n; i++) {
        const double at = i < n ? pos[i] : neg[i - n];
        const double tpr = (double)count_at_least(pos, n, at) / (double)n;
        const double fpr = (double)count_at_least(neg, n, at) / (double)n;
        if (fabs(fpr + tpr - 1) < best) {
            best = fabs(fpr + tpr - 1);
            threshold = at;
            *accuracy = 0.5 * (tpr + 1 - fpr);
        }
    }
    return threshold;
}

lt_status lti_ulira_leave_pair_out(const double *u, const double *r, int t, int64_t n, lti_ulira_class *out)
{
    double *memory = lti_calloc(4 * (size_t)n, sizeof *memory);
    if (!memory)
        return LTI_NOMEM("U-LiRA");
    side a = {.mean = memory}, b = {.mean = memory + n};
    double *pos = memory + 2 * n, *neg = memory + 3 * n;
    *out = (lti_ulira_class){0};
    for (int m = 0; m < t; m++) {
        double accuracy = 0;
        fit(u, t, n, m, &a);
        fit(r, t, n, m, &b);
        weigh(&a, &b, u + m * n, n, pos);
        weigh(&a, &b, r + m * n, n, neg);
        out->auc += lt_auc(pos, n, neg, n) / t;
        out->threshold += find_equal_error(pos, neg, n, &accuracy) / t;
        out->accuracy += accuracy / t;
    }
    for (int64_t i = 0; i < t * n; i++) {
        out->mean_u += u[i] / (double)(t * n);
        out->mean_r += r[i] / (double)(t * n);
    }
    lti_free(memory);
    return LT_OK;
}

lt_status lti_ulira_flagged(const double *u, const double *r, int t, int64_t n, const double *x, double threshold,
                            double *share)
{
    double *memory = lti_calloc(3 * (size_t)n, sizeof *memory);
    if (!memory)
        return LTI_NOMEM("U-LiRA");
    side a = {.mean = memory}, b = {.mean = memory + n};
    double *evidence = memory + 2 * n;
    fit(u, t, n, -1, &a);
    fit(r, t, n, -1, &b);
    weigh(&a, &b, x, n, evidence);
    *share = 0;
    for (int64_t i = 0; i < n; i++)
        *share += evidence[i] >= threshold ? 1.0 / (double)n : 0;
    lti_free(memory);
    return LT_OK;
}

// ---- scores [U-LiRA 3]

enum { SCORE_TRUE, SCORE_FLOORED, SCORE_NEIGHBOUR, SCORE_MAX, N_SCORES };
static const char *const score_names[N_SCORES] = {"true", "floored", "neighbour", "max"};

// z_c against the other classes that stay.
static double phi_over_kept(const float *z, int k, const uint8_t *role, int c)
{
    double top = -INFINITY, sum = 0;
    for (int j = 0; j < k; j++)
        if (role[j] == LT_CLASS_KEPT && j != c)
            top = fmax(top, (double)z[j]);
    for (int j = 0; j < k; j++)
        if (role[j] == LT_CLASS_KEPT && j != c)
            sum += exp((double)z[j] - top);
    return (double)z[c] - top - log(sum);
}

static int largest_kept(const float *z, int k, const uint8_t *role)
{
    int best = -1;
    for (int j = 0; j < k; j++)
        if (role[j] == LT_CLASS_KEPT && (best < 0 || z[j] > z[best]))
            best = j;
    return best;
}

typedef struct world {
    const lt_signals *s;
    const lt_references *refs;
    uint8_t *role;      // (K)
    int32_t *neighbour; // (K) of forgotten classes
    int64_t *row, n;    // (n) forgotten training samples
    int32_t *model[2];  // unlearned, retrained reference models
    int t;              // of each
    double floor;
} world;

static double score_of(const world *w, int which, const float *z, int64_t label)
{
    const double phi = lti_phi(z, w->s->k, label, NULL);
    switch (which) {
    case SCORE_TRUE:
        return phi;
    case SCORE_FLOORED:
        return fmax(phi, log(w->floor / (1 - w->floor)));
    case SCORE_NEIGHBOUR:
        return phi_over_kept(z, w->s->k, w->role, w->neighbour[label]);
    default:
        return phi_over_kept(z, w->s->k, w->role, largest_kept(z, w->s->k, w->role));
    }
}

static void read_scores(const world *w, int which, const float *logits, double *out) // logits (N,K)
{
    for (int64_t i = 0; i < w->n; i++)
        out[i] = score_of(w, which, logits + w->row[i] * w->s->k, w->s->label[w->row[i]]);
}

// Reference models that unlearned all forgotten samples, and those that saw none of them.
static void sort_models(world *w)
{
    int n[2] = {0, 0};
    for (int64_t m = 0; m < w->refs->m; m++) {
        int64_t count[3] = {0, 0, 0};
        for (int64_t i = 0; i < w->n; i++)
            count[w->refs->member[m * w->refs->n + w->row[i]]]++;
        if (count[LT_MEMBER_UNLEARNED] == w->n)
            w->model[0][n[0]++] = (int32_t)m;
        else if (count[LT_MEMBER_OUT] == w->n)
            w->model[1][n[1]++] = (int32_t)m;
    }
    w->t = n[0] < n[1] ? n[0] : n[1];
}

// The class that stays to which the retrained reference models send most samples of each forgotten class.
static lt_status find_neighbours(world *w)
{
    const int k = w->s->k;
    int64_t *count = lti_calloc((size_t)k * (size_t)k, sizeof *count);
    if (!count)
        return LTI_NOMEM("U-LiRA");
    for (int m = 0; m < w->t; m++)
        for (int64_t i = 0; i < w->n; i++) {
            const float *z = w->refs->logits + ((int64_t)w->model[1][m] * w->refs->n + w->row[i]) * k;
            count[w->s->label[w->row[i]] * k + largest_kept(z, k, w->role)]++;
        }
    for (int f = 0; f < k; f++) {
        w->neighbour[f] = -1;
        for (int j = 0; j < k; j++)
            if (w->role[j] == LT_CLASS_KEPT &&
                (w->neighbour[f] < 0 || count[f * k + j] > count[f * k + w->neighbour[f]]))
                w->neighbour[f] = j;
    }
    lti_free(count);
    return LT_OK;
}

// ---- the audit kind

typedef struct result {
    int t, n_retrained;
    lti_ulira_class of[N_SCORES];
    double flagged[N_SCORES], *flagged_retrained[N_SCORES]; // (n_retrained); NAN = other samples
} result;

static void clear_result(void *data)
{
    result *r = data;
    for (int j = 0; r && j < N_SCORES; j++)
        lti_free(r->flagged_retrained[j]);
    lti_free(r);
}

static lt_status measure_score(const lt_audit_in *in, const world *w, int which, double *memory, result *r)
{
    const int64_t n = w->n;
    double *side_values[2] = {memory, memory + w->t * n}, *x = memory + 2 * w->t * n;
    for (int j = 0; j < 2; j++)
        for (int m = 0; m < w->t; m++)
            read_scores(w, which, w->refs->logits + (int64_t)w->model[j][m] * w->refs->n * w->s->k,
                        side_values[j] + m * n);
    LT_TRY(lti_ulira_leave_pair_out(side_values[0], side_values[1], w->t, n, &r->of[which]));
    read_scores(w, which, w->s->logits, x);
    LT_TRY(lti_ulira_flagged(side_values[0], side_values[1], w->t, n, x, r->of[which].threshold, &r->flagged[which]));
    r->flagged_retrained[which] = lti_calloc((size_t)in->n_retrained + 1, sizeof(double));
    if (!r->flagged_retrained[which])
        return LTI_NOMEM("U-LiRA");
    for (int i = 0; i < in->n_retrained; i++) {
        const lt_audited *a = in->retrained[i].audited;
        r->flagged_retrained[which][i] = (double)NAN;
        if (!a || !lt_signals_same_samples(w->s, a->signals))
            continue;
        read_scores(w, which, a->signals->logits, x);
        LT_TRY(lti_ulira_flagged(side_values[0], side_values[1], w->t, n, x, r->of[which].threshold,
                                 &r->flagged_retrained[which][i]));
    }
    return LT_OK;
}

static lt_status measure_world(const lt_audit_in *in, world *w, result *r, bool *enough)
{
    int kept = 0;
    for (int j = 0; j < w->s->k; j++)
        kept += w->role[j] == LT_CLASS_KEPT;
    sort_models(w);
    *enough = w->t >= 3 && kept >= 2;
    if (!*enough)
        return LT_OK;
    LT_TRY(find_neighbours(w));
    double *memory = lti_calloc((2 * (size_t)w->t + 1) * (size_t)w->n, sizeof *memory);
    lt_status status = memory ? LT_OK : LTI_NOMEM("U-LiRA");
    r->t = w->t;
    r->n_retrained = in->n_retrained;
    for (int j = 0; j < N_SCORES && status == LT_OK; j++)
        status = measure_score(in, w, j, memory, r);
    lti_free(memory);
    return status;
}

static lt_status run_class_ulira(const lt_audit_in *in, const void *cfg, lt_audit_report *report, void **data)
{
    const lt_signals *s = in->unlearned.audited ? in->unlearned.audited->signals : NULL;
    const lt_references *refs = in->attacks ? in->attacks->refs : NULL;
    (void)report;
    if (!s || !refs || lt_signals_class_roles(s, NULL) == 0)
        return LT_OK;
    const size_t k = (size_t)s->k, n = (size_t)lti_group_rows(s, LT_GROUP_FORGET, NULL), m = (size_t)refs->m;
    world w = {.s = s, .refs = refs, .n = (int64_t)n, .floor = ((const lt_class_audit_cfg *)cfg)->class_phi_floor};
    bool enough = false;
    result *r = lti_calloc(1, sizeof *r);
    w.role = lti_calloc(k, sizeof *w.role);
    w.neighbour = lti_calloc(k + 2 * m, sizeof *w.neighbour);
    w.row = lti_calloc(n, sizeof *w.row);
    lt_status status = r && w.role && w.neighbour && w.row ? LT_OK : LTI_NOMEM("U-LiRA");
    if (status == LT_OK) {
        w.model[0] = w.neighbour + k;
        w.model[1] = w.model[0] + m;
        lt_signals_class_roles(s, w.role);
        lti_group_rows(s, LT_GROUP_FORGET, w.row);
        status = measure_world(in, &w, r, &enough);
    }
    lti_free(w.role);
    lti_free(w.neighbour);
    lti_free(w.row);
    if (status == LT_OK && enough)
        *data = r;
    else
        clear_result(r);
    return status;
}

static void write_result(const void *data, lti_json *w)
{
    const result *r = data;
    lti_json_int(w, "pairs", r->t);
    for (int j = 0; j < N_SCORES; j++) {
        lti_json_begin(w, score_names[j], '{');
        lti_json_real(w, "accuracy", r->of[j].accuracy);
        lti_json_real(w, "auc", r->of[j].auc);
        lti_json_real(w, "mean_unlearned", r->of[j].mean_u);
        lti_json_real(w, "mean_retrained", r->of[j].mean_r);
        lti_json_real(w, "flagged", r->flagged[j]);
        lti_json_reals(w, "flagged_retrained", r->flagged_retrained[j], r->n_retrained);
        lti_json_end(w, '}');
    }
}

const lt_audit_kind lti_audit_class_ulira = {
    .name = "class_ulira",
    .key = "class_ulira",
    .title = "U-LiRA of classes",
    .cite = "hayes2024",
    .doc =
        "Of models that forgot whole classes, with reference models that unlearned them and others that never had "
        "them: how well phi of the forgotten training images tells the two kinds apart, one pair held out at a time, "
        "and the share of images on which the audited model looks unlearned. Four scores: the true class, the same "
        "floored, the nearest class that stays, the largest output.",
    .cfg_size = sizeof(lt_class_audit_cfg),
    .opts = lt_class_audit_options,
    .run = run_class_ulira,
    .write = write_result,
    .clear = clear_result,
};
