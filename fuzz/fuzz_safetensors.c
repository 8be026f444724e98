// fuzz_safetensors.c - arbitrary bytes as a safetensors file.
#include "fuzz_tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lt_tensor_file *file;
    fuzz_check_tensors(lt_safetensors_parse(bytes, n, "fuzz", &file), file);
    return 0;
}
