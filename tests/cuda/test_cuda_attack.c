// test_cuda_attack.c - the search for adversarial examples on the emulated card: its kernels against the CPU's
// arithmetic to the last bit, whole searches against the CPU's, what is moved up and down, interruption, failures.
#include "cuda/cuda_test.h"
#include "base/arg_max.h"
#include "graph/backend.h"
#include "methods/method_test.h"

static toy_world world; // on the CPU
static lt_backend *card;

static int open_world(void **state)
{
    (void)state;
    emu_use(NULL);
    toy_init(&world);
    assert_ok(lt_backend_create("cuda", 1, &card));
    return 0;
}

static int close_world(void **state)
{
    (void)state;
    lt_backend_destroy(card);
    toy_clear(&world);
    return 0;
}

// ---- kernels

enum { ROWS = 9, MOST_D = 1024 };

typedef struct rows {
    float x[ROWS * MOST_D], image[ROWS * MOST_D], g[ROWS * MOST_D];
} rows;

static void fill(rows *r, int d, uint32_t step)
{
    lt_rng rng = lt_rng_at(17, LT_STREAM_TEST, step, (uint64_t)d);
    for (int i = 0; i < ROWS * d; i++) {
        r->x[i] = lt_rng_uniform(&rng);
        r->image[i] = lt_rng_uniform(&rng);
        r->g[i] = (float)(lt_rng_normal(&rng) * 1e-3);
    }
    for (int j = 0; j < d; j++) // a row without a gradient, and pixels at the walls of the box
        r->g[3 * d + j] = 0;
    for (int j = 0; j < d; j += 5)
        r->image[5 * d + j] = r->x[5 * d + j] = (float)(j % 2);
}

static void *there(const void *host, size_t bytes)
{
    void *p;
    assert_ok(card->ops->device->alloc(card, bytes, &p));
    if (host)
        assert_ok(card->ops->device->upload(card, p, host, bytes));
    return p;
}

static void back(void *host, void *device, size_t bytes)
{
    assert_ok(card->ops->device->download(card, host, device, bytes));
    assert_ok(card->ops->device->sync(card));
}

static void check_climb(int d, double eps)
{
    static rows r;
    fill(&r, d, 1);
    static const int32_t row[] = {4, 0, 5, 8, 3}, grad_row[] = {4, 1, 0, 7, 3};
    enum { N = 5 };
    lti_row_step move[N];
    const size_t bytes = (size_t)(ROWS * d) * sizeof(float);
    float *got = malloc(bytes);
    for (int m = 0; m < N; m++)
        move[m] =
            (lti_row_step){.row = row[m], .grad_row = grad_row[m], .scale = 3.7f / (float)(m + 1), .eps = (float)eps};
    void *x = there(r.x, bytes), *image = there(r.image, bytes), *g = there(r.g, bytes),
         *moves = there(move, sizeof move), *part = there(NULL, N * LTI_L2_BALL_PARTS * sizeof(double));
    const lt_device_attack_step climb = {.x = x, .g = g, .image = image, .move = moves, .n = N, .d = d, .part = part};
    assert_ok(card->ops->device->attack_step(card, &climb));
    back(got, image, bytes);
    int n_shrunk = 0;
    for (int m = 0; m < N; m++) { // as attack_batch.c
        float *to = r.image + row[m] * d;
        for (int j = 0; j < d; j++)
            to[j] = lti_l2_ball_step(to[j], move[m].scale, r.g[grad_row[m] * d + j]);
        const float shrink =
            lti_l2_ball_projection_scale(lti_l2_ball_distance(to, r.x + row[m] * d, d), (double)move[m].eps);
        for (int j = 0; j < d; j++)
            to[j] = lti_l2_ball_clip_and_project(r.x[row[m] * d + j], to[j], shrink);
        n_shrunk += shrink < 1;
    }
    assert_memory_equal(got, r.image, bytes);
    assert_int_equal(n_shrunk, eps < 100 ? N : 0);
    void *const all[] = {x, image, g, moves, part};
    for (size_t i = 0; i < 5; i++)
        card->ops->device->release(card, all[i]);
    free(got);
}

