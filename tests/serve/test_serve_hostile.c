// test_serve_hostile.c - a real server on a socket, and clients that mean harm: 1,000 requests made of traversals, bad
// escapes, forged hosts, origins and tokens, wrong lengths, garbage, and mutated orders. After all of them it serves as
// before, has sent nothing from outside its root, and has queued nothing for those who had no token.
#include "serve_test.h"
#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/socket.h>

enum { N_REQUESTS = 1000, MAX_BYTES = 1 << 18 };

static site here;
static lt_server *server;
static uint64_t draws;
static char answer[MAX_BYTES];
static int patience_ms = 2000; // for an answer

static uint32_t draw(uint32_t n) // 0..n-1, the same in every run
{
    draws = draws * 6364136223846793005U + 1442695040888963407U;
    return (uint32_t)(draws >> 33) % n;
}

#define PICK(list) (list)[draw(sizeof(list) / sizeof *(list))]

static int set_up(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    site_open(&here, "#!/bin/sh\nexit 0\n");
    const lt_serve_spec spec = {.cfg = &here.cfg, .root = here.root, .command = here.command};
    assert_ok(lt_server_open(&spec, &server));
    site_add_run(&here, "base");
    site_write(here.root, "page.html", "<h1>report</h1>", 0644);
    draws = 22;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lt_server_close(server);
    nftw(here.dir, site_remove, 16, FTW_DEPTH | FTW_PHYS);
    return 0;
}

static int connect_to(void)
{
    const struct sockaddr_in to = {.sin_family = AF_INET,
                                   .sin_port = htons((uint16_t)lt_server_port(server)),
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&to, sizeof to), 0);
    return fd;
}

// Sends all of it, hangs up its side, and reads what comes in time. Returns the status, 0 = none.
static int talk(const char *bytes, size_t n)
{
    const int fd = connect_to();
    size_t got = 0;
    for (size_t at = 0; at < n;) {
        const ssize_t sent = send(fd, bytes + at, n - at, MSG_NOSIGNAL);
        if (sent <= 0)
            break; // refused in the middle: fine
        at += (size_t)sent;
    }
    shutdown(fd, SHUT_WR);
    struct pollfd p = {.fd = fd, .events = POLLIN};
    while (got < sizeof answer - 1 && poll(&p, 1, patience_ms) == 1) {
        const ssize_t more = recv(fd, answer + got, sizeof answer - 1 - got, 0);
        if (more <= 0)
            break;
        got += (size_t)more;
        answer[got] = '\0';
        if (strstr(answer, "text/event-stream")) // has no end
            break;
    }
    answer[got] = '\0';
    close(fd);
    return strncmp(answer, "HTTP/1.1 ", 9) ? 0 : (int)strtol(answer + 9, NULL, 10);
}

static int ask(const char *fmt, ...) LT_PRINTF(1, 2);
static int ask(const char *fmt, ...)
{
    static char text[1 << 17];
    va_list args;
    va_start(args, fmt);
    const int n = vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    return talk(text, n < (int)sizeof text ? (size_t)n : sizeof text - 1);
}

static const char *token_of(void)
{
    return strstr(lt_server_url(server), "token=") + 6;
}

static bool serves(void)
{
    return ask("GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n") == 200;
}

static int count_jobs(void)
{
    int n = 0;
    assert_int_equal(ask("GET /api/queue HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"), 200);
    for (const char *p = answer; (p = strstr(p, "\"place\":")) != NULL; p++)
        n++;
    return n;
}

static const char *const escapes[] = {"..",
                                      "../secret.txt",
                                      "%2e%2e/secret.txt",
                                      "..%2fsecret.html",
                                      "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
                                      "%252e%252e%252fsecret.html",
                                      "....//secret.html",
                                      "..;/secret.html",
                                      "..\\secret.html",
                                      "%5c..%5csecret.html",
                                      "%c0%ae%c0%ae/secret.html",
                                      "%00",
                                      "base%00.html",
                                      "/etc/passwd",
                                      "file:///etc/passwd",
                                      ".lethe/token",
                                      ".lethe%2ftoken",
                                      "base/../.lethe/token",
                                      "%",
                                      "%zz",
                                      "%u002e",
                                      "~",
                                      "base%0d%0aX:1",
                                      "<script>alert(1)</script>",
                                      "' OR 1=1 --",
                                      "$(reboot)",
                                      "`id`",
                                      "{{7*7}}",
                                      "base/../../secret.html",
                                      "\xff\xfe",
                                      "page.html/../../secret.html"};
