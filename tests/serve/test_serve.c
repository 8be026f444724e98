// test_serve.c - which requests the dashboard answers, and that it refuses all others.
#include "serve_test.h"

static site here;

static int set_up(void **state)
{
    (void)state;
    site_open(&here, "#!/bin/sh\nexit 0\n");
    site_start(&here);
    site_add_run(&here, "base");
    site_add_run(&here, "study/part/base");
    site_write(here.root, "page.html", "<h1>report</h1>", 0644);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    site_close(&here);
    return 0;
}

// ---- parsers

static void targets_are_decoded_once(void **state)
{
    lti_target t;
    (void)state;
    assert_ok(lti_target_parse("/api/run?dir=a%2Fb%20c&empty=&flag", &t));
    assert_string_equal(t.path, "/api/run");
    assert_string_equal(lti_target_get(&t, "dir"), "a/b c");
    assert_string_equal(lti_target_get(&t, "empty"), "");
    assert_string_equal(lti_target_get(&t, "flag"), "");
    assert_null(lti_target_get(&t, "none"));
    assert_ok(lti_target_parse("/x?dir=%252e%252e%252f", &t));
    assert_string_equal(lti_target_get(&t, "dir"), "%2e%2e%2f");
    assert_ok(lti_target_parse("/x?dir=%C3%A4", &t));
    assert_string_equal(lti_target_get(&t, "dir"), "\xc3\xa4");
}

static void bad_targets_are_refused(void **state)
{
    static const char *const bad[] = {
        "",       "x",           "http://a/b", "*",          "/%",           "/%0",           "/%zz", "/%00",
        "/a%00b", "/x?d=%00",    "/a b",       "/a\tb",      "/\x7f",        "/\xc3\xa4",     "/%ff", "/%c3",
        "/%0a",   "/x?d=%0d%0a", "/#token=1",  "/x?a=1&a=2", "/x?%41=1&A=2", "/%C0%AE%C0%AE/"};
    lti_target t;
    char text[LTI_TARGET_MAX + 10];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        if (lti_target_parse(bad[i], &t) != LT_E_USAGE)
            fail_msg("target '%s' was accepted", bad[i]);
    memset(text, 'a', sizeof text);
    text[0] = '/';
    text[sizeof text - 1] = '\0';
    assert_fails(LT_E_USAGE, "longer than", lti_target_parse(text, &t));
    assert_fails(LT_E_USAGE, "more than 16", lti_target_parse("/?a&b&c&d&e&f&g&h&i&j&k&l&m&n&o&p&q", &t));
}

static void hosts_that_are_this_machine(void **state)
{
    static const char *const loopback[] = {"localhost",      "localhost:8737", "LOCALHOST:1", "127.0.0.1",
                                           "127.0.0.1:9000", "127.1.2.3",      "[::1]",       "[::1]:80"};
    static const char *const others[] = {"",
                                         "evil.example",
                                         "evil.example:8737",
                                         "localhost.evil.example",
                                         "127.0.0.1.evil.example",
                                         "localhost:",
                                         "localhost:80x",
                                         "[::1",
                                         "[::1]x",
                                         "::1",
                                         "localhost:80:80",
                                         "127.0.0.1@evil.example",
                                         "10.0.0.1",
                                         "[fe80::1]",
                                         "0.0.0.0",
                                         "2130706433"};
    (void)state;
    for (size_t i = 0; i < sizeof loopback / sizeof *loopback; i++)
        assert_true(lti_host_is_allowed(loopback[i], true, NULL));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (lti_host_is_allowed(others[i], true, NULL))
            fail_msg("host '%s' was accepted", others[i]);
    assert_false(lti_host_is_allowed(NULL, true, NULL));
    assert_true(lti_host_is_allowed("10.0.0.1:8737", false, NULL));
    assert_true(lti_host_is_allowed("[fe80::1]:8737", false, NULL));
    assert_false(lti_host_is_allowed("lab:8737", false, NULL));
    assert_true(lti_host_is_allowed("Lab:8737", false, "gpu.example,lab"));
    assert_false(lti_host_is_allowed("example", false, "gpu.example,lab"));
    assert_false(lti_host_is_allowed("gpu.example,lab", false, "gpu.example,lab"));
}

// ---- what is answered

