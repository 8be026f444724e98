// machine.c - the clock, and how the waiting threads of OpenMP behave.
#include "cli.h"
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

double cli_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// GNU OpenMP lets threads that wait at a barrier spin for milliseconds. On a machine that others use too, a spinning
// thread holds the core that the awaited one needs: ResNet-18 of width 16 measured 21 images/s on two cores under load
// with the default and 242 with a spin of 1000. Without load that sleeps between kernels and loses 2 to 4 %; with 5000,
// about a tenth of a millisecond, neither shows. The library reads the setting once, when it is loaded, so the command
// sets it and starts itself again. A setting of the user's stays.
void cli_limit_omp_spinning(char **argv)
{
    char self[4096];
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (n <= 0)
        return;
    self[n] = '\0';
    if (setenv("GOMP_SPINCOUNT", "5000", 1) == 0)
        execv(self, argv); // returns only when it fails; then the default has to do
}
