// audit_original.c - the original model of an audit, measured like the model that was made from it.
#include "run/audit_original.h"
#include "run/run_impl.h"
#include <string.h>

static lt_status open_signals(const lti_original_spec *spec, lt_signals **s)
{
    lt_trained_model m;
    char digest[65];
    if (spec->of_signals)
        return lt_signals_open(spec->name, s);
    lt_status status = lti_related_open(spec->name, spec->fallback, spec->of->unlearned.model, spec->ds, &m);
    if (status == LT_OK && *spec->expected_digest) {
        lt_model_digest(m.model, digest);
        if (strcmp(digest, spec->expected_digest) != 0)
            status = LT_FAIL(LT_E_INTEGRITY, "%s: model digest %.16s..., but %s was made from %.16s...", spec->name,
                             digest, spec->of->unlearned.name, spec->expected_digest);
    }
    if (status == LT_OK)
        status = lt_trained_model_signals(&m, spec->ds, spec->sets, spec->env, s);
    lt_trained_model_close(&m);
    return status;
}

static lt_status measure_signals(const lti_original_spec *spec, lti_original *o)
{
    lt_signals *s;
    LT_TRY(open_signals(spec, &s));
    const lt_signals *target = spec->of->unlearned.audited->signals;
    lt_status status = LT_OK;
    if (spec->of_signals)
        status = lt_signals_match(target, spec->name, s);
    else if (!lt_signals_same_samples(target, s))
        status = LT_FAIL(LT_E_FORMAT, "%s: expected outputs on the samples of %s, found others", spec->name,
                         spec->of->unlearned.name);
    if (status != LT_OK) {
        lt_signals_destroy(s);
        return status;
    }
    return lt_audited_measure(spec->of->attacks, spec->audit, s, &o->audited);
}

lt_status lti_original_measure(const lti_original_spec *spec, lti_original *o)
{
    *o = (lti_original){.name = lti_strdup(spec->name), .verdict = *spec->of->verdict};
    if (!o->name)
        return LTI_NOMEM("original model");
    LT_TRY(measure_signals(spec, o));
    o->verdict.bootstrap = 0; // a verdict needs no intervals
    o->in = (lt_audit_in){.unlearned = {.name = o->name, .audited = &o->audited},
                          .retrained = spec->of->retrained,
                          .n_retrained = spec->of->n_retrained,
                          .attacks = spec->of->attacks,
                          .verdict = &o->verdict,
                          .seed = spec->of->seed};
    LT_TRY(lt_audit_report_create(&o->in, &o->report));
    LT_TRY(lt_audit_kind_run(LT_AUDIT_membership, NULL, o->report));
    LT_TRY(lt_audit_judge(o->report));
    lt_audit_judge_original(o->report, o->report);
    return LT_OK;
}

void lti_original_clear(lti_original *o)
{
    lt_audit_report_destroy(o->report);
    lt_audited_clear(&o->audited);
    lti_free(o->name);
    *o = (lti_original){0};
}
