// Allocation hook, arena, buffer, digest, numbers, specifications, events, and independence of the locale.
#include "lt_test.h"
#include "base/base.h"
#include "lethe/machine.h"
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void allocation_hook(void **state)
{
    (void)state;
    const int64_t before = lti_alloc_count();
    void *p = lti_malloc(0);
    assert_non_null(p);
    lti_free(p);
    lti_alloc_fail_at(2);
    p = lti_malloc(8);
    assert_non_null(p);
    assert_null(lti_calloc(1, 8));
    void *q = lti_realloc(p, 100);
    assert_non_null(q);
    lti_free(q);
    assert_int_equal(lti_alloc_count() - before, 4);
    lti_alloc_fail_at(0);
    volatile size_t huge = SIZE_MAX / 2;
    assert_null(lti_calloc(huge, 4));
    assert_null(lti_aligned_alloc(64, SIZE_MAX - 3));
    unsigned char *a = lti_aligned_alloc(64, 100);
    assert_non_null(a);
    assert_int_equal((uintptr_t)a % 64, 0);
    for (int i = 0; i < 100; i++)
        assert_int_equal(a[i], 0);
    lti_free(a);
}

// More than any machine has is refused with what was needed; what is small is not asked about.
static void memory_is_asked_about_first(void **state)
{
    (void)state;
    lt_machine m;
    lt_machine_read(&m);
    assert_true(m.available_bytes <= m.memory_bytes || m.memory_bytes == 0);
    assert_ok(lti_memory_check(1 << 20, "a little"));
    if (m.available_bytes == 0)
        return; // the system does not say
    assert_fails(LT_E_NOMEM, "all of it needs 931322574.6 GiB, but only", lti_memory_check(1e18, "all of it"));
    assert_true(strstr(lt_error_get()->hint, "smaller batch") != NULL);
    assert_int_equal(lt_status_exit_code(LT_E_NOMEM), 7);
}

static void arena(void **state)
{
    (void)state;
    lti_arena a = {0};
    unsigned char *p[200];
    for (size_t i = 0; i < 200; i++) {
        p[i] = lti_arena_alloc(&a, i * 37 % 3000);
        assert_non_null(p[i]);
        assert_int_equal((uintptr_t)p[i] % 16, 0);
        for (size_t j = 0; j < i * 37 % 3000; j++)
            assert_int_equal(p[i][j], 0);
        memset(p[i], (int)i + 1, i * 37 % 3000);
    }
    for (size_t i = 0; i < 200; i++) // nobody wrote into somebody else
        for (size_t j = 0; j < i * 37 % 3000; j++)
            assert_int_equal(p[i][j], (unsigned char)(i + 1));
    assert_string_equal(lti_arena_strdup(&a, "text"), "text");
    assert_null(lti_arena_alloc(&a, SIZE_MAX - 5));
    lti_arena_clear(&a);
    lti_alloc_fail_at(1);
    assert_null(lti_arena_strdup(&a, "text"));
    lti_alloc_fail_at(0);
    lti_arena_clear(&a);
}

static void buffer(void **state)
{
    (void)state;
    lti_buf b = {0};
    for (int i = 0; i < 1000; i++)
        lti_buf_printf(&b, "%d,", i);
    assert_int_equal(b.n, 10 * 2 + 90 * 3 + 900 * 4);
    char *text = lti_buf_take(&b);
    assert_memory_equal(text, "0,1,2,", 6);
    free(text);
    text = lti_buf_take(&b);
    assert_string_equal(text, "");
    free(text);
    lti_buf_puts(&b, "x");
    lti_alloc_fail_at(1);
    for (int i = 0; i < 1000; i++)
        lti_buf_puts(&b, "more");
    lti_alloc_fail_at(0);
    assert_true(b.failed);
    assert_null(b.data);
    lti_buf_puts(&b, "too late");
    assert_null(lti_buf_take(&b));
}

