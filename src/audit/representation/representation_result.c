// representation_result.c - the result of the representation audit: memory and JSON.
#include "audit/representation/representation_result.h"
#include <math.h>

lt_status lti_representation_create(const lt_audit_in *in, const lt_representation_cfg *cfg, lti_representation **out)
{
    lti_representation *r = *out = lti_calloc(1, sizeof *r);
    if (!r)
        return LTI_NOMEM("representation audit");
    r->cfg = *cfg;
    r->seed = in->seed;
    r->n_retrained = in->n_retrained;
    r->n_models = LTI_RETRAINED + in->n_retrained;
    r->curve = lti_arena_alloc(&r->arena, (size_t)r->n_models * sizeof *r->curve);
    r->area = lti_arena_alloc(&r->arena, (size_t)r->n_models * sizeof *r->area);
    r->original = in->original ? lti_arena_strdup(&r->arena, in->original->name) : NULL;
    if (r->curve && r->area && (r->original || !in->original))
        return LT_OK;
    lti_representation_destroy(r);
    *out = NULL;
    return LTI_NOMEM("representation audit");
}

static double *take_reals(lti_representation *r, int n)
{
    double *v = lti_arena_alloc(&r->arena, (size_t)(n + 1) * sizeof *v);
    for (int i = 0; v && i < n; i++)
        v[i] = NAN;
    return v;
}

lt_status lti_representation_stages(lti_representation *r, const lt_features *f)
{
    const int n = r->n_stages = f->n_stages;
    r->auc = take_reals(r, r->n_models * n);
    r->acc_forget = take_reals(r, r->n_models * n);
    r->acc_test = take_reals(r, r->n_models * n);
    r->stage = lti_arena_alloc(&r->arena, (size_t)n * sizeof *r->stage);
    r->width = lti_arena_alloc(&r->arena, (size_t)n * sizeof *r->width);
    r->cka = lti_arena_alloc(&r->arena, 2 * (size_t)n * sizeof *r->cka);
    bool complete = r->auc && r->acc_forget && r->acc_test && r->stage && r->width && r->cka;
    for (int i = 0; complete && i < n; i++) {
        r->stage[i] = lti_arena_strdup(&r->arena, f->name[i]);
        r->width[i] = f->width[i];
        complete = r->stage[i] != NULL;
    }
    for (int i = 0; complete && i < 2 * n; i++) {
        r->cka[i].to_retrained = take_reals(r, r->n_retrained);
        r->cka[i].original_to_retrained = take_reals(r, r->n_retrained);
        complete = r->cka[i].to_retrained && r->cka[i].original_to_retrained;
    }
    return complete ? LT_OK : LTI_NOMEM("representation audit");
}

void lti_representation_destroy(void *data)
{
    lti_representation *r = data;
    if (!r)
        return;
    for (int i = 0; r->curve && i < r->n_models; i++)
        lt_relearn_clear(&r->curve[i]);
    lti_arena_clear(&r->arena);
    lti_free(r);
}

// ---- JSON

// Value of one model; null for one that is missing.
typedef void (*write_fn)(const lti_representation *r, int model, int stage, const char *key, lti_json *w);

static void write_by_model(const lti_representation *r, const char *key, write_fn write, int stage, lti_json *w)
{
    lti_json_begin(w, key, '{');
    if (r->original)
        write(r, LTI_ORIGINAL, stage, LT_KIND_ORIGINAL, w);
    else
        lti_json_null(w, LT_KIND_ORIGINAL);
    write(r, LTI_UNLEARNED, stage, LT_KIND_UNLEARNED, w);
    lti_json_begin(w, LT_KIND_RETRAINED, '[');
    for (int i = 0; i < r->n_retrained; i++)
        write(r, LTI_RETRAINED + i, stage, NULL, w);
    lti_json_end(w, ']');
    lti_json_end(w, '}');
}

static void write_auc(const lti_representation *r, int model, int stage, const char *key, lti_json *w)
{
    lti_json_real(w, key, r->auc[model * r->n_stages + stage]);
}
static void write_acc_forget(const lti_representation *r, int model, int stage, const char *key, lti_json *w)
{
    lti_json_real(w, key, r->acc_forget[model * r->n_stages + stage]);
}
static void write_acc_test(const lti_representation *r, int model, int stage, const char *key, lti_json *w)
{
    lti_json_real(w, key, r->acc_test[model * r->n_stages + stage]);
}
static void write_forget_acc_curve(const lti_representation *r, int model, int stage, const char *key, lti_json *w)
{
    (void)stage;
    lti_json_reals(w, key, r->curve[model].forget_acc, r->curve[model].n);
}
static void write_forget_loss_curve(const lti_representation *r, int model, int stage, const char *key, lti_json *w)
{
    (void)stage;
    lti_json_reals(w, key, r->curve[model].forget_loss, r->curve[model].n);
}
static void write_test_acc_curve(const lti_representation *r, int model, int stage, const char *key, lti_json *w)
{
    (void)stage;
    lti_json_reals(w, key, r->curve[model].test_acc, r->curve[model].n);
}
static void write_test_loss_curve(const lti_representation *r, int model, int stage, const char *key, lti_json *w)
{
    (void)stage;
    lti_json_reals(w, key, r->curve[model].test_loss, r->curve[model].n);
}
static void write_area(const lti_representation *r, int model, int stage, const char *key, lti_json *w)
{
    (void)stage;
    lti_json_real(w, key, r->area[model]);
}
static void write_reach(const lti_representation *r, int model, int stage, const char *key, lti_json *w)
{
    const lt_relearn *c = &r->curve[model];
    (void)stage;
    lti_json_real(w, key,
                  isfinite(r->threshold) ? lt_relearn_reach(c->step, c->forget_acc, c->n, r->threshold) : (double)NAN);
}

