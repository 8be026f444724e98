// audit_depth.c - `lethe audit --depth`: probes, likeness of stages and relearning curves of the audited network, the
// one before unlearning, and the retrained ones.
//
// All networks see the same samples, folds, and order of relearning. Each is opened, looked at and closed in turn; what
// is kept of it are the features of forgotten and test samples, for CKA, and its figures.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { UNLEARNED, ORIGINAL, ORACLES }; // places of the subjects; oracles from ORACLES on

typedef struct subject {
    bool there;
    const char *name;
    lt_features *forget, *test;
    lt_relearn curve;
    double *auc, *acc_forget, *acc_test; // (n_stages)
} subject;

typedef struct look {
    cli_call *call;
    const cli_depth *in;
    lt_env env;
    lt_index_set forget, test, retain;     // drawn
    int32_t *y_forget, *y_test, *y_retain; // their labels
    int64_t *peer;                         // places in `test` of samples of forgotten classes
    int64_t n_peers;
    bool *in_retain; // (n_classes) the drawn retain samples hold this class
    int n;           // subjects
    subject *of;
} look;

// ---- samples

static int32_t *labels_of(const lt_dataset *ds, lt_split split, const lt_index_set *set)
{
    int32_t *y = cli_alloc((size_t)set->n, sizeof *y);
    for (int64_t i = 0; i < set->n; i++)
        y[i] = ds->split[split].y[set->row[i]];
    return y;
}

// Which test samples may stand for non-members: those of the classes the forget set has. Others would be told apart by
// their class alone.
static void choose_peers(look *l)
{
    bool *forgotten = cli_alloc((size_t)l->in->ds->n_classes, sizeof *forgotten);
    l->peer = cli_alloc((size_t)l->test.n, sizeof *l->peer);
    l->in_retain = cli_alloc((size_t)l->in->ds->n_classes, sizeof *l->in_retain);
    for (int64_t i = 0; i < l->forget.n; i++)
        forgotten[l->y_forget[i]] = true;
    for (int64_t i = 0; i < l->retain.n; i++)
        l->in_retain[l->y_retain[i]] = true;
    for (int64_t i = 0; i < l->test.n; i++)
        if (forgotten[l->y_test[i]])
            l->peer[l->n_peers++] = i;
    free(forgotten);
}

static lt_status draw_samples(look *l)
{
    const cli_depth *in = l->in;
    const int64_t max = in->cfg->representation_samples;
    lt_index_set all;
    LT_TRY(lt_representation_draw(&in->sets->forget, LT_GROUP_FORGET, max, in->seed, &l->forget));
    LT_TRY(lt_representation_draw(&in->sets->retain, LT_GROUP_RETAIN, max, in->seed, &l->retain));
    LT_TRY(lt_index_set_range(in->ds->split[LT_TEST].n, &all));
    const lt_status status = lt_representation_draw(&all, LT_GROUP_TEST, max, in->seed, &l->test);
    lt_index_set_clear(&all);
    LT_TRY(status);
    if (l->forget.n < 4 || l->test.n < 4 || l->retain.n < 4)
        return LT_FAIL(LT_E_FORMAT, "--depth: %lld forgotten, %lld test and %lld retained samples, expected at least 4",
                       (long long)l->forget.n, (long long)l->test.n, (long long)l->retain.n);
    l->y_forget = labels_of(in->ds, LT_TRAIN, &l->forget);
    l->y_retain = labels_of(in->ds, LT_TRAIN, &l->retain);
    l->y_test = labels_of(in->ds, LT_TEST, &l->test);
    choose_peers(l);
    return LT_OK;
}

// ---- one network

static double *doubles(const lt_features *f, int stage) // (n,width)
{
    const int64_t n = f->n * f->width[stage];
    double *x = cli_alloc((size_t)n, sizeof *x);
    for (int64_t i = 0; i < n; i++)
        x[i] = (double)f->x[stage][i];
    return x;
}

static lt_status probe_membership(const look *l, const double *forget, const double *test, int64_t width, double *auc)
{
    double *peers = cli_alloc((size_t)(l->n_peers * width), sizeof *peers);
    for (int64_t i = 0; i < l->n_peers; i++)
        memcpy(peers + i * width, test + l->peer[i] * width, (size_t)width * sizeof *peers);
    const lt_status status =
        lt_probe_membership(forget, l->forget.n, peers, l->n_peers, width, l->in->cfg, l->in->seed, auc);
    free(peers);
    return status;
}

