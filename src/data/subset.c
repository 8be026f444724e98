// subset.c - the keys every kind shares: classes=, holdout=, train-limit=, test-limit=, subset-seed=.
//
// Subsets are class-balanced, drawn with LT_STREAM_SUBSET, and keep the official order and ids. Each class draws from
// its own permutation, so a smaller limit takes a subset of what a larger one takes (while no class runs short).
#include "data_impl.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The `step` of LT_STREAM_SUBSET, so that the draws do not follow one another.
enum { DRAW_LIMIT_TRAIN = LT_TRAIN, DRAW_LIMIT_TEST = LT_TEST, DRAW_HOLDOUT = 2 };

static const char *class_name(const lti_raw *raw, int k, char buf[16])
{
    if (raw->class_name)
        return raw->class_name[k];
    snprintf(buf, 16, "%d", k);
    return buf;
}

static int find_class(const lti_raw *raw, const char *word)
{
    char buf[16];
    for (int k = 0; k < raw->n_classes; k++)
        if (strcmp(class_name(raw, k, buf), word) == 0)
            return k;
    char *end;
    long k = strtol(word, &end, 10);
    return end != word && *end == '\0' && k >= 0 && k < raw->n_classes ? (int)k : -1;
}

// new_label[k] = place of class k in the list a+b+c, or -1.
static lt_status parse_classes(const lti_open_args *args, lti_raw *raw, const char *list, int32_t *new_label,
                               int *n_new)
{
    *n_new = 0;
    for (int k = 0; k < raw->n_classes; k++)
        new_label[k] = -1;
    char *copy = lti_arena_strdup(&raw->arena, list);
    if (!copy)
        return LTI_NOMEM("class list");
    for (char *word = copy, *next; word; word = next) {
        next = strchr(word, '+');
        if (next)
            *next++ = '\0';
        int k = find_class(raw, word);
        if (k < 0) {
            char buf[16];
            lt_status status = LT_FAIL(LT_E_USAGE, "%s: classes=%s: no class '%s' (0..%d or a name)", args->kind, list,
                                       word, raw->n_classes - 1);
            lt_error_hint("the first class is '%s'; names are joined with +", class_name(raw, 0, buf));
            return status;
        }
        if (new_label[k] >= 0)
            return LT_FAIL(LT_E_USAGE, "%s: classes=%s: class '%s' appears twice", args->kind, list, word);
        new_label[k] = (*n_new)++;
    }
    return LT_OK;
}

static lt_status renumber_names(lti_raw *raw, const int32_t *new_label, int n_new)
{
    const char **name = lti_arena_alloc(&raw->arena, (size_t)n_new * sizeof *name);
    if (!name)
        return LTI_NOMEM("class names");
    for (int k = 0; k < raw->n_classes; k++) {
        char buf[16];
        if (new_label[k] < 0)
            continue;
        name[new_label[k]] = lti_arena_strdup(&raw->arena, class_name(raw, k, buf));
        if (!name[new_label[k]])
            return LTI_NOMEM("class names");
    }
    raw->class_name = name;
    raw->n_classes = n_new;
    return LT_OK;
}

static lt_status apply_classes(const lti_open_args *args, lti_raw *raw, const char *list)
{
    int n_new;
    int32_t *new_label = lti_malloc((size_t)raw->n_classes * sizeof *new_label);
    if (!new_label)
        return LTI_NOMEM("class list");
    lt_status status = LT_OK;
    LT_TRY_GOTO(parse_classes(args, raw, list, new_label, &n_new), out);
    for (int s = 0; s < 2; s++) {
        lti_raw_split *d = &raw->split[s];
        uint8_t *keep = lti_malloc((size_t)d->n);
        if (!keep) {
            status = LTI_NOMEM("subset");
            goto out;
        }
        for (int64_t i = 0; i < d->n; i++) {
            d->y[i] = new_label[d->y[i]];
            keep[i] = d->y[i] >= 0;
        }
        status = lti_raw_keep(raw, (lt_split)s, keep);
        lti_free(keep);
        if (status != LT_OK)
            goto out;
    }
    LT_TRY_GOTO(renumber_names(raw, new_label, n_new), out);
out:
    lti_free(new_label);
    return status;
}

// quota[k]: how many of class k a balanced subset of `limit` takes. Classes that have too few give their share to the
// rest.
static void share_out(const int64_t *count, int n_classes, int64_t limit, int64_t *quota)
{
    int64_t rest = limit;
    for (int k = 0; k < n_classes; k++)
        quota[k] = 0;
    for (bool more = true; more && rest > 0;) {
        int open = 0;
        for (int k = 0; k < n_classes; k++)
            open += quota[k] < count[k];
        more = open > 0;
        int64_t each = more ? rest / open : 0;
        for (int k = 0; k < n_classes && rest > 0; k++) {
            if (quota[k] == count[k])
                continue;
            int64_t take = each > 0 ? each : 1; // fewer left than classes: one each, lowest labels first
            if (take > count[k] - quota[k])
                take = count[k] - quota[k];
            if (take > rest)
                take = rest;
            quota[k] += take;
            rest -= take;
        }
    }
}

