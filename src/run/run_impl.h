// run_impl.h - shared by the files of this module.
#ifndef LTI_RUN_RUN_IMPL_H
#define LTI_RUN_RUN_IMPL_H
#include "base/json_write.h"
#include "io/json_read.h"
#include "lethe/pipeline.h"
#include <jansson.h>

#define LTI_SAMPLES_FILE "samples.safetensors" // of a run: its training set, see lt_sample_list_write

enum { LTI_EVAL_BATCH = 128 };
// result.json of a finished run, with its directory as it is now and "cached"; parsed, too.
lt_status lti_stored_result(const lt_result_dir *d, char **json, json_t **parsed);

// ---- unlearn_dir.c: files that options of the method name and that cannot be written are refused
lt_status lti_check_method_files(const lt_unlearn_order *order);

// ---- origin.c
// A run, or a file of the study of `sibling`: what neither the file nor `given` says is taken from there. given,
// sibling and ds may be NULL.
lt_status lti_related_open(const char *name, const lt_model_fallback *given, const lt_model *sibling,
                           const lt_dataset *ds, lt_trained_model *m);
lt_status lti_check_parent(const lt_trained_model *child, const char *parent); // LT_E_INTEGRITY: other weights by now
double lti_last_train_acc(const lt_trained_model *m); // running accuracy of its last epoch; NAN = not known
// The data set `given`, or the one that the model names: `open` where it is that one, else opened into *owned. Checked
// against the model unless m is NULL.
lt_status lti_run_data(const lt_trained_model *m, const char *given, lt_dataset *open, lt_events *events,
                       lt_dataset **ds, lt_dataset **owned);
lt_status lti_check_lint(const char *name, const lt_lint *lint); // audit_runs.c: LT_E_CHECK with the first error
void lti_run_stage(lt_events *events, const char *fmt, ...) LT_PRINTF(2, 3); // event "audit.stage": what comes next
// ---- train_dir.c
lt_status lti_open_init(const lt_train_order *order, lt_trained_model *init); // what training starts from
// ---- clip_recipe.c: spectral clipping of a base model, applied again where it is trained from nothing
typedef struct lti_clip_recipe {
    lt_clip_cfg cfg;
    const lt_env *env;
    lt_clipper *clipper; // made by lti_clip_job; the caller destroys it after the job
} lti_clip_recipe;
lt_status lti_clip_job(void *ctx, lt_job *job); // ctx: lti_clip_recipe; attaches the clipper
lt_status lti_clip_read(const char *label, const json_t *recipe, lt_clip_cfg *cfg);
// An array of rows, of reals or of counts.
void lti_run_write_matrix(lti_json *j, const char *key, const double *real, const int64_t *count, int rows,
                          int columns);

// ---- history.c
// Values of cfg (NULL = none) for the options "train.*" that were not set. *is_given: one of them was set.
lt_status lti_recipe_overlay(lt_optset *set, const lt_train_cfg *cfg, bool *is_given);
lt_status lti_recipe_set_earlier(lt_model *model, const lt_recipe_stage *stage, int n); // into the metadata
void lti_recipe_write(lti_json *j, const char *key, const lt_recipe_stage *stage, int n);
lt_status lti_recipe_note_forgotten(const lt_trained_model *m, lt_recipe_stage *s); // what the run m had forgotten

// ---- forgotten_samples.c
// mark[i] = 1 (of n) for samples of the view's data, by official id, that the model or one before it was made to
// forget.
lt_status lti_mark_forgotten(const lt_trained_model *m, const lt_view *view, const int64_t *id, int64_t n,
                             uint8_t *mark);
// Ids of samples that the model, or one before it, has forgotten and that are no longer in ds; malloc'ed for lti_free.
lt_status lti_forgotten_absent(const lt_trained_model *m, const lt_dataset *ds, int64_t **id, int64_t *n);
// forgotten.csv: the official ids of the rows and those of absent samples, without which the run after the next one
// would miss their files.
lt_status lti_forgotten_write(const lt_dataset *ds, const lt_index_set *rows, const int64_t *absent, int64_t n_absent,
                              const char *path);

// ---- identity.c
// The sample list of the run or of the nearest one that it comes from; *found = false when there is none.
lt_status lti_sample_list_find(const lt_trained_model *m, lt_sample_list **list, bool *found);
// A run that is made from a model file remembers what the file cannot: the data, in the metadata of its model, and
// their samples by content. Does nothing for a base that knows them.
lt_status lti_remember_samples(const lt_trained_model *base, const lt_dataset *ds, const lt_result_dir *to,
                               lt_model *model);

// ---- earlier_data.c: the data of the trainings before the last one, without the samples that must be forgotten
typedef struct lti_earlier { // owned
    int n, n_opened;
    lt_train_stage *stage; // as an unlearning method takes them
    lt_dataset **ds;       // (n) opened here, or NULL where it is the data of the model
    lt_index_set *retain;  // (n)
    lti_clip_recipe *clip; // (n)
} lti_earlier;
// stage (n): all but the last of a recipe. sets: what is forgotten and retained of ds, the data of the model m. A
// sample is forgotten in every stage that has its image. LT_E_USAGE when the data of a stage are not known;
// LT_E_INTEGRITY when they are not what they were.
lt_status lti_earlier_open(const lt_trained_model *m, const lt_dataset *ds, const lt_sample_sets *sets,
                           const lt_recipe_stage *stage, int n, const lt_env *env, lti_earlier *out);
void lti_earlier_close(lti_earlier *e);
#endif
