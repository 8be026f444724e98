// test_plan_share.c - plans in the memory of other plans.
#include "graph/ref_nets.h"
#include "graph/plan_share.h"

static void open_sharing(const small_net *n, const lt_plan_spec *spec, const lt_plan *donor, op_run *r)
{
    open_net(n, spec, r);
    lt_plan_destroy(r->plan);
    assert_int_equal(lti_plan_create_sharing(n->g, spec, ref, donor, &r->plan), LT_OK);
    assert_int_equal(lt_plan_bind(r->plan, r->params, r->state, r->grads), LT_OK);
    net_fill(n, r, spec->batch);
}

// A plan in the memory of another one computes the same, in turns with it, and also when the other one is gone.
static void plans_share_memory(void **state)
{
    (void)state;
    small_net n;
    small_net_build(&n);
    lt_plan_spec spec = {
        .outs = &n.logits, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .batch = 3, .dtype = LT_F64};
    lt_plan_spec large = spec;
    op_run alone, donor, guest;
    large.batch = 4;
    open_net(&n, &spec, &alone);
    run(&alone);
    open_net(&n, &large, &donor);
    run(&donor);
    open_sharing(&n, &spec, donor.plan, &guest);
    assert_true(lti_plan_shares(guest.plan));
    assert_false(lti_plan_shares(donor.plan));
    double expected[3 * 5], first[4 * 5];
    memcpy(expected, lt_plan_buffer(alone.plan, n.logits), sizeof expected);
    memcpy(first, lt_plan_buffer(donor.plan, n.logits), sizeof first);
    run(&guest);
    assert_memory_equal(lt_plan_buffer(guest.plan, n.logits), expected, sizeof expected);
    net_fill(&n, &donor, 4); // inputs are written before each run
    run(&donor);
    assert_memory_equal(lt_plan_buffer(donor.plan, n.logits), first, sizeof first);
    op_run_close(&donor);
    net_fill(&n, &guest, 3);
    run(&guest);
    assert_memory_equal(lt_plan_buffer(guest.plan, n.logits), expected, sizeof expected);
    large.batch = 5;
    open_sharing(&n, &large, guest.plan, &donor);
    assert_false(lti_plan_shares(donor.plan)); // the memory is too small
    op_run_close(&donor);
    op_run_close(&guest);
    op_run_close(&alone);
    lt_graph_destroy(n.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plans_share_memory),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
