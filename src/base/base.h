// base.h - what every module shares and no other code sees: arenas, checked sizes, strings, digests, files, time.
#ifndef LT_BASE_H
#define LT_BASE_H
#include "lethe/event.h"
#include "lethe/option.h"
#include "lethe/rng.h"
#include "lethe/run.h"
#include "lethe/status.h"
#include <stdarg.h>

// ---- allocation goes through one hook, so that tests can fail the n-th call and count calls.
void *lti_malloc(size_t n); // NULL when out of memory (and when the test hook says so); n = 0 gives a valid pointer
void *lti_calloc(size_t n, size_t size); // overflow-checked
void *lti_realloc(void *p, size_t n);
void *lti_aligned_alloc(size_t align, size_t n); // zeroed; free with lti_free
void lti_free(void *p);
char *lti_strdup(const char *s);
char *lti_asprintf(const char *fmt, ...) LT_PRINTF(1, 2); // NULL when out of memory
// vsnprintf and snprintf with numbers as in the "C" locale, whatever locale the program has set.
int lti_vformat(char *out, size_t out_size, const char *fmt, va_list args) LT_PRINTF(3, 0);
int lti_format(char *out, size_t out_size, const char *fmt, ...) LT_PRINTF(3, 4);
LT_API void lti_alloc_fail_at(int64_t n); // test hook: the n-th call from now fails (1-based); 0 = never
LT_API int64_t lti_alloc_count(void);     // calls so far in this process
#define LTI_NOMEM(what) LT_FAIL(LT_E_NOMEM, "out of memory: %s", what)
// Before much memory is taken: LT_E_NOMEM when the system has less left than `bytes`. The kernel promises more than it
// has, and ends the process when the memory is used; what it does not say is not checked. what: "a training step of M".
lt_status lti_memory_check(double bytes, const char *what);
static inline bool lti_mul_size(size_t a, size_t b, size_t *r)
{
    return __builtin_mul_overflow(a, b, r);
} // true = overflow

// ---- arena: many small allocations, freed at once
typedef struct lti_arena {
    struct lti_arena_block *head;
} lti_arena;                                   // zero-initialised
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
void lti_buf_puts(lti_buf *b, const char *s);
void lti_buf_printf(lti_buf *b, const char *fmt, ...) LT_PRINTF(2, 3);
void lti_buf_json_string(lti_buf *b, const char *s); // quoted and escaped; bytes that are not UTF-8 become U+FFFD
void lti_buf_json_number(lti_buf *b, double value);  // shortest text that reads back the same; null when not finite
char *lti_buf_take(lti_buf *b);                      // NUL-terminated, caller frees with free(); NULL if failed
void lti_buf_clear(lti_buf *b);

// ---- BLAKE2b-256 (libsodium)
enum { LTI_HASH_BYTES = 32 };
typedef struct lti_hash {
    _Alignas(64) unsigned char state[384];
} lti_hash;
void lti_hash_init(lti_hash *h);
void lti_hash_add(lti_hash *h, const void *bytes, size_t n);
void lti_hash_hex(lti_hash *h, char out[65]);

// ---- "name:key=value,key=value" and "name:path,key=value" specs; "name,key=value" is the first without its colon
typedef struct lti_spec {
    char *name, *path; // path: first comma-part after ':' without '=' ; NULL when none
    int n;
    char **key, **value;
    lti_arena arena;
} lti_spec;
lt_status lti_spec_parse(const char *text, lti_spec *spec);
void lti_spec_clear(lti_spec *spec);
const char *lti_spec_get(const lti_spec *spec, const char *key); // NULL when absent
// Hint of the error that a name is not among `names` (ends with NULL): the nearest, else all. Returns the error's
// status.
lt_status lti_name_hint(const char *name, const char *const *names);
bool lti_same_key(const char *a, const char *b); // dash and underscore are the same
lt_status lti_parse_i64(const char *text, const char *what, int64_t min, int64_t max,
                        int64_t *out); // whole string, LT_E_USAGE
lt_status lti_parse_u64(const char *text, const char *what, uint64_t max, uint64_t *out);
lt_status lti_parse_f64(const char *text, const char *what, double min, double max, double *out);
// Shortest decimal text that reads back as the same double (as_float: the same float), "C" locale. Returns out.
enum { LTI_NUMBER_MAX = 32 };
const char *lti_number_text(double value, bool as_float, char out[LTI_NUMBER_MAX]);
double lti_decimal_of(float x); // the double with the shortest decimal text that reads back as x: 0.1f gives 0.1

// ---- a temporary file next to its target and renamed over it when complete. Devices and pipes are written directly.
typedef struct lti_writer {
    char *path, *temporary; // temporary NULL: path is written directly
    int fd;
} lti_writer;
lt_status lti_writer_open(const char *path, lti_writer *w);
lt_status lti_writer_add(lti_writer *w, const void *bytes, size_t n);
lt_status lti_writer_commit(lti_writer *w);        // fsync, rename, fsync of the directory; w is closed even on failure
void lti_writer_abort(lti_writer *w);              // removes the temporary file; fine after commit or a failed open
char *lti_temporary_name(const char *path);        // "dir/name" -> "dir/.name.tmp-PID-N"; lti_free, NULL = no memory
bool lti_is_temporary_name(const char *file_name); // such a name: left over when a process was killed
lt_status lti_sync_directory_of(const char *path); // after a rename: without it a crash could lose the new name
bool lti_ends_with(const char *path, const char *end); // and is longer, as a file name with a suffix is
bool lti_is_dir(const char *path);
bool lti_is_file(const char *path);           // a regular file
lt_status lti_need_regular(const char *path); // LT_E_INPUT for directories, devices and pipes
lt_status
lti_errno_fail(const char *doing,
               const char *path); // from errno: LT_E_NOSPACE, LT_E_INPUT when doing begins with "read", else LT_E_IO

// ---- options from YAML in memory (lt_optset_load_yaml reads the file and calls this)
lt_status lti_optset_load_yaml_text(lt_optset *set, const char *text, size_t n, const char *label);
// The values somebody gave, as YAML that sets them again; without LT_OPTGROUP_NODIGEST groups. NULL = out of memory.
char *lti_optset_yaml(const lt_optset *set);

double lti_now_s(void); // monotonic
#endif
