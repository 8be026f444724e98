// call.c - one invocation of a verb: binding its option tables, parsing, and calling a verb from another verb.
#include "cli.h"
#include <stdlib.h>
#include <string.h>

static const lt_option common_options[] = {
    LT_BOOL(cli_common, json, 0, "print exactly one JSON object on standard output"),
    LT_BOOL(cli_common, quiet, 0, "no progress and no log lines"),
    LT_BOOL(cli_common, verbose, 0, "log lines, and the way an error took"),
    LT_STR(cli_common, config, NULL, "YAML file of options"),
    LT_STR(cli_common, set, NULL, "KEY=VALUE: any option by its key; may be repeated"),
    LT_BOOL(cli_common, show_config, 0, "print every option, its value and where it came from; do nothing else"),
    LT_OPT_END,
};
static const lt_option compute_options[] = {
    LT_I32(cli_compute, threads, 0, 0, 4096, "", "compute threads; 0 = every core this process may use"),
    LT_I32(cli_compute, loader_threads, 1, 0, 64, "", "threads that prepare batches; the result does not depend on it"),
    LT_BOOL(cli_compute, oversubscribe, 0, "take more threads than this process may use cores, if --threads says so"),
    LT_OPT_END,
};
static const lt_opt_value precisions[] = {
    {"f32", CLI_F32, "everything in single precision"},
    {"bf16", CLI_BF16, "convolutions multiply values rounded to bf16; sums, weights, statistics and attacks stay f32"},
    {NULL, 0, NULL},
};
static const lt_opt_value convolutions[] = {
    {"auto", CLI_CONV_AUTO, "the fastest, measured once per shape"},
    {"own-winograd", CLI_CONV_OWN, "the same without the library's Winograd, which its newer versions lack"},
    {"direct", CLI_CONV_DIRECT, "by the definition, without Winograd: a yardstick for numbers, slower"},
    {NULL, 0, NULL},
};
static const lt_option where_options[] = {
    LT_STR(cli_where, device, "cpu", "where to compute: cpu, or cuda[:CARD][,key=value...]"),
    LT_STR(cli_where, backend, "auto", "compute backend: auto, or one that `lethe doctor` lists"),
    LT_ENUM(cli_where, precision, CLI_F32, precisions, "of the products in training and evaluation"),
    LT_ENUM(cli_where, convolution, CLI_CONV_AUTO, convolutions, "algorithms of convolutions"),
    LT_BOOL(cli_where, fixed_order, 0,
            "the same bits with any --threads: sums in an order of their own, no choice of kernels by timing"),
    LT_OPT_END,
};
static const lt_option seed_options[] = {
    LT_U64(cli_seed, seed, 1, "seed of every random choice of this run"),
    LT_OPT_END,
};
static const lt_option place_options[] = {
    LT_STR(cli_place, out, NULL, "run directory; default: a name made from the options, under runs/"),
    LT_BOOL(cli_place, force, 0, "start anew, even if the run is there and finished"),
    LT_OPT_END,
};
static const lt_option resume_options[] = {
    LT_STR(cli_resume, resume, NULL, "continue the interrupted run in this directory, with its options"),
    LT_OPT_END,
};

const cli_shared_group cli_shared_groups[] = {
    {"Run directory", place_options, CLI_PLACE, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST, offsetof(cli_call, place)},
    {NULL, resume_options, CLI_RESUME, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST, offsetof(cli_call, resume)},
    {"Randomness", seed_options, CLI_SEED, LT_OPTGROUP_FLAGS, offsetof(cli_call, seed)},
    {"Computation", where_options, CLI_COMPUTE, LT_OPTGROUP_FLAGS, offsetof(cli_call, where)},
    {NULL, compute_options, CLI_COMPUTE, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST, offsetof(cli_call, compute)},
    {"Every command", common_options, 0, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST, offsetof(cli_call, common)},
    {NULL, NULL, 0, 0, 0},
};

lt_status cli_bind(cli_call *call, const char *prefix, const lt_option *table, void *cfg, unsigned flags)
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
        LT_TRY(cli_bind(call, g->prefix, g->table, (char *)call->opts + g->offset, g->flags));
    if (verb->prepare)
        LT_TRY(verb->prepare(call));
    for (const cli_shared_group *g = cli_shared_groups; g->table; g++)
        if (!g->use || (verb->uses & g->use))
            LT_TRY(cli_bind(call, "", g->table, (char *)call + g->offset, g->flags));
    return LT_OK;
}

