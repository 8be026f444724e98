// pack.c - data sets as WebDataset shards, which the kind `tar` reads back to the bit.
//
// A sample is ID.png and ID.cls. A folder gets train-000000.tar, train-000001.tar, ..., test-000000.tar; a single
// archive holds train/ID.png and test/ID.png. `__classes__` in front of each archive names the classes, one a line;
// WebDataset passes entries of such names over. Archives depend on the images alone. Part of a set would read as a
// smaller one, so that a folder, like a file, is written under a temporary name and renamed when it is whole.
#include "data/png_write.h"
#include "data_impl.h"
#include "lethe/dataset_info.h"
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct packing {
    const lt_dataset *ds;
    int64_t shard_size;
    const lt_interrupt_flag *stop;
} packing;

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

static lt_status add_samples(const packing *p, lt_split split, int64_t first, int64_t n, const char *prefix, shard *s)
{
    for (int64_t i = first; i < first + n; i++) {
        const lt_status status = lt_interrupted(p->stop)
                                     ? LT_FAIL(LT_E_INTERRUPTED, "%s: interrupted, nothing was written", p->ds->spec)
                                     : add_sample(p->ds, &p->ds->split[split], i, prefix, s);
        if (status != LT_OK) {
            shard_abort(s);
            return status;
        }
    }
    return LT_OK;
}

static lt_status pack_file(const packing *p, const char *path)
{
    shard s;
    LT_TRY(shard_begin(p->ds, path, &s));
    LT_TRY(add_samples(p, LT_TRAIN, 0, p->ds->split[LT_TRAIN].n, "train/", &s));
    LT_TRY(add_samples(p, LT_TEST, 0, p->ds->split[LT_TEST].n, "test/", &s));
    return shard_end(&s);
}

static lt_status pack_split(const packing *p, lt_split split, const char *dir, lti_paths *made)
{
    const int64_t n = p->ds->split[split].n, size = p->shard_size;
    for (int64_t first = 0; first < n; first += size) {
        char name[64];
        shard s;
        lti_format(name, sizeof name, "%s-%06lld.tar", split == LT_TRAIN ? "train" : "test", (long long)(first / size));
        const char *path = lti_join(&made->arena, dir, name);
        if (!path)
            return LTI_NOMEM("path");
        LT_TRY(lti_paths_add(made, path));
        LT_TRY(shard_begin(p->ds, path, &s));
        LT_TRY(add_samples(p, split, first, n - first < size ? n - first : size, "", &s));
        LT_TRY(shard_end(&s));
    }
    return LT_OK;
}

// A new folder, or an empty one, which a rename may replace.
static lt_status check_folder(const char *dir)
{
    lti_paths names;
    lt_status status = LT_OK;
    if (!lti_is_dir(dir))
        return LT_OK;
    LT_TRY(lti_list_dir(&(lti_open_args){.kind = "tar", .path = dir}, dir, &names));
    if (names.n > 0) {
        LT_FAIL(LT_E_USAGE, "%s: expected a new or an empty folder, found %s in it", dir, names.name[0]);
        status = lt_error_hint("name a new folder, or remove what is in it");
    }
    lti_paths_clear(&names);
    return status;
}

static lt_status fill_folder(const packing *p, const char *dir, const char *temporary)
{
    lti_paths made = {0};
    lt_status status = lt_make_dirs(temporary);
    for (int split = 0; split < 2 && status == LT_OK; split++)
        status = pack_split(p, (lt_split)split, temporary, &made);
    if (status == LT_OK)
        status = rename(temporary, dir) == 0 ? lti_sync_directory_of(dir) : lti_errno_fail("write", dir);
    if (status != LT_OK) {
        for (int64_t i = 0; i < made.n; i++)
            unlink(made.name[i]);
        rmdir(temporary);
    }
    lti_paths_clear(&made);
    return status;
}

static lt_status pack_folder(const packing *p, const char *path)
{
    char *dir = lti_strdup(path);
    for (size_t n = dir ? strlen(dir) : 0; n > 1 && dir[n - 1] == '/'; n--)
        dir[n - 1] = '\0';
    char *temporary = dir ? lti_temporary_name(dir) : NULL;
    lt_status status = temporary ? check_folder(dir) : LTI_NOMEM("path");
    if (status == LT_OK)
        status = fill_folder(p, dir, temporary);
    lti_free(temporary);
    lti_free(dir);
    return status;
}

lt_status lt_dataset_pack(const lt_dataset *ds, const char *path, int64_t shard_size, const lt_interrupt_flag *stop)
{
    const packing p = {ds, shard_size, stop};
    if (ds->steps)
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: event recordings are not written as shards of pictures", ds->spec);
    if (ds->c != 1 && ds->c != 3)
        return LT_FAIL(LT_E_SHAPE, "%s: pictures have 1 or 3 channels, not %d", ds->spec, ds->c);
    if (shard_size < 1)
        return LT_FAIL(LT_E_USAGE, "%lld images a shard, expected 1 or more", (long long)shard_size);
    for (int k = 0; k < ds->n_classes; k++)
        if (strchr(ds->class_names[k], '\n'))
            return LT_FAIL(LT_E_UNSUPPORTED, "%s: the name of class %d has a line break", ds->spec, k);
    return lti_ends_with(path, ".tar") && !lti_is_dir(path) ? pack_file(&p, path) : pack_folder(&p, path);
}
