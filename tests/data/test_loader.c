// Views, batches and the loader: every sample once, augmentation and labels as functions of (seed, epoch, tag, id), the
// same bytes for every number of threads, entering an epoch anywhere, no allocation while running.
#include "data_test.h"
#include <math.h>

enum { C = 2, H = 5, W = 6, LEN = C * H * W, N = 53, K = 4 };

// Sample i: label i % K, pixel p: (7 i + p) % 256
static lt_dataset *small_set(void)
{
    static uint8_t x[N * LEN];
    static int32_t y[N];
    for (int i = 0; i < N; i++) {
        y[i] = i % K;
        for (int p = 0; p < LEN; p++)
            x[i * LEN + p] = (uint8_t)(7 * i + p + 1);
    }
    lt_dataset *ds;
    assert_ok(lt_dataset_from_arrays(C, H, W, K, N, x, y, 10, x, y, &ds));
    return ds;
}

static lt_loader *make(const lt_view *views, int n_views, int64_t batch, bool shuffle, int n_threads)
{
    lt_loader *l;
    assert_ok(lt_loader_create(&(lt_loader_spec){.views = views,
                                                 .n_views = n_views,
                                                 .batch = batch,
                                                 .shuffle = shuffle,
                                                 .seed = 5,
                                                 .phase = 1,
                                                 .n_threads = n_threads,
                                                 .pad = 2},
                               &l));
    return l;
}

typedef struct epoch { // everything a loader gave
    int64_t n, n_batches;
    float x[2 * N * LEN], weight[2 * N];
    int32_t y[2 * N], tag[2 * N];
    int64_t id[2 * N];
} epoch;

static void run(lt_loader *l, uint32_t e, int64_t first, epoch *out)
{
    const lt_batch *b;
    memset(out, 0, sizeof *out);
    assert_ok(lt_loader_start(l, e, first));
    for (;;) {
        assert_ok(lt_loader_next(l, &b));
        if (b->n == 0)
            break;
        memcpy(out->x + out->n * LEN, b->x, (size_t)b->n * LEN * sizeof(float));
        memcpy(out->weight + out->n, b->weight, (size_t)b->n * sizeof(float));
        memcpy(out->y + out->n, b->y, (size_t)b->n * sizeof(int32_t));
        memcpy(out->tag + out->n, b->tag, (size_t)b->n * sizeof(int32_t));
        memcpy(out->id + out->n, b->id, (size_t)b->n * sizeof(int64_t));
        out->n += b->n;
        out->n_batches++;
    }
    assert_ok(lt_loader_next(l, &b)); // the end stays the end
    assert_int_equal(b->n, 0);
}

static void in_order_gives_the_bytes(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    lt_view v = lt_view_split(ds, LT_TRAIN);
    lt_loader *l = make(&v, 1, 10, false, 0);
    static epoch e;
    run(l, 0, 0, &e);
    assert_int_equal(lt_loader_n_batches(l), 6);
    assert_int_equal(e.n_batches, 6);
    assert_int_equal(e.n, N);
    for (int i = 0; i < N; i++) {
        assert_int_equal(e.id[i], i);
        assert_int_equal(e.y[i], i % K);
        assert_int_equal(e.tag[i], 0);
        assert_true(e.weight[i] == 1);
        for (int p = 0; p < LEN; p++)
            assert_true(e.x[i * LEN + p] == (float)ds->split[LT_TRAIN].x[i * LEN + p] / 255.0f);
    }
    lt_loader_destroy(l);
    lt_dataset_close(ds);
}

