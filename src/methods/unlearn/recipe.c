// recipe.c - the parts of a job that fine-tuning methods have in common. [AMUN 3.2, 5]
#include "methods/unlearn/recipe.h"

void lti_recipe_apply(lti_recipe recipe, lt_job *job)
{
    lt_train_cfg *c = &job->cfg;
    lt_options_defaults(lt_train_options, c);
    c->epochs = recipe.epochs;
    c->batch = recipe.batch;
    c->optimizer = LT_SGD;
    c->lr = recipe.lr;
    c->momentum = recipe.momentum;
    c->weight_decay = recipe.weight_decay;
    c->schedule = recipe.lr_step_every > 0 ? LT_SCHED_STEP : LT_SCHED_CONST;
    c->lr_step_every = recipe.lr_step_every > 0 ? recipe.lr_step_every : 1;
    c->lr_step_gamma = recipe.lr_step_gamma;
    c->augment = recipe.augment;
    c->spike_factor = 0.0f; // a rising loss is the purpose of some methods
    c->eval_every = 0;
}

lt_view lti_retain_view(const lt_unlearn_in *in, bool augment)
{
    lt_view view = lt_view_rows(in->ds, LT_TRAIN, in->retain);
    view.augment = augment;
    return view;
}

lt_view lti_forget_view(const lt_unlearn_in *in, bool augment)
{
    lt_view view = lt_view_rows(in->ds, LT_TRAIN, in->forget);
    view.augment = augment;
    return view;
}

lt_phase *lti_add_phase(lt_job *job, bool shuffle)
{
    if (job->n_phases == LT_JOB_MAX_PHASES)
        LT_BUG("a job has at most %d phases", LT_JOB_MAX_PHASES);
    lt_phase *phase = &job->phase[job->n_phases++];
    *phase = (lt_phase){.shuffle = shuffle};
    return phase;
}

void lti_add_view(lt_job *job, lt_phase *phase, lt_view view)
{
    if (phase->n_views == LT_PHASE_MAX_VIEWS)
        LT_BUG("a phase has at most %d views", LT_PHASE_MAX_VIEWS);
    // Tags separate the random draws of views that hold the same samples, so they must differ all over the job.
    view.tag = 0;
    for (int p = 0; p < job->n_phases; p++)
        view.tag += job->phase[p].n_views;
    phase->view[phase->n_views++] = view;
}
