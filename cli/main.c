// main.c - the `lethe` command: finds the verb, runs it, prints its result or one clear error.
//
// Only this file decides what goes to stdout and which exit code the process ends with (lt_status_exit_code).
#include "cli.h"
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif

#define CLI_VERB(id, line) extern const cli_verb cli_verb_##id;
#include "commands.list"
#undef CLI_VERB

const cli_row cli_rows[] = {
#define CLI_VERB(id, text) {.name = #id, .line = (text), .verb = &cli_verb_##id},
#include "commands.list"
#undef CLI_VERB
    {.name = NULL},
};

lt_status cli_find_verb(const char *name, const cli_row **row)
{
    const char *names[sizeof cli_rows / sizeof *cli_rows] = {NULL};
    int n = 0;
    for (*row = cli_rows; (*row)->name; (*row)++) {
        if (!strcmp((*row)->name, name))
            return LT_OK;
        names[n++] = (*row)->name;
    }
    const lt_status status = LT_FAIL(LT_E_USAGE, "unknown command '%s'", name);
    const char *near = lt_nearest(name, names);
    char list[400] = "";
    size_t used = 0;
    for (int i = 0; i < n && used < sizeof list; i++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", i ? ", " : "", names[i]);
    if (near)
        lt_error_hint("did you mean `lethe %s`? The commands are %s", near, list);
    else
        lt_error_hint("the commands are %s; `lethe COMMAND --help` explains one", list);
    return status;
}

static void print_error_json(const lt_error *e, int code)
{
    json_t *error = json_object(), *all = json_object();
    cli_put(error, "status", json_string(lt_status_text(e->status)));
    cli_put(error, "exit_code", json_integer(code));
    cli_put_text(error, "message", e->message);
    cli_put_text(error, "hint", e->hint);
    cli_put(all, "error", error);
    char *text = cli_json_text(all);
    fputs(text, stdout);
    free(text);
    json_decref(all);
}

// One line, a hint, and with --verbose or LETHE_TRACE the way the error took.
static int report_error(cli_session *s, lt_status status, bool json, bool trace)
{
    const lt_error *e = lt_error_get();
    int code = lt_status_exit_code(status);
    char rank[32] = "";
    cli_progress_clear(s->progress);
    bool color = cli_color(stderr);
    if (s->comm && s->comm->rank > 0) { // what rank 0 sees too it says, and ends the others with a signal
        if (nanosleep(&(struct timespec){.tv_sec = 10}, NULL) != 0)
            return code;
        snprintf(rank, sizeof rank, "rank %d: ", s->comm->rank);
    }
    fprintf(stderr, "%slethe:%s %s%s\n", color ? "\033[1;31m" : "", color ? "\033[0m" : "", rank, e->message);
    if (e->hint[0])
        fprintf(stderr, "%shint:%s %s\n", color ? "\033[1m" : "", color ? "\033[0m" : "", e->hint);
    if (trace)
        for (int i = 0; i < e->n_frames; i++)
            fprintf(stderr, "  at %s (%s:%d)\n", e->frame[i].func, e->frame[i].file, e->frame[i].line);
    if (json)
        print_error_json(e, code);
    return code;
}

static void print_result(const cli_call *call)
{
    if (call->common.json) {
        char *text = call->json ? cli_format("%s", call->json) : cli_json_text(call->result);
        fputs(text, stdout);
        free(text);
    } else if (call->verb->print) {
        call->verb->print(call, stdout);
    }
}

static lt_status show_config(const cli_call *call)
{
    char *text = call->common.json ? lt_optset_json(call->set) : lt_optset_show(call->set);
    if (!text)
        return LT_FAIL(LT_E_NOMEM, "out of memory: configuration");
    fputs(text, stdout);
    free(text);
    return LT_OK;
}

static bool has_arg(int argc, char *const *argv, const char *name)
{
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++)
        if (!strcmp(argv[i], name))
            return true;
    return false;
}

// How an error is reported when it occurs before the options could be read, or is about them.
static bool asks_json(int argc, char *const *argv)
{
    static const char *const yes[] = {"true", "yes", "on", "1"};
    const char *value = getenv("LETHE_JSON");
    bool json = false;
    for (int i = 0; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (!strcmp(argv[i], "--json"))
            value = "1";
        else if (!strcmp(argv[i], "--no-json"))
            value = "0";
        else if (!strncmp(argv[i], "--json=", 7))
            value = argv[i] + 7;
    }
    for (size_t i = 0; value && i < sizeof yes / sizeof *yes; i++)
        json = json || !strcmp(value, yes[i]);
    return json;
}

struct telling { // how much of the outcome is printed on standard output already, and in which form
    bool json, printed;
};

