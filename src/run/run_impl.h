// run_impl.h - shared by the files of this module.
#ifndef LTI_RUN_RUN_IMPL_H
#define LTI_RUN_RUN_IMPL_H
#include "base/base.h"
#include "base/json_write.h"
#include "io/json_read.h"
#include "lethe/pipeline.h"
#include <jansson.h>

#define LTI_SAMPLES_FILE "samples.safetensors" // of a run: its training set, see lt_sample_list_write

typedef struct lti_seed { // row of lti_seed_options
    uint64_t seed;
} lti_seed;
extern const lt_option lti_seed_options[];
enum { LTI_EVAL_BATCH = 128 };
// result.json of a finished run, with its directory as it is now and "cached"; parsed, too.
lt_status lti_stored_result(const lt_result_dir *d, char **json, json_t **parsed);

// ---- origin.c
lt_status lti_check_parent(const lt_trained_model *child, const char *parent); // LT_E_INTEGRITY: other weights by now
double lti_last_train_acc(const lt_trained_model *m); // running accuracy of its last epoch; NAN = not known
// The data set `given`, or the one that the model names: `open` where it is that one, else opened into *owned. Checked
// against the model unless m is NULL.
lt_status lti_run_data(const lt_trained_model *m, const char *given, lt_dataset *open, lt_events *events,
                       lt_dataset **ds, lt_dataset **owned);
void lti_run_stage(lt_events *events, const char *fmt, ...) LT_PRINTF(2, 3); // event "audit.stage": what comes next
lt_status lti_add_clip_options(lt_optset *set, lt_clip_cfg *cfg);            // filled, both tables of it
// ---- clip_recipe.c: spectral clipping of a base model, applied again where it is trained from nothing
typedef struct lti_clip_recipe {
    lt_clip_cfg cfg;
    const lt_env *env;
    lt_clipper *clipper; // made by lti_clip_job; the caller destroys it after the job
} lti_clip_recipe;
lt_status lti_set_clip_recipe(lt_model *model, const lt_clip_cfg *cfg); // into the metadata, if it clips anything
lt_status lti_clip_job(void *ctx, lt_job *job);                         // ctx: lti_clip_recipe; attaches the clipper
// An array of rows, of reals or of counts.
void lti_run_write_matrix(lti_json *j, const char *key, const double *real, const int64_t *count, int rows,
                          int columns);
#endif
