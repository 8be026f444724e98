// serve.h - the dashboard: a local web server over a directory of runs (docs/decisions/0017-dashboard.md).
//
// It shows what run directories hold, follows running ones, and starts `lethe` commands as processes, one after
// another. It computes nothing itself. Needs libmicrohttpd when the library is built; lt_server_is_available says
// whether it is there.
//
// Threads: one thread may use a server at a time, except that lt_interrupt on the flag of lt_server_wait may come from
// a signal handler or any thread. Requests are answered on threads of the server. One server per directory.
#ifndef LT_SERVE_H
#define LT_SERVE_H
#include "lethe/event.h"
#include "lethe/option.h"
LT_BEGIN

typedef struct lt_serve_cfg { // rows of lt_serve_options
    const char *listen;       // address; beyond loopback everybody who can reach it gets to the token check
    int32_t port;             // 0 = a free one
    const char *host_names;   // names, besides addresses, that requests may come for; separated by commas
    int32_t token_to_read;    // lt_auto: beyond loopback
    int32_t jobs;             // at once
    bool with_images, new_token;
} lt_serve_cfg;
LT_API extern const lt_option lt_serve_options[];

typedef struct lt_serve_spec {
    const lt_serve_cfg *cfg;
    const char *root;    // directory of runs; made when it is absent. ROOT/.lethe holds the token and the queue
    const char *command; // path of the `lethe` program that jobs are started with
    lt_events *events;   // warnings; may be NULL. Only used within lt_server_open
} lt_serve_spec;

typedef struct lt_server lt_server;

LT_API bool lt_server_is_available(void);   // whether this build has a web server
LT_API const char *lt_server_library(void); // "libmicrohttpd 0.9.75", or why there is none
// Listens, and starts or goes on with the queue. LT_E_UNSUPPORTED without libmicrohttpd, LT_E_BUSY when another server
// serves this directory or the port is taken, LT_E_USAGE for addresses that are none, LT_E_IO.
LT_API lt_status lt_server_open(const lt_serve_spec *spec, lt_server **server);
LT_API const char *lt_server_url(const lt_server *server); // with the token in its fragment: a secret
LT_API const char *lt_server_token_file(const lt_server *server);
LT_API int lt_server_port(const lt_server *server);
// Returns when *stop is raised.
LT_API void lt_server_wait(const lt_server *server, const lt_interrupt_flag *stop);
// Interrupts running jobs, waits until they have written their checkpoints (at most a minute), and puts them back into
// the queue. NULL is fine.
LT_API void lt_server_close(lt_server *server);

LT_END_DECLS
#endif
