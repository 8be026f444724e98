// reference_outputs.c - outputs of reference models on the samples of a signals file, as audits read them.
#include "lethe/audits.h"
#include "lethe/tensorfile.h"
#include "run/run_impl.h"

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

// *sample stays NULL for all samples of the plan.
static lt_status choose_samples(const lt_ref_plan *plan, const char *samples_from, int64_t **sample, int64_t *n)
{
    lt_signals *s;
    *sample = NULL;
    *n = plan->n;
    if (!samples_from || !*samples_from)
        return LT_OK;
    LT_TRY(lt_signals_open(samples_from, &s));
    *n = s->n;
    *sample = lti_calloc((size_t)s->n, sizeof **sample);
    const lt_status status =
        *sample ? find_samples(plan->request.ds, samples_from, s, *sample) : LTI_NOMEM("reference outputs");
    lt_signals_destroy(s);
    return status;
}

// Ids and labels of the rows: an audit holds them against those of its model.
static void list_rows(const lt_dataset *ds, const int64_t *sample, int64_t n, int64_t *id, int64_t *label)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t row = sample ? sample[i] : i;
        const bool test = row >= ds->split[LT_TRAIN].n;
        const lt_split_data *d = &ds->split[test ? LT_TEST : LT_TRAIN];
        const int64_t of_split = test ? row - ds->split[LT_TRAIN].n : row;
        id[i] = d->id[of_split];
        label[i] = d->y[of_split];
    }
}

static lt_status write_outputs(const lt_ref_plan *plan, const lt_ref_env *env, const int64_t *sample, int64_t n,
                               const char *npz)
{
    const int64_t count = plan->request.count, k = plan->request.ds->n_classes;
    float *logits = lti_calloc((size_t)(count * n * k), sizeof *logits);
    uint8_t *member = lti_calloc((size_t)(count * n), 1);
    int64_t *id = lti_calloc((size_t)(2 * n), sizeof *id), *label = id ? id + n : NULL;
    lt_status status = logits && member && id ? LT_OK : LTI_NOMEM("reference outputs");
    if (status == LT_OK)
        status = lt_ref_signals(plan, env, sample, n, logits, member);
    const lt_tensor tensors[] = {
        {"logits", LT_F32, 3, {count, n, k}, logits, (size_t)(count * n * k) * sizeof *logits},
        {"member", LT_U8, 2, {count, n}, member, (size_t)(count * n)},
        {"ids", LT_I64, 1, {n}, id, (size_t)n * sizeof *id},
        {"labels", LT_I64, 1, {n}, label, (size_t)n * sizeof *label},
    };
    if (status == LT_OK) {
        list_rows(plan->request.ds, sample, n, id, label);
        status = lt_npz_write(npz, tensors, sizeof tensors / sizeof *tensors);
    }
    lti_free(id);
    lti_free(logits);
    lti_free(member);
    return status;
}

lt_status lt_reference_outputs(const lt_ref_plan *plan, const lt_ref_env *env, const char *samples_from,
                               const char *npz, int64_t *n)
{
    int64_t *sample;
    lt_status status = choose_samples(plan, samples_from, &sample, n);
    if (status == LT_OK)
        status = write_outputs(plan, env, sample, *n, npz);
    lti_free(sample);
    return status;
}
