// number.c - numbers to and from text, independent of the locale, whole strings only.
#include "base/base.h"
#include <errno.h>
#include <float.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// strtod in the "C" locale (see lti_vformat for why the locale object needs no care).
static double to_double(const char *text, char **end)
{
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    double value = c ? strtod_l(text, end, c) : strtod(text, end);
    if (c)
        freelocale(c);
    return value;
}

static lt_status not_whole(const char *text, const char *what)
{
    return LT_FAIL(LT_E_USAGE, "%s: expected a whole number, found '%s'", what, text);
}

static bool is_digits(const char *s)
{
    return *s && s[strspn(s, "0123456789")] == 0;
}

lt_status lti_parse_i64(const char *text, const char *what, int64_t min, int64_t max, int64_t *out)
{
    if (!is_digits(text + (*text == '-' || *text == '+')))
        return not_whole(text, what);
    errno = 0;
    long long value = strtoll(text, NULL, 10);
    if (errno == ERANGE || value < min || value > max)
        return LT_FAIL(LT_E_USAGE, "%s: expected %lld..%lld, found %s", what, (long long)min, (long long)max, text);
    *out = value;
    return LT_OK;
}

lt_status lti_parse_u64(const char *text, const char *what, uint64_t max, uint64_t *out)
{
    if (!is_digits(text + (*text == '+')))
        return is_digits(text + (*text == '-'))
                   ? LT_FAIL(LT_E_USAGE, "%s: expected 0..%llu, found %s", what, (unsigned long long)max, text)
                   : not_whole(text, what);
    errno = 0;
    unsigned long long value = strtoull(text, NULL, 10);
    if (errno == ERANGE || value > max)
        return LT_FAIL(LT_E_USAGE, "%s: expected 0..%llu, found %s", what, (unsigned long long)max, text);
    *out = value;
    return LT_OK;
}

lt_status lti_parse_f64(const char *text, const char *what, double min, double max, double *out)
{
    char *end = NULL;
    // Only decimal notation: strtod would also take blanks, hexadecimal, "inf" and "nan".
    bool plain = *text && text[strspn(text, "0123456789+-.eE")] == 0;
    double value = plain ? to_double(text, &end) : 0;
    if (!plain || end == text || *end)
        return LT_FAIL(LT_E_USAGE, "%s: expected a number, found '%s'", what, text);
    if (!isfinite(value) || value < min || value > max) {
        char low[LTI_NUMBER_MAX], high[LTI_NUMBER_MAX];
        return LT_FAIL(LT_E_USAGE, "%s: expected %s..%s, found %s", what, lti_number_text(min, false, low),
                       lti_number_text(max, false, high), text);
    }
    *out = value;
    return LT_OK;
}

const char *lti_number_text(double value, bool as_float, char out[LTI_NUMBER_MAX])
{
    // Whole numbers that a double holds exactly are written out: 100000, not 1e+05.
    if (fabs(value) < 0x1p53 && value == nearbyint(value)) {
        lti_format(out, LTI_NUMBER_MAX, "%.0f", value == 0 ? 0.0 : value);
        return out;
    }
    const int most = as_float ? FLT_DECIMAL_DIG : DBL_DECIMAL_DIG;
    for (int digits = as_float ? FLT_DIG : DBL_DIG; digits <= most; digits++) {
        lti_format(out, LTI_NUMBER_MAX, "%.*g", digits, value);
        const double back = to_double(out, NULL);
        if (as_float ? (float)back == (float)value : back == value)
            break;
    }
    return out;
}

double lti_decimal_of(float x)
{
    char text[LTI_NUMBER_MAX];
    return isfinite(x) ? to_double(lti_number_text((double)x, true, text), NULL) : (double)x;
}
