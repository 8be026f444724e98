// checkpoint.c - models in safetensors files that PyTorch reads and writes unchanged.
//
// A file holds every key of the PyTorch state_dict, num_batches_tracked (I64 scalars) included, plus the architecture,
// the input size, the class names and the normalisation in its metadata. Opening builds the graph first and holds the
// file against it: each tensor must occur once, with the graph's shape and finite values, and nothing else may be.
#include "model/key_map.h"
#include "io/json_read.h"
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

lt_status lti_model_list_tensors(const lt_model *m, lti_arena *names, int64_t *counter, lt_tensor *list, int *n)
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

// Text that was made for one entry, moved into the arena.
static lt_status keep_text(lti_arena *arena, char *text, const char **kept)
{
    *kept = text ? lti_arena_strdup(arena, text) : NULL;
    return *kept ? LT_OK : LTI_NOMEM("model metadata");
}

static lt_status list_normalization(const lt_model *m, lti_arena *arena, lt_meta *meta, int *n)
{
    lti_model_spec spec;
    LT_TRY(lti_model_spec_parse(m->spec, m->shape.c, &spec));
    const struct {
        const char *key;
        const float *value;
    } row[] = {{"lethe.mean", spec.mean}, {"lethe.std", spec.std}};
    for (int i = 0; i < 2 && spec.normalize; i++) {
        char *text = lti_floats_text(row[i].value, spec.n_channels);
        meta[*n].key = row[i].key;
        const lt_status status = keep_text(arena, text, &meta[(*n)++].value);
        lti_free(text);
        LT_TRY(status);
    }
    return LT_OK;
}

lt_status lti_model_list_meta(const lt_model *m, lti_arena *arena, lt_meta **meta, int *n)
{
    enum { N_OWN = 5 };
    char input[64];
    lt_meta *list = lti_arena_alloc(arena, ((size_t)m->n_meta + N_OWN) * sizeof *list);
    *n = 0;
    if (!list)
        return LTI_NOMEM("model metadata");
    *meta = list;
    snprintf(input, sizeof input, "%dx%dx%d", m->shape.c, m->shape.h, m->shape.w);
    list[(*n)++] = (lt_meta){"lethe.model", m->spec};
    list[*n].key = "lethe.input";
    LT_TRY(keep_text(arena, input, &list[(*n)++].value));
    if (m->class_names) {
        char *text = classes_json(m);
        if (!text)
            return LT_FAIL(LT_E_FORMAT, "class names: expected UTF-8 text");
        list[*n].key = "lethe.classes";
        const lt_status status = keep_text(arena, text, &list[(*n)++].value);
        free(text);
        LT_TRY(status);
    }
    LT_TRY(list_normalization(m, arena, list, n));
    for (int i = 0; i < m->n_meta; i++)
        list[(*n)++] = m->meta[i];
    return LT_OK;
}

static lt_status save_with(const lt_model *m, const char *path, lti_arena *arena)
{
    lt_tensor *list = lti_arena_alloc(arena, 2 * (size_t)lt_graph_n_values(m->graph) * sizeof *list);
    lt_meta *own, *meta;
    int n_meta, n = 0;
    int64_t counter = m->bn_batches;
    LT_TRY(lti_model_list_meta(m, arena, &own, &n_meta));
    meta = lti_arena_alloc(arena, ((size_t)n_meta + 1) * sizeof *meta);
    if (!list || !meta)
        return LTI_NOMEM("the list of tensors");
    meta[0] = (lt_meta){"format", "pt"};
    memcpy(meta + 1, own, (size_t)n_meta * sizeof *meta);
    LT_TRY(lti_model_list_tensors(m, arena, &counter, list, &n));
    return lt_safetensors_write(path, list, n, meta, n_meta + 1);
}

lt_status lt_model_save(const lt_model *m, const char *path)
{
    lti_arena arena = {0};
    const lt_status status = save_with(m, path, &arena);
    lti_arena_clear(&arena);
    return status == LT_OK ? LT_OK : lt_error_frame(status, __FILE__, __LINE__, __func__);
}

// ---- opening

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

