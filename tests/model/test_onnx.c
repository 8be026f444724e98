// ONNX models: every architecture is written and read again to the same weights; hand-made files of other writers are
// read, broken ones refused in words.
#include "lt_test.h"
#include "io/onnx.h"
#include "lethe/model.h"
#include <stdlib.h>
#include <unistd.h>

static char path[] = "/tmp/lethe-onnx-XXXXXX.onnx";

static int set_up(void **state)
{
    (void)state;
    const int fd = mkstemps(path, 5);
    return fd < 0 ? -1 : close(fd);
}

static int tear_down(void **state)
{
    (void)state;
    return unlink(path);
}

// ---- networks

static void round_trip(const char *spec, int side)
{
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    lt_model *m, *again;
    char before[65], after[65];
    assert_ok(lt_model_create(spec, (lt_model_shape){3, side, side, 5}, &m));
    lt_model_init(m, 3);
    assert_ok(lt_model_set_class_names(m, names));
    assert_ok(lt_model_set_meta(m, "lethe.data", "somewhere"));
    assert_ok(lt_model_export_onnx(m, path));
    assert_ok(lt_model_open(path, NULL, NULL, &again));
    lt_model_digest(m, before);
    lt_model_digest(again, after);
    assert_string_equal(before, after);
    assert_string_equal(m->spec, again->spec);
    assert_string_equal(again->class_names[4], "e");
    assert_int_equal(again->n_meta, 1);
    lt_model_destroy(m);
    lt_model_destroy(again);
}

static void every_architecture(void **state)
{
    (void)state;
    int n;
    const lt_arch *arch = lt_model_archs(&n);
    int n_written = 0;
    for (int i = 0; i < n; i++) {
        if (!strncmp(arch[i].name, "spiking", 7) || !strcmp(arch[i].name, "single-conv"))
            continue;
        round_trip(arch[i].name, strcmp(arch[i].name, "resnet18-imagenet") ? 32 : 64);
        n_written++;
    }
    assert_int_equal(n_written, 6);
    round_trip("resnet18:width=4,proj-half=1,mean=0.5+0.4+0.3,std=0.2", 32);
    round_trip("resnet18:width=4,bn=0", 32);
    round_trip("single-conv:padding-mode=circular", 32);
    round_trip("single-conv:padding-mode=reflect", 32);
}

// Files that onnxruntime was seen to run with the same logits (tests/interop/test_onnx.py), byte for byte. Where a
// change of the writer is meant, run that test and put the new digests here.
static void files_as_they_were_run(void **state)
{
    (void)state;
    static const char *const known[][2] = {
        {"resnet20:width=2,mean=0.5+0.4+0.3,std=0.2", "544c685d871eca7156b9aa90d694b995"},
        {"resnet18:width=1,proj-half=1", "e8e91f3220ed3174051871a007563b12"},
        {"resnet18-imagenet:width=1", "6ef8de3e4901f8d614feb92f820c0f6e"},
        {"dla:width=1", "c46e535dca53a9bbdefd5919043cfe0f"},
        {"simple-conv:width=1,bn=0", "95ecb28dc8adc4566a6ea465dbbffea0"},
        {"single-conv:width=1,padding-mode=circular", "5e524d1848b789740cf935a6c15016ee"},
    };
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        lt_model *m;
        char digest[65];
        assert_ok(lt_model_create(known[i][0], (lt_model_shape){3, 32, 32, 3}, &m));
        lt_model_init(m, 1);
        assert_ok(lt_model_export_onnx(m, path));
        assert_ok(lt_file_digest(path, digest));
        lt_model_destroy(m);
        if (strncmp(digest, known[i][1], strlen(known[i][1])) != 0)
            fail_msg("%s: digest %s", known[i][0], digest);
    }
}

