// Option sets: where values may come from, who wins, what is refused and how it is said.
#include "lt_test.h"
#include "base/base.h"
#include <jansson.h>
#include <locale.h>
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

enum { MODE_FAST, MODE_SLOW };
static const lt_opt_value modes[] = {{"fast", MODE_FAST, "quick"}, {"slow-er", MODE_SLOW, "careful"}, {NULL, 0, NULL}};

typedef struct train {
    float lr;
    double decay;
    int32_t epochs, mode;
    int64_t batch;
    uint64_t seed;
    bool nesterov;
    const char *data, *note;
} train;
static const lt_option train_rows[] = {
    LT_F32(train, lr, 0.1, 0, 10, "", "learning rate"),
    LT_F64(train, decay, 5e-4, 0, 1, "", "weight decay"),
    LT_I32(train, epochs, 30, 1, 100000, "epochs", "passes over the data"),
    LT_ENUM(train, mode, MODE_FAST, modes, "how to go about it"),
    LT_I64(train, batch, 128, 1, 65536, "images", "batch size"),
    LT_U64(train, seed, 1, "seed of all random numbers"),
    LT_BOOL(train, nesterov, false, "Nesterov momentum"),
    LT_STR(train, data, NULL, "data set | KIND[:PATH]"),
    LT_STR(train, note, "none", "remark"),
    LT_OPT_END,
};

typedef struct attack {
    int32_t n_steps;
    float lr;
    bool rand_start;
} attack;
static const lt_option attack_rows[] = {
    LT_I32(attack, n_steps, 50, 1, 1000, "", "steps"),
    LT_F32(attack, lr, 0.5, 0, 10, "", "step size"),
    LT_BOOL(attack, rand_start, true, "random start"),
    LT_OPT_END,
};

typedef struct common {
    bool quiet;
} common;
static const lt_option common_rows[] = {LT_BOOL(common, quiet, false, "say less"), LT_OPT_END};

typedef struct fixture {
    lt_optset *set;
    train t;
    attack a;
    common c;
    char yaml[40];
} fixture;

static int make(void **state)
{
    fixture *f = calloc(1, sizeof *f);
    *state = f;
    strcpy(f->yaml, "/tmp/lethe-option-XXXXXX");
    const int fd = mkstemp(f->yaml);
    return fd < 0 || close(fd) || lt_optset_create(&f->set) || lt_optset_add(f->set, "", train_rows, &f->t, 0) ||
           lt_optset_add(f->set, "attack.pgd_l2", attack_rows, &f->a, 0) ||
           lt_optset_add(f->set, "run", common_rows, &f->c, LT_OPTGROUP_FLAGS | LT_OPTGROUP_NODIGEST);
}

static int clean(void **state)
{
    fixture *f = *state;
    lt_optset_destroy(f->set);
    unlink(f->yaml);
    free(f);
    return 0;
}

static lt_status parse(fixture *f, const char *const *args, const char **positional, int *n_positional)
{
    int argc = 0;
    while (args[argc])
        argc++;
    return lt_optset_parse(f->set, argc, (char *const *)(uintptr_t)args, positional, n_positional);
}

static lt_status parse_only(fixture *f, const char *const *args)
{
    const char *positional[16];
    int n;
    return parse(f, args, positional, &n);
}
#define ARGS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void check_value(fixture *f, const char *key, const char *value, const char *origin)
{
    const char *v, *o;
    assert_ok(lt_optset_get(f->set, key, &v, &o));
    assert_string_equal(v, value);
    assert_string_equal(o, origin);
}

static void defaults(void **state)
{
    fixture *f = *state;
    assert_true(f->t.lr == 0.1f && f->t.decay == 5e-4 && f->t.epochs == 30 && f->t.mode == MODE_FAST);
    assert_true(f->t.batch == 128 && f->t.seed == 1 && !f->t.nesterov && !f->t.data);
    assert_string_equal(f->t.note, "none");
    check_value(f, "lr", "0.1", "default");
    check_value(f, "attack.pgd-l2.n-steps", "50", "default");
    check_value(f, "data", "", "default");
    train t;
    lt_options_defaults(train_rows, &t);
    assert_true(t.lr == 0.1f && t.decay == 5e-4 && t.epochs == 30 && t.batch == 128 && t.seed == 1 && !t.nesterov);
}

