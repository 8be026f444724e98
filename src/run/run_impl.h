// run_impl.h - shared by the files of this module.
#ifndef LTI_RUN_RUN_IMPL_H
#define LTI_RUN_RUN_IMPL_H
#include "base/base.h"
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
lt_status lti_add_clip_options(lt_optset *set, lt_clip_cfg *cfg); // filled, both tables of it
#endif