static void pages_and_runs_are_sent(void **state)
{
    (void)state;
    assert_int_equal(site_get(&here, "/"), 200);
    assert_int_equal(here.r.policy, LTI_POLICY_PAGE);
    assert_non_null(memmem(here.r.fixed, here.r.n_bytes, "<!doctype html>", 15));
    assert_int_equal(site_get(&here, "/app.js"), 200);
    assert_int_equal(site_get(&here, "/api/runs"), 200);
    assert_true(site_says(&here, "\"dir\":\"base\"") && site_says(&here, "\"dir\":\"study/part/base\""));
    assert_false(site_says(&here, ".lethe"));
    assert_int_equal(site_get(&here, "/api/run?dir=study%2Fpart%2Fbase"), 200);
    assert_true(site_says(&here, "\"state\":\"done\"") && site_says(&here, "\"test_acc\":0.5"));
    assert_int_equal(site_get(&here, "/api/info"), 200);
    assert_int_equal(site_get(&here, "/api/methods"), 200);
    assert_int_equal(site_get(&here, "/api/queue"), 200);
    assert_int_equal(site_get(&here, "/api/reports"), 200);
    assert_true(site_says(&here, "\"page.html\""));
    assert_int_equal(site_get(&here, "/report?path=page.html"), 200);
    assert_int_equal(here.r.policy, LTI_POLICY_REPORT); // in a sandbox
    assert_true(site_says(&here, "<h1>report</h1>"));
}

static void nothing_below_or_beside_the_root_escapes(void **state)
{
    static const char *const names[] = {"..",
                                        "../secret.html",
                                        "base/../../secret.html",
                                        "./base",
                                        "base/.",
                                        "base//DONE",
                                        "/etc/passwd",
                                        "base/",
                                        "",
                                        "%2e%2e%2fsecret.html",
                                        "..%2fsecret.html",
                                        "%252e%252e%252fsecret.html",
                                        "..%5csecret.html",
                                        ".lethe/token",
                                        ".lethe%2Fqueue",
                                        "base/%2e%2e/%2e%2e/secret.html",
                                        "link.html",
                                        "links/secret.html",
                                        "link-dir",
                                        "-x",
                                        "%ef%bc%8e%ef%bc%8e/secret.html",
                                        "base%0a",
                                        "~root"};
    char target[400], path[700];
    (void)state;
    snprintf(path, sizeof path, "%s/link.html", here.root);
    assert_int_equal(symlink("../secret.html", path), 0);
    snprintf(path, sizeof path, "%s/links", here.root);
    assert_int_equal(symlink("..", path), 0);
    snprintf(path, sizeof path, "%s/link-dir", here.root);
    assert_int_equal(symlink("base", path), 0);
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        static const char *const ways[] = {"/api/run?dir=%s", "/report?path=%s", "/api/stream?dir=%s", "/%s",
                                           "/api/forgotten?dir=%s"};
        for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
            snprintf(target, sizeof target, ways[k], names[i]); // NOLINT(clang-diagnostic-format-nonliteral)
            const bool is_front = !strcmp(target, "/");
            if ((site_get(&here, target) == 200 && !is_front) || site_says(&here, "THE-SECRET"))
                fail_msg("%s was answered", target);
        }
    }
    assert_int_equal(site_get(&here, "/api/runs"), 200);
    assert_false(site_says(&here, "link"));
}

static void methods_must_fit(void **state)
{
    static const char *const methods[] = {"PUT",     "DELETE", "OPTIONS", "TRACE",   "PATCH",
                                          "CONNECT", "get",    "",        "PROPFIND"};
    (void)state;
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        assert_int_equal(
            site_ask(&here, &(lti_request){.method = methods[i], .target = "/api/queue", .host = "localhost"}), 405);
        assert_string_equal(here.r.allow, "GET, HEAD, POST");
    }
    assert_int_equal(site_ask(&here, &(lti_request){.method = "POST", .target = "/", .host = "localhost"}), 405);
    assert_int_equal(site_post(&here, "/api/runs", "{}"), 405);
    assert_int_equal(site_get(&here, "/api/queue/cancel"), 405);
    assert_int_equal(site_get(&here, "/nowhere"), 404);
    assert_int_equal(site_ask(&here, &(lti_request){.method = "HEAD", .target = "/api/runs", .host = "localhost"}),
                     200);
}

static void other_hosts_are_refused(void **state)
{
    (void)state;
    assert_int_equal(site_ask(&here, &(lti_request){.method = "GET", .target = "/", .host = "evil.example"}), 403);
    assert_int_equal(site_ask(&here, &(lti_request){.method = "GET", .target = "/"}), 400);
}

