// test_cuda_plan.c - plans on a device: when kernels are recorded and replayed, who has the newer side of a slab, what
// stays there, and how a GPU that cannot be used is named.
#include "cuda/cuda_test.h"
#include "graph/nets.h"
#include "lt_test.h"

static lt_backend *open_card(const char *spec)
{
    lt_backend *b = NULL;
    emu_use(NULL);
    assert_ok(lt_backend_create(spec, 1, &b));
    return b;
}

static void open_net(small_net *n, lt_backend *b, bool train, op_run *r)
{
    const lt_val outs[] = {n->loss, n->logits};
    const lt_plan_spec spec = {.outs = outs,
                               .n_outs = 2,
                               .grad_of = n->loss,
                               .seed = LT_NONE,
                               .wrt = &n->x,
                               .n_wrt = 1,
                               .wrt_params = train,
                               .batch = 5,
                               .train = train,
                               .dtype = LT_F32};
    assert_ok(op_run_open(n->g, &spec, b, r));
    net_fill(n, r, 5);
}

static void the_second_run_is_recorded(void **state)
{
    (void)state;
    if (!emu_is_used())
        skip();
    lt_backend *b = open_card("cuda");
    emu_counts *c = emu_count();
    small_net n;
    op_run r;
    small_net_build(&n);
    open_net(&n, b, true, &r);
    const emu_counts start = *c;
    float loss[5];
    long launches[5];
    for (int i = 0; i < 5; i++) {
        const long before = c->launches;
        assert_ok(lt_plan_run(r.plan));
        launches[i] = c->launches - before;
        loss[i] = *(const float *)lt_plan_buffer(r.plan, n.loss);
    }
    assert_true(launches[0] > 20);
    assert_int_equal(launches[1], launches[0]);
    assert_int_equal(launches[2], 0);
    assert_int_equal(c->recordings - start.recordings, 1);
    assert_int_equal(c->replays - start.replays, 4);
    for (int i = 1; i < 5; i++) // nothing but running statistics changes, and a training loss does not read them
        assert_memory_equal(&loss[i], &loss[0], sizeof *loss);
    assert_ok(lt_plan_bind(r.plan, r.params, r.state, r.grads)); // pointers may differ: captured again
    assert_int_equal(c->recordings_freed - start.recordings_freed, 1);
    const long before = c->launches;
    assert_ok(lt_plan_run(r.plan));
    assert_int_equal(c->launches - before, launches[0]);
    op_run_close(&r);
    lt_graph_destroy(n.g);
    lt_backend_destroy(b);
}

static void prepared_parameters_are_kept_until_they_change(void **state)
{
    (void)state;
    if (!emu_is_used())
        skip();
    lt_backend *b = open_card("cuda");
    emu_counts *c = emu_count();
    small_net n;
    op_run r;
    small_net_build(&n);
    open_net(&n, b, false, &r);
    long launches[5], uploaded[5];
    for (int i = 0; i < 5; i++) {
        const emu_counts before = *c;
        if (i == 3) { // as a caller does: new values, then a word about it
            for (int64_t p = 0; p < lt_graph_n_params(n.g); p++)
                ((float *)r.params)[p] *= 0.5f;
            lt_plan_params_changed(r.plan);
        }
        assert_ok(lt_plan_run(r.plan));
        launches[i] = c->launches - before.launches;
        uploaded[i] = c->uploaded - before.uploaded;
    }
    assert_true(launches[1] < launches[0]); // recorded, without what prepares
    assert_int_equal(launches[2], 0);
    assert_int_equal(launches[3], launches[0]);
    assert_int_equal(launches[4], 0); // the recording still serves
    assert_true(uploaded[1] == uploaded[2] && uploaded[2] == uploaded[4] && uploaded[3] > uploaded[2]);
    assert_int_equal(uploaded[3] - uploaded[2], 4 * (lt_graph_n_params(n.g) + lt_graph_n_state(n.g)));
    op_run_close(&r);
    lt_graph_destroy(n.g);
    lt_backend_destroy(b);
}

static void plans_share_the_copy_of_a_slab(void **state)
{
    (void)state;
    if (!emu_is_used())
        skip();
    lt_backend *b = open_card("cuda");
    float slab[8] = {1, 2, 3, 4, 5, 6, 7, 8}, got[8] = {0};
    lti_device_copy *one, *two;
    assert_ok(lti_device_copy_acquire(b, slab, sizeof slab, &one));
    assert_ok(lti_device_copy_acquire(b, slab, sizeof slab, &two));
    assert_ptr_equal(one, two);
    assert_ok(lti_device_copy_to_device(one));
    slab[0] = 9; // not said: the device keeps what it has. Nothing was copied before the wait, though
    assert_ok(b->ops->device->sync(b));
    slab[0] = 10;
    assert_ok(lti_device_copy_to_device(two));
    assert_ok(b->ops->device->download(b, got, lti_device_copy_address(one), sizeof got));
    assert_ok(b->ops->device->sync(b));
    assert_true(got[0] == 9 && got[7] == 8);
    assert_ok(b->ops->device->zero(b, lti_device_copy_address(one), 4));
    lti_device_copy_mark_device_dirty(one);
    assert_ok(lti_device_copy_to_host(two));
    assert_true(slab[0] == 0 && slab[1] == 2);
    lti_device_copy_release(one);
    lti_device_copy_release(two);
    lti_device_copy_release(NULL);
    lt_backend_destroy(b);
}

