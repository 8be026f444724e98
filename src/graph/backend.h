// backend.h - what a compute backend implements. Only this header and op.h are known to backends.
//
// A backend is a vtable. The plan asks it, node by node, for a kernel: bind() reads the op, the attributes, the
// concrete shapes and the layouts offered, and returns a kernel with its own chosen layouts, or LT_E_UNSUPPORTED, in
// which case the plan uses the reference kernel on plain layouts. The plan inserts reorder kernels where layouts
// differ, allocates every buffer (also scratch) and calls kernels in order.
#ifndef LT_BACKEND_H
#define LT_BACKEND_H
#include "base/l2_ball.h"
#include "graph/op.h"
#include <pthread.h>
#include "lethe/plan.h"

// How a value lies in memory. PLAIN is row-major. BLOCKED16 is nChw16c: (N, ceil(C/16), H, W, 16), the channel tail
// filled with zeros (every kernel keeps it zero). NHWC is (N, H, W, C); NHWC_BF16 the same with real elements rounded
// to bfloat16, half the bytes. Only 4-d values are ever in another layout than PLAIN.
typedef enum lt_layout {
    LT_LAYOUT_PLAIN,
    LT_LAYOUT_BLOCKED16,
    LT_LAYOUT_NHWC,
    LT_LAYOUT_NHWC_BF16,
    LT_N_LAYOUTS
} lt_layout;

enum { LT_KERNEL_MAX_ARGS = 12 };

// Concrete tensor description handed to bind: batch substituted.
typedef struct lt_arg {
    lt_shape shape;
    lt_dtype dtype;   // F32 or F64 = the plan's real type; I32 for labels and pool indices
    lt_role role;     // in plans that do not train, a TEMP made of PARAM, STATE and CONST values only is given as CONST
    lt_layout layout; // in: layout in which the value will be available (producer's); the kernel may ask for another
} lt_arg;

typedef struct lt_kernel {
    // Run. arg[i]: inputs then outputs, in the layouts of `layout`; absent optional inputs are NULL. scratch:
    // scratch_bytes, 64-byte aligned, content undefined between calls. Must be deterministic for a fixed thread count
    // and must not allocate.
    lt_status (*run)(const struct lt_kernel *k, void *const *arg, void *scratch);
    void (*destroy)(struct lt_kernel *k); // may be NULL
    void *data;                           // the kernel's own
    lt_layout layout[LT_KERNEL_MAX_ARGS]; // inputs then outputs: what this kernel needs and makes
    // prepare: if not NULL, called instead of run's own preparation whenever params or state changed (before the next
    // run), e.g. weight reorders into `prepared` (prepared_bytes). Lets plans with constant parameters reorder weights
    // once: then the memory is the kernel's own and begins as zeros. Where it is called before every run, as in
    // training, kernels share one piece of memory and find in it what another one left. It may read only inputs that
    // were made before, and only those in prepare_reads where that is set; when one of these is not constant, or
    // without the set more than one input, it is called before every run, so a kernel may prepare its weights whatever
    // their role.
    lt_status (*prepare)(const struct lt_kernel *k, void *const *arg, void *prepared);
    unsigned prepare_reads; // bit i: input i; 0 = not known
    void *prepared;         // set by the plan before the first prepare/run
    size_t prepared_bytes, scratch_bytes;
    // threads > 0: scratch begins with a piece for each of so many threads, thread_stride bytes apart, and
    // scratch_bytes counts them. A plan may enlarge the stride before the first run: then a thread has the same piece
    // in every kernel and finds it in its own caches.
    int threads;
    size_t thread_stride;
    unsigned in_place; // bit i: the first output may lie where input i does, if it is not read afterwards
    char impl[96];     // for the dump: "onednn jit_wino_4x3 f32", "ref", "blk16 bn_relu"
    double tuned_us;   // time measured at plan time, 0 = not timed
    char tuned[160];   // the candidates and their times, for the log; may be empty
} lt_kernel;

typedef struct lt_bind_in {
    const lt_op *op;
    const lt_attr *attr;
    int n_in, n_out;
    const lt_arg *arg; // n_in inputs then n_out outputs
    lt_dtype real;     // F32 or F64
    bool train;
    unsigned flags; // of lt_plan_spec
} lt_bind_in;

