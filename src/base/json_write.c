// json_write.c - JSON text with two blanks of indentation a level.
#include "base/json_write.h"
#include <math.h>
#include <string.h>

static void start_item(lti_json *j, const char *key)
{
    if (j->depth > 0)
        lti_buf_printf(&j->buf, "%s\n%*s", j->has_items ? "," : "", 2 * j->depth, "");
    if (key) {
        lti_buf_json_string(&j->buf, key);
        lti_buf_puts(&j->buf, ": ");
    }
    j->has_items = true;
}

void lti_json_begin(lti_json *j, const char *key, char bracket)
{
    start_item(j, key);
    lti_buf_add(&j->buf, &bracket, 1);
    j->depth++;
    j->has_items = false;
}

void lti_json_end(lti_json *j, char bracket)
{
    j->depth--;
    if (j->has_items)
        lti_buf_printf(&j->buf, "\n%*s", 2 * j->depth, "");
    lti_buf_add(&j->buf, &bracket, 1);
    j->has_items = true;
}

void lti_json_text(lti_json *j, const char *key, const char *text)
{
    start_item(j, key);
    if (text)
        lti_buf_json_string(&j->buf, text);
    else
        lti_buf_puts(&j->buf, "null");
}

void lti_json_real(lti_json *j, const char *key, double value)
{
    char text[LTI_NUMBER_MAX];
    start_item(j, key);
    if (!isfinite(value)) {
        lti_buf_puts(&j->buf, "null"); // JSON has no NaN
        return;
    }
    lti_buf_puts(&j->buf, lti_number_text(value, false, text));
    if (!strpbrk(text, ".eE")) // a real stays a real when it is read back
        lti_buf_puts(&j->buf, ".0");
}

void lti_json_int(lti_json *j, const char *key, int64_t value)
{
    start_item(j, key);
    lti_buf_printf(&j->buf, "%lld", (long long)value);
}

void lti_json_bool(lti_json *j, const char *key, bool value)
{
    start_item(j, key);
    lti_buf_puts(&j->buf, value ? "true" : "false");
}

void lti_json_null(lti_json *j, const char *key)
{
    start_item(j, key);
    lti_buf_puts(&j->buf, "null");
}

void lti_json_raw(lti_json *j, const char *key, const char *json)
{
    size_t n = strlen(json);
    start_item(j, key);
    while (n > 0 && (json[n - 1] == '\n' || json[n - 1] == ' '))
        n--;
    lti_buf_add(&j->buf, json, n);
}

char *lti_json_take(lti_json *j)
{
    lti_buf_puts(&j->buf, "\n");
    char *text = lti_buf_take(&j->buf);
    *j = (lti_json){0};
    return text;
}
