// record.c - what is kept of jobs: OUT/parts/ID.json says what a job was made from and how it ended. What it made has a
// place of its own.
#include "study/runner_impl.h"
#include "base/json_write.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static const char out_name[] = "$OUT"; // in place of the directory

// Records of older versions have the command instead of the digest.
static bool is_same_command(const lti_study_identity *id, const json_t *list)
{
    lti_arena arena = {0};
    const char *const *args;
    size_t i = 0;
    bool same = lti_study_old_command(id, out_name, &arena, &args) == LT_OK;
    if (!same)
        lt_error_clear();
    for (; same && args[i]; i++) {
        const char *text = json_string_value(json_array_get(list, i));
        same = text && !strcmp(text, args[i]);
    }
    same = same && i == json_array_size(list);
    lti_arena_clear(&arena);
    return same;
}

void lti_study_load_record(const lt_study_runner *r, const lti_study_job *j, lti_study_record *record)
{
    char path[LTI_STUDY_PATH];
    json_t *json = NULL;
    *record = (lti_study_record){.seconds = (double)NAN};
    lti_study_path(r, "parts", j->id, ".json", path);
    if (!lti_is_file(path))
        return;
    if (lti_json_load(path, &json) != LT_OK) { // cut off: as if it were absent
        lt_error_clear();
        return;
    }
    const char *digest = lti_json_text_at(json, "digest");
    record->found = true;
    record->same =
        *digest ? !strcmp(digest, j->identity.digest) : is_same_command(&j->identity, json_object_get(json, "args"));
    const char *out = lti_json_text_at(json, "out");
    record->moved = *out && strcmp(out, r->out) != 0;
    record->seconds = lti_json_real_at(json, "seconds");
    lti_format(record->made, sizeof record->made, "%s", lti_json_text_at(json, "made"));
    lti_format(record->from, sizeof record->from, "%s", lti_json_text_at(json, "from"));
    lti_format(record->state, sizeof record->state, "%s", lti_json_text_at(json, "state"));
    lti_format(record->error, sizeof record->error, "%s", lti_json_text_at(json, "error"));
    json_decref(json);
}

lt_status lti_study_make_parent(const char *path)
{
    char dir[LTI_STUDY_PATH];
    const char *end = strrchr(path, '/');
    if (!end)
        return LT_OK;
    lti_format(dir, sizeof dir, "%.*s", (int)(end - path), path);
    return lt_make_dirs(dir);
}

lt_status lti_study_save_record(const lt_study_runner *r, const lti_study_job *j, const char *state)
{
    char path[LTI_STUDY_PATH];
    lti_json w = {0};
    lti_arena arena = {0};
    const char *const *args;
    lt_status status = lti_study_command(&j->identity, out_name, NULL, &arena, &args);
    if (status != LT_OK) {
        lti_arena_clear(&arena);
        return status;
    }
    lti_json_begin(&w, NULL, '{');
    lti_json_text(&w, "kind", lt_study_kind_text(j->kind));
    lti_json_text(&w, "state", state);
    lti_json_real(&w, "seconds", j->seconds);
    if (j->error)
        lti_json_text(&w, "error", j->error);
    lti_json_text(&w, "digest", j->identity.digest);
    lti_json_text(&w, "out", r->out);
    lti_json_text(&w, "made", j->made);
    lti_json_text(&w, "from", j->from);
    lti_json_begin(&w, "args", '[');
    for (int i = 0; args[i]; i++)
        lti_json_text(&w, NULL, args[i]);
    lti_json_end(&w, ']');
    lti_json_end(&w, '}');
    char *text = lti_json_take(&w);
    lti_arena_clear(&arena);
    lti_study_path(r, "parts", j->id, ".json", path);
    status = text ? lti_study_make_parent(path) : LTI_NOMEM(j->id);
    if (status == LT_OK)
        status = lt_write_file_atomic(path, text, strlen(text));
    free(text);
    return status;
}

char *lti_study_product(const lt_study_runner *r, const lti_study_job *j, char out[LTI_STUDY_PATH])
{
    const char *suffix = j->kind == LT_STUDY_OUTPUTS ? ".npz" : lti_study_judges(j) ? ".json" : "/DONE";
    return lti_study_path(r, NULL, j->id, suffix, out);
}

bool lti_study_is_made(const lt_study_runner *r, const lti_study_job *j)
{
    char file[LTI_STUDY_PATH];
    json_t *answer = NULL;
    lti_study_product(r, j, file);
    bool made = lti_is_file(file);
    if (made && lti_study_judges(j) && lti_json_load(file, &answer) != LT_OK) {
        lt_error_clear(); // cut off: as if it were absent
        made = false;
    }
    json_decref(answer);
    return made;
}

json_t *lti_study_load_result(const lt_study_runner *r, const char *id)
{
    char dir[LTI_STUDY_PATH];
    json_t *result = NULL;
    if (lti_json_load_optional(lti_study_path(r, NULL, id, "", dir), "result.json", &result) != LT_OK)
        lt_error_clear(); // as if there were none
    return result;
}