// ---- backends with memory of their own
// A device backend has these calls. The plan then keeps activations, scratch and what kernels prepare on the device,
// and a copy of its own (a mirror) of each of the caller's slabs; it copies inputs, outputs and slabs over when one
// side has something newer. Pointers that kernels get are device pointers, and run() only queues work: everything a
// backend is given runs in the order in which it was given, and sync waits for it. Calls of one backend are never made
// by two threads at once (the plan holds lt_backend.device_lock).
typedef struct lt_device_update { // one step of the optimizer, optim.c; all pointers on the device, (n)
    float *p, *m, *v;             // v NULL: SGD
    const float *g;
    const uint8_t *mask; // or NULL
    int64_t n;
    bool nesterov;
    float lr, momentum, weight_decay, l1, decay, beta1, beta2, c1, c2, root_bc2, eps;
    uint32_t *bad; // (1) set to 1 when an updated parameter is not finite
} lt_device_update;

typedef struct lt_device_images { // one batch made from images that lie on the device, base/augment.h
    const void *const *image;     // (n) where: (C,H,W) bytes or floats
    const int64_t *id;            // (n)
    const int32_t *tag;           // (n)
    const uint8_t *how;           // (n) LTI_IMAGE_AUGMENT: crop and flip; LTI_IMAGE_FLOATS: no bytes
    int32_t n, c, h, w, pad;
    uint64_t seed;
    uint32_t epoch;
    float *x; // (n,C,H,W)
} lt_device_images;

// Between two gradients of an attack, base/l2_ball.h; d: values of an image. Pointers on the device.
typedef struct lt_device_rows { // to (n,d): its row i is row index[i] of from
    const float *from;          // (rows,d)
    const int32_t *index;       // (n)
    int32_t n, d;
    float *to;
} lt_device_rows;

typedef struct lt_device_attack_eval { // what a run of a plan gave
    const float *z, *g;                // (n,k) logits, (n,d) gradients
    int32_t n, k, d;
    double *part; // (n,LTI_L2_BALL_PARTS) scratch
    lti_row_stats *stats;
} lt_device_attack_eval;

typedef struct lt_device_attack_step { // one step of n rows
    const float *x, *g;                // (rows,d) clean images, gradients
    float *image;                      // (rows,d)
    lti_row_step *move;                // (n)
    int32_t n, d;
    double *part; // (n,LTI_L2_BALL_PARTS) scratch
} lt_device_attack_step;

typedef struct lt_device_ops {
    lt_status (*alloc)(lt_backend *b, size_t bytes, void **p); // zeroed, 256-byte aligned; LT_E_NOMEM says what is free
    void (*release)(lt_backend *b, void *p);                   // NULL is fine
    lt_status (*host_alloc)(lt_backend *b, size_t bytes, void **p); // memory that copies fast; zeroed
    void (*host_release)(lt_backend *b, void *p);
    // Queued: the host side must stay until sync.
    lt_status (*upload)(lt_backend *b, void *device, const void *host, size_t bytes);
    lt_status (*download)(lt_backend *b, void *host, const void *device, size_t bytes);
    lt_status (*zero)(lt_backend *b, void *device, size_t bytes);
    lt_status (*copy)(lt_backend *b, void *to, const void *from, size_t bytes); // device to device
    lt_status (*sync)(lt_backend *b); // waits, and reports what failed since the last sync
    // What is given between begin and end is kept as one recording instead of running; end also when a call between
    // failed (*recording may then be NULL). A recording is replayed with the same pointers.
    lt_status (*capture_begin)(lt_backend *b);
    lt_status (*capture_end)(lt_backend *b, void **captured);
    lt_status (*captured_launch)(lt_backend *b, void *captured);
    void (*captured_free)(lt_backend *b, void *captured); // NULL is fine
    lt_status (*update)(lt_backend *b, const lt_device_update *u);
    lt_status (*images)(lt_backend *b, const lt_device_images *im);
    lt_status (*rows)(lt_backend *b, const lt_device_rows *r);
    lt_status (*attack_eval)(lt_backend *b, const lt_device_attack_eval *l);
    lt_status (*attack_step)(lt_backend *b, const lt_device_attack_step *c);
} lt_device_ops;

typedef struct lt_backend_ops {
    const char *name, *title;
    lt_status (*open)(lt_backend *b); // fills b->self, b->version; may read b->spec, b->sibling
    void (*close)(lt_backend *b);
    // LT_E_UNSUPPORTED without an error record = "use the reference kernel".
    lt_status (*bind)(lt_backend *b, const lt_bind_in *in, lt_kernel *k);
    // Copy between layouts, 4-byte elements (bfloat16 in LT_LAYOUT_NHWC_BF16), same shape. NULL: plan converts with its
    // own plain loops. A device backend must have it; what fails is reported by the next sync.
    void (*reorder)(lt_backend *b, const lt_shape *shape, lt_layout from, const void *src, lt_layout to, void *dst);
    const lt_device_ops *device; // NULL: kernels work on host memory
} lt_backend_ops;

