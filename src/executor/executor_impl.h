// executor_impl.h - the registry of executors, and processes of this machine, which several kinds start.
#ifndef LTI_EXECUTOR_IMPL_H
#define LTI_EXECUTOR_IMPL_H
#include "base/base.h"
#include "lethe/executor.h"
#include <sys/types.h>

#define LT_X(name) extern const lt_executor_kind lti_executor_##name;
#include "executor/executors.list"
#undef LT_X

// A process in a group of its own: the Ctrl-C of a terminal reaches only who started it. It holds the lock of its log.
lt_status lti_process_start(const char *program, const lt_task *task, pid_t *pid); // errors as lt_executor_start
lt_status lti_process_poll(pid_t pid, lt_task_end *end);
// Lines of a shell script: variables, the directory, and the command of a worker, quoted.
void lti_script_setting(lti_buf *b, const lt_worker_script *s);
void lti_script_command(lti_buf *b, const lt_worker_script *s);
void lti_script_quote(lti_buf *b, const char *text);
#endif
