// Checkpoints: a round trip is bit-exact, the keys are those of a PyTorch state_dict, and every kind of bad file is
// refused with the tensor's name.
#include "lt_test.h"

#include "base/base.h"
#include "lethe/model.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

static const lt_model_shape small = {3, 16, 16, 4};
static const char spec[] = "resnet18:width=2,proj-half=1,mean=0.5,std=0.25";
static char path[256], other[256];

static int set_up(void **state)
{
    (void)state;
    snprintf(path, sizeof path, "%s/model-%d.safetensors", LT_TEST_BINARY_DIR, (int)getpid());
    snprintf(other, sizeof other, "%s/other-%d.safetensors", LT_TEST_BINARY_DIR, (int)getpid());
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    unlink(other);
    return 0;
}

static lt_model *make(const char *text)
{
    lt_model *m = NULL;
    assert_ok(lt_model_create(text, small, &m));
    lt_model_init(m, 1);
    for (int64_t i = 0; i < m->n_state; i++)
        m->state[i] += (float)i / 1024;
    m->bn_batches = 77;
    return m;
}

static void test_round_trip(void **state)
{
    (void)state;
    static const char *const names[] = {"cat", "a \"quoted\" one", "\xc3\xa4\xc3\xb6", ""};
    lt_model *m = make(spec), *back = NULL;
    assert_ok(lt_model_set_class_names(m, names));
    assert_ok(lt_model_set_meta(m, "lethe.parent", "abc"));
    assert_ok(lt_model_save(m, path));
    assert_ok(lt_model_open(path, NULL, NULL, &back));
    assert_string_equal(back->spec, m->spec);
    assert_memory_equal(&back->shape, &small, sizeof small);
    assert_int_equal(back->n_params, m->n_params);
    assert_memory_equal(back->params, m->params, (size_t)m->n_params * sizeof(float));
    assert_memory_equal(back->state, m->state, (size_t)m->n_state * sizeof(float));
    assert_int_equal(back->bn_batches, 77);
    for (int i = 0; i < 4; i++)
        assert_string_equal(back->class_names[i], names[i]);
    assert_int_equal(back->n_meta, 1);
    assert_string_equal(back->meta[0].key, "lethe.parent");
    assert_string_equal(back->meta[0].value, "abc");

    // Saved again, the file is the same to the byte.
    char a[65], b[65];
    assert_ok(lt_model_save(back, other));
    assert_ok(lt_file_digest(path, a));
    assert_ok(lt_file_digest(other, b));
    assert_string_equal(a, b);
    lt_model_destroy(back);
    lt_model_destroy(m);
}

static const lt_tensor *need(const lt_tensor_file *file, const char *name, lt_dtype dtype, int n_dims)
{
    const lt_tensor *t = lt_tensor_file_find(file, name);
    if (!t)
        fail_msg("no tensor %s", name);
    assert_int_equal(t->dtype, dtype);
    assert_int_equal(t->n_dims, n_dims);
    return t;
}

// A state_dict of the PyTorch CIFAR ResNet-18 has 122 entries: 62 parameters, 40 running statistics, 20 counters.
static void test_keys(void **state)
{
    (void)state;
    lt_model *m = make(spec);
    lt_tensor_file *file = NULL;
    assert_ok(lt_model_save(m, path));
    assert_ok(lt_tensor_file_open(path, &file));
    assert_int_equal(lt_tensor_file_count(file), 122);
    need(file, "conv1.weight", LT_F32, 4);
    need(file, "layer2.0.shortcut.1.running_var", LT_F32, 1);
    const lt_tensor *counter = need(file, "layer2.0.shortcut.1.num_batches_tracked", LT_I64, 0);
    assert_int_equal(*(const int64_t *)counter->data, 77);
    need(file, "linear.bias", LT_F32, 1);
    assert_string_equal(lt_tensor_file_meta(file, "format"), "pt");
    assert_string_equal(lt_tensor_file_meta(file, "lethe.model"), m->spec);
    assert_string_equal(lt_tensor_file_meta(file, "lethe.input"), "3x16x16");
    assert_string_equal(lt_tensor_file_meta(file, "lethe.mean"), "0.5+0.5+0.5");
    assert_string_equal(lt_tensor_file_meta(file, "lethe.std"), "0.25+0.25+0.25");
    assert_null(lt_tensor_file_meta(file, "lethe.classes"));
    lt_tensor_file_close(file);
    lt_model_destroy(m);
}

