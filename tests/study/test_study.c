// test_study.c - study files: what is read, how searches are laid out, and that every mistake is named with its line.
#include "lt_test.h"
#include <math.h>
#include <stdlib.h>
#include "base/base.h"
#include "lethe/study.h"

#define HEAD                                                                                                           \
    "data: synthetic\nmodel: simple-conv\nbases: [1, 2]\nforget: [{spec: 'random:10%', seed: 1}]\noracles: [1, 2]\n"
#define METHODS "methods: [{method: ft}]\n"
#define TUNING "tuning: {base: 1, forget: {spec: 'random:10%', seed: 9}, oracles: [1]}\n"

static lt_study *parse(const char *text)
{
    lt_study *s;
    assert_ok(lt_study_parse(text, strlen(text), "s.yaml", &s));
    return s;
}

static char *example(void) // of the documentation
{
    char *text;
    size_t n;
    assert_ok(lt_read_file(LT_TEST_SOURCE_DIR "/docs/sweeps.md", 1 << 20, &text, &n));
    char *from = strstr(text, "```yaml\n") + 8, *to = strstr(from, "```");
    char *yaml = strndup(from, (size_t)(to - from));
    free(text);
    return yaml;
}

static const char *value_of(const lt_study_options *o, const char *key)
{
    for (int i = 0; i < o->n; i++)
        if (!strcmp(o->option[i].key, key))
            return o->option[i].value;
    return "";
}

static void the_documented_example_is_read(void **state)
{
    (void)state;
    char *text = example();
    lt_study *s = parse(text);
    assert_string_equal(s->name, "small");
    assert_string_equal(s->data, "synthetic,train-limit=2000");
    assert_int_equal(s->data_line, 2);
    assert_int_equal(s->bases.n, 3);
    assert_int_equal(s->n_forget, 2);
    assert_string_equal(s->forget[1].name, "random-10pct-s2");
    assert_int_equal(s->repetitions.n, 2);
    assert_int_equal(s->oracles.seeds.n, 2);
    assert_false(s->oracles.shared);
    assert_int_equal(s->references.count, 16);
    assert_int_equal(s->references.seed, 10000);
    assert_string_equal(value_of(&s->references.train, "lr"), "0.05");
    assert_string_equal(value_of(&s->references.train, "epochs"), "12");
    assert_int_equal(s->references.train.n, 2);
    assert_string_equal(s->attacks, "rmia,rmia_offline,lira,loss");
    assert_string_equal(value_of(&s->audit, "shadow-cap"), "1000");
    assert_string_equal(value_of(&s->audit, "rmia-offline.tune-a"), "true");
    assert_string_equal(s->tuning.objective, "gap-auc");
    assert_true(s->tuning.uses_oracle);
    assert_int_equal(s->n_methods, 3);
    assert_int_equal(s->method[0].n_points, 4);
    assert_string_equal(value_of(&s->method[0].point[1], "lr"), "0.01"); // the last option runs fastest
    assert_string_equal(value_of(&s->method[0].point[1], "lr-step-every"), "5");
    assert_int_equal(s->method[1].n_points, 8);
    assert_int_equal(s->method[1].n_grid, 0);
    assert_true(s->method[0].access[LT_ACCESS_RETAIN] && s->method[0].access[LT_ACCESS_FORGET_ONLY]);
    assert_true(s->method[1].access[LT_ACCESS_RETAIN] && !s->method[1].access[LT_ACCESS_FORGET_ONLY]);
    assert_true(!s->method[2].access[LT_ACCESS_RETAIN] && s->method[2].access[LT_ACCESS_FORGET_ONLY]); // ga
    assert_int_equal(s->method[2].n_points, 0);
    lt_study_close(s);
    free(text);
}

