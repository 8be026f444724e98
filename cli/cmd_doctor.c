// cmd_doctor.c - `lethe doctor`: what this machine and this build can do, and what is missing.
#include "cli.h"
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const cli_group groups[] = {{NULL, NULL, NULL, 0, 0}};

static json_t *machine_json(void)
{
    lt_machine m;
    json_t *j = json_object();
    lt_machine_read(&m);
    cli_put(j, "cpu", json_string(m.cpu));
    cli_put(j, "isa", json_string(m.isa));
    cli_put(j, "cores", json_integer(m.n_cores));
    cli_put(j, "cores_usable", json_integer(m.n_usable));
    cli_put_real(j, "memory_gib", (double)m.memory_bytes / 0x1p30);
    cli_put_real(j, "memory_available_gib", (double)m.available_bytes / 0x1p30);
    return j;
}

// Opens each, to see whether it works; what is wrong with it stands in place of a version.
static void add_backends(json_t *list, const char *const *names)
{
    for (const char *const *name = names; *name; name++) {
        json_t *one = json_object();
        lt_backend *b = NULL;
        cli_put(one, "name", json_string(*name));
        if (lt_backend_create(*name, 1, &b) == LT_OK) {
            cli_put(one, "works", json_true());
            cli_put(one, "version", json_string(lt_backend_version(b)));
        } else {
            cli_put(one, "works", json_false());
            cli_put_text(one, "version", lt_error_get()->message);
            lt_error_clear();
        }
        lt_backend_destroy(b);
        json_array_append_new(list, one);
    }
}

static json_t *backends_json(void)
{
    json_t *list = json_array();
    add_backends(list, lt_backend_names());
    add_backends(list, lt_device_names());
    return list;
}

static bool device_works(const json_t *backends, const char *device)
{
    size_t i;
    json_t *one;
    json_array_foreach(backends, i, one) if (!strcmp(cli_text(one, "name"), device)) return json_is_true(
        json_object_get(one, "works"));
    return false;
}

// "name version,name version,..." from the build.
static json_t *libraries_json(void)
{
    json_t *j = json_object();
    const char *p = CLI_LIBRARIES;
    while (*p) {
        size_t n = strcspn(p, ","), name = strcspn(p, " ");
        char *key = cli_format("%.*s", (int)name, p);
        char *value = cli_format("%.*s", (int)(n > name ? n - name - 1 : 0), p + name + 1);
        cli_put(j, key, json_string(value));
        free(key);
        free(value);
        p += n + (p[n] == ',');
    }
    cli_put(j, "jansson", json_string(jansson_version_str()));
    cli_put(j, "libcurl", json_string(curl_version_info(CURLVERSION_NOW)->version));
    return j;
}

// Is this program on the PATH, and does `program args` succeed? Output is dropped.
static bool program_works(const char *program, const char *option, const char *argument)
{
    pid_t child = fork();
    int status = 0;
    if (child == 0) {
        if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
            _exit(127);
        execlp(program, program, option, argument, (char *)NULL);
        _exit(127);
    }
    if (child < 0)
        return false;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void put_part(json_t *list, const char *name, bool present, const char *note)
{
    json_t *one = json_object();
    cli_put(one, "name", json_string(name));
    cli_put(one, "present", json_boolean(present));
    cli_put(one, "note", json_string(note));
    json_array_append_new(list, one);
}

static json_t *parts_json(const json_t *backends)
{
    static const char probe[] = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)";
    json_t *list = json_array();
    bool onednn = false;
    for (const char *const *name = lt_backend_names(); *name; name++)
        onednn |= !strcmp(*name, "onednn");
    put_part(list, "oneDNN", onednn,
             onednn ? "fast CPU kernels"
                    : "not built in: only the slow reference kernels; install libdnnl-dev and build again");
    const bool cuda = device_works(backends, "cuda"), built = strncmp(CLI_CUDA, "plug-in built", 13) == 0;
    put_part(list, "CUDA", cuda, cuda || !built ? CLI_CUDA : CLI_CUDA "; no GPU can be used, see backend cuda");
    put_part(list, "dashboard", lt_server_is_available(), lt_server_library());
    const bool mpirun = program_works("mpirun", "--version", NULL), slurm = program_works("sbatch", "--version", NULL);
    put_part(list, "mpirun", mpirun,
             mpirun ? "lethe sweep --executor mpirun runs a study on several hosts"
                    : "for lethe sweep --executor mpirun: apt-get install openmpi-bin");
    put_part(list, "Slurm", slurm,
             slurm ? "lethe sweep --executor slurm writes a script for sbatch" : "no sbatch on this machine");
    put_part(list, "MPI", strncmp(CLI_MPI, "plug-in built", 13) == 0, CLI_MPI);
    bool torch = program_works("python3", "-c", probe);
    put_part(list, "PyTorch", torch,
             torch ? "interoperability tests and bench/vs_pytorch can run" : "interoperability tests are skipped");
    return list;
}

