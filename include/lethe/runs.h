// runs.h - trained models, in run directories or bare files, and the directories that results are written to.
//
// A verb that works on a model opens it with lt_trained_model_open, gets its data with lt_trained_model_data, and
// writes what it made with lt_result_dir_open ... lt_result_dir_finish. An object belongs to one thread at a time;
// calls on different objects may run concurrently when they share neither backend nor directory.
#ifndef LT_RUNS_H
#define LT_RUNS_H
#include "lethe/audit.h"
#include "lethe/clip.h"
#include "lethe/lint.h"
#include "lethe/run.h"
LT_BEGIN

struct json_t; // of jansson; lt_trained_model_text and _real read it without that header

// ---- trained models
// What a file that lethe did not write leaves open. Every field is a row of lt_model_fallback_options; zero = nothing.
typedef struct lt_model_fallback {
    const char *model;     // architecture, "resnet18:width=64"
    const char *normalize; // "MEAN:STD", each one number or one per channel separated by commas; or "none"
    const char *input;     // "3x32x32"; default: that of the data
    const char *classes;   // text file with one class name a line; default: those of the data
} lt_model_fallback;
LT_API extern const lt_option lt_model_fallback_options[];

typedef struct lt_trained_model { // owned; all zero = nothing is open
    char *name, *dir, *path;      // as given; directory of the run, or NULL for a bare file; model file
    lt_model *model;
    struct json_t *resolved, *result; // resolved.json and result.json of the run, parsed, or NULL
} lt_trained_model;
// run_or_file: the directory of a finished run, or a model file in any format that lt_model_open reads. fallback and ds
// (which gives the shape of images and the number of classes) may be NULL. LT_E_INPUT, LT_E_FORMAT; LT_E_INTEGRITY when
// the weights are not those that result.json reports; LT_E_USAGE with all that has to be named when the file and the
// fallback together leave something open; LT_E_USAGE and LT_E_SHAPE as lt_model_open. Fills *m also when it
// fails: close it in either case.
LT_API lt_status lt_trained_model_open(const char *run_or_file, const lt_model_fallback *fallback, const lt_dataset *ds,
                                       lt_trained_model *m);
LT_API void lt_trained_model_close(lt_trained_model *m);
LT_API const char *lt_trained_model_meta(const lt_trained_model *m, const char *key);  // of the file; NULL when absent
LT_API const char *lt_trained_model_text(const lt_trained_model *m, const char *path); // of the result, "a.b"; or ""
LT_API double lt_trained_model_real(const lt_trained_model *m, const char *path);      // of the result; NAN when absent
LT_API void lt_trained_model_effect(const lt_trained_model *m, lt_lint_effect *effect); // of its result, for the linter
// The recipe that the model was trained with, from its metadata; defaults where the file says nothing. LT_E_FORMAT.
LT_API bool lt_trained_model_has_recipe(const lt_trained_model *m);
LT_API lt_status lt_trained_model_recipe(const lt_trained_model *m, lt_train_cfg *cfg);
// The spectral clipping that it was trained with; clip_norm and the others are 0 where the file says nothing.
LT_API lt_status lt_trained_model_clip(const lt_trained_model *m, lt_clip_cfg *cfg);

// ---- how a model came to be: one training, or a chain such as training and fine-tuning
typedef struct lt_recipe_stage {
    bool is_known;    // cfg is how the model was trained, rather than the defaults
    bool is_recorded; // by the model's file, rather than given by the user: "" as data is then not known
    lt_train_cfg cfg;
    lt_clip_cfg clip;               // all zero = none
    char *data, *data_digest, *run; // spec and digest of the training data, run that was left; or ""
    int64_t *forgotten;             // (n_forgotten) official ids in that data, forgotten before the next stage
    int64_t n_forgotten;
} lt_recipe_stage;
typedef struct lt_recipe { // owned
    int n;                 // 1 or more
    lt_recipe_stage *stage;
} lt_recipe;
LT_API void lt_recipe_clear(lt_recipe *recipe);
// Every training of the model, from its metadata, the first one first. LT_E_FORMAT.
LT_API lt_status lt_trained_model_history(const lt_trained_model *m, lt_recipe *recipe);
// A YAML file: options of training at the top, or below `stages` a list of such maps, each perhaps with `data`, the
// data set of that stage (default: that of the model). LT_E_FORMAT with the line; LT_E_USAGE for a training that has no
// `epochs`, or none of them.
LT_API lt_status lt_recipe_open(const char *path, lt_recipe *recipe);

