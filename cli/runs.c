// runs.c - run directories of one invocation (see lethe/runs.h), and --resume, which only saves typing the options
// again.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

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

lt_status cli_resume_options(cli_call *call)
{
    const char *dir = call->resume.resume;
    char *path = cli_format("%s/resolved.json", dir);
    json_t *resolved = NULL;
    lt_status status = cli_json_load(path, &resolved);
    free(path);
    if (status != LT_OK) {
        lt_error_hint("--resume takes a run directory that an interrupted `lethe %s` left", call->verb->name);
        return status;
    }
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

lt_status cli_run_open(cli_call *call, const char *label, const char *const *facts, cli_run *run)
{
    *run = (cli_run){.call = call};
    const lt_result_dir_spec spec = {.verb = call->verb->name,
                                     .label = label,
                                     .out = call->place.out,
                                     .force = call->place.force,
                                     .options = call->set,
                                     .facts = facts,
                                     .events = call->session->events};
    return lt_result_dir_open(&spec, &run->to);
}

// The result of a finished run, as `lethe` printed it then.
static lt_status load_stored(const cli_run *run, json_t **result)
{
    char *text;
    LT_TRY(lt_result_dir_stored(&run->to, &text));
    lt_status status = cli_json_parse(text, run->to.dir, result);
    free(text);
    LT_TRY(status);
    cli_put_text(*result, "run", run->to.dir);
    cli_put(*result, "cached", json_true());
    return LT_OK;
}

lt_status cli_run_finish(cli_run *run, json_t *result)
{
    cli_call *call = run->call;
    if (run->to.finished)
        return load_stored(run, &call->result);
    cli_put_text(result, "run", run->to.dir);
    char *text = cli_json_text(result);
    lt_status status = lt_result_dir_finish(&run->to, text);
    free(text);
    LT_TRY(status);
    call->result = result;
    return LT_OK;
}

void cli_run_close(cli_run *run, lt_status status)
{
    if (status == LT_E_INTERRUPTED && run->to.run && !run->call->nested)
        lt_error_hint("continue with: lethe %s --resume %s", run->call->verb->name, run->to.dir);
    lt_result_dir_close(&run->to);
}
