// executor.h - where processes of lethe are started: jobs of a study, members of a population, a store that is filled.
//
// A task is one invocation of the `lethe` command: what a job computes can always be repeated by hand, and a task that
// crashes takes nothing with it. An executor starts tasks somewhere, says how they ended, and asks them to stop. Kinds
// of executors are a registry: one file in src/executor and one line of executors.list. Decision 14 has the reasons.
//
// The process that runs a task holds its log: the file is locked (flock) as long as the process lives, also when that
// outlives the one that started it. So two programs that want the same task never run it at the same time.
#ifndef LT_EXECUTOR_H
#define LT_EXECUTOR_H
#include "lethe/event.h"
LT_BEGIN

typedef struct lt_task {
    const char *name;        // for messages
    const char *const *args; // of the command, without the name of the program; ends with NULL
    int slots;               // threads it computes with
    const char *output;      // file for its standard output, replaced
    const char *log;         // file for its standard error, appended to and locked
    const char *dir;         // where it runs; NULL = the current directory. The files above are not relative to it
} lt_task;

typedef struct lt_task_end {
    bool ended;
    int exit_code;    // -1: a signal ended it, or it is not known
    int signal;       // 0 = none
    char reason[160]; // of an end without exit code and signal; "" = none
} lt_task_end;

typedef struct lt_executor_cfg {
    const char *program; // the `lethe` command; borrowed
    int slots;           // threads of all tasks at a time; 0 = all that there are
    lt_events *events;   // may be NULL
} lt_executor_cfg;

// Programs that start many processes themselves (Slurm, mpirun) get a script that starts workers: invocations of one
// command that share what there is to do among themselves.
typedef struct lt_worker_script {
    const char *name;        // of the whole
    const char *program;     // absolute path of `lethe`
    const char *dir;         // where workers start
    const char *const *args; // of one worker; ends with NULL
    const char *const *env;  // NAME, value, ..., NULL: variables of theirs; may be NULL
    const char *log;         // file in front of what the kind adds to tell workers apart
    int n_workers, slots;    // slots: threads of one worker
} lt_worker_script;

typedef struct lt_executor_kind {
    const char *name, *doc;
    // Either this: the text of a shell script, malloc'ed, NULL when out of memory.
    char *(*script)(const lt_worker_script *s);
    // or these. All but `close` can fail. self: what `open` made.
    lt_status (*open)(const lt_executor_cfg *cfg, void **self);
    int (*capacity)(void *self); // slots in all
    lt_status (*start)(void *self, const lt_task *task, int64_t *id);
    lt_status (*poll)(void *self, int64_t id, lt_task_end *end);
    lt_status (*cancel)(void *self, int64_t id);
    void (*close)(void *self); // tasks that still run go on
} lt_executor_kind;
LT_API const lt_executor_kind *const *lt_executor_kinds(void);                      // NULL-terminated
LT_API lt_status lt_executor_find(const char *name, const lt_executor_kind **kind); // LT_E_USAGE with the nearest name

// LT_E_USAGE for a kind that starts tasks itself.
LT_API lt_status lt_executor_script(const char *name, const lt_worker_script *script, char **text);

typedef struct lt_executor lt_executor; // used by one thread
// LT_E_USAGE for a kind that only writes scripts.
LT_API lt_status lt_executor_open(const char *name, const lt_executor_cfg *cfg, lt_executor **executor);
LT_API void lt_executor_close(lt_executor *executor); // NULL is fine
LT_API const char *lt_executor_name(const lt_executor *executor);
LT_API int lt_executor_capacity(const lt_executor *executor); // slots of all tasks together; at least 1
// Starts a task; the directories of its files must exist. LT_E_BUSY: another process holds its log, so it is at work
// already. LT_E_IO, LT_E_NOSPACE, LT_E_FAIL.
LT_API lt_status lt_executor_start(lt_executor *executor, const lt_task *task, int64_t *id);
// Does not wait. After end->ended the id is gone.
LT_API lt_status lt_executor_poll(lt_executor *executor, int64_t id, lt_task_end *end);
// Asks for a checkpoint and an end (SIGINT): the task ends with exit code 75 soon after. Does not wait.
LT_API lt_status lt_executor_cancel(lt_executor *executor, int64_t id);

// ---- a script on disk, whose workers are this program
typedef struct lt_worker_order {
    const char *executor;    // a kind with a script
    int n_workers, slots;    // slots: threads of one worker
    const char *name;        // of the whole
    const char *stem;        // the script is STEM.EXECUTOR.sh, or EXECUTOR.sh in the directory that STEM ends with
    const char *const *args; // of one worker; ends with NULL
} lt_worker_order;
// Whether this process is the first of the workers that mpirun started, or was not started by it: of workers that share
// a job it is the one that prints. Reads $OMPI_COMM_WORLD_RANK and $PMI_RANK.
LT_API bool lt_executor_is_first_rank(void);
// Writes the script for workers in the current directory, with $LETHE_DATA, $LETHE_HOME and the cache directories of
// this process; makes the directory. *json: {"script","executor","workers"}, malloc'ed. LT_E_USAGE for an executor
// without a script, LT_E_IO, LT_E_NOSPACE.
LT_API lt_status lt_executor_script_write(const lt_worker_order *order, char **json);

LT_END_DECLS
#endif
