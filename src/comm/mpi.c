// mpi.c - finds and loads the plug-in of MPI.
//
// The plug-in lies in the directory of the library (or program) that holds this code; LETHE_MPI_PLUGIN names another
// one. It stays loaded until the process ends.
#include "comm/comm_impl.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char file_name[] = "liblethe_mpi.so";

static lt_status check(int failed, const char *what)
{
    return failed ? LT_FAIL(LT_E_FAIL, "mpi: %s failed: another rank may have ended", what) : LT_OK;
}

static lt_status sum_f32(void *self, float *x, int64_t n)
{
    return check(((lti_mpi_api *)self)->sum_f32(x, n), "a sum over the ranks");
}

static lt_status sum_f64(void *self, double *x, int64_t n)
{
    return check(((lti_mpi_api *)self)->sum_f64(x, n), "a sum over the ranks");
}

static lt_status broadcast(void *self, void *bytes, size_t n)
{
    return check(((lti_mpi_api *)self)->broadcast(bytes, n), "a broadcast");
}

static void close_mpi(void *self, int exit_code)
{
    ((lti_mpi_api *)self)->close(exit_code);
    lti_free(self);
}

static const lt_comm_ops ops = {sum_f32, sum_f64, broadcast, close_mpi};

// The plug-in next to this code, or its bare name for the dynamic linker.
static void find_plugin(char *out, size_t size)
{
    Dl_info self;
    const char *named = getenv("LETHE_MPI_PLUGIN");
    snprintf(out, size, "%s", file_name);
    if (named && *named) {
        snprintf(out, size, "%s", named);
        return;
    }
    if (!dladdr((const void *)file_name, &self) || !self.dli_fname)
        return;
    const char *slash = strrchr(self.dli_fname, '/');
    const int n = snprintf(out, size, "%.*s/%s", slash ? (int)(slash - self.dli_fname) : 1,
                           slash ? self.dli_fname : ".", file_name);
    if (n < 0 || (size_t)n >= size || access(out, F_OK) != 0)
        snprintf(out, size, "%s", file_name);
}

lt_status lti_comm_load_mpi(lt_comm *comm)
{
    char path[4096];
    lti_mpi_entry *entry = NULL;
    find_plugin(path, sizeof path);
    void *library = dlopen(path, RTLD_NOW | RTLD_GLOBAL | RTLD_NODELETE);
    if (!library) {
        const char *why = dlerror();
        LT_FAIL(LT_E_UNSUPPORTED, "mpi: the plug-in cannot be loaded: %s", why ? why : path);
        return lt_error_hint(
            "build where Open MPI's headers are (libopenmpi-dev); `lethe doctor` says what this build has");
    }
    void *symbol = dlsym(library, LTI_MPI_ENTRY);
    memcpy(&entry, &symbol, sizeof entry); // ISO C has no cast from a data to a function pointer
    lti_mpi_api *api = lti_calloc(1, sizeof *api);
    if (!api)
        return LTI_NOMEM("communicator");
    const char *why = entry ? entry(api) : "it is no plug-in of lethe";
    if (!why && api->version != LTI_MPI_VERSION)
        why = "it is of another version than this lethe";
    if (why) {
        lti_free(api);
        return LT_FAIL(LT_E_UNSUPPORTED, "mpi: %s: %s", path, why);
    }
    *comm = (lt_comm){.rank = api->rank, .size = api->size, .ops = &ops, .self = api};
    return LT_OK;
}
