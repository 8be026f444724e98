// until.h - unlearning that ends when forgotten samples look no more like members than held-out ones.
#ifndef LT_UNTIL_H
#define LT_UNTIL_H
#include "base/json_write.h"
#include "run/run_impl.h"

enum { LTI_UNTIL_EPOCHS, LTI_UNTIL_HELD_OUT };
extern const lt_opt_value lti_until_values[];
enum { LTI_UNTIL_MAX_EPOCHS = 512 }; // AUCs that are kept

typedef struct lti_until {
    const lt_dataset *ds;
    const lt_index_set *forget;
    const lt_env *env;
    uint64_t seed;                    // of the halves
    lt_index_set stop, audit;         // rows of the test split; disjoint
    double auc[LTI_UNTIL_MAX_EPOCHS]; // after each epoch
    int32_t n_epochs;
    lt_unlearn_until hook;
} lti_until;
lt_status lti_until_open(lti_until *u, const lt_dataset *ds, const lt_index_set *forget, uint64_t seed,
                         const lt_env *env);
void lti_until_clear(lti_until *u);
// After the run: asks about the finished model, too, where its epochs were used up.
lt_status lti_until_finish(lti_until *u, const lt_model *model, int32_t n_epochs);
bool lti_until_reached(const lti_until *u);
void lti_until_write(const lti_until *u, lti_json *j);         // "until" of a result
lt_status lti_until_save(const lti_until *u, const char *dir); // held-out-stop.csv, held-out-audit.csv
// Test samples that the set does not have are taken out. set NULL or empty: nothing.
lt_status lti_signals_keep_test(lt_signals *s, const lt_dataset *ds, const lt_index_set *set);
#endif
