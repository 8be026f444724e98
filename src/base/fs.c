// fs.c - whole files: read bounded, write atomically, make directories.
//
// A reader of a path sees the old file or the new one, never a part: bytes go to a temporary file in the same
// directory, are fsynced, renamed over the target, and the directory is fsynced so that the name survives a crash.
// Devices and pipes (/dev/stdout, /dev/full) are written directly: renaming over them would replace the device.
#include "base/base.h"
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static _Atomic unsigned n_temporaries; // two threads may write the same path

lt_status lti_errno_fail(const char *doing, const char *name)
{
    enum { SHOWN = 400 }; // of a path, so that the reason after it fits the record
    const int e = errno;
    char text[128], path[SHOWN + 4];
    const char *reason = strerror_r(e, text, sizeof text);
    lti_format(path, sizeof path, "%.*s%s", SHOWN, name, strlen(name) > SHOWN ? "..." : "");
    // EFBIG: the file size limit of the process or file system; for the user the same thing as a full disk.
    if (e == ENOSPC || e == EDQUOT || e == EFBIG) {
        LT_FAIL(LT_E_NOSPACE, "cannot %s %s: %s", doing, path, reason);
        return lt_error_hint("free some space or choose another directory; no half-written file was left");
    }
    if (e == ENOMEM)
        return LT_FAIL(LT_E_NOMEM, "cannot %s %s: %s", doing, path, reason);
    const bool reading = strncmp(doing, "read", strlen("read")) == 0;
    return LT_FAIL(reading ? LT_E_INPUT : LT_E_IO, "cannot %s %s: %s", doing, path, reason);
}

bool lti_ends_with(const char *path, const char *end)
{
    const size_t n = strlen(path), m = strlen(end);
    return n > m && !strcmp(path + n - m, end);
}

static lt_status write_all(int fd, const char *path, const unsigned char *p, size_t n)
{
    while (n) {
        ssize_t done = write(fd, p, n < (1u << 30) ? n : (1u << 30));
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return lti_errno_fail("write", path);
        p += done;
        n -= (size_t)done;
    }
    return LT_OK;
}

char *lti_temporary_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    return lti_asprintf("%.*s.%s.tmp-%ld-%u", (int)(name - path), path, name, (long)getpid(),
                        atomic_fetch_add(&n_temporaries, 1));
}

bool lti_is_temporary_name(const char *file_name)
{
    const char *mark = strstr(file_name, ".tmp-");
    if (file_name[0] != '.' || !mark)
        return false;
    mark += strlen(".tmp-");
    size_t pid = strspn(mark, "0123456789");
    return pid && mark[pid] == '-' && mark[pid + 1] && mark[pid + 1 + strspn(mark + pid + 1, "0123456789")] == 0;
}

