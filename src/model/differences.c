// differences.c - the tensors of a file held against those of an architecture: what is missing, extra or misshapen.
#include "model/key_map.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *lt_difference_kind_text(lt_difference_kind kind)
{
    static const char *const text[LT_N_DIFFERENCE_KINDS] = {"missing", "extra", "shape", "type"};
    return text[kind];
}

void lt_differences_clear(lt_differences *d)
{
    lti_free(d->row);
    *d = (lt_differences){0};
}

static void shape_text(const int64_t *dim, int n, char out[LT_DIFFERENCE_TEXT_MAX])
{
    size_t used = (size_t)snprintf(out, LT_DIFFERENCE_TEXT_MAX, "(");
    for (int i = 0; i < n && used < LT_DIFFERENCE_TEXT_MAX; i++)
        used += (size_t)snprintf(out + used, LT_DIFFERENCE_TEXT_MAX - used, "%s%lld", i ? "," : "", (long long)dim[i]);
    if (used < LT_DIFFERENCE_TEXT_MAX)
        snprintf(out + used, LT_DIFFERENCE_TEXT_MAX - used, ")");
}

static lt_difference *add_row(lt_differences *d, lt_difference_kind kind, const char *name)
{
    lt_difference *row = &d->row[d->n++]; // there is room for every tensor of both sides
    *row = (lt_difference){.kind = kind};
    snprintf(row->name, sizeof row->name, "%s", name);
    d->n_of[kind]++;
    return row;
}

static void compare_tensor(const lt_value_info *want, const lt_tensor *t, lt_differences *d)
{
    bool same = t && t->n_dims == want->shape.n_dims;
    for (int i = 0; same && i < t->n_dims; i++)
        same = t->dim[i] == want->shape.dim[i];
    const bool is_real = t && (t->dtype == LT_F32 || t->dtype == LT_F64);
    if (same && is_real)
        return;
    lt_difference *row = add_row(d,
                                 !t      ? LT_DIFFERENCE_MISSING
                                 : !same ? LT_DIFFERENCE_SHAPE
                                         : LT_DIFFERENCE_TYPE,
                                 t ? t->name : want->name);
    shape_text(want->shape.dim, want->shape.n_dims, row->expected);
    if (t)
        shape_text(t->dim, t->n_dims, row->found);
}

static bool has_batch_norm(const lt_model *m, const char *counter, size_t stem)
{
    char name[LTI_NAME_MAX];
    const int len =
        snprintf(name, sizeof name, "%.*s.running_var", (int)(stem < LTI_NAME_MAX ? stem : LTI_NAME_MAX), counter);
    return len < LTI_NAME_MAX && lt_graph_find(m->graph, name) != LT_NONE;
}

// The number that a counter holds: a checkpoint that was cast as a whole has it as another type.
static bool read_counter(const lt_tensor *t, int64_t *value)
{
    static const double most = 9e15; // below, every integer is a double
    int32_t narrow;
    double wide = 0;
    float single;
    if (t->dtype == LT_I64 && t->n_bytes == sizeof *value) {
        memcpy(value, t->data, sizeof *value);
        return true;
    }
    if (t->dtype == LT_I32 && t->n_bytes == sizeof narrow) {
        memcpy(&narrow, t->data, sizeof narrow);
        *value = narrow;
        return true;
    }
    if (t->dtype == LT_F32 && t->n_bytes == sizeof single) {
        memcpy(&single, t->data, sizeof single);
        wide = (double)single;
    } else if (t->dtype == LT_F64 && t->n_bytes == sizeof wide) {
        memcpy(&wide, t->data, sizeof wide);
    } else {
        return false;
    }
    if (!(fabs(wide) < most) || wide != floor(wide))
        return false;
    *value = (int64_t)wide;
    return true;
}

// num_batches_tracked is a non-negative integer; *count becomes the largest one.
static lt_status check_counter(const char *path, const lt_tensor *t, int64_t *count)
{
    int64_t value;
    if (!read_counter(t, &value))
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected one integer", path, t->name);
    if (value < 0)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected 0 or more, found %lld", path, t->name, (long long)value);
    if (value > *count)
        *count = value;
    return LT_OK;
}

