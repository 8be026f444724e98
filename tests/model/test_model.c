// Models: parameter counts, names, initialisation, copies, digests, specs, and what goes wrong.
#include "lt_test.h"

#include "base/base.h"
#include "lethe/model.h"
#include <math.h>
#include <stdlib.h>

static const lt_model_shape cifar = {3, 32, 32, 10}, tiny = {3, 64, 64, 200};

static lt_model *make(const char *spec, lt_model_shape shape)
{
    lt_model *m = NULL;
    assert_ok(lt_model_create(spec, shape, &m));
    return m;
}

static lt_value_info info_of(const lt_model *m, const char *name)
{
    lt_value_info info = {0};
    lt_val v = lt_graph_find(m->graph, name);
    if (v == LT_NONE)
        fail_msg("%s has no tensor %s", m->spec, name);
    assert_ok(lt_graph_value(m->graph, v, &info));
    return info;
}

static void check_dims(const lt_model *m, const char *name, lt_shape want)
{
    lt_value_info info = info_of(m, name);
    assert_int_equal(info.shape.n_dims, want.n_dims);
    for (int i = 0; i < want.n_dims; i++)
        assert_int_equal(info.shape.dim[i], want.dim[i]);
}

// [AMUN 4.1]: parameters of each stage add up to the total; vgg19 and simple-conv counted by hand.
static void test_counts(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        lt_model_shape shape;
        int64_t n_params, n_state;
    } rows[] = {
        {"resnet18", {3, 32, 32, 10}, 11173962, 9600},
        {"resnet18:proj-half=1", {3, 32, 32, 10}, 11173962, 9600},
        {"resnet18:bn=0", {3, 32, 32, 10}, 11173962 - 9600, 0},
        {"resnet18", {3, 64, 64, 200}, 11173962 - 5130 + (4 * 512 + 1) * 200, 9600},
        {"resnet18:width=8", {3, 32, 32, 10}, 176402, 1200},
        {"vgg19", {3, 32, 32, 10}, 20040522, 11008},
        {"vgg19:bn=0", {3, 32, 32, 10}, 20040522 - 11008, 0},
        {"vgg19", {3, 64, 64, 200}, 20040522 - 5130 + (2048 + 1) * 200, 11008},
        {"simple-conv", {3, 32, 32, 10}, 864 + 18432 + 73728 + 448 + 20490, 448},
        {"simple-conv:bn=0", {3, 32, 32, 10}, 864 + 18432 + 73728 + 224 + 20490, 0},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lt_model *m = make(rows[i].spec, rows[i].shape);
        assert_int_equal(m->n_params, rows[i].n_params);
        assert_int_equal(m->n_state, rows[i].n_state);
        lt_model_destroy(m);
    }
}

static void test_names(void **state)
{
    (void)state;
    lt_model *m = make("resnet18", tiny);
    check_dims(m, "conv1.weight", LT_SHAPE(64, 3, 3, 3));
    check_dims(m, "bn1.running_var", LT_SHAPE(64));
    check_dims(m, "layer1.1.conv2.weight", LT_SHAPE(64, 64, 3, 3));
    check_dims(m, "layer2.0.conv1.weight", LT_SHAPE(128, 64, 3, 3));
    check_dims(m, "layer2.0.shortcut.0.weight", LT_SHAPE(128, 64, 1, 1));
    check_dims(m, "layer4.0.shortcut.1.running_mean", LT_SHAPE(512));
    check_dims(m, "layer4.1.bn2.bias", LT_SHAPE(512));
    check_dims(m, "linear.weight", LT_SHAPE(200, 2048));
    assert_int_equal(lt_graph_find(m->graph, "layer1.0.shortcut.0.weight"), LT_NONE);
    assert_int_equal(lt_graph_find(m->graph, "conv1.bias"), LT_NONE);
    lt_model_destroy(m);

    m = make("vgg19", tiny);
    check_dims(m, "features.0.weight", LT_SHAPE(64, 3, 3, 3));
    check_dims(m, "features.0.bias", LT_SHAPE(64));
    check_dims(m, "features.1.running_mean", LT_SHAPE(64));
    check_dims(m, "features.7.weight", LT_SHAPE(128, 64, 3, 3)); // after conv bn relu twice and a pool
    check_dims(m, "features.49.weight", LT_SHAPE(512, 512, 3, 3));
    check_dims(m, "classifier.weight", LT_SHAPE(200, 2048));
    lt_model_destroy(m);

    m = make("simple-conv:width=6,bn=0", cifar);
    check_dims(m, "conv3.bias", LT_SHAPE(24));
    check_dims(m, "linear.weight", LT_SHAPE(10, 24 * 16));
    lt_model_destroy(m);
}

// Images below 32x32 shrink the pooling window instead of failing.
static void test_small_images(void **state)
{
    (void)state;
    lt_model *m = make("resnet18:width=4", (lt_model_shape){1, 8, 8, 3});
    check_dims(m, "linear.weight", LT_SHAPE(3, 32));
    lt_model_destroy(m);
    m = make("resnet18:width=4", (lt_model_shape){1, 28, 28, 10});
    check_dims(m, "linear.weight", LT_SHAPE(10, 32));
    lt_model_destroy(m);
}

