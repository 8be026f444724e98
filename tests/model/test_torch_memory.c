// test_torch_memory.c - checkpoints that claim much and hold little: refused, in no more memory than twice the file and
// a few MiB, and without delay.
#include "lt_test.h"
#include "lethe/run.h"
#include "lethe/tensorfile.h"
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#define GOLDEN LT_TEST_SOURCE_DIR "/tests/golden/checkpoints/"
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEASURES_MEMORY false // shadow memory counts as well
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define MEASURES_MEMORY false
#else
#define MEASURES_MEMORY true
#endif
#else
#define MEASURES_MEMORY true
#endif
enum { LEAST_MIB = 24, SECONDS_MAX = 5 }; // a small file may have a description of 16 MiB

static char path[160];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/test_torch_memory-%d.pth", lt_test_root(), (int)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

static long peak_kib(void)
{
    struct rusage use;
    getrusage(RUSAGE_SELF, &use);
    return use.ru_maxrss;
}

// In a process of its own, so that nothing counts but this file. Exit codes: 0 refused as it should be, 1 taken or
// refused for another reason, 2 too much memory.
static int open_in_child(size_t n_bytes, const char *message)
{
    lt_tensor_file *file = NULL;
    const long before = peak_kib(), allowed = (long)(2 * n_bytes / 1024) + LEAST_MIB * 1024;
    const lt_status status = lt_tensor_file_open(path, &file);
    if (status != LT_E_FORMAT || file || !strstr(lt_error_get()->message, message)) {
        print_error("status %d: %s\n", (int)status, lt_error_get()->message);
        return 1;
    }
    if (MEASURES_MEMORY && peak_kib() - before > allowed) {
        print_error("%ld KiB, allowed %ld\n", peak_kib() - before, allowed);
        return 2;
    }
    return 0;
}

static void assert_refused(const char *what, const char *bytes, size_t n, const char *message)
{
    int status = 0;
    struct timespec from, to;
    assert_ok(lt_write_file_atomic(path, bytes, n));
    clock_gettime(CLOCK_MONOTONIC, &from);
    const pid_t child = fork();
    if (child == 0)
        _exit(open_in_child(n, message));
    assert_true(child > 0 && waitpid(child, &status, 0) == child);
    clock_gettime(CLOCK_MONOTONIC, &to);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: status %d", what, status);
    if (to.tv_sec - from.tv_sec > SECONDS_MAX)
        fail_msg("%s: it took %ld s", what, (long)(to.tv_sec - from.tv_sec));
}

// ---- archives whose directory lies

static uint32_t get_32(const char *at)
{
    uint32_t v;
    memcpy(&v, at, sizeof v);
    return v;
}

typedef enum lie { LIE_SIZE, LIE_STORED_SIZE, LIE_METHOD } lie;

// Changes what the directory and the header of the member say.
static void change_member(char *zip, size_t n, const char *suffix, lie what)
{
    static const uint32_t much = 0xfffffff0;
    static const uint16_t deflated = 8;
    const size_t k = strlen(suffix);
    int n_changed = 0;
    for (size_t i = 0; i + 46 < n; i++) {
        const uint32_t signature = get_32(zip + i);
        const bool central = signature == 0x02014b50, local = signature == 0x04034b50;
        if (!central && !local)
            continue;
        const size_t head = central ? 46 : 30, size_at = central ? 24 : 22, method_at = central ? 10 : 8;
        uint16_t n_name;
        memcpy(&n_name, zip + i + (central ? 28 : 26), sizeof n_name);
        if (n_name < k || i + head + n_name > n || memcmp(zip + i + head + n_name - k, suffix, k) != 0)
            continue;
        if (what == LIE_METHOD)
            memcpy(zip + i + method_at, &deflated, sizeof deflated);
        else
            memcpy(zip + i + size_at, &much, sizeof much);
        if (what == LIE_STORED_SIZE)
            memcpy(zip + i + size_at - 4, &much, sizeof much);
        n_changed++;
    }
    assert_true(n_changed >= 1);
}

