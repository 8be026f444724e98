// quant.h - low-bit weights: quantization-aware training by regularization and its baselines, faulty and variable
// devices, populations of chips, and what is deployed.
//
// A quantized tensor stores a code of `bits` bits per weight; a code stands for a level, a level for the value that the
// network computes with. Methods differ in how training gets weights onto levels (docs/methods/quantization.md); faults
// and variability differ by chip and decide which levels a weight can have (docs/methods/chips.md). All functions
// are pure in their options and seeds: the same chip number is the same map with any number of threads. Calls on
// different objects may run concurrently; one that nobody changes may be shared.
#ifndef LT_QUANT_H
#define LT_QUANT_H
#include "lethe/population.h"
LT_BEGIN

enum {
    LT_QUANT_MAX_BITS = 8,
    LT_QUANT_MAX_CELL_BITS = 4, // faults and variability: up to 4 bits per weight
    LT_QUANT_MAX_GROUP = 256    // chips that are grouped
};

typedef enum lt_quant_ends { LT_ENDS_FLOAT, LT_ENDS_8BIT, LT_ENDS_SAME } lt_quant_ends; // first and last layer
typedef enum lt_quant_granularity { LT_STEP_TENSOR, LT_STEP_CHANNEL } lt_quant_granularity;
// How the word of a code is stored in cells; all over the same levels s (c - (2^n - 1) / 2).
typedef enum lt_encoding {
    LT_ENC_OFFSET,
    LT_ENC_TWOS,
    LT_ENC_SIGN_MAGNITUDE,
    LT_ENC_GRAY,
    LT_ENC_DIFFERENTIAL
} lt_encoding;
typedef enum lt_fault_mapping {
    LT_MAP_NEAREST, // write the code whose faulty value is nearest to the weight
    LT_MAP_BITMAP,  // write the nearest level's code; the hardware reads it through its faults
} lt_fault_mapping;
typedef enum lt_variability_model {
    LT_VAR_CONDUCTANCE,           // a cell contributes 1 + sigma N(0,1) of its share
    LT_VAR_CONDUCTANCE_TRUNCATED, // the same, at least 0
    LT_VAR_LOGNORMAL,             // mean 1, coefficient of variation sigma
    LT_VAR_RESISTANCE,            // 1 / (1 + sigma N(0,1)), where that is above 0
} lt_variability_model;
typedef enum lt_ptq_step { LT_PTQ_MINMAX, LT_PTQ_MSE, LT_PTQ_PERCENTILE, LT_PTQ_MEAN } lt_ptq_step;

typedef struct lt_quant_chip { // one device: faults and spread of its cells
    float fault_rate;          // probability of a stuck cell
    float stuck_at_1;          // share of stuck cells that are stuck at 1
    uint64_t fault_seed;
    int32_t encoding, mapping;
    bool reference_column; // subtract the expected common shift of a layer
    float variability;     // sigma
    int32_t variability_model;
    uint64_t variability_seed;
    int32_t chip; // number: another chip has other maps
} lt_quant_chip;

typedef struct lt_quant_cfg { // every field is a row of lt_quant_options
    int32_t bits;
    const char *method; // of lt_quant_methods
    int32_t granularity, ends;
    bool shortcuts;             // 1x1 projections of shortcuts too
    float lambda0, lambda1;     // weight of the penalty; 0 = from tau0 and tau1
    float ramp_from;            // share of the epochs after which lambda rises
    float tau0, tau1;           // relaxation times at start and end, as shares of the job's steps
    bool equal_tau, grad_scale; // one relaxation time for all layers; sqrt(q/N) in the place of q/N
    int32_t snap_every;         // epochs; 0 = only at the end
    bool snap_reset;            // momentum is reset after a snap
    bool fault_aware;           // training knows the map of its chip
    float own_lr;               // of steps and levels; 0 = the method's
    bool own_grad_scale;        // their gradient divided as LSQ's: by kappa sqrt(q N), times the relative bit weight
    int32_t act_bits;           // of activations; 0 = float
    int32_t act_method;         // lt_act_method
    int32_t bn_batches;         // batches of the re-estimation; 0 = keep the statistics
    lt_quant_chip device;
} lt_quant_cfg;
typedef enum lt_act_method { LT_ACT_LSQ, LT_ACT_PACT } lt_act_method;
LT_API extern const lt_option lt_quant_options[];      // of lt_quant_cfg without the chip
LT_API extern const lt_option lt_quant_chip_options[]; // of lt_quant_chip

typedef struct lt_quant_method_info {
    const char *name, *title, *cite, *doc;
} lt_quant_method_info;
LT_API const lt_quant_method_info *const *lt_quant_methods(void); // ends with NULL
// What can be refused before the work starts. LT_E_USAGE: cfg->method is none of them, with a hint.
LT_API lt_status lt_quant_check(const lt_quant_cfg *cfg);

