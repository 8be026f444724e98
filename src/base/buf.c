// buf.c - a growing string. Failure is sticky, so that a long row of appends needs one check at the end.
//
// JSON is written here rather than through a tree library where we stream it (metrics.jsonl) or where file names with
// arbitrary bytes may appear: the output must always be valid JSON in UTF-8, whatever the bytes.
#include "base/base.h"
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(lti_buf *b, size_t extra)
{
    size_t need;
    if (b->failed)
        return false;
    if (__builtin_add_overflow(b->n, extra, &need) || __builtin_add_overflow(need, 1, &need))
        goto fail;
    if (need > b->cap) {
        size_t cap = b->cap ? b->cap : 128;
        while (cap < need)
            if (lti_mul_size(cap, 2, &cap))
                goto fail;
        char *data = lti_realloc(b->data, cap);
        if (!data)
            goto fail;
        b->data = data;
        b->cap = cap;
    }
    return true;
fail:
    lti_buf_clear(b);
    b->failed = true;
    return false;
}

void lti_buf_add(lti_buf *b, const char *bytes, size_t n)
{
    if (!reserve(b, n))
        return;
    if (n)
        memcpy(b->data + b->n, bytes, n);
    b->n += n;
    b->data[b->n] = 0;
}

void lti_buf_puts(lti_buf *b, const char *s)
{
    lti_buf_add(b, s, strlen(s));
}

void lti_buf_printf(lti_buf *b, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = lti_vformat(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0 || !reserve(b, (size_t)n)) {
        if (n < 0) {
            lti_buf_clear(b);
            b->failed = true;
        }
        return;
    }
    va_start(args, fmt);
    lti_vformat(b->data + b->n, (size_t)n + 1, fmt, args);
    va_end(args);
    b->n += (size_t)n;
}

char *lti_buf_take(lti_buf *b)
{
    if (!reserve(b, 0)) { // an empty buffer still gives a string
        lti_buf_clear(b);
        return NULL;
    }
    char *data = b->data;
    data[b->n] = 0;
    *b = (lti_buf){0};
    return data;
}

void lti_buf_clear(lti_buf *b)
{
    lti_free(b->data);
    *b = (lti_buf){0};
}

// Length of the UTF-8 sequence at s (at most n bytes), 0 when it is not valid: overlong forms, surrogates and values
// above U+10FFFF are not.
static size_t utf8_length(const unsigned char *s, size_t n)
{
    if (s[0] < 0x80)
        return 1;
    size_t len = s[0] >= 0xf0 && s[0] < 0xf5   ? 4
                 : s[0] >= 0xe0 && s[0] < 0xf0 ? 3
                 : s[0] >= 0xc2 && s[0] < 0xe0 ? 2
                                               : 0;
    if (!len || len > n)
        return 0;
    for (size_t i = 1; i < len; i++)
        if ((s[i] & 0xc0) != 0x80)
            return 0;
    if ((s[0] == 0xe0 && s[1] < 0xa0) || (s[0] == 0xed && s[1] >= 0xa0) || (s[0] == 0xf0 && s[1] < 0x90) ||
        (s[0] == 0xf4 && s[1] >= 0x90))
        return 0;
    return len;
}

void lti_buf_json_string(lti_buf *b, const char *s)
{
    const unsigned char *p = (const unsigned char *)s;
    size_t left = strlen(s);
    lti_buf_add(b, "\"", 1);
    while (left) {
        size_t len = utf8_length(p, left);
        if (!len) {
            lti_buf_puts(b, "\\ufffd");
            len = 1;
        } else if (*p == '"' || *p == '\\') {
            lti_buf_printf(b, "\\%c", *p);
        } else if (*p == '\n') {
            lti_buf_puts(b, "\\n");
        } else if (*p < 0x20) {
            lti_buf_printf(b, "\\u%04x", *p);
        } else {
            lti_buf_add(b, (const char *)p, len);
        }
        p += len;
        left -= len;
    }
    lti_buf_add(b, "\"", 1);
}

void lti_buf_json_number(lti_buf *b, double value)
{
    char text[LTI_NUMBER_MAX];
    if (isfinite(value))
        lti_buf_puts(b, lti_number_text(value, false, text));
    else
        lti_buf_puts(b, "null"); // JSON has no NaN
}
