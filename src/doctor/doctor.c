// doctor.c - what this machine and this build can do.
//
// LT_DOCTOR_LIBRARIES ("name version,name version,..."), LT_DOCTOR_CUDA and LT_DOCTOR_MPI come from the build.
#include "lethe/doctor.h"
#include "base/json_write.h"
#include "lethe/plan.h"
#include "lethe/serve.h"
#include <curl/curl.h>
#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

static const char *keep_text(lt_doctor *d, const char *text)
{
    return lti_arena_strdup(d->own, text);
}

// Opens each, to see whether it works.
static lt_status add_backends(lt_doctor *d, const char *const *names)
{
    for (; *names && d->n_backends < LT_DOCTOR_MAX_BACKENDS; names++) {
        lt_doctor_backend *b = &d->backend[d->n_backends++];
        lt_backend *opened = NULL;
        b->name = *names;
        b->works = lt_backend_create(*names, 1, &opened) == LT_OK;
        b->version = keep_text(d, b->works ? lt_backend_version(opened) : lt_error_get()->message);
        lt_backend_destroy(opened);
        lt_error_clear();
        if (!b->version)
            return LTI_NOMEM("doctor");
    }
    return LT_OK;
}

static bool has_backend(const lt_doctor *d, const char *name, bool must_work)
{
    for (int i = 0; i < d->n_backends; i++)
        if (!strcmp(d->backend[i].name, name))
            return d->backend[i].works || !must_work;
    return false;
}

static lt_status add_library(lt_doctor *d, const char *name, const char *version)
{
    if (d->n_libraries == LT_DOCTOR_MAX_LIBRARIES)
        return LT_OK;
    lt_doctor_library *l = &d->library[d->n_libraries++];
    l->name = keep_text(d, name);
    l->version = keep_text(d, version);
    return l->name && l->version ? LT_OK : LTI_NOMEM("doctor");
}

static lt_status add_libraries(lt_doctor *d)
{
    char name[64], version[64];
    for (const char *p = LT_DOCTOR_LIBRARIES; *p;) {
        const size_t n = strcspn(p, ","), n_name = strcspn(p, " ,");
        lti_format(name, sizeof name, "%.*s", (int)n_name, p);
        lti_format(version, sizeof version, "%.*s", (int)(n > n_name ? n - n_name - 1 : 0), p + n_name + 1);
        LT_TRY(add_library(d, name, version));
        p += n + (p[n] == ',');
    }
    LT_TRY(add_library(d, "jansson", jansson_version_str()));
    return add_library(d, "libcurl", curl_version_info(CURLVERSION_NOW)->version);
}

// Is this program on the PATH, and does `program option argument` succeed? Output is dropped.
static bool program_works(const char *program, const char *option, const char *argument)
{
    const pid_t child = fork();
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

static void add_part(lt_doctor *d, const char *name, bool present, const char *note)
{
    if (d->n_parts < LT_DOCTOR_MAX_PARTS)
        d->part[d->n_parts++] = (lt_doctor_part){name, present, note};
}

static bool is_built(const char *state)
{
    return !strncmp(state, "plug-in built", 13);
}

static void add_parts(lt_doctor *d)
{
    static const char probe[] = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)";
    const bool onednn = has_backend(d, "onednn", false), cuda = has_backend(d, "cuda", true);
    const bool mpirun = program_works("mpirun", "--version", NULL), slurm = program_works("sbatch", "--version", NULL);
    const bool torch = program_works("python3", "-c", probe);
    add_part(d, "oneDNN", onednn,
             onednn ? "fast CPU kernels"
                    : "not built in: only the slow reference kernels; install libdnnl-dev and build again");
    add_part(d, "CUDA", cuda,
             cuda || !is_built(LT_DOCTOR_CUDA) ? LT_DOCTOR_CUDA
                                               : LT_DOCTOR_CUDA "; no GPU can be used, see backend cuda");
    add_part(d, "dashboard", lt_server_is_available(), lt_server_library());
    add_part(d, "mpirun", mpirun,
             mpirun ? "lethe sweep --executor mpirun runs a study on several hosts"
                    : "for lethe sweep --executor mpirun: apt-get install openmpi-bin");
    add_part(d, "Slurm", slurm,
             slurm ? "lethe sweep --executor slurm writes a script for sbatch" : "no sbatch on this machine");
    add_part(d, "MPI", is_built(LT_DOCTOR_MPI), LT_DOCTOR_MPI);
    add_part(d, "PyTorch", torch,
             torch ? "interoperability tests and bench/vs_pytorch can run" : "interoperability tests are skipped");
}

