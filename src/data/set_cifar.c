// set_cifar.c - CIFAR-10 and CIFAR-100: the official binary files, class folders of images, or a tar of either.
//
// A binary record is one label byte (two for CIFAR-100: coarse, fine), then the red, green and blue planes, 32x32 each.
// The official order is the order of the records, file after file; index lists that others publish count in it. Class
// folders do not hold that order, so sets read from them number their samples class by class, and say so.
#include "data_impl.h"
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE, MAX_MEMBERS = 6, MAX_SINGLE_RECORDS = 60000 };

const lti_cifar_layout lti_cifar10_layout = {.kind = "cifar10", .n_labels = 1, .label_at = 0, .limit = {10}};
const lti_cifar_layout lti_cifar100_layout = {.kind = "cifar100", .n_labels = 2, .label_at = 1, .limit = {20, 100}};
const lti_cifar_layout lti_cifar100_coarse_layout = {
    .kind = "cifar100", .n_labels = 2, .label_at = 0, .limit = {20, 100}};

static const char *const cifar10_names[10] = {"airplane", "automobile", "bird",  "cat",  "deer",
                                              "dog",      "frog",       "horse", "ship", "truck"};
static const char *const coarse_names[20] = {"aquatic_mammals",
                                             "fish",
                                             "flowers",
                                             "food_containers",
                                             "fruit_and_vegetables",
                                             "household_electrical_devices",
                                             "household_furniture",
                                             "insects",
                                             "large_carnivores",
                                             "large_man-made_outdoor_things",
                                             "large_natural_outdoor_scenes",
                                             "large_omnivores_and_herbivores",
                                             "medium_mammals",
                                             "non-insect_invertebrates",
                                             "people",
                                             "reptiles",
                                             "small_mammals",
                                             "trees",
                                             "vehicles_1",
                                             "vehicles_2"};
static const char *const fine_names[100] = {
    "apple",      "aquarium_fish", "baby",         "bear",       "beaver",      "bed",         "bee",
    "beetle",     "bicycle",       "bottle",       "bowl",       "boy",         "bridge",      "bus",
    "butterfly",  "camel",         "can",          "castle",     "caterpillar", "cattle",      "chair",
    "chimpanzee", "clock",         "cloud",        "cockroach",  "couch",       "crab",        "crocodile",
    "cup",        "dinosaur",      "dolphin",      "elephant",   "flatfish",    "forest",      "fox",
    "girl",       "hamster",       "house",        "kangaroo",   "keyboard",    "lamp",        "lawn_mower",
    "leopard",    "lion",          "lizard",       "lobster",    "man",         "maple_tree",  "motorcycle",
    "mountain",   "mouse",         "mushroom",     "oak_tree",   "orange",      "orchid",      "otter",
    "palm_tree",  "pear",          "pickup_truck", "pine_tree",  "plain",       "plate",       "poppy",
    "porcupine",  "possum",        "rabbit",       "raccoon",    "ray",         "road",        "rocket",
    "rose",       "sea",           "seal",         "shark",      "shrew",       "skunk",       "skyscraper",
    "snail",      "snake",         "spider",       "squirrel",   "streetcar",   "sunflower",   "sweet_pepper",
    "table",      "tank",          "telephone",    "television", "tiger",       "tractor",     "train",
    "trout",      "tulip",         "turtle",       "wardrobe",   "whale",       "willow_tree", "wolf",
    "woman",      "worm"};

typedef struct member { // one official file
    const char *name;
    lt_split split;
    int64_t n_records;
} member;

typedef struct family {
    const lti_cifar_layout *layout;
    const char *const *class_name;
    const char *folder;     // inside the official archive
    const char *missing[2]; // what is said when a split has no file
    member members[MAX_MEMBERS];
    int n_members;
} family;

