// unlearn_impl.h - an unlearning run while it is made (unlearn_dir.c), its outputs and its result.
#ifndef LTI_RUN_UNLEARN_IMPL_H
#define LTI_RUN_UNLEARN_IMPL_H
#include "run/run_impl.h"
#include "run/until.h"

typedef struct lti_unlearning { // everything that must be given back
    const lt_unlearn_order *order;
    lt_unlearn_order copy;
    void *cfg;
    lt_optset *made;
    lt_model *model;
    lt_train_cfg recipe; // of the last training
    bool has_recipe;
    lt_recipe history; // every training
    lti_earlier earlier;
    lti_clip_recipe clip;
    lt_sample_sets sets;
    int64_t *absent, n_absent; // ids that were forgotten before and whose files are gone
    lti_until until;           // open with --until held-out
    lt_result_dir to;
    lt_unlearn_result result;
    lt_signals *after, *before;      // outputs on the three groups
    char search[LT_RESULT_PATH_MAX]; // of an adversarial search while the run goes on; "" = nowhere
    char parent_digest[65], forget_digest[65], forgotten_digest[65], first_digest[65], history_digest[65];
} lti_unlearning;

bool lti_unlearning_uses_retain(const lt_unlearn_order *o);
// Outputs of the model before and after, and what follows from them. LT_E_DIVERGED as lt_unlearn_dir.
lt_status lti_unlearning_evaluate(lti_unlearning *u, lt_unlearn_record *r);
void lti_unlearning_fill(const lti_unlearning *u, double start_s, lt_unlearn_record *r);
char *lti_unlearning_json(const lti_unlearning *u, const lt_unlearn_record *r); // NULL = out of memory; for free()
lt_status lti_unlearning_read_stored(const lti_unlearning *u,
                                     lt_unlearn_record *r); // of a run that was finished before
#endif