lt_status lti_writer_open(const char *path, lti_writer *w)
{
    *w = (lti_writer){.fd = -1};
    struct stat st;
    const bool exists = stat(path, &st) == 0;
    if (exists && S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return lti_errno_fail("write", path);
    }
    // A symbolic link keeps pointing where it does: its target is what is replaced.
    char *real = exists ? realpath(path, NULL) : NULL;
    w->path = lti_strdup(real ? real : path);
    free(real);
    if (!w->path)
        return LTI_NOMEM("opening a file");
    if (exists && !S_ISREG(st.st_mode)) {
        w->fd = open(w->path, O_WRONLY | O_CLOEXEC);
    } else {
        w->temporary = lti_temporary_name(w->path);
        if (!w->temporary) {
            lti_writer_abort(w);
            return LTI_NOMEM("opening a file");
        }
        // A file of this name is left over from a killed process whose number we inherited.
        unlink(w->temporary);
        w->fd = open(w->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    }
    if (w->fd >= 0)
        return LT_OK;
    lt_status status = lti_errno_fail("write", path);
    lti_writer_abort(w);
    return status;
}

lt_status lti_writer_add(lti_writer *w, const void *bytes, size_t n)
{
    return write_all(w->fd, w->path, bytes, n);
}

// Some file systems refuse fsync of a directory: that is not an error.
lt_status lti_sync_directory_of(const char *path)
{
    char dir[PATH_MAX]; // no memory is asked for: what was renamed is there already
    lti_format(dir, sizeof dir, "%s", path);
    char *slash = strrchr(dir, '/');
    if (slash)
        slash[slash == dir] = 0;
    int fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    lt_status status = LT_OK;
    if (fd >= 0) {
        if (fsync(fd) != 0 && errno == EIO)
            status = lti_errno_fail("sync", slash ? dir : ".");
        close(fd);
    }
    return status;
}

lt_status lti_writer_commit(lti_writer *w)
{
    lt_status status = LT_OK;
    if (w->temporary && fsync(w->fd) != 0)
        status = lti_errno_fail("write", w->path);
    const int closed = close(w->fd);
    w->fd = -1;
    if (status == LT_OK && closed != 0 && errno != EINTR)
        status = lti_errno_fail("write", w->path);
    if (status == LT_OK && w->temporary) {
        if (rename(w->temporary, w->path) != 0) {
            status = lti_errno_fail("write", w->path);
        } else {
            lti_free(w->temporary);
            w->temporary = NULL;
            status = lti_sync_directory_of(w->path);
        }
    }
    lti_writer_abort(w);
    return status;
}

void lti_writer_abort(lti_writer *w)
{
    if (w->fd >= 0)
        close(w->fd);
    if (w->temporary)
        unlink(w->temporary);
    lti_free(w->temporary);
    lti_free(w->path);
    *w = (lti_writer){.fd = -1};
}

lt_status lt_write_file_atomic(const char *path, const void *bytes, size_t n)
{
    lti_writer w;
    LT_TRY(lti_writer_open(path, &w));
    lt_status status = lti_writer_add(&w, bytes, n);
    if (status == LT_OK)
        return lti_writer_commit(&w);
    lti_writer_abort(&w);
    return status;
}

static lt_status too_large(const char *path, size_t max_bytes)
{
    return LT_FAIL(LT_E_FORMAT, "%s: expected at most %zu bytes, found more", path, max_bytes);
}

// Reads until end of file, so that pipes and files that grow or shrink meanwhile are fine too.
static lt_status read_open(int fd, const char *path, size_t max_bytes, char **bytes, size_t *n)
{
    struct stat st;
    size_t cap = 4096, used = 0;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size > 0) {
        if ((uintmax_t)st.st_size > max_bytes)
            return too_large(path, max_bytes);
        cap = (size_t)st.st_size + 2; // the end of the file is then seen without growing
    }
    char *data = lti_malloc(cap);
    lt_status status = LT_OK;
    if (!data)
        return LTI_NOMEM(path);
    for (;;) {
        if (used + 1 == cap) {
            char *grown = lti_mul_size(cap, 2, &cap) ? NULL : lti_realloc(data, cap);
            if (!grown) {
                status = LTI_NOMEM(path);
                break;
            }
            data = grown;
        }
        ssize_t got = read(fd, data + used, cap - 1 - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            status = got < 0 ? lti_errno_fail("read", path) : LT_OK;
            break;
        }
        used += (size_t)got;
        if (used > max_bytes) {
            status = too_large(path, max_bytes);
            break;
        }
    }
    if (status != LT_OK) {
        lti_free(data);
        return status;
    }
    data[used] = 0;
    *bytes = data;
    *n = used;
    return LT_OK;
}

lt_status lt_read_file(const char *path, size_t max_bytes, char **bytes, size_t *n)
{
    *bytes = NULL;
    *n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return lti_errno_fail("read", path);
    lt_status status = read_open(fd, path, max_bytes, bytes, n);
    close(fd);
    return status;
}

lt_status lti_need_regular(const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return lti_errno_fail("read", path);
    if (S_ISREG(st.st_mode))
        return LT_OK;
    if (S_ISDIR(st.st_mode)) {
        errno = EISDIR;
        return lti_errno_fail("read", path);
    }
    return LT_FAIL(LT_E_INPUT, "%s: expected a file, found a device or a pipe", path);
}

static lt_status make_dir(const char *path)
{
    struct stat st;
    if (mkdir(path, 0777) == 0)
        return LT_OK;
    const int e = errno;
    // On a read-only file system mkdir of an existing directory may say EROFS: what counts is that it is there.
    if (stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        return LT_OK;
    errno = e == EEXIST ? ENOTDIR : e;
    return lti_errno_fail("create directory", path);
}

lt_status lt_make_dirs(const char *path)
{
    if (!*path)
        return LT_FAIL(LT_E_USAGE, "cannot create a directory: expected a path, found an empty one");
    char *copy = lti_strdup(path);
    if (!copy)
        return LTI_NOMEM("directory name");
    lt_status status = LT_OK;
    for (char *p = copy + 1; *p && status == LT_OK; p++) {
        if (*p != '/')
            continue;
        *p = 0;
        status = make_dir(copy);
        *p = '/';
    }
    if (status == LT_OK)
        status = make_dir(copy);
    lti_free(copy);
    return status;
}

bool lti_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool lti_is_file(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}
