// forgotten_samples.c - what a model was made to forget: samples of some data, which pictures leave out, and those
// whose files are gone, which the next request must still know to be forgotten.
//
// In the data of its training they are known by index. In other data, which may hold the same images, by content; where
// a run has lost its list of samples that is not known, and every sample counts as forgotten.
#include "run/run_impl.h"
#include <stdlib.h>
#include <string.h>

typedef char digest_text[LT_SAMPLE_DIGEST_HEX];

static int compare_ids(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static int compare_digests(const void *a, const void *b)
{
    return memcmp(a, b, LT_SAMPLE_DIGEST_HEX);
}

static void mark_by_index(lt_recipe_stage *known, const int64_t *id, int64_t n, uint8_t *mark)
{
    qsort(known->forgotten, (size_t)known->n_forgotten, sizeof *known->forgotten, compare_ids);
    for (int64_t i = 0; i < n; i++)
        if (bsearch(&id[i], known->forgotten, (size_t)known->n_forgotten, sizeof *id, compare_ids))
            mark[i] = 1;
}

// Digests of the forgotten samples, sorted; *n = -1 where one is not in the list.
static lt_status list_digests(const lt_recipe_stage *known, const lt_sample_list *list, digest_text **digest,
                              int64_t *n)
{
    *n = 0;
    *digest = lti_calloc((size_t)known->n_forgotten + 1, sizeof **digest);
    if (!*digest)
        return LTI_NOMEM("forgotten samples");
    for (int64_t i = 0; i < known->n_forgotten && *n >= 0; i++)
        *n = lt_sample_list_digest(list, known->forgotten[i], (*digest)[*n]) ? *n + 1 : -1;
    if (*n > 0)
        qsort(*digest, (size_t)*n, sizeof **digest, compare_digests);
    return LT_OK;
}

static lt_status mark_by_content(const lt_trained_model *m, const lt_recipe_stage *known, const lt_view *view,
                                 const int64_t *id, int64_t n, uint8_t *mark)
{
    lt_sample_list *list = NULL;
    digest_text *digest = NULL, own;
    int64_t n_digests = -1;
    bool found;
    lt_status status = lti_sample_list_find(m, &list, &found);
    if (status == LT_OK && found)
        status = list_digests(known, list, &digest, &n_digests);
    for (int64_t i = 0; i < n && status == LT_OK; i++) {
        const int64_t row = n_digests < 0 ? -1 : lt_dataset_row_of_id(view->ds, view->split, id[i]);
        if (row >= 0)
            lt_sample_digest(view->ds, view->split, row, own);
        if (row < 0 || bsearch(own, digest, (size_t)n_digests, sizeof *digest, compare_digests))
            mark[i] = 1;
    }
    lti_free(digest);
    lt_sample_list_close(list);
    return status;
}

lt_status lti_mark_forgotten(const lt_trained_model *m, const lt_view *view, const int64_t *id, int64_t n,
                             uint8_t *mark)
{
    const char *trained_on = m->model ? lt_trained_model_meta(m, "lethe.data_digest") : NULL;
    const bool is_same = trained_on && !strcmp(trained_on, view->ds->digest);
    lt_recipe_stage known = {0};
    lt_status status = lti_recipe_note_forgotten(m, &known);
    if (status == LT_OK && known.n_forgotten > 0) {
        if (!is_same)
            status = mark_by_content(m, &known, view, id, n, mark);
        else if (view->split == LT_TRAIN)
            mark_by_index(&known, id, n, mark);
    }
    lti_free(known.forgotten);
    return status;
}

// ---- those that are gone

lt_status lti_forgotten_absent(const lt_trained_model *m, const lt_dataset *ds, int64_t **id, int64_t *n)
{
    lt_recipe_stage known = {0};
    *id = NULL;
    *n = 0;
    LT_TRY(lti_recipe_note_forgotten(m, &known));
    for (int64_t i = 0; i < known.n_forgotten; i++)
        if (lt_dataset_row_of_id(ds, LT_TRAIN, known.forgotten[i]) < 0)
            known.forgotten[(*n)++] = known.forgotten[i];
    *id = known.forgotten;
    return LT_OK;
}

lt_status lti_forgotten_write(const lt_dataset *ds, const lt_index_set *rows, const int64_t *absent, int64_t n_absent,
                              const char *path)
{
    const int64_t n = rows->n + n_absent, *of_row = ds->split[LT_TRAIN].id;
    int64_t *all = lti_calloc((size_t)n + 1, sizeof *all);
    lti_buf b = {0};
    if (!all)
        return LTI_NOMEM("forgotten samples");
    for (int64_t i = 0; i < n; i++)
        all[i] = i < rows->n ? of_row[rows->row[i]] : absent[i - rows->n];
    qsort(all, (size_t)n, sizeof *all, compare_ids);
    lti_buf_puts(&b, "unlearn_idx\n");
    for (int64_t i = 0; i < n; i++)
        lti_buf_printf(&b, "%lld\n", (long long)all[i]);
    lt_status status = b.failed ? LTI_NOMEM("forgotten samples") : lt_write_file_atomic(path, b.data, b.n);
    lti_buf_clear(&b);
    lti_free(all);
    return status;
}
