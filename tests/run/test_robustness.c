// test_robustness.c - attacks, spectral norms and ensembles as whole calls of the library: each figure under its name.
#include "run_test.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/lethe-test-XXXXXX", lt_test_root());
    if (!mkdtemp(dir) || lt_backend_create("auto", 1, &env.backend) != LT_OK ||
        lt_dataset_open("synthetic:train=60,test=30", NULL, &ds) != LT_OK)
        return -1;
    env.plan_flags = LT_PLAN_NO_TUNE;
    for (uint64_t i = 0; i < 2; i++) {
        lt_model *m;
        char name[32];
        if (lt_model_create("simple-conv:width=2,bn=0", (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, &m))
            return -1;
        lt_model_init(m, i + 1);
        snprintf(name, sizeof name, "m%d.safetensors", (int)i);
        if (lt_model_save(m, path_in(name)) != LT_OK)
            return -1;
        lt_model_destroy(m);
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    lt_dataset_close(ds);
    lt_backend_destroy(env.backend);
    char command[300];
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    return system(command);
}

static void open_both(lt_model_list *list)
{
    assert_ok(lt_model_list_add(list, path_in("m0.safetensors"), NULL, NULL));
    assert_ok(lt_model_list_add(list, path_in("m1.safetensors"), NULL, NULL));
    assert_int_equal(list->n, 2);
}

static lt_attack_order order_of(const lt_model_list *models)
{
    lt_attack_order o = {.models = models, .ds = ds, .split = LT_TEST, .limit = 20, .attack = "fgsm", .env = &env};
    lt_attack_spec_init(&o.spec);
    o.spec.eps = "4/255";
    return o;
}

static void test_attack(void **state)
{
    (void)state;
    lt_model_list one = {0};
    lt_attack_record r;
    assert_ok(lt_model_list_add(&one, path_in("m0.safetensors"), NULL, NULL));
    lt_attack_order o = order_of(&one);
    o.radii = "0,1/255,,4/255";
    o.certify = true;
    o.save = path_in("set.npz");
    assert_ok(lt_attack_models(&o, &r));
    json_t *j = parse(r.json);
    assert_int_equal(r.result->n, 20);
    assert_int_equal(r.n_radii, 3);
    assert_true(real_at(j, "clean_acc") == r.result->clean_acc && real_at(j, "robust_acc") == r.result->robust_acc);
    assert_true(r.robust_acc[0] == r.result->clean_acc && r.robust_acc[2] <= r.robust_acc[1]);
    assert_true(r.is_certified && r.lipschitz_bound > 0 && r.n_certificates_broken == 0);
    assert_true(real_at(j, "mean_certified_l2") == r.mean_certified_l2);
    assert_int_equal(access(o.save, F_OK), 0);
    assert_ok(lt_attack_record_check(&r, false, false));
    r.n_certificates_broken = 2;
    assert_fails(LT_E_INTEGRITY, "2 examples", lt_attack_record_check(&r, false, false));
    r.n_certificates_broken = 0;
    r.result->flags |= LT_FLAG_SQUARE_BETTER;
    assert_ok(lt_attack_record_check(&r, false, false));
    assert_fails(LT_E_CHECK, "F4", lt_attack_record_check(&r, true, false));
    r.result->n_invalid = 1;
    assert_fails(LT_E_DIVERGED, "1 of 20", lt_attack_record_check(&r, false, false));
    assert_ok(lt_attack_record_check(&r, false, true));
    json_decref(j);
    lt_attack_record_clear(&r);
    lt_model_list_clear(&one);
}

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

// Attacks of minimum norm have distances and no radius; attacks with a radius say nothing of distances in the norm.
static void test_distances(void **state)
{
    (void)state;
    lt_model_list one = {0};
    lt_attack_record r;
    assert_ok(lt_model_list_add(&one, path_in("m0.safetensors"), NULL, NULL));
    lt_attack_order o = order_of(&one);
    o.attack = "deepfool"; // in L-infinity, so that the L2 length is another number
    assert_ok(lt_attack_models(&o, &r));
    json_t *j = parse(r.json);
    double d[20], sum = 0;
    int n = 0;
    for (int i = 0; i < r.result->n; i++)
        if (r.result->status[i] == LT_ROBUST_BROKEN)
            sum += d[n++] = r.result->distance[i];
    assert_true(n > 1);
    qsort(d, (size_t)n, sizeof *d, ascending);
    assert_true(json_is_null(json_object_get(j, "eps")));
    assert_int_equal(json_integer_value(json_object_get(j, "n_found")), n);
    assert_true(fabs(real_at(j, "mean_distance") - sum / n) < 1e-12);
    assert_true(real_at(j, "median_distance") == (d[(n - 1) / 2] + d[n / 2]) / 2);
    assert_true(real_at(j, "median_distance") < real_at(j, "median_l2"));
    json_decref(j);
    lt_attack_record_clear(&r);
    o.attack = "fgsm";
    assert_ok(lt_attack_models(&o, &r));
    j = parse(r.json);
    assert_string_equal(json_string_value(json_object_get(j, "eps")), "4/255");
    assert_null(json_object_get(j, "median_distance"));
    json_decref(j);
    lt_attack_record_clear(&r);
    lt_model_list_clear(&one);
}

static void test_transfer(void **state)
{
    (void)state;
    lt_model_list both = {0};
    lt_attack_record r;
    open_both(&both);
    lt_attack_order o = order_of(&both);
    o.transfer_matrix = true;
    o.spec.target = "next";
    assert_ok(lt_attack_models(&o, &r));
    json_t *j = parse(r.json), *row = json_array_get(json_object_get(j, "transfer_eligible"), 1);
    assert_int_equal(json_integer_value(json_array_get(row, 0)), r.matrix.eligible[2]);
    assert_string_equal(json_string_value(json_object_get(j, "target")), "next");
    assert_null(r.result);
    json_decref(j);
    lt_attack_record_clear(&r);
    o.transfer_matrix = false;
    o.certify = true;
    assert_fails(LT_E_USAGE, "one model", lt_attack_models(&o, &r));
    o.certify = false;
    o.radii = "1/255,x";
    assert_fails(LT_E_USAGE, "x", lt_attack_models(&o, &r));
    lt_attack_record_clear(&r);
    lt_model_list_clear(&both);
}

static void test_norms(void **state)
{
    (void)state;
    lt_model_list one = {0};
    lt_norms_record r;
    assert_ok(lt_model_list_add(&one, path_in("m0.safetensors"), NULL, NULL));
    lt_norms_order o = {.model = one.single[0].model, .clip = 0.2, .seed = 1, .measure_before = true, .env = &env};
    lt_options_defaults(lt_spectra_options, &o.spectra);
    lt_options_defaults(lt_clip_rule_options, &o.rule);
    assert_fails(LT_E_USAGE, "go together", lt_norms_measure(&o, &r));
    o.out = path_in("clipped.safetensors");
    assert_ok(lt_norms_measure(&o, &r));
    json_t *j = parse(r.json);
    assert_true(r.before.layer[0].sigma[0] > 0.2 && r.after.layer[0].sigma[0] < 0.2 * 1.01);
    assert_true(real_at(j, "lipschitz_bound") == r.after.lipschitz_bound);
    assert_int_equal(json_array_size(json_object_get(j, "clipped")), r.clipped.n_layers);
    json_decref(j);
    lt_norms_record_clear(&r);
    lt_model_list_clear(&one);
}

static void test_ensemble(void **state)
{
    (void)state;
    lt_ensemble_record r;
    lt_ensemble_order o = {.ds = ds,
                           .members = "simple-conv:width=2,bn=0,simple-conv:bn=0,width=2,simple-conv:width=3,bn=0",
                           .seed = 1,
                           .out = path_in("three"),
                           .env = &env};
    lt_optset *set;
    assert_ok(lt_optset_create(&set));
    lt_options_defaults(lt_ensemble_options, &o.cfg);
    lt_options_defaults(lt_train_options, &o.train);
    lt_options_defaults(lt_clip_norm_options, &o.clip);
    lt_options_defaults(lt_clip_rule_options, &o.clip);
    assert_ok(lt_optset_add(set, "train", lt_train_options, &o.train, 0));
    o.set = set;
    o.train.epochs = 1;
    assert_ok(lt_ensemble_dir(&o, &r));
    assert_int_equal(r.n, 3);
    json_t *j = parse(r.json);
    assert_true(real_at(j, "acc") == r.acc && !r.is_cached);
    json_decref(j);
    lt_ensemble_record_clear(&r);
    assert_ok(lt_ensemble_dir(&o, &r));
    assert_true(r.is_cached);
    lt_ensemble_record_clear(&r);
    o.members = "";
    assert_fails(LT_E_USAGE, "--members", lt_ensemble_dir(&o, &r));

    lt_model_list e = {0}, surrogates = {0};
    lt_ensemble_eval_record eval;
    assert_ok(lt_model_list_add(&e, path_in("three"), NULL, NULL));
    open_both(&surrogates);
    assert_int_equal(e.n, 3);
    const char *spec;
    assert_ok(lt_model_list_data_spec(&e, NULL, &spec));
    assert_string_equal(spec, ds->spec);
    lt_ensemble_eval_order ask = {
        .ensemble = e.ensemble[0], .surrogates = &surrogates, .ds = ds, .limit = 10, .attack = "fgsm", .env = &env};
    lt_attack_spec_init(&ask.spec);
    ask.spec.eps = "8/255";
    assert_ok(lt_ensemble_eval_run(&ask, &eval));
    j = parse(eval.json);
    assert_int_equal(json_array_size(json_object_get(j, "black_box")), 2);
    assert_int_equal(json_integer_value(json_object_get(j, "n")), 10);
    json_decref(j);
    lt_ensemble_eval_record_clear(&eval);
    lt_model_list_clear(&e);
    lt_model_list_clear(&surrogates);
    lt_optset_destroy(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_attack), cmocka_unit_test(test_distances), cmocka_unit_test(test_transfer),
        cmocka_unit_test(test_norms),  cmocka_unit_test(test_ensemble),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
