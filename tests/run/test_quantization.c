// test_quantization.c - quantized runs, populations of chips with fine-tuning, and exports as calls of the library.
#include "run_test.h"
#include <math.h>
#include <string.h>
#include <unistd.h>

static lt_optset *set;
static lt_trained_model base;
static lt_quantize_order order;

static void train_base(void)
{
    lt_train_order o;
    lt_train_record r;
    lt_train_order_defaults(&o);
    o.what.data = "synthetic:train=120,test=60";
    o.what.model = "simple-conv:width=4";
    o.cfg.epochs = 3;
    o.cfg.batch = 20;
    o.cfg.augment = false;
    o.ds = ds;
    o.env = &env;
    o.out = path_in("base");
    assert_ok(lt_train_dir(&o, &r));
    lt_train_record_clear(&r);
    assert_ok(lt_trained_model_open(path_in("base"), NULL, ds, &base));
}

static int set_up(void **state)
{
    (void)state;
    snprintf(dir, sizeof dir, "%s/lethe-test-XXXXXX", lt_test_root());
    if (!mkdtemp(dir) || lt_backend_create("auto", 1, &env.backend) != LT_OK ||
        lt_dataset_open("synthetic:train=120,test=60", NULL, &ds) != LT_OK || lt_optset_create(&set) != LT_OK)
        return -1;
    env.plan_flags = LT_PLAN_NO_TUNE;
    train_base();
    lt_quantize_order_defaults(&order);
    order.base = &base;
    order.ds = ds;
    order.set = set;
    order.env = &env;
    order.train.epochs = 1;
    order.train.batch = 20;
    order.n_workers = 1;
    order.post_training = true;
    return lt_optset_add(set, "quant", lt_quant_options, &order.quant, 0) == LT_OK &&
                   lt_optset_add(set, "chip", lt_quant_chip_options, &order.quant.device, 0) == LT_OK
               ? 0
               : -1;
}

static int tear_down(void **state)
{
    (void)state;
    char command[300];
    lt_trained_model_close(&base);
    lt_optset_destroy(set);
    lt_dataset_close(ds);
    lt_backend_destroy(env.backend);
    snprintf(command, sizeof command, "rm -r '%s'", dir);
    return system(command);
}

// Activations are rounded in the float path of post-training quantization, too: the model is another one, and few
// levels cost more than many.
static void test_activations(void **state)
{
    (void)state;
    lt_quantize_record plain, eight, two;
    order.quant.bits = 8;
    order.out = path_in("plain");
    order.sensitivity = true;
    assert_ok(lt_quantize_dir(&order, &plain));
    order.sensitivity = false;
    order.quant.act_bits = 8;
    order.out = path_in("eight");
    assert_ok(lt_quantize_dir(&order, &eight));
    order.quant.act_bits = 2;
    order.out = path_in("two");
    assert_ok(lt_quantize_dir(&order, &two));
    order.quant.act_bits = 0;
    const double d8 = fabs(eight.result.loss - plain.result.loss), d2 = fabs(two.result.loss - plain.result.loss);
    assert_true(d8 > 0 && d8 < 0.05 && d2 > 2 * d8);
    json_t *j = parse(plain.json), *tensor = json_array_get(json_object_get(j, "tensors"), 0);
    assert_true(real_at(j, "test_loss_q") == plain.result.loss && real_at(j, "test_acc_fp") == plain.result.acc_fp);
    assert_non_null(json_object_get(tensor, "acc_drop_alone"));
    assert_string_equal(json_string_value(json_object_get(j, "method")), "ptq");
    json_decref(j);
    lt_quantize_record_clear(&plain);
    lt_quantize_record_clear(&eight);
    lt_quantize_record_clear(&two);
}

static void open_four_bits(lt_trained_model *run)
{
    lt_quantize_record r;
    order.quant.bits = 4;
    order.out = path_in("four");
    assert_ok(lt_quantize_dir(&order, &r));
    lt_quantize_record_clear(&r);
    assert_ok(lt_trained_model_open(path_in("four"), NULL, ds, run));
}

