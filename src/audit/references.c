// references.c - outputs of reference models, read from an .npz and checked against the target they are to judge.
//
// The logits of 128 models on 60,000 samples are 300 MB, so arrays of the expected types are used where the file reader
// has put them; others are converted, and rows in another order than the target's are moved.
#include "lethe/tensorfile.h"
#include "audit/audit_impl.h"
#include <limits.h>
#include <math.h>
#include <string.h>

#define NUMBERED(i) ((long long)(i))

void lt_references_destroy(lt_references *refs)
{
    if (!refs)
        return;
    lt_tensor_file_close(refs->file);
    lti_free(refs->own[0]);
    lti_free(refs->own[1]);
    lti_free(refs);
}

static lt_status find(const lt_tensor_file *file, const char *label, const char *key, int n_dims, const lt_tensor **t)
{
    *t = lt_tensor_file_find(file, key);
    if (!*t) {
        (void)LT_FAIL(LT_E_FORMAT, "%s: expected an array '%s', found none of that name among %d", label, key,
                      lt_tensor_file_count(file));
        return lt_error_hint("a references file holds logits (M,N,K) f32 and member (M,N) u8");
    }
    if ((*t)->n_dims != n_dims)
        return LT_FAIL(LT_E_FORMAT, "%s: array '%s': expected %d dimensions, found %d", label, key, n_dims,
                       (*t)->n_dims);
    return LT_OK;
}

static bool integer_at(const lt_tensor *t, int64_t i, int64_t *value)
{
    switch (t->dtype) {
    case LT_I8:
        *value = (int)((const int8_t *)t->data)[i];
        return true;
    case LT_U8:
        *value = ((const uint8_t *)t->data)[i];
        return true;
    case LT_I32:
        *value = ((const int32_t *)t->data)[i];
        return true;
    case LT_I64:
        *value = ((const int64_t *)t->data)[i];
        return true;
    default:
        return false;
    }
}

// ---- the two arrays

static lt_status take_logits(const char *label, const lt_tensor *t, lt_references *refs)
{
    if (t->dtype != LT_F32 && t->dtype != LT_F64)
        return LT_FAIL(LT_E_FORMAT, "%s: array 'logits': expected float32 or float64, found integers", label);
    if (t->dim[0] < 1 || t->dim[1] < 1 || t->dim[2] < 2 || t->dim[2] > INT_MAX)
        return LT_FAIL(
            LT_E_FORMAT,
            "%s: array 'logits': expected at least 1 model, 1 sample and 2 classes, found (%lld, %lld, %lld)", label,
            NUMBERED(t->dim[0]), NUMBERED(t->dim[1]), NUMBERED(t->dim[2]));
    refs->m = t->dim[0], refs->n = t->dim[1], refs->k = (int)t->dim[2];
    int64_t per_model = refs->n * refs->k, total = refs->m * per_model; // no overflow: the array is in memory
    float *converted = NULL;
    if (t->dtype == LT_F64) {
        converted = refs->own[0] = lti_calloc((size_t)total, sizeof *converted);
        if (!converted)
            return LTI_NOMEM("reference logits");
        for (int64_t i = 0; i < total; i++)
            converted[i] = (float)((const double *)t->data)[i];
    }
    refs->logits = converted ? converted : t->data;
    for (int64_t i = 0; i < total; i++)
        if (!isfinite(refs->logits[i]))
            return LT_FAIL(LT_E_FORMAT,
                           "%s: array 'logits', model %lld, row %lld, class %lld: expected a finite float, found %g",
                           label, NUMBERED(i / per_model), NUMBERED(i / refs->k % refs->n), NUMBERED(i % refs->k),
                           (double)refs->logits[i]);
    return LT_OK;
}

