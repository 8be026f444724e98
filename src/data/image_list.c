// image_list.c - decoded images gathered one by one, for kinds whose samples are encoded images.
//
// How many there are, which classes exist and whether any has colour is known only at the end, so images are kept with
// three channels (grey replicated) and put into their final order, class numbers and channels by lti_image_list_finish.
#include "data_impl.h"
#include <stdlib.h>
#include <string.h>

lt_status lti_image_list_init(lti_image_list *list, const lti_open_args *args)
{
    int64_t side;
    *list = (lti_image_list){.args = args};
    LT_TRY(lti_key_i64(args->spec, "size", 1, LTI_MAX_SIDE, 0, &side));
    list->side = (int)side;
    return lti_scratch_dir(args, &list->scratch);
}

void lti_image_list_clear(lti_image_list *list)
{
    for (int s = 0; s < 2; s++) {
        lti_pixels_clear(&list->split[s].pixels);
        lti_free(list->split[s].item);
    }
    lti_free(list->class_name);
    lti_arena_clear(&list->arena);
    *list = (lti_image_list){0};
}

// Adjacent entries mostly share a class: try the last one found first.
lt_status lti_image_list_class(lti_image_list *list, const char *name, int32_t *y)
{
    if (*y >= 0 && *y < list->n_classes && strcmp(list->class_name[*y], name) == 0)
        return LT_OK;
    for (int k = 0; k < list->n_classes; k++) {
        if (strcmp(list->class_name[k], name) == 0) {
            *y = k;
            return LT_OK;
        }
    }
    if (list->n_classes == LTI_MAX_CLASSES)
        return LT_FAIL(LT_E_FORMAT, "%s: more than %d class folders", list->args->kind, LTI_MAX_CLASSES);
    if (list->n_classes == list->cap_classes) {
        int cap = list->cap_classes ? 2 * list->cap_classes : 16;
        const char **more = lti_realloc(list->class_name, (size_t)cap * sizeof *more);
        if (!more)
            return LTI_NOMEM("class names");
        list->class_name = more;
        list->cap_classes = cap;
    }
    const char *copy = lti_arena_strdup(&list->arena, name);
    if (!copy)
        return LTI_NOMEM("class names");
    *y = list->n_classes;
    list->class_name[list->n_classes++] = copy;
    return LT_OK;
}

static lt_status grow(lti_image_list *list, lt_split s)
{
    int64_t cap = list->split[s].cap ? 2 * list->split[s].cap : 64;
    size_t bytes;
    if (cap > LTI_MAX_SAMPLES || lti_mul_size((size_t)cap, 3 * (size_t)list->h * (size_t)list->w, &bytes))
        return LT_FAIL(LT_E_FORMAT, "%s: too many images", list->args->kind);
    LT_TRY(lti_pixels_resize(&list->split[s].pixels, list->scratch, bytes));
    lti_image_list_item *item = lti_realloc(list->split[s].item, (size_t)cap * sizeof *item);
    if (!item)
        return LTI_NOMEM("image names");
    list->split[s].item = item;
    list->split[s].cap = cap;
    return LT_OK;
}

static lt_status check_size(lti_image_list *list, const lti_image *image, const char *path)
{
    if (list->h == 0) {
        list->h = image->h;
        list->w = image->w;
    }
    if (image->h == list->h && image->w == list->w)
        return LT_OK;
    lt_status status = LT_FAIL(LT_E_FORMAT, "%s: %dx%d pixels, but the first image has %dx%d", path, image->w, image->h,
                               list->w, list->h);
    lt_error_hint("the key size=N brings every image to N x N");
    return status;
}

