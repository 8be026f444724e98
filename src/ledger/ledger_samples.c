// ledger_samples.c - which samples a run forgot, as digests that only the holder of a key can compute.
//
// The digest of an image (lt_sample_digest) would let anybody who has the image, or can guess it, find it in the
// ledger: digests of small data are no secret. So it goes through BLAKE2b with a key that is not in the ledger.
#include "ledger/ledger_impl.h"
#include "lethe/tensorfile.h"
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

enum { DIGEST_BYTES = 16, ANCESTORS_MAX = 64, LIST_MAX = 1 << 30 };

typedef struct sample {
    int64_t id;
    unsigned char digest[DIGEST_BYTES];
} sample;
typedef struct samples { // ascending ids; owned
    int64_t n;
    sample *item;
} samples;

// ---- where the images, or their digests, are found

static lt_status from_dataset(const lt_dataset *ds, samples *s)
{
    const lt_split_data *d = &ds->split[LT_TRAIN];
    s->n = d->n;
    s->item = lti_calloc((size_t)d->n + 1, sizeof *s->item);
    if (!s->item)
        return LTI_NOMEM("samples");
    for (int64_t i = 0; i < d->n; i++) {
        char hex[LT_SAMPLE_DIGEST_HEX];
        lt_sample_digest(ds, LT_TRAIN, i, hex);
        s->item[i].id = d->id[i];
        sodium_hex2bin(s->item[i].digest, DIGEST_BYTES, hex, strlen(hex), NULL, NULL, NULL);
    }
    return LT_OK;
}

static lt_status from_list(const char *path, samples *s)
{
    lt_tensor_file *file;
    LT_TRY(lt_tensor_file_open(path, &file));
    const lt_tensor *id = lt_tensor_file_find(file, "id"), *digest = lt_tensor_file_find(file, "digest");
    lt_status status = LT_OK;
    if (!id || !digest || id->dtype != LT_I64 || id->n_dims != 1 || digest->dtype != LT_U8 || digest->n_dims != 2 ||
        digest->dim[1] != DIGEST_BYTES || digest->dim[0] != id->dim[0])
        status = LT_FAIL(LT_E_FORMAT, "%s: expected a list of samples, found other tensors", path);
    else if (!(s->item = lti_calloc((size_t)id->dim[0] + 1, sizeof *s->item)))
        status = LTI_NOMEM("samples");
    for (int64_t i = 0; status == LT_OK && i < id->dim[0]; i++) {
        s->item[i].id = ((const int64_t *)id->data)[i];
        memcpy(s->item[i].digest, (const unsigned char *)digest->data + i * DIGEST_BYTES, DIGEST_BYTES);
        s->n = i + 1;
    }
    lt_tensor_file_close(file);
    return status;
}

// The run that `run` comes from: "" = none.
static lt_status find_parent(char *run, char **parent)
{
    char *text = NULL, *path = lti_asprintf("%s/result.json", run);
    size_t n;
    lt_trained_model m = {.dir = run};
    lt_status status = path ? LT_OK : LTI_NOMEM("samples");
    if (status == LT_OK && lti_is_file(path))
        status = lt_read_file(path, LIST_MAX, &text, &n);
    if (status == LT_OK && text)
        status = lti_parse_json(text, n, path, &m.result);
    if (status == LT_OK && !(*parent = lt_trained_model_parent(&m)))
        status = LTI_NOMEM("samples");
    json_decref(m.result);
    lti_free(text);
    lti_free(path);
    return status;
}

// samples.safetensors of the run or of the nearest one that it comes from. *list is NULL when there is none.
static lt_status find_list(const char *dir, char **list)
{
    char *run = lti_strdup(dir);
    lt_status status = run ? LT_OK : LTI_NOMEM("samples");
    *list = NULL;
    for (int i = 0; i < ANCESTORS_MAX && status == LT_OK && lti_is_dir(run); i++) {
        char *parent = NULL;
        *list = lti_asprintf("%s/samples.safetensors", run);
        if (!*list)
            status = LTI_NOMEM("samples");
        else if (lti_is_file(*list))
            break;
        lti_free(*list);
        *list = NULL;
        if (status == LT_OK)
            status = find_parent(run, &parent);
        lti_free(run);
        run = parent;
        if (!run)
            break;
    }
    lti_free(run);
    return status;
}

static lt_status from_model(const char *dir, samples *s)
{
    lt_trained_model m;
    lt_dataset *ds = NULL;
    lt_status status = lt_trained_model_open(dir, NULL, NULL, &m);
    if (status == LT_OK)
        status = lt_trained_model_data(&m, lt_trained_model_text(&m, "data"), LT_DATA_TRAINING, NULL, &ds);
    if (status == LT_OK)
        status = from_dataset(ds, s);
    lt_dataset_close(ds);
    lt_trained_model_close(&m);
    return status;
}

