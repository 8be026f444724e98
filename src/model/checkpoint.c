// checkpoint.c - models in safetensors files that PyTorch reads and writes unchanged.
//
// A file holds every key of the PyTorch state_dict, num_batches_tracked (I64 scalars) included, plus the architecture,
// the input size, the class names and the normalisation in its metadata. Opening builds the graph first and holds the
// file against it: each tensor must be there once, with the graph's shape and finite values, and nothing else may be.
#include "model/model_impl.h"
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char counter_leaf[] = "num_batches_tracked";

// ---- saving

static lt_status check_finite(const lt_model *m, const lt_value_info *info)
{
    const float *data = (info->role == LT_ROLE_PARAM ? m->params : m->state) + info->slab_offset;
    for (int64_t i = 0; i < lti_model_shape_count(&info->shape); i++)
        if (!isfinite(data[i]))
            return LT_FAIL(LT_E_DIVERGED, "tensor %s: expected finite numbers to save, found %f at index %lld",
                           info->name, (double)data[i], (long long)i);
    return LT_OK;
}

// The tensors of the file, in state_dict order. list: room for n_values + counters; returns through *n.
static lt_status list_tensors(const lt_model *m, lti_arena *names, int64_t *counter, lt_tensor *list, int *n)
{
    lt_value_info info;
    *n = 0;
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++) {
        if (!lti_model_tensor(m, v, &info))
            continue;
        LT_TRY(check_finite(m, &info));
        lt_tensor t = {.name = info.name, .dtype = LT_F32, .n_dims = info.shape.n_dims};
        memcpy(t.dim, info.shape.dim, (size_t)t.n_dims * sizeof t.dim[0]);
        t.data = (info.role == LT_ROLE_PARAM ? m->params : m->state) + info.slab_offset;
        t.n_bytes = (size_t)lti_model_shape_count(&info.shape) * sizeof(float);
        list[(*n)++] = t;
        size_t stem;
        if (!lti_has_suffix(info.name, ".running_var", &stem))
            continue;
        char name[LTI_NAME_MAX];
        snprintf(name, sizeof name, "%.*s.%s", (int)stem, info.name, counter_leaf);
        const char *kept = lti_arena_strdup(names, name);
        if (!kept)
            return LTI_NOMEM("names of tensors");
        list[(*n)++] = (lt_tensor){.name = kept, .dtype = LT_I64, .data = counter, .n_bytes = sizeof *counter};
    }
    return LT_OK;
}

static char *classes_json(const lt_model *m)
{
    json_t *array = json_array();
    for (int i = 0; i < m->shape.n_classes && m->class_names; i++)
        json_array_append_new(array, json_string(m->class_names[i]));
    char *text = json_dumps(array, JSON_COMPACT);
    if ((int)json_array_size(array) != m->shape.n_classes) {
        free(text);
        text = NULL;
    }
    json_decref(array);
    return text;
}

struct own_meta { // texts of the metadata that save makes; NULL when absent
    char input[64];
    char *classes, *mean, *std;
};

static lt_status make_own_meta(const lt_model *m, struct own_meta *own)
{
    lti_model_spec spec;
    LT_TRY(lti_model_spec_parse(m->spec, m->shape.c, &spec));
    snprintf(own->input, sizeof own->input, "%dx%dx%d", m->shape.c, m->shape.h, m->shape.w);
    if (m->class_names && !(own->classes = classes_json(m)))
        return LT_FAIL(LT_E_FORMAT, "class names: expected UTF-8 text");
    if (spec.normalize) {
        own->mean = lti_floats_text(spec.mean, spec.n_channels);
        own->std = lti_floats_text(spec.std, spec.n_channels);
        if (!own->mean || !own->std)
            return LTI_NOMEM("model metadata");
    }
    return LT_OK;
}

static lt_status save_with(const lt_model *m, const char *path, lti_arena *arena, const struct own_meta *own)
{
    enum { N_OWN = 6 };
    const size_t n_values = (size_t)lt_graph_n_values(m->graph);
    lt_tensor *list = lti_arena_alloc(arena, 2 * n_values * sizeof *list);
    lt_meta *meta = lti_arena_alloc(arena, ((size_t)m->n_meta + N_OWN) * sizeof *meta);
    if (!list || !meta)
        return LTI_NOMEM("the list of tensors");
    int n_meta = 0, n = 0;
    meta[n_meta++] = (lt_meta){"format", "pt"};
    meta[n_meta++] = (lt_meta){"lethe.model", m->spec};
    meta[n_meta++] = (lt_meta){"lethe.input", own->input};
    if (own->classes)
        meta[n_meta++] = (lt_meta){"lethe.classes", own->classes};
    if (own->mean) {
        meta[n_meta++] = (lt_meta){"lethe.mean", own->mean};
        meta[n_meta++] = (lt_meta){"lethe.std", own->std};
    }
    for (int i = 0; i < m->n_meta; i++)
        meta[n_meta++] = m->meta[i];
    int64_t counter = m->bn_batches;
    LT_TRY(list_tensors(m, arena, &counter, list, &n));
    return lt_safetensors_write(path, list, n, meta, n_meta);
}

