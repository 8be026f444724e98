// linear_map.c - the linear part of a sub-graph, and its adjoint as the vector-Jacobian product of that part.
//
// The nodes between `from` and `to` are copied with one rule per op that has an offset to lose; every other op that is
// linear in its first input is copied as it is. The adjoint needs no code of its own: it is the gradient of <A x, y>.
#include "graph/graph_impl.h"
#include "lethe/linear_map.h"
#include <string.h>

enum { FORWARD, ADJOINT, WEIGHT, N_PLANS };
struct lt_linear_map {
    lt_linear_map_spec spec;
    lt_graph *graph;
    lt_backend *backend;
    lt_val x, y, seed;
    lt_plan *plan[N_PLANS]; // made when first needed
    void *params, *state;
    int64_t n_in, n_out, n_weight[2];
    size_t real; // bytes of one element
};

// ---- the linear part

typedef struct copier {
    lt_graph *g;
    lt_val *map;      // (n_values) the copy of a value that depends on x, else LT_NONE
    int32_t n_values; // of the graph before copying
} copier;

static lt_val copy_weighted(copier *c, const lt_node *n, const lt_val *in) // convolution, linear: without the bias
{
    return lti_emit(c->g, n->op, &n->attr, 2, (lt_val[]){in[0], n->in[1]}, NULL);
}

static lt_val copy_bn(copier *c, const lt_node *n, const lt_val *in) // without beta and the running mean
{
    const lti_value *gamma = &c->g->value[n->in[1]];
    const lt_val zero = lti_const(c->g, gamma->shape, gamma->dtype, 0);
    return lti_emit(c->g, n->op, &n->attr, 5, (lt_val[]){in[0], n->in[1], zero, zero, n->in[4]}, NULL);
}

static lt_val copy_normalize(copier *c, const lt_node *n, const lt_val *in)
{
    return lti_emit(c->g, &lt_op_normalize_dx, &n->attr, 1, in, NULL);
}

static lt_val copy_add(copier *c, const lt_node *n, const lt_val *in)
{
    if (in[0] != LT_NONE && in[1] != LT_NONE)
        return lti_emit(c->g, n->op, &n->attr, 2, in, NULL);
    const lt_val one = in[0] != LT_NONE ? in[0] : in[1];
    return n->attr.alpha == 1 ? one : LTI_EMIT(c->g, scale, LTI_ATTR(.alpha = n->attr.alpha), one);
}

static lt_val copy_concat(copier *c, const lt_node *n, const lt_val *in)
{
    lt_val part[2];
    for (int i = 0; i < 2; i++) {
        const lti_value *v = &c->g->value[n->in[i]];
        part[i] = in[i] != LT_NONE ? in[i] : lti_const(c->g, v->shape, v->dtype, 0);
    }
    return lti_emit(c->g, n->op, &n->attr, 2, part, NULL);
}

static const struct rule {
    const lt_op *op;
    int n_variable; // inputs that may depend on x: the first ones
    lt_val (*copy)(copier *c, const lt_node *n, const lt_val *in);
} rules[] = {
    {&lt_op_conv2d, 1, copy_weighted},     {&lt_op_linear, 1, copy_weighted}, {&lt_op_bn, 1, copy_bn},
    {&lt_op_normalize, 1, copy_normalize}, {&lt_op_add, 2, copy_add},         {&lt_op_concat, 2, copy_concat},
};

static lt_status refuse(const lt_graph *g, int32_t node)
{
    char text[128];
    lti_node_text(g, node, text, sizeof text);
    return LT_FAIL(LT_E_UNSUPPORTED, "linear map: %s is not linear in what the map is a function of", text);
}