lt_status lti_image_list_add(lti_image_list *list, lt_split s, int32_t y, const char *path, const uint8_t *bytes,
                             size_t n)
{
    lti_image image;
    LT_TRY(lti_image_decode(bytes, n, path, &image));
    lt_status status = LT_OK;
    if (list->side > 0)
        LT_TRY_GOTO(lti_image_fit(&image, list->side, path), out);
    LT_TRY_GOTO(check_size(list, &image, path), out);
    if (list->split[s].n == list->split[s].cap)
        LT_TRY_GOTO(grow(list, s), out);
    lti_image_list_item item = {lti_arena_strdup(&list->arena, path), y};
    if (!item.path) {
        status = LTI_NOMEM("image names");
        goto out;
    }
    size_t plane = (size_t)list->h * (size_t)list->w;
    uint8_t *to = list->split[s].pixels.x + (size_t)list->split[s].n * 3 * plane;
    for (int k = 0; k < 3; k++)
        memcpy(to + (size_t)k * plane, image.px + (image.c == 3 ? (size_t)k * plane : 0), plane);
    list->colour |= image.c == 3;
    list->split[s].item[list->split[s].n++] = item;
out:
    lti_image_clear(&image);
    return status;
}

// ---- the end

typedef struct place { // what is sorted
    int32_t y;
    const char *path;
    int64_t from;
} place;

