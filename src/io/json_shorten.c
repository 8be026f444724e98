// json_shorten.c - JSON text with numbers in the fewest digits that read back to them.
#include "base/base.h"
#include "lethe/run.h"
#include <math.h>
#include <string.h>

// A number of JSON begins at s; returns its end.
static const char *end_of_number(const char *s)
{
    return s + strspn(s, "+-.0123456789eE");
}

static void add_shortest(lti_buf *b, const char *s, size_t n)
{
    char text[LTI_NUMBER_MAX];
    double value = 0;
    if (n >= sizeof text || !memchr(s, '.', n)) { // nothing to shorten
        lti_buf_add(b, s, n);
        return;
    }
    lti_format(text, sizeof text, "%.*s", (int)n, s);
    if (lti_parse_f64(text, "number", -HUGE_VAL, HUGE_VAL, &value) != LT_OK) {
        lt_error_clear();
        lti_buf_add(b, s, n);
        return;
    }
    lti_buf_puts(b, lti_number_text(value, false, text));
    if (!strpbrk(text, ".eE")) // a real stays a real when it is read back
        lti_buf_puts(b, ".0");
}

char *lt_json_shorten(const char *json)
{
    lti_buf b = {0};
    bool in_string = false;
    if (!json)
        return NULL;
    lti_buf_puts(&b, "");
    for (const char *s = json; *s;) {
        const bool is_number = !in_string && (*s == '-' || (*s >= '0' && *s <= '9'));
        const char *end = is_number ? end_of_number(s) : s + (in_string && *s == '\\' && s[1] ? 2 : 1);
        in_string = *s == '"' ? !in_string : in_string;
        if (is_number)
            add_shortest(&b, s, (size_t)(end - s));
        else
            lti_buf_add(&b, s, (size_t)(end - s));
        s = end;
    }
    return lti_buf_take(&b);
}
