// http.c - HTTP by libmicrohttpd: a few threads, limits on everything, and streams that wait without a thread.
#include "lethe/serve.h"
#ifdef LETHE_HAVE_MICROHTTPD
#include "serve_impl.h"
#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    N_THREADS = 4,
    MAX_CONNECTIONS = 200,
    CONNECTION_BYTES = 32 << 10, // memory of one: bounds the headers
    TIMEOUT_S = 30,              // without a byte
    REQUEST_S = 20,              // from the connection, or the last answer, to a whole request
    STREAM_BLOCK = 8192,
    WAKE_MS = 500,
};

typedef struct peer { // one connection
    struct peer *next;
    struct MHD_Connection *connection;
    int fd;
    double waits_since; // for a request; 0 = one is being answered
    bool is_suspended;
    struct call *call; // the request on its way; of the thread that serves the connection
} peer;

struct lt_server {
    lti_serve serve;
    struct MHD_Daemon *daemon;
    pthread_mutex_t mutex; // of peers and closing
    pthread_cond_t ends;
    pthread_t waker;
    bool has_waker, closing;
    peer *peers;
    char url[512];
};

typedef struct call { // one request
    char *target;
    bool began, too_large;
    char *body;
    size_t n_body;
    peer *from;
} call;

typedef struct live { // a stream on its way
    lt_server *server;
    lti_stream *stream;
    peer *to;
} live;

static void free_call(call *c)
{
    if (!c)
        return;
    free(c->target);
    free(c->body);
    free(c);
}

static double now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool lt_server_is_available(void)
{
    return true;
}

const char *lt_server_library(void)
{
    static _Thread_local char text[64];
    snprintf(text, sizeof text, "libmicrohttpd %s", MHD_get_version());
    return text;
}

// ---- connections

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code)
{
    lt_server *server = cls;
    pthread_mutex_lock(&server->mutex);
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        peer *p = calloc(1, sizeof *p);
        if (p && info) {
            *p =
                (peer){.next = server->peers, .connection = connection, .fd = info->connect_fd, .waits_since = now_s()};
            server->peers = p;
            *context = p;
        } else {
            free(p);
        }
    } else {
        peer **at = &server->peers;
        while (*at && *at != *context)
            at = &(*at)->next;
        peer *gone = *at;
        if (gone)
            *at = gone->next;
        if (gone)
            free_call(gone->call); // of a request whose headers never ended
        free(gone);
        *context = NULL;
    }
    pthread_mutex_unlock(&server->mutex);
}

static peer *peer_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void set_waiting(lt_server *server, peer *p, double since)
{
    pthread_mutex_lock(&server->mutex);
    if (p)
        p->waits_since = since;
    pthread_mutex_unlock(&server->mutex);
}

// Wakes streams, and ends connections that have not said in time what they want.
static void *wake(void *arg)
{
    lt_server *server = arg;
    pthread_mutex_lock(&server->mutex);
    while (!server->closing) {
        struct timespec until;
        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += WAKE_MS * 1000000L;
        until.tv_sec += until.tv_nsec / 1000000000;
        until.tv_nsec %= 1000000000;
        pthread_cond_timedwait(&server->ends, &server->mutex, &until);
        const double now = now_s();
        for (peer *p = server->peers; p; p = p->next) {
            if (p->is_suspended) {
                p->is_suspended = false;
                MHD_resume_connection(p->connection);
            } else if (p->waits_since > 0 && now - p->waits_since > REQUEST_S) {
                p->waits_since = 0;
                shutdown(p->fd, SHUT_RDWR);
            }
        }
    }
    pthread_mutex_unlock(&server->mutex);
    return NULL;
}

// ---- streams

static ssize_t read_live(void *cls, uint64_t at, char *out, size_t max)
{
    live *l = cls;
    (void)at;
    pthread_mutex_lock(&l->server->mutex);
    const bool closing = l->server->closing;
    pthread_mutex_unlock(&l->server->mutex);
    if (closing)
        return MHD_CONTENT_READER_END_OF_STREAM;
    const size_t n = lti_stream_read(l->stream, out, max);
    if (n > 0)
        return (ssize_t)n;
    pthread_mutex_lock(&l->server->mutex);
    if (!l->server->closing) {
        l->to->is_suspended = true;
        MHD_suspend_connection(l->to->connection);
    }
    pthread_mutex_unlock(&l->server->mutex);
    return 0;
}

