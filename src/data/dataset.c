// dataset.c - the registry of kinds, opening by spec, sets from arrays, and the digest.
//
// A reader makes an lti_raw; this file does what is the same for all kinds: finding the path under $LETHE_DATA,
// refusing unknown keys, checking what the reader made, subsets, digest. An opened set never changes, so threads share
// it freely.
#include "data_impl.h"
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define COMMON_KEYS "train-limit,test-limit,classes,holdout,subset-seed,allow-partial"

static const lt_dataset_kind kinds[] = {
#define LT_SET(id, name_, title_, keys_, folders_)                                                                     \
    {.name = (name_), .title = (title_), .keys = sizeof(keys_) > 1 ? keys_ "," COMMON_KEYS : COMMON_KEYS},
#include "sets.list"
#undef LT_SET
};
static const struct {
    lti_open_fn *open;
    const char *folders;
} readers[] = {
#define LT_SET(id, name_, title_, keys_, folders_) {lti_open_##id, folders_},
#include "sets.list"
#undef LT_SET
};
enum { N_KINDS = sizeof kinds / sizeof *kinds };

const lt_dataset_kind *lt_dataset_kinds(int *n)
{
    *n = N_KINDS;
    return kinds;
}

lt_status lti_key_i64(const lti_spec *spec, const char *key, int64_t min, int64_t max, int64_t def, int64_t *out)
{
    const char *text = lti_spec_get(spec, key);
    *out = def;
    return text ? lti_parse_i64(text, key, min, max, out) : LT_OK;
}

static lt_status find_kind(const char *name, int *kind)
{
    const char *names[N_KINDS + 1] = {NULL};
    for (int i = 0; i < N_KINDS; i++) {
        names[i] = kinds[i].name;
        if (strcmp(name, kinds[i].name) == 0) {
            *kind = i;
            return LT_OK;
        }
    }
    LT_FAIL(LT_E_USAGE, "no kind of data set is called '%s'", name);
    return lti_name_hint(name, names);
}

static lt_status check_keys(const lt_dataset_kind *kind, const lti_spec *spec)
{
    enum { MAX_KEYS = 24 };
    char text[512];
    const char *known[MAX_KEYS + 1] = {NULL};
    snprintf(text, sizeof text, "%s", kind->keys);
    int n = 0;
    char *save = NULL;
    for (char *word = strtok_r(text, ",", &save); word && n < MAX_KEYS; word = strtok_r(NULL, ",", &save))
        known[n++] = word;
    for (int i = 0; i < spec->n; i++) {
        for (char *p = spec->key[i]; *p; p++)
            *p = *p == '_' ? '-' : *p; // the same in all names
        bool found = false;
        for (int k = 0; k < n && !found; k++)
            found = strcmp(spec->key[i], known[k]) == 0;
        if (found)
            continue;
        lt_status status = LT_FAIL(LT_E_USAGE, "%s: no key '%s'", kind->name, spec->key[i]);
        const char *near = lt_nearest(spec->key[i], known);
        if (near)
            lt_error_hint("did you mean '%s'?", near);
        else
            lt_error_hint("its keys are %s", kind->keys);
        return status;
    }
    return LT_OK;
}

static lt_status check_path(const char *kind, const char *path)
{
    struct stat st;
    if (stat(path, &st) != 0) {
        if (errno != ENOENT && errno != ENOTDIR)
            return lti_errno_fail("read", path);
        (void)LT_FAIL(LT_E_INPUT, "%s: %.400s: no such file or directory", kind, path);
        return lt_error_hint("write %s:PATH; without PATH the set is looked up under $LETHE_DATA", kind);
    }
    if (S_ISDIR(st.st_mode) || S_ISREG(st.st_mode))
        return LT_OK;
    return LT_FAIL(LT_E_INPUT, "%s: %.400s: expected a file or a folder, found a device or a pipe", kind, path);
}

