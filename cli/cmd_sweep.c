// cmd_sweep.c - `lethe sweep`: a whole study from one file, every part of it an ordinary run.
#include "sweep.h"
#include <stdlib.h>
#include <string.h>

struct opts {
    const char *study, *out;
    int32_t jobs;
    const char *executor;
    int32_t workers;
    bool dry_run, measure, join;
};
static const lt_option own[] = {
    LT_STR(struct opts, study, NULL, "study file (also the first argument)"),
    LT_STR(struct opts, out, NULL, "directory of the study; default: sweeps/NAME of the file"),
    LT_I32(struct opts, jobs, 0, 0, 4096, "processes",
           "parts at a time, each with one thread; 0 = every core this process may use; results do not depend on it"),
    LT_STR(struct opts, executor, "local",
           "how jobs are started: local, or slurm or mpirun, for which a script is written that starts workers"),
    LT_I32(struct opts, workers, 4, 1, 100000, "workers",
           "of --executor slurm or mpirun; each has --jobs parts at a time"),
    LT_BOOL(struct opts, dry_run, 0, "print what is finished, what is missing and what it will cost; run nothing"),
    LT_BOOL(struct opts, join, 0,
            "work in a directory together with other sweeps that have this option: each takes jobs that no other has "
            "begun"),
    LT_BOOL(struct opts, measure, 1, "dry run: time a few steps when no finished part gives the speed"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Study", own, 0, LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

// A data set that cannot be opened is a mistake of the study file.
static lt_status open_data(cli_call *call, const lt_study *study, const lt_dataset **ds)
{
    const struct opts *o = call->opts;
    const lt_status status = cli_dataset(call, study->data, ds);
    if (status == LT_OK)
        return LT_OK;
    const lt_error error = *lt_error_get();
    LT_FAIL(status, "%s:%d: data: %s", o->study, study->data_line, error.message);
    return error.hint[0] ? lt_error_hint("%s", error.hint) : status;
}

static lt_status plan(cli_call *call, lt_study_runner *runner)
{
    const struct opts *o = call->opts;
    lt_study_plan p;
    if (o->measure)
        cli_progress_stage(call->session->progress, "timing a few steps");
    LT_TRY(lt_study_plan_make(runner, o->measure, call->compute.backend, &p));
    lt_status status = cli_json_take(lt_study_plan_json(&p), &call->result);
    lt_study_plan_clear(&p);
    return status;
}

// The page is that of `lethe report DIR`.
static lt_status write_result(cli_call *call, const lt_study_result *result)
{
    char *page = cli_format("%s/report.html", result->out);
    lt_status status = lt_study_result_write(result);
    if (status == LT_OK)
        status = lt_report_study(result, NULL, &(lt_report_files){.page = page});
    if (status == LT_OK)
        status = cli_json_take(lt_study_result_json(result), &call->result);
    if (status == LT_OK)
        cli_put_text(call->result, "report", page);
    free(page);
    return status;
}

static lt_status run_study(cli_call *call, lt_study_runner *runner)
{
    lt_study_result result;
    cli_catch_signals(call->session);
    cli_progress_stage(call->session->progress, "sweep");
    lt_status status = lt_study_run(runner);
    cli_progress_clear(call->session->progress);
    LT_TRY(status);
    LT_TRY(lt_study_summarize(runner, &result));
    status = write_result(call, &result);
    if (status == LT_OK && lt_study_result_check(&result) != LT_OK)
        call->late = *lt_error_get(); // reported after the tables: what could be done is done
    lt_study_result_clear(&result);
    return status;
}

// ---- a script instead of a run: workers are this command with --join

static lt_status make_script(cli_call *call, const char *out)
{
    const struct opts *o = call->opts;
    char slots[32];
    const int jobs = o->jobs > 0 ? o->jobs : 1;
    snprintf(slots, sizeof slots, "%d", jobs);
    const char *const args[] = {"sweep", o->study, "--out", out, "--join", "--jobs", slots, NULL};
    const char *name = strrchr(out, '/');
    char *stem = cli_format("%s/", out);
    const lt_status status = cli_worker_script(call, &(lt_worker_order){.executor = o->executor,
                                                                        .n_workers = o->workers,
                                                                        .slots = jobs,
                                                                        .name = name ? name + 1 : out,
                                                                        .stem = stem,
                                                                        .args = args});
    free(stem);
    return status;
}

// ---- all of it

typedef struct sweep_task {
    const char *out;
    const lt_executor_kind *kind;
    lt_executor *executor;
} sweep_task;

static lt_status run_task(cli_call *call, const sweep_task *task, const lt_study *study)
{
    const struct opts *o = call->opts;
    lt_study_runner *runner = NULL;
    lt_study_order order = {.study = study,
                            .out = task->out,
                            .executor = task->executor,
                            .join = o->join,
                            .events = call->session->events,
                            .stop = &call->session->stop};
    lt_status status = open_data(call, study, &order.ds);
    if (status == LT_OK)
        status = lt_study_runner_create(&order, &runner); // checks the study, also for a script
    if (status == LT_OK)
        status = o->dry_run           ? plan(call, runner)
                 : task->kind->script ? make_script(call, task->out)
                                      : run_study(call, runner);
    lt_study_runner_destroy(runner);
    return status;
}

static lt_status run(cli_call *call)
{
    struct opts *o = call->opts;
    lt_study *study = NULL;
    LT_TRY(cli_positional(call, "study", 1, 1));
    const lt_executor_cfg cfg = {.program = "/proc/self/exe", // jobs are invocations of this very command
                                 .slots = o->jobs > 0 ? o->jobs : cli_threads(call),
                                 .events = call->session->events};
    sweep_task task = {0};
    LT_TRY(lt_executor_find(o->executor, &task.kind));
    char *out = o->out && *o->out ? cli_format("%s", o->out) : lt_study_default_out(o->study);
    if (!out)
        return LT_FAIL(LT_E_NOMEM, "out of memory: sweep");
    for (size_t n = strlen(out); n > 1 && out[n - 1] == '/';)
        out[--n] = '\0';
    task.out = out;
    lt_status status = lt_study_open(o->study, &study);
    if (status == LT_OK && !task.kind->script)
        status = lt_executor_open(o->executor, &cfg, &task.executor);
    if (status == LT_OK)
        status = run_task(call, &task, study);
    lt_executor_close(task.executor);
    lt_study_close(study);
    free(out);
    return status;
}

static bool is_dry(const json_t *r)
{
    return json_is_true(json_object_get(r, "dry_run"));
}

static void print(const cli_call *call, FILE *out)
{
    const struct opts *o = call->opts;
    if (o->join && !lt_executor_is_first_rank())
        return;
    if (json_object_get(call->result, "script"))
        fprintf(out, "%s\n", cli_text(call->result, "script"));
    else if (is_dry(call->result))
        sweep_print_plan(call->result, out);
    else
        sweep_print_result(call->result, out);
}

const cli_verb cli_verb_sweep = {
    .name = "sweep",
    .usage = "STUDY.yaml [--dry-run] [--jobs N] [--out DIR]",
    .about =
        "Runs a study: original models, retrained oracles, reference models, tuning, unlearning runs, audits, and "
        "the\n"
        "tables from them. Every part is an ordinary run below DIR; what is finished with the same options is kept, "
        "so an\n"
        "interrupted sweep (exit code 75) goes on with the same command, and a changed study makes only what "
        "changed.\n"
        "A part that fails is recorded, the others go on, and the exit code is 1.\n"
        "\n"
        "Results: report.html, results.csv (a row per audited model), tuning.csv (everything tried), chosen.json,\n"
        "summary.json, summary.md.\n"
        "docs/sweeps.md explains the file, with a complete example.",
    .examples =
        "  lethe sweep study.yaml --dry-run\n"
        "  lethe sweep study.yaml --jobs 4 --out sweeps/first\n"
        "  lethe sweep study.yaml --executor slurm --workers 20 --jobs 8  # then: sbatch sweeps/study/slurm.sh\n",
    .uses = CLI_COMPUTE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .print = print,
};
