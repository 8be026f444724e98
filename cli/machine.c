// machine.c - facts about this machine, read from /proc, /sys and the CPU; and how its waiting threads behave.
#include "cli.h"
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

double cli_now_s(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

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
#define CLI_ISA(feature, name)                                                                                         \
    if (__builtin_cpu_supports(feature))                                                                               \
        n += (size_t)snprintf(out + n, 128 - n, "%s%s", n ? " " : "", name);
    CLI_ISA("sse4.2", "SSE4.2")
    CLI_ISA("avx2", "AVX2")
    CLI_ISA("fma", "FMA")
    CLI_ISA("avx512f", "AVX-512F")
    CLI_ISA("avx512bw", "AVX-512BW")
    CLI_ISA("avx512vnni", "AVX-512VNNI")
    CLI_ISA("avx512bf16", "AVX-512BF16")
#undef CLI_ISA
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

void cli_machine_read(cli_machine *m)
{
    *m = (cli_machine){0};
    read_cpu_name(m->cpu);
    read_isa(m->isa);
    long online = sysconf(_SC_NPROCESSORS_ONLN);
    m->n_cpus = m->n_usable = online > 0 ? (int)online : 1;
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) == 0 && CPU_COUNT(&set) > 0)
        m->n_usable = CPU_COUNT(&set);
    int quota = cgroup_cpus();
    if (quota > 0 && quota < m->n_usable)
        m->n_usable = quota;
    m->memory_gib = proc_number("/proc/meminfo", "MemTotal") / (1024.0 * 1024.0);
    m->available_gib = proc_number("/proc/meminfo", "MemAvailable") / (1024.0 * 1024.0);
}

double cli_peak_rss_mib(void)
{
    double kib = proc_number("/proc/self/status", "VmHWM");
    if (kib <= 0) {
        struct rusage usage;
        getrusage(RUSAGE_SELF, &usage);
        kib = (double)usage.ru_maxrss;
    }
    return kib / 1024.0;
}

void cli_peak_rss_reset(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f)
        return;
    fputs("5", f); // resets VmHWM; where refused, the peak is that of the whole process
    fclose(f);
}

// GNU OpenMP lets threads that wait at a barrier spin for milliseconds. On a machine that others use too, a spinning
// thread holds the core that the awaited one needs: ResNet-18 of width 16 measured 21 images/s on two cores under load
// with the default and 242 with a spin of 1000. Without load that sleeps between kernels and loses 2 to 4 %; with 5000,
// about a tenth of a millisecond, neither shows. The library reads the setting once, when it is loaded, so the command
// sets it and starts itself again. A setting of the user's stays.
void cli_calm_openmp(char **argv)
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