// ---- writing

static lti_request order(const char *body)
{
    return (lti_request){.method = "POST",
                         .target = "/api/queue",
                         .host = "localhost:8737",
                         .authorization = site_authorization(&here),
                         .content_type = "application/json",
                         .body = body,
                         .body_bytes = strlen(body)};
}

static void nothing_is_written_without_the_token(void **state)
{
    static const char *const wrong[] = {NULL,
                                        "",
                                        "Bearer",
                                        "Bearer ",
                                        "Bearer 0000000000000000000000000000000000000000000000000000000000000000",
                                        "Basic bGV0aGU6"};
    static const char *const targets[] = {"/api/queue",       "/api/queue/check",  "/api/queue/cancel",
                                          "/api/queue/again", "/api/queue/remove", "/api/session"};
    char cookie[LTI_COOKIE_MAX], long_token[200];
    (void)state;
    lti_token_cookie(&here.serve, cookie);
    *strchr(cookie, ';') = '\0';
    snprintf(long_token, sizeof long_token, "Bearer %s0", here.serve.token);
    for (size_t k = 0; k < sizeof targets / sizeof *targets; k++) {
        lti_request q = order("{\"kind\":\"train\",\"data\":\"synthetic\"}");
        q.target = targets[k];
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            q.authorization = wrong[i];
            assert_int_equal(site_ask(&here, &q), 401);
        }
        q.authorization = long_token;
        assert_int_equal(site_ask(&here, &q), 401);
        q.authorization = NULL;
        q.cookie = cookie; // reads only
        assert_int_equal(site_ask(&here, &q), 401);
    }
    assert_int_equal(here.serve.queue.n, 0);
}

static void other_origins_are_refused(void **state)
{
    static const char *const origins[] = {"http://evil.example",   "null",
                                          "http://localhost:9999", "https://localhost:8737.evil.example",
                                          "localhost:8737",        ""};
    static const char *const sites[] = {"cross-site", "same-site", "nonsense"};
    (void)state;
    for (size_t i = 0; i < sizeof origins / sizeof *origins; i++) {
        lti_request q = order("{}");
        q.origin = origins[i];
        assert_int_equal(site_ask(&here, &q), 403);
    }
    for (size_t i = 0; i < sizeof sites / sizeof *sites; i++) {
        lti_request q = order("{}");
        q.fetch_site = sites[i];
        assert_int_equal(site_ask(&here, &q), 403);
        q = (lti_request){.method = "GET", .target = "/api/runs", .host = "localhost:8737", .fetch_site = sites[i]};
        assert_int_equal(site_ask(&here, &q), 403);
    }
    lti_request q = order("{\"kind\":\"train\",\"data\":\"synthetic\",\"name\":\"own-origin\"}");
    q.origin = "http://localhost:8737";
    q.fetch_site = "same-origin";
    assert_int_equal(site_ask(&here, &q), 201);
}

static void bodies_must_be_json_objects(void **state)
{
    static const char *const bad[] = {
        "", "[]", "{", "null", "{\"kind\":\"train\",\"kind\":\"report\"}", "{} {}", "\xff", "{\"a\":\"\\u0000\"}"};
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        lti_request q = order(bad[i]);
        assert_int_equal(site_ask(&here, &q), 400);
    }
    lti_request q = order("{}");
    q.content_type = "text/plain"; // what a form of another page can send
    assert_int_equal(site_ask(&here, &q), 415);
}

