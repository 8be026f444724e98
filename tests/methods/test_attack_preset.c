// test_attack_preset.c - published settings of attacks by name, below what a user gives, and the steps they make.
#include "robust_test.h"

typedef struct held { // options as `lethe attack` binds them
    lt_attack_spec spec;
    double cw[16]; // room for the config of cw
    lt_optset *set;
} held;

static void hold_options(held *h)
{
    const lt_attack *cw;
    assert_ok(lt_attack_find("cw", &cw));
    assert_true(cw->cfg_size <= sizeof h->cw);
    assert_ok(lt_optset_create(&h->set));
    assert_ok(lt_optset_add(h->set, "", lt_attack_spec_options, &h->spec, LT_OPTGROUP_FLAGS));
    assert_ok(lt_optset_add(h->set, "cw", cw->opts, h->cw, 0));
}

static double radius_of(const held *h)
{
    double eps;
    assert_ok(lt_attack_parse_eps(h->spec.eps, &eps));
    return eps;
}

static void assert_value(const held *h, const char *key, const char *value, const char *origin)
{
    const char *found, *from;
    assert_ok(lt_optset_get(h->set, key, &found, &from));
    assert_string_equal(found, value);
    assert_string_equal(from, origin);
}

static void test_values(void **state)
{
    (void)state;
    held h;
    hold_options(&h);
    assert_ok(lt_attack_preset_apply("madry", "pgd", h.set));
    assert_true(h.spec.norm == LT_NORM_LINF && radius_of(&h) == 8.0 / 255);
    assert_true(h.spec.step_size == 2.0 / 255 && h.spec.steps == 20);
    assert_false(h.spec.legacy_normalized);
    lt_optset_destroy(h.set);

    for (int a = 0; a < 2; a++) {
        hold_options(&h);
        assert_ok(lt_attack_preset_apply("lotos", a ? "mi-fgsm" : "pgd", h.set));
        assert_true(radius_of(&h) == 0.04 && h.spec.steps == 50);
        assert_true(h.spec.step_size == 0 && h.spec.step_ratio == 0.1);
        assert_true(h.spec.legacy_normalized);
        lt_optset_destroy(h.set);
    }
    hold_options(&h);
    assert_ok(lt_attack_preset_apply("fastclip", "pgd", h.set));
    assert_true(radius_of(&h) == 0.02 && h.spec.steps == 50 && h.spec.step_ratio == 0.1);
    lt_optset_destroy(h.set);

    hold_options(&h);
    assert_ok(lt_attack_preset_apply("lotos", "cw", h.set));
    assert_true(h.spec.norm == LT_NORM_L2 && h.spec.steps == 1000 && !h.spec.legacy_normalized);
    assert_value(&h, "cw.c", "0.1", "preset lotos");
    assert_value(&h, "cw.kappa", "0.1", "preset lotos");
    assert_value(&h, "cw.search-steps", "1", "preset lotos");
    lt_optset_destroy(h.set);
}

// What a flag or a file gave stays, whether it came before or after.
static void test_explicit_options_win(void **state)
{
    (void)state;
    held h;
    hold_options(&h);
    assert_ok(lt_optset_set(h.set, "eps", "8/255", "flag")); // also the default: where it came from counts
    assert_ok(lt_optset_set(h.set, "steps", "7", "config x.yaml"));
    assert_ok(lt_attack_preset_apply("lotos", "pgd,mi-fgsm", h.set));
    assert_ok(lt_optset_set(h.set, "legacy-normalized", "0", "flag"));
    assert_true(radius_of(&h) == 8.0 / 255 && h.spec.steps == 7 && h.spec.step_ratio == 0.1);
    assert_false(h.spec.legacy_normalized);
    assert_value(&h, "step-ratio", "0.1", "preset lotos");
    lt_optset_destroy(h.set);
}

static void test_every_preset_has_a_title(void **state)
{
    (void)state;
    int n = 0;
    for (; lt_attack_preset_name(n); n++)
        assert_true(strlen(lt_attack_preset_title(n)) > 0);
    assert_true(n >= 3);
    assert_null(lt_attack_preset_title(n));
    assert_null(lt_attack_preset_name(-1));
}

static void test_errors(void **state)
{
    (void)state;
    held h;
    hold_options(&h);
    assert_fails(LT_E_USAGE, "'madri'", lt_attack_preset_apply("madri", "pgd", h.set));
    assert_fails(LT_E_USAGE, "fgsm, bim, pgd, found 'square'", lt_attack_preset_apply("madry", "pgd,square", h.set));
    assert_fails(LT_E_USAGE, "found 'autoattack'", lt_attack_preset_apply("lotos", "autoattack", h.set));
    lt_optset_destroy(h.set);
}

// Length of the first step of an attack from a radius of 0.04.
static double step_length(const char *attack, double step_size, double step_ratio)
{
    rt_by_hand b = {0};
    const struct lti_attack_ops *a = rt_hold(&b, attack, LT_NORM_LINF, 0.04);
    b.s.steps = 50;
    b.spec.step_size = step_size;
    b.spec.step_ratio = step_ratio;
    memcpy(b.s.x, b.x0, sizeof b.x0);
    for (int j = 0; j < RT_N; j++)
        b.dx[j] = 1;
    b.s.dx_max = 1;
    assert_int_equal(a->take_gradient(&b.s, NULL), LTI_EVALUATE);
    return (double)b.s.x[0] - (double)b.x0[0];
}

static void test_steps(void **state)
{
    (void)state;
    for (int k = 0; k < 2; k++) {
        const char *attack = k ? "mi-fgsm" : "pgd";
        assert_true(fabs(step_length(attack, 0, 0.1) - 0.004) < 1e-7);
        assert_true(fabs(step_length(attack, 0.01, 0.1) - 0.01) < 1e-7);
        assert_true(fabs(step_length(attack, 0, 0) - (k ? 1 : 2.5) * 0.04 / 50) < 1e-7);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_explicit_options_win),
        cmocka_unit_test(test_every_preset_has_a_title),
        cmocka_unit_test(test_errors),
        cmocka_unit_test(test_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