// A device is opened before anything else is: when it is missing, no data need be read to say so.
static lt_status check_device(cli_call *call)
{
    const char *device = call->where.device;
    if (!(call->verb->uses & CLI_COMPUTE) || !strcmp(device, "cpu"))
        return LT_OK;
    bool known = false;
    for (const char *const *name = lt_device_names(); *name; name++)
        known = known || (strcspn(device, ":,") == strlen(*name) && !strncmp(device, *name, strlen(*name)));
    if (!known)
        return LT_FAIL(LT_E_USAGE, "--device: expected cpu or cuda, found '%s'", device);
    if (strcmp(call->where.backend, "auto") != 0)
        return LT_FAIL(LT_E_USAGE, "--backend: expected auto with --device %s, found '%s'", device,
                       call->where.backend);
    return call->common.show_config ? LT_OK : cli_open_backend(call);
}

lt_status cli_call_parse(cli_call *call)
{
    LT_TRY(lt_optset_parse(call->set, call->argc, call->argv, call->positional, &call->n_positional));
    for (int i = 0; i < lt_optset_n_notices(call->set); i++)
        cli_say(call->session, "notice: %s", lt_optset_notice(call->set, i));
    for (int i = 0; i < call->n_positional; i++) // more likely a shell variable without a value than a wish
        if (!*call->positional[i])
            return LT_FAIL(LT_E_USAGE, "%s: expected %s, found an empty argument", call->verb->name, call->verb->usage);
    if ((call->verb->uses & CLI_RESUME) && call->resume.resume && *call->resume.resume)
        LT_TRY(cli_resume_options(call));
    cli_limit_threads(call);
    return check_device(call);
}

void cli_call_end(cli_call *call)
{
    lt_optset_destroy(call->set);
    json_decref(call->result);
    free(call->positional);
    free(call->extra_cfg);
    free(call->opts);
}

// The arguments a nested call inherits: how to run, not what.
static int inherit(const cli_call *parent, char *const *args, int n, char **argv, char threads[2][32])
{
    static char device_flag[] = "--device"; // argv is not const
    int k = 0;
    for (; k < n; k++)
        argv[k] = args[k];
    snprintf(threads[0], 32, "--threads=%d", (int)parent->compute.threads);
    snprintf(threads[1], 32, "--loader-threads=%d", (int)parent->compute.loader_threads);
    argv[k++] = threads[0];
    argv[k++] = threads[1];
    if (parent->where.device) {
        argv[k++] = device_flag;
        argv[k++] = (char *)parent->where.device;
    }
    return k;
}

lt_status cli_invoke(cli_call *parent, const cli_verb *verb, const char *const *args, json_t **result)
{
    enum { MAX_ARGS = 64 };
    char *argv[MAX_ARGS + 4];
    char threads[2][32];
    char *given[MAX_ARGS];
    int n = 0;
    for (; args[n]; n++) {
        if (n == MAX_ARGS)
            return LT_FAIL(LT_E_FAIL, "%s: more than %d arguments in a nested call", verb->name, (int)MAX_ARGS);
        given[n] = (char *)args[n];
    }
    int argc = (verb->uses & CLI_COMPUTE) ? inherit(parent, given, n, argv, threads) : n;
    if (argc == n)
        memcpy(argv, given, (size_t)n * sizeof *argv);
    cli_call call;
    lt_status status = cli_call_begin(parent->session, verb, argc, argv, &call);
    call.nested = true;
    if (status == LT_OK)
        status = cli_call_parse(&call);
    if (status == LT_OK)
        status = verb->run(&call);
    *result = status == LT_OK ? json_incref(call.result) : NULL;
    cli_call_end(&call);
    return status == LT_OK ? LT_OK : lt_error_frame(status, __FILE__, __LINE__, __func__);
}

const char *cli_find_arg(int argc, char *const *argv, const char *name)
{
    const char *found = NULL;
    size_t n = strlen(name);
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        const char *arg = argv[i];
        if (!strncmp(arg, "--set=", 6) && !strncmp(arg + 6, name, n) && arg[6 + n] == '=')
            found = arg + 7 + n;
        if (!strcmp(arg, "--set") && i + 1 < argc && !strncmp(argv[i + 1], name, n) && argv[i + 1][n] == '=')
            found = argv[i + 1] + n + 1;
        if (strncmp(arg, "--", 2) != 0 || strncmp(arg + 2, name, n) != 0)
            continue;
        if (arg[2 + n] == '=')
            found = arg + 3 + n;
        else if (arg[2 + n] == '\0' && i + 1 < argc && strncmp(argv[i + 1], "--", 2) != 0)
            found = argv[i + 1];
    }
    return found;
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
    find_action(call, actions)->print(call->result, out);
}
