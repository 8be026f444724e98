// loss.c - the loss of a sample by lt_train_cfg.loss.
#include "trainer.h"

// Labels go with every step of their sample.
static lt_val temporal_loss(lti_trainer *t, lt_val output, int32_t steps)
{
    const lt_val labels = lt_repeat_steps(t->graph, t->labels, steps);
    const lt_val each = lt_cross_entropy(t->graph, output, labels, t->job->cfg.label_smoothing); // (N*T)
    return lt_sum_steps(t->graph, each, steps, 1.0f / (float)steps);
}

lt_status lti_loss_build(lti_trainer *t, lt_val *per_sample)
{
    const lt_model *model = t->job->model;
    const lt_train_cfg *cfg = &t->job->cfg;
    lt_val output = LT_NONE;
    const int32_t steps = lt_model_steps(model, &output);
    if (cfg->loss != LT_TRAIN_LOSS_CE && steps == 0) {
        LT_FAIL(LT_E_USAGE, "loss: counts and steps are those of spiking networks, the model is %s", model->spec);
        return lt_error_hint("use --loss ce");
    }
    if (cfg->loss == LT_TRAIN_LOSS_COUNT) // of the sum over time, whatever the readout scales it by
        *per_sample = lt_count_mse(t->graph, lt_sum_steps(t->graph, output, steps, 1), t->labels, steps);
    else if (cfg->loss == LT_TRAIN_LOSS_TEMPORAL)
        *per_sample = temporal_loss(t, output, steps);
    else
        *per_sample = lt_cross_entropy(t->graph, model->logits, t->labels, cfg->label_smoothing);
    return lt_graph_status(t->graph);
}
