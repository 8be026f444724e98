// executor.c - the registry of executors and its handle.
#include "executor/executor_impl.h"
#include <stdlib.h>
#include <string.h>

struct lt_executor {
    const lt_executor_kind *kind;
    void *self;
};

static const lt_executor_kind *const kinds[] = {
#define LT_X(name) &lti_executor_##name,
#include "executor/executors.list"
#undef LT_X
    NULL,
};
enum { N_KINDS = sizeof kinds / sizeof *kinds - 1 };

const lt_executor_kind *const *lt_executor_kinds(void)
{
    return kinds;
}

lt_status lt_executor_find(const char *name, const lt_executor_kind **kind)
{
    const char *names[N_KINDS + 1] = {NULL};
    for (int i = 0; i < N_KINDS; i++) {
        names[i] = kinds[i]->name;
        if (!strcmp(kinds[i]->name, name)) {
            *kind = kinds[i];
            return LT_OK;
        }
    }
    (void)LT_FAIL(LT_E_USAGE, "unknown executor '%s'", name);
    (void)lti_name_hint(name, names);
    return LT_E_USAGE;
}

lt_status lt_executor_script(const char *name, const lt_worker_script *script, char **text)
{
    const lt_executor_kind *kind = NULL;
    *text = NULL;
    LT_TRY(lt_executor_find(name, &kind));
    if (!kind->script)
        return LT_FAIL(LT_E_USAGE, "executor %s: it starts tasks itself and has no script", name);
    *text = kind->script(script);
    return *text ? LT_OK : LTI_NOMEM("script");
}

lt_status lt_executor_open(const char *name, const lt_executor_cfg *cfg, lt_executor **executor)
{
    const lt_executor_kind *kind = NULL;
    *executor = NULL;
    LT_TRY(lt_executor_find(name, &kind));
    if (!kind->open)
        return LT_FAIL(LT_E_USAGE, "executor %s: expected one that starts tasks, but it only writes a script", name);
    lt_executor *x = lti_calloc(1, sizeof *x);
    if (!x)
        return LTI_NOMEM("executor");
    x->kind = kind;
    const lt_status status = kind->open(cfg, &x->self);
    if (status == LT_OK)
        *executor = x;
    else
        lti_free(x);
    return status;
}

void lt_executor_close(lt_executor *executor)
{
    if (!executor)
        return;
    executor->kind->close(executor->self);
    lti_free(executor);
}

const char *lt_executor_name(const lt_executor *executor)
{
    return executor->kind->name;
}

int lt_executor_capacity(const lt_executor *executor)
{
    const int n = executor->kind->capacity(executor->self);
    return n > 0 ? n : 1;
}

lt_status lt_executor_start(lt_executor *executor, const lt_task *task, int64_t *id)
{
    return executor->kind->start(executor->self, task, id);
}

lt_status lt_executor_poll(lt_executor *executor, int64_t id, lt_task_end *end)
{
    *end = (lt_task_end){0};
    return executor->kind->poll(executor->self, id, end);
}

lt_status lt_executor_cancel(lt_executor *executor, int64_t id)
{
    return executor->kind->cancel(executor->self, id);
}

bool lt_executor_is_first_rank(void)
{
    static const char *const name[] = {"OMPI_COMM_WORLD_RANK", "PMI_RANK"};
    for (size_t i = 0; i < sizeof name / sizeof *name; i++) {
        const char *rank = getenv(name[i]);
        if (rank && strcmp(rank, "0") != 0)
            return false;
    }
    return true;
}
