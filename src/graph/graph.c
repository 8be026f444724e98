// graph.c - the tables behind lt_graph: values, nodes, sticky errors, copies.
//
// Two growing arrays and an arena for names. A value is an index, so that a copy of a graph shares the numbering of the
// original: plans use this to find the caller's values in their own rewritten copy.
#include "graph/graph_impl.h"
#include <stdio.h>
#include <string.h>

int64_t lti_shape_count(const lt_shape *s)
{
    int64_t n = 1;
    for (int i = 0; i < s->n_dims; i++)
        n *= s->dim[i];
    return n;
}

bool lti_shape_equal(const lt_shape *a, const lt_shape *b)
{
    if (a->n_dims != b->n_dims)
        return false;
    for (int i = 0; i < a->n_dims; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

const char *lti_shape_text(const lt_shape *s, char out[LTI_SHAPE_TEXT])
{
    size_t n = 0;
    out[n++] = '(';
    for (int i = 0; i < s->n_dims && n < LTI_SHAPE_TEXT - 24; i++) {
        if (s->dim[i] == LT_BATCH)
            n += (size_t)snprintf(out + n, LTI_SHAPE_TEXT - n, "%sN", i ? "," : "");
        else if (s->dim[i] < 0 && i == 0)
            n += (size_t)snprintf(out + n, LTI_SHAPE_TEXT - n, "%lldN", -(long long)s->dim[i]);
        else
            n += (size_t)snprintf(out + n, LTI_SHAPE_TEXT - n, "%s%lld", i ? "," : "", (long long)s->dim[i]);
    }
    out[n++] = ')';
    out[n] = 0;
    return out;
}

size_t lti_dtype_size(lt_dtype dtype)
{
    switch (dtype) {
    case LT_F64:
    case LT_I64:
        return 8;
    case LT_F32:
    case LT_I32:
        return 4;
    case LT_BF16:
        return 2;
    case LT_U8:
    case LT_I8:
        return 1;
    }
    LT_BUG("dtype %d", (int)dtype);
}

lt_status lt_graph_create(lt_graph **g)
{
    *g = lti_calloc(1, sizeof **g);
    if (!*g)
        return LTI_NOMEM("graph");
    (*g)->fwd = -1;
    return LT_OK;
}

void lt_graph_destroy(lt_graph *g)
{
    if (!g)
        return;
    lti_arena_clear(&g->arena);
    lti_free(g->value);
    lti_free(g->node);
    lti_free(g);
}

lt_status lti_graph_fail(lt_graph *g, lt_status status)
{
    if (g->error.status == LT_OK)
        g->error = *lt_error_get();
    return status;
}

lt_status lt_graph_status(const lt_graph *g)
{
    if (g->error.status != LT_OK)
        lt_error_restore(&g->error);
    return g->error.status;
}

static lt_status dup_attr(lt_graph *copy, const lt_graph *g, lt_node *node)
{
    if (!node->attr.mean)
        return LT_OK;
    const lt_shape *s = &g->value[node->in[0]].shape;
    size_t n = (size_t)s->dim[1] * sizeof(float);
    float *both = lti_arena_alloc(&copy->arena, 2 * n);
    if (!both)
        return LTI_NOMEM("graph copy");
    memcpy(both, node->attr.mean, n);
    memcpy(both + s->dim[1], node->attr.istd, n);
    node->attr.mean = both;
    node->attr.istd = both + s->dim[1];
    return LT_OK;
}

static lt_status fill_copy(lt_graph *copy, const lt_graph *g)
{
    size_t value_bytes = (size_t)g->n_values * sizeof *g->value, node_bytes = (size_t)g->n_nodes * sizeof *g->node;
    copy->value = lti_malloc(value_bytes);
    copy->node = lti_malloc(node_bytes);
    if (!copy->value || !copy->node)
        return LTI_NOMEM("graph copy");
    if (g->n_values)
        memcpy(copy->value, g->value, value_bytes);
    if (g->n_nodes)
        memcpy(copy->node, g->node, node_bytes);
    copy->n_values = copy->cap_values = g->n_values;
    copy->n_nodes = copy->cap_nodes = g->n_nodes;
    copy->n_params = g->n_params;
    copy->n_state = g->n_state;
    copy->error = g->error;
    for (int32_t v = 0; v < copy->n_values; v++) {
        copy->value[v].name = lti_arena_strdup(&copy->arena, g->value[v].name);
        if (!copy->value[v].name)
            return LTI_NOMEM("graph copy");
    }
    for (int32_t i = 0; i < copy->n_nodes; i++)
        LT_TRY(dup_attr(copy, g, &copy->node[i]));
    return LT_OK;
}

lt_status lt_graph_dup(const lt_graph *g, lt_graph **copy)
{
    LT_TRY(lt_graph_create(copy));
    lt_status status = fill_copy(*copy, g);
    if (status != LT_OK) {
        lt_graph_destroy(*copy);
        *copy = NULL;
    }
    return status;
}

int32_t lti_graph_n_nodes(const lt_graph *g)
{
    return g->n_nodes;
}

const lt_node *lti_graph_node(const lt_graph *g, int32_t i)
{
    return &g->node[i];
}

int32_t lti_graph_maker(const lt_graph *g, lt_val v)
{
    return v == LT_NONE ? -1 : g->value[v].node;
}

int32_t lt_graph_n_values(const lt_graph *g)
{
    return g->n_values;
}

lt_status lt_graph_value(const lt_graph *g, lt_val v, lt_value_info *info)
{
    if (v < 0 || v >= g->n_values)
        return LT_FAIL(LT_E_USAGE, "value %d: the graph has values 0 to %d", (int)v, (int)g->n_values - 1);
    const lti_value *value = &g->value[v];
    *info = (lt_value_info){value->name, value->shape, value->dtype, value->role, value->slab_offset};
    return LT_OK;
}

lt_val lt_graph_find(const lt_graph *g, const char *name)
{
    for (int32_t v = 0; v < g->n_values && *name; v++)
        if (strcmp(g->value[v].name, name) == 0)
            return v;
    return LT_NONE;
}

int64_t lt_graph_n_params(const lt_graph *g)
{
    return g->n_params;
}

int64_t lt_graph_n_state(const lt_graph *g)
{
    return g->n_state;
}

// Room for one more element; capacity doubles.
static void *grow(void *array, int32_t n, int32_t *cap, size_t size)
{
    if (n < *cap)
        return array;
    if (*cap > INT32_MAX / 4)
        return NULL;
    int32_t new_cap = *cap ? 2 * *cap : 32;
    void *bigger = lti_realloc(array, (size_t)new_cap * size);
    if (bigger)
        *cap = new_cap;
    return bigger;
}

lt_status lti_shape_check(const char *name, const lt_shape *s)
{
    if (s->n_dims < 1 || s->n_dims > LT_MAX_DIMS)
        return LT_FAIL(LT_E_SHAPE, "%s: %d dimensions, expected 1 to %d", name, s->n_dims, LT_MAX_DIMS);
    size_t n = lti_dtype_size(LT_F64);
    for (int i = 0; i < s->n_dims; i++) {
        bool batch = i == 0 && s->dim[i] < 0 && s->dim[i] >= LT_BATCH * (int64_t)LT_MAX_STEPS;
        if (s->dim[i] <= 0 && !batch)
            return LT_FAIL(LT_E_SHAPE, "%s: dimension %d is %lld, expected a positive number%s", name, i,
                           (long long)s->dim[i], i == 0 ? " or LT_BATCH" : "");
        if (!batch && (lti_mul_size(n, (size_t)s->dim[i], &n) || n > INT64_MAX / 4))
            return LT_FAIL(LT_E_SHAPE, "%s: too many elements", name);
    }
    return LT_OK;
}

lt_val lti_new_value(lt_graph *g, const char *name, lt_shape shape, lt_dtype dtype, lt_role role)
{
    if (g->error.status != LT_OK)
        return LT_NONE;
    lt_status status = lti_shape_check(*name ? name : "value", &shape);
    if (status == LT_OK && *name && lt_graph_find(g, name) != LT_NONE)
        status = LT_FAIL(LT_E_USAGE, "value name %s: already used in this graph", name);
    if (status == LT_OK) {
        lti_value *bigger = grow(g->value, g->n_values, &g->cap_values, sizeof *g->value);
        const char *copy = bigger ? lti_arena_strdup(&g->arena, name) : NULL;
        if (bigger)
            g->value = bigger;
        if (copy) {
            for (int i = shape.n_dims; i < LT_MAX_DIMS; i++)
                shape.dim[i] = 0;
            g->value[g->n_values] = (lti_value){copy, shape, dtype, role, -1, -1, 0};
            return g->n_values++;
        }
        status = LTI_NOMEM("graph value");
    }
    lti_graph_fail(g, status);
    return LT_NONE;
}

lt_val lti_const(lt_graph *g, lt_shape shape, lt_dtype dtype, double fill)
{
    lt_val v = lti_new_value(g, "", shape, dtype, LT_ROLE_CONST);
    if (v != LT_NONE)
        g->value[v].fill = fill;
    return v;
}

lt_val lt_input(lt_graph *g, const char *name, lt_dtype dtype, lt_shape shape)
{
    if (g->error.status == LT_OK && dtype != LT_F32 && dtype != LT_I32) {
        lti_graph_fail(g,
                       LT_FAIL(LT_E_UNSUPPORTED, "input %s: inputs are LT_F32 (the plan's real type) or LT_I32", name));
        return LT_NONE;
    }
    return lti_new_value(g, name, shape, dtype, LT_ROLE_INPUT);
}

static lt_val slab_leaf(lt_graph *g, const char *name, lt_shape shape, lt_role role, int64_t *n)
{
    if (g->error.status == LT_OK && shape.n_dims > 0 && shape.dim[0] < 0) {
        lti_graph_fail(g, LT_FAIL(LT_E_SHAPE, "%s: parameters and state have no batch dimension", name));
        return LT_NONE;
    }
    lt_val v = lti_new_value(g, name, shape, LT_F32, role);
    if (v == LT_NONE)
        return v;
    g->value[v].slab_offset = *n;
    if (__builtin_add_overflow(*n, lti_shape_count(&shape), n) || *n > INT64_MAX / 16) {
        lti_graph_fail(g, LT_FAIL(LT_E_SHAPE, "%s: too many elements in the slab", name));
        return LT_NONE;
    }
    return v;
}

lt_val lt_param(lt_graph *g, const char *name, lt_shape shape)
{
    return slab_leaf(g, name, shape, LT_ROLE_PARAM, &g->n_params);
}

lt_val lt_state(lt_graph *g, const char *name, lt_shape shape)
{
    return slab_leaf(g, name, shape, LT_ROLE_STATE, &g->n_state);
}

// Shapes of the inputs, and the shape rule.
static lt_status infer_node(const lt_graph *g, const lt_node *node, lt_shape *out, lt_dtype *out_dtype)
{
    lt_shape shape[LT_NODE_MAX_IN];
    lt_dtype dtype[LT_NODE_MAX_IN];
    for (int i = 0; i < node->n_in; i++) {
        if (node->in[i] < 0 || node->in[i] >= g->n_values)
            return LT_FAIL(LT_E_USAGE, "%s: input %d is %s", node->op->name, i,
                           node->in[i] == LT_NONE ? "absent" : "not a value of this graph");
        shape[i] = g->value[node->in[i]].shape;
        dtype[i] = g->value[node->in[i]].dtype;
    }
    memset(out, 0, LT_NODE_MAX_OUT * sizeof *out);
    return node->op->infer(&node->attr, node->n_in, shape, dtype, out, out_dtype);
}

// What the shape rule saw, as a hint.
static void hint_inputs(const lt_graph *g, const lt_node *node)
{
    char text[LT_ERROR_HINT_MAX] = "inputs:", shape[LTI_SHAPE_TEXT];
    size_t n = strlen(text);
    for (int i = 0; i < node->n_in && n < sizeof text - 1; i++) {
        if (node->in[i] < 0 || node->in[i] >= g->n_values)
            continue;
        const lti_value *v = &g->value[node->in[i]];
        int wrote = snprintf(text + n, sizeof text - n, "%s %s %s", i ? "," : "", *v->name ? v->name : "unnamed",
                             lti_shape_text(&v->shape, shape));
        n += wrote > 0 ? (size_t)wrote : 0;
    }
    lt_error_hint("%s", text);
}

static lt_status add_node(lt_graph *g, lt_node *node)
{
    lt_shape shape[LT_NODE_MAX_OUT];
    lt_dtype dtype[LT_NODE_MAX_OUT];
    if (node->n_in < node->op->n_in_min || node->n_in > node->op->n_in_max)
        return LT_FAIL(LT_E_USAGE, "%s: %d inputs, expected %d to %d", node->op->name, node->n_in, node->op->n_in_min,
                       node->op->n_in_max);
    lt_status status = infer_node(g, node, shape, dtype);
    if (status != LT_OK) {
        hint_inputs(g, node);
        return status;
    }
    lt_node *bigger = grow(g->node, g->n_nodes, &g->cap_nodes, sizeof *g->node);
    if (!bigger)
        return LTI_NOMEM("graph node");
    g->node = bigger;
    for (int i = 0; i < node->n_out; i++) {
        node->out[i] = lti_new_value(g, "", shape[i], dtype[i], LT_ROLE_TEMP);
        if (node->out[i] == LT_NONE)
            return g->error.status;
        g->value[node->out[i]].node = g->n_nodes;
    }
    g->node[g->n_nodes++] = *node;
    return LT_OK;
}

lt_val lti_emit(lt_graph *g, const lt_op *op, const lt_attr *attr, int n_in, const lt_val *in, lt_val *out)
{
    for (int i = 0; out && i < op->n_out; i++)
        out[i] = LT_NONE;
    if (g->error.status != LT_OK)
        return LT_NONE;
    while (n_in > op->n_in_min && in[n_in - 1] == LT_NONE)
        n_in--;
    if (n_in > LT_NODE_MAX_IN)
        LT_BUG("%s with %d inputs", op->name, n_in);
    lt_node node = {.op = op, .n_in = n_in, .n_out = op->n_out, .fwd = g->fwd};
    if (attr)
        node.attr = *attr;
    memcpy(node.in, in, (size_t)n_in * sizeof *in);
    lt_status status = add_node(g, &node);
    if (status != LT_OK) {
        lti_graph_fail(g, status);
        return LT_NONE;
    }
    for (int i = 0; out && i < op->n_out; i++)
        out[i] = node.out[i];
    return node.out[0];
}

void lti_node_text(const lt_graph *g, int32_t node, char *out, size_t out_size)
{
    const lt_node *n = &g->node[node];
    const char *name = "";
    for (int i = 0; i < n->n_in && !*name; i++) // the parameter it uses says best which layer it is
        if (g->value[n->in[i]].role == LT_ROLE_PARAM)
            name = g->value[n->in[i]].name;
    for (int i = 0; i < n->n_in && !*name; i++)
        name = g->value[n->in[i]].name;
    snprintf(out, out_size, "node %d (%s%s%s)", (int)node, n->op->name, *name ? " of " : "", name);
}

lt_status lti_node_check(const lt_graph *g, int32_t node)
{
    const lt_node *n = &g->node[node];
    lt_shape shape[LT_NODE_MAX_OUT];
    lt_dtype dtype[LT_NODE_MAX_OUT];
    lt_status status = infer_node(g, n, shape, dtype);
    if (status != LT_OK) {
        hint_inputs(g, n);
        return status;
    }
    for (int i = 0; i < n->n_out; i++)
        LT_TRY(lti_want_shape(n->op->name, "output", &g->value[n->out[i]].shape, &shape[i]));
    return LT_OK;
}

lt_val lt_name(lt_graph *g, lt_val v, const char *name)
{
    if (g->error.status != LT_OK)
        return LT_NONE;
    lt_status status = LT_OK;
    if (v < 0 || v >= g->n_values || g->value[v].role != LT_ROLE_TEMP || *g->value[v].name || !*name)
        status = LT_FAIL(LT_E_USAGE, "value %d cannot be named '%s': expected an unnamed temporary", (int)v, name);
    else if (lt_graph_find(g, name) != LT_NONE)
        status = LT_FAIL(LT_E_USAGE, "value name %s: already used in this graph", name);
    char *copy = status == LT_OK ? lti_arena_strdup(&g->arena, name) : NULL;
    if (status == LT_OK && !copy)
        status = LTI_NOMEM("graph value");
    if (status != LT_OK) {
        lti_graph_fail(g, status);
        return LT_NONE;
    }
    g->value[v].name = copy;
    return v;
}

// Copies the nodes that see a replaced value, up to the one that makes `of`. map[v]: what stands for value v.
static lt_val clone_nodes(lt_graph *g, lt_val of, lt_val *map)
{
    const int32_t n_nodes = g->n_nodes;
    for (int32_t i = 0; i < n_nodes && map[of] == of; i++) {
        const lt_node n = g->node[i]; // adding nodes can move the array
        lt_val in[LT_NODE_MAX_IN], out[LT_NODE_MAX_OUT];
        bool any = false;
        for (int j = 0; j < n.n_in; j++) {
            in[j] = map[n.in[j]];
            any = any || in[j] != n.in[j];
        }
        if (!any)
            continue;
        if (lti_emit(g, n.op, &n.attr, n.n_in, in, out) == LT_NONE)
            return LT_NONE;
        for (int j = 0; j < n.n_out; j++)
            map[n.out[j]] = out[j];
    }
    return map[of];
}

lt_val lt_graph_clone_subgraph(lt_graph *g, lt_val of, lt_val from, lt_val to)
{
    const lt_val asked[] = {of, from, to};
    if (g->error.status != LT_OK)
        return LT_NONE;
    for (int i = 0; i < 3; i++)
        if (asked[i] < 0 || asked[i] >= g->n_values) {
            lti_graph_fail(g, LT_FAIL(LT_E_USAGE, "recomputation: value %d is not one of this graph", (int)asked[i]));
            return LT_NONE;
        }
    if (!lti_shape_equal(&g->value[from].shape, &g->value[to].shape) || g->value[from].dtype != g->value[to].dtype) {
        lti_graph_fail(g, LT_FAIL(LT_E_SHAPE, "recomputation: '%s' and '%s' differ in shape or type",
                                  g->value[from].name, g->value[to].name));
        return LT_NONE;
    }
    lt_val *map = lti_calloc((size_t)g->n_values, sizeof *map);
    if (!map) {
        lti_graph_fail(g, LTI_NOMEM("graph"));
        return LT_NONE;
    }
    for (lt_val v = 0; v < g->n_values; v++)
        map[v] = v;
    map[from] = to;
    const lt_val again = clone_nodes(g, of, map);
    lti_free(map);
    return again;
}
