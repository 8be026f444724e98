// quantization.h - quantized runs, populations of chips and exports as whole calls: from an opened model and options to
// a run directory or a file, a struct of results and its JSON. What `lethe quantize` does, without the command.
//
// Orders are plain structs; everything they point to is borrowed. Records own what they hold and are cleared also when
// a call fails. The same options and inputs name the same run: a finished one is returned as it is.
//
// Threads: calls may run concurrently when they share neither backend nor output directory or file.
#ifndef LT_QUANTIZATION_H
#define LT_QUANTIZATION_H
#include "lethe/intnet.h"
#include "lethe/reaudit.h"
#include "lethe/runs.h"
LT_BEGIN

typedef struct lt_quantize_order {
    const lt_trained_model *base; // a float model; for chips and exports a quantized run
    const lt_dataset *ds;
    lt_quant_cfg quant;
    lt_train_cfg train;
    uint64_t seed;
    const lt_optset *set; // bound to the options; identifies the run
    const char *out;      // run directory; NULL = a default name
    bool force;
    const lt_env *env;
    // ---- quantizing
    bool post_training; // without training, by ptq_step
    lt_ptq_step ptq_step;
    double percentile;
    bool sensitivity;       // what each tensor alone costs
    bool reaudit;           // audit the forgetting of an unlearned base before and after
    const lt_model *oracle; // retrained model for that; may be NULL
    // ---- chips
    int n_chips;       // from quant.device.chip on
    int n_chip_images; // test samples that measure a chip, the first ones; 0 = all
    bool fine_tune;
    int n_groups;        // groups of like chips that share a training; 0 = none
    double yield_at;     // accuracy that counts as working; 0 = two points below the nominal one
    int n_workers;       // chips at once; 0 = one per core
    const char *backend; // as lt_backend_create
    // Several processes with one `out` share the chips, in OUT.chips: each takes chips that no other has, and one of
    // them finishes the run. OUT.chips may be removed when OUT is finished.
    bool join;
} lt_quantize_order;
LT_API void lt_quantize_order_defaults(lt_quantize_order *order); // all but what it points to

typedef struct lt_quantize_record {
    char dir[LT_RESULT_PATH_MAX];
    bool is_cached; // it was finished before: the json only
    lt_quant_result result;
    bool has_reaudit;
    lt_reaudit reaudit;
    char model_digest[65];
    char *json;
} lt_quantize_record;
// A run directory with model.safetensors (the values that the hardware computes with) and codes.safetensors. Errors of
// lt_quant_train, lt_quant_ptq, lt_result_dir_open; with reaudit those of lt_trained_model_sets and lt_reaudit_run.
LT_API lt_status lt_quantize_dir(const lt_quantize_order *order, lt_quantize_record *record);
LT_API void lt_quantize_record_clear(lt_quantize_record *record);

typedef struct lt_chips_record {
    char dir[LT_RESULT_PATH_MAX];
    bool is_cached;
    int n, main_row;        // lt_population_row that stands for the population
    double *acc;            // (LT_POP_N_ROWS, n); NAN where a row was not measured
    int32_t *group;         // (n) group of each chip; NULL without groups
    double nominal_acc, at; // accuracy of the run; what counts as working
    lt_chip_stats main_stats;
    double main_yield;
    char *json;
} lt_chips_record;
// A run directory with chips.csv. LT_E_USAGE for ideal chips, which are all the same, and to join without `out`.
LT_API lt_status lt_chips_dir(const lt_quantize_order *order, lt_chips_record *record);
LT_API void lt_chips_record_clear(lt_chips_record *record);

// The integer network of a quantized run, with what it is made from.
typedef struct lt_integer_run {
    lt_quant *quant;
    lt_int_net *net;
} lt_integer_run;
// LT_E_USAGE for a run without codes.
LT_API lt_status lt_integer_run_open(const lt_trained_model *base, const lt_dataset *ds, const lt_env *env,
                                     lt_integer_run *run);
LT_API void lt_integer_run_close(lt_integer_run *run);

// Options "train.*" of a set that starts from a trained model: fewer epochs, a lower rate and less decay than training
// from a random initialisation. Weaker than whatever the user gives.
LT_API lt_status lt_quantize_train_defaults(lt_optset *set);
// Then, once the data are known: the rate that lets weights travel as far as they need, the rates of all steps adding
// up to 15, within 0.01 to 0.05; 0.05 where cells are stuck (docs/methods/quantization.md). Sets `train.lr` unless the
// user gave it. train: the options that the set is bound to.
LT_API lt_status lt_quantize_default_rate(const lt_dataset *ds, const lt_quant_cfg *quant, const lt_train_cfg *train,
                                          lt_optset *set);

// Options "chip.*" of a set for a population of chips: how codes are stored in cells, and which maps chips have, are
// those that the codes of the run were made for. Weaker than whatever the user gives; another encoding is a warning
// "quant.encoding". LT_E_USAGE: the run has no codes.
LT_API lt_status lt_chips_default_device(const lt_trained_model *base, lt_events *events, lt_optset *set);

typedef enum lt_export_format { LT_EXPORT_C, LT_EXPORT_ONNX, LT_EXPORT_PACKED, LT_N_EXPORT_FORMATS } lt_export_format;
LT_API extern const char *const lt_export_file_name[LT_N_EXPORT_FORMATS]; // in a directory: "lethe_model.c", ...
// Where an export to `out` goes: a directory that exists gets a file of the usual name. malloc'ed; NULL = out of
// memory.
LT_API char *lt_export_path(const char *out, lt_export_format format);
// LT_E_USAGE when the file, or the header that belongs to a C file, is a file of something else, unless force.
LT_API lt_status lt_export_check(const char *path, lt_export_format format, bool force);
typedef struct lt_export_record {
    char digest[65]; // of the file
    double test_acc, images_per_s;
    lt_int_info info;
    char *json;
} lt_export_record;
LT_API lt_status lt_integer_run_export(const lt_trained_model *base, const lt_dataset *ds, const lt_env *env,
                                       lt_export_format format, const char *path, lt_export_record *record);
LT_API void lt_export_record_clear(lt_export_record *record);

LT_END_DECLS
#endif