// Gradients and state may stay there, and inputs may be made there.
static void what_stays_there_is_left_alone(void **state)
{
    (void)state;
    lt_backend *b = open_card("cuda");
    small_net n;
    op_run r;
    small_net_build(&n);
    open_net(&n, b, true, &r);
    const size_t bytes = (size_t)lt_graph_n_params(n.g) * 4;
    assert_true(lti_plan_on_device(r.plan));
    assert_null(lti_plan_device_input(r.plan, n.logits));
    assert_ok(lt_plan_run(r.plan));
    float *expected = malloc(bytes);
    memcpy(expected, r.grads, bytes);
    memset(r.grads, 0, bytes);
    lti_plan_keep_on_device(r.plan, true);
    lti_plan_input_produced_on_device(r.plan, n.x, true);
    float *x = lt_plan_buffer(r.plan, n.x); // not looked at any more
    memset(x, 0xff, 5 * 3 * 64 * sizeof *x);
    assert_ok(lt_plan_run(r.plan));
    for (size_t i = 0; i < bytes / 4; i++)
        assert_true(((float *)r.grads)[i] == 0);
    lti_device_copy *m;
    assert_ok(lti_device_copy_acquire(b, r.grads, bytes, &m));
    assert_ok(lti_device_copy_to_host(m));
    lti_device_copy_release(m);
    assert_memory_equal(r.grads, expected, bytes);
    free(expected);
    op_run_close(&r);
    lt_graph_destroy(n.g);
    lt_backend_destroy(b);
}

static void double_precision_is_refused(void **state)
{
    (void)state;
    lt_backend *b = open_card("cuda");
    small_net n;
    small_net_build(&n);
    const lt_plan_spec spec = {.outs = &n.logits, .n_outs = 1, .grad_of = LT_NONE, .batch = 2, .dtype = LT_F64};
    lt_plan *plan = NULL;
    assert_int_equal(lt_plan_create(n.g, &spec, b, &plan), LT_E_UNSUPPORTED);
    assert_null(plan);
    assert_non_null(strstr(lt_error_get()->message, "double precision"));
    lt_graph_destroy(n.g);
    lt_backend_destroy(b);
}

static void expect_refusal(const char *spec, const char *fault, lt_status status, const char *text)
{
    lt_backend *b = NULL;
    emu_use(fault);
    if (lt_backend_create(spec, 1, &b) != status || !strstr(lt_error_get()->message, text))
        fail_msg("%s: status %d, %s", spec, (int)lt_error_get()->status, lt_error_get()->message);
    assert_null(b);
    emu_use(NULL);
}

static void what_is_missing_is_named(void **state)
{
    (void)state;
    if (!emu_is_used())
        skip();
    expect_refusal("cuda", "no-driver", LT_E_UNSUPPORTED, "no NVIDIA driver");
    expect_refusal("cuda", "no-device", LT_E_UNSUPPORTED, "cuda:0: no such card");
    expect_refusal("cuda:2", NULL, LT_E_UNSUPPORTED, "cuda:2: no such card");
    expect_refusal("cuda", "version", LT_E_UNSUPPORTED, "is of version 5, this lethe needs 4");
    expect_refusal("cuda:one", NULL, LT_E_USAGE, "number of the card");
    expect_refusal("cuda:precision=f16", NULL, LT_E_USAGE, "expected one of f32, tf32, bf16");
    expect_refusal("cuda:1,tune=yes", NULL, LT_E_USAGE, "tune");
    expect_refusal("cuda:fast=1", NULL, LT_E_USAGE, "found 'fast'");
    expect_refusal("cudo", NULL, LT_E_USAGE, "cudo");
    setenv("LETHE_CUDA_PLUGIN", "/nonexistent/plugin.so", 1);
    lt_backend *b = NULL;
    assert_int_equal(lt_backend_create("cuda", 1, &b), LT_E_UNSUPPORTED);
    assert_non_null(strstr(lt_error_get()->message, "/nonexistent/plugin.so is missing"));
    setenv("LETHE_CUDA_PLUGIN", LT_TEST_SOURCE_DIR "/CMakeLists.txt", 1);
    assert_int_equal(lt_backend_create("cuda", 1, &b), LT_E_UNSUPPORTED);
    assert_non_null(strstr(lt_error_get()->message, "cannot be loaded"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_second_run_is_recorded),
        cmocka_unit_test(prepared_parameters_are_kept_until_they_change),
        cmocka_unit_test(plans_share_the_copy_of_a_slab),
        cmocka_unit_test(what_stays_there_is_left_alone),
        cmocka_unit_test(double_precision_is_refused),
        cmocka_unit_test(what_is_missing_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