static const family cifar10 = {
    .layout = &lti_cifar10_layout,
    .class_name = cifar10_names,
    .folder = "cifar-10-batches-bin",
    .missing = {"data_batch_1.bin to data_batch_5.bin are missing", "test_batch.bin is missing"},
    .members = {{"data_batch_1.bin", LT_TRAIN, 10000},
                {"data_batch_2.bin", LT_TRAIN, 10000},
                {"data_batch_3.bin", LT_TRAIN, 10000},
                {"data_batch_4.bin", LT_TRAIN, 10000},
                {"data_batch_5.bin", LT_TRAIN, 10000},
                {"test_batch.bin", LT_TEST, 10000}},
    .n_members = 6,
};
static const family cifar100_fine = {
    .layout = &lti_cifar100_layout,
    .class_name = fine_names,
    .folder = "cifar-100-binary",
    .missing = {"train.bin is missing", "test.bin is missing"},
    .members = {{"train.bin", LT_TRAIN, 50000}, {"test.bin", LT_TEST, 10000}},
    .n_members = 2,
};
static const family cifar100_coarse = {
    .layout = &lti_cifar100_coarse_layout,
    .class_name = coarse_names,
    .folder = "cifar-100-binary",
    .missing = {"train.bin is missing", "test.bin is missing"},
    .members = {{"train.bin", LT_TRAIN, 50000}, {"test.bin", LT_TEST, 10000}},
    .n_members = 2,
};

static size_t record_bytes(const lti_cifar_layout *layout)
{
    return (size_t)layout->n_labels + PIXELS;
}

lt_status lti_cifar_parse(const uint8_t *bytes, size_t n, const lti_cifar_layout *layout, const char *label, lt_split s,
                          lti_raw *raw)
{
    size_t record = record_bytes(layout);
    if (n % record != 0)
        return LT_FAIL(LT_E_FORMAT, "%s: %s: %zu bytes is not a whole number of %zu-byte records: record %zu has %zu",
                       layout->kind, label, n, record, n / record, n % record);
    LT_TRY(lti_raw_reserve(raw, s, raw->split[s].n + (int64_t)(n / record)));
    for (size_t at = 0; at < n; at += record) {
        for (int k = 0; k < layout->n_labels; k++)
            if (bytes[at + (size_t)k] >= layout->limit[k])
                return LT_FAIL(LT_E_FORMAT, "%s: %s: record %zu (byte %zu): %slabel %d, expected 0..%d", layout->kind,
                               label, at / record, at + (size_t)k,
                               layout->n_labels == 1 ? ""
                               : k == 0              ? "coarse "
                                                     : "fine ",
                               bytes[at + (size_t)k], layout->limit[k] - 1);
        uint8_t *x;
        LT_TRY(lti_raw_append(raw, s, bytes[at + (size_t)layout->label_at], &x));
        memcpy(x, bytes + at + layout->n_labels, PIXELS);
        if (raw->n_other > 0)
            raw->split[s].other[raw->split[s].n - 1] = bytes[at + (size_t)(1 - layout->label_at)];
    }
    return LT_OK;
}

// The official files have a fixed length; samples and exports (allow-partial) may be shorter, never longer.
static lt_status check_size(const lti_open_args *args, const family *f, const member *m, const char *label,
                            int64_t size)
{
    int64_t record = (int64_t)record_bytes(f->layout), expected = m->n_records * record;
    if (size == expected || (args->allow_partial && size < expected))
        return LT_OK;
    lt_status status = LT_FAIL(LT_E_FORMAT, "%s: %s: %lld bytes, expected %lld (%lld records of %lld bytes): %s",
                               args->kind, label, (long long)size, (long long)expected, (long long)m->n_records,
                               (long long)record, size < expected ? "the file is cut short" : "the file is too long");
    if (size < expected && size % record == 0)
        lt_error_hint("allow-partial=1 reads files with fewer records");
    return status;
}

static lt_status read_member(const lti_open_args *args, const family *f, const member *m, const char *path,
                             lti_raw *raw)
{
    struct stat st;
    if (stat(path, &st) != 0)
        return lti_errno_fail("read", path);
    LT_TRY(check_size(args, f, m, path, st.st_size));
    char *bytes;
    size_t n;
    LT_TRY(lt_read_file(path, (size_t)m->n_records * record_bytes(f->layout), &bytes, &n));
    lt_status status = lti_cifar_parse((const uint8_t *)bytes, n, f->layout, path, m->split, raw);
    lti_free(bytes);
    return status;
}

static lt_status missing_member(const lti_open_args *args, const char *name, int n_have, int n)
{
    const lt_status status = LT_FAIL(LT_E_INPUT, "%s: %s: %s is missing, though %d of the %d training files are there",
                                     args->kind, args->path, name, n_have, n);
    lt_error_hint(
        "`lethe data get %s` fetches the whole set; allow-partial=1 opens it when only the last files of a split "
        "are missing",
        args->kind);
    return status;
}

