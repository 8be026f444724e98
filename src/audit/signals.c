// signals.c - what every audit starts from: evaluation-mode logits of un-augmented samples, with labels, ids and
// groups.
//
// The file is an .npz that any tool can write or read (docs/audits.md), so lethe can audit a model it never saw.
// Nothing in a foreign file is trusted: every array is checked before one value is used.
#include "lethe/tensorfile.h"
#include "audit/audit_impl.h"
#include <limits.h>
#include <math.h>
#include <string.h>

enum { EVAL_BATCH = 128 };

static lt_status signals_create(int64_t n, int k, lt_signals **out)
{
    size_t n_logits;
    lt_signals *s = NULL;
    if (!lti_mul_size((size_t)n, (size_t)k, &n_logits))
        s = lti_calloc(1, sizeof *s);
    if (s) {
        *s = (lt_signals){.n = n, .k = k};
        s->logits = lti_calloc(n_logits, sizeof *s->logits);
        s->label = lti_calloc((size_t)n, sizeof *s->label);
        s->id = lti_calloc((size_t)n, sizeof *s->id);
        s->group = lti_calloc((size_t)n, sizeof *s->group);
    }
    if (!s || !s->logits || !s->label || !s->id || !s->group) {
        lt_signals_destroy(s);
        return LTI_NOMEM("signals");
    }
    *out = s;
    return LT_OK;
}

int lt_signals_predicted(const lt_signals *s, int64_t row)
{
    return lti_arg_max(s->logits + row * s->k, s->k);
}

void lt_signals_destroy(lt_signals *s)
{
    if (!s)
        return;
    lti_free(s->logits);
    lti_free(s->label);
    lti_free(s->id);
    lti_free(s->group);
    lti_free(s->subclass);
    lti_free(s);
}

static lt_status add_subclasses(lt_signals *s)
{
    s->subclass = lti_calloc((size_t)s->n, sizeof *s->subclass);
    return s->subclass ? LT_OK : LTI_NOMEM("signals");
}

// ---- from a model

static bool has_subclasses(const lt_dataset *ds)
{
    return ds->other_is_finer && ds->split[LT_TRAIN].other && (ds->split[LT_TEST].n == 0 || ds->split[LT_TEST].other);
}

// Evaluates one group into rows at.. of s; *at moves on.
static lt_status add_group(lt_evaluator *evaluator, const lt_dataset *ds, lt_split split, const lt_index_set *rows,
                           int8_t group, lt_signals *s, int64_t *at)
{
    if (!rows || rows->n == 0)
        return LT_OK;
    lt_view view = lt_view_rows(ds, split, rows);
    lt_eval_result result;
    LT_TRY(lt_evaluator_run(evaluator, &view, s->logits + *at * s->k, NULL, &result));
    const lt_split_data *d = &ds->split[split];
    for (int64_t i = 0; i < rows->n; i++, (*at)++) {
        s->label[*at] = d->y[rows->row[i]];
        s->id[*at] = d->id[rows->row[i]];
        s->group[*at] = group;
        if (s->subclass)
            s->subclass[*at] = d->other[rows->row[i]];
    }
    return LT_OK;
}

lt_status lt_signals_compute(const lt_model *model, const lt_dataset *ds, const lt_index_set *forget,
                             const lt_index_set *retain, const lt_env *env, lt_signals **s)
{
    lt_index_set test = {0};
    lt_signals *made = NULL;
    lt_evaluator *evaluator = NULL;
    lt_env exact = *env; // signals belong to the saved model, not to the precision of this run
    lt_status status = LT_OK;
    int64_t n = ds->split[LT_TEST].n + (forget ? forget->n : 0) + (retain ? retain->n : 0), at = 0;
    exact.plan_flags &= ~(unsigned)LT_PLAN_BF16;
    if (n <= 0)
        return LT_FAIL(LT_E_USAGE, "signals: expected at least one sample, found none in retain, forget and test");
    LT_TRY_GOTO(lt_index_set_range(ds->split[LT_TEST].n, &test), out);
    LT_TRY_GOTO(signals_create(n, model->shape.n_classes, &made), out);
    if (has_subclasses(ds))
        LT_TRY_GOTO(add_subclasses(made), out);
    LT_TRY_GOTO(lt_evaluator_create(model, &exact, EVAL_BATCH, &evaluator), out);
    LT_TRY_GOTO(add_group(evaluator, ds, LT_TRAIN, retain, LT_GROUP_RETAIN, made, &at), out);
    LT_TRY_GOTO(add_group(evaluator, ds, LT_TRAIN, forget, LT_GROUP_FORGET, made, &at), out);
    LT_TRY_GOTO(add_group(evaluator, ds, LT_TEST, &test, LT_GROUP_TEST, made, &at), out);
    *s = made;
    made = NULL;
out:
    lt_evaluator_destroy(evaluator);
    lt_signals_destroy(made);
    lt_index_set_clear(&test);
    return status;
}

