// test_event_streams.c - readers of event files: vectors of the formats' descriptions, an independent reader's sums
// over the stored recordings (tests/golden/read_events.py), malformed files, frames, splits, the simulated sensor.
#include "lt_test.h"
#include "data/event_set.h"
#include "lethe/data.h"
#include <stdlib.h>

static void parse(const void *bytes, size_t n, const char *format, lt_event_stream *s)
{
    assert_ok(lt_event_stream_parse(bytes, n, "test", format, s));
}

static void assert_event(const lt_event_stream *s, int64_t i, int64_t t, int x, int y, int p)
{
    assert_true(i < s->n);
    assert_int_equal(s->event[i].t_us, t);
    assert_int_equal(s->event[i].x, x);
    assert_int_equal(s->event[i].y, y);
    assert_int_equal(s->event[i].p, p);
}

static void test_bin(void **state)
{
    (void)state;
    // Two events of an N-MNIST file; one after an overflow marker; out of order.
    static const uint8_t bytes[] = {0x07, 0x0F, 0x80, 0x02, 0x8E, 0x13, 0x12, 0x00, 0x0B, 0xB7,
                                    0x05, 240,  0x00, 0x00, 0x00, 1,    2,    0x80, 0x00, 0x01};
    lt_event_stream s;
    parse(bytes, sizeof bytes, "auto", &s);
    assert_int_equal(s.n, 3);
    assert_int_equal(s.n_markers, 1);
    assert_event(&s, 0, 654, 7, 15, 1);
    assert_event(&s, 1, 2999, 19, 18, 0);
    assert_event(&s, 2, 8193, 1, 2, 1);
    lt_event_stream_clear(&s);
    assert_fails(LT_E_FORMAT, "multiple of 5", lt_event_stream_parse(bytes, 7, "x.bin", "bin", &s));
}

static void test_aedat2(void **state)
{
    (void)state;
    static const char head[] = "#!AER-DAT2.0\r\n# a comment\r\n";
    static const uint8_t body[] = {0, 0, 0x3A, 0x15, 0, 0, 3, 0xE8, 0, 0, 0x80, 0, 0, 0, 4, 0};
    uint8_t bytes[sizeof head - 1 + sizeof body];
    memcpy(bytes, head, sizeof head - 1);
    memcpy(bytes + sizeof head - 1, body, sizeof body);
    lt_event_stream s;
    parse(bytes, sizeof bytes, "aedat2-cifar10-dvs", &s);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.n_dropped, 1);
    assert_event(&s, 0, 1000, 69, 117, 0);
    lt_event_stream_clear(&s);
    parse(bytes, sizeof bytes, "auto", &s); // x 10, y 58 from below
    assert_event(&s, 0, 1000, 10, 69, 1);
    assert_int_equal(s.w, 128);
    lt_event_stream_clear(&s);
    assert_fails(LT_E_FORMAT, "multiple of 8", lt_event_stream_parse(bytes, sizeof bytes - 3, "x", "aedat2", &s));
    assert_fails(LT_E_FORMAT, "end of a header line", lt_event_stream_parse(bytes, 10, "x", "aedat2", &s));
    // A DAVIS address: y bits 30..22, x bits 21..12, polarity bit 11.
    uint8_t davis[] = {0, 0, 0, 0, 0, 0, 0, 9};
    const uint32_t a = 200u << 22 | 300u << 12 | 1u << 11;
    for (int i = 0; i < 4; i++)
        davis[i] = (uint8_t)(a >> (24 - 8 * i));
    parse(davis, sizeof davis, "aedat2", &s);
    assert_event(&s, 0, 9, 300, 200, 1);
    lt_event_stream_clear(&s);
}