static void flags(void **state)
{
    fixture *f = *state;
    const char *positional[16];
    int n;
    assert_ok(parse(f,
                    ARGS("first", "--lr", "0.25", "--epochs=7", "--nesterov", "--mode", "slow_er", "-",
                         "--data=", "--attack.pgd-l2.n_steps", "3", "--attack.pgd_l2.no-rand-start", "--seed",
                         "9223372036854775807", "--quiet", "--", "--lr"),
                    positional, &n));
    assert_int_equal(n, 3);
    assert_string_equal(positional[0], "first");
    assert_string_equal(positional[1], "-");
    assert_string_equal(positional[2], "--lr");
    assert_true(f->t.lr == 0.25f && f->t.epochs == 7 && f->t.nesterov && f->t.mode == MODE_SLOW && f->c.quiet);
    assert_true(f->t.seed == INT64_MAX && f->a.n_steps == 3 && !f->a.rand_start);
    assert_string_equal(f->t.data, "");
    check_value(f, "lr", "0.25", "flag");
    check_value(f, "mode", "slow-er", "flag");
    check_value(f, "seed", "9223372036854775807", "flag");
    assert_ok(parse_only(f, ARGS("--no-nesterov", "--lr", "1", "--lr", "-0")));
    assert_true(!f->t.nesterov && f->t.lr == 0);
    assert_ok(parse_only(f, ARGS("--nesterov=yes")));
    assert_true(f->t.nesterov);
}

typedef struct refusal {
    const char *arg[3];
    const char *message, *hint;
} refusal;

