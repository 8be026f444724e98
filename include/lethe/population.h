// population.h - many independent models at once, one per core and without synchronisation.
//
// A small network keeps one core busy but not many: between two layers all threads wait for the slowest. Members of a
// population share only the decoded data; each runs on a backend with one thread, so its result has the same bits as
// when it is computed alone with one compute thread, whatever runs at the same time and in whichever order.
//
// Threads: calls may run concurrently. Callbacks of members run on worker threads, several at the same time, and must
// share nothing that they change.
#ifndef LT_POPULATION_H
#define LT_POPULATION_H
#include "lethe/train.h"
LT_BEGIN

typedef struct lt_population {
    int n;               // members, 0..n-1
    int n_workers;       // members in work at once, each on a thread of its own; 0 = one per core
    const char *backend; // as lt_backend_create
    unsigned plan_flags;
    // Does all of one member's work, on a worker's thread: usually lt_train_run, then evaluation and saving. env has a
    // backend with one thread, no loader threads, an emitter of this member alone and the common stop flag. Members
    // must not share anything that is written to.
    lt_status (*work)(void *ctx, int member, const lt_env *env);
    void *ctx;
    const char *noun;              // what messages call one, before its number; NULL = "member"
    const char *progress;          // which PROGRESS events of members are counted; NULL = "train.progress"
    lt_events *events;             // may be NULL
    const lt_interrupt_flag *stop; // may be NULL
    // Several processes work on one population: a member whose `work` returns LT_E_BUSY is in the hands of another one.
    // It is asked for again, after all others, until the other process has finished it (`work` finds that and returns
    // LT_OK) or given up. Without this LT_E_BUSY is a failure like any other.
    bool join;
} lt_population;

typedef enum lt_member_state {
    LT_MEMBER_WAITING, // not begun
    LT_MEMBER_DONE,
    LT_MEMBER_FAILED,
    LT_MEMBER_INTERRUPTED, // returned LT_E_INTERRUPTED: resumable
} lt_member_state;
typedef struct lt_member_outcome {
    lt_member_state state;
    double wall_s;
    lt_error error; // of a failed or interrupted member
} lt_member_outcome;
LT_API const char *lt_member_state_text(lt_member_state state); // "done", ...
enum { LT_MEMBER_NAME_MAX = 16 };
LT_API const char *lt_member_name(int member, char out[LT_MEMBER_NAME_MAX]); // "000", "001", ...; returns out

// Works on every member and fills outcome (n). A member that fails does not stop the others: afterwards the status is
// that of the first one that failed, and the message names it. When stop is raised, members in work are expected to
// return LT_E_INTERRUPTED (lt_train_run writes its checkpoint first), no further one is begun, and the status is
// LT_E_INTERRUPTED. Calling again is right when work skips what is finished and resumes what is not.
//
// Events: "population.progress" PROGRESS in images of all members, with fields finished, and loss and acc averaged over
// the members in work; members not begun count as much as those that are. "population.member" INFO when a member ends
// well, WARNING when it fails. Warnings of members are passed on with the member's name in front, the rest of their
// events only reach sinks that `work` adds to env->events.
LT_API lt_status lt_population_run(const lt_population *population, lt_member_outcome *outcome);

LT_END_DECLS
#endif