// have[i]: member i is there. A split may be absent as a whole, or end early with allow-partial; a gap would shift the
// ids.
static lt_status check_members(const lti_open_args *args, const family *f, const bool *have, lti_raw *raw)
{
    for (int s = 0; s < 2; s++) {
        int n = 0, n_have = 0, first_gap = -1, last = -1;
        for (int i = 0; i < f->n_members; i++) {
            if ((int)f->members[i].split != s)
                continue;
            n++;
            n_have += have[i];
            last = have[i] ? i : last;
            first_gap = !have[i] && first_gap < 0 ? i : first_gap;
        }
        if (n_have == 0)
            raw->missing[s] = f->missing[s];
        else if (n_have < n && (!args->allow_partial || last > first_gap))
            return missing_member(args, f->members[first_gap].name, n_have, n);
    }
    return LT_OK;
}

// One .bin file of any number of records: a sample such as test500.bin. Its name tells the split.
static lt_status read_single(const family *f, const char *path, lti_raw *raw)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    lt_split s = strncmp(name, "test", 4) == 0 ? LT_TEST : LT_TRAIN;
    char *bytes;
    size_t n;
    raw->missing[s] = NULL;
    raw->missing[1 - s] = s == LT_TEST ? "there is only a test file" : "there is only one file";
    LT_TRY(lt_read_file(path, (size_t)MAX_SINGLE_RECORDS * record_bytes(f->layout), &bytes, &n));
    lt_status status = lti_cifar_parse((const uint8_t *)bytes, n, f->layout, path, s, raw);
    lti_free(bytes);
    return status;
}

// A folder without any official file may hold one sample.
static lt_status read_sample_dir(const lti_open_args *args, const family *f, const char *dir, lti_raw *raw)
{
    lti_paths names;
    LT_TRY(lti_list_dir(args, dir, &names));
    const char *only = NULL;
    int n_found = 0;
    for (int64_t i = 0; i < names.n; i++) {
        size_t n = strlen(names.name[i]);
        if (n > 4 && strcmp(names.name[i] + n - 4, ".bin") == 0) {
            only = names.name[i];
            n_found++;
        }
    }
    const char *path = n_found == 1 ? lti_join(&raw->arena, dir, only) : NULL;
    lti_paths_clear(&names);
    if (n_found != 1)
        return LT_OK; // both splits stay missing
    return path ? read_single(f, path, raw) : LTI_NOMEM("file name");
}

static lt_status read_dir(const lti_open_args *args, const family *f, const char *dir, lti_raw *raw)
{
    bool have[MAX_MEMBERS] = {false};
    char *path[MAX_MEMBERS];
    for (int i = 0; i < f->n_members; i++) {
        path[i] = lti_join(&raw->arena, dir, f->members[i].name);
        if (!path[i])
            return LTI_NOMEM("file name");
        have[i] = lti_is_file(path[i]);
    }
    LT_TRY(check_members(args, f, have, raw));
    if (raw->missing[LT_TRAIN] && raw->missing[LT_TEST])
        return read_sample_dir(args, f, dir, raw);
    for (int i = 0; i < f->n_members; i++)
        if (have[i] && !(args->skip_test && f->members[i].split == LT_TEST && !raw->missing[LT_TRAIN]))
            LT_TRY(read_member(args, f, &f->members[i], path[i], raw));
    return LT_OK;
}

static int find_member(const family *f, const char *entry)
{
    const char *slash = strrchr(entry, '/'), *name = slash ? slash + 1 : entry;
    for (int i = 0; i < f->n_members; i++)
        if (strcmp(name, f->members[i].name) == 0)
            return i;
    return -1;
}