// Fine-tuning on the chip is measured chip by chip, and on chips that lost accuracy it wins some of it back.
static void test_chips(void **state)
{
    (void)state;
    lt_trained_model run = {0};
    lt_chips_record r;
    open_four_bits(&run);
    lt_quantize_order o = order;
    o.base = &run;
    o.n_chips = 3;
    o.out = path_in("chips");
    assert_fails(LT_E_USAGE, "ideal chips", lt_chips_dir(&o, &r));
    lt_chips_record_clear(&r);
    o.quant.device.fault_rate = 0.15f;
    o.fine_tune = true;
    o.train.epochs = 2;
    o.train.lr = 0.02f;
    assert_ok(lt_chips_dir(&o, &r));
    double tuned = 0, bare = 0;
    for (int i = 0; i < 3; i++) {
        assert_true(r.acc[LT_POP_TUNED * 3 + i] >= 0);
        tuned += r.acc[LT_POP_TUNED * 3 + i];
        bare += r.acc[LT_POP_BITMAP * 3 + i];
    }
    assert_true(r.main_row == LT_POP_TUNED && tuned > bare);
    json_t *j = parse(r.json), *chips = json_object_get(j, "chips");
    assert_true(fabs(real_at(chips, "mean") - tuned / 3) < 1e-12 && real_at(chips, "yield") == r.main_yield);
    assert_string_equal(json_string_value(json_object_get(chips, "row")), lt_population_row_name(LT_POP_TUNED));
    assert_true(fabs(real_at(j, "fault_rate") - 0.15) < 1e-6 && json_is_string(json_object_get(j, "encoding")));
    json_decref(j);
    lt_chips_record_clear(&r);
    assert_ok(lt_chips_dir(&o, &r));
    assert_true(r.is_cached);
    lt_chips_record_clear(&r);
    lt_trained_model_close(&run);
}

static void test_export(void **state)
{
    (void)state;
    lt_trained_model run = {0};
    lt_export_record r;
    lt_integer_run net;
    open_four_bits(&run);
    assert_ok(lt_integer_run_export(&run, ds, &env, LT_EXPORT_PACKED, path_in("net.safetensors"), &r));
    json_t *j = parse(r.json);
    assert_true(real_at(j, "test_acc_integer") == r.test_acc);
    assert_true(real_at(json_object_get(j, "integer"), "weight_bytes") == (double)r.info.weight_bytes);
    json_decref(j);
    lt_export_record_clear(&r);
    assert_fails(LT_E_USAGE, "found none of its codes", lt_integer_run_open(&base, ds, &env, &net));
    lt_integer_run_close(&net);
    lt_trained_model_close(&run);
}

// As many updates as it takes, whatever the data: the rates add up to 15 where the bounds allow it.
static void test_default_rate(void **state)
{
    (void)state;
    static const struct {
        int32_t batch;
        const char *given;
        float fault_rate, lr;
    } row[] = {{20, NULL, 0, 0.05f},   // 90 updates are few
               {2, NULL, 0, 0.017f},   // 900 updates
               {1, NULL, 0, 0.01f},    // 1,800 updates would have 0.0083
               {1, NULL, 0.1f, 0.05f}, // stuck cells: weights have to travel
               {1, "0.3", 0, 0.3f}};
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        lt_optset *options;
        lt_train_cfg train;
        lt_quant_cfg quant;
        lt_options_defaults(lt_quant_options, &quant);
        lt_options_defaults(lt_quant_chip_options, &quant.device);
        assert_ok(lt_optset_create(&options));
        assert_ok(lt_optset_add(options, "train", lt_train_options, &train, 0));
        assert_ok(lt_quantize_train_defaults(options));
        assert_int_equal(train.epochs, 15);
        if (row[i].given)
            assert_ok(lt_optset_set(options, "train.lr", row[i].given, "flag"));
        train.batch = row[i].batch;
        train.schedule = LT_SCHED_CONST;
        quant.device.fault_rate = row[i].fault_rate;
        assert_ok(lt_quantize_default_rate(ds, &quant, &train, options));
        assert_true(train.lr == row[i].lr);
        lt_optset_destroy(options);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_activations),
        cmocka_unit_test(test_chips),
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_default_rate),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
