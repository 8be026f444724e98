// adv_clear.c - removes adversarial sets: they lie so near to forgotten images that the images can be recognised.
#include "base/json_write.h"
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

// ---- of a cache and of runs

static lt_status clear_runs(const char *const *run, int n, bool dry_run, int64_t *n_sets, int64_t *n_bytes)
{
    for (int i = 0; i < n; i++) {
        int64_t sets = 0, bytes = 0;
        char *adv = lti_asprintf("%s/adv", run[i]);
        const lt_status status = adv ? lt_adv_set_remove(adv, dry_run, &sets, &bytes) : LTI_NOMEM(run[i]);
        lti_free(adv);
        LT_TRY(status);
        *n_sets += sets;
        *n_bytes += bytes;
    }
    return LT_OK;
}

lt_status lt_adv_clear_json(const char *cache_dir, const char *const *run, int n_runs, bool dry_run, char **json)
{
    int64_t n_sets = 0, n_bytes = 0;
    lti_json j = {0};
    LT_TRY(lt_adv_cache_clear(cache_dir, dry_run, &n_sets, &n_bytes));
    LT_TRY(clear_runs(run, n_runs, dry_run, &n_sets, &n_bytes));
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "cache", cache_dir);
    lti_json_int(&j, "n", n_sets);
    lti_json_int(&j, "bytes", n_bytes);
    lti_json_bool(&j, "dry_run", dry_run);
    lti_json_end(&j, '}');
    *json = lti_json_take(&j);
    return *json ? LT_OK : LTI_NOMEM("result");
}