static lt_status compare_extra(const char *path, const lt_model *m, const lti_key_map *map, int64_t *count,
                               lt_differences *d)
{
    lt_value_info info;
    for (int i = 0; i < map->n; i++) {
        const lt_tensor *t = map->key[i].tensor;
        size_t stem;
        if (lti_has_suffix(map->key[i].name, ".num_batches_tracked", &stem) &&
            has_batch_norm(m, map->key[i].name, stem)) {
            LT_TRY(check_counter(path, t, count));
            continue;
        }
        lt_val v = lt_graph_find(m->graph, map->key[i].name);
        if (v == LT_NONE || !lti_model_tensor(m, v, &info))
            shape_text(t->dim, t->n_dims, add_row(d, LT_DIFFERENCE_EXTRA, t->name)->found);
    }
    return LT_OK;
}

lt_status lti_compare_tensors(const char *path, const lt_model *m, const lti_key_map *map, int64_t *bn_batches,
                              lt_differences *d)
{
    lt_value_info info;
    *bn_batches = 0;
    *d = (lt_differences){.row = lti_calloc((size_t)map->n + (size_t)lt_graph_n_values(m->graph) + 1, sizeof *d->row)};
    if (!d->row)
        return LTI_NOMEM("list of differences");
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++)
        if (lti_model_tensor(m, v, &info))
            compare_tensor(&info, lti_key_map_find(map, info.name), d);
    const lt_status status = compare_extra(path, m, map, bn_batches, d);
    if (status != LT_OK)
        lt_differences_clear(d);
    return status;
}

// ---- as an error

static void row_text(const lt_model *m, const lt_difference *row, char *out, size_t size)
{
    switch (row->kind) {
    case LT_DIFFERENCE_MISSING:
        snprintf(out, size, "tensor %.100s is missing", row->name);
        break;
    case LT_DIFFERENCE_EXTRA:
        snprintf(out, size, "tensor %.100s: %.80s has no such tensor", row->name, m->spec);
        break;
    case LT_DIFFERENCE_SHAPE:
        snprintf(out, size, "tensor %.60s: expected shape %s, found %s", row->name, row->expected, row->found);
        break;
    default:
        snprintf(out, size, "tensor %.60s: expected floating point numbers, found integers", row->name);
    }
}

// PyTorch's exporter folds batch norm into convolutions and gives what comes out names of its own.
static bool is_folded(const lt_differences *d)
{
    for (int i = 0; i < d->n; i++)
        if (d->row[i].kind == LT_DIFFERENCE_EXTRA && !strncmp(d->row[i].name, "onnx::", 6))
            return true;
    return false;
}

lt_status lti_differences_status(const char *path, const lt_model *m, const lt_differences *d)
{
    enum { ROW_MAX = 320, TABLE_MAX = LT_ERROR_MESSAGE_MAX - 400 }; // which leaves room for the counts and the path
    char row[ROW_MAX], table[TABLE_MAX] = "";
    size_t used = 0;
    int n_shown = 0;
    if (!d->n)
        return LT_OK;
    row_text(m, &d->row[0], row, sizeof row);
    if (d->n == 1) {
        LT_FAIL(LT_E_FORMAT, "%s: %s", path, row);
        return lt_error_hint("the file may hold another architecture, width or number of classes than requested");
    }
    for (; n_shown < d->n; n_shown++) {
        row_text(m, &d->row[n_shown], row, sizeof row);
        const size_t n = strlen(row) + 2;
        if (used + n >= sizeof table)
            break;
        used += (size_t)snprintf(table + used, sizeof table - used, "; %s", row);
    }
    char rest[64] = "";
    if (n_shown < d->n)
        snprintf(rest, sizeof rest, "; and %d more", d->n - n_shown);
    LT_FAIL(LT_E_FORMAT,
            "%.200s does not hold %.100s: %d tensors missing, %d extra, %d of another shape, %d of integers%s%s", path,
            m->spec, d->n_of[LT_DIFFERENCE_MISSING], d->n_of[LT_DIFFERENCE_EXTRA], d->n_of[LT_DIFFERENCE_SHAPE],
            d->n_of[LT_DIFFERENCE_TYPE], table, rest);
    if (is_folded(d))
        return lt_error_hint(
            "batch norm was folded into the convolutions when this file was written; torch.onnx.export "
            "keeps it with do_constant_folding=False and training=TrainingMode.PRESERVE");
    return lt_error_hint("the file may hold another architecture, width or number of classes than requested; `lethe "
                         "inspect FILE --model MODEL` lists every difference");
}
