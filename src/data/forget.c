// forget.c - forget sets by name (random, class, file) and as files.
//
// Index lists are about the official order of a training split, so they hold official ids; sets hold rows. Lists
// published with the AMUN experiments have one column with the header `unlearn_idx`; what lt_forget_write writes has
// the same.
#include "data_impl.h"
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

// code: LT_E_USAGE when the command line said it, LT_E_FORMAT when a file did
lt_status lti_forget_from_marks(const lt_dataset *ds, const uint8_t *mark, int64_t n, lt_status code, const char *name,
                                lt_index_set *set)
{
    int64_t n_train = ds->split[LT_TRAIN].n;
    if (n == 0)
        return LT_FAIL(code, "forget set %s: empty", name);
    if (n == n_train)
        return LT_FAIL(code, "forget set %s: all %lld training samples, nothing would be retained", name, (long long)n);
    set->row = lti_malloc((size_t)n * sizeof *set->row);
    if (!set->row)
        return LTI_NOMEM("forget set");
    for (int64_t i = 0; i < n_train; i++)
        if (mark[i])
            set->row[set->n++] = i;
    return LT_OK;
}

// "10%" or "5000" of n
lt_status lti_forget_amount(const char *text, int64_t n, int64_t *amount)
{
    size_t len = strlen(text);
    if (len > 1 && text[len - 1] == '%' && len < 32) {
        char number[32];
        double percent;
        memcpy(number, text, len - 1);
        number[len - 1] = '\0';
        LT_TRY(lti_parse_f64(number, "forget set: percentage", 0, 100, &percent));
        *amount = (int64_t)floor(percent / 100 * (double)n + 0.5);
        return LT_OK;
    }
    return lti_parse_i64(text, "forget set: number of samples", 1, n, amount);
}

// Class-blind, without replacement: the head of one permutation, so a larger set contains a smaller one of the same
// seed.
static lt_status mark_random(const lt_dataset *ds, const char *spec, uint64_t seed, uint8_t *mark, int64_t *n)
{
    const char *text = spec + strlen("random:");
    int64_t n_train = ds->split[LT_TRAIN].n;
    LT_TRY(lti_forget_amount(text, n_train, n));
    int64_t *perm = lti_malloc((size_t)n_train * sizeof *perm);
    if (!perm)
        return LTI_NOMEM("forget set");
    lt_rng_permutation(seed, LT_STREAM_FORGET, 0, n_train, perm);
    for (int64_t i = 0; i < *n; i++)
        mark[perm[i]] = 1;
    lti_free(perm);
    return LT_OK;
}

typedef struct labelling { // of the training split
    const char *word;      // "class", "superclass", "subclass"
    const int32_t *y;      // (n)
    const char *const *name;
    int n;
} labelling;

static int find_class(const labelling *l, const char *word)
{
    for (int k = 0; k < l->n; k++)
        if (strcmp(l->name[k], word) == 0)
            return k;
    char *end;
    errno = 0;
    long k = strtol(word, &end, 10);
    return end != word && *end == '\0' && errno == 0 && k >= 0 && k < l->n ? (int)k : -1;
}

// "3,7" or "cat,horse"
static lt_status mark_labels(const lt_dataset *ds, const labelling *l, const char *text, uint8_t *mark, int64_t *n)
{
    const lt_split_data *d = &ds->split[LT_TRAIN];
    char *copy = lti_strdup(text);
    if (!copy)
        return LTI_NOMEM("forget set");
    lt_status status = LT_OK;
    for (char *word = copy, *next; word; word = next) {
        next = strchr(word, ',');
        if (next)
            *next++ = '\0';
        int k = find_class(l, word);
        if (k < 0) {
            status = LT_FAIL(LT_E_USAGE, "forget set %s:%s: no class '%s', expected 0..%d or a class name", l->word,
                             text, word, l->n - 1);
            break;
        }
        int64_t before = *n;
        for (int64_t i = 0; i < d->n; i++) {
            if (l->y[i] != k)
                continue;
            if (mark[i]) {
                status = LT_FAIL(LT_E_USAGE, "forget set %s:%s: class '%s' appears twice", l->word, text, word);
                break;
            }
            mark[i] = 1;
            ++*n;
        }
        if (status == LT_OK && *n == before)
            status = LT_FAIL(LT_E_USAGE, "forget set %s:%s: class '%s' has no training samples", l->word, text, word);
        if (status != LT_OK)
            break;
    }
    lti_free(copy);
    return status;
}

static lt_status mark_classes(const lt_dataset *ds, const char *spec, uint64_t seed, uint8_t *mark, int64_t *n)
{
    const labelling own = {"class", ds->split[LT_TRAIN].y, ds->class_names, ds->n_classes};
    (void)seed;
    return mark_labels(ds, &own, spec + strlen("class:"), mark, n);
}

