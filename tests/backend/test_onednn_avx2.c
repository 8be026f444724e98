// test_onednn_avx2.c - the op tests with oneDNN held to AVX2. The variable must be set before the library is first
// used, hence a program of its own.
#define LT_TEST_ISA "AVX2"
#include "backend/test_onednn_ops.c"
