// fuzz_nir.c - arbitrary bytes as a NIR file (HDF5) for a small spiking network: an error, or a model of finite size.
#include "lethe/spike.h"
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    static int fd = -1;
    char path[64];
    lt_model *model = NULL;
    if (fd < 0)
        fd = memfd_create("nir", 0);
    if (fd < 0 || ftruncate(fd, 0) != 0 || pwrite(fd, bytes, n, 0) != (ssize_t)n)
        return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (lt_nir_import(path, "spiking-vgg:steps=2,width=2,depth=4,norm=none,pool=average,dropout=0",
                      (lt_model_shape){2, 8, 8, 3}, &model) == LT_OK) {
        if (!model || model->n_params <= 0)
            abort();
        lt_model_destroy(model);
    }
    return 0;
}
