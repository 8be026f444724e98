// comm.h - processes that work on one job together: their number, sums over them, and what one of them tells the
// others.
//
// Every rank makes the same calls in the same order; a call returns on a rank when its result is there. A communicator
// is used by one thread. Kinds: "mpi", for processes that mpirun or srun started, in a plug-in of its own
// (liblethe_mpi.so), so that a program without it needs no MPI; and threads of one process, for tests.
#ifndef LT_COMM_H
#define LT_COMM_H
#include "lethe/status.h"
LT_BEGIN

typedef struct lt_comm_ops {
    lt_status (*sum_f32)(void *self, float *x, int64_t n);
    lt_status (*sum_f64)(void *self, double *x, int64_t n);
    lt_status (*broadcast)(void *self, void *bytes, size_t n); // from rank 0
    void (*close)(void *self, int exit_code); // not 0: ends the other processes, because they may wait for this one
} lt_comm_ops;
typedef struct lt_comm {
    int rank, size; // 0 <= rank < size
    const lt_comm_ops *ops;
    void *self;
} lt_comm;

// "mpi". LT_E_USAGE for another name, LT_E_UNSUPPORTED where the plug-in or MPI is missing. Once a process.
LT_API lt_status lt_comm_open(const char *name, lt_comm **comm);
// exit_code: how the work of this rank ended. With anything but 0 and that of LT_E_INTERRUPTED (all ranks stop
// together) the processes of the other ranks are ended with it, so say first what went wrong. NULL is fine.
LT_API void lt_comm_close(lt_comm *comm, int exit_code);
// n communicators for n threads of this process; close each one. LT_E_NOMEM.
LT_API lt_status lt_comm_threads(int n, lt_comm **comm);

// x becomes the sum over all ranks, the same on each. comm NULL, or of one rank: nothing to do.
LT_API lt_status lt_comm_sum_f32(lt_comm *comm, float *x, int64_t n);
LT_API lt_status lt_comm_sum_f64(lt_comm *comm, double *x, int64_t n);
LT_API lt_status lt_comm_broadcast(lt_comm *comm, void *bytes, size_t n); // rank 0's bytes arrive everywhere

LT_END_DECLS
#endif