static void refusals(void **state)
{
    fixture *f = *state;
    static const refusal cases[] = {
        {{"--epoks", "3"}, "unknown option --epoks", "did you mean --epochs?"},
        {{"--qiet"}, "unknown option --qiet", "did you mean --quiet?"},
        {{"--n-steps", "3"}, "unknown option --n-steps", ""}, // only in a group without flags
        {{"--confg", "x"}, "unknown option --confg", "did you mean --config?"},
        {{"--lr", "11"}, "--lr: expected 0..10, found 11", ""},
        {{"--lr=-1"}, "--lr: expected 0..10, found -1", ""},
        {{"--lr", "0.1x"}, "--lr: expected a number, found '0.1x'", ""},
        {{"--lr", "nan"}, "--lr: expected a number, found 'nan'", ""},
        {{"--lr", "0,1"}, "--lr: expected a number, found '0,1'", ""},
        {{"--epochs", "1e3"}, "--epochs: expected a whole number, found '1e3'", ""},
        {{"--epochs", "0"}, "--epochs: expected 1..100000, found 0", ""},
        {{"--epochs", "99999999999999999999"}, "--epochs: expected 1..100000, found 9999", ""},
        {{"--seed", "-1"}, "--seed: expected 0..9223372036854775807, found -1", ""},
        {{"--seed", "9223372036854775808"}, "--seed: expected 0..9223372036854775807, found 9223372036854775808", ""},
        {{"--mode", "fsat"}, "--mode: expected one of fast, slow-er, found 'fsat'", "did you mean fast?"},
        {{"--nesterov=maybe"}, "--nesterov: expected true or false, found 'maybe'", ""},
        {{"--no-nesterov=1"}, "--no-nesterov: expected no value", ""},
        {{"--no-lr"}, "unknown option --no-lr", ""},
        {{"--lr"}, "--lr: expected a value, found nothing", ""},
        {{"--data", "--quiet"}, "--data: expected a value, found '--quiet'", "write --data=--quiet"},
        {{"-h"}, "unknown option -h", "options are long"},
        {{"--set", "lr"}, "--set: expected key=value, found 'lr'", ""},
        {{"--set", "=3"}, "--set: expected key=value, found '=3'", ""},
        {{"--set", "lr=11"}, "--set lr: expected 0..10, found 11", ""},
        {{"--set", "attack.pgd-l2.stpes=1"},
         "--set: unknown option attack.pgd-l2.stpes",
         "did you mean attack.pgd-l2.n-steps?"},
        {{"--attack.pgd-l2.n-steps", "0"}, "--attack.pgd-l2.n-steps: expected 1..1000, found 0", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        assert_fails(LT_E_USAGE, cases[i].message, parse_only(f, cases[i].arg));
        assert_contains(lt_error_get()->hint, cases[i].hint);
        if (!cases[i].hint[0])
            assert_string_equal(lt_error_get()->hint, "");
    }
    assert_true(f->t.lr == 0.1f && f->t.epochs == 30); // nothing was changed on the way
}

static void write_yaml(fixture *f, const char *text)
{
    assert_ok(lt_write_file_atomic(f->yaml, text, strlen(text)));
}

static void precedence(void **state)
{
    fixture *f = *state;
    write_yaml(f, "lr: 1\nepochs: 2\nbatch: 2\nnote: file\ndecay: 0.5\n");
    setenv("LETHE_EPOCHS", "3", 1);
    setenv("LETHE_BATCH", "3", 1);
    setenv("LETHE_NOTE", "env", 1);
    setenv("LETHE_ATTACK_PGD_L2_N_STEPS", "9", 1);
    setenv("LETHE_QUIET", "1", 1);
    setenv("LETHE_MODE", "", 1);
    setenv("LETHE_DATA", "/data", 1); // a directory, not the option
    assert_ok(lt_optset_set(f->set, "decay", "0.25", "demo"));
    assert_ok(lt_optset_set(f->set, "seed", "5", "demo"));
    const lt_status status = parse_only(
        f, ARGS("--note", "flag", "--set", "note=set", "--set", "batch=4", "--config", f->yaml, "--set", "n-steps=8"));
    static const char *const names[] = {"LETHE_EPOCHS", "LETHE_BATCH", "LETHE_NOTE", "LETHE_ATTACK_PGD_L2_N_STEPS",
                                        "LETHE_QUIET",  "LETHE_MODE",  "LETHE_DATA"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unsetenv(names[i]);
    assert_ok(status);
    char origin[80];
    snprintf(origin, sizeof origin, "config %s:1", f->yaml);
    check_value(f, "lr", "1", origin);
    check_value(f, "epochs", "3", "env LETHE_EPOCHS");
    check_value(f, "batch", "4", "--set");
    check_value(f, "note", "flag", "flag");
    check_value(f, "n-steps", "8", "--set");
    check_value(f, "seed", "5", "demo");
    check_value(f, "data", "", "default");
    check_value(f, "quiet", "true", "env LETHE_QUIET");
    assert_true(f->t.lr == 1 && f->t.epochs == 3 && f->t.batch == 4 && f->a.n_steps == 8 && f->t.decay == 0.5);
    // A weaker source that comes later is checked, then dropped.
    assert_ok(lt_optset_set(f->set, "note", "late", "config late.yaml"));
    assert_string_equal(f->t.note, "flag");
    assert_fails(LT_E_USAGE, "lr: expected 0..10, found 99", lt_optset_set(f->set, "lr", "99", "config late.yaml"));
}

static void environment_errors(void **state)
{
    fixture *f = *state;
    setenv("LETHE_LR", "11", 1);
    const lt_status status = parse_only(f, ARGS("--lr", "1"));
    unsetenv("LETHE_LR");
    assert_fails(LT_E_USAGE, "LETHE_LR: expected 0..10, found 11", status);
}

static void names(void **state)
{
    fixture *f = *state;
    assert_true(lt_optset_has(f->set, "attack.pgd-l2.lr"));
    assert_true(lt_optset_has(f->set, "attack.pgd_l2.n_steps"));
    assert_true(lt_optset_has(f->set, "n_steps"));
    assert_false(lt_optset_has(f->set, "steps"));
    assert_ok(lt_optset_set(f->set, "lr", "2", "--set")); // a full key wins over a tail
    assert_true(f->t.lr == 2 && f->a.lr == 0.5f);
    attack again;
    assert_ok(lt_optset_add(f->set, "other", attack_rows, &again, 0));
    assert_fails(LT_E_USAGE, "--set: n-steps: expected one option, found several",
                 lt_optset_set(f->set, "n-steps", "2", "--set"));
    assert_string_equal(lt_error_get()->hint, "write attack.pgd-l2.n-steps or other.n-steps");
    const char *value;
    assert_fails(LT_E_USAGE, "unknown option epohcs", lt_optset_get(f->set, "epohcs", &value, NULL));
    assert_string_equal(lt_error_get()->hint, "did you mean epochs?");
}

static void yaml_nested(void **state)
{
    fixture *f = *state;
    write_yaml(f, "# recipe\n"
                  "lr: 0.5   # comment\n"
                  "nesterov: yes\n"
                  "attack:\n"
                  "  pgd-l2: {n_steps: 4, rand-start: off}\n"
                  "note: [3, '7', \"x\"]\n"
                  "data: \"\"\n"
                  "run.quiet: true\n");
    assert_ok(lt_optset_load_yaml(f->set, f->yaml));
    assert_true(f->t.lr == 0.5f && f->t.nesterov && f->a.n_steps == 4 && !f->a.rand_start && f->c.quiet);
    assert_string_equal(f->t.note, "3,7,x");
    assert_string_equal(f->t.data, "");
    write_yaml(f, "");
    assert_ok(lt_optset_load_yaml(f->set, f->yaml));
    write_yaml(f, "# nothing\n---\n");
    assert_ok(lt_optset_load_yaml(f->set, f->yaml));
    write_yaml(f, "--- {}\n");
    assert_ok(lt_optset_load_yaml(f->set, f->yaml));
}

static lt_status load_text(fixture *f, const char *text)
{
    return lti_optset_load_yaml_text(f->set, text, strlen(text), "f.yaml");
}

static void yaml_refusals(void **state)
{
    fixture *f = *state;
    static const struct {
        const char *text;
        lt_status status;
        const char *message;
    } cases[] = {
        {"lr: 1\nepoks: 3\n", LT_E_USAGE, "f.yaml:2: unknown option epoks"},
        {"\nlr: 11\n", LT_E_USAGE, "f.yaml:2: lr: expected 0..10, found 11"},
        {"lr: 1\nlr: 1\n", LT_E_USAGE, "f.yaml:2: lr: expected each key once"},
        {"attack: {pgd-l2: {lr: 1}}\nattack.pgd_l2.lr: 1", LT_E_USAGE, "f.yaml:2: attack.pgd_l2.lr: expected each"},
        {"lr:\n", LT_E_USAGE, "f.yaml:1: lr: expected a value, found none"},
        {"lr: ~\n", LT_E_USAGE, "lr: expected a value, found none"},
        {"lr: [1, 2]\n", LT_E_USAGE, "f.yaml:1: lr: expected a number, found '1,2'"},
        {"lr: 1e\n", LT_E_USAGE, "expected a number, found '1e'"},
        {"note: [[1]]\n", LT_E_FORMAT, "f.yaml:1: note: expected a single value, found a list"},
        {"note: &a x\ndata: *a\n", LT_E_FORMAT, "f.yaml:2: expected a value, found an alias"},
        {"- lr\n", LT_E_FORMAT, "f.yaml:1: expected a map, found a list"},
        {"lr\n", LT_E_FORMAT, "f.yaml:1: expected a map, found a single value"},
        {"[a]: 1\n", LT_E_FORMAT, "f.yaml:1: expected a key, found a list"},
        {"lr: 1\n---\nlr: 2\n", LT_E_FORMAT, "expected one document, found a second"},
        {"lr: 'x\n", LT_E_FORMAT, "expected YAML, but"},
        {"\tlr: 1\n", LT_E_FORMAT, "f.yaml:1: expected YAML, but"},
        {"a: {b: {c: {d: {e: {f: {g: {h: {i: {j: 1}}}}}}}}}}", LT_E_FORMAT,
         "f.yaml:1: expected at most 8 levels, found more"},
        {"note: \"a\\0b\"\n", LT_E_FORMAT, "f.yaml:1: expected text, found a zero byte"},
        {"attack: {pgd-l2: {lr: }}\n", LT_E_USAGE, "f.yaml:1: lr: expected a value, found none"},
        {"data: [a,\n ~]\n", LT_E_USAGE, "f.yaml:2: data: expected a value, found none"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        assert_fails(cases[i].status, cases[i].message, load_text(f, cases[i].text));
    load_text(f, "epoks: 3\n");
    assert_string_equal(lt_error_get()->hint, "did you mean epochs?");
    assert_fails(LT_E_INPUT, "cannot read /none.yaml", parse_only(f, ARGS("--config", "/none.yaml")));
}

static void texts(void **state)
{
    fixture *f = *state;
    assert_ok(parse_only(f, ARGS("--lr", "0.3", "--note", "a\"b\xff")));
    char *text = lt_optset_help(f->set);
    assert_contains(text, "Options:\n  --lr X ");
    assert_contains(text, "learning rate (0..10; default 0.1)");
    assert_contains(text, "--[no-]nesterov ");
    assert_contains(text, "Options of attack.pgd-l2:\n  --attack.pgd-l2.n-steps N");
    assert_contains(text, "--attack.pgd-l2.[no-]rand-start");
    assert_contains(text, "  --[no-]quiet ");
    assert_contains(text, "passes over the data [epochs] (1..100000; default 30)");
    assert_contains(text, "fast: quick");
    assert_contains(text, "--config FILE");
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 100);
    free(text);
    text = lt_optset_markdown(f->set);
    assert_contains(text, "| `lr` | 0.1 | 0..10 | learning rate |\n");
    assert_contains(text, "| `data` |  |  | data set \\| KIND[:PATH] |\n");
    assert_contains(text, "| `epochs` | 30 | 1..100000 | passes over the data [epochs] |\n");
    free(text);
    text = lt_optset_show(f->set);
    assert_contains(text, "lr = 0.3 ");
    assert_contains(text, "   # flag\n");
    assert_contains(text, "   # default\n");
    free(text);
    text = lt_optset_json(f->set);
    json_t *json = json_loads(text, 0, NULL);
    assert_non_null(json);
    const json_t *lr = json_object_get(json, "lr");
    assert_true(json_real_value(json_object_get(lr, "value")) == 0.3);
    assert_string_equal(json_string_value(json_object_get(lr, "origin")), "flag");
    assert_true(json_is_null(json_object_get(json_object_get(json, "data"), "value")));
    assert_true(json_is_false(json_object_get(json_object_get(json, "nesterov"), "value")));
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "mode"), "value")), "fast");
    assert_string_equal(json_string_value(json_object_get(json_object_get(json, "note"), "value")), "a\"b\xef\xbf\xbd");
    const char *last = "", *key;
    json_t *value;
    json_object_foreach(json, key, value)
    {
        assert_true(strcmp(last, key) < 0); // sorted
        last = key;
    }
    json_decref(json);
    free(text);
}

