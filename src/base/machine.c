// machine.c - facts about this machine, read from /proc, /sys and the CPU.
#include "lethe/machine.h"
#include "base/base.h"
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

// Number after "key" at a line start of a /proc file, or 0.
static double proc_number(const char *path, const char *key)
{
    char line[512];
    double value = 0;
    FILE *f = fopen(path, "r");
    if (!f)
        return 0;
    while (fgets(line, sizeof line, f))
        if (!strncmp(line, key, strlen(key))) {
            value = strtod(line + strlen(key) + strspn(line + strlen(key), ": \t"), NULL);
            break;
        }
    fclose(f);
    return value;
}

static void read_cpu_name(char out[128])
{
    char line[512];
    snprintf(out, 128, "unknown");
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f)
        return;
    while (fgets(line, sizeof line, f)) {
        char *value = strchr(line, ':');
        if (value && !strncmp(line, "model name", 10)) {
            value += 1 + strspn(value + 1, " \t");
            value[strcspn(value, "\n")] = '\0';
            snprintf(out, 128, "%.127s", value);
            break;
        }
    }
    fclose(f);
}

static void read_isa(char out[128])
{
    out[0] = '\0';
#if defined(__x86_64__)
    size_t n = 0;
#define LT_ISA(feature, name)                                                                                          \
    if (__builtin_cpu_supports(feature))                                                                               \
        n += (size_t)snprintf(out + n, 128 - n, "%s%s", n ? " " : "", name);
    LT_ISA("sse4.2", "SSE4.2")
    LT_ISA("avx2", "AVX2")
    LT_ISA("fma", "FMA")
    LT_ISA("avx512f", "AVX-512F")
    LT_ISA("avx512bw", "AVX-512BW")
    LT_ISA("avx512vnni", "AVX-512VNNI")
    LT_ISA("avx512bf16", "AVX-512BF16")
#undef LT_ISA
#elif defined(__aarch64__)
    snprintf(out, 128, "AArch64 NEON");
#endif
}

// CPUs a cgroup quota leaves to this process, or 0 without one.
static int cgroup_cpus(void)
{
    char line[128];
    FILE *f = fopen("/sys/fs/cgroup/cpu.max", "r");
    if (!f)
        return 0;
    bool ok = fgets(line, sizeof line, f) != NULL;
    fclose(f);
    char *end;
    if (!ok)
        return 0;
    double quota = strtod(line, &end);
    if (end == line)
        return 0; // "max"
    double period = strtod(end, NULL);
    int n = period > 0 ? (int)(quota / period + 0.999) : 0;
    return n;
}

static double number_in(const char *path, double otherwise)
{
    double value = otherwise;
    FILE *f = fopen(path, "r");
    if (!f)
        return otherwise;
    if (fscanf(f, "%lf", &value) != 1) // "max"
        value = otherwise;
    fclose(f);
    return value;
}

// What the control group of this process leaves to it; files that are only cached make room. Infinite without a limit.
static double cgroup_left(void)
{
    const double none = (double)INFINITY;
    const double limit = number_in("/sys/fs/cgroup/memory.max", none);
    if (limit < none)
        return limit - number_in("/sys/fs/cgroup/memory.current", 0) +
               proc_number("/sys/fs/cgroup/memory.stat", "inactive_file");
    return number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", none) - // version 1
           number_in("/sys/fs/cgroup/memory/memory.usage_in_bytes", 0) +
           proc_number("/sys/fs/cgroup/memory/memory.stat", "total_inactive_file");
}

static double available_bytes(void) // 0 = not known
{
    const double system = proc_number("/proc/meminfo", "MemAvailable") * 1024.0, group = cgroup_left();
    return group < system ? (group > 1 ? group : 1) : system;
}

lt_status lti_memory_check(double bytes, const char *what)
{
    static const double small = 128 << 20, gib = 1 << 30; // what is small is not worth asking for
    const double left = bytes > small ? available_bytes() : 0;
    if (left <= 0 || bytes <= left)
        return LT_OK;
    (void)LT_FAIL(LT_E_NOMEM, "out of memory: %s needs %.1f GiB, but only %.1f GiB are available", what, bytes / gib,
                  left / gib);
    return lt_error_hint("take a smaller batch, or a narrower model (width=...)");
}

static int online_cores(void)
{
    const long online = sysconf(_SC_NPROCESSORS_ONLN);
    return online > 0 ? (int)online : 1;
}

int lt_usable_cores(void)
{
    cpu_set_t set;
    int n = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    n = n > 0 ? n : online_cores();
    const int quota = cgroup_cpus();
    return quota > 0 && quota < n ? quota : n;
}

void lt_machine_read(lt_machine *m)
{
    enum { KIB = 1024 };
    *m = (lt_machine){.n_cores = online_cores(), .n_usable = lt_usable_cores()};
    read_cpu_name(m->cpu);
    read_isa(m->isa);
    m->memory_bytes = (int64_t)proc_number("/proc/meminfo", "MemTotal") * KIB;
    m->available_bytes = (int64_t)available_bytes();
}

int64_t lt_peak_rss_bytes(void)
{
    enum { KIB = 1024 };
    int64_t kib = (int64_t)proc_number("/proc/self/status", "VmHWM");
    if (kib <= 0) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        kib = (int64_t)usage.ru_maxrss;
    }
    return kib * KIB;
}

void lt_peak_rss_reset(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f)
        return;
    fputs("5", f); // resets VmHWM; where refused, the peak is that of the whole process
    fclose(f);
}
