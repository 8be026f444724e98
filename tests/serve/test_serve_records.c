// test_serve_records.c - the dashboard shows the ledger of its directory, and changes nothing in it.
#include "serve_test.h"
#include "lethe/ledger.h"

static site here;

static int set_up(void **state)
{
    (void)state;
    unsetenv("LETHE_HOME"); // else its ledger is meant
    site_open(&here, "#!/bin/sh\nexit 0\n");
    site_start(&here);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    site_close(&here);
    return 0;
}

static char *read_ledger(size_t *n)
{
    char path[400], *bytes;
    snprintf(path, sizeof path, "%s/lethe.db", here.root);
    assert_ok(lt_read_file(path, 1 << 24, &bytes, n));
    return bytes;
}

// Scripts and styles that the page asks for are built in.
static void what_the_page_names_is_served(void **state)
{
    char page[8192], target[64];
    int n = 0;
    (void)state;
    assert_int_equal(site_get(&here, "/"), 200);
    assert_true(here.r.n_bytes < sizeof page);
    memcpy(page, here.r.fixed, here.r.n_bytes);
    page[here.r.n_bytes] = '\0';
    for (const char *at = page; (at = strstr(at, "=\"/")) != NULL; n++) {
        at += strlen("=\"");
        snprintf(target, sizeof target, "%.*s", (int)strcspn(at, "\""), at);
        if (site_get(&here, target) != 200)
            fail_msg("the page names %s, which is not served", target);
    }
    assert_true(n >= 5);
}

static void a_directory_without_records_has_none(void **state)
{
    (void)state;
    assert_int_equal(site_get(&here, "/api/records"), 200);
    assert_true(site_says(&here, "\"n_records\":0"));
    assert_int_equal(site_get(&here, "/api/record?id=1"), 404);
    assert_int_equal(site_get(&here, "/receipt?id=1"), 404);
    char path[400];
    snprintf(path, sizeof path, "%s/lethe.db", here.root);
    assert_int_not_equal(access(path, F_OK), 0);
}

static void record_deletion(void)
{
    char path[400];
    lt_ledger *ledger;
    snprintf(path, sizeof path, "%s/lethe.db", here.root);
    assert_ok(lt_ledger_open(path, LT_LEDGER_APPEND, &ledger));
    assert_ok(
        lt_ledger_append(ledger,
                         "{\"kind\": \"unlearn\", \"request\": \"<2031-17>\", \"time\": \"2031-01-01T10:00:00Z\", "
                         "\"forget\": {\"n\": 3}, \"method\": {\"name\": \"ft\", \"title\": \"Fine-tuning\"}, "
                         "\"model\": {\"digest\": \"ab12\"}, \"not_proven\": [\"that copies are gone\"]}",
                         NULL));
    lt_ledger_close(ledger);
}

static void records_and_receipts_are_sent_and_nothing_is_written(void **state)
{
    size_t n, n_after;
    (void)state;
    record_deletion();
    char *before = read_ledger(&n);
    assert_int_equal(site_get(&here, "/api/records"), 200);
    assert_true(site_says(&here, "\"n_records\":2"));
    assert_true(site_says(&here, "\"request\":\"<2031-17>\""));
    assert_int_equal(site_get(&here, "/api/records?request=other"), 200);
    assert_false(site_says(&here, "2031-17"));
    assert_int_equal(site_get(&here, "/api/record?id=2"), 200);
    assert_true(site_says(&here, "\"not_proven\":[\"that copies are gone\"]"));
    assert_int_equal(site_get(&here, "/receipt?id=2"), 200);
    assert_string_equal(here.r.type, "text/html; charset=utf-8");
    assert_int_equal(here.r.policy, LTI_POLICY_REPORT);
    assert_true(site_says(&here, "Deletion receipt for request &lt;2031-17&gt;"));
    assert_false(site_says(&here, "<2031-17>"));
    assert_int_equal(here.r.n_bytes, strlen(here.r.body));
    assert_int_equal(site_ask(&here, &(lti_request){.method = "POST", .target = "/api/records", .host = "localhost"}),
                     405);
    char *after = read_ledger(&n_after);
    assert_int_equal(n, n_after);
    assert_memory_equal(before, after, n);
    free(before);
    free(after);
}

static void numbers_that_are_none_are_refused(void **state)
{
    static const char *const bad[] = {"",       "?id=",         "?id=x",   "?id=-1",
                                      "?id=1x", "?id=%2e%2e/1", "?id=1.5", "?id=99999999999999999999"};
    char target[100];
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        snprintf(target, sizeof target, "/api/record%s", bad[i]);
        assert_int_equal(site_get(&here, target), 400);
        snprintf(target, sizeof target, "/receipt%s", bad[i]);
        assert_int_equal(site_get(&here, target), 400);
    }
    assert_int_equal(site_get(&here, "/api/record?id=0"), 404);
    assert_int_equal(site_get(&here, "/receipt?id=3"), 404);
}

static void records_may_need_the_token(void **state)
{
    (void)state;
    here.serve.token_to_read = true;
    assert_int_equal(site_get(&here, "/api/records"), 401);
    assert_int_equal(site_get(&here, "/api/record?id=2"), 401);
    assert_int_equal(site_get(&here, "/receipt?id=2"), 401);
    assert_int_equal(site_ask(&here, &(lti_request){.method = "GET",
                                                    .target = "/receipt?id=2",
                                                    .host = "localhost:8737",
                                                    .authorization = site_authorization(&here)}),
                     200);
    here.serve.token_to_read = false;
}

static void a_damaged_ledger_is_said(void **state)
{
    (void)state;
    site_write(here.root, "lethe.db", "no ledger at all, but some text that is long enough for a header", 0644);
    const int code = site_get(&here, "/api/records");
    assert_true(code == 422 || code == 500);
    assert_true(site_says(&here, "lethe.db"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_the_page_names_is_served),
        cmocka_unit_test(a_directory_without_records_has_none),
        cmocka_unit_test(records_and_receipts_are_sent_and_nothing_is_written),
        cmocka_unit_test(numbers_that_are_none_are_refused),
        cmocka_unit_test(records_may_need_the_token),
        cmocka_unit_test(a_damaged_ledger_is_said),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