static lt_status find_samples(const char *dir, const lt_dataset *ds, samples *s)
{
    *s = (samples){0};
    char *list;
    LT_TRY(find_list(dir, &list));
    lt_status status = list ? from_list(list, s) : ds ? from_dataset(ds, s) : from_model(dir, s);
    lti_free(list);
    return status;
}

// ---- digests

static int compare_ids(const void *a, const void *b)
{
    const int64_t x = ((const sample *)a)->id, y = ((const sample *)b)->id;
    return (x > y) - (x < y);
}

static lt_status add_digest(const samples *s, int64_t id, const unsigned char key[LTI_KEY_BYTES], const char *path,
                            json_t *digests)
{
    static const unsigned char domain[] = "lethe-sample-1\n";
    unsigned char out[DIGEST_BYTES];
    char hex[2 * DIGEST_BYTES + 1];
    const sample wanted = {.id = id};
    const sample *found = bsearch(&wanted, s->item, (size_t)s->n, sizeof wanted, compare_ids);
    if (!found)
        return LT_FAIL(LT_E_INTEGRITY, "%s: sample %lld is not in the training set of the run", path, (long long)id);
    crypto_generichash_state h;
    crypto_generichash_init(&h, key, LTI_KEY_BYTES, sizeof out);
    crypto_generichash_update(&h, domain, sizeof domain - 1);
    crypto_generichash_update(&h, found->digest, sizeof found->digest);
    crypto_generichash_final(&h, out, sizeof out);
    sodium_bin2hex(hex, sizeof hex, out, sizeof out);
    json_t *text = json_string(hex);
    return text && json_array_append_new(digests, text) == 0 ? LT_OK : LTI_NOMEM("samples");
}

// forget.csv of a run: official ids, one a line below a header.
static lt_status add_listed(const char *path, const samples *s, const unsigned char key[LTI_KEY_BYTES], json_t *digests)
{
    char *text;
    size_t n;
    lt_status status = LT_OK;
    LT_TRY(lt_read_file(path, LIST_MAX, &text, &n));
    for (const char *line = text; line && *line && status == LT_OK;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char *end;
        const int64_t id = strtoll(line, &end, 10);
        if (end != line)
            status = add_digest(s, id, key, path, digests);
    }
    lti_free(text);
    return status;
}

bool lti_names_samples(const char *file_name)
{
    static const char *const names[] = {"forget.csv", "forgotten.csv", "env.json", "result.json"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!strcmp(names[i], file_name))
            return true;
    return false;
}

lt_status lti_keyed_file_digest(const char *path, const unsigned char key[LTI_KEY_BYTES], char out[LTI_HEX + 6])
{
    static const unsigned char domain[] = "lethe-file-1\n";
    unsigned char digest[LTI_HASH_BYTES];
    char *bytes, hex[LTI_HEX];
    size_t n;
    crypto_generichash_state h;
    LT_TRY(lt_read_file(path, LIST_MAX, &bytes, &n));
    crypto_generichash_init(&h, key, LTI_KEY_BYTES, sizeof digest);
    crypto_generichash_update(&h, domain, sizeof domain - 1);
    crypto_generichash_update(&h, (const unsigned char *)bytes, n);
    crypto_generichash_final(&h, digest, sizeof digest);
    sodium_bin2hex(hex, sizeof hex, digest, sizeof digest);
    lti_format(out, LTI_HEX + 6, "keyed:%s", hex);
    lti_free(bytes);
    return LT_OK;
}

lt_status lti_sample_digests(const char *dir, const lt_ledger_source *source, json_t **out)
{
    unsigned char key[LTI_KEY_BYTES];
    char fingerprint[LT_FINGERPRINT_HEX];
    samples s = {0};
    *out = NULL;
    LT_TRY(lti_sample_key(source->sample_key, true, key));
    lti_key_fingerprint(key, sizeof key, "lethe-sample-key-1\n", fingerprint);
    char *path = lti_asprintf("%s/forget.csv", dir);
    json_t *digests = json_array(), *object = json_object();
    lt_status status = path && digests && object ? find_samples(dir, source->ds, &s) : LTI_NOMEM("samples");
    if (status == LT_OK)
        status = add_listed(path, &s, key, digests);
    if (status == LT_OK && !(lti_put_text(object, "key", fingerprint) &&
                             lti_put(object, "n", json_integer((json_int_t)json_array_size(digests))) &&
                             json_object_set(object, "digests", digests) == 0))
        status = LTI_NOMEM("samples");
    sodium_memzero(key, sizeof key);
    json_decref(digests);
    lti_free(s.item);
    lti_free(path);
    if (status == LT_OK)
        *out = object;
    else
        json_decref(object);
    return status;
}
