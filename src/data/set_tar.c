// set_tar.c - tar archives: WebDataset shards, or the class folders of one archive.
//
// In a shard a sample is a run of files that share a name up to the first dot: NAME.jpg (or .jpeg, .png) and NAME.cls,
// the label as a decimal number; other parts are skipped. A folder of shards is split by name: train*.tar and
// everything not called test*, val* or valid* is for training; folders train/ and test/ (val/, valid/) work too.
// Samples are numbered shard after shard, by sorted name. An entry __classes__ names the classes, one a line; a single
// archive that has it may hold both splits, in train/ and test/. A single archive without .cls files is read as class
// folders: train/CLASS/..., test/CLASS/...
#include "data_impl.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_CLS_BYTES = 64, MAX_KEY = 1024 };

typedef struct sample { // of a shard, while its files come by
    char key[MAX_KEY];
    char image_name[2 * MAX_KEY]; // for messages: archive and entry
    uint8_t *image;
    size_t n;
    int32_t y;
    bool labelled;
    lt_split split;
} sample;

// Hidden files are leftovers of the system that packed the archive.
static bool is_hidden(const char *name)
{
    const char *slash = strrchr(name, '/');
    return (slash ? slash[1] : name[0]) == '.';
}

// "dir/0001.seg.png" -> key "dir/0001", rest "seg.png"
static const char *split_key(const char *name, size_t *key_len)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name, *dot = strchr(base, '.');
    *key_len = dot ? (size_t)(dot - name) : strlen(name);
    return dot ? dot + 1 : "";
}

static bool is_image_part(const char *rest)
{
    return strcasecmp(rest, "jpg") == 0 || strcasecmp(rest, "jpeg") == 0 || strcasecmp(rest, "png") == 0;
}

static lt_status parse_label(const char *shard, const char *name, const uint8_t *bytes, size_t n, int32_t *y)
{
    int64_t v = 0;
    size_t i = 0, end = n;
    while (end > 0 && (bytes[end - 1] == '\n' || bytes[end - 1] == '\r' || bytes[end - 1] == ' '))
        end--;
    for (; i < end && bytes[i] >= '0' && bytes[i] <= '9' && v < LTI_MAX_CLASSES; i++)
        v = 10 * v + (bytes[i] - '0');
    if (end == 0 || i < end || v >= LTI_MAX_CLASSES)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: not a class number, expected 0..%d", shard, name, LTI_MAX_CLASSES - 1);
    *y = (int32_t)v;
    return LT_OK;
}

static lt_status flush(sample *s, const char *shard, lti_image_list *list)
{
    lt_status status = LT_OK;
    if (s->image && !s->labelled)
        status = LT_FAIL(LT_E_FORMAT, "%s: sample '%s' has an image but no .cls file", shard, s->key);
    else if (s->labelled && !s->image)
        status = LT_FAIL(LT_E_FORMAT, "%s: sample '%s' has a .cls file but no image", shard, s->key);
    else if (s->image)
        status = lti_image_list_add(list, s->split, s->y, s->image_name, s->image, s->n);
    lti_free(s->image);
    *s = (sample){0};
    return status;
}

static lt_status take_file(lti_tar *tar, const char *shard, const char *name, const char *rest, sample *s)
{
    if (is_image_part(rest)) {
        if (s->image)
            return LT_FAIL(LT_E_FORMAT, "%s: sample '%s' has two images", shard, s->key);
        snprintf(s->image_name, sizeof s->image_name, "%s: %s", shard, name);
        return lti_tar_read(tar, LTI_MAX_IMAGE_BYTES, &s->image, &s->n);
    }
    if (strcasecmp(rest, "cls") == 0) {
        uint8_t *bytes;
        size_t n;
        if (s->labelled)
            return LT_FAIL(LT_E_FORMAT, "%s: sample '%s' has two labels", shard, s->key);
        LT_TRY(lti_tar_read(tar, MAX_CLS_BYTES, &bytes, &n));
        lt_status status = parse_label(shard, name, bytes, n, &s->y);
        lti_free(bytes);
        s->labelled = true;
        return status;
    }
    return LT_OK;
}

