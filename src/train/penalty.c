// penalty.c - terms of the loss that depend on the parameters alone, and what they own.
//
// l1 is the first entry of every job's list; the others come from the job. Weights are fixed once per update, gradients
// are added inside the optimizer's pass (optim.c), and the own parameters of a term move after those of the model.
#include "train_impl.h"

#include <math.h>
#include <string.h>

static double weigh_l1(void *ctx, const lt_update_at *at)
{
    return (double)(float)lt_train_l1(ctx, at->epoch);
}

static void add_l1(void *ctx, float weight, int64_t from, int64_t n, const float *p, float *g)
{
    (void)ctx, (void)from;
    for (int64_t i = 0; i < n; i++)
        g[i] += weight * (float)((p[i] > 0.0f) - (p[i] < 0.0f));
}

lt_penalty lti_penalty_l1(const lt_job *job)
{
    return (lt_penalty){.name = "l1", .weight = weigh_l1, .add = add_l1, .ctx = (void *)job};
}

void lti_terms_init(lti_terms *terms, const lt_job *job)
{
    *terms = (lti_terms){.n = 1 + job->n_penalties};
    terms->term[0] = lti_penalty_l1(job);
    for (int i = 0; i < job->n_penalties; i++)
        terms->term[1 + i] = job->penalty[i];
}

void lti_terms_weigh(lti_terms *terms, const lt_update_at *at)
{
    for (int i = 0; i < terms->n; i++)
        terms->weight[i] = terms->term[i].weight(terms->term[i].ctx, at);
    terms->l1 = (float)terms->weight[0];
}

bool lti_terms_others(const lti_terms *terms)
{
    return terms->n > 1;
}

lt_status lti_own_init(lti_own *own, lt_own_params params, const char *name)
{
    *own = (lti_own){.params = params};
    if (!params.value || params.n <= 0)
        return LT_OK;
    if (!(params.lr >= 0) || !(params.momentum >= 0 && params.momentum < 1) || !(params.weight_decay >= 0))
        return LT_FAIL(LT_E_USAGE, "%s: expected a rate of 0 or more and a momentum of 0 to 1, found %g and %g", name,
                       (double)params.lr, (double)params.momentum);
    own->grad = lti_calloc((size_t)params.n, sizeof *own->grad);
    own->m = lti_calloc((size_t)params.n, sizeof *own->m);
    return own->grad && own->m ? LT_OK : LTI_NOMEM("own parameters of a penalty");
}

void lti_own_clear(lti_own *own)
{
    lti_free(own->grad);
    lti_free(own->m);
    *own = (lti_own){0};
}

bool lti_own_step(lti_own *own, double lr_factor)
{
    const lt_own_params *p = &own->params;
    const float lr = (float)((double)p->lr * lr_factor);
    bool finite = true;
    for (int64_t i = 0; own->m && i < p->n; i++) {
        own->m[i] = p->momentum * own->m[i] + own->grad[i] + p->weight_decay * p->value[i];
        p->value[i] -= lr * own->m[i];
        finite = finite && isfinite(p->value[i]);
    }
    return finite;
}

lt_status lt_transform_apply(const lt_transform *transform, const lt_model *model, float *used)
{
    if (transform)
        return transform->forward(transform->ctx, NULL, false, model, model->params, used);
    if (model->n_params > 0)
        memcpy(used, model->params, (size_t)model->n_params * sizeof *used);
    return LT_OK;
}
