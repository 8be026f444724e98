// result_dir.c - run directories: opened, found finished, or continued.
//
// A run is a pure function of its options, its inputs and the seed, so continuing an unfinished directory of the same
// options is always right and needs no flag. A finished run is taken as it is when its options are the same and its
// inputs (parent weights, data) still have the digests it was made from.
#include "io/tensorboard.h"
#include "run/run_impl.h"
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static lt_status choose_dir(const lt_result_dir_spec *spec, char out[LT_RESULT_PATH_MAX])
{
    char digest[65];
    int n;
    lt_optset_digest(spec->options, digest);
    if (spec->out && *spec->out)
        n = lti_format(out, LT_RESULT_PATH_MAX, "%s", spec->out);
    else
        n = lti_format(out, LT_RESULT_PATH_MAX, "runs/%s-%.8s", spec->label, digest);
    while (n > 1 && n < LT_RESULT_PATH_MAX && out[n - 1] == '/')
        out[--n] = '\0';
    if (n < 1 || n >= LT_RESULT_PATH_MAX)
        return LT_FAIL(LT_E_USAGE, "--out: expected a path of 1 to %d bytes, found %d", LT_RESULT_PATH_MAX - 1, n);
    return LT_OK;
}

// Do the inputs of the finished run in dir still have the digests it was made from?
static bool has_same_inputs(const char *dir, const char *const *facts)
{
    char *path = lti_asprintf("%s/result.json", dir);
    json_t *result = NULL;
    bool same = path && lti_json_load(path, &result) == LT_OK;
    for (int i = 0; same && facts && facts[i]; i += 2) {
        const size_t n = strlen(facts[i]);
        if (n > 7 && !strcmp(facts[i] + n - 7, "_digest"))
            same = !strcmp(lti_json_text_at(result, facts[i]), facts[i + 1]);
    }
    lt_error_clear();
    json_decref(result);
    lti_free(path);
    return same;
}

// The facts and what computes, for env.json; malloc'ed, the strings are the caller's.
static const char **list_facts(const lt_result_dir_spec *spec)
{
    int n = 0;
    while (spec->facts && spec->facts[n])
        n += 2;
    const char **list = lti_calloc((size_t)n + 3, sizeof *list);
    if (!list)
        return NULL;
    for (int i = 0; i < n; i++)
        list[i] = spec->facts[i];
    if (spec->backend) {
        list[n] = "backend";
        list[n + 1] = lt_backend_version(spec->backend);
    }
    return list;
}

// Only a run of these options may be computed again for its inputs: any other run in this place, such as the parent
// itself, is refused by lt_run_open and stays.
static lt_status open_run(const lt_result_dir_spec *spec, lt_result_dir *d, bool *resumed)
{
    char *env = lti_asprintf("%s/env.json", d->dir); // makes a directory a run
    const char **facts = list_facts(spec);
    if (!env || !facts) {
        lti_free(env);
        lti_free(facts);
        return LTI_NOMEM("path");
    }
    lt_run_spec run = {.dir = d->dir,
                       .verb = spec->verb,
                       .options = spec->options,
                       .key_values = facts,
                       .n_threads = spec->backend ? lt_backend_n_threads(spec->backend) : 0,
                       .force = spec->force,
                       .resume = !spec->force && lti_is_file(env)};
    lti_free(env);
    lt_status status = lt_run_open(&run, &d->run, &d->finished);
    if (status == LT_OK && d->finished && !has_same_inputs(d->dir, spec->facts)) {
        lt_run_close(d->run);
        d->run = NULL;
        run.force = true;
        run.resume = false;
        status = lt_run_open(&run, &d->run, &d->finished);
    }
    lti_free(facts);
    *resumed = run.resume;
    return status;
}

// A run that is replaced by what is made from it is lost before anything can be compared with it.
static lt_status spare_input(const lt_result_dir_spec *spec, const char *dir)
{
    struct stat from, to;
    if (!spec->force || !spec->input || stat(spec->input, &from) != 0 || stat(dir, &to) != 0)
        return LT_OK;
    if (from.st_dev != to.st_dev || from.st_ino != to.st_ino)
        return LT_OK;
    return LT_FAIL(LT_E_USAGE, "--out %s: expected another directory than that of the run that is read", dir);
}

// ---- what a refused run leaves

static bool is_absent_or_empty(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d)
        return errno == ENOENT;
    int n = 0;
    while (n < 3 && readdir(d))
        n++;
    closedir(d);
    return n < 3; // "." and ".."
}

