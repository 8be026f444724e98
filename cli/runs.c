// runs.c - run directories: opening or finding them finished, and finishing them.
//
// A run is a pure function of its options, its inputs and the seed, so continuing an unfinished directory of the same
// options is always right and needs no flag; --resume DIR only saves typing the options again. A finished run is
// returned as it is when its options are the same and its inputs (parent weights, data) still have the digests it was
// made from.
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

static bool exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

static lt_status choose_dir(cli_call *call, const char *label, char out[4096])
{
    char digest[65];
    int n;
    lt_optset_digest(call->set, digest);
    if (call->place.out && *call->place.out)
        n = snprintf(out, 4096, "%s", call->place.out);
    else
        n = snprintf(out, 4096, "runs/%s-%.8s", label, digest);
    while (n > 1 && n < 4096 && out[n - 1] == '/')
        out[--n] = '\0';
    if (n < 1 || n >= 4096)
        return LT_FAIL(LT_E_USAGE, "--out: expected a path of 1 to 4095 bytes, found %d", n);
    return LT_OK;
}

// Do the inputs of the finished run in dir still have the digests it was made from? facts: key, value, ..., NULL.
static bool same_inputs(const char *dir, const char *const *facts)
{
    char *path = cli_format("%s/result.json", dir);
    json_t *result = NULL;
    bool same = cli_json_load(path, &result) == LT_OK;
    for (int i = 0; same && facts && facts[i]; i += 2) {
        size_t n = strlen(facts[i]);
        if (n > 7 && !strcmp(facts[i] + n - 7, "_digest"))
            same = !strcmp(cli_text(result, facts[i]), facts[i + 1]);
    }
    lt_error_clear();
    json_decref(result);
    free(path);
    return same;
}

lt_status cli_run_open(cli_call *call, const char *label, const char *const *facts, cli_run *run)
{
    *run = (cli_run){.call = call};
    LT_TRY(choose_dir(call, label, run->dir));
    bool force = call->place.force || (lt_run_is_done(run->dir) && !same_inputs(run->dir, facts));
    char *env = cli_format("%s/env.json", run->dir); // makes a directory a run
    lt_run_spec spec = {.dir = run->dir,
                        .verb = call->verb->name,
                        .options = call->set,
                        .key_values = facts,
                        .events = call->session->events,
                        .force = force,
                        .resume = !force && exists(env)};
    free(env);
    LT_TRY(lt_run_open(&spec, &run->run, &run->finished));
    if (run->finished)
        return LT_OK;
    LT_TRY(lt_run_path(run->run, "state.safetensors", run->state, sizeof run->state));
    LT_TRY(lt_run_path(run->run, "model.safetensors", run->model, sizeof run->model));
    return lt_events_add(call->session->events, lt_run_sink(run->run));
}

// The result of a finished run, as `lethe` printed it then.
static lt_status stored_result(const cli_run *run, json_t **result)
{
    char *path = cli_format("%s/result.json", run->dir);
    lt_status status = cli_json_load(path, result);
    free(path);
    LT_TRY(status);
    cli_put_text(*result, "run", run->dir);
    cli_put(*result, "cached", json_true());
    return LT_OK;
}

lt_status cli_run_finish(cli_run *run, json_t *result)
{
    cli_call *call = run->call;
    if (run->finished)
        return stored_result(run, &call->result);
    cli_put_text(result, "run", run->dir);
    char *text = cli_json_text(result);
    lt_status status = lt_run_finish(run->run, text);
    free(text);
    LT_TRY(status);
    call->result = result;
    return LT_OK;
}

void cli_run_close(cli_run *run, lt_status status)
{
    if (status == LT_E_INTERRUPTED && run->run && !run->call->nested)
        lt_error_hint("continue with: lethe %s --resume %s", run->call->verb->name, run->dir);
    if (run->run)
        lt_events_remove(run->call->session->events, lt_run_sink(run->run).self);
    lt_run_close(run->run);
}
