// representation_audit.c - the representation audit: linear probes, similarity of stages (CKA) and relearning curves of
// the unlearned network, the original and the retrained ones.
//
// All networks see the same samples, folds, and order of relearning. Each is opened, measured and closed in turn; what
// is kept of it are the features of forgotten and test samples, for CKA, and its metrics.
#include "audit/representation/representation_result.h"
#include <math.h>
#include <string.h>

enum { EVAL_BATCH = 128, LEAST = 4 };

typedef struct work {
    const lt_audit_in *in;
    const lt_representation_cfg *cfg;
    lt_index_set forget, test, retain;     // drawn
    int32_t *y_forget, *y_test, *y_retain; // their labels
    int64_t *same_class;                   // places in `test` of samples of forgotten classes
    bool *in_retain;                       // (n_classes) the drawn retain samples hold this class
    lt_features **f_forget, **f_test;      // (n_models)
    lti_representation *r;
} work;

// ---- samples

static int32_t *labels_of(const lt_dataset *ds, lt_split split, const lt_index_set *set)
{
    int32_t *y = lti_calloc((size_t)set->n, sizeof *y);
    for (int64_t i = 0; y && i < set->n; i++)
        y[i] = ds->split[split].y[set->row[i]];
    return y;
}

// Which test samples may stand for non-members: those of the classes the forget set has. Others would be distinguished
// by their class alone.
static lt_status choose_same_class(work *w)
{
    const size_t k = (size_t)w->in->ds->n_classes;
    bool *forgotten = lti_calloc(k, sizeof *forgotten);
    w->same_class = lti_calloc((size_t)w->test.n, sizeof *w->same_class);
    w->in_retain = lti_calloc(k, sizeof *w->in_retain);
    if (!forgotten || !w->same_class || !w->in_retain) {
        lti_free(forgotten);
        return LTI_NOMEM("representation audit");
    }
    for (int64_t i = 0; i < w->forget.n; i++)
        forgotten[w->y_forget[i]] = true;
    for (int64_t i = 0; i < w->retain.n; i++)
        w->in_retain[w->y_retain[i]] = true;
    for (int64_t i = 0; i < w->test.n; i++)
        if (forgotten[w->y_test[i]])
            w->same_class[w->r->n_same_class++] = i;
    lti_free(forgotten);
    return LT_OK;
}

static lt_status draw_samples(work *w)
{
    const lt_audit_in *in = w->in;
    const int64_t max = w->cfg->representation_samples;
    lt_index_set all;
    LT_TRY(lt_representation_draw(in->forget, LT_GROUP_FORGET, max, in->seed, &w->forget));
    LT_TRY(lt_representation_draw(in->retain, LT_GROUP_RETAIN, max, in->seed, &w->retain));
    LT_TRY(lt_index_set_range(in->ds->split[LT_TEST].n, &all));
    const lt_status status = lt_representation_draw(&all, LT_GROUP_TEST, max, in->seed, &w->test);
    lt_index_set_clear(&all);
    LT_TRY(status);
    if (w->forget.n < LEAST || w->test.n < LEAST || w->retain.n < LEAST)
        return LT_FAIL(
            LT_E_FORMAT,
            "representation audit: %lld forgotten, %lld test and %lld retained samples, expected at least %d",
            (long long)w->forget.n, (long long)w->test.n, (long long)w->retain.n, (int)LEAST);
    w->y_forget = labels_of(in->ds, LT_TRAIN, &w->forget);
    w->y_retain = labels_of(in->ds, LT_TRAIN, &w->retain);
    w->y_test = labels_of(in->ds, LT_TEST, &w->test);
    if (!w->y_forget || !w->y_retain || !w->y_test)
        return LTI_NOMEM("representation audit");
    w->r->n_forget = w->forget.n;
    w->r->n_retain = w->retain.n;
    w->r->n_test = w->test.n;
    return choose_same_class(w);
}

// ---- one network

static double *features_as_doubles(const lt_features *f, int stage) // (n,width)
{
    const int64_t n = f->n * f->width[stage];
    double *x = lti_calloc((size_t)n, sizeof *x);
    for (int64_t i = 0; x && i < n; i++)
        x[i] = (double)f->x[stage][i];
    return x;
}