static void training_takes_the_options_of_clipping(void **state)
{
    (void)state;
    lt_study *s = parse(HEAD "train: {epochs: 3, clip-norm: 0.5, clip_rule: rescale}\n"
                             "references: {count: 2, train: {clip-norm: 0.7, clip-every: 20}}\n" METHODS);
    assert_int_equal(s->train.n, 3);
    assert_string_equal(value_of(&s->train, "clip-norm"), "0.5");
    assert_string_equal(value_of(&s->train, "clip-rule"), "rescale");
    assert_int_equal(s->references.train.n, 4);
    assert_string_equal(value_of(&s->references.train, "clip-norm"), "0.7");
    assert_string_equal(value_of(&s->references.train, "clip-every"), "20");
    lt_study_close(s);
}

static void random_points_depend_on_names_and_seed(void **state)
{
    (void)state;
    static const char *const order[2] = {
        "methods:\n- {method: ft, random: {n: 20, lr: {log-uniform: [0.001, 0.1]}, epochs: {uniform: [1, 4]}}}\n",
        "methods:\n- {method: rl, random: {n: 5, lr: {uniform: [0.1, 1]}}}\n"
        "- {method: ft, random: {n: 20, epochs: {uniform: [1, 4]}, lr: {log-uniform: [0.001, 0.1]}}}\n"};
    char *text[2];
    lt_study *s[2];
    double product = 0;
    bool seen[5] = {false};
    for (int k = 0; k < 2; k++) {
        text[k] = lti_asprintf("%s%s%s", HEAD, TUNING, order[k]);
        s[k] = parse(text[k]);
    }
    const lt_study_method *a = &s[0]->method[0], *b = &s[1]->method[1];
    assert_int_equal(a->n_points, b->n_points);
    assert_true(a->n_points > 15);
    for (int i = 0; i < a->n_points; i++) {
        const double lr = strtod(value_of(&a->point[i], "lr"), NULL);
        const int epochs = atoi(value_of(&a->point[i], "epochs"));
        assert_string_equal(value_of(&a->point[i], "lr"), value_of(&b->point[i], "lr"));
        assert_string_equal(value_of(&a->point[i], "epochs"), value_of(&b->point[i], "epochs"));
        assert_true(strlen(value_of(&a->point[i], "lr")) <= 8); // four digits
        assert_true(lr >= 0.001 && lr <= 0.1 && epochs >= 1 && epochs <= 4);
        product += log10(lr);
        seen[epochs] = true;
    }
    const lt_study_options *other =
        &s[1]->method[0].point[0]; // uniform in [0.1, 1]; the same draw would be low + u (high - low)
    const double u = log(strtod(value_of(&a->point[0], "lr"), NULL) / 0.001) / log(100);
    assert_true(fabs(strtod(value_of(other, "lr"), NULL) - (0.1 + 0.9 * u)) > 1e-3); // another method draws its own
    assert_true(fabs(product / a->n_points + 2) < 0.5);                              // the middle of the exponents
    assert_true(seen[1] && seen[2] && seen[3] && seen[4]);
    lt_study_close(s[0]);
    lti_free(text[0]);
    text[0] = lti_asprintf("%stuning: {base: 1, forget: {spec: 'random:10%%', seed: 9}, oracles: [1], seed: 2}\n%s",
                           HEAD, order[0]);
    s[0] = parse(text[0]);
    assert_string_not_equal(value_of(&s[0]->method[0].point[0], "lr"), value_of(&b->point[0], "lr"));
    for (int k = 0; k < 2; k++) {
        lt_study_close(s[k]);
        lti_free(text[k]);
    }
}

static void equal_points_are_tried_once(void **state)
{
    (void)state;
    lt_study *s = parse(HEAD TUNING "methods: [{method: ft, grid: {lr: [0.01, 1e-1]}, "
                                    "random: {n: 12, lr: {choice: [0.1, 1.0e-2]}}}]\n");
    assert_int_equal(s->method[0].n_points, 2);
    assert_int_equal(s->method[0].n_grid, 2);
    lt_study_close(s);
}

