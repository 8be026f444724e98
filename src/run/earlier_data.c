// earlier_data.c - the data of the trainings before the last one, without what must be forgotten.
//
// A model that was trained on one set and fine-tuned on another has seen a forgotten image in both when both hold it:
// samples are matched by content. Data that lost files since are identified as those of the last training are.
#include "run/run_impl.h"
#include <stdlib.h>
#include <string.h>

typedef char digest_text[LT_SAMPLE_DIGEST_HEX];

typedef struct digest_set { // sorted
    digest_text *digest;
    int64_t n;
} digest_set;

typedef struct earlier_job {
    const lt_trained_model *m;
    const lt_dataset *ds;
    const lt_sample_sets *sets;
    const lt_env *env;
    digest_set forgotten; // of ds: everything that is not retained
} earlier_job;

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, LT_SAMPLE_DIGEST_HEX);
}

static bool holds(const digest_set *set, const digest_text digest)
{
    return set->n && bsearch(digest, set->digest, (size_t)set->n, sizeof *set->digest, compare_digests);
}

// Images that were forgotten and deleted: their digests are in the list of the training set.
static lt_status add_deleted(const earlier_job *job, const int64_t *id, int64_t n, digest_set *set)
{
    lt_sample_list *list = NULL;
    bool found;
    LT_TRY(lti_sample_list_find(job->m, &list, &found));
    for (int64_t i = 0; found && i < n; i++)
        if (lt_dataset_row_of_id(job->ds, LT_TRAIN, id[i]) < 0 &&
            lt_sample_list_digest(list, id[i], set->digest[set->n]))
            set->n++;
    lt_sample_list_close(list);
    return LT_OK;
}

static lt_status collect_forgotten(earlier_job *job)
{
    lt_index_set rows = {0};
    lt_recipe_stage before = {0}; // ids that the model has forgotten
    digest_set *set = &job->forgotten;
    lt_status status = LT_OK;
    LT_TRY_GOTO(lti_recipe_note_forgotten(job->m, &before), done);
    LT_TRY_GOTO(lt_index_set_complement(job->ds->split[LT_TRAIN].n, &job->sets->retain, &rows), done);
    set->digest = lti_calloc((size_t)(rows.n + before.n_forgotten) + 1, sizeof *set->digest);
    if (!set->digest) {
        status = LTI_NOMEM("forgotten samples");
        goto done;
    }
    for (; set->n < rows.n; set->n++)
        lt_sample_digest(job->ds, LT_TRAIN, rows.row[set->n], set->digest[set->n]);
    LT_TRY_GOTO(add_deleted(job, before.forgotten, before.n_forgotten, set), done);
    qsort(set->digest, (size_t)set->n, sizeof *set->digest, compare_digests);
done:
    lti_free(before.forgotten);
    lt_index_set_clear(&rows);
    return status;
}

static bool was_forgotten(const lt_recipe_stage *s, int64_t id)
{
    for (int64_t i = 0; i < s->n_forgotten; i++)
        if (s->forgotten[i] == id)
            return true;
    return false;
}

// Files are gone: their images must have been forgotten, by this model or before its next training.
static lt_status check_missing(const earlier_job *job, const lt_recipe_stage *s, const lt_sample_list *list,
                               const lt_identity *identity)
{
    for (int64_t i = 0; i < identity->n_missing; i++) {
        digest_text digest;
        const int64_t id = identity->missing[i];
        if (was_forgotten(s, id) || (lt_sample_list_digest(list, id, digest) && holds(&job->forgotten, digest)))
            continue;
        LT_FAIL(LT_E_INTEGRITY,
                "data %s: sample %lld, on which %s was trained first, is not in it and has not been forgotten", s->data,
                (long long)id, job->m->name);
        return lt_error_hint("put the image back, or say which data this training had: --recipe FILE.yaml");
    }
    return LT_OK;
}

static lt_status identify_data(const earlier_job *job, const lt_recipe_stage *s, lt_dataset *ds)
{
    lt_sample_list *list = NULL;
    lt_identity identity = {0};
    const bool as_recorded = !*s->data_digest || !strcmp(s->data_digest, ds->digest);
    if (as_recorded)
        return LT_OK;
    char *path = lti_asprintf("%s/" LTI_SAMPLES_FILE, s->run);
    lt_status status = path ? LT_OK : LTI_NOMEM("path");
    if (status == LT_OK && !(*s->run && lti_is_file(path)))
        status = LT_FAIL(LT_E_INTEGRITY, "data %s: digest %.16s..., but %s was trained first on %.16s...", s->data,
                         ds->digest, job->m->name, s->data_digest);
    if (status == LT_OK)
        status = lt_sample_list_open(path, &list);
    if (status == LT_OK)
        status = lt_dataset_identify(ds, list, &identity);
    if (status == LT_OK)
        status = check_missing(job, s, list, &identity);
    lt_identity_clear(&identity);
    lt_sample_list_close(list);
    lti_free(path);
    return status;
}

