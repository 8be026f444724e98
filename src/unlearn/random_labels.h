// random_labels.h - what random labels and SalUn share: options, the job, and the defaults for each kind of request.
#ifndef LT_RANDOM_LABELS_H
#define LT_RANDOM_LABELS_H
#include "unlearn/recipe.h"

typedef struct lti_random_labels_cfg {
    LTI_RECIPE_FIELDS
    int32_t order;
    bool true_label;
    int32_t label_set;
} lti_random_labels_cfg;
enum { LTI_LABELS_AUTO, LTI_LABELS_ALL, LTI_LABELS_OTHER, LTI_LABELS_REMAINING };
extern const lt_opt_value lti_label_sets[];
// Rows behind those of the recipe, with the defaults of a method.
#define LTI_RANDOM_LABELS_ROWS(ORDER, TRUE_LABEL)                                                                      \
    LT_ENUM(lti_random_labels_cfg, order, ORDER, lti_rl_orders, "order of retain and forget samples within an epoch"), \
        LT_BOOL(lti_random_labels_cfg, true_label, TRUE_LABEL, "a random label may be the true one (as upstream)"),    \
        LT_ENUM(lti_random_labels_cfg, label_set, LTI_LABELS_AUTO, lti_label_sets, "labels that are drawn from")

lt_status lti_random_labels_plan(const lt_unlearn_in *in, const char *method, const lti_random_labels_cfg *cfg,
                                 lt_unlearn_plan_ctx *ctx, lt_job *job);
// Initialiser of a method's defaults; class_area: of whole classes, with retain data.
#define LTI_RANDOM_LABELS_DEFAULTS(class_area)                                                                         \
    {                                                                                                                  \
        {.when = LT_OF_CLASSES | LT_WITH_RETAIN, .area = (class_area), .epochs = 10, .lr_step_every = LT_STEP_COSINE}, \
            {.when = LT_WITH_RETAIN | LT_UNAUGMENTED, .area = 0.7, .epochs = 10, .lr_step_every = 1},                  \
            {.when = LT_WITH_RETAIN | LT_AUGMENTED, .area = 5, .epochs = 10, .lr_step_every = 1},                      \
            {.when = LT_WITHOUT_RETAIN, .area = 0.04, .epochs = 10, .lr_step_every = 1}, {.epochs = 0},                \
    }
#endif