static void close_live(void *cls)
{
    live *l = cls;
    lti_stream_close(l->stream);
    free(l);
}

// ---- responses

static void add_headers(struct MHD_Response *answer, const lti_response *r)
{
    static const char *const policies[] = {
        [LTI_POLICY_DATA] = "default-src 'none'; frame-ancestors 'none'; sandbox",
        [LTI_POLICY_PAGE] =
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
        [LTI_POLICY_REPORT] = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
                              "form-action 'none'; frame-ancestors 'none'; sandbox"};
    MHD_add_response_header(answer, "Content-Type", r->type);
    MHD_add_response_header(answer, "Content-Security-Policy", policies[r->policy]);
    MHD_add_response_header(answer, "X-Content-Type-Options", "nosniff");
    MHD_add_response_header(answer, "X-Frame-Options", "DENY");
    MHD_add_response_header(answer, "Referrer-Policy", "no-referrer");
    MHD_add_response_header(answer, "Cross-Origin-Resource-Policy", "same-origin");
    MHD_add_response_header(answer, "Cross-Origin-Opener-Policy", "same-origin");
    MHD_add_response_header(answer, "Cache-Control", "no-store");
    if (r->cookie[0])
        MHD_add_response_header(answer, "Set-Cookie", r->cookie);
    if (r->allow)
        MHD_add_response_header(answer, "Allow", r->allow);
    if (r->code == 401)
        MHD_add_response_header(answer, "WWW-Authenticate", "Bearer");
}

static struct MHD_Response *make_response(lt_server *server, peer *to, lti_response *r)
{
    if (r->stream) {
        live *l = calloc(1, sizeof *l);
        if (!l || !to) {
            free(l);
            return NULL;
        }
        *l = (live){.server = server, .stream = r->stream, .to = to};
        r->stream = NULL;
        return MHD_create_response_from_callback(MHD_SIZE_UNKNOWN, STREAM_BLOCK, read_live, l, close_live);
    }
    if (r->fixed)
        return MHD_create_response_from_buffer(r->n_bytes, (void *)r->fixed, MHD_RESPMEM_PERSISTENT);
    char *body = r->body;
    r->body = NULL;
    return MHD_create_response_from_buffer(r->n_bytes, body ? body : (void *)"",
                                           body ? MHD_RESPMEM_MUST_FREE : MHD_RESPMEM_PERSISTENT);
}

static enum MHD_Result send_response(lt_server *server, struct MHD_Connection *connection, lti_response *r)
{
    struct MHD_Response *answer = make_response(server, peer_of(connection), r);
    enum MHD_Result result = MHD_NO;
    if (answer) {
        add_headers(answer, r);
        if (r->code == 413)
            MHD_add_response_header(answer, "Connection", "close");
        result = MHD_queue_response(connection, (unsigned)r->code, answer);
        MHD_destroy_response(answer);
    }
    lti_response_clear(r);
    return result;
}

static enum MHD_Result refuse_body(lt_server *server, struct MHD_Connection *connection)
{
    lti_response r = {0};
    (void)LT_FAIL(LT_E_USAGE, "the body is longer than %d bytes", LTI_BODY_MAX);
    lti_respond_error(&r, 413);
    return send_response(server, connection, &r);
}

// ---- requests

// The target is known before the headers are. A request that ends before they do is not passed to `end`, so the
// connection keeps it as well.
static void *begin(void *cls, const char *uri, struct MHD_Connection *connection)
{
    peer *p = peer_of(connection);
    call *c = p ? calloc(1, sizeof *c) : NULL;
    (void)cls;
    if (!c)
        return NULL;
    c->target = strdup(uri);
    c->from = p;
    free_call(p->call);
    p->call = c;
    return c;
}

