// run.c - jobs through an executor: starting what is ready, how it ended, interruption.
#include "study/runner_impl.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

static int count_slots(const lt_study_runner *r, const lti_study_job *j)
{
    return j->kind == LT_STUDY_REFERENCES ? r->n_workers : 1; // trains as many models at once
}

static bool is_stopped(const lt_study_runner *r)
{
    return lt_interrupted(r->order.stop);
}

// ---- starting

static lt_status make_args(const lt_study_runner *r, const lti_study_job *j, lti_arena *arena, const char *const **args)
{
    char threads[32];
    lti_format(threads, sizeof threads, "--threads=%d", count_slots(r, j));
    const char *extra[] = {lti_arena_strdup(arena, threads), "--loader-threads=0", "--json", "--quiet", NULL, NULL};
    if (!extra[0])
        return LTI_NOMEM(j->id);
    if (j->force && lti_study_makes_run(j))
        extra[4] = "--force";
    return lti_study_command(&j->identity, r->out, extra, arena, args);
}

static lt_status make_dirs(const lt_study_runner *r, const lti_study_job *j, const char *log)
{
    char made[LTI_STUDY_PATH];
    LT_TRY(lti_study_make_parent(log));
    return lti_study_make_parent(lti_study_product(r, j, made));
}

static lt_status launch(const lt_study_runner *r, lti_study_job *j)
{
    char out[LTI_STUDY_PATH], log[LTI_STUDY_PATH];
    lti_arena arena = {0};
    lt_task task = {.name = j->id, .slots = count_slots(r, j), .output = out, .log = log};
    lti_study_path(r, "logs", j->id, ".json", out);
    lti_study_path(r, "logs", j->id, ".log", log);
    lt_status status = make_dirs(r, j, log);
    if (status == LT_OK)
        status = make_args(r, j, &arena, &task.args);
    if (status == LT_OK)
        status = lti_study_save_record(r, j, "started");
    if (status == LT_OK)
        status = lt_executor_start(r->order.executor, &task, &j->task);
    lti_arena_clear(&arena);
    if (status == LT_OK) {
        j->state = LT_STUDY_RUNNING;
        j->start_s = lti_now_s();
        j->share = 0;
    }
    return status;
}

// A job that somebody else works on stays waiting.
static lt_status start_job(lt_study_runner *r, lti_study_job *j)
{
    bool ready = true;
    lt_status status = lti_study_claim(r, j);
    if (status == LT_OK && r->order.join) // another runner may have finished it since
        status = lti_study_check_job(r, j, &ready);
    if (status == LT_OK && ready)
        status = launch(r, j);
    if (status == LT_OK && ready)
        return LT_OK;
    lti_study_release(j);
    if (status != LT_E_BUSY)
        return status;
    lt_error_clear();
    if (!j->locked)
        lt_note(r->order.events, "study.locked", "%s: %s and it is still at work; waiting", j->id,
                r->order.join ? "another sweep started it" : "an earlier sweep started it");
    j->locked = true;
    return LT_OK;
}

// ---- ending

// The error a job reported in its JSON, or what is known from outside.
static void take_error(lt_study_runner *r, lti_study_job *j, const json_t *said, const lt_task_end *end)
{
    const char *message = lti_json_text_at(said, "error.message");
    if (*message)
        j->error = lti_study_text(r, "%s", message);
    else if (*end->reason)
        j->error = lti_study_text(r, "%s; see %s/logs/%s.log", end->reason, r->out, j->id);
    else if (end->signal)
        j->error = lti_study_text(r, "ended by signal %d; see %s/logs/%s.log", end->signal, r->out, j->id);
    else
        j->error = lti_study_text(r, "exit code %d; see %s/logs/%s.log", end->exit_code, r->out, j->id);
}

static lt_status keep_answer(const lt_study_runner *r, const lti_study_job *j, const char *said)
{
    char to[LTI_STUDY_PATH];
    if (!lti_study_judges(j) || rename(said, lti_study_product(r, j, to)) == 0)
        return LT_OK;
    return lti_errno_fail("write", to);
}

static bool is_unfit(const lti_study_job *j, int code)
{
    return j->kind == LT_STUDY_TRIAL &&
           (code == lt_status_exit_code(LT_E_DIVERGED) || code == lt_status_exit_code(LT_E_CHECK));
}

static lt_status record_end(lt_study_runner *r, lti_study_job *j, const lt_task_end *end, const json_t *said)
{
    char path[LTI_STUDY_PATH];
    const bool cached = json_is_true(json_object_get(said, "cached"));
    if (!cached)
        j->seconds = (isfinite(j->seconds) ? j->seconds : 0) + lti_now_s() - j->start_s;
    if (end->exit_code == 0) {
        LT_TRY(keep_answer(r, j, lti_study_path(r, "logs", j->id, ".json", path)));
        j->changed = !cached;
        if (!cached)
            lti_study_name_product(r, j);
        LT_TRY(lti_study_save_record(r, j, lt_study_state_text(LT_STUDY_DONE)));
        return lti_study_finish(r, j, cached);
    }
    if (end->exit_code == lt_status_exit_code(LT_E_INTERRUPTED) && is_stopped(r)) {
        j->state = LT_STUDY_STOPPED;
        return lti_study_save_record(r, j, "interrupted");
    }
    j->state = is_unfit(j, end->exit_code)           ? LT_STUDY_UNFIT
               : is_stopped(r) && end->exit_code < 0 ? LT_STUDY_STOPPED
                                                     : LT_STUDY_FAILED;
    take_error(r, j, said, end);
    return lti_study_save_record(r, j, lt_study_state_text(j->state));
}