static lt_status run_call(cli_call *call, struct telling *t)
{
    if (has_arg(call->argc, call->argv, "--help") || has_arg(call->argc, call->argv, "-h"))
        return cli_print_help(call, stdout);
    LT_TRY(cli_call_parse(call));
    t->json = call->common.json;
    cli_progress_config(call->session->progress, call->common.quiet, call->common.verbose);
    cli_warn_unknown_variables(call->session);
    if (call->common.show_config)
        return show_config(call);
    LT_TRY(cli_record_check(call));
    LT_TRY(call->verb->run(call));
    if (call->session->comm && call->session->comm->rank > 0)
        return LT_OK; // rank 0 tells
    cli_record(call);
    print_result(call);
    t->printed = true;
    if (call->late.status != LT_OK) {
        lt_error_restore(&call->late);
        return call->late.status;
    }
    return call->verb->check ? call->verb->check(call) : LT_OK;
}

static int run_verb(cli_session *s, const cli_row *row, int argc, char *const *argv)
{
    cli_call call;
    struct telling t = {.json = asks_json(argc, argv)};
    lt_status status = cli_call_begin(s, row->verb, argc, argv, &call);
    if (status == LT_OK)
        status = run_call(&call, &t);
    const char *trace = getenv("LETHE_TRACE");
    int code = 0;
    if (status != LT_OK)
        code = report_error(s, status, t.json && !t.printed, call.common.verbose || (trace && *trace));
    cli_call_end(&call);
    return code;
}

// A result that did not reach its reader is an error, whatever the verb said.
static int close_stdout(int code)
{
    bool failed = ferror(stdout) != 0;
    errno = 0;
    if ((fflush(stdout) != 0 || failed) && code == 0) {
        code = lt_status_exit_code(errno == ENOSPC ? LT_E_NOSPACE : LT_E_IO);
        fprintf(stderr, "lethe: standard output: %s\n", errno ? strerror(errno) : "write error");
    }
    return code;
}

static int dispatch(cli_session *s, int argc, char **argv)
{
    const char *first = argc > 1 ? argv[1] : "--help";
    bool help = !strcmp(first, "--help") || !strcmp(first, "-h") || !strcmp(first, "help");
    if (help && argc <= 2) {
        cli_print_usage(argc > 1 ? stdout : stderr);
        return argc > 1 ? 0 : lt_status_exit_code(LT_E_USAGE);
    }
    if (!strcmp(first, "--version")) {
        puts("lethe " LT_VERSION);
        return 0;
    }
    if (!strcmp(first, "--dump-docs")) {
        lt_status status = cli_dump_docs(s, argc > 2 ? argv[2] : "", argc > 3 ? argv[3] : "", stdout);
        return status == LT_OK ? 0 : report_error(s, status, false, false);
    }
    if (argc > 2 && !strcmp(argv[2], "--version")) {
        puts("lethe " LT_VERSION);
        return 0;
    }
    const cli_row *row;
    lt_status status = cli_find_verb(help ? argv[2] : first, &row);
    if (status != LT_OK)
        return report_error(s, status, asks_json(argc, argv), false);
    if (!help && (row->verb->uses & CLI_COMPUTE))
        cli_limit_omp_spinning(argv);
    char *const help_args[] = {(char *)"--help", NULL};
    return help ? run_verb(s, row, 1, help_args) : run_verb(s, row, argc - 2, argv + 2);
}

// A standard stream that the caller closed must not lend its number to a file of a run: messages would end up there.
// What is opened in its place refuses to be written, so that a lost result is still an error.
static void occupy_streams(void)
{
    for (int fd = 0; fd <= STDERR_FILENO; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY) != fd)
            _Exit(lt_status_exit_code(LT_E_IO)); // and there is nowhere to say so
}

// glibc raises the size from which a block is mapped by itself to that of the largest one freed so far, up to 32 MiB.
// Buffers in which kernels are timed are freed before a plan takes its memory: the heap they leave behind is full of
// holes, and the peak of `lethe bench` at width 64 was 716 MiB instead of 590. A fixed size keeps large blocks out of
// the heap. A policy of the process, so it is set here and not by the library.
static void map_large_blocks(void)
{
#ifdef M_MMAP_THRESHOLD
    mallopt(M_MMAP_THRESHOLD, 4 << 20);
#endif
}

int main(int argc, char **argv)
{
    cli_session s = {0};
    occupy_streams();
    map_large_blocks();
    lt_status status = lt_events_create(&s.events);
    if (status == LT_OK)
        s.progress = cli_progress_create(s.events);
    if (!s.progress) {
        lt_events_destroy(s.events);
        fputs("lethe: out of memory\n", stderr);
        return lt_status_exit_code(LT_E_NOMEM);
    }
    cli_use_data_dir();
    int code = close_stdout(dispatch(&s, argc, argv));
    lt_comm_close(s.comm, code);
    cli_session_close(&s);
    return code;
}
