// attack_models.c - attacks on opened models: accuracy left, curves, certificates, transfer, and their JSON.
#include "base/json_write.h"
#include "run/run_impl.h"
#include "lethe/robustness.h"
#include <math.h>
#include <stdlib.h>
#include <string.h>

static lt_attack_target target_of(const lt_attack_order *o, const lt_model_list *m)
{
    return (lt_attack_target){.model = m->model, .n_models = m->n, .combine = o->combine, .noise_std = o->model_noise};
}

static bool has_surrogates(const lt_attack_order *o)
{
    return o->surrogates && o->surrogates->n > 0;
}

static lt_view view_of(const lt_attack_order *o)
{
    lt_view view = lt_view_split(o->ds, (lt_split)o->split);
    view.n = o->limit > 0 && o->limit < view.n ? o->limit : view.n;
    return view;
}

// ---- what is measured

static lt_status evaluate_models(const lt_attack_order *o, lt_attack_record *r)
{
    const lt_attack_target target = target_of(o, o->models);
    const lt_view view = view_of(o);
    if (!has_surrogates(o))
        return lt_robust_evaluate(&target, &view, o->attack, &o->spec, o->cfg, o->cfg_ctx, o->env, &r->result);
    const lt_attack_target source = target_of(o, o->surrogates);
    const lt_transfer_job transfer = {.source = &source,
                                      .target = &target,
                                      .n_sources = 1,
                                      .n_targets = 1,
                                      .view = &view,
                                      .attack = o->attack,
                                      .spec = &o->spec,
                                      .cfg = o->cfg,
                                      .cfg_ctx = o->cfg_ctx};
    return lt_transfer_evaluate(&transfer, o->env, &r->result);
}

static lt_status parse_radii(const char *text, lt_attack_record *r)
{
    for (const char *p = text; p && *p;) {
        char one[64];
        const size_t n = strcspn(p, ",");
        if (r->n_radii == LT_ATTACK_MAX_RADII)
            return LT_FAIL(LT_E_USAGE, "--radii: expected at most %d, found more", LT_ATTACK_MAX_RADII);
        if (n >= sizeof one)
            return LT_FAIL(LT_E_USAGE, "--radii: expected numbers with commas, found '%.60s'", p);
        memcpy(one, p, n);
        one[n] = '\0';
        if (n > 0)
            LT_TRY(lt_attack_parse_eps(one, &r->radius[r->n_radii++]));
        p += n + (p[n] == ',');
    }
    return LT_OK;
}

static lt_status measure_curve(const lt_attack_order *o, lt_attack_record *r)
{
    const lt_attack_target target = target_of(o, o->models);
    const lt_view view = view_of(o);
    const lt_robust_curve_job ask = {.target = &target,
                                     .view = &view,
                                     .attacks = o->attack,
                                     .spec = &o->spec,
                                     .cfg = o->cfg,
                                     .cfg_ctx = o->cfg_ctx,
                                     .radius = r->radius,
                                     .n = r->n_radii};
    return r->n_radii > 0 ? lt_robust_curve(&ask, o->env, r->robust_acc) : LT_OK;
}

// The radius within which the Lipschitz bound allows no other class, for every image, and examples that contradict it.
static lt_status check_certificates(const lt_attack_order *o, lt_attack_record *r)
{
    lt_spectra spectra;
    lt_spectra_cfg cfg = {.seed = 1};
    lt_options_defaults(lt_spectra_options, &cfg);
    LT_TRY(lt_spectra_measure(o->models->model[0], &cfg, o->env, &spectra));
    double *radius = lti_calloc((size_t)r->result->n + 1, sizeof *radius), sum = 0;
    if (radius) {
        r->n_certificates_broken = lt_robust_certify(r->result, spectra.lipschitz_bound, radius);
        for (int64_t i = 0; i < r->result->n; i++)
            sum += radius[i];
    }
    r->is_certified = true;
    r->mean_certified_l2 = sum / (double)r->result->n;
    r->lipschitz_bound = spectra.lipschitz_bound;
    lti_format(r->bound_by, sizeof r->bound_by, "%s", spectra.bound_by);
    lt_spectra_clear(&spectra);
    const lt_status status = radius ? LT_OK : LTI_NOMEM("certificates");
    lti_free(radius);
    return status;
}