static lt_status read_all(const char *path, const lti_key_map *map, lt_model *m)
{
    lt_value_info info;
    lt_differences differences;
    LT_TRY(lti_compare_tensors(path, m, map, &m->bn_batches, &differences));
    const lt_status status = lti_differences_status(path, m, &differences);
    lt_differences_clear(&differences);
    LT_TRY(status);
    LT_TRY(lti_model_alloc(m));
    for (lt_val v = 0; v < lt_graph_n_values(m->graph); v++)
        if (lti_model_tensor(m, v, &info))
            LT_TRY(read_tensor(path, m, &info, lti_key_map_find(map, info.name)));
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
    json_error_t error;
    json_t *array = lti_json_parse(text, strlen(text), 0, &error);
    if (!array && lti_json_lacked_memory(&error)) {
        status = LTI_NOMEM("class names");
        goto done;
    }
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

// Number of classes = first dimension of the architecture's last weight; as it was where the file has none.
static lt_status read_n_classes(const char *path, const lti_key_map *map, const lti_arch *arch, int *n)
{
    const lt_tensor *t = lti_key_map_find(map, arch->head);
    if (!t)
        return LT_OK;
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
    char message[LT_ERROR_MESSAGE_MAX], hint[LT_ERROR_HINT_MAX];
    snprintf(message, sizeof message, "%s", lt_error_get()->message);
    snprintf(hint, sizeof hint, "%s", lt_error_get()->hint);
    LT_FAIL(LT_E_FORMAT, "%s: metadata: %s", path, message);
    return *hint ? lt_error_hint("%s", hint) : LT_E_FORMAT;
}

// What a file is opened as: the caller's word and the file's, which must agree where both speak.
typedef struct opening {
    const char *path;
    const lt_tensor_file *file;
    lti_key_map map;
    lti_model_spec spec;
    char *spec_text; // canonical; lti_free
    lt_model_shape shape;
} opening;

// The values of a normalisation layer: one per channel, or one for all.
static lt_status read_normalizer(const opening *o, const lt_tensor *t, float *out)
{
    const size_t size = t->dtype == LT_F64 ? sizeof(double) : sizeof(float);
    const size_t n = t->n_bytes / size, channels = (size_t)o->shape.c;
    if ((t->dtype != LT_F32 && t->dtype != LT_F64) || (n != channels && n != 1))
        return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected %d numbers, one per channel, found another shape", o->path,
                       t->name, o->shape.c);
    for (size_t c = 0; c < channels; c++) {
        double wide;
        const size_t at = n == 1 ? 0 : c;
        if (t->dtype == LT_F64) {
            memcpy(&wide, (const char *)t->data + at * size, size);
            out[c] = (float)wide;
        } else {
            memcpy(&out[c], (const char *)t->data + at * size, size);
        }
        if (!isfinite(out[c]))
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected finite numbers, found %f", o->path, t->name,
                           (double)out[c]);
    }
    return LT_OK;
}

static lt_status take_normalizer(opening *o)
{
    if (!o->map.mean && !o->map.std)
        return LT_OK;
    if (!o->map.mean || !o->map.std)
        return LT_FAIL(LT_E_FORMAT, "%s: expected mean and std of its normalisation layer, found one of them", o->path);
    lti_model_spec own = o->spec;
    own.normalize = true;
    own.n_channels = o->shape.c;
    LT_TRY(read_normalizer(o, o->map.mean, own.mean));
    LT_TRY(read_normalizer(o, o->map.std, own.std));
    for (int c = 0; c < o->shape.c; c++) {
        if (own.std[c] < 1e-6f)
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: expected deviations above 0, found %g", o->path,
                           o->map.std->name, (double)own.std[c]);
        if (o->spec.normalize &&
            (fabsf(own.mean[c] - o->spec.mean[c]) > 1e-4f || fabsf(own.std[c] - o->spec.std[c]) > 1e-4f))
            return LT_FAIL(LT_E_USAGE,
                           "%s: its normalisation layer has mean %g and std %g of channel %d, not %g and %g "
                           "as requested",
                           o->path, (double)own.mean[c], (double)own.std[c], c, (double)o->spec.mean[c],
                           (double)o->spec.std[c]);
    }
    o->spec = own;
    return LT_OK;
}

static lt_status settle_shape(opening *o, const char *given_spec, const lt_model_shape *given)
{
    const char *own_spec = lt_tensor_file_meta(o->file, "lethe.model"),
               *own_input = lt_tensor_file_meta(o->file, "lethe.input");
    o->shape = given ? *given : (lt_model_shape){0};
    if ((!given_spec && !own_spec) || (!given && !own_input)) {
        LT_FAIL(LT_E_FORMAT, "%s: its metadata does not say %s", o->path,
                !given_spec && !own_spec ? "which model it holds (lethe.model)"
                                         : "the size of its images (lethe.input)");
        return lt_error_hint("not written by lethe? name the model and the image size");
    }
    if (own_input) {
        LT_TRY(read_input(o->path, own_input, &o->shape));
        if (given && (given->c != o->shape.c || given->h != o->shape.h || given->w != o->shape.w))
            return LT_FAIL(LT_E_SHAPE, "%s: expected a model for %dx%dx%d images, found one for %s", o->path, given->c,
                           given->h, given->w, own_input);
    }
    lt_model_shape probe = {o->shape.c, o->shape.h, o->shape.w, 1};
    lt_status status = lti_model_shape_check(&probe);
    return own_input ? as_format(o->path, status) : status;
}

