// robust_impl.h - what the driver of evaluations, its flags and its result share.
#ifndef LTI_ROBUST_IMPL_H
#define LTI_ROBUST_IMPL_H
#include "attack/attack_impl.h"
#include "attack/engine.h"

typedef struct lti_robust_part {
    const lt_attack *attack;
    const void *cfg;
    void *own_cfg; // cfg of defaults; freed
    int32_t restarts, targets, steps;
} lti_robust_part;

typedef struct lti_robust { // one evaluation
    const lt_attack_target *target;
    const lt_view *view;
    lt_attack_spec spec;
    const lt_env *env;
    lti_attack_model *model;
    lt_robust_result *result;
    double eps;
    lti_units units; // with spec.legacy_normalized
    lti_mode mode;
    int n_parts;
    lti_robust_part part[LT_ATTACK_MAX_PARTS];
    lti_sample *sample; // (n)
    float *clean_z;     // (n,K)
    int64_t *todo, n_todo;
    lti_sample *confirmed; // (n), with confirmed_x (n,C,H,W): before the part that runs; of minimum norm with eot
    float *confirmed_x;    // above 1, else NULL
} lti_robust;

lt_status lti_robust_result_create(int64_t n, const lt_model_shape *shape, lt_robust_result **out);
lt_status lti_robust_summarise(lt_robust_result *r); // all scalars from the arrays
// Logits and classes of n images (C,H,W each), of the first n samples of the result; eot evaluations are averaged (z
// the mean, pred the majority). fresh: number of the random draws.
lt_status lti_robust_logits(lti_robust *e, const float *images, int64_t n, uint32_t fresh, float *z, int32_t *pred);

bool lti_is_finite_row(const float *z, int k);
// Is the answer `pred` to an example of sample i what the attack wanted?
static inline bool lti_robust_is_fooled(const lt_robust_result *r, int64_t i, int32_t pred)
{
    return r->goal[i] >= 0 ? pred == r->goal[i] : pred != r->label[i];
}

// ---- confirm.c, both nothing without spec.eot above 1. [attacks.md, expectation over randomness]
lt_status lti_robust_confirm(lti_robust *e, int part); // unfinds what the part found and fresh evaluations do not
lt_status lti_robust_keep_confirmed(lti_robust *e);    // before a part: what it may not lose
lt_status lti_robust_mean(lti_robust *e);              // result->mean_robust_acc

// ---- robust_flags.c
lt_status lti_flags_before(lti_robust *e); // F1 F2 F5 F6
lt_status lti_flags_after(lti_robust *e);  // F3 F4 F7 F9; F8 is the driver's
#endif
