// intnet_spiking.c - the ops of time in the walk over a spiking network [SPIKE 16, 18, 19].
//
// Spikes are bytes of scale 1. The current of a neuron is a sum like that in front of a ReLU, in 65,536ths of the
// threshold; the neuron is the end of that layer, so its currents are never stored. What a pool or a layer norm reads,
// and what is repeated over time, is stored as signed integers.
#include "quant/intnet_build.h"

#include <math.h>

void lti_int_round_up_halves(lti_int_layer *l)
{
    for (int64_t i = 0; i < l->table_steps * l->k; i++)
        l->add[i] += (int64_t)1 << (l->shift - 1);
}

bool lti_int_is_whole(const lti_int_value *v)
{
    if (!v->is_sum || v->relu || v->by_step || v->n_terms == 0)
        return false;
    for (int64_t k = 0; k < v->k; k++) {
        if (fabs(v->offset[k]) > 0)
            return false;
        for (int j = 0; j < v->n_terms; j++)
            if (v->term[j].weights || fabs(v->term[j].factor[k] - 1) > 1e-9)
                return false;
    }
    return true;
}

lt_status lti_int_materialize_whole(lti_int_builder *b, lti_int_value *v)
{
    int64_t largest = 0;
    for (int j = 0; j < v->n_terms; j++) {
        const lti_int_tensor *s = &b->net->tensor[v->term[j].source];
        largest += s->type == LTI_INT_U8 ? s->largest : 256;
    }
    if (largest > 255)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: sums of spikes pass 255");
    lti_int_layer *l = lti_int_new_layer(b, LTI_INT_AFFINE);
    LT_TRY(lti_int_settle(b, l, v, 1));
    lti_int_round_up_halves(l);
    l->bits = 8;
    l->target = lti_int_new_tensor(b, LTI_INT_U8, v, 1, (int32_t)largest);
    v->tensor = l->target;
    return LT_OK;
}

lt_status lti_int_as_current(lti_int_builder *b, lt_val id, lti_int_value **v)
{
    lti_int_value *x = *v = &b->value[id];
    if (x->tensor >= 0 || !x->is_sum || x->relu || lti_int_is_whole(x))
        return lti_int_as_tensor(b, id, v);
    const double most = (double)b->largest[id], unit = (most > 0 ? most : 1) / LTI_INT_CURRENT_UNITS;
    lti_int_layer *l = lti_int_new_layer(b, LTI_INT_CURRENT);
    LT_TRY(lti_int_settle(b, l, x, unit));
    lti_int_round_up_halves(l);
    l->target = lti_int_new_tensor(b, LTI_INT_I32, x, unit, LTI_INT_CURRENT_MAX);
    x->tensor = l->target;
    return LT_OK;
}

// ---- ops

// Beta or 1 / tau in 65,536ths, with what was learned [SPIKE 7].
static int32_t decay_of(const lti_int_builder *b, const lt_node *n)
{
    const lt_neuron_attr *a = &n->attr.neuron;
    const float *p = n->n_in > 1 ? lti_int_param(b, n->in[1]) : NULL;
    const bool averages = a->kind == LT_NEURON_SJ_LIF || a->kind == LT_NEURON_SJ_LIF_SOFT;
    double decay = (double)a->decay;
    if (p && averages)
        decay = 1 / (1 + exp(-(log(decay / (1 - decay)) + (double)*p)));
    else if (p)
        decay = fmin(fmax(decay + (double)*p, 0), 1);
    return (int32_t)lrint(decay * LT_INT_DECAY_ONE);
}

static lt_status walk_neuron(lti_int_builder *b, const lt_node *n)
{
    lti_int_value *y = &b->value[n->out[0]], x;
    LT_TRY(lti_int_as_sum(b, n->in[0], &x));
    if (n->attr.neuron.smooth)
        return lti_int_unsupported(n);
    lti_int_layer *l = lti_int_new_layer(b, LTI_INT_NEURON);
    LT_TRY(lti_int_settle(b, l, &x, (double)n->attr.neuron.threshold / LTI_INT_THRESHOLD));
    lti_int_round_up_halves(l);
    l->ordinal = b->net->n_neurons++;
    l->neuron = (lt_int_neuron){.kind = n->attr.neuron.kind,
                                .threshold = LTI_INT_THRESHOLD,
                                .decay = decay_of(b, n),
                                .bits = LTI_INT_STATE_BITS};
    l->target = lti_int_new_tensor(b, LTI_INT_U8, &x, 1, 1);
    l->state = lti_int_new_tensor(b, LTI_INT_I32, &x, (double)n->attr.neuron.threshold / LTI_INT_THRESHOLD,
                                  1 << (LTI_INT_STATE_BITS - 1));
    *y = (lti_int_value){.tensor = l->target, .k = x.k, .h = x.h, .w = x.w};
    return LT_OK;
}

