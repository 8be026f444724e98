// quant_impl.h - what the files of quant share: grids, maps of a chip, the table of tensors, methods.
#ifndef LT_QUANT_IMPL_H
#define LT_QUANT_IMPL_H
#include "base/base.h"
#include "graph/op.h"
#include "lethe/quant.h"
#include "lethe/rng.h"

enum { LTI_LEVELS = 1 << LT_QUANT_MAX_BITS, LTI_CELL_LEVELS = 1 << LT_QUANT_MAX_CELL_BITS, LTI_MAX_CELLS = 6 };

// ---- grids: levels by code. Uniform: level = step (code - zero).
typedef enum lti_grid_kind {
    LTI_GRID_MIDRISE,    // zero = (2^n - 1) / 2: no level at 0 [A]
    LTI_GRID_MIDTREAD,   // zero = 2^(n-1)
    LTI_GRID_MULTIPLIERS // level = sum of the gains of the set bits - reference: n + 1 numbers, midrise at the start
} lti_grid_kind;
typedef struct lti_grid {
    lti_grid_kind kind;
    int bits, n_levels;
    float zero, step, step0;           // step0: at the beginning, for bounds
    float gain[LT_QUANT_MAX_BITS + 1]; // multipliers: R_0 .. R_{n-1}, reference R_n
    float scale;                       // of the latent of some methods, recomputed in every step
    float level[LTI_LEVELS];
    uint8_t order[LTI_LEVELS]; // codes by rising level
    float mid[LTI_LEVELS];     // midpoints between neighbours in that order
} lti_grid;
void lti_grid_init(lti_grid *g, lti_grid_kind kind, int bits, float step);
void lti_grid_set_step(lti_grid *g, float step);
void lti_grid_set_gains(lti_grid *g, const float *gain); // (bits + 1)
bool lti_grid_monotone(const lti_grid *g);
int lti_grid_nearest(const lti_grid *g, float w); // of equally near levels the lower one
float lti_step_from_mean(const float *w, int64_t n, int bits, lti_grid_kind kind); // 2 mean|w| / sqrt(zero)

static inline int lti_uniform_code(float w, float step, float zero, int n_levels)
{
    const float u = w / step + zero - 0.5f;
    const int top = n_levels - 1;
    if (!(u > 0))
        return 0;
    if (u >= (float)top)
        return top;
    const int c = (int)u;
    return c + ((float)c < u); // ceil: ties go to the lower code
}

// ---- what a pattern of stuck cells does to the codes of one encoding, by state = mask | value << 8
typedef struct lti_fault_table {
    int bits, n_cells, n_levels;
    uint16_t reachable[1 << 2 * LTI_MAX_CELLS];                   // by mask | value << n_cells
    uint8_t read[1 << 2 * LTI_MAX_CELLS][LTI_CELL_LEVELS];        // code read by code written
    uint8_t nearest[1 << 2 * LTI_MAX_CELLS][2 * LTI_CELL_LEVELS]; // by ceil(2 (w / step + zero)): uniform grids
} lti_fault_table;
lt_status lti_fault_table_create(lt_encoding e, int bits, lti_fault_table **table); // lti_free
static inline uint32_t lti_state_index(uint16_t state, int n_cells)
{
    return (uint32_t)(state & 0xff) | (uint32_t)(state >> 8) << n_cells;
}
// Value of a stored word with the gains eps of its cells, in the units of the grid.
float lti_cell_value(lt_encoding e, const lti_grid *g, uint32_t word, const float *eps);

// ---- tensors and chips
typedef struct lti_qtensor {
    const char *name;
    lt_shape shape;
    int64_t from, n, per; // offset in the parameter slab; weights; weights per grid
    int64_t first;        // number of its first weight among all quantized ones
    int n_grids, grid;    // grid: number of its first one
    int bits;
    bool faulty;        // its cells can fail and vary
    uint32_t id;        // ordinal among all weight tensors of the model: address in maps
    float kappa;        // normaliser of the penalty
    float lambda_scale; // of the schedule, for equal relaxation times and stability
} lti_qtensor;

