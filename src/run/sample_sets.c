// sample_sets.c - which samples a run forgot, which it still knows, and the outputs of its model for both.
#include "run/run_impl.h"
#include "run/until.h"
#include <string.h>

static const char forget_key[] = "lethe.forget_digest";

void lt_sample_sets_clear(lt_sample_sets *sets)
{
    lt_index_set_clear(&sets->forget);
    lt_index_set_clear(&sets->retain);
    lt_index_set_clear(&sets->test);
}

// A list that has lost a line would put a forgotten sample back among the retained ones.
static lt_status check_list(const lt_trained_model *m, const lt_dataset *ds, const char *path, const char *key,
                            const lt_index_set *set)
{
    const char *expected = lt_trained_model_meta(m, key), *data = lt_trained_model_meta(m, "lethe.data_digest");
    char found[65];
    if (!expected || !data || strcmp(data, ds->digest) != 0)
        return LT_OK;
    lt_index_set_digest(ds, LT_TRAIN, set, found);
    if (strcmp(expected, found) == 0)
        return LT_OK;
    return LT_FAIL(LT_E_INTEGRITY, "%s: expected the samples the model has forgotten (digest %.16s...), found %.16s...",
                   path, expected, found);
}

// file: of the run's directory; key: of its digest in the metadata of the model. *n_absent: samples of the list that
// are no longer in the data, which lt_trained_model_check_data has allowed.
static lt_status parse_file(const lt_trained_model *m, const lt_dataset *ds, const char *file, const char *key,
                            bool *found, lt_index_set *out, int64_t *n_absent)
{
    char *path = lti_asprintf("%s/%s", m->dir, file);
    if (!path)
        return LTI_NOMEM("path");
    lt_status status = LT_OK;
    *found = lti_is_file(path);
    *n_absent = 0;
    if (*found)
        status = lt_forget_present(ds, path, out, n_absent);
    if (*found && status == LT_OK && !*n_absent) {
        status = check_list(m, ds, path, key, out);
        if (status != LT_OK)
            lt_index_set_clear(out);
    }
    lti_free(path);
    return status;
}

lt_status lt_trained_model_forgotten(const lt_trained_model *m, const lt_dataset *ds, lt_index_set *all)
{
    bool found = false;
    int64_t n_absent;
    *all = (lt_index_set){0};
    if (m->dir) // forgotten.csv where there were several requests, else forget.csv
        LT_TRY(parse_file(m, ds, "forgotten.csv", "lethe.forgotten_digest", &found, all, &n_absent));
    if (m->dir && !found)
        LT_TRY(parse_file(m, ds, "forget.csv", forget_key, &found, all, &n_absent));
    return LT_OK;
}

static lt_status choose_forget(const lt_trained_model *m, const lt_dataset *ds, const lt_forget_request *request,
                               lt_index_set *forget)
{
    bool found = false;
    int64_t n_absent = 0;
    if (request->spec && *request->spec)
        return lt_forget_parse(ds, request->spec, request->seed, forget);
    if (m->dir)
        LT_TRY(parse_file(m, ds, "forget.csv", forget_key, &found, forget, &n_absent));
    if (n_absent) {
        LT_FAIL(LT_E_INTEGRITY, "%s: %lld of the samples that it forgot are no longer in %s", m->name,
                (long long)n_absent, ds->spec);
        return lt_error_hint("their outputs are in %s/signals.npz: lethe audit --signals", m->dir);
    }
    if (found)
        return LT_OK;
    LT_FAIL(LT_E_USAGE, "%s: no forget set: there is no forget.csv", m->name);
    return lt_error_hint("name one with --forget random:10%%, class:3 or file:IDS.csv");
}

// Rows of a and b, each once, and the rows of neither.
static lt_status merge_sets(const lt_index_set *a, const lt_index_set *b, int64_t n_rows, int64_t *n_union,
                            lt_index_set *rest)
{
    uint8_t *seen = lti_calloc((size_t)n_rows + 1, 1);
    if (!seen)
        return LTI_NOMEM("index sets");
    for (int64_t i = 0; i < a->n; i++)
        seen[a->row[i]] = 1;
    for (int64_t i = 0; i < b->n; i++)
        seen[b->row[i]] = 1;
    lt_index_set both = {.row = lti_calloc((size_t)n_rows + 1, sizeof *both.row)};
    for (int64_t row = 0; both.row && row < n_rows; row++)
        if (seen[row])
            both.row[both.n++] = row;
    *n_union = both.n;
    lt_status status = both.row ? lt_index_set_complement(n_rows, &both, rest) : LTI_NOMEM("index sets");
    lti_free(both.row);
    lti_free(seen);
    return status;
}

lt_status lt_trained_model_sets(const lt_trained_model *m, const lt_dataset *ds, const lt_forget_request *request,
                                lt_sample_sets *sets)
{
    lt_index_set before = {0};
    int64_t n_union = 0;
    lt_status status = LT_OK;
    *sets = (lt_sample_sets){0};
    LT_TRY_GOTO(choose_forget(m, ds, request, &sets->forget), done);
    LT_TRY_GOTO(lt_trained_model_forgotten(m, ds, &before), done);
    LT_TRY_GOTO(merge_sets(&sets->forget, &before, ds->split[LT_TRAIN].n, &n_union, &sets->retain), done);
    sets->n_before = before.n;
    LT_TRY_GOTO(lt_trained_model_held_out(m, ds, sets), done);
    if (request->is_new && n_union != sets->forget.n + before.n)
        status =
            LT_FAIL(LT_E_USAGE, "--forget %s: %lld of these samples have been forgotten already by %s or before it",
                    request->spec, (long long)(sets->forget.n + before.n - n_union), m->name);
done:
    lt_index_set_clear(&before);
    if (status != LT_OK)
        lt_sample_sets_clear(sets);
    return status;
}

lt_status lt_trained_model_signals(const lt_trained_model *m, const lt_dataset *ds, const lt_sample_sets *sets,
                                   const lt_env *env, lt_signals **s)
{
    char digest[65];
    lt_index_set_digest(ds, LT_TRAIN, &sets->forget, digest);
    if (m->dir && !strcmp(lt_trained_model_text(m, "forget_digest"), digest) &&
        !strcmp(lt_trained_model_text(m, "data_digest"), ds->digest)) {
        char *path = lti_asprintf("%s/signals.npz", m->dir);
        if (!path)
            return LTI_NOMEM("path");
        const bool is_stored = lti_is_file(path);
        lt_status status = is_stored ? lt_signals_open(path, s) : LT_OK;
        if (is_stored && status == LT_OK)
            status = lti_signals_keep_test(*s, ds, &sets->test);
        lti_free(path);
        if (is_stored)
            return status;
    }
    LT_TRY(lt_signals_compute(m->model, ds, &sets->forget, &sets->retain, env, s));
    return lti_signals_keep_test(*s, ds, &sets->test);
}
