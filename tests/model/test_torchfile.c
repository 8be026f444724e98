// test_torchfile.c - PyTorch checkpoints of several versions and forms: the same logits, written back, and hostile ones
// refused.
#include "lt_test.h"
#include "lethe/model.h"
#include "lethe/run.h"
#include <glob.h>
#include <math.h>
#include <stdlib.h>

#define GOLDEN LT_TEST_SOURCE_DIR "/tests/golden/checkpoints/"
static const char normalize[] = "0.4914,0.4822,0.4465:0.2023,0.1994,0.2010";
static char out_path[128];

static int set_up(void **state)
{
    (void)state;
    snprintf(out_path, sizeof out_path, "%s/test_torchfile-%d", lt_test_root(), (int)getpid());
    return 0;
}

static const char *with_suffix(const char *suffix)
{
    static char path[160];
    snprintf(path, sizeof path, "%s%s", out_path, suffix);
    return path;
}

static void run_model(const lt_model *m, const lt_tensor *x, float *logits)
{
    lt_backend *backend;
    lt_plan *plan;
    const lt_plan_spec spec = {
        .outs = &m->logits, .n_outs = 1, .grad_of = LT_NONE, .seed = LT_NONE, .batch = x->dim[0]};
    assert_ok(lt_backend_create("ref", 1, &backend));
    assert_ok(lt_plan_create(m->graph, &spec, backend, &plan));
    memcpy(lt_plan_buffer(plan, m->x), x->data, x->n_bytes);
    assert_ok(lt_plan_bind(plan, m->params, m->state, NULL));
    assert_ok(lt_plan_run(plan));
    memcpy(logits, lt_plan_buffer(plan, m->logits), (size_t)(x->dim[0] * m->shape.n_classes) * sizeof *logits);
    lt_plan_destroy(plan);
    lt_backend_destroy(backend);
}

static void assert_logits(const lt_model *m, const lt_tensor_file *answers, const char *name)
{
    const lt_tensor *x = lt_tensor_file_find(answers, m->shape.h == 64 ? "big" : "x"),
                    *want = lt_tensor_file_find(answers, name);
    float found[2 * 10];
    assert_non_null(want);
    run_model(m, x, found);
    for (size_t i = 0; i < want->n_bytes / sizeof(float); i++) {
        const float w = ((const float *)want->data)[i];
        if (fabsf(found[i] - w) > 1e-4f * fmaxf(1, fabsf(w)))
            fail_msg("%s: logit %zu: PyTorch %g, lethe %g", name, i, (double)w, (double)found[i]);
    }
}

// The written file opens with the same spec to the same weights.
static void assert_round_trip(const lt_model *m, const char *suffix)
{
    char before[65], after[65];
    lt_model *again;
    assert_ok(lt_model_export(m, with_suffix(suffix)));
    assert_ok(lt_model_open(with_suffix(suffix), m->spec, &m->shape, &again));
    lt_model_digest(m, before);
    lt_model_digest(again, after);
    assert_string_equal(before, after);
    assert_int_equal(m->bn_batches, again->bn_batches);
    lt_model_destroy(again);
    unlink(with_suffix(suffix));
}

// Under the names of the checkpoint that it came from: the same tensors in the same order, weights changed.
static void assert_names_kept(lt_model *m, const char *like, const char *suffix)
{
    lt_tensor_file *was, *now;
    lt_model *again;
    char before[65], after[65];
    m->params[0] += 1;
    assert_ok(lt_model_export_like(m, like, with_suffix(suffix)));
    assert_ok(lt_tensor_file_open(like, &was));
    assert_ok(lt_tensor_file_open(with_suffix(suffix), &now));
    assert_int_equal(lt_tensor_file_count(now), lt_tensor_file_count(was));
    for (int i = 0; i < lt_tensor_file_count(was); i++) {
        const lt_tensor *a = lt_tensor_file_at(was, i), *b = lt_tensor_file_at(now, i);
        assert_string_equal(a->name, b->name);
        assert_int_equal(a->n_dims, b->n_dims);
        assert_memory_equal(a->dim, b->dim, (size_t)a->n_dims * sizeof a->dim[0]);
    }
    lt_tensor_file_close(was);
    lt_tensor_file_close(now);
    assert_ok(lt_model_open(with_suffix(suffix), m->spec, &m->shape, &again));
    lt_model_digest(m, before);
    lt_model_digest(again, after);
    assert_string_equal(before, after);
    lt_model_destroy(again);
    unlink(with_suffix(suffix));
}