typedef struct lti_segment { // a piece of one grid inside one block of the update
    int tensor, grid;
    int64_t from, n;                          // coordinates of the slab
    double own[LT_QUANT_MAX_BITS + 1], value; // sums of the last pass
    double bend;                              // bound of the curvature of the value in its own numbers
} lti_segment;

typedef struct lti_maps { // of one chip, or of a group; arrays over all quantized weights, NULL = ideal
    lt_quant_chip chip;
    uint16_t *state; // stuck cells
    float *eps;      // (n_weights, n_cells) gains of cells
    int n_cells;
    lti_fault_table *table;
    struct lti_maps *member; // of a group: the maps of its chips; state and eps are NULL
    int n_members;
} lti_maps;

struct lti_quantizer;
struct lt_quant {
    lt_quant_cfg cfg;
    char method[32];
    const lt_model *model;
    const struct lti_quantizer *quantizer;
    lti_qtensor *tensor;
    int n_tensors, n_grids;
    int64_t n_weights, n_all_weights; // n_all_weights: parameters of the model
    lti_grid *grid;
    lti_segment *segment;
    int *segment_of_block; // first segment of each block of the update; n_blocks + 1
    int n_segments, n_blocks;
    float *own; // learned numbers of the grids, n_own each
    int n_own;
    uint8_t *code; // (n_weights): at the end of the last epoch, then as deployed
    lti_maps maps;
    lt_quant_tensor_info *info; // (n_tensors)
    lt_update_at at;            // of the update in work
    double lambda;
    float sigma;            // width of the Gaussian well, in steps
    double lambda_end[2];   // weights of the penalty at the start and the end of the ramp, resolved
    double n_steps;         // of the job
    float momentum, lr_max; // of the job
    uint64_t seed;
    const char *label; // how the levels were found, for files: the method, or "ptq"
    char identity[768];
};

// The tensors that cfg quantizes in model, with grids set to steps from the weights. *q: lt_quant_destroy.
lt_status lti_quant_create(const lt_quant_cfg *cfg, const lt_model *model, lt_quant **q);
lt_status lti_quant_init_grids(lt_quant *q); // the method's first steps, from the parameters of the model
lt_status lti_maps_draw(const lt_quant *q, const lt_quant_chip *chip, lti_maps *maps);
void lti_maps_clear(lti_maps *maps);
lt_status lti_maps_draw_group(const lt_quant *q, const lt_quant_chip *chip, const int32_t *chips, int n,
                              lti_maps *maps);
// Bit c: quantized weight number `at` can have level c, on all chips of a group. Stuck cells only.
uint32_t lti_maps_reachable(const lti_maps *maps, int64_t at);
int lti_maps_group_nearest(const lti_maps *maps, const lti_grid *g, int64_t at, float w, float *value);
// The common target of weight w on n chips that can have these sets of levels, and the sum of its squared errors: the
// nearest common level, or without one the code of least error after each chip's own mapping [QAT 3.5].
int lti_group_target(const lti_grid *g, const uint16_t *set, int n, float w, double *error);
bool lti_chip_ideal(const lt_quant_chip *chip);
lt_status lti_chip_check(const lt_quant_chip *chip, int bits);

// One weight: code and value that are nearest on the chip of `maps` (NULL = ideal), i: index in the tensor.
int lti_q_nearest(const lt_quant *q, const lti_maps *maps, const lti_qtensor *t, const lti_grid *g, int64_t i, float w,
                  float *value);
// What is deployed for weight w: by the mapping of the chip.
int lti_q_deploy(const lt_quant *q, const lti_maps *maps, const lti_qtensor *t, const lti_grid *g, int64_t i, float w,
                 float *value);
// weights (slab): deployed values of p (slab) where quantized, p elsewhere. code may be NULL.
void lti_q_deploy_all(const lt_quant *q, const lti_maps *maps, const float *p, float *weights, uint8_t *code);
void lti_q_deploy_levels(const lt_quant *q, const lti_maps *maps, const float *levels, float *weights);
void lti_q_own_to_grids(lt_quant *q); // after an update of `own`

lt_param_group lti_act_group(const lt_model *m); // steps of activations in the slab; n = 0 without any

