// recipe.h - what recipes share: the options of a fine-tuning run, declared once, and views with their usual settings.
#ifndef LT_RECIPE_H
#define LT_RECIPE_H
#include "base/base.h"
#include "lethe/unlearn.h"

// Fields and rows of every method that fine-tunes. A method's config struct starts with LTI_RECIPE_FIELDS, its table
// with LTI_RECIPE_ROWS(struct, epochs, lr, lr_step_every): the defaults are the method's own.
#define LTI_RECIPE_FIELDS                                                                                              \
    int32_t epochs;                                                                                                    \
    float lr;                                                                                                          \
    int32_t lr_step_every;                                                                                             \
    float lr_step_gamma;                                                                                               \
    int64_t batch;                                                                                                     \
    float momentum, weight_decay;                                                                                      \
    bool augment;
// clang-format off
#define LTI_RECIPE_ROWS(T, epochs_, lr_, every_) \
    LT_I32(T, epochs, epochs_, 1, 100000, "epochs", "passes over the method's data"), \
    LT_F32(T, lr, lr_, 1e-12, 1000, "", "learning rate"), \
    LT_I32(T, lr_step_every, every_, 0, 100000, "epochs", "epochs between two steps of the learning rate; 0 = constant"), \
    LT_F32(T, lr_step_gamma, 0.1, 0, 1, "", "factor of a step of the learning rate"), \
    LT_I64(T, batch, 128, 1, 65536, "images", "batch size"), \
    LT_F32(T, momentum, 0.9, 0, 1, "", "momentum of SGD"), \
    LT_F32(T, weight_decay, 5e-4, 0, 10, "", "weight decay on all parameters"), \
    LT_BOOL(T, augment, 1, "random crop and flip of retain and forget images (never of adversarial ones)")
// clang-format on

typedef struct lti_recipe {
    LTI_RECIPE_FIELDS
} lti_recipe;
#define LTI_RECIPE_OF(c)                                                                                               \
    (lti_recipe)                                                                                                       \
    {                                                                                                                  \
        (c)->epochs, (c)->lr, (c)->lr_step_every, (c)->lr_step_gamma, (c)->batch, (c)->momentum, (c)->weight_decay,    \
            (c)->augment                                                                                               \
    }

void lti_recipe_apply(lti_recipe recipe, lt_job *job); // SGD from a fresh state
lt_view lti_retain_view(const lt_unlearn_in *in, bool augment);
lt_view lti_forget_view(const lt_unlearn_in *in, bool augment);
// A new last phase of the job / a view into a phase, tagged with a number of its own.
lt_phase *lti_add_phase(lt_job *job, bool shuffle);
void lti_add_view(lt_job *job, lt_phase *phase, lt_view view);

#define LT_X(name) extern const lt_unlearn_method lti_unlearn_##name;
#include "methods/unlearn/methods.list"
#undef LT_X
#endif