static void steps_are_the_cpus(void **state)
{
    (void)state;
    static const int d[] = {1, 7, 8, 64, 300, MOST_D};
    for (size_t i = 0; i < sizeof d / sizeof *d; i++) {
        if (d[i] > 1)
            check_climb(d[i], 0.02);
        check_climb(d[i], 1e3);
    }
}

static void rows_are_gathered_and_seen(void **state)
{
    (void)state;
    enum { D = 300, K = 5 };
    static rows r;
    float z[ROWS * K], got[4 * D];
    lti_row_stats seen[ROWS];
    static const int32_t index[] = {8, 2, 2, 0};
    fill(&r, D, 2);
    for (int i = 0; i < ROWS * K; i++)
        z[i] = (float)(i * 7 % 11);
    z[1 * K + 2] = z[1 * K + 4] = 99; // the first of equals
    z[6 * K + 1] = NAN;
    r.g[7 * D + 5] = INFINITY;
    const size_t bytes = ROWS * D * sizeof(float);
    void *g = there(r.g, bytes), *image = there(r.image, bytes), *logits = there(z, sizeof z),
         *to = there(NULL, sizeof got), *part = there(NULL, ROWS * LTI_L2_BALL_PARTS * sizeof(double)),
         *saw = there(NULL, sizeof seen), *rows_there = there(index, sizeof index);
    const lt_device_attack_eval look = {.z = logits, .g = g, .n = ROWS, .k = K, .d = D, .part = part, .stats = saw};
    const lt_device_rows gather = {.from = image, .index = rows_there, .n = 4, .d = D, .to = to};
    assert_ok(card->ops->device->attack_eval(card, &look));
    assert_ok(card->ops->device->rows(card, &gather));
    back(seen, saw, sizeof seen);
    back(got, to, sizeof got);
    for (int i = 0; i < 4; i++)
        assert_memory_equal(got + i * D, r.image + index[i] * D, D * sizeof(float));
    for (int i = 0; i < ROWS; i++) {
        const double length = lti_l2_ball_distance(r.g + i * D, NULL, D);
        assert_int_equal(seen[i].finite, i != 6 && i != 7);
        assert_true(i == 7 || seen[i].norm == length);
        assert_true(i == 6 || seen[i].pred == lti_arg_max(z + i * K, K));
    }
    assert_true(seen[1].pred == 2 && seen[3].norm == 0);
    void *const all[] = {g, image, logits, to, part, saw, rows_there};
    for (size_t i = 0; i < 7; i++)
        card->ops->device->release(card, all[i]);
}

// ---- searches

enum { SEARCHED = 40 }; // training images, of every class

static lt_view searched(void)
{
    lt_view view = lt_view_split(world.ds, LT_TRAIN);
    view.n = SEARCHED;
    return view;
}

static lt_adv_set *search_on(lt_backend *b, const lt_model *model, lt_adv_search_cfg cfg, const char *dir)
{
    const lt_view view = searched();
    lt_env env = world.env;
    env.backend = b;
    lt_adv_set *set;
    if (lt_adv_search(model, &view, &cfg, &env, dir, &set) != LT_OK)
        fail_msg("%s: %s", lt_backend_name(b), lt_error_get()->message);
    return set;
}

// On a GPU whose gradients round otherwise, a sample may cross the boundary a step sooner or later.
static void expect_mostly_same(const lt_adv_set *a, const lt_adv_set *b)
{
    int64_t n_same = 0;
    for (int64_t i = 0; i < b->n; i++)
        n_same += a->status[i] == b->status[i] && a->adv_pred[i] == b->adv_pred[i] && a->iters[i] == b->iters[i] &&
                  a->eps_final[i] == b->eps_final[i];
    print_message("parity neighbours: %lld of %lld as on the CPU\n", (long long)n_same, (long long)b->n);
    assert_true(n_same >= b->n - b->n / 20);
}