static const char *const places[] = {"/",
                                     "/api/run?dir=",
                                     "/report?path=",
                                     "/api/stream?dir=",
                                     "/api/queue/log?id=",
                                     "/api/forgotten?dir=",
                                     "/api/",
                                     "/static/",
                                     "//",
                                     "/?"};
static const char *const hosts[] = {
    "evil.example", "localhost.evil.example", "127.0.0.1.nip.io", "", "localhost:80:80", "[::1", "0",
    "10.0.0.1",     "169.254.169.254",        "localhost\tx"};
static const char *const writes[] = {"/api/queue",       "/api/queue/check",  "/api/queue/cancel",
                                     "/api/queue/again", "/api/queue/remove", "/api/session"};
static const char *const verbs[] = {"GET",
                                    "POST",
                                    "PUT",
                                    "DELETE",
                                    "OPTIONS",
                                    "TRACE",
                                    "CONNECT",
                                    "PATCH",
                                    "HEAD",
                                    "PROPFIND",
                                    "get",
                                    "\x01",
                                    "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"};

// Each returns the status it got; those that must not succeed say so themselves.

static int hostile_place(void)
{
    return ask("%s %s%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", draw(4) ? "GET" : PICK(verbs),
               PICK(places), PICK(escapes));
}

static int hostile_host(void)
{
    const int code = ask("GET %s%s HTTP/1.1\r\nHost: %s\r\n%sConnection: close\r\n\r\n", PICK(places),
                         draw(2) ? "base" : "", PICK(hosts), draw(3) ? "" : "Host: localhost\r\n");
    assert_true(code == 0 || code >= 400);
    return code;
}

static int hostile_write(void)
{
    static const char body[] = "{\"kind\":\"train\",\"data\":\"synthetic\"}";
    static const char *const forged[] = {
        "", "Authorization: Bearer x\r\n", "Authorization: Basic eA==\r\n", "Cookie: lethe-read-8737=0; token=1\r\n",
        "Authorization: Bearer 0000000000000000000000000000000000000000000000000000000000000000\r\n"};
    const int code = ask("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n%sContent-Length: "
                         "%zu\r\nConnection: close\r\n\r\n%s",
                         PICK(writes), PICK(forged), sizeof body - 1, body);
    assert_int_equal(code, 401);
    return code;
}

// The token is right, but another page had the browser send it.
static int hostile_origin(void)
{
    static const char *const origins[] = {"Origin: http://evil.example", "Origin: null", "Sec-Fetch-Site: cross-site",
                                          "Sec-Fetch-Site: same-site", "Origin: http://localhost.evil.example"};
    const int code = ask("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: "
                         "Bearer %s\r\n%s\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
                         PICK(writes), token_of(), PICK(origins));
    assert_int_equal(code, 403);
    return code;
}

static int hostile_length(void)
{
    static const char *const lengths[] = {"-1",   "99999999999999999999", "65537", "1e9", "0x10", "",
                                          "5, 5", "18446744073709551615", "+3"};
    return ask("POST %s HTTP/1.1\r\nHost: localhost\r\n%sContent-Length: %s\r\nConnection: close\r\n\r\n%s",
               PICK(writes), draw(3) ? "" : "Transfer-Encoding: chunked\r\n", PICK(lengths),
               draw(2) ? "{}" : "ffffffffffffffff\r\n{}");
}

static int hostile_headers(void)
{
    static char text[1 << 17];
    size_t n = (size_t)snprintf(text, sizeof text, "GET / HTTP/1.1\r\nHost: localhost\r\n");
    const size_t length = 1 + draw(60000);
    if (draw(2)) { // one long header
        n += (size_t)snprintf(text + n, sizeof text - n, "X: ");
        memset(text + n, 'a' + (int)draw(26), length);
        n += length;
    } else {
        for (size_t i = 0; i < length / 20; i++)
            n += (size_t)snprintf(text + n, sizeof text - n, "X-%zu: %08x\r\n", i, draw(1u << 30));
    }
    n += (size_t)snprintf(text + n, sizeof text - n, "\r\n\r\n");
    return talk(text, n);
}

