// token.c - the secret that writing needs, and the weaker one, derived from it, that a cookie carries.
//
// Cookies of one host are sent to all of its ports, so another local user's server may come to see them. What it sees
// is the derived value, which reads and does not write.
#include "serve_impl.h"
#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SECRET_BYTES = 32 };

static bool is_token(const char *text, size_t n)
{
    return n == LTI_TOKEN_HEX - 1 && strspn(text, "0123456789abcdef") == n;
}

// A file that others may read is no secret any more.
static bool read_token(lti_serve *s)
{
    struct stat st;
    char text[LTI_TOKEN_HEX + 1] = "";
    const int fd = open(s->token_file, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return false;
    const bool is_private =
        fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && (st.st_mode & 077) == 0 && st.st_uid == geteuid();
    const ssize_t n = is_private ? read(fd, text, sizeof text - 1) : -1;
    close(fd);
    if (n < LTI_TOKEN_HEX - 1)
        return false;
    text[strcspn(text, "\n")] = '\0';
    if (!is_token(text, strlen(text)))
        return false;
    memcpy(s->token, text, LTI_TOKEN_HEX);
    return true;
}

static lt_status write_token(lti_serve *s)
{
    unsigned char secret[SECRET_BYTES];
    randombytes_buf(secret, sizeof secret);
    sodium_bin2hex(s->token, sizeof s->token, secret, sizeof secret);
    sodium_memzero(secret, sizeof secret);
    unlink(s->token_file);
    const int fd = open(s->token_file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return LT_FAIL(LT_E_IO, "write %s: %s", s->token_file, strerror(errno));
    const bool ok = dprintf(fd, "%s\n", s->token) == LTI_TOKEN_HEX;
    return close(fd) == 0 && ok ? LT_OK : LT_FAIL(LT_E_IO, "write %s: %s", s->token_file, strerror(errno));
}

lt_status lti_token_open(lti_serve *s, bool make_new)
{
    unsigned char derived[SECRET_BYTES];
    static const char purpose[] = "lethe serve: reading";
    if (sodium_init() < 0)
        return LT_FAIL(LT_E_FAIL, "libsodium cannot be initialised");
    if (snprintf(s->token_file, sizeof s->token_file, "%s/.lethe/token", s->root) >= (int)sizeof s->token_file)
        return LT_FAIL(LT_E_USAGE, "%s: the path is too long", s->root);
    if (make_new || !read_token(s))
        LT_TRY(write_token(s));
    crypto_generichash(derived, sizeof derived, (const unsigned char *)purpose, sizeof purpose - 1,
                       (const unsigned char *)s->token, LTI_TOKEN_HEX - 1);
    sodium_bin2hex(s->cookie, sizeof s->cookie, derived, sizeof derived);
    return LT_OK;
}

static bool is_same(const char *found, size_t n, const char *secret)
{
    return n == LTI_TOKEN_HEX - 1 && sodium_memcmp(found, secret, n) == 0;
}

bool lti_token_is_sent(const lti_serve *s, const lti_request *q)
{
    static const char scheme[] = "Bearer ";
    const size_t n = sizeof scheme - 1;
    return q->authorization && !strncmp(q->authorization, scheme, n) &&
           is_same(q->authorization + n, strlen(q->authorization + n), s->token);
}

static int cookie_name(const lti_serve *s, char out[32])
{
    return snprintf(out, 32, "lethe-read-%d=", s->port);
}

bool lti_token_cookie_is_sent(const lti_serve *s, const lti_request *q)
{
    char name[32];
    const size_t n = (size_t)cookie_name(s, name);
    for (const char *p = q->cookie; p && *p;) {
        p += strspn(p, " ;");
        const size_t length = strcspn(p, ";");
        if (length > n && !strncmp(p, name, n) && is_same(p + n, length - n, s->cookie))
            return true;
        p += length;
    }
    return false;
}

void lti_token_cookie(const lti_serve *s, char out[LTI_COOKIE_MAX])
{
    char name[32];
    cookie_name(s, name);
    snprintf(out, LTI_COOKIE_MAX, "%s%s; Path=/; HttpOnly; SameSite=Strict", name, s->cookie);
}
