// adv_state.c - an unfinished search on disk, so that an interrupted one goes on where it stopped.
//
// The queue's order is part of the state: it decides which samples share a batch, so the continued search runs the very
// same batches as one that was never stopped and ends with the same bits. The file is in the directory of the cache
// entry it will become.
#include "attack/attack_impl.h"
#include <math.h>
#include <string.h>

enum { N_EXTRA = 4, N_COUNTS = 4 };
_Static_assert(sizeof(lti_search_item) == LTI_SEARCH_ITEM_FIELDS * sizeof(int32_t), "stored as I32");

typedef struct extra {
    int64_t counts[N_COUNTS]; // n_queue, n_verified, n_forward, n_backward
    double time_s;
} extra;

static void describe_state(const lti_search *s, extra *e, lt_tensor t[LTI_ADV_SET_TENSORS + N_EXTRA])
{
    int64_t n = s->set->n;
    lti_adv_set_tensors(s->set, t);
    const lt_tensor more[N_EXTRA] = {
        {"item", LT_I32, 2, {n, LTI_SEARCH_ITEM_FIELDS}, s->item, (size_t)n * sizeof *s->item},
        {"queue", LT_I64, 1, {n}, s->queue, (size_t)n * sizeof *s->queue},
        {"counts", LT_I64, 1, {N_COUNTS}, e->counts, sizeof e->counts},
        {"time_s", LT_F64, 1, {1}, &e->time_s, sizeof e->time_s},
    };
    memcpy(t + LTI_ADV_SET_TENSORS, more, sizeof more);
}

lt_status lti_search_save(const lti_search *s)
{
    extra e = {{s->n_queue, s->n_verified, s->set->n_forward, s->set->n_backward}, lti_search_time(s)};
    lt_tensor t[LTI_ADV_SET_TENSORS + N_EXTRA];
    describe_state(s, &e, t);
    const lt_meta meta[] = {{"lethe.kind", "unfinished adversarial search"}};
    return lt_safetensors_write(s->state, t, LTI_ADV_SET_TENSORS + N_EXTRA, meta, 1);
}

static lt_status check_state(const lti_search *s, const extra *e)
{
    int64_t n = s->set->n, k = s->model->shape.n_classes;
    bool fine = e->counts[0] >= 0 && e->counts[0] <= n && e->counts[1] >= 0 && e->counts[2] >= 0 && e->counts[3] >= 0 &&
                e->time_s >= 0 && isfinite(e->time_s);
    for (int64_t i = 0; fine && i < n; i++) {
        const lti_search_item *item = &s->item[i];
        fine = s->set->id[i] == s->view->ds->split[s->view->split].id[lti_view_row(s->view, i)] &&
               s->set->label[i] == lti_view_label(s->view, i) && s->set->status[i] <= LT_ADV_FAILED &&
               s->set->clean_pred[i] >= 0 && s->set->clean_pred[i] < k && item->step >= 0 &&
               item->step <= s->cfg->steps && item->round >= 0 && item->eps > 0.0f && isfinite(item->eps) &&
               item->n_steps >= 0 && item->outcome >= LTI_SEARCH_UNDECIDED && item->outcome <= LTI_SEARCH_FAILED &&
               s->queue[i] >= 0 && s->queue[i] < n;
    }
    for (int64_t j = 0; fine && j < n * lti_adv_set_dim(s->set); j++)
        fine = s->set->x_adv[j] >= 0.0f && s->set->x_adv[j] <= 1.0f;
    return fine
               ? LT_OK
               : LT_FAIL(LT_E_FORMAT,
                         "%s: expected the state of this search, found other samples or values out of range", s->state);
}

lt_status lti_search_load(lti_search *s)
{
    extra e = {0};
    lt_tensor want[LTI_ADV_SET_TENSORS + N_EXTRA];
    lt_tensor_file *f;
    LT_TRY(lt_tensor_file_open(s->state, &f));
    describe_state(s, &e, want);
    lt_status status = LT_OK;
    for (int i = 0; status == LT_OK && i < LTI_ADV_SET_TENSORS + N_EXTRA; i++)
        status = lti_tensor_copy(f, s->state, want[i]);
    lt_tensor_file_close(f);
    LT_TRY(status);
    LT_TRY(check_state(s, &e));
    s->n_queue = e.counts[0];
    s->n_verified = e.counts[1];
    s->set->n_forward = e.counts[2];
    s->set->n_backward = e.counts[3];
    s->before_s = e.time_s;
    return LT_OK;
}