// The run never began: what was asked for cannot be done. Others have a log that says how far they came.
static bool is_refusal(lt_status status)
{
    return status == LT_E_USAGE || status == LT_E_INPUT || status == LT_E_FORMAT || status == LT_E_SHAPE ||
           status == LT_E_UNSUPPORTED || status == LT_E_NOMEM;
}

static const char search_dir[] = "search"; // adversarial sets of an unlearning run

// Models and states are work that was done; directories are runs of their own.
static bool is_worthless(int fd, const char *name)
{
    static const char suffix[] = ".safetensors";
    struct stat st;
    const size_t n = strlen(name), m = sizeof suffix - 1;
    if (!strcmp(name, search_dir))
        return true;
    const bool is_file = fstatat(fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode);
    return is_file && strcmp(name, "DONE") != 0 && (n < m || strcmp(name + n - m, suffix) != 0);
}

static bool is_dot(const char *name)
{
    return !strcmp(name, ".") || !strcmp(name, "..");
}

// While the lock of the run is held. What cannot be removed stays.
static void remove_refused(const char *dir)
{
    DIR *d = opendir(dir);
    bool worthless = d != NULL;
    for (struct dirent *e; worthless && (e = readdir(d));)
        worthless = is_dot(e->d_name) || is_worthless(dirfd(d), e->d_name);
    if (worthless) {
        char *search = lti_asprintf("%s/%s", dir, search_dir);
        if (search)
            (void)lt_adv_cache_clear(search, false, NULL, NULL);
        lti_free(search);
        rewinddir(d);
        for (struct dirent *e; (e = readdir(d));)
            if (!is_dot(e->d_name))
                (void)unlinkat(dirfd(d), e->d_name, 0);
        (void)rmdir(dir);
    }
    if (d)
        closedir(d);
}

lt_status lt_result_dir_open(const lt_result_dir_spec *spec, lt_result_dir *d)
{
    bool resumed;
    *d = (lt_result_dir){.events = spec->events};
    LT_TRY(choose_dir(spec, d->dir));
    LT_TRY(spare_input(spec, d->dir));
    const bool is_new = is_absent_or_empty(d->dir);
    LT_TRY(open_run(spec, d, &resumed));
    d->is_new = is_new && d->run;
    if (d->finished)
        return LT_OK;
    LT_TRY(lt_run_path(d->run, "state.safetensors", d->state, sizeof d->state));
    LT_TRY(lt_run_path(d->run, "model.safetensors", d->model, sizeof d->model));
    if (!d->events)
        return LT_OK;
    LT_TRY(lt_events_add(d->events, lt_run_sink(d->run)));
    if (!spec->tensorboard)
        return LT_OK;
    LT_TRY(lti_tensorboard_open(d->dir, !resumed, &d->tensorboard));
    return lt_events_add(d->events, lti_tensorboard_sink(d->tensorboard));
}

lt_status lt_result_dir_add_samples(const lt_result_dir *d, const lt_dataset *ds)
{
    char path[LT_RESULT_PATH_MAX];
    LT_TRY(lt_run_path(d->run, LTI_SAMPLES_FILE, path, sizeof path));
    return lt_sample_list_write(ds, path);
}

static lt_status close_tensorboard(lt_result_dir *d)
{
    lti_tensorboard *t = d->tensorboard;
    d->tensorboard = NULL;
    if (t)
        lt_events_remove(d->events, t);
    return lti_tensorboard_close(t);
}

lt_status lt_result_dir_finish(lt_result_dir *d, const char *result_json)
{
    LT_TRY(close_tensorboard(d));
    return result_json ? lt_run_finish(d->run, result_json) : LTI_NOMEM("result");
}

lt_status lt_result_dir_stored(const lt_result_dir *d, char **result_json)
{
    enum { MAX_BYTES = 1 << 26 };
    size_t n;
    char *path = lti_asprintf("%s/result.json", d->dir);
    if (!path)
        return LTI_NOMEM("path");
    lt_status status = lt_read_file(path, MAX_BYTES, result_json, &n);
    lti_free(path);
    return status;
}

void lt_result_dir_close(lt_result_dir *d)
{
    const lt_error own = *lt_error_get();
    if (d->tensorboard && close_tensorboard(d) != LT_OK)
        lt_error_restore(&own); // the run was given up: its own error counts
    if (d->run && d->events)
        lt_events_remove(d->events, lt_run_sink(d->run).self);
    if (d->is_new && is_refusal(own.status) && !lt_run_is_done(d->dir)) {
        remove_refused(d->dir);
        lt_error_restore(&own);
    }
    lt_run_close(d->run);
    d->run = NULL;
}