static void test_names_of_another_architecture(void **state)
{
    (void)state;
    lt_model *m;
    assert_ok(lt_model_create("simple-conv:width=1", (lt_model_shape){3, 32, 32, 10}, &m));
    lt_model_init(m, 1);
    assert_fails(LT_E_FORMAT, "is missing: not a checkpoint of this architecture",
                 lt_model_export_like(m, GOLDEN "plain-torch1.13.pth", with_suffix(".npz")));
    lt_model_destroy(m);
    assert_ok(lt_model_create("resnet18:width=2", (lt_model_shape){3, 32, 32, 10}, &m));
    lt_model_init(m, 1);
    assert_fails(LT_E_SHAPE, "its shape is not the model's",
                 lt_model_export_like(m, GOLDEN "plain-torch1.13.pth", with_suffix(".npz")));
    lt_model_destroy(m);
}

// name-torchV.pth; the part of `name` before the first '-' is the answer that belongs to it.
static void check_file(const char *path, const lt_tensor_file *answers)
{
    const char *name = strrchr(path, '/') + 1;
    const bool imagenet = !strncmp(name, "imagenet", 8), layer = !strncmp(name, "normalized", 10),
               halved = !strncmp(name, "halved", 6);
    char answer[32];
    lt_model_facts facts;
    lt_model *m;
    snprintf(answer, sizeof answer, "%.*s", (int)strcspn(name, "-"), name);
    assert_ok(lt_model_examine(path, &facts));
    assert_false(facts.own);
    assert_true(facts.guessed);
    assert_string_equal(facts.spec, imagenet ? "resnet18-imagenet:width=1"
                                    : halved ? "resnet18:width=1,proj-half=1"
                                             : "resnet18:width=1");
    assert_int_equal(facts.n_classes, imagenet ? 7 : 10);
    assert_int_equal(facts.channels, 3);
    assert_int_equal(facts.has_normalize, layer);
    const lt_model_shape shape = {3, imagenet ? 64 : 32, imagenet ? 64 : 32, 0};
    assert_ok(lt_model_open(path, facts.spec, &shape, &m));
    assert_int_equal(m->bn_batches, 7);
    assert_logits(m, answers, answer);
    assert_round_trip(m, ".pth");
    assert_round_trip(m, ".npz");
    assert_names_kept(m, path, ".pth");
    assert_names_kept(m, path, ".npz");
    lt_model_destroy(m);
}

static void test_every_checkpoint(void **state)
{
    (void)state;
    glob_t versions, files;
    assert_int_equal(glob(GOLDEN "answers-torch*.npz", 0, NULL, &versions), 0);
    assert_true(versions.gl_pathc >= 2);
    for (size_t v = 0; v < versions.gl_pathc; v++) {
        lt_tensor_file *answers;
        char pattern[512];
        const char *version = strrchr(versions.gl_pathv[v], '-');
        assert_ok(lt_tensor_file_open(versions.gl_pathv[v], &answers));
        snprintf(pattern, sizeof pattern, GOLDEN "*%.*s.pth", (int)strlen(version) - 4, version);
        assert_int_equal(glob(pattern, 0, NULL, &files), 0);
        assert_int_equal(files.gl_pathc, 11);
        for (size_t i = 0; i < files.gl_pathc; i++)
            check_file(files.gl_pathv[i], answers);
        globfree(&files);
        lt_tensor_file_close(answers);
    }
    globfree(&versions);
}

// A normalisation that is given by hand does what a layer of the file does; both must agree where both are there.
static void test_normalization(void **state)
{
    (void)state;
    const lt_model_shape shape = {3, 32, 32, 0};
    lt_tensor_file *answers;
    lt_model *m;
    char *spec;
    assert_ok(lt_tensor_file_open(GOLDEN "answers-torch1.13.npz", &answers));
    assert_ok(lt_model_spec_normalize("resnet18:width=1", normalize, 3, &spec));
    assert_ok(lt_model_open(GOLDEN "plain-torch1.13.pth", spec, &shape, &m));
    assert_logits(m, answers, "normalized");
    lt_model_destroy(m);
    assert_ok(lt_model_open(GOLDEN "normalized-layer-torch1.13.pth", spec, &shape, &m));
    lt_model_destroy(m);
    free(spec);
    assert_ok(lt_model_spec_normalize("resnet18:width=1", "0.5:0.25", 3, &spec));
    assert_fails(LT_E_USAGE, "its normalisation layer has mean 0.4914",
                 lt_model_open(GOLDEN "normalized-layer-torch1.13.pth", spec, &shape, &m));
    free(spec);
    assert_ok(lt_model_spec_normalize("resnet18:width=1", "none", 3, &spec));
    assert_string_equal(spec, "resnet18:width=1,proj-half=0,bn=1");
    free(spec);
    assert_fails(LT_E_USAGE, "expected MEAN:STD", lt_model_spec_normalize("resnet18", "0.5", 3, &spec));
    assert_fails(LT_E_USAGE, "model: std", lt_model_spec_normalize("resnet18", "0.5:0", 3, &spec));
    lt_tensor_file_close(answers);
}

