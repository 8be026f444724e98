// lint.c - what makes an audit say less than it seems to: missing or wrong oracles, models that did not change, twins
// of forgotten images in other groups, groups too small to tell.
#include "cli.h"
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

// error: the figures do not say what they seem to; note: nothing is wrong; all others are warnings.
static const struct {
    const char *id, *severity;
} severities[] = {
    {"no-change", "error"},
    {"oracle-is-target", "error"},
    {"oracle-trained-on-all", "error"},
    {"oracle-other-forget-set", "error"},
    {"oracle-other-data", "error"},
    {"oracle-other-samples", "error"},
    {"leak-forget-retain", "error"},
    {"leak-forget-test", "error"},
    {"leak-reference-is-target", "error"},
    {"collapsed-outputs", "error"},
    {"not-unlearned", "note"},
    {"few-references", "note"},
    {"forgotten-class-in-test", "note"},
};

static const char *severity_of(const char *id)
{
    for (size_t i = 0; i < sizeof severities / sizeof *severities; i++)
        if (!strcmp(severities[i].id, id))
            return severities[i].severity;
    return "warning";
}

void cli_lint(json_t *lint, const char *id, const char *fmt, ...)
{
    char text[512];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    json_t *item = json_object();
    cli_put(item, "id", json_string(id));
    cli_put(item, "severity", json_string(severity_of(id)));
    cli_put_text(item, "text", text);
    json_array_append_new(lint, item);
}

void cli_lint_counts(json_t *lint, const lt_audit *a, int n_oracles)
{
    enum { FEW = 100 };
    if (n_oracles == 0)
        cli_lint(lint, "no-oracle",
                 "no oracle: without a retrained model there is no average gap, and no figure says how good the "
                 "forgetting is");
    else if (n_oracles == 1)
        cli_lint(lint, "single-oracle",
                 "one oracle: a difference to it may be its seed's; three or more retrained models show the spread");
    if (a->n[LT_GROUP_FORGET] < FEW)
        cli_lint(lint, "few-forgotten", "%lld forgotten samples: one sample moves every rate by %.1f points",
                 (long long)a->n[LT_GROUP_FORGET],
                 100.0 / (double)(a->n[LT_GROUP_FORGET] > 0 ? a->n[LT_GROUP_FORGET] : 1));
    if (a->n[LT_GROUP_TEST] < FEW)
        cli_lint(lint, "few-test", "%lld test samples", (long long)a->n[LT_GROUP_TEST]);
}

static bool same_text(const char *a, const char *b)
{
    return a && b && !strcmp(a, b);
}

void cli_lint_target(json_t *lint, const cli_source *target)
{
    char digest[65];
    const char *parent = cli_source_meta(target, "lethe.parent_digest"),
               *method = cli_source_meta(target, "lethe.method");
    lt_model_digest(target->model, digest);
    if (method && same_text(parent, digest))
        cli_lint(lint, "no-change", "%s has the weights of its parent: nothing was unlearned", target->name);
    if (!method)
        cli_lint(lint, "not-unlearned", "%s is not the result of unlearning", target->name);
}

void cli_lint_oracle(json_t *lint, const cli_source *target, const cli_source *oracle, const char *forget_digest)
{
    const char *forgot = cli_source_meta(oracle, "lethe.forget_digest");
    char a[65], b[65];
    lt_model_digest(target->model, a);
    lt_model_digest(oracle->model, b);
    if (!strcmp(a, b))
        cli_lint(lint, "oracle-is-target", "%s has the weights of the audited model", oracle->name);
    if (!forgot)
        cli_lint(lint, "oracle-trained-on-all", "%s does not say that it was trained without the forget set",
                 oracle->name);
    else if (strcmp(forgot, forget_digest) != 0)
        cli_lint(lint, "oracle-other-forget-set", "%s was retrained without other samples than those forgotten here",
                 oracle->name);
    if (forgot && !same_text(cli_source_meta(oracle, "lethe.method"), "retrain"))
        cli_lint(lint, "oracle-not-retrained", "%s was made by '%s', not by retraining", oracle->name,
                 cli_source_meta(oracle, "lethe.method") ? cli_source_meta(oracle, "lethe.method") : "?");
    if (!same_text(cli_source_meta(oracle, "lethe.data_digest"), cli_source_meta(target, "lethe.data_digest")))
        cli_lint(lint, "oracle-other-data", "%s was trained on other data", oracle->name);
    if (strcmp(oracle->model->spec, target->model->spec) != 0)
        cli_lint(lint, "oracle-other-model", "%s is a %s, the audited model a %s", oracle->name, oracle->model->spec,
                 target->model->spec);
}

// ---- studies

static void lint_seeds(json_t *lint, const lt_study *y)
{
    if (y->bases.n == 1)
        cli_lint(lint, "single-seed", "one original model: nothing says how much the figures depend on it");
    if (y->n_forget == 1)
        cli_lint(lint, "single-forget-set", "one forget set: nothing says how much the figures depend on it");
    if (y->bases.n * y->n_forget == 1)
        cli_lint(lint, "no-interval", "one original model and one forget set: there are no intervals of the means");
    if (y->oracles.seeds.n == 1)
        cli_lint(lint, "single-oracle", "one oracle per forget set: there is no null band and no verdict");
    if (y->oracles.shared && y->bases.n > 1)
        cli_lint(lint, "shared-oracles",
                 "original models are compared with the same oracles: their gaps are not independent");
}