// ---- files changed in one place

enum { MAX_TENSORS = 128, MAX_META = 8 };
typedef struct draft { // what a file holds, to change and write again
    lt_tensor_file *file;
    lt_tensor t[MAX_TENSORS];
    int n;
    lt_meta meta[MAX_META];
    int n_meta;
} draft;

static draft open_draft(bool foreign)
{
    lt_model *m = make("resnet18:width=2");
    draft d = {.n_meta = 0};
    assert_ok(lt_model_save(m, path));
    lt_model_destroy(m);
    assert_ok(lt_tensor_file_open(path, &d.file));
    for (d.n = 0; d.n < lt_tensor_file_count(d.file); d.n++)
        d.t[d.n] = *lt_tensor_file_at(d.file, d.n);
    for (int i = 0; i < lt_tensor_file_n_meta(d.file) && !foreign; i++)
        d.meta[d.n_meta++] = lt_tensor_file_meta_at(d.file, i);
    return d;
}

static lt_tensor *find(draft *d, const char *name)
{
    for (int i = 0; i < d->n; i++)
        if (strcmp(d->t[i].name, name) == 0)
            return &d->t[i];
    fail_msg("no tensor %s", name);
    return NULL;
}

static void set_meta(draft *d, const char *key, const char *value)
{
    for (int i = 0; i < d->n_meta; i++)
        if (strcmp(d->meta[i].key, key) == 0) {
            d->meta[i].value = value;
            return;
        }
    d->meta[d->n_meta++] = (lt_meta){key, value};
}

static void write_draft(draft *d)
{
    assert_ok(lt_safetensors_write(other, d->t, d->n, d->meta, d->n_meta));
    lt_tensor_file_close(d->file);
}

static void test_foreign(void **state)
{
    (void)state;
    static double wide[4];
    char a[65], b[65];
    lt_model *m = NULL, *ours = NULL;
    draft d = open_draft(true);
    lt_tensor *bias = find(&d, "linear.bias"); // as a double
    for (int i = 0; i < 4; i++)
        wide[i] = (double)((const float *)bias->data)[i];
    bias->dtype = LT_F64;
    bias->data = wide;
    bias->n_bytes = sizeof wide;
    int kept = 0; // and without the counters, as old files are
    for (int i = 0; i < d.n; i++)
        if (!strstr(d.t[i].name, "num_batches_tracked"))
            d.t[kept++] = d.t[i];
    d.n = kept;
    write_draft(&d);
    assert_fails(LT_E_FORMAT, "lethe.model", lt_model_open(other, NULL, NULL, &m));
    assert_fails(LT_E_FORMAT, "lethe.input", lt_model_open(other, "resnet18:width=2", NULL, &m));
    assert_null(m);
    assert_ok(lt_model_open(other, "resnet18:width=2", &(lt_model_shape){3, 16, 16, 0}, &m));
    assert_int_equal(m->shape.n_classes, 4);
    assert_int_equal(m->bn_batches, 0);
    assert_ok(lt_model_open(path, NULL, NULL, &ours));
    lt_model_digest(m, a);
    lt_model_digest(ours, b);
    assert_string_equal(a, b);
    lt_model_destroy(m);
    lt_model_destroy(ours);
}