static void expect_same_neighbours(const lt_adv_set *a, const lt_adv_set *b, float tolerance)
{
    const size_t n = (size_t)b->n;
    assert_memory_equal(a->status, b->status, n);
    assert_memory_equal(a->clean_pred, b->clean_pred, n * sizeof *a->clean_pred);
    assert_memory_equal(a->adv_pred, b->adv_pred, n * sizeof *a->adv_pred);
    assert_memory_equal(a->iters, b->iters, n * sizeof *a->iters);
    assert_memory_equal(a->rounds, b->rounds, n * sizeof *a->rounds);
    assert_memory_equal(a->eps_final, b->eps_final, n * sizeof *a->eps_final);
    assert_int_equal(a->n_backward, b->n_backward);
    assert_int_equal(a->n_forward, b->n_forward);
    for (int64_t i = 0; i < b->n; i++)
        assert_true(fabsf(a->delta_norm[i] - b->delta_norm[i]) <= tolerance);
    for (int64_t i = 0; i < b->n * TOY_DIM; i++)
        assert_true(fabsf(a->x_adv[i] - b->x_adv[i]) <= tolerance);
}

static void compare(const lt_model *model, lt_adv_search_cfg cfg)
{
    lt_adv_set *a = search_on(card, model, cfg, NULL), *b = search_on(world.backend, model, cfg, NULL);
    if (emu_is_used())
        expect_same_neighbours(a, b, 1e-3f);
    else
        expect_mostly_same(a, b);
    lt_adv_set_destroy(a);
    lt_adv_set_destroy(b);
}

static void searches_find_the_cpus_neighbours(void **state)
{
    (void)state;
    lt_adv_search_cfg cfg = toy_search_defaults();
    static const int64_t batch[] = {1, 7, 16, 128};
    for (int i = 0; i < 4; i++) {
        cfg.batch = batch[i];
        compare(world.model, cfg);
    }
    cfg = toy_search_defaults();
    cfg.restart_from_clean = true;
    compare(world.model, cfg);
    cfg.restart_from_clean = false;
    cfg.steps = 12;
    cfg.step_ratio = 0.3f;
    compare(world.model, cfg);
    cfg = toy_search_defaults();
    cfg.eps0 = 1e-5f; // doublings are used up: failed samples
    cfg.max_doublings = 2;
    compare(world.model, cfg);
    lt_model *raw = toy_model(); // untrained: mostly wrong
    compare(raw, toy_search_defaults());
    lt_model_destroy(raw);
}

// Cross-entropy saturates exactly, the margin does not; without any gradient a sample fails.
static void saturated_losses_climb_the_margin(void **state)
{
    (void)state;
    lt_model *sharp = toy_scaled_head(4096), *flat = toy_scaled_head(0);
    lt_adv_set *a = search_on(card, sharp, toy_search_defaults(), NULL),
               *b = search_on(world.backend, sharp, toy_search_defaults(), NULL);
    assert_int_equal(lt_adv_set_count(a, LT_ADV_FAILED), 0);
    int64_t n_same = 0;
    for (int64_t i = 0; i < b->n; i++) // where a probability rounds to 0 is decided by the last bit of a logit
        n_same += a->iters[i] == b->iters[i] && a->eps_final[i] == b->eps_final[i];
    assert_true(n_same > b->n * 3 / 4);
    lt_adv_set_destroy(a);
    lt_adv_set_destroy(b);
    compare(flat, toy_search_defaults());
    lt_model_destroy(sharp);
    lt_model_destroy(flat);
}

// Neither images nor gradients move in a step.
static void steps_move_little(void **state)
{
    (void)state;
    if (!emu_is_used())
        skip();
    emu_counts *c = emu_count();
    const lt_adv_search_cfg cfg = toy_search_defaults();
    const emu_counts before = *c;
    lt_adv_set *set = search_on(card, world.model, cfg, NULL);
    const long image = TOY_DIM * 4, n = SEARCHED, params = 4 * (long)(world.model->n_params + world.model->n_state);
    const long row = 64; // of a step: label, weight, places, what was seen, the move
    const long evaluations = (long)(set->n_forward - set->n_backward), gradients = (long)set->n_backward;
    assert_true(gradients > 8 * n);
    // Up: images of evaluations, and two of each sample that searches.
    const long up = c->uploaded - before.uploaded, down = c->downloaded - before.downloaded;
    assert_true(up < (evaluations + cfg.batch) * image + 2 * n * image + 2 * gradients * row + 16 * params);
    // Down: one of each sample, logits of evaluations.
    assert_true(down < n * image + (evaluations + cfg.batch) * 4 * TOY_K + gradients * row);
    assert_true(up + down < gradients * image);
    lt_adv_set_destroy(set);
}

