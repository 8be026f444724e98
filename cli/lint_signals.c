// lint_signals.c - what the arrays of an audit give away about its worth: samples in two groups, references that are
// the audited model, oracles of one seed, attacks that point the wrong way, outputs that have collapsed.
#include "audit.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

bool cli_same_samples(const lt_signals *a, const lt_signals *b)
{
    return a->n == b->n && a->k == b->k && !memcmp(a->label, b->label, (size_t)a->n * sizeof *a->label) &&
           !memcmp(a->id, b->id, (size_t)a->n * sizeof *a->id) && !memcmp(a->group, b->group, (size_t)a->n);
}

bool cli_same_outputs(const lt_signals *a, const lt_signals *b)
{
    return a->n == b->n && a->k == b->k &&
           !memcmp(a->logits, b->logits, (size_t)a->n * (size_t)a->k * sizeof *a->logits);
}

// ---- train/evaluation leakage: one sample on both sides of an attack

static int by_id(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

// Ids of the group, sorted; returns their number.
static int64_t ids_of(const lt_signals *s, int group, int64_t *id)
{
    int64_t n = 0;
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == group)
            id[n++] = s->id[i];
    qsort(id, (size_t)n, sizeof *id, by_id);
    return n;
}

// Values that both sorted lists hold, or, with one list given twice, that it holds more than once.
static int64_t count_common(const int64_t *a, int64_t n_a, const int64_t *b, int64_t n_b)
{
    int64_t n = 0, j = 0;
    for (int64_t i = 0; i < n_a; i++) {
        while (j < n_b && b[j] < a[i])
            j++;
        n += a == b ? i > 0 && a[i] == a[i - 1] : j < n_b && b[j] == a[i];
    }
    return n;
}

static void lint_ids(json_t *lint, const lt_signals *s)
{
    int64_t *id[3], n[3];
    static const char *const name[3] = {"retain", "forget", "test"};
    for (int g = 0; g < 3; g++) {
        id[g] = cli_alloc((size_t)s->n, sizeof *id[g]);
        n[g] = ids_of(s, g, id[g]);
    }
    // Test ids count another split: only the two groups of the training split can share a sample.
    int64_t shared = count_common(id[LT_GROUP_FORGET], n[LT_GROUP_FORGET], id[LT_GROUP_RETAIN], n[LT_GROUP_RETAIN]);
    if (shared)
        cli_lint(
            lint, "leak-forget-retain",
            "%lld ids are in the forget and in the retain group: attacks learn from the samples they are judged on",
            (long long)shared);
    for (int g = 0; g < 3; g++) {
        int64_t twice = count_common(id[g], n[g], id[g], n[g]);
        if (twice)
            cli_lint(lint, "repeated-ids", "%lld samples of the %s group repeat an id: they count more than once",
                     (long long)twice, name[g]);
        free(id[g]);
    }
}

typedef struct output {
    const float *z;
    size_t bytes;
    int8_t group;
} output;

static int by_bytes(const void *a, const void *b)
{
    const output *x = a, *y = b;
    return memcmp(x->z, y->z, x->bytes);
}

// Equal logits to the last bit come from equal images. Not asked of models that give few outputs at all.
static void lint_equal_outputs(json_t *lint, const lt_signals *s)
{
    output *all = cli_alloc((size_t)s->n, sizeof *all);
    int64_t found[3] = {0}, n_distinct = 0;
    for (int64_t i = 0; i < s->n; i++)
        all[i] = (output){s->logits + i * s->k, (size_t)s->k * sizeof(float), s->group[i]};
    qsort(all, (size_t)s->n, sizeof *all, by_bytes);
    for (int64_t i = 0, end; i < s->n; i = end, n_distinct++) {
        int64_t count[3] = {0};
        for (end = i; end < s->n && by_bytes(&all[i], &all[end]) == 0; end++)
            count[all[end].group]++;
        for (int g = 0; g < 3; g++)
            found[g] += g != LT_GROUP_FORGET && count[g] ? count[LT_GROUP_FORGET] : 0;
    }
    free(all);
    if (2 * n_distinct < s->n)
        return;
    if (found[LT_GROUP_TEST])
        cli_lint(lint, "leak-forget-test",
                 "%lld forgotten samples have the outputs of a test sample to the last bit: the same image is on both "
                 "sides of the attack",
                 (long long)found[LT_GROUP_TEST]);
    if (found[LT_GROUP_RETAIN])
        cli_lint(lint, "leak-forget-retain-outputs",
                 "%lld forgotten samples have the outputs of a retained sample to the last bit: the model was still "
                 "trained on that image",
                 (long long)found[LT_GROUP_RETAIN]);
}

// ---- collapse

// Share of the most predicted class beyond that of the most frequent label.
static void lint_collapse(json_t *lint, const lt_signals *s)
{
    int64_t *predicted = cli_alloc((size_t)s->k, sizeof *predicted), *label = cli_alloc((size_t)s->k, sizeof *label);
    int64_t most = 0, top = 0;
    for (int64_t i = 0; i < s->n; i++) {
        predicted[lt_signals_predicted(s, i)]++;
        label[s->label[i]]++;
    }
    for (int c = 0; c < s->k; c++) {
        top = predicted[c] > predicted[top] ? c : top;
        most = label[c] > most ? label[c] : most;
    }
    if (predicted[top] > 2 * most && 2 * predicted[top] > s->n)
        cli_lint(
            lint, "collapsed-outputs",
            "class %lld is predicted for %.0f %% of all samples: diverged weights, or batch-norm statistics that are "
            "not those of these weights",
            (long long)top, 100.0 * (double)predicted[top] / (double)s->n);
    free(predicted);
    free(label);
}

// ---- class forgetting

