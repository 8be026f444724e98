// comm_impl.h - the plug-in of MPI as the library sees it.
#ifndef LTI_COMM_IMPL_H
#define LTI_COMM_IMPL_H
#include "base/base.h"
#include "lethe/comm.h"

#define LTI_MPI_ENTRY "lethe_mpi_open"
enum { LTI_MPI_VERSION = 1 };
// Fills rank, size, ops and self; 0, or a text that says what failed. The plug-in cannot record errors of the library,
// so its operations return 0 or 1 through these and the library makes the record.
typedef struct lti_mpi_api {
    int version, rank, size;
    int (*sum_f32)(float *x, long long n);
    int (*sum_f64)(double *x, long long n);
    int (*broadcast)(void *bytes, size_t n);
    void (*close)(int exit_code);
} lti_mpi_api;
typedef const char *lti_mpi_entry(lti_mpi_api *api);

lt_status lti_comm_load_mpi(lt_comm *comm);
#endif
