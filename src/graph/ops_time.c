// ops_time.c - steps of time: rows n*T+t, spiking neurons, coding of still images.
//
// Only `lif` knows that rows follow each other in time; its state lives inside the op, so nothing else carries one from
// step to step (docs/decisions/0009-time-steps.md). Its gradient is backpropagation through time with a surrogate for
// the derivative of the step function [SPIKE 1-9].
#include "graph/graph_impl.h"
#include <math.h>

// ---- names
static const char *const neuron_names[] = {
    "subtract-delayed", "subtract-betatheta",    "zero-immediate",  "zero-delayed",
    "spikingjelly-lif", "spikingjelly-lif-soft", "spikingjelly-if", "spikingjelly-if-soft",
};
_Static_assert(sizeof neuron_names / sizeof *neuron_names == LT_N_NEURONS, "a name for every kind of neuron");
static const char *const surrogate_names[] = {"atan", "fast-sigmoid", "rectangle", "sigmoid"};
_Static_assert(sizeof surrogate_names / sizeof *surrogate_names == LT_N_SURROGATES, "a name for every surrogate");

const char *lt_neuron_name(int32_t kind)
{
    return kind >= 0 && kind < LT_N_NEURONS ? neuron_names[kind] : NULL;
}

const char *lt_surrogate_name(int32_t surrogate)
{
    return surrogate >= 0 && surrogate < LT_N_SURROGATES ? surrogate_names[surrogate] : NULL;
}

float lt_surrogate_scale(const lt_neuron_attr *a)
{
    static const float usual[LT_N_SURROGATES] = {2, 25, 1, 4};
    return a->surrogate_scale > 0 ? a->surrogate_scale : usual[a->surrogate];
}

// ---- rows
static lt_status want_steps(const char *op, const lt_attr *a, const lt_shape *x)
{
    if (a->steps < 1 || a->steps > LT_MAX_STEPS)
        return LT_FAIL(LT_E_SHAPE, "%s: %d steps, expected 1 to %d", op, (int)a->steps, LT_MAX_STEPS);
    if (x->dim[0] % a->steps != 0) {
        char text[LTI_SHAPE_TEXT];
        return LT_FAIL(LT_E_SHAPE, "%s: %s has no whole number of samples of %d steps", op, lti_shape_text(x, text),
                       (int)a->steps);
    }
    return LT_OK;
}

static lt_status repeat_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                              lt_dtype *out_dtype)
{
    (void)n_in;
    const lt_shape one = LT_SHAPE(a->steps);
    LT_TRY(want_steps("repeat over time", a, &one));
    out[0] = in[0];
    out[0].dim[0] *= a->steps;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status sum_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                           lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(want_steps("sum over time", a, &in[0]));
    if (!lti_is_real(dtype[0]))
        return LT_FAIL(LT_E_SHAPE, "sum over time of integers");
    out[0] = in[0];
    out[0].dim[0] /= a->steps;
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status repeat_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = g->node[node].attr;
    if (need[0])
        din[0] = LTI_EMIT(g, sum_steps, &attr, dout[0]);
    return lt_graph_status(g);
}

static lt_status sum_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = g->node[node].attr;
    if (need[0])
        din[0] = LTI_EMIT(g, repeat_steps, &attr, dout[0]);
    return lt_graph_status(g);
}

const lt_op lt_op_repeat_steps = {"repeat_steps", 1, 1, 1, LT_OP_LINEAR, repeat_infer, repeat_vjp, NULL};
const lt_op lt_op_sum_steps = {"sum_steps", 1, 1, 1, LT_OP_LINEAR, sum_infer, sum_vjp, NULL};

static lt_status step_scale_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                  lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(want_steps("scale of steps", a, &in[0]));
    LT_TRY(lti_want_channels("scale of steps", "p", &in[1], a->steps));
    out[0] = in[0];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status step_scale_dp_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype,
                                     lt_shape *out, lt_dtype *out_dtype)
{
    (void)n_in;
    LT_TRY(want_steps("scale of steps", a, &in[0]));
    LT_TRY(lti_want_shape("scale of steps", "dy", &in[1], &in[0]));
    out[0] = LT_SHAPE(a->steps);
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status step_scale_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0])
        din[0] = LTI_EMIT(g, step_scale, &n.attr, dout[0], n.in[1]);
    if (need[1])
        din[1] = LTI_EMIT(g, step_scale_dp, &n.attr, n.in[0], dout[0]);
    return lt_graph_status(g);
}

