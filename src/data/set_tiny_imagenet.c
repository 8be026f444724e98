// set_tiny_imagenet.c - Tiny ImageNet as it is distributed.
//
// DIR/train/WNID/images/*.JPEG, and DIR/val/images/*.JPEG whose classes are in DIR/val/val_annotations.txt: one image a
// line, its file name, its WordNet identifier and its box, separated by tabs. The test images have no labels and are
// not read; the validation images are the test split, as in the literature. A copy whose val holds class folders is
// read as folder: reads it.
#include "data_impl.h"
#include <stdio.h>
#include <string.h>

enum { MAX_ANNOTATIONS = 1 << 26 };

static lt_status refuse_line(const char *label, int64_t line, const char *what)
{
    return LT_FAIL(LT_E_FORMAT, "%s: line %lld: expected FILE, a tab and a class, found %s", label, (long long)line,
                   what);
}

// Ends `text` at the first tab. Returns what follows it, or NULL.
static char *cut_at_tab(char *text)
{
    char *tab = strchr(text, '\t');
    if (tab)
        *tab = 0;
    return tab ? tab + 1 : NULL;
}

lt_status lti_val_annotations_parse(char *text, const char *label, lti_annotation_fn *fn, void *ctx)
{
    int64_t line = 0;
    for (char *at = text, *next; at && *at; at = next) {
        next = strchr(at, '\n');
        if (next)
            *next++ = 0;
        at[strcspn(at, "\r")] = 0;
        line++;
        if (!*at)
            continue;
        char *class_name = cut_at_tab(at);
        if (!class_name)
            return refuse_line(label, line, "no tab");
        cut_at_tab(class_name);
        if (!*at || strchr(at, '/') || *at == '.')
            return refuse_line(label, line, "no name of a file");
        if (!*class_name)
            return refuse_line(label, line, "an empty class");
        LT_TRY(fn(ctx, at, class_name));
    }
    return LT_OK;
}

typedef struct reader {
    const lti_open_args *args;
    lti_image_list *list;
    const char *images; // DIR/val/images
    int32_t y;
} reader;

static lt_status add_annotated(void *ctx, const char *file, const char *class_name)
{
    reader *r = ctx;
    const int n_classes = r->list->n_classes;
    char *bytes;
    size_t n;
    const char *path = lti_join(&r->list->arena, r->images, file);
    if (!path)
        return LTI_NOMEM("path");
    LT_TRY(lti_image_list_class(r->list, class_name, &r->y));
    if (r->list->n_classes > n_classes)
        return LT_FAIL(LT_E_FORMAT, "%s: its class %s has no training images", path, class_name);
    LT_TRY(lt_read_file(path, LTI_MAX_IMAGE_BYTES, &bytes, &n));
    const lt_status status = lti_image_list_add(r->list, LT_TEST, r->y, path, (const uint8_t *)bytes, n);
    lti_free(bytes);
    return status;
}

static lt_status read_validation(const lti_open_args *args, const char *annotations, lti_image_list *list, lti_raw *raw)
{
    char *text, *val = lti_join(&raw->arena, args->path, "val");
    size_t n;
    reader r = {.args = args, .list = list, .images = val ? lti_join(&raw->arena, val, "images") : NULL, .y = -1};
    if (!r.images)
        return LTI_NOMEM("path");
    LT_TRY(lt_read_file(annotations, MAX_ANNOTATIONS, &text, &n));
    const lt_status status = strlen(text) < n
                                 ? LT_FAIL(LT_E_FORMAT, "%s: expected text, found a zero byte", annotations)
                                 : lti_val_annotations_parse(text, annotations, add_annotated, &r);
    lti_free(text);
    return status;
}

lt_status lti_open_tiny_imagenet(const lti_open_args *args, lti_raw *raw)
{
    lti_image_list list;
    const char *annotations = lti_join(&raw->arena, args->path, "val/val_annotations.txt");
    const char *train = lti_join(&raw->arena, args->path, "train");
    if (!annotations || !train)
        return LTI_NOMEM("path");
    if (!lti_is_file(annotations))
        return lti_open_folder(args, raw);
    if (!lti_is_set_dir(args, train))
        return LT_FAIL(LT_E_INPUT, "%s: %s: there is no folder train", args->kind, args->path);
    LT_TRY(lti_image_list_init(&list, args));
    int64_t n_skipped = 0; // boxes of the training images
    lt_status status = lti_read_class_folders(args, train, LT_TRAIN, &list, &n_skipped);
    if (status == LT_OK && !args->skip_test)
        status = read_validation(args, annotations, &list, raw);
    if (status == LT_OK)
        status = lti_image_list_finish(&list, raw);
    lti_image_list_clear(&list);
    return status;
}
