// job_file.c - a job as a file of the queue.
#include "serve_impl.h"
#include <stdlib.h>
#include <string.h>

static const char *const states[] = {
    [LTI_JOB_QUEUED] = "queued", [LTI_JOB_RUNNING] = "running", [LTI_JOB_DONE] = "done",
    [LTI_JOB_FAILED] = "failed", [LTI_JOB_STOPPED] = "stopped", [LTI_JOB_CANCELLED] = "cancelled"};

const char *lti_job_state_text(lti_job_state state)
{
    return states[state];
}

void lti_job_clear(lti_job *job)
{
    for (int i = 0; i < job->n_args; i++)
        free(job->arg[i]);
    free(job->arg);
    free(job->title);
    free(job->verb);
    free(job->place);
    free(job->message);
    memset(job, 0, sizeof *job);
}

lt_status lti_job_add_arg(lti_job *job, const char *text)
{
    char **more = realloc(job->arg, (size_t)(job->n_args + 2) * sizeof *more);
    char *copy = strdup(text);
    if (more)
        job->arg = more;
    if (!more || !copy) {
        free(copy);
        return LT_FAIL(LT_E_NOMEM, "out of memory: job");
    }
    job->arg[job->n_args++] = copy;
    job->arg[job->n_args] = NULL;
    return LT_OK;
}

lt_status lti_job_save(const lti_queue *queue, const lti_job *job)
{
    char path[LTI_FILE_MAX];
    json_t *args = json_array();
    LT_TRY(lti_queue_file(queue, job->id, "json", path));
    for (int i = 0; i < job->n_args; i++)
        json_array_append_new(args, json_string(job->arg[i]));
    json_t *all =
        json_pack("{s:I, s:s, s:s, s:s, s:o, s:s, s:i, s:I, s:f, s:f, s:f, s:s}", "id", (json_int_t)job->id, "title",
                  job->title, "verb", job->verb, "place", job->place, "args", args, "state", states[job->state],
                  "exit_code", job->exit_code, "task", (json_int_t)job->task, "created", job->created, "started",
                  job->started, "ended", job->ended, "message", job->message ? job->message : "");
    char *text = all ? json_dumps(all, JSON_INDENT(1)) : NULL;
    json_decref(all);
    if (!text)
        return LT_FAIL(LT_E_NOMEM, "out of memory: job");
    const lt_status status = lt_write_file_atomic(path, text, strlen(text));
    free(text);
    return status;
}

static bool find_state(const char *text, lti_job_state *state)
{
    for (size_t i = 0; text && i < sizeof states / sizeof *states; i++)
        if (!strcmp(states[i], text)) {
            *state = (lti_job_state)i;
            return true;
        }
    return false;
}

static lt_status read_fields(const json_t *all, const char *path, lti_job *job)
{
    const char *title, *verb, *place, *state, *message;
    json_t *args, *one;
    json_int_t id, task;
    size_t i;
    if (json_unpack((json_t *)all, "{s:I, s:s, s:s, s:s, s:o, s:s, s:i, s:I, s:F, s:F, s:F, s:s}", "id", &id, "title",
                    &title, "verb", &verb, "place", &place, "args", &args, "state", &state, "exit_code",
                    &job->exit_code, "task", &task, "created", &job->created, "started", &job->started, "ended",
                    &job->ended, "message", &message) != 0 ||
        !find_state(state, &job->state) || !json_array_size(args))
        return LT_FAIL(LT_E_FORMAT, "%s: expected a job of the queue", path);
    job->id = id;
    job->task = task;
    job->title = strdup(title);
    job->verb = strdup(verb);
    job->place = strdup(place);
    job->message = strdup(message);
    if (!job->title || !job->verb || !job->place || !job->message)
        return LT_FAIL(LT_E_NOMEM, "out of memory: job");
    json_array_foreach(args, i, one)
    {
        if (!json_is_string(one))
            return LT_FAIL(LT_E_FORMAT, "%s: expected arguments that are text", path);
        LT_TRY(lti_job_add_arg(job, json_string_value(one)));
    }
    return LT_OK;
}

lt_status lti_job_load(const char *path, lti_job *job)
{
    memset(job, 0, sizeof *job);
    json_t *all = lti_json_file(path);
    if (!all)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a job of the queue", path);
    const lt_status status = read_fields(all, path, job);
    json_decref(all);
    if (status != LT_OK)
        lti_job_clear(job);
    return status;
}