// ---- encodings and faults of one word (tests, tables and hardware descriptions)
LT_API int lt_encoding_n_cells(lt_encoding e, int bits); // cells that can fail
LT_API uint32_t lt_encoding_word(lt_encoding e, int bits, int code);
LT_API int lt_encoding_code(lt_encoding e, int bits, uint32_t word); // level that a word stands for
// Level that is read when `code` was written to cells of which those in `mask` are stuck at the bits of `value`.
LT_API int lt_fault_read(lt_encoding e, int bits, int code, uint32_t mask, uint32_t value);
// Bit c is set when level c can be read from cells with these faults, whatever was written.
LT_API uint32_t lt_fault_reachable(lt_encoding e, int bits, uint32_t mask, uint32_t value);

// Share of weights of `bits` bits with a stuck cell or more: 1 - (1 - p)^cells.
LT_API double lt_chip_touched_share(const lt_quant_chip *chip, int bits);

// ---- a model with quantized tensors
typedef struct lt_quant lt_quant; // grids, maps and codes for one model; borrows the model

typedef struct lt_quant_tensor_info {
    const char *name; // borrowed from the graph
    int bits, n_grids;
    int64_t n;
    int levels_hit;               // most different codes in one of its grids
    double step, step0;           // of its first grid, now and at the beginning
    double residual;              // mean ((w - level) / step)^2 before the last snap
    double code_change;           // share of codes that changed in the last epoch
    double outside;               // share of weights beyond the outer levels
    double tau_steps;             // relaxation time at the end of training, in steps; NaN without a penalty
    double mean_error, rms_error; // of the values used against the nearest level, in steps
    int64_t histogram[16];        // of codes; filled up to 4 bits
    int64_t histogram_before[16]; // the same of the float weights before training
} lt_quant_tensor_info;

typedef struct lt_quant_result {
    double acc_fp, loss_fp, acc, loss; // test split; NaN without one
    double acc_before_bn;              // of the deployed weights before batch norm was re-estimated
    int bits, levels_hit, n_tensors;
    int64_t n_weights, n_unreachable; // n_unreachable: weights whose nearest level cannot be had on the chip
    int64_t n_conflicts;              // of a group: weights that have no level in common on its chips
    double residual, code_change;     // worst of the tensors
    double travel;                    // sum of learning rates over the steps
    double faultable_share;           // bits of weights whose cells can fail, as a share of all bits of parameters
    lt_train_result train;
} lt_quant_result;

typedef struct lt_quant_in {
    lt_model *model;             // float on entry, holds the deployed values at the end
    const lt_model *float_model; // what it is compared with; NULL = the model as it is on entry
    const lt_dataset *ds;
    const lt_env *env;
    uint64_t seed;
    const lt_train_cfg *train; // recipe of the training
    const char *checkpoint;    // path or NULL
    bool resume;
    const int32_t *group; // one training for all of these chips, in the place of device.chip; NULL = that one
    int n_group;          // at most LT_QUANT_MAX_GROUP; mapping nearest, no spread of cells
} lt_quant_in;

// A copy of in->model whose activations (what every ReLU but the first leaves) are rounded to 2^act_bits levels, with
// first steps from a training batch; a plain copy for act_bits = 0 or a model that has such steps already.
LT_API lt_status lt_quant_activations(const lt_quant_cfg *cfg, const lt_quant_in *in, lt_model **model);
// Quantization-aware training. *quant (owned by the caller) holds codes and grids of the deployed weights. Events:
// "quant.epoch" METRIC per epoch, "quant.schedule" WARNING where the schedule predicts that weights will not reach
// their levels or cannot leave the first ones.
LT_API lt_status lt_quant_train(const lt_quant_cfg *cfg, const lt_quant_in *in, lt_quant **quant,
                                lt_quant_result *result);
// Post-training quantization: the step from the weights alone (percentile: of |w|, in percent).
LT_API lt_status lt_quant_ptq(const lt_quant_cfg *cfg, lt_ptq_step step, double percentile, const lt_quant_in *in,
                              lt_quant **quant, lt_quant_result *result);
LT_API void lt_quant_destroy(lt_quant *quant);
LT_API const lt_quant_chip *lt_quant_device(const lt_quant *quant); // that its codes were made for
LT_API int lt_quant_n_tensors(const lt_quant *quant);
LT_API void lt_quant_tensor(const lt_quant *quant, int i, lt_quant_tensor_info *info);
// Weight tensors of convolutions and linear layers that stay float: NULL behind the last one.
LT_API const char *lt_quant_float_tensor(const lt_quant *quant, int i);

