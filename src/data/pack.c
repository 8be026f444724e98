// pack.c - data sets as WebDataset shards, which the kind `tar` reads back to the bit.
//
// A sample is ID.png and ID.cls. A folder gets train-000000.tar, train-000001.tar, ..., test-000000.tar; a single
// archive holds train/ID.png and test/ID.png. `__classes__` in front of each archive names the classes, one a line;
// WebDataset passes entries of such names over. Archives are written under a temporary name and depend on the images
// alone.
#include "data/png_write.h"
#include "data_impl.h"
#include "lethe/dataset_info.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

typedef struct shard { // being written
    lti_writer file;
    struct archive *archive;
    const char *path;
    lt_status status; // of the file
} shard;

static la_ssize_t on_bytes(struct archive *archive, void *self, const void *bytes, size_t n)
{
    shard *s = self;
    s->status = lti_writer_add(&s->file, bytes, n);
    if (s->status == LT_OK)
        return (la_ssize_t)n;
    archive_set_error(archive, EIO, "write error");
    return -1;
}

static lt_status archive_failed(const shard *s)
{
    const char *why = s->archive ? archive_error_string(s->archive) : NULL;
    return s->status != LT_OK ? s->status : LT_FAIL(LT_E_IO, "%s: %s", s->path, why ? why : "cannot be written");
}

static void shard_abort(shard *s)
{
    if (s->archive)
        archive_write_free(s->archive);
    lti_writer_abort(&s->file);
}

static lt_status shard_add(shard *s, const char *name, const void *bytes, size_t n)
{
    struct archive_entry *entry = archive_entry_new();
    if (!entry)
        return LTI_NOMEM("archive");
    archive_entry_set_pathname(entry, name);
    archive_entry_set_size(entry, (la_int64_t)n);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 0, 0);
    const bool ok = archive_write_header(s->archive, entry) == ARCHIVE_OK &&
                    archive_write_data(s->archive, bytes, n) == (la_ssize_t)n;
    archive_entry_free(entry);
    return ok ? LT_OK : archive_failed(s);
}

static lt_status shard_begin(const lt_dataset *ds, const char *path, shard *s)
{
    lti_buf names = {0};
    *s = (shard){.path = path};
    LT_TRY(lti_writer_open(path, &s->file));
    s->archive = archive_write_new();
    for (int k = 0; k < ds->n_classes; k++)
        lti_buf_printf(&names, "%s\n", ds->class_names[k]);
    lt_status status = s->archive && !names.failed ? LT_OK : LTI_NOMEM("archive");
    if (status == LT_OK && (archive_write_set_format_ustar(s->archive) != ARCHIVE_OK ||
                            archive_write_open(s->archive, s, NULL, on_bytes, NULL) != ARCHIVE_OK))
        status = archive_failed(s);
    if (status == LT_OK)
        status = shard_add(s, LTI_CLASSES_ENTRY, names.data, names.n);
    lti_buf_clear(&names);
    if (status != LT_OK)
        shard_abort(s);
    return status;
}

static lt_status shard_end(shard *s)
{
    if (archive_write_close(s->archive) != ARCHIVE_OK) {
        const lt_status status = archive_failed(s);
        shard_abort(s);
        return status;
    }
    archive_write_free(s->archive);
    return lti_writer_commit(&s->file);
}

static lt_status add_sample(const lt_dataset *ds, const lt_split_data *d, int64_t i, const char *prefix, shard *s)
{
    char name[64], label[16];
    lti_buf png = {0};
    const size_t image = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    LT_TRY(lti_png_encode(&png, ds->c, ds->h, ds->w, d->x + (size_t)i * image));
    lti_format(name, sizeof name, "%s%06lld.png", prefix, (long long)d->id[i]);
    lt_status status = shard_add(s, name, png.data, png.n);
    lti_buf_clear(&png);
    lti_format(name, sizeof name, "%s%06lld.cls", prefix, (long long)d->id[i]);
    const int n = lti_format(label, sizeof label, "%d", d->y[i]);
    return status == LT_OK ? shard_add(s, name, label, (size_t)n) : status;
}

