// attack_impl.h - what the files of the attack module share.
#ifndef LT_ATTACK_IMPL_H
#define LT_ATTACK_IMPL_H
#include "base/arg_max.h"
#include "base/l2_ball.h"
#include "base/base.h"
#include "lethe/attack.h"
#include "lethe/tensorfile.h"

// ---- sets
lt_status lti_adv_set_create(int64_t n, int c, int h, int w, lt_adv_set **set); // all zero
static inline int64_t lti_adv_set_dim(const lt_adv_set *s)
{
    return (int64_t)s->c * s->h * s->w;
}

enum { LTI_ADV_SET_TENSORS = 10 };
void lti_adv_set_tensors(const lt_adv_set *s, lt_tensor t[LTI_ADV_SET_TENSORS]); // its arrays, borrowed, in file order
// Copies the tensor want.name into want.data; LT_E_FORMAT when it is absent or of another type or shape.
lt_status lti_tensor_copy(const lt_tensor_file *f, const char *path, lt_tensor want);

// ---- rows of a view
static inline int64_t lti_view_row(const lt_view *v, int64_t i)
{
    return v->row ? v->row[i] : i;
}
static inline int32_t lti_view_label(const lt_view *v, int64_t i)
{
    return v->labels ? v->labels[i] : v->ds->split[v->split].y[lti_view_row(v, i)];
}
void lti_view_image(const lt_view *v, int64_t i, float *out); // (C,H,W) in [0,1], as the loader makes it

// ---- input gradients of a model in evaluation mode, in batch buckets; plans are compiled when first needed
typedef enum lti_grad_loss { LTI_GRAD_CE, LTI_GRAD_MARGIN, LTI_N_GRAD_LOSSES } lti_grad_loss;
enum { LTI_MAX_BUCKETS = 16 };
typedef struct lti_grad {
    const lt_model *model;
    const lt_env *env;
    lt_graph *graph; // the model's, with both losses
    lt_val labels, weight, loss[LTI_N_GRAD_LOSSES];
    int n_buckets;
    int64_t size[LTI_MAX_BUCKETS]; // descending: batch, batch/2, ..., 1
    lt_plan *plan[LTI_N_GRAD_LOSSES][LTI_MAX_BUCKETS];
    bool on_device; // on a device: images are made on it, logits and gradients stay on it; set before the first plan
} lti_grad;
typedef struct lti_grad_io { // of one bucket; borrowed until lti_grad_clear
    int64_t size;
    lt_plan *plan;
    float *x;                 // (size,C,H,W) in
    int32_t *label;           // (size) in
    float *weight;            // (size) in: 1 for rows in use, 0 for padding
    const float *logits, *dx; // (size,K), (size,C,H,W) out: gradient of the sum over rows, so each row's own
} lti_grad_io;                // x, logits, dx: on the device where lti_grad.on_device
// Always followed by lti_grad_clear, also when it fails.
lt_status lti_grad_init(lti_grad *g, const lt_model *model, const lt_env *env, int64_t batch);
void lti_grad_clear(lti_grad *g);
// Bucket for n waiting samples: one that they fill to three quarters or more, padded, or else the largest they fill.
int lti_grad_bucket(const lti_grad *g, int64_t n);
lt_status lti_grad_io_get(lti_grad *g, lti_grad_loss loss, int bucket, lti_grad_io *io);

// ---- the search of AMUN, and its file
typedef enum lti_search_outcome { LTI_SEARCH_UNDECIDED, LTI_SEARCH_FOUND, LTI_SEARCH_FAILED } lti_search_outcome;
enum { LTI_SEARCH_ITEM_FIELDS = 6 };
typedef struct lti_search_item { // state of one sample; 32-bit fields: stored as an (n,6) I32 tensor
    int32_t step, round;         // steps done at this radius; radii started
    float eps;
    int32_t forced; // take a step whatever the prediction: the evaluation path disagreed with ours
    int32_t n_steps, outcome;
} lti_search_item;
typedef struct lti_search {
    const lt_adv_search_cfg *cfg;
    const lt_model *model;
    const lt_view *view;
    const lt_env *env;
    const char *state; // file of the unfinished search, or NULL
    lt_adv_set *set;
    lti_search_item *item;       // (n)
    struct lti_sample *sample;   // (n)
    int64_t *queue;              // (n) samples still searching, n_queue of them; the first ones run
    int64_t n_queue, n_verified; // verification passes done
    float *x;                    // (C,H,W) one clean image
    float *logits;               // (n,K) of the evaluation path
    double start_s, before_s;    // clock: start, spent before a resume
} lti_search;
static inline float *lti_search_image(const lti_search *s, int64_t i) // where sample i has got to
{
    return s->set->x_adv + i * lti_adv_set_dim(s->set);
}
lt_status lti_search_save(const lti_search *s);
lt_status lti_search_load(lti_search *s); // fills set, item and queue from the file; they are undefined when it fails
double lti_search_time(const lti_search *s);

#define LT_X(name) extern const lt_attack lti_attack_##name;
#include "attack/attacks.list"
#undef LT_X
#endif