static void lint_tuning(json_t *lint, const lt_study *y)
{
    int least = -1, most = 0;
    for (int m = 0; m < y->n_methods; m++) {
        const int n = y->method[m].n_points;
        least = least < 0 || n < least ? n : least;
        most = n > most ? n : most;
    }
    if (most > 0 && y->tuning.uses_oracle)
        cli_lint(lint, "tuning-used-oracle",
                 "tuning used the oracle: settings were chosen by %s, with retrained models that nobody has who needs "
                 "unlearning",
                 y->tuning.objective);
    if (least != most)
        cli_lint(lint, "unequal-tuning", "methods were tuned with different numbers of settings, %d to %d", least,
                 most);
}

static void count_lint(const json_t *audit, json_t *count, json_t *text)
{
    size_t i;
    const json_t *item;
    json_array_foreach(json_object_get(audit, "lint"), i, item)
    {
        const char *id = cli_text(item, "id");
        cli_put(count, id, json_integer(json_integer_value(json_object_get(count, id)) + 1));
        if (!json_object_get(text, id))
            cli_put_text(text, id, cli_text(item, "text"));
    }
}

void cli_lint_study(json_t *lint, const lt_study *study, const json_t *audits)
{
    json_t *count = json_object(), *text = json_object();
    size_t i, k;
    const char *id;
    const json_t *audit, *one, *n;
    lint_seeds(lint, study);
    lint_tuning(lint, study);
    json_array_foreach((json_t *)audits, i, audit) json_array_foreach(json_object_get(audit, "also"), k, one)
        count_lint(one, count, text);
    json_object_foreach(count, id, n)
        cli_lint(lint, id, "%lld audited runs: %s", (long long)json_integer_value(n), cli_text(text, id));
    json_decref(count);
    json_decref(text);
}

// ---- exact twins of forgotten images elsewhere

struct image {
    uint64_t hash;
    const uint8_t *x;
    int8_t group;
};

static uint64_t hash_bytes(const uint8_t *x, size_t n) // FNV-1a; equal hashes are compared byte by byte
{
    uint64_t h = 1469598103934665603u;
    for (size_t i = 0; i < n; i++)
        h = (h ^ x[i]) * 1099511628211u;
    return h;
}

static int by_hash(const void *a, const void *b)
{
    uint64_t x = ((const struct image *)a)->hash, y = ((const struct image *)b)->hash;
    return (x > y) - (x < y);
}

static int64_t add_images(struct image *out, const lt_split_data *split, const lt_index_set *rows, size_t bytes,
                          int8_t group)
{
    int64_t n = rows ? rows->n : split->n;
    for (int64_t i = 0; i < n; i++) {
        const uint8_t *x = split->x + (size_t)(rows ? rows->row[i] : i) * bytes;
        out[i] = (struct image){hash_bytes(x, bytes), x, group};
    }
    return n;
}

// Images of group `from` that have an equal one in another group, counted by that group.
static void count_twins(struct image *all, int64_t n, size_t bytes, int from, int64_t found[3])
{
    qsort(all, (size_t)n, sizeof *all, by_hash);
    for (int64_t i = 0, end; i < n; i = end) {
        for (end = i + 1; end < n && all[end].hash == all[i].hash;)
            end++;
        for (int64_t a = i; a < end; a++) {
            bool twin[3] = {false};
            for (int64_t b = i; all[a].group == from && b < end; b++)
                if (!twin[all[b].group] && all[b].group != from)
                    twin[all[b].group] = !memcmp(all[a].x, all[b].x, bytes);
            for (int g = 0; g < 3; g++)
                found[g] += twin[g];
        }
    }
}

static size_t image_bytes(const lt_dataset *ds)
{
    return (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
}

int64_t cli_shared_images(const lt_dataset *ds)
{
    const lt_split_data *train = &ds->split[LT_TRAIN], *test = &ds->split[LT_TEST];
    struct image *all = cli_alloc((size_t)(train->n + test->n), sizeof *all);
    int64_t n = add_images(all, train, NULL, image_bytes(ds), LT_GROUP_RETAIN), found[3] = {0};
    n += add_images(all + n, test, NULL, image_bytes(ds), LT_GROUP_TEST);
    count_twins(all, n, image_bytes(ds), LT_GROUP_TEST, found);
    free(all);
    return found[LT_GROUP_RETAIN];
}

void cli_lint_twins(json_t *lint, const lt_dataset *ds, const cli_sets *sets)
{
    size_t bytes = image_bytes(ds);
    const lt_split_data *train = &ds->split[LT_TRAIN], *test = &ds->split[LT_TEST];
    struct image *all = cli_alloc((size_t)(sets->forget.n + sets->retain.n + test->n), sizeof *all);
    int64_t n = add_images(all, train, &sets->forget, bytes, LT_GROUP_FORGET), found[3] = {0};
    n += add_images(all + n, train, &sets->retain, bytes, LT_GROUP_RETAIN);
    n += add_images(all + n, test, NULL, bytes, LT_GROUP_TEST);
    count_twins(all, n, bytes, LT_GROUP_FORGET, found);
    free(all);
    if (found[LT_GROUP_TEST])
        cli_lint(lint, "forgotten-in-test", "%lld forgotten images are also in the test set, pixel for pixel",
                 (long long)found[LT_GROUP_TEST]);
    if (found[LT_GROUP_RETAIN])
        cli_lint(lint, "forgotten-in-retain",
                 "%lld forgotten images have a retained twin, pixel for pixel: the model still learns from it",
                 (long long)found[LT_GROUP_RETAIN]);
}
