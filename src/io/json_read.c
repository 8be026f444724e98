// json_read.c - JSON files of runs, and values in them by path.
#include "io/json_read.h"
#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

json_t *lti_json_parse(const char *text, size_t n, size_t flags, json_error_t *error)
{
    errno = 0;
    json_t *value = json_loadb(text, n, flags, error);
    if (!value && errno == ENOMEM)
        error->text[0] = '\0';
    return value;
}

bool lti_json_lacked_memory(const json_error_t *error)
{
    return !error->text[0];
}

lt_status lti_json_load(const char *path, json_t **out)
{
    enum { MAX_BYTES = 1 << 26 };
    char *bytes;
    size_t n;
    json_error_t error;
    LT_TRY(lt_read_file(path, MAX_BYTES, &bytes, &n));
    *out = lti_json_parse(bytes, n, 0, &error);
    free(bytes);
    if (!*out && lti_json_lacked_memory(&error))
        return LTI_NOMEM(path);
    if (!*out)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected JSON, but %s", path, error.line, error.text);
    return LT_OK;
}

lt_status lti_json_load_optional(const char *dir, const char *file, json_t **out)
{
    char *path = lti_asprintf("%s/%s", dir, file);
    if (!path)
        return LTI_NOMEM("path");
    const lt_status status = lti_is_file(path) ? lti_json_load(path, out) : LT_OK;
    lti_free(path);
    return status;
}

const json_t *lti_json_at(const json_t *object, const char *path)
{
    enum { KEY_MAX = 128 };
    char key[KEY_MAX];
    while (object && path) {
        const size_t n = strcspn(path, ".");
        lti_format(key, sizeof key, "%.*s", (int)n, path);
        object = json_object_get(object, key);
        path = path[n] ? path + n + 1 : NULL;
    }
    return object;
}

const char *lti_json_text_at(const json_t *object, const char *path)
{
    const char *text = json_string_value(lti_json_at(object, path));
    return text ? text : "";
}

double lti_json_real_at(const json_t *object, const char *path)
{
    const json_t *v = lti_json_at(object, path);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

int64_t lti_json_int_at(const json_t *object, const char *path)
{
    const double value = lti_json_real_at(object, path);
    return isfinite(value) ? (int64_t)value : 0;
}
