// test_plan_halves.c - forward and backward of a plan with a seed, apart: the bits of one run, and several gradients at
// one point.
#include "lt_test.h"
#include "graph/nets.h"

enum { BATCH = 3, N_GRADS = BATCH * 3 * 8 * 8, N_LOGITS = BATCH * 5 };

typedef struct halves {
    small_net net;
    lt_backend *backend;
    lt_plan *plan;
    op_run run;
    lt_val seed;
} halves;

static void open_halves(halves *h, const char *backend, unsigned flags)
{
    memset(h, 0, sizeof *h);
    small_net_build(&h->net);
    h->seed = lt_input(h->net.g, "seed", LT_F32, LT_SHAPE(LT_BATCH, 5));
    assert_ok(lt_graph_status(h->net.g));
    assert_ok(lt_backend_create(backend, 2, &h->backend));
    const lt_plan_spec spec = {.outs = &h->net.logits,
                               .n_outs = 1,
                               .grad_of = h->net.logits,
                               .seed = h->seed,
                               .wrt = &h->net.x,
                               .n_wrt = 1,
                               .batch = BATCH,
                               .dtype = LT_F32,
                               .flags = flags};
    assert_ok(op_run_open(h->net.g, &spec, h->backend, &h->run));
    h->plan = h->run.plan;
    net_fill(&h->net, &h->run, BATCH);
}

static void close_halves(halves *h)
{
    op_run_close(&h->run);
    lt_backend_destroy(h->backend);
    lt_graph_destroy(h->net.g);
}

static void put_seed(halves *h, int which)
{
    float *seed = lt_plan_buffer(h->plan, h->seed);
    for (int j = 0; j < N_LOGITS; j++)
        seed[j] = (float)((j * 7 + which * 5) % 11) - 5.0f;
}

// Gradient and logits of one whole run with this seed.
static void whole(halves *h, int which, float *dx, float *z)
{
    put_seed(h, which);
    assert_ok(lt_plan_run(h->plan));
    memcpy(dx, lt_plan_grad(h->plan, 0), N_GRADS * sizeof *dx);
    memcpy(z, lt_plan_buffer(h->plan, h->net.logits), N_LOGITS * sizeof *z);
}

static void check_halves(const char *backend, unsigned flags)
{
    halves h;
    float dx[2][N_GRADS], z[2][N_LOGITS];
    open_halves(&h, backend, flags);
    whole(&h, 0, dx[0], z[0]);
    whole(&h, 1, dx[1], z[1]);
    assert_memory_not_equal(dx[0], dx[1], sizeof dx[0]);
    for (int round = 0; round < 2; round++) {
        if (round == 0)
            lt_plan_params_changed(h.plan); // weights are packed again, in whatever half they stand
        put_seed(&h, 1 - round);            // what the forward half must not use
        assert_ok(lt_plan_run_forward(h.plan));
        assert_memory_equal(lt_plan_buffer(h.plan, h.net.logits), z[0], sizeof z[0]);
        put_seed(&h, round);
        assert_ok(lt_plan_run_backward(h.plan));
        assert_memory_equal(lt_plan_grad(h.plan, 0), dx[round], sizeof dx[0]);
        for (int again = 0; again < 3 && (flags & LT_PLAN_NO_REUSE); again++) {
            put_seed(&h, again & 1);
            assert_ok(lt_plan_run_backward(h.plan));
            assert_memory_equal(lt_plan_grad(h.plan, 0), dx[again & 1], sizeof dx[0]);
        }
    }
    close_halves(&h);
}

static void halves_make_the_whole(void **state)
{
    (void)state;
    const unsigned flags[] = {LT_PLAN_NO_TUNE, LT_PLAN_FIXED_ORDER, LT_PLAN_NO_TUNE | LT_PLAN_NO_REUSE,
                              LT_PLAN_NO_TUNE | LT_PLAN_NO_FUSE | LT_PLAN_NO_FOLD,
                              LT_PLAN_FIXED_ORDER | LT_PLAN_NO_REUSE};
    for (size_t i = 0; i < sizeof flags / sizeof *flags; i++)
        for (const char *const *name = lt_backend_names(); *name; name++)
            check_halves(*name, flags[i]);
}

static void wrong_use_is_refused(void **state)
{
    (void)state;
    halves h;
    open_halves(&h, "ref", 0);
    lt_plan_params_changed(h.plan);
    assert_int_equal(lt_plan_run_backward(h.plan), LT_E_USAGE);
    close_halves(&h);
    small_net_build(&h.net);
    assert_ok(lt_backend_create("ref", 1, &h.backend));
    const lt_plan_spec spec = {.outs = &h.net.loss,
                               .n_outs = 1,
                               .grad_of = h.net.loss,
                               .seed = LT_NONE,
                               .wrt_params = true,
                               .batch = BATCH,
                               .train = true,
                               .dtype = LT_F32};
    assert_ok(op_run_open(h.net.g, &spec, h.backend, &h.run));
    assert_int_equal(lt_plan_run_forward(h.run.plan), LT_E_UNSUPPORTED);
    close_halves(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(halves_make_the_whole),
        cmocka_unit_test(wrong_use_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