static void end(void *cls, struct MHD_Connection *connection, void **context, enum MHD_RequestTerminationCode code)
{
    peer *p = peer_of(connection);
    (void)code;
    set_waiting(cls, p, now_s());
    if (p && p->call == *context)
        p->call = NULL;
    free_call(*context);
    *context = NULL;
}

static bool take_body(call *c, const char *bytes, size_t n)
{
    if (c->too_large || n > LTI_BODY_MAX || c->n_body > LTI_BODY_MAX - n) {
        c->too_large = true;
        return true;
    }
    char *more = realloc(c->body, c->n_body + n);
    if (!more)
        return false;
    memcpy(more + c->n_body, bytes, n);
    c->body = more;
    c->n_body += n;
    return true;
}

static enum MHD_Result count_hosts(void *cls, enum MHD_ValueKind kind, const char *key, const char *value)
{
    int *n = cls;
    (void)kind;
    (void)value;
    *n += !strcasecmp(key, "Host");
    return MHD_YES;
}

static bool is_announced_too_large(struct MHD_Connection *connection)
{
    const char *length = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Content-Length");
    return length && strtoull(length, NULL, 10) > LTI_BODY_MAX;
}

static enum MHD_Result answer_call(lt_server *server, struct MHD_Connection *connection, const char *method, call *c)
{
    lti_response r;
    int n_hosts = 0;
    MHD_get_connection_values(connection, MHD_HEADER_KIND, count_hosts, &n_hosts);
    lti_request q = {.method = method, .target = c->target ? c->target : "", .body = c->body, .body_bytes = c->n_body};
    const struct {
        const char *name, **to;
    } headers[] = {{"Host", &q.host},
                   {"Origin", &q.origin},
                   {"Sec-Fetch-Site", &q.fetch_site},
                   {"Authorization", &q.authorization},
                   {"Cookie", &q.cookie},
                   {"Content-Type", &q.content_type}};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++)
        *headers[i].to = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, headers[i].name);
    if (n_hosts != 1)
        q.host = NULL; // none, or several that different readers would read differently
    lti_route(&server->serve, &q, &r);
    return send_response(server, connection, &r);
}

static enum MHD_Result on_request(void *cls, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *n_data, void **context)
{
    lt_server *server = cls;
    call *c = *context;
    (void)url; // decoded by the library: ours is decoded once, by lti_target_parse
    (void)version;
    if (!c)
        return MHD_NO;
    if (!c->began) {
        c->began = true;
        return is_announced_too_large(connection) ? refuse_body(server, connection) : MHD_YES;
    }
    if (*n_data > 0) {
        const bool ok = take_body(c, data, *n_data);
        *n_data = 0;
        return ok ? MHD_YES : MHD_NO;
    }
    set_waiting(server, c->from, 0);
    return c->too_large ? refuse_body(server, connection) : answer_call(server, connection, method, c);
}

// ---- opening

typedef union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
} address;

static lt_status parse_address(const lt_serve_cfg *cfg, address *a, bool *is_loopback)
{
    memset(a, 0, sizeof *a);
    if (inet_pton(AF_INET, cfg->listen, &a->v4.sin_addr) == 1) {
        a->v4.sin_family = AF_INET;
        a->v4.sin_port = htons((uint16_t)cfg->port);
        *is_loopback = (ntohl(a->v4.sin_addr.s_addr) >> 24) == 127;
        return LT_OK;
    }
    if (inet_pton(AF_INET6, cfg->listen, &a->v6.sin6_addr) == 1) {
        a->v6.sin6_family = AF_INET6;
        a->v6.sin6_port = htons((uint16_t)cfg->port);
        *is_loopback = IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
        return LT_OK;
    }
    (void)LT_FAIL(LT_E_USAGE, "--listen: expected an address, found '%.60s'", cfg->listen);
    return lt_error_hint("127.0.0.1 is this machine alone, 0.0.0.0 every network");
}