static void digests(void **state)
{
    fixture *f = *state;
    char first[65], second[65];
    lt_optset_digest(f->set, first);
    assert_int_equal(strlen(first), 64);
    assert_ok(
        parse_only(f, ARGS("--lr", "0.10", "--quiet"))); // same value from another origin; a row that does not count
    lt_optset_digest(f->set, second);
    assert_string_equal(first, second);
    assert_ok(parse_only(f, ARGS("--data", "")));
    lt_optset_digest(f->set, second);
    assert_string_not_equal(first, second);
    // The order of the groups does not matter.
    lt_optset *other;
    train t;
    attack a;
    assert_ok(lt_optset_create(&other));
    assert_ok(lt_optset_add(other, "attack.pgd-l2", attack_rows, &a, LT_OPTGROUP_FLAGS));
    assert_ok(lt_optset_add(other, "", train_rows, &t, 0));
    lt_optset_digest(other, second);
    assert_string_equal(first, second);
    lt_optset_destroy(other);
}

// What was given, as YAML, gives the same configuration again.
static void yaml_round_trip(void **state)
{
    fixture *f = *state;
    char first[65], second[65];
    assert_ok(parse_only(f, ARGS("--lr", "0.1234567", "--decay", "1e-9", "--note", "a: \"b\" # \\ \t c\nd", "--quiet",
                                 "--attack.pgd-l2.lr", "3", "--nesterov")));
    lt_optset_digest(f->set, first);
    char *text = lti_optset_yaml(f->set);
    assert_non_null(text);
    assert_null(strstr(text, "quiet"));
    assert_null(strstr(text, "epochs"));
    lt_optset *other;
    train t;
    attack a;
    assert_ok(lt_optset_create(&other));
    assert_ok(lt_optset_add(other, "", train_rows, &t, 0));
    assert_ok(lt_optset_add(other, "attack.pgd-l2", attack_rows, &a, 0));
    assert_ok(lti_optset_load_yaml_text(other, text, strlen(text), "copy"));
    lt_optset_digest(other, second);
    assert_string_equal(first, second);
    assert_string_equal(t.note, f->t.note);
    lt_optset_destroy(other);
    free(text);
}