static void shuffled_gives_every_sample_once(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    lt_view v = lt_view_split(ds, LT_TRAIN);
    lt_loader *l = make(&v, 1, 8, true, 0), *other_phase;
    static epoch a, b, c;
    run(l, 0, 0, &a);
    run(l, 1, 0, &b);
    int seen[N] = {0}, moved = 0, differ = 0, phase_differs = 0;
    for (int i = 0; i < N; i++) {
        seen[a.id[i]]++;
        moved += a.id[i] != i;
        differ += a.id[i] != b.id[i];
        assert_int_equal(a.y[i], a.id[i] % K);
        assert_true(a.x[i * LEN] == (float)((7 * a.id[i] + 1) % 256) / 255.0f);
    }
    for (int i = 0; i < N; i++)
        assert_int_equal(seen[i], 1);
    assert_true(moved > N / 2 && differ > N / 2);
    run(l, 0, 0, &b);
    assert_memory_equal(&a, &b, sizeof a);
    assert_ok(lt_loader_create(
        &(lt_loader_spec){.views = &v, .n_views = 1, .batch = 8, .shuffle = true, .seed = 5, .phase = 2, .pad = 2},
        &other_phase));
    run(other_phase, 0, 0, &c);
    for (int i = 0; i < N; i++)
        phase_differs += a.id[i] != c.id[i];
    assert_true(phase_differs > N / 2);
    lt_loader_destroy(other_phase);
    lt_loader_destroy(l);
    lt_dataset_close(ds);
}

// Views of all sorts together, for the tests of threads and of entering.
static void mixed_views(const lt_dataset *ds, lt_index_set *rows, lt_view v[3])
{
    static float images[9 * LEN];
    static const int32_t labels[9] = {3, 2, 1, 0, 3, 2, 1, 0, 3};
    static const int64_t nine[9] = {50, 3, 3, 7, 9, 11, 13, 15, 52};
    for (int i = 0; i < 9 * LEN; i++)
        images[i] = (float)i * 0.001f;
    rows->n = 30;
    rows->row = malloc(30 * sizeof *rows->row);
    for (int i = 0; i < 30; i++)
        rows->row[i] = i + 20;
    v[0] = lt_view_rows(ds, LT_TRAIN, rows);
    v[0].augment = true;
    v[0].relabel = LT_RELABEL_RANDOM_OTHER;
    v[0].tag = 1;
    v[1] = (lt_view){.ds = ds,
                     .split = LT_TRAIN,
                     .row = nine,
                     .n = 9,
                     .labels = labels,
                     .images = images,
                     .augment = true,
                     .weight = -0.5f,
                     .tag = 2};
    v[2] = lt_view_split(ds, LT_TEST);
    v[2].relabel = LT_RELABEL_RANDOM_ANY;
    v[2].tag = 3;
}

static void threads_do_not_show(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    lt_index_set rows;
    lt_view v[3];
    mixed_views(ds, &rows, v);
    static epoch want, got;
    static const int n_threads[] = {0, 1, 2, 4, 9};
    for (uint32_t e = 0; e < 3; e++) {
        for (size_t t = 0; t < sizeof n_threads / sizeof *n_threads; t++) {
            lt_loader *l = make(v, 3, 4, true, n_threads[t]);
            run(l, e, 0, t == 0 ? &want : &got);
            if (t > 0)
                assert_memory_equal(&want, &got, sizeof got);
            lt_loader_destroy(l);
        }
        assert_int_equal(want.n, 49);
    }
    free(rows.row);
    lt_dataset_close(ds);
}

static void an_epoch_can_be_entered_anywhere(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    lt_index_set rows;
    lt_view v[3];
    mixed_views(ds, &rows, v);
    static epoch all, part;
    for (int threads = 0; threads <= 3; threads += 3) {
        lt_loader *l = make(v, 3, 4, true, threads);
        const lt_batch *b;
        run(l, 7, 0, &all);
        for (int64_t first = 0; first <= 13; first++) {
            // Leave another epoch in the middle first: nothing of it may remain.
            assert_ok(lt_loader_start(l, 3, first % 5));
            assert_ok(lt_loader_next(l, &b));
            run(l, 7, first, &part);
            assert_int_equal(part.n_batches, 13 - first);
            assert_memory_equal(all.x + first * 4 * LEN, part.x, (size_t)part.n * LEN * sizeof(float));
            assert_memory_equal(all.y + first * 4, part.y, (size_t)part.n * sizeof(int32_t));
            assert_memory_equal(all.id + first * 4, part.id, (size_t)part.n * sizeof(int64_t));
        }
        assert_fails(LT_E_USAGE, "batch 14 of 13", lt_loader_start(l, 0, 14));
        assert_fails(LT_E_USAGE, "batch -1", lt_loader_start(l, 0, -1));
        lt_loader_destroy(l);
    }
    free(rows.row);
    lt_dataset_close(ds);
}

