// call.c - one invocation of a verb: binding its option tables and parsing.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

static const lt_option common_options[] = {
    LT_BOOL(cli_common, json, 0, "print exactly one JSON object on standard output"),
    LT_BOOL(cli_common, quiet, 0, "no progress and no log lines"),
    LT_BOOL(cli_common, verbose, 0, "log lines, and the error trace"),
    LT_STR(cli_common, config, NULL, "YAML file of options"),
    LT_STR(cli_common, set, NULL, "KEY=VALUE: any option by its key; may be repeated"),
    LT_BOOL(cli_common, show_config, 0, "print every option, its value and where it came from; do nothing else"),
    LT_OPT_END,
};
static const lt_option seed_options[] = {
    LT_U64(cli_seed, seed, 1, "seed of every random choice of this run"),
    LT_OPT_END,
};
static const lt_option place_options[] = {
    LT_STR(cli_run_dir_options, out, NULL, "run directory; default: a name made from the options, under runs/"),
    LT_BOOL(cli_run_dir_options, force, 0, "overwrite an existing run"),
    LT_OPT_END,
};
static const lt_option resume_rows[] = {
    LT_STR(cli_resume, resume, NULL, "continue the interrupted run in this directory, with its options"),
    LT_OPT_END,
};
static const lt_option ledger_options[] = {
    LT_BOOL(cli_ledger, record, 1, "record what was done in the ledger; --no-record: do not"),
    LT_STR(cli_ledger, ledger, NULL,
           "ledger file; default: $LETHE_HOME/lethe.db, else lethe.db in the directory of the runs"),
    LT_STR(cli_ledger, request_id, NULL, "name of the deletion request in the ledger; no personal data"),
    LT_STR(cli_ledger, sample_key, NULL,
           "key file of sample digests; default: sample.key in $LETHE_HOME/keys or ~/.config/lethe"),
    LT_OPT_END,
};

// Every command takes these, so that a script need not know which ones compute or draw.
static const lt_option idle_seed_options[] = {
    LT_U64(cli_seed, seed, 1, "taken by every command; without effect on this one"),
    LT_OPT_END,
};
static const lt_option idle_threads_options[] = {
    LT_I32(lt_threads, threads, 0, 0, 4096, "", "taken by every command; without effect on this one"),
    LT_OPT_END,
};
static const lt_option idle_device_options[] = {
    LT_STR(lt_compute, device, "cpu", "taken by every command; without effect on this one"),
    LT_OPT_END,
};

enum { FLAGS = LT_OPTGROUP_FLAGS, NO_DIGEST = LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST };
const cli_shared_group cli_shared_groups[] = {
    {"Run directory", place_options, CLI_PLACE, 0, NO_DIGEST, offsetof(cli_call, run_dir)},
    {NULL, resume_rows, CLI_RESUME, 0, NO_DIGEST, offsetof(cli_call, resume)},
    {"Randomness", seed_options, CLI_SEED, 0, FLAGS, offsetof(cli_call, seed)},
    {"Computation", lt_compute_options, CLI_COMPUTE, 0, FLAGS, offsetof(cli_call, compute)},
    {NULL, lt_threads_options, CLI_COMPUTE, 0, NO_DIGEST, offsetof(cli_call, threads)},
    {"Several processes", cli_worker_options, CLI_WORKERS, 0, NO_DIGEST, offsetof(cli_call, workers)},
    {"Ledger", ledger_options, CLI_RECORD, 0, NO_DIGEST, offsetof(cli_call, ledger)},
    {"Every command", common_options, 0, 0, NO_DIGEST, offsetof(cli_call, common)},
    {NULL, idle_seed_options, 0, CLI_SEED | CLI_OWN_SEED, NO_DIGEST, offsetof(cli_call, seed)},
    {NULL, idle_threads_options, 0, CLI_COMPUTE, NO_DIGEST, offsetof(cli_call, threads)},
    {NULL, idle_device_options, 0, CLI_COMPUTE, NO_DIGEST, offsetof(cli_call, compute)},
    {NULL, NULL, 0, 0, 0, 0},
};

bool cli_has_shared(const cli_verb *verb, const cli_shared_group *g)
{
    return (!g->use || (verb->uses & g->use)) && !(verb->uses & g->unless);
}

lt_status cli_add_options(cli_call *call, const char *prefix, const lt_option *table, void *cfg, unsigned flags)
{
    return lt_optset_add(call->set, prefix, table, cfg, flags);
}

lt_status cli_call_begin(cli_session *s, const cli_verb *verb, int argc, char *const *argv, cli_call *call)
{
    *call = (cli_call){.session = s, .verb = verb, .argc = argc, .argv = argv};
    call->opts = cli_alloc(verb->opts_size + 1, 1);
    call->positional = cli_alloc((size_t)argc + 1, sizeof *call->positional);
    LT_TRY(lt_optset_create(&call->set));
    for (const cli_group *g = verb->groups; g && g->table; g++)
        LT_TRY(cli_add_options(call, g->prefix, g->table, (char *)call->opts + g->offset, g->flags));
    if (verb->prepare)
        LT_TRY(verb->prepare(call));
    for (const cli_shared_group *g = cli_shared_groups; g->table; g++)
        if (cli_has_shared(verb, g))
            LT_TRY(cli_add_options(call, "", g->table, (char *)call + g->offset, g->flags));
    return LT_OK;
}

