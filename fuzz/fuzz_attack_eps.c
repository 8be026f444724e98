// fuzz_attack_eps.c - arbitrary bytes as a radius: refused, or a finite number of at least 0.
#include "lethe/robust.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    char text[128];
    double eps = -1;
    if (n >= sizeof text)
        return 0;
    memcpy(text, bytes, n);
    text[n] = '\0';
    if (lt_attack_parse_eps(text, &eps) == LT_OK && !(eps >= 0 && isfinite(eps)))
        abort();
    return 0;
}
