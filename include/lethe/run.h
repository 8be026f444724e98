// run.h - run directories: resolved configuration, environment, log, metrics, model, DONE; all writes atomic.
//
// Threads: a run belongs to one thread at a time, except its sink, whose calls the emitter serialises.
#ifndef LT_RUN_H
#define LT_RUN_H
#include "lethe/event.h"
#include "lethe/option.h"
LT_BEGIN

typedef struct lt_run lt_run; // owns an open directory, a log and a metrics file; add lt_run_sink to an emitter

typedef struct lt_run_spec {
    const char *dir, *verb;
    const lt_optset *options;
    const char *const *key_values; // extra key, value, key, value, ..., NULL: library versions, data digest, ...
    int n_threads;                 // that the run computes with, for env.json; 0 = every core that it may use
    bool force, resume;
} lt_run_spec;
// Creates dir. *finished = true (nothing is changed, *run is NULL) when DONE is there with the same verb and config
// digest and force is not set. A directory of another configuration, or one not empty that is not a run, fails with
// LT_E_USAGE unless force. An unfinished run of the same configuration is continued with resume (files are appended to)
// and restarted without: then DONE, state, model, metrics and log of the earlier try are removed first. resume of
// something that is no run, or of another configuration, is LT_E_USAGE. One process holds a run at a time. LT_E_IO,
// LT_E_NOSPACE. Files: env.json (with verb and config_digest), resolved.json, config.yaml (the options that were given;
// reading it back with lt_optset_load_yaml restores the configuration, which is how --resume DIR needs no other
// option), metrics.jsonl, log.txt.
LT_API lt_status lt_run_open(const lt_run_spec *spec, lt_run **run, bool *finished);
// METRIC -> metrics.jsonl {"event","epoch","step","wall_s","time", fields...}; INFO, WARNING, BEGIN, END -> log.txt.
// PROGRESS -> progress.json {"event","done","total","unit","epoch","wall_s","time", fields...}, the last one, at most
// once a second; it is removed when the run is closed.
// Sinks cannot fail: the first write error is kept and returned by lt_run_finish.
LT_API lt_sink lt_run_sink(lt_run *run);
LT_API const char *lt_run_dir(const lt_run *run);
LT_API lt_status lt_run_path(const lt_run *run, const char *file, char *out, size_t out_size);
LT_API lt_status lt_run_write_text(lt_run *run, const char *file, const char *text);
// result.json, files.json with the digest of every file of the run, then DONE.
LT_API lt_status lt_run_finish(lt_run *run, const char *result_json);
// Is a file of the finished run in dir what it was when the run ended? LT_E_INTEGRITY when it is not; LT_OK for files
// that are not listed (added later, or the run is older than the list).
LT_API lt_status lt_run_check_file(const char *dir, const char *name);
LT_API lt_status lt_run_check_files(const char *dir); // every file that is listed and still exists
LT_API void lt_run_close(lt_run *run);                // NULL is fine; without finish the run stays resumable
LT_API bool lt_run_is_done(const char *dir);
typedef enum lt_run_state { LT_RUN_NONE, LT_RUN_DONE, LT_RUN_ACTIVE, LT_RUN_STOPPED } lt_run_state;
// From outside, without touching its lock. NONE: dir is no run. ACTIVE: a process of this machine holds it, or it has
// said in the last seconds how far it is.
LT_API lt_run_state lt_run_state_of(const char *dir);

// Whole-file helpers shared by all writers.
LT_API lt_status lt_write_file_atomic(const char *path, const void *bytes, size_t n);
LT_API lt_status lt_read_file(const char *path, size_t max_bytes, char **bytes,
                              size_t *n); // NUL-terminated copy, caller frees
LT_API lt_status lt_make_dirs(const char *path);
// JSON text with every number that has a fraction in the fewest digits that read back to the same double:
// 0.10000000000000001 becomes 0.1. malloc'ed; NULL when out of memory or when json is NULL.
LT_API char *lt_json_shorten(const char *json);

LT_END_DECLS
#endif
