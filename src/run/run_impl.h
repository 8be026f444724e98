// run_impl.h - shared by the files of this module: JSON files of runs, read.
#ifndef LTI_RUN_RUN_IMPL_H
#define LTI_RUN_RUN_IMPL_H
#include "base/base.h"
#include "lethe/runs.h"
#include <jansson.h>

lt_status lti_run_read_json(const char *path, json_t **out); // LT_E_INPUT, LT_E_FORMAT with the line
#define LTI_SAMPLES_FILE "samples.safetensors" // of a run: its training set, see lt_sample_list_write
// Values at "a.b"; "" and NAN when absent or of another type.
const char *lti_run_json_text(const json_t *object, const char *path);
double lti_run_json_real(const json_t *object, const char *path);
#endif