// ---- files

lt_status lt_signals_save(const lt_signals *s, const char *npz)
{
    size_t n = (size_t)s->n;
    const lt_tensor tensors[] = {
        {"logits", LT_F32, 2, {s->n, s->k}, s->logits, n * (size_t)s->k * sizeof *s->logits},
        {"labels", LT_I64, 1, {s->n}, s->label, n * sizeof *s->label},
        {"ids", LT_I64, 1, {s->n}, s->id, n * sizeof *s->id},
        {"group", LT_I8, 1, {s->n}, s->group, n * sizeof *s->group},
        {"subclass", LT_I64, 1, {s->n}, s->subclass, n * sizeof *s->subclass}, // last: may be missing
    };
    return lt_npz_write(npz, tensors, (int)(sizeof tensors / sizeof *tensors) - !s->subclass);
}

static lt_status need(const lt_tensor_file *file, const char *label, const char *key, int n_dims, const lt_tensor **t)
{
    *t = lt_tensor_file_find(file, key);
    if (!*t) {
        (void)LT_FAIL(LT_E_FORMAT, "%s: expected an array '%s', found none of that name among %d", label, key,
                      lt_tensor_file_count(file));
        return lt_error_hint("a signals file holds logits (N,K) f32, labels (N) i64, ids (N) i64 and group (N) i8");
    }
    if ((*t)->n_dims != n_dims)
        return LT_FAIL(LT_E_FORMAT, "%s: array '%s': expected %d dimension%s, found %d", label, key, n_dims,
                       n_dims == 1 ? "" : "s", (*t)->n_dims);
    return LT_OK;
}

static bool is_integer(lt_dtype t)
{
    return t == LT_I8 || t == LT_U8 || t == LT_I32 || t == LT_I64;
}

static int64_t integer_at(const lt_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case LT_I8:
        return ((const int8_t *)t->data)[i];
    case LT_U8:
        return ((const uint8_t *)t->data)[i];
    case LT_I32:
        return ((const int32_t *)t->data)[i];
    default:
        return ((const int64_t *)t->data)[i];
    }
}

// An integer array (n) with values in min..max.
static lt_status check_integers(const char *label, const lt_tensor *t, int64_t n, int64_t min, int64_t max)
{
    if (!is_integer(t->dtype))
        return LT_FAIL(LT_E_FORMAT,
                       "%s: array '%s': expected integers (int8, uint8, int32 or int64), found floating point", label,
                       t->name);
    if (t->dim[0] != n)
        return LT_FAIL(LT_E_FORMAT, "%s: array '%s': expected %lld elements as in 'logits', found %lld", label, t->name,
                       (long long)n, (long long)t->dim[0]);
    for (int64_t i = 0; i < n; i++) {
        int64_t v = integer_at(t, i);
        if (v < min || v > max)
            return LT_FAIL(LT_E_FORMAT, "%s: array '%s', row %lld: expected %lld..%lld, found %lld", label, t->name,
                           (long long)i, (long long)min, (long long)max, (long long)v);
    }
    return LT_OK;
}

