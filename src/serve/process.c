// process.c - jobs as tasks of an executor (lethe/executor.h), and those that an earlier server started.
//
// The process of a task holds the lock of its log as long as it lives, whatever becomes of the server: that is how a
// later one sees which jobs still run.
#include "serve_impl.h"
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

lt_status lti_job_start(lti_queue *queue, lti_job *job)
{
    char out[LTI_FILE_MAX], log[LTI_FILE_MAX];
    LT_TRY(lti_queue_file(queue, job->id, "out", out));
    LT_TRY(lti_queue_file(queue, job->id, "log", log));
    const lt_task task = {.name = job->title,
                          .args = (const char *const *)job->arg,
                          .slots = lt_executor_capacity(queue->executor),
                          .output = out,
                          .log = log,
                          .dir = queue->root};
    LT_TRY(lt_executor_start(queue->executor, &task, &job->task));
    job->is_own = true;
    return LT_OK;
}

static bool is_locked(const lti_queue *queue, const lti_job *job)
{
    char log[LTI_FILE_MAX];
    const int fd =
        lti_queue_file(queue, job->id, "log", log) == LT_OK ? open(log, O_RDONLY | O_NOFOLLOW | O_CLOEXEC) : -1;
    if (fd < 0)
        return false;
    const bool busy = flock(fd, LOCK_EX | LOCK_NB) != 0;
    close(fd);
    return busy;
}

bool lti_job_poll(lti_queue *queue, lti_job *job, int *exit_code)
{
    lt_task_end end = {0};
    *exit_code = -1;
    if (!job->is_own)
        return !is_locked(queue, job);
    if (lt_executor_poll(queue->executor, job->task, &end) != LT_OK) {
        lt_error_clear();
        return true;
    }
    *exit_code = end.signal ? LTI_SIGNALLED + end.signal : end.exit_code;
    return end.ended;
}

lt_status lti_job_interrupt(lti_queue *queue, const lti_job *job)
{
    if (!job->is_own && !is_locked(queue, job))
        return LT_OK; // has ended
    return lt_executor_cancel(queue->executor, job->task);
}
