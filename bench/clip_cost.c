// clip_cost.c - what spectral clipping adds to a step of training (step_cost.h).
//   clip_cost [MODEL] [BATCH] [STEPS] [ROUNDS] [THREADS] [RULE] [EVERY]
// Prints twice what it costs: the difference of whole steps (other work of the machine moves both by more than the
// cost), and the processor time spent in the hook, which is the cost itself.
// At the paper's schedule: an event every 50 updates with batch norm, 100 without, one step of PowerQR after each.
// RULE, EVERY: another rule of clipping (see lethe train --help), at its own schedule.
#include "lethe/clip.h"
#include "step_cost.h"

static const char *rule = "line-search";
static int every;

typedef struct clip_timer {
    lt_clipper *clipper;
    lt_status (*hook)(lt_job *job, const lt_step *step, unsigned *did, void *ctx);
    void *hook_ctx;
    double sum; // seconds in the hook, without the first steps
    int n;
} clip_timer;

static lt_status time_hook(lt_job *job, const lt_step *step, unsigned *did, void *ctx)
{
    clip_timer *t = ctx;
    const double start = step_cost_now();
    LT_TRY(t->hook(job, step, did, t->hook_ctx));
    if (step->step > STEP_COST_WARM_STEPS) {
        t->sum += step_cost_now() - start;
        t->n++;
    }
    return LT_OK;
}

static lt_status attach(step_cost *c, lt_job *job)
{
    lt_clip_cfg cfg;
    clip_timer *t = c->ctx;
    lt_options_defaults(lt_clip_norm_options, &cfg);
    lt_options_defaults(lt_clip_rule_options, &cfg);
    LT_TRY(lt_clip_rule_find(rule, &cfg.clip_rule));
    cfg.clip_norm = 1;
    cfg.clip_every = every; // 0: the paper's
    cfg.clip_final = false; // happens once in a training
    LT_TRY(lt_clipper_create(c->opened, &cfg, 1, &c->env, &t->clipper));
    LT_TRY(lt_clipper_attach(t->clipper, job));
    t->hook = job->after_update;
    t->hook_ctx = job->after_ctx;
    job->after_update = time_hook;
    job->after_ctx = t;
    return LT_OK;
}

static void detach(step_cost *c)
{
    clip_timer *t = c->ctx;
    lt_clipper_destroy(t->clipper);
    t->clipper = NULL;
    snprintf(c->extra, sizeof c->extra, ", \"hook_ms\": %.3f", t->n ? 1e3 * t->sum / t->n : 0);
}

int main(int argc, char **argv)
{
    if (argc > 6)
        rule = argv[6];
    every = argc > 7 ? atoi(argv[7]) : 0;
    clip_timer timer = {0};
    step_cost c = {.name = "clip_cost",
                   .model = argc > 1 ? argv[1] : "resnet18:width=16",
                   .what = "clipped_step_ms",
                   .note = "",
                   .batch = argc > 2 ? atoi(argv[2]) : 128,
                   .steps = argc > 3 ? atoi(argv[3]) : 104,
                   .rounds = argc > 4 ? atoi(argv[4]) : 3,
                   .threads = argc > 5 ? atoi(argv[5]) : 1,
                   .lr = 1e-4f,
                   .attach = attach,
                   .detach = detach,
                   .ctx = &timer};
    step_cost_run(&c);
    return 0;
}
