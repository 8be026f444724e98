// run_impl.h - shared by the files of this module: JSON files of runs, read.
#ifndef LTI_RUN_RUN_IMPL_H
#define LTI_RUN_RUN_IMPL_H
#include "base/base.h"
#include "lethe/pipeline.h"
#include <jansson.h>

lt_status lti_run_read_json(const char *path, json_t **out); // LT_E_INPUT, LT_E_FORMAT with the line
#define LTI_SAMPLES_FILE "samples.safetensors"               // of a run: its training set, see lt_sample_list_write
// Values at "a.b"; "" and NAN when absent or of another type.
const char *lti_run_json_text(const json_t *object, const char *path);
double lti_run_json_real(const json_t *object, const char *path);

typedef struct lti_seed { // row of lti_seed_options
    uint64_t seed;
} lti_seed;
extern const lt_option lti_seed_options[];
enum { LTI_EVAL_BATCH = 128 };
int64_t lti_run_json_int(const json_t *object, const char *path); // 0 when absent
// result.json of a finished run, with its directory as it is now and "cached"; parsed, too.
lt_status lti_stored_result(const lt_result_dir *d, char **json, json_t **parsed);
lt_status lti_add_clip_options(lt_optset *set, lt_clip_cfg *cfg); // filled, both tables of it
#endif
