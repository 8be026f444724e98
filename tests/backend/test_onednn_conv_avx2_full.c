// test_onednn_conv_avx2_full.c - the convolutions with oneDNN held to AVX2: its kernels then want 8-channel blocks, and
// ours convert. A program of its own as test_onednn_avx2.c.
#define LT_TEST_ISA "AVX2"
#include "backend/test_onednn_conv.c"