static void a_study_may_be_small(void **state)
{
    (void)state;
    lt_study *s = parse("data: synthetic\nmodel: simple-conv\nbases: 7\nforget: [class:3]\n"
                        "oracles: {seeds: 5000, shared: yes}\n"
                        "tuning: {base: 1, forget: class:4, objective: no-oracle}\n" METHODS);
    assert_true(s->bases.n == 1 && s->bases.seed[0] == 7);
    assert_true(s->oracles.shared && s->oracles.seeds.seed[0] == 5000);
    assert_string_equal(s->forget[0].name, "class-3");
    assert_false(s->tuning.uses_oracle);
    assert_true(s->repetitions.n == 1 && s->repetitions.seed[0] == 1);
    assert_null(s->name);
    assert_null(s->attacks);
    lt_study_close(s);
    assert_true(lt_study_oracle_seed(3, 4) == 3004);
}

// Line and text of the message, and the status.
static const struct mistake {
    lt_status status;
    const char *part, *text;
} mistakes[] = {
    {LT_E_USAGE, "s.yaml:1: expected a key 'data', found none", "model: x\n"},
    {LT_E_FORMAT, "s.yaml:1: expected a map, found a list", "- 1\n"},
    {LT_E_FORMAT, "s.yaml:2: expected YAML, but", "data: synthetic\n\tmodel: x\n"},
    {LT_E_FORMAT, "s.yaml:2: expected one document, found a second", "a: 1\n--- \nb: 2\n"},
    {LT_E_FORMAT, "s.yaml:1: expected a value, found an alias", "data: *x\n"},
    {LT_E_FORMAT, "s.yaml:1: expected at most 8 levels", "data: [[[[[[[[[[1]]]]]]]]]]\n"},
    {LT_E_FORMAT, "s.yaml:1: expected a key", "[1, 2]: 3\n"},
    {LT_E_USAGE, "s.yaml:2: expected a key 'data', found none", "---\n"},
    {LT_E_USAGE, "s.yaml:2: data: expected each key once", "data: a\ndata: b\n"},
    {LT_E_USAGE, "s.yaml:6: unknown key 'methodes'", HEAD "methodes: []\n"},
    {LT_E_USAGE, "s.yaml:1: data: expected a value, found none", "data:\nmodel: x\n" METHODS},
    {LT_E_USAGE, "expected a key 'methods', found none", HEAD},
    {LT_E_FORMAT, "s.yaml:6: methods: expected a list, found a map", HEAD "methods: {method: ft}\n"},
    {LT_E_USAGE, "s.yaml:6: methods: expected at least one method", HEAD "methods: []\n"},
    {LT_E_FORMAT, "s.yaml:6: methods: expected a map, found a single value", HEAD "methods: [ft]\n"},
    {LT_E_USAGE, "s.yaml:6: methods: expected a key 'method', found none", HEAD "methods: [{name: a}]\n"},
    {LT_E_USAGE, "s.yaml:7: unknown unlearning method 'fft'", HEAD "methods:\n- method: fft\n"},
    {LT_E_USAGE, "s.yaml:7: retrain makes the oracles", HEAD "methods:\n- method: retrain\n"},
    {LT_E_USAGE, "s.yaml:8: expected different names of methods, found 'ft' twice",
     HEAD "methods:\n- method: ft\n- method: ft\n"},
    {LT_E_USAGE, "s.yaml:6: name: expected at most 60 letters", HEAD "methods: [{method: ft, name: a/b}]\n"},
    {LT_E_USAGE, "s.yaml:8: unknown key 'opts' in methods", HEAD "methods:\n- method: ft\n  opts: {}\n"},
    {LT_E_USAGE, "s.yaml:8: unknown option lrr", HEAD "methods:\n- method: ft\n  options: {lrr: 1}\n"},
    {LT_E_USAGE, "s.yaml:8: lr: expected", HEAD "methods:\n- method: ft\n  options: {lr: fast}\n"},
    {LT_E_USAGE, "s.yaml:8: lr: expected", HEAD "methods:\n- method: ft\n  options: {lr: -3}\n"},
    {LT_E_USAGE, "s.yaml:8: lr_step_every: expected each key once",
     HEAD "methods:\n- method: amun\n  options: {lr-step-every: 1, lr_step_every: 2}\n"},
    {LT_E_USAGE, "s.yaml:6: rmia.gamma: expected each option once",
     HEAD "audit: {rmia: {gamma: 1}, rmia.gamma: 2}\n" METHODS},
    {LT_E_USAGE, "s.yaml:8: access: ft needs retained data", HEAD "methods:\n- method: ft\n  access: [forget-only]\n"},
    {LT_E_USAGE, "s.yaml:8: access: ga never reads retained data", HEAD "methods:\n- method: ga\n  access: retain\n"},
    {LT_E_USAGE, "s.yaml:8: access: expected retain or forget-only, found 'all'",
     HEAD "methods:\n- method: ft\n  access: all\n"},
    {LT_E_USAGE, "s.yaml:7: ft: expected the access setting retain, the only one that ft supports",
     HEAD "access: [forget-only]\nmethods: [{method: ft}]\n"},
    {LT_E_USAGE, "s.yaml:6: ft: expected a section 'tuning'", HEAD "methods: [{method: ft, grid: {lr: [1]}}]\n"},
    {LT_E_USAGE, "s.yaml:7: grid: expected 1 to 8 options, found 0", HEAD TUNING "methods: [{method: ft, grid: {}}]\n"},
    {LT_E_FORMAT, "s.yaml:7: lr: expected a list", HEAD TUNING "methods: [{method: ft, grid: {lr: 1}}]\n"},
    {LT_E_USAGE, "s.yaml:7: lr: expected at least one value", HEAD TUNING "methods: [{method: ft, grid: {lr: []}}]\n"},
    {LT_E_USAGE, "s.yaml:7: lr: expected different values, found 0.1 twice",
     HEAD TUNING "methods: [{method: ft, grid: {lr: [0.1, 1e-1]}}]\n"},
    {LT_E_USAGE, "s.yaml:7: lr: expected an option that 'options' does not fix",
     HEAD TUNING "methods: [{method: ft, options: {lr: 1}, grid: {lr: [0.1]}}]\n"},
    {LT_E_USAGE, "s.yaml:7: random: expected n", HEAD TUNING "methods: [{method: ft, random: {lr: [1]}}]\n"},
    {LT_E_USAGE, "s.yaml:7: random: expected 1 to 8 options", HEAD TUNING "methods: [{method: ft, random: {n: 1}}]\n"},
    {LT_E_USAGE, "s.yaml:7: unknown option lrr", HEAD TUNING "methods: [{method: ft, random: {n: 1, lrr: [1]}}]\n"},
    {LT_E_USAGE, "s.yaml:7: unknown key 'normal' in lr",
     HEAD TUNING "methods: [{method: ft, random: {n: 1, lr: {normal: [0.1, 1]}}}]\n"},
    {LT_E_USAGE, "s.yaml:7: log-uniform: expected 0 < low < high",
     HEAD TUNING "methods: [{method: ft, random: {n: 1, lr: {log-uniform: [1, 0.1]}}}]\n"},
    {LT_E_USAGE, "s.yaml:7: uniform: expected low < high",
     HEAD TUNING "methods: [{method: ft, random: {n: 1, lr: {uniform: [1, 1]}}}]\n"},
    {LT_E_USAGE, "s.yaml:7: uniform: expected [low, high], found 3",
     HEAD TUNING "methods: [{method: ft, random: {n: 1, lr: {uniform: [1, 2, 3]}}}]\n"},
    {LT_E_USAGE, "s.yaml:7: optimizer: expected an option that is a number",
     HEAD TUNING "methods: [{method: ft, random: {n: 1, optimizer: {uniform: [0, 1]}}}]\n"},
    {LT_E_USAGE, "s.yaml:7: grid: expected at most 2 points (tuning.budget), found 3",
     HEAD "tuning: {base: 1, forget: {spec: 'random:10%', seed: 9}, oracles: [1], budget: 2}\n"
          "methods: [{method: ft, grid: {lr: [1, 2, 3]}}]\n"},
    {LT_E_USAGE, "s.yaml:7: ft: expected at most 2 points (tuning.budget), found 3",
     HEAD "tuning: {base: 1, forget: {spec: 'random:10%', seed: 9}, oracles: [1], budget: 2}\n"
          "methods: [{method: ft, grid: {lr: [1, 2]}, random: {n: 1, lr: {uniform: [1, 2]}}}]\n"},
    {LT_E_USAGE, "s.yaml:4: bases: expected seeds of `bases` of the study, found 7",
     "data: synthetic\nmodel: simple-conv\nbases: [1, 2]\nforget: [{spec: 'random:10%', bases: [1, 7]}]\n"
     "oracles: [1]\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: bases: the original model of the tuning is `base`",
     HEAD "tuning: {base: 1, forget: {spec: 'random:10%', seed: 9, bases: [1]}, oracles: [1]}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: forget: the tuning forget set random-20pct-s1 overlaps random-10pct-s1 of line 4",
     HEAD "tuning: {base: 1, forget: {spec: 'random:20%', seed: 1}, oracles: [1]}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: tuning: expected a key 'oracles'", HEAD "tuning: {base: 1, forget: class:1}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: tuning: expected a key 'forget'", HEAD "tuning: {base: 1}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: tuning: expected a key 'base'", HEAD "tuning: {forget: class:1}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: objective: expected gap-auc",
     HEAD "tuning: {base: 1, forget: class:1, objective: best}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: attack rmia needs reference models",
     HEAD "tuning: {base: 1, forget: class:1, objective: gap-rmia}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: oracles: the objective no-oracle uses none",
     HEAD "tuning: {base: 1, forget: class:1, objective: no-oracle, oracles: [1]}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: budget: expected", HEAD "tuning: {base: 1, forget: class:1, budget: 0}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: unknown option epoch", HEAD "train: {epoch: 3}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: unknown option clip_norms", HEAD "train: {clip_norms: 1}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: clip-rule: expected one of line-search", HEAD "train: {clip-rule: best}\n" METHODS},
    {LT_E_FORMAT, "s.yaml:6: train: expected a map", HEAD "train: fast\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: references: expected a key 'count'", HEAD "references: {seed: 1}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: count: expected an even number", HEAD "references: {count: 3}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: unknown membership attack 'lirra'", HEAD "audit: {attacks: [lirra]}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: attack lira needs reference models", HEAD "audit: {attacks: lira}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: attacks: expected at least one attack", HEAD "audit: {attacks: []}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: attacks: expected different attacks, found loss twice",
     HEAD "audit: {attacks: [loss, class_threshold, loss]}\n" METHODS},
    {LT_E_FORMAT, "s.yaml:6: attacks: expected a list, found a map", HEAD "audit: {attacks: {loss: 1}}\n" METHODS},
    {LT_E_USAGE, "s.yaml:7: attack ulira needs models that have unlearned",
     HEAD "references: {count: 4}\naudit: {attacks: [ulira]}\n" METHODS},
    {LT_E_USAGE, "s.yaml:6: unknown option shadow", HEAD "audit: {shadow: 3}\n" METHODS},
    {LT_E_USAGE, "rmia.gamma: expected", HEAD "audit: {rmia: {gamma: 0}}\n" METHODS},
    {LT_E_USAGE, "s.yaml:1: bases: expected different seeds, found 3 twice",
     "bases: [3, 3]\ndata: x\nmodel: y\nforget: [class:1]\noracles: 1\n" METHODS},
    {LT_E_USAGE, "s.yaml:1: bases: expected at least one seed",
     "bases: []\ndata: x\nmodel: y\nforget: [class:1]\noracles: 1\n" METHODS},
    {LT_E_USAGE, "s.yaml:1: bases: expected 0..",
     "bases: [-1]\ndata: x\nmodel: y\nforget: [class:1]\noracles: 1\n" METHODS},
    {LT_E_USAGE, "s.yaml:1: oracles: expected seeds below 1000",
     "oracles: [1000]\ndata: x\nmodel: y\nforget: [class:1]\nbases: 1\n" METHODS},
    {LT_E_USAGE, "s.yaml:1: shared: expected true or false, found 'maybe'",
     "oracles: {seeds: 1, shared: maybe}\ndata: x\nmodel: y\nforget: [class:1]\nbases: 1\n" METHODS},
    {LT_E_USAGE, "s.yaml:1: expected random:10%", "forget: [ten]\ndata: x\nmodel: y\nbases: 1\noracles: 1\n" METHODS},
    {LT_E_USAGE, "s.yaml:1: forget: expected at least one forget set",
     "forget: []\ndata: x\nmodel: y\nbases: 1\noracles: 1\n" METHODS},
    {LT_E_FORMAT, "s.yaml:1: forget: expected a list",
     "forget: class:1\ndata: x\nmodel: y\nbases: 1\noracles: 1\n" METHODS},
    {LT_E_USAGE, "s.yaml:1: forget: expected different sets",
     "forget: [class:1, {spec: class:1, seed: 2}]\ndata: x\nmodel: y\nbases: 1\noracles: 1\n" METHODS},
};

