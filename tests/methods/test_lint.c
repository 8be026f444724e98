// test_lint.c - a clean audit has nothing to say; every check finds what it is for, with its severity.
#include "lt_test.h"
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include "lethe/lint.h"

enum { N_GROUP = 120, N = 3 * N_GROUP, K = 3, M = 16 };

typedef struct fixture {
    float logits[3][N * K]; // audited model, two retrained ones
    int64_t label[N], id[N];
    int8_t group[N];
    lt_signals signals[3];
    lt_audit audit;
    lt_lint_model retrained[2];
    float ref_logits[M * N * K];
    uint8_t member[M * N];
    lt_references refs;
    lt_lint_attack attack;
    lt_duplicates duplicates;
    lt_lint_effect effect;
    lt_lint_in in;
} fixture;

static lt_model_identity identity(const char *digest, const char *method)
{
    lt_model_identity m = {.known = true, .spec = "net", .parent_digest = "parent", .data_digest = "data"};
    snprintf(m.digest, sizeof m.digest, "%s", digest);
    snprintf(m.method, sizeof m.method, "%s", method);
    snprintf(m.forget_digest, sizeof m.forget_digest, "forget");
    m.retrained = !strcmp(method, "retrain");
    return m;
}

static void fill(fixture *f)
{
    *f = (fixture){0};
    for (int i = 0; i < N; i++) {
        f->label[i] = i % K;
        f->id[i] = i;
        f->group[i] = (int8_t)(i / N_GROUP);
        for (int m = 0; m < 3; m++)
            for (int k = 0; k < K; k++)
                f->logits[m][i * K + k] = (float)(k == i % K) + 0.001f * (float)(i + 7 * m + k);
    }
    for (int m = 0; m < 3; m++)
        f->signals[m] =
            (lt_signals){.n = N, .k = K, .logits = f->logits[m], .label = f->label, .id = f->id, .group = f->group};
    for (int i = 0; i < M * N * K; i++)
        f->ref_logits[i] = (float)i;
    f->refs = (lt_references){.m = M, .n = N, .k = K, .logits = f->ref_logits, .member = f->member};
    f->audit = (lt_audit){.ua = 0.9, .ra = 0.9, .ta = 0.8, .n = {N_GROUP, N_GROUP, N_GROUP}};
    f->attack = (lt_lint_attack){"loss", 0.5, {0.45, 0.55}};
    for (int i = 0; i < 2; i++)
        f->retrained[i] = (lt_lint_model){i ? "r1" : "r0", identity(i ? "d1" : "d0", "retrain"), &f->signals[1 + i]};
    f->effect = (lt_lint_effect){1, 1, 1, 5, 5, 1, 1, 0};
    f->in = (lt_lint_in){.role = LT_LINT_OF_UNLEARNED,
                         .effect = &f->effect,
                         .model = {"u", identity("du", "amun"), &f->signals[0]},
                         .audit = &f->audit,
                         .retrained = f->retrained,
                         .n_retrained = 2,
                         .expects_retrained = true,
                         .forget_digest = "forget",
                         .refs = &f->refs,
                         .attacks = &f->attack,
                         .n_attacks = 1,
                         .last_train_acc = 0.9,
                         .duplicates = &f->duplicates};
    f->in.model.identity.has_batch_norm = true;
}

static void copy_outputs(fixture *f, int from, int to)
{
    memcpy(&f->logits[0][to * K], &f->logits[0][from * K], K * sizeof(float));
}

// The first so many samples of a group are misread.
static void misread(fixture *f, int model, int group, int n)
{
    for (int i = group * N_GROUP; i < group * N_GROUP + n; i++)
        f->logits[model][i * K + i % K] -= 2;
}
static void inert(fixture *f)
{
    misread(f, 1, LT_GROUP_FORGET, N_GROUP / 4); // retraining reads a fourth less, the run nothing less
    misread(f, 2, LT_GROUP_FORGET, N_GROUP / 4);
}
static void overdone(fixture *f)
{
    f->in.n_retrained = 0;
    for (int i = N_GROUP; i < N; i++)
        f->logits[0][i * K + i % K] -= i < 2 * N_GROUP ? 0.5f : 0.1f;
}
static void broken(fixture *f)
{
    misread(f, 0, LT_GROUP_TEST, N_GROUP / 5);
}
static void costly(fixture *f)
{
    misread(f, 0, LT_GROUP_RETAIN, N_GROUP / 15);
}
static void memorised_pairs(fixture *f)
{
    f->effect.pair_acc = 1;
}
static void tuned_on_oracle(fixture *f)
{
    f->in.area_chosen_by = "gap";
}
static void far_area(fixture *f)
{
    f->effect.lr_area = 0.4;
}

