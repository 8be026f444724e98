// spiking.c - parts of spiking networks: rows n*T+t, weights shared over time (docs/methods/spiking.md).
#include "model/spiking.h"
#include <stdio.h>
#include <string.h>

const lt_opt_value lti_coding_values[] = {
    {"auto", LTI_CODING_AUTO, "frames where the input has two channels a step, else direct"},
    {"direct", LTI_CODING_DIRECT, "the image is the current of every step"},
    {"rate", LTI_CODING_RATE, "Bernoulli spikes with the pixels as probabilities"},
    {"frames", LTI_CODING_FRAMES, "the channels are frames of event counts"},
    {NULL, 0, NULL},
};
const lt_opt_value lti_neuron_values[] = {
    {"subtract-delayed", LT_NEURON_SUBTRACT_DELAYED, "snnTorch Leaky, reset by subtraction one step late"},
    {"subtract-betatheta", LT_NEURON_SUBTRACT_BETATHETA, "subtraction at once, before the decay"},
    {"zero-immediate", LT_NEURON_ZERO_IMMEDIATE, "snnTorch 1.0 Leaky, reset to zero"},
    {"zero-delayed", LT_NEURON_ZERO_DELAYED, "early snnTorch, reset to zero: the step after a spike loses its input"},
    {"spikingjelly-lif", LT_NEURON_SJ_LIF, "SpikingJelly LIFNode, hard reset"},
    {"spikingjelly-lif-soft", LT_NEURON_SJ_LIF_SOFT, "SpikingJelly LIFNode, soft reset"},
    {"spikingjelly-if", LT_NEURON_SJ_IF, "SpikingJelly IFNode, no leak, hard reset"},
    {"spikingjelly-if-soft", LT_NEURON_SJ_IF_SOFT, "SpikingJelly IFNode, no leak, soft reset"},
    {NULL, 0, NULL},
};
const lt_opt_value lti_surrogate_values[] = {
    {"atan", LT_SURROGATE_ATAN, ""},
    {"fast-sigmoid", LT_SURROGATE_FAST_SIGMOID, ""},
    {"rectangle", LT_SURROGATE_RECTANGLE, ""},
    {"sigmoid", LT_SURROGATE_SIGMOID, ""},
    {NULL, 0, NULL},
};
const lt_opt_value lti_norm_values[] = {
    {"none", LTI_NORM_NONE, "none"},
    {"layer", LTI_NORM_LAYER, "layer norm without parameters, each step by itself"},
    {"batch", LTI_NORM_BATCH, "batch norm over samples and steps together"},
    {"tebn", LTI_NORM_TEBN, "batch norm over samples and steps, then a learned factor of every step (TEBN)"},
    {NULL, 0, NULL},
};
const lt_opt_value lti_readout_values[] = {
    {"count", LTI_READOUT_COUNT, "spikes of the output neurons"},
    {"rate", LTI_READOUT_RATE, "spikes a step of the output neurons"},
    {"current", LTI_READOUT_CURRENT, "mean input current; no neurons behind the last layer"},
    {NULL, 0, NULL},
};

static const char *join(char buf[LTI_NAME_MAX], const char *name, const char *leaf)
{
    snprintf(buf, LTI_NAME_MAX, "%.96s.%s", name, leaf);
    return buf;
}

// Two polarities a step are frames; images have one or three channels.
static int32_t choose_coding(const lti_spiking_cfg *cfg, int64_t channels)
{
    const bool image = channels == 1 || channels == 3;
    return cfg->coding != LTI_CODING_AUTO ? cfg->coding : image ? LTI_CODING_DIRECT : LTI_CODING_FRAMES;
}

lt_val lti_spiking_input(lti_spiking *s, lt_val x)
{
    const lti_spiking_cfg *cfg = s->cfg;
    switch (choose_coding(cfg, lti_dim(s->g, x, 1))) {
    case LTI_CODING_FRAMES: // a byte is a count
        return lt_name(s->g, lt_scale(s->g, lt_split_steps(s->g, x, cfg->steps), 255), "input.spikes");
    case LTI_CODING_RATE:
        return lt_name(s->g, lt_rate_code(s->g, x, cfg->steps, 0), "input.spikes");
    default:
        s->once = true;
        return x;
    }
}

lt_val lti_spiking_norm(lti_spiking *s, const char *name, lt_val x)
{
    char norm[LTI_NAME_MAX], leaf[LTI_NAME_MAX];
    join(norm, name, "norm");
    switch (s->cfg->norm) {
    case LTI_NORM_LAYER:
        return lt_layer_normalize(s->g, x, 1e-5f);
    case LTI_NORM_BATCH:
        return lti_bn(s->g, norm, x);
    case LTI_NORM_TEBN: // [SPIKE 13]
        x = lti_bn(s->g, norm, x);
        if (s->once)
            x = lt_repeat_steps(s->g, x, s->cfg->steps);
        s->once = false;
        return x == LT_NONE
                   ? LT_NONE
                   : lt_step_scale(s->g, x, lt_param(s->g, join(leaf, norm, "step.weight"), LT_SHAPE(s->cfg->steps)),
                                   s->cfg->steps);
    default:
        return x;
    }
}

lt_val lti_spiking_neuron(lti_spiking *s, const char *name, lt_val x)
{
    const lti_spiking_cfg *cfg = s->cfg;
    char leaf[LTI_NAME_MAX];
    if (s->once && x != LT_NONE)
        x = lt_repeat_steps(s->g, x, cfg->steps);
    s->once = false;
    const lt_val p =
        cfg->learn_decay && x != LT_NONE ? lt_param(s->g, join(leaf, name, "decay"), LT_SHAPE(1)) : LT_NONE;
    const lt_neuron_attr attr = {.kind = cfg->neuron,
                                 .surrogate = cfg->surrogate,
                                 .threshold = cfg->threshold,
                                 .decay = cfg->beta,
                                 .surrogate_scale = cfg->surrogate_scale,
                                 .reset_gradient = cfg->reset_gradient};
    return lt_name(s->g, lt_lif(s->g, x, p, cfg->steps, attr, NULL), join(leaf, name, "spikes"));
}

void lti_spiking_stage(lti_spiking *s, const char *name, lt_val spikes)
{
    if (spikes != LT_NONE)
        lt_name(s->g, lt_sum_steps(s->g, spikes, s->cfg->steps, 1.0f / (float)s->cfg->steps), name);
}

lt_val lti_spiking_readout(lti_spiking *s, lt_val output)
{
    const int32_t steps = s->cfg->steps;
    if (s->cfg->readout != LTI_READOUT_CURRENT)
        output = lti_spiking_neuron(s, "output", output);
    else
        lt_name(s->g, output, "output.current");
    return lt_sum_steps(s->g, output, steps, s->cfg->readout == LTI_READOUT_COUNT ? 1.0f : 1.0f / (float)steps);
}

int32_t lt_model_steps(const lt_model *model, lt_val *output)
{
    lt_value_info info;
    lt_val v = lt_graph_find(model->graph, "output.spikes");
    if (v == LT_NONE)
        v = lt_graph_find(model->graph, "output.current");
    if (v == LT_NONE || lt_graph_value(model->graph, v, &info) != LT_OK)
        return 0;
    if (output)
        *output = v;
    return (int32_t)(info.shape.dim[0] / LT_BATCH);
}