// A start in the middle of making batches must wait for the workers: they read the order it is about to change.
static void a_restart_waits_for_busy_workers(void **state)
{
    (void)state;
    enum { LARGE = 3 * 128 * 128, M = 64, BATCH = 16 };
    uint8_t *x = calloc(M, LARGE);
    int32_t y[M] = {0};
    for (int i = 0; i < M; i++)
        memset(x + i * LARGE, i, LARGE);
    lt_dataset *ds;
    assert_ok(lt_dataset_from_arrays(3, 128, 128, 2, M, x, y, 0, NULL, NULL, &ds));
    free(x);
    lt_view v = lt_view_split(ds, LT_TRAIN);
    lt_loader *want = make(&v, 1, BATCH, true, 0), *got = make(&v, 1, BATCH, true, 3);
    for (uint32_t e = 1; e <= 12; e++) {
        const lt_batch *b;
        int64_t id[M];
        assert_ok(lt_loader_start(want, e, 0));
        for (int k = 0; k < M / BATCH; k++) {
            assert_ok(lt_loader_next(want, &b));
            memcpy(id + k * BATCH, b->id, BATCH * sizeof *id);
        }
        assert_ok(lt_loader_start(got, 0, 0));
        usleep(100 * e); // until workers are somewhere inside a batch
        assert_ok(lt_loader_start(got, e, 0));
        for (int k = 0; k < M / BATCH; k++) {
            assert_ok(lt_loader_next(got, &b));
            assert_int_equal(b->n, BATCH);
            assert_memory_equal(id + k * BATCH, b->id, BATCH * sizeof *id);
            for (int i = 0; i < BATCH; i++)
                assert_true(b->x[(size_t)(i + 1) * LARGE - 1] == (float)b->id[i] / 255.0f);
        }
    }
    lt_loader_destroy(want);
    lt_loader_destroy(got);
    lt_dataset_close(ds);
}

static void running_allocates_nothing(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    lt_view v = lt_view_split(ds, LT_TRAIN);
    v.augment = true;
    lt_loader *l = make(&v, 1, 5, true, 2);
    static epoch e;
    int64_t before = lti_alloc_count();
    for (uint32_t k = 0; k < 3; k++)
        run(l, k, 0, &e);
    assert_int_equal(lti_alloc_count(), before);
    lt_loader_destroy(l);
    lt_dataset_close(ds);
}

static void a_batch_stays_until_the_next_call(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    lt_view v = lt_view_split(ds, LT_TRAIN);
    lt_loader *l = make(&v, 1, 1, false, 3);
    const lt_batch *b;
    assert_ok(lt_loader_start(l, 0, 0));
    for (int i = 0; i < N; i++) {
        assert_ok(lt_loader_next(l, &b));
        usleep(200); // workers have time to run into what they may not touch
        assert_int_equal(b->id[0], i);
        assert_true(b->x[0] == (float)((7 * i + 1) % 256) / 255.0f);
    }
    lt_loader_destroy(l); // in the middle, with workers waiting
    l = make(&v, 1, 1, false, 3);
    assert_ok(lt_loader_start(l, 0, 0));
    lt_loader_destroy(l);
    lt_loader_destroy(make(&v, 1, 1, false, 3));
    lt_loader_destroy(NULL);
    lt_dataset_close(ds);
}

// The reference: every shift and flip of one image.
static float moved(const lt_dataset *ds, int i, int dy, int dx, bool flip, int c, int r, int q)
{
    int from_q = (flip ? W - 1 - q : q) + dx, from_r = r + dy;
    if (from_r < 0 || from_r >= H || from_q < 0 || from_q >= W)
        return 0;
    return (float)ds->split[LT_TRAIN].x[((i * C + c) * H + from_r) * W + from_q] / 255.0f;
}