static lt_status read_logits(const char *label, const lt_tensor *t, lt_signals *s)
{
    for (int64_t i = 0; i < s->n * s->k; i++) {
        double v = t->dtype == LT_F32 ? (double)((const float *)t->data)[i] : ((const double *)t->data)[i];
        s->logits[i] = (float)v;
        if (!isfinite(s->logits[i]))
            return LT_FAIL(LT_E_FORMAT, "%s: array 'logits', row %lld, class %lld: expected a finite float, found %g",
                           label, (long long)(i / s->k), (long long)(i % s->k), v);
    }
    return LT_OK;
}

static lt_status check_logits(const char *label, const lt_tensor *t)
{
    if (t->dtype != LT_F32 && t->dtype != LT_F64)
        return LT_FAIL(LT_E_FORMAT, "%s: array 'logits': expected float32 or float64, found integers", label);
    if (t->dim[0] < 1)
        return LT_FAIL(LT_E_FORMAT, "%s: array 'logits': expected at least one row, found none", label);
    if (t->dim[1] < 2 || t->dim[1] > INT_MAX)
        return LT_FAIL(LT_E_FORMAT, "%s: array 'logits': expected at least 2 classes, found %lld", label,
                       (long long)t->dim[1]);
    return LT_OK;
}

static lt_status from_file(const lt_tensor_file *file, const char *label, lt_signals **out)
{
    const lt_tensor *logits, *labels, *ids, *group, *subclass = lt_tensor_file_find(file, "subclass");
    LT_TRY(need(file, label, "logits", 2, &logits));
    LT_TRY(need(file, label, "labels", 1, &labels));
    LT_TRY(need(file, label, "ids", 1, &ids));
    LT_TRY(need(file, label, "group", 1, &group));
    LT_TRY(check_logits(label, logits));
    int64_t n = logits->dim[0], k = logits->dim[1];
    LT_TRY(check_integers(label, labels, n, 0, k - 1));
    LT_TRY(check_integers(label, ids, n, 0, INT64_MAX));
    LT_TRY(check_integers(label, group, n, LT_GROUP_RETAIN, LT_GROUP_TEST));
    if (subclass) {
        LT_TRY(need(file, label, "subclass", 1, &subclass));
        LT_TRY(check_integers(label, subclass, n, 0, INT64_MAX));
    }
    lt_signals *s;
    LT_TRY(signals_create(n, (int)k, &s));
    lt_status status = read_logits(label, logits, s);
    if (status == LT_OK && subclass)
        status = add_subclasses(s);
    if (status != LT_OK) {
        lt_signals_destroy(s);
        return status;
    }
    for (int64_t i = 0; i < n; i++) {
        s->label[i] = integer_at(labels, i);
        s->id[i] = integer_at(ids, i);
        s->group[i] = (int8_t)integer_at(group, i);
        if (subclass)
            s->subclass[i] = integer_at(subclass, i);
    }
    *out = s;
    return LT_OK;
}

lt_status lt_signals_open(const char *npz, lt_signals **s)
{
    lt_tensor_file *file;
    LT_TRY(lt_tensor_file_open(npz, &file));
    lt_status status = from_file(file, npz, s);
    lt_tensor_file_close(file);
    return status;
}

lt_status lt_signals_parse(const void *bytes, size_t n, const char *label, lt_signals **s)
{
    lt_tensor_file *file;
    LT_TRY(lt_npz_parse(bytes, n, label, &file));
    lt_status status = from_file(file, label, s);
    lt_tensor_file_close(file);
    return status;
}

bool lt_signals_same_samples(const lt_signals *a, const lt_signals *b)
{
    return a->n == b->n && a->k == b->k && !memcmp(a->label, b->label, (size_t)a->n * sizeof *a->label) &&
           !memcmp(a->id, b->id, (size_t)a->n * sizeof *a->id) && !memcmp(a->group, b->group, (size_t)a->n);
}

bool lt_signals_same_outputs(const lt_signals *a, const lt_signals *b)
{
    return a->n == b->n && a->k == b->k &&
           !memcmp(a->logits, b->logits, (size_t)a->n * (size_t)a->k * sizeof *a->logits);
}