// A device is opened before anything else is: when it is missing, no data need be read to say so.
static lt_status check_device(cli_call *call)
{
    const char *device = call->compute.device;
    if (!strcmp(device, "cpu"))
        return LT_OK;
    bool known = false;
    for (const char *const *name = lt_device_names(); *name; name++)
        known = known || (strcspn(device, ":,") == strlen(*name) && !strncmp(device, *name, strlen(*name)));
    if (!known)
        return LT_FAIL(LT_E_USAGE, "--device: expected cpu or cuda, found '%s'", device);
    if (!(call->verb->uses & CLI_COMPUTE))
        return LT_OK;
    if (strcmp(call->compute.backend, "auto") != 0)
        return LT_FAIL(LT_E_USAGE, "--backend: expected auto with --device %s, found '%s'", device,
                       call->compute.backend);
    return call->common.show_config ? LT_OK : cli_open_backend(call);
}

// --resume DIR saves typing the options of that run again.
static lt_status resume_options(cli_call *call)
{
    static const char *const except[] = {"json",        "quiet", "verbose", "config", "set",
                                         "show-config", "out",   "resume",  "force",  NULL};
    LT_TRY(lt_run_resume_options(call->resume.resume, call->verb->name, except, call->set));
    return lt_optset_set(call->set, "out", call->resume.resume, "flag");
}

void cli_hint_resume(const cli_call *call, lt_status status, const char *action, const char *dir)
{
    if (status == LT_E_INTERRUPTED && *dir)
        lt_error_hint("continue with: lethe %s%s%s --resume %s", call->verb->name, *action ? " " : "", action, dir);
}

lt_status cli_call_parse(cli_call *call)
{
    LT_TRY(lt_optset_parse(call->set, call->argc, call->argv, call->positional, &call->n_positional));
    for (int i = 0; i < lt_optset_n_notices(call->set); i++)
        cli_say(call->session, "notice: %s", lt_optset_notice(call->set, i));
    for (int i = 0; i < call->n_positional; i++) // more likely a shell variable without a value than intended
        if (!*call->positional[i])
            return LT_FAIL(LT_E_USAGE, "%s: expected %s, found an empty argument", call->verb->name, call->verb->usage);
    if ((call->verb->uses & CLI_RESUME) && call->resume.resume && *call->resume.resume)
        LT_TRY(resume_options(call));
    if (call->verb->resolve)
        LT_TRY(call->verb->resolve(call));
    cli_limit_threads(call);
    return check_device(call);
}

void cli_call_end(cli_call *call)
{
    if (call->verb->release)
        call->verb->release(call);
    lt_optset_destroy(call->set);
    json_decref(call->result);
    free(call->json);
    free(call->positional);
    free(call->extra_cfg);
    free(call->opts);
}

lt_status cli_positional(cli_call *call, const char *key, int min, int max)
{
    if (call->n_positional > 0 && max == 0)
        return LT_FAIL(LT_E_USAGE, "%s: expected no argument without --, found '%s'", call->verb->name,
                       call->positional[0]);
    if (call->n_positional > max)
        return LT_FAIL(LT_E_USAGE, "%s: expected at most %d argument%s, found '%s'", call->verb->name, max,
                       max == 1 ? "" : "s", call->positional[max]);
    if (call->n_positional > 0 && key)
        LT_TRY(lt_optset_set(call->set, key, call->positional[0], "flag"));
    const char *value = "";
    if (key)
        LT_TRY(lt_optset_get(call->set, key, &value, NULL));
    if (min > 0 && call->n_positional < min && !*value) {
        LT_FAIL(LT_E_USAGE, "%s: expected %s", call->verb->name, call->verb->usage);
        return lt_error_hint("`lethe %s --help` explains the arguments", call->verb->name);
    }
    return LT_OK;
}

static const cli_action *find_action(const cli_call *call, const cli_action *actions)
{
    for (; actions->name; actions++)
        if (!strcmp(actions->name, call->positional[0]))
            return actions;
    return NULL;
}

lt_status cli_action_run(cli_call *call, const cli_action *actions, const char *example)
{
    enum { MAX_ACTIONS = 16 };
    const char *names[MAX_ACTIONS + 1] = {NULL};
    char list[256] = "";
    for (size_t i = 0, n = 0; actions[i].name && i < MAX_ACTIONS && n < sizeof list; i++) {
        names[i] = actions[i].name;
        n += (size_t)snprintf(list + n, sizeof list - n, "%s%s", i ? ", " : "", names[i]);
    }
    if (call->n_positional < 1) {
        LT_FAIL(LT_E_USAGE, "%s: expected one of %s", call->verb->name, list);
        return lt_error_hint("for example: lethe %s", example);
    }
    const cli_action *a = find_action(call, actions);
    if (a)
        return a->run(call);
    LT_FAIL(LT_E_USAGE, "%s: expected one of %s, found '%s'", call->verb->name, list, call->positional[0]);
    const char *near = lt_nearest(call->positional[0], names);
    return near ? lt_error_hint("did you mean `lethe %s %s`?", call->verb->name, near) : LT_E_USAGE;
}

void cli_action_print(const cli_call *call, const cli_action *actions, FILE *out)
{
    if (json_object_get(call->result, "script"))
        fprintf(out, "%s\n", cli_text(call->result, "script"));
    else
        find_action(call, actions)->print(call->result, out);
}
