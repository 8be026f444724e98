// resume.c - the options that an interrupted run recorded, and the method that a command line means.
#include "run/run_impl.h"
#include <stdlib.h>
#include <string.h>

static lt_status load_json(const char *dir, const char *file, json_t **out)
{
    char *path = lti_asprintf("%s/%s", dir, file);
    *out = NULL;
    const lt_status status = path ? lti_json_load(path, out) : LTI_NOMEM(file);
    lti_free(path);
    return status;
}

// A run of this verb that can be continued by itself?
static lt_status check_env(const char *dir, const char *verb, const json_t *env)
{
    const char *found = lti_json_text_at(env, "verb");
    if (strcmp(found, verb) != 0) {
        LT_FAIL(LT_E_USAGE, "--resume %s: expected a run of `lethe %s`, found one of `lethe %s`", dir, verb, found);
        return lt_error_hint("lethe %s --resume %s", found, dir);
    }
    if (*lti_json_text_at(env, "stream_digest")) {
        LT_FAIL(LT_E_USAGE, "--resume %s: expected a whole run, found one request of a stream", dir);
        return lt_error_hint("resume the stream, the directory above it: it goes on with this request");
    }
    return LT_OK;
}

static lt_status check_resumable(const char *dir, const char *verb)
{
    json_t *env = NULL;
    if (!lti_is_dir(dir)) {
        LT_FAIL(LT_E_FORMAT, "--resume %s: expected the directory of a run, found none", dir);
        return lt_error_hint("--resume takes a run directory that an interrupted `lethe %s` left", verb);
    }
    lt_status status = load_json(dir, "env.json", &env);
    if (status == LT_E_NOMEM)
        return status;
    if (status != LT_OK) {
        LT_FAIL(LT_E_FORMAT, "--resume %s: expected a run that had begun, found a directory without env.json", dir);
        return lt_error_hint(
            "the run was stopped before it recorded its options, and nothing is lost: start it again with "
            "them and --out %s",
            dir);
    }
    status = check_env(dir, verb, env);
    json_decref(env);
    return status;
}

static bool is_listed(const char *const *list, const char *key)
{
    for (; *list; list++)
        if (!strcmp(*list, key))
            return true;
    return false;
}

static lt_status restore_option(const char *key, const json_t *entry, const char *const *except, lt_optset *set)
{
    const json_t *value = json_object_get(entry, "value");
    const char *origin = lti_json_text_at(entry, "origin");
    if (is_listed(except, key) || !value || json_is_null(value) || !lt_optset_has(set, key) || !*origin ||
        !strcmp(origin, "default"))
        return LT_OK;
    char *text = json_is_string(value) ? strdup(json_string_value(value))
                                       : json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    const lt_status status = text ? lt_optset_set(set, key, text, "resumed") : LTI_NOMEM("--resume");
    free(text);
    return status;
}

lt_status lt_run_resume_options(const char *dir, const char *verb, const char *const *except, lt_optset *set)
{
    json_t *resolved, *entry;
    const char *key;
    LT_TRY(check_resumable(dir, verb));
    LT_TRY(load_json(dir, "resolved.json", &resolved));
    lt_status status = LT_OK;
    json_object_foreach(resolved, key, entry)
    {
        status = restore_option(key, entry, except, set);
        if (status != LT_OK)
            break;
    }
    json_decref(resolved);
    return status;
}

char *lt_run_recorded_option(const char *dir, const char *key)
{
    json_t *resolved = NULL;
    char *found = NULL;
    if (load_json(dir, "resolved.json", &resolved) == LT_OK) {
        const char *text = lti_json_text_at(json_object_get(resolved, key), "value");
        found = *text ? strdup(text) : NULL;
    }
    lt_error_clear();
    json_decref(resolved);
    return found;
}

lt_status lt_unlearn_method_asked(int argc, char *const *argv, const lt_unlearn_method **method)
{
    char *name = lt_option_peek(argc, argv, "method", LT_PEEK_ARGS);
    char *dir = name ? NULL : lt_option_peek(argc, argv, "resume", LT_PEEK_ARGS);
    *method = NULL;
    if (dir)
        name = lt_run_recorded_option(dir, "method");
    if (!name)
        name = lt_option_peek(argc, argv, "method", LT_PEEK_ENV);
    if (!name)
        name = lt_option_peek(argc, argv, "method", LT_PEEK_FILES);
    const lt_status status = name ? lt_unlearn_find(name, method) : LT_OK;
    free(dir);
    free(name);
    return status;
}
