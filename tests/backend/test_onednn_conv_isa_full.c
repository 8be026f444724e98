// test_onednn_conv_isa_full.c - our own convolutions with the loops compiled for other instruction sets than this
// processor's best. A program of its own because it takes longer than all other cases of test_onednn_conv.c.
#define LT_TEST_OTHER_ISA
#include "backend/test_onednn_conv.c"
