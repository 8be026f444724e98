// distill.c - frozen teachers of a job: their logits for each batch, and which row listens to which of them.
//
// A teacher runs the whole batch in evaluation mode; rows of views that do not distil get weight 0. Logits are computed
// again at every visit because augmented images never come back. [Hinton, Vinyals, Dean 2015]
#include "trainer.h"

#include <math.h>
#include <string.h>

static bool phase_uses(const lt_phase *phase, int teacher)
{
    for (int v = 0; v < phase->n_views; v++)
        if (phase->distill[v].weight != 0 && phase->distill[v].teacher == teacher)
            return true;
    return false;
}

static bool phase_distils(const lt_phase *phase)
{
    for (int i = 0; i < LT_JOB_MAX_TEACHERS; i++)
        if (phase_uses(phase, i))
            return true;
    return false;
}

bool lti_job_distils(const lt_job *job)
{
    return job->temperature > 0;
}

static lt_status check_view(const lt_job *job, int p, int v)
{
    const lt_distill *d = &job->phase[p].distill[v];
    if (!isfinite(d->weight))
        return LT_FAIL(LT_E_USAGE, "phase %d, view %d: expected a finite weight of distillation, found %g", p, v,
                       (double)d->weight);
    if (d->weight == 0)
        return LT_OK;
    if (!lti_job_distils(job))
        return LT_FAIL(LT_E_USAGE, "phase %d, view %d: expected a temperature above 0 to distil with, found %g", p, v,
                       (double)job->temperature);
    if (d->teacher < 0 || d->teacher >= LT_JOB_MAX_TEACHERS || !job->teacher[d->teacher])
        return LT_FAIL(LT_E_USAGE, "phase %d, view %d: teacher %d is not there", p, v, d->teacher);
    for (int u = 0; u < v; u++)
        if (job->phase[p].view[u].tag == job->phase[p].view[v].tag)
            return LT_FAIL(LT_E_USAGE,
                           "phase %d: views %d and %d have the same tag, so their rows cannot be told apart", p, u, v);
    return LT_OK;
}

lt_status lti_distill_check(const lt_job *job)
{
    if (!(job->temperature >= 0) || !isfinite(job->temperature))
        return LT_FAIL(LT_E_USAGE, "training job: expected a temperature of 0 or more, found %g",
                       (double)job->temperature);
    const lt_model_shape *m = &job->model->shape;
    for (int i = 0; i < LT_JOB_MAX_TEACHERS; i++) {
        const lt_model_shape *s = job->teacher[i] ? &job->teacher[i]->shape : m;
        if (s->c != m->c || s->h != m->h || s->w != m->w || s->n_classes != m->n_classes)
            return LT_FAIL(LT_E_SHAPE, "teacher %d takes %dx%dx%d images of %d classes, the model %dx%dx%d of %d", i,
                           s->c, s->h, s->w, s->n_classes, m->c, m->h, m->w, m->n_classes);
    }
    for (int p = 0; p < job->n_phases; p++)
        for (int v = 0; v < job->phase[p].n_views && v < LT_PHASE_MAX_VIEWS; v++)
            LT_TRY(check_view(job, p, v));
    return LT_OK;
}

lt_status lti_distill_init(lti_trainer *t)
{
    for (int i = 0; i < LT_JOB_MAX_TEACHERS; i++) {
        const lt_model *m = t->job->teacher[i];
        if (m) // a plan without gradients in evaluation mode only reads its slabs
            t->teacher[i] = (lti_plans){.graph = m->graph,
                                        .backend = t->env->backend,
                                        .params = m->params,
                                        .state = m->state,
                                        .spec = {.outs = &m->logits,
                                                 .n_outs = 1,
                                                 .grad_of = LT_NONE,
                                                 .seed = LT_NONE,
                                                 .dtype = LT_F32,
                                                 .flags = t->env->plan_flags}};
    }
    return LT_OK;
}

lt_status lti_distill_open_phase(lti_trainer *t, int p, int64_t batch)
{
    for (int i = 0; i < LT_JOB_MAX_TEACHERS; i++) {
        lt_plan *plan = NULL;
        if (phase_uses(&t->job->phase[p], i))
            LT_TRY(lti_plans_get(&t->teacher[i], batch, &plan));
    }
    return LT_OK;
}

static const lt_distill *of_row(const lt_phase *phase, int32_t tag)
{
    static const lt_distill none = {0};
    for (int v = 0; v < phase->n_views; v++)
        if (phase->view[v].tag == tag)
            return &phase->distill[v];
    return &none;
}

lt_status lti_trainer_teach(lti_trainer *t, int p, const lt_batch *b, lt_plan *plan)
{
    const lt_phase *phase = &t->job->phase[p];
    const lt_model *m = t->job->model;
    const size_t k = (size_t)m->shape.n_classes;
    const size_t per = (size_t)m->shape.c * (size_t)m->shape.h * (size_t)m->shape.w;
    float *weight = lt_plan_buffer(plan, t->kl_weight); // (n)
    float *target = lt_plan_buffer(plan, t->target);    // (n,K)
    memset(target, 0, (size_t)b->n * k * sizeof *target);
    for (int64_t r = 0; r < b->n; r++)
        weight[r] = phase_distils(phase) ? of_row(phase, b->tag[r])->weight / (float)b->n : 0.0f;
    for (int i = 0; i < LT_JOB_MAX_TEACHERS; i++) {
        if (!phase_uses(phase, i))
            continue;
        lt_plan *teacher = NULL;
        LT_TRY(lti_plans_get(&t->teacher[i], b->n, &teacher));
        memcpy(lt_plan_buffer(teacher, t->job->teacher[i]->x), b->x, (size_t)b->n * per * sizeof(float));
        LT_TRY(lt_plan_run(teacher));
        const float *z = lt_plan_buffer(teacher, t->job->teacher[i]->logits); // (n,K)
        for (int64_t r = 0; r < b->n; r++)
            if (weight[r] != 0 && of_row(phase, b->tag[r])->teacher == i)
                memcpy(target + (size_t)r * k, z + (size_t)r * k, k * sizeof *z);
        t->at.teacher_images += b->n;
    }
    return LT_OK;
}
