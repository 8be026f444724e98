// read_json.c - JSON files of runs: bounded, with the line of a fault.
#include "run/run_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

lt_status lti_run_read_json(const char *path, json_t **out)
{
    enum { MAX_BYTES = 1 << 26 };
    char *bytes;
    size_t n;
    json_error_t error;
    LT_TRY(lt_read_file(path, MAX_BYTES, &bytes, &n));
    *out = json_loadb(bytes, n, 0, &error);
    free(bytes);
    if (!*out)
        return LT_FAIL(LT_E_FORMAT, "%s:%d: expected JSON, but %s", path, error.line, error.text);
    return LT_OK;
}

static const json_t *walk(const json_t *object, const char *path)
{
    enum { KEY_MAX = 64 };
    char key[KEY_MAX];
    while (object && path) {
        const size_t n = strcspn(path, ".");
        lti_format(key, sizeof key, "%.*s", (int)n, path);
        object = json_object_get(object, key);
        path = path[n] ? path + n + 1 : NULL;
    }
    return object;
}

const char *lti_run_json_text(const json_t *object, const char *path)
{
    const char *text = json_string_value(walk(object, path));
    return text ? text : "";
}

double lti_run_json_real(const json_t *object, const char *path)
{
    const json_t *v = walk(object, path);
    return json_is_number(v) ? json_number_value(v) : (double)NAN;
}

int64_t lti_run_json_int(const json_t *object, const char *path)
{
    const double value = lti_run_json_real(object, path);
    return isfinite(value) ? (int64_t)value : 0;
}

lt_status lti_stored_result(const lt_result_dir *d, char **json, json_t **parsed)
{
    json_error_t error;
    char *text;
    *parsed = NULL;
    LT_TRY(lt_result_dir_stored(d, &text));
    json_t *j = json_loads(text, 0, &error);
    free(text);
    if (!j)
        return LT_FAIL(LT_E_FORMAT, "%s/result.json:%d: expected JSON, but %s", d->dir, error.line, error.text);
    json_object_set_new(j, "run", json_string(d->dir));
    json_object_set_new(j, "cached", json_true());
    char *body = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(17));
    *json = body ? lti_asprintf("%s\n", body) : NULL;
    free(body);
    if (!*json) {
        json_decref(j);
        return LTI_NOMEM("result");
    }
    *parsed = j;
    return LT_OK;
}
