// store.h - reference models of membership attacks: planned, trained once, and found again by what they are made of.
//
// A set of M reference models [AMUN 7.4] is described by a request. Model r is trained on the samples of D + D_T (the
// training split, then the test split) for which row r of the inclusion mask is 1. The address of a model is a digest
// of architecture, recipe, data, mask and seed, and the store is a directory with one directory per address:
// model.safetensors, entry.json (last), while it is trained state.safetensors. Nothing else is kept, so stores can be
// copied, merged and cut down with ordinary tools. Several processes may use one store.
//
// Threads: a plan belongs to one thread at a time; different plans, and different processes, may use one store at the
// same time.
#ifndef LT_STORE_H
#define LT_STORE_H
#include "lethe/clip.h"
#include "lethe/population.h"
LT_BEGIN

// member (count,n): 1 = sample j trains model r. Column j is a random permutation of 0..count-1, IN where the rank is
// below count/2 [AMUN 7.4]: every sample is IN for exactly count/2 models, and a function of (seed, j, count) alone.
// LT_E_USAGE unless count is even and at least 2.
LT_API lt_status lt_inclusion_mask(int count, int64_t n, uint64_t seed, uint8_t *member);

typedef struct lt_ref_request {
    const lt_dataset *ds;
    const char *model;       // architecture
    lt_train_cfg train;      // eval_every and checkpoint_every_s do not make another model
    lt_clip_cfg clip;        // spectral clipping while training; zeros or defaults: none
    int count;               // M
    uint64_t seed;           // model r starts from seed + r
    uint64_t inclusion_seed; // of the inclusion mask
} lt_ref_request;

typedef enum lt_ref_state { LT_REF_MISSING, LT_REF_UNFINISHED, LT_REF_READY } lt_ref_state;
LT_API const char *lt_ref_state_text(lt_ref_state state); // "missing", "unfinished", "ready"
typedef struct lt_ref {
    char address[65], mask_digest[65];
    uint64_t seed;
    int64_t n_samples; // that it is trained on
    lt_ref_state state;
} lt_ref;

typedef struct lt_ref_plan {
    char *dir;              // the store
    lt_ref_request request; // model: canonical spec, owned; the data set is borrowed
    int64_t n;              // samples of D + D_T
    uint8_t *member;        // (count,n)
    lt_ref *ref;            // (count)
    int n_ready, n_unfinished, n_missing;
    int64_t images; // to pass through training, for what is not ready (unfinished models counted whole)
    int n_trained;  // by lt_ref_train on this plan, in this process
    double train_s; // wall time of it
} lt_ref_plan;
// What there is of a request in the store at dir, which need not exist. An entry that contradicts its address fails
// with LT_E_INTEGRITY.
LT_API lt_status lt_ref_plan_create(const char *dir, const lt_ref_request *request, lt_ref_plan **plan);
LT_API void lt_ref_plan_destroy(lt_ref_plan *plan); // NULL is fine

typedef struct lt_ref_env { // how to compute; see lt_population
    int n_workers;
    const char *backend;
    lt_events *events;
    const lt_interrupt_flag *stop;
    bool join; // lt_ref_train: other processes fill the store, too; models that they train are waited for
} lt_ref_env;
// Runs a few steps of as many models as there are workers, at once. images_per_s: of all of them together;
// seconds: what training all that is not ready will take at this rate, 0 when nothing is missing.
typedef struct lt_ref_cost {
    int n_workers;
    double images_per_s, seconds;
} lt_ref_cost;
LT_API lt_status lt_ref_measure(const lt_ref_plan *plan, const lt_ref_env *env, lt_ref_cost *cost);

// Trains what is not ready as a population, resuming unfinished models; the plan's states are brought up to date, also
// on failure. A model that another process trains is LT_E_BUSY, or with env->join waited for, and taken over when that
// process ends before it. Status, events and messages are those of lt_population_run with the noun "reference model";
// numbers are rows of the inclusion mask.
LT_API lt_status lt_ref_train(lt_ref_plan *plan, const lt_ref_env *env);

// Evaluation-mode logits of un-augmented samples under every model. sample (n): numbers in D + D_T in the wanted order,
// or NULL for all of them in order (n = plan->n). logits (count,n,K) and member (count,n) belong to the caller. Fails
// with LT_E_INTEGRITY when a model is not ready (expected and found count) or is not the one its entry describes.
LT_API lt_status lt_ref_signals(const lt_ref_plan *plan, const lt_ref_env *env, const int64_t *sample, int64_t n,
                                float *logits, uint8_t *member);

// ---- the store itself
// malloc'ed JSON array, oldest first: {"address","state","bytes","age_days"} and what entry.json says.
LT_API lt_status lt_store_list(const char *dir, char **json);
typedef struct lt_store_filter { // an entry is removed when one of these holds
    bool incomplete;             // no entry.json
    bool corrupt;                // the weights are not those of entry.json; reads every model
    bool all;
    double older_than_days; // last change; 0 = no
    bool dry_run;           // only say what would be removed
} lt_store_filter;
// Entries that a process works on stay. json: as lt_store_list, the removed ones with "reason".
LT_API lt_status lt_store_prune(const char *dir, const lt_store_filter *filter, char **json);

// ---- results as JSON, malloc'ed; NULL = out of memory
LT_API char *lt_ref_plan_json(const lt_ref_plan *plan, const lt_ref_cost *cost); // cost NULL = not measured
LT_API char *lt_ref_training_json(const lt_ref_plan *plan);                      // what lt_ref_train has done
LT_API char *lt_ref_outputs_json(const lt_ref_plan *plan, const char *npz, int64_t n_samples);
// {"store","n","bytes","entries"}, or with a filter "removed" and "dry_run" as lt_store_prune.
LT_API lt_status lt_store_json(const char *dir, const lt_store_filter *filter, char **json);

LT_END_DECLS
#endif