static size_t make_aedat3(uint8_t *out, int number, int capacity)
{
    static const char head[] = "#!AER-DAT3.1\r\n#Format: RAW\r\n#!END-HEADER\r\n";
    static const uint8_t event[16] = {0x27, 0, 0x0A, 0, 0xE8, 3, 0, 0,
                                      0x26, 0, 0x0A, 0, 0xE9, 3, 0, 0}; // the second invalid
    size_t n = sizeof head - 1;
    memcpy(out, head, n);
    uint8_t *h = out + n;
    memset(h, 0, 28);
    h[0] = 1;
    h[4] = 8;
    h[8] = 4;
    h[12] = 1; // one overflow of the time
    h[16] = (uint8_t)capacity;
    h[20] = (uint8_t)number;
    memcpy(h + 28, event, 16);
    return n + 28 + 16;
}

static void test_aedat3(void **state)
{
    (void)state;
    uint8_t bytes[256];
    lt_event_stream s;
    size_t n = make_aedat3(bytes, 2, 2);
    parse(bytes, n, "auto", &s);
    assert_int_equal(s.n, 1);
    assert_int_equal(s.n_dropped, 1);
    assert_event(&s, 0, 1000 + ((int64_t)1 << 31), 5, 9, 1);
    lt_event_stream_clear(&s);
    assert_fails(LT_E_FORMAT, "does not fit", lt_event_stream_parse(bytes, n - 1, "x", "auto", &s));
    assert_fails(LT_E_FORMAT, "packet header", lt_event_stream_parse(bytes, n - 20, "x", "auto", &s));
    n = make_aedat3(bytes, 2, 1);
    assert_fails(LT_E_FORMAT, "does not fit", lt_event_stream_parse(bytes, n, "x", "auto", &s));
    assert_fails(LT_E_FORMAT, "END-HEADER", lt_event_stream_parse(bytes, 20, "x", "auto", &s));
    assert_fails(LT_E_USAGE, "aedat5", lt_event_stream_parse(bytes, n, "x", "aedat5", &s));
}

// ---- the stored recordings

static uint64_t weighted(const lt_event_stream *s, int what)
{
    const uint64_t p = ((uint64_t)1 << 61) - 1;
    uint64_t sum = 0;
    for (int64_t i = 0; i < s->n; i++) {
        const lt_dvs_event *e = &s->event[i];
        const uint64_t v = what == 0 ? (uint64_t)e->t_us : what == 1 ? e->x : what == 2 ? e->y : e->p;
        for (uint64_t k = (uint64_t)(i + 1), term = v % p; k; k >>= 1, term = (term + term) % p)
            if (k & 1)
                sum = (sum + term) % p;
    }
    return sum;
}

static void test_independent_reader(void **state)
{
    (void)state;
    const char *root = getenv("LETHE_DATA");
    char line[512], path[1024], name[256];
    int n_read = 0, n_lines = 0;
    FILE *list = fopen(LT_TEST_SOURCE_DIR "/tests/golden/events.tsv", "r");
    assert_non_null(list);
    while (fgets(line, sizeof line, list)) {
        unsigned long long want[5];
        assert_int_equal(sscanf(line, "%255[^\t]\t%llu\t%llu\t%llu\t%llu\t%llu", name, &want[0], &want[1], &want[2],
                                &want[3], &want[4]),
                         6);
        n_lines++;
        snprintf(path, sizeof path, "%s/events/%s", root ? root : "", name);
        if (!root || access(path, R_OK) != 0 || (n_lines % 8 != 0 && !strstr(name, "aedat4") && !strstr(name, "n-cal")))
            continue; // every eighth digit is enough for a quick test
        lt_event_stream s;
        assert_ok(lt_event_stream_open(path, "auto", &s));
        assert_int_equal(s.n, want[0]);
        for (int k = 0; k < 4; k++)
            if (weighted(&s, k) != want[k + 1])
                fail_msg("%s: column %d differs from the independent reader's", name, k);
        if (strstr(name, "aedat4")) {
            assert_int_equal(s.w, 346);
            assert_int_equal(s.h, 260);
        }
        lt_event_stream_clear(&s);
        n_read++;
    }
    fclose(list);
    assert_true(n_lines > 100);
    print_message("%d of %d recordings compared\n", n_read, n_lines);
}

