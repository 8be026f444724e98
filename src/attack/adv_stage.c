// adv_stage.c - the rows that search: on a CPU, straight in the set; on a device, by adv_stage_there.c.
#include "graph/backend.h"
#include "attack/attack_impl.h"
#include <string.h>

lt_status lti_stage_init(lti_stage *st, lti_search *s, lti_grad *grad)
{
    lt_backend *b = s->env->backend;
    *st = (lti_stage){.search = s, .grad = grad};
    st->seen = lti_calloc((size_t)s->cfg->batch, sizeof *st->seen);
    if (!st->seen)
        return LTI_NOMEM("adversarial search");
    return b->ops->device ? lti_stage_there_init(st, b) : LT_OK;
}

void lti_stage_clear(lti_stage *st)
{
    lti_stage_there_clear(st);
    lti_free(st->seen);
    *st = (lti_stage){0};
}

static int64_t sample_of(const lti_stage *st, int64_t row)
{
    return st->search->queue[row];
}

static void place(const lti_stage *st, int64_t from, int64_t n)
{
    const int64_t d = lti_adv_set_dim(st->search->set);
    for (int64_t r = 0; r < st->io.size; r++) {
        const int64_t i = sample_of(st, from + (r < n ? r : 0));
        memcpy(st->io.x + r * d, lti_search_image(st->search, i), (size_t)d * sizeof *st->io.x);
    }
}

static void look(lti_stage *st, int64_t n)
{
    const int64_t d = lti_adv_set_dim(st->search->set), k = st->search->model->shape.n_classes;
    for (int64_t r = 0; r < n; r++) {
        const float *z = st->io.logits + r * k;
        const double length = lti_l2_ball_distance(st->io.dx + r * d, NULL, d);
        const double sum = length + lti_l2_ball_distance(z, NULL, k); // not finite when one term is not
        st->seen[r] = (lti_row_stats){length, lti_arg_max(z, (int32_t)k), sum - sum == 0.0};
    }
}

lt_status lti_stage_run(lti_stage *st, lti_grad_loss loss, int bucket, int64_t from, int64_t n)
{
    LT_TRY(lti_grad_io_get(st->grad, loss, bucket, &st->io));
    for (int64_t r = 0; r < st->io.size; r++) { // padding repeats the first row with weight 0
        st->io.label[r] = st->search->set->label[sample_of(st, from + (r < n ? r : 0))];
        st->io.weight[r] = r < n ? 1.0f : 0.0f;
    }
    if (st->there)
        LT_TRY(lti_stage_there_place(st, from, n));
    else
        place(st, from, n);
    LT_TRY(lt_plan_run(st->io.plan));
    if (st->there)
        return lti_stage_there_look(st, n);
    look(st, n);
    return LT_OK;
}

// x, image, g: d values.
static void climb(const float *x, const float *g, const lti_row_step *move, int64_t d, float *image)
{
    for (int64_t j = 0; j < d; j++)
        image[j] = lti_l2_ball_step(image[j], move->scale, g[j]);
    const float shrink = lti_l2_ball_projection_scale(lti_l2_ball_distance(image, x, d), (double)move->eps);
    for (int64_t j = 0; j < d; j++)
        image[j] = lti_l2_ball_clip_and_project(x[j], image[j], shrink);
}

lt_status lti_stage_climb(lti_stage *st)
{
    lti_search *s = st->search;
    const int64_t d = lti_adv_set_dim(s->set);
    if (st->there)
        LT_TRY(lti_stage_there_climb(st));
    for (int64_t m = 0; !st->there && m < s->n_moves; m++) {
        const int64_t i = sample_of(st, s->move[m].row);
        lti_view_image(s->view, i, s->x);
        climb(s->x, st->io.dx + s->move[m].grad_row * d, &s->move[m], d, lti_search_image(s, i));
    }
    s->n_moves = 0;
    return LT_OK;
}

lt_status lti_stage_restart(lti_stage *st, int64_t row)
{
    if (st->there)
        return lti_stage_there_restart(st, row);
    const int64_t i = sample_of(st, row);
    lti_view_image(st->search->view, i, lti_search_image(st->search, i));
    return LT_OK;
}

lt_status lti_stage_leave(lti_stage *st, int64_t n, const bool *done)
{
    return st->there ? lti_stage_there_leave(st, n, done) : LT_OK;
}

lt_status lti_stage_home(lti_stage *st)
{
    return st->there ? lti_stage_there_home(st) : LT_OK;
}
