// spec.c - the little language of --data, --model and --forget: "name", "name:key=value,...", "name:path,key=value".
//
// A part counts as key=value only when what is left of its first '=' looks like a key, so that paths may hold '='.
#include "base/base.h"
#include <string.h>

enum { SPEC_MAX_BYTES = 65536, SPEC_MAX_KEYS = 256 };

bool lti_same_key(const char *a, const char *b)
{
    for (; *a && *b; a++, b++)
        if (*a != *b && !((*a == '-' || *a == '_') && (*b == '-' || *b == '_')))
            return false;
    return *a == *b;
}

// The '=' that splits part into key and value, or NULL.
static char *key_end(char *part)
{
    char *p = part + strspn(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-");
    return p > part && *p == '=' ? p : NULL;
}

static lt_status add_key(lti_spec *spec, const char *text, char *key, char *value)
{
    if (lti_spec_get(spec, key))
        return LT_FAIL(LT_E_USAGE, "'%s': expected each key once, found '%s' twice", text, key);
    if (spec->n == SPEC_MAX_KEYS)
        return LT_FAIL(LT_E_USAGE, "'%.80s...': expected at most %d keys, found more", text, SPEC_MAX_KEYS);
    spec->key[spec->n] = key;
    spec->value[spec->n++] = value;
    return LT_OK;
}

static lt_status parse_parts(lti_spec *spec, const char *text, char *rest)
{
    bool first = true;
    while (rest) {
        char *part = rest, *comma = strchr(rest, ',');
        if (comma)
            *comma = 0;
        rest = comma ? comma + 1 : NULL;
        char *equals = key_end(part);
        if (equals) {
            *equals = 0;
            LT_TRY(add_key(spec, text, part, equals + 1));
        } else if (first && *part) {
            spec->path = part;
        } else {
            return LT_FAIL(LT_E_USAGE, "'%s': expected key=value, found '%s'", text, part);
        }
        first = false;
    }
    return LT_OK;
}

lt_status lti_spec_parse(const char *text, lti_spec *spec)
{
    *spec = (lti_spec){0};
    if (strlen(text) > SPEC_MAX_BYTES)
        return LT_FAIL(LT_E_USAGE, "'%.80s...': expected at most %d bytes, found %zu", text, SPEC_MAX_BYTES,
                       strlen(text));
    lt_status status = LT_OK;
    size_t n_keys = 1;
    for (const char *p = text; *p; p++)
        n_keys += *p == ',';
    if (n_keys > SPEC_MAX_KEYS)
        n_keys = SPEC_MAX_KEYS;
    char *copy = lti_arena_strdup(&spec->arena, text);
    spec->key = lti_arena_alloc(&spec->arena, n_keys * sizeof *spec->key);
    spec->value = lti_arena_alloc(&spec->arena, n_keys * sizeof *spec->value);
    if (!copy || !spec->key || !spec->value) {
        lti_spec_clear(spec);
        return LTI_NOMEM("parsing a specification");
    }
    char *colon =
        strpbrk(copy, ":,"); // "name,key=value" is "name:key=value": one comma is easily written for the other
    if (colon)
        *colon = 0;
    spec->name = copy;
    if (!*copy)
        status = LT_FAIL(LT_E_USAGE, "'%s': expected name[:key=value,...], found no name", text);
    else if (colon)
        status = parse_parts(spec, text, colon + 1);
    if (status != LT_OK)
        lti_spec_clear(spec);
    return status;
}

void lti_spec_clear(lti_spec *spec)
{
    lti_arena_clear(&spec->arena);
    *spec = (lti_spec){0};
}

const char *lti_spec_get(const lti_spec *spec, const char *key)
{
    for (int i = 0; i < spec->n; i++)
        if (lti_same_key(spec->key[i], key))
            return spec->value[i];
    return NULL;
}
