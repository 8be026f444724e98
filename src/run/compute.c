// compute.c - options that say where a run computes, and the backend they stand for.
#include "lethe/machine.h"
#include "run/run_impl.h"
#include <string.h>

static const lt_opt_value precisions[] = {
    {"f32", LT_PRECISION_F32, "everything in single precision"},
    {"bf16", LT_PRECISION_BF16,
     "operands of convolutions are rounded to bf16; sums, weights, statistics and attacks stay f32"},
    {NULL, 0, NULL},
};
static const lt_opt_value conv_algorithms[] = {
    {"auto", LT_CONV_AUTO, "the fastest, measured once per shape"},
    {"winograd", LT_CONV_WINOGRAD, "the same without the library's Winograd, which its newer versions lack"},
    {"direct", LT_CONV_DIRECT, "direct and GEMM algorithms, without Winograd: a numerical reference, slower"},
    {NULL, 0, NULL},
};
const lt_option lt_compute_options[] = {
    LT_STR(lt_compute, device, "cpu", "where to compute: cpu, or cuda[:GPU][,key=value...]"),
    LT_STR(lt_compute, backend, "auto", "compute backend: auto, or one that `lethe doctor` lists"),
    LT_ENUM(lt_compute, precision, LT_PRECISION_F32, precisions,
            "operand precision of matrix products in training and evaluation"),
    LT_ENUM(lt_compute, conv_algorithm, LT_CONV_AUTO, conv_algorithms, "algorithms of convolutions"),
    LT_BOOL(lt_compute, deterministic, 0, "bit-identical for any --threads: sums in a fixed order, no autotuning"),
    LT_BOOL(
        lt_compute, checkpoint_activations, 0,
        "activation checkpointing: keep activations at the borders of segments only and rematerialize the others; less "
        "memory, identical results, about a third more time"),
    LT_OPT_END,
};
const lt_option lt_threads_options[] = {
    LT_I32(lt_threads, threads, 0, 0, 4096, "", "compute threads; 0 = every core this process may use"),
    LT_I32(lt_threads, loader_threads, 1, 0, 64, "", "threads that prepare batches; the result does not depend on it"),
    LT_BOOL(lt_threads, oversubscribe, 0, "allow --threads to exceed the number of cores this process may use"),
    LT_OPT_END,
};

unsigned lt_compute_plan_flags(const lt_compute *compute)
{
    static const unsigned by_algorithm[] = {
        [LT_CONV_AUTO] = 0, [LT_CONV_WINOGRAD] = LT_PLAN_OWN_WINOGRAD, [LT_CONV_DIRECT] = LT_PLAN_NO_WINOGRAD};
    return by_algorithm[compute->conv_algorithm] | (compute->precision == LT_PRECISION_BF16 ? LT_PLAN_BF16 : 0u) |
           (compute->deterministic ? LT_PLAN_FIXED_ORDER : 0u) |
           (compute->checkpoint_activations ? LT_PLAN_CHECKPOINT : 0u);
}

const char *lt_compute_backend_name(const lt_compute *compute)
{
    return strcmp(compute->device, "cpu") == 0 ? compute->backend : compute->device;
}

lt_status lt_compute_open(const lt_compute *compute, const lt_threads *threads, lt_env *env)
{
    LT_TRY(lt_backend_create(lt_compute_backend_name(compute),
                             threads->threads > 0 ? threads->threads : lt_usable_cores(), &env->backend));
    env->loader_threads = threads->loader_threads;
    env->plan_flags = lt_compute_plan_flags(compute);
    return LT_OK;
}
