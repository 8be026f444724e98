// event_split.c - train and test recordings of sets that have no official split.
//
// The split follows from the names alone: within a class the recordings are ordered by the BLAKE2b digest of CLASS/FILE
// and the first tenth (rounded down, at least one where there are two) is the test split. Two recordings of one source
// image would be named alike up to a suffix; neither CIFAR10-DVS nor N-Caltech101 has such pairs, and split=FILE takes
// any other split.
#include "event_set.h"
#include "lethe/run.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SPLIT_BYTES = 1 << 26, TENTH = 10 };

void lti_event_list_clear(lti_event_list *list)
{
    lti_free(list->item);
    *list = (lti_event_list){0};
}

static lt_status add_item(lti_event_list *list, const lti_event_item *item)
{
    if (list->n == list->cap) {
        const int64_t cap = list->cap ? 2 * list->cap : 256;
        lti_event_item *more = lti_realloc(list->item, (size_t)cap * sizeof *more);
        if (!more)
            return LTI_NOMEM("file names");
        list->item = more;
        list->cap = cap;
    }
    list->item[list->n++] = *item;
    return LT_OK;
}

static lt_status list_class(const lti_open_args *args, const char *class_name, int32_t y, lti_raw *raw,
                            lti_event_list *list)
{
    lti_paths files;
    lt_status status = LT_OK;
    const char *dir = lti_join(&raw->arena, args->path, class_name);
    if (!dir)
        return LTI_NOMEM("file names");
    LT_TRY(lti_list_dir(args, dir, &files));
    for (int64_t i = 0; i < files.n && status == LT_OK; i++) {
        const lti_event_item item = {.path = lti_join(&raw->arena, dir, files.name[i]),
                                     .name = lti_join(&raw->arena, class_name, files.name[i]),
                                     .y = y};
        status = !item.path || !item.name ? LTI_NOMEM("file names")
                 : lti_is_dir(item.path)  ? LT_OK
                                          : add_item(list, &item);
    }
    lti_paths_clear(&files);
    return status;
}

static lt_status list_classes(const lti_open_args *args, lti_raw *raw, lti_event_list *list)
{
    lti_paths names;
    lt_status status = LT_OK;
    LT_TRY(lti_list_dir(args, args->path, &names));
    const char **class_name = lti_arena_alloc(&raw->arena, ((size_t)names.n + 1) * sizeof *class_name);
    if (!class_name)
        status = LTI_NOMEM("class names");
    for (int64_t i = 0; i < names.n && status == LT_OK; i++) {
        const char *dir = lti_join(&raw->arena, args->path, names.name[i]);
        const char *name = lti_arena_strdup(&raw->arena, names.name[i]);
        if (!dir || !name)
            status = LTI_NOMEM("class names");
        else if (lti_is_dir(dir) && raw->n_classes < LTI_MAX_CLASSES) {
            class_name[raw->n_classes] = name;
            status = list_class(args, name, raw->n_classes++, raw, list);
        }
    }
    lti_paths_clear(&names);
    raw->class_name = class_name;
    if (status == LT_OK && list->n == 0)
        status = LT_FAIL(LT_E_IO, "%s: %s: expected class folders with recordings, found none", args->kind, args->path);
    return status;
}

typedef struct rank {
    char digest[65];
    int64_t at;
} rank;

static int compare_ranks(const void *a, const void *b)
{
    return strcmp(((const rank *)a)->digest, ((const rank *)b)->digest);
}

static void digest_text(const char *text, char out[65])
{
    lti_hash h;
    lti_hash_init(&h);
    lti_hash_add(&h, text, strlen(text));
    lti_hash_hex(&h, out);
}

static lt_status split_by_name(lti_event_list *list)
{
    rank *r = lti_malloc((size_t)list->n * sizeof *r);
    if (!r)
        return LTI_NOMEM("a split");
    for (int64_t first = 0, end; first < list->n; first = end) {
        for (end = first; end < list->n && list->item[end].y == list->item[first].y; end++) {
            digest_text(list->item[end].name, r[end].digest);
            r[end].at = end;
        }
        const int64_t n = end - first, n_test = n >= TENTH ? n / TENTH : n > 1;
        qsort(r + first, (size_t)n, sizeof *r, compare_ranks);
        for (int64_t i = 0; i < n; i++)
            list->item[r[first + i].at].split = i < n_test ? LT_TEST : LT_TRAIN;
    }
    lti_free(r);
    return LT_OK;
}