static lt_status copy_node(copier *c, int32_t i)
{
    const lt_node n = c->g->node[i]; // adding nodes can move the array
    lt_val in[LT_NODE_MAX_IN], out = LT_NONE;
    int first = -1, last = -1;
    for (int j = 0; j < n.n_in; j++) {
        in[j] = n.in[j] != LT_NONE ? c->map[n.in[j]] : LT_NONE;
        if (in[j] == LT_NONE)
            continue;
        first = first < 0 ? j : first;
        last = j;
    }
    if (first < 0)
        return LT_OK;
    const struct rule *rule = NULL;
    for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
        rule = rules[r].op == n.op ? &rules[r] : rule;
    if (n.attr.relu || last >= (rule ? rule->n_variable : 1) || (!rule && !(n.op->flags & LT_OP_LINEAR)))
        return refuse(c->g, i);
    if (rule) {
        out = rule->copy(c, &n, in);
    } else {
        for (int j = 1; j < n.n_in; j++)
            in[j] = n.in[j];
        out = lti_emit(c->g, n.op, &n.attr, n.n_in, in, NULL);
    }
    c->map[n.out[0]] = out;
    return lt_graph_status(c->g);
}

static lt_status copy_linear_part(lt_linear_map *m)
{
    lt_graph *g = m->graph;
    const lt_val from = m->spec.from, to = m->spec.to;
    if (from < 0 || to < 0 || from >= g->n_values || to >= g->n_values)
        return LT_FAIL(LT_E_USAGE, "linear map: values %d and %d are not both of the graph", (int)from, (int)to);
    copier c = {.g = g, .n_values = g->n_values};
    const int32_t n_nodes = g->n_nodes;
    c.map = lti_malloc((size_t)g->n_values * sizeof *c.map);
    if (!c.map)
        return LTI_NOMEM("linear map");
    for (int32_t v = 0; v < c.n_values; v++)
        c.map[v] = LT_NONE;
    m->x = c.map[from] = lt_input(g, "linear_map.x", LT_F32, g->value[from].shape);
    bool *wanted = lti_calloc((size_t)g->n_values, sizeof *wanted); // ancestors of `to`
    lt_status status = wanted ? lt_graph_status(g) : LTI_NOMEM("linear map");
    if (status == LT_OK) {
        wanted[to] = true;
        for (int32_t i = n_nodes - 1; i >= 0; i--)
            for (int o = 0; o < g->node[i].n_out; o++)
                for (int j = 0; wanted[g->node[i].out[o]] && g->node[i].out[o] != from && j < g->node[i].n_in; j++)
                    if (g->node[i].in[j] != LT_NONE)
                        wanted[g->node[i].in[j]] = true;
    }
    for (int32_t i = 0; i < n_nodes && status == LT_OK && c.map[to] == LT_NONE; i++)
        if (wanted[g->node[i].out[0]])
            status = copy_node(&c, i);
    m->y = c.map[to];
    lti_free(wanted);
    lti_free(c.map);
    if (status == LT_OK && (m->y == LT_NONE || m->y == m->x))
        return LT_FAIL(LT_E_USAGE, "linear map: '%s' is not computed from '%s'", g->value[to].name,
                       g->value[from].name);
    return status;
}

// ---- plans

static int64_t elements(const lt_graph *g, lt_val v, int from)
{
    int64_t n = 1;
    for (int d = from; d < g->value[v].shape.n_dims; d++)
        n *= g->value[v].shape.dim[d];
    return n;
}

static lt_status need_plan(lt_linear_map *m, int which)
{
    if (m->plan[which])
        return LT_OK;
    lt_plan_spec spec = {.outs = &m->y,
                         .n_outs = which == FORWARD ? 1 : 0,
                         .grad_of = which == FORWARD ? LT_NONE : m->y,
                         .seed = which == FORWARD ? LT_NONE : m->seed,
                         .wrt = &m->x,
                         .n_wrt = which == FORWARD ? 0 : 1,
                         .batch = m->spec.batch,
                         .dtype = m->spec.dtype,
                         .flags = m->spec.flags};
    if (which == WEIGHT) {
        spec.wrt = m->spec.weight;
        spec.n_wrt = m->spec.weight[1] == LT_NONE ? 1 : 2;
        spec.flags |= LT_PLAN_NO_FOLD;
    }
    LT_TRY(lt_plan_create(m->graph, &spec, m->backend, &m->plan[which]));
    return m->params || m->state ? lt_plan_bind(m->plan[which], m->params, m->state, NULL) : LT_OK;
}

