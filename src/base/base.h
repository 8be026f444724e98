// base.h - what every module shares and nobody outside sees: arenas, checked sizes, strings, digests, files, time.
#ifndef LT_BASE_H
#define LT_BASE_H
#include "lethe/event.h"
#include "lethe/option.h"
#include "lethe/rng.h"
#include "lethe/run.h"
#include "lethe/status.h"

// ---- allocation goes through one hook, so that tests can fail the n-th call and count calls.
void *lti_malloc(size_t n); // NULL when out of memory (and when the test hook says so); n = 0 gives a valid pointer
void *lti_calloc(size_t n, size_t size); // overflow-checked
void *lti_realloc(void *p, size_t n);
void *lti_aligned_alloc(size_t align, size_t n); // zeroed; free with lti_free
void lti_free(void *p);
char *lti_strdup(const char *s);
char *lti_asprintf(const char *fmt, ...) LT_PRINTF(1, 2); // NULL when out of memory
LT_API void lti_alloc_fail_at(int64_t n); // test hook: the n-th call from now fails (1-based); 0 = never
LT_API int64_t lti_alloc_count(void);     // calls so far in this process
#define LTI_NOMEM(what) LT_FAIL(LT_E_NOMEM, "out of memory: %s", what)
static inline bool lti_mul_size(size_t a, size_t b, size_t *r) { return __builtin_mul_overflow(a, b, r); } // true = overflow

// ---- arena: many small allocations, freed at once
typedef struct lti_arena {
    struct lti_arena_block *head;
} lti_arena; // zero-initialised
void *lti_arena_alloc(lti_arena *a, size_t n); // zeroed, 16-byte aligned
char *lti_arena_strdup(lti_arena *a, const char *s);
void lti_arena_clear(lti_arena *a);

// ---- growing string buffer (zero-initialised); errors are sticky: data NULL after out of memory
typedef struct lti_buf {
    char *data;
    size_t n, cap;
    bool failed;
} lti_buf;
void lti_buf_add(lti_buf *b, const char *bytes, size_t n);
void lti_buf_printf(lti_buf *b, const char *fmt, ...) LT_PRINTF(2, 3);
char *lti_buf_take(lti_buf *b); // NUL-terminated, caller frees with free(); NULL if failed
void lti_buf_clear(lti_buf *b);

// ---- BLAKE2b-256 (libsodium)
typedef struct lti_hash {
    _Alignas(64) unsigned char state[384];
} lti_hash;
void lti_hash_init(lti_hash *h);
void lti_hash_add(lti_hash *h, const void *bytes, size_t n);
void lti_hash_hex(lti_hash *h, char out[65]);

// ---- "name:key=value,key=value" and "name:path,key=value" specs
typedef struct lti_spec {
    char *name, *path; // path: first comma-part after ':' without '=' ; NULL when none
    int n;
    char **key, **value;
    lti_arena arena;
} lti_spec;
lt_status lti_spec_parse(const char *text, lti_spec *spec);
void lti_spec_clear(lti_spec *spec);
const char *lti_spec_get(const lti_spec *spec, const char *key); // NULL when absent
lt_status lti_parse_i64(const char *text, const char *what, int64_t min, int64_t max, int64_t *out); // whole string, LT_E_USAGE
lt_status lti_parse_f64(const char *text, const char *what, double min, double max, double *out);

double lti_now_s(void); // monotonic
#endif
