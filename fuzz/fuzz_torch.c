// fuzz_torch.c - arbitrary bytes as a PyTorch checkpoint of the plain form, with and without its fixed beginning.
#include "fuzz_tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    lt_tensor_file *file;
    fuzz_check_tensors(lt_torch_stream_parse(bytes, n, "fuzz", &file), file);
    // The magic number would take long to find.
    char *whole = malloc(n + sizeof head);
    if (!whole)
        return 0;
    memcpy(whole, head, sizeof head - 1);
    if (n)
        memcpy(whole + sizeof head - 1, bytes, n);
    fuzz_check_tensors(lt_torch_stream_parse(whole, n + sizeof head - 1, "fuzz", &file), file);
    free(whole);
    return 0;
}
