// script_file.c - a script that starts workers, written to a file: for Slurm or mpirun (decision 14).
#include "base/json_write.h"
#include "lethe/executor.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { MAX_VARIABLES = 4 };
// Variables that workers must have as this process has them.
static void list_variables(const char *env[2 * MAX_VARIABLES + 1])
{
    static const char *const name[MAX_VARIABLES] = {"LETHE_DATA", "LETHE_HOME", "LETHE_CACHE", "XDG_CACHE_HOME"};
    int n = 0;
    for (int i = 0; i < MAX_VARIABLES; i++)
        if (getenv(name[i])) {
            env[n++] = name[i];
            env[n++] = getenv(name[i]);
        }
    env[n] = NULL;
}

// STEM/slurm.sh for a directory, which is made; else STEM.slurm.sh.
static char *script_path(const lt_worker_order *o, const char *end)
{
    const size_t n = strlen(o->stem);
    return lti_asprintf("%s%s%s%s", o->stem, n > 0 && o->stem[n - 1] == '/' ? "" : ".", o->executor, end);
}

static lt_status make_text(const lt_worker_order *o, const char *log, char **text)
{
    char program[4096] = "lethe", dir[4096] = ".";
    const char *env[2 * MAX_VARIABLES + 1];
    const ssize_t n = readlink("/proc/self/exe", program, sizeof program - 1);
    if (n > 0)
        program[n] = '\0';
    if (!getcwd(dir, sizeof dir))
        return LT_FAIL(LT_E_IO, "the current directory cannot be read");
    list_variables(env);
    return lt_executor_script(o->executor,
                              &(lt_worker_script){.name = o->name,
                                                  .program = program,
                                                  .dir = dir,
                                                  .args = o->args,
                                                  .env = env,
                                                  .log = log,
                                                  .n_workers = o->n_workers,
                                                  .slots = o->slots},
                              text);
}

static lt_status make_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    if (!slash || slash == path)
        return LT_OK;
    char *dir = lti_asprintf("%.*s", (int)(slash - path), path);
    const lt_status status = dir ? lt_make_dirs(dir) : LTI_NOMEM("script");
    lti_free(dir);
    return status;
}

static lt_status write_json(const lt_worker_order *o, const char *path, char **json)
{
    lti_json j = {0};
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "script", path);
    lti_json_text(&j, "executor", o->executor);
    lti_json_int(&j, "workers", o->n_workers);
    lti_json_end(&j, '}');
    *json = lti_json_take(&j);
    return *json ? LT_OK : LTI_NOMEM("script");
}

lt_status lt_executor_script_write(const lt_worker_order *o, char **json)
{
    char *log = script_path(o, ""), *path = script_path(o, ".sh"), *text = NULL;
    *json = NULL;
    lt_status status = log && path ? make_text(o, log, &text) : LTI_NOMEM("script");
    if (status == LT_OK)
        status = make_parent(path);
    if (status == LT_OK)
        status = lt_write_file_atomic(path, text, strlen(text));
    if (status == LT_OK)
        status = write_json(o, path, json);
    free(text);
    lti_free(log);
    lti_free(path);
    return status;
}