static void what_has_no_form(void **state)
{
    (void)state;
    lt_model *m;
    assert_ok(lt_model_create("spiking-vgg:steps=2", (lt_model_shape){3, 32, 32, 5}, &m));
    lt_model_init(m, 1);
    assert_fails(LT_E_UNSUPPORTED, "has no form in ONNX", lt_model_export_onnx(m, path));
    assert_non_null(strstr(lt_error_get()->hint, ".nir"));
    lt_model_destroy(m);
    assert_ok(lt_model_create("simple-conv", (lt_model_shape){3, 32, 32, 5}, &m));
    lt_model_init(m, 1);
    m->params[5] = -1.0f / 0.0f;
    assert_fails(LT_E_DIVERGED, "expected finite numbers", lt_model_export_onnx(m, path));
    lt_model_destroy(m);
}

// ---- files of other writers, by hand: a model is 08 07 3a LENGTH, then tensors 2a LENGTH of the graph

typedef struct bytes {
    unsigned char at[256];
    size_t n;
} bytes;

static void add(bytes *b, const char *data, size_t n)
{
    assert_true(b->n + n < sizeof b->at);
    memcpy(b->at + b->n, data, n);
    b->n += n;
}
#define ADD(b, literal) add(b, literal, sizeof(literal) - 1)

static void add_message(bytes *b, char key, const bytes *message)
{
    assert_true(message->n < 128);
    const char head[] = {key, (char)message->n};
    add(b, head, 2);
    add(b, (const char *)message->at, message->n);
}

static bytes model_of(const bytes *tensor, int n)
{
    bytes graph = {.n = 0}, model = {.n = 0};
    for (int i = 0; i < n; i++)
        add_message(&graph, 0x2a, &tensor[i]);
    ADD(&model, "\x08\x07");
    add_message(&model, 0x3a, &graph);
    return model;
}

static void expect_floats(const char *tensor, size_t n, const char *name, int n_floats, const float *want)
{
    bytes t = {.n = 0};
    lt_tensor_file *f;
    add(&t, tensor, n);
    const bytes model = model_of(&t, 1);
    assert_ok(lt_onnx_parse(model.at, model.n, "hand", &f));
    const lt_tensor *found = lt_tensor_file_find(f, name);
    assert_non_null(found);
    assert_int_equal(found->dtype, LT_F32);
    assert_int_equal(found->n_bytes, (size_t)n_floats * sizeof(float));
    assert_memory_equal(found->data, want, found->n_bytes);
    lt_tensor_file_close(f);
}
#define EXPECT_FLOATS(tensor, name, ...)                                                                               \
    expect_floats(tensor, sizeof(tensor) - 1, name, sizeof((float[]){__VA_ARGS__}) / sizeof(float),                    \
                  (float[]){__VA_ARGS__})

static void forms_of_numbers(void **state)
{
    (void)state;
    EXPECT_FLOATS("\x08\x02\x10\x01\x42\x01w\x4a\x08\0\0\x80\x3f\0\0\0\x40", "w", 1, 2);     // raw_data
    EXPECT_FLOATS("\x0a\x01\x02\x10\x01\x42\x01w\x22\x08\0\0\x80\x3f\0\0\0\x40", "w", 1, 2); // packed dims, floats
    EXPECT_FLOATS("\x08\x02\x10\x01\x42\x01w\x25\0\0\x80\x3f\x25\0\0\0\x40", "w", 1, 2);     // one by one
    EXPECT_FLOATS("\x08\x02\x10\x0a\x42\x01w\x2a\x05\x80\x78\x80\x80\x01", "w", 1, 2);       // half, as varints
    EXPECT_FLOATS("\x08\x01\x10\x10\x42\x01w\x4a\x02\x80\xbf", "w", -1);                     // bfloat16
}