static void id_in_two_groups(fixture *f)
{
    f->id[N_GROUP] = f->id[0];
}
static void id_twice(fixture *f)
{
    f->id[1] = f->id[0];
}
static void output_in_test(fixture *f)
{
    copy_outputs(f, 2 * N_GROUP, N_GROUP);
}
static void output_in_retain(fixture *f)
{
    copy_outputs(f, 0, N_GROUP);
}
static void collapse(fixture *f)
{
    for (int i = 0; i < N; i++)
        f->logits[0][i * K + 1] += 10;
}
static void forget_class(fixture *f)
{
    for (int i = 0; i < N_GROUP; i++)
        f->label[i] = i % 2; // class 2 is in the forget set alone
}
static void target_among_references(fixture *f)
{
    memcpy(f->ref_logits, f->logits[0], sizeof f->logits[0]);
}
static void reference_twice(fixture *f)
{
    memcpy(f->ref_logits + N * K, f->ref_logits, N * K * sizeof(float));
}
static void few_references(fixture *f)
{
    f->refs.m = 8;
}
static void unlabelled_references(fixture *f)
{
    f->refs.unlabelled = true;
}
static void oracle_is_target(fixture *f)
{
    strcpy(f->retrained[1].identity.digest, "du");
}
static void trained_on_all(fixture *f)
{
    f->retrained[0].identity.forget_digest[0] = '\0';
}
static void other_forget_set(fixture *f)
{
    strcpy(f->retrained[0].identity.forget_digest, "other");
}
static void retrained_too_briefly(fixture *f)
{
    misread(f, 1, LT_GROUP_TEST, N_GROUP / 4);
}
static void small_last_batch(fixture *f)
{
    f->retrained[1].identity.has_batch_norm = true;
    f->retrained[1].identity.batch = 60; // of 121 retained samples 1 remains, of 119 and 120 others none or 59
    f->group[N - 1] = LT_GROUP_RETAIN;
}
static void probabilities(fixture *f)
{
    for (int i = 0; i < N; i++)
        for (int k = 0; k < K; k++)
            f->logits[0][i * K + k] = k == i % K ? 0.8f + 1e-4f * (float)i : (0.2f - 1e-4f * (float)i) / (K - 1);
}
static void not_retrained(fixture *f)
{
    f->retrained[0].identity.retrained = false;
}
static void other_data(fixture *f)
{
    strcpy(f->retrained[0].identity.data_digest, "other");
}
static void other_original(fixture *f)
{
    strcpy(f->retrained[1].identity.parent_digest, "another");
}
static void no_original(fixture *f)
{
    f->in.lacks_original = true;
}
static void other_model(fixture *f)
{
    strcpy(f->retrained[0].identity.spec, "other");
}
static void other_samples(fixture *f)
{
    static int64_t id[N];
    memcpy(id, f->id, sizeof id);
    id[3] = 9999;
    f->signals[1].id = id;
}
static void no_change(fixture *f)
{
    strcpy(f->in.model.identity.digest, "parent");
}
static void not_unlearned(fixture *f)
{
    f->in.model.identity.method[0] = '\0';
}
static void stale(fixture *f)
{
    f->in.last_train_acc = 1.0 + 0.01;
}
static void in_test(fixture *f)
{
    f->duplicates.in_test = 1;
}
static void in_retain(fixture *f)
{
    f->duplicates.in_retain = 2;
}
static void no_oracle(fixture *f)
{
    f->in.n_retrained = 0;
}
static void one_oracle(fixture *f)
{
    f->in.n_retrained = 1;
}
static void few_forgotten(fixture *f)
{
    f->audit.n[LT_GROUP_FORGET] = 99;
}
static void few_test(fixture *f)
{
    f->audit.n[LT_GROUP_TEST] = 99;
}
// Class 0 is forgotten, and of class 1 one test sample is left.
static void rare_kept_class(fixture *f)
{
    int n = 0;
    for (int i = 0; i < N; i++) {
        if (f->group[i] == LT_GROUP_RETAIN && f->label[i] == 0)
            f->label[i] = 1;
        if (f->group[i] == LT_GROUP_TEST && f->label[i] == 1 && n++ > 0)
            f->label[i] = 2;
    }
}
// Class 0 is forgotten, and no test sample is of it.
static void untested_class(fixture *f)
{
    for (int i = 0; i < N; i++)
        if (f->label[i] == 0 && f->group[i] != LT_GROUP_FORGET)
            f->label[i] = 1;
}
static void one_seed(fixture *f)
{
    memcpy(f->logits[2], f->logits[1], sizeof f->logits[1]);
}
static void below_half(fixture *f)
{
    f->attack = (lt_lint_attack){"loss", 0.3, {0.2, 0.4}};
}

