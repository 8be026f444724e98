// graph_impl.h - what the files of graph share: the tables behind lt_graph, adding nodes, the gradient pass, shapes.
#ifndef LT_GRAPH_IMPL_H
#define LT_GRAPH_IMPL_H
#include "base/base.h"
#include "graph/op.h"

typedef struct lti_value {
    const char *name; // in the graph's arena
    lt_shape shape;
    lt_dtype dtype;
    lt_role role;
    int64_t slab_offset; // PARAM, STATE: elements; else -1
    int32_t node;        // the node that makes it; -1 = leaf
    double fill;         // CONST: the value of every element
} lti_value;

// Nodes are kept in topological order: a node only reads values made before it. Passes keep that property.
struct lt_graph {
    lti_value *value;
    lt_node *node;
    int32_t n_values, cap_values, n_nodes, cap_nodes;
    int64_t n_params, n_state;
    int32_t fwd;     // forward node of the nodes now being added, -1 outside the gradient pass
    lti_arena arena; // names, attribute arrays
    lt_error error;  // the first builder error
};

// ---- shapes
int64_t lti_shape_count(const lt_shape *s); // elements; dims must be concrete
bool lti_shape_equal(const lt_shape *a, const lt_shape *b);
lt_status lti_shape_check(const char *name, const lt_shape *s); // dims positive (LT_BATCH in front), no overflow
enum { LTI_SHAPE_TEXT = 112 };
const char *lti_shape_text(const lt_shape *s, char out[LTI_SHAPE_TEXT]); // "(N,64,32,32)"
size_t lti_dtype_size(lt_dtype dtype);
static inline bool lti_is_real(lt_dtype dtype)
{
    return dtype == LT_F32 || dtype == LT_F64;
}

// ---- values and nodes. Errors are sticky: after the first one everything returns LT_NONE.
lt_val lti_const(lt_graph *g, lt_shape shape, lt_dtype dtype, double fill);
lt_val lti_new_value(lt_graph *g, const char *name, lt_shape shape, lt_dtype dtype, lt_role role);
// Adds a node; trailing LT_NONE inputs are dropped. out (n_out values) may be NULL. Returns out[0], or LT_NONE.
lt_val lti_emit(lt_graph *g, const lt_op *op, const lt_attr *attr, int n_in, const lt_val *in, lt_val *out);
#define LTI_ATTR(...) (&(lt_attr){__VA_ARGS__})
#define LTI_EMIT(g, op, attr, ...)                                                                                     \
    lti_emit((g), &lt_op_##op, (attr), (int)(sizeof((lt_val[]){__VA_ARGS__}) / sizeof(lt_val)),                        \
             (lt_val[]){__VA_ARGS__}, NULL)
lt_status lti_graph_fail(lt_graph *g, lt_status status); // keeps this thread's record as the graph's first error
void lti_node_text(const lt_graph *g, int32_t node, char *out, size_t out_size); // "node 12 (conv2d of conv1.weight)"
// Runs the node's shape rule on its present inputs; LT_E_SHAPE when it disagrees with the shapes of its outputs.
lt_status lti_node_check(const lt_graph *g, int32_t node);

// ---- gradients as nodes
// depends[v] (n_values): is v computed from one of the values marked in it beforehand.
void lti_graph_mark_dependents(const lt_graph *g, bool *depends);
// Adds the nodes of d of / d wrt[i] (or of the vector-Jacobian product with `seed`); grads[i] = LT_NONE when `of` does
// not depend on wrt[i].
lt_status lti_grad(lt_graph *g, lt_val of, lt_val seed, const lt_val *wrt, int n_wrt, lt_val *grads);

// ---- helpers of the shape rules
lt_status lti_want_dims(const char *op, const char *what, const lt_shape *s, int n_dims);
lt_status lti_want_shape(const char *op, const char *what, const lt_shape *s, const lt_shape *expected);
lt_status lti_want_channels(const char *op, const char *what, const lt_shape *s, int64_t c); // 1-d of c elements
lt_status lti_want_i32(const char *op, const char *what, lt_dtype dtype);
// Fails with LT_E_UNSUPPORTED naming the node: its gradient cannot be differentiated with respect to input `in`.
lt_status lti_no_second(const lt_graph *g, int32_t node, int in);
#endif
