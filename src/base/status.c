// status.c - status texts and the thread-local error record.
//
// One record per thread, fixed size, so that reporting "out of memory" needs no memory. Messages are formatted into a
// local buffer first: an argument may point into the record that is being replaced.
#include "lethe/status.h"
#include "base/base.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static _Thread_local lt_error record;

static const struct {
    const char *text;
    int exit_code;
} statuses[] = {
#define LT_X(code, exit_code, text) [code] = {text, exit_code},
    LT_STATUS_LIST(LT_X)
#undef LT_X
};

static bool is_known(lt_status status)
{
    return (size_t)status < sizeof statuses / sizeof *statuses;
}

const char *lt_status_text(lt_status status)
{
    return is_known(status) ? statuses[status].text : "unknown status";
}

int lt_status_exit_code(lt_status status)
{
    return is_known(status) ? statuses[status].exit_code : 1;
}

const lt_error *lt_error_get(void)
{
    return &record;
}

void lt_error_clear(void)
{
    record.status = LT_OK;
    record.message[0] = record.hint[0] = 0;
    record.n_frames = 0;
}

void lt_error_restore(const lt_error *error)
{
    if (error != &record)
        record = *error;
}

static void push_frame(const char *file, int line, const char *func)
{
    if (record.n_frames == LT_ERROR_FRAMES_MAX)
        return;
    record.frame[record.n_frames].func = func;
    record.frame[record.n_frames].file = file;
    record.frame[record.n_frames].line = line;
    record.n_frames++;
}

// One line whatever a file name or a tensor name holds: control characters (line ends, terminal escapes) become '?'.
static void keep_one_line(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < ' ' || *text == 127)
            *text = '?';
}

lt_status lt_error_set(lt_status status, const char *file, int line, const char *func, const char *fmt, ...)
{
    char message[LT_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    lti_vformat(message, sizeof message, fmt, args);
    va_end(args);
    keep_one_line(message);
    lt_error_clear();
    record.status = status;
    memcpy(record.message, message, sizeof message);
    push_frame(file, line, func);
    return status;
}

// A status without a record of its own (a backend's plain LT_E_UNSUPPORTED, say) gets one here, so that frames never
// pile up on the record of an older failure.
lt_status lt_error_frame(lt_status status, const char *file, int line, const char *func)
{
    if (record.status != status)
        return lt_error_set(status, file, line, func, "%s", lt_status_text(status));
    push_frame(file, line, func);
    return status;
}

lt_status lt_error_hint(const char *fmt, ...)
{
    if (record.status == LT_OK || record.hint[0])
        return record.status;
    char hint[LT_ERROR_HINT_MAX];
    va_list args;
    va_start(args, fmt);
    lti_vformat(hint, sizeof hint, fmt, args);
    va_end(args);
    keep_one_line(hint);
    memcpy(record.hint, hint, sizeof hint);
    return record.status;
}

// The one place of the library that writes to stderr: the process is about to abort and no caller will see a status.
void lt_bug(const char *file, int line, const char *fmt, ...)
{
    char message[LT_ERROR_MESSAGE_MAX];
    va_list args;
    va_start(args, fmt);
    lti_vformat(message, sizeof message, fmt, args);
    va_end(args);
    fprintf(stderr, "lethe: internal error at %s:%d: %s\n", file, line, message);
    abort();
}