static void write_probes(const lti_representation *r, lti_json *w)
{
    lti_json_begin(w, "probe", '[');
    for (int i = 0; i < r->n_stages; i++) {
        lti_json_begin(w, NULL, '{');
        lti_json_text(w, "stage", r->stage[i]);
        lti_json_int(w, "width", r->width[i]);
        write_by_model(r, "membership_auc", write_auc, i, w);
        write_by_model(r, "class_acc", write_acc_forget, i, w);
        write_by_model(r, "class_acc_test", write_acc_test, i, w);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
}

static void write_cka(const lti_cka *c, int n_retrained, lti_json *w)
{
    lti_json_real(w, "to_original", c->to_original);
    lti_json_reals(w, "to_retrained", c->to_retrained, n_retrained);
    lti_json_reals(w, "original_to_retrained", c->original_to_retrained, n_retrained);
    lti_json_real(w, "retrained_pair", c->retrained_pair);
}

static void write_all_cka(const lti_representation *r, lti_json *w)
{
    lti_json_begin(w, "cka", '[');
    for (int i = 0; i < r->n_stages; i++) {
        lti_json_begin(w, NULL, '{');
        lti_json_text(w, "stage", r->stage[i]);
        lti_json_begin(w, "test", '{');
        write_cka(&r->cka[2 * i + 1], r->n_retrained, w);
        lti_json_end(w, '}');
        write_cka(&r->cka[2 * i], r->n_retrained, w);
        lti_json_end(w, '}');
    }
    lti_json_end(w, ']');
}

static void write_statistic(const lti_representation *r, lti_json *w)
{
    const lt_equivalence *c = &r->area_test;
    lti_json_real(w, "difference", r->n_retrained > 0 ? c->difference : (double)NAN);
    lti_json_real(w, "retrained_pair", r->area_pair);
    lti_json_begin(w, "statistic", '{');
    lti_json_text(w, "name", "area under forget accuracy");
    lti_json_real(w, "mean", c->mean);
    lti_json_real(w, "sd", c->sd);
    lti_json_real(w, "band", c->band);
    lti_json_real(w, "p", c->p);
    lti_json_real(w, "bound", c->bound);
    lti_json_text(w, "verdict", r->n_retrained > 0 ? lt_verdict_text(c->verdict) : "");
    lti_json_end(w, '}');
}

static void write_relearning(const lti_representation *r, lti_json *w)
{
    const lt_relearn *c = &r->curve[LTI_UNLEARNED];
    lti_json_begin(w, "relearn", '{');
    lti_json_begin(w, "steps", '[');
    for (int i = 0; i < c->n; i++)
        lti_json_int(w, NULL, c->step[i]);
    lti_json_end(w, ']');
    write_by_model(r, "forget_acc", write_forget_acc_curve, 0, w);
    write_by_model(r, "forget_loss", write_forget_loss_curve, 0, w);
    write_by_model(r, "test_acc", write_test_acc_curve, 0, w);
    write_by_model(r, "test_loss", write_test_loss_curve, 0, w);
    write_by_model(r, "area", write_area, 0, w);
    lti_json_real(w, "threshold", r->threshold);
    write_by_model(r, "steps_to_threshold", write_reach, 0, w);
    write_statistic(r, w);
    lti_json_end(w, '}');
}

static void write_settings(const lti_representation *r, lti_json *w)
{
    lti_json_begin(w, "settings", '{');
    lti_json_int(w, "n_forget", r->n_forget);
    lti_json_int(w, "n_test", r->n_test);
    lti_json_int(w, "n_test_of_forgotten_classes", r->n_same_class);
    lti_json_int(w, "n_retain", r->n_retain);
    lti_json_text(w, "cka", "linear, debiased");
    lti_json_real(w, "probe_ridge", r->cfg.probe_l2);
    lti_json_real(w, "probe_tol", r->cfg.probe_tol);
    lti_json_int(w, "probe_folds", r->cfg.probe_folds);
    lti_json_int(w, "relearn_batch", r->cfg.relearn_batch);
    lti_json_real(w, "relearn_lr", lti_decimal_of(r->cfg.relearn_lr));
    lti_json_bool(w, "relearn_reinit", r->cfg.relearn_reinit);
    lti_json_int(w, "seed", (int64_t)r->seed);
    lti_json_end(w, '}');
}

void lti_representation_write(const void *data, lti_json *w)
{
    const lti_representation *r = data;
    lti_json_text(w, "original", r->original);
    write_settings(r, w);
    write_probes(r, w);
    write_all_cka(r, w);
    write_relearning(r, w);
}
