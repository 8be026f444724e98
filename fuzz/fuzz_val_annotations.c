// fuzz_val_annotations.c - arbitrary bytes as Tiny ImageNet's list of validation images.
#include "data/data_impl.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static lt_status check_line(void *ctx, const char *file, const char *class_name)
{
    ++*(size_t *)ctx;
    if (!*file || strchr(file, '/') || strpbrk(file, "\t\n") || !*class_name || strpbrk(class_name, "\t\n"))
        abort();
    return LT_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    size_t lines = 0;
    char *text = malloc(n + 1);
    if (!text)
        return 0;
    memcpy(text, bytes, n);
    text[n] = 0;
    if (lti_val_annotations_parse(text, "fuzz", check_line, &lines) == LT_OK && lines > n)
        abort();
    free(text);
    return 0;
}
