// options.c - the option table of training, and the check that a config struct filled by hand obeys it.
//
// The defaults are those of the CIFAR-10 recipe at batch 128 [AMUN 4.3], with a cosine in place of the steps because it
// reaches the same accuracy in far fewer epochs.
#include "adversarial.h"

#include <math.h>
#include <string.h>

static const lt_opt_value optimizers[] = {
    {"sgd", LT_SGD, "momentum, PyTorch's form: v = m v + g; p -= lr v"},
    {"adamw", LT_ADAMW, "Adam with decoupled weight decay"},
    {NULL, 0, NULL},
};
static const lt_opt_value schedules[] = {
    {"const", LT_SCHED_CONST, "constant"},
    {"step", LT_SCHED_STEP, "times lr-step-gamma every lr-step-every epochs"},
    {"cosine", LT_SCHED_COSINE, "half a cosine down to 0, step by step"},
    {"onecycle", LT_SCHED_ONECYCLE, "up from lr/25 over 30 % of the steps, then down to lr/250000"},
    {NULL, 0, NULL},
};

static const lt_opt_value augmentations[] = {
    {"crop", LT_AUGMENT_CROP, "a shift of up to 4 pixels (CIFAR)"},
    {"resized-crop", LT_AUGMENT_RESIZED_CROP, "8 to 100 % of the area, scaled back (ImageNet)"},
    {NULL, 0, NULL},
};
static const lt_opt_value losses[] = {
    {"ce", LT_TRAIN_LOSS_CE,
     "cross entropy of the logits; of spiking networks: of counts, rates or currents, as they read out"},
    {"count", LT_TRAIN_LOSS_COUNT,
     "spiking networks: mean square error of spike counts, 80 % for the class, 20 % for others"},
    {"temporal", LT_TRAIN_LOSS_TEMPORAL, "spiking networks: cross entropy of every step's output, averaged"},
    {NULL, 0, NULL},
};

static const lt_opt_value norms[] = {
    {"linf", LT_ADV_LINF, "largest change of a pixel"},
    {"l2", LT_ADV_L2, "Euclidean length of the change of an image"},
    {NULL, 0, NULL},
};

const lt_option lt_train_options[] = {
    LT_I32(lt_train_cfg, epochs, 20, 0, 100000, "epochs", "passes over the training data"),
    LT_I64(lt_train_cfg, batch, 128, 1, 65536, "images", "batch size"),
    LT_ENUM(lt_train_cfg, optimizer, LT_SGD, optimizers, "optimizer"),
    LT_F32(lt_train_cfg, lr, 0.1, 0, 1e9, "", "learning rate (the largest one of a schedule)"),
    LT_F32(lt_train_cfg, momentum, 0.9, 0, 1, "", "momentum of sgd"),
    LT_F32(lt_train_cfg, weight_decay, 5e-4, 0, 10, "",
           "weight decay on all parameters, batch norm and biases included"),
    LT_BOOL(lt_train_cfg, nesterov, 0, "Nesterov momentum (sgd)"),
    LT_F32(lt_train_cfg, beta1, 0.9, 0, 0.999999, "", "decay of the first moment (adamw)"),
    LT_F32(lt_train_cfg, beta2, 0.999, 0, 0.999999, "", "decay of the second moment (adamw)"),
    LT_F32(lt_train_cfg, adam_eps, 1e-8, 1e-30, 1, "", "added to the root of the second moment (adamw)"),
    LT_ENUM(lt_train_cfg, schedule, LT_SCHED_COSINE, schedules, "learning rate schedule"),
    LT_F32(lt_train_cfg, lr_step_gamma, 0.1, 0, 1, "", "factor of the step schedule"),
    LT_I32(lt_train_cfg, lr_step_every, 40, 1, 100000, "epochs", "epochs between two steps of the step schedule"),
    LT_I32(lt_train_cfg, warmup_epochs, 0, 0, 100000, "epochs", "epochs of linear warm-up before the schedule"),
    LT_ENUM(lt_train_cfg, loss, LT_TRAIN_LOSS_CE, losses, "loss of a sample"),
    LT_F32(lt_train_cfg, label_smoothing, 0, 0, 0.999, "", "target = (1-s) onehot + s/K"),
    LT_BOOL(lt_train_cfg, augment, 1, "random crop (padding 4) and horizontal flip"),
    LT_ENUM(lt_train_cfg, augmentation, LT_AUGMENT_CROP, augmentations, "what the random crop is"),
    LT_F32(
        lt_train_cfg, divergence_factor, 20, 0, 1e9, "",
        "stop as diverged when the loss exceeds this times the larger of its running mean and log(classes); 0 = never"),
    LT_I32(lt_train_cfg, eval_every, 1, 0, 100000, "epochs", "epochs between evaluations; 0 = only at the end"),
    LT_I32(lt_train_cfg, checkpoint_every_s, 300, 0, 1000000, "s",
           "seconds between checkpoints; 0 = only when interrupted"),
    LT_ENUM(lt_train_cfg, adversarial, LTI_ADVERSARIAL_none, lti_adversarial_values, "adversarial training"),
    LT_ENUM(lt_train_cfg, adv_norm, LT_ADV_LINF, norms, "norm of its attack"),
    LT_F32(lt_train_cfg, adv_eps, 0.031, 0, 1000, "", "radius of its attack, in pixels of [0,1]"),
    LT_F32(lt_train_cfg, adv_step, 0, 0, 1000, "",
           "step of its attack; 0 = the form's own (trades: 0.007 at radius 0.031, l2: 2 eps / steps; pgd: 2.5 eps / "
           "steps)"),
    LT_I32(lt_train_cfg, adv_steps, 10, 0, 10000, "steps", "steps of its attack"),
    LT_F32(lt_train_cfg, trades_beta, 6, 0, 1e6, "", "weight of the KL term of trades"),
    LT_OPT_END,
};

