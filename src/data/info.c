// info.c - what a data set holds: counts, means, deviations, and lists as JSON.
#include "base/json_write.h"
#include "data_impl.h"
#include "lethe/dataset_info.h"
#include "lethe/download.h"
#include <math.h>
#include <string.h>

static void measure_channel(const lt_dataset *ds, const lt_split_data *d, int c, lt_split_info *info)
{
    const size_t plane = (size_t)ds->h * (size_t)ds->w;
    const double count = (double)d->n * (double)plane;
    double sum = 0, square = 0;
    for (int64_t i = 0; i < d->n; i++) {
        const uint8_t *x = d->x + ((size_t)i * (size_t)ds->c + (size_t)c) * plane;
        for (size_t k = 0; k < plane; k++) {
            const double v = x[k] / 255.0;
            sum += v;
            square += v * v;
        }
    }
    const double mean = sum / count;
    info->mean[c] = d->n > 0 ? mean : (double)NAN;
    info->std[c] = d->n > 0 ? sqrt(fmax(0, square / count - mean * mean)) : (double)NAN;
}

static lt_status measure_split(const lt_dataset *ds, lt_split split, lt_split_info *info)
{
    const lt_split_data *d = &ds->split[split];
    info->n = d->n;
    info->per_class = lti_calloc((size_t)ds->n_classes, sizeof *info->per_class);
    info->mean = lti_calloc((size_t)ds->c, sizeof *info->mean);
    info->std = lti_calloc((size_t)ds->c, sizeof *info->std);
    if (!info->per_class || !info->mean || !info->std)
        return LTI_NOMEM("data set");
    for (int64_t i = 0; i < d->n; i++)
        info->per_class[d->y[i]]++;
    for (int c = 0; c < ds->c; c++)
        measure_channel(ds, d, c, info);
    return LT_OK;
}

lt_status lt_dataset_info_measure(const lt_dataset *ds, lt_dataset_info *info)
{
    *info = (lt_dataset_info){.ds = ds, .n_shared = -1};
    lt_status status = measure_split(ds, LT_TRAIN, &info->split[LT_TRAIN]);
    if (status == LT_OK)
        status = measure_split(ds, LT_TEST, &info->split[LT_TEST]);
    if (status != LT_OK)
        lt_dataset_info_clear(info);
    return status;
}

// Opening checks everything that a reader can see; what is left is the digest and images that both splits share.
lt_status lt_dataset_verify(const lt_dataset *ds, const char *digest, lt_dataset_info *info)
{
    LT_TRY(lt_dataset_info_measure(ds, info));
    lt_status status = lt_dataset_shared_images(ds, &info->n_shared);
    if (status == LT_OK && digest && *digest && strcmp(digest, ds->digest) != 0)
        status = LT_FAIL(LT_E_INTEGRITY, "%s: expected digest %s, found %s", ds->spec, digest, ds->digest);
    if (status != LT_OK)
        lt_dataset_info_clear(info);
    return status;
}

void lt_dataset_info_clear(lt_dataset_info *info)
{
    for (int s = 0; s < 2; s++) {
        lti_free(info->split[s].per_class);
        lti_free(info->split[s].mean);
        lti_free(info->split[s].std);
    }
    *info = (lt_dataset_info){0};
}

static void write_reals(const char *key, const double *value, int n, lti_json *w)
{
    lti_json_begin(w, key, '[');
    for (int i = 0; i < n; i++)
        lti_json_real(w, NULL, value[i]);
    lti_json_end(w, ']');
}

static void write_split(const lt_dataset_info *info, lt_split split, const char *key, lti_json *w)
{
    const lt_split_info *s = &info->split[split];
    const int n_channels = s->n > 0 ? info->ds->c : 0;
    lti_json_begin(w, key, '{');
    lti_json_int(w, "n", s->n);
    lti_json_begin(w, "per_class", '{');
    for (int k = 0; k < info->ds->n_classes; k++)
        lti_json_int(w, info->ds->class_names[k], s->per_class[k]);
    lti_json_end(w, '}');
    write_reals("mean", s->mean, n_channels, w);
    write_reals("std", s->std, n_channels, w);
    lti_json_end(w, '}');
}