// ---- interruption

static int n_climbs, stop_at;

static lt_status counted_attack_step(lt_backend *b, const lt_device_attack_step *climb)
{
    extern const lt_backend_ops lti_backend_cuda;
    if (++n_climbs == stop_at)
        world.stop = 1;
    return lti_backend_cuda.device->attack_step(b, climb);
}

static void interruption_does_not_show(void **state)
{
    (void)state;
    const lt_backend_ops *const real = card->ops;
    lt_device_ops device = *real->device;
    lt_backend_ops ops = *real;
    const lt_view view = searched();
    lt_env env = world.env;
    env.backend = card;
    const lt_adv_search_cfg cfg = toy_search_defaults();
    lt_adv_set *whole = search_on(card, world.model, cfg, NULL);
    device.attack_step = counted_attack_step;
    ops.device = &device;
    card->ops = &ops;
    for (int every = 1; every < 60; every += 19) {
        char *dir = toy_temp_dir();
        lt_adv_set *part = NULL;
        lt_status status = LT_E_INTERRUPTED;
        int n_turns = 0;
        for (stop_at = every, n_climbs = 0; status == LT_E_INTERRUPTED; stop_at += every, n_turns++) {
            world.stop = 0;
            status = lt_adv_search(world.model, &view, &cfg, &env, dir, &part);
        }
        if (status != LT_OK)
            fail_msg("%s", lt_error_get()->message);
        assert_true(n_turns >= 3);
        expect_same_neighbours(part, whole, 0);
        assert_memory_equal(part->x_adv, whole->x_adv, SEARCHED * TOY_DIM * sizeof(float));
        lt_adv_set_destroy(part);
        toy_remove_dir(dir);
    }
    world.stop = 0;
    card->ops = real;
    lt_adv_set_destroy(whole);
}

// ---- failures

static void failures_are_said(void **state)
{
    (void)state;
    if (!emu_is_used())
        skip();
    const lt_view view = lt_view_rows(world.ds, LT_TRAIN, &world.forget);
    const lt_adv_search_cfg cfg = toy_search_defaults();
    lt_env env = world.env;
    lt_status status = LT_E_FAIL;
    int n_failed = 0;
    for (int at = 1; status != LT_OK; at = 1 + at * 5 / 4) { // any launch may fail; nothing is left over
        char fault[32];
        lt_adv_set *set = NULL;
        snprintf(fault, sizeof fault, "fail=%d", at);
        emu_use(fault);
        assert_ok(lt_backend_create("cuda", 1, &env.backend));
        status = lt_adv_search(world.model, &view, &cfg, &env, NULL, &set);
        if (status != LT_OK) {
            assert_int_equal(status, LT_E_FAIL);
            assert_non_null(strstr(lt_error_get()->message, "illegal memory access"));
            n_failed++;
        }
        lt_adv_set_destroy(set);
        lt_backend_destroy(env.backend);
    }
    assert_true(n_failed > 10);
    emu_use("memory=60000");
    lt_adv_set *set = NULL;
    assert_ok(lt_backend_create("cuda", 1, &env.backend));
    assert_int_equal(lt_adv_search(world.model, &view, &cfg, &env, NULL, &set), LT_E_NOMEM);
    lt_backend_destroy(env.backend);
    emu_use(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_the_cpus),
        cmocka_unit_test(rows_are_gathered_and_seen),
        cmocka_unit_test(searches_find_the_cpus_neighbours),
        cmocka_unit_test(saturated_losses_climb_the_margin),
        cmocka_unit_test(steps_move_little),
        cmocka_unit_test(interruption_does_not_show),
        cmocka_unit_test(failures_are_said),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
