// defaults.c - what a method runs with where no option says it: the form, batch and schedule, and the learning rate
// from the learning-rate area. docs/methods/learning-rate-area.md
//
//     A = sum over the optimiser steps of lr = lr n S                                                        [AREA 1]
//     lr = min(cap, A / (n S)),  S = sum over the epochs of the schedule's factor                            [AREA 2]
//
// n counts the steps of all passes of an epoch, partial batches included. Areas are stated for momentum 0.9; at another
// momentum m the same area stands for A (1 - m) / 0.1.
#include "unlearn/recipe.h"
#include <math.h>
#include <stdarg.h>
#include <string.h>

enum { BATCH_UNKNOWN = 128, MOST_EPOCHS_FACTOR = 3 };
#define LR_CAP_UNKNOWN 0.1f
#define AREA_MOMENTUM 0.9f
#define ADAM_CAP_SHARE 0.03f // of the largest rate of sgd: a step of Adam moves every parameter by about its rate

// ---- the setting

lt_status lti_forgets_whole_classes(const lt_unlearn_in *in, bool *whole)
{
    const int32_t *y = in->ds->split[LT_TRAIN].y;
    uint8_t *touched = lti_calloc((size_t)in->ds->n_classes, 1);
    if (!touched)
        return LTI_NOMEM("classes");
    *whole = in->retain != NULL;
    for (int64_t i = 0; i < in->forget->n; i++)
        touched[y[in->forget->row[i]]] = 1;
    for (int64_t i = 0; *whole && i < in->retain->n; i++)
        *whole = !touched[y[in->retain->row[i]]];
    lti_free(touched);
    return LT_OK;
}

static lt_status describe_setting(const lt_unlearn_method *method, const lt_unlearn_in *in, const lti_recipe *r,
                                  const lt_unlearn_form *form, uint32_t *holds)
{
    bool whole = false;
    LT_TRY(lti_forgets_whole_classes(in, &whole));
    *holds = in->use_retain && !(method->needs & LT_FORGET_ONLY) ? LT_WITH_RETAIN : LT_WITHOUT_RETAIN;
    *holds |= r->augment == LT_NO ? LT_UNAUGMENTED : LT_AUGMENTED;
    *holds |= form->is_second ? LT_SECOND_FORM : LT_FIRST_FORM;
    *holds |= whole ? LT_OF_CLASSES : 0;
    *holds |= in->is_clipped ? LT_CLIPPED : 0;
    return LT_OK;
}

static const lt_unlearn_default *find_default(const lt_unlearn_default *list, uint32_t holds)
{
    for (; list && list->epochs > 0; list++)
        if ((list->when & holds) == list->when)
            return list;
    return NULL;
}

// ---- options that are left open

static void fill_schedule(const lt_unlearn_default *d, lti_recipe *r, bool *steps_at_half)
{
    const int32_t every = r->lr_step_every != LTI_STEP_AUTO ? r->lr_step_every : d ? d->lr_step_every : 0;
    if (r->schedule == LTI_SCHEDULE_AUTO)
        r->schedule = every == LT_STEP_COSINE ? LTI_SCHEDULE_COSINE
                      : every == 0            ? LTI_SCHEDULE_CONST
                                              : LTI_SCHEDULE_STEP;
    const bool half = every == LT_STEP_HALF || every == LT_STEP_COSINE || every == 0;
    *steps_at_half = r->schedule == LTI_SCHEDULE_STEP && half;
    r->lr_step_every = r->schedule != LTI_SCHEDULE_STEP ? 0 : !half ? every : r->epochs > 1 ? r->epochs / 2 : 1;
}

// Closes the options that say which setting it is.
static lt_status choose_setting(const lt_unlearn_method *method, const lt_unlearn_in *in, void *cfg,
                                lt_unlearn_form *form, uint32_t *holds)
{
    lti_recipe *r = cfg;
    const lt_train_cfg *base = in->train_cfg;
    if (r->augment == LT_AUTO)
        r->augment = !base || base->augment || r->preset == LTI_PRESET_PUBLISHED ? LT_YES : LT_NO;
    if (method->choose_form)
        method->choose_form(in, cfg, form);
    return describe_setting(method, in, r, form, holds);
}

