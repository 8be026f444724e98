// unlearn.h - methods that remove samples from a trained model. A method is a recipe that fills an lt_job, or, when it
// does not train, a run of its own.
//
// Threads: the registry may be read by any thread. Calls may run concurrently when each has its own model, backend and
// cache entry; data sets may be shared.
#ifndef LT_UNLEARN_H
#define LT_UNLEARN_H
#include "lethe/attack.h"
LT_BEGIN

enum {
    LT_NEED_RETAIN = 1,
    LT_NEED_ATTACK = 2,
    LT_FROM_SCRATCH = 4,   // exact: trains again without the forget set; its results are the oracles
    LT_FORGET_ONLY = 8,    // never reads the retain set
    LT_WHOLE_CLASSES = 16, // forgets whole classes only
    LT_CLOSED_FORM = 32,   // changes parameters by a formula: no random choice, no mask of parameters
    LT_FINE_TUNES = 64,    // its config begins with a recipe; what that leaves open is filled in before `plan`
};

typedef struct lt_unlearn_stream { // of requests, of which this is one [AMUN 8.1]
    const lt_model *first;         // the model before the first of them
    const lt_index_set *all;       // rows of every request, this one's among them
} lt_unlearn_stream;

// Asked after every epoch but the last of a method that trains, with the model as it is; *enough ends the run. Must
// depend on the model only: a resumed run asks again.
typedef struct lt_unlearn_until {
    lt_status (*ask)(void *ctx, const lt_model *model, int32_t n_epochs, bool *enough);
    void *ctx;
} lt_unlearn_until;

typedef struct lt_train_stage { // a training before the last one, of a model that was fine-tuned
    lt_train_cfg cfg;
    const lt_dataset *ds;
    const lt_index_set *retain;                   // rows of its training split that stay
    lt_status (*prepare)(void *ctx, lt_job *job); // as lt_unlearn_in.prepare_training; NULL = nothing
    void *prepare_ctx;
} lt_train_stage;

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
    // What else belongs to training the original model, spectral clipping say: called on the job of a method that
    // trains from scratch, before it runs. What it attaches must outlive the call. NULL = nothing.
    lt_status (*prepare_training)(void *ctx, lt_job *job);
    void *prepare_ctx;
    // Recipe of the original model, or NULL when it is not known: retrain trains with it; the default batch, the
    // largest default learning rate and the default augmentation of the other methods follow from it.
    const lt_train_cfg *train_cfg;
    bool is_clipped; // the original model was trained with spectral clipping
    // Trainings of the original model before that one: a method with LT_FROM_SCRATCH repeats them first, in this order.
    const lt_train_stage *earlier;
    int n_earlier;
    // NULL = a single request. A saliency mask is then that of stream->first and stream->all [AMUN 6], and amun without
    // `adaptive` takes its adversarial set from one search for stream->all on stream->first.
    const lt_unlearn_stream *stream;
    const lt_unlearn_until *until; // NULL = all epochs; methods with LT_FINE_TUNES only
} lt_unlearn_in;

typedef struct lt_passes { // samples through forward and backward passes: a cost that does not depend on the machine
    int64_t n_forward, n_backward;
} lt_passes;

typedef struct lt_layer_delta { // of one parameter tensor
    char *name;
    double delta_l2, norm_l2; // of its change, and of what it was before
} lt_layer_delta;

// ---- defaults of a method: docs/methods/learning-rate-area.md
//
// The learning-rate area A is the sum of the learning rate over all optimiser steps of a run. To first order the
// parameters move by A / (1 - momentum) mean gradients, so A says how much a run spends, whatever the size of the data,
// of the batch and the number of epochs; learning rates do not. A method states its default area, from which the rate
// follows: lr = A / (n S), with n steps an epoch and S the sum of the schedule's factors over the epochs [AREA 1].

enum { // lt_unlearn_default.when
    LT_WITH_RETAIN = 1,
    LT_WITHOUT_RETAIN = 2,
    LT_AUGMENTED = 4, // the method augments its images, as the base run did
    LT_UNAUGMENTED = 8,
    LT_FIRST_FORM = 16,
    LT_SECOND_FORM = 32, // of lt_unlearn_method.choose_form
    LT_OF_CLASSES = 64,  // the forget set is one or several whole classes
    LT_CLIPPED = 128,    // the original model was trained with spectral clipping: its weights are small
};
enum { LT_STEP_HALF = -2, LT_STEP_COSINE = -3 }; // lr_step_every: half of the epochs; a cosine to 0 instead of steps
typedef struct lt_unlearn_default {
    uint32_t when;         // the settings it is for: all of these hold; 0 = all settings
    double area;           // learning-rate area at momentum 0.9; 0 = none is known, lr is the default
    float lr;              // used without an area, and by published values
    int32_t epochs;        // 0 ends a list
    int64_t batch;         // 0 = that of the base run
    int32_t lr_step_every; // epochs; 0 = constant; LT_STEP_HALF, LT_STEP_COSINE
    bool of_adam;          // the area is the sum of Adam's rates: at most so far a parameter moves
} lt_unlearn_default;

typedef struct lt_unlearn_form {  // one of two forms of a method, chosen by a rule or an option
    bool is_second, trains_pairs; // trains_pairs: on adversarial images and on those they were made of
    const char *name, *reason;    // static texts; reason NULL = an option said so
} lt_unlearn_form;

