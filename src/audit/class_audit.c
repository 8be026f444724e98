// class_audit.c - the metrics of a model that forgot whole classes, and of retrained models. [class-audit]
#include "audit/class_impl.h"
#include <math.h>
#include <string.h>

static const lt_opt_value forms[] = {
    {"own", LT_CLASS_MIA_OWN, "discriminators learnt on the model under test"},
    {"transfer", LT_CLASS_MIA_TRANSFER, "learnt on the retrained models, applied to the model under test"},
    {"argmax", LT_CLASS_MIA_ARGMAX, "no discriminator: the largest output among the classes that stay"},
    {NULL, 0, NULL},
};
static const lt_opt_value features[] = {
    {"probabilities", LT_CLASS_MIA_PROBABILITIES, "over the classes that stay"},
    {"logits", LT_CLASS_MIA_LOGITS, "of the classes that stay"},
    {"all-logits", LT_CLASS_MIA_ALL_LOGITS, "of all classes"},
    {NULL, 0, NULL},
};
static const lt_opt_value kernels[] = {
    {"rbf", 0, "C = 3, gamma = 1 / (features x variance)"}, {"linear", 1, "C = 1"}, {NULL, 0, NULL}};
static const lt_opt_value data[] = {
    {"test", LT_GROUP_TEST, "test images: the attacker needs no training data"},
    {"retain", LT_GROUP_RETAIN, "retained training images"},
    {NULL, 0, NULL},
};
const lt_option lt_class_audit_options[] = {
    LT_ENUM(lt_class_audit_cfg, class_mia_form, LT_CLASS_MIA_OWN, forms, "reading of class-mia (a reconstruction)"),
    LT_ENUM(lt_class_audit_cfg, class_mia_features, LT_CLASS_MIA_PROBABILITIES, features,
            "inputs of its discriminators"),
    LT_ENUM(lt_class_audit_cfg, class_mia_kernel, 0, kernels, "kernel of its SVMs"),
    LT_ENUM(lt_class_audit_cfg, class_mia_data, LT_GROUP_TEST, data, "images its discriminators learn from"),
    LT_I64(lt_class_audit_cfg, class_mia_limit, 1000, 2, 100000, "samples",
           "images of a class that its discriminator learns from, at most"),
    LT_I64(lt_class_audit_cfg, class_svc_limit, 4000, 4, 1000000, "samples",
           "training images that the class SVC-MIA learns from, at most"),
    LT_F64(lt_class_audit_cfg, class_phi_floor, 1e-3, 1e-12, 0.5, "",
           "least probability of the forgotten class in the floored score of U-LiRA"),
    LT_OPT_END,
};

// ---- classes

static int64_t count_label(const lt_signals *s, int group, int32_t label)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++)
        n += s->group[i] == group && s->label[i] == label;
    return n;
}

int lt_signals_class_roles(const lt_signals *s, uint8_t *role)
{
    int n = 0;
    for (int32_t c = 0; c < s->k; c++) {
        const bool kept = count_label(s, LT_GROUP_RETAIN, c) > 0;
        const bool forgotten = !kept && count_label(s, LT_GROUP_FORGET, c) > 0;
        n += forgotten;
        if (role)
            role[c] = kept ? LT_CLASS_KEPT : forgotten ? LT_CLASS_FORGOTTEN : LT_CLASS_ABSENT;
    }
    return n;
}

static bool is_in(const lt_signals *s, const lti_class_units *u, int64_t i, int group, lt_class_role wanted)
{
    return s->group[i] == group && u->role[u->unit[i]] == wanted;
}

// Share of right predictions on the samples of a group whose unit has the role.
static double role_acc(const lt_signals *s, int group, const lti_class_units *u, lt_class_role wanted)
{
    int64_t n = 0, right = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (is_in(s, u, i, group, wanted)) {
            n++;
            right += lt_signals_predicted(s, i) == s->label[i];
        }
    return n > 0 ? (double)right / (double)n : (double)NAN;
}