static lt_status choose_retained(const earlier_job *job, const lt_recipe_stage *s, const lt_dataset *ds,
                                 lt_index_set *retain)
{
    const lt_split_data *d = &ds->split[LT_TRAIN];
    retain->row = lti_calloc((size_t)d->n + 1, sizeof *retain->row);
    if (!retain->row)
        return LTI_NOMEM("index set");
    for (int64_t row = 0; row < d->n; row++) {
        digest_text digest;
        lt_sample_digest(ds, LT_TRAIN, row, digest);
        if (!holds(&job->forgotten, digest) && !was_forgotten(s, d->id[row]))
            retain->row[retain->n++] = row;
    }
    return LT_OK;
}

static lt_status open_stage(const earlier_job *job, const lt_recipe_stage *s, int i, lti_earlier *out)
{
    const char *trained_on = lt_trained_model_meta(job->m, "lethe.data_digest");
    const lt_dataset *ds = job->ds;
    const lt_model_shape *shape = &job->m->model->shape;
    if (!*s->data && s->is_recorded) {
        LT_FAIL(LT_E_USAGE, "%s: it is not known on which data its training %d was", job->m->name, i + 1);
        return lt_error_hint("say it with --recipe FILE.yaml: a list `stages`, each with data, epochs, lr, ...");
    }
    const bool is_same = !*s->data || (trained_on && !strcmp(trained_on, s->data_digest));
    if (!is_same) {
        LT_TRY(lt_dataset_open(s->data, job->env->events, &out->ds[i]));
        LT_TRY(identify_data(job, s, out->ds[i]));
        ds = out->ds[i];
    }
    if (ds->c != shape->c || ds->h != shape->h || ds->w != shape->w || ds->n_classes != shape->n_classes)
        return LT_FAIL(
            LT_E_SHAPE, "data %s: expected %dx%dx%d images of %d classes for training %d, found %dx%dx%d of %d",
            ds->spec, shape->c, shape->h, shape->w, shape->n_classes, i + 1, ds->c, ds->h, ds->w, ds->n_classes);
    LT_TRY(choose_retained(job, s, ds, &out->retain[i]));
    out->clip[i] = (lti_clip_recipe){.cfg = s->clip, .env = job->env};
    out->stage[i] = (lt_train_stage){
        .cfg = s->cfg, .ds = ds, .retain = &out->retain[i], .prepare = lti_clip_job, .prepare_ctx = &out->clip[i]};
    out->n = i + 1;
    return LT_OK;
}

void lti_earlier_close(lti_earlier *e)
{
    for (int i = 0; i < e->n_opened; i++) {
        lt_dataset_close(e->ds[i]);
        lt_index_set_clear(&e->retain[i]);
        lt_clipper_destroy(e->clip[i].clipper);
    }
    lti_free(e->stage);
    lti_free(e->ds);
    lti_free(e->retain);
    lti_free(e->clip);
    *e = (lti_earlier){0};
}

lt_status lti_earlier_open(const lt_trained_model *m, const lt_dataset *ds, const lt_sample_sets *sets,
                           const lt_recipe_stage *stage, int n, const lt_env *env, lti_earlier *out)
{
    earlier_job job = {.m = m, .ds = ds, .sets = sets, .env = env};
    *out = (lti_earlier){0};
    if (n == 0)
        return LT_OK;
    out->stage = lti_calloc((size_t)n, sizeof *out->stage);
    out->ds = lti_calloc((size_t)n, sizeof(lt_dataset *));
    out->retain = lti_calloc((size_t)n, sizeof *out->retain);
    out->clip = lti_calloc((size_t)n, sizeof *out->clip);
    lt_status status = out->stage && out->ds && out->retain && out->clip ? LT_OK : LTI_NOMEM("recipe");
    if (status == LT_OK) {
        out->n_opened = n;
        status = collect_forgotten(&job);
    }
    for (int i = 0; i < n && status == LT_OK; i++)
        status = open_stage(&job, &stage[i], i, out);
    lti_free(job.forgotten.digest);
    if (status != LT_OK)
        lti_earlier_close(out);
    return status;
}
