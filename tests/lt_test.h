// lt_test.h - what every test program includes: cmocka with its prerequisites in the right order, and status checks.
#ifndef LT_TEST_H
#define LT_TEST_H
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "lethe/status.h"

// The call must succeed; on failure the error record is printed.
static inline void lt_test_ok(lt_status status, const char *call, const char *file, int line)
{
    if (status == LT_OK)
        return;
    const lt_error *e = lt_error_get();
    print_error("%s: %s\n  message: %s\n", call, lt_status_text(status), e->message);
    if (e->hint[0])
        print_error("  hint: %s\n", e->hint);
    for (int i = 0; i < e->n_frames; i++)
        print_error("  at %s (%s:%d)\n", e->frame[i].func, e->frame[i].file, e->frame[i].line);
    _fail(file, line);
}
#define assert_ok(call) lt_test_ok((call), #call, __FILE__, __LINE__)

// The call must fail with `expected` and a record whose message contains `part` (part "" = any message).
static inline void lt_test_fails(lt_status expected, lt_status status, const char *part, const char *call,
                                 const char *file, int line)
{
    const lt_error *e = lt_error_get();
    if (status == expected && e->status == status && e->message[0] && strstr(e->message, part))
        return;
    print_error("%s: expected \"%s\" with '%s', got \"%s\" with '%s'\n", call, lt_status_text(expected), part,
                lt_status_text(status), e->message);
    _fail(file, line);
}
#define assert_fails(expected, part, call) lt_test_fails((expected), (call), (part), #call, __FILE__, __LINE__)

// s must contain part.
static inline void lt_test_contains(const char *s, const char *part, const char *file, int line)
{
    if (s && strstr(s, part))
        return;
    print_error("expected text with '%s', got '%s'\n", part, s ? s : "(null)");
    _fail(file, line);
}
#define assert_contains(s, part) lt_test_contains((s), (part), __FILE__, __LINE__)

// Where tests make their directories: in memory where that is possible, because every atomic write waits for the disk.
static inline const char *lt_test_root(void)
{
    return access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp";
}
#endif
