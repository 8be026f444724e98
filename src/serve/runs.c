// runs.c - what the directories of runs hold, as JSON for the page.
#include "serve_impl.h"
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { MAX_DEPTH = 4, MAX_RUNS = 2000, MAX_JSON_BYTES = 1 << 24, MAX_METRICS_BYTES = 1 << 24 };

void lti_json_copy(json_t *to, const json_t *from, const char *const *keys)
{
    for (; *keys; keys++) {
        json_t *value = json_object_get(from, *keys);
        if (value)
            json_object_set(to, *keys, value);
    }
}

json_t *lti_json_file(const char *path)
{
    char *bytes;
    size_t n;
    if (lt_read_file(path, MAX_JSON_BYTES, &bytes, &n) != LT_OK) {
        lt_error_clear();
        return NULL;
    }
    json_t *value = json_loadb(bytes, n, 0, NULL);
    free(bytes);
    return value;
}

static json_t *file_of_run(const char *dir, const char *name)
{
    char path[LTI_FILE_MAX];
    return snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path ? lti_json_file(path) : NULL;
}

const char *lti_run_state_text(const char *dir)
{
    switch (lt_run_state_of(dir)) {
    case LT_RUN_DONE:
        return "done";
    case LT_RUN_ACTIVE:
        return "running";
    case LT_RUN_STOPPED:
        return "stopped";
    case LT_RUN_NONE:
        break;
    }
    return "";
}

// Options of an unfinished run that a finished one has in its result.
static void copy_options(json_t *to, const json_t *resolved)
{
    static const char *const names[] = {"data", "model", "method", "forget", "seed", NULL};
    for (const char *const *name = names; *name; name++) {
        json_t *value = json_object_get(json_object_get(resolved, *name), "value");
        if (value && !json_is_null(value))
            json_object_set(to, *name, value);
    }
    json_t *parent = json_object_get(json_object_get(resolved, "run"), "value");
    if (json_is_string(parent))
        json_object_set(to, "parent", parent);
}

static json_t *summarize(const char *dir, const char *place)
{
    static const char *const of_env[] = {"verb", "started", NULL};
    static const char *const of_result[] = {
        "data",     "model",        "method",   "title",         "parent",     "forget", "seed",       "n_forget",
        "n_retain", "train_acc",    "test_acc", "test_loss",     "forget_acc", "acc_f",  "acc_r",      "retain_acc",
        "epochs",   "images_per_s", "wall_s",   "delta_norm_l2", "n_requests", "bits",   "test_acc_q", NULL};
    json_t *run = json_object(), *env = file_of_run(dir, "env.json"), *result = file_of_run(dir, "result.json");
    json_object_set_new(run, "dir", json_string(place));
    json_object_set_new(run, "state", json_string(lti_run_state_text(dir)));
    lti_json_copy(run, env, of_env);
    if (result) {
        lti_json_copy(run, result, of_result);
    } else {
        json_t *resolved = file_of_run(dir, "resolved.json");
        copy_options(run, resolved);
        json_decref(resolved);
    }
    json_decref(env);
    json_decref(result);
    return run;
}

// Names that no request could give are not shown.
static bool is_visible_dir(const char *path, const char *place, const char *name)
{
    struct stat st;
    json_t *text = json_string(place); // NULL when it is no UTF-8
    const bool ok =
        text && name[0] != '.' && lstat(path, &st) == 0 && S_ISDIR(st.st_mode) && lti_place_check(place) == LT_OK;
    json_decref(text);
    lt_error_clear();
    return ok;
}

static void collect(json_t *runs, const char *dir, const char *place, int depth)
{
    DIR *d = opendir(dir);
    if (!d)
        return;
    for (struct dirent *e; (e = readdir(d)) != NULL && json_array_size(runs) < MAX_RUNS;) {
        char path[LTI_FILE_MAX], below[LTI_PLACE_MAX];
        if (snprintf(path, sizeof path, "%s/%s", dir, e->d_name) >= (int)sizeof path ||
            snprintf(below, sizeof below, "%s%s%s", place, *place ? "/" : "", e->d_name) >= (int)sizeof below ||
            !is_visible_dir(path, below, e->d_name))
            continue;
        if (lt_run_state_of(path) != LT_RUN_NONE)
            json_array_append_new(runs, summarize(path, below));
        if (depth < MAX_DEPTH)
            collect(runs, path, below, depth + 1);
    }
    closedir(d);
}

lt_status lti_get_runs(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    json_t *runs = json_array();
    (void)t;
    (void)body;
    collect(runs, s->root, "", 1);
    lti_respond_json(r, 200, json_pack("{s:o, s:b}", "runs", runs, "truncated", json_array_size(runs) >= MAX_RUNS));
    return LT_OK;
}

// Lines of metrics.jsonl; those that are no objects, as the last one of a run that is writing, are left out.
static json_t *read_metrics(const char *dir)
{
    char path[LTI_FILE_MAX], *bytes;
    size_t n;
    json_t *all = json_array();
    if (snprintf(path, sizeof path, "%s/metrics.jsonl", dir) >= (int)sizeof path ||
        lt_read_file(path, MAX_METRICS_BYTES, &bytes, &n) != LT_OK) {
        lt_error_clear();
        return all;
    }
    char *rest = NULL;
    for (char *line = strtok_r(bytes, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        json_t *one = json_loads(line, 0, NULL);
        if (json_is_object(one))
            json_array_append_new(all, one);
        else
            json_decref(one);
    }
    free(bytes);
    return all;
}

static bool has_neighbours(const char *dir)
{
    char path[LTI_FILE_MAX];
    struct stat st;
    return snprintf(path, sizeof path, "%s/adv/adv.safetensors", dir) < (int)sizeof path && stat(path, &st) == 0;
}

lt_status lti_get_run(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    static const char *const files[] = {"env", "resolved", "result", "audit", "progress", NULL};
    const char *place = lti_target_get(t, "dir");
    char dir[LTI_FILE_MAX], name[32];
    (void)body;
    if (!place)
        return LT_FAIL(LT_E_USAGE, "request: parameter 'dir' is missing");
    LT_TRY(lti_place_find(s, place, dir));
    if (lt_run_state_of(dir) == LT_RUN_NONE)
        return LT_FAIL(LT_E_INPUT, "'%.80s' is no run", place);
    json_t *run = summarize(dir, place);
    for (const char *const *f = files; *f; f++) {
        snprintf(name, sizeof name, "%s.json", *f);
        json_t *value = file_of_run(dir, name);
        if (value)
            json_object_set_new(run, *f, value);
    }
    json_object_set_new(run, "metrics", read_metrics(dir));
    json_object_set_new(run, "has_neighbours", json_boolean(has_neighbours(dir)));
    lti_respond_json(r, 200, run);
    return LT_OK;
}
