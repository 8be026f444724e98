// sweep_run.c - running the parts: what is there already, a process per part, interruption.
//
// OUT/logs/ID.log is what a part said. It is locked as long as the process of the part lives, also when that outlives
// the sweep: a sweep that comes after a killed one waits for such parts.
#include "sweep.h"
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;
enum { FILE_MODE = 0644 };

// ---- what is there

static bool is_fresh(const sweep *s, const sweep_part *p, const json_t *record)
{
    return (sweep_is_made(s, p) || p->kind == SWEEP_REFERENCES) && !strcmp(cli_text(record, "state"), "done") &&
           sweep_same_args(s, p, record);
}

// The models are only wanted for their outputs; whether they are all in the store is the store's business.
static bool outputs_are_fresh(const sweep *s)
{
    bool fresh = true;
    for (int i = 0; i < s->n_parts && fresh; i++) {
        if (s->part[i].kind != SWEEP_OUTPUTS)
            continue;
        json_t *record = sweep_load_record(s, &s->part[i]);
        fresh = is_fresh(s, &s->part[i], record);
        json_decref(record);
    }
    return fresh;
}

static void set_error(sweep_part *p, const char *text)
{
    free(p->error);
    p->error = cli_format("%s", text);
}

static void settle(sweep_part *p, sweep_state state, const char *error)
{
    p->state = state;
    if (error)
        set_error(p, error);
}

static bool judges(const sweep_part *p)
{
    return p->kind == SWEEP_TUNE || p->kind == SWEEP_AUDIT;
}

static int count_done(const sweep *s, const sweep_part *p, sweep_kind kind)
{
    int n = 0;
    for (int i = 0; i < p->n_deps; i++)
        n += s->part[p->dep[i].part].kind == kind && s->part[p->dep[i].part].state == SWEEP_DONE;
    return n;
}

// True: all it waits for is settled. It may have become blocked then.
static bool check_deps(const sweep *s, sweep_part *p, bool *dirty)
{
    bool all = true;
    *dirty = false;
    for (int i = 0; i < p->n_deps; i++) {
        const sweep_part *q = &s->part[p->dep[i].part];
        const bool counts = !p->dep[i].soft || judges(p);
        all = all && sweep_settled(q);
        *dirty = *dirty || (counts && q->changed && q->kind != SWEEP_REFERENCES);
        if (!p->dep[i].soft && sweep_settled(q) && q->state != SWEEP_DONE) {
            char *why = cli_format("needs %s, which %s", q->id, q->state == SWEEP_STOPPED ? "was stopped" : "failed");
            settle(p, SWEEP_BLOCKED, why);
            free(why);
            return true;
        }
    }
    if (!all)
        return false;
    if (p->kind == SWEEP_TUNE && count_done(s, p, SWEEP_POINT) == 0)
        settle(p, SWEEP_BLOCKED, "no setting of this search gave a model");
    else if ((p->kind == SWEEP_AUDIT || (p->kind == SWEEP_TUNE && s->study->tuning.uses_oracle)) &&
             count_done(s, p, SWEEP_ORACLE) == 0)
        settle(p, SWEEP_BLOCKED, "needs an oracle, and all of them failed");
    return true;
}

static void finish_part(sweep *s, sweep_part *p, bool existing)
{
    p->state = SWEEP_DONE;
    p->existing = existing;
    p->changed = p->changed || !existing;
    if (p->kind == SWEEP_TUNE && sweep_choose(s, p) != LT_OK) {
        settle(p, SWEEP_FAILED, lt_error_get()->message);
        lt_error_clear();
    }
}

bool sweep_look(sweep *s, sweep_part *p)
{
    bool dirty;
    if (p->state != SWEEP_WAITING || !check_deps(s, p, &dirty) || p->state != SWEEP_WAITING)
        return false;
    sweep_make_args(s, p, &p->args);
    json_t *record = sweep_load_record(s, p);
    const bool same = sweep_same_args(s, p, record);
    if (same)
        p->seconds = cli_real(record, "seconds");
    if (!dirty && is_fresh(s, p, record) && (p->kind != SWEEP_REFERENCES || outputs_are_fresh(s)))
        finish_part(s, p, true);
    else if (!dirty && same && !strcmp(cli_text(record, "state"), "unfit")) {
        settle(p, SWEEP_UNFIT, cli_text(record, "error"));
        p->existing = true;
    }
    p->force = record && !same;
    json_decref(record);
    return p->state == SWEEP_WAITING;
}