static void class_acc(const lt_signals *s, const lti_class_units *u, lt_class_acc *out)
{
    *out = (lt_class_acc){.acc_f = role_acc(s, LT_GROUP_TEST, u, LT_CLASS_FORGOTTEN),
                          .acc_r = role_acc(s, LT_GROUP_TEST, u, LT_CLASS_KEPT),
                          .acc_f_train = role_acc(s, LT_GROUP_FORGET, u, LT_CLASS_FORGOTTEN),
                          .acc_r_train = role_acc(s, LT_GROUP_RETAIN, u, LT_CLASS_KEPT)};
}

lt_status lt_signals_class_acc(const lt_signals *s, lt_class_acc *out)
{
    lti_class_units u;
    LT_TRY(lti_class_units_make(s, &u));
    class_acc(s, &u, out);
    lti_class_units_clear(&u);
    return LT_OK;
}

// ---- SVC-MIA in the class setting

// The true class's probability of n rows of a group with the role, evenly spread over all of them.
static int64_t spread(const lt_signals *s, int group, const lti_class_units *u, lt_class_role wanted, int64_t limit,
                      double *out)
{
    int64_t n = 0, at = 0, m = 0;
    for (int64_t i = 0; i < s->n; i++)
        n += is_in(s, u, i, group, wanted);
    if (!out || n == 0)
        return n;
    const int64_t take = n < limit ? n : limit;
    for (int64_t i = 0; i < s->n; i++) {
        if (!is_in(s, u, i, group, wanted))
            continue;
        if (at * take / n != (at + 1) * take / n)
            out[m++] = lti_feature(s->logits + i * s->k, s->k, s->label[i], LT_FEAT_CONFIDENCE);
        at++;
    }
    return m;
}

lt_status lti_class_svc_mia(const lti_class_world *w, const lt_signals *s, double *share)
{
    const int64_t n_r = spread(s, LT_GROUP_RETAIN, &w->units, LT_CLASS_KEPT, 0, NULL);
    const int64_t n_f = spread(s, LT_GROUP_FORGET, &w->units, LT_CLASS_FORGOTTEN, 0, NULL);
    const double keep = fmin(1, (double)w->cfg->class_svc_limit / (double)(n_r + n_f));
    const int64_t most_r = (int64_t)ceil(keep * (double)n_r), most_f = (int64_t)ceil(keep * (double)n_f);
    double *x = lti_calloc(3 * (size_t)s->n, sizeof *x);
    *share = (double)NAN;
    if (!x)
        return LTI_NOMEM("SVC-MIA");
    double *member = x, *non_member = x + s->n, *test = x + 2 * s->n;
    const int64_t n_member = spread(s, LT_GROUP_RETAIN, &w->units, LT_CLASS_KEPT, most_r, member);
    const int64_t n_non = spread(s, LT_GROUP_FORGET, &w->units, LT_CLASS_FORGOTTEN, most_f, non_member);
    const int64_t n_test = spread(s, LT_GROUP_TEST, &w->units, LT_CLASS_FORGOTTEN, s->n, test);
    double *decision = lti_calloc((size_t)n_test + 1, sizeof *decision);
    lt_status status = decision ? LT_OK : LTI_NOMEM("SVC-MIA");
    const lti_svc_problem p = {.negative = non_member,
                               .n_negative = n_non,
                               .positive = member,
                               .n_positive = n_member,
                               .d = 1,
                               .cfg = {.c = 3, .gamma = 1}};
    if (status == LT_OK)
        status = lti_svc_decide(&p, test, n_test, decision);
    double out = 0;
    for (int64_t i = 0; i < n_test; i++)
        out += decision && decision[i] > 0;
    if (status == LT_OK)
        *share = out / (double)n_test;
    lti_free(decision);
    lti_free(x);
    return status;
}

// ---- outputs on the forgotten classes

// A class may lack test samples where others have some: what is measured on them is then NAN.
static bool has_test_samples(const lti_class_world *w, int f)
{
    return lti_class_rows(w, LT_GROUP_TEST, w->forgotten[f], NULL) > 0;
}

static void leave_out(const lti_class_world *w, lt_class_result *of)
{
    double *const table[] = {(double *)of->accept, (double *)of->accept_retrained, (double *)of->predicted,
                             (double *)of->output}; // owned by the results
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        for (int k = 0; k < w->k; k++)
            table[i][k] = (double)NAN;
    of->neighbour = -1;
    of->score = of->reference = of->reference_sd = of->gap = of->tv = of->tv_mean = of->two_sample = (double)NAN;
}