static lt_status start_daemon(lt_server *server, const lt_serve_cfg *cfg, address *a)
{
    const unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME |
                           (a->any.sa_family == AF_INET6 ? (unsigned)MHD_USE_IPv6 : 0);
    errno = 0;
    server->daemon = MHD_start_daemon(
        flags, (uint16_t)cfg->port, NULL, NULL, on_request, server, MHD_OPTION_SOCK_ADDR, &a->any,
        MHD_OPTION_THREAD_POOL_SIZE, (unsigned)N_THREADS, MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_BYTES, MHD_OPTION_CONNECTION_TIMEOUT,
        (unsigned)TIMEOUT_S, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_URI_LOG_CALLBACK, begin, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, end, server, MHD_OPTION_NOTIFY_CONNECTION, on_connection, server, MHD_OPTION_END);
    if (server->daemon)
        return LT_OK;
    const int error = errno;
    (void)LT_FAIL(error == EADDRINUSE ? LT_E_BUSY : LT_E_IO, "%s port %d: %s", cfg->listen, (int)cfg->port,
                  error ? strerror(error) : "cannot listen");
    return lt_error_hint("--port 0 takes a free port");
}

static lt_status start(lt_server *server, const lt_serve_spec *spec)
{
    address a;
    LT_TRY(parse_address(spec->cfg, &a, &server->serve.is_loopback));
    server->serve.token_to_read =
        spec->cfg->token_to_read == LT_YES || (spec->cfg->token_to_read == LT_AUTO && !server->serve.is_loopback);
    LT_TRY(start_daemon(server, spec->cfg, &a));
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(server->daemon, MHD_DAEMON_INFO_BIND_PORT);
    server->serve.port = info && info->port ? info->port : spec->cfg->port;
    const bool v6 = a.any.sa_family == AF_INET6;
    snprintf(server->url, sizeof server->url, "http://%s%s%s:%d/#token=%s", v6 ? "[" : "", spec->cfg->listen,
             v6 ? "]" : "", server->serve.port, server->serve.token);
    if (!server->serve.is_loopback)
        lt_warn(spec->events, "serve.open",
                "%s: everybody on that network can reach this server, and nothing is encrypted; prefer ssh -L",
                spec->cfg->listen);
    if (pthread_create(&server->waker, NULL, wake, server) != 0)
        return LT_FAIL(LT_E_FAIL, "a thread cannot be started");
    server->has_waker = true;
    return lti_queue_start(&server->serve.queue);
}

lt_status lt_server_open(const lt_serve_spec *spec, lt_server **server)
{
    *server = NULL;
    lt_server *made = calloc(1, sizeof *made);
    if (!made)
        return LT_FAIL(LT_E_NOMEM, "out of memory: server");
    lt_status status = lti_serve_open(spec, &made->serve);
    if (status != LT_OK) {
        free(made);
        return status;
    }
    pthread_mutex_init(&made->mutex, NULL);
    pthread_cond_init(&made->ends, NULL);
    status = start(made, spec);
    if (status == LT_OK)
        *server = made;
    else
        lt_server_close(made);
    return status;
}

const char *lt_server_url(const lt_server *server)
{
    return server->url;
}

const char *lt_server_token_file(const lt_server *server)
{
    return server->serve.token_file;
}

int lt_server_port(const lt_server *server)
{
    return server->serve.port;
}

void lt_server_wait(const lt_server *server, const lt_interrupt_flag *stop)
{
    const struct timespec short_while = {.tv_nsec = 100000000};
    (void)server;
    while (!lt_interrupted(stop))
        nanosleep(&short_while, NULL); // a signal ends it early
}

void lt_server_close(lt_server *server)
{
    if (!server)
        return;
    pthread_mutex_lock(&server->mutex);
    server->closing = true;
    pthread_cond_broadcast(&server->ends);
    for (peer *p = server->peers; p; p = p->next)
        if (p->is_suspended) {
            p->is_suspended = false;
            MHD_resume_connection(p->connection);
        }
    pthread_mutex_unlock(&server->mutex);
    if (server->has_waker)
        pthread_join(server->waker, NULL);
    if (server->daemon)
        MHD_stop_daemon(server->daemon);
    lti_serve_close(&server->serve);
    pthread_cond_destroy(&server->ends);
    pthread_mutex_destroy(&server->mutex);
    free(server);
}
#endif
