// test_adv_search_bits.c - the sets of the search of AMUN to the bit: digests recorded before it became an attack of
// the engine. Reference backend, one thread, fixed seeds.
#include "method_test.h"
#include "attack/attack_impl.h"

enum { SEARCHED = 48 };

static void digest_of(const lt_adv_set *set, char out[65])
{
    lti_hash h;
    const size_t n = (size_t)set->n;
    lti_hash_init(&h);
    lti_hash_add(&h, set->x_adv, n * TOY_DIM * sizeof(float));
    lti_hash_add(&h, set->eps_final, n * sizeof(float));
    lti_hash_add(&h, set->delta_norm, n * sizeof(float));
    lti_hash_add(&h, set->iters, n * sizeof(int32_t));
    lti_hash_add(&h, set->rounds, n * sizeof(int32_t));
    lti_hash_add(&h, set->clean_pred, n * sizeof(int32_t));
    lti_hash_add(&h, set->adv_pred, n * sizeof(int32_t));
    lti_hash_add(&h, set->status, n);
    lti_hash_add(&h, &set->n_forward, sizeof set->n_forward);
    lti_hash_add(&h, &set->n_backward, sizeof set->n_backward);
    lti_hash_hex(&h, out);
}

static void expect_bits(const lt_model *model, const lt_adv_search_cfg *cfg, const char *recorded)
{
    char digest[65];
    lt_view view = lt_view_split(world.ds, LT_TRAIN);
    lt_adv_set *set = NULL;
    view.n = SEARCHED;
    assert_ok(lt_adv_search(model, &view, cfg, &world.env, NULL, &set));
    digest_of(set, digest);
    lt_adv_set_destroy(set);
    digest[16] = '\0';
    assert_string_equal(digest, recorded);
}

static void warm_and_fresh_starts(void **state)
{
    (void)state;
    lt_adv_search_cfg cfg = toy_search_defaults();
    expect_bits(world.model, &cfg, "41d736c9cc191197");
    cfg.restart_from_clean = true;
    expect_bits(world.model, &cfg, "9a8d602586104784");
    cfg.restart_from_clean = false;
    cfg.steps = 12;
    cfg.step_ratio = 0.3f;
    cfg.batch = 7;
    expect_bits(world.model, &cfg, "0940435a07c66678");
}

static void failures(void **state)
{
    (void)state;
    lt_adv_search_cfg cfg = toy_search_defaults();
    cfg.eps0 = 1e-5f;
    cfg.max_doublings = 2;
    cfg.batch = 128;
    expect_bits(world.model, &cfg, "bda55efcfd443b36");
    lt_model *raw = toy_model(), *flat = toy_scaled_head(0);
    cfg = toy_search_defaults();
    expect_bits(raw, &cfg, "a3de89850db2902e");
    expect_bits(flat, &cfg, "92faeb8a7067df23");
    lt_model_destroy(raw);
    lt_model_destroy(flat);
}

static void saturated_losses(void **state)
{
    (void)state;
    lt_model *sharp = toy_scaled_head(4096);
    const lt_adv_search_cfg cfg = toy_search_defaults();
    expect_bits(sharp, &cfg, "217aa4164f96a5be");
    lt_model_destroy(sharp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(warm_and_fresh_starts),
        cmocka_unit_test(failures),
        cmocka_unit_test(saturated_losses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
