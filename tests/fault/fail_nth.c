// fail_nth.c - a library for LD_PRELOAD that makes one call of the process it is loaded into fail: the n-th allocation,
// or the n-th operation that writes to a file system. tests/fault/fault.py drives it.
//
//   LETHE_FAULT_FILE   64 bytes that all processes of a command share: counters, and what failed (struct shared)
//   LETHE_FAULT        KIND:N:HOW. KIND alloc: HOW is once. KIND own: the library's own hook (lti_alloc_fail_at), for
//   builds
//                      with a sanitizer, which have their own allocator. KIND write: HOW is ENOSPC or EIO (once), or
//                      full: a write stores half of its bytes, and everything after it fails with ENOSPC.
// Without LETHE_FAULT calls are only counted.
//
// Not counted: allocations that are asked for from inside libgomp, oneDNN, the C++ library and libsvm. libgomp ends the
// process when it gets no memory; oneDNN and libsvm are C++ that throws through frames that cannot pass it on, or that
// does not look. None of them offers its caller a way to hear of it. Writes to standard output and error are no files.
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

struct shared { // fault.py reads it with struct.unpack("qqq40s")
    _Atomic int64_t n_allocations, n_writes, n_failed;
    char what[40]; // the first call that failed
};

static struct shared *shared;
static int64_t fail_allocation, fail_write; // number of the call that fails; 0 = none
static int write_errno;
static bool stays_full;
static struct {
    uintptr_t from, to;
} excluded[64];
static int n_excluded;

static int exclude_library(struct dl_phdr_info *info, size_t size, void *context)
{
    static const char *const names[] = {"libgomp", "libdnnl",   "libstdc++", "libgcc_s",
                                        "libsvm",  "libOpenCL", "ld-linux"};
    (void)size;
    (void)context;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strstr(info->dlpi_name, names[i]))
            for (int k = 0; k < info->dlpi_phnum && n_excluded < 64; k++)
                if (info->dlpi_phdr[k].p_type == PT_LOAD && (info->dlpi_phdr[k].p_flags & PF_X)) {
                    excluded[n_excluded].from = info->dlpi_addr + info->dlpi_phdr[k].p_vaddr;
                    excluded[n_excluded].to = excluded[n_excluded].from + info->dlpi_phdr[k].p_memsz;
                    n_excluded++;
                }
    return 0;
}

// The library's hook, if this process has the library.
static void use_own_hook(int64_t n)
{
    union { // ISO C has no conversion from void * to a function
        void *symbol;
        void (*call)(int64_t);
    } hook = {dlsym(RTLD_DEFAULT, "lti_alloc_fail_at")};
    if (hook.symbol)
        hook.call(n);
}

__attribute__((constructor)) static void start_counting(void)
{
    const char *path = getenv("LETHE_FAULT_FILE"), *fault = getenv("LETHE_FAULT");
    char kind[8] = "", how[8] = "";
    long long n = 0;
    const int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    void *place = fd >= 0 ? mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) : MAP_FAILED;
    if (fd >= 0)
        close(fd);
    if (place == MAP_FAILED)
        return;
    dl_iterate_phdr(exclude_library, NULL);
    if (fault && sscanf(fault, "%7[a-z]:%lld:%7s", kind, &n, how) == 3) {
        fail_allocation = !strcmp(kind, "alloc") ? n : 0;
        fail_write = !strcmp(kind, "write") ? n : 0;
        stays_full = !strcmp(how, "full");
        write_errno = !strcmp(how, "EIO") ? EIO : ENOSPC;
        if (!strcmp(kind, "own"))
            use_own_hook(n);
    }
    shared = place;
}

static void note_failure(const char *what, const char *name)
{
    if (atomic_fetch_add(&shared->n_failed, 1) != 0)
        return;
    size_t used = 0; // no stdio: it allocates
    for (const char *p = what; *p && used < sizeof shared->what - 2; p++)
        shared->what[used++] = *p;
    const char *slash = name ? strrchr(name, '/') : NULL;
    if (name)
        shared->what[used++] = ' ';
    for (const char *p = slash ? slash + 1 : name; p && *p && used < sizeof shared->what - 1; p++)
        shared->what[used++] = *p;
}

// ---- allocations

#ifndef WITHOUT_MALLOC
extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);
extern void *__libc_memalign(size_t align, size_t n);

static bool fails(const void *caller)
{
    if (!shared)
        return false;
    for (int i = 0; i < n_excluded; i++)
        if ((uintptr_t)caller >= excluded[i].from && (uintptr_t)caller < excluded[i].to)
            return false;
    if (atomic_fetch_add(&shared->n_allocations, 1) + 1 != fail_allocation)
        return false;
    Dl_info info;
    note_failure("allocation", dladdr(caller, &info) ? info.dli_sname ? info.dli_sname : info.dli_fname : NULL);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(n, size);
}

void *realloc(void *p, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(p, n);
}

