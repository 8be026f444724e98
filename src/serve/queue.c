// queue.c - jobs in the order they came, a few of them running; every change is on disk before it is seen.
#include "serve_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { MAX_JOBS = 1000, EXIT_RESUMABLE = 75, LOOK_MS = 300, CLOSE_S = 60 };

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

lt_status lti_queue_file(const lti_queue *queue, int64_t id, const char *suffix, char out[LTI_FILE_MAX])
{
    if (snprintf(out, LTI_FILE_MAX, "%s/%06lld.%s", queue->dir, (long long)id, suffix) >= LTI_FILE_MAX)
        return LT_FAIL(LT_E_USAGE, "%s: the path is too long", queue->dir);
    return LT_OK;
}

static bool is_open(const lti_job *job) // waits or runs
{
    return job->state == LTI_JOB_QUEUED || job->state == LTI_JOB_RUNNING;
}

static void set_message(lti_job *job, const char *text)
{
    char *copy = strdup(text);
    if (!copy)
        return;
    free(job->message);
    job->message = copy;
}

static void mark_changed(lti_queue *queue)
{
    queue->version++;
    pthread_cond_broadcast(&queue->changed);
}

// What cannot be written is said where it is seen: in the job.
static void save_or_say(lti_queue *queue, lti_job *job)
{
    if (lti_job_save(queue, job) != LT_OK) {
        set_message(job, lt_error_get()->message);
        lt_error_clear();
    }
    mark_changed(queue);
}

// ---- opening

static int by_id(const void *a, const void *b)
{
    const int64_t x = ((const lti_job *)a)->id, y = ((const lti_job *)b)->id;
    return (x > y) - (x < y);
}

static lt_status append(lti_queue *queue, const lti_job *job)
{
    lti_job *more = realloc(queue->job, (size_t)(queue->n + 1) * sizeof *more);
    if (!more)
        return LT_FAIL(LT_E_NOMEM, "out of memory: queue");
    queue->job = more;
    queue->job[queue->n++] = *job;
    queue->next_id = job->id >= queue->next_id ? job->id + 1 : queue->next_id;
    return LT_OK;
}

static lt_status load(lti_queue *queue)
{
    DIR *d = opendir(queue->dir);
    if (!d)
        return LT_FAIL(LT_E_IO, "read %s: %s", queue->dir, strerror(errno));
    for (struct dirent *e; (e = readdir(d)) != NULL;) {
        char path[LTI_FILE_MAX];
        lti_job job;
        const char *dot = strrchr(e->d_name, '.');
        if (e->d_name[0] == '.' || !dot || strcmp(dot, ".json") != 0 ||
            snprintf(path, sizeof path, "%s/%s", queue->dir, e->d_name) >= (int)sizeof path)
            continue;
        if (lti_job_load(path, &job) != LT_OK) // damaged: left where it is, for inspection
            lt_error_clear();
        else if (append(queue, &job) != LT_OK)
            lti_job_clear(&job);
    }
    closedir(d);
    if (queue->n)
        qsort(queue->job, (size_t)queue->n, sizeof *queue->job, by_id);
    return LT_OK;
}

