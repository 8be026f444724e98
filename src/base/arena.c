// arena.c - many small allocations that die together: a list of blocks, each twice as large as the one before it.
#include "base/base.h"
#include <string.h>

enum { ARENA_ALIGN = 16, FIRST_BLOCK = 1024, LARGEST_BLOCK = 1 << 20 };

struct lti_arena_block {
    struct lti_arena_block *next;
    size_t used, cap;
    _Alignas(16) unsigned char bytes[];
};

void *lti_arena_alloc(lti_arena *a, size_t n)
{
    size_t need;
    if (__builtin_add_overflow(n ? n : 1, ARENA_ALIGN - 1, &need))
        return NULL;
    need -= need % ARENA_ALIGN;
    struct lti_arena_block *block = a->head;
    if (!block || block->cap - block->used < need) {
        size_t cap = block ? 2 * block->cap : FIRST_BLOCK, total;
        if (cap > LARGEST_BLOCK)
            cap = LARGEST_BLOCK;
        if (cap < need)
            cap = need;
        if (__builtin_add_overflow(cap, sizeof *block, &total))
            return NULL;
        block = lti_calloc(1, total);
        if (!block)
            return NULL;
        block->cap = cap;
        block->next = a->head;
        a->head = block;
    }
    void *p = block->bytes + block->used;
    block->used += need;
    return p;
}

char *lti_arena_strdup(lti_arena *a, const char *s)
{
    size_t n = strlen(s) + 1;
    char *copy = lti_arena_alloc(a, n);
    if (copy)
        memcpy(copy, s, n);
    return copy;
}

void lti_arena_clear(lti_arena *a)
{
    while (a->head) {
        struct lti_arena_block *next = a->head->next;
        lti_free(a->head);
        a->head = next;
    }
}
