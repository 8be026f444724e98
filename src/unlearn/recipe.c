// recipe.c - the parts of a job that fine-tuning methods have in common. [AMUN 3.2, 5]
#include "unlearn/recipe.h"

const lt_opt_value lti_optimizer_values[] = {
    {"sgd", LT_SGD, "momentum"},
    {"adamw", LT_ADAMW, "Adam with decoupled weight decay"},
    {NULL, 0, NULL},
};
const lt_opt_value lti_l1_values[] = {
    {"const", LT_L1_CONST, "constant"},
    {"linear", LT_L1_LINEAR, "falls to 0 in a straight line (l1-sparse)"},
    {"cumulative", LT_L1_CUMULATIVE, "multiplied after epoch e of E by 2 - 2e/E (the AMUN repository)"},
    {NULL, 0, NULL},
};

const lt_opt_value lti_preset_values[] = {
    {"area", LTI_PRESET_AREA,
     "the learning rate from the method's learning-rate area, batch and augmentation of the base run"},
    {"published", LTI_PRESET_PUBLISHED, "the values of the method's source, whatever the size of the data"},
    {NULL, 0, NULL},
};
const lt_opt_value lti_schedule_values[] = {
    {"auto", LTI_SCHEDULE_AUTO, "the method's own, or what lr-step-every says"},
    {"const", LTI_SCHEDULE_CONST, "constant"},
    {"step", LTI_SCHEDULE_STEP, "times lr-step-gamma every lr-step-every epochs"},
    {"cosine", LTI_SCHEDULE_COSINE, "half a cosine down to 0, step by step"},
    {NULL, 0, NULL},
};

lt_status lti_recipe_apply(const lt_unlearn_in *in, lti_recipe recipe, lt_unlearn_plan_ctx *ctx, lt_job *job)
{
    lt_train_cfg *c = &job->cfg;
    lt_options_defaults(lt_train_options, c);
    c->epochs = recipe.epochs;
    c->batch = recipe.batch;
    c->optimizer = recipe.optimizer;
    c->lr = recipe.lr;
    c->momentum = recipe.momentum;
    c->weight_decay = recipe.weight_decay;
    c->schedule = recipe.schedule == LTI_SCHEDULE_COSINE ? LT_SCHED_COSINE
                  : recipe.lr_step_every > 0             ? LT_SCHED_STEP
                                                         : LT_SCHED_CONST;
    c->lr_step_every = recipe.lr_step_every > 0 ? recipe.lr_step_every : 1;
    c->lr_step_gamma = recipe.lr_step_gamma;
    c->augment = recipe.augment != LT_NO;
    c->divergence_factor = 0.0f; // a rising loss is the purpose of some methods
    c->eval_every = 0;
    job->l1 = recipe.l1;
    job->l1_schedule = (lt_l1_schedule)recipe.l1_schedule;
    job->l1_off_last_epochs = recipe.l1_off_last_epochs;
    job->bn_eval = recipe.freeze_bn;
    LT_TRY(lti_mask_make(in, LTI_MASK_OF(&recipe), recipe.batch, ctx));
    job->mask = ctx->mask;
    return LT_OK;
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

// ---- random labels

const lt_opt_value lti_rl_orders[] = {
    {"joint", LTI_RL_JOINT, "retain and forget samples shuffled together"},
    {"upstream", LTI_RL_UPSTREAM, "each epoch the forget set first, then the retain set"},
    {"auto", LTI_RL_AUTO, "joint; upstream with published values"},
    {NULL, 0, NULL},
};

lt_status lti_add_random_labels(const lt_unlearn_in *in, const char *method, lti_rl rl, lt_job *job)
{
    if (!rl.true_label && in->ds->n_classes < 2)
        return LT_FAIL(LT_E_USAGE, "%s: expected at least 2 classes to draw another label from, found %d", method,
                       in->ds->n_classes);
    lt_view forget = lti_forget_view(in, rl.augment);
    forget.relabel = rl.true_label ? LT_RELABEL_RANDOM_ANY : LT_RELABEL_RANDOM_OTHER;
    forget.not_drawn = rl.not_drawn;
    lt_phase *phase = lti_add_phase(job, true);
    lti_add_view(job, phase, forget);
    if (in->use_retain && rl.order == LTI_RL_UPSTREAM)
        phase = lti_add_phase(job, true);
    if (in->use_retain)
        lti_add_view(job, phase, lti_retain_view(in, rl.augment));
    return LT_OK;
}
