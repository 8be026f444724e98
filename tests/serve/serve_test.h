// serve_test.h - a server without sockets over a directory of its own, and requests to it.
#ifndef LETHE_SERVE_TEST_H
#define LETHE_SERVE_TEST_H
#include "lt_test.h"
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdlib.h>
#include <sys/stat.h>
#include "serve/serve_impl.h"

typedef struct site {
    char dir[256], root[300], command[300];
    lt_serve_cfg cfg;
    lti_serve serve;
    lti_response r; // the last answer
} site;

static inline int site_remove(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

static inline void site_write(const char *dir, const char *name, const char *text, mode_t mode)
{
    char path[1024];
    assert_true(snprintf(path, sizeof path, "%s/%s", dir, name) < (int)sizeof path);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    assert_int_equal(chmod(path, mode), 0);
}

// DIR/secret.txt and DIR/secret.html are outside of the root and must never be sent; DIR/command stands for `lethe`.
static inline void site_open(site *s, const char *command)
{
    memset(s, 0, sizeof *s);
    snprintf(s->dir, sizeof s->dir, "%s/lethe-serve.XXXXXX", lt_test_root());
    assert_non_null(mkdtemp(s->dir));
    snprintf(s->root, sizeof s->root, "%s/runs", s->dir);
    snprintf(s->command, sizeof s->command, "%s/command", s->dir);
    site_write(s->dir, "command", command, 0755);
    site_write(s->dir, "secret.html", "THE-SECRET", 0644);
    site_write(s->dir, "secret.txt", "THE-SECRET", 0644);
    lt_options_defaults(lt_serve_options, &s->cfg);
    s->cfg.port = 0;
}

static inline void site_start(site *s)
{
    const lt_serve_spec spec = {.cfg = &s->cfg, .root = s->root, .command = s->command};
    assert_ok(lti_serve_open(&spec, &s->serve));
    s->serve.is_loopback = true;
    s->serve.port = 8737;
}

static inline void site_close(site *s)
{
    lti_response_clear(&s->r);
    lti_serve_close(&s->serve);
    nftw(s->dir, site_remove, 16, FTW_DEPTH | FTW_PHYS);
}

// A finished run that holds no more than what makes it one.
static inline void site_add_run(const site *s, const char *name)
{
    char dir[700];
    snprintf(dir, sizeof dir, "%s/%s", s->root, name);
    assert_ok(lt_make_dirs(dir));
    site_write(dir, "env.json", "{\"verb\": \"train\", \"started\": \"2026-01-01T00:00:00Z\"}", 0644);
    site_write(dir, "result.json", "{\"test_acc\": 0.5, \"model\": \"resnet18\", \"data\": \"synthetic\"}", 0644);
    site_write(dir, "DONE", "{}", 0644);
}

static inline int site_ask(site *s, const lti_request *q)
{
    lti_response_clear(&s->r);
    lti_route(&s->serve, q, &s->r);
    return s->r.code;
}

static inline int site_get(site *s, const char *target)
{
    return site_ask(s, &(lti_request){.method = "GET", .target = target, .host = "localhost:8737"});
}

static inline const char *site_authorization(const site *s)
{
    static char text[100];
    snprintf(text, sizeof text, "Bearer %s", s->serve.token);
    return text;
}

static inline int site_post(site *s, const char *target, const char *body)
{
    return site_ask(s, &(lti_request){.method = "POST",
                                      .target = target,
                                      .host = "localhost:8737",
                                      .authorization = site_authorization(s),
                                      .content_type = "application/json",
                                      .body = body,
                                      .body_bytes = strlen(body)});
}

static inline bool site_says(const site *s, const char *text)
{
    return s->r.body && memmem(s->r.body, s->r.n_bytes, text, strlen(text));
}
#endif