static lt_status resolve_spec(opening *o, const char *given_spec, const lt_model_shape *given)
{
    LT_TRY(settle_shape(o, given_spec, given));
    const char *own_spec = lt_tensor_file_meta(o->file, "lethe.model");
    lt_status status = lti_model_spec_parse(given_spec ? given_spec : own_spec, o->shape.c, &o->spec);
    LT_TRY(given_spec ? status : as_format(o->path, status));
    LT_TRY(lti_key_map_create(o->path, o->file, o->spec.arch, &o->map));
    LT_TRY(take_normalizer(o));
    o->shape.n_classes = given && given->n_classes ? given->n_classes : 1; // where the last layer is missing
    LT_TRY(read_n_classes(o->path, &o->map, o->spec.arch, &o->shape.n_classes));
    if (given && given->n_classes && given->n_classes != o->shape.n_classes)
        return LT_FAIL(LT_E_SHAPE, "%s: expected %d classes, found %d", o->path, given->n_classes, o->shape.n_classes);
    o->spec_text = lti_model_spec_text(&o->spec);
    return o->spec_text ? LT_OK : LTI_NOMEM("model spec");
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

static lt_status read_model(const opening *o, lt_model *m)
{
    LT_TRY(check_own_meta(o->path, o->file, m));
    LT_TRY(read_all(o->path, &o->map, m));
    const char *classes = lt_tensor_file_meta(o->file, "lethe.classes");
    if (classes)
        LT_TRY(read_classes(o->path, classes, m));
    for (int i = 0; i < lt_tensor_file_n_meta(o->file); i++) {
        lt_meta meta = lt_tensor_file_meta_at(o->file, i);
        if (!lti_model_meta_reserved(meta.key))
            LT_TRY(lt_model_set_meta(m, meta.key, meta.value));
    }
    return LT_OK;
}

lt_status lt_model_open(const char *path, const char *spec, const lt_model_shape *given, lt_model **model)
{
    opening o = {.path = path};
    lt_tensor_file *file = NULL;
    lt_model *m = NULL;
    lt_status status;
    *model = NULL;
    LT_TRY(lt_tensor_file_open(path, &file));
    o.file = file;
    LT_TRY_GOTO(resolve_spec(&o, spec, given), done);
    LT_TRY_GOTO(lti_model_build(o.spec_text, o.shape, &m), done);
    LT_TRY_GOTO(read_model(&o, m), done);
    *model = m;
    m = NULL;
done:
    lt_model_destroy(m);
    lti_key_map_clear(&o.map);
    lti_free(o.spec_text);
    lt_tensor_file_close(file);
    return status;
}

lt_status lt_model_compare(const char *path, const char *spec, const lt_model_shape *given, lt_differences *differences)
{
    opening o = {.path = path};
    lt_tensor_file *file = NULL;
    lt_model *m = NULL;
    lt_status status;
    int64_t count;
    *differences = (lt_differences){0};
    LT_TRY(lt_tensor_file_open(path, &file));
    o.file = file;
    LT_TRY_GOTO(resolve_spec(&o, spec, given), done);
    LT_TRY_GOTO(lti_model_build(o.spec_text, o.shape, &m), done);
    LT_TRY_GOTO(lti_compare_tensors(path, m, &o.map, &count, differences), done);
done:
    lt_model_destroy(m);
    lti_key_map_clear(&o.map);
    lti_free(o.spec_text);
    lt_tensor_file_close(file);
    return status;
}

// ---- what a file says of itself

static void examine_tensors(const char *path, const lt_tensor_file *file, lt_model_facts *facts)
{
    lti_model_spec spec;
    lti_key_map map;
    if (lti_model_spec_parse(facts->spec, 3, &spec) != LT_OK)
        return;
    if (lti_key_map_create(path, file, spec.arch, &map) == LT_OK) {
        int n = 0; // stays where the file has no last layer
        if (read_n_classes(path, &map, spec.arch, &n) == LT_OK)
            facts->n_classes = n;
        facts->has_normalize = spec.normalize || (map.mean && map.std);
        const lt_tensor *stem = spec.arch->fit ? lti_key_map_find(&map, spec.arch->fit->stem) : NULL;
        if (stem && stem->n_dims == 4)
            facts->channels = (int)(stem->dim[1] <= LTI_CHANNELS_MAX ? stem->dim[1] : 0);
    }
    lti_key_map_clear(&map);
}

lt_status lt_model_examine(const char *path, lt_model_facts *facts)
{
    lt_tensor_file *file;
    *facts = (lt_model_facts){0};
    LT_TRY(lt_tensor_file_open(path, &file));
    const char *own_spec = lt_tensor_file_meta(file, "lethe.model"),
               *own_input = lt_tensor_file_meta(file, "lethe.input");
    facts->own = own_spec != NULL;
    snprintf(facts->input, sizeof facts->input, "%s", own_input ? own_input : "");
    if (own_spec)
        snprintf(facts->spec, sizeof facts->spec, "%s", own_spec);
    else
        facts->guessed = lti_guess_spec(path, file, facts->spec, sizeof facts->spec);
    if (facts->spec[0])
        examine_tensors(path, file, facts);
    lt_tensor_file_close(file);
    lt_error_clear();
    return LT_OK;
}
