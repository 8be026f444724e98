// cmd_sweep.c - `lethe sweep`: a whole study from one file, every part of it an ordinary run.
#include "sweep.h"
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

struct opts {
    const char *study, *out;
    int32_t jobs;
    bool dry_run, measure;
};
static const lt_option own[] = {
    LT_STR(struct opts, study, NULL, "study file (also the first argument)"),
    LT_STR(struct opts, out, NULL, "directory of the study; default: sweeps/NAME of the file"),
    LT_I32(struct opts, jobs, 0, 0, 4096, "processes",
           "parts at a time, each with one thread; 0 = every core this process may use; results do not depend on it"),
    LT_BOOL(struct opts, dry_run, 0, "print what there is, what is missing and what it will cost; run nothing"),
    LT_BOOL(struct opts, measure, 1, "dry run: time a few steps when no finished part tells the speed"),
    LT_OPT_END,
};
static const cli_group groups[] = {
    {"", "Study", own, 0, LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

// ---- before anything runs

// sweeps/NAME for .../NAME.yaml
static char *default_out(const char *file)
{
    const char *base = strrchr(file, '/');
    base = base ? base + 1 : file;
    const char *dot = strrchr(base, '.');
    return cli_format("sweeps/%.*s", (int)(dot && dot != base ? (size_t)(dot - base) : strlen(base)), base);
}

static lt_status check_out(const char *out)
{
    if (strchr(out, ','))
        return LT_FAIL(LT_E_USAGE, "--out %s: expected a path without commas: lists of runs are separated by them",
                       out);
    return LT_OK;
}

static lt_status placed(const char *file, int line, const char *key, lt_status status)
{
    if (status == LT_OK)
        return LT_OK;
    const lt_error error = *lt_error_get();
    LT_FAIL(status, "%s:%d: %s: %s", file, line, key, error.message);
    return error.hint[0] ? lt_error_hint("%s", error.hint) : status;
}

static lt_status check_model(const sweep *s, const char *file)
{
    lt_model *model = NULL;
    const lt_dataset *ds = s->ds;
    lt_status status = lt_model_create(s->study->model, (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, &model);
    lt_model_destroy(model);
    return placed(file, s->study->model_line, "model", status);
}

// Forget sets as indices: they must exist, leave something, and tuning must have one of its own.
static lt_status check_forgets(sweep *s, const char *file)
{
    char digest[65], tuning_digest[65] = "";
    for (int i = s->n_forget - 1; i >= 0; i--) { // tuning is the last
        sweep_forget *f = &s->forget[i];
        lt_index_set set = {0};
        LT_TRY(placed(file, f->forget->line, "forget", lt_forget_parse(s->ds, f->forget->spec, f->forget->seed, &set)));
        f->n = set.n;
        f->n_retain = s->ds->split[LT_TRAIN].n - set.n;
        lt_index_set_digest(s->ds, LT_TRAIN, &set, digest);
        lt_index_set_clear(&set);
        if (f->n_retain < 1)
            return LT_FAIL(LT_E_USAGE, "%s:%d: forget: %s leaves no sample to retain", file, f->forget->line,
                           f->forget->spec);
        if (f->tuning)
            memcpy(tuning_digest, digest, sizeof digest);
        else if (!strcmp(digest, tuning_digest))
            return LT_FAIL(LT_E_USAGE, "%s:%d: forget: %s is the set that is tuned on", file, f->forget->line,
                           f->forget->spec);
    }
    return LT_OK;
}

static lt_status open_study(cli_call *call, sweep *s, lt_study **study)
{
    const struct opts *o = call->opts;
    LT_TRY(lt_study_open(o->study, study));
    s->study = *study;
    LT_TRY(placed(o->study, s->study->data_line, "data", cli_dataset(call, s->study->data, &s->ds)));
    LT_TRY(check_model(s, o->study));
    sweep_grid_build(s);
    LT_TRY(check_forgets(s, o->study));
    sweep_estimate(s);
    return LT_OK;
}

// ---- the run

// One sweep at a time in a directory. The lock is not inherited: a process that outlives us does not hold it.
static lt_status lock(const sweep *s, int *fd)
{
    char *path = cli_format("%s/lock", s->out);
    lt_status status = lt_make_dirs(s->out);
    if (status == LT_OK) {
        *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
        if (*fd < 0)
            status = LT_FAIL(LT_E_IO, "%s: cannot be created", path);
        else if (flock(*fd, LOCK_EX | LOCK_NB) != 0)
            status = LT_FAIL(LT_E_BUSY, "%s: another `lethe sweep` works in this directory", s->out);
    }
    free(path);
    return status;
}

static lt_status keep_study(const sweep *s, const char *file)
{
    enum { MAX_BYTES = 1 << 20 };
    char *text, *path = cli_format("%s/study.yaml", s->out);
    size_t n;
    lt_status status = lt_read_file(file, MAX_BYTES, &text, &n);
    if (status == LT_OK) {
        status = lt_write_file_atomic(path, text, n);
        free(text);
    }
    free(path);
    return status;
}

static lt_status execute(cli_call *call, sweep *s)
{
    const struct opts *o = call->opts;
    int fd = -1;
    lt_status status = LT_OK;
    LT_TRY_GOTO(lock(s, &fd), done);
    LT_TRY_GOTO(keep_study(s, o->study), done);
    cli_catch_signals(call->session);
    LT_TRY_GOTO(sweep_execute(s), done);
    LT_TRY_GOTO(sweep_collect(s, &call->result), done);
    cli_put_text(call->result, "out", s->out);
done:
    if (fd >= 0)
        close(fd);
    return status;
}

static lt_status run(cli_call *call)
{
    struct opts *o = call->opts;
    lt_study *study = NULL;
    char *out = NULL;
    sweep s = {.call = call};
    lt_status status = LT_OK;
    LT_TRY(cli_positional(call, "study", 1, 1));
    s.n_jobs = o->jobs > 0 ? o->jobs : cli_threads(call);
    out = o->out && *o->out ? cli_format("%s", o->out) : default_out(o->study);
    for (size_t n = strlen(out); n > 1 && out[n - 1] == '/';)
        out[--n] = '\0';
    s.out = out;
    LT_TRY_GOTO(check_out(out), done);
    LT_TRY_GOTO(open_study(call, &s, &study), done);
    if (o->dry_run)
        status = sweep_dry_run(&s, o->measure, &call->result);
    else
        status = execute(call, &s);
done:
    sweep_clear(&s);
    lt_study_close(study);
    free(out);
    return status;
}

static bool is_dry(const json_t *r)
{
    return json_is_true(json_object_get(r, "dry_run"));
}

// Judged after the tables are printed: what could be done is done.
static lt_status check(const cli_call *call)
{
    const json_t *failed = json_object_get(call->result, "failed");
    const size_t n = json_array_size(failed);
    if (is_dry(call->result) || n == 0)
        return LT_OK;
    const json_t *first = json_array_get(failed, 0);
    LT_FAIL(LT_E_FAIL, "%zu part%s failed or could not begin; the first is %s: %s", n, n == 1 ? "" : "s",
            cli_text(first, "part"), cli_text(first, "error"));
    return lt_error_hint("summary.json lists them; the same command tries them again");
}

static void print(const cli_call *call, FILE *out)
{
    if (is_dry(call->result))
        sweep_print_dry_run(call->result, out);
    else
        sweep_print_summary(call->result, out);
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
        "Tables: results.csv (a row per audited model), tuning.csv (everything tried), chosen.json, summary.json, "
        "summary.md.\n"
        "docs/sweeps.md explains the file, with a complete example.",
    .examples = "  lethe sweep study.yaml --dry-run\n"
                "  lethe sweep study.yaml --jobs 4 --out sweeps/first\n",
    .uses = CLI_COMPUTE,
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .check = check,
    .print = print,
};
