// run.c - run directories.
//
// env.json carries verb and configuration digest and so makes a directory a run; DONE makes it a finished one. Whole
// files are written atomically. metrics.jsonl and log.txt grow by single O_APPEND writes of whole lines; a line cut by
// a crash is removed when the run is resumed. So a process may be killed between any two instructions.
#include "io/run_impl.h"
#include "io/json_read.h"
#include "lethe/tensorfile.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { ENV_MAX = 1 << 20, DIGEST_HEX = 65 };

struct lt_run {
    char *dir, *verb;
    char digest[DIGEST_HEX];
    int lock_fd, metrics_fd, csv_fd, log_fd;
    pthread_mutex_t mutex; // lines are written by whichever thread emits
    lt_error failure;      // the first write error of a sink
    double progress_s;     // when progress.json was written last
};

static char *join(const char *dir, const char *file)
{
    return lti_asprintf("%s%s%s", dir, *dir && dir[strlen(dir) - 1] == '/' ? "" : "/", file);
}

static bool exists(const char *dir, const char *file)
{
    struct stat st;
    char *path = join(dir, file);
    const bool found = path && stat(path, &st) == 0;
    lti_free(path);
    return found;
}

bool lt_run_is_done(const char *dir)
{
    return exists(dir, "DONE");
}

// ---- what is there already

typedef enum dir_state { DIR_EMPTY, DIR_FOREIGN, DIR_SAME, DIR_OTHER } dir_state;

// Files of other people. Temporary files of a killed process and the two files that are written before env.json are
// not; `remove_temporaries` is for the holder of the lock.
static lt_status count_foreign(const char *dir, bool remove_temporaries, int *n)
{
    static const char *const known[] = {".", "..", "config.yaml", "resolved.json"};
    DIR *d = opendir(dir);
    *n = 0;
    if (!d)
        return lti_errno_fail("read directory", dir);
    for (struct dirent *e; (e = readdir(d));) {
        const bool temporary = lti_is_temporary_name(e->d_name);
        if (temporary && remove_temporaries)
            unlinkat(dirfd(d), e->d_name, 0);
        bool foreign = !temporary;
        for (size_t i = 0; i < sizeof known / sizeof *known; i++)
            foreign &= strcmp(e->d_name, known[i]) != 0;
        *n += foreign;
    }
    closedir(d);
    return LT_OK;
}

static lt_status classify(const lt_run *run, dir_state *state)
{
    int n_foreign;
    size_t n;
    char *text;
    LT_TRY(count_foreign(run->dir, run->lock_fd >= 0, &n_foreign));
    *state = n_foreign ? DIR_FOREIGN : DIR_EMPTY;
    if (!exists(run->dir, "env.json"))
        return LT_OK;
    char *path = join(run->dir, "env.json");
    if (!path)
        return LTI_NOMEM("run directory");
    lt_status status = lt_read_file(path, ENV_MAX, &text, &n);
    lti_free(path);
    LT_TRY(status);
    json_error_t error;
    json_t *env = lti_json_parse(text, n, 0, &error);
    lti_free(text);
    if (!env && lti_json_lacked_memory(&error))
        return LTI_NOMEM("run directory");
    const char *digest = json_string_value(json_object_get(env, "config_digest"));
    const char *verb = json_string_value(json_object_get(env, "verb"));
    if (digest && verb)
        *state = !strcmp(digest, run->digest) && !strcmp(verb, run->verb) ? DIR_SAME : DIR_OTHER;
    json_decref(env);
    return LT_OK;
}

static lt_status check_allowed(const lt_run *run, const lt_run_spec *spec, dir_state state)
{
    if (spec->force || state == DIR_SAME || (state == DIR_EMPTY && !spec->resume))
        return LT_OK;
    if (state == DIR_OTHER) {
        LT_FAIL(LT_E_USAGE, "%s: expected a run of 'lethe %s' with this configuration, found one with another",
                run->dir, run->verb);
        return lt_error_hint("choose another --out, or --force to replace it; %s/resolved.json has its options",
                             run->dir);
    }
    if (spec->resume) {
        LT_FAIL(LT_E_USAGE, "%s: expected a run to resume, found none", run->dir);
        return lt_error_hint("start it without --resume");
    }
    LT_FAIL(LT_E_USAGE, "%s: expected an empty directory or a run, found other files", run->dir);
    return lt_error_hint("choose another --out, or --force to use it all the same");
}

