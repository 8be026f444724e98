// class_kind.c - the audit kind of forgotten classes: its metrics enter the report with those of the retrained
// models. docs/methods/class-audit.md
#include "audit/kind_impl.h"
#include "lethe/class_audit.h"
#include <math.h>
#include <string.h>

// Retrained models that several audits have in common, and the original model held against them.
typedef struct known {
    struct known *next;
    const lt_signals **oracle; // (m)
    int m;
    lt_class_audit_cfg cfg;
    uint64_t seed;
    lt_class_reference *reference;
    const lt_signals *before;
    lt_class_audits *before_audits; // NULL until it is asked for
} known;

typedef struct result { // of the kind
    lt_class_audits *audits;
    const char *const *class_name;    // (K) or NULL; the data set's
    const char *const *subclass_name; // (n_subclasses) or NULL; likewise
    int n_subclasses;
    const lt_class_audit *before;   // of the model before unlearning, or NULL
    lt_class_audits *before_audits; // when `before` is this audit's alone
    known *own;                     // where nothing is shared
} result;

static void clear_known(void *of)
{
    known *k = of;
    while (k) {
        known *next = k->next;
        lt_class_reference_destroy(k->reference);
        lt_class_audit_destroy(k->before_audits);
        lti_free(k->oracle);
        lti_free(k);
        k = next;
    }
}

static void clear_result(void *data)
{
    result *r = data;
    if (!r)
        return;
    lt_class_audit_destroy(r->audits);
    lt_class_audit_destroy(r->before_audits);
    clear_known(r->own);
    lti_free(r);
}

// ---- retrained models

static bool same_config(const lt_class_audit_cfg *a, const lt_class_audit_cfg *b)
{
    return a->class_mia_form == b->class_mia_form && a->class_mia_features == b->class_mia_features &&
           a->class_mia_kernel == b->class_mia_kernel && a->class_mia_data == b->class_mia_data &&
           a->class_mia_limit == b->class_mia_limit && a->class_svc_limit == b->class_svc_limit &&
           a->class_phi_floor == b->class_phi_floor;
}

static bool is_of(const known *k, const lt_signals *const *oracle, int m, const lt_class_audit_cfg *cfg, uint64_t seed)
{
    return k->m == m && k->seed == seed && same_config(&k->cfg, cfg) &&
           (m == 0 || !memcmp(k->oracle, oracle, (size_t)m * sizeof *oracle));
}

// Measures the retrained models, unless an audit before this one has. *list grows.
static lt_status find_known(known **list, const lt_signals *s, const lt_signals *const *oracle, int m,
                            const lt_class_audit_cfg *cfg, uint64_t seed, known **out)
{
    for (known *k = *list; k; k = k->next)
        if (is_of(k, oracle, m, cfg, seed)) {
            *out = k;
            return LT_OK;
        }
    known *k = lti_calloc(1, sizeof *k);
    if (!k || !(k->oracle = lti_calloc((size_t)m + 1, sizeof *k->oracle))) {
        clear_known(k);
        return LTI_NOMEM("class audit");
    }
    memcpy(k->oracle, oracle, (size_t)m * sizeof *oracle);
    k->m = m;
    k->cfg = *cfg;
    k->seed = seed;
    const lt_status status = lt_class_reference_create(s, oracle, m, cfg, seed, &k->reference);
    if (status != LT_OK) {
        clear_known(k);
        return status;
    }
    k->next = *list;
    *out = *list = k;
    return LT_OK;
}

// Signals that are this audit's alone go away with it, others stay where they are.
static lt_status audit_before(const lt_audit_in *in, known *k, result *r)
{
    const lt_signals *s = in->unlearned.audited->signals, *before = NULL;
    lt_signals *owned = NULL;
    LT_TRY(lti_subject_signals(in, in->original, &before, &owned));
    lt_status status = LT_OK;
    if (before && before->k == s->k && lt_signals_same_samples(s, before)) {
        const bool again = !owned && k->before == before;
        lt_class_audits *audits = again ? k->before_audits : NULL;
        if (!again)
            status = lt_class_reference_audit(k->reference, before, &audits);
        if (status == LT_OK)
            r->before = &audits->audit[0];
        if (owned || (!again && k->before_audits)) {
            r->before_audits = audits;
        } else {
            k->before = before;
            k->before_audits = audits;
        }
    }
    lt_signals_destroy(owned);
    return status;
}

// ---- metrics of the report

typedef double (*figure)(const lt_class_audit *a);
static double acc_f(const lt_class_audit *a)
{
    return a->acc.acc_f;
}
static double acc_r(const lt_class_audit *a)
{
    return a->acc.acc_r;
}
static double tv(const lt_class_audit *a)
{
    return a->tv;
}
static double score(const lt_class_audit *a)
{
    return a->score;
}
static double svc_mia(const lt_class_audit *a)
{
    return a->svc_mia;
}

