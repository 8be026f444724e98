// cuda_test.h - opening the emulated card, or a real one: with LETHE_TEST_CARD=1 these tests run on that (bench/gpu/run
// does), without those that need to break the GPU or count what it is asked for.
#ifndef LT_CUDA_TEST_H
#define LT_CUDA_TEST_H
#include "cuda/emu.h"
#include "lethe/plan.h"
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>

static const char emu_path[] = LT_TEST_BINARY_DIR "/tests/liblethe_cuda_emu.so";

static inline int emu_is_used(void)
{
    return !getenv("LETHE_TEST_CARD");
}

// fault: see emu.c; NULL = none
static inline void emu_use(const char *fault)
{
    setenv("LETHE_CUDA_PLUGIN", emu_is_used() ? emu_path : LT_TEST_BINARY_DIR "/cli/liblethe_cuda.so", 1);
    if (fault)
        setenv("LETHE_EMU", fault, 1);
    else
        unsetenv("LETHE_EMU");
}

static inline emu_counts *emu_count(void)
{
    void *library = dlopen(emu_path, RTLD_NOW | RTLD_LOCAL), *symbol = library ? dlsym(library, EMU_COUNTS) : NULL;
    emu_counts_function *f;
    memcpy(&f, &symbol, sizeof f);
    return f ? f() : NULL;
}
#endif