static void mistakes_are_named_with_their_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof mistakes / sizeof *mistakes; i++) {
        const struct mistake *m = &mistakes[i];
        lt_study *s;
        assert_fails(m->status, m->part, lt_study_parse(m->text, strlen(m->text), "s.yaml", &s));
        assert_null(s);
    }
    lt_study *s;
    assert_fails(LT_E_INPUT, "nowhere.yaml", lt_study_open("nowhere.yaml", &s));
    assert_fails(LT_E_FORMAT, "zero byte", lt_study_parse("data: \"a\\0b\"\n", 13, "s.yaml", &s));
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char *text = example();
    lt_study *s;
    int64_t before = lti_alloc_count();
    lt_study_close(parse(text));
    const int64_t n = lti_alloc_count() - before;
    for (int64_t i = 1; i <= n; i += i < 50 ? 1 : 7) {
        lti_alloc_fail_at(i);
        lt_status status = lt_study_parse(text, strlen(text), "s.yaml", &s);
        lti_alloc_fail_at(0);
        assert_int_equal(status, LT_E_NOMEM);
        assert_null(s);
    }
    free(text);
}

static void areas_may_be_multiples_of_the_default(void **state)
{
    (void)state;
    lt_study *s = parse(HEAD TUNING "methods: [{method: ft, grid: {lr-area: default, batch: [16, 32]}}]\n");
    assert_int_equal(s->method[0].n_points, 6);
    assert_string_equal(value_of(&s->method[0].point[0], "lr-area"), "x1/3");
    assert_string_equal(value_of(&s->method[0].point[2], "lr-area"), "x1");
    assert_string_equal(value_of(&s->method[0].point[5], "lr-area"), "x3");
    lt_study_close(s);
    s = parse(HEAD TUNING "methods: [{method: ft, grid: {lr-area: [x0.5, 12]}}]\n");
    assert_string_equal(value_of(&s->method[0].point[0], "lr-area"), "x0.5");
    assert_string_equal(value_of(&s->method[0].point[1], "lr-area"), "12");
    lt_study_close(s);
    static const char *const bad[] = {"[x0]", "[x]", "[x1/]", "[x3y]", "[x-1]", "[x1/0]", "standard", "[xinf]"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        char text[512];
        snprintf(text, sizeof text, "%smethods: [{method: ft, grid: {lr-area: %s}}]\n", HEAD TUNING, bad[i]);
        assert_fails(LT_E_USAGE, "s.yaml:7: lr-area: expected", lt_study_parse(text, strlen(text), "s.yaml", &s));
    }
    const char fisher[] = HEAD TUNING "methods: [{method: fisher, grid: {lr-area: default}}]\n";
    assert_fails(LT_E_USAGE, "unknown option", lt_study_parse(fisher, strlen(fisher), "s.yaml", &s));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_documented_example_is_read),
        cmocka_unit_test(training_takes_the_options_of_clipping),
        cmocka_unit_test(random_points_depend_on_names_and_seed),
        cmocka_unit_test(equal_points_are_tried_once),
        cmocka_unit_test(a_study_may_be_small),
        cmocka_unit_test(mistakes_are_named_with_their_line),
        cmocka_unit_test(every_allocation_may_fail),
        cmocka_unit_test(areas_may_be_multiples_of_the_default),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
