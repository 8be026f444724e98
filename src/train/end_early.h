// end_early.h - a job that ends before its last epoch, when a caller that evaluates the model ends it.
#ifndef LT_END_EARLY_H
#define LT_END_EARLY_H
#include "lethe/train.h"

// Asked before every epoch but the first, with the model as the epoch before left it (n_epochs are done); *enough: the
// job ends at that epoch, as after its last epoch. Must depend on the model only: a resumed job asks again.
typedef struct lti_end_early {
    lt_status (*ask)(void *ctx, const lt_model *model, int32_t n_epochs, bool *enough);
    void *ctx;
} lti_end_early;
// As lt_train_run. end NULL: the job's epochs.
lt_status lti_train_run_until(lt_job *job, const lt_env *env, const char *checkpoint_path, bool resume,
                              const lti_end_early *end, lt_train_result *result);
#endif