static void check_uniform(const lt_model *m, const char *name, double fan_in)
{
    lt_value_info info = info_of(m, name);
    int64_t n = 1;
    for (int i = 0; i < info.shape.n_dims; i++)
        n *= info.shape.dim[i];
    const double bound = 1 / sqrt(fan_in);
    double sum = 0, squares = 0, largest = 0;
    for (int64_t i = 0; i < n; i++) {
        const double v = (double)m->params[info.slab_offset + i] / bound;
        sum += v;
        squares += v * v;
        largest = fmax(largest, fabs(v));
    }
    assert_true(largest <= 1 && largest > 1 - 20.0 / (double)n);
    assert_true(fabs(sum / (double)n) < 5 * sqrt(1.0 / 3 / (double)n));            // mean 0
    assert_true(fabs(squares / (double)n - 1.0 / 3) < 5 * sqrt(0.09 / (double)n)); // variance 1/3
}

static void test_init(void **state)
{
    (void)state;
    lt_model *m = make("resnet18:width=16", cifar);
    m->bn_batches = 5;
    lt_model_init(m, 3);
    assert_int_equal(m->bn_batches, 0);
    check_uniform(m, "conv1.weight", 27);
    check_uniform(m, "layer3.0.conv2.weight", 64 * 9);
    check_uniform(m, "layer2.0.shortcut.0.weight", 16);
    check_uniform(m, "linear.weight", 128);
    for (int64_t i = 0; i < 10; i++)
        assert_true(fabsf(m->params[info_of(m, "linear.bias").slab_offset + i]) <= 1 / sqrtf(128));
    for (int64_t i = 0; i < 16; i++) {
        assert_true(m->params[info_of(m, "bn1.weight").slab_offset + i] == 1);
        assert_true(m->params[info_of(m, "bn1.bias").slab_offset + i] == 0);
        assert_true(m->state[info_of(m, "bn1.running_mean").slab_offset + i] == 0);
        assert_true(m->state[info_of(m, "bn1.running_var").slab_offset + i] == 1);
    }
    lt_model_destroy(m);
    m = make("vgg19:width=16", cifar);
    lt_model_init(m, 3);
    check_uniform(m, "features.3.weight", 16 * 9);
    check_uniform(m, "features.49.bias", 128 * 9); // a bias shares its weight's bound
    lt_model_destroy(m);
}

static void test_digest(void **state)
{
    (void)state;
    char a[65], b[65];
    lt_model *m = make("resnet18:width=4", cifar), *copy = NULL;
    lt_model_init(m, 1);
    lt_model_digest(m, a);
    lt_model_init(m, 2);
    lt_model_digest(m, b);
    assert_string_not_equal(a, b);
    lt_model_init(m, 1);
    lt_model_digest(m, b);
    assert_string_equal(a, b);

    static const char *const names[] = {"a", "b", "c", "d", "e", "f", "g", "h", "i", "two words"};
    assert_ok(lt_model_set_class_names(m, names));
    assert_ok(lt_model_set_meta(m, "recipe", "one"));
    assert_ok(lt_model_set_meta(m, "recipe", "two"));
    m->bn_batches = 9;
    assert_ok(lt_model_dup(m, &copy));
    lt_model_digest(m, a);
    lt_model_destroy(m);
    lt_model_digest(copy, b);
    assert_string_equal(a, b); // and metadata does not count
    assert_string_equal(copy->spec, "resnet18:width=4,proj-half=0,bn=1");
    assert_string_equal(copy->class_names[9], "two words");
    assert_int_equal(copy->n_meta, 1);
    assert_string_equal(copy->meta[0].value, "two");
    assert_int_equal(copy->bn_batches, 9);
    copy->state[3] += 1;
    lt_model_digest(copy, b);
    assert_string_not_equal(a, b);
    lt_model_destroy(copy);
}

static void test_specs(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        {"resnet18", "resnet18:width=64,proj-half=0,bn=1"},
        {"resnet18:bn=0,proj_half=1", "resnet18:width=64,proj-half=1,bn=0"},
        {"simple-conv:width=4", "simple-conv:width=4,bn=1"},
        {"simple-conv:width=4,mean=0.1+0.2+0.3", "simple-conv:width=4,bn=1,mean=0.1+0.2+0.3,std=1+1+1"},
        {"simple-conv:width=4,std=0.25", "simple-conv:width=4,bn=1,mean=0+0+0,std=0.25+0.25+0.25"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lt_model *m = make(rows[i][0], cifar);
        assert_string_equal(m->spec, rows[i][1]);
        lt_model *again = make(m->spec, cifar);
        assert_string_equal(again->spec, rows[i][1]);
        lt_model_destroy(again);
        lt_model_destroy(m);
    }
}

