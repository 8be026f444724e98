// adv_clear.c - removes adversarial sets: they lie so near to forgotten images that the images can be recognised.
#include "base/base.h"
#include "lethe/attack.h"
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct removal {
    bool dry_run;
    int64_t n_sets, n_bytes;
} removal;

static lt_status remove_file(const char *path, removal *r)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? LT_OK : lti_errno_fail("read", path);
    r->n_bytes += st.st_size;
    return r->dry_run || unlink(path) == 0 ? LT_OK : lti_errno_fail("remove", path);
}

static lt_status remove_set(const char *dir, removal *r)
{
    static const char *const files[] = {"adv.csv", "adv.safetensors"};
    struct stat st;
    if (lstat(dir, &st) != 0 || !S_ISDIR(st.st_mode))
        return LT_OK;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = lti_asprintf("%s/%s", dir, files[i]);
        lt_status status = path ? remove_file(path, r) : LTI_NOMEM("path");
        lti_free(path);
        LT_TRY(status);
    }
    r->n_sets++;
    return r->dry_run || rmdir(dir) == 0 || errno == ENOTEMPTY ? LT_OK : lti_errno_fail("remove", dir);
}

// DIGEST, DIGEST.tmp-PID, DIGEST.part.safetensors: nothing else in the directory is touched.
static bool is_set_name(const char *name, bool *is_part)
{
    enum { DIGEST_HEX = 64 };
    size_t n = 0;
    while (isxdigit((unsigned char)name[n]))
        n++;
    *is_part = n == DIGEST_HEX && !strcmp(name + n, ".part.safetensors");
    return n == DIGEST_HEX && (*is_part || !name[n] || !strncmp(name + n, ".tmp-", 5));
}

static lt_status clear_entries(const char *cache_dir, DIR *d, removal *r)
{
    lt_status status = LT_OK;
    for (struct dirent *e; status == LT_OK && (e = readdir(d));) {
        bool is_part;
        if (!is_set_name(e->d_name, &is_part))
            continue;
        char *path = lti_asprintf("%s/%s", cache_dir, e->d_name);
        status = !path ? LTI_NOMEM("path") : is_part ? remove_file(path, r) : remove_set(path, r);
        r->n_sets += is_part && status == LT_OK;
        lti_free(path);
    }
    return status;
}

static lt_status report_removal(lt_status status, const removal *r, int64_t *n_sets, int64_t *n_bytes)
{
    if (n_sets)
        *n_sets = r->n_sets;
    if (n_bytes)
        *n_bytes = r->n_bytes;
    return status;
}

lt_status lt_adv_cache_clear(const char *cache_dir, bool dry_run, int64_t *n_sets, int64_t *n_bytes)
{
    removal r = {.dry_run = dry_run};
    DIR *d = opendir(cache_dir);
    if (!d)
        return report_removal(errno == ENOENT ? LT_OK : lti_errno_fail("read directory", cache_dir), &r, n_sets,
                              n_bytes);
    lt_status status = clear_entries(cache_dir, d, &r);
    closedir(d);
    if (!dry_run)
        (void)rmdir(cache_dir); // where nothing else is in it
    return report_removal(status, &r, n_sets, n_bytes);
}

lt_status lt_adv_set_remove(const char *dir, bool dry_run, int64_t *n_sets, int64_t *n_bytes)
{
    removal r = {.dry_run = dry_run};
    return report_removal(remove_set(dir, &r), &r, n_sets, n_bytes);
}
