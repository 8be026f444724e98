// place.c - names of files below the root, as requests give them.
#include "serve_impl.h"
#include <string.h>
#include <sys/stat.h>

static bool is_plain_component(const char *name, size_t n)
{
    if (n == 0 || name[0] == '.')
        return false;
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)name[i] < ' ' || name[i] == 0x7f || name[i] == '\\')
            return false;
    return true;
}

lt_status lti_place_check(const char *place)
{
    if (place[0] == '-') // would be an option of a command
        return LT_FAIL(LT_E_USAGE, "'%.80s': a name begins with a dash", place);
    if (strlen(place) >= LTI_PLACE_MAX)
        return LT_FAIL(LT_E_USAGE, "the name is longer than %d bytes", LTI_PLACE_MAX - 1);
    for (const char *p = place;; p++) {
        const size_t n = strcspn(p, "/");
        if (!is_plain_component(p, n))
            return LT_FAIL(LT_E_USAGE, "'%.80s': expected a path below the directory of runs", place);
        p += n;
        if (!*p)
            return LT_OK;
    }
}

lt_status lti_place_find(const lti_serve *s, const char *place, char out[LTI_FILE_MAX])
{
    struct stat st;
    LT_TRY(lti_place_check(place));
    size_t n = strlen(s->root);
    memcpy(out, s->root, n);
    for (const char *p = place; *p;) {
        const size_t length = strcspn(p, "/");
        if (n + 1 + length >= LTI_FILE_MAX)
            return LT_FAIL(LT_E_USAGE, "'%.80s': the path is too long", place);
        out[n++] = '/';
        memcpy(out + n, p, length);
        n += length;
        out[n] = '\0';
        if (lstat(out, &st) != 0)
            return LT_FAIL(LT_E_INPUT, "'%.80s' does not exist", place);
        if (S_ISLNK(st.st_mode))
            return LT_FAIL(LT_E_USAGE, "'%.80s': links are not followed", place);
        p += length + (p[length] == '/');
    }
    return LT_OK;
}

bool lti_name_is_plain(const char *name)
{
    static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";
    enum { NAME_MAX_BYTES = 64 };
    const size_t n = strlen(name);
    return n > 0 && n <= NAME_MAX_BYTES && name[0] != '.' && name[0] != '-' && strspn(name, letters) == n;
}