lt_status lt_unlearn_default_area(const lt_unlearn_method *method, const lt_unlearn_in *in, const void *cfg,
                                  double *area)
{
    lt_unlearn_form form = {0};
    uint32_t holds = 0;
    *area = (double)NAN;
    if (!(method->needs & LT_FINE_TUNES) || !method->defaults)
        return LT_OK;
    void *copy = lti_malloc(method->cfg_size);
    if (!copy)
        return LTI_NOMEM(method->name);
    memcpy(copy, cfg, method->cfg_size);
    const lt_status status = choose_setting(method, in, copy, &form, &holds);
    lti_free(copy);
    LT_TRY(status);
    const lt_unlearn_default *own = find_default(method->defaults, holds);
    if (own && own->area > 0)
        *area = own->area;
    return LT_OK;
}

// A rate of Adam says nothing about rates of SGD, and the other way round.
float lti_largest_rate(const lt_train_cfg *base, bool of_adam)
{
    const bool was_sgd = base && base->optimizer == LT_SGD;
    if (of_adam && base && !was_sgd)
        return base->lr;
    return (was_sgd ? base->lr : LR_CAP_UNKNOWN) * (of_adam ? ADAM_CAP_SHARE : 1);
}

lt_status lti_fill_defaults(const lt_unlearn_method *method, const lt_unlearn_in *in, void *cfg, lti_setting *s)
{
    lti_recipe *r = cfg;
    const lt_train_cfg *base = in->train_cfg;
    *s = (lti_setting){.area = NAN, .lr_cap = LR_CAP_UNKNOWN};
    uint32_t holds = 0;
    LT_TRY(choose_setting(method, in, cfg, &s->setup.form, &holds));
    const lt_unlearn_default *own = find_default(method->defaults, holds);
    const lt_unlearn_default *published = find_default(method->published, holds);
    s->lr_cap = lti_largest_rate(base, own && own->of_adam);
    const bool is_published = r->preset == LTI_PRESET_PUBLISHED;
    const lt_unlearn_default *d = is_published && published ? published : own;
    if (is_published && !published) {
        (void)LT_FAIL(LT_E_USAGE, "--preset published: the sources of %s publish no learning rate", method->name);
        return lt_error_hint("leave it out for the default learning-rate area, or give --lr, --epochs and --batch");
    }
    if ((r->epochs == 0 || r->batch == 0) && !d)
        LT_BUG("%s: open options, but no defaults for setting %u", method->name, (unsigned)holds);
    s->may_raise_epochs = r->epochs == 0 && !is_published;
    r->epochs = r->epochs > 0 || !d ? r->epochs : d->epochs;
    r->batch = r->batch > 0 ? r->batch : d && d->batch > 0 ? d->batch : base ? base->batch : BATCH_UNKNOWN;
    fill_schedule(d, r, &s->steps_at_half);
    s->setup.is_published = is_published;
    s->setup.has_batchnorm = in->model->n_state > 0;
    s->setup.lr_area_default = own && own->area > 0 ? own->area : (double)NAN;
    s->has_area = r->optimizer == (own && own->of_adam ? LT_ADAMW : LT_SGD);
    if (r->lr_area >= 0 && !s->has_area)
        return LT_FAIL(LT_E_USAGE, "--lr-area: it is that of %s; give --lr with another optimizer",
                       own && own->of_adam ? "adamw" : "sgd");
    if (r->lr_area >= 0 && r->lr > 0 && own) // rows with a rate of their own cannot tell it from one that was given
        return LT_FAIL(LT_E_USAGE, "--lr-area: expected it or --lr, found both");
    if (r->lr_area >= 0)
        s->area = r->lr_area;
    else if (r->lr > 0)
        return LT_OK;
    else if (s->has_area && d && d->area > 0)
        s->area = d->area;
    else if (d)
        r->lr = d->lr;
    if (isnan(s->area))
        return LT_OK;
    if (!(r->momentum < 1))
        return LT_FAIL(LT_E_USAGE, "--lr-area: expected a momentum below 1, found %g; or give --lr",
                       (double)r->momentum);
    r->lr = 0;
    return LT_OK;
}

// ---- the learning rate

int64_t lti_steps_per_epoch(const lt_job *job)
{
    int64_t steps = 0;
    for (int p = 0; p < job->n_phases; p++) {
        const lt_phase *phase = &job->phase[p];
        const int64_t batch = phase->batch > 0 ? phase->batch : job->cfg.batch;
        int64_t n = 0;
        for (int v = 0; v < phase->n_views; v++)
            n += phase->view[v].n;
        if (!phase->companion)
            steps += (n + batch - 1) / batch;
    }
    return steps;
}

