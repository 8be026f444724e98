// Streams of forget requests: every kind of line, cuts of a list in its order, disjointness, and every way to be wrong.
#include "data_test.h"

enum { N = 100 };
static lt_dataset *set; // ids = rows, label = row % 4

static int open_set(void **state)
{
    static uint8_t x[N];
    static int32_t y[N];
    for (int i = 0; i < N; i++)
        y[i] = i % 4;
    assert_ok(lt_dataset_from_arrays(1, 1, 1, 4, N, x, y, 0, NULL, NULL, &set));
    return scratch_begin(state);
}

static int close_set(void **state)
{
    lt_dataset_close(set);
    return scratch_end(state);
}

static lt_status parse(const char *text, const lt_index_set *gone, lt_requests *out)
{
    const lt_request_ask ask = {.seed = 3, .gone = gone};
    return lti_requests_parse(set, text, strlen(text), "stream.txt", scratch_dir, &ask, out);
}

static void check_disjoint(const lt_requests *r)
{
    uint8_t seen[N] = {0};
    for (int k = 0; k < r->n; k++)
        for (int64_t i = 0; i < r->request[k].forget.n; i++) {
            const int64_t row = r->request[k].forget.row[i];
            assert_in_range(row, 0, N - 1);
            assert_false(seen[row]++);
            assert_true(i == 0 || row > r->request[k].forget.row[i - 1]);
        }
}

static void lines_of_every_kind(void **state)
{
    (void)state;
    lt_requests r, again;
    put_file("a.csv", "unlearn_idx\n99\n7\n", 17);
    const char *text = "\xef\xbb\xbf# a stream\n"
                       "random:10\n\n"
                       "  file:a.csv   # beside this file\r\n"
                       "class:2\n"
                       "random:5% seed=9";
    assert_ok(parse(text, NULL, &r));
    assert_int_equal(r.n, 4);
    assert_int_equal(r.request[0].forget.n, 10);
    assert_int_equal(r.request[1].forget.n, 2);
    assert_int_equal(r.request[1].forget.row[0], 7);
    assert_int_equal(r.request[2].forget.n, 25);
    assert_int_equal(r.request[3].forget.n, 5);
    assert_string_equal(r.request[1].spec, "file:a.csv");
    check_disjoint(&r); // also the first line, which was drawn knowing of those below it
    assert_ok(parse(text, NULL, &again));
    for (int k = 0; k < 4; k++)
        assert_memory_equal(r.request[k].forget.row, again.request[k].forget.row,
                            (size_t)r.request[k].forget.n * sizeof(int64_t));
    lt_requests_clear(&again);
    lt_requests_clear(&r);
    lt_requests_clear(&r); // twice is fine
}

static void seeds_of_random_requests(void **state)
{
    (void)state;
    lt_requests a, b;
    lt_index_set alone;
    assert_ok(parse("random:10\nrandom:10\n", NULL, &a));
    assert_ok(lt_forget_parse(set, "random:10", 3, &alone)); // the first draw of a stream is that of --forget
    assert_memory_equal(a.request[0].forget.row, alone.row, 10 * sizeof(int64_t));
    lt_index_set_clear(&alone);
    assert_memory_not_equal(a.request[0].forget.row, a.request[1].forget.row, 10 * sizeof(int64_t));
    assert_ok(parse("random:10 seed=3\nrandom:10 seed=4\n", NULL, &b)); // the seeds count up from that of the stream
    assert_memory_equal(a.request[1].forget.row, b.request[1].forget.row, 10 * sizeof(int64_t));
    lt_requests_clear(&b);
    assert_ok(parse("random:10 seed=4\nrandom:10 seed=3", NULL, &b));
    assert_ok(lt_forget_parse(set, "random:10", 4, &alone));
    assert_memory_equal(b.request[0].forget.row, alone.row, 10 * sizeof(int64_t));
    lt_index_set_clear(&alone);
    lt_requests_clear(&a);
    lt_requests_clear(&b);
    // All that is left can be drawn, except that something must stay.
    assert_ok(parse("class:0\nclass:1\nrandom:49\n", NULL, &a));
    check_disjoint(&a);
    lt_requests_clear(&a);
    assert_fails(LT_E_USAGE, "nothing would be retained", parse("class:0\nclass:1\nrandom:50\n", NULL, &a));
    assert_fails(LT_E_USAGE, "stream.txt:2: random:80: expected 80 samples that nothing else names, found 75",
                 parse("class:0\nrandom:80\n", NULL, &a));
    assert_null(a.request);
}

static void what_is_gone_stays_gone(void **state)
{
    (void)state;
    int64_t row[] = {7, 50, 99};
    const lt_index_set gone = {.n = 3, .row = row};
    lt_requests r;
    put_file("a.csv", "99\n7\n", 5);
    assert_fails(LT_E_USAGE, "request 2 (file:a.csv): index 7 has been forgotten already",
                 parse("random:5\nfile:a.csv\n", &gone, &r));
    assert_ok(parse("random:96\n", &gone, &r));
    for (int64_t i = 0; i < 96; i++)
        assert_true(r.request[0].forget.row[i] != 7 && r.request[0].forget.row[i] != 99);
    lt_requests_clear(&r);
}