// A backend is listed in backend/backends.list (devices.list if it has memory of its own) as LT_X(name) and defines
// `const lt_backend_ops lti_backend_<name>`.
struct lt_backend {
    const lt_backend_ops *ops;
    char *spec; // as given to lt_backend_create, "cuda:0,precision=tf32"
    // Of the same spec, or NULL; only while open() runs. A device opens another queue of the same GPU.
    const lt_backend *sibling;
    pthread_mutex_t device_lock;                               // around every use of the device; recursive
    struct lti_device_copy *device_copies;                     // plan_device.c; under the lock
    struct lti_device_buffer_cache *buffer_cache;              // device_buffer_cache.c; shared by sibling backends
    lt_status (*fallback)(const lt_bind_in *in, lt_kernel *k); // lti_ref_bind, given by the registry
    void *self;
    int n_threads;
    char version[96];
};

// Another backend of the same spec, for another thread. On a device: another queue of the same GPU. Work of both may
// read the same memory, and either may release it.
lt_status lti_backend_create_sibling(const lt_backend *first, int n_threads, lt_backend **backend);

// Bytes of a value in a layout (channel padding included).
size_t lti_layout_bytes(const lt_shape *shape, lt_dtype dtype, lt_layout layout);

// ---- plans on a device: what training uses to keep its slabs and images on it between steps
// The device copy of a host slab, shared by everything on this backend that was bound to that slab.
typedef struct lti_device_copy lti_device_copy;
lt_status lti_device_copy_acquire(lt_backend *b, void *host, size_t bytes,
                                  lti_device_copy **m); // the host side counts as newer, unless the device side is
// The host side of the slab at this address was written by the caller: it is copied over before the device uses it
// again. It must not have been the older side. Nothing where the slab has no copy, so also nothing on a CPU.
void lti_mark_host_dirty(lt_backend *b, const void *host);
void lti_device_copy_release(lti_device_copy *m); // NULL is fine
void *lti_device_copy_address(const lti_device_copy *m);
void lti_device_copy_mark_device_dirty(lti_device_copy *m); // the host side is old until lti_device_copy_to_host
lt_status lti_device_copy_to_device(lti_device_copy *m);    // queues a copy if the host side is newer
lt_status lti_device_copy_to_host(lti_device_copy *m);      // copies, and waits, if the device side is newer
// The device copy of host memory that does not change until it is put back, one for all sibling backends.
// put: when no work of this backend uses it any more.
typedef struct lti_device_buffer_cache lti_device_buffer_cache;
lt_status lti_device_buffer_acquire(lt_backend *b, const void *host, size_t bytes, void **device);
void lti_device_buffer_release(lt_backend *b, const void *host, size_t bytes);
lt_status lti_device_buffer_cache_open(lt_backend *b, const lt_backend *sibling); // for the registry
void lti_device_buffer_cache_close(lt_backend *b);
// Is this plan on a device? Then: the address of input v on it (NULL when v is no input); input v is made on it by the
// caller before each run and not copied from lt_plan_buffer; after a run gradients and state are left on the device
// (read them with lti_device_copy_to_host).
bool lti_plan_on_device(const lt_plan *plan);
void *lti_plan_device_input(lt_plan *plan, lt_val v);
void lti_plan_input_produced_on_device(lt_plan *plan, lt_val v, bool produced_on_device);
void lti_plan_keep_on_device(lt_plan *plan, bool keep);
// Address of an output or of the gradient with respect to wrt[i] on the device; NULL when it is none, or on a CPU.
const float *lti_plan_device_output(const lt_plan *plan, lt_val v);
const float *lti_plan_device_grad(const lt_plan *plan, int i);
// Outputs and those gradients are left on it too: a run only queues work, inputs must stay until a sync of the caller.
void lti_plan_keep_outputs_on_device(lt_plan *plan, bool keep);
// The next run prepares parameters again, from the side that is the newer one; does not state which side that is.
void lti_plan_repack_weights(lt_plan *plan);

// The reference backend binds every op, plain layouts, F32 and F64.
lt_status lti_ref_bind(const lt_bind_in *in, lt_kernel *k);
#endif
