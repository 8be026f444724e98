// linear_map.h - any affine sub-graph as the matrix it stands for, without forming it: y = A x and x = A' y.
//
// The map is built from the values of a graph: `to` as a function of `from`, everything else constant. Biases, shifts
// of batch norm (evaluation form) and branches that do not depend on `from` are left out, so that A is exactly the
// linear part f(x) - f(0). Plans are compiled once and kept between calls. One thread may use a map at a time.
#ifndef LT_LINEAR_MAP_H
#define LT_LINEAR_MAP_H
#include "lethe/plan.h"
LT_BEGIN

typedef struct lt_linear_map lt_linear_map;
typedef struct lt_linear_map_spec {
    const lt_graph *graph; // copied
    lt_val from, to;       // `from` is replaced by an input of its shape
    int64_t batch;         // vectors of one call
    lt_dtype dtype;        // LT_F32, or LT_F64 on the backend "ref"; the type of all vectors and slabs below
    unsigned flags;        // LT_PLAN_*
    lt_val weight[2];      // PARAM values that lt_linear_map_weight_grad differentiates with respect to, or LT_NONE
} lt_linear_map_spec;

// LT_E_UNSUPPORTED names the node that is not linear in `from`; LT_E_USAGE when `to` does not depend on it.
LT_API lt_status lt_linear_map_create(const lt_linear_map_spec *spec, lt_backend *backend, lt_linear_map **map);
LT_API void lt_linear_map_destroy(lt_linear_map *map); // NULL is fine
// Slabs laid out by the graph's slab offsets, borrowed until bound again; only read.
LT_API lt_status lt_linear_map_bind(lt_linear_map *map, void *params, void *state);
LT_API void lt_linear_map_changed(lt_linear_map *map); // the contents of the slabs changed
LT_API int64_t lt_linear_map_n_in(const lt_linear_map *map);
LT_API int64_t lt_linear_map_n_out(const lt_linear_map *map);
// x (batch,n_in), y (batch,n_out), row-major.
LT_API lt_status lt_linear_map_apply(lt_linear_map *map, const void *x, void *y);
LT_API lt_status lt_linear_map_adjoint(lt_linear_map *map, const void *y, void *x);
// dw[i] = d/d weight[i] of <A x, y>, summed over the batch, in the shape of that parameter; dw[1] may be NULL.
LT_API lt_status lt_linear_map_weight_grad(lt_linear_map *map, const void *x, const void *y, void *const dw[2]);

LT_END_DECLS
#endif
