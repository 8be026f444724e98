// clip_cost.c - what spectral clipping adds to a step of training (step_cost.h).
//   clip_cost [MODEL] [BATCH] [STEPS] [ROUNDS] [THREADS] [RULE] [EVERY]
// At the paper's schedule: an event every 50 updates with batch norm, 100 without, one step of PowerQR after each.
// RULE, EVERY: another rule of clipping (see lethe train --help), at its own schedule.
#include "lethe/clip.h"
#include "step_cost.h"

static const char *rule = "line-search";
static int every;

static lt_status attach(step_cost *c, lt_job *job)
{
    lt_clip_cfg cfg;
    lt_clipper *clipper = NULL;
    lt_options_defaults(lt_clip_norm_options, &cfg);
    lt_options_defaults(lt_clip_rule_options, &cfg);
    LT_TRY(lt_clip_rule_find(rule, &cfg.clip_rule));
    cfg.clip_norm = 1;
    cfg.clip_every = every; // 0: the paper's
    cfg.clip_final = false; // happens once in a training
    LT_TRY(lt_clipper_create(c->opened, &cfg, 1, &c->env, &clipper));
    c->ctx = clipper;
    return lt_clipper_attach(clipper, job);
}

static void detach(step_cost *c)
{
    lt_clipper_destroy(c->ctx);
}

int main(int argc, char **argv)
{
    if (argc > 6)
        rule = argv[6];
    every = argc > 7 ? atoi(argv[7]) : 0;
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
                   .detach = detach};
    step_cost_run(&c);
    return 0;
}
