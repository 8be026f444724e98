// model.h - architectures, their parameters, and checkpoints with the names PyTorch users know.
//
// A model owns its forward graph (input "x" (N,C,H,W) in [0,1] -> logits (N,K)), one parameter slab and one state slab
// (F32, laid out by the graph's slab offsets). Tensor names follow the common PyTorch CIFAR ResNet; files hold every
// key of the PyTorch state_dict (num_batches_tracked included), so they load with strict=True and nothing renamed.
//
// Threads: one thread at a time may change a model (initialise, load, train); any number may read one that nobody
// changes, each with a backend of its own.
#ifndef LT_MODEL_H
#define LT_MODEL_H
#include "lethe/plan.h"
#include "lethe/tensorfile.h"
LT_BEGIN

typedef struct lt_model_shape {
    int c, h, w, n_classes;
} lt_model_shape;

typedef struct lt_model {
    const char *spec; // canonical "resnet18:width=64,proj-half=1,bn=1"
    lt_model_shape shape;
    lt_graph *graph;
    lt_val x, logits;
    float *params, *state; // slabs; owned
    int64_t n_params, n_state;
    int64_t bn_batches;             // num_batches_tracked of every batch norm layer
    const char *const *class_names; // n_classes or NULL; owned
    lt_meta *meta;                  // extra __metadata__ entries carried along; owned
    int n_meta;
} lt_model;

// spec: NAME[:key=value,...], keys of the architecture plus mean=a+b+c and std=a+b+c (one value per channel, or one for
// all), which put a normalisation in front. Unknown names and keys fail with LT_E_USAGE and the nearest name, images
// the architecture cannot take with LT_E_SHAPE.
LT_API lt_status lt_model_create(const char *spec, lt_model_shape shape, lt_model **model); // parameters zero
LT_API void lt_model_destroy(lt_model *model);
LT_API lt_status lt_model_dup(const lt_model *model, lt_model **copy);
// PyTorch defaults: conv and linear weights and biases U(-1/sqrt(fan_in), 1/sqrt(fan_in)); batch norm 1, 0, 0, 1.
LT_API void lt_model_init(lt_model *model, uint64_t seed);
LT_API lt_status lt_model_set_class_names(lt_model *model, const char *const *names);
// Replaces. LT_E_USAGE for the keys that lt_model_save writes itself (format, lethe.model, .input, .classes, .mean,
// .std).
LT_API lt_status lt_model_set_meta(lt_model *model, const char *key, const char *value);

// Atomic. Weights that are not finite are refused with LT_E_DIVERGED, because no one could open the file.
LT_API lt_status lt_model_save(const lt_model *model, const char *path);
// The tensors of the state_dict, num_batches_tracked included, without metadata: .npz where the path ends so, else the
// form that torch.load reads with weights_only=True. Refuses as lt_model_save does.
LT_API lt_status lt_model_export(const lt_model *model, const char *path);
// The same under the names, and in the order, of the checkpoint `like`, from which the model was once opened: the
// program that wrote that one loads this one in its place. A normalisation layer of the checkpoint is copied from it,
// half precision becomes float. LT_E_FORMAT or LT_E_SHAPE naming a tensor when it is a checkpoint of something else.
LT_API lt_status lt_model_export_like(const lt_model *model, const char *like, const char *path);
// The network in evaluation form as an ONNX model (opset 13; 19 with circular padding): input "image" (N,C,H,W) in
// [0,1], output "logits" (N,K); normalisation and batch norm are nodes of their own, tensors have the names of
// lt_model_save, whose metadata become metadata_props: lt_model_open reads the file. Atomic. LT_E_UNSUPPORTED for
// spiking networks and for rounded activations, LT_E_DIVERGED as lt_model_save.
LT_API lt_status lt_model_export_onnx(const lt_model *model, const char *path);
// Any tensor file: safetensors, .npz, PyTorch's .pth, ONNX. Rebuilds the architecture from __metadata__ (lethe.model,
// lethe.input) and the rows of the last layer; for foreign files give spec and shape (n_classes 0 = as in the file). A
// spec or shape that contradicts the file's own fails with LT_E_USAGE or LT_E_SHAPE. Other writers' names are mapped
// (DataParallel, torch.compile, torchvision, timm), a normalisation layer of the file becomes the model's where the
// spec has none. Non-finite weights fail with LT_E_FORMAT naming the tensor, missing, extra or misshapen tensors with a
// table of all of them; nothing is loaded then. num_batches_tracked may be missing; F16, BF16 and F64 weights are
// converted.
LT_API lt_status lt_model_open(const char *path, const char *spec_or_null, const lt_model_shape *shape_or_null,
                               lt_model **model);