const lt_op lt_op_step_scale = {"step_scale",   2,   2, 1, LT_OP_INPLACE0 | LT_OP_LINEAR, step_scale_infer,
                                step_scale_vjp, NULL};
const lt_op lt_op_step_scale_dp = {"step_scale_dp", 2, 2, 1, 0, step_scale_dp_infer, NULL, NULL};

// Straight-through to the expectation: E[s] = x at every step, so dx = sum_t ds[t].
static lt_status rate_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_attr attr = {.steps = g->node[node].attr.steps, .alpha = 1};
    if (need[0])
        din[0] = LTI_EMIT(g, sum_steps, &attr, dout[0]);
    return lt_graph_status(g);
}

const lt_op lt_op_rate_code = {"rate_code", 1, 1, 1, 0, repeat_infer, rate_vjp, NULL};

// ---- neurons
static lt_status want_neuron(const lt_attr *a)
{
    const lt_neuron_attr *n = &a->neuron;
    if (!lt_neuron_name(n->kind) || !lt_surrogate_name(n->surrogate))
        return LT_FAIL(LT_E_SHAPE, "lif: neuron %d with surrogate %d, expected known ones", (int)n->kind,
                       (int)n->surrogate);
    if (!(n->threshold > 0) || !(n->decay >= 0 && n->decay <= 1) || !(n->surrogate_scale >= 0))
        return LT_FAIL(LT_E_SHAPE,
                       "lif: threshold %g, decay %g, surrogate scale %g: expected a positive threshold, a decay in "
                       "[0,1] and no negative scale",
                       (double)n->threshold, (double)n->decay, (double)n->surrogate_scale);
    return LT_OK;
}

static lt_status lif_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                           lt_dtype *out_dtype)
{
    LT_TRY(want_steps("lif", a, &in[0]));
    LT_TRY(want_neuron(a));
    if (n_in == 2)
        LT_TRY(lti_want_channels("lif", "decay parameter", &in[1], 1));
    out[0] = out[1] = in[0];
    out_dtype[0] = out_dtype[1] = dtype[0];
    return lti_is_real(dtype[0]) ? LT_OK : LT_FAIL(LT_E_SHAPE, "lif: the current must be real");
}

static lt_status lif_dx_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                              lt_dtype *out_dtype)
{
    LT_TRY(lti_want_shape("lif gradient", "u", &in[1], &in[0]));
    LT_TRY(lti_want_shape("lif gradient", "x", &in[2], &in[0]));
    if (n_in == 4)
        LT_TRY(lti_want_channels("lif gradient", "decay parameter", &in[3], 1));
    LT_TRY(lif_infer(a, 1, in, dtype, out, out_dtype));
    out[1] = LT_SHAPE(1);
    return LT_OK;
}

// Of the semantics that multiply the current by the reset only a gradient through the reset must know it; the others
// get u in its place, so that x need not live until the gradient.
static lt_status lif_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    char text[128];
    if (dout[1] != LT_NONE) {
        lti_node_text(g, node, text, sizeof text);
        return LT_FAIL(LT_E_UNSUPPORTED, "%s: the membrane potential cannot be differentiated", text);
    }
    const bool read_x = n.attr.neuron.kind == LT_NEURON_ZERO_DELAYED && n.attr.neuron.reset_gradient;
    lt_val d[2];
    lti_emit(g, &lt_op_lif_dx, &n.attr, 4,
             (lt_val[]){dout[0], n.out[1], read_x ? n.in[0] : n.out[1], n.n_in == 2 ? n.in[1] : LT_NONE}, d);
    if (need[0])
        din[0] = d[0];
    if (n.n_in == 2 && need[1])
        din[1] = d[1];
    return lt_graph_status(g);
}

const lt_op lt_op_lif = {"lif", 1, 2, 2, 0, lif_infer, lif_vjp, NULL};
const lt_op lt_op_lif_dx = {"lif_dx", 3, 4, 2, 0, lif_dx_infer, NULL, NULL};

