// schedule.c - the learning rate as a pure function of the place in the job, so that a resumed job needs no state for
// it.
//
// cosine and onecycle move with every step, step only between epochs. With an equal number of steps in all epochs,
// cosine equals PyTorch's CosineAnnealingLR stepped per batch and onecycle equals OneCycleLR with its defaults
// (pct_start 0.3, div_factor 25, final_div_factor 1e4, cosine). Deviation: the momentum is not cycled.
#include "train_impl.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

// From a to b as t goes from 0 to 1 along half a cosine.
static double cosine(double a, double b, double t)
{
    return b + 0.5 * (a - b) * (1 + cos(pi * t));
}

static double onecycle(double lr, double step, double total)
{
    const double rise = 0.3 * total - 1, start = lr / 25, end = start / 1e4;
    if (step <= rise)
        return cosine(start, lr, rise > 0 ? step / rise : 1);
    const double from = rise > 0 ? rise : 0, span = total - 1 - from;
    return cosine(lr, end, span > 0 ? fmin((step - from) / span, 1) : 0);
}

double lt_train_lr(const lt_train_cfg *cfg, int32_t epoch, int64_t step, int64_t n_steps)
{
    const double lr = (double)cfg->lr, n = n_steps > 0 ? (double)n_steps : 1;
    const double t = epoch + (double)step / n; // epochs done
    const double warm = cfg->warmup_epochs;
    if (t < warm && cfg->schedule != LT_SCHED_STEP)
        return lr * (t + 1 / n) / warm;
    switch ((lt_schedule_kind)cfg->schedule) {
    case LT_SCHED_STEP: {
        const int n_falls = (int)(epoch / cfg->lr_step_every); // of the rate so far
        double stepped = lr * pow((double)cfg->lr_step_gamma, n_falls);
        return t < warm ? stepped * (t + 1 / n) / warm : stepped;
    }
    case LT_SCHED_COSINE:
        return cfg->epochs > warm ? cosine(lr, 0, (t - warm) / (cfg->epochs - warm)) : lr;
    case LT_SCHED_ONECYCLE:
        return onecycle(lr, (double)epoch * n + (double)step, cfg->epochs * n);
    case LT_SCHED_CONST:
        break;
    }
    return lr;
}

double lt_train_l1(const lt_job *job, int32_t epoch)
{
    const double l1 = (double)job->l1, epochs = job->cfg.epochs;
    switch (job->l1_schedule) {
    case LT_L1_LINEAR: {
        const double until = epochs - job->l1_off_last_epochs;
        return epoch < until ? l1 * (1 - epoch / until) : 0;
    }
    case LT_L1_CUMULATIVE: {
        double at = l1;
        for (int32_t i = 0; i < epoch; i++)
            at *= 2 - 2 * i / epochs;
        return at;
    }
    case LT_L1_CONST:
        break;
    }
    return l1;
}