// Path of the run that this one started from, malloc'ed ("" = none): the one on record or, where that does not exist,
// one of the same name in the directory that holds this run. NULL when out of memory.
LT_API char *lt_trained_model_parent(const lt_trained_model *m);

// The data set to use with a model: `given` ("" or NULL = none), or the one named in its metadata. LT_E_USAGE when
// neither says. The text is borrowed.
LT_API lt_status lt_trained_model_data_spec(const lt_trained_model *m, const char *given, const char **spec);
typedef enum lt_data_use {
    LT_DATA_TRAINING, // samples of the training set are named: it must be the model's
    LT_DATA_ANY,      // other data is a question that may be asked
} lt_data_use;
// Is ds the data that the model was trained on? With LT_DATA_TRAINING samples are found by content where files have
// been added, renamed or deleted since (lt_dataset_identify, by the list in the directory of the run or of one that it
// comes from): ids stay those of the training, new files are left out, and the warning "data.identified" says so.
// Samples that are gone without having been forgotten by the model, and other data, are LT_E_INTEGRITY. With
// LT_DATA_ANY other data is the warning "data.other". Only before ds is used by anyone else.
LT_API lt_status lt_trained_model_check_data(const lt_trained_model *m, lt_dataset *ds, lt_data_use use,
                                             lt_events *events);
// Both, and opening it: *ds is the caller's to close.
LT_API lt_status lt_trained_model_data(const lt_trained_model *m, const char *given, lt_data_use use, lt_events *events,
                                       lt_dataset **ds);

// ---- forgotten and retained samples
typedef struct lt_sample_sets {  // rows of the training split, ascending; owned
    lt_index_set forget, retain; // retain: all but the forget set and what the model has forgotten before [AMUN 8.1]
    int64_t n_before;            // forgotten already
    lt_index_set test;      // rows of the test split that audits see; empty = all. Of runs that a held-out half ended
    uint64_t held_out_seed; // of that half
} lt_sample_sets;
typedef struct lt_forget_request {
    const char *spec; // as lt_forget_parse; NULL or "" = the forget.csv of the run
    uint64_t seed;    // of a random set
    bool is_new;      // must not name samples that are forgotten already (LT_E_USAGE)
} lt_forget_request;
// LT_E_INTEGRITY when a list of the run is not the one that the model's metadata names.
LT_API lt_status lt_trained_model_sets(const lt_trained_model *m, const lt_dataset *ds,
                                       const lt_forget_request *request, lt_sample_sets *sets);
LT_API void lt_sample_sets_clear(lt_sample_sets *sets);
// Narrows sets->test to what the run leaves for audits, where another half of the test samples ended it; else nothing.
LT_API lt_status lt_trained_model_held_out(const lt_trained_model *m, const lt_dataset *ds, lt_sample_sets *sets);
// All that the model and its ancestors have forgotten; nothing for a model that was only trained.
LT_API lt_status lt_trained_model_forgotten(const lt_trained_model *m, const lt_dataset *ds, lt_index_set *all);
// Outputs for these sets: RUN/signals.npz when it was made for the same sets and weights, else computed.
LT_API lt_status lt_trained_model_signals(const lt_trained_model *m, const lt_dataset *ds, const lt_sample_sets *sets,
                                          const lt_env *env, lt_signals **s);

// ---- what a model file says about its origin
typedef struct lt_provenance { // fields that are NULL or "" leave the metadata as it is
    const lt_dataset *ds;      // digest, and class names and spec with `is_trained`
    bool is_trained;           // trained on ds, rather than changed afterwards
    const lt_train_cfg *recipe;
    const lt_clip_cfg *clip;
    const char *config_digest, *parent_digest, *method, *forget_digest, *forgotten_digest;
} lt_provenance;
LT_API lt_status lt_model_set_provenance(lt_model *model, const lt_provenance *p); // written with the model
LT_API char *lt_recipe_json(const lt_train_cfg *cfg); // {"lr":"0.1",...}, malloc'ed; NULL when out of memory