static lt_status take_member(const char *label, const lt_tensor *t, lt_references *refs)
{
    if (t->dim[0] != refs->m || t->dim[1] != refs->n)
        return LT_FAIL(
            LT_E_FORMAT,
            "%s: array 'member': expected (%lld, %lld), models and samples as in 'logits', found (%lld, %lld)", label,
            NUMBERED(refs->m), NUMBERED(refs->n), NUMBERED(t->dim[0]), NUMBERED(t->dim[1]));
    int64_t total = refs->m * refs->n, v = 0;
    uint8_t *member = refs->own[1] = t->dtype == LT_U8 ? NULL : lti_calloc((size_t)total, 1);
    if (t->dtype != LT_U8 && !member)
        return LTI_NOMEM("reference membership");
    for (int64_t i = 0; i < total; i++) {
        if (!integer_at(t, i, &v))
            return LT_FAIL(LT_E_FORMAT, "%s: array 'member': expected integers, found floating point", label);
        if (v < LT_MEMBER_OUT || v > LT_MEMBER_UNLEARNED)
            return LT_FAIL(LT_E_FORMAT,
                           "%s: array 'member', model %lld, row %lld: expected 0 (not trained on), 1 (trained on) or 2 "
                           "(trained on, then unlearned), found %lld",
                           label, NUMBERED(i / refs->n), NUMBERED(i % refs->n), NUMBERED(v));
        if (member)
            member[i] = (uint8_t)v;
    }
    refs->member = member ? member : t->data;
    return LT_OK;
}

// ---- against the target

// An array of n integers that the file may have; *values NULL = it has none.
static lt_status read_integers(const lt_tensor_file *file, const char *label, const char *key, int64_t n,
                               int64_t **values)
{
    const lt_tensor *t = lt_tensor_file_find(file, key);
    *values = NULL;
    if (!t)
        return LT_OK;
    if (t->n_dims != 1 || t->dim[0] != n)
        return LT_FAIL(LT_E_FORMAT, "%s: array '%s': expected (%lld), one value per sample of the target", label, key,
                       NUMBERED(n));
    if (!(*values = lti_calloc((size_t)n, sizeof **values)))
        return LTI_NOMEM("rows of references");
    for (int64_t i = 0; i < n; i++)
        if (!integer_at(t, i, &(*values)[i]))
            return LT_FAIL(LT_E_FORMAT, "%s: array '%s': expected integers, found floating point", label, key);
    return LT_OK;
}

// Groups as the target has them.
static lt_status narrow_groups(const char *label, const int64_t *wide, int64_t n, int8_t **group)
{
    if (!wide)
        return LT_OK;
    if (!(*group = lti_calloc((size_t)n, sizeof **group)))
        return LTI_NOMEM("rows of references");
    for (int64_t i = 0; i < n; i++) {
        if (wide[i] < LT_GROUP_RETAIN || wide[i] > LT_GROUP_TEST)
            return LT_FAIL(LT_E_FORMAT, "%s: array 'group', row %lld: expected %d..%d, found %lld", label, NUMBERED(i),
                           LT_GROUP_RETAIN, LT_GROUP_TEST, NUMBERED(wide[i]));
        (*group)[i] = (int8_t)wide[i];
    }
    return LT_OK;
}

static lt_status same_values(const char *label, const char *key, const int64_t *values, const int64_t *from, int64_t i,
                             int64_t expected)
{
    const int64_t row = from ? from[i] : i;
    if (!values || values[row] == expected)
        return LT_OK;
    return LT_FAIL(LT_E_FORMAT, "%s: array '%s', row %lld: expected %lld as in the target, found %lld", label, key,
                   NUMBERED(row), NUMBERED(expected), NUMBERED(values[row]));
}

