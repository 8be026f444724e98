// norms.c - spectral norms of a model's layers, and a clipped copy of it.
#include "base/json_write.h"
#include "run/run_impl.h"
#include "lethe/robustness.h"
#include <stdlib.h>

static void write_layer(lti_json *j, const lt_spectrum *s)
{
    lti_json_begin(j, NULL, '{');
    lti_json_text(j, "name", s->name);
    lti_json_text(j, "kind", lt_layer_kind_name(s->kind));
    lti_json_begin(j, "sigma", '[');
    for (int i = 0; i < s->k; i++)
        lti_json_real(j, NULL, s->sigma[i]);
    lti_json_end(j, ']');
    lti_json_real(j, "lower", s->lower);
    lti_json_real(j, "upper", s->upper);
    lti_json_text(j, "upper_by", s->upper_by);
    lti_json_real(j, "kernel_norm", s->kernel_norm);
    lti_json_real(j, "residual", s->residual);
    lti_json_int(j, "iterations", s->iterations);
    lti_json_end(j, '}');
}

static void write_spectra(lti_json *j, const lt_spectra *s)
{
    lti_json_begin(j, "layers", '[');
    for (int i = 0; i < s->n_layers; i++)
        write_layer(j, &s->layer[i]);
    lti_json_end(j, ']');
    lti_json_real(j, "lipschitz_bound", s->lipschitz_bound);
    lti_json_real(j, "lipschitz_bound_normalized", s->lipschitz_bound_normalized);
    lti_json_text(j, "lipschitz_bound_by", s->bound_by);
}

static void write_clipped(lti_json *j, const lt_clip_report *report)
{
    lti_json_begin(j, "clipped", '[');
    for (int i = 0; i < report->n_layers; i++) {
        const lt_clipped_layer *l = &report->layer[i];
        lti_json_begin(j, NULL, '{');
        lti_json_text(j, "name", l->name);
        lti_json_text(j, "kind", lt_layer_kind_name(l->kind));
        lti_json_real(j, "target", l->target);
        lti_json_real(j, "before", l->before);
        lti_json_real(j, "after", l->after);
        lti_json_int(j, "events", l->events);
        lti_json_end(j, '}');
    }
    lti_json_end(j, ']');
    lti_json_real(j, "clip_s", report->wall_s);
}

static char *write_record(const lt_norms_order *o, const lt_norms_record *r)
{
    char digest[65];
    lti_json j = {0};
    lti_json_begin(&j, NULL, '{');
    if (o->clip > 0) {
        write_clipped(&j, &r->clipped);
        lti_json_text(&j, "out", o->out);
    }
    lt_model_digest(o->model, digest);
    lti_json_text(&j, "model", o->model->spec);
    lti_json_text(&j, "model_digest", digest);
    write_spectra(&j, &r->after);
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}

static lt_status clip_model(const lt_norms_order *o, lt_norms_record *r)
{
    lt_clip_cfg rule = o->rule;
    char digest[65];
    rule.clip_norm = (float)o->clip;
    lt_model_digest(o->model, digest);
    LT_TRY(lt_clip_model(o->model, &rule, o->seed, o->env, &r->clipped));
    return lt_model_set_meta(o->model, "lethe.parent_digest", digest);
}

lt_status lt_norms_measure(const lt_norms_order *order, lt_norms_record *r)
{
    lt_spectra_cfg cfg = order->spectra;
    *r = (lt_norms_record){0};
    cfg.seed = order->seed;
    if ((order->clip > 0) != (order->out && *order->out))
        return LT_FAIL(LT_E_USAGE, "norms: --clip and --out go together");
    if (order->measure_before)
        LT_TRY(lt_spectra_measure(order->model, &cfg, order->env, &r->before));
    if (order->clip > 0)
        LT_TRY(clip_model(order, r));
    LT_TRY(lt_spectra_measure(order->model, &cfg, order->env, &r->after));
    r->json = write_record(order, r);
    if (!r->json)
        return LTI_NOMEM("result");
    return order->clip > 0 ? lt_model_save(order->model, order->out) : LT_OK; // last: what fails leaves no file
}

void lt_norms_record_clear(lt_norms_record *r)
{
    lt_spectra_clear(&r->before);
    lt_spectra_clear(&r->after);
    lt_clip_report_clear(&r->clipped);
    free(r->json);
    *r = (lt_norms_record){0};
}
