// fuzz_signals.c - a signals file from anywhere: either refused with a message, or every score of it is computable.
#include "lethe/audit.h"
#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    lt_signals *s;
    if (lt_signals_parse(data, size, "fuzz", &s) != LT_OK) {
        if (!lt_error_get()->message[0])
            abort();
        return 0;
    }
    double *x = malloc((size_t)s->n * sizeof *x);
    for (int f = 0; x && f < LT_N_FEATURES; f++) {
        if (lt_signals_feature(s, (lt_feature)f, -1, x) != s->n)
            abort();
        for (int64_t i = 0; i < s->n; i++)
            if (isnan(x[i]))
                abort();
        if (lt_auc(x, s->n, x, s->n) != 0.5)
            abort();
    }
    lt_audit_cfg cfg = {.shadow_cap = 16}; // the cost of an audit grows with the square of the shadow set
    lt_audit audit;
    if (s->n <= 64 && s->k <= 16)
        (void)lt_audit_run_cfg(s, &cfg, &audit);
    free(x);
    lt_signals_destroy(s);
    return 0;
}
