// adv_set.c - the adversarial set in memory and on disk. [AMUN 2.3]
//
// adv.csv is for people and for the AMUN authors' scripts (its first six columns are theirs); adv.safetensors holds
// every field exactly, x_adv as float32. Reading uses the tensors only, and checks them as if a stranger had written
// them.
#include "lethe/run.h"
#include "lethe/tensorfile.h"
#include "attack/attack_impl.h"
#include <inttypes.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const status_text[] = {"ok", "clean_wrong", "failed"};

lt_status lti_adv_set_create(int64_t n, int c, int h, int w, lt_adv_set **out)
{
    size_t plane, dim, total;
    if (lti_mul_size((size_t)h, (size_t)w, &plane) || lti_mul_size(plane, (size_t)c, &dim) ||
        lti_mul_size(dim, (size_t)n, &total))
        return LTI_NOMEM("adversarial set");
    lt_adv_set *s = lti_calloc(1, sizeof *s);
    if (!s)
        return LTI_NOMEM("adversarial set");
    *s = (lt_adv_set){.n = n, .c = c, .h = h, .w = w};
    s->id = lti_calloc((size_t)n, sizeof *s->id);
    s->label = lti_calloc((size_t)n, sizeof *s->label);
    s->clean_pred = lti_calloc((size_t)n, sizeof *s->clean_pred);
    s->adv_pred = lti_calloc((size_t)n, sizeof *s->adv_pred);
    s->x_adv = lti_calloc(total, sizeof *s->x_adv);
    s->eps_final = lti_calloc((size_t)n, sizeof *s->eps_final);
    s->delta_norm = lti_calloc((size_t)n, sizeof *s->delta_norm);
    s->iters = lti_calloc((size_t)n, sizeof *s->iters);
    s->rounds = lti_calloc((size_t)n, sizeof *s->rounds);
    s->status = lti_calloc((size_t)n, sizeof *s->status);
    if (!s->id || !s->label || !s->clean_pred || !s->adv_pred || !s->x_adv || !s->eps_final || !s->delta_norm ||
        !s->iters || !s->rounds || !s->status) {
        lt_adv_set_destroy(s);
        return LTI_NOMEM("adversarial set");
    }
    *out = s;
    return LT_OK;
}

void lt_adv_set_destroy(lt_adv_set *s)
{
    if (!s)
        return;
    lti_free(s->id);
    lti_free(s->label);
    lti_free(s->clean_pred);
    lti_free(s->adv_pred);
    lti_free(s->x_adv);
    lti_free(s->eps_final);
    lti_free(s->delta_norm);
    lti_free(s->iters);
    lti_free(s->rounds);
    lti_free(s->status);
    lti_free(s);
}

int64_t lt_adv_set_count(const lt_adv_set *set, lt_adv_status status)
{
    int64_t n = 0;
    for (int64_t i = 0; i < set->n; i++)
        n += set->status[i] == (uint8_t)status;
    return n;
}

// ---- choosing rows: D_A of a smaller forget set [AMUN 2.3]

static int compare_id(const void *a, const void *b)
{
    const int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return (x > y) - (x < y);
}

static void copy_row(const lt_adv_set *from, int64_t i, lt_adv_set *to, int64_t k)
{
    const size_t dim = (size_t)lti_adv_set_dim(from);
    to->id[k] = from->id[i];
    to->label[k] = from->label[i];
    to->clean_pred[k] = from->clean_pred[i];
    to->adv_pred[k] = from->adv_pred[i];
    to->eps_final[k] = from->eps_final[i];
    to->delta_norm[k] = from->delta_norm[i];
    to->iters[k] = from->iters[i];
    to->rounds[k] = from->rounds[i];
    to->status[k] = from->status[i];
    memcpy(to->x_adv + (size_t)k * dim, from->x_adv + (size_t)i * dim, dim * sizeof *to->x_adv);
}

lt_status lt_adv_set_select(const lt_adv_set *set, const int64_t *id, int64_t n, lt_adv_set **out)
{
    lt_adv_set *s = NULL;
    lt_status status = LT_OK;
    int64_t(*at)[2] = lti_calloc((size_t)set->n, sizeof *at); // id, row; ascending by id
    if (!at)
        return LTI_NOMEM("adversarial set");
    for (int64_t i = 0; i < set->n; i++) {
        at[i][0] = set->id[i];
        at[i][1] = i;
    }
    qsort(at, (size_t)set->n, sizeof *at, compare_id);
    LT_TRY_GOTO(lti_adv_set_create(n, set->c, set->h, set->w, &s), fail);
    for (int64_t k = 0; k < n; k++) {
        const int64_t(*found)[2] = bsearch(&id[k], at, (size_t)set->n, sizeof *at, compare_id);
        if (!found)
            LT_TRY_GOTO(LT_FAIL(LT_E_USAGE, "adversarial set: expected sample %lld among its %lld, found no such",
                                (long long)id[k], (long long)set->n),
                        fail);
        copy_row(set, (*found)[1], s, k);
    }
    memcpy(s->digest, set->digest, sizeof s->digest);
    s->search_s = set->search_s;
    s->n_forward = set->n_forward;
    s->n_backward = set->n_backward;
    *out = s;
    lti_free(at);
    return LT_OK;
fail:
    lti_free(at);
    lt_adv_set_destroy(s);
    return status;
}

