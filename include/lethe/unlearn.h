// unlearn.h - methods that remove samples from a trained model. A method is a recipe that fills an lt_job, or, when it
// does not train, a run of its own.
#ifndef LT_UNLEARN_H
#define LT_UNLEARN_H
#include "lethe/attack.h"
LT_BEGIN

enum {
    LT_NEED_RETAIN = 1,
    LT_NEED_ATTACK = 2,
    LT_FROM_SCRATCH = 4,
    LT_FORGET_ONLY = 8,    // never reads the retain set
    LT_WHOLE_CLASSES = 16, // forgets whole classes only
    LT_CLOSED_FORM = 32,   // changes parameters by a formula: no random choice, no mask of parameters
};

typedef struct lt_unlearn_stream { // of requests, of which this is one [AMUN 8.1]
    const lt_model *first;         // the model before the first of them
    const lt_index_set *all;       // rows of every request, this one's among them
} lt_unlearn_stream;

typedef struct lt_unlearn_in {
    lt_model *model; // starts as the trained model, ends unlearned
    const lt_dataset *ds;
    const lt_index_set *forget, *retain; // rows of the training split
    bool use_retain;                     // access setting (i) with retain data, (ii) forget data only
    uint64_t seed;
    const lt_env *env;
    const char *cache_dir; // adversarial sets; may be NULL
    const char *run_dir;   // checkpoints; may be NULL
    bool resume;
    const lt_train_cfg *train_cfg; // recipe of the original model (retrain uses it)
    // NULL = a single request. A saliency mask is then that of stream->first and stream->all [AMUN 6], and amun without
    // `adaptive` takes its adversarial set from one search for stream->all on stream->first.
    const lt_unlearn_stream *stream;
} lt_unlearn_in;

typedef struct lt_passes { // samples through forward and backward passes: a cost that does not depend on the machine
    int64_t n_forward, n_backward;
} lt_passes;

typedef struct lt_layer_delta { // of one parameter tensor
    char *name;
    double delta_l2, norm_l2; // of its change, and of what it was before
} lt_layer_delta;

typedef struct lt_unlearn_result {
    lt_train_result train; // all zero for a method that does not train
    // The time the method costs: search_s is the adversarial search's own, also when its result came from a cache;
    // mask_s that of a saliency mask; update_s the training.
    double search_s, mask_s, update_s;
    lt_passes search, mask, update;
    int64_t n_trainable;  // coordinates that were free to change
    double delta_norm_l2; // || theta' - theta_o ||, over all parameters
    lt_layer_delta *layer;
    int n_layers;
    lt_adv_set *adv; // owned by the result, or NULL
} lt_unlearn_result;
LT_API void lt_unlearn_result_clear(lt_unlearn_result *result);

typedef struct lt_unlearn_plan_ctx { // a method's working memory for one call; lives until the job is done
    lt_adv_set *adv;
    uint8_t *mask;                        // (n_params of the model) 1 = may change; NULL = all may; freed afterwards
    double mask_s;                        // seconds spent on it
    double plan_s;                        // seconds of the update that the plan has spent already
    lt_passes mask_passes, update_passes; // of the mask; of the update beyond what the job itself counts
    void *own;                            // freed afterwards with own_free
    void (*own_free)(void *own);
} lt_unlearn_plan_ctx;

typedef struct lt_unlearn_method {
    const char *name, *title, *cite; // cite: key in docs/refs.bib
    const char *doc;                 // one paragraph: objective, source, deviations
    uint32_t needs;                  // checked before any work starts
    size_t cfg_size;                 // may be 0: no options
    const lt_option *opts;
    // Fills the views, phases and recipe of a job whose model, seed and defaults are set; makes what they need (ctx).
    // It may train another model than in->model, when it also has `finish`.
    lt_status (*plan)(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job);
    // After the job is done: makes the result in in->model out of what was trained. NULL = it is there already.
    lt_status (*finish)(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job);
    // Instead of a plan, for methods that do not train: changes in->model. When interrupted (LT_E_INTERRUPTED) it
    // leaves the model as it was, and starts over when resumed.
    lt_status (*run)(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx);
} lt_unlearn_method;

LT_API const lt_unlearn_method *const *lt_unlearn_methods(void); // NULL-terminated registry
LT_API lt_status lt_unlearn_find(const char *name,
                                 const lt_unlearn_method **method); // LT_E_USAGE with the nearest name
// What lt_unlearn_run refuses before any work: LT_E_USAGE when the method lacks data it needs, LT_E_SHAPE when model
// and data do not fit. Needs no env.
LT_API lt_status lt_unlearn_check(const lt_unlearn_method *method, const lt_unlearn_in *in);
// cfg: cfg_size bytes described by method->opts (after an lt_optset or lt_options_defaults filled them).
// Fails with LT_E_USAGE when the method lacks data it needs (retain set, classes) and before anything is changed; with
// LT_E_CHECK when the parameters did not change at all; otherwise as lt_attack_run and lt_train_run. After
// LT_E_INTERRUPTED the same call with the same trained model and resume = true continues.
LT_API lt_status lt_unlearn_run(const lt_unlearn_method *method, const lt_unlearn_in *in, const void *cfg,
                                lt_unlearn_result *result);

LT_END_DECLS
#endif