// By the hierarchy that the set is not read by.
static lt_status mark_other(const lt_dataset *ds, const char *text, bool finer, uint8_t *mark, int64_t *n)
{
    const char *word = finer ? "subclass" : "superclass";
    const lt_split_data *d = &ds->split[LT_TRAIN];
    if (!d->other) {
        (void)LT_FAIL(LT_E_USAGE, "forget set %s:%s: %s has no %ses", word, text, ds->kind, word);
        return lt_error_hint("cifar100 has them; --forget class:NAME takes a class of this set");
    }
    if (ds->other_is_finer != finer) {
        (void)LT_FAIL(LT_E_USAGE, "forget set %s:%s: %s is read by its %s classes, which have no %ses", word, text,
                      ds->kind, finer ? "fine" : "coarse", word);
        return lt_error_hint(finer ? "--data cifar100,coarse=1 reads it by superclasses"
                                   : "--data cifar100 without coarse=1 reads it by its 100 classes");
    }
    const labelling other = {word, d->other, ds->other_names, ds->n_other};
    return mark_labels(ds, &other, text, mark, n);
}

static lt_status mark_superclasses(const lt_dataset *ds, const char *spec, uint64_t seed, uint8_t *mark, int64_t *n)
{
    (void)seed;
    return mark_other(ds, spec + strlen("superclass:"), false, mark, n);
}

static lt_status mark_subclasses(const lt_dataset *ds, const char *spec, uint64_t seed, uint8_t *mark, int64_t *n)
{
    (void)seed;
    return mark_other(ds, spec + strlen("subclass:"), true, mark, n);
}

// ---- lists of ids

// "name:cat/1.png" and "digest:HEX": what one line of a list may say.
static lt_status mark_named(const lt_dataset *ds, const char *spec, uint64_t seed, uint8_t *mark, int64_t *n)
{
    (void)seed;
    lti_matcher *matcher;
    const int64_t *row;
    LT_TRY(lti_matcher_create(ds, &matcher));
    const char *text = strncmp(spec, "name:", 5) == 0 ? spec + 5 : spec;
    lt_status status = lti_matcher_find(matcher, text, &row, n);
    if (status == LT_OK && *n == 0)
        status = LT_FAIL(LT_E_USAGE, "forget set %s: no training sample has this name or content", spec);
    else if (status == LT_OK && *n > 1 && text != spec && !lti_is_pattern(text))
        status = LT_FAIL(LT_E_USAGE, "forget set %s: %lld training samples have this name, the first two are %s and %s",
                         spec, (long long)*n, ds->split[LT_TRAIN].name[row[0]], ds->split[LT_TRAIN].name[row[1]]);
    for (int64_t i = 0; status == LT_OK && i < *n; i++)
        mark[row[i]] = 1;
    lti_matcher_destroy(matcher);
    return status;
}

lt_status lt_forget_parse(const lt_dataset *ds, const char *spec, uint64_t seed, lt_index_set *forget)
{
    *forget = (lt_index_set){0};
    if (strncmp(spec, "file:", 5) == 0)
        return lti_forget_file_parse(ds, spec + 5, forget);
    static const struct {
        const char *prefix;
        lt_status (*mark)(const lt_dataset *ds, const char *spec, uint64_t seed, uint8_t *mark, int64_t *n);
    } forms[] = {{"random:", mark_random}, {"class:", mark_classes},           {"name:", mark_named},
                 {"digest:", mark_named},  {"superclass:", mark_superclasses}, {"subclass:", mark_subclasses}};
    const int n_forms = (int)(sizeof forms / sizeof *forms);
    int form = 0;
    while (form < n_forms && strncmp(spec, forms[form].prefix, strlen(forms[form].prefix)) != 0)
        form++;
    if (form == n_forms) {
        LT_FAIL(LT_E_USAGE, "'%s' is not a forget set", spec);
        return lt_error_hint("expected random:10%%, random:5000, class:3,7, superclass:NAME, subclass:NAME, "
                             "name:cat/0017.png, digest:HEX or "
                             "file:LIST.csv");
    }
    int64_t n = 0;
    uint8_t *mark = lti_calloc((size_t)ds->split[LT_TRAIN].n + 1, 1);
    if (!mark)
        return LTI_NOMEM("forget set");
    lt_status status = forms[form].mark(ds, spec, seed, mark, &n);
    if (status == LT_OK)
        status = lti_forget_from_marks(ds, mark, n, LT_E_USAGE, spec, forget);
    lti_free(mark);
    return status;
}

lt_status lt_forget_write(const lt_dataset *ds, const lt_index_set *forget, const char *path)
{
    lti_buf buf = {0};
    lti_buf_printf(&buf, "unlearn_idx\n");
    for (int64_t i = 0; i < forget->n; i++)
        lti_buf_printf(&buf, "%lld\n", (long long)ds->split[LT_TRAIN].id[forget->row[i]]);
    lt_status status = buf.failed ? LTI_NOMEM("forget list") : lt_write_file_atomic(path, buf.data, buf.n);
    lti_buf_clear(&buf);
    return status;
}
