// Whole files: atomic replacement, full disks, directories that are none, bounded reading.
#include "lt_test.h"
#include "base/base.h"
#include <dirent.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static char dir[40];

static const char *in(const char *file)
{
    static char path[4][200];
    static int i;
    i = (i + 1) % 4;
    snprintf(path[i], sizeof path[i], "%s/%s", dir, file);
    return path[i];
}

static int n_entries(void)
{
    DIR *d = opendir(dir);
    int n = -2; // "." and ".."
    while (readdir(d))
        n++;
    closedir(d);
    return n;
}

static void check_content(const char *path, const char *text)
{
    char *bytes;
    size_t n;
    assert_ok(lt_read_file(path, 1000, &bytes, &n));
    assert_int_equal(n, strlen(text));
    assert_string_equal(bytes, text);
    free(bytes);
}

static void write_and_read(void **state)
{
    (void)state;
    assert_ok(lt_write_file_atomic(in("a"), "one", 3));
    check_content(in("a"), "one");
    assert_ok(lt_write_file_atomic(in("a"), "", 0));
    check_content(in("a"), "");
    assert_ok(lt_write_file_atomic(in("a"), "two", 3));
    assert_int_equal(symlink("a", in("link")), 0);
    assert_ok(lt_write_file_atomic(in("link"), "three", 5)); // the link stays a link
    check_content(in("a"), "three");
    struct stat st;
    assert_int_equal(lstat(in("link"), &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(n_entries(), 2);
    unlink(in("link"));
    unlink(in("a"));
}

static void bounded_reading(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    assert_ok(lt_write_file_atomic(in("a"), "0123456789", 10));
    assert_fails(LT_E_FORMAT, "expected at most 9 bytes", lt_read_file(in("a"), 9, &bytes, &n));
    assert_ok(lt_read_file(in("a"), 10, &bytes, &n));
    free(bytes);
    assert_fails(LT_E_FORMAT, "expected at most 1000 bytes", lt_read_file("/dev/zero", 1000, &bytes, &n));
    assert_null(bytes);
    assert_fails(LT_E_INPUT, "No such file", lt_read_file(in("none"), 10, &bytes, &n));
    assert_fails(LT_E_INPUT, "Is a directory", lt_read_file(dir, 10, &bytes, &n));
    lti_alloc_fail_at(1);
    assert_fails(LT_E_NOMEM, "", lt_read_file(in("a"), 10, &bytes, &n));
    lti_alloc_fail_at(0);
    unlink(in("a"));
}

static void full_device(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    assert_fails(LT_E_NOSPACE, "cannot write /dev/full", lt_write_file_atomic("/dev/full", "x", 1));
    struct stat st;
    assert_int_equal(stat("/dev/full", &st), 0);
    assert_true(S_ISCHR(st.st_mode)); // still the device
}

// The file size limit stands in for a full disk: the old file stays whole and nothing else is left.
static void full_disk(void **state)
{
    (void)state;
    struct rlimit old, small;
    char big[5000] = {0};
    assert_ok(lt_write_file_atomic(in("a"), "old", 3));
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4096;
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    const lt_status status = lt_write_file_atomic(in("a"), big, sizeof big);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    signal(SIGXFSZ, SIG_DFL);
    assert_fails(LT_E_NOSPACE, "cannot write", status);
    assert_true(lt_error_get()->hint[0] != 0);
    check_content(in("a"), "old");
    assert_int_equal(n_entries(), 1);
    unlink(in("a"));
}

// Root may write anywhere, so "not writable" is a path below a file.
static void unwritable(void **state)
{
    (void)state;
    assert_ok(lt_write_file_atomic(in("a"), "x", 1));
    assert_fails(LT_E_IO, "Not a directory", lt_write_file_atomic(in("a/b"), "x", 1));
    assert_fails(LT_E_IO, "Not a directory", lt_make_dirs(in("a/b/c")));
    assert_fails(LT_E_IO, "Not a directory", lt_make_dirs(in("a")));
    assert_fails(LT_E_IO, "No such file", lt_write_file_atomic(in("none/b"), "x", 1));
    assert_fails(LT_E_IO, "Is a directory", lt_write_file_atomic(dir, "x", 1));
    assert_fails(LT_E_USAGE, "empty", lt_make_dirs(""));
    assert_int_equal(n_entries(), 1);
    unlink(in("a"));
}

static void directories(void **state)
{
    (void)state;
    struct stat st;
    assert_ok(lt_make_dirs(in("x/y//z/")));
    assert_int_equal(stat(in("x/y/z"), &st), 0);
    assert_true(S_ISDIR(st.st_mode));
    assert_ok(lt_make_dirs(in("x/y/z")));
    assert_ok(lt_make_dirs("/"));
    rmdir(in("x/y/z"));
    rmdir(in("x/y"));
    rmdir(in("x"));
}

static void out_of_memory(void **state)
{
    (void)state;
    assert_ok(lt_write_file_atomic(in("a"), "old", 3));
    int n = 1;
    for (lt_status status = LT_E_NOMEM; status != LT_OK; n++) {
        assert_true(n < 20);
        lti_alloc_fail_at(n);
        status = lt_write_file_atomic(in("a"), "new", 3);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
        assert_int_equal(n_entries(), 1);
    }
    assert_true(n > 2);
    check_content(in("a"), "new");
    unlink(in("a"));
}

static void temporary_names(void **state)
{
    (void)state;
    lti_writer w;
    assert_ok(lti_writer_open(in("model.bin"), &w));
    assert_true(lti_is_temporary_name(strrchr(w.temporary, '/') + 1));
    lti_writer_abort(&w);
    assert_int_equal(n_entries(), 0);
    assert_false(lti_is_temporary_name("model.bin"));
    assert_false(lti_is_temporary_name(".hidden"));
    assert_false(lti_is_temporary_name(".a.tmp-"));
    assert_false(lti_is_temporary_name(".a.tmp-12-"));
    assert_false(lti_is_temporary_name(".a.tmp-12-3x"));
}

static int make(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/lethe-fs-XXXXXX", lt_test_root());
    return mkdtemp(dir) ? 0 : -1;
}

static int clean(void **state)
{
    (void)state;
    return rmdir(dir); // fails when a test left something behind
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(write_and_read), cmocka_unit_test(bounded_reading), cmocka_unit_test(full_device),
        cmocka_unit_test(full_disk),      cmocka_unit_test(unwritable),      cmocka_unit_test(directories),
        cmocka_unit_test(out_of_memory),  cmocka_unit_test(temporary_names),
    };
    return cmocka_run_group_tests(tests, make, clean);
}
