// backend.h - what a compute backend implements. Only this header and op.h are known to backends.
//
// A backend is a vtable. The plan asks it, node by node, for a kernel: bind() looks at the op, the attributes, the
// concrete shapes and the layouts offered, and returns a kernel with its own chosen layouts, or LT_E_UNSUPPORTED, in
// which case the plan uses the reference kernel on plain layouts. The plan inserts reorder kernels where layouts
// differ, allocates every buffer (also scratch) and calls kernels in order.
#ifndef LT_BACKEND_H
#define LT_BACKEND_H
#include "graph/op.h"
#include "lethe/plan.h"

// How a value lies in memory. PLAIN is row-major. BLOCKED16 is nChw16c: (N, ceil(C/16), H, W, 16), the channel tail
// filled with zeros (every kernel keeps it zero). Only 4-d TEMP values are ever blocked.
typedef enum lt_layout { LT_LAYOUT_PLAIN, LT_LAYOUT_BLOCKED16 } lt_layout;

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
    // training, kernels share one piece of memory and find there what another one left. It may read only inputs that
    // were made before; when more than one input is not constant it is called before every run, so a kernel may prepare
    // its weights whatever their role.
    lt_status (*prepare)(const struct lt_kernel *k, void *const *arg, void *prepared);
    void *prepared; // set by the plan before the first prepare/run
    size_t prepared_bytes, scratch_bytes;
    char impl[96];   // for the dump: "onednn jit_wino_4x3 f32", "ref", "blk16 bn_relu"
    double tuned_us; // time measured at plan time, 0 = not timed
    char tuned[160]; // the candidates and their times, for the log; may be empty
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

typedef struct lt_backend_ops {
    const char *name, *title;
    lt_status (*open)(lt_backend *b); // fills b->self, b->version
    void (*close)(lt_backend *b);
    // LT_E_UNSUPPORTED without an error record = "use the reference kernel".
    lt_status (*bind)(lt_backend *b, const lt_bind_in *in, lt_kernel *k);
    // Copy between layouts, 4-byte elements, same shape. NULL: plan converts with its own plain loops.
    void (*reorder)(lt_backend *b, const lt_shape *shape, lt_layout from, const void *src, lt_layout to, void *dst);
} lt_backend_ops;

// A backend is listed in backend/backends.list as LT_X(name) and defines `const lt_backend_ops lti_backend_<name>`.
struct lt_backend {
    const lt_backend_ops *ops;
    lt_status (*fallback)(const lt_bind_in *in, lt_kernel *k); // lti_ref_bind, given by the registry
    void *self;
    int n_threads;
    char version[96];
};

// Bytes of a value in a layout (channel padding included).
size_t lti_layout_bytes(const lt_shape *shape, lt_dtype dtype, lt_layout layout);

// The reference backend binds every op, plain layouts, F32 and F64.
lt_status lti_ref_bind(const lt_bind_in *in, lt_kernel *k);
#endif