static void digest_split(lti_event_list *list)
{
    lti_hash h;
    lti_hash_init(&h);
    for (int64_t i = 0; i < list->n; i++) {
        const char *word = list->item[i].split == LT_TEST ? "test " : "train ";
        lti_hash_add(&h, word, strlen(word));
        lti_hash_add(&h, list->item[i].name, strlen(list->item[i].name));
        lti_hash_add(&h, "\n", 1);
    }
    lti_hash_hex(&h, list->digest);
}

static int compare_item_name(const void *key, const void *item)
{
    return strcmp(key, ((const lti_event_item *)item)->name);
}

typedef struct lines {
    const char *label;
    uint8_t *seen; // (list->n)
    int64_t number, n_seen;
    char digest[65];
} lines;

static lt_status read_line(const char *line, lines *l, lti_event_list *list)
{
    static const char digest_word[] = "# digest ";
    if (!strncmp(line, digest_word, sizeof digest_word - 1)) {
        snprintf(l->digest, sizeof l->digest, "%.64s", line + sizeof digest_word - 1);
        return LT_OK;
    }
    if (*line == '#' || !*line)
        return LT_OK;
    const bool test = !strncmp(line, "test ", 5), train = !strncmp(line, "train ", 6);
    if (!test && !train)
        return LT_FAIL(LT_E_FORMAT, "%s: line %lld: expected 'train NAME' or 'test NAME', found '%.60s'", l->label,
                       (long long)l->number, line);
    const char *name = line + (test ? 5 : 6);
    lti_event_item *item = bsearch(name, list->item, (size_t)list->n, sizeof *item, compare_item_name);
    if (!item || l->seen[item - list->item])
        return LT_FAIL(LT_E_FORMAT, "%s: line %lld: recording '%.200s' %s", l->label, (long long)l->number, name,
                       item ? "is listed twice" : "is missing");
    item->split = test ? LT_TEST : LT_TRAIN;
    l->seen[item - list->item] = 1;
    l->n_seen++;
    return LT_OK;
}

lt_status lti_event_split_parse(const char *text, size_t n, const char *label, lti_event_list *list)
{
    enum { LINE_MAX_BYTES = 4096 };
    char line[LINE_MAX_BYTES];
    lines l = {.label = label, .seen = lti_calloc((size_t)list->n + 1, 1)};
    lt_status status = l.seen ? LT_OK : LTI_NOMEM("a split");
    for (size_t at = 0; at < n && status == LT_OK;) {
        const char *end = memchr(text + at, '\n', n - at);
        size_t len = end ? (size_t)(end - text) - at : n - at;
        l.number++;
        if (len >= sizeof line || memchr(text + at, 0, len)) {
            status = LT_FAIL(LT_E_FORMAT, "%s: line %lld: expected text of fewer than %d bytes", label,
                             (long long)l.number, LINE_MAX_BYTES);
            break;
        }
        memcpy(line, text + at, len);
        at += len + 1;
        len -= len && line[len - 1] == '\r';
        line[len] = 0;
        status = read_line(line, &l, list);
    }
    lti_free(l.seen);
    LT_TRY(status);
    if (l.n_seen != list->n)
        return LT_FAIL(LT_E_FORMAT, "%s: lists %lld recordings, found %lld", label, (long long)l.n_seen,
                       (long long)list->n);
    digest_split(list);
    if (strcmp(l.digest, list->digest) != 0)
        return LT_FAIL(LT_E_INTEGRITY, "%s: expected a line '# digest %s', found '%s'", label, list->digest,
                       *l.digest ? l.digest : "none");
    return LT_OK;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const lti_event_item *)a)->name, ((const lti_event_item *)b)->name);
}

lt_status lti_event_list_open(const lti_open_args *args, lti_raw *raw, lti_event_list *list)
{
    LT_TRY(list_classes(args, raw, list));
    const char *file = lti_spec_get(args->spec, "split");
    if (file) {
        char *text;
        size_t n;
        qsort(list->item, (size_t)list->n, sizeof *list->item, compare_items);
        LT_TRY(lt_read_file(file, MAX_SPLIT_BYTES, &text, &n));
        lt_status status = lti_event_split_parse(text, n, file, list);
        lti_free(text);
        return status;
    }
    LT_TRY(split_by_name(list));
    digest_split(list);
    return LT_OK;
}