static void orders_name_no_arguments(void **state)
{
    static const char *const bad[] = {
        "{\"kind\":\"shell\"}",
        "{}",
        "{\"kind\":\"train\"}",
        "{\"kind\":7}",
        "{\"kind\":\"train\",\"data\":\"synthetic\",\"name\":\"../x\"}",
        "{\"kind\":\"train\",\"data\":\"synthetic\",\"name\":\"a/b\"}",
        "{\"kind\":\"train\",\"data\":\"synthetic\",\"name\":\".hidden\"}",
        "{\"kind\":\"train\",\"data\":\"synthetic\",\"name\":\"-x\"}",
        "{\"kind\":\"train\",\"data\":\"synthetic\",\"options\":{\"out\":\"/tmp/x\"}}",
        "{\"kind\":\"train\",\"data\":\"synthetic\",\"options\":{\"lr\":\"fast\"}}",
        "{\"kind\":\"train\",\"data\":\"synthetic\",\"options\":{\"epochs\":-1}}",
        "{\"kind\":\"train\",\"data\":\"synthetic\",\"options\":{\"lr\":[1]}}",
        "{\"kind\":\"train\",\"data\":\"synthetic\",\"seed\":-1}",
        "{\"kind\":\"train\",\"data\":\"synthetic\",\"seed\":\"x\"}",
        "{\"kind\":\"report\",\"runs\":[]}",
        "{\"kind\":\"report\",\"runs\":[\"../runs/base\"]}",
        "{\"kind\":\"report\",\"runs\":[\"--help\"]}",
        "{\"kind\":\"report\",\"runs\":[7]}",
        "{\"kind\":\"report\",\"runs\":[\"base\"],\"with_images\":true}",
        "{\"kind\":\"unlearn\",\"run\":\"base\",\"method\":\"nothing\",\"forget_kind\":\"class\",\"forget\":\"1\"}",
        "{\"kind\":\"unlearn\",\"run\":\"base\",\"method\":\"ft\",\"forget_kind\":\"file\",\"forget\":\"/etc/passwd\"}",
        "{\"kind\":\"unlearn\",\"run\":\"base\",\"method\":\"ft\",\"forget_kind\":\"class\",\"forget\":\" \"}",
        "{\"kind\":\"unlearn\",\"run\":\"base\",\"method\":\"ft\",\"forget_kind\":\"class\",\"forget\":\"1,file:x\"}",
        "{\"kind\":\"unlearn\",\"run\":\"../base\",\"method\":\"ft\",\"forget_kind\":\"class\",\"forget\":\"1\"}"};
    const int before = here.serve.queue.n;
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const int code = site_post(&here, "/api/queue", bad[i]);
        if (code < 400 || code >= 500 || !site_says(&here, "\"message\":"))
            fail_msg("%s: %d", bad[i], code);
    }
    assert_int_equal(here.serve.queue.n, before);
    assert_int_equal(site_post(&here, "/api/queue",
                               "{\"kind\":\"train\",\"data\":\"synthetic\",\"name\":\"good\",\"seed\":3,\"options\":{"
                               "\"lr\":0.05,\"augment\":false}}"),
                     201);
    const lti_job *job = &here.serve.queue.job[here.serve.queue.n - 1];
    static const char *const expected[] = {"train",     "--data=synthetic", "--seed=3",
                                           "--lr=0.05", "--augment=false",  "--out=good"};
    assert_int_equal(job->n_args, 6);
    for (int i = 0; i < job->n_args; i++)
        assert_string_equal(job->arg[i], expected[i]);
    // the same name again, while the first waits
    assert_int_equal(site_post(&here, "/api/queue", "{\"kind\":\"train\",\"data\":\"synthetic\",\"name\":\"good\"}"),
                     409);
    assert_int_equal(site_post(&here, "/api/queue", "{\"kind\":\"train\",\"data\":\"synthetic\",\"name\":\"base\"}"),
                     409);
}

// ---- reading with a token

static void reading_may_need_the_token(void **state)
{
    char cookie[LTI_COOKIE_MAX], both[400];
    (void)state;
    here.serve.token_to_read = true;
    assert_int_equal(site_get(&here, "/"), 200); // shows nothing
    assert_int_equal(site_get(&here, "/api/runs"), 401);
    assert_int_equal(site_get(&here, "/api/stream"), 401);
    assert_int_equal(site_get(&here, "/report?path=page.html"), 401);
    lti_token_cookie(&here.serve, cookie);
    assert_non_null(strstr(cookie, "HttpOnly; SameSite=Strict"));
    assert_null(strstr(cookie, here.serve.token)); // who sees the cookie cannot write
    *strchr(cookie, ';') = '\0';
    snprintf(both, sizeof both, "other=1; %s; more=2", cookie);
    lti_request q = {.method = "GET", .target = "/api/runs", .host = "localhost", .cookie = both};
    assert_int_equal(site_ask(&here, &q), 200);
    cookie[strlen(cookie) - 1] ^= 1;
    q.cookie = cookie;
    assert_int_equal(site_ask(&here, &q), 401);
    q.cookie = NULL;
    q.authorization = site_authorization(&here);
    assert_int_equal(site_ask(&here, &q), 200);
    here.serve.token_to_read = false;
}

