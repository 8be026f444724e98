// fuzz_npz.c - arbitrary bytes as an .npz archive, and as the only member of a sound one.
//
// The second half keeps the fuzzer from spending its time on checksums: the archive around the bytes is always right.
#include "fuzz_tensors.h"
#include <zlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static unsigned char *put(unsigned char *p, uint32_t value, int n_bytes)
{
    for (int i = 0; i < n_bytes; i++)
        *p++ = (unsigned char)(value >> 8 * i);
    return p;
}

static unsigned char *put_common(unsigned char *p, uint32_t crc, uint32_t n)
{
    p = put(p, 20, 2);
    p = put(p, 0, 2);
    p = put(p, 0, 2); // stored
    p = put(p, 33 << 16, 4);
    p = put(p, crc, 4);
    p = put(p, n, 4);
    p = put(p, n, 4);
    p = put(p, 5, 2);
    return put(p, 0, 2);
}

static void parse_as_member(const uint8_t *bytes, uint32_t n)
{
    unsigned char *zip = malloc((size_t)n + 200), *p = zip;
    lt_tensor_file *file;
    const uint32_t crc = (uint32_t)crc32_z(crc32_z(0, NULL, 0), bytes, n);
    if (!zip)
        return;
    p = put(p, 0x04034b50, 4);
    p = put_common(p, crc, n);
    memcpy(p, "a.npy", 5);
    p += 5;
    if (n)
        memcpy(p, bytes, n);
    p += n;
    const uint32_t directory = (uint32_t)(p - zip);
    p = put(p, 0x02014b50, 4);
    p = put(p, 20, 2);
    p = put_common(p, crc, n);
    p = put(p, 0, 2);
    p = put(p, 0, 4);
    p = put(p, 0, 4);
    p = put(p, 0, 4); // offset
    memcpy(p, "a.npy", 5);
    p += 5;
    const uint32_t directory_bytes = (uint32_t)(p - zip) - directory;
    p = put(p, 0x06054b50, 4);
    p = put(p, 0, 4);
    p = put(p, 1, 2);
    p = put(p, 1, 2);
    p = put(p, directory_bytes, 4);
    p = put(p, directory, 4);
    p = put(p, 0, 2);
    fuzz_check_tensors(lt_npz_parse(zip, (size_t)(p - zip), "fuzz", &file), file);
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
