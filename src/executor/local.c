// local.c - tasks as processes of this machine; the id of a task is that of its process.
#include "executor/executor_impl.h"
#include "lethe/machine.h"
#include <errno.h>
#include <signal.h>
#include <string.h>

typedef struct local {
    char *program;
    int slots;
} local;

static lt_status open_local(const lt_executor_cfg *cfg, void **self)
{
    local *x = lti_calloc(1, sizeof *x);
    if (!x)
        return LTI_NOMEM("executor");
    x->program = lti_strdup(cfg->program);
    x->slots = cfg->slots > 0 ? cfg->slots : lt_usable_cores();
    if (!x->program) {
        lti_free(x);
        return LTI_NOMEM("executor");
    }
    *self = x;
    return LT_OK;
}

static int count_slots(void *self)
{
    return ((local *)self)->slots;
}

static lt_status start_task(void *self, const lt_task *task, int64_t *id)
{
    pid_t pid;
    LT_TRY(lti_process_start(((local *)self)->program, task, &pid));
    *id = pid;
    return LT_OK;
}

static lt_status poll_task(void *self, int64_t id, lt_task_end *end)
{
    (void)self;
    return lti_process_poll((pid_t)id, end);
}

static lt_status cancel_task(void *self, int64_t id)
{
    (void)self;
    if (kill((pid_t)id, SIGINT) == 0 || errno == ESRCH)
        return LT_OK;
    return LT_FAIL(LT_E_FAIL, "stopping process %lld: %s", (long long)id, strerror(errno));
}

static void close_local(void *self)
{
    lti_free(((local *)self)->program);
    lti_free(self);
}

const lt_executor_kind lti_executor_local = {
    .name = "local",
    .doc = "processes of this machine",
    .open = open_local,
    .capacity = count_slots,
    .start = start_task,
    .poll = poll_task,
    .cancel = cancel_task,
    .close = close_local,
};