// Sum of the learning rate over all steps for a largest rate of 1, in units of momentum 0.9.
static double unit_area(const lt_unlearn_method *method, const lt_job *job)
{
    lt_job at = *job;
    lt_train_cfg unit = job->cfg;
    double sum = 0;
    unit.lr = 1;
    for (int32_t e = 0; e < unit.epochs; e++) {
        if (method->set_phases)
            method->set_phases(&at, e);
        const int64_t n = lti_steps_per_epoch(&at);
        if (unit.schedule == LT_SCHED_CONST || (unit.schedule == LT_SCHED_STEP && unit.warmup_epochs == 0)) {
            sum += (double)n * lt_train_lr(&unit, e, 0, n); // the same at every step
            continue;
        }
        for (int64_t step = 0; step < n; step++)
            sum += lt_train_lr(&unit, e, step, n);
    }
    return job->cfg.momentum == AREA_MOMENTUM ? sum : sum * 0.1 / (1 - (double)job->cfg.momentum);
}

double lti_lr_area(const lt_unlearn_method *method, const lt_job *job)
{
    return job->cfg.optimizer == LT_SGD ? (double)job->cfg.lr * unit_area(method, job) : (double)NAN;
}

int32_t lti_half_warmup(int32_t epochs)
{
    return (epochs + 1) / 2 < epochs ? (epochs + 1) / 2 : epochs - 1;
}

static void set_epochs(lt_job *job, int32_t epochs, bool half)
{
    job->cfg.epochs = epochs;
    if (half)
        job->cfg.lr_step_every = epochs > 1 ? epochs / 2 : 1;
    if (job->cfg.warmup_epochs > 0)
        job->cfg.warmup_epochs = lti_half_warmup(epochs);
}

// The smallest even number of epochs, at most three times the default, that spends the area below the cap. [AREA 2]
static void raise_epochs(const lt_unlearn_method *method, lti_setting *s, lt_job *job)
{
    const int32_t first = job->cfg.epochs, most = MOST_EPOCHS_FACTOR * first;
    const bool step = job->cfg.schedule == LT_SCHED_STEP, half = s->steps_at_half;
    if (step && !half) // the first steps carry nearly all of the area: more epochs add next to nothing
        return;
    for (int32_t e = first + 2 - first % 2; e <= most && (double)s->lr_cap * unit_area(method, job) < s->area; e += 2)
        set_epochs(job, e, half);
    s->setup.raised_epochs = job->cfg.epochs != first;
}

lt_status lti_set_lr(const lt_unlearn_method *method, lti_setting *s, lt_job *job)
{
    lt_unlearn_setup *setup = &s->setup;
    if (!isnan(s->area)) {
        if (s->may_raise_epochs && (double)s->lr_cap * unit_area(method, job) < s->area)
            raise_epochs(method, s, job);
        const double lr = s->area / unit_area(method, job);
        job->cfg.lr = isfinite(lr) && lr < (double)s->lr_cap ? (float)lr : s->lr_cap;
        setup->lr = fmin(lr, lti_decimal_of(s->lr_cap));
    } else {
        setup->lr = lti_decimal_of(job->cfg.lr); // 0.01 as it was given, not the float next to it
    }
    const lt_train_cfg *c = &job->cfg;
    setup->epochs = c->epochs;
    setup->batch = c->batch;
    setup->lr_step_gamma = c->lr_step_gamma;
    setup->lr_step_every = c->schedule == LT_SCHED_COSINE ? LT_STEP_COSINE
                           : c->schedule == LT_SCHED_STEP ? c->lr_step_every
                                                          : 0;
    setup->steps_per_epoch = lti_steps_per_epoch(job);
    setup->lr_area = s->has_area ? setup->lr * unit_area(method, job) : (double)NAN;
    setup->lr_area_wanted = isnan(s->area) || s->area <= setup->lr_area * (1 + 1e-9) ? setup->lr_area : s->area;
    if (!(c->lr >= 0))
        return LT_FAIL(LT_E_USAGE, "%s: expected a learning rate of 0 or more, found %g", method->name, (double)c->lr);
    return LT_OK;
}

// ---- in words

typedef struct line { // without memory of its own: a line that is too long is cut
    char *out;
    size_t size, n;
} line;

static void add(line *l, const char *fmt, ...) LT_PRINTF(2, 3);
static void add(line *l, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    const int n = l->n < l->size ? lti_vformat(l->out + l->n, l->size - l->n, fmt, args) : 0;
    va_end(args);
    l->n += n > 0 ? (size_t)n : 0;
}

