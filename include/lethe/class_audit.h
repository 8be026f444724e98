// class_audit.h - audits of a model that forgot whole classes, from outputs alone. docs/methods/class-audit.md
//
// A class is forgotten when the forget group holds samples of it and the retain group holds none; classes that stay are
// those with retained samples. Where the outputs name subclasses, a forgotten subclass of a class that stays is audited
// as a forgotten class of its own: its samples leave those of the class, whose logit stays among the features. All
// metrics are fractions and are compared with the same metric of retrained models: higher is not better.
//
// Threads: functions read their arguments only; calls may run concurrently and share signals.
#ifndef LT_CLASS_AUDIT_H
#define LT_CLASS_AUDIT_H
#include "lethe/audit.h"
LT_BEGIN

typedef enum lt_class_role { LT_CLASS_ABSENT = 0, LT_CLASS_KEPT = 1, LT_CLASS_FORGOTTEN = 2 } lt_class_role;
// role (k): lt_class_role of every class; may be NULL. Returns the number of forgotten classes.
LT_API int lt_signals_class_roles(const lt_signals *s, uint8_t *role);
// Number of subclasses that were forgotten as a whole while their label was not; 0 without subclasses, -1 without
// memory (recorded).
LT_API int lt_signals_forgotten_subclasses(const lt_signals *s);

typedef struct lt_class_acc { // NAN where there are no such samples
    // test samples of forgotten and of kept classes. Of a forgotten subclass acc_f is the share that still has its
    // label, which retraining does not bring to 0.
    double acc_f, acc_r;
    double acc_f_train, acc_r_train; // training samples: the forget and the retain group
} lt_class_acc;
LT_API lt_status lt_signals_class_acc(const lt_signals *s, lt_class_acc *out); // LT_E_NOMEM

// ---- class-mia (MIA-NN): does a forgotten class behave as it does under retraining?
typedef enum lt_class_mia_form { LT_CLASS_MIA_OWN, LT_CLASS_MIA_TRANSFER, LT_CLASS_MIA_ARGMAX } lt_class_mia_form;
typedef enum lt_class_mia_features {
    LT_CLASS_MIA_PROBABILITIES,
    LT_CLASS_MIA_LOGITS,
    LT_CLASS_MIA_ALL_LOGITS
} lt_class_mia_features;
typedef struct lt_class_audit_cfg {
    int32_t class_mia_form;     // lt_class_mia_form
    int32_t class_mia_features; // lt_class_mia_features
    int32_t class_mia_kernel;   // 0 RBF (C = 3, gamma = 1 / (d Var)), 1 linear (C = 1)
    int32_t class_mia_data;     // group that the discriminators learn from: LT_GROUP_TEST or LT_GROUP_RETAIN
    int64_t class_mia_limit;    // samples of a class that its discriminator learns from, at most
    int64_t class_svc_limit;    // training samples that the SVC-MIA learns from, at most
    double class_phi_floor;     // least probability of the forgotten class in the floored score of U-LiRA
} lt_class_audit_cfg;
LT_API extern const lt_option lt_class_audit_options[];

typedef struct lt_class_result { // of one model and one forgotten class
    int32_t forgotten;           // label. A class without test samples: neighbour -1, every figure NAN
    int64_t subclass;            // of that label; -1 = all of it
    int32_t neighbour; // nearest kept class under retraining: the largest mean acceptance; -1 = no retrained model
    double score, reference; // acceptance by the neighbour's discriminator: this model, mean of the retrained ones
    double reference_sd, gap;
    double tv, tv_mean;   // total variation to retrained outputs: mean over samples; of the mean outputs
    double two_sample;    // balanced accuracy of an SVM that tells its outputs from a retrained model's; 0.5 = cannot
    const double *accept; // (K) share of the class's test samples that each kept class's discriminator accepts
    const double *accept_retrained; // (K) mean over the retrained models
    const double *predicted;        // (K) share of the class's test samples predicted as each class
    const double *output;           // (K) mean output
} lt_class_result;
// By how much acc_f may be above that of the retrained models. Models that still answer with the forgotten class look
// fine by class-mia and total variation, so nothing else of theirs is ranked. [class-audit 4]
#define LT_CLASS_GATE 0.01
typedef struct lt_class_audit { // of one model
    lt_class_acc acc;
    double acc_f_limit;           // mean acc_f of the retrained models + LT_CLASS_GATE; NAN = there are none
    bool passes_gate;             // acc_f is at most that; true where there is no limit
    double composite;             // acc_r (1 - acc_f)
    double svc_mia;               // share of forgotten test samples that an SVC on the true class's probability calls
                                  // non-members
    double score, reference, gap; // class-mia, means over the forgotten classes that have test samples
    double tv, tv_mean;           // likewise
    int n_classes;                // forgotten
    lt_class_result *of;          // (n_classes)
} lt_class_audit;
typedef struct lt_class_audits { // owned
    int k, n_retrained;
    lt_class_audit *audit; // (1 + n_retrained): the audited model, then every retrained one against the others
    void *memory;
} lt_class_audits;
// retrained (m): outputs on the same samples, in the same order; m may be 0. LT_E_FORMAT when they are other samples,
// when no class was forgotten as a whole, when no forgotten class has test samples, or when a kept class has
// too few samples to learn from; LT_E_NOMEM.
LT_API lt_status lt_class_audit_run(const lt_signals *s, const lt_signals *const *retrained, int m,
                                    const lt_class_audit_cfg *cfg, uint64_t seed, lt_class_audits **out);
LT_API void lt_class_audit_destroy(lt_class_audits *audits); // NULL is fine

// The retrained models of several audits, each measured once: what the discriminators of one model cost is then paid
// once a model and not once a model and audit. Results are those of lt_class_audit_run to the bit. Borrows the outputs
// of the retrained models and `samples`, those of any audited model. Audits may run at the same time.
// _create fails as lt_class_audit_run does; _audit with LT_E_FORMAT for other samples, LT_E_NOMEM.
typedef struct lt_class_reference lt_class_reference;
LT_API lt_status lt_class_reference_create(const lt_signals *samples, const lt_signals *const *retrained, int m,
                                           const lt_class_audit_cfg *cfg, uint64_t seed, lt_class_reference **out);
LT_API lt_status lt_class_reference_audit(const lt_class_reference *r, const lt_signals *s, lt_class_audits **out);
LT_API void lt_class_reference_destroy(lt_class_reference *r); // NULL is fine

LT_END_DECLS
#endif
