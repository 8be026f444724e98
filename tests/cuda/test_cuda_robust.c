// test_cuda_robust.c - attacks of the engine on the emulated card: halves of plans, statuses and distances as on the
// CPU.
#include "cuda/cuda_test.h"
#include "methods/method_test.h"
#include "lethe/robust.h"

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

static lt_robust_result *attack(const lt_env *env, const char *name, int32_t norm, int32_t steps)
{
    const lt_model *model = world.model;
    const lt_attack_target target = {.model = &model, .n_models = 1};
    lt_view view = lt_view_split(world.ds, LT_TEST);
    lt_robust_result *r = NULL;
    lt_attack_spec spec;
    lt_attack_spec_init(&spec);
    spec.norm = norm;
    spec.eps = norm == LT_NORM_L2 ? "0.5" : "0.1";
    spec.steps = steps;
    spec.batch = 16;
    assert_ok(lt_robust_evaluate(&target, &view, name, &spec, NULL, NULL, env, &r));
    return r;
}

// Rounding may move single samples across a boundary.
static void compare(const char *name, int32_t norm, int32_t steps)
{
    lt_env on_card = world.env;
    on_card.backend = card;
    lt_robust_result *a = attack(&world.env, name, norm, steps), *b = attack(&on_card, name, norm, steps);
    int n_other = 0;
    assert_true(a->success_rate > 0);
    assert_int_equal(b->flags & (LT_FLAG_MISMATCH | LT_FLAG_STATEFUL | LT_FLAG_RANDOMISED), 0);
    for (int64_t i = 0; i < a->n; i++)
        n_other += a->status[i] != b->status[i] ||
                   (a->status[i] == LT_ROBUST_BROKEN && fabs(a->distance[i] - b->distance[i]) > 0.02 * a->distance[i]);
    assert_true(n_other <= 2);
    lt_robust_result_destroy(a);
    lt_robust_result_destroy(b);
}

static void test_attacks(void **state)
{
    (void)state;
    compare("pgd", LT_NORM_LINF, 10);
    compare("apgd-t,fab-t", LT_NORM_L2, 10);
    compare("square", LT_NORM_LINF, 60);
    compare("deepfool", LT_NORM_L2, 0);
    compare("fmn", LT_NORM_LINF, 40);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_attacks)};
    return cmocka_run_group_tests(tests, open_world, close_world);
}