static void json_text(void **state)
{
    (void)state;
    lti_buf b = {0};
    lti_buf_json_string(&b,
                        "a\"b\\c\n\x01 \xc3\xa4 \xff \xed\xa0\x80 \xc0\xaf \xf0\x9f\x98\x80 \xf4\x90\x80\x80 \xe2\x82");
    assert_string_equal(b.data, "\"a\\\"b\\\\c\\n\\u0001 \xc3\xa4 \\ufffd \\ufffd\\ufffd\\ufffd \\ufffd\\ufffd "
                                "\xf0\x9f\x98\x80 \\ufffd\\ufffd\\ufffd\\ufffd \\ufffd\\ufffd\"");
    lti_buf_clear(&b);
    const double numbers[] = {0.1, -0.0, 1e300, 3, (double)NAN, (double)-INFINITY, 1.0 / 3};
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        lti_buf_json_number(&b, numbers[i]);
        lti_buf_puts(&b, " ");
    }
    assert_string_equal(b.data, "0.1 0 1e+300 3 null null 0.3333333333333333 ");
    lti_buf_clear(&b);
}

static void digest(void **state)
{
    (void)state;
    char hex[65];
    lti_hash h;
    // BLAKE2b-256 of "" and "abc" as published by other implementations.
    lti_hash_init(&h);
    lti_hash_hex(&h, hex);
    assert_string_equal(hex, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8");
    lti_hash_init(&h);
    lti_hash_add(&h, "a", 1);
    lti_hash_add(&h, "bc", 2);
    lti_hash_hex(&h, hex);
    assert_string_equal(hex, "bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319");
}

static void whole_numbers(void **state)
{
    (void)state;
    int64_t i;
    uint64_t u;
    assert_ok(lti_parse_i64("-12", "n", -20, 20, &i));
    assert_int_equal(i, -12);
    assert_ok(lti_parse_i64("+7", "n", -20, 20, &i));
    assert_ok(lti_parse_i64("9223372036854775807", "n", INT64_MIN, INT64_MAX, &i));
    assert_true(i == INT64_MAX);
    static const char *const bad[] = {"", "-", "1e3", "1.0", " 1", "1 ", "0x10", "1k", "--1", "nan"};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++) {
        assert_fails(LT_E_USAGE, "n: expected a whole number, found", lti_parse_i64(bad[k], "n", -20, 20, &i));
        assert_fails(LT_E_USAGE, "n: expected a whole number, found", lti_parse_u64(bad[k], "n", 20, &u));
    }
    assert_fails(LT_E_USAGE, "n: expected -20..20, found 21", lti_parse_i64("21", "n", -20, 20, &i));
    assert_fails(LT_E_USAGE, "found 99999999999999999999", lti_parse_i64("99999999999999999999", "n", -20, 20, &i));
    assert_fails(LT_E_USAGE, "n: expected 0..20, found -1", lti_parse_u64("-1", "n", 20, &u));
    assert_ok(lti_parse_u64("18446744073709551615", "n", UINT64_MAX, &u));
    assert_true(u == UINT64_MAX);
    assert_fails(LT_E_USAGE, "found 18446744073709551616", lti_parse_u64("18446744073709551616", "n", UINT64_MAX, &u));
}