// ---- writing

static lt_status save_csv(const lt_adv_set *s, const char *path)
{
    lti_buf b = {0};
    lti_buf_printf(&b, "idx,label,orig_pred,adv_pred,smallest_eps,delta_norm,iters,rounds,status\n");
    for (int64_t i = 0; i < s->n; i++) {
        char eps[LTI_NUMBER_MAX], delta[LTI_NUMBER_MAX];
        lti_buf_printf(&b, "%" PRId64 ",%d,%d,%d,%s,%s,%d,%d,%s\n", s->id[i], s->label[i], s->clean_pred[i],
                       s->adv_pred[i], lti_number_text((double)s->eps_final[i], true, eps),
                       lti_number_text((double)s->delta_norm[i], true, delta), s->iters[i], s->rounds[i],
                       status_text[s->status[i]]);
    }
    lt_status status = b.failed ? LTI_NOMEM("adv.csv") : lt_write_file_atomic(path, b.data, b.n);
    lti_buf_clear(&b);
    return status;
}

void lti_adv_set_tensors(const lt_adv_set *s, lt_tensor t[LTI_ADV_SET_TENSORS])
{
    size_t n = (size_t)s->n;
    const lt_tensor fields[LTI_ADV_SET_TENSORS] = {
        {"id", LT_I64, 1, {s->n}, s->id, n * sizeof *s->id},
        {"label", LT_I32, 1, {s->n}, s->label, n * sizeof *s->label},
        {"clean_pred", LT_I32, 1, {s->n}, s->clean_pred, n * sizeof *s->clean_pred},
        {"adv_pred", LT_I32, 1, {s->n}, s->adv_pred, n * sizeof *s->adv_pred},
        {"eps_final", LT_F32, 1, {s->n}, s->eps_final, n * sizeof *s->eps_final},
        {"delta_norm", LT_F32, 1, {s->n}, s->delta_norm, n * sizeof *s->delta_norm},
        {"iters", LT_I32, 1, {s->n}, s->iters, n * sizeof *s->iters},
        {"rounds", LT_I32, 1, {s->n}, s->rounds, n * sizeof *s->rounds},
        {"status", LT_U8, 1, {s->n}, s->status, n * sizeof *s->status},
        {"x_adv", LT_F32, 4, {s->n, s->c, s->h, s->w}, s->x_adv, n * (size_t)lti_adv_set_dim(s) * sizeof *s->x_adv},
    };
    memcpy(t, fields, sizeof fields);
}

static lt_status save_tensors(const lt_adv_set *s, const char *path)
{
    lt_tensor t[LTI_ADV_SET_TENSORS];
    lti_adv_set_tensors(s, t);
    char search_s[LTI_NUMBER_MAX], n_forward[24], n_backward[24];
    snprintf(n_forward, sizeof n_forward, "%" PRId64, s->n_forward);
    snprintf(n_backward, sizeof n_backward, "%" PRId64, s->n_backward);
    const lt_meta meta[] = {{"lethe.kind", "adversarial set"},
                            {"lethe.digest", s->digest},
                            {"lethe.search_s", lti_number_text(s->search_s, false, search_s)},
                            {"lethe.n_forward", n_forward},
                            {"lethe.n_backward", n_backward}};
    return lt_safetensors_write(path, t, LTI_ADV_SET_TENSORS, meta, (int)(sizeof meta / sizeof *meta));
}

lt_status lt_adv_set_save(const lt_adv_set *set, const char *dir)
{
    LT_TRY(lt_make_dirs(dir));
    char *csv = lti_asprintf("%s/adv.csv", dir), *tensors = lti_asprintf("%s/adv.safetensors", dir);
    lt_status status = csv && tensors ? save_csv(set, csv) : LTI_NOMEM("path");
    if (status == LT_OK)
        status = save_tensors(set, tensors);
    lti_free(csv);
    lti_free(tensors);
    return status;
}

// ---- reading

lt_status lti_tensor_copy(const lt_tensor_file *f, const char *path, lt_tensor want)
{
    const lt_tensor *t = lt_tensor_file_find(f, want.name);
    if (!t)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a tensor '%s', found none", path, want.name);
    bool same = t->dtype == want.dtype && t->n_dims == want.n_dims && t->n_bytes == want.n_bytes;
    for (int d = 0; same && d < want.n_dims; d++)
        same = t->dim[d] == want.dim[d];
    if (!same)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor '%s': expected %zu bytes (%lld rows), found another type or shape",
                       path, want.name, want.n_bytes, (long long)want.dim[0]);
    memcpy(want.data, t->data, want.n_bytes);
    return LT_OK;
}

