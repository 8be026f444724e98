// spiking.h - what spiking architectures share: their options, coding of the input, neurons, norms, readout.
#ifndef LTI_SPIKING_H
#define LTI_SPIKING_H
#include "model/model_impl.h"

enum { LTI_CODING_AUTO, LTI_CODING_DIRECT, LTI_CODING_RATE, LTI_CODING_FRAMES };
enum { LTI_NORM_NONE, LTI_NORM_LAYER, LTI_NORM_BATCH, LTI_NORM_TEBN };
enum { LTI_READOUT_COUNT, LTI_READOUT_RATE, LTI_READOUT_CURRENT };
typedef struct lti_spiking_cfg { // first member of an architecture's config
    int32_t steps, width;
    int32_t coding, neuron, surrogate, norm, readout;
    float beta, threshold, surrogate_scale;
    bool learn_decay, reset_gradient;
} lti_spiking_cfg;

extern const lt_opt_value lti_coding_values[], lti_neuron_values[], lti_surrogate_values[], lti_norm_values[],
    lti_readout_values[];
// Rows of an option table whose config begins with the fields of lti_spiking_cfg, in struct T.
#define LTI_SPIKING_OPTIONS(T, steps_, width_, neuron_, norm_, readout_)                                               \
    LT_I32(T, steps, steps_, 1, 128, "steps", "steps of time; of event data: the frames of a sample"),                 \
        LT_I32(T, width, width_, 1, 1024, "channels", "channels of the first layers"),                                 \
        LT_ENUM(T, coding, LTI_CODING_AUTO, lti_coding_values, "how the input becomes steps"),                         \
        LT_ENUM(T, neuron, neuron_, lti_neuron_values, "semantics of the neuron"),                                     \
        LT_ENUM(T, surrogate, LT_SURROGATE_ATAN, lti_surrogate_values, "surrogate gradient"),                          \
        LT_ENUM(T, norm, norm_, lti_norm_values, "normalisation before a neuron"),                                     \
        LT_ENUM(T, readout, readout_, lti_readout_values, "what the logits are"),                                      \
        LT_F32(T, beta, 0.5, 0, 1, "", "decay of the membrane potential; spikingjelly-lif: 1 / tau"),                  \
        LT_F32(T, threshold, 1, 1e-6, 1e6, "", "potential at which a neuron fires"),                                   \
        LT_F32(T, surrogate_scale, 0, 0, 1e6, "", "width parameter of the surrogate; 0 = its usual one"),              \
        LT_BOOL(T, learn_decay, 0, "the decay of every layer is learned"),                                             \
        LT_BOOL(T, reset_gradient, 0, "gradients flow through the reset")

typedef struct lti_spiking { // a network while it is built
    lt_graph *g;
    const lti_spiking_cfg *cfg;
    bool once; // values are still (N,...): a direct code is repeated in front of the first neuron
} lti_spiking;
// x (N,C,H,W) of the model -> what the first layer reads.
lt_val lti_spiking_input(lti_spiking *s, lt_val x);
// norm of name.norm, then the neuron; its spikes are called NAME.spikes.
lt_val lti_spiking_norm(lti_spiking *s, const char *name, lt_val x);
lt_val lti_spiking_neuron(lti_spiking *s, const char *name, lt_val x);
// The mean spikes of a layer over time, a stage of the model.
void lti_spiking_stage(lti_spiking *s, const char *name, lt_val spikes);
// Outputs of every step (N*T,K) -> logits (N,K).
lt_val lti_spiking_readout(lti_spiking *s, lt_val output);
#endif