static void nearest(void **state)
{
    (void)state;
    static const char *const names[] = {"amun", "retrain", "ft", "rl", "batch-size", NULL};
    assert_string_equal(lt_nearest("amum", names), "amun");
    assert_string_equal(lt_nearest("maun", names), "amun"); // neighbours swapped
    assert_string_equal(lt_nearest("Retrian", names), "retrain");
    assert_string_equal(lt_nearest("batchsize", names), "batch-size");
    assert_string_equal(lt_nearest("batch_size", names), "batch-size");
    assert_null(lt_nearest("salun2x", names));
    assert_null(lt_nearest("zz", names));
    assert_null(lt_nearest("", names));
    char word[200];
    memset(word, 'a', sizeof word - 1);
    word[sizeof word - 1] = 0;
    assert_null(lt_nearest(word, names));
}

// Options that were renamed are found under their old names from every source, and say so once each.
typedef struct renamed {
    int32_t conv_algorithm;
    float divergence_factor, step_ratio;
    bool equal_weight_in_out;
} renamed;
static const lt_opt_value algorithms[] = {{"auto", 0, ""}, {"winograd", 1, ""}, {NULL, 0, NULL}};
static const lt_option renamed_rows[] = {
    LT_ENUM(renamed, conv_algorithm, 0, algorithms, "as of every run"),
    LT_F32(renamed, divergence_factor, 20, 0, 1e9, "", "as of training"),
    LT_F32(renamed, step_ratio, 0.1, 0, 10, "", "as of an attack"),
    LT_BOOL(renamed, equal_weight_in_out, true, "as of an audit"),
    LT_OPT_END,
};

