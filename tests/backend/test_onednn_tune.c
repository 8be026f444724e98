// test_onednn_tune.c - the memory of the convolution tuner: what one process chose every later one must choose,
// whatever happens to the file, and where nothing can be kept the clock must not decide.
#include "lt_test.h"
#ifdef LETHE_HAVE_ONEDNN
#include "backend/onednn/onednn_impl.h"
#include "backend/onednn/autotune.h"
#include "base/base.h"
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static char dir[] = "/tmp/lethe-test-tune-XXXXXX";

static const lti_conv_shape shape = {
    .pass = LTI_CONV_FWD,
    .n = 2,
    .dilation = 1,
    .c = 32,
    .h = 8,
    .w = 8,
    .k = 32,
    .r = 3,
    .s = 3,
    .oh = 8,
    .ow = 8,
    .stride = 1,
    .pad = 1,
    .x_layout = LT_LAYOUT_BLOCKED16,
    .y_layout = LT_LAYOUT_BLOCKED16,
};

static lti_choice choice(int index, const char *impl)
{
    lti_choice c = {.algorithm = LTI_DIRECT, .index = index, .us = 10.0 + index};
    snprintf(c.impl, sizeof c.impl, "%s", impl);
    snprintf(c.log, sizeof c.log, "%s %d us", impl, 10 + index);
    return c;
}

static void put(lti_tune *t, const char *key, const lti_choice *c, bool expected)
{
    bool stored = !expected;
    assert_ok(lti_tune_begin(t, key));
    assert_ok(lti_tune_put(t, key, c, &stored));
    lti_tune_end(t);
    assert_int_equal(stored, expected);
}

static bool known(const char *id, const char *key, lti_choice *c)
{
    lti_tune *t;
    assert_ok(lti_tune_open(id, &t));
    assert_ok(lti_tune_begin(t, key));
    const bool found = lti_tune_get(t, key, c);
    lti_tune_end(t);
    lti_tune_close(t);
    return found;
}

static char *path_of(const char *id)
{
    char *path = lti_asprintf("%s/tune4-%s.txt", dir, id);
    assert_non_null(path);
    return path;
}

static void test_kept(void **state)
{
    (void)state;
    lti_tune *t;
    lti_choice a = choice(1, "jit:one"), b = choice(2, "jit:two"), c;
    b.algorithm = LTI_OWN_WINOGRAD;
    b.free_layout = true;
    assert_false(known("kept", "a", &c));
    assert_ok(lti_tune_open("kept", &t));
    assert_true(lti_tune_persistent(t));
    put(t, "a", &a, true);
    put(t, "b", &b, true);
    lti_tune_close(t);
    assert_true(known("kept", "a", &c));
    assert_int_equal(c.index, 1);
    assert_true(known("kept", "b", &c));
    assert_int_equal(c.algorithm, LTI_OWN_WINOGRAD);
    assert_true(c.free_layout);
    assert_string_equal(c.impl, "jit:two");
    assert_string_equal(c.log, "jit:two 12 us");
    assert_false(known("other", "a", &c));
}

// Two tables open at once: each must see what the other stored, and neither may undo it.
static void test_shared(void **state)
{
    (void)state;
    lti_tune *one, *two;
    lti_choice a = choice(1, "jit:one"), b = choice(2, "jit:two"), c;
    assert_ok(lti_tune_open("shared", &one));
    assert_ok(lti_tune_open("shared", &two));
    put(one, "a", &a, true);
    put(two, "b", &b, true);
    assert_ok(lti_tune_begin(two, "a"));
    assert_true(lti_tune_get(two, "a", &c));
    lti_tune_end(two);
    put(one, "c", &a, true);
    assert_true(known("shared", "a", &c) && known("shared", "b", &c) && known("shared", "c", &c));
    lti_tune_close(one);
    lti_tune_close(two);
}

static void write_file(const char *path, const char *bytes, size_t n)
{
    assert_ok(lt_write_file_atomic(path, bytes, n));
}

static void test_damage(void **state)
{
    (void)state;
    lti_tune *t;
    lti_choice a = choice(1, "jit:one"), b = choice(2, "jit:two"), c;
    assert_ok(lti_tune_open("damage", &t));
    put(t, "a", &a, true);
    put(t, "b", &b, true);
    lti_tune_close(t);
    char *path = path_of("damage"), *text;
    size_t n;
    assert_ok(lt_read_file(path, 1 << 20, &text, &n));
    // Any single changed byte of the line of "a" loses that line only.
    char *line = strstr(text, "\na|") + 1, *end = strchr(line, '\n');
    for (char *p = line; p < end; p += 3) {
        *p ^= 1;
        write_file(path, text, n);
        assert_false(known("damage", "a", &c));
        assert_true(known("damage", "b", &c));
        *p ^= 1;
    }
    // Cut off anywhere, empty, of another format, not text at all.
    for (size_t cut = 0; cut < n; cut += 7) {
        write_file(path, text, cut);
        if (known("damage", "a", &c))
            assert_int_equal(c.index, 1);
    }
    write_file(path, "lethe-tune 9\na|0|0|1|11|jit:one|x|00000000\n", 43);
    assert_false(known("damage", "a", &c));
    static const char junk[] = "lethe-tune 2\n||||||||\n|\n\n\0\xff|12345678\na|9|9|9\n";
    write_file(path, junk, sizeof junk);
    assert_false(known("damage", "a", &c));
    assert_ok(lti_tune_open("damage", &t));
    put(t, "a", &a, true); // and can be used again
    lti_tune_close(t);
    assert_true(known("damage", "a", &c));
    free(text);
    lti_free(path);
}

