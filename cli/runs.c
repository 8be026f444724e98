// runs.c - run directories of one invocation (see lethe/runs.h), and --resume, which only saves typing the options
// again.
#include "cli.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const not_restored[] = {"json",        "quiet", "verbose", "config", "set",
                                           "show-config", "out",   "resume",  "force",  NULL};

static bool in_list(const char *const *list, const char *key)
{
    for (; *list; list++)
        if (!strcmp(*list, key))
            return true;
    return false;
}

static lt_status restore_option(cli_call *call, const char *key, const json_t *entry)
{
    const json_t *value = json_object_get(entry, "value");
    const char *origin = json_string_value(json_object_get(entry, "origin"));
    char *text = NULL;
    if (in_list(not_restored, key) || !value || json_is_null(value) || !lt_optset_has(call->set, key) || !origin ||
        !strcmp(origin, "default"))
        return LT_OK;
    if (json_is_string(value))
        text = cli_format("%s", json_string_value(value));
    else
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_REAL_PRECISION(17));
    lt_status status =
        text ? lt_optset_set(call->set, key, text, "resumed") : LT_FAIL(LT_E_NOMEM, "out of memory: --resume");
    free(text);
    return status;
}

// What is there, before its options are read: a run of this verb that can be continued by itself.
static lt_status check_resumable(const cli_call *call, const char *dir)
{
    char *path = cli_format("%s/env.json", dir);
    json_t *env = NULL;
    struct stat st;
    lt_status status = LT_OK;
    if (stat(dir, &st) != 0 || !S_ISDIR(st.st_mode)) {
        LT_FAIL(LT_E_FORMAT, "--resume %s: expected the directory of a run, found none", dir);
        status = lt_error_hint("--resume takes a run directory that an interrupted `lethe %s` left", call->verb->name);
    } else if (stat(path, &st) != 0 || cli_json_load(path, &env) != LT_OK) {
        LT_FAIL(LT_E_FORMAT, "--resume %s: expected a run that had begun, found a directory without env.json", dir);
        status =
            lt_error_hint("the run was stopped before it recorded its options, and nothing is lost: start it again "
                          "with them and --out %s",
                          dir);
    } else if (strcmp(cli_text(env, "verb"), call->verb->name) != 0) {
        LT_FAIL(LT_E_USAGE, "--resume %s: expected a run of `lethe %s`, found one of `lethe %s`", dir, call->verb->name,
                cli_text(env, "verb"));
        status = lt_error_hint("lethe %s --resume %s", cli_text(env, "verb"), dir);
    } else if (*cli_text(env, "stream_digest")) {
        LT_FAIL(LT_E_USAGE, "--resume %s: expected a whole run, found one request of a stream", dir);
        status = lt_error_hint("resume the stream, the directory above it: it goes on with this request");
    }
    json_decref(env);
    free(path);
    return status;
}

lt_status cli_resume_options(cli_call *call)
{
    const char *dir = call->resume.resume;
    LT_TRY(check_resumable(call, dir));
    char *path = cli_format("%s/resolved.json", dir);
    json_t *resolved = NULL;
    lt_status status = cli_json_load(path, &resolved);
    free(path);
    LT_TRY(status);
    const char *key;
    json_t *entry;
    json_object_foreach(resolved, key, entry)
    {
        status = restore_option(call, key, entry);
        if (status != LT_OK)
            break;
    }
    json_decref(resolved);
    if (status == LT_OK)
        status = lt_optset_set(call->set, "out", dir, "flag");
    return status;
}

void cli_hint_resume(const cli_call *call, lt_status status, const char *dir)
{
    if (status == LT_E_INTERRUPTED && *dir)
        lt_error_hint("continue with: lethe %s --resume %s", call->verb->name, dir);
}
