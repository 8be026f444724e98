// plan_impl.h - a plan from the inside, and the steps of its compilation.
//
// A tensor is one value in one layout in memory; a value has at most one tensor per layout. A step is one kernel call
// on tensors. Compilation: passes rewrite the plan's own graph -> lti_plan_bind_kernels turns nodes into steps and
// tensors, inserting reorders -> lti_plan_place gives every tensor an offset in a slab.
#ifndef LT_PLAN_IMPL_H
#define LT_PLAN_IMPL_H
#include "graph/backend.h"
#include "graph/graph_impl.h"

typedef enum lti_place { // which slab
    LTI_ACT,             // reused by liveness
    LTI_PERSISTENT,      // never shared: inputs, outputs, constants, what is computed from parameters only
    LTI_PARAM,
    LTI_STATE,
    LTI_GRAD,
    LTI_N_PLACES
} lti_place;

typedef struct lti_tensor {
    lt_val value;
    lt_layout layout;
    lti_place place;
    size_t bytes, offset;
    int32_t storage;     // tensor whose memory it uses: itself, or the base of a view or of an in-place result
    int32_t first, last; // steps of its life; first = -1: before all steps
} lti_tensor;

typedef struct lti_step {
    lt_kernel kernel;
    int32_t node;                    // -1: a copy or reorder
    int32_t arg[LT_KERNEL_MAX_ARGS]; // tensors, inputs then outputs
    void *ptr[LT_KERNEL_MAX_ARGS];
    int n_in, n_args;
    size_t prepared_offset; // in LTI_PERSISTENT
    bool prologue;          // depends on parameters and state only: runs when they changed
    bool prepare_always;    // more than one input changes: prepare before every run
    bool fallback;          // reference kernel in a plan of another backend
} lti_step;

typedef struct lti_plan_memory { // of one plan, or of several that never run at the same time
    int n_users;
    size_t act_bytes, scratch_bytes;
    void *act, *scratch;
} lti_plan_memory;
void lti_plan_memory_release(lti_plan_memory *memory); // NULL is fine

struct lt_plan {
    lt_graph *g; // rewritten copy; the caller's values keep their numbers
    lt_backend *backend;
    lt_dtype real;
    int64_t batch;
    bool train, wrt_params;
    unsigned flags;

    lti_tensor *tensor;
    lti_step *step;
    int32_t n_tensors, cap_tensors, n_steps, cap_steps;
    int32_t (*of_value)[LT_N_LAYOUTS]; // (n_values) tensor by layout, -1 = none
    bool *constant; // (n_values) known before a run: parameters, state, constants and what depends only on them
    bool *keep;     // (n_values) the caller reads it
    int32_t n_user_values, n_wrt, n_param_grads;
    lt_val *grad_value; // (n_wrt + n_param_grads) gradient values; LT_NONE = zero
    lt_val *param;      // (n_param_grads) the PARAM each of the later ones belongs to
    int32_t *shown;     // (n_user_values) tensor of an INPUT or output, -1 = not readable
    int32_t *grad;      // (n_wrt) tensors
    int32_t backward;   // first step that depends on the seed; n_steps when there is none
    lt_val seed;

    char *slab[LTI_N_PLACES]; // ACT and KEEP owned, the others the caller's
    size_t slab_bytes[LTI_N_PLACES], scratch_bytes;
    void *scratch;
    struct lti_plan_memory *memory; // what slab[ACT] and scratch lie in; NULL on a device
    const lt_plan *donor;           // while it is compiled
    bool is_guest;
    bool bound, dirty; // dirty: parameters or state changed since the last run
    lt_plan_stats stats;
    struct lti_device_plan *device_plan; // of a backend with memory of its own, else NULL
};

// plan_device.c - the part of a plan that lies on a device.
// Recordings of a plan: without and with what depends on parameters only, and the halves.
enum { LTI_CAPTURE_FORWARD = 2, LTI_CAPTURE_BACKWARD, LTI_N_CAPTURES };
typedef struct lti_device_plan {
    char *host;          // what the caller reads and writes: one piece, offsets by tensor
    size_t *host_offset; // (n_tensors)
    size_t host_bytes;
    bool *produced_on_device; // (n_user_values) inputs that are not copied from the host
    bool keep, keep_outputs;  // gradients and state stay on the device; outputs, gradients of wrt
    struct lti_device_copy *device_copy[LTI_N_PLACES]; // PARAM, STATE, GRAD
    void *captured[LTI_N_CAPTURES];
    int64_t n_runs; // since the last bind
} lti_device_plan;
lt_status lti_device_plan_create(lt_plan *plan); // slabs, scratch and constants; after lti_plan_place placed everything
void lti_device_plan_destroy(lt_plan *plan);
lt_status lti_device_plan_bind(lt_plan *plan, void *const slab[LTI_N_PLACES]);
void lti_device_plan_params_changed(lt_plan *plan);
void *lti_device_plan_host(const lt_plan *plan, int32_t tensor);
lt_status lti_device_plan_run(lt_plan *plan);
lt_status lti_plan_run_steps(const lt_plan *plan, bool fresh);                     // plan.c
lt_status lti_plan_run_half_steps(const lt_plan *plan, bool backward, bool fresh); // likewise
lt_status lti_device_plan_run_half(lt_plan *plan, bool backward);

// ---- passes over the plan's graph
lt_status lti_pass_concrete(lt_graph *g, int64_t batch, lt_dtype real); // batch size and real type become facts
lt_status lti_pass_mode(lt_graph *g, bool train);                       // bn -> bn_train or bn_eval
// fixed[v]: somebody outside reads v, so it must go on existing. depends[v]: its gradient is wanted.
lt_status lti_pass_fold(lt_graph *g, const bool *fixed, const bool *depends);
lt_status lti_pass_fuse(lt_graph *g, const bool *fixed);
// After the gradient; keep as below. in_place: kernels may add to what another one made.
lt_status lti_pass_fuse_epilogue(lt_graph *g, bool in_place, const bool *keep);
// keep[v]: the caller reads v. budget: bytes that may live until the gradient before anything is rematerialized.
lt_status lti_pass_rematerialize(lt_graph *g, const bool *keep, size_t budget);
// keep[v]: the caller reads v. Values inside of segments are computed again for the gradient.
lt_status lti_pass_checkpoint(lt_graph *g, const bool *keep);
// A new list of nodes takes the place of the old one; forward nodes are found again by a value they make.
lt_status lti_graph_install(lt_graph *g, lt_node *node, int32_t n_nodes);
// Removes the nodes that nothing in roots (n_values) needs; nodes with side effects stay when keep_effects.
lt_status lti_pass_eliminate_dead(lt_graph *g, const bool *roots, bool keep_effects);
void lti_graph_compact(lt_graph *g); // closes the gaps left by nodes whose op was set to NULL
// Readers of every value: n_uses[v], and the last node that reads it (-1 = none).
void lti_graph_uses(const lt_graph *g, int32_t *n_uses, int32_t *user);

lt_status lti_plan_bind_kernels(lt_plan *plan, const lt_val *wrt);
lt_status lti_plan_place(lt_plan *plan);
void lti_fill_constants(const lt_plan *plan, char *keep); // keep: the slab LTI_PERSISTENT, or what will be copied to it
void lti_plan_resolve(lt_plan *plan);                     // pointers of all steps from slabs and offsets

// Copies a value between layouts; elem is 4 or 8 bytes.
void lti_reorder(const lt_shape *shape, size_t elem, lt_layout from, const void *src, lt_layout to, void *dst);
#endif
