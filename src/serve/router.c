// router.c - which request may reach which handler, and what comes back when it may not.
#include "serve_impl.h"
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef enum access { // what a request has to bring
    ACCESS_ANYBODY,   // the page itself, which shows nothing
    ACCESS_READ,      // the token, where reading needs one
    ACCESS_IMAGES,    // the token in any case
    ACCESS_WRITE,     // the token in a header, a JSON body, and the own origin
} access;

typedef struct route {
    const char *method, *path;
    access access;
    lti_handler *run;
} route;
static const route routes[] = {
    {"GET", "/api/info", ACCESS_READ, lti_get_info},
    {"GET", "/api/methods", ACCESS_READ, lti_get_methods},
    {"GET", "/api/runs", ACCESS_READ, lti_get_runs},
    {"GET", "/api/run", ACCESS_READ, lti_get_run},
    {"GET", "/api/stream", ACCESS_READ, lti_get_stream},
    {"GET", "/api/forgotten", ACCESS_IMAGES, lti_get_forgotten},
    {"GET", "/api/reports", ACCESS_READ, lti_get_reports},
    {"GET", "/report", ACCESS_READ, lti_get_report},
    {"GET", "/api/records", ACCESS_READ, lti_get_records},
    {"GET", "/api/record", ACCESS_READ, lti_get_one_record},
    {"GET", "/receipt", ACCESS_READ, lti_get_receipt},
    {"GET", "/api/queue", ACCESS_READ, lti_get_queue},
    {"GET", "/api/queue/log", ACCESS_READ, lti_get_job_log},
    {"POST", "/api/session", ACCESS_WRITE, lti_post_session},
    {"POST", "/api/queue", ACCESS_WRITE, lti_post_job},
    {"POST", "/api/queue/check", ACCESS_WRITE, lti_post_check},
    {"POST", "/api/queue/cancel", ACCESS_WRITE, lti_post_cancel},
    {"POST", "/api/queue/again", ACCESS_WRITE, lti_post_again},
    {"POST", "/api/queue/remove", ACCESS_WRITE, lti_post_remove},
};

void lti_response_clear(lti_response *r)
{
    free(r->body);
    lti_stream_close(r->stream);
    memset(r, 0, sizeof *r);
}

void lti_respond_json(lti_response *r, int code, json_t *value)
{
    char *text = value ? json_dumps(value, JSON_COMPACT | JSON_REAL_PRECISION(15)) : NULL;
    json_decref(value);
    free(r->body);
    r->body = text;
    r->code = text ? code : 500;
    r->type = "application/json";
    r->n_bytes = text ? strlen(text) : 0;
}

static int code_of(lt_status status)
{
    switch (status) {
    case LT_E_USAGE:
    case LT_E_SHAPE:
        return 400;
    case LT_E_INPUT:
        return 404;
    case LT_E_BUSY:
        return 409;
    case LT_E_FORMAT:
    case LT_E_INTEGRITY:
        return 422;
    default:
        return 500;
    }
}

void lti_respond_error(lti_response *r, int code)
{
    const lt_error *e = lt_error_get();
    const int chosen = code ? code : code_of(e->status);
    lti_respond_json(r, chosen,
                     json_pack("{s:{s:s, s:s, s:s}}", "error", "status", lt_status_text(e->status), "message",
                               e->message, "hint", e->hint));
    if (!r->body) // a message with bytes of another encoding
        lti_respond_json(r, chosen, json_pack("{s:{s:s}}", "error", "message", lt_status_text(e->status)));
    r->policy = LTI_POLICY_DATA;
}

static void refuse(lti_response *r, int code, const char *message)
{
    (void)LT_FAIL(LT_E_USAGE, "%s", message);
    lti_respond_error(r, code);
}

// ---- access

// "http://" and what the Host header says; https comes from a proxy that ends TLS.
static bool is_own_origin(const lti_request *q)
{
    static const char *const schemes[] = {"http://", "https://"};
    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        const size_t n = strlen(schemes[i]);
        if (!strncasecmp(q->origin, schemes[i], n) && !strcasecmp(q->origin + n, q->host))
            return true;
    }
    return false;
}

