// json_read.h - JSON files that lethe wrote, read: bounded, with the line of a fault, and values at paths "a.b".
#ifndef LTI_IO_JSON_READ_H
#define LTI_IO_JSON_READ_H
#include "base/base.h"

struct json_t; // of jansson
struct json_error_t;

lt_status lti_json_load(const char *path, struct json_t **out); // LT_E_INPUT, LT_E_FORMAT with the line
// As json_loadb. Where it fails for want of memory, jansson gives any reason or none: then *error says so.
struct json_t *lti_json_parse(const char *text, size_t n, size_t flags, struct json_error_t *error);
bool lti_json_lacked_memory(const struct json_error_t *error); // of a text that lti_json_parse has not parsed
// DIR/FILE; *out stays NULL when there is no such regular file.
lt_status lti_json_load_optional(const char *dir, const char *file, struct json_t **out);
// What is at "a.b"; NULL when absent.
const struct json_t *lti_json_at(const struct json_t *object, const char *path);
// Values at it: "", NAN and 0 when absent or of another type.
const char *lti_json_text_at(const struct json_t *object, const char *path);
double lti_json_real_at(const struct json_t *object, const char *path);
int64_t lti_json_int_at(const struct json_t *object, const char *path);
#endif
