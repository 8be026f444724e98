// recipe.h - what recipes share: the options of a fine-tuning run, declared once, masks, views with their usual
// settings.
#ifndef LT_RECIPE_H
#define LT_RECIPE_H
#include "base/base.h"
#include "lethe/unlearn.h"

// ---- which parameters may change
enum { LTI_MASK_NONE, LTI_MASK_SALUN, LTI_MASK_CLASSIFIER, LTI_MASK_FILE };
extern const lt_opt_value lti_mask_values[], lti_l1_values[], lti_optimizer_values[];
#define LTI_MASK_FIELDS                                                                                                \
    int32_t mask;                                                                                                      \
    double mask_ratio;                                                                                                 \
    const char *mask_file;
// clang-format off
#define LTI_MASK_ROWS(T, mask_) \
    LT_ENUM(T, mask, mask_, lti_mask_values, "parameters that may change; all others stay unchanged"), \
    LT_F64(T, mask_ratio, 0.5, 1e-9, 1, "", "share of the parameters that a salun mask leaves free"), \
    LT_STR(T, mask_file, NULL, "safetensors or npz file of a mask: one tensor per parameter, by name; not 0 = free")
// clang-format on
typedef struct lti_mask_cfg {
    LTI_MASK_FIELDS
} lti_mask_cfg;
#define LTI_MASK_OF(c)                                                                                                 \
    (lti_mask_cfg)                                                                                                     \
    {                                                                                                                  \
        (c)->mask, (c)->mask_ratio, (c)->mask_file                                                                     \
    }
// Makes ctx->mask for in->model (NULL when nothing is masked). batch: of the gradients a salun mask is made of.
lt_status lti_mask_make(const lt_unlearn_in *in, lti_mask_cfg cfg, int64_t batch, lt_unlearn_plan_ctx *ctx);
// mask[i] = 1 for the k largest |g[i]|; of equal ones the first.
void lti_mask_top(const float *g, int64_t n, int64_t k, uint8_t *mask);
// The parameters of the last layer: values of the model's graph, at most 2. Returns their number.
int lti_last_layer(const lt_model *model, lt_val param[2]);

// ---- Fields and rows of every method that fine-tunes. A method's config struct begins with LTI_RECIPE_FIELDS, its
// table with LTI_RECIPE_ROWS_OPEN(struct), and its list of defaults says what the open values are. Its flags have
// LT_FINE_TUNES. (LTI_RECIPE_ROWS: for methods whose learning rate does not follow from an area.)
#define LTI_RECIPE_FIELDS                                                                                              \
    int32_t preset;                                                                                                    \
    int32_t epochs;                                                                                                    \
    float lr;                                                                                                          \
    double lr_area;                                                                                                    \
    int32_t schedule;                                                                                                  \
    int32_t lr_step_every;                                                                                             \
    float lr_step_gamma;                                                                                               \
    int64_t batch;                                                                                                     \
    int32_t optimizer;                                                                                                 \
    float momentum, weight_decay;                                                                                      \
    int32_t augment;                                                                                                   \
    float l1;                                                                                                          \
    int32_t l1_schedule, l1_off_last_epochs;                                                                           \
    bool freeze_bn;                                                                                                    \
    LTI_MASK_FIELDS
enum { LTI_PRESET_AREA, LTI_PRESET_PUBLISHED };
enum { LTI_SCHEDULE_AUTO, LTI_SCHEDULE_CONST, LTI_SCHEDULE_STEP, LTI_SCHEDULE_COSINE };
enum { LTI_STEP_AUTO = -1 }; // of lr_step_every
extern const lt_opt_value lti_preset_values[], lti_schedule_values[];
// clang-format off
#define LTI_RECIPE_ROWS_OF(T, epochs_, lr_, every_, batch_, optimizer_, decay_, l1_, l1_schedule_, freeze_bn_, mask_) \
    LTI_RECIPE_ROWS_ALL(T, epochs_, lr_, every_, batch_, optimizer_, 0.9, decay_, l1_, l1_schedule_, freeze_bn_, mask_)
#define LTI_RECIPE_ROWS_ALL(T, epochs_, lr_, every_, batch_, optimizer_, momentum_, decay_, l1_, l1_schedule_, freeze_bn_, mask_) \
    LT_ENUM(T, preset, LTI_PRESET_AREA, lti_preset_values, "where values come from that no option gives"), \
    LT_I32(T, epochs, epochs_, 0, 100000, "epochs", "passes over the method's data; 0 = the method's default"), \
    LT_F32(T, lr, lr_, 0, 1000, "", "learning rate; 0 = from the learning-rate area"), \
    LT_F64(T, lr_area, -1, -1, 1e6, "", "learning-rate area: the sum of the learning rate over all steps, at momentum 0.9; " \
        "-1 = the method's default"), \
    LT_ENUM(T, schedule, LTI_SCHEDULE_AUTO, lti_schedule_values, "learning rate schedule"), \
    LT_I32(T, lr_step_every, every_, -1, 100000, "epochs", "epochs between two steps of the learning rate; 0 = constant, " \
        "-1 = the method's default"), \
    LT_F32(T, lr_step_gamma, 0.1, 0, 1, "", "factor of a step of the learning rate"), \
    LT_I64(T, batch, batch_, 0, 65536, "images", "batch size; 0 = that of the base run"), \
    LT_ENUM(T, optimizer, optimizer_, lti_optimizer_values, "optimizer"), \
    LT_F32(T, momentum, momentum_, 0, 1, "", "momentum of sgd"), \
    LT_F32(T, weight_decay, decay_, 0, 10, "", "weight decay on all parameters"), \
    LT_SWITCH(T, augment, "random crop and flip of retain and forget images (never of adversarial ones); auto: as the base run"), \
    LT_F32(T, l1, l1_, 0, 1000, "", "weight of an l1 penalty on all parameters"), \
    LT_ENUM(T, l1_schedule, l1_schedule_, lti_l1_values, "how the weight of the l1 penalty moves with the epochs"), \
    LT_I32(T, l1_off_last_epochs, 0, 0, 100000, "epochs", "last epochs without a penalty (linear schedule)"), \
    LT_BOOL(T, freeze_bn, freeze_bn_, "batch norm uses and keeps its running statistics"), \
    LTI_MASK_ROWS(T, mask_)
