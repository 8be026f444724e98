// The JSON writer: nesting, escapes, numbers that are none, memory that runs out.
#include "lt_test.h"
#include "base/json_write.h"
#include <math.h>
#include <stdlib.h>

static void test_nested_values(void **state)
{
    (void)state;
    lti_json j = {0};
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "a\"", "x\ny");
    lti_json_text(&j, "none", NULL);
    lti_json_begin(&j, "list", '[');
    lti_json_int(&j, NULL, -3);
    lti_json_real(&j, NULL, 0.1);
    lti_json_real(&j, NULL, (double)NAN);
    lti_json_end(&j, ']');
    lti_json_begin(&j, "empty", '{');
    lti_json_end(&j, '}');
    lti_json_bool(&j, "yes", true);
    lti_json_null(&j, "null");
    lti_json_raw(&j, "raw", "[1, 2]\n");
    lti_json_end(&j, '}');
    char *text = lti_json_take(&j);
    assert_string_equal(
        text, "{\n  \"a\\\"\": \"x\\ny\",\n  \"none\": null,\n  \"list\": [\n    -3,\n    0.1,\n    null\n  ],\n"
              "  \"empty\": {},\n  \"yes\": true,\n  \"null\": null,\n  \"raw\": [1, 2]\n}\n");
    free(text);
}

static void test_memory_that_runs_out_gives_no_text(void **state)
{
    (void)state;
    lti_json j = {0};
    lti_alloc_fail_at(1);
    lti_json_begin(&j, NULL, '{');
    lti_json_text(&j, "key", "value");
    lti_json_end(&j, '}');
    lti_alloc_fail_at(0);
    assert_null(lti_json_take(&j));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nested_values),
        cmocka_unit_test(test_memory_that_runs_out_gives_no_text),
    };
    return cmocka_run_group_tests_name("json_write", tests, NULL, NULL);
}