static void test_metadata(void **state)
{
    (void)state;
    lt_tensor_file *file;
    assert_ok(lt_tensor_file_open(GOLDEN "plain-dataparallel-torch2.15.pth", &file));
    assert_string_equal(lt_tensor_file_meta(file, "torch.state_dict"), "net");
    assert_string_equal(lt_tensor_file_meta(file, "torch.epoch"), "12");
    assert_string_equal(lt_tensor_file_meta(file, "torch.acc"), "91.5");
    assert_string_equal(lt_tensor_file_at(file, 0)->name, "module.conv1.weight");
    lt_tensor_file_close(file);
}

// Every difference is listed, and nothing is loaded.
static void test_differences(void **state)
{
    (void)state;
    const lt_model_shape shape = {3, 32, 32, 0};
    lt_model *m;
    assert_fails(LT_E_FORMAT, "0 tensors missing, 0 extra, 101 of another shape",
                 lt_model_open(GOLDEN "plain-torch1.13.pth", "resnet18:width=2", &shape, &m));
    assert_contains(lt_error_get()->message, "tensor conv1.weight: expected shape (2,3,3,3), found (1,3,3,3)");
    assert_null(m);
    assert_fails(LT_E_FORMAT, "100 extra",
                 lt_model_open(GOLDEN "plain-torch1.13.pth", "resnet18:width=1,bn=0", &shape, &m));
    assert_null(m);
}

// ---- hostile pickles, each a whole stream of the plain form

static const char head[] = "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19."
                           "\x80\x02M\xe9\x03."
                           "\x80\x02}.";
enum { HEAD = sizeof head - 1 };
#define TAIL "\x80\x02]."
// A tensor of n floats over storage "0" that says it has `count`.
#define STORAGE(count)                                                                                                 \
    "((X\x07\0\0\0storagectorch\nFloatStorage\nX\1\0\0\0"                                                              \
    "0"                                                                                                                \
    "X\3\0\0\0cpu" count "tQ"
#define TENSOR(count, offset, size, stride)                                                                            \
    "ctorch._utils\n_rebuild_tensor_v2\n" STORAGE(count) offset "(" size "t(" stride "t\x89}tR"

static lt_status parse_stream(const char *object, size_t n, lt_tensor_file **file)
{
    static char bytes[4096];
    memcpy(bytes, head, HEAD);
    memcpy(bytes + HEAD, object, n);
    memcpy(bytes + HEAD + n, TAIL, sizeof TAIL - 1);
    return lt_torch_stream_parse(bytes, HEAD + n + sizeof TAIL - 1, "hostile", file);
}

static void test_hostile_pickles(void **state)
{
    (void)state;
#define ROW(text, message)                                                                                             \
    {                                                                                                                  \
        text, sizeof text - 1, message                                                                                 \
    }
    static const struct {
        const char *object;
        size_t n;
        const char *message;
    } rows[] = {
        ROW("cos\nsystem\n(X\2\0\0\0idtR.", "the global 'os.system' is not allowed"),
        ROW("\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R.", "the global 'posix.system' is not allowed"),
        ROW("cbuiltins\neval\n(X\1\0\0\0"
            "1tR.",
            "the global 'builtins.eval' is not allowed"),
        ROW("ctorch.nn\nLinear\n)\x81.", "the global 'torch.nn.Linear' is not allowed"),
        ROW("c\x1b[31m\n\x07\n.", "the global '?[31m.?' is not allowed"),
        ROW("(S'x'\nios\nsystem\n.", "the opcode 0x53 ('S') is not allowed"),
        ROW("\x82\x01.", "the opcode 0x82 is not allowed"),
        ROW("P0\n.", "the opcode 0x50 ('P') is not allowed"),
        ROW("\x80\x09N.", "expected pickle protocol 2 to 5"),
        ROW("0.", "expected a value on the stack"),
        ROW("R.", "expected a value on the stack"),
        ROW("h\7.", "expected a remembered value"),
        ROW("t.", "expected a mark on the stack"),
        ROW("(X\4\0\0\0abcdu.", "expected a dictionary"),
        ROW("}(X\1\0\0\0au.", "expected keys and values in pairs"),
        ROW("X\xff\xff\xff\x7f"
            "a.",
            "expected more bytes"),
        ROW("\x8d\xff\xff\xff\xff\xff\xff\xff\xff"
            "a.",
            "expected more bytes"),
        ROW("r\xff\xff\xff\xff.", "expected a value to remember"),
        ROW("}r\xff\xff\xff\xff.", "expected fewer remembered values"),
        ROW("}.", "expected a dictionary of tensors"),
        ROW("K\1.", "expected a dictionary of tensors (a state_dict), found another object"),
        ROW("}X\1\0\0\0w" TENSOR("K\4", "K\1", "K\4", "K\1") "s.", "found one that reaches over it"),
        ROW("}X\1\0\0\0w" TENSOR("K\4", "K\0", "K\2K\2", "K\1") "s.", "expected as many strides as dimensions"),
        ROW("}X\1\0\0\0w" TENSOR("K\4", "J\xff\xff\xff\xff", "K\4", "K\1") "s.", "expected a storage and an offset"),
        ROW("}X\1\0\0\0w" TENSOR("K\4", "K\0", "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f",
                                 "\x8a\x08\xff\xff\xff\xff\xff\xff\xff\x7f") "s.",
            "found an overflow"),
        ROW("}X\1\0\0\0w" TENSOR("K\1", "K\0", "J\xff\xff\xff\x7f", "K\0") "s.", "is missing"),
        ROW("}X\1\0\0\0w" TENSOR("K\4", "K\0", "K\4", "K\1") "s.", "storage 0 is missing"),
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        lt_tensor_file *file = NULL;
        assert_fails(LT_E_FORMAT, rows[i].message, parse_stream(rows[i].object, rows[i].n, &file));
        assert_null(file);
    }
}

