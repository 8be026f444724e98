// files.c - paths, directory listings in a fixed order, and reading plain or gzip-compressed files.
#include "data_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

char *lti_join(lti_arena *a, const char *dir, const char *name)
{
    size_t n_dir = strlen(dir), n_name = strlen(name);
    while (n_dir > 1 && dir[n_dir - 1] == '/')
        n_dir--;
    char *path = lti_arena_alloc(a, n_dir + n_name + 2);
    if (path)
        snprintf(path, n_dir + n_name + 2, "%.*s/%s", (int)n_dir, dir, name);
    return path;
}

lt_status lti_paths_add(lti_paths *p, const char *name)
{
    if (p->n == p->cap) {
        int64_t cap = p->cap ? 2 * p->cap : 64;
        char **more = lti_realloc(p->name, (size_t)cap * sizeof *more);
        if (!more)
            return LTI_NOMEM("file names");
        p->name = more;
        p->cap = cap;
    }
    p->name[p->n] = lti_arena_strdup(&p->arena, name);
    if (!p->name[p->n])
        return LTI_NOMEM("file names");
    p->n++;
    return LT_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void lti_paths_sort(lti_paths *p)
{
    if (p->n > 1)
        qsort(p->name, (size_t)p->n, sizeof *p->name, by_name);
}

void lti_paths_clear(lti_paths *p)
{
    lti_free(p->name);
    lti_arena_clear(&p->arena);
    *p = (lti_paths){0};
}

// Does the link `path` lead to something below root?
static bool leads_inside(const char *root, const char *path)
{
    char *real = realpath(path, NULL);
    const size_t n = strlen(root);
    const bool inside =
        real && strncmp(real, root, n) == 0 && (real[n] == '/' || real[n] == '\0' || root[n - 1] == '/');
    free(real); // realpath's, not ours
    return inside;
}

// A file or folder of the data set; what is not is counted.
static bool belongs_to_set(const lti_open_args *args, const char *path)
{
    struct stat link, st;
    const bool exists = lstat(path, &link) == 0;
    bool ok = exists && stat(path, &st) == 0 && (S_ISREG(st.st_mode) || S_ISDIR(st.st_mode));
    if (ok && S_ISLNK(link.st_mode) && args->root)
        ok = leads_inside(args->root, path);
    if (!ok && exists && args->skipped && args->skipped->n++ == 0)
        snprintf(args->skipped->first, sizeof args->skipped->first, "%.255s", path);
    return ok;
}

bool lti_is_set_dir(const lti_open_args *args, const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode) && belongs_to_set(args, path);
}

static lt_status add_entry(const lti_open_args *args, const char *dir, const char *name, lti_paths *names)
{
    lti_arena arena = {0};
    const char *path = lti_join(&arena, dir, name);
    lt_status status = path ? LT_OK : LTI_NOMEM("path");
    if (path && belongs_to_set(args, path))
        status = lti_paths_add(names, name);
    lti_arena_clear(&arena);
    return status;
}

lt_status lti_list_dir(const lti_open_args *args, const char *dir, lti_paths *names)
{
    *names = (lti_paths){0};
    DIR *d = opendir(dir);
    if (!d)
        return lti_errno_fail("read directory", dir);
    lt_status status = LT_OK;
    errno = 0;
    for (const struct dirent *e; status == LT_OK && (e = readdir(d)); errno = 0)
        if (e->d_name[0] != '.')
            status = add_entry(args, dir, e->d_name, names);
    if (status == LT_OK && errno != 0)
        status = lti_errno_fail("read directory", dir);
    closedir(d);
    if (status != LT_OK)
        lti_paths_clear(names);
    lti_paths_sort(names);
    return status;
}

lt_status lti_map_file(const char *path, const uint8_t **bytes, size_t *n)
{
    struct stat st;
    *bytes = NULL;
    *n = 0;
    LT_TRY(lti_need_regular(path));
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        const lt_status status = lti_errno_fail("read", path);
        if (fd >= 0)
            close(fd);
        return status;
    }
    void *map = st.st_size > 0 ? mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0) : NULL;
    close(fd);
    if (map == MAP_FAILED)
        return lti_errno_fail("read", path);
    *bytes = map;
    *n = (size_t)st.st_size;
    return LT_OK;
}

void lti_unmap_file(const uint8_t *bytes, size_t n)
{
    if (bytes)
        munmap((void *)(uintptr_t)bytes, n);
}

lt_status lti_read_gz(const char *path, size_t max_bytes, uint8_t **bytes, size_t *n)
{
    *bytes = NULL;
    *n = 0;
    gzFile file = gzopen(path, "rbe");
    if (!file)
        return lti_errno_fail("read", path);
    lt_status status = LT_OK;
    uint8_t *data = NULL;
    size_t cap = 0, used = 0;
    for (int got = 1; got > 0 && status == LT_OK;) {
        if (used == cap) {
            cap = cap ? 2 * cap : (size_t)1 << 20;
            uint8_t *more = lti_realloc(data, cap);
            if (!more) {
                status = LTI_NOMEM(path);
                break;
            }
            data = more;
        }
        size_t room = cap - used < (size_t)1 << 30 ? cap - used : (size_t)1 << 30;
        got = gzread(file, data + used, (unsigned)room);
        used += got > 0 ? (size_t)got : 0;
        int code = Z_OK;
        const char *why = got < 0 ? gzerror(file, &code) : NULL;
        if (got < 0)
            status = code == Z_ERRNO
                         ? lti_errno_fail("read", path)
                         : LT_FAIL(LT_E_FORMAT, "%s: broken gzip data after %zu bytes: %s", path, used, why);
        else if (used > max_bytes)
            status = LT_FAIL(LT_E_FORMAT, "%s: more than %zu bytes", path, max_bytes);
    }
    // A gzip file that stops in its middle shows only when it is closed.
    int closed = gzclose(file);
    if (status == LT_OK && closed == Z_BUF_ERROR)
        status = LT_FAIL(LT_E_FORMAT, "%s: gzip data ends after %zu bytes, in the middle of its stream", path, used);
    if (status != LT_OK) {
        lti_free(data);
        return status;
    }
    *bytes = data;
    *n = used;
    return LT_OK;
}