static void describe_outputs(const lti_class_world *w, const lt_signals *s, int32_t f, lt_class_result *of, double *p)
{
    double *predicted = (double *)of->predicted, *output = (double *)of->output; // owned by the results
    const int64_t n = lti_class_rows(w, LT_GROUP_TEST, f, NULL);
    for (int64_t i = 0; i < s->n; i++) {
        if (s->group[i] != LT_GROUP_TEST || w->units.unit[i] != f)
            continue;
        lti_probabilities(s->logits + i * s->k, s->k, p);
        predicted[lt_signals_predicted(s, i)] += 1 / (double)n;
        for (int k = 0; k < s->k; k++)
            output[k] += p[k] / (double)n;
    }
}

// Mean over the class's test samples of the total variation between the outputs of two models.
static double mean_tv(const lti_class_world *w, const lt_signals *a, const lt_signals *b, int32_t f, double *p)
{
    double sum = 0, *q = p + w->k;
    int64_t n = 0;
    for (int64_t i = 0; i < a->n; i++) {
        if (a->group[i] != LT_GROUP_TEST || w->units.unit[i] != f)
            continue;
        lti_probabilities(a->logits + i * a->k, a->k, p);
        lti_probabilities(b->logits + i * b->k, b->k, q);
        for (int k = 0; k < a->k; k++)
            sum += 0.5 * fabs(p[k] - q[k]);
        n++;
    }
    return n > 0 ? sum / (double)n : (double)NAN;
}

// ---- one model against the retrained ones

static bool is_reference(int m, int r) // of model m: every retrained model but itself
{
    return r >= 1 && r != m;
}

static void compare_outputs(const lti_class_world *w, int m, int f, lt_class_audits *all, double *p)
{
    lt_class_result *of = &all->audit[m].of[f];
    double *mean = p + 2 * w->k;
    int n = 0;
    memset(mean, 0, (size_t)w->k * sizeof *mean);
    of->tv = of->tv_mean = 0;
    for (int r = 1; r < w->n_models; r++) {
        if (!is_reference(m, r))
            continue;
        of->tv += mean_tv(w, w->model[m], w->model[r], w->forgotten[f], p);
        for (int k = 0; k < w->k; k++)
            mean[k] += all->audit[r].of[f].output[k];
        n++;
    }
    of->tv = n ? of->tv / n : (double)NAN;
    for (int k = 0; k < w->k; k++)
        of->tv_mean += 0.5 * fabs(of->output[k] - mean[k] / n);
    if (n == 0)
        of->tv_mean = (double)NAN;
}

// Acceptance by the neighbour's discriminator: of the model (mean over the retrained models it was learnt on, in the
// transfer form), and mean and spread of the references.
static lt_status measure_mia(const lti_class_world *w, int m, int f, lt_class_audits *all)
{
    lt_class_result *of = &all->audit[m].of[f];
    double *mean = (double *)of->accept_retrained, m2 = 0, transferred = 0; // owned by the results
    int n = 0;
    for (int k = 0; k < w->k; k++)
        mean[k] = of->accept[k] * 0; // NAN where there is no discriminator
    for (int r = 1; r < w->n_models; r++) {
        if (!is_reference(m, r))
            continue;
        n++;
        for (int k = 0; k < w->k; k++)
            mean[k] += all->audit[r].of[f].accept[k];
    }
    of->neighbour = -1;
    for (int k = 0; k < w->k; k++) {
        mean[k] = n ? mean[k] / n : (double)NAN;
        if (n && isfinite(mean[k]) && (of->neighbour < 0 || mean[k] > mean[of->neighbour]))
            of->neighbour = k;
    }
    of->score = of->reference = of->reference_sd = of->gap = (double)NAN;
    if (n == 0 || of->neighbour < 0)
        return LT_OK;
    of->reference = mean[of->neighbour];
    for (int r = 1; r < w->n_models; r++) {
        if (!is_reference(m, r))
            continue;
        const double v = all->audit[r].of[f].accept[of->neighbour];
        double t = 0;
        if (w->cfg->class_mia_form == LT_CLASS_MIA_TRANSFER)
            LT_TRY(lti_class_transfer(w, w->model[r], w->model[m], of->neighbour, w->forgotten[f], &t));
        m2 += (v - of->reference) * (v - of->reference);
        transferred += t / n;
    }
    of->score = w->cfg->class_mia_form == LT_CLASS_MIA_TRANSFER ? transferred : of->accept[of->neighbour];
    of->reference_sd = n > 1 ? sqrt(m2 / (n - 1)) : (double)NAN;
    of->gap = fabs(of->score - of->reference);
    return LT_OK;
}