// Every shard that names classes names the same ones.
static lt_status take_classes(lti_tar *tar, const char *shard, lti_image_list *list)
{
    enum { MAX_BYTES = 1 << 24 };
    uint8_t *bytes;
    size_t n;
    LT_TRY(lti_tar_read(tar, MAX_BYTES, &bytes, &n));
    char *text = lti_malloc(n + 1), *line = text;
    lt_status status = text ? LT_OK : LTI_NOMEM("class names");
    const int n_before = list->n_classes;
    int32_t k = 0;
    if (text) {
        memcpy(text, bytes, n);
        text[n] = '\0';
    }
    for (char *end; status == LT_OK && (end = strchr(line, '\n')); line = end + 1, k++) {
        int32_t y = k;
        *end = '\0';
        status = lti_image_list_class(list, line, &y);
        if (status == LT_OK && (y != k || (n_before > 0 && k >= n_before)))
            status = LT_FAIL(LT_E_FORMAT, "%s: %s: class %d is '%s', expected another name", shard, LTI_CLASSES_ENTRY,
                             k, line);
    }
    if (status == LT_OK && (k == 0 || k < n_before || *line))
        status = LT_FAIL(LT_E_FORMAT, "%s: %s: %d lines, expected %d or more that end in a line break", shard,
                         LTI_CLASSES_ENTRY, k, n_before > 1 ? n_before : 1);
    lti_free(text);
    lti_free(bytes);
    return status;
}

typedef enum part { PART_OTHER, PART_TRAIN, PART_TEST, PART_VAL } part;

static part part_of(const char *name, size_t n)
{
    static const struct {
        const char *name;
        part part;
    } known[] = {{"train", PART_TRAIN}, {"test", PART_TEST}, {"val", PART_VAL}, {"valid", PART_VAL}};
    for (size_t k = 0; k < sizeof known / sizeof *known; k++)
        if (n == strlen(known[k].name) && memcmp(name, known[k].name, n) == 0)
            return known[k].part;
    return PART_OTHER;
}

static lt_split split_of(const char *name, lt_split split, const lti_image_list *list)
{
    const part p = list->in_parts && list->n_classes > 0 ? part_of(name, strcspn(name, "/")) : PART_OTHER;
    return p == PART_OTHER ? split : p == PART_TRAIN ? LT_TRAIN : LT_TEST;
}

lt_status lti_shard_parse(lti_tar *tar, const char *label, lt_split split, lti_image_list *list)
{
    sample s = {0};
    lt_status status = LT_OK;
    list->numbered = list->archived = true;
    for (;;) {
        const char *name;
        int64_t size;
        size_t key_len;
        LT_TRY_GOTO(lti_tar_next(tar, &name, &size), out);
        if (!name)
            break;
        if (is_hidden(name))
            continue;
        if (strcmp(name, LTI_CLASSES_ENTRY) == 0) {
            LT_TRY_GOTO(take_classes(tar, label, list), out);
            continue;
        }
        const char *rest = split_key(name, &key_len);
        if (key_len >= MAX_KEY) {
            status = LT_FAIL(LT_E_FORMAT, "%s: a file name of %zu characters, expected less than %d", label, key_len,
                             MAX_KEY);
            goto out;
        }
        if (strlen(s.key) != key_len || memcmp(s.key, name, key_len) != 0) {
            LT_TRY_GOTO(flush(&s, label, list), out);
            memcpy(s.key, name, key_len);
            s.split = split_of(name, split, list);
        }
        LT_TRY_GOTO(take_file(tar, label, name, rest, &s), out);
    }
    LT_TRY_GOTO(flush(&s, label, list), out);
out:
    lti_free(s.image);
    return status;
}

