// request.c - the target and the Host header of a request, taken apart: the only parsers of this module.
#include "serve_impl.h"
#include <arpa/inet.h>
#include <string.h>
#include <strings.h>

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

static bool is_utf8(const char *text)
{
    json_t *probe = json_string(text); // jansson checks
    json_decref(probe);
    return probe != NULL;
}

// One part of a target, decoded in place, once: "%252e" is the three characters "%2e" afterwards, which no name has.
static lt_status decode(char *text)
{
    char *to = text;
    for (const char *p = text; *p; p++) {
        int value = (unsigned char)*p;
        if (*p == '%') {
            const int high = hex_digit(p[1]), low = high < 0 ? -1 : hex_digit(p[2]);
            if (low < 0)
                return LT_FAIL(LT_E_USAGE, "request: expected two hexadecimal digits after %%");
            value = high * 16 + low;
            p += 2;
        }
        if (value < ' ' || value == 0x7f)
            return LT_FAIL(LT_E_USAGE, "request: control character %d in the address", value);
        *to++ = (char)value;
    }
    *to = '\0';
    return is_utf8(text) ? LT_OK : LT_FAIL(LT_E_USAGE, "request: the address is not UTF-8");
}

static lt_status add_param(lti_target *t, char *pair)
{
    char *value = strchr(pair, '=');
    if (!*pair)
        return LT_OK;
    if (t->n == LTI_MAX_PARAMS)
        return LT_FAIL(LT_E_USAGE, "request: more than %d parameters", LTI_MAX_PARAMS);
    if (value)
        *value++ = '\0';
    else
        value = pair + strlen(pair);
    LT_TRY(decode(pair));
    if (*value)
        LT_TRY(decode(value));
    if (lti_target_get(t, pair))
        return LT_FAIL(LT_E_USAGE, "request: parameter '%.40s' is given twice", pair);
    t->key[t->n] = pair;
    t->value[t->n++] = value;
    return LT_OK;
}

lt_status lti_target_parse(const char *raw, lti_target *t)
{
    const size_t n = strlen(raw);
    memset(t, 0, sizeof *t);
    if (n >= sizeof t->text)
        return LT_FAIL(LT_E_USAGE, "request: the address is longer than %zu bytes", sizeof t->text - 1);
    if (raw[0] != '/')
        return LT_FAIL(LT_E_USAGE, "request: expected an address that begins with /");
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)raw[i] <= ' ' || (unsigned char)raw[i] >= 0x7f || raw[i] == '#')
            return LT_FAIL(LT_E_USAGE, "request: byte %d in the address", (unsigned char)raw[i]);
    memcpy(t->text, raw, n + 1);
    t->path = t->text;
    char *query = strchr(t->text, '?');
    if (query)
        *query++ = '\0';
    LT_TRY(decode(t->path));
    for (char *next; query; query = next) {
        next = strchr(query, '&');
        if (next)
            *next++ = '\0';
        LT_TRY(add_param(t, query));
    }
    return LT_OK;
}

const char *lti_target_get(const lti_target *t, const char *key)
{
    for (int i = 0; i < t->n; i++)
        if (!strcmp(t->key[i], key))
            return t->value[i];
    return NULL;
}

// ---- Host

enum { HOST_MAX = 256 };

// "name", "name:80", "[::1]:80" -> "name", "::1"
static bool split_host(const char *host, char out[HOST_MAX])
{
    const bool bracket = host[0] == '[';
    const char *from = host + bracket;
    const size_t n = strcspn(from, bracket ? "]" : ":");
    const char *rest = from + n + (bracket && from[n]);
    if (n == 0 || n >= HOST_MAX || (bracket && from[n] != ']'))
        return false;
    if (*rest && (*rest != ':' || !rest[1] || rest[1 + strspn(rest + 1, "0123456789")] != '\0'))
        return false;
    memcpy(out, from, n);
    out[n] = '\0';
    return true;
}

static bool is_listed(const char *name, const char *names)
{
    const size_t n = strlen(name);
    for (const char *p = names; p && *p; p += strcspn(p, ","), p += *p == ',')
        if (strcspn(p, ",") == n && !strncasecmp(p, name, n))
            return true;
    return false;
}

bool lti_host_is_allowed(const char *host, bool is_loopback, const char *names)
{
    char name[HOST_MAX];
    struct in_addr v4;
    struct in6_addr v6;
    if (!host || !split_host(host, name))
        return false;
    if (!strcasecmp(name, "localhost") || is_listed(name, names))
        return true;
    if (inet_pton(AF_INET, name, &v4) == 1)
        return !is_loopback || (ntohl(v4.s_addr) >> 24) == 127;
    if (inet_pton(AF_INET6, name, &v6) == 1)
        return !is_loopback || IN6_IS_ADDR_LOOPBACK(&v6);
    return false;
}