// [class-audit 4] The accuracies of all models are known.
static void measure_gate(const lti_class_world *w, int m, lt_class_audits *all)
{
    lt_class_audit *a = &all->audit[m];
    double sum = 0;
    int n = 0;
    for (int r = 1; r < w->n_models; r++)
        if (is_reference(m, r)) {
            sum += all->audit[r].acc.acc_f;
            n++;
        }
    a->acc_f_limit = n ? sum / n + LT_CLASS_GATE : (double)NAN;
    a->passes_gate = n == 0 || a->acc.acc_f <= a->acc_f_limit;
}

static lt_status measure_model(const lti_class_world *w, int m, lt_class_audits *all, double *p)
{
    lt_class_audit *a = &all->audit[m];
    const lt_signals *s = w->model[m];
    const int first = m == 1 ? 2 : 1; // a retrained model that is not this one
    double n = 0;                     // forgotten classes with test samples
    for (int f = 0; f < w->n_forgotten; f++)
        n += has_test_samples(w, f);
    measure_gate(w, m, all);
    a->composite = a->acc.acc_r * (1 - a->acc.acc_f);
    LT_TRY(lti_class_svc_mia(w, s, &a->svc_mia));
    for (int f = 0; f < w->n_forgotten; f++) {
        lt_class_result *of = &a->of[f];
        if (!has_test_samples(w, f)) {
            leave_out(w, of);
            continue;
        }
        compare_outputs(w, m, f, all, p);
        LT_TRY(measure_mia(w, m, f, all));
        of->two_sample = (double)NAN;
        if (first < w->n_models)
            LT_TRY(lti_class_two_sample(w, s, w->model[first], w->forgotten[f], &of->two_sample));
        a->score += of->score / n;
        a->reference += of->reference / n;
        a->gap += of->gap / n;
        a->tv += of->tv / n;
        a->tv_mean += of->tv_mean / n;
    }
    return LT_OK;
}

// ---- results

static lt_status check_signals(const lti_class_world *w)
{
    const lt_signals *s = w->model[0];
    if (w->n_forgotten == 0) {
        (void)LT_FAIL(LT_E_FORMAT, "class audit: expected a class that was forgotten as a whole, found none");
        return lt_error_hint("a class is forgotten when it has samples in group 1 and none in group 0");
    }
    bool any = false;
    for (int f = 0; f < w->n_forgotten; f++)
        any |= has_test_samples(w, f);
    const int32_t first = w->forgotten[0];
    if (!any)
        return LT_FAIL(LT_E_FORMAT, "class audit: expected test samples of forgotten %s %lld%s, found none",
                       first < w->k ? "class" : "subclass",
                       first < w->k ? (long long)first : (long long)w->units.subclass[first],
                       w->n_forgotten > 1 ? " or of another forgotten one" : "");
    for (int m = 1; m < w->n_models; m++)
        if (w->model[m]->n != s->n || w->model[m]->k != s->k ||
            memcmp(w->model[m]->id, s->id, (size_t)s->n * sizeof *s->id) != 0 ||
            memcmp(w->model[m]->label, s->label, (size_t)s->n * sizeof *s->label) != 0 ||
            memcmp(w->model[m]->group, s->group, (size_t)s->n * sizeof *s->group) != 0)
            return LT_FAIL(LT_E_FORMAT,
                           "class audit: expected the samples, labels and groups of the audited model in the same "
                           "order, found others in retrained model %d",
                           m);
    return LT_OK;
}