static void refuse(const char *what, const char *tensor, size_t n, int copies)
{
    bytes t[2] = {{.n = 0}};
    lt_tensor_file *f;
    add(&t[0], tensor, n);
    t[1] = t[0];
    const bytes model = model_of(t, copies);
    const lt_status status = lt_onnx_parse(model.at, model.n, "hand", &f);
    assert_true(status == LT_E_FORMAT || status == LT_E_UNSUPPORTED);
    assert_null(f);
    if (!strstr(lt_error_get()->message, what))
        fail_msg("expected '%s', found '%s'", what, lt_error_get()->message);
}
#define REFUSE(what, tensor) refuse(what, tensor, sizeof(tensor) - 1, 1)

static void broken_ones(void **state)
{
    (void)state;
    static const char whole[] = "\x08\x02\x10\x01\x42\x01w\x4a\x08\0\0\x80\x3f\0\0\0\x40";
    REFUSE("expected 2 numbers by its shape, found 1", "\x08\x02\x10\x01\x42\x01w\x4a\x04\0\0\x80\x3f");
    REFUSE("expected 2 numbers by its shape, found 0", "\x08\x02\x10\x01\x42\x01w");
    REFUSE("expected a name of every tensor", "\x08\x01\x10\x01\x4a\x04\0\0\x80\x3f");
    REFUSE("found element type 8", "\x08\x01\x10\x08\x42\x01w");
    REFUSE("its numbers are in another file", "\x08\x01\x10\x01\x42\x01w\x70\x01");
    REFUSE("found another list", "\x08\x01\x10\x01\x42\x01w\x28\x05");
    REFUSE("at most 8 dimensions", "\x0a\x09\1\1\1\1\1\1\1\1\1\x10\x01\x42\x01w\x4a\x04\0\0\x80\x3f");
    REFUSE("a shape that fits memory", "\x0a\x12\xff\xff\xff\xff\xff\xff\xff\xff\x7f\xff\xff\xff\xff\xff\xff\xff\xff"
                                       "\x7f\x10\x01\x42\x01w");
    refuse("found 'w' twice", whole, sizeof whole - 1, 2);
    // Cut off anywhere: refused, or an empty model.
    bytes t = {.n = 0};
    lt_tensor_file *f;
    add(&t, whole, sizeof whole - 1);
    const bytes model = model_of(&t, 1);
    for (size_t n = 0; n < model.n; n++)
        assert_fails(LT_E_FORMAT, "hand: expected", lt_onnx_parse(model.at, n, "hand", &f));
}

// By its name, whatever the bytes look like.
static void other_bytes(void **state)
{
    (void)state;
    lt_tensor_file *f;
    assert_ok(lt_write_file_atomic(path, "a safetensors file?", 19));
    assert_fails(LT_E_FORMAT, "expected an ONNX model, found other bytes", lt_tensor_file_open(path, &f));
    assert_ok(lt_write_file_atomic(path, "", 0));
    assert_fails(LT_E_FORMAT, "expected an ONNX model, found an empty file", lt_tensor_file_open(path, &f));
}

// Scalars and 64-bit integers are constants of nodes.
static void constants(void **state)
{
    (void)state;
    bytes t[3] = {{.n = 0}};
    lt_tensor_file *f;
    ADD(&t[0], "\x10\x01\x42\x01s\x4a\x04\0\0\x80\x3f");
    ADD(&t[1], "\x08\x01\x10\x07\x42\x01p\x38\x05");
    ADD(&t[2], "\x08\x01\x10\x01\x42\x01w\x4a\x04\0\0\x80\x3f");
    const bytes model = model_of(t, 3);
    assert_ok(lt_onnx_parse(model.at, model.n, "hand", &f));
    assert_int_equal(lt_tensor_file_count(f), 1);
    assert_string_equal(lt_tensor_file_at(f, 0)->name, "w");
    lt_tensor_file_close(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_architecture), cmocka_unit_test(files_as_they_were_run),
        cmocka_unit_test(what_has_no_form),   cmocka_unit_test(forms_of_numbers),
        cmocka_unit_test(broken_ones),        cmocka_unit_test(other_bytes),
        cmocka_unit_test(constants),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