// ---- mean square error of spike counts
static lt_status count_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                             lt_dtype *out_dtype)
{
    (void)n_in, (void)a;
    LT_TRY(lti_want_dims("loss of counts", "counts", &in[0], 2));
    LT_TRY(lti_want_channels("loss of counts", "labels", &in[1], in[0].dim[0]));
    LT_TRY(lti_want_i32("loss of counts", "labels", dtype[1]));
    out[0] = in[1];
    out_dtype[0] = dtype[0];
    return LT_OK;
}

static lt_status count_dz_infer(const lt_attr *a, int n_in, const lt_shape *in, const lt_dtype *dtype, lt_shape *out,
                                lt_dtype *out_dtype)
{
    (void)n_in, (void)a;
    LT_TRY(lti_want_dims("loss of counts", "counts", &in[1], 2));
    LT_TRY(lti_want_i32("loss of counts", "labels", dtype[2]));
    out[0] = in[1];
    out_dtype[0] = dtype[1];
    return LT_OK;
}

static lt_status count_vjp(lt_graph *g, int32_t node, const lt_val *dout, const bool *need, lt_val *din)
{
    const lt_node n = g->node[node];
    if (need[0])
        din[0] = LTI_EMIT(g, count_mse_dz, &n.attr, dout[0], n.in[0], n.in[1]);
    return lt_graph_status(g);
}

const lt_op lt_op_count_mse = {"count_mse", 2, 2, 1, 0, count_infer, count_vjp, NULL};
const lt_op lt_op_count_mse_dz = {"count_mse_dz", 3, 3, 1, 0, count_dz_infer, NULL, NULL};

// ---- builders
lt_val lt_lif(lt_graph *g, lt_val x, lt_val p, int32_t steps, lt_neuron_attr attr, lt_val *membrane)
{
    const lt_attr a = {.steps = steps, .neuron = attr};
    lt_val out[2];
    lti_emit(g, &lt_op_lif, &a, 2, (lt_val[]){x, p}, out);
    if (membrane)
        *membrane = out[1];
    return out[0];
}

lt_val lt_repeat_steps(lt_graph *g, lt_val x, int32_t steps)
{
    return LTI_EMIT(g, repeat_steps, LTI_ATTR(.steps = steps, .alpha = 1), x);
}

lt_val lt_sum_steps(lt_graph *g, lt_val x, int32_t steps, float alpha)
{
    return LTI_EMIT(g, sum_steps, LTI_ATTR(.steps = steps, .alpha = alpha), x);
}

lt_val lt_step_scale(lt_graph *g, lt_val x, lt_val p, int32_t steps)
{
    return LTI_EMIT(g, step_scale, LTI_ATTR(.steps = steps), x, p);
}

lt_val lt_split_steps(lt_graph *g, lt_val x, int32_t steps)
{
    if (g->error.status != LT_OK)
        return LT_NONE;
    const lt_shape *s = x >= 0 && x < g->n_values ? &g->value[x].shape : NULL;
    if (!s || s->n_dims != 4 || steps < 1 || s->dim[1] % steps != 0) {
        char text[LTI_SHAPE_TEXT] = "no value";
        lti_graph_fail(g, LT_FAIL(LT_E_SHAPE, "frames: %s cannot be cut into %d steps of equal channels",
                                  s ? lti_shape_text(s, text) : text, (int)steps));
        lt_error_hint("give the model as many steps as the data set has (steps=)");
        return LT_NONE;
    }
    lt_attr a = {.shape = LT_SHAPE(s->dim[0] * steps, s->dim[1] / steps, s->dim[2], s->dim[3])};
    return LTI_EMIT(g, reshape, &a, x);
}

lt_val lt_rate_code(lt_graph *g, lt_val x, int32_t steps, uint64_t seed)
{
    return LTI_EMIT(g, rate_code, LTI_ATTR(.steps = steps, .seed = seed), x);
}

lt_val lt_count_mse(lt_graph *g, lt_val counts, lt_val labels, int32_t steps)
{
    lt_attr a = {.steps = steps, .target_on = floorf(0.8f * (float)steps), .target_off = floorf(0.2f * (float)steps)};
    return LTI_EMIT(g, count_mse, &a, counts, labels);
}