static bool is_writable(const char *dir)
{
    char *path = lti_asprintf("%s/.lethe-doctor-XXXXXX", dir);
    const int fd = path && lt_make_dirs(dir) == LT_OK ? mkstemp(path) : -1;
    if (fd >= 0) {
        close(fd);
        unlink(path);
    }
    lt_error_clear();
    lti_free(path);
    return fd >= 0;
}

// What lies under the data directory; whether it is sound, `lethe data verify` says.
static lt_status list_data(lt_doctor *d)
{
    struct stat st;
    d->has_data_dir = stat(d->data_dir, &st) == 0 && S_ISDIR(st.st_mode);
    DIR *dir = d->has_data_dir ? opendir(d->data_dir) : NULL;
    lt_status status = LT_OK;
    for (struct dirent *e; status == LT_OK && dir && (e = readdir(dir)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        const char **longer = lti_realloc(d->data, (size_t)(d->n_data + 1) * sizeof *longer);
        if (longer)
            d->data = longer;
        const char *name = longer ? keep_text(d, e->d_name) : NULL;
        if (name)
            d->data[d->n_data++] = name;
        else
            status = LTI_NOMEM("doctor");
    }
    if (dir)
        closedir(dir);
    return status;
}

lt_status lt_doctor_examine(lt_doctor *d)
{
    *d = (lt_doctor){.own = lti_calloc(1, sizeof(lti_arena))};
    if (!d->own)
        return LTI_NOMEM("doctor");
    lt_machine_read(&d->machine);
    LT_TRY(lt_cache_dir(d->cache_dir));
    LT_TRY(lt_data_dir(d->data_dir));
    LT_TRY(add_backends(d, lt_backend_names()));
    LT_TRY(add_backends(d, lt_device_names()));
    LT_TRY(add_libraries(d));
    add_parts(d);
    LT_TRY(list_data(d));
    d->is_cache_writable = is_writable(d->cache_dir);
    return LT_OK;
}

void lt_doctor_clear(lt_doctor *d)
{
    if (d->own)
        lti_arena_clear(d->own);
    lti_free(d->own);
    lti_free(d->data);
    *d = (lt_doctor){0};
}

static void write_machine(const lt_machine *m, lti_json *j)
{
    lti_json_begin(j, "machine", '{');
    lti_json_text(j, "cpu", m->cpu);
    lti_json_text(j, "isa", m->isa);
    lti_json_int(j, "cores", m->n_cores);
    lti_json_int(j, "cores_usable", m->n_usable);
    lti_json_real(j, "memory_gib", (double)m->memory_bytes / 0x1p30);
    lti_json_real(j, "memory_available_gib", (double)m->available_bytes / 0x1p30);
    lti_json_end(j, '}');
}

static void write_lists(const lt_doctor *d, lti_json *j)
{
    lti_json_begin(j, "backends", '[');
    for (int i = 0; i < d->n_backends; i++) {
        lti_json_begin(j, NULL, '{');
        lti_json_text(j, "name", d->backend[i].name);
        lti_json_bool(j, "works", d->backend[i].works);
        lti_json_text(j, "version", d->backend[i].version);
        lti_json_end(j, '}');
    }
    lti_json_end(j, ']');
    lti_json_begin(j, "libraries", '{');
    for (int i = 0; i < d->n_libraries; i++)
        lti_json_text(j, d->library[i].name, d->library[i].version);
    lti_json_end(j, '}');
    lti_json_begin(j, "optional", '[');
    for (int i = 0; i < d->n_parts; i++) {
        lti_json_begin(j, NULL, '{');
        lti_json_text(j, "name", d->part[i].name);
        lti_json_bool(j, "present", d->part[i].present);
        lti_json_text(j, "note", d->part[i].note);
        lti_json_end(j, '}');
    }
    lti_json_end(j, ']');
}

char *lt_doctor_json(const lt_doctor *d)
{
    lti_json j = {0};
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "lethe", LT_VERSION);
    write_machine(&d->machine, &j);
    write_lists(d, &j);
    lti_json_begin(&j, "data", '{');
    lti_json_text(&j, "path", d->data_dir);
    lti_json_bool(&j, "ok", d->has_data_dir);
    lti_json_begin(&j, "entries", '[');
    for (int i = 0; i < d->n_data; i++)
        lti_json_text(&j, NULL, d->data[i]);
    lti_json_end(&j, ']');
    lti_json_end(&j, '}');
    lti_json_begin(&j, "cache", '{');
    lti_json_text(&j, "path", d->cache_dir);
    lti_json_bool(&j, "ok", d->is_cache_writable);
    lti_json_end(&j, '}');
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}
