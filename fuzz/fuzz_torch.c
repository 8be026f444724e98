// fuzz_torch.c - arbitrary bytes as a PyTorch checkpoint: of the plain form, with and without its fixed beginning, and
// as the description in a zip archive.
#include "fuzz_tensors.h"
#include "fuzz_zip.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void parse_as_zip(const uint8_t *bytes, uint32_t n)
{
    static const uint8_t elements[16] = {0, 0, 0x80, 0x3f};
    const fuzz_member member[] = {
        {"a/data.pkl", bytes, n}, {"a/data/0", elements, sizeof elements}, {"a/data/1", elements, 4}};
    lt_tensor_file *file;
    size_t size;
    unsigned char *zip = fuzz_zip(member, 3, &size);
    if (!zip)
        return;
    fuzz_check_tensors(lt_npz_parse(zip, size, "fuzz", &file), file);
    free(zip);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.";
    lt_tensor_file *file;
    if (n > 1 << 20)
        return 0;
    fuzz_check_tensors(lt_torch_stream_parse(bytes, n, "fuzz", &file), file);
    fuzz_parse_after(head, sizeof head - 1, bytes, n, lt_torch_stream_parse); // the magic number is long
    parse_as_zip(bytes, (uint32_t)n);
    return 0;
}