char *lt_dataset_info_json(const lt_dataset_info *info)
{
    const lt_dataset *ds = info->ds;
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    lti_json_text(&w, "data", ds->spec);
    lti_json_text(&w, "kind", ds->kind);
    lti_json_int(&w, "channels", ds->c);
    lti_json_int(&w, "height", ds->h);
    lti_json_int(&w, "width", ds->w);
    lti_json_int(&w, "n_classes", ds->n_classes);
    write_split(info, LT_TRAIN, "train", &w);
    write_split(info, LT_TEST, "test", &w);
    lti_json_text(&w, "digest", ds->digest);
    if (info->n_shared >= 0)
        lti_json_int(&w, "n_shared_images", info->n_shared);
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}

// ---- lists

char *lt_dataset_kinds_json(void)
{
    int n;
    const lt_dataset_kind *kind = lt_dataset_kinds(&n);
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    lti_json_begin(&w, "kinds", '[');
    for (int i = 0; i < n; i++) {
        lti_json_begin(&w, NULL, '{');
        lti_json_text(&w, "name", kind[i].name);
        lti_json_text(&w, "title", kind[i].title);
        lti_json_text(&w, "keys", kind[i].keys);
        lti_json_bool(&w, "download", lt_can_download(kind[i].name));
        lti_json_end(&w, '}');
    }
    lti_json_end(&w, ']');
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}

char *lt_dataset_samples_json(const lt_dataset *ds)
{
    const lt_split_data *d = &ds->split[LT_TRAIN];
    char digest[LT_SAMPLE_DIGEST_HEX];
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    lti_json_text(&w, "data", ds->spec);
    lti_json_begin(&w, "samples", '[');
    for (int64_t i = 0; i < d->n; i++) {
        lti_json_begin(&w, NULL, '{');
        lti_json_int(&w, "index", d->id[i]);
        lti_json_text(&w, "class", ds->class_names[d->y[i]]);
        lti_json_text(&w, "file", d->name ? d->name[i] : "");
        lt_sample_digest(ds, LT_TRAIN, i, digest);
        lti_json_text(&w, "digest", digest);
        lti_json_end(&w, '}');
    }
    lti_json_end(&w, ']');
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}

static char *write_duplicates(const lt_dataset *ds, const lt_near_duplicates *found)
{
    const lt_split_data *d = &ds->split[LT_TRAIN];
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    lti_json_text(&w, "data", ds->spec);
    lti_json_begin(&w, "duplicates", '[');
    for (int64_t i = 0; i < found->n; i++) {
        const lt_near_duplicate *one = &found->item[i];
        lti_json_begin(&w, NULL, '{');
        lti_json_int(&w, "index", d->id[one->row]);
        lti_json_text(&w, "file", d->name ? d->name[one->row] : "");
        lti_json_int(&w, "of", d->id[one->of_row]);
        lti_json_text(&w, "of_file", d->name ? d->name[one->of_row] : "");
        lti_json_real(&w, "similarity", lti_decimal_of(one->similarity));
        lti_json_bool(&w, "mirrored", one->mirrored);
        lti_json_end(&w, '}');
    }
    lti_json_end(&w, ']');
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}

lt_status lt_dataset_duplicates_json(const lt_dataset *ds, const char *forget_spec, double least, char **json)
{
    lt_index_set forget = {0}, retained = {0};
    lt_near_duplicates found = {0};
    lt_status status = LT_OK;
    *json = NULL;
    LT_TRY_GOTO(lt_forget_parse(ds, forget_spec, 1, &forget), done);
    LT_TRY_GOTO(lt_index_set_complement(ds->split[LT_TRAIN].n, &forget, &retained), done);
    LT_TRY_GOTO(lt_dataset_near_duplicates(ds, &forget, &retained, least, &found), done);
    *json = write_duplicates(ds, &found);
    status = *json ? LT_OK : LTI_NOMEM("duplicates");
done:
    lt_near_duplicates_clear(&found);
    lt_index_set_clear(&forget);
    lt_index_set_clear(&retained);
    return status;
}

char *lt_dataset_export_json(const lt_dataset *ds, const char *path)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    lti_json_text(&w, "data", ds->spec);
    lti_json_text(&w, "out", path);
    lti_json_int(&w, "n_train", ds->split[LT_TRAIN].n);
    lti_json_int(&w, "n_test", ds->split[LT_TEST].n);
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}

char *lt_download_json(const char *name, const lt_download *result)
{
    lti_json w = {0};
    lti_json_begin(&w, NULL, '{');
    lti_json_text(&w, "name", name);
    lti_json_text(&w, "dir", result->dir);
    lti_json_bool(&w, "cached", result->cached);
    lti_json_end(&w, '}');
    return lti_json_take(&w);
}