static lt_status probe_membership(const work *w, const double *forget, const double *test, int64_t width, double *auc)
{
    const int64_t n = w->r->n_same_class;
    double *others = lti_calloc((size_t)(n * width) + 1, sizeof *others);
    if (!others)
        return LTI_NOMEM("membership probe");
    for (int64_t i = 0; i < n; i++)
        memcpy(others + i * width, test + w->same_class[i] * width, (size_t)width * sizeof *others);
    const lt_status status = lt_probe_membership(forget, w->forget.n, others, n, width, w->cfg, w->in->seed, auc);
    lti_free(others);
    return status;
}

// Accuracy on the samples of classes that the probe has seen.
static double acc_of_known(const work *w, const lt_probe *probe, const double *x, int64_t n, const int32_t *y)
{
    double hits = 0, known = 0;
    for (int64_t i = 0; i < n; i++)
        if (w->in_retain[y[i]]) {
            hits += lt_probe_acc(probe, x + i * probe->p, 1, y + i);
            known++;
        }
    return known > 0 ? hits / known : (double)NAN;
}

static lt_status probe_stage(const work *w, int model, const lt_features *retain, int stage)
{
    const int64_t width = retain->width[stage];
    const int at = model * w->r->n_stages + stage;
    double *f = features_as_doubles(w->f_forget[model], stage), *t = features_as_doubles(w->f_test[model], stage),
           *r = features_as_doubles(retain, stage);
    lt_probe probe = {0};
    lt_status status = f && t && r ? LT_OK : LTI_NOMEM("probes");
    LT_TRY_GOTO(status, done);
    LT_TRY_GOTO(probe_membership(w, f, t, width, &w->r->auc[at]), done);
    LT_TRY_GOTO(lt_probe_fit(r, retain->n, width, w->y_retain, w->in->ds->n_classes, w->cfg, &probe), done);
    w->r->acc_forget[at] = acc_of_known(w, &probe, f, w->forget.n, w->y_forget);
    w->r->acc_test[at] = acc_of_known(w, &probe, t, w->test.n, w->y_test);
done:
    lt_probe_clear(&probe);
    lti_free(f);
    lti_free(t);
    lti_free(r);
    return status;
}

static lt_status probe_stages(const work *w, int model, const char *name, const lt_features *retain)
{
    for (int i = 0; i < retain->n_stages; i++) {
        if (lt_interrupted(w->in->env->stop))
            return LT_FAIL(LT_E_INTERRUPTED, "probes interrupted at stage %s", retain->name[i]);
        lti_audit_stage(w->in, "probing %s of %s", retain->name[i], name);
        LT_TRY(probe_stage(w, model, retain, i));
    }
    return LT_OK;
}

// The stages of the first network are those of the result; the others must have the same.
static lt_status match_stages(work *w, const char *name, const lt_features *f)
{
    const lt_features *first = w->f_forget[LTI_UNLEARNED];
    if (f == first)
        return lti_representation_stages(w->r, f);
    bool same = first->n_stages == f->n_stages;
    for (int i = 0; same && i < f->n_stages; i++)
        same = !strcmp(first->name[i], f->name[i]);
    if (same)
        return LT_OK;
    return LT_FAIL(LT_E_USAGE, "representation audit: %s has other stages than %s: stages are compared by name", name,
                   w->in->unlearned.name);
}

static lt_status measure_model(work *w, int index, const char *name, const lt_model *model)
{
    const lt_audit_in *in = w->in;
    const lt_view forget = lt_view_rows(in->ds, LT_TRAIN, &w->forget),
                  retain = lt_view_rows(in->ds, LT_TRAIN, &w->retain), test = lt_view_rows(in->ds, LT_TEST, &w->test);
    lt_features *of_retain = NULL;
    lt_status status = LT_OK;
    lti_audit_stage(in, "features of %s", name);
    LT_TRY_GOTO(lt_features_compute(model, &forget, in->env, EVAL_BATCH, &w->f_forget[index]), done);
    LT_TRY_GOTO(match_stages(w, name, w->f_forget[index]), done);
    LT_TRY_GOTO(lt_features_compute(model, &test, in->env, EVAL_BATCH, &w->f_test[index]), done);
    LT_TRY_GOTO(lt_features_compute(model, &retain, in->env, EVAL_BATCH, &of_retain), done);
    LT_TRY_GOTO(probe_stages(w, index, name, of_retain), done);
    lti_audit_stage(in, "relearning of %s", name);
    LT_TRY_GOTO(lt_relearn_run(model, in->ds, in->forget, &test, w->cfg, in->seed, in->env, &w->r->curve[index]), done);
done:
    lt_features_destroy(of_retain);
    return status;
}

