// alloc.c - the allocation hook: every allocation of the library goes through here, is counted and can be made to fail.
//
// Counters are process-wide and atomic because plans, loaders and tests allocate on several threads. They exist for
// tests ("no allocation after the first step", "survives the n-th allocation failing") and cost one atomic add.
#include "base/base.h"
#include <errno.h>
#include <locale.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static _Atomic int64_t n_calls;
static _Atomic int64_t fail_in; // calls until the failing one; 0 = never

// True when this call is the one that must fail.
static bool count_call(void)
{
    atomic_fetch_add_explicit(&n_calls, 1, memory_order_relaxed);
    if (atomic_load_explicit(&fail_in, memory_order_relaxed) <= 0)
        return false;
    return atomic_fetch_sub_explicit(&fail_in, 1, memory_order_relaxed) == 1;
}

void lti_alloc_fail_at(int64_t n)
{
    atomic_store(&fail_in, n);
}

int64_t lti_alloc_count(void)
{
    return atomic_load(&n_calls);
}

void *lti_malloc(size_t n)
{
    return count_call() ? NULL : malloc(n ? n : 1);
}

void *lti_calloc(size_t n, size_t size)
{
    size_t total;
    if (count_call() || lti_mul_size(n, size, &total))
        return NULL;
    return calloc(1, total ? total : 1);
}

void *lti_realloc(void *p, size_t n)
{
    return count_call() ? NULL : realloc(p, n ? n : 1);
}

// A Winograd tile touches 36 places far apart: with small pages, address translation costs some per cent of a step.
// Only a hint: where the system has no large pages, small ones are used.
static void wish_large_pages(void *p, size_t n)
{
#ifdef MADV_HUGEPAGE
    const int keep_errno = errno;
    madvise(p, n, MADV_HUGEPAGE);
    errno = keep_errno;
#else
    (void)p;
    (void)n;
#endif
}

void *lti_aligned_alloc(size_t align, size_t n)
{
    enum { LARGE_PAGE = 2 << 20, LARGE = 8 << 20 };
    size_t rounded; // aligned_alloc wants a multiple of the alignment
    if (n >= LARGE && align < LARGE_PAGE)
        align = LARGE_PAGE;
    if (count_call() || __builtin_add_overflow(n ? n : 1, align - 1, &rounded))
        return NULL;
    rounded -= rounded % align;
    void *p = aligned_alloc(align, rounded);
    if (p && rounded >= LARGE)
        wish_large_pages(p, rounded);
    if (p)
        memset(p, 0, rounded);
    return p;
}

void lti_free(void *p)
{
    free(p);
}

char *lti_strdup(const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = lti_malloc(n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

// Numbers in messages and files must not depend on the locale of the program that links us. glibc's "C" locale object
// is static: newlocale does not allocate and needs no free.
int lti_vformat(char *out, size_t out_size, const char *fmt, va_list args)
{
    int keep_errno = errno;
    locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    locale_t old = c ? uselocale(c) : (locale_t)0;
    errno = keep_errno; // "%m" in the format
    int n = vsnprintf(out, out_size, fmt, args);
    if (c) {
        uselocale(old);
        freelocale(c);
    }
    if (n < 0 && out_size)
        out[0] = 0;
    return n;
}

int lti_format(char *out, size_t out_size, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = lti_vformat(out, out_size, fmt, args);
    va_end(args);
    return n;
}

char *lti_asprintf(const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = lti_vformat(NULL, 0, fmt, args);
    va_end(args);
    if (n < 0)
        return NULL;
    char *text = lti_malloc((size_t)n + 1);
    if (!text)
        return NULL;
    va_start(args, fmt);
    lti_vformat(text, (size_t)n + 1, fmt, args);
    va_end(args);
    return text;
}