lt_status lt_linear_map_create(const lt_linear_map_spec *spec, lt_backend *backend, lt_linear_map **map)
{
    lt_linear_map *m = lti_calloc(1, sizeof *m);
    if (!m)
        return LTI_NOMEM("linear map");
    m->spec = *spec;
    m->spec.graph = NULL;
    m->backend = backend;
    m->real = lti_dtype_size(spec->dtype);
    lt_status status = lt_graph_dup(spec->graph, &m->graph);
    if (status == LT_OK)
        status = copy_linear_part(m);
    if (status == LT_OK) {
        m->seed = lt_input(m->graph, "linear_map.seed", LT_F32, m->graph->value[m->y].shape);
        m->n_in = elements(m->graph, m->x, 1);
        m->n_out = elements(m->graph, m->y, 1);
        for (int i = 0; i < 2; i++)
            m->n_weight[i] = spec->weight[i] == LT_NONE ? 0 : elements(m->graph, spec->weight[i], 0);
        status = lt_graph_status(m->graph);
    }
    if (status == LT_OK)
        status = need_plan(m, FORWARD);
    if (status == LT_OK) {
        *map = m;
        return LT_OK;
    }
    lt_linear_map_destroy(m);
    return lt_error_frame(status, __FILE__, __LINE__, __func__);
}

void lt_linear_map_destroy(lt_linear_map *m)
{
    if (!m)
        return;
    for (int i = 0; i < N_PLANS; i++)
        lt_plan_destroy(m->plan[i]);
    lt_graph_destroy(m->graph);
    lti_free(m);
}

lt_status lt_linear_map_bind(lt_linear_map *m, void *params, void *state)
{
    m->params = params;
    m->state = state;
    for (int i = 0; i < N_PLANS; i++)
        if (m->plan[i])
            LT_TRY(lt_plan_bind(m->plan[i], params, state, NULL));
    return LT_OK;
}

void lt_linear_map_changed(lt_linear_map *m)
{
    for (int i = 0; i < N_PLANS; i++)
        if (m->plan[i])
            lt_plan_params_changed(m->plan[i]);
}

int64_t lt_linear_map_n_in(const lt_linear_map *m)
{
    return m->n_in;
}

int64_t lt_linear_map_n_out(const lt_linear_map *m)
{
    return m->n_out;
}

lt_status lt_linear_map_apply(lt_linear_map *m, const void *x, void *y)
{
    const size_t rows = (size_t)m->spec.batch * m->real;
    LT_TRY(need_plan(m, FORWARD));
    memcpy(lt_plan_buffer(m->plan[FORWARD], m->x), x, rows * (size_t)m->n_in);
    LT_TRY(lt_plan_run(m->plan[FORWARD]));
    memcpy(y, lt_plan_buffer(m->plan[FORWARD], m->y), rows * (size_t)m->n_out);
    return LT_OK;
}

lt_status lt_linear_map_adjoint(lt_linear_map *m, const void *y, void *x)
{
    const size_t rows = (size_t)m->spec.batch * m->real;
    LT_TRY(need_plan(m, ADJOINT));
    memcpy(lt_plan_buffer(m->plan[ADJOINT], m->seed), y, rows * (size_t)m->n_out);
    LT_TRY(lt_plan_run(m->plan[ADJOINT]));
    memcpy(x, lt_plan_grad(m->plan[ADJOINT], 0), rows * (size_t)m->n_in);
    return LT_OK;
}

lt_status lt_linear_map_weight_grad(lt_linear_map *m, const void *x, const void *y, void *const dw[2])
{
    const size_t rows = (size_t)m->spec.batch * m->real;
    if (m->spec.weight[0] == LT_NONE)
        return LT_FAIL(LT_E_USAGE, "linear map: expected a parameter to differentiate with respect to, found none");
    LT_TRY(need_plan(m, WEIGHT));
    memcpy(lt_plan_buffer(m->plan[WEIGHT], m->x), x, rows * (size_t)m->n_in);
    memcpy(lt_plan_buffer(m->plan[WEIGHT], m->seed), y, rows * (size_t)m->n_out);
    LT_TRY(lt_plan_run(m->plan[WEIGHT]));
    for (int i = 0; i < 2 && m->n_weight[i] > 0; i++)
        if (dw[i])
            memcpy(dw[i], lt_plan_grad(m->plan[WEIGHT], i), (size_t)m->n_weight[i] * m->real);
    return LT_OK;
}
