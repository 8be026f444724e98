// fuzz_codes.c - arbitrary bytes as the codes of a quantized model: refused with a message, or read and programmed.
#include "lethe/quant.h"
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static lt_model *model;
    char path[64];
    lt_quant *q = NULL;
    if (!model && lt_model_create("simple-conv:width=4", (lt_model_shape){3, 8, 8, 4}, &model) != LT_OK)
        abort();
    snprintf(path, sizeof path, "/tmp/fuzz_codes.%d", (int)getpid());
    FILE *f = fopen(path, "wb");
    if (!f)
        return 0;
    if (fwrite(bytes, 1, n, f) != n || fclose(f) != 0)
        return 0;
    if (lt_quant_open(path, model, &q) != LT_OK) {
        if (!lt_error_get()->message[0])
            abort();
        return 0;
    }
    float *w = malloc((size_t)model->n_params * sizeof *w);
    const lt_quant_chip ideal = {0};
    if (w && lt_quant_program(q, &ideal, NULL, w) != LT_OK)
        abort();
    free(w);
    lt_quant_destroy(q);
    return 0;
}
