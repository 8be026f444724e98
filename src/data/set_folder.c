// set_folder.c - class folders of JPEG and PNG images.
//
// DIR/train/CLASS/... and DIR/test/CLASS/... (or val, valid), or DIR/CLASS/... alone, which is a training split. Images
// may lie in folders below their class folder. Classes are numbered by sorted name, samples by class and then by sorted
// path: the order of the common folder readers. Files that are no images (lists, annotations) are skipped; images in
// formats that are not read here are refused, because skipping them would silently change the set.
#include "data_impl.h"
#include <stdio.h>
#include <string.h>
#include <strings.h>

enum { MAX_DEPTH = 8 };

typedef struct walk {
    const lti_open_args *args;
    lti_image_list *list;
    lt_split split;
    int32_t y;
    int64_t n_skipped;
} walk;

static bool other_image_name(const char *name)
{
    static const char *const ends[] = {".bmp", ".gif", ".webp", ".tif",  ".tiff",
                                       ".ppm", ".pgm", ".jp2",  ".avif", ".heic"};
    const char *dot = strrchr(name, '.');
    for (size_t k = 0; dot && k < sizeof ends / sizeof *ends; k++)
        if (strcasecmp(dot, ends[k]) == 0)
            return true;
    return false;
}

static lt_status add_file(walk *w, const char *path)
{
    char *bytes;
    size_t n;
    if (other_image_name(path)) {
        lt_status status = LT_FAIL(LT_E_FORMAT, "%s: this image format is not read", path);
        lt_error_hint("convert it to PNG or JPEG, or move it out of the class folder");
        return status;
    }
    if (!lti_image_name(path)) {
        w->n_skipped++;
        return LT_OK;
    }
    LT_TRY(lt_read_file(path, LTI_MAX_IMAGE_BYTES, &bytes, &n));
    lt_status status = lti_image_list_add(w->list, w->split, w->y, path, (const uint8_t *)bytes, n);
    lti_free(bytes);
    return status;
}

static lt_status walk_dir(walk *w, const char *dir, int depth)
{
    if (depth > MAX_DEPTH)
        return LT_FAIL(LT_E_FORMAT, "%s: folders nested deeper than %d", dir, MAX_DEPTH);
    lti_paths names;
    lt_status status = LT_OK;
    LT_TRY(lti_list_dir(w->args, dir, &names));
    for (int64_t i = 0; i < names.n; i++) {
        const char *path = lti_join(&names.arena, dir, names.name[i]);
        if (!path)
            status = LTI_NOMEM("path");
        else
            status = lti_is_dir(path) ? walk_dir(w, path, depth + 1) : add_file(w, path);
        if (status != LT_OK)
            break;
    }
    lti_paths_clear(&names);
    return status;
}

// Every folder in dir is a class.
static lt_status read_split(walk *w, const char *dir)
{
    lti_paths names;
    lt_status status = LT_OK;
    LT_TRY(lti_list_dir(w->args, dir, &names));
    for (int64_t i = 0; i < names.n; i++) {
        const char *path = lti_join(&names.arena, dir, names.name[i]);
        if (!path) {
            status = LTI_NOMEM("path");
            goto out;
        }
        if (!lti_is_dir(path)) {
            w->n_skipped++;
            continue;
        }
        int64_t before = w->list->split[w->split].n;
        LT_TRY_GOTO(lti_image_list_class(w->list, names.name[i], &w->y), out);
        LT_TRY_GOTO(walk_dir(w, path, 1), out);
        if (w->list->split[w->split].n == before) {
            status = LT_FAIL(LT_E_FORMAT, "%s: a class folder without JPEG or PNG images", path);
            goto out;
        }
    }
out:
    lti_paths_clear(&names);
    return status;
}

lt_status lti_read_class_folders(const lti_open_args *args, const char *dir, lt_split split, lti_image_list *list,
                                 int64_t *n_skipped)
{
    walk w = {.args = args, .list = list, .split = split, .y = -1};
    const lt_status status = read_split(&w, dir);
    *n_skipped += w.n_skipped;
    return status;
}

static lt_status read_splits(const char *dir, walk *w, lti_raw *raw)
{
    static const char *const test_names[] = {"test", "val", "valid"};
    const char *train = lti_join(&raw->arena, dir, "train"), *test = NULL;
    for (size_t k = 0; k < sizeof test_names / sizeof *test_names && !test; k++) {
        const char *path = lti_join(&raw->arena, dir, test_names[k]);
        if (!path)
            return LTI_NOMEM("path");
        test = lti_is_set_dir(w->args, path) ? path : NULL;
    }
    if (!train)
        return LTI_NOMEM("path");
    bool has_train = lti_is_set_dir(w->args, train);
    if (!has_train && !test) { // class folders right here
        raw->missing[LT_TRAIN] = "there are no class folders with images";
        raw->missing[LT_TEST] = "there is no folder test, val or valid";
        return read_split(w, dir);
    }
    raw->missing[LT_TRAIN] = has_train ? NULL : "there is no folder train";
    raw->missing[LT_TEST] = test ? NULL : "there is no folder test, val or valid";
    if (has_train)
        LT_TRY(read_split(w, train));
    w->split = LT_TEST;
    return test && !(w->args->skip_test && has_train) ? read_split(w, test) : LT_OK;
}

lt_status lti_read_folder(const lti_open_args *args, const char *dir, lti_raw *raw)
{
    lti_image_list list;
    LT_TRY(lti_image_list_init(&list, args));
    walk w = {.args = args, .list = &list, .split = LT_TRAIN, .y = -1};
    lt_status status = LT_OK;
    LT_TRY_GOTO(read_splits(dir, &w, raw), out);
    LT_TRY_GOTO(lti_image_list_finish(&list, raw), out);
    if (w.n_skipped > 0)
        lt_info(args->events, "data.skipped", "%s: %s: %lld files that are not images were skipped", args->kind, dir,
                (long long)w.n_skipped);
out:
    lti_image_list_clear(&list);
    return status;
}

lt_status lti_open_folder(const lti_open_args *args, lti_raw *raw)
{
    if (!lti_is_dir(args->path)) {
        lt_status status = LT_FAIL(LT_E_INPUT, "%s: %s is not a folder", args->kind, args->path);
        lt_error_hint("archives are read by tar:FILE");
        return status;
    }
    return lti_read_folder(args, args->path, raw);
}
