// test_cuda_methods.c - methods on the emulated card: every unlearning method, relearning curves and features against
// the CPU. What they share is a model that host and device both change.
#include "cuda/cuda_test.h"
#include "lethe/representation.h"
#include "methods/unlearn_test.h"

static lt_backend *card;

static int open_world(void **state)
{
    emu_use(NULL);
    assert_ok(lt_backend_create("cuda", 1, &card));
    return set_up(state);
}

static int close_world(void **state)
{
    lt_backend_destroy(card);
    return tear_down(state);
}

static lt_env on_card(void)
{
    lt_env env = world.env;
    env.backend = card;
    return env;
}

// Runs a method on a fresh copy of the trained model in the environment given.
static lt_model *unlearn_in(const lt_unlearn_method *m, const char *values, const lt_env *env, lt_unlearn_result *r)
{
    lt_model *model = toy_trained(&world);
    lt_unlearn_in in = input(model);
    in.env = env;
    void *cfg = config(m, values);
    if (lt_unlearn_run(m, &in, cfg, r) != LT_OK)
        fail_msg("%s on %s: %s", m->name, lt_backend_name(env->backend), lt_error_get()->message);
    lti_free(cfg);
    return model;
}

static double change(const lt_model *model)
{
    double sum = 0;
    for (int64_t i = 0; i < model->n_params; i++) {
        const double d = (double)model->params[i] - (double)world.model->params[i];
        sum += d * d;
    }
    return sqrt(sum);
}

static void compare(const char *name, const char *values)
{
    const lt_unlearn_method *m = find(name);
    lt_unlearn_result ra, rb;
    const lt_env env = on_card();
    lt_model *a = unlearn_in(m, values, &env, &ra), *b = unlearn_in(m, values, &world.env, &rb);
    double sum = 0;
    for (int64_t i = 0; i < a->n_params; i++) {
        const double d = (double)a->params[i] - (double)b->params[i];
        sum += d * d;
    }
    const double gap = sqrt(sum), moved = change(b);
    if (!(gap <= 1e-3 * moved))
        fail_msg("%s %s: the models differ by %g, the change on the CPU is %g", name, values, gap, moved);
    assert_int_equal(ra.update.n_forward, rb.update.n_forward);
    assert_int_equal(ra.update.n_backward, rb.update.n_backward);
    lt_unlearn_result_clear(&ra);
    lt_unlearn_result_clear(&rb);
    lt_model_destroy(a);
    lt_model_destroy(b);
}

static void methods_follow_the_cpu(void **state)
{
    (void)state;
    static const struct {
        const char *name, *values;
    } cases[] = {
        {"retrain", ""},
        {"ft", "lr=0.01"},
        {"ft", "lr=0.01,mask=classifier"},
        {"ft", "lr=0.01,mask=salun"},
        {"rl", "lr=0.01"},
        {"salun", "lr=0.01"},
        {"ga", "lr=0.001"},
        {"ga-amun", "lr=0.001"},
        {"l1-sparse", "lr=0.01"},
        {"neggrad-plus", "lr=0.001"},
        {"scrub", "lr=0.001"},
        {"scrub", "lr=0.001,rewind=true"},
        {"bad-teacher", "lr=0.001"},
        {"boundary-shrink", "lr=0.001"},
        {"boundary-shrink-amun", "lr=0.001"},
        {"boundary-expand", "lr=0.001"},
        {"classifier-only", "lr=0.01"},
        {"ssd", "alpha=1.5"},
        {"ssd", "alpha=1.5,mask=salun"},
        {"fisher", "alpha=1e-6,samples=12"},
        {"influence", "samples=20"},
        {"amun", "lr=0.01"},
        {"amun", "lr=0.01,counterpart=adv-rs,augment=true,augment_adv=true"},
    };
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++)
        compare(cases[c].name, cases[c].values);
}

static void relearning_follows_the_cpu(void **state)
{
    (void)state;
    lt_representation_cfg cfg;
    lt_relearn a, b;
    const lt_env env = on_card();
    const lt_view test = lt_view_split(world.ds, LT_TEST);
    lt_options_defaults(lt_representation_options, &cfg);
    cfg.relearn_steps = 10;
    cfg.relearn_every = 2;
    cfg.relearn_batch = 8;
    cfg.relearn_lr = 0.02f;
    if (lt_relearn_run(world.model, world.ds, &world.forget, &test, &cfg, 4, &env, &a) != LT_OK)
        fail_msg("%s", lt_error_get()->message);
    assert_ok(lt_relearn_run(world.model, world.ds, &world.forget, &test, &cfg, 4, &world.env, &b));
    assert_int_equal(a.n, 6);
    assert_int_equal(b.n, 6);
    for (int i = 0; i < a.n; i++) {
        assert_true(a.step[i] == b.step[i] && a.forget_acc[i] == b.forget_acc[i] && a.test_acc[i] == b.test_acc[i]);
        assert_true(fabs(a.forget_loss[i] - b.forget_loss[i]) < 1e-4 * (1 + b.forget_loss[i]));
        assert_true(fabs(a.test_loss[i] - b.test_loss[i]) < 1e-4 * (1 + b.test_loss[i]));
        assert_true(i == 0 || a.forget_loss[i] != a.forget_loss[i - 1]);
    }
    lt_relearn_clear(&a);
    lt_relearn_clear(&b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(methods_follow_the_cpu),
        cmocka_unit_test(relearning_follows_the_cpu),
    };
    return cmocka_run_group_tests(tests, open_world, close_world);
}