// ---- shared by training and post-training quantization
lt_status lti_quant_evaluate(const lt_model *m, const lt_quant_in *in, double *acc, double *loss); // NaN without images
lt_status lti_ptq_fit(lt_quant *q, lt_ptq_step kind, double percent); // midrise grids from the parameters
// Puts the model's weights on what the chip makes of them, re-estimates batch-norm statistics, evaluates.
lt_status lti_quant_deploy(lt_quant *q, const lt_quant_in *in, lt_quant_result *r);

// ---- methods
typedef struct lti_qpiece { // a segment at work
    const lt_quant *q;
    const lti_qtensor *t;
    const lti_grid *g;
    int64_t i, n; // first weight within the tensor; weights
    const float *w;
    float *used;        // forward
    const float *value; // backward: what forward made
    float *grad;
    double *own;  // sums for own gradients, n_own
    double *bend; // see lti_segment
} lti_qpiece;

enum {
    LTI_Q_PENALTY = 1,
    LTI_Q_FORWARD = 2,
    LTI_Q_NEVER_SNAPS = 4,
    LTI_Q_NO_RAMP = 8,
    LTI_Q_CLAMP = 16,
    LTI_Q_PTQ_AFTER = 32,
    LTI_Q_SNAP_RESETS = 64
};
typedef struct lti_quantizer {
    lt_quant_method_info info;
    unsigned flags;
    lti_grid_kind grid;
    int (*n_own)(int bits);                                   // learned numbers per grid; NULL = none
    float own_lr;                                             // default rate of these
    float sign;                                               // of the penalty: -1 pushes away from levels, 0 = 1
    float (*first_step)(const float *w, int64_t n, int bits); // NULL = lti_step_from_mean
    // Adds coef * d (value / 2) / dw to grad and its own gradients to `own`; returns the sum of the value over the
    // piece.
    double (*penalize)(const lti_qpiece *p, float coef);
    // Normaliser of a weight's term in a grid of n weights, and the curvature of the term at a level, for relaxation
    // times.
    void (*stiffness)(const lt_quant *q, const lti_grid *g, int64_t n, double *kappa, double *curvature);
    void (*prepare)(lt_quant *q, const float *p); // before the forward pass of a step; NULL = nothing
    float (*latent)(const lti_grid *g, float w);  // where levels are compared with; NULL = the weight itself
    void (*forward)(const lti_qpiece *p);
    void (*backward)(const lti_qpiece *p);
    int n_passes;          // of the transform, see lt_transform
    int32_t force_mapping; // 1 + lt_fault_mapping, 0 = that of the chip
    int32_t act_method;    // 1 + lt_act_method that belongs to the method, 0 = that of the options
} lti_quantizer;
// Kinds: own numbers, penalties and transforms of a job.
lt_penalty lti_quant_penalty(lt_quant *q);
lt_transform lti_quant_transform(lt_quant *q);
void lti_quant_epoch_stats(lt_quant *q, const float *p);        // residual, code changes, histogram; keeps the codes
static inline const lti_maps *lti_known_maps(const lt_quant *q) // those that training knows
{
    return q->cfg.fault_aware && q->maps.table ? &q->maps : NULL;
}
lt_status lti_quantizer_find(const char *name, const lti_quantizer **z);
static inline float lti_latent(const lt_quant *q, const lti_grid *g, float w)
{
    return q->quantizer->latent ? q->quantizer->latent(g, w) : w;
}
int lti_own_one(int bits);
int lti_own_gains(int bits);
void lti_msqe_stiffness(const lt_quant *q, const lti_grid *g, int64_t n, double *kappa, double *curvature);
void lti_gauss_stiffness(const lt_quant *q, const lti_grid *g, int64_t n, double *kappa, double *curvature);
double lti_msqe_penalize(const lti_qpiece *p, float coef);
void lti_ste_forward(const lti_qpiece *p);
void lti_ste_backward(const lti_qpiece *p);
static inline float lti_grid_low(const lti_grid *g)
{
    return g->mid[0] - (g->level[g->order[1]] - g->level[g->order[0]]);
}
static inline float lti_grid_high(const lti_grid *g)
{
    const int top = g->n_levels - 1;
    return g->mid[top - 1] + (g->level[g->order[top]] - g->level[g->order[top - 1]]);
}

#define LT_X(name) extern const lti_quantizer lti_quantizer_##name;
#include "quant/quantizers.list"
#undef LT_X
#endif