lt_status lt_model_save(const lt_model *m, const char *path)
{
    lti_arena arena = {0};
    struct own_meta own = {0};
    lt_status status = make_own_meta(m, &own);
    if (status == LT_OK)
        status = save_with(m, path, &arena, &own);
    lti_arena_clear(&arena);
    free(own.classes);
    lti_free(own.mean);
    lti_free(own.std);
    return status == LT_OK ? LT_OK : lt_error_frame(status, __FILE__, __LINE__, __func__);
}

// ---- opening

static void shape_text(const int64_t *dim, int n, char *buf, size_t size)
{
    size_t used = (size_t)snprintf(buf, size, "(");
    for (int i = 0; i < n && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, "%s%lld", i ? "," : "", (long long)dim[i]);
    if (used < size)
        snprintf(buf + used, size - used, ")");
}

static lt_status check_tensor(const char *path, const lt_value_info *want, const lt_tensor *t)
{
    if (!t) {
        LT_FAIL(LT_E_FORMAT, "%s: tensor %s is missing", path, want->name);
        return lt_error_hint("the file may hold another architecture, width or number of classes than asked for");
    }
    bool same = t->n_dims == want->shape.n_dims;
    for (int i = 0; same && i < t->n_dims; i++)
        same = t->dim[i] == want->shape.dim[i];
    if (!same) {
        char expected[128], found[192];
        shape_text(want->shape.dim, want->shape.n_dims, expected, sizeof expected);
        shape_text(t->dim, t->n_dims, found, sizeof found);
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected shape %s, found %s", path, want->name, expected, found);
    }
    if (t->dtype != LT_F32 && t->dtype != LT_F64)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected floating point numbers, found integers", path, want->name);
    return LT_OK;
}

// A counter belongs to a batch norm of the graph and is a non-negative integer; *count becomes the largest one.
static lt_status check_counter(const char *path, const lt_model *m, const lt_tensor *t, size_t stem, int64_t *count)
{
    char name[LTI_NAME_MAX];
    int len =
        snprintf(name, sizeof name, "%.*s.running_var", (int)(stem < LTI_NAME_MAX ? stem : LTI_NAME_MAX), t->name);
    if (len >= LTI_NAME_MAX || lt_graph_find(m->graph, name) == LT_NONE)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: %s has no such batch norm", path, t->name, m->spec);
    int64_t value;
    if (t->dtype != LT_I64 || t->n_bytes != sizeof value)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected one 64-bit integer", path, t->name);
    memcpy(&value, t->data, sizeof value);
    if (value < 0)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected 0 or more, found %lld", path, t->name, (long long)value);
    if (value > *count)
        *count = value;
    return LT_OK;
}

static lt_status check_extra(const char *path, const lt_model *m, const lt_tensor_file *file, int64_t *count)
{
    lt_value_info info;
    for (int i = 0; i < lt_tensor_file_count(file); i++) {
        const lt_tensor *t = lt_tensor_file_at(file, i);
        size_t stem;
        if (lti_has_suffix(t->name, ".num_batches_tracked", &stem)) {
            LT_TRY(check_counter(path, m, t, stem, count));
            continue;
        }
        lt_val v = lt_graph_find(m->graph, t->name);
        if (v != LT_NONE && lti_model_tensor(m, v, &info))
            continue;
        LT_FAIL(LT_E_FORMAT, "%s: tensor %s: %s has no such tensor", path, t->name, m->spec);
        if (strncmp(t->name, "module.", 7) == 0)
            lt_error_hint("saved from DataParallel: save model.module.state_dict() instead");
        return LT_E_FORMAT;
    }
    return LT_OK;
}