static bool *forgotten_classes(const lt_signals *s, int *n)
{
    bool *forgot = cli_alloc((size_t)s->k, sizeof *forgot);
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == LT_GROUP_FORGET)
            forgot[s->label[i]] = true;
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == LT_GROUP_RETAIN)
            forgot[s->label[i]] = false;
    *n = 0;
    for (int c = 0; c < s->k; c++)
        *n += forgot[c];
    return forgot;
}

double cli_other_classes_acc(const lt_signals *s, int *n_forgotten_classes)
{
    int64_t n = 0, n_correct = 0;
    bool *forgot = forgotten_classes(s, n_forgotten_classes);
    for (int64_t i = 0; i < s->n; i++)
        if (s->group[i] == LT_GROUP_TEST && !forgot[s->label[i]]) {
            n++;
            n_correct += lt_signals_predicted(s, i) == s->label[i];
        }
    free(forgot);
    return *n_forgotten_classes > 0 && n > 0 ? (double)n_correct / (double)n : (double)NAN;
}

static void lint_classes(json_t *lint, const lt_signals *s)
{
    int n_classes;
    bool *forgot = forgotten_classes(s, &n_classes);
    int64_t n = 0, n_test = 0;
    for (int64_t i = 0; i < s->n; i++) {
        n_test += s->group[i] == LT_GROUP_TEST;
        n += s->group[i] == LT_GROUP_TEST && forgot[s->label[i]];
    }
    free(forgot);
    if (n)
        cli_lint(lint, "forgotten-class-in-test",
                 "%lld of %lld test samples are of %d forgotten class%s and count as errors in ta once forgotten; "
                 "ta_other_classes leaves them out",
                 (long long)n, (long long)n_test, n_classes, n_classes == 1 ? "" : "es");
}

void cli_lint_signals(json_t *lint, const lt_signals *s)
{
    lint_ids(lint, s);
    lint_equal_outputs(lint, s);
    lint_collapse(lint, s);
    lint_classes(lint, s);
}

// ---- attacks, references, oracles

void cli_lint_scores(json_t *lint, const cli_attacks *attacks, const cli_audited *target, const json_t *result)
{
    const double far_below = 0.45;
    for (int i = 0; i < attacks->n; i++) {
        double auc = target->mia[i].auc.ft;
        const json_t *of = json_object_get(json_object_get(result, "interval"), attacks->mia[i]->name);
        const json_t *high = json_array_get(json_object_get(of, "ft_auc"), 1);
        if (auc < far_below && (!json_is_number(high) || json_number_value(high) < 0.5))
            cli_lint(
                lint, "auc-below-half",
                "%s: forget/test AUC %.3f is far below one half: forgotten samples stand out as less likely members "
                "than unseen ones, and the attack turned around finds them",
                attacks->mia[i]->name, auc);
    }
}

void cli_lint_references(json_t *lint, const lt_references *refs, const lt_signals *target)
{
    enum { FEW = 16 };
    size_t bytes = (size_t)refs->n * (size_t)refs->k * sizeof *refs->logits;
    int64_t n_target = 0, n_twins = 0;
    for (int64_t r = 0; r < refs->m; r++) {
        const float *z = refs->logits + r * refs->n * refs->k;
        n_target += !memcmp(z, target->logits, bytes);
        bool twin = false;
        for (int64_t q = 0; q < r && !twin; q++)
            twin = !memcmp(z, refs->logits + q * refs->n * refs->k, bytes);
        n_twins += twin;
    }
    if (n_target)
        cli_lint(lint, "leak-reference-is-target", "the audited model is among the reference models (%lld times)",
                 (long long)n_target);
    if (n_twins)
        cli_lint(lint, "repeated-references", "%lld of %lld reference models repeat another one", (long long)n_twins,
                 (long long)refs->m);
    if (refs->m < FEW)
        cli_lint(lint, "few-references",
                 "%lld reference models: attacks with few are noisy; references.self_auc says what they can tell",
                 (long long)refs->m);
}

void cli_lint_oracles(json_t *lint, const cli_audited *oracle, char *const *name, int n)
{
    for (int i = 0; i < n; i++)
        for (int j = 0; j < i; j++)
            if (cli_same_outputs(oracle[i].signals, oracle[j].signals)) {
                cli_lint(lint, "single-seed", "%s has the outputs of %s: one seed, counted once in bands and verdicts",
                         name[i], name[j]);
                break;
            }
}

// ---- batch norm: what the last epoch of training saw, against the same weights in evaluation

void cli_lint_stale(json_t *lint, const cli_source *target, const lt_audit *a)
{
    const double gap = 0.1;
    enum { MAX_BYTES = 1 << 28 };
    char *path = target->dir ? cli_format("%s/metrics.jsonl", target->dir) : NULL, *text = NULL;
    double seen = NAN;
    size_t n;
    if (path && target->model->n_state > 0 && lt_read_file(path, MAX_BYTES, &text, &n) == LT_OK)
        for (char *line = text; line && *line;) {
            char *end = strchr(line, '\n');
            json_t *row = json_loadb(line, end ? (size_t)(end - line) : strlen(line), 0, NULL);
            if (!strcmp(cli_text(row, "event"), "train.epoch"))
                seen = cli_real(row, "train_acc");
            json_decref(row);
            line = end ? end + 1 : NULL;
        }
    lt_error_clear();
    free(text);
    free(path);
    double now = a->ra > a->ua ? a->ra : a->ua;
    if (seen > now + gap)
        cli_lint(lint, "stale-batch-norm",
                 "the last epoch of training had %.1f %% right, the same weights in evaluation mode have %.1f %%: the "
                 "batch-norm statistics look stale",
                 100 * seen, 100 * now);
}