static lt_status measure_transfer(const lt_attack_order *o, lt_attack_record *r)
{
    lt_attack_target each[LT_MODEL_LIST_MAX];
    const lt_view view = view_of(o);
    for (int i = 0; i < o->models->n; i++)
        each[i] = (lt_attack_target){.model = &o->models->model[i], .n_models = 1, .noise_std = o->model_noise};
    const lt_transfer_job transfer = {.source = each,
                                      .target = each,
                                      .n_sources = o->models->n,
                                      .n_targets = o->models->n,
                                      .view = &view,
                                      .attack = o->attack,
                                      .spec = &o->spec,
                                      .cfg = o->cfg,
                                      .cfg_ctx = o->cfg_ctx};
    return lt_transfer_run(&transfer, o->env, &r->matrix);
}

// ---- JSON

static void write_interval(lti_json *j, const char *key, const double interval[2])
{
    lti_json_begin(j, key, '[');
    lti_json_real(j, NULL, interval[0]);
    lti_json_real(j, NULL, interval[1]);
    lti_json_end(j, ']');
}

static void write_names(lti_json *j, const char *key, const lt_model_list *m)
{
    lti_json_begin(j, key, '[');
    for (int i = 0; i < m->n; i++)
        lti_json_text(j, NULL, m->name[i]);
    lti_json_end(j, ']');
}

static bool is_min_norm(const lt_robust_result *r)
{
    return r && isnan(r->eps);
}

// eps: of attacks of minimum norm there is none.
static void write_order(lti_json *j, const lt_attack_order *o, bool has_radius)
{
    char digest[65];
    lti_json_text(j, "run", o->models->name[0]);
    write_names(j, "models", o->models);
    lti_json_text(j, "model", o->models->model[0]->spec);
    lt_model_digest(o->models->model[0], digest);
    lti_json_text(j, "model_digest", digest);
    lti_json_text(j, "data", o->ds->spec);
    lti_json_text(j, "data_digest", o->ds->digest);
    lti_json_text(j, "split", o->split == LT_TRAIN ? "train" : "test");
    lti_json_text(j, "attack", o->attack);
    lti_json_text(j, "norm", o->spec.norm == LT_NORM_L2 ? "l2" : "linf");
    if (has_radius)
        lti_json_text(j, "eps", o->spec.eps);
    else
        lti_json_real(j, "eps", (double)NAN);
    if (o->spec.target && *o->spec.target)
        lti_json_text(j, "target", o->spec.target);
    if (o->spec.legacy_normalized)
        lti_json_bool(j, "legacy_normalized", true);
    lti_json_int(j, "seed", (int64_t)o->spec.seed);
}

static void write_part(lti_json *j, const lt_attack_part *part)
{
    lti_json_begin(j, NULL, '{');
    lti_json_text(j, "attack", part->name);
    lti_json_real(j, "robust_acc", part->robust_acc);
    write_interval(j, "robust_interval", part->interval);
    lti_json_int(j, "n_broken", part->n_broken);
    lti_json_int(j, "queries_f", part->n_forward);
    lti_json_int(j, "queries_b", part->n_backward);
    lti_json_real(j, "wall_s", part->wall_s);
    lti_json_end(j, '}');
}

static void write_result(lti_json *j, const lt_robust_result *r)
{
    lti_json_int(j, "n", r->n);
    lti_json_real(j, "clean_acc", r->clean_acc);
    lti_json_real(j, "robust_acc", r->robust_acc);
    write_interval(j, "robust_interval", r->robust_interval);
    lti_json_real(j, "success_rate", r->success_rate);
    lti_json_real(j, "mean_l2", r->mean_l2);
    lti_json_real(j, "median_l2", r->median_l2);
    if (is_min_norm(r)) {
        int64_t n_found = 0;
        for (int64_t i = 0; i < r->n; i++)
            n_found += r->status[i] == LT_ROBUST_BROKEN;
        lti_json_real(j, "mean_distance", r->mean_distance);
        lti_json_real(j, "median_distance", r->median_distance);
        lti_json_int(j, "n_found", n_found);
    }
    if (r->eot > 1)
        lti_json_int(j, "eot", r->eot);
    if (!isnan(r->quantized_robust_acc))
        lti_json_real(j, "quantized_robust_acc", r->quantized_robust_acc);
    if (!isnan(r->mean_robust_acc)) {
        lti_json_real(j, "mean_robust_acc", r->mean_robust_acc);
        lti_json_int(j, "unconfirmed", r->n_unconfirmed);
    }
    lti_json_int(j, "n_invalid", r->n_invalid);
    lti_json_int(j, "n_zero_gradient", r->n_zero_gradient);
    lti_json_int(j, "queries_f", r->n_forward);
    lti_json_int(j, "queries_b", r->n_backward);
    lti_json_begin(j, "flags", '[');
    for (int bit = 0; bit < LT_N_FLAGS; bit++)
        if (r->flags >> bit & 1)
            lti_json_text(j, NULL, lt_robust_flag_name(bit));
    lti_json_end(j, ']');
    lti_json_real(j, "images_per_s", r->images_per_s);
    lti_json_real(j, "wall_s", r->wall_s);
    lti_json_begin(j, "attacks", '[');
    for (int p = 0; p < r->n_parts; p++)
        write_part(j, &r->part[p]);
    lti_json_end(j, ']');
}

