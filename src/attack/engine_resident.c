// engine_resident.c - a step of slots whose images stay where the plan reads them (attack_batch.h).
//
// Forward and backward are one run of a plan with the loss in it. Only the first slots run, as many as fill a plan of
// one of its sizes; where the cross-entropy of a row has no gradient the row is run once more, alone, with the margin.
#include "attack/engine_impl.h"

lt_status lti_resident_init(engine *e)
{
    e->done = lti_calloc((size_t)e->n_slots, sizeof *e->done);
    return e->done ? lti_attack_batch_init(&e->batch, e->job->grad, e->slot, e->job->grad->size[0])
                   : LTI_NOMEM("attack");
}

void lti_resident_clear(engine *e)
{
    lti_attack_batch_clear(&e->batch);
    lti_free(e->done);
}

static lt_status evaluate_rows(engine *e, lti_grad_loss loss, int bucket, int64_t from, int64_t n)
{
    LT_TRY(lti_attack_batch_evaluate(&e->batch, loss, bucket, from, n));
    e->n_forward += n;
    for (int64_t r = 0; r < n; r++) {
        const lti_row_stats *stats = &e->batch.stats[r];
        lti_slot *s = &e->slot[from + r];
        s->n_forward++;
        s->n_backward++;
        s->pred = stats->pred;
        s->dx_norm = stats->norm;
        s->invalid = !stats->finite;
    }
    return LT_OK;
}

static void ask_about_gradient(engine *e, int64_t row, int64_t grad_row)
{
    lti_slot *s = &e->slot[row];
    e->next[row] = s->invalid ? LTI_STOP : e->job->ops->take_gradient(s, e->job->cfg);
    if (e->next[row] == LTI_STEP) {
        lti_attack_batch_add_step(&e->batch, row, grad_row);
        e->next[row] = LTI_EVALUATE;
    }
}

static lt_status ask_rows(engine *e, int64_t n)
{
    for (int64_t r = 0; r < n; r++) {
        lti_slot *s = &e->slot[r];
        e->next[r] = s->invalid ? LTI_STOP : e->job->ops->take_logits(s, e->job->cfg);
        if (e->next[r] == LTI_GRADIENT)
            ask_about_gradient(e, r, r);
        if (e->next[r] == LTI_RESET) {
            LT_TRY(lti_attack_batch_reset(&e->batch, r));
            e->next[r] = LTI_EVALUATE;
        }
    }
    return lti_attack_batch_step(&e->batch);
}

// Rows that want another gradient at the same point: that of the margin. One by one: rare.
static lt_status step_on_margin(engine *e, int64_t n)
{
    for (int64_t r = 0; r < n; r++) {
        if (e->next[r] != LTI_GRADIENT)
            continue;
        LT_TRY(evaluate_rows(e, LTI_GRAD_MARGIN, e->batch.grad->n_buckets - 1, r, 1));
        ask_about_gradient(e, r, 0);
        LT_TRY(lti_attack_batch_step(&e->batch));
    }
    return LT_OK;
}

lt_status lti_resident_step(engine *e, int64_t *rows)
{
    const lti_grad *grad = e->batch.grad;
    const int bucket = lti_grad_bucket(grad, e->n_active);
    *rows = e->n_active < grad->size[bucket] ? e->n_active : grad->size[bucket];
    LT_TRY(evaluate_rows(e, LTI_GRAD_CE, bucket, 0, *rows));
    LT_TRY(ask_rows(e, *rows));
    return step_on_margin(e, *rows);
}

lt_status lti_resident_retire(engine *e, int64_t n)
{
    for (int64_t r = 0; r < n; r++)
        e->done[r] = e->next[r] == LTI_STOP;
    return lti_attack_batch_retire(&e->batch, n, e->done);
}

lt_status lti_resident_write_back(engine *e)
{
    return e->resident ? lti_attack_batch_write_back(&e->batch, e->n_active) : LT_OK;
}
