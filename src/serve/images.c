// images.c - forgotten images and their adversarial examples, as pixels that the page paints.
//
// Only with --with-images, and adversarial examples only where the run has kept them.
#include "serve_impl.h"
#include <math.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_IMAGES = 24 };

// (C,H,W) bytes -> base64 of (H,W,3): what a canvas wants.
static json_t *pixels_json(const lt_dataset *ds, const uint8_t *x)
{
    const size_t plane = (size_t)ds->h * (size_t)ds->w, n = 3 * plane,
                 size = sodium_base64_encoded_len(n, sodium_base64_VARIANT_ORIGINAL);
    uint8_t *rgb = malloc(n);
    char *text = malloc(size);
    for (size_t i = 0; rgb && i < plane; i++)
        for (size_t c = 0; c < 3; c++)
            rgb[3 * i + c] = x[(ds->c == 3 ? c * plane : 0) + i];
    json_t *value =
        rgb && text ? json_string(sodium_bin2base64(text, size, rgb, n, sodium_base64_VARIANT_ORIGINAL)) : NULL;
    free(rgb);
    free(text);
    return value;
}

static void put_neighbour(json_t *item, const lt_dataset *ds, const lt_adv_set *adv, int64_t id)
{
    const size_t n = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    uint8_t *x = malloc(n);
    for (int64_t i = 0; x && i < adv->n; i++) {
        if (adv->id[i] != id)
            continue;
        for (size_t k = 0; k < n; k++)
            x[k] = (uint8_t)lrintf(255.0f * adv->x_adv[(size_t)i * n + k]);
        const int pred = adv->adv_pred[i];
        json_object_set_new(item, "neighbour", pixels_json(ds, x));
        json_object_set_new(item, "neighbour_class",
                            json_string(pred >= 0 && pred < ds->n_classes ? ds->class_names[pred] : ""));
        json_object_set_new(item, "distance", json_real((double)adv->delta_norm[i]));
        break;
    }
    free(x);
}

static json_t *images_json(const lt_dataset *ds, const lt_index_set *forget, const lt_adv_set *adv, int64_t from)
{
    const lt_split_data *train = &ds->split[LT_TRAIN];
    const size_t n = (size_t)ds->c * (size_t)ds->h * (size_t)ds->w;
    json_t *items = json_array();
    for (int64_t i = from; i < forget->n && i < from + PAGE_IMAGES; i++) {
        const int64_t row = forget->row[i];
        json_t *item = json_object();
        json_object_set_new(item, "id", json_integer(train->id[row]));
        json_object_set_new(item, "class", json_string(ds->class_names[train->y[row]]));
        if (train->name)
            json_object_set_new(item, "name", json_string(train->name[row]));
        json_object_set_new(item, "image", pixels_json(ds, train->x + (size_t)row * n));
        if (adv)
            put_neighbour(item, ds, adv, train->id[row]);
        json_array_append_new(items, item);
    }
    return json_pack("{s:I, s:I, s:i, s:i, s:i, s:b, s:o}", "n", (json_int_t)forget->n, "from", (json_int_t)from,
                     "per_page", (int)PAGE_IMAGES, "h", ds->h, "w", ds->w, "has_neighbours", adv != NULL, "items",
                     items);
}

static lt_status find_images(const char *dir, int64_t from, json_t **out)
{
    lt_trained_model m = {0};
    lt_dataset *ds = NULL;
    lt_sample_sets sets = {0};
    lt_adv_set *adv = NULL;
    char kept[LTI_FILE_MAX];
    lt_status status = lt_trained_model_open(dir, NULL, NULL, &m);
    if (status == LT_OK)
        status = lt_trained_model_data(&m, NULL, LT_DATA_TRAINING, NULL, &ds);
    if (status == LT_OK && ds->c != 1 && ds->c != 3)
        status = LT_FAIL(LT_E_UNSUPPORTED, "%s: these samples are no pictures", ds->kind);
    if (status == LT_OK)
        status = lt_trained_model_sets(&m, ds, &(lt_forget_request){.spec = NULL}, &sets);
    if (status == LT_OK && snprintf(kept, sizeof kept, "%s/adv", dir) < (int)sizeof kept &&
        lt_adv_set_open(kept, &adv) != LT_OK)
        lt_error_clear(); // the run has kept none
    if (adv && (adv->c != ds->c || adv->h != ds->h || adv->w != ds->w)) {
        lt_adv_set_destroy(adv);
        adv = NULL;
    }
    if (status == LT_OK)
        *out = images_json(ds, &sets.forget, adv, from);
    lt_adv_set_destroy(adv);
    lt_sample_sets_clear(&sets);
    lt_dataset_close(ds);
    lt_trained_model_close(&m);
    return status;
}

lt_status lti_get_forgotten(lti_serve *s, const lti_target *t, const json_t *body, lti_response *r)
{
    const char *place = lti_target_get(t, "dir"), *from = lti_target_get(t, "from");
    char dir[LTI_FILE_MAX];
    json_t *images = NULL;
    (void)body;
    if (!s->with_images) {
        (void)LT_FAIL(LT_E_USAGE,
                      "images of forgotten samples are shown by a server that was started with --with-images");
        lti_respond_error(r, 403);
        return LT_OK;
    }
    if (!place)
        return LT_FAIL(LT_E_USAGE, "request: parameter 'dir' is missing");
    if (from && (!*from || strlen(from) > 9 || from[strspn(from, "0123456789")]))
        return LT_FAIL(LT_E_USAGE, "request: parameter 'from' is no number");
    LT_TRY(lti_place_find(s, place, dir));
    if (!lt_run_is_done(dir))
        return LT_FAIL(LT_E_USAGE, "%.80s: expected a finished run", place);
    pthread_mutex_lock(&s->library);
    const lt_status status = find_images(dir, from ? strtoll(from, NULL, 10) : 0, &images);
    pthread_mutex_unlock(&s->library);
    LT_TRY(status);
    lti_respond_json(r, 200, images);
    return LT_OK;
}
