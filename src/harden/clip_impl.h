// clip_impl.h - trackers of singular vectors, and the rules that change a weight.
#ifndef LT_CLIP_IMPL_H
#define LT_CLIP_IMPL_H
#include "harden_impl.h"
#include "lethe/clip.h"

// Follows the top singular vectors of one layer while its weight changes: one step of PowerQR from where it stands.
typedef struct lti_tracker {
    const lt_model *model; // borrowed, like the layer
    const lti_layer *layer;
    lt_linear_map *map;
    int k;
    int64_t n_in, n_out;
    float *v, *y, *z; // (k,n_in), (k,n_out), (k,n_in); v may lie in memory of the caller
    bool owns_v;
    double sigma[8]; // (k) of v as it is
    double residual; // |A'A v - sigma^2 v| / sigma^2 of the first pair before the last step
} lti_tracker;
enum { LTI_TRACKER_MAX = 8 };
// v: (k,n_in) floats of the caller, or NULL. Not started: lti_tracker_restart draws the vectors.
lt_status lti_tracker_init(lti_tracker *t, const lt_model *model, const lti_layer *layer, int k, const lt_env *env);
void lti_tracker_clear(lti_tracker *t);
void lti_tracker_restart(lti_tracker *t, uint64_t seed, uint32_t draw);
// n steps; sigma and y belong to the vectors at the end. n = 0 measures only.
lt_status lti_tracker_step(lti_tracker *t, int n, double shift);
// One step of v alone, after an update of the weight: y and sigma stay those of the v before.
lt_status lti_tracker_follow(lti_tracker *t, double shift);
unsigned lti_tracker_plan_flags(const lt_env *env); // of plans whose weights change every few runs
void lti_tracker_changed(lti_tracker *t);           // the weight has changed
int64_t lti_layer_n_in(const lt_model *model, const lti_layer *layer);

// What a rule works on.
typedef struct lti_clip_target {
    lti_tracker track;
    lt_linear_map *of_gradient; // the same map with the gradient in the place of the weight
    float *slab;                // (n_params) of it; shared by all targets of a model
    float *residual;            // (k,n_out)
    double target;
    lt_model *model;
    int n_threads;
} lti_clip_target;
typedef struct lti_clip_call {
    const lt_clip_cfg *cfg;
    int inner;
    bool may_raise; // two-sided
    uint64_t seed;
    uint32_t draw;
} lti_clip_call;
typedef struct lti_clip_rule {
    const char *name, *title;
    bool repeats; // an event touches few directions: events go on until the layer is below its target
    // One event: *changed when the weight was. The tracker holds current vectors when `repeats`.
    lt_status (*apply)(lti_clip_target *t, const lti_clip_call *call, bool *changed);
} lti_clip_rule;
extern const lt_opt_value lti_clip_rule_values[];
const lti_clip_rule *lti_clip_rule_of(int32_t rule);
#define LT_X(symbol, name) extern const lti_clip_rule lti_clip_##symbol;
#include "harden/clip_rules.list"
#undef LT_X

// ---- a clipper among other hooks of a job
size_t lti_clipper_memory_floats(const lt_clipper *c);
void lti_clipper_use_memory(lt_clipper *c, float *memory); // of the job, borrowed
lt_status lti_clipper_after_update(lt_job *job, const lt_step *step, unsigned *did, void *clipper);

float *lti_layer_weight(const lt_model *model, const lti_layer *layer, int64_t *n); // in the model's slab
// symbol.c: the bound of Gram iteration on the n x n frequencies of circular padding (n_steps squarings).
lt_status lti_gram_bound(const lt_conv_bound_in *in, int n_steps, double *bound);
#endif
