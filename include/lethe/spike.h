// spike.h - spiking networks after training: activity, synaptic operations, energy; exchange as NIR.
//
// Networks, neurons and losses are those of model.h, graph.h and train.h; integer neurons those of intnet.h. Sources
// and equations: docs/methods/spiking.md.
//
// Threads: calls may run concurrently with different backends and results.
#ifndef LT_SPIKE_H
#define LT_SPIKE_H
#include "lethe/train.h"
LT_BEGIN

// ---- activity on data
typedef struct lt_spike_layer {
    const char *name;  // of the neurons: "features.0"
    int64_t n_neurons; // of one step
    double rate;       // mean spikes a neuron and step
} lt_spike_layer;
typedef struct lt_spike_activity { // means over the samples
    int32_t steps;
    int64_t n; // samples
    int n_layers;
    lt_spike_layer *layer; // in the order of computation; owned
    double synops;     // additions: spikes that arrive at a layer, times the outputs each of them reaches [SPIKE 15]
    double macs;       // multiply-adds of layers whose input is no spikes (direct coding, averages of maps)
    double dense_macs; // multiply-adds of all layers over all steps, as if inputs were dense
    double energy_pj, dense_energy_pj; // by the constants below
} lt_spike_activity;
// Energy of an operation in picojoule: 32-bit float, 45 nm (Horowitz, ISSCC 2014). Memory is not counted.
#define LT_SPIKE_PJ_ADD 0.9
#define LT_SPIKE_PJ_MAC 4.6
// LT_E_USAGE for a model without steps of time.
LT_API lt_status lt_spike_activity_measure(const lt_model *model, const lt_view *view, const lt_env *env, int64_t batch,
                                           lt_spike_activity *activity);
LT_API void lt_spike_activity_clear(lt_spike_activity *activity);

// Spikes of one sample, for rasters: *spikes (steps, n) of the named layer's first n neurons, 0 or 1; owned by the
// caller (free). layer: "features.0".
LT_API lt_status lt_spike_raster(const lt_model *model, const lt_view *view, int64_t sample, const lt_env *env,
                                 const char *layer, int64_t *n, uint8_t **spikes);

// ---- exchange: NIR (Pedersen et al., 2024), HDF5
LT_API bool lt_nir_available(void); // built with HDF5
// The network as a NIR graph. Batch norm is folded into the layer in front of it. Each of the following fails with
// LT_E_UNSUPPORTED naming it, because NIR has no node for it: layer norm, semantics other than subtract-delayed and
// spikingjelly, shortcuts that add spikes are kept as edges that meet.
LT_API lt_status lt_nir_export(const lt_model *model, const char *path);
// Weights of a NIR file into the model it describes: `spec` names the architecture. Nodes are taken in the order of
// edges; shapes and neurons must be those of the model.
LT_API lt_status lt_nir_import(const char *path, const char *spec, lt_model_shape shape, lt_model **model);

LT_END_DECLS
#endif
