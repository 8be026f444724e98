// mpi_plugin.c - the only code that knows MPI: liblethe_mpi.so.
//
// Sums go in blocks of a fixed size in a fixed order, so that they depend on the number of ranks only.
#include "comm/comm_impl.h"
#include <mpi.h>

enum { BLOCK = 1 << 22 };

static int sum_f32(float *x, long long n)
{
    for (long long at = 0; at < n; at += BLOCK)
        if (MPI_Allreduce(MPI_IN_PLACE, x + at, (int)(n - at < BLOCK ? n - at : BLOCK), MPI_FLOAT, MPI_SUM,
                          MPI_COMM_WORLD) != MPI_SUCCESS)
            return 1;
    return 0;
}

static int sum_f64(double *x, long long n)
{
    for (long long at = 0; at < n; at += BLOCK)
        if (MPI_Allreduce(MPI_IN_PLACE, x + at, (int)(n - at < BLOCK ? n - at : BLOCK), MPI_DOUBLE, MPI_SUM,
                          MPI_COMM_WORLD) != MPI_SUCCESS)
            return 1;
    return 0;
}

static int broadcast(void *bytes, size_t n)
{
    for (size_t at = 0; at < n; at += BLOCK)
        if (MPI_Bcast((char *)bytes + at, (int)(n - at < BLOCK ? n - at : BLOCK), MPI_BYTE, 0, MPI_COMM_WORLD) !=
            MPI_SUCCESS)
            return 1;
    return 0;
}

static void close_mpi(int exit_code)
{
    if (exit_code)
        MPI_Abort(MPI_COMM_WORLD, exit_code);
    MPI_Finalize();
}

__attribute__((visibility("default"))) const char *lethe_mpi_open(lti_mpi_api *api);
const char *lethe_mpi_open(lti_mpi_api *api)
{
    int is_initialized = 0, provided = 0;
    if (MPI_Initialized(&is_initialized) != MPI_SUCCESS || is_initialized)
        return "MPI is in use by this process already";
    if (MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided) != MPI_SUCCESS)
        return "MPI cannot be started";
    *api = (lti_mpi_api){
        .version = LTI_MPI_VERSION, .sum_f32 = sum_f32, .sum_f64 = sum_f64, .broadcast = broadcast, .close = close_mpi};
    MPI_Comm_rank(MPI_COMM_WORLD, &api->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &api->size);
    return NULL;
}