// The given path, or the first usual folder that exists under $LETHE_DATA.
static lt_status find_path(const char *kind, const char *folders, lti_spec *spec, const char **path)
{
    *path = spec->path;
    if (!folders) {
        if (spec->path)
            return LT_FAIL(LT_E_USAGE, "%s: reads no files, but a path was given: %s", kind, spec->path);
        return LT_OK;
    }
    if (*path)
        return check_path(kind, *path);
    if (!*folders)
        return LT_FAIL(LT_E_USAGE, "%s: needs a path: %s:PATH", kind, kind);
    const char *root = getenv("LETHE_DATA");
    if (!root || !*root) {
        lt_status status = LT_FAIL(LT_E_USAGE, "%s: no path given, and LETHE_DATA is not set", kind);
        lt_error_hint("write %s:PATH, or set LETHE_DATA to the folder that holds %.*s/", kind,
                      (int)strcspn(folders, "|"), folders);
        return status;
    }
    for (const char *f = folders; f; f = strchr(f, '|'), f = f ? f + 1 : NULL) {
        char name[64];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(f, "|"), f);
        const char *candidate = lti_join(&spec->arena, root, name);
        if (!candidate)
            return LTI_NOMEM("path");
        if (lti_is_dir(candidate)) {
            *path = candidate;
            return LT_OK;
        }
    }
    lt_status status = LT_FAIL(LT_E_INPUT, "%s: no folder %.*s in %s", kind, (int)strcspn(folders, "|"), folders, root);
    lt_error_hint("write %s:PATH, or set LETHE_DATA to the folder that holds the set; `lethe data get` downloads "
                  "official sets",
                  kind);
    return status;
}

// Both splits found, or somebody said that it does not matter.
static lt_status check_splits(const lti_open_args *args, const lti_raw *raw, bool holdout)
{
    static const char *const split_name[2] = {"training", "test"};
    for (int s = 0; s < 2; s++) {
        const char *missing = raw->missing[s] ? raw->missing[s] : "its files hold no samples";
        int64_t other = raw->split[1 - s].n;
        if (raw->split[s].n > 0 || (other > 0 && (args->allow_partial || holdout)))
            continue;
        lt_status status = LT_FAIL(LT_E_INPUT, "%s: %s: no %s split: %s", args->kind, args->path ? args->path : "-",
                                   split_name[s], missing);
        if (other > 0)
            lt_error_hint("holdout=N takes a test split of N samples from the %lld samples; allow-partial=1 opens "
                          "the set without this split",
                          (long long)other);
        return status;
    }
    return LT_OK;
}

static void add_i64(lti_hash *hash, int64_t v)
{
    unsigned char le[8];
    for (int i = 0; i < 8; i++)
        le[i] = (unsigned char)((uint64_t)v >> (8 * i));
    lti_hash_add(hash, le, sizeof le);
}

static void digest_of(const lti_raw *raw, char out[65])
{
    lti_hash hash;
    lti_hash_init(&hash);
    add_i64(&hash, raw->c);
    add_i64(&hash, raw->h);
    add_i64(&hash, raw->w);
    add_i64(&hash, raw->n_classes);
    for (int s = 0; s < 2; s++) {
        const lti_raw_split *d = &raw->split[s];
        add_i64(&hash, d->n);
        for (int64_t i = 0; i < d->n; i++) {
            add_i64(&hash, d->y[i]);
            add_i64(&hash, d->id[i]);
        }
        lti_hash_add(&hash, d->x, (size_t)d->n * lti_raw_sample_bytes(raw));
    }
    lti_hash_hex(&hash, out);
}

void lt_index_set_digest(const lt_dataset *ds, lt_split split, const lt_index_set *set, char out[65])
{
    lti_hash hash;
    lti_hash_init(&hash);
    add_i64(&hash, split);
    add_i64(&hash, set->n);
    for (int64_t i = 0; i < set->n; i++)
        add_i64(&hash, ds->split[split].id[set->row[i]]);
    lti_hash_hex(&hash, out);
}