// Value of a numeric or enum field; the tables of train hold no text.
static double field_value(const lt_option *row, const void *cfg)
{
    const char *at = (const char *)cfg + row->offset;
    switch (row->type) {
    case LT_OPT_BOOL:
        return *(const bool *)(const void *)at;
    case LT_OPT_I32:
    case LT_OPT_ENUM:
        return *(const int32_t *)(const void *)at;
    case LT_OPT_I64:
        return (double)*(const int64_t *)(const void *)at;
    case LT_OPT_F32:
        return (double)*(const float *)(const void *)at;
    default:
        LT_BUG("option %s: a type the training table does not use", row->name);
    }
}

static bool enum_has(const lt_opt_value *values, int32_t value)
{
    for (; values->name; values++)
        if (values->value == value)
            return true;
    return false;
}

lt_status lti_train_cfg_check(const lt_train_cfg *cfg)
{
    for (const lt_option *row = lt_train_options; row->name; row++) {
        double v = field_value(row, cfg);
        if (row->type == LT_OPT_ENUM) {
            if (!enum_has(row->values, (int32_t)v))
                return LT_FAIL(LT_E_USAGE, "option %s: %d is none of its values", row->name, (int)v);
        } else if (!(v >= (double)(float)row->min &&
                     v <= (double)(float)row->max)) { // a float bound may round outwards
            return LT_FAIL(LT_E_USAGE, "option %s: expected %g to %g, found %g", row->name, row->min, row->max, v);
        }
    }
    if (cfg->warmup_epochs > 0 && cfg->schedule == LT_SCHED_ONECYCLE) {
        LT_FAIL(LT_E_USAGE, "option warmup_epochs: expected 0 with schedule onecycle, found %d", cfg->warmup_epochs);
        return lt_error_hint("onecycle has its own warm-up; use it without warmup_epochs, or use cosine");
    }
    if (cfg->adversarial && (cfg->adv_steps < 1 || !(cfg->adv_eps > 0)))
        return LT_FAIL(LT_E_USAGE, "adversarial training: expected adv_steps and adv_eps above 0, found %d and %g",
                       (int)cfg->adv_steps, (double)cfg->adv_eps);
    if (cfg->nesterov && cfg->optimizer == LT_SGD && !(cfg->momentum > 0))
        return LT_FAIL(LT_E_USAGE, "option nesterov: expected a momentum above 0, found %g", (double)cfg->momentum);
    return LT_OK;
}
