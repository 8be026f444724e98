// train_events.c - what a running job tells its listeners: progress a few times a second, metrics after every epoch.
#include "trainer.h"

static const double emit_every_s = 0.2;

static double images_per_s(const lti_trainer *t)
{
    const double s = t->sums.train_s - t->train_before_s;
    return s > 0 ? (double)(t->at.images - t->images_before) / s : 0;
}

double lti_trainer_epoch_mean(const lti_trainer *t, double sum)
{
    return t->at.epoch_images > 0 ? sum / (double)t->at.epoch_images : 0;
}

void lti_trainer_emit_progress(lti_trainer *t)
{
    const double now = lti_now_s();
    const int64_t left =
        t->epoch_images - t->at.epoch_images + t->epoch_images * (t->job->cfg.epochs - 1 - t->at.epoch);
    if (now - t->emit_s < emit_every_s && left > 0)
        return;
    t->emit_s = now;
    const lt_field fields[] = {{"loss", lti_trainer_epoch_mean(t, t->sums.epoch_loss)},
                               {"acc", lti_trainer_epoch_mean(t, (double)t->at.epoch_correct)},
                               {"lr", lti_decimal_of((float)t->sums.lr)},
                               {"images_per_s", images_per_s(t)}};
    lt_emit(t->env->events, &(lt_event){.kind = LT_EV_PROGRESS,
                                        .name = "train.progress",
                                        .done = t->at.images,
                                        .total = t->at.images + left,
                                        .unit = "images",
                                        .epoch = t->at.epoch,
                                        .step = t->at.steps,
                                        .fields = fields,
                                        .n_fields = 4});
}

void lti_trainer_emit_epoch(const lti_trainer *t)
{
    const lt_field fields[] = {{"loss", lti_trainer_epoch_mean(t, t->sums.epoch_loss)},
                               {"train_acc", t->sums.train_acc},
                               {"lr", lti_decimal_of((float)t->sums.lr)},
                               {"images_per_s", images_per_s(t)},
                               {"test_acc", t->sums.eval_acc},
                               {"test_loss", t->sums.eval_loss}};
    lt_emit(t->env->events, &(lt_event){.kind = LT_EV_METRIC,
                                        .name = "train.epoch",
                                        .epoch = t->at.epoch,
                                        .step = t->at.steps,
                                        .fields = fields,
                                        .n_fields = t->at.eval_n > 0 ? 6 : 4});
}
