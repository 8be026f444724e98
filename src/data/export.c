// export.c - data sets written as files that every tool reads: .npz, PNG folders, the binary layout of CIFAR-10
// (tar shards: pack.c).
//
// CIFAR-10: one label byte and 3 x 32 x 32 bytes a record; the training split is spread evenly over five files. A set
// of the official size comes out byte for byte as the official one; others need allow-partial=1 to be read back.
#include "data_impl.h"
#include "lethe/dataset_info.h"
#include "lethe/tensorfile.h"
#include <stdio.h>
#include <string.h>

enum { N_TRAIN_FILES = 5 };

static lt_status write_records(const lt_dataset *ds, lt_split s, int64_t first, int64_t n, const char *path)
{
    const lt_split_data *d = &ds->split[s];
    size_t len = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    lti_writer w;
    lt_status status = LT_OK;
    if (!path)
        return LTI_NOMEM("file name");
    LT_TRY(lti_writer_open(path, &w));
    for (int64_t i = first; i < first + n; i++) {
        uint8_t record[1 + 3072];
        record[0] = (uint8_t)d->y[i];
        memcpy(record + 1, d->x + (size_t)i * len, len);
        LT_TRY_GOTO(lti_writer_add(&w, record, 1 + len), fail);
    }
    LT_TRY(lti_writer_commit(&w));
    return LT_OK;
fail:
    lti_writer_abort(&w);
    return status;
}

lt_status lt_dataset_export_cifar(const lt_dataset *ds, const char *dir)
{
    if (ds->c != 3 || ds->h != 32 || ds->w != 32 || ds->n_classes > 256)
        return LT_FAIL(LT_E_SHAPE, "the CIFAR layout holds 3x32x32 images in at most 256 classes, not %dx%dx%d in %d",
                       ds->c, ds->h, ds->w, ds->n_classes);
    LT_TRY(lt_make_dirs(dir));
    lti_arena arena = {0};
    lti_buf names = {0};
    lt_status status = LT_OK;
    int64_t n = ds->split[LT_TRAIN].n, first = 0;
    for (int f = 0; f < N_TRAIN_FILES; f++) {
        char name[32];
        int64_t share = n / N_TRAIN_FILES + (f < n % N_TRAIN_FILES);
        snprintf(name, sizeof name, "data_batch_%d.bin", f + 1);
        LT_TRY_GOTO(write_records(ds, LT_TRAIN, first, share, lti_join(&arena, dir, name)), out);
        first += share;
    }
    LT_TRY_GOTO(write_records(ds, LT_TEST, 0, ds->split[LT_TEST].n, lti_join(&arena, dir, "test_batch.bin")), out);
    for (int k = 0; k < ds->n_classes; k++)
        lti_buf_printf(&names, "%s\n", ds->class_names[k]);
    const char *meta = lti_join(&arena, dir, "batches.meta.txt");
    LT_TRY_GOTO(names.failed || !meta ? LTI_NOMEM("class names") : lt_write_file_atomic(meta, names.data, names.n),
                out);
out:
    lti_buf_clear(&names);
    lti_arena_clear(&arena);
    return status;
}

// ---- npz

enum { N_ARRAYS = 6, N_NAMES = 3 };

static void fill_arrays(const lt_dataset *ds, lt_tensor t[N_ARRAYS])
{
    static const char *const names[2][3] = {{"train_x", "train_y", "train_id"}, {"test_x", "test_y", "test_id"}};
    const size_t image = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    int n = 0;
    for (int s = 0; s < 2; s++) {
        const lt_split_data *d = &ds->split[s];
        t[n++] = (lt_tensor){names[s][0], LT_U8, 4, {d->n, ds->c, ds->h, ds->w}, (void *)d->x, (size_t)d->n * image};
        t[n++] = (lt_tensor){names[s][1], LT_I32, 1, {d->n}, (void *)d->y, (size_t)d->n * sizeof *d->y};
        t[n++] = (lt_tensor){names[s][2], LT_I64, 1, {d->n}, (void *)d->id, (size_t)d->n * sizeof *d->id};
    }
}

static lt_status export_npz(const lt_dataset *ds, const char *path)
{
    lt_tensor t[N_ARRAYS];
    fill_arrays(ds, t);
    return lt_npz_write(path, t, N_ARRAYS);
}

// ---- safetensors

