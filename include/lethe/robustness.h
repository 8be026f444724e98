// robustness.h - attacks on models, spectral norms, and ensembles as whole calls: from opened models and options to a
// struct of results and its JSON. What `lethe attack`, `lethe norms` and `lethe ensemble` do, without the command.
//
// Orders are plain structs; everything they point to is borrowed. Records own what they hold, are filled also when a
// call fails, and are cleared in either case. Calls may run at the same time when they share no backend.
#ifndef LT_ROBUSTNESS_H
#define LT_ROBUSTNESS_H
#include "lethe/ensemble.h"
#include "lethe/runs.h"
#include "lethe/spectra.h"
LT_BEGIN

// ---- several models by name: runs, model files, directories of ensembles
enum { LT_MODEL_LIST_MAX = 32 };
typedef struct lt_model_list { // all zero = empty
    int n, n_single, n_ensembles;
    const lt_model *model[LT_MODEL_LIST_MAX];
    const char *name[LT_MODEL_LIST_MAX]; // as given; members of an ensemble have its name
    lt_trained_model single[LT_MODEL_LIST_MAX];
    lt_ensemble *ensemble[LT_MODEL_LIST_MAX];
    char *ensemble_name[LT_MODEL_LIST_MAX];
} lt_model_list;
// A directory with member-0.safetensors adds all members. fallback and ds as lt_trained_model_open. LT_E_USAGE when
// there are too many.
LT_API lt_status lt_model_list_add(lt_model_list *list, const char *path, const lt_model_fallback *fallback,
                                   const lt_dataset *ds);
LT_API void lt_model_list_clear(lt_model_list *list);
// Data set to use: `given`, or the one that the first model names. LT_E_USAGE when neither says. Borrowed.
LT_API lt_status lt_model_list_data_spec(const lt_model_list *list, const char *given, const char **spec);

// ---- attacks
typedef struct lt_attack_order {
    const lt_model_list *models;     // several form an ensemble
    const lt_model_list *surrogates; // examples are crafted on these; NULL or empty: on the models themselves
    const lt_dataset *ds;
    int32_t split;   // lt_split
    int64_t limit;   // the first ones of the split; 0 = all
    int32_t combine; // lt_combine
    double model_noise;
    const char *attack; // names with commas, as lt_robust_evaluate
    lt_attack_spec spec;
    lt_attack_cfg_fn cfg; // may be NULL
    void *cfg_ctx;
    const char *radii;    // also the accuracy at these, "0,1/255,2/255"; NULL or "" = none
    bool certify;         // compare every example with the Lipschitz bound of the network; one model only
    bool transfer_matrix; // craft on every model, evaluate on every one
    const char *save;     // .npz of images, examples, predictions, distances; NULL or "" = none
    const lt_env *env;
} lt_attack_order;

enum { LT_ATTACK_MAX_RADII = 64 };
typedef struct lt_attack_record {
    lt_robust_result *result;  // NULL with transfer_matrix
    uint8_t *forgotten;        // (result->n) one of the models was made to forget the sample; NULL = none of them
    lt_transfer_matrix matrix; // empty without
    int n_radii;
    double radius[LT_ATTACK_MAX_RADII], robust_acc[LT_ATTACK_MAX_RADII];
    bool is_certified;
    double lipschitz_bound, mean_certified_l2;
    char bound_by[32];
    int64_t n_certificates_broken;
    char *json;
} lt_attack_record;
// Errors of lt_robust_evaluate and lt_transfer_run; LT_E_USAGE for radii or models that the order does not allow.
LT_API lt_status lt_attack_models(const lt_attack_order *order, lt_attack_record *record);
// Is the result to be relied on? LT_E_DIVERGED with logits that are not finite, unless allow_invalid; LT_E_INTEGRITY
// for an example inside a certified radius, or one that does not hold when it is evaluated again; with `strict`
// LT_E_CHECK for every other flag.
LT_API lt_status lt_attack_record_check(const lt_attack_record *record, bool strict, bool allow_invalid);
LT_API void lt_attack_record_clear(lt_attack_record *record);

// ---- spectral norms
typedef struct lt_norms_order {
    lt_model *model;  // clipped in place with clip > 0
    double clip;      // 0 = only measure
    lt_clip_cfg rule; // clip_norm is set here
    lt_spectra_cfg spectra;
    uint64_t seed;
    const char *out;     // file of the clipped model
    bool measure_before; // also before clipping
    const lt_env *env;
} lt_norms_order;
typedef struct lt_norms_record {
    lt_spectra before, after; // before: empty unless it was asked for
    lt_clip_report clipped;   // empty without clipping
    char *json;
} lt_norms_record;
LT_API lt_status lt_norms_measure(const lt_norms_order *order, lt_norms_record *record); // clips if asked
LT_API void lt_norms_record_clear(lt_norms_record *record);

// ---- ensembles
typedef struct lt_ensemble_order {
    const lt_dataset *ds;
    const char *members; // architectures with commas, NAME[:key=value,...],...; unused with init
    const char *init;    // directory of an ensemble to start from; NULL or "" = random initialisation
    lt_ensemble_cfg cfg;
    lt_train_cfg train;
    lt_clip_cfg clip;
    uint64_t seed;
    const lt_optset *set; // bound to the options; identifies the run
    const char *out;      // run directory; NULL = runs/ensemble-DIGEST
    bool force;
    const lt_env *env;
} lt_ensemble_order;
typedef struct lt_ensemble_record {
    char dir[LT_RESULT_PATH_MAX];
    bool is_cached;
    int n;
    double acc, member_acc[LT_ENSEMBLE_MAX]; // on the test split; NAN without one. Not of a cached run
    lt_ensemble_result result;               // likewise
    char *json;
} lt_ensemble_record;
// A run directory with member-I.safetensors. Errors of lt_ensemble_create, lt_ensemble_train, lt_result_dir_open.
LT_API lt_status lt_ensemble_dir(const lt_ensemble_order *order, lt_ensemble_record *record);
LT_API void lt_ensemble_record_clear(lt_ensemble_record *record);

typedef struct lt_ensemble_eval_order {
    const lt_ensemble *ensemble;
    const lt_model_list *surrogates; // may be NULL
    const lt_dataset *ds;
    int64_t limit; // images of the test split; 0 = all
    const char *attack;
    lt_attack_spec spec;
    bool white_box;
    const lt_env *env;
} lt_ensemble_eval_order;
typedef struct lt_ensemble_eval_record {
    lt_ensemble_eval eval;
    char *json;
} lt_ensemble_eval_record;
// Evaluates an ensemble that was trained before.
LT_API lt_status lt_ensemble_eval_run(const lt_ensemble_eval_order *order, lt_ensemble_eval_record *record);
LT_API void lt_ensemble_eval_record_clear(lt_ensemble_eval_record *record);

LT_END_DECLS
#endif
