// distill.c - soft targets of a job: the logits of frozen teachers for each batch, and what a hook makes of them.
//
// A teacher runs in evaluation mode; rows of views that do not distil get weight 0. It runs the whole batch when most
// rows need it and pieces of a batch otherwise, so that a small forget set among retained samples costs little. Logits
// are computed again at every visit because augmented images never come back. [Hinton, Vinyals, Dean 2015]
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
    for (int v = 0; v < phase->n_views; v++)
        if (phase->distill[v].weight != 0)
            return true;
    return false;
}

// Samples of a piece of a batch; the whole batch where pieces would be too small to be worth it.
static int64_t piece_of(int64_t batch)
{
    return batch < 64 ? batch : (batch + 7) / 8;
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
    if (d->teacher == LT_NO_TEACHER && !job->on_targets)
        return LT_FAIL(LT_E_USAGE, "phase %d, view %d: expected a teacher or a hook that gives targets, found none", p,
                       v);
    if (d->teacher != LT_NO_TEACHER &&
        (d->teacher < 0 || d->teacher >= LT_JOB_MAX_TEACHERS || !job->teacher[d->teacher]))
        return LT_FAIL(LT_E_USAGE, "phase %d, view %d: teacher %d does not exist", p, v, d->teacher);
    for (int u = 0; u < v; u++)
        if (job->phase[p].view[u].tag == job->phase[p].view[v].tag)
            return LT_FAIL(LT_E_USAGE,
                           "phase %d: views %d and %d have the same tag, so their rows cannot be distinguished", p, u,
                           v);
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
        if (!phase_uses(&t->job->phase[p], i))
            continue;
        LT_TRY(lti_plans_get(&t->teacher[i], batch, &plan));
        if (t->job->phase[p].n_views > 1)
            LT_TRY(lti_plans_get(&t->teacher[i], piece_of(batch), &plan));
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

typedef struct taught { // one batch and one of its teachers
    const lt_phase *phase;
    const lt_batch *b;
    int teacher;
    const float *weight; // (n)
    float *target;       // (n,K)
} taught;

static bool row_listens(const taught *of, int64_t r)
{
    return of->weight[r] != 0 && of_row(of->phase, of->b->tag[r])->teacher == of->teacher;
}

// Runs the teacher on the next rows from *at on that listen to it, at most `size` of them, in a plan of that batch.
static lt_status teach_piece(lti_trainer *t, const taught *of, int64_t size, int64_t *at)
{
    const lt_model *m = t->job->teacher[of->teacher];
    const size_t k = (size_t)m->shape.n_classes;
    const size_t per = (size_t)m->shape.c * (size_t)m->shape.h * (size_t)m->shape.w;
    const bool whole = size == of->b->n;
    lt_plan *plan = NULL;
    LT_TRY(lti_plans_get(&t->teacher[of->teacher], size, &plan));
    float *x = lt_plan_buffer(plan, m->x); // (size,C,H,W)
    int64_t n = 0, first = *at;
    for (; *at < of->b->n && n < size; ++*at)
        if (whole || row_listens(of, *at))
            memcpy(x + (size_t)n++ * per, of->b->x + (size_t)*at * per, per * sizeof *x);
    LT_TRY(lt_plan_run(plan));                        // rows beyond n are those of an earlier piece, and are not read
    const float *z = lt_plan_buffer(plan, m->logits); // (size,K)
    for (int64_t r = first, i = 0; r < *at; r++) {
        const bool listens = row_listens(of, r);
        if (listens)
            memcpy(of->target + (size_t)r * k, z + (size_t)i * k, k * sizeof *z);
        i += whole || listens;
    }
    t->at.teacher_images += n;
    return LT_OK;
}

static lt_status teach_by(lti_trainer *t, const taught *of)
{
    int64_t n = 0, piece = piece_of(of->b->n);
    for (int64_t r = 0; r < of->b->n; r++)
        n += row_listens(of, r);
    if (n == 0)
        return LT_OK;
    if (2 * n > of->b->n)
        piece = of->b->n;
    for (int64_t at = 0; at < of->b->n && n > 0; n -= piece)
        LT_TRY(teach_piece(t, of, piece, &at));
    return LT_OK;
}

lt_status lti_trainer_compute_teacher_logits(lti_trainer *t, int p, const lt_batch *b, lt_plan *plan)
{
    const lt_phase *phase = &t->job->phase[p];
    const size_t k = (size_t)t->job->model->shape.n_classes;
    float *weight = lt_plan_buffer(plan, t->kl_weight); // (n)
    float *target = lt_plan_buffer(plan, t->target);    // (n,K)
    memset(target, 0, (size_t)b->n * k * sizeof *target);
    for (int64_t r = 0; r < b->n; r++)
        weight[r] = of_row(phase, b->tag[r])->weight / (float)b->n_all;
    for (int i = 0; i < LT_JOB_MAX_TEACHERS; i++)
        if (phase_uses(phase, i))
            LT_TRY(teach_by(t, &(taught){phase, b, i, weight, target}));
    if (t->job->on_targets && phase_distils(phase))
        LT_TRY(t->job->on_targets(t->job, p, b, target, t->job->ctx));
    return LT_OK;
}
