// run.h - run directories: resolved configuration, environment, log, metrics, model, DONE; all writes atomic.
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
    bool force, resume;
} lt_run_spec;
// Creates dir. *finished = true (and nothing is changed) when DONE is there with the same config digest and force is not set.
// A directory of another configuration, or one not empty that is not a run, fails with LT_E_USAGE unless force. LT_E_IO, LT_E_NOSPACE.
LT_API lt_status lt_run_open(const lt_run_spec *spec, lt_run **run, bool *finished);
LT_API lt_sink lt_run_sink(lt_run *run); // METRIC -> metrics.jsonl, INFO/WARNING -> log.txt
LT_API const char *lt_run_dir(const lt_run *run);
LT_API lt_status lt_run_path(const lt_run *run, const char *file, char *out, size_t out_size);
LT_API lt_status lt_run_write_text(lt_run *run, const char *file, const char *text);
LT_API lt_status lt_run_finish(lt_run *run, const char *result_json); // result.json, then DONE
LT_API void lt_run_close(lt_run *run); // NULL is fine; without finish the run stays resumable
LT_API bool lt_run_is_done(const char *dir);

// The ledger: SQLite, lethe.db in $LETHE_HOME or beside the runs. Rows are appended by lt_run_open and lt_run_finish.
typedef struct lt_ledger lt_ledger;
LT_API lt_status lt_ledger_open(const char *path_or_null, lt_ledger **ledger);
LT_API void lt_ledger_close(lt_ledger *ledger);
LT_API lt_status lt_ledger_add_run(lt_ledger *ledger, const char *dir, const char *verb, const char *config_digest, const char *result_json);
LT_API char *lt_ledger_runs_json(lt_ledger *ledger); // malloc'ed array of rows

// Whole-file helpers shared by all writers.
LT_API lt_status lt_write_file_atomic(const char *path, const void *bytes, size_t n);
LT_API lt_status lt_read_file(const char *path, size_t max_bytes, char **bytes, size_t *n); // NUL-terminated copy, caller frees
LT_API lt_status lt_make_dirs(const char *path);

LT_END_DECLS
#endif
