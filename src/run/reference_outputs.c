// reference_outputs.c - outputs of reference models on the samples of a signals file, as audits read them.
#include "lethe/audits.h"
#include "lethe/tensorfile.h"
#include "run/run_impl.h"
#include <string.h>

static int64_t row_of_id(const lt_split_data *d, int64_t id)
{
    int64_t lo = 0, hi = d->n; // ids ascend
    while (lo < hi) {
        const int64_t mid = lo + (hi - lo) / 2;
        if (d->id[mid] < id)
            lo = mid + 1;
        else
            hi = mid;
    }
    return lo < d->n && d->id[lo] == id ? lo : -1;
}

// Numbers in D + D_T of the samples of a signals file, in its order.
static lt_status find_samples(const lt_dataset *ds, const char *path, const lt_signals *s, int64_t *sample)
{
    if (s->k != ds->n_classes)
        return LT_FAIL(LT_E_SHAPE, "%s: expected logits of %d classes, found %d", path, ds->n_classes, s->k);
    for (int64_t i = 0; i < s->n; i++) {
        const bool test = s->group[i] == LT_GROUP_TEST;
        const lt_split_data *d = &ds->split[test ? LT_TEST : LT_TRAIN];
        const int64_t row = row_of_id(d, s->id[i]);
        if (row < 0)
            return LT_FAIL(LT_E_FORMAT, "%s: row %lld: id %lld is not in the %s split of %s", path, (long long)i,
                           (long long)s->id[i], test ? "test" : "training", ds->spec);
        if (d->y[row] != s->label[i])
            return LT_FAIL(LT_E_FORMAT, "%s: row %lld: id %lld has label %d in %s, found %lld", path, (long long)i,
                           (long long)s->id[i], (int)d->y[row], ds->spec, (long long)s->label[i]);
        sample[i] = row + (test ? ds->split[LT_TRAIN].n : 0);
    }
    return LT_OK;
}

typedef struct output_rows { // what an audit holds against the rows of its model
    int64_t n;
    int64_t *sample; // (n) numbers in D + D_T; NULL = all samples of the plan, in order
    int8_t *group;   // (n) of the signals file; NULL without one
    int64_t *id, *label;
} output_rows;

static void clear_rows(output_rows *rows)
{
    lti_free(rows->sample);
    lti_free(rows->group);
    lti_free(rows->id);
    lti_free(rows->label);
}

static lt_status take_samples(const lt_ref_plan *plan, const char *path, const lt_signals *s, output_rows *rows)
{
    rows->n = s->n;
    rows->sample = lti_calloc((size_t)s->n, sizeof *rows->sample);
    rows->group = lti_calloc((size_t)s->n, sizeof *rows->group);
    if (!rows->sample || !rows->group)
        return LTI_NOMEM("reference outputs");
    memcpy(rows->group, s->group, (size_t)s->n * sizeof *s->group);
    return find_samples(plan->request.ds, path, s, rows->sample);
}

static lt_status choose_samples(const lt_ref_plan *plan, const char *samples_from, output_rows *rows)
{
    lt_signals *s;
    rows->n = plan->n;
    if (!samples_from || !*samples_from)
        return LT_OK;
    LT_TRY(lt_signals_open(samples_from, &s));
    const lt_status status = take_samples(plan, samples_from, s, rows);
    lt_signals_destroy(s);
    return status;
}

static lt_status name_rows(const lt_dataset *ds, output_rows *rows)
{
    rows->id = lti_calloc((size_t)rows->n, sizeof *rows->id);
    rows->label = lti_calloc((size_t)rows->n, sizeof *rows->label);
    if (!rows->id || !rows->label)
        return LTI_NOMEM("reference outputs");
    for (int64_t i = 0; i < rows->n; i++) {
        const int64_t row = rows->sample ? rows->sample[i] : i;
        const bool test = row >= ds->split[LT_TRAIN].n;
        const lt_split_data *d = &ds->split[test ? LT_TEST : LT_TRAIN];
        const int64_t of_split = test ? row - ds->split[LT_TRAIN].n : row;
        rows->id[i] = d->id[of_split];
        rows->label[i] = d->y[of_split];
    }
    return LT_OK;
}

static lt_status write_outputs(const lt_ref_plan *plan, const lt_ref_env *env, const output_rows *rows, const char *npz)
{
    const int64_t count = plan->request.count, k = plan->request.ds->n_classes, n = rows->n;
    float *logits = lti_calloc((size_t)(count * n * k), sizeof *logits);
    uint8_t *member = lti_calloc((size_t)(count * n), 1);
    lt_status status = logits && member ? LT_OK : LTI_NOMEM("reference outputs");
    if (status == LT_OK)
        status = lt_ref_signals(plan, env, rows->sample, n, logits, member);
    const lt_tensor tensors[] = {
        {"logits", LT_F32, 3, {count, n, k}, logits, (size_t)(count * n * k) * sizeof *logits},
        {"member", LT_U8, 2, {count, n}, member, (size_t)(count * n)},
        {"ids", LT_I64, 1, {n}, rows->id, (size_t)n * sizeof *rows->id},
        {"labels", LT_I64, 1, {n}, rows->label, (size_t)n * sizeof *rows->label},
        {"group", LT_I8, 1, {n}, rows->group, (size_t)n * sizeof *rows->group}, // last: may be missing
    };
    if (status == LT_OK)
        status = lt_npz_write(npz, tensors, (int)(sizeof tensors / sizeof *tensors) - !rows->group);
    lti_free(logits);
    lti_free(member);
    return status;
}

lt_status lt_reference_outputs(const lt_ref_plan *plan, const lt_ref_env *env, const char *samples_from,
                               const char *npz, int64_t *n)
{
    output_rows rows = {0};
    lt_status status = choose_samples(plan, samples_from, &rows);
    *n = rows.n;
    if (status == LT_OK)
        status = name_rows(plan->request.ds, &rows);
    if (status == LT_OK)
        status = write_outputs(plan, env, &rows, npz);
    clear_rows(&rows);
    return status;
}
