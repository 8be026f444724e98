// attack_batch.c - the rows that search: on a CPU, straight in the set; on a device, by attack_batch_device.c.
#include "graph/backend.h"
#include "attack/attack_impl.h"
#include <string.h>

lt_status lti_attack_batch_init(lti_attack_batch *st, lti_search *s, lti_grad *grad)
{
    lt_backend *b = s->env->backend;
    *st = (lti_attack_batch){.search = s, .grad = grad};
    st->stats = lti_calloc((size_t)s->cfg->batch, sizeof *st->stats);
    if (!st->stats)
        return LTI_NOMEM("adversarial search");
    return b->ops->device ? lti_attack_batch_device_init(st, b) : LT_OK;
}

void lti_attack_batch_clear(lti_attack_batch *st)
{
    lti_attack_batch_device_clear(st);
    lti_free(st->stats);
    *st = (lti_attack_batch){0};
}

static int64_t sample_of(const lti_attack_batch *st, int64_t row)
{
    return st->search->queue[row];
}

static void load_rows(const lti_attack_batch *st, int64_t from, int64_t n)
{
    const int64_t d = lti_adv_set_dim(st->search->set);
    for (int64_t r = 0; r < st->io.size; r++) {
        const int64_t i = sample_of(st, from + (r < n ? r : 0));
        memcpy(st->io.x + r * d, lti_search_image(st->search, i), (size_t)d * sizeof *st->io.x);
    }
}

static void compute_row_stats(lti_attack_batch *st, int64_t n)
{
    const int64_t d = lti_adv_set_dim(st->search->set), k = st->search->model->shape.n_classes;
    for (int64_t r = 0; r < n; r++) {
        const float *z = st->io.logits + r * k;
        const double length = lti_l2_ball_distance(st->io.dx + r * d, NULL, d);
        const double sum = length + lti_l2_ball_distance(z, NULL, k); // not finite when one term is not
        st->stats[r] = (lti_row_stats){length, lti_arg_max(z, (int32_t)k), sum - sum == 0.0};
    }
}

lt_status lti_attack_batch_evaluate(lti_attack_batch *st, lti_grad_loss loss, int bucket, int64_t from, int64_t n)
{
    LT_TRY(lti_grad_io_get(st->grad, loss, bucket, &st->io));
    for (int64_t r = 0; r < st->io.size; r++) { // padding repeats the first row with weight 0
        st->io.label[r] = st->search->set->label[sample_of(st, from + (r < n ? r : 0))];
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

// x, image, g: d values.
static void step_image(const float *x, const float *g, const lti_row_step *move, int64_t d, float *image)
{
    for (int64_t j = 0; j < d; j++)
        image[j] = lti_l2_ball_step(image[j], move->scale, g[j]);
    const float shrink = lti_l2_ball_projection_scale(lti_l2_ball_distance(image, x, d), (double)move->eps);
    for (int64_t j = 0; j < d; j++)
        image[j] = lti_l2_ball_clip_and_project(x[j], image[j], shrink);
}

lt_status lti_attack_batch_step(lti_attack_batch *st)
{
    lti_search *s = st->search;
    const int64_t d = lti_adv_set_dim(s->set);
    if (st->device)
        LT_TRY(lti_attack_batch_device_step(st));
    for (int64_t m = 0; !st->device && m < s->n_moves; m++) {
        const int64_t i = sample_of(st, s->move[m].row);
        lti_view_image(s->view, i, s->x);
        step_image(s->x, st->io.dx + s->move[m].grad_row * d, &s->move[m], d, lti_search_image(s, i));
    }
    s->n_moves = 0;
    return LT_OK;
}

lt_status lti_attack_batch_restart(lti_attack_batch *st, int64_t row)
{
    if (st->device)
        return lti_attack_batch_device_restart(st, row);
    const int64_t i = sample_of(st, row);
    lti_view_image(st->search->view, i, lti_search_image(st->search, i));
    return LT_OK;
}

lt_status lti_attack_batch_retire(lti_attack_batch *st, int64_t n, const bool *done)
{
    return st->device ? lti_attack_batch_device_retire(st, n, done) : LT_OK;
}

lt_status lti_attack_batch_write_back(lti_attack_batch *st)
{
    return st->device ? lti_attack_batch_device_write_back(st) : LT_OK;
}