static void check_renamed(fixture *f, const char *const *args, const char *key, const char *value, const char *origin,
                          const char *notice)
{
    renamed r;
    lt_optset *first = f->set;
    assert_ok(lt_optset_create(&f->set));
    assert_ok(lt_optset_add(f->set, "train", renamed_rows, &r, LT_OPTGROUP_FLAGS));
    assert_int_equal(lt_optset_n_notices(f->set), 0);
    assert_ok(parse_only(f, args));
    check_value(f, key, value, origin);
    assert_int_equal(lt_optset_n_notices(f->set), notice != NULL);
    if (notice)
        assert_string_equal(lt_optset_notice(f->set, 0), notice);
    assert_null(lt_optset_notice(f->set, 1));
    lt_optset_destroy(f->set);
    f->set = first;
}

static void old_names(void **state)
{
    fixture *f = *state;
    const char *const bare = "option spike-factor is now called divergence-factor";
    const char *const full = "option train.spike-factor is now called train.divergence-factor";
    const char *const key = "train.divergence-factor";
    char config[64], origin[64];
    check_renamed(f, ARGS("--divergence-factor", "3"), key, "3", "flag", NULL);
    check_renamed(f, ARGS("--spike-factor", "3"), key, "3", "flag", bare);
    check_renamed(f, ARGS("--train.spike_factor=3"), key, "3", "flag",
                  "option train.spike_factor is now called train.divergence-factor");
    check_renamed(f, ARGS("--no-balanced"), "train.equal-weight-in-out", "false", "flag",
                  "option balanced is now called equal-weight-in-out");
    check_renamed(f, ARGS("--conv-algorithm", "winograd"), "train.conv-algorithm", "winograd", "flag", NULL);
    check_renamed(f, ARGS("--conv-algorithm=own_winograd"), "train.conv-algorithm", "winograd", "flag",
                  "option conv-algorithm: own-winograd is now called winograd");
    check_renamed(f, ARGS("--set", "train.spike-factor=4"), key, "4", "--set", full);
    check_renamed(f, ARGS("--set", "rho=0.5"), "train.step-ratio", "0.5", "--set",
                  "option rho is now called step-ratio");
    write_yaml(f, "train: {spike-factor: 5}\n");
    snprintf(config, sizeof config, "--config=%s", f->yaml);
    snprintf(origin, sizeof origin, "config %s:1", f->yaml);
    check_renamed(f, ARGS(config), key, "5", origin, full);
    setenv("LETHE_TRAIN_SPIKE_FACTOR", "6", 1);
    check_renamed(f, ARGS("--step-ratio", "1"), key, "6", "env LETHE_TRAIN_SPIKE_FACTOR", full);
    setenv("LETHE_TRAIN_DIVERGENCE_FACTOR", "7", 1); // a current name over an old one
    check_renamed(f, ARGS("--step-ratio", "1"), key, "7", "env LETHE_TRAIN_DIVERGENCE_FACTOR", full);
    unsetenv("LETHE_TRAIN_SPIKE_FACTOR");
    unsetenv("LETHE_TRAIN_DIVERGENCE_FACTOR");
    assert_fails(LT_E_USAGE, "unknown option --spike-factor", parse_only(f, ARGS("--spike-factor", "3")));
    assert_false(lt_optset_has(f->set, "spike-factor"));
    assert_true(lt_option_is_old_name("train_spike_factor"));
    assert_false(lt_option_is_old_name("unspike-factor"));
}