// ---- processes

static bool makes_run(const sweep_part *p)
{
    return p->kind == SWEEP_BASE || p->kind == SWEEP_ORACLE || p->kind == SWEEP_POINT || p->kind == SWEEP_RUN;
}

static int weight(const sweep *s, const sweep_part *p)
{
    return p->kind == SWEEP_REFERENCES ? s->n_jobs : 1; // trains as many models at once
}

// *fd stays -1 when another process holds the log.
static lt_status open_log(const char *log, int *fd)
{
    *fd = open(log, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, FILE_MODE);
    if (*fd < 0)
        return LT_FAIL(errno == ENOSPC ? LT_E_NOSPACE : LT_E_IO, "%s: %s", log, strerror(errno));
    // File systems without locks are fine.
    if (flock(*fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        close(*fd);
        *fd = -1;
    }
    return LT_OK;
}

static lt_status open_streams(posix_spawn_file_actions_t *files, int log, const char *out)
{
    int error = posix_spawn_file_actions_init(files);
    if (!error)
        error = posix_spawn_file_actions_addopen(files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    if (!error)
        error = posix_spawn_file_actions_addopen(files, STDOUT_FILENO, out, O_WRONLY | O_CREAT | O_TRUNC, FILE_MODE);
    if (!error)
        error = posix_spawn_file_actions_adddup2(files, log, STDERR_FILENO);
    return error ? LT_FAIL(LT_E_FAIL, "cannot prepare a process: %s", strerror(error)) : LT_OK;
}

// A process group of its own: Ctrl-C of the terminal reaches only the sweep, which passes it on once.
static lt_status spawn(int log, const char *out, const cli_list *args, pid_t *pid)
{
    posix_spawn_file_actions_t files;
    posix_spawnattr_t attributes;
    LT_TRY(open_streams(&files, log, out));
    int error = posix_spawnattr_init(&attributes);
    if (!error)
        error = posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
    if (!error)
        error = posix_spawnattr_setpgroup(&attributes, 0);
    if (!error)
        error = posix_spawn(pid, "/proc/self/exe", &files, &attributes, args->item, environ);
    posix_spawn_file_actions_destroy(&files);
    posix_spawnattr_destroy(&attributes);
    return error ? LT_FAIL(LT_E_FAIL, "cannot start a process for a part: %s", strerror(error)) : LT_OK;
}

static void add_arg(cli_list *args, const char *text)
{
    cli_list_push(args, text, strlen(text));
}

static void command_line(const sweep *s, const sweep_part *p, cli_list *args)
{
    char threads[32];
    add_arg(args, "lethe");
    for (int i = 0; i < p->args.n; i++)
        add_arg(args, p->args.item[i]);
    snprintf(threads, sizeof threads, "--threads=%d", weight(s, p));
    add_arg(args, threads);
    add_arg(args, "--loader-threads=0");
    add_arg(args, "--json");
    add_arg(args, "--quiet");
    if (p->force && makes_run(p))
        add_arg(args, "--force");
}

static lt_status launch(const sweep *s, sweep_part *p, int log)
{
    char *out = sweep_path(s, "logs", p->id, ".json"), *made = sweep_product(s, p);
    cli_list args = {0};
    lt_status status = LT_OK;
    LT_TRY_GOTO(sweep_save_record(s, p, "started"), done);
    LT_TRY_GOTO(sweep_make_parent(made), done);
    if (!makes_run(p))
        unlink(made); // an older answer must not pass for this one
    command_line(s, p, &args);
    LT_TRY_GOTO(spawn(log, out, &args, &p->pid), done);
    p->state = SWEEP_RUNNING;
    p->start_s = cli_now_s();
done:
    cli_list_clear(&args);
    free(out);
    free(made);
    return status;
}

// A part that is still at work stays waiting.
static lt_status start(sweep *s, sweep_part *p)
{
    int fd = -1;
    char *log = sweep_path(s, "logs", p->id, ".log");
    lt_status status = sweep_make_parent(log);
    if (status == LT_OK)
        status = open_log(log, &fd);
    if (status == LT_OK && fd >= 0) {
        status = launch(s, p, fd);
    } else if (status == LT_OK) {
        if (!p->held)
            cli_say(s->call->session, "%s: an earlier sweep started it and it is still at work; waiting", p->id);
        p->held = true;
        cli_list_clear(&p->args); // looked at again
    }
    if (fd >= 0)
        close(fd); // the process has its own
    free(log);
    return status;
}

// The error a part told in its JSON, or what is known from outside.
static void take_error(const sweep *s, sweep_part *p, const json_t *said, int wait_status)
{
    const char *message = cli_text(said, "error.message");
    char *text = *message ? cli_format("%s", message)
                 : WIFSIGNALED(wait_status)
                     ? cli_format("ended by signal %d; see %s/logs/%s.log", WTERMSIG(wait_status), s->out, p->id)
                     : cli_format("exit code %d; see %s/logs/%s.log", WEXITSTATUS(wait_status), s->out, p->id);
    set_error(p, text);
    free(text);
}

static lt_status keep_answer(const sweep *s, const sweep_part *p, const char *said)
{
    if (!judges(p))
        return LT_OK;
    char *to = sweep_product(s, p);
    lt_status status = rename(said, to) == 0
                           ? LT_OK
                           : LT_FAIL(errno == ENOSPC ? LT_E_NOSPACE : LT_E_IO, "%s: %s", to, strerror(errno));
    free(to);
    return status;
}

static bool is_unfit(const sweep_part *p, int code)
{
    return p->kind == SWEEP_POINT &&
           (code == lt_status_exit_code(LT_E_DIVERGED) || code == lt_status_exit_code(LT_E_CHECK));
}

static lt_status ended(sweep *s, sweep_part *p, int wait_status)
{
    char *path = sweep_path(s, "logs", p->id, ".json");
    json_t *said = NULL;
    const int code = WIFEXITED(wait_status) ? WEXITSTATUS(wait_status) : -1;
    const bool cached = cli_json_load(path, &said) == LT_OK && json_is_true(json_object_get(said, "cached"));
    lt_status status = LT_OK;
    lt_error_clear();
    p->pid = 0;
    if (!cached)
        p->seconds = (isfinite(p->seconds) ? p->seconds : 0) + cli_now_s() - p->start_s;
    if (code == 0) {
        LT_TRY_GOTO(keep_answer(s, p, path), done);
        p->changed = !cached;
        LT_TRY_GOTO(sweep_save_record(s, p, "done"), done);
        finish_part(s, p, cached);
    } else if (code == lt_status_exit_code(LT_E_INTERRUPTED) && s->call->session->stop) {
        p->state = SWEEP_STOPPED;
        LT_TRY_GOTO(sweep_save_record(s, p, "interrupted"), done);
    } else {
        p->state = is_unfit(p, code) ? SWEEP_UNFIT : s->call->session->stop && code < 0 ? SWEEP_STOPPED : SWEEP_FAILED;
        take_error(s, p, said, wait_status);
        LT_TRY_GOTO(sweep_save_record(s, p, sweep_state_text(p)), done);
    }
done:
    json_decref(said);
    free(path);
    return status;
}

// ---- the loop

static void tell(const sweep *s, bool force, double *last_s)
{
    enum { N_FIELDS = 3 };
    double done = 0, total = 0, now = cli_now_s();
    int n_settled = 0, n_running = 0;
    if (!force && now - *last_s < 0.2)
        return;
    *last_s = now;
    for (int i = 0; i < s->n_parts; i++) {
        const sweep_part *p = &s->part[i];
        n_settled += sweep_settled(p);
        n_running += p->state == SWEEP_RUNNING;
        total += p->passes;
        done += sweep_settled(p) ? p->passes : 0;
    }
    const lt_field fields[N_FIELDS] = {{"parts", n_settled}, {"of", s->n_parts}, {"running", n_running}};
    lt_emit(s->call->session->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                                  .name = "sweep.parts",
                                                  .done = (int64_t)done,
                                                  .total = (int64_t)total,
                                                  .unit = "samples",
                                                  .epoch = -1,
                                                  .step = -1,
                                                  .fields = fields,
                                                  .n_fields = N_FIELDS});
}

static int load_of(const sweep *s)
{
    int used = 0;
    for (int i = 0; i < s->n_parts; i++)
        used += s->part[i].state == SWEEP_RUNNING ? weight(s, &s->part[i]) : 0;
    return used;
}

// In the order of the list, so that what much depends on comes first; a part that needs every worker is not overtaken.
static lt_status start_ready(sweep *s)
{
    for (int i = 0; i < s->n_parts && !s->call->session->stop; i++) {
        sweep_part *p = &s->part[i];
        if (load_of(s) >= s->n_jobs)
            return LT_OK;
        if (!sweep_look(s, p)) {
            if (p->state == SWEEP_BLOCKED)
                LT_TRY(sweep_save_record(s, p, "blocked"));
            continue;
        }
        if (load_of(s) + weight(s, p) > s->n_jobs)
            return LT_OK;
        LT_TRY(start(s, p));
    }
    return LT_OK;
}

static lt_status reap(sweep *s)
{
    for (int i = 0; i < s->n_parts; i++) {
        int wait_status;
        sweep_part *p = &s->part[i];
        if (p->state != SWEEP_RUNNING)
            continue;
        pid_t got = waitpid(p->pid, &wait_status, WNOHANG);
        if (got == p->pid)
            LT_TRY(ended(s, p, wait_status));
        else if (got < 0 && errno != EINTR)
            return LT_FAIL(LT_E_FAIL, "waiting for %s: %s", p->id, strerror(errno));
    }
    return LT_OK;
}

static void pass_on(const sweep *s, int number)
{
    for (int i = 0; i < s->n_parts; i++)
        if (s->part[i].state == SWEEP_RUNNING)
            kill(s->part[i].pid, number);
}

static void wait_a_little(void)
{
    const struct timespec tick = {.tv_nsec = 10000000};
    nanosleep(&tick, NULL);
}

// No more parts; those that run write checkpoints.
static lt_status wind_down(sweep *s)
{
    pass_on(s, SIGINT);
    while (load_of(s) > 0) {
        LT_TRY(reap(s));
        wait_a_little();
    }
    return LT_OK;
}

static bool all_settled(const sweep *s)
{
    for (int i = 0; i < s->n_parts; i++)
        if (!sweep_settled(&s->part[i]))
            return false;
    return true;
}

static lt_status work(sweep *s)
{
    double last_s = 0;
    tell(s, true, &last_s);
    while (!all_settled(s) && !s->call->session->stop) {
        const int before = load_of(s);
        LT_TRY(reap(s));
        LT_TRY(start_ready(s));
        tell(s, false, &last_s);
        if (load_of(s) == before)
            wait_a_little();
    }
    return LT_OK;
}

lt_status sweep_execute(sweep *s)
{
    cli_progress_stage(s->call->session->progress, "sweep");
    lt_status status = work(s);
    if (status != LT_OK || s->call->session->stop) {
        const lt_error error = *lt_error_get();
        lt_status ending = wind_down(s);
        if (status != LT_OK)
            lt_error_restore(&error);
        else
            status = ending;
    }
    cli_progress_clear(s->call->session->progress);
    LT_TRY(status);
    if (!s->call->session->stop || all_settled(s))
        return LT_OK;
    int n = 0;
    for (int i = 0; i < s->n_parts; i++)
        n += s->part[i].state == SWEEP_DONE;
    LT_FAIL(LT_E_INTERRUPTED, "interrupted: %d of %d parts are done", n, s->n_parts);
    return lt_error_hint("the same command continues");
}