// The keys shown to users are the canonical text of the defaults.
static void test_registry(void **state)
{
    (void)state;
    int n = 0;
    const lt_arch *archs = lt_model_archs(&n);
    assert_true(n >= 3);
    for (int i = 0; i < n; i++) {
        char want[256];
        lt_model *m = make(archs[i].name, cifar);
        snprintf(want, sizeof want, "%s:%s", archs[i].name, archs[i].keys);
        assert_string_equal(m->spec, want);
        assert_true(archs[i].title[0]);
        lt_model_destroy(m);
    }
}

static void test_errors(void **state)
{
    (void)state;
    static const struct {
        const char *spec;
        lt_model_shape shape;
        lt_status status;
        const char *message, *hint;
    } rows[] = {
        {"resnet81", {3, 32, 32, 10}, LT_E_USAGE, "'resnet81'", "'resnet18'"},
        {"perceptron-mixer", {3, 32, 32, 10}, LT_E_USAGE, "perceptron-mixer", "known: resnet18, resnet18-imagenet"},
        {"resnet18:widht=8", {3, 32, 32, 10}, LT_E_USAGE, "'widht'", "'width'"},
        {"resnet18:proj=1", {3, 32, 32, 10}, LT_E_USAGE, "'proj'", "proj-half=0"},
        {"resnet18:width=0", {3, 32, 32, 10}, LT_E_USAGE, "width: expected 1..1024, found 0", ""},
        {"resnet18:bn=2", {3, 32, 32, 10}, LT_E_USAGE, "bn: expected 0..1", ""},
        {"resnet18:width=8x", {3, 32, 32, 10}, LT_E_USAGE, "width", ""},
        {"resnet18:64", {3, 32, 32, 10}, LT_E_USAGE, "key=value, found '64'", ""},
        {"resnet18:width=8,width=9", {3, 32, 32, 10}, LT_E_USAGE, "width", ""},
        {"resnet18:mean=0.1+0.2", {3, 32, 32, 10}, LT_E_USAGE, "expected 3 numbers", ""},
        {"resnet18:mean=0.1+0.2+0.3+0.4", {3, 32, 32, 10}, LT_E_USAGE, "expected 3 numbers", ""},
        {"resnet18:mean=", {3, 32, 32, 10}, LT_E_USAGE, "mean", ""},
        {"resnet18:std=0", {3, 32, 32, 10}, LT_E_USAGE, "std", ""},
        {"resnet18:std=nan", {3, 32, 32, 10}, LT_E_USAGE, "std", ""},
        {"", {3, 32, 32, 10}, LT_E_USAGE, "", ""},
        {"vgg19:width=4", {3, 16, 16, 10}, LT_E_SHAPE, "vgg19 cannot take 3x16x16 images: ", ""},
        {"resnet18", {0, 32, 32, 10}, LT_E_SHAPE, "0x32x32", ""},
        {"resnet18", {3, 32, 32, 0}, LT_E_SHAPE, "classes", ""},
        {"resnet18", {3, 32, 1 << 20, 10}, LT_E_SHAPE, "1048576", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lt_model *m = NULL;
        lt_error_clear();
        assert_fails(rows[i].status, rows[i].message, lt_model_create(rows[i].spec, rows[i].shape, &m));
        assert_null(m);
        assert_contains(lt_error_get()->hint, rows[i].hint);
    }
    lt_model *m = make("simple-conv:width=2", cifar);
    assert_fails(LT_E_USAGE, "lethe.model", lt_model_set_meta(m, "lethe.model", "x"));
    lt_model_destroy(m);
}

static lt_status make_and_copy(void)
{
    static const char *const names[] = {"a", "b", "c"};
    lt_model *m = NULL, *copy = NULL;
    lt_status status = lt_model_create("simple-conv:width=2,mean=0.5", (lt_model_shape){1, 8, 8, 3}, &m);
    if (status == LT_OK)
        status = lt_model_set_class_names(m, names);
    if (status == LT_OK)
        status = lt_model_set_meta(m, "key", "value");
    if (status == LT_OK)
        status = lt_model_dup(m, &copy);
    lt_model_destroy(copy);
    lt_model_destroy(m);
    return status;
}

// Whichever allocation fails: LT_E_NOMEM, nothing leaks (the sanitizer build sees to that), and then it works again.
static void test_out_of_memory(void **state)
{
    (void)state;
    int64_t n = 1;
    for (;; n++) {
        lti_alloc_fail_at(n);
        lt_status status = make_and_copy();
        lti_alloc_fail_at(0);
        if (status == LT_OK)
            break;
        assert_int_equal(status, LT_E_NOMEM);
        assert_true(n < 10000);
    }
    assert_true(n > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts),   cmocka_unit_test(test_names),  cmocka_unit_test(test_small_images),
        cmocka_unit_test(test_init),     cmocka_unit_test(test_digest), cmocka_unit_test(test_specs),
        cmocka_unit_test(test_registry), cmocka_unit_test(test_errors), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("model", tests, NULL, NULL);
}
