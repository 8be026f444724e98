// Trained models: opened from bare files and run directories, with recipe, data and samples; result directories.
#include "lt_test.h"
#include "lethe/runs.h"
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static char dir[256];

static int setup(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/lethe_runs_XXXXXX", lt_test_root());
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char command[320];
    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    return system(command);
}

static const char *in_dir(const char *file)
{
    static char path[2][512];
    static int k;
    k = 1 - k;
    snprintf(path[k], sizeof path[k], "%s/%s", dir, file);
    return path[k];
}

static lt_dataset *open_data(void)
{
    lt_dataset *ds;
    assert_ok(lt_dataset_open("synthetic:train-limit=40,test-limit=20", NULL, &ds));
    return ds;
}

// A run directory "run" with a model that names data and recipe.
static void write_run(const lt_dataset *ds, const lt_train_cfg *cfg, const char *result_digest)
{
    lt_model *m;
    char text[256], digest[65];
    assert_ok(lt_model_create("resnet18:width=2", (lt_model_shape){ds->c, ds->h, ds->w, ds->n_classes}, &m));
    lt_model_init(m, 1);
    assert_ok(lt_model_set_provenance(m, &(lt_provenance){.ds = ds, .is_trained = true, .recipe = cfg}));
    assert_ok(lt_make_dirs(in_dir("run")));
    assert_ok(lt_model_save(m, in_dir("run/model.safetensors")));
    lt_model_digest(m, digest);
    snprintf(text, sizeof text, "{\"model_digest\": \"%s\", \"parent\": \"elsewhere/base\", \"svc\": {\"x\": 0.5}}",
             result_digest ? result_digest : digest);
    assert_ok(lt_write_file_atomic(in_dir("run/result.json"), text, strlen(text)));
    lt_model_destroy(m);
}

static void test_run_keeps_recipe_and_data(void **state)
{
    (void)state;
    lt_dataset *ds = open_data(), *same;
    lt_train_cfg cfg, back;
    lt_options_defaults(lt_train_options, &cfg);
    cfg.lr = 0.07f;
    cfg.batch = 37;
    cfg.augment = false;
    cfg.nesterov = true;
    write_run(ds, &cfg, NULL);
    lt_trained_model m;
    assert_ok(lt_trained_model_open(in_dir("run/"), NULL, NULL, &m));
    assert_string_equal(m.dir, in_dir("run"));
    assert_ok(lt_trained_model_recipe(&m, &back));
    assert_true(back.lr == 0.07f && back.batch == 37 && !back.augment && back.nesterov);
    assert_true(lt_trained_model_real(&m, "svc.x") == 0.5);
    assert_string_equal(lt_trained_model_text(&m, "svc.y"), "");
    assert_ok(lt_trained_model_data(&m, NULL, LT_DATA_TRAINING, NULL, &same));
    assert_string_equal(same->digest, ds->digest);
    char *parent = lt_trained_model_parent(&m);
    assert_string_equal(parent, "elsewhere/base");
    free(parent);
    lt_trained_model_close(&m);
    lt_dataset_close(same);
    lt_dataset_close(ds);
}

// Every option of training travels: changed one at a time, it comes back changed, and no other does.
static void test_recipe_travels_field_by_field(void **state)
{
    (void)state;
    lt_train_cfg plain;
    lt_options_defaults(lt_train_options, &plain);
    char *before = lt_recipe_json(&plain);
    for (const lt_option *o = lt_train_options; o->name; o++) {
        lt_train_cfg cfg;
        lt_optset *set;
        char other[32];
        snprintf(other, sizeof other, "%.9g", o->def + 1 <= o->max ? o->def + 1 : o->max / 2);
        const char *value = o->type == LT_OPT_BOOL ? (o->def != 0 ? "no" : "yes") : other;
        if (o->type == LT_OPT_ENUM)
            value = o->values[(int32_t)o->def == o->values[0].value].name;
        assert_ok(lt_optset_create(&set));
        assert_ok(lt_optset_add(set, "", lt_train_options, &cfg, 0));
        assert_ok(lt_optset_set(set, o->name, value, "flag"));
        char *after = lt_recipe_json(&cfg);
        assert_string_not_equal(before, after);
        const char *expected;
        char number[LT_OPTION_TEXT_MAX];
        assert_ok(lt_optset_get(set, o->name, &expected, NULL));
        assert_string_equal(lt_option_text(o, &cfg, number), expected);
        free(after);
        lt_optset_destroy(set);
    }
    free(before);
}

