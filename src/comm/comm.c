// comm.c - calls of any kind of communicator.
#include "comm/comm_impl.h"
#include <stdio.h>
#include <string.h>

static bool is_alone(const lt_comm *comm)
{
    return !comm || comm->size <= 1;
}

lt_status lt_comm_open(const char *name, lt_comm **comm)
{
    *comm = NULL;
    if (strcmp(name, "mpi") != 0)
        return LT_FAIL(LT_E_USAGE, "communicator '%s': expected mpi", name);
    lt_comm *c = lti_calloc(1, sizeof *c);
    if (!c)
        return LTI_NOMEM("communicator");
    const lt_status status = lti_comm_load_mpi(c);
    if (status != LT_OK) {
        lti_free(c);
        return status;
    }
    *comm = c;
    return LT_OK;
}

void lt_comm_close(lt_comm *comm, int exit_code)
{
    if (!comm)
        return;
    comm->ops->close(comm->self, exit_code == lt_status_exit_code(LT_E_INTERRUPTED) ? 0 : exit_code);
    lti_free(comm);
}

lt_status lt_comm_sum_f32(lt_comm *comm, float *x, int64_t n)
{
    return is_alone(comm) || n <= 0 ? LT_OK : comm->ops->sum_f32(comm->self, x, n);
}

lt_status lt_comm_sum_f64(lt_comm *comm, double *x, int64_t n)
{
    return is_alone(comm) || n <= 0 ? LT_OK : comm->ops->sum_f64(comm->self, x, n);
}

lt_status lt_comm_broadcast(lt_comm *comm, void *bytes, size_t n)
{
    return is_alone(comm) || n == 0 ? LT_OK : comm->ops->broadcast(comm->self, bytes, n);
}
