// ranks.c - data-parallel training: what the ranks of a communicator tell one another.
//
// Every rank holds the whole model and the optimizer's moments, sees its share of each batch, and makes the same update
// from the same summed gradient. Batch norm normalises by the statistics of the rank's share; running statistics are
// the mean over the ranks. Rank 0 alone writes checkpoints.
#include "trainer.h"

lt_status lti_ranks_init(lti_trainer *t)
{
    t->eval_env = *t->env;
    if (!t->env->comm || t->env->comm->size <= 1)
        return LT_OK;
    t->comm = t->env->comm;
    t->eval_env.stop = NULL; // a rank that stopped in it would leave the others waiting
    if (t->on_device.update)
        return LT_FAIL(LT_E_UNSUPPORTED, "data-parallel training: expected a backend of the CPU, found %s",
                       lt_backend_name(t->env->backend));
    return LT_OK;
}

lt_status lti_ranks_sum_gradients(lti_trainer *t, bool companion, double *loss)
{
    if (!t->comm)
        return LT_OK;
    LT_TRY(lt_comm_sum_f32(t->comm, t->grads, t->job->model->n_params));
    if (companion && t->job->on_gradient) // else it was added already
        LT_TRY(lt_comm_sum_f32(t->comm, t->companion_grads, t->job->model->n_params));
    return lt_comm_sum_f64(t->comm, loss, 1);
}

lt_status lti_ranks_end_step(lti_trainer *t, int64_t correct)
{
    if (!t->comm)
        return LT_OK;
    lt_model *m = t->job->model;
    double own[2] = {(double)(t->at.epoch_correct - correct), lt_interrupted(t->env->stop)};
    LT_TRY(lt_comm_sum_f64(t->comm, own, 2));
    t->at.epoch_correct = correct + (int64_t)own[0];
    t->stop_all = own[1] > 0;
    LT_TRY(lt_comm_sum_f32(t->comm, m->state, m->n_state));
    const float size = (float)t->comm->size;
    for (int64_t i = 0; i < m->n_state; i++)
        m->state[i] /= size;
    return LT_OK;
}

lt_status lti_ranks_begin_epoch(lti_trainer *t)
{
    if (!t->comm)
        return LT_OK;
    lt_model *m = t->job->model;
    LT_TRY(lt_comm_broadcast(t->comm, m->params, (size_t)m->n_params * sizeof *m->params));
    LT_TRY(lt_comm_broadcast(t->comm, m->state, (size_t)m->n_state * sizeof *m->state));
    lti_trainer_mark_model_dirty(t);
    return LT_OK;
}