// No cache wanted, or a place that is no directory: usable, but the clock must not decide.
static void test_no_place(void **state)
{
    (void)state;
    char *file = path_of("in-the-way");
    write_file(file, "x", 1);
    const char *const places[] = {"", file};
    for (int i = 0; i < 2; i++) {
        lt_backend *backend;
        lti_choice ruled, timed;
        setenv("LETHE_CACHE", places[i], 1);
        assert_ok(lt_backend_create("onednn", 1, &backend));
        lti_dn *dn = backend->self;
        assert_false(lti_tune_persistent(dn->tune));
        assert_ok(lti_conv_select(dn, &shape, false, &ruled));
        assert_ok(lti_conv_select(dn, &shape, true, &timed));
        assert_int_equal(timed.algorithm, ruled.algorithm);
        assert_int_equal(timed.index, ruled.index);
        assert_true(timed.us <= 0);
        lt_backend_destroy(backend);
    }
    setenv("LETHE_CACHE", dir, 1);
    lti_free(file);
}

static void test_pick_repeats(void **state)
{
    (void)state;
    lti_choice first, again;
    for (int i = 0; i < 2; i++) {
        lt_backend *backend;
        assert_ok(lt_backend_create("onednn", 1, &backend));
        assert_ok(lti_conv_select(backend->self, &shape, true, i ? &again : &first));
        lt_backend_destroy(backend);
    }
    assert_true(first.us > 0 && first.log[0]);
    assert_int_equal(again.algorithm, first.algorithm);
    assert_int_equal(again.index, first.index);
    assert_int_equal((long)again.us, (long)first.us); // remembered, not measured again
    assert_string_equal(again.impl, first.impl);
}

// A stem never takes Winograd, reference code never wins while there is anything else.
static void test_candidates(void **state)
{
    (void)state;
    lt_backend *backend;
    assert_ok(lt_backend_create("onednn", 2, &backend));
    for (int pass = 0; pass < 3; pass++)
        for (int stem = 0; stem < 2; stem++) {
            lti_conv_shape s = shape;
            lti_choice c;
            s.pass = (lti_conv_pass)pass;
            if (stem) {
                s.c = 3;
                s.x_layout = LT_LAYOUT_PLAIN;
            }
            assert_ok(lti_conv_select(backend->self, &s, true, &c));
            assert_null(strstr(c.impl, "ref"));
            if (stem)
                assert_true(c.algorithm == LTI_DIRECT || c.algorithm == LTI_OWN_STEM);
        }
    lt_backend_destroy(backend);
}

// Processes that start together with nothing stored must end with the same choices.
static void test_processes(void **state)
{
    (void)state;
    enum { N = 3 };
    int fd[N][2];
    lti_choice c[N];
    for (int i = 0; i < N; i++) {
        assert_int_equal(pipe(fd[i]), 0);
        const pid_t pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
            lt_backend *backend;
            lti_conv_shape s = shape;
            s.n = 3;
            memset(&c[0], 0, sizeof c[0]);
            const bool ok = lt_backend_create("onednn", 1, &backend) == LT_OK &&
                            lti_conv_select(backend->self, &s, true, &c[0]) == LT_OK &&
                            write(fd[i][1], &c[0], sizeof c[0]) == (ssize_t)sizeof c[0];
            _exit(ok ? 0 : 1);
        }
        close(fd[i][1]);
    }
    for (int i = 0; i < N; i++) {
        int code = -1;
        assert_int_equal(read(fd[i][0], &c[i], sizeof c[i]), sizeof c[i]);
        close(fd[i][0]);
        assert_true(wait(&code) > 0 && code == 0);
        assert_int_equal(c[i].algorithm, c[0].algorithm);
        assert_int_equal(c[i].index, c[0].index);
        assert_string_equal(c[i].log, c[0].log); // measured once
    }
}

static int setup(void **state)
{
    (void)state;
    return mkdtemp(dir) && setenv("LETHE_CACHE", dir, 1) == 0 ? 0 : -1;
}

// Rounds of times of the rule's candidate and one more; noise multiplies both of a round.
static lti_autotune race_of(const double *rule, const double *other, int n)
{
    lti_autotune r;
    lti_autotune_start(&r, 2);
    for (int i = 0; i < n; i++) {
        lti_autotune_record(&r, 0, rule[i]);
        lti_autotune_record(&r, 1, other[i]);
    }
    return r;
}

