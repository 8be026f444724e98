// test_prototype.c - prototype relearning and over-unlearning: a masked logit hides nothing from them, and one
// retrained model is what another is measured by.
#include "unlearn_test.h"
#include "audit/kind_impl.h"

static lt_audited measured(const lt_model *m)
{
    lt_signals *s;
    lt_audited a;
    assert_ok(lt_signals_compute(m, world.ds, &world.class_forget, &world.class_retain, &world.env, &s));
    assert_ok(lt_audited_measure(NULL, &(lt_audit_cfg){.seed = 1}, s, &a));
    return a;
}

// The JSON of the audit of `model`, with the trained model as the original and one retrained model.
static char *audit(const lt_model *model, const lt_model *retrained)
{
    lt_audited of[2] = {measured(model), measured(retrained)};
    lt_verdict_cfg verdict;
    lt_options_defaults(lt_verdict_options, &verdict);
    const lt_audit_subject original = {.name = "original", .model = world.model};
    const lt_audit_subject oracle = {.name = "retrained", .audited = &of[1], .model = retrained};
    const lt_audit_in in = {.unlearned = {.name = "model", .audited = &of[0], .model = model},
                            .original = &original,
                            .retrained = &oracle,
                            .n_retrained = 1,
                            .verdict = &verdict,
                            .seed = 1,
                            .env = &world.env,
                            .ds = world.ds,
                            .forget = &world.class_forget,
                            .retain = &world.class_retain};
    lt_audit_report *report;
    lti_json json = {0};
    assert_ok(lt_audit_report_create(&in, &report));
    assert_ok(lt_audit_kind_check(LT_AUDIT_prototype, &in, NULL));
    assert_ok(lt_audit_kind_run(LT_AUDIT_prototype, NULL, report));
    assert_non_null(report->data[LT_AUDIT_prototype]);
    lti_json_begin(&json, NULL, '{');
    lt_audit_kind_get(LT_AUDIT_prototype)->write(report->data[LT_AUDIT_prototype], &json);
    lti_json_end(&json, '}');
    lt_audit_report_destroy(report);
    lt_audited_clear(&of[0]);
    lt_audited_clear(&of[1]);
    char *text = lti_json_take(&json);
    assert_non_null(text);
    return text;
}

static double number_after(const char *text, const char *object, const char *key)
{
    const char *at = strstr(text, object);
    assert_non_null(at);
    at = strstr(at, key);
    assert_non_null(at);
    at = strchr(at + strlen(key), ':');
    assert_non_null(at);
    return strtod(at + 1, NULL);
}

static void a_masked_logit_hides_nothing(void **state)
{
    (void)state;
    lt_unlearn_result r;
    lt_model *masked = unlearn("logit-mask", "", true, 3, &r);
    lt_unlearn_result_clear(&r);
    lt_model *oracle = toy_model();
    lt_unlearn_in in = input(oracle);
    in.forget = &world.class_forget;
    in.retain = &world.class_retain;
    assert_ok(lt_unlearn_run(find("retrain"), &in, NULL, &r));
    lt_unlearn_result_clear(&r);
    char *text = audit(masked, oracle);
    const double pra = number_after(text, "unlearned", "pra_f"), before = number_after(text, "original", "pra_f");
    assert_true(pra == before && pra > 0.5);
    assert_true(fabs(number_after(text, "unlearned", "\"ou\"") - 0) < 1e-9 &&
                number_after(text, "retrained", "\"ou\"") > 0);
    free(text);
    text = audit(oracle, oracle); // the gap of a model to itself
    assert_true(number_after(text, "unlearned", "gap") == 0);
    free(text);
    lt_model_destroy(masked);
    lt_model_destroy(oracle);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(a_masked_logit_hides_nothing)};
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