#define LTI_RECIPE_ROWS(T, epochs_, lr_, every_) \
    LTI_RECIPE_ROWS_OF(T, epochs_, lr_, every_, 128, LT_SGD, 5e-4, 0, LT_L1_CONST, 0, LTI_MASK_NONE)
// Epochs, batch, learning rate and schedule from the method's list of defaults.
#define LTI_RECIPE_ROWS_OPEN_OF(T, optimizer_, decay_, l1_, l1_schedule_, freeze_bn_, mask_) \
    LTI_RECIPE_ROWS_OF(T, 0, 0, LTI_STEP_AUTO, 0, optimizer_, decay_, l1_, l1_schedule_, freeze_bn_, mask_)
#define LTI_RECIPE_ROWS_OPEN(T) LTI_RECIPE_ROWS_OPEN_OF(T, LT_SGD, 5e-4, 0, LT_L1_CONST, 0, LTI_MASK_NONE)
// clang-format on

typedef struct lti_recipe {
    LTI_RECIPE_FIELDS
} lti_recipe;
#define LTI_RECIPE_OF(c)                                                                                               \
    (lti_recipe)                                                                                                       \
    {                                                                                                                  \
        (c)->preset, (c)->epochs, (c)->lr, (c)->lr_area, (c)->schedule, (c)->lr_step_every, (c)->lr_step_gamma,        \
            (c)->batch, (c)->optimizer, (c)->momentum, (c)->weight_decay, (c)->augment, (c)->l1, (c)->l1_schedule,     \
            (c)->l1_off_last_epochs, (c)->freeze_bn, (c)->mask, (c)->mask_ratio, (c)->mask_file                        \
    }

// ---- defaults.c: what a recipe leaves open
typedef struct lti_setting {              // of one run
    double area;                          // to spend; NAN = the learning rate is given
    bool has_area;                        // the optimizer is the one that the method's areas are stated for
    bool may_raise_epochs, steps_at_half; // steps_at_half: a step of the rate follows the number of epochs
    float lr_cap;
    lt_unlearn_setup setup;
} lti_setting;
// Fills epochs, batch, schedule, augmentation and form in cfg, which begins with a recipe. The learning rate stays open
// (0) where it follows from an area.
lt_status lti_fill_defaults(const lt_unlearn_method *method, const lt_unlearn_in *in, void *cfg, lti_setting *s);
// After the plan, when the steps are known: sets the learning rate of the job, and more epochs where it would be above
// its largest.
lt_status lti_set_lr(const lt_unlearn_method *method, lti_setting *s, lt_job *job);
int64_t lti_steps_per_epoch(const lt_job *job);
// Of the job as it is, at momentum 0.9.
double lti_lr_area(const lt_unlearn_method *method, const lt_job *job);
float lti_largest_rate(const lt_train_cfg *base, bool of_adam); // that defaults may use
int32_t lti_half_warmup(int32_t epochs);                        // warm-up over half of the epochs

// A fresh optimizer, the recipe's schedule, penalty and mask (made here, kept by ctx).
lt_status lti_recipe_apply(const lt_unlearn_in *in, lti_recipe recipe, lt_unlearn_plan_ctx *ctx, lt_job *job);
// No retained sample has the class of a forgotten one; false without retained samples.
lt_status lti_forgets_whole_classes(const lt_unlearn_in *in, bool *whole);
lt_view lti_retain_view(const lt_unlearn_in *in, bool augment);
lt_view lti_forget_view(const lt_unlearn_in *in, bool augment);
// A new last phase of the job / a view into a phase, tagged with a number of its own.
lt_phase *lti_add_phase(lt_job *job, bool shuffle);
void lti_add_view(lt_job *job, lt_phase *phase, lt_view view);

// ---- random labels on the forget set, with the retain set when it may be used [AMUN 5]
enum { LTI_RL_JOINT, LTI_RL_UPSTREAM, LTI_RL_AUTO };
extern const lt_opt_value lti_rl_orders[];
typedef struct lti_rl {
    int32_t order;
    bool true_label, augment;
    const uint8_t *not_drawn; // (classes) that no random label is; NULL = none. Must outlive the job.
} lti_rl;
lt_status lti_add_random_labels(const lt_unlearn_in *in, const char *method, lti_rl rl, lt_job *job);

#define LT_X(name) extern const lt_unlearn_method lti_unlearn_##name;
#include "unlearn/methods.list"
#undef LT_X
#endif