typedef struct block { // everything that a result refers to
    lti_arena arena;
} block;

enum { ARRAYS = 4 }; // of K numbers: what a result of one class points to

static lt_status alloc_results(const lti_class_world *w, lt_class_audits **out)
{
    const size_t n = (size_t)w->n_models, f = (size_t)w->n_forgotten, k = (size_t)w->k;
    lt_class_audits *all = *out = lti_calloc(1, sizeof *all);
    if (!all || !(all->memory = lti_calloc(1, sizeof(block))))
        return LTI_NOMEM("class audit");
    lti_arena *arena = &((block *)all->memory)->arena;
    all->k = w->k;
    all->n_retrained = w->n_models - 1;
    all->audit = lti_arena_alloc(arena, n * sizeof *all->audit);
    double *values = lti_arena_alloc(arena, ARRAYS * n * f * k * sizeof *values);
    lt_class_result *of = lti_arena_alloc(arena, n * f * sizeof *of);
    if (!all->audit || !values || !of)
        return LTI_NOMEM("class audit");
    for (size_t m = 0; m < n; m++) {
        all->audit[m].n_classes = w->n_forgotten;
        all->audit[m].of = of + m * f;
        for (size_t c = 0; c < f; c++, values += ARRAYS * k)
            of[m * f + c] = (lt_class_result){.forgotten = w->units.label[w->forgotten[c]],
                                              .subclass = w->units.subclass[w->forgotten[c]],
                                              .accept = values,
                                              .accept_retrained = values + k,
                                              .predicted = values + 2 * k,
                                              .output = values + 3 * k};
    }
    return LT_OK;
}

// What does not depend on the other models.
static lt_status measure_alone(const lti_class_world *w, int m, lt_class_audits *all, double *p)
{
    const lt_class_result *of = all->audit[m].of;
    double *accept = lti_calloc((size_t)w->n_forgotten * (size_t)w->k, sizeof *accept);
    lt_status status = accept ? lti_class_accept(w, w->model[m], accept) : LTI_NOMEM("class audit");
    for (int f = 0; status == LT_OK && f < w->n_forgotten; f++) {
        memcpy((double *)of[f].accept, accept + f * w->k, (size_t)w->k * sizeof *accept); // owned by the results
        describe_outputs(w, w->model[m], w->forgotten[f], &all->audit[m].of[f], p);
    }
    lti_free(accept);
    class_acc(w->model[m], &w->units, &all->audit[m].acc);
    return status;
}

// Models from..to-1, when those after them are known.
static lt_status measure_models(const lti_class_world *w, int from, int to, lt_class_audits *all)
{
    double *p = lti_calloc(3 * (size_t)w->k, sizeof *p);
    lt_status status = p ? LT_OK : LTI_NOMEM("class audit");
    for (int m = from; status == LT_OK && m < to; m++)
        status = measure_alone(w, m, all, p);
    for (int m = from; status == LT_OK && m < to; m++)
        status = measure_model(w, m, all, p);
    lti_free(p);
    return status;
}

void lt_class_audit_destroy(lt_class_audits *audits)
{
    if (!audits)
        return;
    if (audits->memory)
        lti_arena_clear(&((block *)audits->memory)->arena);
    lti_free(audits->memory);
    lti_free(audits);
}

// ---- retrained models that several audits share

struct lt_class_reference {
    lti_class_world w; // model[0]: whose samples these are
    lt_class_audit_cfg cfg;
    const lt_signals **model;
    int32_t *list;
    lt_class_audits *known; // audit[0] is empty
};

// list: (2 n) room for the forgotten and for the kept units.
static void list_units(lti_class_world *w, int32_t *list)
{
    int32_t *forgotten = list, *kept = list + w->units.n;
    for (int32_t c = 0; c < w->units.n; c++) {
        if (w->units.role[c] == LT_CLASS_FORGOTTEN)
            forgotten[w->n_forgotten++] = c;
        if (w->units.role[c] == LT_CLASS_KEPT)
            kept[w->n_kept++] = c;
    }
    w->forgotten = forgotten;
    w->kept = kept;
}