static void test_archives_that_claim_4_gib(void **state)
{
    (void)state;
    static const char *const member[] = {"/data.pkl", "/data/0"};
    for (int m = 0; m < 2; m++)
        for (lie what = LIE_SIZE; what <= LIE_METHOD; what++) {
            char *bytes, name[64];
            size_t n;
            assert_ok(lt_read_file(GOLDEN "plain-torch2.15.pth", 1 << 20, &bytes, &n));
            change_member(bytes, n, member[m], what);
            snprintf(name, sizeof name, "%s, lie %d", member[m], (int)what);
            assert_refused(name, bytes, n, path);
            free(bytes);
        }
}

// ---- descriptions that grow

static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                           "\x80\x02M\xe9\x03."
                           "\x80\x02}."
                           "\x80\x02";
static const char tail[] = ".\x80\x02].";

// A stream whose object is `unit` repeated n times between `first` and `last`.
static void assert_repeated_refused(const char *first, const char *unit, size_t n, const char *last,
                                    const char *message)
{
    const size_t n_first = strlen(first), n_unit = strlen(unit), n_last = strlen(last), n_head = sizeof head - 1;
    const size_t size = n_head + n_first + n * n_unit + n_last + sizeof tail - 1;
    char *bytes = malloc(size), *to = bytes;
    assert_non_null(bytes);
    memcpy(to, head, n_head);
    to += n_head;
    memcpy(to, first, n_first); // NOLINT(bugprone-not-null-terminated-result): bytes, not text
    to += n_first;
    for (size_t i = 0; i < n; i++, to += n_unit)
        memcpy(to, unit, n_unit);
    memcpy(to, last, n_last);
    memcpy(to + n_last, tail, sizeof tail - 1);
    assert_refused(unit, bytes, size, message);
    free(bytes);
}

static void test_descriptions_that_grow(void **state)
{
    (void)state;
    enum { MANY = 8 << 20, SOME = 1 << 18 };
    assert_repeated_refused("", "]", MANY, "", "pickle byte");         // lists in one another, never closed
    assert_repeated_refused("", "]]a", SOME, "", "pickle byte");       // and lists of lists
    assert_repeated_refused("(", "K\1", MANY / 2, "t", "pickle byte"); // a tuple of millions
    assert_repeated_refused("", "(", MANY, "", "pickle byte");         // marks
    assert_repeated_refused("N", "\x94", MANY, "", "pickle byte");     // a value remembered over and over
    assert_repeated_refused("", "}\x94", MANY / 2, "", "pickle byte");
    assert_repeated_refused("", "\x8e\xff\xff\xff\xff\xff\xff\xff\x7f", 1, "", "expected more bytes"); // bytes of 2^63
    assert_repeated_refused("", "T\xff\xff\xff\x7f", 1, "", "pickle byte");
}

// Every value is a pair of the one before: 2^60 values to whoever follows them all.
static void test_values_that_double(void **state)
{
    (void)state;
    enum { LEVELS = 60 };
    char bytes[1024];
    size_t n = sizeof head - 1;
    memcpy(bytes, head, n);
    static const char first[] = "}X\1\0\0\0a]q\0"
                                "0";
    memcpy(bytes + n, first, sizeof first - 1);
    n += sizeof first - 1;
    for (int k = 0; k < LEVELS; k++) {
        const char level[] = {'h', (char)k, 'h', (char)k, '\x86', 'q', (char)(k + 1), '0'};
        memcpy(bytes + n, level, sizeof level);
        n += sizeof level;
    }
    const char last[] = {'h', LEVELS, 's'};
    memcpy(bytes + n, last, sizeof last);
    n += sizeof last;
    memcpy(bytes + n, tail, sizeof tail - 1);
    assert_refused("pairs of pairs", bytes, n + sizeof tail - 1, path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_archives_that_claim_4_gib),
        cmocka_unit_test(test_descriptions_that_grow),
        cmocka_unit_test(test_values_that_double),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