static void real_numbers(void **state)
{
    (void)state;
    double x;
    char text[LTI_NUMBER_MAX];
    assert_ok(lti_parse_f64("-1.5e-3", "x", -1, 1, &x));
    assert_true(x == -1.5e-3);
    assert_ok(lti_parse_f64("1e-400", "x", 0, 1, &x)); // underflow is a small number
    static const char *const bad[] = {"", "nan", "inf", "0x1p3", " 1", "1 ", "1,5", "1e", "e3", "1.2.3", "."};
    for (size_t k = 0; k < sizeof bad / sizeof *bad; k++)
        assert_fails(LT_E_USAGE, "x: expected a number, found", lti_parse_f64(bad[k], "x", -1, 1, &x));
    assert_fails(LT_E_USAGE, "--lr: expected 0..10, found 11", lti_parse_f64("11", "--lr", 0, 10, &x));
    assert_fails(LT_E_USAGE, "found 1e999", lti_parse_f64("1e999", "x", 0, INFINITY, &x));
    assert_string_equal(lti_number_text(0.1, false, text), "0.1");
    assert_string_equal(lti_number_text((double)0.1f, true, text), "0.1");
    assert_string_equal(lti_number_text((double)0.1f, false, text), "0.10000000149011612");
    assert_string_equal(lti_number_text(100000, false, text), "100000");
    assert_true(lti_decimal_of(0.1f) == 0.1 && lti_decimal_of(0.0144f) == 0.0144 && lti_decimal_of(-3) == -3);
    assert_true(isinf(lti_decimal_of(INFINITY)));
    assert_string_equal(lti_number_text(-2147483648.0, false, text), "-2147483648");
    assert_string_equal(lti_number_text(1e22, false, text), "1e+22");
    lt_rng rng = lt_rng_at(1, LT_STREAM_TEST, 0, 0);
    for (int i = 0; i < 1000; i++) { // any bits survive the round trip
        const uint64_t bits = (uint64_t)lt_rng_u32(&rng) << 32 | lt_rng_u32(&rng);
        double y, back;
        memcpy(&y, &bits, sizeof y);
        if (!isfinite(y))
            continue;
        assert_ok(lti_parse_f64(lti_number_text(y, false, text), "x", -INFINITY, INFINITY, &back));
        assert_true(back == y);
    }
}

static void specifications(void **state)
{
    (void)state;
    lti_spec s;
    assert_ok(lti_spec_parse("cifar10", &s));
    assert_string_equal(s.name, "cifar10");
    assert_null(s.path);
    assert_int_equal(s.n, 0);
    lti_spec_clear(&s);
    assert_ok(lti_spec_parse("cifar10:/data/a=b/x,train-limit=100,note=", &s));
    assert_string_equal(s.path, "/data/a=b/x");
    assert_int_equal(s.n, 2);
    assert_string_equal(lti_spec_get(&s, "train_limit"), "100");
    assert_string_equal(lti_spec_get(&s, "note"), "");
    assert_null(lti_spec_get(&s, "train"));
    lti_spec_clear(&s);
    assert_ok(lti_spec_parse("resnet18:width=16,proj-half=1", &s));
    assert_null(s.path);
    assert_string_equal(s.key[0], "width");
    assert_string_equal(s.value[1], "1");
    lti_spec_clear(&s);
    assert_ok(lti_spec_parse("cuda,precision=bf16", &s)); // as if it were a colon
    assert_string_equal(s.name, "cuda");
    assert_null(s.path);
    assert_string_equal(lti_spec_get(&s, "precision"), "bf16");
    lti_spec_clear(&s);
    assert_fails(LT_E_USAGE, "found no name", lti_spec_parse("", &s));
    assert_fails(LT_E_USAGE, "found no name", lti_spec_parse(":a=1", &s));
    assert_fails(LT_E_USAGE, "expected key=value, found ''", lti_spec_parse("a:", &s));
    assert_fails(LT_E_USAGE, "expected key=value, found 'x'", lti_spec_parse("a:b=1,x", &s));
    assert_fails(LT_E_USAGE, "expected key=value, found ''", lti_spec_parse("a:b=1,", &s));
    assert_fails(LT_E_USAGE, "found 'b-c' twice", lti_spec_parse("a:b_c=1,b-c=2", &s));
    for (int n = 1; n < 10; n++) {
        lti_alloc_fail_at(n);
        const lt_status status = lti_spec_parse("name:path,a=1", &s);
        lti_alloc_fail_at(0);
        if (status == LT_OK) {
            lti_spec_clear(&s);
            return;
        }
        assert_int_equal(status, LT_E_NOMEM);
    }
    fail();
}

typedef struct heard {
    int n;
    lt_event last;
    char text[100];
    lt_events *reply_to;
} heard;