static lt_status add_samples(const lt_dataset *ds, lt_split split, int64_t first, int64_t n, const char *prefix,
                             shard *s)
{
    for (int64_t i = first; i < first + n; i++) {
        const lt_status status = add_sample(ds, &ds->split[split], i, prefix, s);
        if (status != LT_OK) {
            shard_abort(s);
            return status;
        }
    }
    return LT_OK;
}

static lt_status pack_file(const lt_dataset *ds, const char *path)
{
    shard s;
    LT_TRY(shard_begin(ds, path, &s));
    LT_TRY(add_samples(ds, LT_TRAIN, 0, ds->split[LT_TRAIN].n, "train/", &s));
    LT_TRY(add_samples(ds, LT_TEST, 0, ds->split[LT_TEST].n, "test/", &s));
    return shard_end(&s);
}

static lt_status pack_split(const lt_dataset *ds, lt_split split, int64_t shard_size, const char *dir, lti_paths *made)
{
    const int64_t n = ds->split[split].n;
    for (int64_t first = 0; first < n; first += shard_size) {
        char name[64];
        shard s;
        lti_format(name, sizeof name, "%s-%06lld.tar", split == LT_TRAIN ? "train" : "test",
                   (long long)(first / shard_size));
        const char *path = lti_join(&made->arena, dir, name);
        if (!path)
            return LTI_NOMEM("path");
        LT_TRY(lti_paths_add(made, path));
        LT_TRY(shard_begin(ds, path, &s));
        LT_TRY(add_samples(ds, split, first, n - first < shard_size ? n - first : shard_size, "", &s));
        LT_TRY(shard_end(&s));
    }
    return LT_OK;
}

// Shards that are there already would be read along.
static lt_status check_folder(const char *dir)
{
    lti_paths names;
    lt_status status = LT_OK;
    LT_TRY(lti_list_dir(&(lti_open_args){.kind = "tar", .path = dir}, dir, &names));
    for (int64_t i = 0; i < names.n && status == LT_OK; i++)
        if (lti_is_shard_name(names.name[i])) {
            status = LT_FAIL(LT_E_USAGE, "%s: expected a folder without archives, found %s", dir, names.name[i]);
            lt_error_hint("name a new folder, or remove the old shards");
        }
    lti_paths_clear(&names);
    return status;
}

static lt_status pack_folder(const lt_dataset *ds, const char *dir, int64_t shard_size)
{
    lti_paths made = {0};
    LT_TRY(lt_make_dirs(dir));
    LT_TRY(check_folder(dir));
    lt_status status = LT_OK;
    for (int split = 0; split < 2 && status == LT_OK; split++)
        status = pack_split(ds, (lt_split)split, shard_size, dir, &made);
    for (int64_t i = 0; i < made.n && status != LT_OK; i++)
        unlink(made.name[i]); // half a set looks like a whole one
    lti_paths_clear(&made);
    return status;
}

lt_status lt_dataset_pack(const lt_dataset *ds, const char *path, int64_t shard_size)
{
    const size_t n = strlen(path);
    if (ds->steps)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: event recordings are not written as shards of pictures", ds->spec);
    if (ds->c != 1 && ds->c != 3)
        return LT_FAIL(LT_E_SHAPE, "%s: pictures have 1 or 3 channels, not %d", ds->spec, ds->c);
    if (shard_size < 1)
        return LT_FAIL(LT_E_USAGE, "%lld images a shard, expected 1 or more", (long long)shard_size);
    for (int k = 0; k < ds->n_classes; k++)
        if (strchr(ds->class_names[k], '\n'))
            return LT_FAIL(LT_E_UNSUPPORTED, "%s: the name of class %d has a line break", ds->spec, k);
    return n > 4 && !strcmp(path + n - 4, ".tar") && !lti_is_dir(path) ? pack_file(ds, path)
                                                                       : pack_folder(ds, path, shard_size);
}
