// fuzz_spec.c - arbitrary text as a --data, --model or --forget specification and as a number.
#include "base/base.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check_numbers(const char *text)
{
    int64_t i;
    uint64_t u;
    double x, back;
    char number[LTI_NUMBER_MAX];
    if (lti_parse_i64(text, "n", -5, 1000, &i) == LT_OK && (i < -5 || i > 1000))
        abort();
    if (lti_parse_u64(text, "n", 1000, &u) == LT_OK && u > 1000)
        abort();
    if (lti_parse_f64(text, "x", -1e300, 1e300, &x) == LT_OK) {
        if (!(x >= -1e300 && x <= 1e300))
            abort();
        lti_number_text(x, false, number);
        if (lti_parse_f64(number, "x", -1e300, 1e300, &back) != LT_OK || back != x)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char *const names[] = {"cifar10", "resnet18", "random", "train-limit", NULL};
    lti_spec spec;
    char *text = malloc(n + 1);
    if (!text)
        return 0;
    memcpy(text, bytes, n);
    text[n] = 0;
    if (lti_spec_parse(text, &spec) == LT_OK) {
        if (!spec.name || !*spec.name || (spec.path && !*spec.path))
            abort();
        for (int i = 0; i < spec.n; i++)
            if (lti_spec_get(&spec, spec.key[i]) != spec.value[i])
                abort();
        lti_spec_clear(&spec);
    } else if (!lt_error_get()->message[0]) {
        abort();
    }
    check_numbers(text);
    (void)lt_nearest(text, names);
    free(text);
    return 0;
}