// codes.safetensors: for every quantized tensor NAME its codes (U8, the tensor's shape), NAME.levels (n_grids, 2^bits)
// F32 by code, NAME.step (n_grids) F32; metadata: method, bits, encoding, mapping, chip, seeds, rates.
LT_API lt_status lt_quant_save(const lt_quant *quant, const char *path);
// The same from a file, for the model whose float weights it quantized (or any of the same architecture).
LT_API lt_status lt_quant_open(const char *path, lt_model *model, lt_quant **quant);

// Programs another chip with the present levels: *weights (n_params of the model, caller-owned) becomes what that chip
// computes with. Weights are mapped from `from` (n_params; NULL = the levels of the present codes).
LT_API lt_status lt_quant_program(const lt_quant *quant, const lt_quant_chip *chip, const float *from, float *weights);

// Loss of accuracy when one tensor alone is put on the levels of `quant` and all others keep the weights of
// float_model: drop (lt_quant_n_tensors) = float accuracy minus that. Batch norm keeps its statistics.
LT_API lt_status lt_quant_sensitivity(const lt_quant *quant, const lt_model *float_model, const lt_view *view,
                                      const lt_env *env, double *drop);

// ---- a population of chips: the same codes on many devices, evaluated in parallel
typedef enum lt_population_row { // what is measured of every chip
    LT_POP_BITMAP,               // nearest level's code, read through the faults
    LT_POP_BITMAP_BN,            // and batch-norm statistics re-estimated on the chip
    LT_POP_NEAREST,              // nearest value of the chip
    LT_POP_NEAREST_BN,
    LT_POP_TUNED,           // fine-tuned on the chip
    LT_POP_TUNED_ELSEWHERE, // fine-tuned on the chip, measured on the next one
    LT_POP_GROUPED,         // fine-tuned for the group of the chip, batch-norm statistics re-estimated on the chip
    LT_POP_N_ROWS
} lt_population_row;
LT_API const char *lt_population_row_name(lt_population_row row); // "bitmap", "bitmap-bn", ...
typedef struct lt_chip_population {
    const lt_quant *quant;
    const lt_model *model; // of quant, with its statistics
    const lt_dataset *ds;
    lt_quant_chip device; // rates, seeds, encoding; chips are numbers device.chip .. device.chip + n - 1
    int n;
    int bn_batches, n_workers; // workers 0 = one per core
    int n_images;              // the first so many test samples measure a chip; 0 = all
    uint64_t seed;
    const lt_quant_cfg *tune; // options of a fine-tuning on every chip, or NULL
    int n_groups;             // groups of chips that share a fine-tuning, by group_tune; 0 = none
    const lt_quant_cfg *group_tune;
    int32_t *group;            // (n) receives the group of each chip; with n_groups
    const lt_train_cfg *train; // of that, and of the batches that batch norm sees
    const char *backend;
    unsigned plan_flags;
    const char *table; // CSV that is written chip by chip and read when it is there: an interrupted call continues
    // Directory in which several processes share the chips, or NULL: each takes chips that no other has, waits for
    // those that others have begun, and ends with all of them. A chip is a file here, locked as long as somebody
    // measures it.
    const char *shared;
    lt_events *events;
    const lt_interrupt_flag *stop;
} lt_chip_population;
typedef struct lt_chip_stats { // over the chips of a row
    int n;
    double mean, sd, worst, best, q05, q50, q95;
} lt_chip_stats;
// acc (LT_POP_N_ROWS, n): test accuracies, NAN where a row was not measured. Status and events of lt_population_run.
LT_API lt_status lt_chip_population_run(const lt_chip_population *population, double *acc);
// Groups of like chips [QAT 3.5]: chips device.chip .. device.chip + n - 1 in n_groups groups, greedily merged by the
// squared error that a common model of the present codes adds. group (n): 0 to n_groups - 1, by first chips; cost
// (n_groups): squared error of a weight, in steps, summed over the chips of the group. Deterministic.
LT_API lt_status lt_chip_groups(const lt_quant *quant, const lt_quant_chip *device, int n, int n_groups, int32_t *group,
                                double *cost);
// Quantiles interpolate linearly between order statistics. NaN entries are left out.
LT_API void lt_chip_stats_compute(const double *acc, int n, lt_chip_stats *stats);
LT_API double lt_chip_yield(const double *acc, int n, double at); // share of chips with an accuracy of at least `at`

// Batch norm statistics become the mean over n_batches training batches (the plain mean of batch statistics), of the
// size and augmentation of `recipe`.
LT_API lt_status lt_bn_reestimate(lt_model *model, const lt_dataset *ds, const lt_env *env, const lt_train_cfg *recipe,
                                  int n_batches, uint64_t seed);

LT_END_DECLS
#endif