// Accuracy on the samples of classes that the probe has seen.
static double acc_of_known(const look *l, const lt_probe *probe, const double *x, int64_t n, const int32_t *y)
{
    double hits = 0, known = 0;
    for (int64_t i = 0; i < n; i++)
        if (l->in_retain[y[i]]) {
            hits += lt_probe_acc(probe, x + i * probe->p, 1, y + i);
            known++;
        }
    return known > 0 ? hits / known : (double)NAN;
}

static lt_status probe_stage(const look *l, subject *s, const lt_features *retain, int stage)
{
    const int64_t width = retain->width[stage];
    double *f = doubles(s->forget, stage), *t = doubles(s->test, stage), *r = doubles(retain, stage);
    lt_probe probe = {0};
    lt_status status = LT_OK;
    LT_TRY_GOTO(probe_membership(l, f, t, width, &s->auc[stage]), done);
    LT_TRY_GOTO(lt_probe_fit(r, retain->n, width, l->y_retain, l->in->ds->n_classes, l->in->cfg, &probe), done);
    s->acc_forget[stage] = acc_of_known(l, &probe, f, l->forget.n, l->y_forget);
    s->acc_test[stage] = acc_of_known(l, &probe, t, l->test.n, l->y_test);
done:
    lt_probe_clear(&probe);
    free(f);
    free(t);
    free(r);
    return status;
}

static lt_status probe_all(look *l, subject *s, const lt_features *retain)
{
    const int n = retain->n_stages;
    s->auc = cli_alloc((size_t)n, sizeof *s->auc);
    s->acc_forget = cli_alloc((size_t)n, sizeof *s->acc_forget);
    s->acc_test = cli_alloc((size_t)n, sizeof *s->acc_test);
    for (int i = 0; i < n; i++) {
        if (lt_interrupted(l->env.stop))
            return LT_FAIL(LT_E_INTERRUPTED, "probes interrupted at stage %s", retain->name[i]);
        cli_progress_stage(l->call->session->progress, "probing %s of %s", retain->name[i], s->name);
        LT_TRY(probe_stage(l, s, retain, i));
    }
    return LT_OK;
}

static lt_status same_stages(const look *l, const subject *s)
{
    const lt_features *a = l->of[UNLEARNED].forget, *b = s->forget;
    bool same = a->n_stages == b->n_stages;
    for (int i = 0; same && i < a->n_stages; i++)
        same = !strcmp(a->name[i], b->name[i]);
    return same ? LT_OK
                : LT_FAIL(LT_E_USAGE, "--depth: %s has other stages than %s: stages are compared by name", s->name,
                          l->of[UNLEARNED].name);
}

static lt_status look_at(look *l, subject *s, const lt_model *model)
{
    const lt_dataset *ds = l->in->ds;
    const lt_view forget = lt_view_rows(ds, LT_TRAIN, &l->forget), retain = lt_view_rows(ds, LT_TRAIN, &l->retain),
                  test = lt_view_rows(ds, LT_TEST, &l->test);
    lt_features *of_retain = NULL;
    lt_status status = LT_OK;
    s->there = true;
    cli_progress_stage(l->call->session->progress, "features of %s", s->name);
    LT_TRY_GOTO(lt_features_compute(model, &forget, &l->env, CLI_EVAL_BATCH, &s->forget), done);
    LT_TRY_GOTO(same_stages(l, s), done);
    LT_TRY_GOTO(lt_features_compute(model, &test, &l->env, CLI_EVAL_BATCH, &s->test), done);
    LT_TRY_GOTO(lt_features_compute(model, &retain, &l->env, CLI_EVAL_BATCH, &of_retain), done);
    LT_TRY_GOTO(probe_all(l, s, of_retain), done);
    cli_progress_stage(l->call->session->progress, "%s learns again", s->name);
    LT_TRY_GOTO(lt_relearn_run(model, ds, &l->in->sets->forget, &test, l->in->cfg, l->in->seed, &l->env, &s->curve),
                done);
done:
    lt_features_destroy(of_retain);
    return status;
}