static lt_status end_job(lt_study_runner *r, lti_study_job *j, const lt_task_end *end)
{
    char path[LTI_STUDY_PATH];
    json_t *said = NULL;
    if (lti_json_load(lti_study_path(r, "logs", j->id, ".json", path), &said) != LT_OK)
        lt_error_clear(); // it ended before it could say anything
    const lt_status status = record_end(r, j, end, said);
    json_decref(said);
    lti_study_release(j);
    return r->failed ? LTI_NOMEM(j->id) : status;
}

static lt_status poll_jobs(lt_study_runner *r)
{
    for (int i = 0; i < r->n_jobs; i++) {
        lt_task_end end;
        lti_study_job *j = &r->job[i];
        if (j->state != LT_STUDY_RUNNING)
            continue;
        LT_TRY(lt_executor_poll(r->order.executor, j->task, &end));
        if (end.ended)
            LT_TRY(end_job(r, j, &end));
    }
    return LT_OK;
}

// ---- the loop

static int count_load(const lt_study_runner *r)
{
    int used = 0;
    for (int i = 0; i < r->n_jobs; i++)
        used += r->job[i].state == LT_STUDY_RUNNING ? count_slots(r, &r->job[i]) : 0;
    return used;
}

// In the order of the list, so that what much depends on comes first; a job that needs every worker is not overtaken.
static lt_status start_ready(lt_study_runner *r)
{
    for (int i = 0; i < r->n_jobs && !is_stopped(r); i++) {
        bool ready;
        lti_study_job *j = &r->job[i];
        if (count_load(r) >= r->n_workers)
            return LT_OK;
        const bool waited = j->state == LT_STUDY_WAITING;
        LT_TRY(lti_study_check_job(r, j, &ready));
        if (waited && j->state == LT_STUDY_BLOCKED)
            LT_TRY(lti_study_save_record(r, j, lt_study_state_text(j->state)));
        if (!ready)
            continue;
        if (count_load(r) + count_slots(r, j) > r->n_workers)
            return LT_OK;
        LT_TRY(start_job(r, j));
    }
    return r->failed ? LTI_NOMEM("study") : LT_OK;
}

static void sleep_poll(const lt_study_runner *r)
{
    struct timespec tick = {.tv_nsec = 10000000};
    for (int i = 0; i < r->n_jobs; i++)
        if (r->job[i].locked && r->job[i].state == LT_STUDY_WAITING)
            tick.tv_nsec = 100000000; // each look reads files
    nanosleep(&tick, NULL);
}

// No more jobs; those that run write checkpoints.
static lt_status shut_down(lt_study_runner *r)
{
    for (int i = 0; i < r->n_jobs; i++)
        if (r->job[i].state == LT_STUDY_RUNNING)
            LT_TRY(lt_executor_cancel(r->order.executor, r->job[i].task));
    while (count_load(r) > 0) {
        LT_TRY(poll_jobs(r));
        sleep_poll(r);
    }
    return LT_OK;
}

static bool have_all_ended(const lt_study_runner *r)
{
    for (int i = 0; i < r->n_jobs; i++)
        if (!lti_study_has_ended(&r->job[i]))
            return false;
    return true;
}

static lt_status work(lt_study_runner *r)
{
    double last_s = 0;
    lti_study_report_progress(r, true, &last_s);
    while (!have_all_ended(r) && !is_stopped(r)) {
        const int before = count_load(r);
        LT_TRY(poll_jobs(r));
        LT_TRY(start_ready(r));
        lti_study_report_progress(r, false, &last_s);
        if (count_load(r) == before)
            sleep_poll(r);
    }
    return LT_OK;
}

static lt_status run_all(lt_study_runner *r)
{
    lt_status status = work(r);
    if (status != LT_OK || is_stopped(r)) {
        const lt_error error = *lt_error_get();
        const lt_status ending = shut_down(r);
        if (status != LT_OK)
            lt_error_restore(&error);
        else
            status = ending;
    }
    LT_TRY(status);
    if (!is_stopped(r) || have_all_ended(r))
        return LT_OK;
    int n = 0;
    for (int i = 0; i < r->n_jobs; i++)
        n += r->job[i].state == LT_STUDY_DONE;
    LT_FAIL(LT_E_INTERRUPTED, "interrupted: %d of %d parts are done", n, r->n_jobs);
    return lt_error_hint("the same command continues");
}

lt_status lt_study_run(lt_study_runner *r)
{
    int lock = -1;
    lt_status status = LT_OK;
    LT_TRY_GOTO(lti_study_lock_dir(r, &lock), done);
    LT_TRY_GOTO(lti_study_keep_file(r), done);
    LT_TRY_GOTO(run_all(r), done);
done:
    lti_study_unlock_dir(lock);
    return status;
}