void *aligned_alloc(size_t align, size_t n)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(align, n);
}

int posix_memalign(void **p, size_t align, size_t n)
{
    void *got = fails(__builtin_return_address(0)) ? NULL : __libc_memalign(align, n);
    if (!got)
        return ENOMEM;
    *p = got;
    return 0;
}
#endif

// ---- writes

// True when this operation fails, with errno set. `first`: it is the one that was named.
static bool write_fails(const char *what, const char *name, bool *first)
{
    const int64_t number = shared ? atomic_fetch_add(&shared->n_writes, 1) + 1 : 0;
    *first = number == fail_write;
    if (!shared || !fail_write || !(*first || (stays_full && number > fail_write)))
        return false;
    note_failure(what, name);
    errno = write_errno;
    return true;
}

#define NEXT(result, name, ...)                                                                                        \
    static result (*next)(__VA_ARGS__);                                                                                \
    if (!next)                                                                                                         \
    *(void **)&next = dlsym(RTLD_NEXT, name)

static bool is_file(int fd)
{
    struct stat st;
    return fd > 2 && fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

ssize_t write(int fd, const void *bytes, size_t n)
{
    NEXT(ssize_t, "write", int, const void *, size_t);
    bool first;
    if (!is_file(fd) || !write_fails("write", NULL, &first))
        return next(fd, bytes, n);
    if (!first || !stays_full || n < 2)
        return -1;
    return next(fd, bytes, n / 2);
}

static ssize_t write_at(ssize_t (*next)(int, const void *, size_t, off64_t), int fd, const void *bytes, size_t n,
                        off64_t at)
{
    bool first;
    if (!is_file(fd) || !write_fails("pwrite", NULL, &first))
        return next(fd, bytes, n, at);
    if (!first || !stays_full || n < 2)
        return -1;
    return next(fd, bytes, n / 2, at);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at)
{
    NEXT(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return write_at(next, fd, bytes, n, at);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at)
{
    NEXT(ssize_t, "pwrite64", int, const void *, size_t, off64_t);
    return write_at(next, fd, bytes, n, at);
}

ssize_t writev(int fd, const struct iovec *parts, int n)
{
    NEXT(ssize_t, "writev", int, const struct iovec *, int);
    bool first;
    return is_file(fd) && write_fails("writev", NULL, &first) ? -1 : next(fd, parts, n);
}

int fsync(int fd)
{
    NEXT(int, "fsync", int);
    bool first;
    return write_fails("fsync", NULL, &first) ? -1 : next(fd);
}

int fdatasync(int fd)
{
    NEXT(int, "fdatasync", int);
    bool first;
    return write_fails("fdatasync", NULL, &first) ? -1 : next(fd);
}

int rename(const char *from, const char *to)
{
    NEXT(int, "rename", const char *, const char *);
    bool first;
    return write_fails("rename", to, &first) ? -1 : next(from, to);
}

int link(const char *from, const char *to)
{
    NEXT(int, "link", const char *, const char *);
    bool first;
    return write_fails("link", to, &first) ? -1 : next(from, to);
}

int mkdir(const char *path, mode_t mode)
{
    NEXT(int, "mkdir", const char *, mode_t);
    bool first;
    return write_fails("mkdir", path, &first) ? -1 : next(path, mode);
}

static bool open_fails(const char *path, int flags)
{
    bool first;
    return (flags & O_CREAT) && write_fails("open", path, &first);
}

static mode_t mode_of(int flags, va_list args)
{
    return (flags & (O_CREAT | O_TMPFILE)) ? va_arg(args, mode_t) : 0;
}

int open(const char *path, int flags, ...)
{
    NEXT(int, "open", const char *, int, ...);
    va_list args;
    va_start(args, flags);
    const mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_fails(path, flags) ? -1 : next(path, flags, mode);
}

int open64(const char *path, int flags, ...)
{
    NEXT(int, "open64", const char *, int, ...);
    va_list args;
    va_start(args, flags);
    const mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_fails(path, flags) ? -1 : next(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    NEXT(int, "openat", int, const char *, int, ...);
    va_list args;
    va_start(args, flags);
    const mode_t mode = mode_of(flags, args);
    va_end(args);
    return open_fails(path, flags) ? -1 : next(dir, path, flags, mode);
}

static FILE *open_stream(FILE *(*next)(const char *, const char *), const char *path, const char *mode)
{
    bool first;
    return strpbrk(mode, "wa+") && strncmp(path, "/proc/", 6) != 0 && write_fails("fopen", path, &first)
               ? NULL
               : next(path, mode);
}

FILE *fopen(const char *path, const char *mode)
{
    NEXT(FILE *, "fopen", const char *, const char *);
    return open_stream(next, path, mode);
}

FILE *fopen64(const char *path, const char *mode)
{
    NEXT(FILE *, "fopen64", const char *, const char *);
    return open_stream(next, path, mode);
}
