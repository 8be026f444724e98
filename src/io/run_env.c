// run_env.c - env.json: the machine, the build and the libraries a run used.
#include "io/run_impl.h"
#include "lti_revision.h"
#include <jansson.h>
#include <sched.h>
#include <sodium.h>
#include <sqlite3.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <yaml.h>
#include <zip.h>
#include <zlib.h>

enum { CPUINFO_MAX = 1 << 22 };

const char *lti_utc_now(char out[LTI_UTC_MAX])
{
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(out, LTI_UTC_MAX, "%Y-%m-%dT%H:%M:%SZ", &utc);
    return out;
}

static void add_pair(lti_buf *b, const char *key, const char *value)
{
    lti_buf_puts(b, b->n > 1 ? ",\n  " : "\n  ");
    lti_buf_json_string(b, key);
    lti_buf_puts(b, ": ");
    lti_buf_json_string(b, value);
}

// The value of the first line "key<blanks>: value" of /proc/cpuinfo, cut out in place; NULL when there is none.
static char *cpuinfo_line(char *text, const char *key)
{
    const size_t n = strlen(key);
    for (char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, key, n) != 0 || (line[n] != '\t' && line[n] != ' ' && line[n] != ':'))
            continue;
        char *value = line + strcspn(line, ":\n");
        if (*value != ':')
            continue;
        value += 1 + strspn(value + 1, " \t");
        value[strcspn(value, "\n")] = 0;
        return value;
    }
    return NULL;
}

// The flags that decide which kernels a library picks; the rest of the list is noise.
static void add_isa(lti_buf *b, const char *flags)
{
    static const char *const words[] = {"sse4_2",      "avx",         "avx2",     "fma",      "f16c",
                                        "avx512f",     "avx512bw",    "avx512vl", "avx512dq", "avx512_vnni",
                                        "avx512_bf16", "avx512_fp16", "amx_tile", "amx_bf16", "amx_int8",
                                        "avx_vnni",    "asimd",       "sve",      "bf16"};
    lti_buf found = {0};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        const size_t n = strlen(words[i]);
        for (const char *p = flags; (p = strstr(p, words[i])); p += n)
            if ((p == flags || p[-1] == ' ') && (p[n] == ' ' || p[n] == 0)) {
                lti_buf_printf(&found, "%s%s", found.n ? " " : "", words[i]);
                break;
            }
    }
    add_pair(b, "isa", found.data ? found.data : "");
    b->failed |= found.failed;
    lti_buf_clear(&found);
}

// cpuinfo_line ends the line it finds, which hides the rest of the text: so each key reads the file itself.
static char *cpuinfo(const char *key, char **text)
{
    size_t n;
    *text = NULL;
    const bool read = lt_read_file("/proc/cpuinfo", CPUINFO_MAX, text, &n) == LT_OK;
    if (!read)
        lt_error_clear(); // not Linux, or no /proc: unknown is an answer
    return read ? cpuinfo_line(*text, key) : NULL;
}

static void add_cpu(lti_buf *b)
{
    char *text;
    const char *value = cpuinfo("model name", &text);
    add_pair(b, "cpu", value ? value : "unknown");
    lti_free(text);
    value = cpuinfo("flags", &text);
    if (!value) {
        lti_free(text);
        value = cpuinfo("Features", &text); // ARM
    }
    add_isa(b, value ? value : "");
    lti_free(text);
}

static void add_number(lti_buf *b, const char *key, long value)
{
    lti_buf_printf(b, ",\n  \"%s\": %ld", key, value);
}

static long count_usable_cores(void)
{
    cpu_set_t set;
    return sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : sysconf(_SC_NPROCESSORS_ONLN);
}

static void add_machine(lti_buf *b, int n_threads)
{
    struct utsname os;
    add_cpu(b);
    add_number(b, "cores_online", sysconf(_SC_NPROCESSORS_ONLN));
    add_number(b, "cores_usable", count_usable_cores());
    add_number(b, "threads", n_threads > 0 ? n_threads : count_usable_cores());
    add_number(b, "memory_mib", (long)((double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE) / 0x1p20));
    if (uname(&os) == 0) {
        lti_buf_puts(b, ",\n  \"os\": ");
        char *text = lti_asprintf("%s %s %s", os.sysname, os.release, os.machine);
        if (text)
            lti_buf_json_string(b, text);
        else
            b->failed = true;
        lti_free(text);
    }
}

static void add_libraries(lti_buf *b)
{
    add_pair(b, "libsodium", sodium_version_string());
    add_pair(b, "jansson", jansson_version_str());
    add_pair(b, "libyaml", yaml_get_version_string());
    add_pair(b, "sqlite", sqlite3_libversion());
    add_pair(b, "libzip", zip_libzip_version());
    add_pair(b, "zlib", zlibVersion());
}

char *lti_run_env_json(const char *verb, const char *config_digest, const char *const *key_values, int n_threads)
{
    lti_buf b = {0};
    char utc[LTI_UTC_MAX];
    lti_buf_puts(&b, "{");
    add_pair(&b, "verb", verb);
    add_pair(&b, "config_digest", config_digest);
    add_pair(&b, "started", lti_utc_now(utc));
    add_pair(&b, "lethe", LT_VERSION);
    add_pair(&b, "revision", LTI_REVISION);
#ifdef __clang__
    add_pair(&b, "compiler", __VERSION__);
#else
    add_pair(&b, "compiler", "gcc " __VERSION__);
#endif
    add_machine(&b, n_threads);
    add_libraries(&b);
    for (; key_values && key_values[0] && key_values[1]; key_values += 2)
        add_pair(&b, key_values[0], key_values[1]);
    lti_buf_puts(&b, "\n}\n");
    return lti_buf_take(&b);
}