static int by_class_and_path(const void *a, const void *b)
{
    const place *p = a, *q = b;
    return p->y != q->y ? (p->y < q->y ? -1 : 1) : strcmp(p->path, q->path);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static lt_status copy_class_names(const lti_image_list *list, lti_raw *raw, const char ***out)
{
    const char **name = lti_arena_alloc(&raw->arena, (size_t)list->n_classes * sizeof *name);
    if (!name)
        return LTI_NOMEM("class names");
    for (int k = 0; k < list->n_classes; k++) {
        name[k] = lti_arena_strdup(&raw->arena, list->class_name[k]);
        if (!name[k])
            return LTI_NOMEM("class names");
    }
    *out = name;
    raw->class_name = name;
    raw->n_classes = list->n_classes;
    return LT_OK;
}

// number[old] = place of the class among the sorted names
static lt_status sort_classes(lti_image_list *list, lti_raw *raw, int32_t *number)
{
    const char **name;
    LT_TRY(copy_class_names(list, raw, &name));
    qsort(name, (size_t)list->n_classes, sizeof *name, by_name);
    for (int k = 0; k < list->n_classes; k++) {
        const char *const *at = bsearch(&list->class_name[k], name, (size_t)list->n_classes, sizeof *name, by_name);
        number[k] = (int32_t)(at - name);
    }
    return LT_OK;
}

// A class that only the test split has cannot be learnt: most likely the folder is of another set.
static lt_status check_classes(const lti_image_list *list, uint8_t *in_train)
{
    if (list->split[LT_TRAIN].n == 0)
        return LT_OK;
    for (int64_t i = 0; i < list->split[LT_TRAIN].n; i++)
        in_train[list->split[LT_TRAIN].item[i].y] = 1;
    for (int64_t i = 0; i < list->split[LT_TEST].n; i++) {
        const lti_image_list_item *item = &list->split[LT_TEST].item[i];
        if (in_train[item->y])
            continue;
        lt_status status =
            LT_FAIL(LT_E_FORMAT, "%s: class '%s' is in the test split only", item->path, list->class_name[item->y]);
        lt_error_hint("holdout=N leaves this test split unread and cuts one out of the training images");
        return status;
    }
    return LT_OK;
}

// The path of a file within the set: what is opened need not be named to find a sample. An archive counts as a folder:
// its path is "set/a.tar: 1.png", the name of the sample "a.tar/1.png".
static char *name_sample(const lti_image_list *list, lti_arena *arena, const char *path)
{
    static const char mark[] = ": ";
    const char *root = list->args->path;
    const size_t n = root ? strlen(root) : 0;
    if (n && !strncmp(path, root, n))
        path += n;
    while (*path == '/')
        path++;
    const char *at = list->archived ? strstr(path, mark) : NULL;
    if (!at)
        return lti_arena_strdup(arena, path);
    const size_t n_archive = (size_t)(at - path);
    const char *entry = at + sizeof mark - 1;
    while (entry[0] == '.' && entry[1] == '/')
        entry += 2;
    char *name = lti_arena_alloc(arena, n_archive + strlen(entry) + 2);
    if (name)
        lti_format(name, n_archive + strlen(entry) + 2, "%.*s%s%s", (int)n_archive, path, n_archive ? "/" : "", entry);
    return name;
}

static lt_status move_split(lti_image_list *list, lt_split s, const int32_t *number, lti_raw *raw)
{
    int64_t n = list->split[s].n;
    place *order = lti_malloc((size_t)n * sizeof *order);
    if (!order)
        return LTI_NOMEM("image order");
    for (int64_t i = 0; i < n; i++) {
        const lti_image_list_item *item = &list->split[s].item[i];
        order[i] = (place){number ? number[item->y] : item->y, item->path, i};
    }
    if (number && n > 1)
        qsort(order, (size_t)n, sizeof *order, by_class_and_path);
    size_t len = lti_raw_sample_bytes(raw), stored = 3 * (size_t)raw->h * (size_t)raw->w;
    lt_status status = lti_raw_reserve(raw, s, n);
    const char **name = lti_calloc((size_t)n + 1, sizeof *name);
    if (!name && status == LT_OK)
        status = LTI_NOMEM("image names");
    raw->split[s].name = name;
    for (int64_t i = 0; status == LT_OK && i < n; i++) {
        uint8_t *x;
        status = lti_raw_append(raw, s, order[i].y, &x);
        if (status == LT_OK)
            memcpy(x, list->split[s].pixels.x + (size_t)order[i].from * stored, len);
        if (status == LT_OK && !(name[i] = name_sample(list, &raw->arena, order[i].path)))
            status = LTI_NOMEM("image names");
    }
    lti_free(order);
    lti_pixels_clear(&list->split[s].pixels);
    return status;
}

// Labels are numbers; names of classes are there when a shard has them.
static lt_status finish_numbered(lti_image_list *list, lti_raw *raw)
{
    const char **name;
    int32_t most = -1;
    for (int s = 0; s < 2; s++)
        for (int64_t i = 0; i < list->split[s].n; i++) {
            const lti_image_list_item *item = &list->split[s].item[i];
            most = item->y > most ? item->y : most;
            if (list->n_classes > 0 && item->y >= list->n_classes)
                return LT_FAIL(LT_E_FORMAT, "%s: label %d, but %s names %d classes", item->path, item->y,
                               LTI_CLASSES_ENTRY, list->n_classes);
        }
    raw->n_classes = most + 1;
    if (list->n_classes > 0)
        LT_TRY(copy_class_names(list, raw, &name));
    LT_TRY(move_split(list, LT_TRAIN, NULL, raw));
    return move_split(list, LT_TEST, NULL, raw);
}

lt_status lti_image_list_finish(lti_image_list *list, lti_raw *raw)
{
    LT_TRY(lti_raw_use_scratch(raw, list->args));
    raw->c = list->colour ? 3 : 1;
    raw->h = list->h;
    raw->w = list->w;
    if (list->numbered)
        return finish_numbered(list, raw);
    int32_t *number = lti_calloc((size_t)list->n_classes + 1, sizeof *number);
    uint8_t *in_train = lti_calloc((size_t)list->n_classes + 1, 1);
    lt_status status = LT_OK;
    if (!number || !in_train) {
        status = LTI_NOMEM("class names");
        goto out;
    }
    LT_TRY_GOTO(check_classes(list, in_train), out);
    LT_TRY_GOTO(sort_classes(list, raw, number), out);
    LT_TRY_GOTO(move_split(list, LT_TRAIN, number, raw), out);
    LT_TRY_GOTO(move_split(list, LT_TEST, number, raw), out);
out:
    lti_free(number);
    lti_free(in_train);
    return status;
}
