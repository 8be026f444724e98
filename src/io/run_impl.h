// run_impl.h - env.json, shared by run.c and run_env.c.
#ifndef LT_RUN_IMPL_H
#define LT_RUN_IMPL_H
#include "base/base.h"
// What this run ran on. NULL when out of memory. key_values, n_threads: as lt_run_spec.
char *lti_run_env_json(const char *verb, const char *config_digest, const char *const *key_values, int n_threads);
// UTC, "2024-05-01T12:00:00Z". Returns out.
enum { LTI_UTC_MAX = 24 };
const char *lti_utc_now(char out[LTI_UTC_MAX]);
lt_status lti_run_list_files(const char *dir, char **text);      // files.json of a run; text for free()
void lti_run_write_progress(const char *dir, const lt_event *e); // progress.json
void lti_run_remove_progress(const char *dir);
#endif
