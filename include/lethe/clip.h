// clip.h - FastClip: spectral clipping of layers to a target norm, during training or once.
//
// Equations, sources and deviations: docs/methods/fastclip.md [FASTCLIP].
//
// Threads: one thread may use a clipper, or change a model, at a time; calls with different models and backends may run
// concurrently.
#ifndef LT_CLIP_H
#define LT_CLIP_H
#include "lethe/spectra.h"
LT_BEGIN

typedef enum lt_clip_mode {
    LT_CLIP_CEIL, // values above the target come down to it
    LT_CLIP_EXACT // the largest value is also raised to it, as in the authors' code for convolutions
} lt_clip_mode;

typedef struct lt_clip_cfg {                  // rows of lt_clip_norm_options and lt_clip_rule_options
    float clip_norm;                          // target of convolutions and linear layers; 0 = no clipping
    int32_t clip_every;                       // updates between two events; 0 = 50 with batch norm, 100 without
    bool clip_final;                          // bring every layer below its target after the last update
    float clip_linear, clip_bn, clip_compose; // targets of their own; 0: linear as clip_norm, the others not clipped
    int32_t clip_rule;                        // what lt_clip_rule_find gives
    int32_t clip_mode;                        // lt_clip_mode
    int32_t clip_vectors;                     // singular directions of one event
    int32_t clip_inner;                       // steps of the weight in one event; 0 = 5 with batch norm, 1 without
    int32_t clip_iterations;                  // steps of PowerQR before an event, and after it from a new start
    float clip_step;                          // lambda of the rule "released"
} lt_clip_cfg;
LT_API extern const lt_option lt_clip_norm_options[];                // clip_norm, and when: of training
LT_API extern const lt_option lt_clip_rule_options[];                // how
LT_API lt_status lt_clip_rule_find(const char *name, int32_t *rule); // LT_E_USAGE with the nearest name

LT_API bool lt_clip_is_on(const lt_clip_cfg *cfg); // some layer has a target
// {"clip_norm":"1",...}: every row of both tables, or {} when nothing is clipped. For free(); NULL = out of memory.
LT_API char *lt_clip_json(const lt_clip_cfg *cfg);
// Metadata "lethe.clip" of a model that was trained with cfg, for training it again; an entry of an earlier training is
// replaced. LT_E_NOMEM.
LT_API lt_status lt_clip_set_meta(lt_model *model, const lt_clip_cfg *cfg);

typedef struct lt_clipped_layer {
    char *name;
    lt_layer_kind kind;
    double target, before, after; // norms measured cold, with at least 100 steps of PowerQR
    int32_t events;               // clip events; 0 = the layer was below its target
} lt_clipped_layer;
typedef struct lt_clip_report {
    lt_clipped_layer *layer;
    int n_layers;
    double wall_s;
} lt_clip_report;
LT_API void lt_clip_report_clear(lt_clip_report *r);
// Clips the model once. With the rules that search along a line every layer ends at or below its target; the
// comparison rules are applied as they are, and the report says what they left. seed: of start vectors.
LT_API lt_status lt_clip_model(lt_model *model, const lt_clip_cfg *cfg, uint64_t seed, const lt_env *env,
                               lt_clip_report *report);

// ---- clipping while a job trains
typedef struct lt_clipper lt_clipper;
LT_API lt_status lt_clipper_create(lt_model *model, const lt_clip_cfg *cfg, uint64_t seed, const lt_env *env,
                                   lt_clipper **clipper); // for a model that it borrows
LT_API void lt_clipper_destroy(lt_clipper *clipper);      // NULL is fine
// Sets after_update of a job without one (LT_E_USAGE otherwise), and its memory, where the singular vectors are kept
// for checkpoints. The clipper must outlive the run.
LT_API lt_status lt_clipper_attach(lt_clipper *clipper, lt_job *job);
// One event now: events counted and the time of all of them so far; either may be NULL.
LT_API lt_status lt_clipper_event(lt_clipper *clipper, uint32_t number, bool *changed);
LT_API void lt_clipper_counts(const lt_clipper *clipper, int64_t *n_events, double *wall_s);

LT_END_DECLS
#endif
