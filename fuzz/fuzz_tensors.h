// fuzz_tensors.h - what must hold for every tensor file a parser accepts or refuses.
#ifndef LT_FUZZ_TENSORS_H
#define LT_FUZZ_TENSORS_H
#include "lethe/tensorfile.h"
#include <stdlib.h>
#include <string.h>

static inline size_t fuzz_dtype_size(lt_dtype dtype)
{
    return dtype == LT_F64 || dtype == LT_I64 ? 8 : dtype == LT_F32 || dtype == LT_I32 ? 4 : dtype == LT_BF16 ? 2 : 1;
}

// Aborts on a contradiction; reads every byte of every tensor, so that the address sanitizer sees wrong bounds.
static inline void fuzz_check_tensors(lt_status status, lt_tensor_file *file)
{
    if (status != LT_OK) {
        if (file || lt_error_get()->status != status || !lt_error_get()->message[0])
            abort();
        return;
    }
    for (int i = 0; i < lt_tensor_file_count(file); i++) {
        const lt_tensor *t = lt_tensor_file_at(file, i);
        size_t n = fuzz_dtype_size(t->dtype);
        for (int d = 0; d < t->n_dims; d++)
            n *= (size_t)t->dim[d];
        if (n != t->n_bytes || lt_tensor_file_find(file, t->name) != t)
            abort();
        volatile unsigned char sum = 0;
        for (size_t k = 0; k < n; k++)
            sum = (unsigned char)(sum + ((const unsigned char *)t->data)[k]);
    }
    for (int i = 0; i < lt_tensor_file_n_meta(file); i++)
        if (!lt_tensor_file_meta(file, lt_tensor_file_meta_at(file, i).key))
            abort();
    lt_tensor_file_close(file);
}

// The bytes behind a beginning that a fuzzer would take long to find.
typedef lt_status fuzz_tensors_fn(const void *bytes, size_t n, const char *label, lt_tensor_file **file);
static inline void fuzz_parse_after(const void *head, size_t n_head, const uint8_t *bytes, size_t n,
                                    fuzz_tensors_fn *parse)
{
    lt_tensor_file *file;
    char *whole = malloc(n_head + n);
    if (!whole)
        return;
    memcpy(whole, head, n_head);
    if (n)
        memcpy(whole + n_head, bytes, n);
    fuzz_check_tensors(parse(whole, n_head + n, "fuzz", &file), file);
    free(whole);
}
#endif