static lt_status read_shard(const char *path, lt_split split, lti_image_list *list)
{
    lti_tar *tar;
    LT_TRY(lti_tar_open(path, &tar));
    lt_status status = lti_shard_parse(tar, path, split, list);
    lti_tar_close(tar);
    return status;
}

// ---- class folders inside one archive

// "set/train/cat/1.png": the first part called train, test, val or valid, and the class from the part after it. Without
// such a part the class is the folder the file is in. PART_OTHER and an empty class when there is none.
static part parse_entry(const char *name, char *class_name, size_t cap)
{
    const char *last = strrchr(name, '/'), *from = name, *to = last;
    part found = PART_OTHER;
    class_name[0] = '\0';
    if (!last)
        return PART_OTHER;
    for (const char *p = name, *slash; found == PART_OTHER && (slash = strchr(p, '/')); p = slash + 1) {
        found = part_of(p, (size_t)(slash - p));
        from = slash < last || found != PART_OTHER ? slash + 1 : from;
    }
    if (found != PART_OTHER)
        to = strchr(from, '/');
    if (to && to > from && (size_t)(to - from) < cap && !(to - from == 1 && *from == '.'))
        snprintf(class_name, cap, "%.*s", (int)(to - from), from);
    return found;
}

static lt_status add_entry(lti_tar *tar, const lti_open_args *args, lti_image_list *list, lt_split split, int32_t y,
                           const char *name)
{
    uint8_t *bytes;
    size_t n;
    char *path = lti_asprintf("%s: %s", args->path, name); // name does not outlive the read
    if (!path)
        return LTI_NOMEM("file name");
    lt_status status = lti_tar_read(tar, LTI_MAX_IMAGE_BYTES, &bytes, &n);
    if (status == LT_OK) {
        status = lti_image_list_add(list, split, y, path, bytes, n);
        lti_free(bytes);
    }
    lti_free(path);
    return status;
}

lt_status lti_tar_folder_parse(lti_tar *tar, const lti_open_args *args, bool *has_test, lti_image_list *list)
{
    int32_t y = -1;
    for (;;) {
        const char *name;
        int64_t size;
        char class_name[256];
        LT_TRY(lti_tar_next(tar, &name, &size));
        if (!name)
            return LT_OK;
        if (!lti_image_name(name) || is_hidden(name))
            continue;
        part p = parse_entry(name, class_name, sizeof class_name);
        if (!class_name[0])
            return LT_FAIL(LT_E_FORMAT, "%s: %s: %s is not in a class folder", args->kind, args->path, name);
        if (!list) {
            *has_test |= p == PART_TEST;
            continue;
        }
        if (p == PART_VAL && *has_test)
            continue;
        LT_TRY(lti_image_list_class(list, class_name, &y));
        LT_TRY(add_entry(tar, args, list, p == PART_TEST || p == PART_VAL ? LT_TEST : LT_TRAIN, y, name));
    }
}

lt_status lti_read_tar_folder(const lti_open_args *args, const char *file, lti_raw *raw)
{
    lti_image_list list;
    bool has_test = false;
    lt_status status = LT_OK;
    LT_TRY(lti_image_list_init(&list, args));
    list.archived = true;
    for (int pass = 0; pass < 2 && status == LT_OK; pass++) {
        lti_tar *tar;
        LT_TRY_GOTO(lti_tar_open(file, &tar), out);
        status = lti_tar_folder_parse(tar, args, &has_test, pass == 0 ? NULL : &list);
        lti_tar_close(tar);
    }
    if (status != LT_OK)
        goto out;
    LT_TRY_GOTO(lti_image_list_finish(&list, raw), out);
    raw->missing[LT_TRAIN] = raw->split[LT_TRAIN].n ? NULL : "no images train/CLASS/NAME.png or .jpg in the archive";
    raw->missing[LT_TEST] = raw->split[LT_TEST].n ? NULL : "no images test/CLASS/NAME.png or .jpg in the archive";
out:
    lti_image_list_clear(&list);
    return status;
}

// ---- the kind