static bool is_move(const lt_dataset *ds, const float *x, int i, int dy, int dx, bool flip)
{
    for (int c = 0; c < C; c++)
        for (int r = 0; r < H; r++)
            for (int q = 0; q < W; q++)
                if (x[(c * H + r) * W + q] != moved(ds, i, dy, dx, flip, c, r, q))
                    return false;
    return true;
}

static void augmentation_is_a_crop_and_a_flip(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    lt_view v = lt_view_split(ds, LT_TRAIN);
    v.augment = true;
    lt_loader *l = make(&v, 1, 16, false, 0);
    static epoch e;
    int count[2][5][5] = {{{0}}}, flips = 0, total = 0;
    for (uint32_t k = 0; k < 40; k++) {
        run(l, k, 0, &e);
        for (int i = 0; i < N; i++) {
            int found = 0;
            for (int f = 0; f < 2; f++)
                for (int dy = -2; dy <= 2; dy++)
                    for (int dx = -2; dx <= 2; dx++)
                        if (is_move(ds, e.x + i * LEN, i, dy, dx, f == 1)) {
                            found++;
                            count[f][dy + 2][dx + 2]++;
                            flips += f;
                        }
            assert_int_equal(found, 1);
            total++;
        }
    }
    // 50 equally likely outcomes, about 42 of each; binomial standard deviation 6.5.
    for (int k = 0; k < 50; k++)
        assert_in_range((&count[0][0][0])[k], 42 - 33, 42 + 33);
    assert_true(fabs((double)flips / total - 0.5) < 0.05);
    lt_loader_destroy(l);
    lt_dataset_close(ds);
}

// A sample's augmentation does not depend on where it stands, nor on which other samples there are.
static void augmentation_belongs_to_the_sample(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    int64_t some[3] = {31, 5, 44};
    lt_view all = lt_view_split(ds, LT_TRAIN), few = {.ds = ds, .row = some, .n = 3, .weight = 1, .augment = true},
            tagged = few;
    all.augment = true;
    all.relabel = few.relabel = tagged.relabel = LT_RELABEL_RANDOM_ANY;
    tagged.tag = 9;
    lt_loader *a = make(&all, 1, 7, true, 0), *b = make(&few, 1, 2, false, 0), *c = make(&tagged, 1, 2, false, 0);
    static epoch ea, eb, ec, later;
    run(a, 4, 0, &ea);
    run(b, 4, 0, &eb);
    run(c, 4, 0, &ec);
    run(b, 5, 0, &later);
    for (int k = 0; k < 3; k++)
        for (int i = 0; i < N; i++)
            if (ea.id[i] == some[k]) {
                assert_memory_equal(ea.x + i * LEN, eb.x + k * LEN, LEN * sizeof(float));
                assert_int_equal(ea.y[i], eb.y[k]);
            }
    assert_memory_not_equal(eb.x, ec.x, 3 * LEN * sizeof(float));    // another tag draws its own
    assert_memory_not_equal(eb.x, later.x, 3 * LEN * sizeof(float)); // and so does another epoch
    lt_loader_destroy(a);
    lt_loader_destroy(b);
    lt_loader_destroy(c);
    lt_dataset_close(ds);
}

static void random_labels(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    for (int any = 0; any < 2; any++) {
        lt_view v = lt_view_split(ds, LT_TRAIN);
        v.relabel = any ? LT_RELABEL_RANDOM_ANY : LT_RELABEL_RANDOM_OTHER;
        lt_loader *l = make(&v, 1, 16, false, 0);
        static epoch e, again;
        int shift[K] = {0}, changed = 0;
        int32_t before[N] = {0};
        for (uint32_t k = 0; k < 60; k++) {
            run(l, k, 0, &e);
            for (int i = 0; i < N; i++) {
                assert_in_range(e.y[i], 0, K - 1);
                shift[(e.y[i] - i % K + K) % K]++;
                changed += k > 0 && e.y[i] != before[i];
                before[i] = e.y[i];
            }
        }
        int n = 60 * N, options = any ? K : K - 1; // 3180 draws, standard deviation below 27
        assert_true(any || shift[0] == 0);
        for (int s = any ? 0 : 1; s < K; s++)
            assert_true(abs(shift[s] - n / options) < 140);
        assert_true(changed > n / 2); // redrawn every epoch
        run(l, 59, 0, &again);
        assert_memory_equal(&e, &again, sizeof e);
        lt_loader_destroy(l);
    }
    lt_dataset_close(ds);
}

