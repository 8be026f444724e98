// Error records: what a caller sees after a failure, across frames, hints, threads and reuse.
#include "lt_test.h"
#include "base/base.h"
#include <pthread.h>

static void texts_and_codes(void **state)
{
    (void)state;
    assert_string_equal(lt_status_text(LT_OK), "ok");
    assert_int_equal(lt_status_exit_code(LT_OK), 0);
    assert_int_equal(lt_status_exit_code(LT_E_USAGE), 2);
    assert_int_equal(lt_status_exit_code(LT_E_FORMAT), 3);
    assert_int_equal(lt_status_exit_code(LT_E_INTEGRITY), 4);
    assert_int_equal(lt_status_exit_code(LT_E_DIVERGED), 5);
    assert_int_equal(lt_status_exit_code(LT_E_NOSPACE), 7);
    assert_int_equal(lt_status_exit_code(LT_E_INTERRUPTED), 75);
}

static lt_status inner(void)
{
    LT_FAIL(LT_E_FORMAT, "thing: expected %d, found %s", 3, "four");
    return lt_error_hint("count again");
}

static lt_status middle(void)
{
    LT_TRY(inner());
    return LT_OK;
}

static lt_status outer(bool *cleaned)
{
    lt_status status;
    LT_TRY_GOTO(middle(), done);
done:
    *cleaned = true;
    return status;
}

static void frames_and_hint(void **state)
{
    (void)state;
    bool cleaned = false;
    assert_int_equal(outer(&cleaned), LT_E_FORMAT);
    assert_true(cleaned);
    const lt_error *e = lt_error_get();
    assert_string_equal(e->message, "thing: expected 3, found four");
    assert_string_equal(e->hint, "count again");
    assert_int_equal(e->n_frames, 3);
    assert_string_equal(e->frame[0].func, "inner");
    assert_string_equal(e->frame[1].func, "middle");
    assert_string_equal(e->frame[2].func, "outer");
    lt_error_hint("a second hint");
    assert_string_equal(e->hint, "count again");
    lt_error_clear();
    assert_int_equal(e->status, LT_OK);
    assert_int_equal(lt_error_hint("nothing failed"), LT_OK);
    assert_string_equal(e->hint, "");
}

// A bare status after an older failure must not wear the older message.
static lt_status bare(void)
{
    return LT_E_UNSUPPORTED;
}

static lt_status try_bare(void)
{
    LT_TRY(bare());
    return LT_OK;
}

static void status_without_record(void **state)
{
    (void)state;
    inner();
    assert_fails(LT_E_UNSUPPORTED, "not supported", try_bare());
    assert_int_equal(lt_error_get()->n_frames, 1);
    assert_string_equal(lt_error_get()->hint, "");
}

static void message_may_quote_the_record(void **state)
{
    (void)state;
    LT_FAIL(LT_E_IO, "first");
    LT_FAIL(LT_E_FAIL, "second after %s", lt_error_get()->message);
    assert_string_equal(lt_error_get()->message, "second after first");
}

static void long_messages_are_cut(void **state)
{
    (void)state;
    char text[3 * LT_ERROR_MESSAGE_MAX];
    memset(text, 'x', sizeof text - 1);
    text[sizeof text - 1] = 0;
    LT_FAIL(LT_E_FAIL, "%s", text);
    lt_error_hint("%s", text);
    assert_int_equal(strlen(lt_error_get()->message), LT_ERROR_MESSAGE_MAX - 1);
    assert_int_equal(strlen(lt_error_get()->hint), LT_ERROR_HINT_MAX - 1);
    for (int i = 0; i < 3 * LT_ERROR_FRAMES_MAX; i++)
        lt_error_frame(LT_E_FAIL, "f", i, "g");
    assert_int_equal(lt_error_get()->n_frames, LT_ERROR_FRAMES_MAX);
}

static void *fail_elsewhere(void *record)
{
    assert_int_equal(lt_error_get()->status, LT_OK);
    LT_FAIL(LT_E_IO, "in the worker");
    *(lt_error *)record = *lt_error_get();
    return NULL;
}

static void records_belong_to_threads(void **state)
{
    (void)state;
    pthread_t thread;
    lt_error record;
    LT_FAIL(LT_E_USAGE, "here");
    assert_int_equal(pthread_create(&thread, NULL, fail_elsewhere, &record), 0);
    pthread_join(thread, NULL);
    assert_string_equal(lt_error_get()->message, "here");
    lt_error_restore(&record);
    assert_int_equal(lt_error_get()->status, LT_E_IO);
    assert_string_equal(lt_error_get()->message, "in the worker");
    lt_error_restore(lt_error_get()); // onto itself
    assert_string_equal(lt_error_get()->message, "in the worker");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_and_codes),       cmocka_unit_test(frames_and_hint),
        cmocka_unit_test(status_without_record), cmocka_unit_test(message_may_quote_the_record),
        cmocka_unit_test(long_messages_are_cut), cmocka_unit_test(records_belong_to_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
