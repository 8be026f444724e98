// test_option_peek.c - options that are read before their set exists, and directories of the user.
#include "base/base.h"
#include "lethe/dirs.h"
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

static void expect(char *found, const char *value)
{
    if (value)
        assert_string_equal(found, value);
    else
        assert_null(found);
    free(found);
}

static void arguments_name_the_method(void **state)
{
    (void)state;
    char *const all[] = {(char *)"run",      (char *)"--method", (char *)"ft",         (char *)"--method=ga",
                         (char *)"--set",    (char *)"lr=1",     (char *)"--set=lr=2", (char *)"--",
                         (char *)"--method", (char *)"rl",       (char *)"--lr=3"};
    expect(lt_option_peek(3, all, "method", LT_PEEK_ARGS), "ft");
    expect(lt_option_peek(4, all, "method", LT_PEEK_ARGS), "ga");  // the last one wins
    expect(lt_option_peek(11, all, "method", LT_PEEK_ARGS), "ga"); // nothing after -- is an option
    expect(lt_option_peek(6, all, "lr", LT_PEEK_ARGS), "1");
    expect(lt_option_peek(11, all, "lr", LT_PEEK_ARGS), "2");
    expect(lt_option_peek(11, all, "seed", LT_PEEK_ARGS), NULL);
    char *const missing[] = {(char *)"--method", (char *)"--quiet"};
    expect(lt_option_peek(2, missing, "method", LT_PEEK_ARGS), NULL);
    char *const dashes[] = {(char *)"--set", (char *)"lr_area=5"};
    expect(lt_option_peek(2, dashes, "lr-area", LT_PEEK_ARGS), "5");
}

static void environment_and_files_name_it(void **state)
{
    (void)state;
    const char *path = LT_TEST_BINARY_DIR "/test_option_peek.yaml";
    const char text[] = "epochs: 3\nmethod: 'amun' # quoted\nnested:\n  method: ga\n";
    assert_int_equal(lt_write_file_atomic(path, text, strlen(text)), LT_OK);
    char *const config[] = {(char *)"--config", (char *)path};
    unsetenv("LETHE_CONFIG");
    setenv("LETHE_METHOD", "scrub", 1);
    expect(lt_option_peek(0, NULL, "method", LT_PEEK_ENV), "scrub");
    expect(lt_option_peek(0, NULL, "lr-area", LT_PEEK_ENV), NULL);
    expect(lt_option_peek(2, config, "method", LT_PEEK_FILES), "amun");
    expect(lt_option_peek(2, config, "seed", LT_PEEK_FILES), NULL);
    expect(lt_option_peek(0, NULL, "method", LT_PEEK_FILES), NULL);
    setenv("LETHE_CONFIG", path, 1);
    expect(lt_option_peek(0, NULL, "method", LT_PEEK_FILES), "amun");
    assert_int_equal(lt_write_file_atomic(path, "method: [", 9), LT_OK); // parsing reports it
    expect(lt_option_peek(2, config, "method", LT_PEEK_FILES), NULL);
    unlink(path);
    expect(lt_option_peek(2, config, "method", LT_PEEK_FILES), NULL);
    unsetenv("LETHE_CONFIG");
    unsetenv("LETHE_METHOD");
}

static void directories_follow_the_environment(void **state)
{
    (void)state;
    char path[LT_DIR_MAX], *longer = malloc(2 * LT_DIR_MAX);
    setenv("HOME", "/home/u", 1);
    unsetenv("LETHE_HOME");
    unsetenv("LETHE_DATA");
    unsetenv("XDG_DATA_HOME");
    unsetenv("XDG_CACHE_HOME");
    unsetenv("XDG_CONFIG_HOME");
    assert_int_equal(lt_data_dir(path), LT_OK);
    assert_string_equal(path, "/home/u/.local/share/lethe");
    assert_int_equal(lt_key_path(NULL, "sample.key", path), LT_OK);
    assert_string_equal(path, "/home/u/.config/lethe/sample.key");
    assert_int_equal(lt_key_path("mine", "sample.key", path), LT_OK);
    assert_string_equal(path, "mine");
    setenv("XDG_CACHE_HOME", "/c", 1);
    assert_int_equal(lt_cache_dir(path), LT_OK);
    assert_string_equal(path, "/c/lethe");
    setenv("LETHE_HOME", "/l", 1);
    assert_int_equal(lt_cache_dir(path), LT_OK);
    assert_string_equal(path, "/l/cache");
    assert_int_equal(lt_store_dir(path), LT_OK);
    assert_string_equal(path, "/l/store");
    memset(longer, 'x', 2 * LT_DIR_MAX - 1);
    longer[2 * LT_DIR_MAX - 1] = '\0';
    setenv("LETHE_HOME", longer, 1);
    assert_int_equal(lt_key_dir(path), LT_E_USAGE);
    unsetenv("LETHE_HOME");
    free(longer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arguments_name_the_method),
        cmocka_unit_test(environment_and_files_name_it),
        cmocka_unit_test(directories_follow_the_environment),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
