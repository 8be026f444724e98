// test_schedule.c - learning rates step by step against worked values, and the checks of the training options.
#include "train_test.h"

#include <math.h>

#include "train/train_impl.h"

static lt_train_cfg cfg_of(lt_schedule_kind schedule, float lr, int32_t epochs)
{
    lt_train_cfg c;
    lt_options_defaults(lt_train_options, &c);
    c.schedule = (int32_t)schedule;
    c.lr = lr;
    c.epochs = epochs;
    return c;
}

// The rates of `n` steps in a row, `per_epoch` steps an epoch.
static void check(const lt_train_cfg *c, int64_t per_epoch, int n, const double *want)
{
    for (int i = 0; i < n; i++) {
        const double lr = lt_train_lr(c, (int32_t)(i / per_epoch), i % per_epoch, per_epoch);
        if (fabs(lr - want[i]) > 1e-7 * fmax(want[i], 1e-2))
            fail_msg("step %d: expected %.9g, found %.9g", i, want[i], lr);
    }
}

static void constant_and_step(void **state)
{
    (void)state;
    lt_train_cfg c = cfg_of(LT_SCHED_CONST, 0.5f, 3);
    check(&c, 2, 6, (const double[]){0.5, 0.5, 0.5, 0.5, 0.5, 0.5});
    c = cfg_of(LT_SCHED_STEP, 0.5f, 5);
    c.lr_step_every = 2;
    check(&c, 2, 10, (const double[]){0.5, 0.5, 0.5, 0.5, 0.05, 0.05, 0.05, 0.05, 0.005, 0.005});
}

static void cosine(void **state)
{
    (void)state;
    lt_train_cfg c = cfg_of(LT_SCHED_COSINE, 1, 2);
    const double r = sqrt(0.5);
    check(&c, 2, 4, (const double[]){1, (1 + r) / 2, 0.5, (1 - r) / 2});
    c.epochs = 3; // the first one warms up
    c.warmup_epochs = 1;
    check(&c, 2, 6, (const double[]){0.5, 1, 1, (1 + r) / 2, 0.5, (1 - r) / 2});
}

static void warmup(void **state)
{
    (void)state;
    lt_train_cfg c = cfg_of(LT_SCHED_CONST, 1, 3);
    c.warmup_epochs = 2;
    check(&c, 2, 6, (const double[]){0.25, 0.5, 0.75, 1, 1, 1});
    c = cfg_of(LT_SCHED_STEP, 1, 3);
    c.warmup_epochs = 2;
    c.lr_step_every = 1;
    check(&c, 2, 6, (const double[]){0.25, 0.5, 0.075, 0.1, 0.01, 0.01});
    c = cfg_of(LT_SCHED_COSINE, 1, 2);
    c.warmup_epochs = 2; // nothing is left for the cosine
    check(&c, 1, 2, (const double[]){0.5, 1});
}

// torch.optim.lr_scheduler.OneCycleLR(max_lr=1, total_steps=10): rises over steps 0 to 2, falls over steps 2 to 9.
static void onecycle(void **state)
{
    (void)state;
    const lt_train_cfg c = cfg_of(LT_SCHED_ONECYCLE, 1, 5);
    double want[10] = {0.04, 0.52, 1};
    for (int i = 3; i < 10; i++)
        want[i] = 4e-6 + (1 - 4e-6) / 2 * (1 + cos(acos(-1.0) * (i - 2) / 7));
    check(&c, 2, 10, want);
    const lt_train_cfg one = cfg_of(LT_SCHED_ONECYCLE, 1, 1);
    assert_true(lt_train_lr(&one, 0, 0, 1) > 0); // a job of one step is no division by zero
}

static void defaults_pass(void **state)
{
    (void)state;
    lt_train_cfg c;
    lt_options_defaults(lt_train_options, &c);
    assert_ok(lti_train_cfg_check(&c));
    assert_int_equal(c.epochs, 20);
    assert_int_equal(c.batch, 128);
    assert_float_equal(c.lr, 0.1f, 0);
    assert_float_equal(c.weight_decay, 5e-4f, 0);
    assert_true(c.augment && !c.nesterov && c.optimizer == LT_SGD && c.schedule == LT_SCHED_COSINE);
}

#define REJECT(field, value)                                                                                           \
    do {                                                                                                               \
        lt_train_cfg c_;                                                                                               \
        lt_options_defaults(lt_train_options, &c_);                                                                    \
        c_.field = (value);                                                                                            \
        assert_fails(LT_E_USAGE, #field, lti_train_cfg_check(&c_));                                                    \
    } while (0)

static void rejects(void **state)
{
    (void)state;
    REJECT(epochs, -1);
    REJECT(batch, 0);
    REJECT(optimizer, 7);
    REJECT(schedule, -1);
    REJECT(lr, -0.1f);
    REJECT(lr, NAN);
    REJECT(momentum, 1.5f);
    REJECT(weight_decay, INFINITY);
    REJECT(beta1, 1);
    REJECT(adam_eps, 0);
    REJECT(lr_step_every, 0);
    REJECT(warmup_epochs, -2);
    REJECT(label_smoothing, 1);
    REJECT(divergence_factor, -1);
    REJECT(eval_every, -1);
    REJECT(checkpoint_every_s, -1);
    lt_train_cfg c = cfg_of(LT_SCHED_ONECYCLE, 1, 5);
    c.warmup_epochs = 1;
    assert_fails(LT_E_USAGE, "warmup_epochs", lti_train_cfg_check(&c));
    c = cfg_of(LT_SCHED_CONST, 1, 5);
    c.nesterov = true;
    c.momentum = 0;
    assert_fails(LT_E_USAGE, "nesterov", lti_train_cfg_check(&c));
}

// 16 samples, or more than a quarter of a batch, are enough for batch statistics.
static void small_last_batches(void **state)
{
    (void)state;
    assert_true(lt_is_last_batch_small(900, 128)); // leaves 4
    assert_true(lt_is_last_batch_small(79, 64));   // 15
    assert_false(lt_is_last_batch_small(80, 64));  // 16
    assert_false(lt_is_last_batch_small(896, 128));
    assert_false(lt_is_last_batch_small(11, 8)); // 3 of 8
    assert_true(lt_is_last_batch_small(10, 8));
    assert_false(lt_is_last_batch_small(4, 128)); // the only batch
    assert_false(lt_is_last_batch_small(4, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(constant_and_step),  cmocka_unit_test(cosine),        cmocka_unit_test(warmup),
        cmocka_unit_test(onecycle),           cmocka_unit_test(defaults_pass), cmocka_unit_test(rejects),
        cmocka_unit_test(small_last_batches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
