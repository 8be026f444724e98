// run_files.c - the digests of what a finished run holds: files.json, {"name": "BLAKE2b-256 of the file", ...}.
//
// A run is evidence: an array of outputs that somebody edited afterwards must not be taken for what the model said.
// Every file of the run is listed, but for TensorBoard's copy of its metrics; what is added later (a report) is not. A
// file may be removed afterwards, as adversarial examples of forgotten images should be: code that needs it reports
// that it is missing.
#include "io/run_impl.h"
#include "io/json_read.h"
#include "io/tensorboard.h"
#include "lethe/tensorfile.h"
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { DEPTH_MAX = 4, MAX_BYTES = 1 << 26 };
static const char files_name[] = "files.json";

static bool is_listed(const char *name)
{
    static const char *const own[] = {"DONE", files_name, "lock", "progress.json"};
    if (name[0] == '.' || lti_is_temporary_name(name) || lti_is_tensorboard_name(name))
        return false;
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (!strcmp(name, own[i]))
            return false;
    return true;
}

static lt_status add_folder(const char *dir, const char *below, int depth, json_t *files);

static lt_status add_entry(const char *dir, const char *name, int depth, json_t *files)
{
    char digest[65], *path = lti_asprintf("%s/%s", dir, name);
    struct stat st;
    if (!path)
        return LTI_NOMEM("run directory");
    lt_status status = LT_OK;
    if (lstat(path, &st) != 0)
        status = lti_errno_fail("read", path);
    else if (S_ISDIR(st.st_mode) && depth < DEPTH_MAX)
        status = add_folder(dir, name, depth + 1, files);
    else if (S_ISREG(st.st_mode) && (status = lt_file_digest(path, digest)) == LT_OK &&
             json_object_set_new(files, name, json_string(digest)) != 0)
        status = LTI_NOMEM("run directory");
    lti_free(path);
    return status;
}

// below: "" or a folder of the run.
static lt_status add_folder(const char *dir, const char *below, int depth, json_t *files)
{
    char *path = *below ? lti_asprintf("%s/%s", dir, below) : lti_strdup(dir);
    if (!path)
        return LTI_NOMEM("run directory");
    DIR *d = opendir(path);
    lt_status status = d ? LT_OK : lti_errno_fail("read directory", path);
    for (struct dirent *e; d && status == LT_OK && (e = readdir(d));) {
        if (!is_listed(e->d_name))
            continue;
        struct stat st;
        char *name = *below ? lti_asprintf("%s/%s", below, e->d_name) : lti_strdup(e->d_name);
        // A run within this one (a request of a stream, a part of a study) has its own list.
        char *inner = name ? lti_asprintf("%s/%s/env.json", dir, name) : NULL;
        status = inner ? LT_OK : LTI_NOMEM("run directory");
        if (status == LT_OK && stat(inner, &st) != 0)
            status = add_entry(dir, name, depth, files);
        lti_free(inner);
        lti_free(name);
    }
    if (d)
        closedir(d);
    lti_free(path);
    return status;
}

lt_status lti_run_list_files(const char *dir, char **text)
{
    json_t *files = json_object();
    *text = NULL;
    lt_status status = files ? add_folder(dir, "", 0, files) : LTI_NOMEM("run directory");
    if (status == LT_OK && !(*text = json_dumps(files, JSON_SORT_KEYS | JSON_INDENT(1))))
        status = LTI_NOMEM("run directory");
    json_decref(files);
    return status;
}

// DONE has the digest of the list itself, which must be there when it has.
static lt_status check_list(const char *dir, const char *list)
{
    struct stat st;
    char found[65] = "", *path = lti_asprintf("%s/DONE", dir), *text = NULL;
    size_t n;
    lt_status status = path ? LT_OK : LTI_NOMEM("run directory");
    LT_TRY_GOTO(status, done);
    LT_TRY_GOTO(lt_read_file(path, MAX_BYTES, &text, &n), done);
    if (stat(list, &st) == 0)
        LT_TRY_GOTO(lt_file_digest(list, found), done);
    json_t *done_json = json_loads(text, 0, NULL);
    const char *expected = json_string_value(json_object_get(done_json, "files_digest"));
    if (expected && !*found)
        status = LT_FAIL(LT_E_INTEGRITY, "%s: expected the digests of the run's files, found no file", list);
    else if (expected && strcmp(expected, found) != 0)
        status = LT_FAIL(LT_E_INTEGRITY, "%s: it was changed after the run: expected digest %.16s..., found %.16s...",
                         list, expected, found);
    json_decref(done_json);
done:
    lti_free(text);
    lti_free(path);
    return status;
}

static lt_status check_digest(const char *dir, const char *name, const char *expected)
{
    char found[65], *file = lti_asprintf("%s/%s", dir, name);
    struct stat st;
    if (!file)
        return LTI_NOMEM("run directory");
    lt_status status = lstat(file, &st) == 0 ? lt_file_digest(file, found) : LT_OK;
    if (status == LT_OK && lstat(file, &st) == 0 && strcmp(expected, found) != 0)
        status = LT_FAIL(LT_E_INTEGRITY, "%s: it was changed after the run: expected digest %.16s..., found %.16s...",
                         file, expected, found);
    lti_free(file);
    return status;
}

// *files: NULL for a run that was made before runs listed their files.
static lt_status open_list(const char *dir, json_t **files)
{
    char *path = lti_asprintf("%s/%s", dir, files_name), *text;
    struct stat st;
    size_t n;
    json_error_t error;
    *files = NULL;
    lt_status status = path ? LT_OK : LTI_NOMEM("run directory");
    const bool has_list = path && stat(path, &st) == 0;
    if (status != LT_OK || (!has_list && !lt_run_is_done(dir)))
        goto done;
    LT_TRY_GOTO(check_list(dir, path), done);
    if (!has_list)
        goto done;
    LT_TRY_GOTO(lt_read_file(path, MAX_BYTES, &text, &n), done);
    *files = lti_json_parse(text, n, 0, &error);
    lti_free(text);
    if (!*files && lti_json_lacked_memory(&error))
        status = LTI_NOMEM(path);
    else if (!*files)
        status = LT_FAIL(LT_E_INTEGRITY, "%s: expected the digests of the run's files, found other text", path);
done:
    lti_free(path);
    return status;
}

lt_status lt_run_check_file(const char *dir, const char *name)
{
    json_t *files;
    LT_TRY(open_list(dir, &files));
    const char *expected = json_string_value(json_object_get(files, name));
    lt_status status = expected ? check_digest(dir, name, expected) : LT_OK;
    json_decref(files);
    return status;
}

lt_status lt_run_check_files(const char *dir)
{
    json_t *files, *expected;
    const char *name;
    lt_status status = open_list(dir, &files);
    json_object_foreach(files, name, expected)
    {
        if (status == LT_OK && json_is_string(expected))
            status = check_digest(dir, name, json_string_value(expected));
    }
    json_decref(files);
    return status;
}