// A storage that is expanded to many times its size is refused before memory is spent on it.
static void test_expansion(void **state)
{
    (void)state;
    static const char object[] = "}X\1\0\0\0w" TENSOR("K\1", "K\0", "J\xff\xff\xff\x7f", "K\0") "s.";
    static const char keys[] = "\x80\x02]X\1\0\0\0"
                               "0a.\1\0\0\0\0\0\0\0\0\0\x80?";
    char bytes[512];
    lt_tensor_file *file = NULL;
    memcpy(bytes, head, HEAD);
    memcpy(bytes + HEAD, object, sizeof object - 1);
    memcpy(bytes + HEAD + sizeof object - 1, keys, sizeof keys - 1);
    assert_fails(LT_E_FORMAT, "expected tensors no larger than the file",
                 lt_torch_stream_parse(bytes, HEAD + sizeof object + sizeof keys - 2, "hostile", &file));
}

// Every truncation of a sound file, and bytes changed one at a time, end in a clear error or in a model; never a crash.
static void test_damage(void **state)
{
    (void)state;
    char *bytes;
    size_t n;
    assert_ok(lt_read_file(GOLDEN "plain-legacy-torch1.13.pth", 1 << 20, &bytes, &n));
    for (size_t cut = 0; cut < n; cut += cut < 2000 ? 7 : 997) {
        lt_tensor_file *file = NULL;
        assert_int_equal(lt_torch_stream_parse(bytes, cut, "cut", &file), LT_E_FORMAT);
        assert_null(file);
    }
    for (size_t i = 0; i < n; i += i < 4000 ? 11 : 1009) {
        lt_tensor_file *file = NULL;
        bytes[i] = (char)(bytes[i] ^ 0x41);
        const lt_status status = lt_torch_stream_parse(bytes, n, "changed", &file);
        assert_true(status == LT_OK || status == LT_E_FORMAT || status == LT_E_UNSUPPORTED);
        lt_tensor_file_close(file);
        bytes[i] = (char)(bytes[i] ^ 0x41);
    }
    free(bytes);
    assert_ok(lt_read_file(GOLDEN "plain-torch1.13.pth", 1 << 20, &bytes, &n));
    lt_tensor_file *file = NULL;
    int n_refused = 0, n_tried = 0;
    for (size_t i = 5; i < n; i += 501, n_tried++) { // each member has a checksum
        bytes[i] = (char)(bytes[i] ^ 1);
        const lt_status status = lt_npz_parse(bytes, n, "changed", &file);
        assert_true(status == LT_OK || status == LT_E_FORMAT || status == LT_E_UNSUPPORTED);
        n_refused += status != LT_OK;
        lt_tensor_file_close(file);
        file = NULL;
        bytes[i] = (char)(bytes[i] ^ 1);
    }
    assert_true(n_refused > n_tried / 4);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_checkpoint), cmocka_unit_test(test_names_of_another_architecture),
        cmocka_unit_test(test_normalization),    cmocka_unit_test(test_metadata),
        cmocka_unit_test(test_differences),      cmocka_unit_test(test_hostile_pickles),
        cmocka_unit_test(test_expansion),        cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, set_up, NULL);
}
