// workers.c - scripts that start workers: the same command with --join, for Slurm or mpirun (decision 14).
#include "cli.h"
#include <stdlib.h>
#include <string.h>

const lt_option cli_worker_options[] = {
    LT_STR(cli_workers, executor, "local",
           "local: in this process; slurm, mpirun: write a script that starts workers, and do nothing else"),
    LT_I32(cli_workers, workers, 4, 1, 100000, "workers", "of --executor slurm or mpirun; each has --threads threads"),
    LT_BOOL(cli_workers, join, 0,
            "share the work with other processes that have this option: each takes jobs that no other has, and ends "
            "when all "
            "is done"),
    LT_OPT_END,
};

lt_status cli_worker_script(cli_call *call, const lt_worker_order *order)
{
    char *json;
    LT_TRY(lt_executor_script_write(order, &json));
    return cli_json_take(json, &call->result);
}

// ---- the options of a call as arguments of a worker

static bool belongs_to_starter(const char *key)
{
    static const char *const names[] = {"executor", "workers", "join",   "threads", "json",
                                        "quiet",    "verbose", "config", "set",     "show-config"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(key, names[i]))
            return true;
    return false;
}

// What differs from the defaults, wherever it was given: on the command line, in a file, in a variable.
static lt_status list_given(cli_call *call, cli_list *args)
{
    char *text = lt_optset_json(call->set);
    json_t *all = NULL, *option;
    const char *key, *value, *origin;
    LT_TRY(cli_json_take(text, &all));
    lt_status status = LT_OK;
    json_object_foreach(all, key, option)
    {
        if (belongs_to_starter(key) || !strcmp(cli_text(option, "origin"), "default"))
            continue;
        status = lt_optset_get(call->set, key, &value, &origin);
        if (status != LT_OK)
            break;
        char *pair = cli_format("%s=%s", key, value);
        cli_list_push(args, "--set", strlen("--set"));
        cli_list_push(args, pair, strlen(pair));
        free(pair);
    }
    json_decref(all);
    return status;
}

lt_status cli_workers_begin(cli_call *call, const char *const *words, const char *stem, bool *written)
{
    const cli_workers *w = &call->workers;
    const lt_executor_kind *kind;
    *written = false;
    LT_TRY(lt_executor_find(w->executor, &kind));
    if (!kind->script)
        return LT_OK;
    const int slots = call->threads.threads > 0 ? call->threads.threads : 1;
    const char *slash = strrchr(stem, '/');
    char *threads = cli_format("%d", slots);
    cli_list args = {0};
    for (; *words; words++)
        cli_list_push(&args, *words, strlen(*words));
    lt_status status = list_given(call, &args);
    cli_list_push(&args, "--join", strlen("--join"));
    cli_list_push(&args, "--threads", strlen("--threads"));
    cli_list_push(&args, threads, strlen(threads));
    if (status == LT_OK)
        status = cli_worker_script(call, &(lt_worker_order){.executor = w->executor,
                                                            .n_workers = w->workers,
                                                            .slots = slots,
                                                            .name = slash ? slash + 1 : stem,
                                                            .stem = stem,
                                                            .args = (const char *const *)args.item});
    cli_list_clear(&args);
    free(threads);
    *written = status == LT_OK;
    return status;
}