static lt_status number_names(lti_raw *raw)
{
    if (raw->class_name)
        return LT_OK;
    const char **name = lti_arena_alloc(&raw->arena, (size_t)raw->n_classes * sizeof *name);
    if (!name)
        return LTI_NOMEM("class names");
    for (int k = 0; k < raw->n_classes; k++) {
        char buf[16];
        snprintf(buf, sizeof buf, "%d", k);
        name[k] = lti_arena_strdup(&raw->arena, buf);
        if (!name[k])
            return LTI_NOMEM("class names");
    }
    raw->class_name = name;
    return LT_OK;
}

lt_status lti_dataset_make(const char *kind, const char *spec, lti_raw *raw, lt_dataset **out)
{
    LT_TRY(number_names(raw));
    lti_dataset *ds = lti_calloc(1, sizeof *ds);
    char *kind_copy = lti_arena_strdup(&raw->arena, kind), *spec_copy = lti_arena_strdup(&raw->arena, spec);
    if (!ds || !kind_copy || !spec_copy) {
        lti_free(ds);
        return LTI_NOMEM("data set");
    }
    ds->raw = *raw;
    *raw = (lti_raw){0};
    const lti_raw *r = &ds->raw;
    ds->pub = (lt_dataset){.c = r->c,
                           .h = r->h,
                           .w = r->w,
                           .n_classes = r->n_classes,
                           .steps = r->steps,
                           .flip = r->flip,
                           .class_names = r->class_name,
                           .kind = kind_copy,
                           .spec = spec_copy,
                           .owner = ds};
    for (int s = 0; s < 2; s++)
        ds->n_read[s] = r->split[s].n;
    lti_dataset_refresh(ds);
    *out = &ds->pub;
    return LT_OK;
}

void lti_dataset_refresh(lti_dataset *ds)
{
    const lti_raw *r = &ds->raw;
    ds->pub.n_classes = r->n_classes;
    ds->pub.class_names = r->class_name;
    ds->pub.other_names = r->other_name;
    ds->pub.n_other = r->n_other;
    ds->pub.other_is_finer = r->other_is_finer;
    for (int s = 0; s < 2; s++) {
        const lti_raw_split *d = &r->split[s];
        ds->pub.split[s] = (lt_split_data){
            .n = d->n, .x = d->x, .y = d->y, .id = d->id, .other = d->other, .name = (const char *const *)d->name};
    }
    digest_of(r, ds->pub.digest);
}

static lt_status open_kind(int kind, lti_open_args *args, const char *text, lt_dataset **ds)
{
    lti_raw raw = {0};
    lt_status status = LT_OK;
    int64_t n_read[2];
    LT_TRY_GOTO(readers[kind].open(args, &raw), fail);
    LT_TRY_GOTO(check_splits(args, &raw, lti_spec_get(args->spec, "holdout") != NULL), fail);
    for (int s = 0; s < 2; s++)
        n_read[s] = raw.split[s].n;
    LT_TRY_GOTO(lti_subset_apply(args, &raw), fail);
    LT_TRY_GOTO(lti_dataset_make(args->kind, text, &raw, ds), fail);
    memcpy(((lti_dataset *)(*ds)->owner)->n_read, n_read, sizeof n_read);
    return LT_OK;
fail:
    lti_raw_clear(&raw);
    return status;
}

// The folder that links must not lead out of: the set's own, or the one its file lies in.
static char *resolve_root(const char *path)
{
    char *root = path ? realpath(path, NULL) : NULL, *slash = root ? strrchr(root, '/') : NULL;
    if (slash && !lti_is_dir(root))
        slash[slash == root] = '\0';
    return root;
}

static void warn_of_skipped(const lti_open_args *args)
{
    if (args->skipped->n > 0)
        lt_warn(
            args->events, "data.skipped",
            "%s: %s: %lld entries were skipped because they are pipes, sockets, devices or symbolic links that lead "
            "out of the data set or nowhere; the first is %s",
            args->kind, args->path, (long long)args->skipped->n, args->skipped->first);
}