static lt_status check_values(const lt_adv_set *s, const char *path)
{
    for (int64_t i = 0; i < s->n * lti_adv_set_dim(s); i++)
        if (!(s->x_adv[i] >= 0.0f && s->x_adv[i] <= 1.0f))
            return LT_FAIL(LT_E_FORMAT, "%s: tensor 'x_adv', sample %lld: expected pixels in 0..1, found %g", path,
                           (long long)(i / lti_adv_set_dim(s)), (double)s->x_adv[i]);
    for (int64_t i = 0; i < s->n; i++) {
        if (s->status[i] > LT_ADV_FAILED)
            return LT_FAIL(LT_E_FORMAT, "%s: tensor 'status', sample %lld: expected 0..2, found %d", path, (long long)i,
                           s->status[i]);
        bool fine = s->id[i] >= 0 && s->label[i] >= 0 && s->clean_pred[i] >= 0 && s->adv_pred[i] >= 0 &&
                    s->iters[i] >= 0 && s->rounds[i] >= 0 && s->eps_final[i] >= 0.0f && s->delta_norm[i] >= 0.0f &&
                    (s->status[i] == LT_ADV_FAILED || s->adv_pred[i] != s->label[i]);
        if (!fine)
            return LT_FAIL(LT_E_FORMAT,
                           "%s: sample %lld (id %lld): expected numbers of at least 0 and adv_pred unlike label", path,
                           (long long)i, (long long)s->id[i]);
    }
    return LT_OK;
}

// Metadata is optional: a set written by another tool has none.
static void read_meta(const lt_tensor_file *f, lt_adv_set *s)
{
    const char *digest = lt_tensor_file_meta(f, "lethe.digest"), *v;
    if (digest && strlen(digest) == sizeof s->digest - 1)
        memcpy(s->digest, digest, sizeof s->digest);
    if ((v = lt_tensor_file_meta(f, "lethe.search_s")) && lti_parse_f64(v, "search_s", 0, 1e18, &s->search_s) != LT_OK)
        s->search_s = 0.0;
    if ((v = lt_tensor_file_meta(f, "lethe.n_forward")) &&
        lti_parse_i64(v, "n_forward", 0, INT64_MAX, &s->n_forward) != LT_OK)
        s->n_forward = 0;
    if ((v = lt_tensor_file_meta(f, "lethe.n_backward")) &&
        lti_parse_i64(v, "n_backward", 0, INT64_MAX, &s->n_backward) != LT_OK)
        s->n_backward = 0;
}

static lt_status from_file(const lt_tensor_file *f, const char *path, lt_adv_set **out)
{
    const lt_tensor *x = lt_tensor_file_find(f, "x_adv");
    if (!x || x->dtype != LT_F32 || x->n_dims != 4)
        return LT_FAIL(LT_E_FORMAT, "%s: expected a float32 tensor 'x_adv' (N,C,H,W), found none", path);
    if (x->dim[0] < 1 || x->dim[1] < 1 || x->dim[2] < 1 || x->dim[3] < 1 || x->dim[1] > INT_MAX ||
        x->dim[2] > INT_MAX || x->dim[3] > INT_MAX)
        return LT_FAIL(LT_E_FORMAT, "%s: tensor 'x_adv': expected positive dimensions, found %lld x %lld x %lld x %lld",
                       path, (long long)x->dim[0], (long long)x->dim[1], (long long)x->dim[2], (long long)x->dim[3]);
    lt_adv_set *s;
    LT_TRY(lti_adv_set_create(x->dim[0], (int)x->dim[1], (int)x->dim[2], (int)x->dim[3], &s));
    lt_tensor field[LTI_ADV_SET_TENSORS];
    lti_adv_set_tensors(s, field);
    lt_status status = LT_OK;
    for (int i = 0; i < LTI_ADV_SET_TENSORS; i++)
        LT_TRY_GOTO(lti_tensor_copy(f, path, field[i]), fail);
    LT_TRY_GOTO(check_values(s, path), fail);
    read_meta(f, s);
    *out = s;
    return LT_OK;
fail:
    lt_adv_set_destroy(s);
    return status;
}

lt_status lt_adv_set_open(const char *dir, lt_adv_set **set)
{
    char *path = lti_asprintf("%s/adv.safetensors", dir);
    if (!path)
        return LTI_NOMEM("path");
    lt_tensor_file *f = NULL;
    lt_status status = lt_tensor_file_open(path, &f);
    if (status == LT_OK)
        status = from_file(f, path, set);
    lt_tensor_file_close(f);
    lti_free(path);
    return status;
}