// Classes that are not drawn: no label is one, and those that are left come up alike.
static void random_labels_leave_classes_out(void **state)
{
    (void)state;
    enum { EPOCHS = 60 };
    static const uint8_t out[K] = {1, 0, 1, 0};
    lt_dataset *ds = small_set();
    for (int any = 0; any < 2; any++) {
        lt_view v = lt_view_split(ds, LT_TRAIN);
        v.relabel = any ? LT_RELABEL_RANDOM_ANY : LT_RELABEL_RANDOM_OTHER;
        v.not_drawn = out;
        lt_loader *l = make(&v, 1, 16, false, 0);
        static epoch e;
        int n[K] = {0};
        for (uint32_t k = 0; k < EPOCHS; k++) {
            run(l, k, 0, &e);
            for (int i = 0; i < N; i++) {
                assert_true(any || e.y[i] != i % K);
                n[e.y[i]] += i % K == 0; // samples of a class that is left out
            }
        }
        assert_true(n[0] == 0 && n[2] == 0 && abs(n[1] - n[3]) < 140);
        lt_loader_destroy(l);
    }
    lt_dataset_close(ds);
}

static void overrides_are_used(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    int64_t row[2] = {8, 1};
    int32_t label[2] = {3, 0};
    float image[2 * LEN];
    for (int i = 0; i < 2 * LEN; i++)
        image[i] = 0.25f + (float)i * 0.001f;
    lt_view v[2] = {
        {.ds = ds, .split = LT_TRAIN, .row = row, .n = 2, .labels = label, .images = image, .weight = -2, .tag = 6},
        lt_view_split(ds, LT_TEST)};
    lt_loader *l = make(v, 2, 5, false, 1);
    static epoch e;
    run(l, 0, 0, &e);
    assert_int_equal(e.n, 12);
    assert_memory_equal(e.x, image, sizeof image);
    assert_int_equal(e.y[0], 3);
    assert_int_equal(e.y[1], 0);
    assert_int_equal(e.id[0], 8);
    assert_int_equal(e.id[1], 1);
    assert_true(e.weight[0] == -2 && e.weight[1] == -2 && e.weight[2] == 1);
    assert_int_equal(e.tag[1], 6);
    assert_int_equal(e.tag[2], 0);
    assert_int_equal(e.id[2], 0);
    lt_loader_destroy(l);
    lt_dataset_close(ds);
}