static void test_swapped_weights_are_refused(void **state)
{
    (void)state;
    lt_dataset *ds = open_data();
    lt_trained_model m;
    write_run(ds, NULL, "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef");
    assert_fails(LT_E_INTEGRITY, "model digest", lt_trained_model_open(in_dir("run"), NULL, NULL, &m));
    lt_trained_model_close(&m);
    assert_fails(LT_E_INPUT, "no model.safetensors", lt_trained_model_open(dir, NULL, NULL, &m));
    lt_trained_model_close(&m);
    lt_dataset_close(ds);
}

// A file without lethe's metadata, opened with what is missing given by options.
static void test_bare_file_takes_what_is_missing(void **state)
{
    (void)state;
    lt_model *made;
    lt_trained_model m;
    assert_ok(lt_model_create("simple-conv", (lt_model_shape){3, 32, 32, 10}, &made));
    lt_model_init(made, 1);
    assert_ok(lt_model_save(made, in_dir("own.safetensors")));
    lt_tensor_file *file;
    assert_ok(lt_tensor_file_open(in_dir("own.safetensors"), &file));
    lt_tensor t[64];
    const int n = lt_tensor_file_count(file);
    assert_true(n > 0 && n <= 64);
    for (int i = 0; i < n; i++)
        t[i] = *lt_tensor_file_at(file, i);
    assert_ok(lt_safetensors_write(in_dir("bare.safetensors"), t, n, NULL, 0));
    lt_tensor_file_close(file);
    assert_int_not_equal(lt_trained_model_open(in_dir("bare.safetensors"), NULL, NULL, &m), LT_OK);
    lt_trained_model_close(&m);
    const lt_model_fallback f = {.model = "simple-conv", .normalize = "0.5:0.25", .input = "3x32x32"};
    assert_ok(lt_trained_model_open(in_dir("bare.safetensors"), &f, NULL, &m));
    assert_null(m.dir);
    assert_non_null(strstr(m.model->spec, "mean=0.5"));
    assert_memory_equal(m.model->params, made->params, (size_t)made->n_params * sizeof(float));
    const char *spec;
    assert_fails(LT_E_USAGE, "which data", lt_trained_model_data_spec(&m, "", &spec));
    lt_trained_model_close(&m);
    const lt_model_fallback alone = {.normalize = "0.5:0.25"},
                            wrong = {.model = "simple-conv", .normalize = "0.5", .input = "3x32x32"},
                            input = {.model = "simple-conv", .input = "3x32"};
    assert_fails(LT_E_USAGE, "name --model NAME:key=value; --input CxHxW (3 channels) or --data",
                 lt_trained_model_open(in_dir("bare.safetensors"), &alone, NULL, &m));
    lt_trained_model_close(&m);
    assert_fails(LT_E_USAGE, "--normalize", lt_trained_model_open(in_dir("bare.safetensors"), &wrong, NULL, &m));
    lt_trained_model_close(&m);
    assert_fails(LT_E_USAGE, "--input", lt_trained_model_open(in_dir("bare.safetensors"), &input, NULL, &m));
    lt_trained_model_close(&m);
    lt_model_destroy(made);
}