bool lti_is_shard_name(const char *name)
{
    static const char *const ends[] = {".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2", ".tar.zst"};
    size_t n = strlen(name);
    for (size_t k = 0; k < sizeof ends / sizeof *ends; k++) {
        size_t m = strlen(ends[k]);
        if (n > m && strcasecmp(name + n - m, ends[k]) == 0)
            return true;
    }
    return false;
}

static bool is_test_shard(const char *name)
{
    return strncmp(name, "test", 4) == 0 || strncmp(name, "val", 3) == 0;
}

// The shards of one split; by_name: the folder holds both, and names tell.
static lt_status read_shards(const lti_open_args *args, const char *dir, lt_split split, bool by_name,
                             lti_image_list *list)
{
    lti_paths names;
    lt_status status = LT_OK;
    LT_TRY(lti_list_dir(args, dir, &names));
    for (int64_t i = 0; i < names.n && status == LT_OK; i++) {
        const char *name = names.name[i];
        if (!lti_is_shard_name(name) || (by_name && is_test_shard(name) != (split == LT_TEST)))
            continue;
        const char *path = lti_join(&names.arena, dir, name);
        status = path ? read_shard(path, split, list) : LTI_NOMEM("path");
    }
    lti_paths_clear(&names);
    return status;
}

// train/ and test/ (or val/, valid/), or all shards in one folder
static lt_status read_shard_dir(const lti_open_args *args, lti_arena *arena, lti_image_list *list)
{
    static const char *const sub[] = {"train", "test", "val", "valid"};
    const char *path[4], *test = NULL;
    for (int k = 0; k < 4; k++) {
        path[k] = lti_join(arena, args->path, sub[k]);
        if (!path[k])
            return LTI_NOMEM("path");
        if (k > 0 && !test && lti_is_set_dir(args, path[k]))
            test = path[k];
    }
    bool train = lti_is_set_dir(args, path[0]), apart = train || test;
    if (!apart || train)
        LT_TRY(read_shards(args, apart ? path[0] : args->path, LT_TRAIN, !apart, list));
    if ((apart && !test) || (args->skip_test && list->split[LT_TRAIN].n > 0))
        return LT_OK;
    return read_shards(args, apart ? test : args->path, LT_TEST, !apart, list);
}

static lt_status has_labels(const char *path, bool *labels)
{
    lti_tar *tar;
    *labels = false;
    LT_TRY(lti_tar_open(path, &tar));
    const char *name;
    int64_t size;
    lt_status status = LT_OK;
    do {
        status = lti_tar_next(tar, &name, &size);
        size_t n = status == LT_OK && name ? strlen(name) : 0;
        *labels = n > 4 && strcasecmp(name + n - 4, ".cls") == 0;
    } while (status == LT_OK && name && !*labels);
    lti_tar_close(tar);
    return status;
}

lt_status lti_open_tar(const lti_open_args *args, lti_raw *raw)
{
    bool dir = lti_is_dir(args->path), labels = true;
    if (!dir)
        LT_TRY(has_labels(args->path, &labels));
    if (!labels)
        return lti_read_tar_folder(args, args->path, raw);
    lti_image_list list;
    LT_TRY(lti_image_list_init(&list, args));
    list.numbered = true;
    list.in_parts = !dir;
    lt_status status = LT_OK;
    if (dir)
        LT_TRY_GOTO(read_shard_dir(args, &raw->arena, &list), out);
    else
        LT_TRY_GOTO(read_shard(args->path, LT_TRAIN, &list), out);
    LT_TRY_GOTO(lti_image_list_finish(&list, raw), out);
    raw->missing[LT_TRAIN] =
        raw->split[LT_TRAIN].n ? NULL : "no training shards (*.tar with NAME.jpg or .png and NAME.cls)";
    raw->missing[LT_TEST] = raw->split[LT_TEST].n ? NULL : "no shards called test* or val*";
out:
    lti_image_list_clear(&list);
    return status;
}