static void test_contradictions(void **state)
{
    (void)state;
    lt_model *m = make("resnet18:width=2"), *back = NULL;
    assert_ok(lt_model_save(m, path));
    lt_model_destroy(m);
    assert_fails(LT_E_USAGE, "expected the model resnet18:width=2,proj-half=1,bn=1, found",
                 lt_model_open(path, "resnet18:width=2,proj-half=1", NULL, &back));
    assert_fails(LT_E_SHAPE, "3x32x32", lt_model_open(path, NULL, &(lt_model_shape){3, 32, 32, 4}, &back));
    assert_fails(LT_E_SHAPE, "expected 5 classes, found 4",
                 lt_model_open(path, NULL, &(lt_model_shape){3, 16, 16, 5}, &back));
    assert_fails(LT_E_USAGE, "no such architecture", lt_model_open(path, "resnet", NULL, &back));
    assert_fails(LT_E_INPUT, "", lt_model_open("/nonexistent/model.safetensors", NULL, NULL, &back));
    assert_null(back);
}

static void nan_weight(draft *d)
{
    ((float *)find(d, "layer3.0.conv1.weight")->data)[17] = NAN;
}
static void infinite_statistic(draft *d)
{
    ((float *)find(d, "bn1.running_mean")->data)[1] = INFINITY;
}
static void negative_variance(draft *d)
{
    ((float *)find(d, "bn1.running_var")->data)[0] = -1;
}
static void missing(draft *d)
{
    *find(d, "layer4.1.bn2.bias") = d->t[--d->n];
}
static void no_head(draft *d)
{
    *find(d, "linear.weight") = d->t[--d->n];
}
static void extra(draft *d)
{
    find(d, "bn1.num_batches_tracked")->name = "bn9.num_batches_tracked";
}
static void extra_weight(draft *d)
{
    d->t[d->n] = d->t[0];
    d->t[d->n++].name = "fc.weight";
}
static void input_name(draft *d) // a name the graph knows, but not as a tensor
{
    d->t[d->n] = d->t[0];
    d->t[d->n++].name = "x";
}
static void data_parallel(draft *d)
{
    d->t[d->n] = d->t[0];
    d->t[d->n++].name = "module.conv1.weight";
}
static void misshapen(draft *d)
{
    lt_tensor *t = find(d, "layer1.0.conv1.weight");
    t->dim[0] = 36;
    t->dim[1] = t->dim[2] = t->dim[3] = 1;
}
static void flat(draft *d)
{
    find(d, "linear.weight")->n_dims = 1;
    find(d, "linear.weight")->dim[0] = 64;
}
static void integers(draft *d)
{
    find(d, "bn1.weight")->dtype = LT_I32;
}
static void negative_counter(draft *d)
{
    *(int64_t *)find(d, "bn1.num_batches_tracked")->data = -1;
}
static void float_counter(draft *d)
{
    lt_tensor *t = find(d, "bn1.num_batches_tracked");
    t->dtype = LT_F64;
}
static void bad_spec(draft *d)
{
    set_meta(d, "lethe.model", "resnet19");
}
static void wide_spec(draft *d)
{
    set_meta(d, "lethe.model", "resnet18:width=1024");
}
static void bad_input(draft *d)
{
    set_meta(d, "lethe.input", "3x16x16x");
}
static void huge_input(draft *d)
{
    set_meta(d, "lethe.input", "3x9999x9999");
}
static void bad_classes(draft *d)
{
    set_meta(d, "lethe.classes", "[\"a\",");
}
static void few_classes(draft *d)
{
    set_meta(d, "lethe.classes", "[\"a\"]");
}
static void number_classes(draft *d)
{
    set_meta(d, "lethe.classes", "[1,2,3,4]");
}
static void other_mean(draft *d)
{
    set_meta(d, "lethe.mean", "0.5");
}

