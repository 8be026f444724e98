// plan.h - a graph compiled for one backend, batch size and mode.
//
// A plan computes `outs` and the gradient of a scalar (or a vector-Jacobian product with a caller's seed) with respect
// to any values: inputs, parameters or temporaries. Compilation is: copy -> mode -> fuse -> gradient nodes -> layouts
// -> memory -> bind. A plan borrows its backend and owns its slabs. Build once, run many times: running allocates
// nothing. One thread may run a plan at a time; different plans may run in parallel.
#ifndef LT_PLAN_H
#define LT_PLAN_H
#include "lethe/graph.h"
LT_BEGIN

typedef struct lt_backend lt_backend;
typedef struct lt_plan lt_plan;

// A process-wide, immutable registry row is instantiated for a number of threads (0 = one per core). name: "ref",
// "onednn", "auto" (best built in), or a device: "cuda[:index][,key=value...]" (docs/cuda.md).
// LT_E_UNSUPPORTED when the device's library, driver or GPU is missing (says which), LT_E_USAGE for a bad name.
LT_API lt_status lt_backend_create(const char *name, int n_threads, lt_backend **backend);
LT_API void lt_backend_destroy(lt_backend *backend);
LT_API const char *lt_backend_name(const lt_backend *backend);
LT_API const char *lt_backend_version(const lt_backend *backend); // e.g. "oneDNN 2.6.3, AVX-512"
LT_API int lt_backend_n_threads(const lt_backend *backend);
LT_API const char *const *lt_backend_names(void); // on the CPU, all built in, NULL-terminated
LT_API const char *const *lt_device_names(void);  // with memory of their own; whether one works says lt_backend_create

enum {                          // lt_plan_spec.flags: NO_ switches a pass off: the numbers must stay the same
    LT_PLAN_NO_FUSE = 1,        // bn+relu, add+scale+relu, sums, ReLUs and masks after convolutions
    LT_PLAN_NO_FOLD = 2,        // eval batch norm folded into the convolution before it
    LT_PLAN_NO_REUSE = 4,       // one buffer per value instead of liveness-based slab offsets
    LT_PLAN_NO_TUNE = 8,        // first suitable implementation instead of the fastest one
    LT_PLAN_NO_LAYOUT = 16,     // plain NCHW everywhere
    LT_PLAN_NO_RECOMPUTE = 32,  // keep every activation for the gradient, also those that are cheap to make again
    LT_PLAN_BF16 = 64,          // convolutions may multiply values rounded to bf16; sums and all tensors stay f32
    LT_PLAN_NO_WINOGRAD = 128,  // convolutions by their definition only, however slow
    LT_PLAN_OWN_WINOGRAD = 256, // not the library's Winograd, which its newer versions lack
    LT_PLAN_FIXED_ORDER = 512, // every sum in an order that the shape alone decides, no choice by timing: the same bits
                               // with any number of threads of the backend
    LT_PLAN_CHECKPOINT = 1024, // training: only the borders of segments are kept for the gradient, the rest is computed
                               // again with the same bits: less memory, about a third more time
};

typedef struct lt_plan_spec {
    const lt_val *outs; // values to compute, in the caller's graph
    int n_outs;
    lt_val grad_of;    // scalar to differentiate, or any value when `seed` is given; LT_NONE = forward only
    lt_val seed;       // INPUT of grad_of's shape: cotangent of a vector-Jacobian product; LT_NONE = 1 for a scalar
    const lt_val *wrt; // values to differentiate with respect to; ignored when grad_of is LT_NONE
    int n_wrt;
    bool wrt_params; // also with respect to every PARAM value that grad_of depends on: lands in the gradient slab
    int64_t batch;   // replaces LT_BATCH
    bool train;      // batch norm mode
    lt_dtype dtype;  // LT_F32, or LT_F64 (ref only)
    unsigned flags;
    size_t keep_bytes; // training: activations are kept for the gradient up to this size, beyond it those that are
                       // cheap to make again are; 0 = 256 MiB on the CPU, 8 GiB on a device. Changes no number.
} lt_plan_spec;

// Fails with LT_E_SHAPE, LT_E_UNSUPPORTED (names the node), LT_E_NOMEM. The graph may be destroyed afterwards.
LT_API lt_status lt_plan_create(const lt_graph *g, const lt_plan_spec *spec, lt_backend *backend, lt_plan **plan);
LT_API void lt_plan_destroy(lt_plan *plan);

// Slabs of the plan's real type, laid out by lt_value_info.slab_offset, borrowed until rebound. grads may be NULL when
// the plan does not make parameter gradients (wrt_params); they are overwritten, not accumulated into.
LT_API lt_status lt_plan_bind(lt_plan *plan, void *params, void *state, void *grads);
// Tell the plan that params or state changed since its last run, so that packed weights are repacked.
// Train-mode runs that update state do not need it for themselves. On a device, what lt_train_run left on it counts as
// newer than the caller's slab; hooks of a job say when the slab is up to date (lt_job.on_step).
LT_API void lt_plan_params_changed(lt_plan *plan);

// Host pointer, plain row-major layout, of an INPUT (to write before a run) or of one of `outs` (to read after it).
// Stays the same for the plan's life. NULL when v is neither.
LT_API void *lt_plan_buffer(lt_plan *plan, lt_val v);
// Gradient with respect to wrt[i], plain layout.
LT_API void *lt_plan_grad(lt_plan *plan, int i);

LT_API lt_status lt_plan_run(lt_plan *plan); // one batch: outputs and, when there are any, gradients

// The two halves of a run of an evaluation-mode plan with a seed, so that the seed may be chosen after the outputs are
// known (losses on the host, early stops). run_forward makes `outs` and keeps the activations; run_backward makes the
// gradients from them and from the seed as it is then. Their bits are those of lt_plan_run. Several backward halves may
// follow one forward half when the plan has LT_PLAN_NO_REUSE (else the first one reuses the memory of activations).
// LT_E_UNSUPPORTED for training plans.
LT_API lt_status lt_plan_run_forward(lt_plan *plan);
LT_API lt_status lt_plan_run_backward(lt_plan *plan);

typedef struct lt_plan_stats {
    double flop;        // nominal floating point operations of one run (2 per multiply-add, padding counted)
    int64_t slab_bytes; // activations, gradients and scratch
    int n_kernels, n_reorders, n_ref_fallbacks;
} lt_plan_stats;
LT_API lt_plan_stats lt_plan_get_stats(const lt_plan *plan); // counted when the plan was made
// One line per kernel: node, op, shapes, implementation, algorithm, layouts, microseconds when timed at plan time;
// reorders and reference fallbacks marked. malloc'ed; the caller frees. NULL when out of memory.
LT_API char *lt_plan_dump(const lt_plan *plan);

LT_END_DECLS
#endif
