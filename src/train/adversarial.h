// adversarial.h - forms of adversarial training: what the attack climbs, where it starts, what is minimised.
//
// A form is a descriptor; the driver (adversarial.c) owns the attack's loop, projections and plans.
#ifndef LT_ADVERSARIAL_H
#define LT_ADVERSARIAL_H
#include "trainer.h"

typedef struct lti_adversarial {
    const char *cite; // key in docs/refs.bib
    bool pair;        // the loss needs the clean images as well: both go through the model in one step
    // Per-sample objective of the attack (N), in evaluation mode. clean: logits of the clean images, an input.
    lt_val (*objective)(lt_graph *g, lt_val logits, lt_val labels, lt_val clean);
    // Per-sample loss (N). clean: logits and cross entropy of the images in lt_model.x (of the attacked ones unless
    // pair); adv: logits of the attacked ones.
    lt_val (*loss)(lt_graph *g, const lt_train_cfg *cfg, lt_val clean, lt_val ce, lt_val adv);
    // delta (n_pixels): where the attack starts, relative to the image.
    void (*start)(const lt_train_cfg *cfg, lt_rng *rng, int64_t n_pixels, float *delta);
    double (*step)(const lt_train_cfg *cfg); // length of a step when adv_step is 0
} lti_adversarial;

enum { // values of lt_train_cfg.adversarial
    LTI_ADVERSARIAL_none,
#define LT_X(name, title) LTI_ADVERSARIAL_##name,
#include "train/adversarials.list"
#undef LT_X
};
#define LT_X(name, title) extern const lti_adversarial lti_adversarial_##name;
#include "train/adversarials.list"
#undef LT_X

// The form that a config asks for, or NULL.
const lti_adversarial *lti_adversarial_of(const lt_train_cfg *cfg);
extern const lt_opt_value lti_adversarial_values[];
#endif
