// attack.h - the attack registry, adversarial examples, and the adversarial set of AMUN.
//
// Threads: the registry may be read by any thread. Calls may run concurrently when they share neither backend nor cache
// entry; model, view and options are only read. A set belongs to one thread at a time while it is changed.
#ifndef LT_ATTACK_H
#define LT_ATTACK_H
#include "lethe/train.h"
LT_BEGIN

typedef enum lt_adv_status { LT_ADV_OK = 0, LT_ADV_CLEAN_WRONG = 1, LT_ADV_FAILED = 2 } lt_adv_status;

// One adversarial example per sample of a view, in the view's order: [AMUN 2.1, 2.3]. Predictions are those of the
// ordinary evaluation path (lt_evaluate in batches of the attack's size).
typedef struct lt_adv_set {
    int64_t n;
    int c, h, w;
    int64_t *id;                    // official index
    int32_t *label;                 // of the view
    int32_t *clean_pred, *adv_pred; // adv_pred != label unless status is FAILED
    float *x_adv;                   // (n,C,H,W), float32, in [0,1]; rounding to bytes would lose adversarial labels
    float *eps_final;               // radius of the last round, L2, raw pixels
    float *delta_norm;              // ||x_adv - x||, at most eps_final up to rounding
    int32_t *iters;                 // gradient steps
    int32_t *rounds;                // radii tried
    uint8_t *status;                // lt_adv_status
    char digest[65];                // key it was cached under
    double search_s;                // time of the search, also when the set was read from a cache
    int64_t n_forward, n_backward;  // samples through forward and backward passes
} lt_adv_set;
LT_API void lt_adv_set_destroy(lt_adv_set *set); // NULL is fine
LT_API int64_t lt_adv_set_count(const lt_adv_set *set, lt_adv_status status);
// The samples with these official ids, in their order; times, passes and digest stay those of the whole search.
// LT_E_USAGE names the first id that the set does not have.
LT_API lt_status lt_adv_set_select(const lt_adv_set *set, const int64_t *id, int64_t n, lt_adv_set **out);
// adv.csv (idx,label,orig_pred,adv_pred,smallest_eps,delta_norm,iters,rounds,status) and adv.safetensors, in dir
// (made).
LT_API lt_status lt_adv_set_save(const lt_adv_set *set, const char *dir);
LT_API lt_status lt_adv_set_open(const char *dir, lt_adv_set **set); // reads adv.safetensors; checks shapes and ranges

// An attack makes one adversarial example per sample of a view.
typedef struct lt_attack {
    const char *name, *title, *cite; // cite: key in docs/refs.bib
    const char *doc;                 // one paragraph: what it does, source, deviations
    size_t cfg_size;
    const lt_option *opts;
    // state: file to keep the unfinished search in on interruption, continued from when it is there; NULL = none.
    lt_status (*run)(const lt_model *model, const lt_view *view, const void *cfg, const lt_env *env, const char *state,
                     lt_adv_set **set);
    // Of attacks that run in the engine (lethe/robust.h). run may be NULL then. Opaque.
    const struct lti_attack_ops *ops;
} lt_attack;
LT_API const lt_attack *const *lt_attacks(void);                             // NULL-terminated registry
LT_API lt_status lt_attack_find(const char *name, const lt_attack **attack); // LT_E_USAGE with the nearest name
// Runs the attack, or returns its stored result. cache_dir: results are stored as cache_dir/DIGEST/ where DIGEST covers
// attack, options, model, backend, labels, ids and pixels; NULL = no cache. An interrupted search (LT_E_INTERRUPTED)
// leaves its state in the cache and is continued by the next call, with the same result as if it had never stopped. A
// damaged cache entry is reported as a warning and recomputed. The view is read un-augmented. Events: "attack.progress"
// PROGRESS in samples; "attack.done" METRIC; "attack.cache" INFO or WARNING.
LT_API lt_status lt_attack_run(const lt_attack *attack, const lt_model *model, const lt_view *view, const void *cfg,
                               const lt_env *env, const char *cache_dir, lt_adv_set **set);
// Removes the adversarial sets in a cache directory, whole, unfinished or given up, and the directory when nothing else
// is in it; nothing when there is no such directory. dry_run: only counts. n_sets, n_bytes: of what was removed, or
// NULL. LT_E_IO.
LT_API lt_status lt_adv_cache_clear(const char *cache_dir, bool dry_run, int64_t *n_sets, int64_t *n_bytes);
// Removes one set, such as RUN/adv, as lt_adv_set_save wrote it.
LT_API lt_status lt_adv_set_remove(const char *dir, bool dry_run, int64_t *n_sets, int64_t *n_bytes);
// Both, of a cache directory and of the sets that runs keep. *json: {"cache","n","bytes","dry_run"}, malloc'ed.
LT_API lt_status lt_adv_clear_json(const char *cache_dir, const char *const *run, int n_runs, bool dry_run,
                                   char **json);

typedef struct lt_adv_search_cfg { // rows of lt_adv_search_options
    float eps0;                    // first radius, L2 in raw pixels, 0.04
    int32_t steps;                 // per round, 50
    float step_ratio;              // step / radius, 0.1
    int32_t max_doublings;         // 11
    bool restart_from_clean;       // restart each radius from x (paper) instead of the last iterate (authors' code)
    int64_t batch;                 // 128
} lt_adv_search_cfg;
LT_API extern const lt_option lt_adv_search_options[];
typedef struct lt_fgsm_line_search_cfg { // rows of lt_fgsm_line_search_options: the attack "fgsm-line-search",
                                         // FGSM with a line search along one gradient sign [AMUN 8.4]
    float step;
    int32_t steps;
    float noise;
    int32_t restarts;
    uint64_t seed;
    int64_t batch;
} lt_fgsm_line_search_cfg;
LT_API extern const lt_option lt_fgsm_line_search_options[];
// The attack "amun-search": per-sample PGD-L2 with radius doubling. Finished samples leave the batch and waiting ones
// take their place; the tail runs in smaller batches (buckets), so finished samples cost nothing.
LT_API lt_status lt_adv_search(const lt_model *model, const lt_view *view, const lt_adv_search_cfg *cfg,
                               const lt_env *env, const char *cache_dir, lt_adv_set **set);

LT_END_DECLS
#endif
