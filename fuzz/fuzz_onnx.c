// fuzz_onnx.c - arbitrary bytes as an ONNX model, and as the graph of a sound one.
#include "fuzz_tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

// A message around the bytes whose length is always right.
static void parse_as_graph(const uint8_t *bytes, size_t n)
{
    uint8_t head[16] = {0x08, 7, 0x3a};
    size_t used = 3;
    for (size_t left = n; used == 3 || left; left >>= 7)
        head[used++] = (uint8_t)((left & 127) | (left > 127 ? 128 : 0));
    fuzz_parse_after(head, used, bytes, n, lt_onnx_parse);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    lt_tensor_file *file;
    if (n > 1 << 20)
        return 0;
    fuzz_check_tensors(lt_onnx_parse(bytes, n, "fuzz", &file), file);
    parse_as_graph(bytes, n);
    return 0;
}