static lt_status look_at_run(look *l, subject *s)
{
    cli_source src;
    lt_status status = cli_source_open(s->name, NULL, &src);
    if (status == LT_OK)
        status = look_at(l, s, src.model);
    cli_source_close(&src);
    return status;
}

static const char *original_name(const cli_depth *in)
{
    return in->original && *in->original ? in->original : cli_text(in->source->result, "parent");
}

static lt_status look_at_all(look *l)
{
    const cli_depth *in = l->in;
    l->n = ORACLES + in->oracles->n;
    l->of = cli_alloc((size_t)l->n, sizeof *l->of);
    l->of[UNLEARNED].name = in->source->name;
    LT_TRY(look_at(l, &l->of[UNLEARNED], in->source->model));
    l->of[ORIGINAL].name = original_name(in);
    if (*l->of[ORIGINAL].name)
        LT_TRY(look_at_run(l, &l->of[ORIGINAL]));
    for (int i = 0; i < in->oracles->n; i++) {
        l->of[ORACLES + i].name = in->oracles->item[i];
        LT_TRY(look_at_run(l, &l->of[ORACLES + i]));
    }
    return LT_OK;
}

static void look_clear(look *l)
{
    for (int i = 0; l->of && i < l->n; i++) {
        subject *s = &l->of[i];
        lt_features_destroy(s->forget);
        lt_features_destroy(s->test);
        lt_relearn_clear(&s->curve);
        free(s->auc);
        free(s->acc_forget);
        free(s->acc_test);
    }
    free(l->of);
    free(l->y_forget);
    free(l->y_test);
    free(l->y_retain);
    free(l->peer);
    free(l->in_retain);
    lt_index_set_clear(&l->forget);
    lt_index_set_clear(&l->test);
    lt_index_set_clear(&l->retain);
}

// ---- JSON

static json_t *real(double v)
{
    return isfinite(v) ? json_real(v) : json_null();
}

static json_t *reals(const double *v, int n)
{
    json_t *list = json_array();
    for (int i = 0; i < n; i++)
        json_array_append_new(list, real(v[i]));
    return list;
}

// {"original", "unlearned", "retrained": [...]} of what `value` makes of each subject; null for one that is not there.
static json_t *by_subject(const look *l, json_t *(*value)(const subject *s, int stage), int stage)
{
    json_t *j = json_object(), *list = json_array();
    cli_put(j, "original", l->of[ORIGINAL].there ? value(&l->of[ORIGINAL], stage) : json_null());
    cli_put(j, "unlearned", value(&l->of[UNLEARNED], stage));
    for (int i = ORACLES; i < l->n; i++)
        json_array_append_new(list, value(&l->of[i], stage));
    cli_put(j, "retrained", list);
    return j;
}

static json_t *auc_of(const subject *s, int stage)
{
    return real(s->auc[stage]);
}

static json_t *acc_forget_of(const subject *s, int stage)
{
    return real(s->acc_forget[stage]);
}

static json_t *acc_test_of(const subject *s, int stage)
{
    return real(s->acc_test[stage]);
}

static json_t *probe_json(const look *l)
{
    const lt_features *f = l->of[UNLEARNED].forget;
    json_t *list = json_array();
    for (int i = 0; i < f->n_stages; i++) {
        json_t *j = json_object();
        cli_put_text(j, "stage", f->name[i]);
        cli_put(j, "width", json_integer(f->width[i]));
        cli_put(j, "membership_auc", by_subject(l, auc_of, i));
        cli_put(j, "class_acc", by_subject(l, acc_forget_of, i));
        cli_put(j, "class_acc_test", by_subject(l, acc_test_of, i));
        json_array_append_new(list, j);
    }
    return list;
}

static lt_status cka(const subject *a, const subject *b, bool test, int stage, double *out)
{
    const lt_features *fa = test ? a->test : a->forget, *fb = test ? b->test : b->forget;
    double *x = doubles(fa, stage), *y = doubles(fb, stage);
    const lt_status status = lt_cka_linear(x, fa->width[stage], y, fb->width[stage], fa->n, LT_CKA_DEBIASED, out);
    free(x);
    free(y);
    return status;
}