static lt_status fill_reference(lt_class_reference *r, const lt_signals *samples, const lt_signals *const *retrained)
{
    lti_class_world *w = &r->w;
    LT_TRY(lti_class_units_make(samples, &w->units));
    r->list = lti_calloc(2 * (size_t)w->units.n, sizeof *r->list);
    r->model = lti_calloc((size_t)w->n_models, sizeof *r->model);
    if (!r->list || !r->model)
        return LTI_NOMEM("class audit");
    list_units(w, r->list);
    w->model = r->model;
    r->model[0] = samples;
    for (int i = 1; i < w->n_models; i++)
        r->model[i] = retrained[i - 1];
    LT_TRY(check_signals(w));
    LT_TRY(alloc_results(w, &r->known));
    return measure_models(w, 1, w->n_models, r->known);
}

lt_status lt_class_reference_create(const lt_signals *samples, const lt_signals *const *retrained, int m,
                                    const lt_class_audit_cfg *cfg, uint64_t seed, lt_class_reference **out)
{
    lt_class_reference *r = *out = lti_calloc(1, sizeof *r);
    if (!r)
        return LTI_NOMEM("class audit");
    r->cfg = *cfg;
    r->w = (lti_class_world){.n_models = m + 1, .k = samples->k, .cfg = &r->cfg, .seed = seed};
    const lt_status status = fill_reference(r, samples, retrained);
    if (status == LT_OK)
        return LT_OK;
    lt_class_reference_destroy(r);
    *out = NULL;
    return status;
}

void lt_class_reference_destroy(lt_class_reference *r)
{
    if (!r)
        return;
    lti_class_units_clear(&r->w.units);
    lt_class_audit_destroy(r->known);
    lti_free(r->model);
    lti_free(r->list);
    lti_free(r);
}

// to: as alloc_results left it, of the same size.
static void copy_audit(const lt_class_audit *from, int k, lt_class_audit *to)
{
    lt_class_result *of = to->of;
    *to = *from;
    to->of = of;
    for (int f = 0; f < from->n_classes; f++) {
        double *values = (double *)of[f].accept; // where the arrays begin, owned by the results
        memcpy(values, from->of[f].accept, ARRAYS * (size_t)k * sizeof *values);
        of[f] = from->of[f];
        of[f].accept = values;
        of[f].accept_retrained = values + k;
        of[f].predicted = values + 2 * k;
        of[f].output = values + 3 * k;
    }
}

static lt_status audit_against(const lt_class_reference *r, const lti_class_world *w, lt_class_audits **out)
{
    LT_TRY(check_signals(w));
    LT_TRY(alloc_results(w, out));
    for (int m = 1; m < w->n_models; m++)
        copy_audit(&r->known->audit[m], w->k, &(*out)->audit[m]);
    return measure_models(w, 0, 1, *out);
}

lt_status lt_class_reference_audit(const lt_class_reference *r, const lt_signals *s, lt_class_audits **out)
{
    *out = NULL;
    if (s->k != r->w.k || !lt_signals_same_samples(r->model[0], s))
        return LT_FAIL(LT_E_FORMAT, "class audit: expected the samples that the retrained models were measured on");
    const lt_signals **model = lti_calloc((size_t)r->w.n_models, sizeof *model);
    if (!model)
        return LTI_NOMEM("class audit");
    memcpy(model, r->model, (size_t)r->w.n_models * sizeof *model);
    model[0] = s;
    lti_class_world w = r->w;
    w.model = model;
    const lt_status status = audit_against(r, &w, out);
    lti_free(model);
    if (status == LT_OK)
        return LT_OK;
    lt_class_audit_destroy(*out);
    *out = NULL;
    return status;
}

lt_status lt_class_audit_run(const lt_signals *s, const lt_signals *const *retrained, int m,
                             const lt_class_audit_cfg *cfg, uint64_t seed, lt_class_audits **out)
{
    lt_class_reference *r;
    *out = NULL;
    LT_TRY(lt_class_reference_create(s, retrained, m, cfg, seed, &r));
    const lt_status status = lt_class_reference_audit(r, s, out);
    lt_class_reference_destroy(r);
    return status;
}
