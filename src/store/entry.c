// entry.c - one directory of the store: paths, state, record, lock, weights.
//
// entry.json is written after the model and atomically, so whatever has one is complete. The lock is on the directory
// itself and goes away with the process.
#include "store_impl.h"
#include "io/json_read.h"
#include "lethe/run.h"
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

enum { RECORD_MAX = 1 << 20 };

lt_status lti_entry_name(const char *store, const char *address, lti_entry *e)
{
    e->dir = lti_asprintf("%s/%s", store, address);
    e->model = lti_asprintf("%s/%s/model.safetensors", store, address);
    e->record = lti_asprintf("%s/%s/entry.json", store, address);
    e->state = lti_asprintf("%s/%s/state.safetensors", store, address);
    if (e->dir && e->model && e->record && e->state)
        return LT_OK;
    lti_entry_clear(e);
    return LTI_NOMEM("store entry");
}

void lti_entry_clear(lti_entry *e)
{
    lti_free(e->dir);
    lti_free(e->model);
    lti_free(e->record);
    lti_free(e->state);
    *e = (lti_entry){0};
}

static const char damaged_hint[] = "`lethe store prune --corrupt` removes it; it is then trained again";

lt_ref_state lti_entry_state(const lti_entry *e)
{
    return access(e->record, F_OK) == 0  ? LT_REF_READY
           : access(e->state, F_OK) == 0 ? LT_REF_UNFINISHED
                                         : LT_REF_MISSING;
}

lt_status lti_entry_read(const lti_entry *e, json_t **record)
{
    char *text;
    size_t n;
    json_error_t error;
    LT_TRY(lt_read_file(e->record, RECORD_MAX, &text, &n));
    *record = lti_json_parse(text, n, 0, &error);
    lti_free(text);
    if (json_is_object(*record))
        return LT_OK;
    const bool parsed = *record != NULL;
    if (!parsed && lti_json_lacked_memory(&error))
        return LTI_NOMEM(e->record);
    json_decref(*record);
    *record = NULL;
    LT_FAIL(LT_E_INTEGRITY, "%s: expected the record of a reference model, found %s", e->record,
            parsed ? "other JSON" : error.text);
    return lt_error_hint("%s", damaged_hint);
}

lt_status lti_entry_write(const lti_entry *e, const json_t *record)
{
    char *full = json_dumps(record, JSON_INDENT(2) | JSON_SORT_KEYS | JSON_REAL_PRECISION(17));
    char *text = lt_json_shorten(full);
    free(full);
    if (!text)
        return LTI_NOMEM(e->record);
    lt_status status = lt_write_file_atomic(e->record, text, strlen(text));
    free(text);
    return status;
}

lt_status lti_entry_lock(const lti_entry *e, int *fd)
{
    *fd = open(e->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (*fd < 0)
        return lti_errno_fail("open", e->dir);
    // File systems without locks are fine; somebody else's lock is not.
    if (flock(*fd, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return LT_OK;
    close(*fd);
    *fd = -1;
    LT_FAIL(LT_E_BUSY, "%s: the model is in use by another process", e->dir);
    return lt_error_hint("another process trains it; run the same command again when that one has finished");
}

lt_status lti_entry_open_model(const lti_entry *e, lt_model **model)
{
    json_t *record;
    char digest[65];
    LT_TRY(lti_entry_read(e, &record));
    const char *expected = json_string_value(json_object_get(record, "model_digest"));
    lt_status status = lt_model_open(e->model, NULL, NULL, model);
    if (status == LT_E_FORMAT ||
        (status == LT_E_INPUT && access(e->model, F_OK) != 0)) { // there is a record, so it was whole once
        const lt_error error = *lt_error_get();
        LT_FAIL(LT_E_INTEGRITY, "%s", error.message);
        status = lt_error_hint("%s", damaged_hint);
    } else if (status == LT_OK) {
        lt_model_digest(*model, digest);
        if (!expected || strcmp(expected, digest) != 0) {
            LT_FAIL(LT_E_INTEGRITY, "%s: entry.json says model digest %.16s..., the file has %.16s...", e->model,
                    expected ? expected : "none", digest);
            status = lt_error_hint("%s", damaged_hint);
            lt_model_destroy(*model);
            *model = NULL;
        }
    }
    json_decref(record);
    return status;
}