typedef struct lt_unlearn_setup {  // what a run was made with; filled for methods with LT_FINE_TUNES
    double lr;                     // the largest
    int32_t epochs, lr_step_every; // lr_step_every: as lt_unlearn_default, never LT_STEP_HALF
    float lr_step_gamma;
    int64_t batch, steps_per_epoch;
    double lr_area, lr_area_default; // lr_area_default: of this setting; NAN = the method states none
    double lr_area_wanted;           // more than lr_area where the largest learning rate allowed no more; else the same
    bool is_published, has_batchnorm, raised_epochs;
    lt_unlearn_form form; // name NULL = the method has one form
} lt_unlearn_setup;
// One line: "amun: adversarial only (...), lr 0.0144 x0.1 after 5 epochs, 63 steps an epoch, learning-rate area 5.0".
LT_API void lt_unlearn_setup_text(const char *method, const lt_unlearn_setup *setup, char *out, size_t out_size);

typedef struct lt_unlearn_result {
    lt_unlearn_setup setup;
    lt_train_result train; // all zero for a method that does not train
    // The time the method costs: search_s is the adversarial search's own, also when its result came from a cache;
    // mask_s that of a saliency mask; update_s the training.
    double search_s, mask_s, update_s;
    lt_passes search, mask, update;
    int64_t n_trainable;  // coordinates that were free to change
    double delta_norm_l2; // || theta_u - theta_o ||, over all parameters
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
    const char *label;               // in tables and charts: "SalUn"
    const char *doc;                 // one paragraph: objective, source, deviations
    uint32_t needs;                  // checked before any work starts
    size_t cfg_size;                 // may be 0: no options
    const lt_option *opts;
    // Fills the views, phases and recipe of a job whose model, seed and defaults are set; makes what they need (ctx).
    // It may train another model than in->model, when it also has `finish`.
    lt_status (*plan)(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job);
    // After the plan, when the learning rate and the epochs of the job are final, which may be more than cfg says:
    // makes what depends on their number. NULL = nothing does.
    lt_status (*begin)(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job);
    // Sets the phases that the job has in an epoch, and nothing else. NULL = the same in all epochs.
    void (*set_phases)(lt_job *job, int32_t epoch);
    // After the job is done: makes the result in in->model out of what was trained. NULL = it is there already.
    lt_status (*finish)(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx, lt_job *job);
    // Instead of a plan, for methods that do not train: changes in->model. When interrupted (LT_E_INTERRUPTED) it
    // leaves the model as it was, and starts over when resumed.
    lt_status (*run)(const lt_unlearn_in *in, const void *cfg, lt_unlearn_plan_ctx *ctx);
    // What its options stand for when they are left open, by setting: the first row that applies. With LT_FINE_TUNES.
    const lt_unlearn_default *defaults, *published; // published: the values of its source; NULL = there are none
    // For methods with two forms: sets cfg to the one that its option or the method's rule chooses. NULL = one form.
    void (*choose_form)(const lt_unlearn_in *in, void *cfg, lt_unlearn_form *form);
    const char *pairs_advice; // what to use instead of a form that trains pairs: "--adv-only yes". NULL = no such form
    // Refuses files that its options name and that cannot be written, before anything is made. force: files of another
    // kind may be replaced. NULL = none are named.
    lt_status (*check_files)(const void *cfg, bool force);
} lt_unlearn_method;

// Lines of text for help and documentation: default learning-rate areas and published values, or "". malloc'ed; NULL
// when out of memory.
LT_API char *lt_unlearn_defaults_text(const lt_unlearn_method *method);
// Epochs that a run of the method takes when nothing is said: of the first row of its defaults that fits the access,
// for samples unless the method forgets whole classes only.
LT_API int32_t lt_unlearn_default_epochs(const lt_unlearn_method *method, bool use_retain);

// The default learning-rate area of a setting: of `in` the data, the sets, use_retain and train_cfg are read, cfg is as
// for lt_unlearn_run. NAN when the method states none. LT_E_NOMEM.
LT_API lt_status lt_unlearn_default_area(const lt_unlearn_method *method, const lt_unlearn_in *in, const void *cfg,
                                         double *area);

LT_API const lt_unlearn_method *const *lt_unlearn_methods(void); // NULL-terminated registry
LT_API lt_status lt_unlearn_find(const char *name,
                                 const lt_unlearn_method **method); // LT_E_USAGE with the nearest name
// What lt_unlearn_run refuses before any work: LT_E_USAGE when the method lacks data it needs, LT_E_SHAPE when model
// and data do not fit. Needs no env.
LT_API lt_status lt_unlearn_check(const lt_unlearn_method *method, const lt_unlearn_in *in);
// cfg: cfg_size bytes described by method->opts (after an lt_optset or lt_options_defaults filled them). What it leaves
// open is filled in a copy; result->setup and the note "unlearn.setup" say with what. A rule that asks for more
// than the largest learning rate allows gives the warning "unlearn.area".
// Fails with LT_E_USAGE when the method lacks data it needs (retain set, classes) and before anything is changed; with
// LT_E_CHECK when the parameters did not change at all (at a learning-rate area of 0 they do not); otherwise as
// lt_attack_run and lt_train_run. After LT_E_INTERRUPTED the same call with the same trained model and resume = true
// continues.
LT_API lt_status lt_unlearn_run(const lt_unlearn_method *method, const lt_unlearn_in *in, const void *cfg,
                                lt_unlearn_result *result);

LT_END_DECLS
#endif