static lt_status move_rows(lt_references *refs, const int64_t *from)
{
    const size_t n = (size_t)refs->n, k = (size_t)refs->k;
    float *logits = lti_malloc((size_t)refs->m * n * k * sizeof *logits);
    uint8_t *member = lti_malloc((size_t)refs->m * n);
    if (!logits || !member) {
        lti_free(logits);
        lti_free(member);
        return LTI_NOMEM("references");
    }
    for (size_t m = 0; m < (size_t)refs->m; m++)
        for (size_t i = 0; i < n; i++) {
            const size_t row = m * n + (size_t)from[i];
            memcpy(logits + (m * n + i) * k, refs->logits + row * k, k * sizeof *logits);
            member[m * n + i] = refs->member[row];
        }
    lti_free(refs->own[0]);
    lti_free(refs->own[1]);
    refs->logits = refs->own[0] = logits;
    refs->member = refs->own[1] = member;
    return LT_OK;
}

// `ids`, `labels` and `group`, where the file has them, must be the target's; ids may be in another order.
static lt_status match_rows(const lt_tensor_file *file, const char *label, const lt_signals *target,
                            lt_references *refs)
{
    int64_t *id = NULL, *labels = NULL, *wide = NULL, *from = NULL;
    int8_t *group = NULL;
    lt_status status = LT_OK;
    LT_TRY_GOTO(read_integers(file, label, "ids", refs->n, &id), out);
    LT_TRY_GOTO(read_integers(file, label, "labels", refs->n, &labels), out);
    LT_TRY_GOTO(read_integers(file, label, "group", refs->n, &wide), out);
    LT_TRY_GOTO(narrow_groups(label, wide, refs->n, &group), out);
    refs->unlabelled = !id && !labels && !group;
    if (id)
        LT_TRY_GOTO(lti_match_rows(target, &(lti_row_keys){refs->n, id, group}, label, &from), out);
    for (int64_t i = 0; i < refs->n; i++) {
        LT_TRY_GOTO(same_values(label, "labels", labels, from, i, target->label[i]), out);
        LT_TRY_GOTO(same_values(label, "group", wide, from, i, target->group[i]), out);
    }
    if (from)
        LT_TRY_GOTO(move_rows(refs, from), out);
out:
    lti_free(id);
    lti_free(labels);
    lti_free(wide);
    lti_free(group);
    lti_free(from);
    return status;
}

static lt_status fits(const lt_tensor_file *file, const char *label, lt_references *refs, const lt_signals *target)
{
    if (refs->n != target->n)
        return LT_FAIL(LT_E_FORMAT, "%s: array 'logits': expected %lld samples as in the target, found %lld", label,
                       NUMBERED(target->n), NUMBERED(refs->n));
    if (refs->k != target->k)
        return LT_FAIL(LT_E_FORMAT, "%s: array 'logits': expected %d classes as in the target, found %d", label,
                       target->k, refs->k);
    return match_rows(file, label, target, refs);
}

// Takes the file, also when it fails.
static lt_status from_file(lt_tensor_file *file, const char *label, const lt_signals *target, lt_references **out)
{
    const lt_tensor *logits, *member;
    lt_references *refs = lti_calloc(1, sizeof *refs);
    if (!refs) {
        lt_tensor_file_close(file);
        return LTI_NOMEM("references");
    }
    lt_status status = LT_OK;
    refs->file = file;
    LT_TRY_GOTO(find(file, label, "logits", 3, &logits), failed);
    LT_TRY_GOTO(find(file, label, "member", 2, &member), failed);
    LT_TRY_GOTO(take_logits(label, logits, refs), failed);
    LT_TRY_GOTO(take_member(label, member, refs), failed);
    if (target)
        LT_TRY_GOTO(fits(file, label, refs, target), failed);
    *out = refs;
    return LT_OK;
failed:
    lt_references_destroy(refs);
    return status;
}

lt_status lt_references_open(const char *npz, const lt_signals *target, lt_references **refs)
{
    lt_tensor_file *file;
    LT_TRY(lt_tensor_file_open(npz, &file));
    return from_file(file, npz, target, refs);
}

lt_status lt_references_parse(const void *bytes, size_t n, const char *label, const lt_signals *target,
                              lt_references **refs)
{
    lt_tensor_file *file;
    LT_TRY(lt_npz_parse(bytes, n, label, &file));
    return from_file(file, label, target, refs);
}
