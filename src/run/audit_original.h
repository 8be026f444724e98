// audit_original.h - the original models of an audit, measured on its samples and judged with its oracles: what
// verdicts on other models are held against (lt_verdict_given_original).
#ifndef LTI_RUN_AUDIT_ORIGINAL_H
#define LTI_RUN_AUDIT_ORIGINAL_H
#include "lethe/audits.h"

typedef struct lti_original { // owned
    char *name;
    lt_audited audited;
    lt_verdict_cfg verdict;
    lt_audit_in in;
    lt_audit_report *report;
} lti_original;
typedef struct lti_original_spec {
    const char *name;            // run, model file or, of_signals, .npz of outputs
    const char *expected_digest; // of its weights; "" = whatever it has
    bool of_signals;
    const lt_dataset *ds; // of runs
    const lt_sample_sets *sets;
    const lt_env *env;
    const lt_model_fallback *fallback; // of a file of another tool; may be NULL
    const lt_audit_in *of;             // the audit of a model that was made from it: oracles, attacks, verdict
    const lt_audit_cfg *audit;
} lti_original_spec;
// LT_E_INTEGRITY for other weights, LT_E_FORMAT for outputs of other samples; errors of opening and measuring. Clear it
// in either case.
lt_status lti_original_measure(const lti_original_spec *spec, lti_original *o);
void lti_original_clear(lti_original *o);
#endif
