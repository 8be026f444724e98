// kind_impl.h - what audit kinds share: the registry's descriptors, and small JSON helpers for results.
#ifndef LT_KIND_IMPL_H
#define LT_KIND_IMPL_H
#include "audit/audit_impl.h"
#include "base/json_write.h"
#include "lethe/audit_report.h"

#define LT_X(name) extern const lt_audit_kind lti_audit_##name;
#include "lethe/kinds.list"
#undef LT_X

// Says what the audit does next, for progress lines: event "audit.stage".
void lti_audit_stage(const lt_audit_in *in, const char *fmt, ...) LT_PRINTF(2, 3);
// The model of a subject: the open one, or opened now (*owned, to be destroyed).
// Outputs of a model on the samples of the audited one: measured already, or computed now (*owned, to be destroyed).
// *signals is NULL when there is no such model, or when it cannot be opened.
lt_status lti_subject_signals(const lt_audit_in *in, const lt_audit_subject *s, const lt_signals **signals,
                              lt_signals **owned);
lt_status lti_subject_model(const lt_audit_subject *s, const lt_model **model, lt_model **owned);

void lti_json_reals(lti_json *w, const char *key, const double *value, int64_t n); // an array

// ---- parts of results that comparisons write too (audit_report_json.c)
void lti_audit_write_model(const lt_audit_report *r, lti_json *w); // members: metrics of the audited model
void lti_audit_write_verdict(const lt_audit_report *r, bool judged, lti_json *w); // null_band, verdict, interval
void lti_lint_write(const lt_lint *lint, const char *key, lti_json *w);
#endif