// at (n_retrained): which audit of `all` an oracle has; 0 = it holds other samples.
static lt_status put_figure(lt_audit_report *report, lt_metric_id id, const lt_class_audits *all, const int *at,
                            figure f)
{
    const int n = report->in->n_retrained;
    double *retrained = lti_calloc((size_t)n + 1, sizeof *retrained);
    if (!retrained)
        return LTI_NOMEM("metrics");
    for (int i = 0; i < n; i++)
        retrained[i] = at[i] ? f(&all->audit[at[i]]) : (double)NAN;
    const lt_status status = lt_audit_put(report, id, NULL, f(&all->audit[0]), retrained);
    lti_free(retrained);
    return status;
}

static lt_status put_metrics(lt_audit_report *report, const lt_class_audits *all, const int *at)
{
    static const struct {
        lt_metric_id id;
        figure f;
    } row[] = {{LT_METRIC_ACC_F, acc_f},
               {LT_METRIC_ACC_R, acc_r},
               {LT_METRIC_CLASS_MIA, score},
               {LT_METRIC_CLASS_TV, tv},
               {LT_METRIC_CLASS_SVC, svc_mia}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++)
        LT_TRY(put_figure(report, row[i].id, all, at, row[i].f));
    return LT_OK;
}

static bool has_test_samples(const lt_signals *s)
{
    const int64_t n = lt_sample_group_rows(s, LT_SAMPLES_TEST_FORGET, NULL);
    if (n < 0)
        lt_error_clear();
    return n > 0;
}

// The oracles on the samples of the audited model; at[i]: place of oracle i among them, from 1 on, 0 = it is none.
static int list_oracles(const lt_audit_in *in, const lt_signals *s, const lt_signals **oracle, int *at)
{
    int m = 0;
    for (int i = 0; i < in->n_retrained; i++)
        if (in->retrained[i].audited && lt_signals_same_samples(s, in->retrained[i].audited->signals)) {
            oracle[m] = in->retrained[i].audited->signals;
            at[i] = ++m;
        }
    return m;
}

static lt_status measure(const lt_audit_in *in, const lt_class_audit_cfg *cfg, const lt_signals *const *oracle, int m,
                         result *r)
{
    const lt_signals *s = in->unlearned.audited->signals;
    known *k = NULL, *list = in->shared ? in->shared->of[LT_AUDIT_classes] : NULL;
    const lt_status status = find_known(&list, s, oracle, m, cfg, in->seed, &k);
    if (in->shared)
        in->shared->of[LT_AUDIT_classes] = list;
    else
        r->own = list;
    LT_TRY(status);
    LT_TRY(lt_class_reference_audit(k->reference, s, &r->audits));
    return audit_before(in, k, r);
}

static lt_status run_classes(const lt_audit_in *in, const void *cfg, lt_audit_report *report, void **data)
{
    const lt_signals *s = in->unlearned.audited ? in->unlearned.audited->signals : NULL;
    if (!s || !has_test_samples(s))
        return LT_OK;
    lti_audit_stage(in, "auditing the forgotten classes");
    const size_t n = (size_t)in->n_retrained + 1;
    result *r = lti_calloc(1, sizeof *r);
    const lt_signals **oracle = lti_calloc(n, sizeof *oracle);
    int *at = lti_calloc(n, sizeof *at);
    lt_status status = r && oracle && at ? LT_OK : LTI_NOMEM("class audit");
    if (status == LT_OK)
        status = measure(in, cfg, oracle, list_oracles(in, s, oracle, at), r);
    if (status == LT_OK)
        status = put_metrics(report, r->audits, at);
    if (status == LT_OK) {
        r->class_name = in->ds ? in->ds->class_names : NULL;
        r->subclass_name = in->ds && in->ds->other_is_finer ? in->ds->other_names : NULL;
        r->n_subclasses = r->subclass_name ? in->ds->n_other : 0;
        *data = r;
    } else {
        clear_result(r);
    }
    lti_free(oracle);
    lti_free(at);
    return status;
}

// ---- result

static void write_class(const result *r, const lt_class_result *of, lti_json *w)
{
    const int k = r->audits->k;
    lti_json_begin(w, NULL, '{');
    lti_json_int(w, "class", of->forgotten);
    lti_json_text(w, "name", r->class_name ? r->class_name[of->forgotten] : NULL);
    if (of->subclass >= 0) {
        lti_json_int(w, "subclass", of->subclass);
        lti_json_text(w, "subclass_name", of->subclass < r->n_subclasses ? r->subclass_name[of->subclass] : NULL);
    }
    lti_json_int(w, "neighbour", of->neighbour);
    lti_json_real(w, "score", of->score);
    lti_json_real(w, "reference", of->reference);
    lti_json_real(w, "reference_sd", of->reference_sd);
    lti_json_real(w, "gap", of->gap);
    lti_json_real(w, "tv", of->tv);
    lti_json_real(w, "tv_mean", of->tv_mean);
    lti_json_real(w, "two_sample", of->two_sample);
    lti_json_reals(w, "accept", of->accept, k);
    lti_json_reals(w, "accept_retrained", of->accept_retrained, k);
    lti_json_reals(w, "predicted", of->predicted, k);
    lti_json_reals(w, "output", of->output, k);
    lti_json_end(w, '}');
}