static void test_aedat4_damage(void **state)
{
    (void)state;
    lt_event_stream s;
    assert_fails(LT_E_FORMAT, "header", lt_event_stream_parse("#!AER-DAT4.0\r\n", 14, "x", "auto", &s));
    uint8_t bytes[64] = "#!AER-DAT4.0\r\n";
    bytes[14] = 200;
    assert_fails(LT_E_FORMAT, "announces", lt_event_stream_parse(bytes, sizeof bytes, "x", "auto", &s));
    bytes[14] = 20;
    bytes[18] = 250;
    assert_fails(LT_E_FORMAT, "root table", lt_event_stream_parse(bytes, sizeof bytes, "x", "auto", &s));
}

// ---- frames

static void test_frames(void **state)
{
    (void)state;
    lt_dvs_event e[7] = {{100, 0, 0, 1}, {110, 1, 0, 0}, {119, 1, 0, 0}, {120, 0, 1, 1},
                         {135, 1, 1, 1}, {139, 1, 1, 1}, {140, 1, 1, 0}};
    const lt_event_stream s = {.n = 7, .event = e};
    lt_frame_spec f = {.steps = 2, .w = 2, .h = 2};
    uint16_t x[2 * 2 * 4];
    int64_t lost;
    assert_ok(lt_event_frames(&s, &f, x, &lost)); // D = 20: [100,120), [120,140); the event at 140 is in none
    assert_int_equal(lost, 1);
    assert_int_equal(x[1], 2);         // frame 0, off, (1,0)
    assert_int_equal(x[4], 1);         // frame 0, on, (0,0)
    assert_int_equal(x[8 + 4 + 3], 2); // frame 1, on, (1,1)
    assert_int_equal(x[8 + 3], 0);
    f.rule = LT_FRAMES_TIME_ALL;
    assert_ok(lt_event_frames(&s, &f, x, &lost));
    assert_int_equal(lost, 0);
    assert_int_equal(x[8 + 3], 1);
    f.rule = LT_FRAMES_COUNT; // three events a frame
    assert_ok(lt_event_frames(&s, &f, x, &lost));
    assert_int_equal(lost, 1);
    f.rule = LT_FRAMES_COUNT_ALL;
    assert_ok(lt_event_frames(&s, &f, x, &lost));
    assert_int_equal(lost, 0);
    f.rule = LT_FRAMES_WINDOW;
    f.window_us = 15; // floor((40 - 15) / 15) + 1 = 2 windows: 100..115, 115..130
    assert_ok(lt_event_frames(&s, &f, x, &lost));
    assert_int_equal(lost, 3);
    f.rule = LT_FRAMES_TIME_ALL;
    f.steps = 10; // D = 4: no event in frame 1
    uint16_t many[10 * 2 * 4];
    assert_fails(LT_E_FORMAT, "frame 1", lt_event_frames(&s, &f, many, NULL));
    f.w = 1;
    f.rule = LT_FRAMES_TIME;
    assert_fails(LT_E_FORMAT, "outside", lt_event_frames(&s, &f, many, NULL));
    // All events at one time: they are in no frame of tonic's rule.
    lt_dvs_event same[2] = {{5, 0, 0, 1}, {5, 0, 0, 1}};
    f = (lt_frame_spec){.steps = 2, .w = 1, .h = 1};
    assert_ok(lt_event_frames(&(lt_event_stream){.n = 2, .event = same}, &f, x, &lost));
    assert_int_equal(lost, 2);
}

