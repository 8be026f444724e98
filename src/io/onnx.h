// onnx.h - ONNX models: the messages of one that is written, and the tensors of one that is read. Field numbers are
// those of onnx.proto; docs/decisions/0016-onnx-writer.md says why no library does this.
#ifndef LT_IO_ONNX_H
#define LT_IO_ONNX_H
#include "base/base.h"
#include "lethe/tensorfile.h"

enum { LTI_ONNX_FLOAT = 1, LTI_ONNX_UINT8 = 2, LTI_ONNX_INT8 = 3, LTI_ONNX_INT64 = 7 }; // element types

// A graph that grows; want of memory is kept until it is saved. Zero it before use, lti_onnx_clear it after.
typedef struct lti_onnx {
    lti_buf graph;
} lti_onnx;

enum { LTI_ONNX_MAX_INTS = 4 };
typedef struct lti_onnx_attr { // lists of them end with {0}
    const char *name;
    int type, n; // AttributeProto.AttributeType
    int64_t ints[LTI_ONNX_MAX_INTS];
    float real;
    const char *text;
} lti_onnx_attr;
#define LTI_ONNX_REAL(attr, value)                                                                                     \
    {                                                                                                                  \
        .name = (attr), .type = 1, .real = (value)                                                                     \
    }
#define LTI_ONNX_INT(attr, value)                                                                                      \
    {                                                                                                                  \
        .name = (attr), .type = 2, .n = 1, .ints = {(value) }                                                          \
    }
#define LTI_ONNX_TEXT(attr, value)                                                                                     \
    {                                                                                                                  \
        .name = (attr), .type = 3, .text = (value)                                                                     \
    }
#define LTI_ONNX_INTS(attr, count, ...)                                                                                \
    {                                                                                                                  \
        .name = (attr), .type = 7, .n = (count), .ints = { __VA_ARGS__ }                                               \
    }

// An initializer; dimensions of a scalar: none.
void lti_onnx_put_tensor(lti_onnx *m, const char *name, int type, const int64_t *dim, int n_dims, const void *data,
                         size_t bytes);
// A node of one output, which has its name. in: ends with NULL; attr may be NULL.
void lti_onnx_put_node(lti_onnx *m, const char *op, const char *const *in, const char *out, const lti_onnx_attr *attr);
#define LTI_ONNX_NODE(m, op, out, attr, ...)                                                                           \
    lti_onnx_put_node(m, op, (const char *const[]){__VA_ARGS__, NULL}, out, attr)
// An input or output of the graph, F32; a negative dimension is the number of samples.
void lti_onnx_put_input(lti_onnx *m, const char *name, const int64_t *dim, int n_dims);
void lti_onnx_put_output(lti_onnx *m, const char *name, const int64_t *dim, int n_dims);
// Atomic. meta: the entries of metadata_props. LT_E_NOMEM when anything before had no memory.
lt_status lti_onnx_save(lti_onnx *m, int opset, const lt_meta *meta, int n_meta, const char *path);
void lti_onnx_clear(lti_onnx *m);

enum { LTI_ONNX_HEAD = 16 };
bool lti_onnx_begins(const void *head, size_t n); // do these bytes begin an ONNX model?
#endif