// Members come in any order in an archive, so all are held before the first is parsed.
static lt_status read_tar(const lti_open_args *args, const family *f, lti_tar *tar, bool *any, lti_raw *raw)
{
    uint8_t *bytes[MAX_MEMBERS] = {NULL};
    size_t n[MAX_MEMBERS] = {0};
    bool have[MAX_MEMBERS] = {false};
    lt_status status = LT_OK;
    const char *name;
    int64_t size;
    *any = false;
    for (;;) {
        LT_TRY_GOTO(lti_tar_next(tar, &name, &size), out);
        int i = name ? find_member(f, name) : -1;
        if (!name)
            break;
        if (i < 0 || have[i])
            continue;
        LT_TRY_GOTO(check_size(args, f, &f->members[i], name, size), out);
        LT_TRY_GOTO(lti_tar_read(tar, (size_t)size, &bytes[i], &n[i]), out);
        have[i] = *any = true;
    }
    if (!*any)
        goto out;
    LT_TRY_GOTO(check_members(args, f, have, raw), out);
    for (int i = 0; i < f->n_members; i++) {
        if (have[i])
            LT_TRY_GOTO(lti_cifar_parse(bytes[i], n[i], f->layout, f->members[i].name, f->members[i].split, raw), out);
        lti_free(bytes[i]);
        bytes[i] = NULL;
    }
out:
    for (int i = 0; i < MAX_MEMBERS; i++)
        lti_free(bytes[i]);
    return status;
}

// Class folders hold the same pictures in another order.
static lt_status check_folders(const lti_open_args *args, const family *f, lti_raw *raw)
{
    if (raw->h != SIDE || raw->w != SIDE || raw->n_classes != f->layout->limit[f->layout->label_at])
        return LT_FAIL(LT_E_FORMAT, "%s: %s: %d class folders of %dx%d images, expected %d of %dx%d", args->kind,
                       args->path, raw->n_classes, raw->w, raw->h, f->layout->limit[f->layout->label_at], SIDE, SIDE);
    for (int k = 0; k < raw->n_classes; k++) {
        char number[16];
        snprintf(number, sizeof number, "%d", k);
        const char *name = raw->class_name[k];
        if (strcmp(name, f->class_name[k]) != 0 && strcmp(name, number) != 0)
            return LT_FAIL(LT_E_FORMAT, "%s: %s: class folder '%s', expected '%s' or '%s'", args->kind, args->path,
                           name, f->class_name[k], number);
    }
    raw->class_name = f->class_name;
    lt_warn(args->events, "data.order",
            "%s: read from class folders, which do not hold the official order: published index "
            "lists do not apply",
            args->kind);
    return LT_OK;
}

static lt_status read_file(const lti_open_args *args, const family *f, lti_raw *raw)
{
    size_t n = strlen(args->path);
    if (n > 4 && strcmp(args->path + n - 4, ".bin") == 0)
        return read_single(f, args->path, raw);
    lti_tar *tar;
    bool any;
    LT_TRY(lti_tar_open(args->path, &tar));
    lt_status status = read_tar(args, f, tar, &any, raw);
    lti_tar_close(tar);
    if (status != LT_OK || any)
        return status;
    lti_raw_clear(raw);
    LT_TRY(lti_read_tar_folder(args, args->path, raw));
    return check_folders(args, f, raw);
}

static lt_status open_family(const lti_open_args *args, const family *f, lti_raw *raw)
{
    raw->c = 3;
    raw->h = raw->w = SIDE;
    raw->n_classes = f->layout->limit[f->layout->label_at];
    raw->class_name = f->class_name;
    if (f->layout->n_labels == 2) {
        const int other = 1 - f->layout->label_at;
        raw->n_other = f->layout->limit[other];
        raw->other_is_finer = other == 1;
        raw->other_name = other == 1 ? fine_names : coarse_names;
    }
    if (!lti_is_dir(args->path))
        return read_file(args, f, raw);
    const char *dir = args->path, *inner = lti_join(&raw->arena, dir, f->folder),
               *train = lti_join(&raw->arena, dir, "train");
    if (!inner || !train)
        return LTI_NOMEM("path");
    if (lti_is_dir(train)) {
        lti_raw_clear(raw);
        LT_TRY(lti_read_folder(args, args->path, raw));
        return check_folders(args, f, raw);
    }
    return read_dir(args, f, lti_is_dir(inner) ? inner : dir, raw);
}

lt_status lti_open_cifar10(const lti_open_args *args, lti_raw *raw)
{
    return open_family(args, &cifar10, raw);
}

lt_status lti_open_cifar100(const lti_open_args *args, lti_raw *raw)
{
    int64_t coarse;
    LT_TRY(lti_key_i64(args->spec, "coarse", 0, 1, 0, &coarse));
    return open_family(args, coarse ? &cifar100_coarse : &cifar100_fine, raw);
}