static lt_status walk_layer_norm(lti_int_builder *b, const lt_node *n)
{
    enum { MOST_ELEMENTS = 1 << 20, MOST_EPS_BITS = 41 };
    lti_int_value *x = NULL, *y = &b->value[n->out[0]];
    LT_TRY(lti_int_as_current(b, n->in[0], &x));
    if (b->net->tensor[x->tensor].type != LTI_INT_I32 || x->h * x->w * x->k > MOST_ELEMENTS)
        return LT_FAIL(LT_E_UNSUPPORTED, "integer network: expected a layer norm over at most %d currents",
                       MOST_ELEMENTS);
    const double unit = b->net->tensor[x->tensor].scale;
    lti_int_layer *l = lti_int_new_layer(b, LTI_INT_LAYER_NORM);
    l->source = x->tensor;
    l->k = x->k;
    l->h = x->h;
    l->w = x->w;
    l->eps = llrint(fmin(fmax((double)n->attr.eps / (unit * unit), 1), ldexp(1, MOST_EPS_BITS)));
    l->target = lti_int_new_tensor(b, LTI_INT_I32, x, 1.0 / LTI_INT_THRESHOLD, LTI_INT_NORM_MAX);
    *y = (lti_int_value){.tensor = l->target, .k = x->k, .h = x->h, .w = x->w};
    return LT_OK;
}

// What is the same at every step is computed at the first one and kept.
static lt_status walk_repeat(lti_int_builder *b, const lt_node *n)
{
    lti_int_value *x = NULL;
    b->once = true;
    LT_TRY(lti_int_as_current(b, n->in[0], &x));
    b->once = false;
    b->value[n->out[0]] = *x;
    return LT_OK;
}

static lt_status walk_step_scale(lti_int_builder *b, const lt_node *n)
{
    lti_int_value *y = &b->value[n->out[0]];
    LT_TRY(lti_int_as_sum(b, n->in[0], y));
    if (y->by_step)
        return lti_int_unsupported(n);
    y->by_step = lti_int_param(b, n->in[1]);
    return LT_OK;
}

// Sums over time that are not the logits belong to stages, which nothing here reads.
static lt_status walk_readout(lti_int_builder *b, const lt_node *n)
{
    lti_int_value *x = &b->value[n->in[0]];
    if (n->out[0] != b->model->logits)
        return LT_OK;
    b->done = true;
    b->once = false; // its rows are samples, but it adds up over the steps
    b->label = "readout";
    if (x->tensor < 0) {
        if (!x->is_sum || x->relu)
            return lti_int_unsupported(n);
        return lti_int_settle(b, lti_int_new_layer(b, LTI_INT_LOGITS), x, 1);
    }
    lti_int_layer *l = lti_int_new_layer(b, LTI_INT_COUNT);
    l->source = x->tensor;
    l->k = x->k;
    l->h = l->w = 1;
    return LT_OK;
}

static lt_status walk_frames(lti_int_builder *b, const lt_node *n)
{
    lt_int_net *net = b->net;
    const lti_int_value *x = &b->value[n->in[0]];
    lti_int_tensor *t = &net->tensor[x->tensor];
    if (x->tensor != 0 || x->is_sum || t->c % net->n_steps != 0)
        return lti_int_unsupported(n);
    t->c /= net->n_steps;
    t->bytes /= net->n_steps;
    net->frames = true;
    b->value[n->out[0]] = *x;
    b->value[n->out[0]].k = t->c;
    return LT_OK;
}

lt_status lti_int_walk_time(lti_int_builder *b, const lt_node *n, bool *known)
{
    const lt_op *op = n->op;
    lt_value_info in, out;
    LT_TRY(lt_graph_value(b->graph, n->in[0], &in));
    LT_TRY(lt_graph_value(b->graph, n->out[0], &out));
    b->once = b->net->n_steps > 1 && out.shape.dim[0] == LT_BATCH;
    *known = true;
    if (op == &lt_op_reshape && out.shape.dim[0] != in.shape.dim[0])
        return walk_frames(b, n);
    if (op == &lt_op_scale && b->value[n->in[0]].tensor == 0 && b->net->frames) { // nothing else reads the frames
        b->net->tensor[0].scale *= (double)n->attr.alpha;
        b->value[n->out[0]] = b->value[n->in[0]];
        return LT_OK;
    }
    if (op == &lt_op_lif)
        return walk_neuron(b, n);
    if (op == &lt_op_layer_norm)
        return walk_layer_norm(b, n);
    if (op == &lt_op_repeat_steps)
        return walk_repeat(b, n);
    if (op == &lt_op_step_scale)
        return walk_step_scale(b, n);
    if (op == &lt_op_sum_steps)
        return walk_readout(b, n);
    if (op == &lt_op_dropout) { // training only
        b->value[n->out[0]] = b->value[n->in[0]];
        return LT_OK;
    }
    *known = false;
    return LT_OK;
}