static void test_sets_leave_out_what_was_forgotten(void **state)
{
    (void)state;
    lt_dataset *ds = open_data();
    lt_trained_model m;
    lt_sample_sets sets;
    lt_index_set gone = {.n = 2, .row = (int64_t[]){3, 5}};
    write_run(ds, NULL, NULL);
    assert_ok(lt_trained_model_open(in_dir("run"), NULL, NULL, &m));
    assert_fails(LT_E_USAGE, "no forget set", lt_trained_model_sets(&m, ds, &(lt_forget_request){0}, &sets));
    assert_ok(lt_forget_write(ds, &gone, in_dir("run/forget.csv")));
    assert_ok(lt_trained_model_sets(&m, ds, &(lt_forget_request){0}, &sets));
    assert_int_equal(sets.forget.n, 2);
    assert_int_equal(sets.retain.n, 38);
    lt_sample_sets_clear(&sets);
    assert_ok(lt_forget_write(ds, &(lt_index_set){.n = 1, .row = (int64_t[]){7}}, in_dir("new.csv")));
    char spec[600];
    snprintf(spec, sizeof spec, "file:%s", in_dir("new.csv"));
    assert_ok(lt_trained_model_sets(&m, ds, &(lt_forget_request){.spec = spec, .is_new = true}, &sets));
    assert_int_equal(sets.n_before, 2);
    assert_int_equal(sets.retain.n, 37);
    lt_sample_sets_clear(&sets);
    snprintf(spec, sizeof spec, "file:%s", in_dir("run/forget.csv"));
    assert_fails(LT_E_USAGE, "2 of these samples have been forgotten",
                 lt_trained_model_sets(&m, ds, &(lt_forget_request){.spec = spec, .is_new = true}, &sets));
    lt_trained_model_close(&m);
    lt_dataset_close(ds);
}

static void test_result_dir_is_found_finished(void **state)
{
    (void)state;
    struct {
        int32_t epochs;
    } cfg;
    const lt_option table[] = {{.name = "epochs", .type = LT_OPT_I32, .def = 1, .min = 0, .max = 9}, LT_OPT_END};
    lt_optset *set;
    assert_ok(lt_optset_create(&set));
    assert_ok(lt_optset_add(set, "", table, &cfg, 0));
    const char *facts[] = {"data_digest", "abc", NULL}, *other[] = {"data_digest", "abd", NULL};
    const char *out = in_dir("results");
    char path[300];
    snprintf(path, sizeof path, "%s/", out);
    lt_result_dir_spec spec = {.verb = "train", .label = "train", .out = path, .options = set, .facts = facts};
    lt_result_dir d;
    assert_ok(lt_result_dir_open(&spec, &d));
    assert_false(d.finished);
    assert_string_equal(d.dir, in_dir("results"));
    assert_ok(lt_result_dir_finish(&d, "{\"data_digest\": \"abc\"}\n"));
    lt_result_dir_close(&d);
    assert_ok(lt_result_dir_open(&spec, &d));
    assert_true(d.finished);
    char *stored;
    assert_ok(lt_result_dir_stored(&d, &stored));
    assert_string_equal(stored, "{\"data_digest\": \"abc\"}\n");
    free(stored);
    lt_result_dir_close(&d);
    spec.facts = other; // another input: it is computed again
    assert_ok(lt_result_dir_open(&spec, &d));
    assert_false(d.finished);
    lt_result_dir_close(&d);
    spec.verb = "unlearn";
    assert_fails(LT_E_USAGE, "another", lt_result_dir_open(&spec, &d));
    lt_result_dir_close(&d);
    lt_optset_destroy(set);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_run_keeps_recipe_and_data, setup, teardown),
        cmocka_unit_test(test_recipe_travels_field_by_field),
        cmocka_unit_test_setup_teardown(test_swapped_weights_are_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(test_bare_file_takes_what_is_missing, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sets_leave_out_what_was_forgotten, setup, teardown),
        cmocka_unit_test_setup_teardown(test_result_dir_is_found_finished, setup, teardown),
    };
    return cmocka_run_group_tests_name("trained_model", tests, NULL, NULL);
}