// keep[i] = 1 for the rows of a balanced random subset of `limit` samples.
static lt_status balanced(const lti_raw *raw, lt_split s, int64_t limit, uint64_t seed, uint32_t draw, uint8_t *keep)
{
    const lti_raw_split *d = &raw->split[s];
    int n_classes = raw->n_classes;
    int64_t *count = lti_calloc((size_t)n_classes * 3 + 1, sizeof *count),
            *member = lti_malloc((size_t)d->n * sizeof *member);
    if (!count || !member) {
        lti_free(count);
        lti_free(member);
        return LTI_NOMEM("subset");
    }
    int64_t *quota = count + n_classes, *start = quota + n_classes; // start: n_classes + 1
    for (int64_t i = 0; i < d->n; i++)
        count[d->y[i]]++;
    share_out(count, n_classes, limit, quota);
    for (int k = 0; k < n_classes; k++)
        start[k + 1] = start[k] + count[k];
    memset(count, 0, (size_t)n_classes * sizeof *count);
    for (int64_t i = 0; i < d->n; i++)
        member[start[d->y[i]] + count[d->y[i]]++] = i;
    memset(keep, 0, (size_t)d->n);
    for (int k = 0; k < n_classes; k++) {
        lt_rng rng = lt_rng_at(seed, LT_STREAM_SUBSET, draw, (uint64_t)k);
        int64_t *m = member + start[k];
        for (int64_t i = 0; i < quota[k]; i++) {
            int64_t j = i + (int64_t)lt_rng_below(&rng, (uint64_t)(count[k] - i)), t = m[j];
            m[j] = m[i];
            m[i] = t;
            keep[t] = 1;
        }
    }
    lti_free(count);
    lti_free(member);
    return LT_OK;
}

static lt_status apply_limit(const lti_open_args *args, lti_raw *raw, lt_split s, uint64_t seed)
{
    const char *key = s == LT_TRAIN ? "train-limit" : "test-limit";
    int64_t limit;
    LT_TRY(lti_key_i64(args->spec, key, 1, LTI_MAX_SAMPLES, 0, &limit));
    if (limit == 0 || limit >= raw->split[s].n)
        return LT_OK;
    uint8_t *keep = lti_malloc((size_t)raw->split[s].n);
    if (!keep)
        return LTI_NOMEM("subset");
    lt_status status = balanced(raw, s, limit, seed, s == LT_TRAIN ? DRAW_LIMIT_TRAIN : DRAW_LIMIT_TEST, keep);
    if (status == LT_OK)
        status = lti_raw_keep(raw, s, keep);
    lti_free(keep);
    return status;
}

// The test split becomes `n` samples of the training files, or of the test files when there are no others.
static lt_status cut_holdout(const lti_open_args *args, lti_raw *raw, int64_t n, uint64_t seed)
{
    lti_raw_split *train = &raw->split[LT_TRAIN], *test = &raw->split[LT_TEST];
    bool from_test = train->n == 0;
    lti_raw_split t = from_test ? *train : *test;
    if (from_test)
        *train = *test;
    *test = (lti_raw_split){0};
    lti_raw_split_clear(&t);
    if (n >= train->n)
        return LT_FAIL(LT_E_USAGE, "%s: holdout=%lld, but there are only %lld samples", args->kind, (long long)n,
                       (long long)train->n);
    LT_TRY(lti_raw_reserve(raw, LT_TEST, n));
    if (train->name && !(test->name = lti_calloc((size_t)n, sizeof *test->name)))
        return LTI_NOMEM("holdout");
    uint8_t *keep = lti_malloc((size_t)train->n);
    if (!keep)
        return LTI_NOMEM("holdout");
    lt_status status = balanced(raw, LT_TRAIN, n, seed, DRAW_HOLDOUT, keep);
    size_t bytes = lti_raw_sample_bytes(raw);
    for (int64_t i = 0; status == LT_OK && i < train->n; i++) {
        if (keep[i]) {
            memcpy(test->x + (size_t)test->n * bytes, train->x + (size_t)i * bytes, bytes);
            test->y[test->n] = train->y[i];
            if (train->name)
                test->name[test->n] = train->name[i];
            if (train->other)
                test->other[test->n] = train->other[i];
            test->id[test->n++] = train->id[i];
        }
        keep[i] = !keep[i];
    }
    if (status == LT_OK)
        status = lti_raw_keep(raw, LT_TRAIN, keep);
    if (status == LT_OK) {
        raw->missing[LT_TRAIN] = raw->missing[LT_TEST] = NULL;
        lt_warn(args->events, "data.holdout",
                "%s: the test split is %lld samples held out of the %s files, not the official one", args->kind,
                (long long)n, from_test ? "test" : "training");
    }
    lti_free(keep);
    return status;
}

lt_status lti_subset_apply(const lti_open_args *args, lti_raw *raw)
{
    int64_t seed, holdout;
    LT_TRY(lti_key_i64(args->spec, "subset-seed", 0, INT64_MAX, 0, &seed));
    LT_TRY(lti_key_i64(args->spec, "holdout", 1, LTI_MAX_SAMPLES, 0, &holdout));
    const char *classes = lti_spec_get(args->spec, "classes");
    if (classes)
        LT_TRY(apply_classes(args, raw, classes));
    if (holdout > 0)
        LT_TRY(cut_holdout(args, raw, holdout, (uint64_t)seed));
    LT_TRY(apply_limit(args, raw, LT_TRAIN, (uint64_t)seed));
    return apply_limit(args, raw, LT_TEST, (uint64_t)seed);
}
