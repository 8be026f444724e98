// manage.c - the store as a whole: what is in it, and cutting it down.
#include "store_impl.h"
#include "lethe/run.h"
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESS = 64 };
static const double day_s = 86400;

static bool is_address(const char *name)
{
    return strlen(name) == ADDRESS && strspn(name, "0123456789abcdef") == ADDRESS;
}

// Size of an entry's files and the time of the last change of one.
static void look_at(const lti_entry *e, int64_t *bytes, time_t *changed)
{
    const char *const path[] = {e->dir, e->model, e->record, e->state};
    *bytes = 0;
    *changed = 0;
    for (int i = 0; i < 4; i++) {
        struct stat st;
        if (stat(path[i], &st) != 0)
            continue;
        *bytes += S_ISREG(st.st_mode) ? (int64_t)st.st_size : 0;
        *changed = st.st_mtime > *changed ? st.st_mtime : *changed;
    }
}

// An entry whose record cannot be read is listed all the same; *why says what is wrong with it.
static json_t *describe(const lti_entry *e, const char *address, const char **why)
{
    json_t *record = NULL;
    int64_t bytes;
    time_t changed;
    const lt_error saved = *lt_error_get();
    const lt_ref_state state = lti_entry_state(e);
    *why = NULL;
    if (state == LT_REF_READY && lti_entry_read(e, &record) != LT_OK)
        *why = "unreadable entry.json";
    lt_error_restore(&saved);
    look_at(e, &bytes, &changed);
    json_t *j = record ? record : json_object();
    json_object_set_new(j, "address", json_string(address));
    json_object_set_new(j, "state", json_string(*why ? "damaged" : lt_ref_state_text(state)));
    json_object_set_new(j, "bytes", json_integer(bytes));
    json_object_set_new(j, "age_days", json_real(difftime(time(NULL), changed) / day_s));
    return j;
}

static int older_first(const void *a, const void *b)
{
    const double x = json_number_value(json_object_get(*(json_t *const *)a, "age_days"));
    const double y = json_number_value(json_object_get(*(json_t *const *)b, "age_days"));
    return (x < y) - (x > y);
}

static lt_status to_text(json_t **item, size_t n, char **json)
{
    json_t *array = json_array();
    if (n > 0) // an empty store has no array at all
        qsort(item, n, sizeof *item, older_first);
    for (size_t i = 0; i < n; i++)
        json_array_append(array, item[i]);
    char *text = json_dumps(array, JSON_REAL_PRECISION(17));
    *json = lt_json_shorten(text);
    free(text);
    json_decref(array);
    return *json ? LT_OK : LTI_NOMEM("list of the store");
}

// ---- removal

static lt_status remove_entry(const lti_entry *e)
{
    static const char *const first = "entry.json"; // without it nothing takes the rest for a model
    DIR *d = opendir(e->dir);
    if (!d)
        return lti_errno_fail("read directory", e->dir);
    lt_status status = unlink(e->record) == 0 || errno == ENOENT ? LT_OK : lti_errno_fail("remove", e->record);
    for (struct dirent *f; status == LT_OK && (f = readdir(d));) {
        const bool ours = !strcmp(f->d_name, "model.safetensors") || !strcmp(f->d_name, "state.safetensors") ||
                          !strcmp(f->d_name, first) || lti_is_temporary_name(f->d_name);
        if (ours && unlinkat(dirfd(d), f->d_name, 0) != 0 && errno != ENOENT)
            status = lti_errno_fail("remove a file of", e->dir);
    }
    closedir(d);
    LT_TRY(status);
    return rmdir(e->dir) == 0 ? LT_OK : lti_errno_fail("remove", e->dir);
}

static bool damaged(const lti_entry *e)
{
    lt_model *model = NULL;
    const lt_error saved = *lt_error_get();
    const bool bad = lti_entry_state(e) == LT_REF_READY && lti_entry_open_model(e, &model) != LT_OK;
    lt_model_destroy(model);
    lt_error_restore(&saved);
    return bad;
}

static const char *reason_for(const lti_entry *e, const json_t *j, const char *why, const lt_store_filter *f)
{
    const double age = json_number_value(json_object_get(j, "age_days"));
    if (f->all)
        return "all";
    if (f->older_than_days > 0 && age > f->older_than_days)
        return "old";
    if (f->incomplete && lti_entry_state(e) != LT_REF_READY)
        return "unfinished";
    if (f->corrupt && (why || damaged(e)))
        return "damaged";
    return NULL;
}

// Keeps j and sets its reason when the entry is (or would be) removed; *gone says which.
static lt_status consider(const lti_entry *e, json_t *j, const char *why, const lt_store_filter *f, bool *gone)
{
    int lock;
    *gone = false;
    const lt_error saved = *lt_error_get();
    if (lti_entry_lock(e, &lock) != LT_OK) { // in use: not ours to remove
        lt_error_restore(&saved);
        return LT_OK;
    }
    const char *reason = reason_for(e, j, why, f);
    lt_status status = LT_OK;
    if (reason) {
        *gone = true;
        json_object_set_new(j, "reason", json_string(reason));
        status = f->dry_run ? LT_OK : remove_entry(e);
    }
    close(lock);
    return status;
}

// ---- one walk for both

static lt_status visit(const char *dir, const char *address, const lt_store_filter *filter, json_t **out)
{
    lti_entry e;
    const char *why;
    bool keep = true;
    *out = NULL;
    LT_TRY(lti_entry_name(dir, address, &e));
    json_t *j = describe(&e, address, &why);
    lt_status status = filter ? consider(&e, j, why, filter, &keep) : LT_OK;
    if (status == LT_OK && keep)
        *out = j;
    else
        json_decref(j);
    lti_entry_clear(&e);
    return status;
}

static lt_status list_entries(const char *dir, const lt_store_filter *filter, char **json)
{
    json_t **item = NULL;
    size_t n = 0;
    lt_status status = LT_OK;
    DIR *d = opendir(dir);
    *json = NULL;
    if (!d && errno != ENOENT) // a missing store is empty
        return lti_errno_fail("read directory", dir);
    for (struct dirent *f; status == LT_OK && d && (f = readdir(d));) {
        json_t *j = NULL, **grown;
        if (is_address(f->d_name))
            status = visit(dir, f->d_name, filter, &j);
        if (!j)
            continue;
        grown = lti_realloc(item, (n + 1) * sizeof *item);
        if (grown) {
            item = grown;
            item[n++] = j;
        } else {
            json_decref(j);
            status = LTI_NOMEM("list of the store");
        }
    }
    if (d)
        closedir(d);
    if (status == LT_OK)
        status = to_text(item, n, json);
    for (size_t i = 0; i < n; i++)
        json_decref(item[i]);
    lti_free(item);
    return status;
}

lt_status lt_store_list(const char *dir, char **json)
{
    return list_entries(dir, NULL, json);
}

lt_status lt_store_prune(const char *dir, const lt_store_filter *filter, char **json)
{
    return list_entries(dir, filter, json);
}
