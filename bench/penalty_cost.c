// penalty_cost.c - what the penalty of quantization-aware training adds to a step (step_cost.h).
//   penalty_cost [MODEL] [BATCH] [STEPS] [ROUNDS] [METHOD]
// Steps of one thread.
#include "quant/quant_impl.h"
#include "step_cost.h"

typedef struct penalty {
    const char *method;
    lt_quant *quant;
} penalty;

static lt_status attach(step_cost *c, lt_job *job)
{
    penalty *p = c->ctx;
    lt_quant_cfg cfg;
    lt_options_defaults(lt_quant_options, &cfg);
    lt_options_defaults(lt_quant_chip_options, &cfg.device);
    cfg.method = p->method;
    LT_TRY(lti_quant_create(&cfg, c->opened, &p->quant));
    p->quant->lambda_end[0] = p->quant->lambda_end[1] = 100;
    p->quant->momentum = job->cfg.momentum;
    p->quant->lr_max = job->cfg.lr;
    job->penalty[job->n_penalties++] = lti_quant_penalty(p->quant);
    return LT_OK;
}

static void detach(step_cost *c)
{
    penalty *p = c->ctx;
    lt_quant_destroy(p->quant);
    p->quant = NULL;
}

int main(int argc, char **argv)
{
    penalty p = {.method = argc > 5 ? argv[5] : "msqe-step"};
    char note[96];
    snprintf(note, sizeof note, "\"method\": \"%s\", ", p.method);
    step_cost c = {.name = "penalty_cost",
                   .model = argc > 1 ? argv[1] : "resnet18:width=16",
                   .what = "penalty_step_ms",
                   .note = note,
                   .batch = argc > 2 ? atoi(argv[2]) : 128,
                   .steps = argc > 3 ? atoi(argv[3]) : 20,
                   .rounds = argc > 4 ? atoi(argv[4]) : 3,
                   .threads = 1,
                   .lr = 1e-3f,
                   .attach = attach,
                   .detach = detach,
                   .ctx = &p};
    step_cost_run(&c);
    return 0;
}