static void wrong_lines(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
        lt_status status;
    } wrong[] = {
        {"", "at least one request", LT_E_FORMAT},
        {"# nothing\n\n", "at least one request", LT_E_FORMAT},
        {"random:5\n17\n", "stream.txt:2: '17' is not a forget set", LT_E_FORMAT},
        {"random:5 sed=1", "stream.txt:1: expected one forget set, or random:N seed=S, found 'sed=1'", LT_E_FORMAT},
        {"class:1 seed=1", "found 'seed=1' after it", LT_E_FORMAT},
        {"random:5 seed=x", "seed: expected a whole number", LT_E_FORMAT},
        {"random:0", "stream.txt:1: ", LT_E_USAGE},
        {"random:0%", "stream.txt:1: random:0%: empty", LT_E_USAGE},
        {"random:101", "stream.txt:1: ", LT_E_USAGE},
        {"class:9", "stream.txt:1: forget set class:9", LT_E_USAGE},
        {"file:nowhere.csv", "nowhere.csv", LT_E_INPUT},
        {"file:bad.csv", "bad.csv:1: index 400 is out of range", LT_E_FORMAT},
        {"class:1\nfile:b.csv\nclass:2", "index 2 is in request 2 (file:b.csv) and in request 3 (class:2)",
         LT_E_FORMAT},
        {"class:1\nclass:1", "index 1 is in request 1 (class:1) and in request 2", LT_E_FORMAT},
    };
    put_file("bad.csv", "400\n", 4);
    put_file("b.csv", "2\n4\n", 4);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        lt_requests r;
        assert_fails(wrong[i].status, wrong[i].part, parse(wrong[i].text, NULL, &r));
        assert_null(r.request);
        assert_int_equal(r.n, 0);
    }
    lt_requests r;
    const lt_request_ask ask = {.seed = 1};
    assert_fails(LT_E_FORMAT, "zero byte", lti_requests_parse(set, "class:1\0x", 9, "s", "", &ask, &r));
}

static void a_list_cut_in_order(void **state)
{
    (void)state;
    const lt_request_ask ask = {.seed = 1};
    lt_requests r;
    char spec[500];
    put_file("list.csv", "unlearn_idx\n90\n3\n40\n8\n70\n1\n55\n", 30);
    snprintf(spec, sizeof spec, "split:3x2:%s", in_scratch("list.csv"));
    assert_ok(lt_requests_open(set, spec, &ask, &r));
    static const int64_t want[3][2] = {{3, 90}, {8, 40}, {1, 70}}; // pieces in the list's order, each ascending
    assert_int_equal(r.n, 3);
    for (int k = 0; k < 3; k++) {
        assert_int_equal(r.request[k].forget.n, 2);
        assert_memory_equal(r.request[k].forget.row, want[k], sizeof want[k]);
    }
    assert_contains(r.request[1].spec, "list.csv, indices 3 to 4");
    lt_requests_clear(&r);
    snprintf(spec, sizeof spec, "cut:4x2:%s", in_scratch("list.csv"));
    assert_fails(LT_E_FORMAT, "expected at least 8 indices for 4 requests of 2, found 7",
                 lt_requests_open(set, spec, &ask, &r));
    char every[400];
    int length = 0;
    int64_t last[] = {97, 98, 99};
    const lt_index_set gone = {.n = 3, .row = last};
    for (int i = 0; i < 97; i++)
        length += snprintf(every + length, sizeof every - (size_t)length, "%d\n", i);
    put_file("every.csv", every, (size_t)length);
    snprintf(spec, sizeof spec, "split:1x97:%s", in_scratch("every.csv"));
    assert_fails(LT_E_USAGE, "nothing would be retained",
                 lt_requests_open(set, spec, &(lt_request_ask){.seed = 1, .gone = &gone}, &r));
    put_file("twice.csv", "5\n6\n5\n", 6);
    snprintf(spec, sizeof spec, "split:3x1:%s", in_scratch("twice.csv"));
    assert_fails(LT_E_FORMAT, "index 5 appears twice", lt_requests_open(set, spec, &ask, &r));
    static const char *const wrong[] = {"split:",
                                        "split:5",
                                        "split:0x3:f",
                                        "split:3x0:f",
                                        "split:3x4",
                                        "split:3x4:",
                                        "split:-1x4:f",
                                        "split:99999999999999999999x1:f",
                                        "split:1x99999999999999999:f"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_fails(LT_E_USAGE, "split:KxN:IDS.csv", lt_requests_open(set, wrong[i], &ask, &r));
    assert_fails(LT_E_INPUT, "nowhere", lt_requests_open(set, "nowhere", &ask, &r));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_every_kind),     cmocka_unit_test(seeds_of_random_requests),
        cmocka_unit_test(what_is_gone_stays_gone), cmocka_unit_test(wrong_lines),
        cmocka_unit_test(a_list_cut_in_order),
    };
    return cmocka_run_group_tests(tests, open_set, close_set);
}
