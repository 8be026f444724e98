// samples.c - what a training set was, by content: written next to a model, held against the data of a later request.
//
// A list has the official id, the class and the digest of every training sample, and the class names. Identifying a
// data set matches samples by digest and class; equal images of one class are matched in their order. Renamed, added
// and deleted files therefore change nothing about the samples that remain: they keep their ids.
#include "data_impl.h"
#include "io/json_read.h"
#include "lethe/tensorfile.h"
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST_BYTES = 16 };

typedef struct known {
    unsigned char digest[DIGEST_BYTES];
    int32_t y;
    int64_t id; // of a list; row of a data set
} known;

struct lt_sample_list {
    int64_t n;
    known *sample; // sorted by digest, class, id
    int n_classes;
    const char **class_name; // (n_classes)
    lti_arena arena;
};

static unsigned char hex_value(char c)
{
    return (unsigned char)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static void digest_bytes(const lt_dataset *ds, int64_t row, unsigned char out[DIGEST_BYTES])
{
    char hex[LT_SAMPLE_DIGEST_HEX];
    lt_sample_digest(ds, LT_TRAIN, row, hex);
    for (int i = 0; i < DIGEST_BYTES; i++)
        out[i] = (unsigned char)(hex_value(hex[2 * i]) << 4 | hex_value(hex[2 * i + 1]));
}

// ---- writing and reading

static char *names_json(const lt_dataset *ds)
{
    json_t *names = json_array();
    for (int k = 0; k < ds->n_classes; k++)
        if (json_array_append_new(names, json_string(ds->class_names[k])) != 0)
            json_array_append_new(names, json_sprintf("class %d", k)); // a folder whose name is not UTF-8
    char *text = json_dumps(names, JSON_COMPACT);
    json_decref(names);
    return text;
}

lt_status lt_sample_list_write(const lt_dataset *ds, const char *path)
{
    const lt_split_data *d = &ds->split[LT_TRAIN];
    unsigned char(*digest)[DIGEST_BYTES] = lti_calloc((size_t)d->n + 1, sizeof *digest);
    char *names = names_json(ds);
    lt_status status = digest && names ? LT_OK : LTI_NOMEM(path);
    for (int64_t i = 0; status == LT_OK && i < d->n; i++)
        digest_bytes(ds, i, digest[i]);
    if (status == LT_OK) {
        const lt_tensor tensors[] = {
            {"id", LT_I64, 1, {d->n}, (void *)(uintptr_t)d->id, (size_t)d->n * sizeof *d->id},
            {"label", LT_I32, 1, {d->n}, (void *)(uintptr_t)d->y, (size_t)d->n * sizeof *d->y},
            {"digest", LT_U8, 2, {d->n, DIGEST_BYTES}, digest, (size_t)d->n * DIGEST_BYTES},
        };
        const lt_meta meta[] = {{"lethe.samples", "1"}, {"lethe.classes", names}};
        status = lt_safetensors_write(path, tensors, 3, meta, 2);
    }
    free(names);
    lti_free(digest);
    return status;
}

static int compare_known(const void *a, const void *b)
{
    const known *p = a, *q = b;
    int order = memcmp(p->digest, q->digest, DIGEST_BYTES);
    if (!order)
        order = (p->y > q->y) - (p->y < q->y);
    return order ? order : (p->id > q->id) - (p->id < q->id);
}

static lt_status read_names(const char *path, const char *text, lt_sample_list *list)
{
    json_error_t error;
    json_t *names = text ? lti_json_parse(text, strlen(text), 0, &error) : NULL;
    lt_status status = LT_OK;
    if (text && !names && lti_json_lacked_memory(&error))
        return LTI_NOMEM(path);
    list->n_classes = (int)json_array_size(names);
    list->class_name = lti_arena_alloc(&list->arena, ((size_t)list->n_classes + 1) * sizeof *list->class_name);
    if (!list->class_name)
        status = LTI_NOMEM(path);
    for (int k = 0; status == LT_OK && k < list->n_classes; k++) {
        const char *name = json_string_value(json_array_get(names, (size_t)k));
        if (!name || !(list->class_name[k] = lti_arena_strdup(&list->arena, name)))
            status = LT_FAIL(LT_E_FORMAT, "%s: expected class names, found another value", path);
    }
    if (status == LT_OK && list->n_classes < 1)
        status = LT_FAIL(LT_E_FORMAT, "%s: expected a list of samples with class names, found none", path);
    json_decref(names);
    return status;
}

static lt_status read_samples(const char *path, const lt_tensor_file *file, lt_sample_list *list)
{
    const lt_tensor *id = lt_tensor_file_find(file, "id"), *label = lt_tensor_file_find(file, "label"),
                    *digest = lt_tensor_file_find(file, "digest");
    const bool sound = id && label && digest && id->dtype == LT_I64 && id->n_dims == 1 && label->dtype == LT_I32 &&
                       label->n_dims == 1 && digest->dtype == LT_U8 && digest->n_dims == 2 &&
                       digest->dim[1] == DIGEST_BYTES && label->dim[0] == id->dim[0] && digest->dim[0] == id->dim[0];
    if (!sound)
        return LT_FAIL(LT_E_FORMAT, "%s: expected id (N), label (N) and digest (N,16) of samples, found other tensors",
                       path);
    list->n = id->dim[0];
    list->sample = lti_calloc((size_t)list->n + 1, sizeof *list->sample);
    if (!list->sample)
        return LTI_NOMEM(path);
    for (int64_t i = 0; i < list->n; i++) {
        known *k = &list->sample[i];
        k->id = ((const int64_t *)id->data)[i];
        k->y = ((const int32_t *)label->data)[i];
        memcpy(k->digest, (const unsigned char *)digest->data + i * DIGEST_BYTES, DIGEST_BYTES);
        if (k->y < 0 || k->y >= list->n_classes || k->id < 0 || (i && k->id <= ((const int64_t *)id->data)[i - 1]))
            return LT_FAIL(LT_E_FORMAT, "%s: sample %lld: expected ascending ids and classes 0..%d", path, (long long)i,
                           list->n_classes - 1);
    }
    qsort(list->sample, (size_t)list->n, sizeof *list->sample, compare_known);
    return LT_OK;
}

lt_status lt_sample_list_open(const char *path, lt_sample_list **out)
{
    lt_tensor_file *file = NULL;
    *out = NULL;
    LT_TRY(lt_tensor_file_open(path, &file));
    lt_sample_list *list = lti_calloc(1, sizeof *list);
    lt_status status = list ? read_names(path, lt_tensor_file_meta(file, "lethe.classes"), list) : LTI_NOMEM(path);
    if (status == LT_OK)
        status = read_samples(path, file, list);
    lt_tensor_file_close(file);
    if (status != LT_OK) {
        lt_sample_list_close(list);
        return status;
    }
    *out = list;
    return LT_OK;
}

void lt_sample_list_close(lt_sample_list *list)
{
    if (!list)
        return;
    lti_free(list->sample);
    lti_arena_clear(&list->arena);
    lti_free(list);
}

int64_t lt_sample_list_count(const lt_sample_list *list)
{
    return list->n;
}

bool lt_sample_list_digest(const lt_sample_list *list, int64_t id, char out[LT_SAMPLE_DIGEST_HEX])
{
    for (int64_t i = 0; i < list->n; i++)
        if (list->sample[i].id == id) {
            for (int k = 0; k < DIGEST_BYTES; k++)
                lti_format(out + (ptrdiff_t)2 * k, 3, "%02x", list->sample[i].digest[k]);
            return true;
        }
    return false;
}

// ---- identifying

void lt_identity_clear(lt_identity *identity)
{
    lti_free(identity->missing);
    *identity = (lt_identity){0};
}

// number[class of the set] = class of the list; -1 for one that the list does not know.
static void map_classes(const lt_dataset *ds, const lt_sample_list *list, int32_t *number)
{
    for (int k = 0; k < ds->n_classes; k++) {
        number[k] = -1;
        for (int j = 0; j < list->n_classes && number[k] < 0; j++)
            if (!strcmp(ds->class_names[k], list->class_name[j]))
                number[k] = j;
    }
}

static int compare_ids(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Both sides sorted alike: one pass. found[i] = {id, row} of each sample that is on both sides.
typedef struct pair {
    int64_t id, row;
} pair;

static void match_samples(const lt_sample_list *list, const known *here, int64_t n_here, pair *found,
                          lt_identity *identity)
{
    int64_t i = 0, j = 0;
    while (i < list->n || j < n_here) {
        int order = i == list->n ? 1 : j == n_here ? -1 : memcmp(list->sample[i].digest, here[j].digest, DIGEST_BYTES);
        if (!order)
            order = (list->sample[i].y > here[j].y) - (list->sample[i].y < here[j].y);
        if (order < 0)
            identity->missing[identity->n_missing++] = list->sample[i++].id;
        else if (order > 0)
            j++, identity->n_new++;
        else
            found[identity->n_found++] = (pair){list->sample[i++].id, here[j++].id};
    }
    qsort(found, (size_t)identity->n_found, sizeof *found, compare_ids); // by id, the first member
    qsort(identity->missing, (size_t)identity->n_missing, sizeof *identity->missing, compare_ids);
}

// The training split in the order of `found`, with its ids and the list's class numbers.
static lt_status rebuild_split(lti_dataset *own, const pair *found, int64_t n, const int32_t *number)
{
    lti_raw_split *d = &own->raw.split[LT_TRAIN], to = {.n = n, .cap = n};
    const size_t bytes = lti_raw_sample_bytes(&own->raw);
    lt_status status = lti_pixels_resize(&to.pixels, own->raw.scratch, (size_t)n * bytes);
    to.x = to.pixels.x;
    to.y = lti_calloc((size_t)n + 1, sizeof *to.y);
    to.id = lti_calloc((size_t)n + 1, sizeof *to.id);
    to.name = d->name ? lti_calloc((size_t)n + 1, sizeof *to.name) : NULL;
    to.other = d->other ? lti_calloc((size_t)n + 1, sizeof *to.other) : NULL;
    if (status == LT_OK && (!to.y || !to.id || (d->name && !to.name) || (d->other && !to.other)))
        status = LTI_NOMEM("training samples");
    if (status != LT_OK) {
        lti_raw_split_clear(&to);
        return status;
    }
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = found[i].row;
        memcpy(to.x + (size_t)i * bytes, d->x + (size_t)row * bytes, bytes);
        to.y[i] = number[d->y[row]];
        to.id[i] = found[i].id;
        if (d->name)
            to.name[i] = d->name[row];
        if (d->other)
            to.other[i] = d->other[row];
    }
    lti_raw_split_clear(d);
    *d = to;
    return LT_OK;
}

static lt_status rename_classes(lti_dataset *own, const lt_sample_list *list, const int32_t *number)
{
    lti_raw *raw = &own->raw;
    lti_raw_split *test = &raw->split[LT_TEST];
    const char **name = lti_arena_alloc(&raw->arena, (size_t)list->n_classes * sizeof *name);
    if (!name)
        return LTI_NOMEM("class names");
    for (int k = 0; k < list->n_classes; k++)
        if (!(name[k] = lti_arena_strdup(&raw->arena, list->class_name[k])))
            return LTI_NOMEM("class names");
    for (int64_t i = 0; i < test->n; i++) {
        if (number[test->y[i]] < 0)
            return LT_FAIL(LT_E_FORMAT, "test split: class '%s' is none of the classes that the model was trained on",
                           raw->class_name[test->y[i]]);
        test->y[i] = number[test->y[i]];
    }
    raw->class_name = name;
    raw->n_classes = list->n_classes;
    return LT_OK;
}

static bool is_unchanged(const lt_dataset *ds, const lt_sample_list *list, const lt_identity *identity,
                         const pair *found)
{
    bool same = !identity->n_missing && !identity->n_new && ds->n_classes == list->n_classes;
    for (int k = 0; same && k < ds->n_classes; k++)
        same = !strcmp(ds->class_names[k], list->class_name[k]);
    for (int64_t i = 0; same && i < identity->n_found; i++)
        same = found[i].row == i && ds->split[LT_TRAIN].id[i] == found[i].id;
    return same;
}

lt_status lt_dataset_identify(lt_dataset *ds, const lt_sample_list *list, lt_identity *identity)
{
    lti_dataset *own = ds->owner;
    const lt_split_data *d = &ds->split[LT_TRAIN];
    lt_status status = LT_OK;
    *identity = (lt_identity){0};
    known *here = lti_calloc((size_t)d->n + 1, sizeof *here);
    pair *found = lti_calloc((size_t)d->n + 1, sizeof *found);
    int32_t *number = lti_calloc((size_t)ds->n_classes + 1, sizeof *number);
    identity->missing = lti_calloc((size_t)list->n + 1, sizeof *identity->missing);
    if (!here || !found || !number || !identity->missing) {
        status = LTI_NOMEM("training samples");
        goto done;
    }
    map_classes(ds, list, number);
    for (int64_t i = 0; i < d->n; i++) {
        digest_bytes(ds, i, here[i].digest);
        here[i].y = number[d->y[i]];
        here[i].id = i;
    }
    qsort(here, (size_t)d->n, sizeof *here, compare_known);
    match_samples(list, here, d->n, found, identity);
    identity->changed = !is_unchanged(ds, list, identity, found);
    if (!identity->changed || !identity->n_found)
        goto done;
    LT_TRY_GOTO(rename_classes(own, list, number), done);
    LT_TRY_GOTO(rebuild_split(own, found, identity->n_found, number), done);
    // Ids count in the list, whose last one is the largest that a sample ever had.
    for (int64_t i = 0; i < list->n; i++)
        own->n_read[LT_TRAIN] =
            list->sample[i].id >= own->n_read[LT_TRAIN] ? list->sample[i].id + 1 : own->n_read[LT_TRAIN];
    lti_dataset_refresh(own);
done:
    lti_free(here);
    lti_free(found);
    lti_free(number);
    if (status != LT_OK)
        lt_identity_clear(identity);
    return status;
}