// ---- directories of results
typedef struct lt_result_dir_spec {
    const char *verb;         // recorded; a directory of another verb is not continued
    const char *label;        // of the default directory, runs/LABEL-DIGEST
    const char *out;          // NULL or "" = the default
    const char *input;        // the run directory that is read: never replaced, not with force either; NULL = none
    bool force;               // start over, whatever is there
    const lt_optset *options; // resolved.json, and the digest that identifies the configuration
    const char *const *facts; // key, value, ..., NULL: inputs such as "data_digest", also in the result
    lt_events *events;        // gets the run's log while it is open; may be NULL
    lt_backend *backend;      // its version is recorded in env.json; may be NULL
    bool tensorboard;         // metrics also as event files of TensorBoard; needs events
} lt_result_dir_spec;
enum { LT_RESULT_PATH_MAX = 4096 };
typedef struct lt_result_dir {
    lt_run *run; // NULL when finished
    char dir[LT_RESULT_PATH_MAX], state[LT_RESULT_PATH_MAX], model[LT_RESULT_PATH_MAX];
    bool finished; // it was computed before, from the same options and inputs: lt_result_dir_stored has the result
    bool is_new;   // all that is in it was made since it was opened
    lt_events *events;
    struct lti_tensorboard *tensorboard; // NULL = none
} lt_result_dir;
// A run is a pure function of its options, inputs and seed: an unfinished directory of the same options is continued,
// a finished one is taken as it is when every fact *_digest is the same in its result, and recomputed otherwise.
// LT_E_USAGE for a directory of something else without force, and for that of the input; errors of lt_run_open. Close
// it in either case.
LT_API lt_status lt_result_dir_open(const lt_result_dir_spec *spec, lt_result_dir *d);
// Next to a model that was trained on ds: what its training set was, by content. Runs that come from it find it.
LT_API lt_status lt_result_dir_add_samples(const lt_result_dir *d, const lt_dataset *ds);
LT_API lt_status lt_result_dir_finish(lt_result_dir *d, const char *result_json);  // result.json, then DONE
LT_API lt_status lt_result_dir_stored(const lt_result_dir *d, char **result_json); // malloc'ed
// Without finish it can be continued. A new one whose run was refused before its first checkpoint (the error that is
// set is one of usage, input, format, shape or memory) is removed, so that the corrected run finds its place free.
LT_API void lt_result_dir_close(lt_result_dir *d);

// ---- options that a run recorded
// Into a set of the same verb: every recorded option that was not a default, with the origin "resumed"; except (ends
// with NULL): keys that are left out, such as how to print. LT_E_FORMAT when `dir` is no run that had begun; LT_E_USAGE
// when it is one of another verb, or one request of a stream; each with a hint how to go on.
LT_API lt_status lt_run_resume_options(const char *dir, const char *verb, const char *const *except, lt_optset *set);
// One option as text, malloc'ed; NULL when the run did not record it, or when out of memory.
LT_API char *lt_run_recorded_option(const char *dir, const char *key);

// ---- models in other formats
typedef struct lt_convert_spec {
    const char *in;  // run or model file
    const char *out; // .safetensors, .pth, .pt, .npz: a file; anything else: a run directory
    // May be NULL. Without input and ds, a file that does not say its image size has that of its architecture: the
    // warning "convert.input" names it.
    const lt_model_fallback *fallback;
    const lt_dataset *ds;       // the data that the model was trained on: recorded in a run directory; may be NULL
    const lt_train_cfg *recipe; // how the model was trained: recorded in a run directory; may be NULL
    // The same as a file (lt_recipe_open), perhaps of several trainings; NULL or "" = none. What it says of the last
    // one goes into the rows "train.*" of options that were not set; `recipe` is then the struct of these rows.
    const char *recipe_file;
    lt_optset *options; // recorded in a run directory
    const char *like;   // .pth, .pt, .npz: under the names of this checkpoint; NULL or "" = lethe's own
    bool force;         // replace what is there
    lt_events *events;  // may be NULL
} lt_convert_spec;
// Writes the model; *result_json is malloc'ed: model, parameters, digest, what was written. LT_E_USAGE when `out`
// exists already and is not to be replaced, for a recipe file that contradicts `ds`, and for one of several trainings
// without it; errors of lt_recipe_open, and of opening the data of its earlier trainings.
LT_API lt_status lt_convert(const lt_convert_spec *spec, char **result_json);

LT_END_DECLS
#endif
