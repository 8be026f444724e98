// attack.h - adversarial examples, and the adversarial set of AMUN.
#ifndef LT_ATTACK_H
#define LT_ATTACK_H
#include "lethe/train.h"
LT_BEGIN

typedef enum lt_adv_status { LT_ADV_OK = 0, LT_ADV_CLEAN_WRONG = 1, LT_ADV_FAILED = 2 } lt_adv_status;

// One adversarial partner per sample of a view: [AMUN 2.1, 2.3].
typedef struct lt_adv_set {
    int64_t n;
    int c, h, w;
    int64_t *id;          // official index
    int32_t *label, *clean_pred, *adv_pred;
    float *x_adv;         // (n,C,H,W), float32, in [0,1]
    float *eps_final, *delta_norm; // L2, raw pixels
    int32_t *iters, *rounds;
    uint8_t *status;      // lt_adv_status
    char digest[65];      // key it was cached under
    double search_s;
    int64_t n_forward, n_backward;
} lt_adv_set;
LT_API void lt_adv_set_destroy(lt_adv_set *set);
LT_API lt_status lt_adv_set_save(const lt_adv_set *set, const char *dir);  // adv.csv + adv.safetensors
LT_API lt_status lt_adv_set_open(const char *dir, lt_adv_set **set);

typedef struct lt_adv_search_cfg { // rows of lt_adv_search_options
    float eps0;            // 0.04
    int32_t steps;         // 50 per round
    float rho;             // step / radius, 0.1
    int32_t max_doublings; // 11
    bool fresh;            // restart each radius from x (paper) instead of the last iterate (authors' code)
    int64_t batch;         // 128
} lt_adv_search_cfg;
LT_API extern const lt_option lt_adv_search_options[];
// Per-sample PGD-L2 with radius doubling. Finished samples leave the batch (compaction through batch buckets).
// cache_dir: look up / store by digest of model, options and indices; NULL = no cache.
LT_API lt_status lt_adv_search(const lt_model *model, const lt_view *view, const lt_adv_search_cfg *cfg, const lt_env *env,
                               const char *cache_dir, lt_adv_set **set);

LT_END_DECLS
#endif
