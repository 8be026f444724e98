// fuzz_serve.c - arbitrary requests to the dashboard, without sockets: method, target, Host, Origin, Authorization,
// Cookie and content type are the first lines, the rest is the body. The token is not known here, so nothing may be
// queued, and no answer may hold files outside of the root.
#include "serve/serve_impl.h"
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static char dir[] = "/tmp/lethe-fuzz-serve.XXXXXX";
static lti_serve serve;
static char secret[17]; // differs in every process: no input can hold it

static void write_text(const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "w");
    if (!f || fputs(text, f) < 0 || fclose(f) != 0)
        abort();
}

static void clean_up(void)
{
    lti_serve_close(&serve);
    char text[300];
    snprintf(text, sizeof text, "rm -rf %s", dir);
    (void)!system(text); // NOLINT(cert-env33-c): a fixed command on a directory of our own
}

static void set_up(void)
{
    static lt_serve_cfg cfg;
    char root[256];
    if (!mkdtemp(dir))
        abort();
    lt_options_defaults(lt_serve_options, &cfg);
    snprintf(root, sizeof root, "%s/runs", dir);
    const lt_serve_spec spec = {.cfg = &cfg, .root = root, .command = "/bin/true"};
    if (lti_serve_open(&spec, &serve) != LT_OK || lt_make_dirs(dir) != LT_OK)
        abort();
    serve.is_loopback = true;
    memcpy(secret, serve.cookie, sizeof secret - 1);
    write_text("secret.html", secret);
    snprintf(root, sizeof root, "%s/runs/base", dir);
    if (lt_make_dirs(root) != LT_OK)
        abort();
    write_text("runs/base/env.json", "{\"verb\": \"train\"}");
    write_text("runs/page.html", "<h1>report</h1>");
    atexit(clean_up);
}

// Not memmem, whose arguments the fuzzer would learn.
static bool has_secret(const lti_response *r)
{
    const size_t n = sizeof secret - 1;
    for (size_t i = 0; r->body && i + n <= r->n_bytes; i++) {
        size_t k = 0;
        while (k < n && r->body[i + k] == secret[k])
            k++;
        if (k == n)
            return true;
    }
    return false;
}

static void check_target(const char *raw)
{
    lti_target t;
    if (lti_target_parse(raw, &t) != LT_OK)
        return;
    if (t.path[0] != '/' || strlen(t.path) > strlen(raw))
        abort();
    for (int i = 0; i < t.n; i++)
        if (lti_target_get(&t, t.key[i]) != t.value[i])
            abort();
    const char *place = lti_target_get(&t, "dir");
    if (place && lti_place_check(place) == LT_OK &&
        (place[0] == '/' || strstr(place, "..") == place || strstr(place, "/../")))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    enum { N_FIELDS = 7 };
    static bool ready;
    char *field[N_FIELDS], *text = malloc(n + 1), *p = text;
    if (!ready)
        set_up();
    ready = true;
    if (!text)
        return 0;
    memcpy(text, bytes, n);
    text[n] = '\0';
    for (int i = 0; i < N_FIELDS; i++) {
        field[i] = p;
        const size_t length = (size_t)(text + n - p) ? strcspn(p, "\n") : 0;
        p += length;
        if (*p == '\n')
            *p++ = '\0';
    }
    lti_response r;
    const lti_request q = {.method = field[0],
                           .target = field[1],
                           .host = *field[2] ? field[2] : NULL,
                           .origin = *field[3] ? field[3] : NULL,
                           .authorization = *field[4] ? field[4] : NULL,
                           .cookie = *field[5] ? field[5] : NULL,
                           .content_type = *field[6] ? field[6] : NULL,
                           .body = p,
                           .body_bytes = (size_t)(text + n - p)};
    check_target(field[1]);
    lti_route(&serve, &q, &r);
    if (r.code < 200 || r.code > 499 || !r.type || has_secret(&r))
        abort();
    if (serve.queue.n != 0 || r.code == 201)
        abort();
    lti_response_clear(&r);
    free(text);
    return 0;
}
