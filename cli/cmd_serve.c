// cmd_serve.c - `lethe serve`: the dashboard, until it is interrupted.
#include "cli.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct opts {
    lt_serve_cfg serve;
};
static const cli_group groups[] = {
    {"", "Server", lt_serve_options, offsetof(struct opts, serve), LT_OPTGROUP_FLAGS},
    {NULL, NULL, NULL, 0, 0},
};

// Jobs are started with the program that serves.
static lt_status find_command(char out[4096])
{
    const ssize_t n = readlink("/proc/self/exe", out, 4095);
    if (n <= 0)
        return LT_FAIL(LT_E_UNSUPPORTED, "serve: the path of this program cannot be found (/proc is not mounted)");
    out[n] = '\0';
    return LT_OK;
}

static lt_status run(cli_call *call)
{
    struct opts *o = call->opts;
    char command[4096];
    lt_server *server;
    if (call->n_positional > 1)
        return LT_FAIL(LT_E_USAGE, "serve: expected one directory of runs, found %d", call->n_positional);
    const char *root = call->n_positional ? call->positional[0] : "runs";
    LT_TRY(find_command(command));
    const lt_serve_spec spec = {.cfg = &o->serve, .root = root, .command = command, .events = call->session->events};
    LT_TRY(lt_server_open(&spec, &server));
    call->extra = server;
    cli_catch_signals(call->session);
    call->result = json_object();
    cli_put_text(call->result, "url", lt_server_url(server));
    cli_put_text(call->result, "root", root);
    cli_put_text(call->result, "token_file", lt_server_token_file(server));
    cli_put(call->result, "port", json_integer(lt_server_port(server)));
    return LT_OK;
}

static void print(const cli_call *call, FILE *out)
{
    fprintf(out, "%s\n", cli_text(call->result, "url"));
    cli_say(call->session, "serving %s; the address holds the token that starting runs needs, which is kept in %s",
            cli_text(call->result, "root"), cli_text(call->result, "token_file"));
    cli_say(call->session, "Ctrl-C ends the server; a running job is interrupted and goes on when the next one starts");
}

// The address is printed; now it serves.
static lt_status serve(const cli_call *call)
{
    fflush(stdout);
    lt_server_wait(call->extra, &call->session->stop);
    lt_server_close((lt_server *)call->extra);
    return LT_OK;
}

const cli_verb cli_verb_serve = {
    .name = "serve",
    .usage = "[DIR] [options]",
    .about = "Serves a page over a directory of runs (default: runs): running ones with loss, accuracy, rate and\n"
             "remaining time as they come, comparisons, reports, and a queue for training runs, deletion requests and\n"
             "reports, which are started as processes of this program, one after another. The queue is in\n"
             "DIR/.lethe and outlives the server.\n"
             "The printed address holds a token, without which nothing can be started. Other users of this machine\n"
             "can read what the page shows unless --token-to-read is given; images of samples need the token always,\n"
             "and --with-images.",
    .examples = "  lethe serve runs\n"
                "  lethe serve runs --port 0 --with-images --token-to-read\n"
                "  ssh -L 8737:localhost:8737 MACHINE  # then open the address that MACHINE printed\n",
    .opts_size = sizeof(struct opts),
    .groups = groups,
    .run = run,
    .check = serve,
    .print = print,
};