static void listen(void *self, const lt_event *event)
{
    heard *h = self;
    h->n++;
    h->last = *event;
    lti_format(h->text, sizeof h->text, "%s", event->text ? event->text : "");
    if (h->reply_to && event->kind != LT_EV_INFO)
        lt_info(h->reply_to, "reply", "heard %s", event->name);
}

static void events(void **state)
{
    (void)state;
    lt_events *e;
    heard a = {0}, b = {0};
    lt_info(NULL, "x", "dropped");
    lt_emit(NULL, &(lt_event){.kind = LT_EV_METRIC});
    assert_ok(lt_events_create(&e));
    assert_ok(lt_events_add(e, (lt_sink){listen, &a}));
    assert_ok(lt_events_add(e, (lt_sink){listen, &b}));
    lt_warn(e, "name", "%d bottles", 3);
    assert_int_equal(a.n, 1);
    assert_int_equal(b.n, 1);
    assert_string_equal(a.text, "3 bottles");
    assert_int_equal(a.last.kind, LT_EV_WARNING);
    assert_int_equal(a.last.epoch, -1);
    assert_true(a.last.wall_s >= 0);
    lt_events_remove(e, &a);
    b.reply_to = e; // a sink may emit
    lt_emit(e, &(lt_event){.kind = LT_EV_METRIC, .name = "m", .step = 4});
    assert_int_equal(a.n, 1);
    assert_int_equal(b.n, 3);
    assert_string_equal(b.text, "heard m");
    lti_alloc_fail_at(1);
    assert_fails(LT_E_NOMEM, "", lt_events_add(e, (lt_sink){listen, &a}));
    lti_alloc_fail_at(0);
    lt_events_destroy(e);
    lt_events_destroy(NULL);
}

// A locale with a decimal comma: an installed one, else one compiled into a temporary directory.
static bool set_comma_locale(char *dir)
{
    static const char *const names[] = {"de_DE.UTF-8", "fr_FR.UTF-8", "de_DE", "fr_FR"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (setlocale(LC_ALL, names[i]))
            return true;
    char command[300];
    if (!mkdtemp(dir))
        return false;
    snprintf(command, sizeof command, "localedef -i de_DE -f UTF-8 '%s/de_DE.UTF-8' >/dev/null 2>&1", dir);
    setenv("LOCPATH", dir, 1);
    return system(command) == 0 && setlocale(LC_ALL, "de_DE.UTF-8");
}

static void locale_does_not_matter(void **state)
{
    (void)state;
    char dir[] = "/tmp/lethe-locale-XXXXXX", text[LTI_NUMBER_MAX], command[100];
    const bool comma = set_comma_locale(dir);
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    if (strchr(dir, 'X') == NULL && system(command) != 0)
        fail();
    if (!comma) {
        print_message("no locale with a decimal comma here\n");
        skip();
    }
    char native[20];
    snprintf(native, sizeof native, "%.1f", 0.5);
    assert_string_equal(native, "0,5"); // the locale does what we think
    double x = 0;
    lti_buf b = {0};
    assert_string_equal(lti_number_text(0.5, false, text), "0.5");
    assert_ok(lti_parse_f64("0.5", "x", 0, 1, &x));
    assert_true(x == 0.5);
    lti_buf_printf(&b, "%.2f", 0.25);
    assert_string_equal(b.data, "0.25");
    lti_buf_clear(&b);
    LT_FAIL(LT_E_FAIL, "%.1f", 1.5);
    assert_string_equal(lt_error_get()->message, "1.5");
    snprintf(native, sizeof native, "%.1f", 0.5);
    assert_string_equal(native, "0,5"); // and we left it in place
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocation_hook),
        cmocka_unit_test(memory_is_asked_about_first),
        cmocka_unit_test(arena),
        cmocka_unit_test(buffer),
        cmocka_unit_test(json_text),
        cmocka_unit_test(digest),
        cmocka_unit_test(whole_numbers),
        cmocka_unit_test(real_numbers),
        cmocka_unit_test(specifications),
        cmocka_unit_test(events),
        cmocka_unit_test(locale_does_not_matter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