static void write_curve(lti_json *j, const lt_attack_record *r)
{
    lti_json_begin(j, "curve", '{');
    lti_json_begin(j, "radius", '[');
    for (int i = 0; i < r->n_radii; i++)
        lti_json_real(j, NULL, r->radius[i]);
    lti_json_end(j, ']');
    lti_json_begin(j, "robust_acc", '[');
    for (int i = 0; i < r->n_radii; i++)
        lti_json_real(j, NULL, r->robust_acc[i]);
    lti_json_end(j, ']');
    lti_json_end(j, '}');
}

static void write_matrix(lti_json *j, const lt_transfer_matrix *m)
{
    lti_json_int(j, "n", m->n);
    lti_json_int(j, "n_invalid", m->n_invalid);
    lti_json_begin(j, "clean_acc", '[');
    for (int t = 0; t < m->n_targets; t++)
        lti_json_real(j, NULL, m->clean_acc[t]);
    lti_json_end(j, ']');
    lti_run_write_matrix(j, "transfer", m->rate, NULL, m->n_sources, m->n_targets);
    lti_run_write_matrix(j, "transfer_numerator", NULL, m->numerator, m->n_sources, m->n_targets);
    lti_run_write_matrix(j, "transfer_eligible", NULL, m->eligible, m->n_sources, m->n_targets);
    lti_run_write_matrix(j, "both_right", NULL, m->both_right, m->n_sources, m->n_targets);
    lti_run_write_matrix(j, "robust", NULL, m->robust, m->n_sources, m->n_targets);
}

void lti_run_write_matrix(lti_json *j, const char *key, const double *real, const int64_t *count, int rows, int columns)
{
    lti_json_begin(j, key, '[');
    for (int r = 0; r < rows; r++) {
        lti_json_begin(j, NULL, '[');
        for (int c = 0; c < columns; c++)
            if (real)
                lti_json_real(j, NULL, real[r * columns + c]);
            else
                lti_json_int(j, NULL, count ? count[r * columns + c] : 0);
        lti_json_end(j, ']');
    }
    lti_json_end(j, ']');
}

static char *write_record(const lt_attack_order *o, const lt_attack_record *r)
{
    lti_json j = {0};
    lti_json_begin(&j, NULL, '{');
    write_order(&j, o, !is_min_norm(r->result));
    if (r->result)
        write_result(&j, r->result);
    else
        write_matrix(&j, &r->matrix);
    if (r->n_radii > 0)
        write_curve(&j, r);
    if (has_surrogates(o))
        write_names(&j, "surrogates", o->surrogates);
    if (r->is_certified) {
        lti_json_real(&j, "lipschitz_bound", r->lipschitz_bound);
        lti_json_text(&j, "lipschitz_bound_by", r->bound_by);
        lti_json_real(&j, "mean_certified_l2", r->mean_certified_l2);
        lti_json_int(&j, "n_certificates_broken", r->n_certificates_broken);
    }
    if (r->result && o->save && *o->save)
        lti_json_text(&j, "save", o->save);
    lti_json_end(&j, '}');
    return lti_json_take(&j);
}

// ---- the call

static bool is_given(const char *text)
{
    return text && *text;
}

static lt_status check_shapes(const lt_attack_order *o, const lt_model_list *m)
{
    const lt_dataset *ds = o->ds;
    for (int i = 0; i < m->n; i++) {
        const lt_model_shape *s = &m->model[i]->shape;
        if (s->c != ds->c || s->h != ds->h || s->w != ds->w || s->n_classes != ds->n_classes)
            return LT_FAIL(LT_E_SHAPE, "attack: %s takes %dx%dx%d images of %d classes, %s has %dx%dx%d of %d",
                           m->name[i], s->c, s->h, s->w, s->n_classes, ds->spec, ds->c, ds->h, ds->w, ds->n_classes);
    }
    return LT_OK;
}

