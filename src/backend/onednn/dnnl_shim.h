// dnnl_shim.h - the part of the oneDNN C API that differs between the 2.x (2.6 and later) and the 3.x generation.
//
// In 2.x a memory descriptor is a struct and every operation has its own descriptor that is turned into a
// primitive descriptor; in 3.x memory descriptors are opaque handles and primitive descriptors are made in one call.
// Everything else we use (engines, streams, memories, queries, execution) is the same in both and is called directly.
#ifndef LT_DNNL_SHIM_H
#define LT_DNNL_SHIM_H
#include <oneapi/dnnl/dnnl.h>
#include "lethe/status.h"

#if DNNL_VERSION_MAJOR < 3
typedef const dnnl_memory_desc_t *lti_md;
#else
typedef const_dnnl_memory_desc_t lti_md;
#endif

typedef enum lti_conv_pass { LTI_CONV_FWD, LTI_CONV_DX, LTI_CONV_DW } lti_conv_pass;

// A two-dimensional convolution with square stride and zero padding, one of its three passes.
typedef struct lti_conv_spec {
    lti_conv_pass pass;
    bool winograd;     // else direct
    bool inference;    // forward: the weights may take a format that only pays when they are constant
    bool relu;         // forward: max(0, .) at the end
    lti_md x, w, b, y; // b: NULL = no bias. Descriptors with format "any" leave the layout to the implementation.
    lti_md hint_x, hint_w, hint_y;    // backward: the same in types that a forward convolution knows
    dnnl_dim_t stride, pad, dilation; // dilation: 1 = none
} lti_conv_spec;

lt_status lti_dnnl_check(dnnl_status_t s, const char *what);
#define LT_TRY_DNNL(call) LT_TRY(lti_dnnl_check((call), #call))

lt_status lti_md_create(int n_dims, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag, lti_md *md);
void lti_md_destroy(lti_md md); // only what lti_md_create made; NULL is fine

// The index-th implementation oneDNN offers, scratchpad owned by the caller. *pd = NULL when there are fewer.
lt_status lti_dnnl_conv_pd(dnnl_engine_t engine, const lti_conv_spec *spec, int index, dnnl_primitive_desc_t *pd);
lt_status lti_dnnl_reorder_pd(dnnl_engine_t engine, lti_md from, lti_md to, dnnl_primitive_desc_t *pd);
#endif
