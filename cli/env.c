// env.c - what a run needs around it: backend, data set, signals, cache directory.
//
// The session keeps the backend and the last data set, so that a verb that calls others (demo) opens each once.
#include "cli.h"
#include <ctype.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static cli_session *caught_by; // signal handlers have no argument: the one session of this process

static void on_signal(int number)
{
    (void)number;
    if (caught_by)
        lt_interrupt(&caught_by->stop);
}

// The handler has a stack of its own. On the stack of the interrupted thread its frame, several kilobytes with AVX-512,
// lies right below the 128 bytes that code may use without reserving them, and generated code that uses more would lose
// it. Without this stack some interrupted trainings ended with a damaged heap (docs/robustness.md).
void cli_catch_signals(cli_session *s)
{
    static char stack[1 << 16];
    const stack_t own = {.ss_sp = stack, .ss_size = sizeof stack};
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)(SA_RESETHAND | SA_ONSTACK)};
    sigaltstack(&own, NULL);
    caught_by = s;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_threads(const cli_call *call)
{
    return call->threads.threads > 0 ? call->threads.threads : lt_usable_cores();
}

// Threads that share a core wait for each other at every barrier: 64 on two cores were 25 times slower than two.
void cli_limit_threads(cli_call *call)
{
    const int usable = lt_usable_cores();
    if (!(call->verb->uses & CLI_COMPUTE) || call->threads.threads <= usable || call->threads.oversubscribe)
        return;
    if (!call->common.quiet)
        lt_warn(
            call->session->events, "threads",
            "--threads %d: this process may use %d core%s, so it takes as many threads; --oversubscribe takes all %d",
            (int)call->threads.threads, usable, usable == 1 ? "" : "s", (int)call->threads.threads);
    call->threads.threads = usable;
}

// ---- variables that look like options but are none

extern char **environ;
enum { PREFIX = sizeof "LETHE_" - 1 };

// "unlearn.amun.lr-area" -> LETHE_UNLEARN_AMUN_LR_AREA, and of its last word LETHE_LR_AREA
static void add_variable(cli_list *known, const char *key)
{
    const char *last = strrchr(key, '.');
    for (int whole = 0; whole < 2; whole++) {
        char *name = cli_format("LETHE_%s", whole || !last ? key : last + 1);
        for (char *p = name; *p; p++)
            *p = *p == '.' || *p == '-' ? '_' : (char)toupper((unsigned char)*p);
        cli_list_push(known, name, strlen(name));
        free(name);
    }
}

static void add_table(cli_list *known, const char *prefix, const lt_option *table)
{
    for (; table->name; table++) {
        char *key = cli_format("%s%s%s", prefix, *prefix ? "." : "", table->name);
        add_variable(known, key);
        free(key);
    }
}

static void add_verb(cli_list *known, cli_session *s, const cli_verb *verb)
{
    cli_call call;
    if (cli_call_begin(s, verb, 0, NULL, &call) == LT_OK) {
        char *text = lt_optset_json(call.set);
        json_t *all = text ? json_loads(text, 0, NULL) : NULL, *value;
        const char *key;
        json_object_foreach(all, key, value) add_variable(known, key);
        json_decref(all);
        free(text);
    }
    cli_call_end(&call);
}

// LETHE_FIXED_ORDER: what reads it says what it is called now.
static bool has_old_name(const char *variable)
{
    char *key = cli_format("%s", variable + PREFIX);
    for (char *p = key; *p; p++)
        *p = (char)tolower((unsigned char)*p);
    const bool is_old = lt_option_is_old_name(key);
    free(key);
    return is_old;
}