static void bad_loaders_are_refused(void **state)
{
    (void)state;
    lt_dataset *ds = small_set(), *other, *one_class;
    static const uint8_t x[LEN];
    static const int32_t y[1];
    assert_ok(lt_dataset_from_arrays(1, 2, 2, 4, 1, x, y, 0, NULL, NULL, &other));
    assert_ok(lt_dataset_from_arrays(C, H, W, 1, 1, x, y, 0, NULL, NULL, &one_class));
    int64_t row[1] = {N};
    int32_t label[1] = {K};
    lt_view good = lt_view_split(ds, LT_TRAIN), bad_row = {.ds = ds, .row = row, .n = 1}, bad_label = good,
            bad_size = lt_view_split(other, LT_TRAIN), bad_relabel = lt_view_split(one_class, LT_TRAIN),
            too_many = good;
    bad_label.n = 1;
    bad_label.labels = label;
    bad_relabel.relabel = LT_RELABEL_RANDOM_OTHER;
    too_many.n = N + 1;
    lt_view pair[2] = {good, bad_size};
    const struct {
        lt_loader_spec spec;
        lt_status code;
        const char *part;
    } cases[] = {
        {{.views = &good, .n_views = 0, .batch = 1}, LT_E_USAGE, "no views"},
        {{.views = &good, .n_views = 1, .batch = 0}, LT_E_USAGE, "batch is 0"},
        {{.views = &good, .n_views = 1, .batch = 1, .n_threads = -1}, LT_E_USAGE, "-1 threads"},
        {{.views = &good, .n_views = 1, .batch = 1, .n_threads = 1000}, LT_E_USAGE, "1000 threads"},
        {{.views = &good, .n_views = 1, .batch = 1, .pad = -4}, LT_E_USAGE, "pad is -4"},
        {{.views = &good, .n_views = 1, .batch = INT64_MAX / 8}, LT_E_USAGE, "does not fit"},
        {{.views = &bad_row, .n_views = 1, .batch = 1}, LT_E_USAGE, "row 53"},
        {{.views = &bad_label, .n_views = 1, .batch = 1}, LT_E_USAGE, "label 4"},
        {{.views = &too_many, .n_views = 1, .batch = 1}, LT_E_USAGE, "54 samples of a split that has 53"},
        {{.views = &bad_relabel, .n_views = 1, .batch = 1}, LT_E_USAGE, "one class"},
        {{.views = pair, .n_views = 2, .batch = 1}, LT_E_SHAPE, "1x2x2"},
    };
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        lt_loader *l = (lt_loader *)1;
        assert_fails(cases[k].code, cases[k].part, lt_loader_create(&cases[k].spec, &l));
        assert_null(l);
    }
    lt_loader *l = make(&good, 1, 4, true, 0);
    const lt_batch *b;
    assert_fails(LT_E_USAGE, "before start", lt_loader_next(l, &b));
    lt_loader_destroy(l);
    lt_view none = good;
    none.n = 0;
    l = make(&none, 1, 4, true, 2);
    static epoch e;
    run(l, 0, 0, &e);
    assert_int_equal(e.n_batches, 0);
    lt_loader_destroy(l);
    lt_dataset_close(ds);
    lt_dataset_close(other);
    lt_dataset_close(one_class);
}

static void a_crop_wider_than_the_image(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    lt_view v = lt_view_split(ds, LT_TRAIN);
    v.augment = true;
    lt_loader *l;
    static epoch e;
    assert_ok(lt_loader_create(&(lt_loader_spec){.views = &v, .n_views = 1, .batch = 8, .seed = 1, .pad = 40}, &l));
    run(l, 0, 0, &e);
    int empty = 0;
    for (int i = 0; i < N; i++) {
        float sum = 0;
        for (int p = 0; p < LEN; p++)
            sum += e.x[i * LEN + p];
        empty += sum == 0;
    }
    assert_true(empty > N / 2);
    lt_loader_destroy(l);
    lt_dataset_close(ds);
}

static void failing_allocations(void **state)
{
    (void)state;
    lt_dataset *ds = small_set();
    lt_view v = lt_view_split(ds, LT_TRAIN);
    lt_status status = LT_E_NOMEM;
    for (int64_t k = 1; status != LT_OK; k++) {
        lt_loader *l = NULL;
        lti_alloc_fail_at(k);
        status = lt_loader_create(
            &(lt_loader_spec){.views = &v, .n_views = 1, .batch = 8, .shuffle = true, .n_threads = 2}, &l);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || (status == LT_E_NOMEM && !l));
        lt_loader_destroy(l);
    }
    lt_dataset_close(ds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_order_gives_the_bytes),
        cmocka_unit_test(shuffled_gives_every_sample_once),
        cmocka_unit_test(threads_do_not_show),
        cmocka_unit_test(an_epoch_can_be_entered_anywhere),
        cmocka_unit_test(a_restart_waits_for_busy_workers),
        cmocka_unit_test(running_allocates_nothing),
        cmocka_unit_test(a_batch_stays_until_the_next_call),
        cmocka_unit_test(augmentation_is_a_crop_and_a_flip),
        cmocka_unit_test(augmentation_belongs_to_the_sample),
        cmocka_unit_test(random_labels),
        cmocka_unit_test(random_labels_leave_classes_out),
        cmocka_unit_test(overrides_are_used),
        cmocka_unit_test(bad_loaders_are_refused),
        cmocka_unit_test(a_crop_wider_than_the_image),
        cmocka_unit_test(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