static lt_tensor join_texts(const char *name, const char *const *text, int64_t n, lti_buf *buf)
{
    for (int64_t i = 0; i < n; i++) {
        lti_buf_puts(buf, text[i]);
        lti_buf_add(buf, "", 1);
    }
    return (lt_tensor){name, LT_U8, 1, {(int64_t)buf->n}, buf->data, buf->n};
}

static lt_status export_safetensors(const lt_dataset *ds, const char *path)
{
    static const char *const sample_names[2] = {"train_name", "test_name"};
    lt_tensor t[N_ARRAYS + N_NAMES];
    lti_buf text[N_NAMES] = {0};
    int n = N_ARRAYS;
    if (ds->steps)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: event recordings are not written as safetensors", ds->spec);
    fill_arrays(ds, t);
    t[n++] = join_texts("class_name", ds->class_names, ds->n_classes, &text[0]);
    for (int s = 0; s < 2; s++)
        if (ds->split[s].name && ds->split[s].n > 0)
            t[n++] = join_texts(sample_names[s], ds->split[s].name, ds->split[s].n, &text[1 + s]);
    bool failed = false;
    for (int k = 0; k < N_NAMES; k++)
        failed |= text[k].failed;
    const lt_status status = failed ? LTI_NOMEM("names") : lt_safetensors_write(path, t, n, NULL, 0);
    for (int k = 0; k < N_NAMES; k++)
        lti_buf_clear(&text[k]);
    return status;
}

// ---- PNG folders

// A class name as a directory name: separators and leading dots would lead elsewhere.
static char *directory_name(const char *class_name)
{
    char *name = lti_strdup(*class_name ? class_name : "_");
    for (char *p = name; p && *p; p++)
        if (*p == '/' || (p == name && *p == '.'))
            *p = '_';
    return name;
}

static lt_status export_class(const lt_dataset *ds, const lt_split_data *d, int class_index, const char *folder)
{
    const size_t image = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    lt_status status = lt_make_dirs(folder);
    for (int64_t i = 0; i < d->n && status == LT_OK; i++) {
        if (d->y[i] != class_index)
            continue;
        char *path = lti_asprintf("%s/%06lld.png", folder, (long long)d->id[i]);
        status = path ? lt_png_write(path, ds->c, ds->h, ds->w, d->x + (size_t)i * image) : LTI_NOMEM("file name");
        lti_free(path);
    }
    return status;
}

static lt_status export_png(const lt_dataset *ds, const char *dir)
{
    static const char *const split_name[2] = {[LT_TRAIN] = "train", [LT_TEST] = "test"};
    lt_status status = LT_OK;
    for (int s = 0; s < 2; s++)
        for (int k = 0; k < ds->n_classes && status == LT_OK; k++) {
            char *name = directory_name(ds->class_names[k]);
            char *folder = name ? lti_asprintf("%s/%s/%s", dir, split_name[s], name) : NULL;
            status = folder ? export_class(ds, &ds->split[s], k, folder) : LTI_NOMEM("file name");
            lti_free(folder);
            lti_free(name);
        }
    return status;
}

lt_status lt_dataset_format_of(const char *path, lt_dataset_format *format)
{
    static const struct {
        const char *end;
        lt_dataset_format format;
    } known[] = {{".npz", LT_DATASET_NPZ}, {".safetensors", LT_DATASET_SAFETENSORS}, {".tar", LT_DATASET_TAR}};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path, *end = strrchr(name, '.');
    *format = LT_DATASET_PNG;
    if (!end || end == name || !end[1] || lti_is_dir(path))
        return LT_OK;
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (strcmp(end, known[k].end) == 0) {
            *format = known[k].format;
            return LT_OK;
        }
    LT_FAIL(LT_E_USAGE, "%s: expected a name that ends in .npz, .safetensors or .tar, or a folder, found '%s'", path,
            end);
    return lt_error_hint("--format names the format whatever the file is called");
}

lt_status lt_dataset_export(const lt_dataset *ds, lt_dataset_format format, const char *path)
{
    if (format == LT_DATASET_NPZ)
        return export_npz(ds, path);
    if (format == LT_DATASET_SAFETENSORS)
        return export_safetensors(ds, path);
    if (format == LT_DATASET_TAR)
        return lt_dataset_pack(ds, path, LT_SHARD_SIZE, NULL);
    return format == LT_DATASET_CIFAR ? lt_dataset_export_cifar(ds, path) : export_png(ds, path);
}
