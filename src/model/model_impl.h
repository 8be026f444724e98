// model_impl.h - what the files of src/model share: architecture descriptors, named layers, spec parsing.
#ifndef LT_MODEL_IMPL_H
#define LT_MODEL_IMPL_H
#include "base/base.h"
#include "lethe/model.h"
#include "lethe/option.h"

enum {
    LTI_NAME_MAX = 128,     // tensor names made here
    LTI_ARCH_CFG_MAX = 128, // bytes of the largest architecture config
    LTI_IMAGE_SIDE_MAX = 4096,
    LTI_CHANNELS_MAX = 256, // 128 frames of two polarities
    LTI_CLASSES_MAX = 1 << 20,
};

// Another writer's word for a part of a tensor's name: "downsample." for "shortcut.". Lists end with {NULL, NULL}.
typedef struct lti_key_rule {
    const char *from, *to;
    const char *implies; // of a guess: a key of the spec that networks of this writer have; NULL = none
} lti_key_rule;

// How the tensors of a file tell that it holds this architecture. Its key `width` is the first dimension of the stem.
typedef struct lti_key_fit {
    const char *stem; // tensor of the first convolution
    int kernel;       // of it
    const char *has, *lacks;
} lti_key_fit;

// One per architecture. A builder makes the layers from x (N,C,H,W) to logits (N,K); errors stay in the graph.
typedef struct lti_arch {
    const lt_option *opts; // keys of the spec, fields of the config
    const char *head;      // tensor whose first dimension is the number of classes
    lt_val (*build)(lt_graph *g, lt_val x, int n_classes, const void *cfg);
    const lti_key_rule *rules; // may be NULL
    const lti_key_fit *fit;    // may be NULL: the architecture is never guessed
} lti_arch;

// A spec, parsed: architecture, its config and the input normalisation (present when `normalize`).
typedef struct lti_model_spec {
    const lti_arch *arch;
    const char *name;
    _Alignas(8) unsigned char cfg[LTI_ARCH_CFG_MAX];
    bool normalize;
    int act_bits, act_rule; // activations rounded to 2^act_bits levels (0 = none); lt_act_rule
    float mean[LTI_CHANNELS_MAX], std[LTI_CHANNELS_MAX]; // n_channels values
    int n_channels;
} lti_model_spec;

const lti_arch *lti_arch_at(int i); // in the order of lt_model_archs
// channels: of the images, for mean and std (one value stands for all channels).
lt_status lti_model_spec_parse(const char *text, int channels, lti_model_spec *spec);
// Canonical text: every key in table order, mean and std last and only when set. NULL when out of memory; lti_free.
char *lti_model_spec_text(const lti_model_spec *spec);
// "0.49+0.48+0.45" of n values. NULL when out of memory; lti_free.
char *lti_floats_text(const float *v, int n);
lt_status lti_model_shape_check(const lt_model_shape *shape);

// The graph and the spec, no slabs yet: what a file is checked against before memory is spent on it.
lt_status lti_model_build(const char *spec, lt_model_shape shape, lt_model **model);
lt_status lti_model_alloc(lt_model *model);
// Is `key` one that save writes from the model itself?
bool lti_model_meta_reserved(const char *key);
// PARAM or STATE value number v; false for every other value.
bool lti_model_tensor(const lt_model *model, lt_val v, lt_value_info *info);
// The tensors of the state_dict in its order, counters of batch norm (all of them *counter) included. list: room for
// two tensors a value of the graph; names that are made lie in the arena. LT_E_DIVERGED for weights that are not
// finite.
lt_status lti_model_list_tensors(const lt_model *model, lti_arena *names, int64_t *counter, lt_tensor *list, int *n);
// The metadata that lt_model_save writes ("lethe.model" and so on, then those carried along), in the arena.
lt_status lti_model_list_meta(const lt_model *model, lti_arena *arena, lt_meta **meta, int *n);
int64_t lti_model_shape_count(const lt_shape *shape);
// Does `name` end in `suffix`? *stem_len is the length before it.
bool lti_has_suffix(const char *name, const char *suffix, size_t *stem_len);

// ---- layers with the names PyTorch gives them; channel counts are read from x.
// (N,C,H,W) -> (N,K,H',W'): `name`.weight (K,C,kernel,kernel), with bias also `name`.bias (K). Zero padding
// (kernel-1)/2.
lt_val lti_conv(lt_graph *g, const char *name, lt_val x, int64_t k, int32_t kernel, int32_t stride, bool bias);
// Batch norm, eps 1e-5, momentum 0.1: `name`.weight, .bias, .running_mean, .running_var.
lt_val lti_bn(lt_graph *g, const char *name, lt_val x);
// (N,C) -> (N,K): `name`.weight (K,C), `name`.bias (K).
lt_val lti_linear(lt_graph *g, const char *name, lt_val x, int64_t k);
// Dimension `axis` of v, 0 when the graph has failed.
int64_t lti_dim(const lt_graph *g, lt_val v, int axis);

#define LT_X(symbol, name, title, keys) extern const lti_arch lti_arch_##symbol;
#include "model/models.list"
#undef LT_X
#endif