static lt_status measure_subject(work *w, int index, const lt_audit_subject *s)
{
    const lt_model *model;
    lt_model *owned;
    LT_TRY(lti_subject_model(s, &model, &owned));
    const lt_status status = measure_model(w, index, s->name, model);
    lt_model_destroy(owned);
    return status;
}

static lt_status measure_all(work *w)
{
    const lt_audit_in *in = w->in;
    LT_TRY(measure_subject(w, LTI_UNLEARNED, &in->unlearned));
    if (in->original)
        LT_TRY(measure_subject(w, LTI_ORIGINAL, in->original));
    for (int i = 0; i < in->n_retrained; i++)
        LT_TRY(measure_subject(w, LTI_RETRAINED + i, &in->retrained[i]));
    return LT_OK;
}

// ---- CKA

static lt_status compare_stage(const work *w, int a, int b, bool test, int stage, double *out)
{
    const lt_features *fa = test ? w->f_test[a] : w->f_forget[a], *fb = test ? w->f_test[b] : w->f_forget[b];
    *out = NAN;
    if (!fa || !fb) // there is no original
        return LT_OK;
    double *x = features_as_doubles(fa, stage), *y = features_as_doubles(fb, stage);
    const lt_status status = x && y
                                 ? lt_cka_linear(x, fa->width[stage], y, fb->width[stage], fa->n, LT_CKA_DEBIASED, out)
                                 : LTI_NOMEM("CKA");
    lti_free(x);
    lti_free(y);
    return status;
}

static lt_status fill_cka(const work *w, bool test, int stage, lti_cka *out)
{
    double sum = 0;
    int n_pairs = 0;
    const int n = w->r->n_retrained;
    LT_TRY(compare_stage(w, LTI_UNLEARNED, LTI_ORIGINAL, test, stage, &out->to_original));
    for (int i = 0; i < n; i++) {
        LT_TRY(compare_stage(w, LTI_UNLEARNED, LTI_RETRAINED + i, test, stage, &out->to_retrained[i]));
        LT_TRY(compare_stage(w, LTI_ORIGINAL, LTI_RETRAINED + i, test, stage, &out->original_to_retrained[i]));
    }
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++, n_pairs++) {
            double v;
            LT_TRY(compare_stage(w, LTI_RETRAINED + a, LTI_RETRAINED + b, test, stage, &v));
            sum += v;
        }
    out->retrained_pair = n_pairs ? sum / n_pairs : (double)NAN;
    return LT_OK;
}

static lt_status compare_stages(work *w)
{
    lti_audit_stage(w->in, "comparing stages");
    for (int i = 0; i < w->r->n_stages; i++) {
        LT_TRY(fill_cka(w, false, i, &w->r->cka[2 * i]));
        LT_TRY(fill_cka(w, true, i, &w->r->cka[2 * i + 1]));
    }
    return LT_OK;
}

// ---- relearning

static double area_of(const lti_representation *r, int model)
{
    return lt_relearn_area(r->curve[model].step, r->curve[model].forget_acc, r->curve[model].n);
}

// The accuracy that retraining, on average, has reached half-way between its first and its best point.
static double relearn_threshold(const lti_representation *r)
{
    double first = 0, best = 0;
    for (int p = 0; p < r->curve[LTI_UNLEARNED].n; p++) {
        double mean = 0;
        for (int i = 0; i < r->n_retrained; i++)
            mean += r->curve[LTI_RETRAINED + i].forget_acc[p] / r->n_retrained;
        first = p == 0 ? mean : first;
        best = p == 0 || mean > best ? mean : best;
    }
    return r->n_retrained > 0 ? 0.5 * (first + best) : (double)NAN;
}

