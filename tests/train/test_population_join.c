// test_population_join.c - members that another process has are asked for again after all others, and no member is
// lost.
#include "lt_test.h"
#include "lethe/population.h"
#include <stdatomic.h>

enum { N = 5, NEVER = 1000000 };

typedef struct shared {
    _Atomic int busy[N];  // how often each member is still found busy
    _Atomic int asked[N]; // calls
    _Atomic int order, first_of[N];
    lt_interrupt_flag *stop_at_wait;
} shared;

static lt_status work(void *ctx, int member, const lt_env *env)
{
    shared *s = ctx;
    (void)env;
    if (atomic_fetch_add(&s->asked[member], 1) == 0)
        atomic_store(&s->first_of[member], atomic_fetch_add(&s->order, 1));
    if (atomic_load(&s->busy[member]) <= 0)
        return LT_OK;
    if (s->stop_at_wait && atomic_load(&s->asked[member]) > 2)
        *s->stop_at_wait = 1;
    atomic_fetch_sub(&s->busy[member], 1);
    return LT_FAIL(LT_E_BUSY, "member %d is in use", member);
}

static lt_population population(shared *s, int n_workers)
{
    return (lt_population){.n = N, .n_workers = n_workers, .backend = "ref", .work = work, .ctx = s, .join = true};
}

static void busy_members_are_asked_for_again(void **state)
{
    (void)state;
    for (int n_workers = 1; n_workers <= 3; n_workers++) {
        shared s = {.busy = {2, 0, 1, 0, 0}};
        lt_member_outcome outcome[N];
        const lt_population p = population(&s, n_workers);
        assert_ok(lt_population_run(&p, outcome));
        for (int i = 0; i < N; i++)
            assert_int_equal(outcome[i].state, LT_MEMBER_DONE);
        assert_int_equal(s.asked[0], 3);
        assert_int_equal(s.asked[2], 2);
        assert_int_equal(s.asked[1] + s.asked[3] + s.asked[4], 3);
        if (n_workers == 1) // what nobody has comes first
            for (int i = 0; i < N; i++)
                assert_int_equal(s.first_of[i], i);
    }
}

static void without_joining_busy_is_a_failure(void **state)
{
    (void)state;
    shared s = {.busy = {0, 1, 0, 0, 0}};
    lt_member_outcome outcome[N];
    lt_population p = population(&s, 1);
    p.join = false;
    assert_fails(LT_E_BUSY, "member 1 is in use", lt_population_run(&p, outcome));
    assert_int_equal(outcome[1].state, LT_MEMBER_FAILED);
    assert_int_equal(outcome[4].state, LT_MEMBER_DONE);
}

static void waiting_can_be_interrupted(void **state)
{
    (void)state;
    lt_interrupt_flag stop = 0;
    shared s = {.busy = {0, 0, NEVER, 0, 0}, .stop_at_wait = &stop};
    lt_member_outcome outcome[N];
    lt_population p = population(&s, 2);
    p.stop = &stop;
    assert_fails(LT_E_INTERRUPTED, "4 are finished", lt_population_run(&p, outcome));
    assert_int_equal(outcome[2].state, LT_MEMBER_WAITING);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(busy_members_are_asked_for_again),
        cmocka_unit_test(without_joining_busy_is_a_failure),
        cmocka_unit_test(waiting_can_be_interrupted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