static lt_status put_to_retrained(const look *l, int from, bool test, int stage, const char *key, json_t *j)
{
    json_t *list = json_array();
    cli_put(j, key, list);
    for (int i = ORACLES; i < l->n; i++) {
        double v = (double)NAN;
        if (l->of[from].there)
            LT_TRY(cka(&l->of[from], &l->of[i], test, stage, &v));
        json_array_append_new(list, real(v));
    }
    return LT_OK;
}

// Adds the keys of one stage on one kind of samples.
static lt_status put_cka(const look *l, bool test, int stage, json_t *j)
{
    double to_original = (double)NAN, sum = 0;
    int n_pairs = 0;
    if (l->of[ORIGINAL].there)
        LT_TRY(cka(&l->of[UNLEARNED], &l->of[ORIGINAL], test, stage, &to_original));
    cli_put_real(j, "to_original", to_original);
    LT_TRY(put_to_retrained(l, UNLEARNED, test, stage, "to_retrained", j));
    LT_TRY(put_to_retrained(l, ORIGINAL, test, stage, "original_to_retrained", j));
    for (int a = ORACLES; a < l->n; a++)
        for (int b = a + 1; b < l->n; b++, n_pairs++) {
            double v;
            LT_TRY(cka(&l->of[a], &l->of[b], test, stage, &v));
            sum += v;
        }
    cli_put_real(j, "retrained_pair", n_pairs ? sum / n_pairs : (double)NAN);
    return LT_OK;
}

static lt_status put_all_cka(const look *l, json_t *list)
{
    const lt_features *f = l->of[UNLEARNED].forget;
    cli_progress_stage(l->call->session->progress, "comparing stages");
    for (int i = 0; i < f->n_stages; i++) {
        json_t *j = json_object(), *test = json_object();
        json_array_append_new(list, j);
        cli_put_text(j, "stage", f->name[i]);
        cli_put(j, "test", test);
        LT_TRY(put_cka(l, false, i, j));
        LT_TRY(put_cka(l, true, i, test));
    }
    return LT_OK;
}

static json_t *forget_acc_of(const subject *s, int stage)
{
    (void)stage;
    return reals(s->curve.forget_acc, s->curve.n);
}

static json_t *forget_loss_of(const subject *s, int stage)
{
    (void)stage;
    return reals(s->curve.forget_loss, s->curve.n);
}

static json_t *test_acc_curve_of(const subject *s, int stage)
{
    (void)stage;
    return reals(s->curve.test_acc, s->curve.n);
}

static json_t *test_loss_of(const subject *s, int stage)
{
    (void)stage;
    return reals(s->curve.test_loss, s->curve.n);
}

static double area(const subject *s)
{
    return lt_relearn_area(s->curve.step, s->curve.forget_acc, s->curve.n);
}

static json_t *area_of(const subject *s, int stage)
{
    (void)stage;
    return real(area(s));
}

// The accuracy that retraining, on average, has reached half-way between its first and its best point.
static double threshold(const look *l)
{
    double first = 0, best = 0;
    const int n = l->n - ORACLES, n_points = l->of[UNLEARNED].curve.n;
    for (int p = 0; p < n_points; p++) {
        double mean = 0;
        for (int i = ORACLES; i < l->n; i++)
            mean += l->of[i].curve.forget_acc[p] / n;
        first = p == 0 ? mean : first;
        best = p == 0 || mean > best ? mean : best;
    }
    return n > 0 ? 0.5 * (first + best) : (double)NAN;
}

static json_t *reached(const subject *s, double at)
{
    return real(isfinite(at) ? lt_relearn_reach(s->curve.step, s->curve.forget_acc, s->curve.n, at) : (double)NAN);
}

static json_t *reach_json(const look *l, double at)
{
    json_t *j = json_object(), *list = json_array();
    cli_put(j, "original", l->of[ORIGINAL].there ? reached(&l->of[ORIGINAL], at) : json_null());
    cli_put(j, "unlearned", reached(&l->of[UNLEARNED], at));
    for (int i = ORACLES; i < l->n; i++)
        json_array_append_new(list, reached(&l->of[i], at));
    cli_put(j, "retrained", list);
    return j;
}

