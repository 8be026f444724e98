// ref_impl.h - what the files of the reference backend share.
//
// Every kernel is written once, in ref_<family>.inc, over a type REAL, and compiled for float and for double.
// Reductions are accumulated in double, in index order, so results do not depend on anything but the inputs.
#ifndef LT_REF_IMPL_H
#define LT_REF_IMPL_H
#include "graph/backend.h"

typedef struct lti_ref_call { // what a kernel knows about its call
    lt_attr attr;
    int n_in;
    lt_arg arg[LT_KERNEL_MAX_ARGS]; // inputs, then outputs
    lt_status (*run)(const struct lti_ref_call *c, void *const *arg, void *scratch);
} lti_ref_call;

typedef lt_status (*lti_ref_fn)(const lti_ref_call *c, void *const *arg, void *scratch);
typedef struct lti_ref_row {
    const lt_op *op;
    lti_ref_fn f32, f64;
    size_t (*scratch)(const lti_ref_call *c); // bytes; NULL = none
} lti_ref_row;

// Tables of the families, each ended by a row without an op.
extern const lti_ref_row lti_ref_conv[], lti_ref_norm[], lti_ref_pool[], lti_ref_elementwise[], lti_ref_linear[],
    lti_ref_loss[], lti_ref_quant[], lti_ref_ensemble[], lti_ref_time[];

static inline int64_t lti_ref_count(const lt_shape *s, int from) // product of the dimensions from `from` on
{
    int64_t n = 1;
    for (int i = from; i < s->n_dims; i++)
        n *= s->dim[i];
    return n;
}
// Bytes of doubles for one plane of the output: room to accumulate in.
static inline size_t lti_ref_out_plane(const lti_ref_call *c)
{
    return (size_t)lti_ref_count(&c->arg[c->n_in].shape, 2) * sizeof(double);
}
#endif