// An earlier try must leave nothing that a later --resume could take for its own. DONE goes first; the description
// (env.json and the options) stays until it is replaced, so that the directory is a run at every moment.
static lt_status remove_earlier(const lt_run *run)
{
    static const char *const files[] = {
        "DONE",          "files.json",  "result.json", "state.safetensors", "model.safetensors",
        "metrics.jsonl", "metrics.csv", "log.txt",     "forget.csv"};
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = join(run->dir, files[i]);
        if (!path)
            return LTI_NOMEM("run directory");
        const bool gone = unlink(path) == 0 || errno == ENOENT;
        lt_status status = gone ? LT_OK : lti_errno_fail("remove", path);
        lti_free(path);
        LT_TRY(status);
    }
    return LT_OK;
}

// ---- files that grow

// Cuts an unfinished last line off. The file is at most a few megabytes and this happens once per resume.
static lt_status cut_partial_line(int fd, const char *path)
{
    char chunk[4096];
    off_t end = lseek(fd, 0, SEEK_END);
    for (off_t at = end; at > 0;) {
        const size_t want = at < (off_t)sizeof chunk ? (size_t)at : sizeof chunk;
        const ssize_t got = pread(fd, chunk, want, at - (off_t)want);
        if (got != (ssize_t)want)
            return lti_errno_fail("read", path);
        const char *newline = memrchr(chunk, '\n', want);
        if (newline) {
            const off_t keep = at - (off_t)want + (newline - chunk) + 1;
            return keep == end || ftruncate(fd, keep) == 0 ? LT_OK : lti_errno_fail("write", path);
        }
        at -= (off_t)want;
    }
    return end <= 0 || ftruncate(fd, 0) == 0 ? LT_OK : lti_errno_fail("write", path);
}