lt_status lti_queue_open(lti_queue *queue, const char *root, const char *command, int max_running)
{
    memset(queue, 0, sizeof *queue);
    queue->lock_fd = -1;
    queue->next_id = 1;
    queue->max_running = max_running;
    pthread_mutex_init(&queue->mutex, NULL);
    pthread_cond_init(&queue->changed, NULL);
    if (snprintf(queue->dir, sizeof queue->dir, "%s/.lethe/queue", root) >= (int)sizeof queue->dir ||
        snprintf(queue->root, sizeof queue->root, "%s", root) >= (int)sizeof queue->root ||
        snprintf(queue->command, sizeof queue->command, "%s", command) >= (int)sizeof queue->command)
        return LT_FAIL(LT_E_USAGE, "%s: the path is too long", root);
    LT_TRY(lt_make_dirs(queue->dir));
    queue->lock_fd = open(queue->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (queue->lock_fd >= 0 && flock(queue->lock_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return LT_FAIL(LT_E_BUSY, "%s: another `lethe serve` has this queue", queue->dir);
    LT_TRY(lt_executor_open("local", &(lt_executor_cfg){.program = queue->command}, &queue->executor));
    return load(queue);
}

// ---- the worker

// The last line of the log that is an error, without "lethe: ".
static void take_error(const lti_queue *queue, lti_job *job)
{
    static const char mark[] = "lethe: ", warning[] = "lethe: warning: ";
    enum { MAX_LOG_BYTES = 1 << 26 };
    char path[LTI_FILE_MAX], *text, *rest = NULL;
    size_t n;
    if (lti_queue_file(queue, job->id, "log", path) != LT_OK || lt_read_file(path, MAX_LOG_BYTES, &text, &n) != LT_OK) {
        lt_error_clear();
        return;
    }
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *probe = json_string(line); // the page takes UTF-8 alone
        if (probe && !strncmp(line, mark, sizeof mark - 1) && strncmp(line, warning, sizeof warning - 1) != 0)
            set_message(job, line + sizeof mark - 1);
        json_decref(probe);
    }
    free(text);
}

static bool is_made(const lti_queue *queue, const lti_job *job)
{
    char path[LTI_FILE_MAX];
    struct stat st;
    if (snprintf(path, sizeof path, "%s/%s", queue->root, job->place) >= (int)sizeof path)
        return false;
    return lt_run_is_done(path) || (lstat(path, &st) == 0 && S_ISREG(st.st_mode)); // a run, or a report
}

static void finish(lti_queue *queue, lti_job *job, int code)
{
    const bool unknown = code < 0; // the server that started it is gone
    job->exit_code = code;
    job->ended = now_s();
    job->task = 0;
    job->is_own = false;
    if (code == 0 || (unknown && is_made(queue, job)))
        job->state = LTI_JOB_DONE;
    else if (code == EXIT_RESUMABLE || unknown || job->asked_to_stop)
        job->state = LTI_JOB_STOPPED;
    else
        job->state = LTI_JOB_FAILED;
    set_message(job, "");
    if (job->state == LTI_JOB_FAILED)
        take_error(queue, job);
    if (job->state == LTI_JOB_FAILED && !*job->message && code > LTI_SIGNALLED)
        set_message(job, "ended by a signal");
    job->asked_to_stop = false;
    save_or_say(queue, job);
}

static void start(lti_queue *queue, lti_job *job)
{
    const lt_status status = lti_job_start(queue, job);
    job->started = now_s();
    job->state = status == LT_OK ? LTI_JOB_RUNNING : LTI_JOB_FAILED;
    set_message(job, status == LT_OK ? "" : lt_error_get()->message);
    lt_error_clear();
    save_or_say(queue, job);
}

static void look(lti_queue *queue)
{
    int n_running = 0;
    for (int i = 0; i < queue->n; i++) {
        lti_job *job = &queue->job[i];
        int code;
        if (job->state != LTI_JOB_RUNNING)
            continue;
        n_running++;
        if (lti_job_poll(queue, job, &code)) {
            finish(queue, job, code);
            n_running--;
        }
    }
    for (int i = 0; i < queue->n && n_running < queue->max_running && !queue->stopping; i++)
        if (queue->job[i].state == LTI_JOB_QUEUED) {
            start(queue, &queue->job[i]);
            n_running += queue->job[i].state == LTI_JOB_RUNNING;
        }
}

static void wait_ms(lti_queue *queue, int64_t ms)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += ms * 1000000;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_cond_timedwait(&queue->changed, &queue->mutex, &until);
}

static void *work(void *arg)
{
    lti_queue *queue = arg;
    pthread_mutex_lock(&queue->mutex);
    while (!queue->stopping) {
        look(queue);
        if (!queue->stopping)
            wait_ms(queue, LOOK_MS);
    }
    pthread_mutex_unlock(&queue->mutex);
    return NULL;
}

lt_status lti_queue_start(lti_queue *queue)
{
    const int error = pthread_create(&queue->worker, NULL, work, queue);
    if (error)
        return LT_FAIL(LT_E_FAIL, "a thread cannot be started: %s", strerror(error));
    queue->has_worker = true;
    return LT_OK;
}

static bool has_running(const lti_queue *queue)
{
    for (int i = 0; i < queue->n; i++)
        if (queue->job[i].state == LTI_JOB_RUNNING)
            return true;
    return false;
}

// Interrupted because the server ends, not because somebody asked: they go on with the next one.
static void interrupt_all(lti_queue *queue)
{
    const double end = now_s() + CLOSE_S;
    for (int i = 0; i < queue->n; i++) {
        queue->job[i].goes_on = queue->job[i].state == LTI_JOB_RUNNING && !queue->job[i].asked_to_stop;
        if (queue->job[i].state == LTI_JOB_RUNNING)
            (void)lti_job_interrupt(queue, &queue->job[i]);
    }
    while (has_running(queue) && now_s() < end) {
        wait_ms(queue, LOOK_MS);
        look(queue);
    }
    for (int i = 0; i < queue->n; i++)
        if (queue->job[i].goes_on && queue->job[i].state == LTI_JOB_STOPPED) {
            queue->job[i].state = LTI_JOB_QUEUED;
            save_or_say(queue, &queue->job[i]);
        }
}

void lti_queue_close(lti_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    queue->stopping = true;
    mark_changed(queue);
    pthread_mutex_unlock(&queue->mutex);
    if (queue->has_worker)
        pthread_join(queue->worker, NULL);
    pthread_mutex_lock(&queue->mutex);
    if (queue->has_worker)
        interrupt_all(queue);
    pthread_mutex_unlock(&queue->mutex);
    if (queue->lock_fd >= 0)
        close(queue->lock_fd);
    for (int i = 0; i < queue->n; i++)
        lti_job_clear(&queue->job[i]);
    free(queue->job);
    lt_executor_close(queue->executor);
    queue->executor = NULL;
    pthread_cond_destroy(&queue->changed);
    pthread_mutex_destroy(&queue->mutex);
    queue->job = NULL;
    queue->n = 0;
    queue->lock_fd = -1;
}

// ---- what requests do

static lt_status check_place(const lti_queue *queue, const lti_job *job)
{
    char path[LTI_FILE_MAX];
    struct stat st;
    if (snprintf(path, sizeof path, "%s/%s", queue->root, job->place) >= (int)sizeof path)
        return LT_FAIL(LT_E_USAGE, "'%.80s': the path is too long", job->place);
    bool taken = lstat(path, &st) == 0;
    for (int i = 0; i < queue->n && !taken; i++)
        taken = is_open(&queue->job[i]) && !strcmp(queue->job[i].place, job->place);
    if (!taken)
        return LT_OK;
    (void)LT_FAIL(LT_E_BUSY, "there is a run, a report or a job named '%.80s' already", job->place);
    return lt_error_hint("choose another name");
}

static lt_status add(lti_queue *queue, lti_job *job)
{
    if (queue->n >= MAX_JOBS) {
        (void)LT_FAIL(LT_E_USAGE, "the queue holds %d jobs", MAX_JOBS);
        return lt_error_hint("remove finished ones");
    }
    LT_TRY(check_place(queue, job));
    if (job->id == 0)
        job->id = queue->next_id;
    job->state = LTI_JOB_QUEUED;
    job->exit_code = -1;
    job->created = now_s();
    LT_TRY(lti_job_save(queue, job));
    return append(queue, job);
}

lt_status lti_queue_check_file(lti_queue *queue, char out[LTI_FILE_MAX])
{
    pthread_mutex_lock(&queue->mutex);
    const long long n = queue->n_checks++;
    pthread_mutex_unlock(&queue->mutex);
    if (snprintf(out, LTI_FILE_MAX, "%s/check-%lld.list", queue->dir, n) >= LTI_FILE_MAX)
        return LT_FAIL(LT_E_USAGE, "%s: the path is too long", queue->dir);
    return LT_OK;
}

int64_t lti_queue_reserve_id(lti_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    const int64_t id = queue->next_id++;
    pthread_mutex_unlock(&queue->mutex);
    return id;
}

lt_status lti_queue_add(lti_queue *queue, lti_job *job)
{
    pthread_mutex_lock(&queue->mutex);
    const lt_status status = add(queue, job);
    if (status == LT_OK)
        mark_changed(queue);
    pthread_mutex_unlock(&queue->mutex);
    if (status == LT_OK) {
        const int64_t id = job->id;
        memset(job, 0, sizeof *job);
        job->id = id;
    }
    return status;
}

static lti_job *find(lti_queue *queue, int64_t id)
{
    for (int i = 0; i < queue->n; i++)
        if (queue->job[i].id == id)
            return &queue->job[i];
    (void)LT_FAIL(LT_E_INPUT, "there is no job %lld", (long long)id);
    return NULL;
}

static lt_status cancel(lti_queue *queue, lti_job *job)
{
    if (job->state == LTI_JOB_RUNNING) {
        LT_TRY(lti_job_interrupt(queue, job));
        job->asked_to_stop = true;
    } else if (job->state == LTI_JOB_QUEUED) {
        job->state = LTI_JOB_CANCELLED;
    } else {
        return LT_FAIL(LT_E_BUSY, "job %lld is %s: there is nothing to cancel", (long long)job->id,
                       lti_job_state_text(job->state));
    }
    return lti_job_save(queue, job);
}

static lt_status again(lti_queue *queue, lti_job *job)
{
    if (is_open(job) || job->state == LTI_JOB_DONE)
        return LT_FAIL(LT_E_BUSY, "job %lld is %s: it cannot be started again", (long long)job->id,
                       lti_job_state_text(job->state));
    job->state = LTI_JOB_QUEUED;
    set_message(job, "");
    return lti_job_save(queue, job);
}

static lt_status forget(lti_queue *queue, lti_job *job)
{
    static const char *const files[] = {"json", "out", "log", "list", NULL};
    char path[LTI_FILE_MAX];
    if (is_open(job))
        return LT_FAIL(LT_E_BUSY, "job %lld is %s: cancel it first", (long long)job->id,
                       lti_job_state_text(job->state));
    for (const char *const *suffix = files; *suffix; suffix++)
        if (lti_queue_file(queue, job->id, *suffix, path) == LT_OK)
            unlink(path);
    lti_job_clear(job);
    const int at = (int)(job - queue->job);
    memmove(job, job + 1, (size_t)(queue->n - at - 1) * sizeof *job);
    queue->n--;
    return LT_OK;
}

static lt_status change(lti_queue *queue, int64_t id, lt_status (*fn)(lti_queue *, lti_job *))
{
    pthread_mutex_lock(&queue->mutex);
    lti_job *job = find(queue, id);
    const lt_status status = job ? fn(queue, job) : lt_error_get()->status;
    if (status == LT_OK)
        mark_changed(queue);
    pthread_mutex_unlock(&queue->mutex);
    return status;
}

lt_status lti_queue_cancel(lti_queue *queue, int64_t id)
{
    return change(queue, id, cancel);
}

lt_status lti_queue_again(lti_queue *queue, int64_t id)
{
    return change(queue, id, again);
}

lt_status lti_queue_remove(lti_queue *queue, int64_t id)
{
    return change(queue, id, forget);
}

uint64_t lti_queue_version(lti_queue *queue)
{
    pthread_mutex_lock(&queue->mutex);
    const uint64_t version = queue->version;
    pthread_mutex_unlock(&queue->mutex);
    return version;
}

json_t *lti_queue_json(lti_queue *queue)
{
    json_t *jobs = json_array();
    pthread_mutex_lock(&queue->mutex);
    for (int i = 0; i < queue->n; i++) {
        const lti_job *job = &queue->job[i];
        json_array_append_new(jobs, json_pack("{s:I, s:s, s:s, s:s, s:s, s:b, s:i, s:f, s:f, s:f, s:s}", "id",
                                              (json_int_t)job->id, "title", job->title, "verb", job->verb, "place",
                                              job->place, "state", lti_job_state_text(job->state), "stopping",
                                              job->asked_to_stop, "exit_code", job->exit_code, "created", job->created,
                                              "started", job->started, "ended", job->ended, "message",
                                              job->message ? job->message : ""));
    }
    const uint64_t version = queue->version;
    pthread_mutex_unlock(&queue->mutex);
    return json_pack("{s:I, s:o}", "version", (json_int_t)version, "jobs", jobs);
}