static void test_bad_files(void **state)
{
    (void)state;
    static const struct {
        void (*change)(draft *d);
        const char *message, *hint;
    } rows[] = {
        {nan_weight, "layer3.0.conv1.weight: expected finite numbers, found nan at index 17", ""},
        {infinite_statistic, "bn1.running_mean: expected finite numbers, found inf at index 1", ""},
        {negative_variance, "bn1.running_var", ""},
        {missing, "layer4.1.bn2.bias is missing", "another architecture"},
        {no_head, "linear.weight is missing", ""},
        {extra, "bn9.num_batches_tracked", ""},
        {extra_weight, "fc.weight", ""},
        {input_name, "tensor x", ""},
        {data_parallel, "tensors module.conv1.weight and conv1.weight", ""},
        {misshapen, "layer1.0.conv1.weight: expected shape (2,2,3,3), found (36,1,1,1)", ""},
        {flat, "linear.weight", ""},
        {integers, "bn1.weight: expected floating point", ""},
        {negative_counter, "bn1.num_batches_tracked: expected 0 or more, found -1", ""},
        {float_counter, "bn1.num_batches_tracked: expected one integer", ""},
        {bad_spec, "resnet19", ""},
        {wide_spec, "expected shape (1024,3,3,3), found (2,3,3,3)", ""},
        {bad_input, "3x16x16x", ""},
        {huge_input, "9999", ""},
        {bad_classes, "lethe.classes", ""},
        {few_classes, "lethe.classes", ""},
        {number_classes, "lethe.classes", ""},
        {other_mean, "lethe.mean", ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        lt_model *m = NULL;
        draft d = open_draft(false);
        rows[i].change(&d);
        write_draft(&d);
        assert_fails(LT_E_FORMAT, rows[i].message, lt_model_open(other, NULL, NULL, &m));
        assert_contains(lt_error_get()->message, other);
        assert_contains(lt_error_get()->hint, rows[i].hint);
        assert_null(m);
    }
}

// Someone who casts a whole state_dict casts its counters, too.
static void test_cast_counters(void **state)
{
    (void)state;
    lt_model *m = NULL;
    draft d = open_draft(false);
    lt_tensor *t = find(&d, "bn1.num_batches_tracked");
    const double count = 12345;
    memcpy((void *)(uintptr_t)t->data, &count, sizeof count);
    t->dtype = LT_F64;
    write_draft(&d);
    assert_int_equal(lt_model_open(other, NULL, NULL, &m), LT_OK);
    assert_int_equal(m->bn_batches, 12345);
    lt_model_destroy(m);
}

// A model that cannot be opened again is not saved, and the file that was there stays.
static void test_refuses_to_save(void **state)
{
    (void)state;
    char before[65], after[65];
    lt_model *m = make(spec);
    assert_ok(lt_model_save(m, path));
    assert_ok(lt_file_digest(path, before));
    m->params[m->n_params - 1] = NAN;
    assert_fails(LT_E_DIVERGED, "linear.bias", lt_model_save(m, path));
    assert_ok(lt_file_digest(path, after));
    assert_string_equal(before, after);
    lt_model_destroy(m);
}

static void test_out_of_memory(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d"};
    lt_model *m = make("simple-conv:width=2,std=0.5");
    assert_ok(lt_model_set_class_names(m, names));
    assert_ok(lt_model_set_meta(m, "key", "value"));
    lt_status status = LT_E_NOMEM;
    int64_t n = 0;
    while (status != LT_OK) {
        lti_alloc_fail_at(++n);
        status = lt_model_save(m, path);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || status == LT_E_NOMEM);
    }
    assert_true(n > 5);
    status = LT_E_NOMEM;
    for (n = 0; status != LT_OK;) {
        lt_model *back = NULL;
        lti_alloc_fail_at(++n);
        status = lt_model_open(path, NULL, NULL, &back);
        lti_alloc_fail_at(0);
        assert_true(status == LT_OK || (status == LT_E_NOMEM && !back));
        lt_model_destroy(back);
    }
    assert_true(n > 20);
    lt_model_destroy(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),    cmocka_unit_test(test_keys),
        cmocka_unit_test(test_foreign),       cmocka_unit_test(test_contradictions),
        cmocka_unit_test(test_bad_files),     cmocka_unit_test(test_refuses_to_save),
        cmocka_unit_test(test_cast_counters), cmocka_unit_test(test_out_of_memory),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, set_up, tear_down);
}