static void images_need_consent_and_the_token(void **state)
{
    (void)state;
    assert_int_equal(site_get(&here, "/api/forgotten?dir=base"), 401);
    lti_request q = {.method = "GET",
                     .target = "/api/forgotten?dir=base",
                     .host = "localhost",
                     .authorization = site_authorization(&here)};
    assert_int_equal(site_ask(&here, &q), 403);
    assert_true(site_says(&here, "--with-images"));
    here.serve.with_images = true;
    q.target = "/api/forgotten?dir=base&from=1x";
    assert_int_equal(site_ask(&here, &q), 400);
    here.serve.with_images = false;
}

static void the_token_is_private(void **state)
{
    struct stat st;
    char old[LTI_TOKEN_HEX];
    (void)state;
    assert_int_equal(stat(here.serve.token_file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    memcpy(old, here.serve.token, sizeof old);
    assert_ok(lti_token_open(&here.serve, false));
    assert_string_equal(here.serve.token, old);
    assert_int_equal(chmod(here.serve.token_file, 0644), 0); // somebody may have read it
    assert_ok(lti_token_open(&here.serve, false));
    assert_string_not_equal(here.serve.token, old);
    assert_int_equal(stat(here.serve.token_file, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    memcpy(old, here.serve.token, sizeof old);
    assert_ok(lti_token_open(&here.serve, true));
    assert_string_not_equal(here.serve.token, old);
}

// ---- streams

static char *read_stream(lti_stream *stream)
{
    static char text[8192];
    size_t n = 0, got;
    while ((got = lti_stream_read(stream, text + n, 100)) > 0 && n < sizeof text - 200)
        n += got;
    text[n] = '\0';
    return text;
}

static void streams_follow_a_run(void **state)
{
    char dir[700];
    lti_stream *stream;
    (void)state;
    site_add_run(&here, "live");
    snprintf(dir, sizeof dir, "%s/live", here.root);
    site_write(dir, "metrics.jsonl", "{\"epoch\": 1}\n{\"epo", 0644);
    assert_ok(lti_stream_open(&here.serve, dir, &stream));
    const char *text = read_stream(stream);
    assert_contains(text, "event: queue\n");
    assert_contains(text, "event: metric\ndata: {\"epoch\": 1}\n\n");
    assert_null(strstr(text, "{\"epo\n"));
    assert_contains(text, "event: state\ndata: \"done\"\n\n");
    assert_string_equal(read_stream(stream), "");
    site_write(dir, "metrics.jsonl", "{\"epoch\": 1}\n{\"epoch\": 2}\n{\"x\":\r\revent: evil}\n", 0644);
    text = read_stream(stream);
    assert_null(strstr(text, "\"epoch\": 1"));
    assert_contains(text, "data: {\"epoch\": 2}\n\n");
    assert_contains(text, "data: {\"x\":  event: evil}\n\n"); // one line stays one field
    site_write(dir, "progress.json", "{\"done\": 5}", 0644);
    assert_contains(read_stream(stream), "event: progress\ndata: {\"done\": 5}\n\n");
    assert_string_equal(read_stream(stream), "");
    lti_stream_close(stream);
}

static void streams_are_limited(void **state)
{
    enum { N = 101 };
    lti_stream *stream[N] = {NULL};
    int n = 0;
    (void)state;
    while (n < N && lti_stream_open(&here.serve, NULL, &stream[n]) == LT_OK)
        n++;
    assert_int_equal(n, N - 1);
    assert_int_equal(site_get(&here, "/api/stream"), 409);
    for (int i = 0; i < n; i++)
        lti_stream_close(stream[i]);
    assert_int_equal(site_get(&here, "/api/stream"), 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_are_decoded_once),
        cmocka_unit_test(bad_targets_are_refused),
        cmocka_unit_test(hosts_that_are_this_machine),
        cmocka_unit_test(pages_and_runs_are_sent),
        cmocka_unit_test(nothing_below_or_beside_the_root_escapes),
        cmocka_unit_test(methods_must_fit),
        cmocka_unit_test(other_hosts_are_refused),
        cmocka_unit_test(nothing_is_written_without_the_token),
        cmocka_unit_test(other_origins_are_refused),
        cmocka_unit_test(bodies_must_be_json_objects),
        cmocka_unit_test(orders_name_no_arguments),
        cmocka_unit_test(reading_may_need_the_token),
        cmocka_unit_test(images_need_consent_and_the_token),
        cmocka_unit_test(the_token_is_private),
        cmocka_unit_test(streams_follow_a_run),
        cmocka_unit_test(streams_are_limited),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
