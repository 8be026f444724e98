// audit_impl.h - what the audit files share: the shadow draw, and one SVM fit (also called by the parity test).
#ifndef LT_AUDIT_IMPL_H
#define LT_AUDIT_IMPL_H
#include "base/base.h"
#include "lethe/audit.h"

// Draws of an audit are indexed by `step` of LT_STREAM_AUDIT. Part of the reproducibility contract: append only.
enum { LTI_DRAW_SHADOW_RETAIN = 0, LTI_DRAW_SHADOW_TEST = 1, LTI_DRAW_AUC = 16 /* + group */ };

// Rows of the signals that serve as shadow members and non-members; n of each, as drawn.
typedef struct lti_shadow {
    int64_t n;
    int64_t *member, *non_member; // (n)
} lti_shadow;
lt_status lti_shadow_draw(const lt_signals *s, const lt_audit_cfg *cfg, lti_shadow *shadow);
void lti_shadow_clear(lti_shadow *shadow);

lt_status lti_signals_need_groups(const lt_signals *s);               // LT_E_FORMAT naming the empty group
int64_t lti_group_rows(const lt_signals *s, int group, int64_t *row); // row may be NULL; returns the count

// Class probabilities of one row, and one feature of it.
void lti_probabilities(const float *logits, int k, double *p);
double lti_feature(const float *logits, int k, int64_t label, lt_feature f);

// C-SVC on dense features: non-members (class 0) then members (class 1), each (n,d) row-major. decision: (n_target),
// positive = class 0 = non-member.
lt_status lti_svc(const double *non_member, const double *member, int64_t n, const double *target, int64_t n_target,
                  int d, double *decision);
#endif