static void write_classes_of(const result *r, const lt_class_audit *a, lti_json *w)
{
    lti_json_begin(w, "classes", '[');
    for (int c = 0; c < a->n_classes; c++)
        write_class(r, &a->of[c], w);
    lti_json_end(w, ']');
}

static void write_mia(const lt_class_audit *a, lti_json *w)
{
    lti_json_begin(w, "mia_nn", '{');
    lti_json_real(w, "score", a->score);
    lti_json_real(w, "reference", a->reference);
    lti_json_real(w, "gap", a->gap);
    lti_json_int(w, "neighbour", a->of[0].neighbour);
    lti_json_end(w, '}');
}

static void write_audit(const lt_class_audit *a, lti_json *w)
{
    lti_json_real(w, "acc_f", a->acc.acc_f);
    lti_json_real(w, "acc_r", a->acc.acc_r);
    lti_json_real(w, "acc_f_train", a->acc.acc_f_train);
    lti_json_real(w, "acc_r_train", a->acc.acc_r_train);
    lti_json_real(w, "composite", a->composite);
    lti_json_real(w, "svc_mia", a->svc_mia);
    lti_json_real(w, "tv", a->tv);
    lti_json_real(w, "tv_mean", a->tv_mean);
    write_mia(a, w);
}

// Mean over the retrained models, each against the others.
static void write_retrained(const lt_class_audits *all, lti_json *w)
{
    lt_class_result of = all->audit[0].of[0];
    lt_class_audit mean = {.n_classes = 1, .of = &of};
    const double n = all->n_retrained;
    for (int i = 1; i <= all->n_retrained; i++) {
        const lt_class_audit *a = &all->audit[i];
        mean.acc.acc_f += a->acc.acc_f / n, mean.acc.acc_r += a->acc.acc_r / n;
        mean.acc.acc_f_train += a->acc.acc_f_train / n, mean.acc.acc_r_train += a->acc.acc_r_train / n;
        mean.composite += a->composite / n, mean.svc_mia += a->svc_mia / n;
        mean.tv += a->tv / n, mean.tv_mean += a->tv_mean / n;
        mean.score += a->score / n, mean.reference += a->reference / n, mean.gap += a->gap / n;
    }
    if (all->n_retrained == 0)
        return;
    lti_json_begin(w, "retrained", '{');
    write_audit(&mean, w);
    lti_json_end(w, '}');
    lti_json_begin(w, "gap", '{');
    lti_json_real(w, "acc_f", fabs(all->audit[0].acc.acc_f - mean.acc.acc_f));
    lti_json_real(w, "acc_r", fabs(all->audit[0].acc.acc_r - mean.acc.acc_r));
    lti_json_real(w, "tv", fabs(all->audit[0].tv - mean.tv));
    lti_json_real(w, "svc_mia", fabs(all->audit[0].svc_mia - mean.svc_mia));
    lti_json_real(w, "mia_nn", all->audit[0].gap);
    lti_json_end(w, '}');
}

static void write_gate(const lt_class_audit *a, lti_json *w)
{
    lti_json_real(w, "acc_f_limit", a->acc_f_limit);
    lti_json_bool(w, "passes_gate", a->passes_gate);
}

static void write_result(const void *data, lti_json *w)
{
    const result *r = data;
    write_audit(&r->audits->audit[0], w);
    write_gate(&r->audits->audit[0], w);
    write_retrained(r->audits, w);
    write_classes_of(r, &r->audits->audit[0], w);
    lti_json_begin(w, "oracles", '[');
    for (int i = 1; i <= r->audits->n_retrained; i++) {
        lti_json_begin(w, NULL, '{');
        write_audit(&r->audits->audit[i], w);
        write_gate(&r->audits->audit[i], w);
        write_classes_of(r, &r->audits->audit[i], w);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
    if (!r->before)
        return;
    lti_json_begin(w, "original", '{');
    write_audit(r->before, w);
    write_gate(r->before, w);
    write_classes_of(r, r->before, w);
    lti_json_end(w, '}');
}

const lt_audit_kind lti_audit_classes = {
    .name = "classes",
    .key = "class_audit",
    .title = "class audit",
    .cite = "trw",
    .doc = "Of models that forgot whole classes, or whole subclasses of classes that stay: accuracy on them and on the "
           "others, where their images go, total "
           "variation to retrained outputs, class-MIA and the SVC-MIA of the class setting, each next to the retrained "
           "models.",
    .cfg_size = sizeof(lt_class_audit_cfg),
    .opts = lt_class_audit_options,
    .run = run_classes,
    .write = write_result,
    .clear = clear_result,
    .clear_shared = clear_known,
};