static int hostile_target(void)
{
    static char long_target[1 << 16];
    const size_t n = 1 + draw(sizeof long_target - 2);
    for (size_t i = 0; i < n; i++)
        long_target[i] = "a/.%&=?"[draw(7)];
    long_target[n] = '\0';
    return ask("GET /%s HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", long_target);
}

static int hostile_bytes(void)
{
    static char text[4096];
    const size_t n = 1 + draw(sizeof text - 1);
    for (size_t i = 0; i < n; i++)
        text[i] = (char)draw(256);
    if (draw(2))
        memcpy(text, "GET / HTTP/1.1\r\n", n < 16 ? n : 16);
    return talk(text, n);
}

// The token is right: orders with a byte changed, and nested ones.
static int hostile_order(void)
{
    static const char *const bodies[] = {
        "{\"kind\":\"unlearn\",\"run\":\"base\",\"method\":\"ft\",\"forget_kind\":\"list\",\"forget\":\"1\\n2\"}",
        "{\"kind\":\"report\",\"runs\":[\"../secret\",\"base\"],\"name\":\"x\"}",
        "{\"id\":99999999999}",
        "{\"id\":-1}",
        "{\"kind\":\"train\",\"data\":\"../../\",\"name\":\"../x\",\"options\":{\"epochs\":1}}",
        "[[[[[[[[[[[[[[[[[[[[[[[[",
        "{\"kind\":{\"a\":[1,2,{}]}}"};
    char body[600];
    snprintf(body, sizeof body, "%s", PICK(bodies));
    const size_t n = strlen(body);
    for (uint32_t i = draw(4); i > 0; i--)
        body[draw((uint32_t)n)] = (char)(1 + draw(255));
    return ask("POST %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nAuthorization: Bearer "
               "%s\r\nContent-Length: %zu\r\nConnection: close\r\n\r\n%s",
               PICK(writes), token_of(), strlen(body), body);
}

static void a_thousand_hostile_requests(void **state)
{
    static int (*const kinds[])(void) = {hostile_place,   hostile_host,   hostile_write, hostile_origin, hostile_length,
                                         hostile_headers, hostile_target, hostile_bytes, hostile_order};
    int answered = 0;
    (void)state;
    assert_true(serves());
    for (int i = 0; i < N_REQUESTS; i++) {
        const size_t kind = draw(sizeof kinds / sizeof *kinds);
        const bool may_be_silent = kinds[kind] == hostile_headers || kinds[kind] == hostile_target ||
                                   kinds[kind] == hostile_bytes || kinds[kind] == hostile_length;
        const int before = kinds[kind] == hostile_order ? -1 : count_jobs();
        patience_ms = may_be_silent ? 15 : 2000; // these may be dropped, or left to the limit of time
        const int code = kinds[kind]();
        patience_ms = 2000;
        if (code == 500 || strstr(answer, "THE-SECRET") || strstr(answer, "root:x:"))
            fail_msg("request %d of kind %zu was answered with: %.300s", i, kind, answer);
        answered += code > 0;
        if (before >= 0)
            assert_int_equal(count_jobs(), before);
    }
    assert_true(serves());
    assert_true(answered > N_REQUESTS / 2); // most are refused in words, not by silence
}

// Clients that say nothing, or stop in the middle, do not keep others out.
static void silent_clients_hold_nobody_up(void **state)
{
    enum { N = 60 };
    static const char *const starts[] = {"", "G", "GET / HTTP/1.1\r\nHost: loc",
                                         "POST /api/queue HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{",
                                         "GET /api/stream HTTP/1.1\r\nHost: localhost\r\n\r\n"};
    int fd[N];
    (void)state;
    for (int i = 0; i < N; i++) {
        const char *text = PICK(starts);
        fd[i] = connect_to();
        (void)!send(fd[i], text, strlen(text), MSG_NOSIGNAL);
    }
    for (int i = 0; i < 20; i++)
        assert_true(serves());
    for (int i = 0; i < N; i++)
        close(fd[i]);
    assert_true(serves());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_thousand_hostile_requests),
        cmocka_unit_test(silent_clients_hold_nobody_up),
    };
    if (!lt_server_is_available())
        return 77;
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