// The area under the curve of forget accuracy, held against that of the retrained networks.
static lt_status compare_areas(work *w)
{
    lti_representation *r = w->r;
    const int n = r->n_retrained;
    double *oracle = lti_calloc((size_t)n + 1, sizeof *oracle), pair = 0;
    lt_equivalence original;
    if (!oracle)
        return LTI_NOMEM("relearning");
    for (int i = 0; i < n; i++)
        oracle[i] = area_of(r, LTI_RETRAINED + i);
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++)
            pair += fabs(oracle[a] - oracle[b]) / (0.5 * n * (n - 1));
    for (int m = 0; m < r->n_models; m++)
        r->area[m] = r->curve[m].n > 0 ? area_of(r, m) : (double)NAN;
    lt_compare(r->area[LTI_UNLEARNED], oracle, n, 1.0 / (double)w->in->forget->n, w->in->verdict, &r->area_test);
    lt_compare(r->area[LTI_ORIGINAL], oracle, n, 1.0 / (double)w->in->forget->n, w->in->verdict, &original);
    r->area_test.verdict = lt_verdict_given_original(r->area_test.verdict, original.verdict);
    r->area_pair = n > 1 ? pair : (double)NAN;
    r->threshold = relearn_threshold(r);
    lti_free(oracle);
    return LT_OK;
}

// ---- the kind

static void clear_work(work *w)
{
    for (int i = 0; w->r && i < w->r->n_models; i++) {
        if (w->f_forget)
            lt_features_destroy(w->f_forget[i]);
        if (w->f_test)
            lt_features_destroy(w->f_test[i]);
    }
    lti_free(w->f_forget);
    lti_free(w->f_test);
    lti_free(w->y_forget);
    lti_free(w->y_test);
    lti_free(w->y_retain);
    lti_free(w->same_class);
    lti_free(w->in_retain);
    lt_index_set_clear(&w->forget);
    lt_index_set_clear(&w->test);
    lt_index_set_clear(&w->retain);
}

static lt_status run_representation(const lt_audit_in *in, const void *cfg, lt_audit_report *report, void **data)
{
    work w = {.in = in, .cfg = cfg};
    lt_status status = LT_OK;
    (void)report;
    LT_TRY(lti_representation_create(in, cfg, &w.r));
    const size_t n = (size_t)w.r->n_models;
    w.f_forget = lti_calloc(n, sizeof(lt_features *));
    w.f_test = lti_calloc(n, sizeof(lt_features *));
    if (!w.f_forget || !w.f_test)
        LT_TRY_GOTO(LTI_NOMEM("representation audit"), done);
    LT_TRY_GOTO(draw_samples(&w), done);
    LT_TRY_GOTO(measure_all(&w), done);
    LT_TRY_GOTO(compare_stages(&w), done);
    LT_TRY_GOTO(compare_areas(&w), done);
done:
    clear_work(&w);
    if (status == LT_OK)
        *data = w.r;
    else
        lti_representation_destroy(w.r);
    return status;
}

// The original is opened before the work starts: a missing one is found out early.
static lt_status check_representation(const lt_audit_in *in, const void *cfg)
{
    const lt_model *model;
    lt_model *owned;
    (void)cfg;
    if (!in->original)
        return LT_OK;
    LT_TRY(lti_subject_model(in->original, &model, &owned));
    lt_model_destroy(owned);
    return LT_OK;
}

const lt_audit_kind lti_audit_representation = {
    .name = "representation",
    .key = "depth",
    .title = "representation audit",
    .cite = "kornblith2019",
    .doc = "Linear probes on every stage, similarity of stages to other models (linear CKA), and relearning of the "
           "forgotten samples.",
    .needs = LT_AUDIT_NEED_MODELS | LT_AUDIT_ON_REQUEST,
    .cfg_size = sizeof(lt_representation_cfg),
    .opts = lt_representation_options,
    .check = check_representation,
    .run = run_representation,
    .write = lti_representation_write,
    .clear = lti_representation_destroy,
};