// What a plan with bf16 allowed takes, by times given: bf16 where it is clearly faster than f32, never where it is
// slower or where the times do not tell.
static lti_algorithm bf16_or_f32(const double *bf16, const double *f32, int n)
{
    lti_choice c[] = {{.algorithm = LTI_OWN_WINOGRAD_BF16},
                      {.algorithm = LTI_DIRECT_BF16},
                      {.algorithm = LTI_OWN_WINOGRAD},
                      {.algorithm = LTI_DIRECT}};
    static const double slow = 1000;
    lti_autotune r;
    bool sure;
    lti_conv_full_precision_first(c, 4);
    assert_true(c[0].algorithm == LTI_OWN_WINOGRAD && c[1].algorithm == LTI_DIRECT);
    assert_true(c[2].algorithm == LTI_OWN_WINOGRAD_BF16 && c[3].algorithm == LTI_DIRECT_BF16);
    lti_autotune_start(&r, 4);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < 4; k++)
            lti_autotune_record(&r, k,
                                c[k].algorithm == LTI_OWN_WINOGRAD_BF16 ? bf16[i]
                                : c[k].algorithm == LTI_OWN_WINOGRAD    ? f32[i]
                                                                        : slow + i);
    return c[lti_autotune_choice(&r, &sure)].algorithm;
}

static void test_bf16_must_pay(void **state)
{
    (void)state;
    const double ten[] = {10, 10.1, 10.2}, slower[] = {13.5, 13.6, 13.7}, little[] = {9.8, 9.8, 9.9},
                 faster[] = {7, 7.1, 7.2};
    assert_int_equal(bf16_or_f32(slower, ten, 3), LTI_OWN_WINOGRAD);
    assert_int_equal(bf16_or_f32(little, ten, 3), LTI_OWN_WINOGRAD); // within the noise of two measurements
    assert_int_equal(bf16_or_f32(faster, ten, 3), LTI_OWN_WINOGRAD_BF16);
    const double noisy[] = {20, 30, 15, 40, 26, 33, 50, 18}, other[] = {18, 33, 13, 44, 28, 30, 55, 17};
    assert_int_equal(bf16_or_f32(other, noisy, 8), LTI_OWN_WINOGRAD); // nobody can tell
    const double half[] = {10, 15, 7, 20, 13, 16, 25, 9};
    assert_int_equal(bf16_or_f32(half, noisy, 8), LTI_OWN_WINOGRAD_BF16);
}

static void test_race(void **state)
{
    (void)state;
    // quiet: least times seen again
    lti_autotune r = race_of((double[]){10, 10.1, 10.2}, (double[]){9, 9.1, 9.2}, 3);
    assert_true(lti_autotune_winner(&r) == 1 && lti_autotune_decided(&r));
    r = race_of((double[]){10, 10.1, 10.2}, (double[]){9.7, 9.7, 9.7}, 3); // not clearly faster
    assert_true(lti_autotune_winner(&r) == 0 && lti_autotune_decided(&r));
    // noisy: no least time is seen twice, but one is faster in every round
    const double rule[] = {20, 30, 15, 40, 26, 33, 50, 18}, other[] = {16, 24, 12, 32, 21, 26, 40, 14};
    r = race_of(rule, other, 8);
    assert_true(lti_autotune_winner(&r) == 1 && lti_autotune_decided(&r));
    r = race_of(rule, other, 7); // too few rounds
    assert_true(lti_autotune_winner(&r) == 1 && !lti_autotune_decided(&r));
    // the least time is the other one's, but who is faster changes
    r = race_of(rule, (double[]){16, 31, 12, 45, 21, 35, 40, 14}, 8);
    assert_true(lti_autotune_winner(&r) == 1 && !lti_autotune_decided(&r));
    // far ahead: two rounds are enough, and the one behind need not run again
    r = race_of((double[]){22, 31}, (double[]){11, 14}, 2);
    assert_true(lti_autotune_winner(&r) == 1 && lti_autotune_decided(&r));
    assert_true(lti_autotune_eliminated(&r, 0) && !lti_autotune_eliminated(&r, 1));
    r = race_of((double[]){22}, (double[]){11}, 1);
    assert_true(!lti_autotune_decided(&r) && !lti_autotune_eliminated(&r, 0));
    r = race_of((double[]){22, 13}, (double[]){8, 14}, 2);
    assert_true(lti_autotune_winner(&r) == 1 && !lti_autotune_decided(&r));
}

static int teardown(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

int main(void)
{
    // Processes first: a child must not inherit a team of threads.
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_processes),  cmocka_unit_test(test_kept),     cmocka_unit_test(test_shared),
        cmocka_unit_test(test_damage),     cmocka_unit_test(test_no_place), cmocka_unit_test(test_pick_repeats),
        cmocka_unit_test(test_candidates), cmocka_unit_test(test_race),     cmocka_unit_test(test_bf16_must_pay),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
#else
int main(void)
{
    puts("built without oneDNN: nothing to test");
    return 77;
}
#endif
