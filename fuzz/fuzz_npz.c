// fuzz_npz.c - arbitrary bytes as an .npz archive, and as the only member of a sound one.
//
// The second half keeps the fuzzer from spending its time on checksums: the archive around the bytes is always right.
#include "fuzz_tensors.h"
#include "fuzz_zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void parse_as_member(const uint8_t *bytes, uint32_t n)
{
    const fuzz_member member = {"a.npy", bytes, n};
    lt_tensor_file *file;
    size_t size;
    unsigned char *zip = fuzz_zip(&member, 1, &size);
    if (!zip)
        return;
    fuzz_check_tensors(lt_npz_parse(zip, size, "fuzz", &file), file);
    free(zip);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lt_tensor_file *file;
    if (n > 1 << 20)
        return 0;
    fuzz_check_tensors(lt_npz_parse(bytes, n, "fuzz", &file), file);
    parse_as_member(bytes, (uint32_t)n);
    return 0;
}