// The area under the curve of forget accuracy, held against that of the retrained networks.
static void put_statistic(const look *l, json_t *j)
{
    const int n = l->n - ORACLES;
    double *oracle = cli_alloc((size_t)n, sizeof *oracle), pair = 0;
    for (int i = 0; i < n; i++)
        oracle[i] = area(&l->of[ORACLES + i]);
    for (int a = 0; a < n; a++)
        for (int b = a + 1; b < n; b++)
            pair += fabs(oracle[a] - oracle[b]) / (0.5 * n * (n - 1));
    lt_comparison c;
    lt_compare(area(&l->of[UNLEARNED]), oracle, n, 1.0 / (double)l->in->sets->forget.n, l->in->verdict, &c);
    json_t *s = json_object();
    cli_put_text(s, "name", "area under forget accuracy");
    cli_put_real(s, "mean", c.mean);
    cli_put_real(s, "sd", c.sd);
    cli_put_real(s, "band", c.band);
    cli_put_real(s, "p", c.p);
    cli_put_real(s, "bound", c.bound);
    cli_put_text(s, "verdict", n > 0 ? lt_verdict_text(c.verdict) : "");
    cli_put_real(j, "difference", n > 0 ? c.difference : (double)NAN);
    cli_put_real(j, "retrained_pair", n > 1 ? pair : (double)NAN);
    cli_put(j, "statistic", s);
    free(oracle);
}

static json_t *relearn_json(const look *l)
{
    const lt_relearn *c = &l->of[UNLEARNED].curve;
    json_t *j = json_object(), *steps = json_array();
    const double at = threshold(l);
    for (int i = 0; i < c->n; i++)
        json_array_append_new(steps, json_integer(c->step[i]));
    cli_put(j, "steps", steps);
    cli_put(j, "forget_acc", by_subject(l, forget_acc_of, 0));
    cli_put(j, "forget_loss", by_subject(l, forget_loss_of, 0));
    cli_put(j, "test_acc", by_subject(l, test_acc_curve_of, 0));
    cli_put(j, "test_loss", by_subject(l, test_loss_of, 0));
    cli_put(j, "area", by_subject(l, area_of, 0));
    cli_put_real(j, "threshold", at);
    cli_put(j, "steps_to_threshold", reach_json(l, at));
    put_statistic(l, j);
    return j;
}

static json_t *settings_json(const look *l)
{
    const lt_representation_cfg *c = l->in->cfg;
    json_t *j = json_object();
    cli_put(j, "n_forget", json_integer(l->forget.n));
    cli_put(j, "n_test", json_integer(l->test.n));
    cli_put(j, "n_test_of_forgotten_classes", json_integer(l->n_peers));
    cli_put(j, "n_retain", json_integer(l->retain.n));
    cli_put_text(j, "cka", "linear, debiased");
    cli_put_real(j, "probe_ridge", c->probe_l2);
    cli_put_real(j, "probe_tol", c->probe_tol);
    cli_put(j, "probe_folds", json_integer(c->probe_folds));
    cli_put(j, "relearn_batch", json_integer(c->relearn_batch));
    cli_put_real(j, "relearn_lr", (double)c->relearn_lr);
    cli_put(j, "seed", json_integer((json_int_t)l->in->seed));
    return j;
}

static lt_status result(const look *l, json_t *j)
{
    json_t *list = json_array();
    if (l->of[ORIGINAL].there)
        cli_put_text(j, "original", l->of[ORIGINAL].name);
    else
        cli_put(j, "original", json_null());
    cli_put(j, "settings", settings_json(l));
    cli_put(j, "probe", probe_json(l));
    cli_put(j, "cka", list);
    LT_TRY(put_all_cka(l, list));
    cli_put(j, "relearn", relearn_json(l));
    return LT_OK;
}

// A parent that was moved or made again since is not what the run was made from.
static lt_status check_parent(const cli_depth *in, const cli_source *parent)
{
    const char *expected = cli_text(in->source->result, "parent_digest");
    char digest[65];
    lt_model_digest(parent->model, digest);
    if (*expected && strcmp(digest, expected) != 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s: model digest %.16s..., but %s was made from %.16s...", parent->name, digest,
                       in->source->name, expected);
    return LT_OK;
}

