// load.c - finds and loads the plug-in, and reports in one line what is missing.
//
// The plug-in is in the directory of the library (or program) that holds this code; LETHE_CUDA_PLUGIN names another
// one. It stays loaded until the process ends: CUDA does not survive being unloaded.
#include "backend/cuda/cuda.h"
#include "base/base.h"
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char file_name[] = "liblethe_cuda.so";

static void path_beside(char *out, size_t out_size)
{
    Dl_info self;
    out[0] = 0;
    if (!dladdr((const void *)file_name, &self) || !self.dli_fname)
        return;
    const char *slash = strrchr(self.dli_fname, '/');
    const int dir = slash ? (int)(slash - self.dli_fname) : 0;
    const int n = slash ? snprintf(out, out_size, "%.*s/%s", dir, self.dli_fname, file_name)
                        : snprintf(out, out_size, "./%s", file_name);
    if (n < 0 || (size_t)n >= out_size)
        out[0] = 0;
}

static lt_status missing(const char *where)
{
    LT_FAIL(LT_E_UNSUPPORTED, "cuda: this build has no CUDA plug-in (%s is missing)", where);
    return lt_error_hint(
        "build with -DLETHE_CUDA=ON where the CUDA toolkit and cuDNN are, or compute on the CPU: leave "
        "--device out");
}

static lt_status entry_of(void *library, const char *path, const ltc_api **api)
{
    ltc_entry *entry = NULL;
    void *symbol = dlsym(library, LTC_ENTRY);
    memcpy(&entry, &symbol, sizeof entry); // ISO C has no cast from a data to a function pointer
    if (!entry)
        return LT_FAIL(LT_E_UNSUPPORTED, "cuda: %s is not a plug-in of lethe: it has no %s", path, LTC_ENTRY);
    *api = entry();
    if ((*api)->version != LTC_VERSION)
        return LT_FAIL(LT_E_UNSUPPORTED, "cuda: the plug-in %s is of version %d, this lethe needs %d", path,
                       (*api)->version, LTC_VERSION);
    return LT_OK;
}

lt_status lti_cuda_load(const ltc_api **api)
{
    char sibling[4096];
    const char *path = getenv("LETHE_CUDA_PLUGIN");
    path_beside(sibling, sizeof sibling);
    if (!path || !*path)
        path = sibling[0] && access(sibling, F_OK) == 0 ? sibling : file_name;
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE);
    if (library)
        return entry_of(library, path, api);
    const char *why = dlerror();
    if (path == file_name || access(path, F_OK) != 0)
        return missing(path == file_name && sibling[0] ? sibling : path);
    LT_FAIL(LT_E_UNSUPPORTED, "cuda: the plug-in cannot be loaded: %s", why ? why : path);
    return lt_error_hint("CUDA 13, cuDNN 9 and cuBLASLt must be where the dynamic linker finds them (LD_LIBRARY_PATH)");
}
