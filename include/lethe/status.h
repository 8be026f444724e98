// status.h - status codes and the thread-local error record.
//
// Every library function that can fail returns lt_status. The failing function records one message (LT_FAIL), callers
// pass the status up and add a frame (LT_TRY). The record belongs to the calling thread; a worker hands its record to
// the thread that joins it with lt_error_get() + lt_error_restore(). The library never prints and never exits: an
// internal contradiction (our bug, not bad input) is LT_BUG, which aborts.
#ifndef LT_STATUS_H
#define LT_STATUS_H
#include "lethe/common.h"
LT_BEGIN

// code, process exit code of the `lethe` command, text
#define LT_STATUS_LIST(X)                                                                                              \
    X(LT_OK, 0, "ok")                                                                                                  \
    X(LT_E_FAIL, 1, "runtime error")                                                                                   \
    X(LT_E_IO, 1, "input/output error")                                                                                \
    X(LT_E_BUSY, 1, "in use by another process")                                                                       \
    X(LT_E_UNSUPPORTED, 1, "not supported")                                                                            \
    X(LT_E_USAGE, 2, "usage error")                                                                                    \
    X(LT_E_INPUT, 3, "missing or unreadable input")                                                                    \
    X(LT_E_FORMAT, 3, "bad input or format")                                                                           \
    X(LT_E_SHAPE, 3, "shape mismatch")                                                                                 \
    X(LT_E_INTEGRITY, 4, "integrity mismatch")                                                                         \
    X(LT_E_DIVERGED, 5, "numerical divergence")                                                                        \
    X(LT_E_CHECK, 6, "a requested check failed")                                                                       \
    X(LT_E_NOMEM, 7, "out of memory")                                                                                  \
    X(LT_E_NOSPACE, 7, "out of disk space")                                                                            \
    X(LT_E_INTERRUPTED, 75, "interrupted, resumable")

typedef enum lt_status {
#define LT_X(code, exit_code, text) code,
    LT_STATUS_LIST(LT_X)
#undef LT_X
} lt_status;

enum { LT_ERROR_MESSAGE_MAX = 1024, LT_ERROR_HINT_MAX = 512, LT_ERROR_FRAMES_MAX = 12 };

// By value: copying the struct copies the record. `frame` strings are static.
typedef struct lt_error {
    lt_status status;
    char message[LT_ERROR_MESSAGE_MAX]; // names the thing, what was expected, what was found
    char hint[LT_ERROR_HINT_MAX];       // what to do about it; may be empty
    int n_frames;
    struct {
        const char *func, *file;
        int line;
    } frame[LT_ERROR_FRAMES_MAX];
} lt_error;

LT_API const char *lt_status_text(lt_status status); // of the list; "unknown status" for others
LT_API int lt_status_exit_code(lt_status status);    // of the command; 1 for others

// The calling thread's record; never NULL, status LT_OK when nothing failed since the last clear.
LT_API const lt_error *lt_error_get(void);
LT_API void lt_error_clear(void);
LT_API void lt_error_restore(const lt_error *error); // replaces this thread's record

// Used through the macros below. lt_error_set starts a new record and returns `status`.
LT_API lt_status lt_error_set(lt_status status, const char *file, int line, const char *func, const char *fmt, ...)
    LT_PRINTF(5, 6);
LT_API lt_status lt_error_frame(lt_status status, const char *file, int line, const char *func);
// Attach a hint to the current record; keeps the first hint. Returns the record's status.
LT_API lt_status lt_error_hint(const char *fmt, ...) LT_PRINTF(1, 2);
LT_API void lt_bug(const char *file, int line, const char *fmt, ...) LT_PRINTF(3, 4) __attribute__((noreturn));

// Returns `code` itself and not what comes back through a call, so that compilers and analysers see that it is no
// LT_OK.
static inline lt_status lt_recorded(lt_status code, lt_status from_call)
{
    (void)from_call;
    return code;
}

#define LT_FAIL(code, ...) lt_recorded((code), lt_error_set((code), __FILE__, __LINE__, __func__, __VA_ARGS__))
#define LT_TRY(call)                                                                                                   \
    do {                                                                                                               \
        lt_status lt_try_status_ = (call);                                                                             \
        if (lt_try_status_ != LT_OK) {                                                                                 \
            lt_error_frame(lt_try_status_, __FILE__, __LINE__, __func__);                                              \
            return lt_try_status_;                                                                                     \
        }                                                                                                              \
    } while (0)
// As LT_TRY, for functions with one cleanup label: sets `status` and jumps.
#define LT_TRY_GOTO(call, label)                                                                                       \
    do {                                                                                                               \
        status = (call);                                                                                               \
        if (status != LT_OK) {                                                                                         \
            lt_error_frame(status, __FILE__, __LINE__, __func__);                                                      \
            goto label;                                                                                                \
        }                                                                                                              \
    } while (0)
#define LT_BUG(...) lt_bug(__FILE__, __LINE__, __VA_ARGS__)

LT_END_DECLS
#endif