static bool comes_from_elsewhere(const lti_request *q)
{
    const bool is_foreign_site =
        q->fetch_site && strcmp(q->fetch_site, "same-origin") != 0 && strcmp(q->fetch_site, "none") != 0;
    return is_foreign_site || (q->origin && !is_own_origin(q));
}

static bool is_json(const char *type)
{
    static const char expected[] = "application/json";
    const size_t n = sizeof expected - 1;
    return type && !strncasecmp(type, expected, n) && (type[n] == '\0' || type[n] == ';' || type[n] == ' ');
}

// NULL when the request may pass; else what to say.
static const char *find_objection(const lti_serve *s, const lti_request *q, access need, int *code)
{
    const bool has_token = lti_token_is_sent(s, q);
    *code = 403;
    if (need == ACCESS_ANYBODY)
        return NULL;
    if (comes_from_elsewhere(q))
        return "this request comes from a page of another origin";
    *code = 401;
    if (need == ACCESS_WRITE && !has_token)
        return "the token is missing or wrong: open the address that `lethe serve` printed";
    if (need != ACCESS_WRITE && (need == ACCESS_IMAGES || s->token_to_read) && !has_token &&
        !lti_token_cookie_is_sent(s, q))
        return "reading needs the token: open the address that `lethe serve` printed";
    *code = 415;
    return need == ACCESS_WRITE && !is_json(q->content_type) ? "expected a body of type application/json" : NULL;
}

// ---- one request

static const lti_asset *find_asset(const char *path)
{
    const char *name = !strcmp(path, "/") ? "/index.html" : path;
    for (const lti_asset *a = lti_assets; a->path; a++)
        if (!strcmp(a->path, name))
            return a;
    return NULL;
}

static void send_asset(const lti_asset *a, lti_response *r)
{
    r->code = 200;
    r->type = a->type;
    r->policy = LTI_POLICY_PAGE;
    r->fixed = a->bytes;
    r->n_bytes = a->n_bytes;
}

static void run_route(lti_serve *s, const route *found, const lti_target *t, const lti_request *q, lti_response *r)
{
    json_t *body = NULL;
    json_error_t error;
    int code;
    const char *objection = find_objection(s, q, found->access, &code);
    if (objection) {
        refuse(r, code, objection);
        return;
    }
    if (found->access == ACCESS_WRITE) {
        body = json_loadb(q->body ? q->body : "", q->body_bytes, JSON_REJECT_DUPLICATES, &error);
        if (!json_is_object(body)) {
            json_decref(body);
            refuse(r, 400, "expected a body that is one JSON object");
            return;
        }
    }
    if (found->run(s, t, body, r) != LT_OK)
        lti_respond_error(r, 0);
    json_decref(body);
}

static void find_route(lti_serve *s, const lti_target *t, const lti_request *q, lti_response *r)
{
    const bool is_head = !strcmp(q->method, "HEAD");
    const char *method = is_head ? "GET" : q->method;
    const lti_asset *asset = find_asset(t->path);
    const char *allow = asset ? "GET, HEAD" : NULL;
    if (asset && !strcmp(method, "GET")) {
        send_asset(asset, r);
        return;
    }
    for (size_t i = 0; i < sizeof routes / sizeof *routes; i++) {
        if (strcmp(routes[i].path, t->path) != 0)
            continue;
        const bool reads = routes[i].access != ACCESS_WRITE;
        if (!strcmp(routes[i].method, method) && !(is_head && routes[i].run == lti_get_stream)) {
            run_route(s, &routes[i], t, q, r);
            return;
        }
        allow = allow ? "GET, HEAD, POST" : reads ? "GET, HEAD" : "POST";
    }
    refuse(r, allow ? 405 : 404, allow ? "this address does not take this method" : "no such address");
    r->allow = allow;
}

void lti_route(lti_serve *s, const lti_request *q, lti_response *r)
{
    lti_target target;
    lt_error_clear();
    memset(r, 0, sizeof *r);
    if (!lti_host_is_allowed(q->host, s->is_loopback, s->host_names))
        refuse(r, q->host ? 403 : 400, "the Host header names another machine (lethe serve --host-names adds names)");
    else if (lti_target_parse(q->target, &target) != LT_OK)
        lti_respond_error(r, 400);
    else
        find_route(s, &target, q, r);
}
