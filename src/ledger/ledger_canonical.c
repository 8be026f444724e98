// ledger_canonical.c - JSON in one form only, so that equal values have equal digests.
//
// Keys are sorted by bytes, there are no blanks, strings have the shortest escapes, and a real is the shortest decimal
// that reads back the same, laid out as Python's repr does. Nothing here depends on the locale.
#include "ledger/ledger_impl.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { DEPTH_MAX = 64 };

typedef struct writer {
    lti_buf b;
    int indent, depth;
} writer;

static void write_string(lti_buf *b, const char *s)
{
    lti_buf_add(b, "\"", 1);
    for (; *s; s++) {
        const unsigned char c = (unsigned char)*s;
        static const char *const from = "\"\\\b\f\n\r\t", *const to = "\"\\bfnrt";
        const char *escape = strchr(from, c);
        if (escape)
            lti_buf_printf(b, "\\%c", to[escape - from]);
        else if (c < 0x20)
            lti_buf_printf(b, "\\u%04x", c);
        else
            lti_buf_add(b, s, 1);
    }
    lti_buf_add(b, "\"", 1);
}

// From "-d.ddde-XX" or "ddd.ddd" (what lti_number_text gives) to the layout of Python's repr.
static void write_real(lti_buf *b, double value)
{
    enum { SMALLEST = -4, LARGEST = 16 }; // exponents that are written without "e"
    char text[LTI_NUMBER_MAX], digit[LTI_NUMBER_MAX];
    int n = 0, point = 0, exponent = 0;
    bool after = false;
    lti_number_text(fabs(value), false, text);
    const char *p = text;
    for (; *p && *p != 'e'; p++)
        if (*p == '.')
            after = true;
        else if (n > 0 || *p != '0') {
            digit[n++] = *p;
            point += !after;
        } else if (after)
            point--;
    if (*p == 'e')
        point += (int)strtol(p + 1, NULL, 10);
    while (n > 1 && digit[n - 1] == '0')
        n--;
    if (n == 0) {
        lti_buf_puts(b, signbit(value) ? "-0.0" : "0.0");
        return;
    }
    exponent = point - 1;
    if (value < 0)
        lti_buf_puts(b, "-");
    if (exponent < SMALLEST || exponent >= LARGEST) {
        lti_buf_printf(b, "%.1s%s%.*se%c%02d", digit, n > 1 ? "." : "", n - 1, digit + 1, exponent < 0 ? '-' : '+',
                       abs(exponent));
    } else if (exponent < 0) {
        lti_buf_printf(b, "0.%.*s%.*s", -point, "0000", n, digit);
    } else {
        for (int i = 0; i < point; i++)
            lti_buf_add(b, i < n ? &digit[i] : "0", 1);
        lti_buf_printf(b, ".%.*s", n > point ? n - point : 1, n > point ? digit + point : "0");
    }
}

static void write_break(writer *w)
{
    if (w->indent)
        lti_buf_printf(&w->b, "\n%*s", w->indent * w->depth, "");
}

static void write_value(writer *w, const json_t *v);

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void write_object(writer *w, const json_t *v)
{
    const size_t n = json_object_size(v);
    const char **key = lti_calloc(n + 1, sizeof *key), *name;
    size_t i = 0;
    json_t *item;
    if (!key) {
        w->b.failed = true;
        return;
    }
    json_object_foreach((json_t *)(uintptr_t)v, name, item) key[i++] = name;
    qsort(key, n, sizeof *key, compare_keys);
    for (i = 0; i < n; i++) {
        lti_buf_puts(&w->b, i ? "," : "");
        write_break(w);
        write_string(&w->b, key[i]);
        lti_buf_puts(&w->b, w->indent ? ": " : ":");
        write_value(w, json_object_get(v, key[i]));
    }
    lti_free(key);
}

static void write_array(writer *w, const json_t *v)
{
    size_t i;
    const json_t *item;
    json_array_foreach((json_t *)(uintptr_t)v, i, item)
    {
        lti_buf_puts(&w->b, i ? "," : "");
        write_break(w);
        write_value(w, item);
    }
}

static void write_nested(writer *w, const json_t *v)
{
    const bool object = json_is_object(v);
    const bool empty = object ? json_object_size(v) == 0 : json_array_size(v) == 0;
    if (++w->depth > DEPTH_MAX + 2)
        LT_BUG("JSON of more levels than lti_parse_json lets in");
    lti_buf_puts(&w->b, object ? "{" : "[");
    if (object)
        write_object(w, v);
    else
        write_array(w, v);
    w->depth--;
    if (!empty)
        write_break(w);
    lti_buf_puts(&w->b, object ? "}" : "]");
}

static void write_value(writer *w, const json_t *v)
{
    if (w->b.failed)
        return;
    switch (json_typeof(v)) {
    case JSON_OBJECT:
    case JSON_ARRAY:
        write_nested(w, v);
        break;
    case JSON_STRING:
        write_string(&w->b, json_string_value(v));
        break;
    case JSON_INTEGER:
        lti_buf_printf(&w->b, "%lld", (long long)json_integer_value(v));
        break;
    case JSON_REAL:
        write_real(&w->b, json_real_value(v));
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        lti_buf_puts(&w->b, json_is_true(v) ? "true" : "false");
        break;
    case JSON_NULL:
        lti_buf_puts(&w->b, "null");
        break;
    }
}

char *lti_canonical(const json_t *value, int indent)
{
    writer w = {.indent = indent};
    if (!value)
        return NULL;
    write_value(&w, value);
    if (w.b.failed) {
        lti_buf_clear(&w.b);
        return NULL;
    }
    return lti_buf_take(&w.b);
}

// Deeper values are refused when they are read, so that writing can fail for want of memory only.
static bool is_deeper(const json_t *v, int levels)
{
    const char *key;
    json_t *item;
    size_t i;
    if (!json_is_object(v) && !json_is_array(v))
        return false;
    if (levels == 0)
        return true;
    json_object_foreach((json_t *)(uintptr_t)v, key, item) if (is_deeper(item, levels - 1)) return true;
    json_array_foreach((json_t *)(uintptr_t)v, i, item) if (is_deeper(item, levels - 1)) return true;
    return false;
}

lt_status lti_parse_json(const char *text, size_t n, const char *label, json_t **value)
{
    json_error_t error;
    *value = lti_json_parse(text, n, JSON_REJECT_DUPLICATES, &error);
    if (*value && is_deeper(*value, DEPTH_MAX)) {
        json_decref(*value);
        *value = NULL;
        return LT_FAIL(LT_E_FORMAT, "%s: expected JSON of at most %d levels, found more", label, DEPTH_MAX);
    }
    if (*value)
        return LT_OK;
    if (lti_json_lacked_memory(&error))
        return LTI_NOMEM(label);
    return LT_FAIL(LT_E_FORMAT, "%s:%d: expected JSON, but %s", label, error.line, error.text);
}

bool lti_put(json_t *object, const char *key, json_t *value)
{
    return value && json_object_set_new(object, key, value) == 0;
}

bool lti_put_text(json_t *object, const char *key, const char *text)
{
    if (!text)
        return lti_put(object, key, json_null());
    json_t *value = json_string(text);
    if (value)
        return lti_put(object, key, value);
    // Not UTF-8 (a file name, perhaps), or out of memory: the buffer's writer replaces what cannot be kept.
    lti_buf b = {0};
    lti_buf_json_string(&b, text);
    char *quoted = lti_buf_take(&b);
    value = quoted ? json_loads(quoted, JSON_DECODE_ANY, NULL) : NULL;
    free(quoted);
    return lti_put(object, key, value);
}
