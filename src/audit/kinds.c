// kinds.c - the registry of audit kinds, and what they share.
#include "audit/kind_impl.h"
#include <stdarg.h>

static const lt_audit_kind *const table[LT_N_AUDIT_KINDS] = {
#define LT_X(name) &lti_audit_##name,
#include "lethe/kinds.list"
#undef LT_X
};

const lt_audit_kind *lt_audit_kind_get(lt_audit_kind_id id)
{
    return table[id];
}

static bool has_models(const lt_audit_in *in)
{
    return in->ds && in->env && (in->unlearned.model || in->unlearned.open);
}

static lt_status check_needs(const lt_audit_kind *kind, const lt_audit_in *in)
{
    if ((kind->needs & LT_AUDIT_NEED_MODELS) && !has_models(in))
        return LT_FAIL(LT_E_USAGE, "the %s needs models and data, found outputs alone", kind->title);
    if ((kind->needs & LT_AUDIT_NEED_ORIGINAL) && !in->original)
        return LT_FAIL(LT_E_USAGE, "the %s needs the model before unlearning, found none", kind->title);
    return LT_OK;
}

static lt_status with_config(const lt_audit_kind *kind, const void *cfg, void **own)
{
    *own = NULL;
    if (cfg || kind->cfg_size == 0)
        return LT_OK;
    *own = lti_calloc(1, kind->cfg_size);
    if (!*own)
        return LTI_NOMEM(kind->name);
    lt_options_defaults(kind->opts, *own);
    return LT_OK;
}

void lt_audit_shared_clear(lt_audit_shared *shared)
{
    for (int k = 0; k < LT_N_AUDIT_KINDS; k++) {
        if (shared->of[k])
            table[k]->clear_shared(shared->of[k]);
        shared->of[k] = NULL;
    }
}

lt_status lt_audit_kind_check(lt_audit_kind_id id, const lt_audit_in *in, const void *cfg)
{
    const lt_audit_kind *kind = table[id];
    void *own;
    LT_TRY(check_needs(kind, in));
    LT_TRY(with_config(kind, cfg, &own));
    const lt_status status = kind->check ? kind->check(in, cfg ? cfg : own) : LT_OK;
    lti_free(own);
    return status;
}

lt_status lt_audit_kind_run(lt_audit_kind_id id, const void *cfg, lt_audit_report *report)
{
    const lt_audit_kind *kind = table[id];
    void *own;
    LT_TRY(check_needs(kind, report->in));
    LT_TRY(with_config(kind, cfg, &own));
    const lt_status status = kind->run(report->in, cfg ? cfg : own, report, &report->data[id]);
    report->has_run[id] = status == LT_OK;
    lti_free(own);
    return status;
}

void lti_audit_stage(const lt_audit_in *in, const char *fmt, ...)
{
    char text[200];
    va_list args;
    if (!in->env || !in->env->events)
        return;
    va_start(args, fmt);
    lti_vformat(text, sizeof text, fmt, args);
    va_end(args);
    lt_emit(in->env->events,
            &(lt_event){.kind = LT_EV_BEGIN, .name = "audit.stage", .text = text, .epoch = -1, .step = -1});
}

lt_status lti_subject_model(const lt_audit_subject *s, const lt_model **model, lt_model **owned)
{
    *owned = NULL;
    *model = s->model;
    if (*model)
        return LT_OK;
    if (!s->open)
        return LT_FAIL(LT_E_USAGE, "%s: expected a model, found outputs alone", s->name);
    LT_TRY(s->open(s, owned));
    *model = *owned;
    return LT_OK;
}

void lti_json_reals(lti_json *w, const char *key, const double *value, int64_t n)
{
    lti_json_begin(w, key, '[');
    for (int64_t i = 0; i < n; i++)
        lti_json_real(w, NULL, value[i]);
    lti_json_end(w, ']');
}

lt_status lti_subject_signals(const lt_audit_in *in, const lt_audit_subject *s, const lt_signals **signals,
                              lt_signals **owned)
{
    const lt_model *model;
    lt_model *opened;
    *owned = NULL;
    *signals = s && s->audited ? s->audited->signals : NULL;
    if (*signals || !s || !in->ds || !in->env || (!s->model && !s->open))
        return LT_OK;
    lt_status status = lti_subject_model(s, &model, &opened);
    if (status != LT_OK && status != LT_E_NOMEM) {
        lt_error_clear(); // it was not requested
        return LT_OK;
    }
    LT_TRY(status);
    status = lt_signals_compute(model, in->ds, in->forget, in->retain, in->env, owned);
    lt_model_destroy(opened);
    *signals = *owned;
    return status;
}
