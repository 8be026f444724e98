// json_write.h - JSON text written front to back, as result structs write themselves.
//
// Keys are NULL inside arrays. Memory that runs out makes the text NULL at the end, nothing else: writers need no check
// per field. Text that is not UTF-8 gets U+FFFD, numbers that are not finite become null.
#ifndef LT_JSON_WRITE_H
#define LT_JSON_WRITE_H
#include "base/base.h"

typedef struct lti_json {
    lti_buf buf;
    int depth;
    bool has_items; // of the object or array that is open
} lti_json;         // zero-initialised

void lti_json_begin(lti_json *j, const char *key, char bracket);    // '{' or '['
void lti_json_end(lti_json *j, char bracket);                       // '}' or ']'
void lti_json_text(lti_json *j, const char *key, const char *text); // null for NULL
void lti_json_real(lti_json *j, const char *key, double value);
void lti_json_int(lti_json *j, const char *key, int64_t value);
void lti_json_bool(lti_json *j, const char *key, bool value);
void lti_json_null(lti_json *j, const char *key);
void lti_json_raw(lti_json *j, const char *key, const char *json); // a value that is JSON already
char *lti_json_take(lti_json *j); // with a newline at the end, for free(); NULL when memory ran out
#endif