lt_status lt_dataset_open(const char *text, lt_events *events, lt_dataset **ds)
{
    *ds = NULL;
    lti_spec spec = {0};
    LT_TRY(lti_spec_parse(text, &spec));
    int kind = 0;
    int64_t partial;
    lti_open_args args = {.spec = &spec, .events = events};
    lti_skipped skipped = {0};
    char *root = NULL; // of realpath
    lt_status status = LT_OK;
    LT_TRY_GOTO(find_kind(spec.name, &kind), out);
    args.kind = kinds[kind].name;
    LT_TRY_GOTO(check_keys(&kinds[kind], &spec), out);
    LT_TRY_GOTO(lti_key_i64(&spec, "allow-partial", 0, 1, 0, &partial), out);
    args.allow_partial = partial != 0;
    args.skip_test = lti_spec_get(&spec, "holdout") != NULL;
    LT_TRY_GOTO(find_path(args.kind, readers[kind].folders, &spec, &args.path), out);
    args.root = root = resolve_root(args.path);
    args.skipped = &skipped;
    status = open_kind(kind, &args, text, ds);
    warn_of_skipped(&args); // also where it is why the set cannot be read
    LT_TRY_GOTO(status, out);
    lt_info(events, "data.open", "%s: %lld training and %lld test images, %dx%dx%d, %d classes", text,
            (long long)(*ds)->split[LT_TRAIN].n, (long long)(*ds)->split[LT_TEST].n, (*ds)->c, (*ds)->h, (*ds)->w,
            (*ds)->n_classes);
out:
    free(root);
    lti_spec_clear(&spec);
    return status;
}

static lt_status copy_split(lti_raw *raw, lt_split s, int64_t n, const uint8_t *x, const int32_t *y)
{
    static const char *const split_name[2] = {"training", "test"};
    LT_TRY(lti_raw_reserve(raw, s, n));
    for (int64_t i = 0; i < n; i++) {
        uint8_t *to;
        if (y[i] < 0 || y[i] >= raw->n_classes)
            return LT_FAIL(LT_E_FORMAT, "%s sample %lld: label %d, expected 0..%d", split_name[s], (long long)i, y[i],
                           raw->n_classes - 1);
        LT_TRY(lti_raw_append(raw, s, y[i], &to));
        memcpy(to, x + (size_t)i * lti_raw_sample_bytes(raw), lti_raw_sample_bytes(raw));
    }
    return LT_OK;
}

lt_status lt_dataset_from_arrays(int c, int h, int w, int n_classes, int64_t n_train, const uint8_t *train_x,
                                 const int32_t *train_y, int64_t n_test, const uint8_t *test_x, const int32_t *test_y,
                                 lt_dataset **ds)
{
    *ds = NULL;
    if (c < 1 || h < 1 || w < 1 || c > 4096 || h > LTI_MAX_SIDE || w > LTI_MAX_SIDE || n_classes < 1 ||
        n_classes > LTI_MAX_CLASSES || n_train < 0 || n_test < 0)
        return LT_FAIL(LT_E_USAGE, "arrays of %lld + %lld images %dx%dx%d in %d classes: not a data set",
                       (long long)n_train, (long long)n_test, c, h, w, n_classes);
    lti_raw raw = {.c = c, .h = h, .w = w, .n_classes = n_classes};
    lt_status status = LT_OK;
    LT_TRY_GOTO(copy_split(&raw, LT_TRAIN, n_train, train_x, train_y), fail);
    LT_TRY_GOTO(copy_split(&raw, LT_TEST, n_test, test_x, test_y), fail);
    LT_TRY_GOTO(lti_dataset_make("arrays", "arrays", &raw, ds), fail);
    return LT_OK;
fail:
    lti_raw_clear(&raw);
    return status;
}

void lt_dataset_close(lt_dataset *ds)
{
    if (!ds)
        return;
    lti_dataset *own = ds->owner;
    lti_raw_clear(&own->raw);
    lti_free(own);
}
