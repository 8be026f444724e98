// env.c - what a run needs around it: backend, data set, signals, cache directory.
//
// The session keeps the backend and the last data set, so that a verb that calls others (demo) opens each once.
#include "cli.h"
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

void cli_catch_signals(cli_session *s)
{
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    caught_by = s;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

int cli_threads(const cli_call *call)
{
    if (call->compute.threads > 0)
        return call->compute.threads;
    cli_machine m;
    cli_machine_read(&m);
    return m.n_usable;
}

unsigned cli_plan_flags(const cli_where *where)
{
    static const unsigned convolution[] = {
        [CLI_CONV_AUTO] = 0, [CLI_CONV_OWN] = LT_PLAN_OWN_WINOGRAD, [CLI_CONV_DIRECT] = LT_PLAN_NO_WINOGRAD};
    return convolution[where->convolution] | (where->precision == CLI_BF16 ? LT_PLAN_BF16 : 0u) |
           (where->fixed_order ? LT_PLAN_FIXED_ORDER : 0u);
}

const char *cli_backend_name(const cli_call *call)
{
    return strcmp(call->where.device, "cpu") == 0 ? call->where.backend : call->where.device;
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
        .backend = s->backend, .loader_threads = call->compute.loader_threads, .events = s->events, .stop = &s->stop};
    env->plan_flags = cli_plan_flags(&call->where);
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

// The first of: $variable/suffix, $HOME/below/suffix, ./.suffix.
static lt_status user_dir(const char *variable, const char *below, const char *suffix, char out[4096])
{
    const char *base = getenv(variable), *home = getenv("HOME");
    int n = base && *base   ? snprintf(out, 4096, "%s/%s", base, suffix)
            : home && *home ? snprintf(out, 4096, "%s/%s/%s", home, below, suffix)
                            : snprintf(out, 4096, ".%s", suffix);
    if (n < 0 || n >= 4096)
        return LT_FAIL(LT_E_USAGE, "$%s: the path is longer than 4095 bytes", variable);
    return LT_OK;
}

lt_status cli_cache_dir(char out[4096])
{
    const char *home = getenv("LETHE_HOME");
    return home && *home ? user_dir("LETHE_HOME", "", "cache", out)
                         : user_dir("XDG_CACHE_HOME", ".cache", "lethe", out);
}

lt_status cli_store_dir(char out[4096])
{
    const char *home = getenv("LETHE_HOME");
    return home && *home ? user_dir("LETHE_HOME", "", "store", out)
                         : user_dir("XDG_DATA_HOME", ".local/share", "lethe/store", out);
}

lt_status cli_data_dir(char out[4096])
{
    const char *data = getenv("LETHE_DATA");
    if (!data || !*data)
        return user_dir("XDG_DATA_HOME", ".local/share", "lethe", out);
    if (snprintf(out, 4096, "%s", data) >= 4096)
        return LT_FAIL(LT_E_USAGE, "$LETHE_DATA: the path is longer than 4095 bytes");
    return LT_OK;
}

void cli_use_data_dir(void)
{
    char dir[4096];
    struct stat st;
    const char *data = getenv("LETHE_DATA");
    if ((!data || !*data) && cli_data_dir(dir) == LT_OK && stat(dir, &st) == 0 && S_ISDIR(st.st_mode))
        setenv("LETHE_DATA", dir, 1);
}
