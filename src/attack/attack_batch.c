// attack_batch.c - rows whose images stay where a plan reads them: on a CPU, in the slots; on a device, by
// attack_batch_device.c.
#include "graph/backend.h"
#include "attack/attack_batch.h"
#include <string.h>

lt_status lti_attack_batch_init(lti_attack_batch *st, lti_grad *grad, const lti_slot *slot, int64_t batch)
{
    const lt_model_shape *shape = &grad->model->shape;
    lt_backend *b = grad->env->backend;
    *st = (lti_attack_batch){.grad = grad,
                             .slot = slot,
                             .batch = batch,
                             .d = (int64_t)shape->c * shape->h * shape->w,
                             .k = shape->n_classes};
    st->stats = lti_calloc((size_t)batch, sizeof *st->stats);
    st->move = lti_calloc((size_t)batch, sizeof *st->move);
    if (!st->stats || !st->move)
        return LTI_NOMEM("attack");
    return b->ops->device ? lti_attack_batch_device_init(st, b) : LT_OK;
}

void lti_attack_batch_clear(lti_attack_batch *st)
{
    lti_attack_batch_device_clear(st);
    lti_free(st->stats);
    lti_free(st->move);
    *st = (lti_attack_batch){0};
}

static void load_rows(const lti_attack_batch *st, int64_t from, int64_t n)
{
    for (int64_t r = 0; r < st->io.size; r++)
        memcpy(st->io.x + r * st->d, st->slot[from + (r < n ? r : 0)].x, (size_t)st->d * sizeof *st->io.x);
}

static void compute_row_stats(lti_attack_batch *st, int64_t n)
{
    for (int64_t r = 0; r < n; r++) {
        const float *z = st->io.logits + r * st->k;
        const double length = lti_l2_ball_distance(st->io.dx + r * st->d, NULL, st->d);
        const double sum = length + lti_l2_ball_distance(z, NULL, st->k); // not finite when one term is not
        st->stats[r] = (lti_row_stats){length, lti_arg_max(z, (int32_t)st->k), sum - sum == 0.0};
    }
}

lt_status lti_attack_batch_evaluate(lti_attack_batch *st, lti_grad_loss loss, int bucket, int64_t from, int64_t n)
{
    LT_TRY(lti_grad_io_get(st->grad, loss, bucket, &st->io));
    for (int64_t r = 0; r < st->io.size; r++) { // padding repeats the first row with weight 0
        st->io.label[r] = st->slot[from + (r < n ? r : 0)].label;
        st->io.weight[r] = r < n ? 1.0f : 0.0f;
    }
    if (st->device)
        LT_TRY(lti_attack_batch_device_load(st, from, n));
    else
        load_rows(st, from, n);
    LT_TRY(lt_plan_run(st->io.plan));
    if (st->device)
        return lti_attack_batch_device_evaluate(st, n);
    compute_row_stats(st, n);
    return LT_OK;
}

void lti_attack_batch_add_step(lti_attack_batch *st, int64_t row, int64_t grad_row)
{
    lti_row_step move = st->slot[row].move;
    move.row = (int32_t)row;
    move.grad_row = (int32_t)grad_row;
    st->move[st->n_moves++] = move;
}

lt_status lti_attack_batch_step(lti_attack_batch *st)
{
    if (st->device)
        LT_TRY(lti_attack_batch_device_step(st));
    for (int64_t m = 0; !st->device && m < st->n_moves; m++) {
        const lti_slot *s = &st->slot[st->move[m].row];
        lti_l2_ball_move(s->x0, st->io.dx + st->move[m].grad_row * st->d, &st->move[m], st->d, s->x);
    }
    st->n_moves = 0;
    return LT_OK;
}

lt_status lti_attack_batch_reset(lti_attack_batch *st, int64_t row)
{
    if (st->device)
        return lti_attack_batch_device_reset(st, row);
    memcpy(st->slot[row].x, st->slot[row].x0, (size_t)st->d * sizeof *st->slot[row].x);
    return LT_OK;
}

static void write_row(const lti_attack_batch *st, int64_t row)
{
    memcpy(st->slot[row].out, st->slot[row].x, (size_t)st->d * sizeof *st->slot[row].x);
}

lt_status lti_attack_batch_retire(lti_attack_batch *st, int64_t n, const bool *done)
{
    if (st->device)
        return lti_attack_batch_device_retire(st, n, done);
    for (int64_t r = 0; r < n; r++)
        if (done[r])
            write_row(st, r);
    return LT_OK;
}

lt_status lti_attack_batch_write_back(lti_attack_batch *st, int64_t n)
{
    if (st->device)
        return lti_attack_batch_device_write_back(st);
    for (int64_t r = 0; r < n; r++)
        write_row(st, r);
    return LT_OK;
}