static const struct {
    const char *id;
    lt_severity severity;
    void (*spoil)(fixture *f);
} cases[] = {
    {"leak-forget-retain", LT_LINT_ERROR, id_in_two_groups},
    {"repeated-ids", LT_LINT_WARNING, id_twice},
    {"leak-forget-test", LT_LINT_ERROR, output_in_test},
    {"leak-forget-retain-outputs", LT_LINT_WARNING, output_in_retain},
    {"probabilities", LT_LINT_ERROR, probabilities},
    {"collapsed-outputs", LT_LINT_ERROR, collapse},
    {"forgotten-class-in-test", LT_LINT_NOTE, forget_class},
    {"forgotten-class-untested", LT_LINT_WARNING, untested_class},
    {"leak-reference-is-target", LT_LINT_ERROR, target_among_references},
    {"repeated-references", LT_LINT_WARNING, reference_twice},
    {"few-references", LT_LINT_NOTE, few_references},
    {"unlabelled-references", LT_LINT_NOTE, unlabelled_references},
    {"oracle-is-target", LT_LINT_ERROR, oracle_is_target},
    {"oracle-trained-on-all", LT_LINT_ERROR, trained_on_all},
    {"oracle-other-forget-set", LT_LINT_ERROR, other_forget_set},
    {"oracle-not-retrained", LT_LINT_WARNING, not_retrained},
    {"oracle-far", LT_LINT_ERROR, retrained_too_briefly},
    {"small-last-batch", LT_LINT_WARNING, small_last_batch},
    {"oracle-other-data", LT_LINT_ERROR, other_data},
    {"oracle-other-original", LT_LINT_ERROR, other_original},
    {"oracle-other-model", LT_LINT_WARNING, other_model},
    {"oracle-other-samples", LT_LINT_ERROR, other_samples},
    {"no-change", LT_LINT_ERROR, no_change},
    {"not-unlearned", LT_LINT_NOTE, not_unlearned},
    {"stale-batch-norm", LT_LINT_WARNING, stale},
    {"forgotten-in-test", LT_LINT_WARNING, in_test},
    {"forgotten-in-retain", LT_LINT_WARNING, in_retain},
    {"no-oracle", LT_LINT_WARNING, no_oracle},
    {"single-oracle", LT_LINT_WARNING, one_oracle},
    {"no-original", LT_LINT_WARNING, no_original},
    {"few-forgotten", LT_LINT_WARNING, few_forgotten},
    {"few-test", LT_LINT_WARNING, few_test},
    {"rare-kept-class", LT_LINT_WARNING, rare_kept_class},
    {"single-seed", LT_LINT_WARNING, one_seed},
    {"auc-below-half", LT_LINT_WARNING, below_half},
    {"inert", LT_LINT_WARNING, inert},
    {"overdone", LT_LINT_WARNING, overdone},
    {"broken", LT_LINT_WARNING, broken},
    {"utility", LT_LINT_WARNING, costly},
    {"pair-memorised", LT_LINT_WARNING, memorised_pairs},
    {"tuned-on-oracle", LT_LINT_WARNING, tuned_on_oracle},
    {"area-far", LT_LINT_WARNING, far_area},
};
enum { N_CASES = sizeof cases / sizeof *cases };

static void a_clean_audit_has_nothing_to_say(void **state)
{
    (void)state;
    static fixture f;
    lt_lint lint = {0};
    fill(&f);
    f.logits[0][0] = 0.8f; // one row that could be probabilities
    f.logits[0][1] = f.logits[0][2] = 0.1f;
    assert_ok(lt_lint_run(&f.in, &lint));
    for (int i = 0; i < lint.n; i++)
        fail_msg("%s: %s", lint.item[i].id, lint.item[i].text);
    assert_ok(lt_lint_run(&(lt_lint_in){.role = LT_LINT_OF_UNLEARNED, .last_train_acc = NAN}, &lint)); // knows nothing
    assert_int_equal(lint.n, 0);
    lt_lint_clear(&lint);
}

static void every_check_finds_what_it_is_for(void **state)
{
    (void)state;
    static fixture f;
    for (int c = 0; c < N_CASES; c++) {
        lt_lint lint = {0};
        int found = -1;
        fill(&f);
        cases[c].spoil(&f);
        assert_ok(lt_lint_run(&f.in, &lint));
        for (int i = 0; i < lint.n; i++)
            if (!strcmp(lint.item[i].id, cases[c].id))
                found = i;
        if (found < 0)
            fail_msg("%s was not found", cases[c].id);
        if (lint.item[found].severity != cases[c].severity)
            fail_msg("%s has the severity %s", cases[c].id, lt_severity_text(lint.item[found].severity));
        assert_true(lt_lint_worst(&lint) >= cases[c].severity);
        lt_lint_clear(&lint);
    }
    for (const lt_lint_check *const *check = lt_lint_checks(); *check; check++) { // none without a case
        int n = 0;
        for (int c = 0; c < N_CASES; c++)
            n += !strcmp((*check)->id, cases[c].id);
        if (n != 1)
            fail_msg("%s has no case here", (*check)->id);
        assert_true((*check)->doc && *(*check)->doc && (*check)->roles);
    }
}

