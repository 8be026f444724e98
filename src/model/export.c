// export.c - the tensors of a model in the formats of other programs, under lethe's names or under those of a
// checkpoint.
#include "model/key_map.h"
#include <stdio.h>
#include <string.h>

static lt_status write_tensors(const char *path, const lt_tensor *list, int n)
{
    return lti_ends_with(path, ".npz") ? lt_npz_write(path, list, n) : lt_torch_write(path, list, n);
}

// list: in the arena, room for all tensors of the model.
static lt_status list_all(const lt_model *m, lti_arena *arena, int64_t *counter, lt_tensor **list, int *n)
{
    *list = lti_arena_alloc(arena, 2 * (size_t)lt_graph_n_values(m->graph) * sizeof **list);
    return *list ? lti_model_list_tensors(m, arena, counter, *list, n) : LTI_NOMEM("the list of tensors");
}

lt_status lt_model_export(const lt_model *m, const char *path)
{
    lti_arena arena = {0};
    lt_tensor *list;
    int n = 0;
    int64_t counter = m->bn_batches;
    lt_status status = list_all(m, &arena, &counter, &list, &n);
    if (status == LT_OK)
        status = write_tensors(path, list, n);
    lti_arena_clear(&arena);
    return status;
}

// ---- under the names of a checkpoint

static int find_index(const lt_tensor_file *file, const lt_tensor *t)
{
    for (int i = 0; i < lt_tensor_file_count(file); i++)
        if (lt_tensor_file_at(file, i) == t)
            return i;
    return -1;
}

static bool has_shape(const lt_tensor *a, const lt_tensor *b)
{
    return a->n_dims == b->n_dims && !memcmp(a->dim, b->dim, (size_t)a->n_dims * sizeof a->dim[0]);
}

// out (tensors of the file) becomes the model's values under the file's names; counters that the file lacks are left
// out, as are those of its tensors that the model has none for.
static lt_status rename_tensors(const char *like, const lt_tensor_file *file, const lti_key_map *map,
                                const lt_tensor *list, int n, lt_tensor *out)
{
    for (int i = 0; i < n; i++) {
        const lt_tensor *t = lti_key_map_find(map, list[i].name);
        if (!t && list[i].dtype == LT_I64)
            continue;
        if (!t)
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s is missing: not a checkpoint of this architecture", like,
                           list[i].name);
        const bool is_counter = list[i].dtype == LT_I64; // one number, whatever the shape
        if (!is_counter && !has_shape(t, &list[i]))
            return LT_FAIL(LT_E_SHAPE, "%s: tensor %s: its shape is not the model's", like, t->name);
        lt_tensor *o = &out[find_index(file, t)];
        *o = list[i];
        o->name = t->name;
        o->n_dims = t->n_dims;
        memcpy(o->dim, t->dim, sizeof o->dim);
    }
    return LT_OK;
}

// What stays as the file has it: the normalisation layer, and power iterations, which start where they were.
static lt_status complete_tensors(const char *like, const lt_tensor_file *file, const lti_key_map *map, lt_tensor *out)
{
    for (int i = 0; i < lt_tensor_file_count(file); i++) {
        const lt_tensor *t = lt_tensor_file_at(file, i);
        if (out[i].name)
            continue;
        if (t != map->mean && t != map->std && !lti_is_power_iterate(t->name))
            return LT_FAIL(LT_E_FORMAT, "%s: tensor %s: the model has no such tensor", like, t->name);
        out[i] = *t;
    }
    return LT_OK;
}

static lt_status export_like(const lt_model *m, const char *like, const lt_tensor_file *file, const char *path,
                             lti_arena *arena)
{
    lti_model_spec spec;
    lti_key_map map;
    lt_tensor *list;
    int n = 0;
    int64_t counter = m->bn_batches;
    const int n_file = lt_tensor_file_count(file);
    lt_tensor *out = lti_arena_alloc(arena, ((size_t)n_file + 1) * sizeof *out);
    if (!out)
        return LTI_NOMEM("the list of tensors");
    memset(out, 0, (size_t)n_file * sizeof *out);
    LT_TRY(lti_model_spec_parse(m->spec, m->shape.c, &spec));
    LT_TRY(list_all(m, arena, &counter, &list, &n));
    lt_status status = lti_key_map_create(like, file, spec.arch, &map);
    if (status == LT_OK)
        status = rename_tensors(like, file, &map, list, n, out);
    if (status == LT_OK)
        status = complete_tensors(like, file, &map, out);
    if (status == LT_OK)
        status = write_tensors(path, out, n_file);
    lti_key_map_clear(&map);
    return status;
}

lt_status lt_model_export_like(const lt_model *m, const char *like, const char *path)
{
    lt_tensor_file *file;
    lti_arena arena = {0};
    LT_TRY(lt_tensor_file_open(like, &file));
    const lt_status status = export_like(m, like, file, path, &arena);
    lti_arena_clear(&arena);
    lt_tensor_file_close(file);
    return status;
}