lt_status cli_depth_check(const cli_depth *in)
{
    const bool given = in->original && *in->original;
    cli_source src;
    if (!*original_name(in))
        return LT_OK;
    lt_status status = cli_source_open(original_name(in), NULL, &src);
    if (status == LT_OK && !given)
        status = check_parent(in, &src);
    if (status != LT_OK && !given)
        lt_error_hint("the model before unlearning is named with --original RUN");
    cli_source_close(&src);
    return status;
}

lt_status cli_depth_json(cli_call *call, const cli_depth *in, json_t **out)
{
    look l = {.call = call, .in = in};
    lt_status status = LT_OK;
    *out = json_object();
    LT_TRY_GOTO(cli_env(call, &l.env), done);
    LT_TRY_GOTO(draw_samples(&l), done);
    LT_TRY_GOTO(look_at_all(&l), done);
    LT_TRY_GOTO(result(&l, *out), done);
done:
    look_clear(&l);
    if (status != LT_OK) {
        json_decref(*out);
        *out = NULL;
    }
    return status;
}

// ---- table

static double mean_of(const json_t *list)
{
    double sum = 0;
    size_t i;
    const json_t *one;
    json_array_foreach((json_t *)list, i, one) sum += json_is_number(one) ? json_number_value(one) : (double)NAN;
    return json_array_size(list) ? sum / (double)json_array_size(list) : (double)NAN;
}

static const char *fixed(double v, char text[24])
{
    if (!isfinite(v))
        return "-";
    snprintf(text, 24, "%.3f", v);
    return text;
}

static double mean_at(const json_t *object, const char *a, const char *b)
{
    const json_t *inner = json_object_get(object, a);
    return mean_of(b ? json_object_get(inner, b) : inner);
}

void cli_depth_print(const json_t *depth, FILE *out)
{
    cli_table t = {.n_columns = 11, .left = {true}};
    size_t i;
    const json_t *p, *cka_list = json_object_get(depth, "cka"), *relearn = json_object_get(depth, "relearn");
    cli_table_row(&t, "stage", "AUC: " LT_KIND_UNLEARNED, LT_KIND_ORIGINAL, LT_KIND_RETRAINED,
                  "class %: " LT_KIND_UNLEARNED, LT_KIND_ORIGINAL, LT_KIND_RETRAINED, "CKA: u-o", "u-r", "o-r", "r-r");
    json_array_foreach(json_object_get(depth, "probe"), i, p)
    {
        const json_t *c = json_array_get(cka_list, i);
        char text[10][24];
        cli_table_row(&t, cli_text(p, "stage"), fixed(cli_real(p, "membership_auc.unlearned"), text[0]),
                      fixed(cli_real(p, "membership_auc.original"), text[1]),
                      fixed(mean_at(p, "membership_auc", "retrained"), text[2]),
                      cli_percent(cli_real(p, "class_acc.unlearned"), text[3]),
                      cli_percent(cli_real(p, "class_acc.original"), text[4]),
                      cli_percent(mean_at(p, "class_acc", "retrained"), text[5]),
                      fixed(cli_real(c, "to_original"), text[6]), fixed(mean_at(c, "to_retrained", NULL), text[7]),
                      fixed(mean_at(c, "original_to_retrained", NULL), text[8]),
                      fixed(cli_real(c, "retrained_pair"), text[9]));
    }
    fputs("\nDepth: probes of forgotten against test samples (AUC), their classes, likeness of stages (CKA; "
          "o " LT_KIND_ORIGINAL ", u " LT_KIND_UNLEARNED ", r " LT_KIND_RETRAINED ")\n",
          out);
    cli_table_print(&t, out);
    cli_table_clear(&t);
    char a[24], b[24], c[24], d[24];
    fprintf(out,
            "learning again, area under forget accuracy: " LT_KIND_UNLEARNED " %s, " LT_KIND_ORIGINAL
            " %s, " LT_KIND_RETRAINED " %s; " LT_KIND_RETRAINED " pairs differ by %s",
            fixed(cli_real(relearn, "area.unlearned"), a), fixed(cli_real(relearn, "area.original"), b),
            fixed(mean_at(relearn, "area", "retrained"), c), fixed(cli_real(relearn, "retrained_pair"), d));
    fprintf(out, "%s%s\n", *cli_text(relearn, "statistic.verdict") ? "; " : "", cli_text(relearn, "statistic.verdict"));
}