// Copies t into the slab, converting from double where it must.
static lt_status read_tensor(const char *path, const lt_model *m, const lt_value_info *info, const lt_tensor *t)
{
    float *out = (info->role == LT_ROLE_PARAM ? m->params : m->state) + info->slab_offset;
    const int64_t n = lti_model_shape_count(&info->shape);
    size_t stem;
    const bool variance = lti_has_suffix(info->name, ".running_var", &stem);
    if (t->dtype == LT_F32)
        memcpy(out, t->data, (size_t)n * sizeof *out);
    else
        for (int64_t i = 0; i < n; i++) {
            double value;
            memcpy(&value, (const char *)t->data + (size_t)i * sizeof value, sizeof value);
            out[i] = (float)value;
        }
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(out[i]))
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected finite numbers, found %f at index %lld", path,
                           info->name, (double)out[i], (long long)i);
        if (variance && out[i] < 0)
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected variances of 0 or more, found %g at index %lld", path,
                           info->name, (double)out[i], (long long)i);
    }
    return LT_OK;
}

static lt_status read_all(const char *path, const lt_tensor_file *file, lt_model *m)
{
    lt_value_info info;
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++)
        if (lti_model_tensor(m, v, &info))
            LT_TRY(check_tensor(path, &info, lt_tensor_file_find(file, info.name)));
    int64_t count = 0;
    LT_TRY(check_extra(path, m, file, &count));
    m->bn_batches = count;
    LT_TRY(lti_model_alloc(m));
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++)
        if (lti_model_tensor(m, v, &info))
            LT_TRY(read_tensor(path, m, &info, lt_tensor_file_find(file, info.name)));
    return LT_OK;
}

static lt_status bad_classes(const char *path, const char *found, int expected)
{
    return LT_FAIL(LT_E_FORMAT, "%s: lethe.classes: expected a JSON array of %d names, found %s", path, expected,
                   found);
}

static lt_status read_classes(const char *path, const char *text, lt_model *m)
{
    const size_t n = (size_t)m->shape.n_classes;
    lt_status status = LT_OK;
    const char **names = NULL;
    json_t *array = json_loads(text, 0, NULL);
    if (!json_is_array(array)) {
        status = bad_classes(path, "something else", m->shape.n_classes);
        goto done;
    }
    if (json_array_size(array) != n) {
        status = bad_classes(path, "another number of them", m->shape.n_classes);
        goto done;
    }
    names = lti_malloc(n * sizeof *names);
    if (!names) {
        status = LTI_NOMEM("class names");
        goto done;
    }
    for (size_t i = 0; i < n; i++) {
        names[i] = json_string_value(json_array_get(array, i));
        if (!names[i]) {
            status = bad_classes(path, "an entry that is not text", m->shape.n_classes);
            goto done;
        }
    }
    status = lt_model_set_class_names(m, names);
done:
    lti_free(names);
    json_decref(array);
    return status;
}

// "3x32x32" of the metadata.
static lt_status read_input(const char *path, const char *text, lt_model_shape *shape)
{
    long long d[3] = {0};
    int used = 0;
    if (strlen(text) > 32 || sscanf(text, "%4lldx%4lldx%4lld%n", &d[0], &d[1], &d[2], &used) != 3 || text[used])
        return LT_FAIL(LT_E_FORMAT, "%s: lethe.input: expected CxHxW such as 3x32x32, found '%.40s'", path, text);
    shape->c = (int)d[0];
    shape->h = (int)d[1];
    shape->w = (int)d[2];
    return LT_OK;
}

// Number of classes = first dimension of the architecture's last weight.
static lt_status read_n_classes(const char *path, const lt_tensor_file *file, const lti_arch *arch, int *n)
{
    const lt_tensor *t = lt_tensor_file_find(file, arch->head);
    if (!t)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s is missing", path, arch->head);
    if (t->n_dims != 2 || t->dim[0] < 1 || t->dim[0] > LTI_CLASSES_MAX)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected 1..%d rows and two dimensions", path, arch->head,
                       LTI_CLASSES_MAX);
    *n = (int)t->dim[0];
    return LT_OK;
}

// A failure in what the file says about itself is the file's fault, whatever the parser calls it.
static lt_status as_format(const char *path, lt_status status)
{
    if (status != LT_E_USAGE && status != LT_E_SHAPE)
        return status;
    char message[LT_ERROR_MESSAGE_MAX];
    snprintf(message, sizeof message, "%s", lt_error_get()->message);
    return LT_FAIL(LT_E_FORMAT, "%s: metadata: %s", path, message);
}

