// stored_result.c - the result of a run that was finished before.
#include "run/run_impl.h"
#include "lethe/run.h"
#include <stdlib.h>
#include <string.h>

lt_status lti_stored_result(const lt_result_dir *d, char **json, json_t **parsed)
{
    json_error_t error;
    char *text;
    *parsed = NULL;
    LT_TRY(lt_result_dir_stored(d, &text));
    json_t *j = lti_json_parse(text, strlen(text), 0, &error);
    free(text);
    if (!j && lti_json_lacked_memory(&error))
        return LTI_NOMEM("result");
    if (!j)
        return LT_FAIL(LT_E_FORMAT, "%s/result.json:%d: expected JSON, but %s", d->dir, error.line, error.text);
    json_object_set_new(j, "run", json_string(d->dir));
    json_object_set_new(j, "cached", json_true());
    char *body = json_dumps(j, JSON_INDENT(2) | JSON_REAL_PRECISION(17)), *shorter = lt_json_shorten(body);
    *json = shorter ? lti_asprintf("%s\n", shorter) : NULL;
    free(body);
    free(shorter);
    if (!*json) {
        json_decref(j);
        return LTI_NOMEM("result");
    }
    *parsed = j;
    return LT_OK;
}
