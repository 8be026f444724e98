// clock.c - the monotonic clock all durations are measured with.
#include "base/base.h"
#include <time.h>

double lti_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