static lt_status check_order(const lt_attack_order *o)
{
    if (o->models->n < 1)
        return LT_FAIL(LT_E_USAGE, "attack: expected at least one model, found none");
    if (o->certify && o->models->n > 1)
        return LT_FAIL(LT_E_USAGE, "--certify: expected one model, found %d", o->models->n);
    if (o->certify && o->model_noise > 0)
        return LT_FAIL(LT_E_USAGE, "--certify: the bound holds for a model without --model-noise");
    if (is_given(o->radii) && has_surrogates(o))
        return LT_FAIL(LT_E_USAGE, "--radii: expected attacks on the model itself, found --surrogate");
    if (o->transfer_matrix && (is_given(o->radii) || is_given(o->save) || o->certify || has_surrogates(o)))
        return LT_FAIL(LT_E_USAGE, "--transfer-matrix: it has rates alone, nothing for --%s",
                       has_surrogates(o)    ? "surrogate"
                       : is_given(o->radii) ? "radii"
                       : is_given(o->save)  ? "save"
                                            : "certify");
    LT_TRY(check_shapes(o, o->models));
    return o->surrogates ? check_shapes(o, o->surrogates) : LT_OK;
}

// What pictures of this result must leave out unless they are asked for.
static lt_status mark_forgotten(const lt_attack_order *o, lt_attack_record *r)
{
    const lt_model_list *const lists[] = {o->models, o->surrogates};
    const lt_view view = view_of(o);
    bool some = false;
    r->forgotten = lti_calloc((size_t)r->result->n + 1, sizeof *r->forgotten);
    if (!r->forgotten)
        return LTI_NOMEM("forgotten samples");
    for (size_t k = 0; k < sizeof lists / sizeof *lists; k++)
        for (int i = 0; lists[k] && i < lists[k]->n_single; i++)
            LT_TRY(lti_mark_forgotten(&lists[k]->single[i], &view, r->result->id, r->result->n, r->forgotten));
    for (int64_t i = 0; i < r->result->n; i++)
        some = some || r->forgotten[i];
    if (some)
        return LT_OK;
    lti_free(r->forgotten);
    r->forgotten = NULL;
    return LT_OK;
}

static lt_status run_order(const lt_attack_order *o, lt_attack_record *r)
{
    LT_TRY(check_order(o));
    if (o->transfer_matrix) {
        LT_TRY(measure_transfer(o, r));
    } else {
        LT_TRY(parse_radii(o->radii, r)); // before the work
        LT_TRY(evaluate_models(o, r));
        LT_TRY(mark_forgotten(o, r));
        LT_TRY(measure_curve(o, r));
        if (o->certify)
            LT_TRY(check_certificates(o, r));
        if (o->save && *o->save)
            LT_TRY(lt_robust_save(r->result, o->save));
    }
    r->json = write_record(o, r);
    return r->json ? LT_OK : LTI_NOMEM("result");
}

lt_status lt_attack_models(const lt_attack_order *order, lt_attack_record *record)
{
    *record = (lt_attack_record){0};
    return run_order(order, record);
}

void lt_attack_record_clear(lt_attack_record *record)
{
    lt_robust_result_destroy(record->result);
    lti_free(record->forgotten);
    lt_transfer_matrix_clear(&record->matrix);
    free(record->json);
    *record = (lt_attack_record){0};
}

lt_status lt_attack_record_check(const lt_attack_record *record, bool strict, bool allow_invalid)
{
    const lt_robust_result *r = record->result;
    if (!r && record->matrix.n_invalid > 0 && !allow_invalid) {
        LT_FAIL(LT_E_DIVERGED, "attack: expected finite logits, found others for %lld images of all cells",
                (long long)record->matrix.n_invalid);
        return lt_error_hint("--allow-invalid leaves them out");
    }
    if (!r)
        return LT_OK;
    if (r->n_invalid > 0 && !allow_invalid) {
        LT_FAIL(LT_E_DIVERGED, "attack: expected finite logits, found others for %lld of %lld images",
                (long long)r->n_invalid, (long long)r->n);
        return lt_error_hint("--allow-invalid counts them as neither robust nor broken");
    }
    if (record->n_certificates_broken > 0)
        return LT_FAIL(LT_E_INTEGRITY, "attack: %lld examples are nearer than the Lipschitz bound %.4g allows",
                       (long long)record->n_certificates_broken, record->lipschitz_bound);
    for (int bit = 0; bit < LT_N_FLAGS; bit++) {
        if (!(r->flags >> bit & 1))
            continue;
        if (1 << bit == LT_FLAG_MISMATCH)
            return LT_FAIL(LT_E_INTEGRITY, "attack: %s: %s", lt_robust_flag_name(bit),
                           lt_robust_flag_meaning(bit, r->eot));
        if (strict)
            return LT_FAIL(LT_E_CHECK, "attack: %s: %s", lt_robust_flag_name(bit), lt_robust_flag_meaning(bit, r->eot));
    }
    return LT_OK;
}
