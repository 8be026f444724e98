// test_cuda_population.c - models trained side by side on the emulated card: the pixels are there once, each model is
// what it would be alone, and copies shared by queues of one GPU are released by the last user.
#include "cuda/cuda_test.h"
#include "graph/backend.h"
#include "lethe/population.h"
#include "train/train_test.h"
#include <pthread.h>

enum { MEMBERS = 3, LEN = T_C * T_SIDE * T_SIDE };

static int setup(void **state)
{
    (void)state;
    emu_use(NULL);
    return 0;
}

typedef struct crowd {
    lt_dataset *ds;
    pthread_barrier_t *all; // where members wait for each other in their first step, or NULL
    char digest[MEMBERS][65];
} crowd;

static void meet(const lt_job *job, const lt_step *step, void *ctx)
{
    (void)job;
    crowd *c = ctx;
    if (step->step == 1 && c->all)
        pthread_barrier_wait(c->all);
}

static lt_status train_member(void *ctx, int member, const lt_env *env)
{
    crowd *c = ctx;
    lt_model *model = NULL;
    LT_TRY(lt_model_create("simple-conv:width=4", (lt_model_shape){T_C, T_SIDE, T_SIDE, T_CLASSES}, &model));
    lt_model_init(model, (uint64_t)member + 20);
    lt_job job = {.model = model,
                  .n_phases = 1,
                  .seed = (uint64_t)member + 20,
                  .on_step = meet,
                  .step_ctx = c,
                  .step_only = true};
    lt_options_defaults(lt_train_options, &job.cfg);
    job.cfg.epochs = 2;
    job.cfg.batch = 8;
    job.phase[0] = (lt_phase){.view = {lt_view_split(c->ds, LT_TRAIN)}, .n_views = 1, .shuffle = true};
    job.phase[0].view[0].augment = true;
    const lt_status status = lt_train_run(&job, env, NULL, false, NULL);
    lt_model_digest(model, c->digest[member]);
    lt_model_destroy(model);
    return status;
}

static void pixels_are_there_once(void **state)
{
    (void)state;
    crowd alone = {.ds = t_dataset()}, together = alone;
    lt_member_outcome outcome[MEMBERS];
    pthread_barrier_t all;
    assert_int_equal(pthread_barrier_init(&all, NULL, MEMBERS), 0);
    emu_counts *c = emu_is_used() ? emu_count() : NULL;
    const long start = c ? c->uploaded : 0;
    for (int m = 0; m < MEMBERS; m++) {
        lt_backend *b;
        assert_ok(lt_backend_create("cuda", 1, &b));
        assert_ok(train_member(&alone, m, &(lt_env){.backend = b}));
        lt_backend_destroy(b);
    }
    const long between = c ? c->uploaded : 0;
    together.all = &all;
    const lt_population p = {
        .n = MEMBERS, .n_workers = MEMBERS, .backend = "cuda", .work = train_member, .ctx = &together};
    assert_ok(lt_population_run(&p, outcome));
    for (int m = 0; m < MEMBERS; m++)
        assert_string_equal(alone.digest[m], together.digest[m]);
    if (c) // all else is the same to the byte
        assert_int_equal((between - start) - (c->uploaded - between), (MEMBERS - 1) * T_TRAIN * LEN);
    pthread_barrier_destroy(&all);
    lt_dataset_close(alone.ds);
}

static void copies_are_counted(void **state)
{
    (void)state;
    static const char text[] = "the same for all", other[] = "the same for all";
    lt_backend *first, *sibling, *apart;
    void *a, *b, *c, *d, *e;
    char got[sizeof text];
    assert_ok(lt_backend_create("cuda", 1, &first));
    assert_ok(lti_backend_create_sibling(first, 1, &sibling));
    assert_ok(lt_backend_create("cuda", 1, &apart));
    assert_ok(lti_device_buffer_acquire(first, text, sizeof text, &a));
    assert_ok(lti_device_buffer_acquire(sibling, text, sizeof text, &b));
    assert_ok(lti_device_buffer_acquire(first, text, sizeof text, &c));
    assert_true(a == b && b == c);
    assert_ok(lti_device_buffer_acquire(sibling, other, sizeof other, &d)); // other memory, whatever it holds
    assert_ok(lti_device_buffer_acquire(apart, text, sizeof text, &e));
    assert_true(d != a && e != a);
    lti_device_buffer_release(first, text, sizeof text);
    lti_device_buffer_release(first, text, sizeof text);
    lti_device_buffer_release(sibling, other, sizeof other);
    lti_device_buffer_release(apart, text, sizeof text);
    lt_backend_destroy(first); // the one that made the copy may go first
    assert_ok(sibling->ops->device->download(sibling, got, b, sizeof got));
    assert_ok(sibling->ops->device->sync(sibling));
    assert_string_equal(got, text);
    lti_device_buffer_release(sibling, text, sizeof text);
    lt_backend_destroy(sibling);
    lt_backend_destroy(apart);
}

static void shortage_leaves_nothing(void **state)
{
    (void)state;
    if (!emu_is_used())
        skip();
    static char many[4096];
    lt_backend *b;
    void *p;
    emu_use("memory=4000");
    assert_ok(lt_backend_create("cuda", 1, &b));
    assert_int_equal(lti_device_buffer_acquire(b, many, sizeof many, &p), LT_E_NOMEM);
    assert_ok(lti_device_buffer_acquire(b, many, 64, &p));
    lti_device_buffer_release(b, many, 64);
    lt_backend_destroy(b);
    emu_use(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pixels_are_there_once),
        cmocka_unit_test(copies_are_counted),
        cmocka_unit_test(shortage_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