// What stands between a file and an architecture: lt_model_open refuses such a file.
typedef enum lt_difference_kind {
    LT_DIFFERENCE_MISSING, // the architecture has the tensor, the file has not
    LT_DIFFERENCE_EXTRA,   // the other way round
    LT_DIFFERENCE_SHAPE,
    LT_DIFFERENCE_TYPE, // integers where floating point numbers must be
    LT_N_DIFFERENCE_KINDS
} lt_difference_kind;
enum { LT_DIFFERENCE_NAME_MAX = 160, LT_DIFFERENCE_TEXT_MAX = 96 };
typedef struct lt_difference {
    lt_difference_kind kind;
    char name[LT_DIFFERENCE_NAME_MAX]; // missing: the architecture's; else the file's
    char expected[LT_DIFFERENCE_TEXT_MAX], found[LT_DIFFERENCE_TEXT_MAX]; // shapes "(64,3,3,3)", or "" for no tensor
} lt_difference;
typedef struct lt_differences { // owned
    lt_difference *row;         // missing, misshapen and mistyped ones in the order of the network, then extra ones
    int n, n_of[LT_N_DIFFERENCE_KINDS];
} lt_differences;
LT_API const char *lt_difference_kind_text(lt_difference_kind kind); // "missing", "extra", "shape", "type"
LT_API void lt_differences_clear(lt_differences *d);
// All of them, loading nothing. Arguments and errors as lt_model_open, which has no error but these to find.
LT_API lt_status lt_model_compare(const char *path, const char *spec_or_null, const lt_model_shape *shape_or_null,
                                  lt_differences *differences);

// What a checkpoint says of itself, before it is opened.
typedef struct lt_model_facts {
    bool own;           // written by lethe: everything below comes from its metadata
    bool guessed;       // spec is what the tensors fit
    char spec[512];     // "" when unknown
    char input[64];     // "3x32x32"; "" when unknown
    int n_classes;      // 0 when unknown
    int channels;       // of the images; 0 when unknown
    bool has_normalize; // a normalisation is known: in the spec, or a layer of the file ("normalize.mean")
} lt_model_facts;
LT_API lt_status lt_model_examine(const char *path, lt_model_facts *facts);
// spec with the normalisation "MEAN:STD" (values per channel, or one for all, separated by commas) or "none" added:
// canonical text, freed by the caller with free(). LT_E_USAGE when either cannot be read or the spec has one already.
LT_API lt_status lt_model_spec_normalize(const char *spec, const char *normalize, int channels, char **out);

// BLAKE2b-256 hex over names, shapes and bytes of parameters and state, in graph order: independent of file layout and
// metadata.
LT_API void lt_model_digest(const lt_model *model, char out[65]);

// The named points of the network in the order of computation: the stem and the stages, values of the model's graph
// that can be outputs of a plan (N,C,H,W). Writes at most `max`; returns how many there are, 0 for an architecture that
// names none.
LT_API int lt_model_stages(const lt_model *model, lt_val *stage, int max);

// Steps of time of a spiking network, 0 for others; *output: the output of every step (N*T,K), the spikes or currents
// that the logits sum up. output may be NULL.
LT_API int32_t lt_model_steps(const lt_model *model, lt_val *output);

typedef struct lt_arch {
    const char *name, *title, *keys; // keys: "width=64,proj-half=0,bn=1"
} lt_arch;
LT_API const lt_arch *lt_model_archs(int *n); // n architectures that lt_model_create knows

LT_END_DECLS
#endif