// Settles spec and shape from the caller's word and the file's; where both speak they must agree.
static lt_status settle(const char *path, const lt_tensor_file *file, const char **spec, lt_model_shape *shape,
                        const lt_model_shape *given)
{
    const char *own_spec = lt_tensor_file_meta(file, "lethe.model"),
               *own_input = lt_tensor_file_meta(file, "lethe.input");
    const char *given_spec = *spec;
    lti_model_spec parsed;
    *shape = given ? *given : (lt_model_shape){0};
    if ((!given_spec && !own_spec) || (!given && !own_input)) {
        LT_FAIL(LT_E_FORMAT, "%s: its metadata does not say %s", path,
                !given_spec && !own_spec ? "which model it holds (lethe.model)"
                                         : "the size of its images (lethe.input)");
        return lt_error_hint("not written by lethe? name the model and the image size");
    }
    if (own_input) {
        LT_TRY(read_input(path, own_input, shape));
        if (given && (given->c != shape->c || given->h != shape->h || given->w != shape->w))
            return LT_FAIL(LT_E_SHAPE, "%s: expected a model for %dx%dx%d images, found one for %s", path, given->c,
                           given->h, given->w, own_input);
    }
    lt_model_shape probe = {shape->c, shape->h, shape->w, 1};
    lt_status status = lti_model_shape_check(&probe);
    LT_TRY(own_input ? as_format(path, status) : status);
    status = lti_model_spec_parse(given_spec ? given_spec : own_spec, shape->c, &parsed);
    LT_TRY(given_spec ? status : as_format(path, status));
    if (!given_spec)
        *spec = own_spec;
    LT_TRY(read_n_classes(path, file, parsed.arch, &shape->n_classes));
    if (given && given->n_classes && given->n_classes != shape->n_classes)
        return LT_FAIL(LT_E_SHAPE, "%s: expected %d classes, found %d", path, given->n_classes, shape->n_classes);
    return LT_OK;
}

// The file's lethe.model must name the model that was built, and lethe.mean and lethe.std its normalisation.
static lt_status check_own_meta(const char *path, const lt_tensor_file *file, const lt_model *m)
{
    const char *own_spec = lt_tensor_file_meta(file, "lethe.model");
    if (!own_spec)
        return LT_OK;
    lti_model_spec parsed;
    LT_TRY(as_format(path, lti_model_spec_parse(own_spec, m->shape.c, &parsed)));
    char *text = lti_model_spec_text(&parsed), *mean = lti_floats_text(parsed.mean, parsed.n_channels),
         *std = lti_floats_text(parsed.std, parsed.n_channels);
    const char *own_mean = lt_tensor_file_meta(file, "lethe.mean"), *own_std = lt_tensor_file_meta(file, "lethe.std");
    lt_status status = LT_OK;
    if (!text || !mean || !std)
        status = LTI_NOMEM("model metadata");
    else if (strcmp(text, m->spec) != 0)
        status = LT_FAIL(LT_E_USAGE, "%s: expected the model %s, found %s", path, m->spec, text);
    else if ((own_mean && strcmp(own_mean, mean) != 0) || (own_std && strcmp(own_std, std) != 0))
        status =
            LT_FAIL(LT_E_FORMAT, "%s: lethe.mean and lethe.std: expected %s and %s as in lethe.model", path, mean, std);
    lti_free(text);
    lti_free(mean);
    lti_free(std);
    return status;
}

static lt_status read_model(const char *path, const lt_tensor_file *file, lt_model *m)
{
    LT_TRY(check_own_meta(path, file, m));
    LT_TRY(read_all(path, file, m));
    const char *classes = lt_tensor_file_meta(file, "lethe.classes");
    if (classes)
        LT_TRY(read_classes(path, classes, m));
    for (int i = 0; i < lt_tensor_file_n_meta(file); i++) {
        lt_meta meta = lt_tensor_file_meta_at(file, i);
        if (!lti_model_meta_reserved(meta.key))
            LT_TRY(lt_model_set_meta(m, meta.key, meta.value));
    }
    return LT_OK;
}

lt_status lt_model_open(const char *path, const char *spec, const lt_model_shape *given, lt_model **model)
{
    lt_tensor_file *file = NULL;
    lt_model *m = NULL;
    lt_model_shape shape;
    lt_status status;
    *model = NULL;
    LT_TRY(lt_tensor_file_open(path, &file));
    LT_TRY_GOTO(settle(path, file, &spec, &shape, given), fail);
    LT_TRY_GOTO(lti_model_build(spec, shape, &m), fail);
    LT_TRY_GOTO(read_model(path, file, m), fail);
    lt_tensor_file_close(file);
    *model = m;
    return LT_OK;
fail:
    lt_model_destroy(m);
    lt_tensor_file_close(file);
    return status;
}
