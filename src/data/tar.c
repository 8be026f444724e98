// tar.c - the regular files of a tar archive, one after the other, with libarchive.
//
// Only tar and the usual compressions are switched on: libarchive would otherwise also try filters that start external
// programs. Entries are bounded before they are read.
#include "data_impl.h"
#include <archive.h>
#include <archive_entry.h>
#include <string.h>

struct lti_tar {
    struct archive *archive;
    char *label;
    const char *entry; // current name
    int64_t size;
};

enum { BLOCK_BYTES = 1 << 16 };

static lt_status archive_failed(const lti_tar *tar, const char *what)
{
    const char *why = archive_error_string(tar->archive);
    return LT_FAIL(LT_E_FORMAT, "%s: %s: %s", tar->label, what, why ? why : "unknown reason");
}

static lt_status tar_create(const char *label, lti_tar **out)
{
    lti_tar *tar = lti_calloc(1, sizeof *tar);
    *out = tar;
    if (!tar)
        return LTI_NOMEM("archive");
    tar->label = lti_strdup(label);
    tar->archive = archive_read_new();
    if (!tar->label || !tar->archive)
        return LTI_NOMEM("archive");
    archive_read_support_format_tar(tar->archive);
    archive_read_support_filter_gzip(tar->archive);
    archive_read_support_filter_bzip2(tar->archive);
    archive_read_support_filter_xz(tar->archive);
    archive_read_support_filter_zstd(tar->archive);
    return LT_OK;
}

static lt_status tar_start(lt_status status, int (*start)(lti_tar *, const void *, size_t), const void *from, size_t n,
                           lti_tar **tar)
{
    if (status == LT_OK && start(*tar, from, n) != ARCHIVE_OK)
        status = archive_failed(*tar, "cannot be read as a tar archive");
    if (status != LT_OK) {
        lti_tar_close(*tar);
        *tar = NULL;
    }
    return status;
}

static int start_file(lti_tar *tar, const void *path, size_t n)
{
    (void)n;
    return archive_read_open_filename(tar->archive, path, BLOCK_BYTES);
}

static int start_bytes(lti_tar *tar, const void *bytes, size_t n)
{
    return archive_read_open_memory(tar->archive, bytes, n);
}

lt_status lti_tar_open(const char *path, lti_tar **tar)
{
    return tar_start(tar_create(path, tar), start_file, path, 0, tar);
}

lt_status lti_tar_parse(const void *bytes, size_t n, const char *label, lti_tar **tar)
{
    return tar_start(tar_create(label, tar), start_bytes, bytes, n, tar);
}

lt_status lti_tar_next(lti_tar *tar, const char **name, int64_t *size)
{
    struct archive_entry *entry;
    *name = NULL;
    *size = 0;
    for (;;) {
        int code = archive_read_next_header(tar->archive, &entry);
        if (code == ARCHIVE_EOF)
            return LT_OK;
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
            return archive_failed(tar, "damaged archive");
        if (archive_entry_filetype(entry) == AE_IFREG && archive_entry_pathname(entry))
            break;
    }
    tar->entry = archive_entry_pathname(entry);
    tar->size = archive_entry_size(entry);
    *name = tar->entry;
    *size = tar->size;
    return LT_OK;
}

lt_status lti_tar_read(lti_tar *tar, size_t max_bytes, uint8_t **bytes, size_t *n)
{
    *bytes = NULL;
    *n = 0;
    if (tar->size < 0 || (uint64_t)tar->size > max_bytes)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: %lld bytes, expected at most %zu", tar->label, tar->entry,
                       (long long)tar->size, max_bytes);
    size_t want = (size_t)tar->size, got = 0;
    uint8_t *data = lti_malloc(want);
    if (!data)
        return LTI_NOMEM(tar->entry);
    while (got < want) {
        la_ssize_t k = archive_read_data(tar->archive, data + got, want - got);
        if (k <= 0) {
            lt_status status =
                k < 0 ? archive_failed(tar, tar->entry)
                      : LT_FAIL(LT_E_FORMAT, "%s: %s: %zu bytes, expected %zu", tar->label, tar->entry, got, want);
            lti_free(data);
            return status;
        }
        got += (size_t)k;
    }
    *bytes = data;
    *n = want;
    return LT_OK;
}

void lti_tar_close(lti_tar *tar)
{
    if (!tar)
        return;
    if (tar->archive)
        archive_read_free(tar->archive);
    lti_free(tar->label);
    lti_free(tar);
}