static lt_status open_growing(const lt_run *run, const char *file, int *fd)
{
    char *path = join(run->dir, file);
    if (!path)
        return LTI_NOMEM("run directory");
    *fd = open(path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    lt_status status = *fd >= 0 ? cut_partial_line(*fd, path) : lti_errno_fail("write", path);
    lti_free(path);
    return status;
}

// One whole line or nothing: a short write (full disk) is taken back.
static lt_status append(int fd, const char *dir, const char *file, const char *line, size_t n)
{
    struct stat st;
    const bool known = fstat(fd, &st) == 0;
    for (size_t done = 0; done < n;) {
        const ssize_t step = write(fd, line + done, n - done);
        if (step < 0 && errno == EINTR)
            continue;
        if (step < 0) {
            char *path = join(dir, file);
            lt_status status = lti_errno_fail("write", path ? path : file);
            lti_free(path);
            if (known && done && ftruncate(fd, st.st_size) != 0)
                return status; // nothing more can be done; the next resume cuts the line off
            return status;
        }
        done += (size_t)step;
    }
    return LT_OK;
}

static void append_lines(lt_run *run, int fd, const char *file, lti_buf *lines)
{
    pthread_mutex_lock(&run->mutex);
    lt_status status = LT_OK;
    if (lines->failed)
        status = LTI_NOMEM("run log");
    else if (fd >= 0) // closed when the run is finished: its digest is on record
        status = append(fd, run->dir, file, lines->data, lines->n);
    if (status != LT_OK && run->failure.status == LT_OK)
        run->failure = *lt_error_get();
    pthread_mutex_unlock(&run->mutex);
    lti_buf_clear(lines);
}

static void log_line(lt_run *run, const char *level, const char *name, const char *text)
{
    lti_buf line = {0};
    char utc[LTI_UTC_MAX];
    lti_buf_printf(&line, "%s %s %s%s", lti_utc_now(utc), level, name ? name : "", *text ? ": " : "");
    for (; *text; text++)
        lti_buf_add(&line, *text == '\n' || *text == '\r' ? " " : text, 1); // one event, one line
    lti_buf_puts(&line, "\n");
    append_lines(run, run->log_fd, "log.txt", &line);
}

static void metric_line(lt_run *run, const lt_event *e)
{
    lti_buf line = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    lti_buf_puts(&line, "{\"event\": ");
    lti_buf_json_string(&line, e->name ? e->name : "");
    lti_buf_puts(&line, ", \"epoch\": ");
    lti_buf_json_number(&line, e->epoch >= 0 ? (double)e->epoch : (double)NAN);
    lti_buf_puts(&line, ", \"step\": ");
    lti_buf_json_number(&line, e->step >= 0 ? (double)e->step : (double)NAN);
    lti_buf_printf(&line, ", \"wall_s\": %.3f, \"time\": %.3f", e->wall_s,
                   (double)now.tv_sec + 1e-9 * (double)now.tv_nsec);
    for (int i = 0; i < e->n_fields; i++) {
        lti_buf_puts(&line, ", ");
        lti_buf_json_string(&line, e->fields[i].key);
        lti_buf_puts(&line, ": ");
        lti_buf_json_number(&line, e->fields[i].value);
    }
    lti_buf_puts(&line, "}\n");
    append_lines(run, run->metrics_fd, "metrics.jsonl", &line);
}

// One line a value: events differ in what they measure, and a table needs columns that stay.
static const char csv_head[] = "time,wall_s,event,epoch,step,name,value\n";
static void csv_lines(lt_run *run, const lt_event *e)
{
    lti_buf lines = {0};
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    for (int i = 0; i < e->n_fields; i++) {
        char number[LTI_NUMBER_MAX];
        lti_buf_printf(&lines, "%.3f,%.3f,%s,", (double)now.tv_sec + 1e-9 * (double)now.tv_nsec, e->wall_s,
                       e->name ? e->name : "");
        if (e->epoch >= 0)
            lti_buf_printf(&lines, "%lld", (long long)e->epoch);
        lti_buf_puts(&lines, ",");
        if (e->step >= 0)
            lti_buf_printf(&lines, "%lld", (long long)e->step);
        const double value = e->fields[i].value;
        lti_buf_printf(&lines, ",%s,%s\n", e->fields[i].key,
                       isfinite(value) ? lti_number_text(value, false, number) : "");
    }
    if (lines.n || lines.failed)
        append_lines(run, run->csv_fd, "metrics.csv", &lines);
}

static lt_status begin_csv(lt_run *run)
{
    struct stat st;
    if (fstat(run->csv_fd, &st) != 0 || st.st_size > 0)
        return LT_OK;
    return append(run->csv_fd, run->dir, "metrics.csv", csv_head, sizeof csv_head - 1);
}

static bool is_progress_due(lt_run *run)
{
    static const double every_s = 1;
    pthread_mutex_lock(&run->mutex);
    const double now = lti_now_s();
    const bool is_due = run->progress_s == 0 || now - run->progress_s >= every_s;
    if (is_due)
        run->progress_s = now;
    pthread_mutex_unlock(&run->mutex);
    return is_due;
}

static void emit(void *self, const lt_event *e)
{
    static const char *const level[] = {[LT_EV_INFO] = "info",
                                        [LT_EV_NOTE] = "info",
                                        [LT_EV_WARNING] = "warning",
                                        [LT_EV_BEGIN] = "begin",
                                        [LT_EV_END] = "end"};
    if (e->kind == LT_EV_METRIC) {
        metric_line(self, e);
        csv_lines(self, e);
    } else if (e->kind == LT_EV_PROGRESS) {
        if (is_progress_due(self))
            lti_run_write_progress(((lt_run *)self)->dir, e);
    } else {
        log_line(self, level[e->kind], e->name, e->text ? e->text : "");
    }
}

lt_sink lt_run_sink(lt_run *run)
{
    return (lt_sink){.emit = emit, .self = run};
}

// ---- open, write, finish

static lt_status lock(lt_run *run)
{
    run->lock_fd = open(run->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (run->lock_fd < 0)
        return lti_errno_fail("open", run->dir);
    // File systems without locks are fine; somebody else's lock is not.
    if (flock(run->lock_fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
        LT_FAIL(LT_E_BUSY, "%s: the run is in use by another process", run->dir);
        return lt_error_hint("wait for the other process or choose another --out");
    }
    return LT_OK;
}

static lt_status write_taken(lt_run *run, const char *file, char *text)
{
    lt_status status = text ? lt_run_write_text(run, file, text) : LTI_NOMEM(file);
    lti_free(text);
    return status;
}

// env.json last: until it is there the directory has no configuration that could be resumed.
static lt_status write_description(lt_run *run, const lt_run_spec *spec)
{
    LT_TRY(write_taken(run, "config.yaml", spec->options ? lti_optset_yaml(spec->options) : lti_strdup("")));
    LT_TRY(write_taken(run, "resolved.json", spec->options ? lt_optset_json(spec->options) : lti_strdup("{}\n")));
    return write_taken(run, "env.json", lti_run_env_json(run->verb, run->digest, spec->key_values, spec->n_threads));
}

static lt_status start(lt_run *run, const lt_run_spec *spec, bool *finished)
{
    dir_state state;
    LT_TRY(lt_make_dirs(run->dir));
    if (!spec->force && spec->options && lt_run_is_done(run->dir)) {
        // A finished run is read without the lock: readers of it are no conflict.
        LT_TRY(classify(run, &state));
        if (state == DIR_SAME) {
            *finished = true;
            return LT_OK;
        }
    }
    LT_TRY(lock(run));
    LT_TRY(classify(run, &state));
    LT_TRY(check_allowed(run, spec, state));
    const bool resume = spec->resume && !spec->force && state == DIR_SAME;
    if (!resume) {
        LT_TRY(remove_earlier(run));
        LT_TRY(write_description(run, spec));
    }
    LT_TRY(open_growing(run, "log.txt", &run->log_fd));
    LT_TRY(open_growing(run, "metrics.jsonl", &run->metrics_fd));
    LT_TRY(open_growing(run, "metrics.csv", &run->csv_fd));
    LT_TRY(begin_csv(run));
    log_line(run, "info", "run", resume ? "resumed" : "started");
    if (run->failure.status != LT_OK) {
        lt_error_restore(&run->failure);
        return run->failure.status;
    }
    return LT_OK;
}

lt_status lt_run_open(const lt_run_spec *spec, lt_run **run, bool *finished)
{
    *run = NULL;
    *finished = false;
    if (!spec->dir || !*spec->dir)
        return LT_FAIL(LT_E_USAGE, "--out: expected a directory, found nothing");
    lt_run *r = lti_calloc(1, sizeof *r);
    if (!r)
        return LTI_NOMEM("run");
    r->lock_fd = r->metrics_fd = r->csv_fd = r->log_fd = -1;
    pthread_mutex_init(&r->mutex, NULL);
    r->dir = lti_strdup(spec->dir);
    r->verb = lti_strdup(spec->verb ? spec->verb : "");
    if (spec->options)
        lt_optset_digest(spec->options, r->digest);
    lt_status status = r->dir && r->verb ? start(r, spec, finished) : LTI_NOMEM("run");
    if (status != LT_OK || *finished)
        lt_run_close(r);
    else
        *run = r;
    return status;
}

const char *lt_run_dir(const lt_run *run)
{
    return run->dir;
}

lt_status lt_run_path(const lt_run *run, const char *file, char *out, size_t out_size)
{
    const char *slash = run->dir[strlen(run->dir) - 1] == '/' ? "" : "/";
    const int n = lti_format(out, out_size, "%s%s%s", run->dir, slash, file);
    if (n < 0 || (size_t)n >= out_size)
        return LT_FAIL(LT_E_USAGE, "%s/%s: expected a path of at most %zu bytes, found a longer one", run->dir, file,
                       out_size);
    return LT_OK;
}

lt_status lt_run_write_text(lt_run *run, const char *file, const char *text)
{
    char *path = join(run->dir, file);
    if (!path)
        return LTI_NOMEM(file);
    lt_status status = lt_write_file_atomic(path, text, strlen(text));
    lti_free(path);
    return status;
}

static lt_status end_growing(lt_run *run)
{
    int *const fd[] = {&run->metrics_fd, &run->csv_fd, &run->log_fd};
    lt_status status = LT_OK;
    pthread_mutex_lock(&run->mutex);
    for (size_t i = 0; i < sizeof fd / sizeof *fd; i++) {
        if (fsync(*fd[i]) != 0 && status == LT_OK)
            status = lti_errno_fail("write", run->dir);
        close(*fd[i]);
        *fd[i] = -1;
    }
    pthread_mutex_unlock(&run->mutex);
    return status;
}

lt_status lt_run_finish(lt_run *run, const char *result_json)
{
    char utc[LTI_UTC_MAX];
    log_line(run, "info", "run", "finished");
    if (run->failure.status != LT_OK) {
        lt_error_restore(&run->failure);
        return run->failure.status;
    }
    char *files;
    LT_TRY(lt_run_write_text(run, "result.json", result_json));
    LT_TRY(end_growing(run));
    LT_TRY(lti_run_list_files(run->dir, &files));
    LT_TRY(write_taken(run, "files.json", files));
    char *list = join(run->dir, "files.json"), list_digest[DIGEST_HEX];
    lt_status status = list ? lt_file_digest(list, list_digest) : LTI_NOMEM("run directory");
    lti_free(list);
    LT_TRY(status);
    char *done = lti_asprintf("{\"verb\": \"%s\", \"config_digest\": \"%s\", \"files_digest\": \"%s\", "
                              "\"finished\": \"%s\"}\n",
                              run->verb, run->digest, list_digest, lti_utc_now(utc));
    return write_taken(run, "DONE", done);
}

void lt_run_close(lt_run *run)
{
    if (!run)
        return;
    if (run->dir && run->lock_fd >= 0)
        lti_run_remove_progress(run->dir);
    const int fds[] = {run->metrics_fd, run->csv_fd, run->log_fd, run->lock_fd};
    for (size_t i = 0; i < sizeof fds / sizeof *fds; i++)
        if (fds[i] >= 0)
            close(fds[i]);
    pthread_mutex_destroy(&run->mutex);
    lti_free(run->dir);
    lti_free(run->verb);
    lti_free(run);
}