static bool writable(const char *dir)
{
    char *path = cli_format("%s/.lethe-doctor-XXXXXX", dir);
    bool ok = lt_make_dirs(dir) == LT_OK;
    int fd = ok ? mkstemp(path) : -1;
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    lt_error_clear();
    free(path);
    return fd >= 0;
}

static json_t *directory_json(const char *path, bool ok)
{
    json_t *j = json_object();
    cli_put_text(j, "path", path);
    cli_put(j, "ok", json_boolean(ok));
    return j;
}

// What lies under the data directory; whether it is sound says `lethe data verify`.
static json_t *data_json(void)
{
    char dir[4096];
    json_t *j = json_object(), *found = json_array();
    struct stat st;
    bool ok = cli_data_dir(dir) == LT_OK && stat(dir, &st) == 0 && S_ISDIR(st.st_mode);
    DIR *d = ok ? opendir(dir) : NULL;
    for (struct dirent *e; d && (e = readdir(d)) != NULL;)
        if (e->d_name[0] != '.')
            json_array_append_new(found, json_string(e->d_name));
    if (d)
        closedir(d);
    cli_put_text(j, "path", dir);
    cli_put(j, "ok", json_boolean(ok));
    cli_put(j, "entries", found);
    return j;
}

static lt_status run(cli_call *call)
{
    char cache[4096];
    LT_TRY(cli_positional(call, NULL, 0, 0));
    LT_TRY(cli_cache_dir(cache));
    json_t *r = json_object();
    cli_put(r, "lethe", json_string(LT_VERSION));
    cli_put(r, "machine", machine_json());
    cli_put(r, "backends", backends_json());
    cli_put(r, "libraries", libraries_json());
    cli_put(r, "optional", parts_json(json_object_get(r, "backends")));
    cli_put(r, "data", data_json());
    cli_put(r, "cache", directory_json(cache, writable(cache)));
    call->result = r;
    return LT_OK;
}

static void print(const cli_call *call, FILE *out)
{
    const json_t *r = call->result, *one;
    const char *key;
    json_t *value;
    size_t i;
    fprintf(out, "lethe      %s\n", cli_text(r, "lethe"));
    fprintf(out, "machine    %s, %.0f of %.0f cores usable, %.1f of %.1f GiB memory free\n", cli_text(r, "machine.cpu"),
            cli_real(r, "machine.cores_usable"), cli_real(r, "machine.cores"),
            cli_real(r, "machine.memory_available_gib"), cli_real(r, "machine.memory_gib"));
    fprintf(out, "           %s\n", cli_text(r, "machine.isa"));
    json_array_foreach(json_object_get(r, "backends"), i, one)
        fprintf(out, "backend    %-8s %s%s\n", cli_text(one, "name"),
                json_is_true(json_object_get(one, "works")) ? "" : "does not work: ", cli_text(one, "version"));
    json_array_foreach(json_object_get(r, "optional"), i, one)
        fprintf(out, "optional   %-8s %s: %s\n", cli_text(one, "name"),
                json_is_true(json_object_get(one, "present")) ? "present" : "absent", cli_text(one, "note"));
    fputs("libraries ", out);
    json_object_foreach(json_object_get(r, "libraries"), key, value)
        fprintf(out, " %s %s", key, json_string_value(value));
    bool data = json_is_true(json_object_get(json_object_get(r, "data"), "ok"));
    fprintf(out, "\ndata       %s%s", cli_text(r, "data.path"),
            data ? ":" : ": not there; `lethe data get cifar10` makes it, or set LETHE_DATA");
    json_array_foreach(json_object_get(json_object_get(r, "data"), "entries"), i, one)
        fprintf(out, " %s", json_string_value(one));
    fprintf(out, "\ncache      %s: %s\n", cli_text(r, "cache.path"),
            json_is_true(json_object_get(json_object_get(r, "cache"), "ok"))
                ? "writable"
                : "not writable; set LETHE_HOME to a directory that is");
}

const cli_verb cli_verb_doctor = {
    .name = "doctor",
    .usage = "",
    .about = "Shows the CPU, the compute backends and libraries of this build, optional parts that are present or "
             "absent, data sets\n"
             "found, and whether the cache can be written.",
    .examples = "  lethe doctor\n",
    .groups = groups,
    .run = run,
    .print = print,
};