// Of whole classes: accuracies on test samples of the forgotten classes and of the others, not of all test samples.
static void classes_have_checks_of_their_own(void **state)
{
    (void)state;
    static const struct {
        double acc_f, acc_r; // of the original model; the model now has 1 and 0.9
        const char *id;
    } row[] = {{1, 0.92, "inert"}, {0, 0.96, "utility"}, {0, 1, NULL}, {0, 1.1, "broken"}};
    static fixture f;
    for (int c = 0; c < 4; c++) {
        lt_lint lint = {0};
        fill(&f);
        for (int i = 0; i < 2 * N_GROUP; i++)
            f.label[i] = f.group[i] == LT_GROUP_FORGET ? i % 2 : 2;
        for (int i = 0; i < N; i++)
            for (int k = 0; k < K; k++)
                f.logits[0][i * K + k] = (float)(k == f.label[i]) + 0.001f * (float)(i + k);
        for (int i = 2 * N_GROUP, n = 0; i < N; i++) // a tenth of the test samples of the kept class is misread
            if (f.label[i] == 2 && n++ < N_GROUP / K / 10)
                f.logits[0][i * K + 2] -= 2;
        f.effect.acc_f = row[c].acc_f;
        f.effect.acc_r = row[c].acc_r == 1 ? 0.93 : row[c].acc_r;
        assert_ok(lt_lint_run(&f.in, &lint));
        bool found = row[c].id == NULL;
        for (int i = 0; i < lint.n; i++)
            found = found || !strcmp(lint.item[i].id, row[c].id ? row[c].id : "");
        assert_true(found);
        for (int i = 0; i < lint.n && !row[c].id; i++)
            assert_true(strcmp(lint.item[i].id, "inert") && strcmp(lint.item[i].id, "utility") &&
                        strcmp(lint.item[i].id, "broken"));
        lt_lint_clear(&lint);
    }
}

// An option that the method does not have is no advice.
static void advice_of_inert_runs_comes_from_their_method(void **state)
{
    (void)state;
    static const struct {
        const char *method;
        bool trains_pairs;
        const char *advice, *not_advice;
    } row[] = {{"amun", true, "raise --lr-area, or use --adv-only yes", "--help"},
               {"amun", false, "raise --lr-area", "--adv-only"},
               {"ga", false, "raise --lr-area", "--adv-only"},
               {"ssd", false, "--method ssd --help", "--lr-area"},
               {"", false, "a larger learning rate", "--"}};
    static fixture f;
    for (size_t i = 0; i < sizeof row / sizeof *row; i++) {
        lt_lint lint = {0};
        fill(&f);
        inert(&f);
        snprintf(f.in.model.identity.method, sizeof f.in.model.identity.method, "%s", row[i].method);
        f.effect.pair_acc = row[i].trains_pairs ? 0.5 : (double)NAN;
        assert_ok(lt_lint_run(&f.in, &lint));
        const lt_lint_item *found = NULL;
        for (int k = 0; k < lint.n; k++)
            found = !strcmp(lint.item[k].id, "inert") ? &lint.item[k] : found;
        assert_non_null(found);
        assert_non_null(strstr(found->text, row[i].advice));
        assert_null(strstr(found->text, row[i].not_advice));
        lt_lint_clear(&lint);
    }
}

// One sample is not "1 samples".
static void counts_have_their_number(void **state)
{
    (void)state;
    static fixture f;
    lt_lint lint = {0};
    fill(&f);
    f.audit.n[LT_GROUP_FORGET] = 1;
    f.audit.n[LT_GROUP_TEST] = 1;
    assert_ok(lt_lint_run(&f.in, &lint));
    for (int i = 0; i < lint.n; i++)
        assert_null(strstr(lint.item[i].text, "1 forgotten samples"));
    for (int i = 0; i < lint.n; i++)
        assert_null(strstr(lint.item[i].text, "1 test samples"));
    assert_int_equal(lint.n, 2);
    char *json = lt_lint_json(&lint);
    assert_non_null(strstr(json, "\"severity\": \"warning\""));
    free(json);
    lt_lint_clear(&lint);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_clean_audit_has_nothing_to_say),
        cmocka_unit_test(every_check_finds_what_it_is_for),
        cmocka_unit_test(classes_have_checks_of_their_own),
        cmocka_unit_test(advice_of_inert_runs_comes_from_their_method),
        cmocka_unit_test(counts_have_their_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