void cli_warn_unknown_variables(cli_session *s)
{
    static const char *const others[] = {"LETHE_DATA",       "LETHE_HOME",         "LETHE_CACHE",  "LETHE_TRACE",
                                         "LETHE_CONFIG",     "LETHE_SET",          "LETHE_METHOD", "LETHE_CUDA_PLUGIN",
                                         "LETHE_EMU",        "LETHE_FUZZ_SECONDS", "LETHE_WERROR", "LETHE_PYTHON",
                                         "LETHE_NEW_PYTHON", "LETHE_TEST_CARD"};
    cli_list known = {0};
    for (char **v = environ; *v; v++) {
        if (strncmp(*v, "LETHE_", PREFIX) != 0)
            continue;
        if (known.n == 0) {
            for (size_t i = 0; i < sizeof others / sizeof *others; i++)
                cli_list_push(&known, others[i], strlen(others[i]));
            for (const cli_row *r = cli_rows; r->name; r++)
                add_verb(&known, s, r->verb);
            for (const lt_unlearn_method *const *m = lt_unlearn_methods(); *m; m++) {
                char *prefix = cli_format("unlearn.%s", (*m)->name);
                add_table(&known, prefix, (*m)->opts);
                free(prefix);
            }
            for (const lt_mia *const *m = lt_mia_list(); *m; m++)
                add_table(&known, (*m)->name, (*m)->opts);
            for (const lt_attack *const *a = lt_attacks(); *a; a++)
                add_table(&known, (*a)->name, (*a)->opts);
        }
        char *name = cli_format("%.*s", (int)strcspn(*v, "="), *v);
        bool found = has_old_name(name);
        for (int i = 0; i < known.n && !found; i++)
            found = !strcmp(known.item[i], name);
        const char *near = found ? NULL : lt_nearest(name, (const char *const *)known.item);
        if (!found)
            lt_warn(s->events, "variable", "%s: no option has this name%s%s%s", name, near ? "; did you mean " : "",
                    near ? near : "", near ? "?" : ", and the variable is ignored");
        free(name);
    }
    cli_list_clear(&known);
}

const char *cli_backend_name(const cli_call *call)
{
    return lt_compute_backend_name(&call->compute);
}

lt_status cli_open_backend(cli_call *call)
{
    cli_session *s = call->session;
    const char *name = cli_backend_name(call);
    char key[256];
    int n = cli_threads(call);
    if ((size_t)snprintf(key, sizeof key, "%s/%d", name, n) >= sizeof key)
        return LT_FAIL(LT_E_USAGE, "--device: expected at most 200 characters, found '%.40s...'", name);
    if (s->backend && strcmp(key, s->backend_key) == 0)
        return LT_OK;
    lt_backend_destroy(s->backend);
    s->backend = NULL;
    LT_TRY(lt_backend_create(name, n, &s->backend));
    snprintf(s->backend_key, sizeof s->backend_key, "%s", key);
    return LT_OK;
}

lt_status cli_env(cli_call *call, lt_env *env)
{
    cli_session *s = call->session;
    LT_TRY(cli_open_backend(call));
    *env = (lt_env){
        .backend = s->backend, .loader_threads = call->threads.loader_threads, .events = s->events, .stop = &s->stop};
    env->plan_flags = lt_compute_plan_flags(&call->compute);
    return LT_OK;
}

lt_status cli_dataset(cli_call *call, const char *spec, const lt_dataset **ds)
{
    cli_session *s = call->session;
    if (!s->data || strcmp(spec, s->data_spec) != 0) {
        lt_dataset *opened;
        LT_TRY(lt_dataset_open(spec, s->events, &opened));
        lt_dataset_close(s->data);
        free(s->data_spec);
        s->data = opened;
        s->data_spec = cli_format("%s", spec);
    }
    *ds = s->data;
    return LT_OK;
}

void cli_session_close(cli_session *s)
{
    lt_backend_destroy(s->backend);
    lt_dataset_close(s->data);
    free(s->data_spec);
    lt_events_destroy(s->events);
    cli_progress_destroy(s->progress);
}

void cli_use_data_dir(void)
{
    char dir[4096];
    struct stat st;
    const char *data = getenv("LETHE_DATA");
    if ((!data || !*data) && lt_data_dir(dir) == LT_OK && stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
        setenv("LETHE_DATA", dir, 1);
}