static const char *schedule_text(int32_t every, float gamma, char out[64])
{
    out[0] = '\0';
    if (every == LT_STEP_COSINE)
        lti_format(out, 64, " falling to 0 along a cosine");
    else if (every == LT_STEP_HALF)
        lti_format(out, 64, " x%.3g after half of the epochs", (double)gamma);
    else if (every > 0)
        lti_format(out, 64, every == 1 ? " x%.3g after every epoch" : " x%.3g after every %d epochs", (double)gamma,
                   (int)every);
    return out;
}

void lt_unlearn_setup_text(const char *method, const lt_unlearn_setup *s, char *out, size_t out_size)
{
    line l = {.out = out, .size = out_size};
    char schedule[64];
    add(&l, "%s: ", method);
    if (s->form.name)
        add(&l, "%s%s%s%s, ", s->form.name, s->form.reason ? " (" : "", s->form.reason ? s->form.reason : "",
            s->form.reason ? ")" : "");
    add(&l, "lr %.3g%s, %d epochs of %lld steps at batch %lld", s->lr,
        schedule_text(s->lr_step_every, s->lr_step_gamma, schedule), (int)s->epochs, (long long)s->steps_per_epoch,
        (long long)s->batch);
    if (isfinite(s->lr_area))
        add(&l, ", learning-rate area %.3g", s->lr_area);
    if (isfinite(s->lr_area) && isfinite(s->lr_area_default))
        add(&l, " (default %.3g)", s->lr_area_default);
    add(&l, "%s%s", s->is_published ? ", published values" : "",
        s->raised_epochs ? ", more epochs because of the largest learning rate" : "");
    if (!s->has_batchnorm && isfinite(s->lr_area_default))
        add(&l, "; the model has no batch norm, for which default areas were not measured: consider --lr");
}

static void add_when(lti_buf *b, uint32_t when)
{
    static const struct {
        uint32_t flag;
        const char *text;
    } word[] = {{LT_OF_CLASSES, "whole classes"},          {LT_WITH_RETAIN, "with retain data"},
                {LT_WITHOUT_RETAIN, "forget data only"},   {LT_AUGMENTED, "augmented"},
                {LT_UNAUGMENTED, "not augmented"},         {LT_FIRST_FORM, "plain form"},
                {LT_SECOND_FORM, "adversarial-only form"}, {LT_CLIPPED, "original trained with clipping"}};
    const char *comma = "";
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (when & word[i].flag) {
            lti_buf_printf(b, "%s%s", comma, word[i].text);
            comma = ", ";
        }
    if (!*comma)
        lti_buf_puts(b, "every setting");
}

static void add_rows(lti_buf *b, const char *head, const lt_unlearn_default *list)
{
    char schedule[64];
    for (; list && list->epochs > 0; list++) {
        lti_buf_printf(b, "%s (", head);
        add_when(b, list->when);
        lti_buf_puts(b, list->area > 0 ? "): learning-rate area " : "): lr ");
        lti_buf_printf(b, "%.3g%s, %d epoch%s", list->area > 0 ? list->area : (double)list->lr,
                       schedule_text(list->lr_step_every, 0.1f, schedule), (int)list->epochs,
                       list->epochs == 1 ? "" : "s");
        if (list->batch > 0)
            lti_buf_printf(b, ", batch %lld", (long long)list->batch);
        lti_buf_puts(b, "\n");
    }
}

char *lt_unlearn_defaults_text(const lt_unlearn_method *method)
{
    lti_buf b = {0};
    lti_buf_puts(&b, "");
    add_rows(&b, "Default", method->defaults);
    add_rows(&b, "Published", method->published);
    return lti_buf_take(&b);
}

int32_t lt_unlearn_default_epochs(const lt_unlearn_method *method, bool use_retain)
{
    // neither the second form of a method, a clipped original nor whole classes, unless it has no other rows
    uint32_t other =
        LT_SECOND_FORM | (use_retain && !(method->needs & LT_FORGET_ONLY) ? LT_WITHOUT_RETAIN : LT_WITH_RETAIN);
    other |= LT_CLIPPED;
    if (!(method->needs & LT_WHOLE_CLASSES))
        other |= LT_OF_CLASSES;
    for (const lt_unlearn_default *d = method->defaults; d && d->epochs > 0; d++)
        if (!(d->when & other))
            return d->epochs;
    for (const lt_option *o = method->opts; o->name; o++)
        if (!strcmp(o->name, "epochs") && o->def > 0)
            return (int32_t)o->def;
    return 1;
}