// Everything an option set does, with the n-th allocation failing, for every n.
static lt_status whole_life(const char *yaml)
{
    lt_optset *set;
    train t;
    attack a;
    const char *positional[8];
    int n;
    lt_status status;
    LT_TRY(lt_optset_create(&set));
    const char *const args[] = {"--lr", "0.5", "--set", "note=x", "--config", yaml, "--no-nesterov"};
    LT_TRY_GOTO(lt_optset_add(set, "", train_rows, &t, 0), done);
    LT_TRY_GOTO(lt_optset_add(set, "attack", attack_rows, &a, 0), done);
    LT_TRY_GOTO(lt_optset_parse(set, 7, (char *const *)(uintptr_t)args, positional, &n), done);
    char *text[] = {lt_optset_help(set), lt_optset_markdown(set), lt_optset_json(set), lt_optset_show(set),
                    lti_optset_yaml(set)};
    for (size_t i = 0; i < sizeof text / sizeof *text; i++) {
        if (!text[i])
            status = LTI_NOMEM("text");
        free(text[i]);
    }
done:
    lt_optset_destroy(set);
    return status;
}

static void failing_allocations(void **state)
{
    fixture *f = *state;
    write_yaml(f, "epochs: 3\nattack: {n-steps: 7}\ndata: [a, b]\n");
    int n = 1;
    for (lt_status status = LT_E_NOMEM; status != LT_OK; n++) {
        assert_true(n < 2000);
        lti_alloc_fail_at(n);
        status = whole_life(f->yaml);
        lti_alloc_fail_at(0);
        if (status != LT_OK)
            assert_int_equal(status, LT_E_NOMEM);
    }
    assert_true(n > 50);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, make, clean)
int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(defaults),
        TEST(flags),
        TEST(refusals),
        TEST(precedence),
        TEST(environment_errors),
        TEST(names),
        TEST(yaml_nested),
        TEST(yaml_refusals),
        TEST(texts),
        TEST(digests),
        TEST(yaml_round_trip),
        TEST(nearest),
        TEST(old_names),
        TEST(failing_allocations),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