static void test_glyphs(void **state)
{
    (void)state;
    lt_glyph_spec g = {
        .seed = 1, .index = 4, .label = 3, .side = 20, .duration_us = 60000, .threshold = 0.4, .noise_hz = 5};
    lt_event_stream a, b;
    assert_ok(lt_glyph_events(&g, &a));
    assert_ok(lt_glyph_events(&g, &b));
    assert_true(a.n > 200 && a.n == b.n);
    int64_t on = 0;
    for (int64_t i = 0; i < a.n; i++) {
        assert_true(a.event[i].t_us == b.event[i].t_us && a.event[i].x == b.event[i].x);
        assert_true(a.event[i].t_us >= 0 && a.event[i].t_us <= 60000 && a.event[i].x < 20 && a.event[i].y < 20);
        assert_true(i == 0 || a.event[i].t_us >= a.event[i - 1].t_us);
        on += a.event[i].p;
    }
    assert_in_range(100 * on / a.n, 30, 70); // leading and trailing edges
    lt_event_stream_clear(&a);
    lt_event_stream_clear(&b);
}

// ---- splits

static void test_split_file(void **state)
{
    (void)state;
    lti_event_item item[2] = {{.path = "a/1", .name = "a/1"}, {.path = "a/2", .name = "a/2", .y = 0}};
    lti_event_list list = {.n = 2, .item = item};
    static const char no_digest[] = "train a/1\ntest a/2\n";
    assert_fails(LT_E_INTEGRITY, "digest", lti_event_split_parse(no_digest, sizeof no_digest - 1, "s", &list));
    char good[256];
    snprintf(good, sizeof good, "# digest %s\r\ntrain a/1\r\ntest a/2\r\n", list.digest);
    assert_ok(lti_event_split_parse(good, strlen(good), "s", &list));
    assert_int_equal(item[0].split, LT_TRAIN);
    assert_int_equal(item[1].split, LT_TEST);
    assert_fails(LT_E_FORMAT, "is missing", lti_event_split_parse("train a/9", 9, "s", &list));
    assert_fails(LT_E_FORMAT, "twice", lti_event_split_parse("train a/1\ntest a/1", 18, "s", &list));
    assert_fails(LT_E_FORMAT, "lists 1", lti_event_split_parse("train a/1", 9, "s", &list));
    assert_fails(LT_E_FORMAT, "line 1", lti_event_split_parse("valid a/1", 9, "s", &list));
}

static void test_sets(void **state)
{
    (void)state;
    lt_dataset *ds;
    assert_ok(lt_dataset_open("moving-glyphs,steps=3,train=12,test=4,side=16,size=8", NULL, &ds));
    assert_int_equal(ds->c, 6);
    assert_int_equal(ds->h, 8);
    assert_int_equal(ds->steps, 3);
    // Augmented batches are a function of seed, epoch and sample, whatever makes them.
    lt_view view = lt_view_split(ds, LT_TRAIN);
    view.augment = true;
    float first[12 * 6 * 64];
    for (int threads = 0; threads < 3; threads += 2) {
        lt_loader *loader;
        const lt_batch *b;
        assert_ok(lt_loader_create(
            &(lt_loader_spec){.views = &view, .n_views = 1, .batch = 12, .seed = 3, .n_threads = threads, .pad = 1},
            &loader));
        assert_ok(lt_loader_start(loader, 2, 0));
        assert_ok(lt_loader_next(loader, &b));
        if (threads)
            assert_memory_equal(first, b->x, sizeof first);
        memcpy(first, b->x, sizeof first);
        lt_loader_destroy(loader);
    }
    lt_dataset_close(ds);
    assert_fails(LT_E_USAGE, "'tim'", lt_dataset_open("moving-glyphs,frames=tim", NULL, &ds));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bin),    cmocka_unit_test(test_aedat2),
        cmocka_unit_test(test_aedat3), cmocka_unit_test(test_aedat4_damage),
        cmocka_unit_test(test_frames), cmocka_unit_test(test_independent_reader),
        cmocka_unit_test(test_glyphs), cmocka_unit_test(test_split_file),
        cmocka_unit_test(test_sets),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
